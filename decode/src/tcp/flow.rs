//! One direction of a connection: sequence numbers to octets in order, octets to messages.

use lowtide_proto::{Cursor, Endpoint, Timestamp};

use super::buffers::{Buffers, NONE, Segment};
use super::plausible::{Verdict, find_messages, judge};
use super::{StreamCounters, StreamLimits, StreamMessage, WINDOW};
use crate::dns::HEADER;

/// Octets of the length prefix (RFC 1035 §4.2.2).
const PREFIX: usize = 2;

/// What is known of the octet that is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// It is the first one of the connection, or belongs to the first message; nothing proves yet that it is DNS.
    Start,
    /// Nothing: a message may start where a segment starts.
    Search,
    /// It belongs to a message, or starts one.
    Messages,
}

/// The state of a flow.
pub(super) struct Flow {
    /// Source and destination.
    pub key: (Endpoint, Endpoint),
    /// When its last segment was captured.
    pub last: Timestamp,
    /// Number of its first octet, as far as that was seen.
    pub start: u32,
    /// Number of the octet that is read next.
    pub next: u32,
    /// Octets to pass over before the next message starts.
    skip: u32,
    /// Its place in the buffers.
    buffer: u32,
    framing: Framing,
    /// Whether FIN or RST was seen.
    pub closed: bool,
}

const _: () = assert!(size_of::<Option<Flow>>() <= 80);

impl Flow {
    /// A flow of which `first` is the first octet seen, and `start`, if it is known, the first one sent.
    pub fn new(key: (Endpoint, Endpoint), start: Option<u32>, first: u32, time: Timestamp) -> Self {
        let (framing, first) = start.map_or((Framing::Search, first), |start| (Framing::Start, start));
        Self { key, last: time, start: first, next: first, skip: 0, buffer: NONE, framing, closed: false }
    }

    /// How far ahead of the next octet that with the number `sequence` is.
    #[inline]
    pub fn distance(&self, sequence: u32) -> i32 {
        sequence.wrapping_sub(self.next) as i32
    }
}

/// A flow with all that it needs to go on.
pub(super) struct Framer<'s, F> {
    pub slot: u32,
    pub flow: &'s mut Flow,
    pub buffers: &'s mut Buffers,
    pub counters: &'s mut StreamCounters,
    pub limits: &'s StreamLimits,
    pub on_message: &'s mut F,
}

