//! dnstap frames in memory, framed as a socket takes them, and stamped with the time at which they are sent.
//!
//! Frames of a file are old, and a sensor that watches live would rightly take them for a backlog. So the places of all times
//! are looked up once, and each block is stamped just before it is sent: its frames keep their order and, at the scale of the
//! rate at which they are sent, their distances. What a response says of its latency scales with them. No block is of a time that is
//! far from the clock's, however long frames are sent: else a sensor would rightly keep what it counts until that time comes.

use std::io;
use std::ops::Range;
use std::path::Path;

use lowtide_capture::{CaptureFile, Record};
use lowtide_proto::dnstap::{Dnstap, Message};
use lowtide_proto::{Cursor, Endpoint, Short};
use prost::Message as _;

use crate::{Traffic, clock, message};

/// The dnstap of a million messages that lies beside some checkouts of the project.
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/load/dnstap-1m.dnstap.zst");

/// Octets of a block, about: what one write gives the socket.
const BLOCK: usize = 64 << 10;

const NANOS: u64 = 1_000_000_000;

/// How far a block may be from the time at which it is taken, nanoseconds: frames of two blocks are out of order by no more.
const ASTRAY: u64 = 50_000_000;

/// Frames in memory.
#[derive(Clone, Debug)]
pub struct Frames {
    octets: Vec<u8>,
    blocks: Vec<Block>,
    stamps: Vec<Stamp>,
    /// Frames.
    pub count: u64,
    /// Where they come from, for people.
    pub origin: String,
    /// The earliest and the latest time, as recorded.
    span: Option<(u64, u64)>,
}

#[derive(Clone, Debug, Default)]
struct Block {
    octets: Range<usize>,
    stamps: Range<usize>,
    frames: u64,
}

/// A time in a frame.
#[derive(Clone, Copy, Debug)]
struct Stamp {
    /// Where the five octets of the seconds' varint are.
    seconds: usize,
    /// Where the four octets of the nanoseconds are.
    nanos: usize,
    /// Nanoseconds since 1970, as recorded.
    time: u64,
}

impl Frames {
    /// The frames of a file, or of the one that lies beside the project, or made up; at most so many.
    ///
    /// # Errors
    /// The file cannot be read, or is not dnstap.
    pub fn load(file: Option<&Path>, generate: bool, most: u64) -> io::Result<Self> {
        let shared = Path::new(SHARED);
        match file {
            Some(path) => Self::read(path, most),
            None if shared.exists() && !generate => Self::read(shared, most),
            None => Ok(Self::make(most)),
        }
    }

    fn new(origin: String) -> Self {
        Self {
            octets: Vec::new(),
            blocks: vec![Block::default()],
            stamps: Vec::new(),
            count: 0,
            origin,
            span: None,
        }
    }

    fn read(path: &Path, most: u64) -> io::Result<Self> {
        let name = path.file_name().unwrap_or(path.as_os_str()).display().to_string();
        let mut frames = Self::new(name);
        let mut file = CaptureFile::open(path).map_err(io::Error::other)?;
        while frames.count < most
            && let Some(record) = file.next().map_err(io::Error::other)?
        {
            let Record::Dnstap(frame) = record else {
                return Err(io::Error::other(format!("{}: holds no dnstap", path.display())));
            };
            frames.push(frame.octets);
        }
        Ok(frames)
    }

    fn make(most: u64) -> Self {
        let traffic = Traffic { queries: most.div_ceil(2), names: 80_000, rate: 10_000 };
        let mut frames =
            Self::new(format!("made up: {} exchanges of {} names", traffic.queries, traffic.names));
        let mut octets = Vec::new();
        for exchange in traffic.exchanges() {
            octets.clear();
            message::query(&exchange.question, &mut octets);
            let mut asked = of_server(exchange.client, exchange.server);
            asked.query_time_sec = Some(exchange.asked / NANOS);
            asked.query_time_nsec = Some((exchange.asked % NANOS) as u32);
            asked.query_message = Some(octets.clone());
            frames.push(&envelope(asked));
            if let Some(answer) = exchange.answer {
                octets.clear();
                message::response(&exchange.question, answer, &mut octets);
                let mut answered = of_server(exchange.client, exchange.server);
                answered.r#type = AUTH_RESPONSE;
                answered.response_time_sec = Some(exchange.answered / NANOS);
                answered.response_time_nsec = Some((exchange.answered % NANOS) as u32);
                answered.response_message = Some(octets.clone());
                frames.push(&envelope(answered));
            }
        }
        frames
    }

