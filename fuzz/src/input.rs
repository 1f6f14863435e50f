//! How octets stand for lists of frames or segments, so that a fuzzer's cuts and splices make other lists.
//!
//! Everything can be read: a list ends where its octets end, the last item is as long as there are octets for it.

use lowtide_proto::dnstap::DnstapFrame;
use lowtide_proto::{Cursor, LinkType, Packet, Timestamp};

/// When the first frame of a list comes.
pub const START: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// The link type that stands for a dnstap frame.
pub const DNSTAP: u16 = 0xffff;

/// Forward reading that never fails for want of octets.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a>(Cursor<'a>);

impl<'a> Input<'a> {
    /// Reads `octets` from the front.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self(Cursor::new(octets))
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next octet; 0 behind the end.
    pub fn octet(&mut self) -> u8 {
        self.0.u8().unwrap_or_default()
    }

    /// The next 16 bits; 0 behind the end.
    pub fn u16(&mut self) -> u16 {
        self.0.u16_be().unwrap_or_default()
    }

    /// The next 32 bits; 0 behind the end.
    pub fn u32(&mut self) -> u32 {
        self.0.u32_be().unwrap_or_default()
    }

    /// The next `n` octets, or all that are left.
    pub fn take(&mut self, n: usize) -> &'a [u8] {
        self.0.take(n.min(self.0.len())).unwrap_or_default()
    }
}

/// The step of a frame whose time is not known: none.
pub const NO_TIME: u8 = 0xff;

/// A step of time in one octet: 2^n nanoseconds forward, or back with bit 6; none with bit 7.
pub const fn step(time: Timestamp, code: u8) -> Timestamp {
    let nanos = if code & 0x80 != 0 { 0 } else { 1 << (code & 0x3f) };
    Timestamp(if code & 0x40 == 0 { time.0.saturating_add(nanos) } else { time.0.saturating_sub(nanos) })
}

/// The step that comes nearest to so many nanoseconds.
pub const fn step_code(nanos: i64) -> u8 {
    match nanos {
        0 => 0x80,
        nanos => nanos.unsigned_abs().ilog2() as u8 | if nanos < 0 { 0x40 } else { 0 },
    }
}

/// A frame of a list.
#[derive(Clone, Copy, Debug)]
pub enum Frame<'a> {
    /// A captured packet.
    Packet(Packet<'a>),
    /// A dnstap frame.
    Dnstap(DnstapFrame<'a>),
}

/// A list of frames: each is its link type (2 octets, [`DNSTAP`] for dnstap), the step of time since the one before it,
/// how many octets the snap length cut off (1 octet), its length (2 octets) and itself.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    input: Input<'a>,
    time: Timestamp,
    dnstap_time: Timestamp,
}

impl<'a> Frames<'a> {
    /// The frames that `octets` stand for.
    pub const fn new(octets: &'a [u8]) -> Self {
        Self { input: Input::new(octets), time: START, dnstap_time: START }
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    fn next(&mut self) -> Option<Frame<'a>> {
        if self.input.is_empty() {
            return None;
        }
        let link_type = self.input.u16();
        let code = self.input.octet();
        self.time = step(self.time, code);
        let missing = u32::from(self.input.octet());
        let length = usize::from(self.input.u16());
        let data = self.input.take(length);
        Some(if link_type == DNSTAP {
            let frame = DnstapFrame::parse(data, self.dnstap_time);
            self.dnstap_time = frame.time;
            Frame::Dnstap(frame)
        } else {
            let wire_len = data.len() as u32 + missing;
            Frame::Packet(Packet {
                time: self.time,
                time_known: true,
                link_type: LinkType(link_type),
                data,
                wire_len,
            })
        })
    }
}

/// Writes a frame as [`Frames`] reads it.
pub fn write_frame(list: &mut Vec<u8>, link_type: u16, nanos: i64, missing: u8, data: &[u8]) {
    list.extend(link_type.to_be_bytes());
    list.extend([step_code(nanos), missing]);
    list.extend((data.len() as u16).to_be_bytes());
    list.extend(data);
}