impl<F: FnMut(StreamMessage<'_>)> Framer<'_, F> {
    /// Takes a segment with payload.
    #[inline]
    pub fn segment(&mut self, first: u32, payload: &[u8], wire_len: u32, time: Timestamp) {
        let mut distance = self.flow.distance(first);
        if distance.unsigned_abs() > WINDOW || (self.flow.closed && distance > 0) {
            self.restart(Framing::Search, first);
            distance = 0;
        }
        let mut segment = Segment { octets: payload, wire_len, time };
        if distance < 0 {
            let seen = distance.unsigned_abs().min(wire_len);
            let (known, rest) = segment.octets.split_at(segment.octets.len().min(seen as usize));
            self.counters.retransmitted_octets += known.len() as u64;
            segment.octets = rest;
            segment.wire_len -= seen;
            if segment.wire_len == 0 {
                return;
            }
        }
        if distance <= 0 && !self.buffers.holds(self.flow.buffer) {
            self.read(segment);
        } else {
            self.out_of_order(distance.max(0).unsigned_abs(), segment);
        }
        self.buffers.release(&mut self.flow.buffer);
    }

    /// Forgets all but the addresses: another connection starts at `first`.
    pub fn restart(&mut self, framing: Framing, first: u32) {
        self.give_up();
        self.counters.flows_restarted += 1;
        let (key, last, buffer) = (self.flow.key, self.flow.last, self.flow.buffer);
        *self.flow = Flow { framing, buffer, ..Flow::new(key, None, first, last) };
    }

    /// The sender ended the stream.
    pub fn close(&mut self) {
        self.give_up();
        self.flow.closed = true;
    }

    /// Empties the buffers: declares gaps lost and delivers the start of an incomplete message. The rest of that is
    /// passed over if it still comes.
    pub fn give_up(&mut self) {
        while self.give_up_gap() {}
        self.hole(0);
        self.buffers.release(&mut self.flow.buffer);
    }

    /// Declares gaps lost that are open for too long at `now`.
    pub fn give_up_gaps(&mut self, now: Timestamp) {
        while let Some((_, since)) = self.buffers.first_held(self.flow.buffer)
            && now.0.abs_diff(since.0) > self.limits.gap_timeout
        {
            self.give_up_gap();
        }
        self.buffers.release(&mut self.flow.buffer);
    }

    #[cold]
    fn out_of_order(&mut self, ahead: u32, segment: Segment<'_>) {
        self.counters.out_of_order_segments += u64::from(ahead > 0);
        let Self { flow, buffers, .. } = self;
        self.counters.overlapping_octets +=
            buffers.hold(&mut flow.buffer, self.slot, flow.next, ahead, segment);
        self.read_held();
        loop {
            let (segments, octets) = self.buffers.held(self.flow.buffer);
            if segments <= self.limits.max_held_segments && octets <= self.limits.max_held_bytes {
                break;
            }
            self.give_up_gap();
        }
        self.give_up_gaps(segment.time);
    }

    /// Reads the segments that follow now.
    fn read_held(&mut self) {
        while let Some(held) = self.buffers.take_held(self.flow.buffer, self.flow.next) {
            self.read(Segment { octets: &held.octets, wire_len: held.wire_len, time: held.time });
            self.buffers.give(held.octets);
        }
    }

    /// Declares the first gap lost and reads what is behind it; false when there is none.
    fn give_up_gap(&mut self) -> bool {
        let Some((sequence, _)) = self.buffers.first_held(self.flow.buffer) else { return false };
        let lost = sequence.wrapping_sub(self.flow.next);
        self.counters.gaps += 1;
        self.counters.lost_octets += u64::from(lost);
        self.hole(lost);
        self.flow.next = sequence;
        self.read_held();
        true
    }

    /// Reads the octets of a segment, or of a part of one, that is next.
    #[inline]
    fn read(&mut self, segment: Segment<'_>) {
        let Segment { mut octets, wire_len, time } = segment;
        self.flow.next = self.flow.next.wrapping_add(wire_len);
        let missing = wire_len.saturating_sub(octets.len() as u32);
        if self.flow.skip > 0 {
            octets = self.pass(octets);
        }
        if self.flow.framing != Framing::Messages {
            octets = self.search(octets, wire_len, time);
        } else if self.flow.buffer != NONE {
            octets = self.complete(octets, time);
        }
        self.messages(octets, time);
        if missing > 0 {
            self.counters.snapped_octets += u64::from(missing);
            self.hole(missing);
        }
    }

    /// Passes over octets that belong to no message; returns the others.
    fn pass<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        let (passed, rest) = octets.split_at(octets.len().min(self.flow.skip as usize));
        self.flow.skip -= passed.len() as u32;
        self.counters.skipped_octets += passed.len() as u64;
        rest
    }

    /// Looks for the start of a message where a segment of `wire_len` octets starts; returns the octets from there.
    fn search<'a>(&mut self, octets: &'a [u8], wire_len: u32, time: Timestamp) -> &'a [u8] {
        let known_start = self.flow.framing == Framing::Start;
        let kept = self.buffers.assembly(self.flow.buffer).len();
        if kept > 0 {
            // Prefix and message were sent apart, or the header in parts.
            self.buffers.append(&mut self.flow.buffer, self.slot, octets, time);
            let together = self.buffers.assembly(self.flow.buffer);
            match judge(together, kept as u64 + u64::from(wire_len), known_start) {
                Verdict::Open => return &[],
                Verdict::Message => {
                    self.found();
                    let (together, time) = self.buffers.take_assembly(self.flow.buffer);
                    self.messages(&together, time);
                    self.buffers.give_assembly(self.flow.buffer, together);
                    return &[];
                }
                Verdict::Other => {
                    self.drop_assembly();
                    self.counters.skipped_octets -= octets.len() as u64;
                    self.flow.framing = Framing::Search;
                }
            }
        }
        match judge(octets, u64::from(wire_len), known_start && kept == 0) {
            Verdict::Message => {
                self.found();
                return octets;
            }
            Verdict::Open => self.buffers.append(&mut self.flow.buffer, self.slot, octets, time),
            Verdict::Other => {
                self.flow.framing = Framing::Search;
                let start = if known_start { None } else { find_messages(octets) };
                self.counters.skipped_octets += start.unwrap_or(octets.len()) as u64;
                if let Some(messages) = start.and_then(|start| octets.get(start..)) {
                    self.found();
                    return messages;
                }
            }
        }
        &[]
    }

    fn found(&mut self) {
        self.counters.resyncs += u64::from(self.flow.framing == Framing::Search);
        self.flow.framing = Framing::Messages;
    }

    /// Adds octets to the message in parts until it is whole; returns the others.
    fn complete<'a>(&mut self, octets: &'a [u8], time: Timestamp) -> &'a [u8] {
        let kept = self.buffers.assembly(self.flow.buffer);
        if kept.is_empty() {
            return octets;
        }
        let mut cursor = Cursor::new(octets);
        let len = match (kept, cursor) {
            ([high], mut first) => match first.u8() {
                Ok(low) => u16::from_be_bytes([*high, low]),
                Err(_) => return octets,
            },
            ([high, low, ..], _) => u16::from_be_bytes([*high, *low]),
            ([], _) => return octets,
        };
        let wanted = (PREFIX + usize::from(len)).saturating_sub(kept.len());
        let added = cursor.take(wanted.min(cursor.len())).unwrap_or_default();
        if usize::from(len) < HEADER {
            self.drop_assembly();
            self.counters.messages_short += 1;
            self.counters.skipped_octets += added.len() as u64;
            self.flow.skip = (wanted - added.len()) as u32;
            return cursor.rest();
        }
        self.buffers.append(&mut self.flow.buffer, self.slot, added, time);
        if added.len() == wanted {
            let (framed, time) = self.buffers.take_assembly(self.flow.buffer);
            self.deliver(framed.get(PREFIX..).unwrap_or_default(), len, time);
            self.buffers.give_assembly(self.flow.buffer, framed);
        }
        cursor.rest()
    }

    /// Delivers the whole messages in `octets`, which start with a prefix, and keeps the rest.
    #[inline]
    fn messages(&mut self, octets: &[u8], time: Timestamp) {
        let mut cursor = Cursor::new(octets);
        while !cursor.is_empty() {
            let framed = cursor;
            let Ok(len) = cursor.u16_be() else { return self.keep(framed, time) };
            if usize::from(len) < HEADER {
                self.counters.messages_short += 1;
                self.counters.skipped_octets += PREFIX as u64;
                self.flow.skip = u32::from(len);
                cursor = Cursor::new(self.pass(cursor.rest()));
                continue;
            }
            match cursor.take(usize::from(len)) {
                Ok(message) => self.deliver(message, len, time),
                Err(_) => return self.keep(framed, time),
            }
        }
    }

    #[cold]
    fn keep(&mut self, octets: Cursor<'_>, time: Timestamp) {
        self.buffers.append(&mut self.flow.buffer, self.slot, octets.rest(), time);
    }

    /// `missing` octets will not come. What there is of a message is delivered, and the search starts anew when
    /// where the next one starts is among them.
    #[cold]
    fn hole(&mut self, missing: u32) {
        let (framed, time) = self.buffers.take_assembly(self.flow.buffer);
        let mut cursor = Cursor::new(&framed);
        if let Ok(len) = cursor.u16_be()
            && (self.flow.framing == Framing::Messages || cursor.len() >= HEADER)
        {
            // In a search, a header without its question is all that there will be; nothing speaks against it.
            self.found();
            if cursor.len() >= HEADER {
                self.deliver(cursor.rest(), len, time);
            } else {
                self.counters.skipped_octets += framed.len() as u64;
            }
            self.flow.skip = u32::from(len).saturating_sub(cursor.len() as u32);
        } else if !framed.is_empty() {
            self.counters.skipped_octets += framed.len() as u64;
            self.flow.framing = Framing::Search;
        }
        self.buffers.give_assembly(self.flow.buffer, framed);
        match self.flow.skip.checked_sub(missing) {
            Some(left) => self.flow.skip = left,
            None => {
                self.flow.skip = 0;
                self.flow.framing = Framing::Search;
            }
        }
    }

    /// Throws away the message in parts.
    fn drop_assembly(&mut self) {
        let (octets, _) = self.buffers.take_assembly(self.flow.buffer);
        self.counters.skipped_octets += octets.len() as u64;
        self.buffers.give_assembly(self.flow.buffer, octets);
    }

    #[inline]
    fn deliver(&mut self, octets: &[u8], len: u16, time: Timestamp) {
        let cut = octets.len() < usize::from(len);
        self.counters.messages += 1;
        self.counters.message_octets += (PREFIX + octets.len()) as u64;
        self.counters.messages_cut += u64::from(cut);
        let (source, destination) = self.flow.key;
        (self.on_message)(StreamMessage { time, source, destination, octets, wire_len: u32::from(len), cut });
    }
}