    fn push(&mut self, payload: &[u8]) {
        if self.blocks.last().is_some_and(|block| block.octets.len() >= BLOCK) {
            let (octets, stamps) = (self.octets.len(), self.stamps.len());
            self.blocks.push(Block { octets: octets..octets, stamps: stamps..stamps, frames: 0 });
        }
        self.octets.extend((payload.len() as u32).to_be_bytes());
        let at = self.octets.len();
        self.octets.extend_from_slice(payload);
        let before = self.stamps.len();
        // A frame without times is sent as it is.
        let _ = find_stamps(payload, at, &mut self.stamps);
        for stamp in self.stamps.iter().skip(before) {
            let (first, last) = self.span.unwrap_or((stamp.time, stamp.time));
            self.span = Some((first.min(stamp.time), last.max(stamp.time)));
        }
        if let Some(block) = self.blocks.last_mut() {
            block.octets.end = self.octets.len();
            block.stamps.end = self.stamps.len();
            block.frames += 1;
        }
        self.count += 1;
    }

    /// Gives the server that sends them another name: another last character, so that two senders are told apart.
    pub fn rename(&mut self, last: u8) {
        const IDENTITY: u8 = 1 << 3 | 2;
        let mut at = 0;
        while let Some((len, frame)) =
            self.octets.get_mut(at..).and_then(|rest| rest.split_first_chunk_mut::<4>())
        {
            let len = u32::from_be_bytes(*len) as usize;
            at += 4 + len;
            // Servers write the identity first, and short.
            if let Some([IDENTITY, identity, rest @ ..]) = frame.get_mut(..len)
                && let Some(character) = rest.get_mut(usize::from(*identity).saturating_sub(1))
            {
                *character = last;
            }
        }
    }

    /// Octets of all frames with their lengths.
    pub const fn octets(&self) -> usize {
        self.octets.len()
    }

    /// The frames again and again, at the time at which they are taken, as if so many a second came.
    pub fn endless(&mut self, rate: u64) -> Endless<'_> {
        let (first, last) = self.span.unwrap_or_default();
        let takes = self.count as f64 / rate as f64 * NANOS as f64;
        let scale = takes / last.saturating_sub(first).max(1) as f64;
        Endless { scale, recorded: first, stamped: 0, frames: self, at: 0 }
    }
}

/// Frames that never end, block by block.
#[derive(Debug)]
pub struct Endless<'a> {
    frames: &'a mut Frames,
    at: usize,
    /// How much shorter distances are than recorded.
    scale: f64,
    /// A moment as recorded, and what it is stamped as, nanoseconds since 1970.
    recorded: u64,
    /// See [`Self::recorded`].
    stamped: u64,
}

impl Endless<'_> {
    /// The next block and how many frames it has, their times moved to now.
    pub fn next_block(&mut self) -> (&[u8], u64) {
        let block = self.frames.blocks.get(self.at).cloned().unwrap_or_default();
        self.at = (self.at + 1) % self.frames.blocks.len().max(1);
        let stamps = self.frames.stamps.get(block.stamps.clone()).unwrap_or_default();
        let (first, now) = (stamps.first().map_or(0, |stamp| stamp.time), clock::now());
        // A file begins anew, has busy and idle times, and senders are held back.
        if self.moved(first).abs_diff(now) > ASTRAY {
            (self.recorded, self.stamped) = (first, now);
        }
        for stamp in stamps {
            let time = self.moved(stamp.time);
            put(&mut self.frames.octets, stamp, time);
        }
        (self.frames.octets.get(block.octets).unwrap_or_default(), block.frames)
    }

    fn moved(&self, time: u64) -> u64 {
        let distance = (time as f64 - self.recorded as f64) * self.scale;
        self.stamped.saturating_add_signed(distance as i64)
    }
}

/// Writes a time where one is.
fn put(octets: &mut [u8], stamp: &Stamp, time: u64) {
    let seconds = time / NANOS;
    if let Some(field) = octets.get_mut(stamp.seconds..stamp.seconds + VARINT) {
        for (number, octet) in field.iter_mut().enumerate() {
            let more = if number + 1 < VARINT { 0x80 } else { 0 };
            *octet = (seconds >> (7 * number)) as u8 & 0x7f | more;
        }
    }
    if let Some(field) = octets.get_mut(stamp.nanos..stamp.nanos + 4) {
        field.copy_from_slice(&((time % NANOS) as u32).to_le_bytes());
    }
}

/// Octets of the seconds' varint from 1978 to 3058.
const VARINT: usize = 5;

/// Finds the times of a dnstap payload, which begins at `at`; only those that have the length of today's are found.
fn find_stamps(payload: &[u8], at: usize, stamps: &mut Vec<Stamp>) -> Result<(), Short> {
    let mut outer = Cursor::new(payload);
    while !outer.is_empty() {
        let key = varint(&mut outer)?;
        if key != MESSAGE_KEY {
            skip(key, &mut outer)?;
            continue;
        }
        let len = varint(&mut outer)? as usize;
        let end = at + payload.len() - outer.len() + len;
        let mut inner = outer.sub(len)?;
        let mut seconds = None;
        while !inner.is_empty() {
            let key = varint(&mut inner)?;
            let place = end - inner.len();
            match key {
                QUERY_SECONDS | RESPONSE_SECONDS => {
                    let value = varint(&mut inner)?;
                    seconds = (end - inner.len() - place == VARINT).then_some((place, value));
                }
                QUERY_NANOS | RESPONSE_NANOS => {
                    let nanos = u64::from(u32::from_le_bytes(inner.take_array()?));
                    if let Some((seconds, value)) = seconds.take() {
                        stamps.push(Stamp { seconds, nanos: place, time: value * NANOS + nanos });
                    }
                }
                _ => skip(key, &mut inner)?,
            }
        }
    }
    Ok(())
}

// Keys of dnstap.proto: the field's number and its wire type.
const MESSAGE_KEY: u64 = 14 << 3 | 2;
const QUERY_SECONDS: u64 = 8 << 3;
const QUERY_NANOS: u64 = 9 << 3 | 5;
const RESPONSE_SECONDS: u64 = 12 << 3;
const RESPONSE_NANOS: u64 = 13 << 3 | 5;

fn varint(cursor: &mut Cursor<'_>) -> Result<u64, Short> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let octet = cursor.u8()?;
        value |= u64::from(octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            break;
        }
    }
    Ok(value)
}

fn skip(key: u64, cursor: &mut Cursor<'_>) -> Result<(), Short> {
    let len = match key & 7 {
        0 => return varint(cursor).map(drop),
        1 => 8,
        2 => varint(cursor)? as usize,
        5 => 4,
        // Groups are not used; what follows cannot be told.
        _ => cursor.len(),
    };
    cursor.skip(len)
}

const MESSAGE: i32 = 1;
const AUTH_QUERY: i32 = 1;
const AUTH_RESPONSE: i32 = 2;

fn of_server(client: Endpoint, server: Endpoint) -> Message {
    let address = |endpoint: Endpoint| match endpoint.address.to_ipv4_mapped() {
        Some(address) => address.octets().to_vec(),
        None => endpoint.address.octets().to_vec(),
    };
    Message {
        r#type: AUTH_QUERY,
        socket_family: Some(if client.is_ipv4() { 1 } else { 2 }),
        socket_protocol: Some(1),
        query_address: Some(address(client)),
        response_address: Some(address(server)),
        query_port: Some(client.port.into()),
        response_port: Some(server.port.into()),
        ..Message::default()
    }
}

fn envelope(message: Message) -> Vec<u8> {
    let dnstap = Dnstap {
        identity: Some(b"made-up".to_vec()),
        version: None,
        extra: None,
        message: Some(message),
        r#type: MESSAGE,
    };
    dnstap.encode_to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_bear_the_time_at_which_they_are_taken_and_are_else_as_they_were() {
        let mut frames = Frames::make(2_000);
        frames.rename(b'x');
        let originals = frames.octets.clone();
        let before = clock::now();
        let mut endless = frames.endless(100_000);
        // For a minute of traffic, all at once: its last frames bear the clock's time, too.
        for _ in 0..3_000 * endless.frames.blocks.len() {
            endless.next_block();
        }
        let (mut taken, mut octets) = (0, Vec::new());
        while taken < 1_900 {
            let (block, count) = endless.next_block();
            octets.extend_from_slice(block);
            taken += count;
        }
        let mut rest = Cursor::new(&octets);
        let mut original = Cursor::new(&originals);
        let mut frames = 0;
        while !rest.is_empty() {
            let [new, old] = [&mut rest, &mut original].map(|cursor| {
                let len = cursor.u32_be().unwrap() as usize;
                let frame = Dnstap::decode(cursor.take(len).unwrap()).unwrap();
                assert_eq!(frame.identity.unwrap(), b"made-ux");
                frame.message.unwrap()
            });
            let time = |message: &Message| {
                let seconds = message.query_time_sec.or(message.response_time_sec).unwrap();
                let nanos = message.query_time_nsec.or(message.response_time_nsec).unwrap();
                seconds * NANOS + u64::from(nanos)
            };
            // A block spans less than a second at this rate, and latencies are at most half a second's.
            let sent = before - NANOS..clock::now() + NANOS;
            assert!(sent.contains(&time(&new)), "{} is not in {sent:?}", time(&new));
            let timeless = |message: Message| Message {
                query_time_sec: None,
                query_time_nsec: None,
                response_time_sec: None,
                response_time_nsec: None,
                ..message
            };
            assert_eq!(timeless(new), timeless(old));
            frames += 1;
        }
        assert_eq!(frames, taken);
    }
}
