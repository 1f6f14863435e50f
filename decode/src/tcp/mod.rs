//! DNS over TCP: segments of port 53 to length-prefixed messages (RFC 1035 §4.2.2, RFC 7766).
//!
//! Each direction of a connection is a flow of its own: both, or only one of them, may have been captured. A flow
//! costs 80 octets. A segment that comes in order and holds whole messages is read where it lies; only what is
//! split, or comes before its time, is copied, into buffers that are used again, under one budget.
//!
//! What can be known and what cannot:
//! - The first octet of a connection is known when its SYN was captured. A SYN alone opens no flow: its sequence
//!   number waits in a cache of fixed size, so that half-open connections cost nothing.
//! - A capture that starts in mid-stream, or loses segments, does not say where a message begins. Then only the start
//!   of a segment is tried, and only what reads as DNS there is believed; octets before it are skipped and counted.
//!   The same test keeps TLS, HTTP and port scans on port 53 from being read as messages.
//! - A gap is lost when it stays open for longer than [`StreamLimits::gap_timeout`], or when too much waits behind it.
//!   A gap, like octets cut off by the snap length, that ends inside a message whose length is known does not cost
//!   the rest of the flow.
//! - Of octets that come twice the first copy is kept, as most receivers do.
//!
//! Every payload octet that comes in ends in exactly one counter of [`StreamCounters`].

mod buffers;
mod counters;
mod flow;
mod plausible;
mod syn;
mod table;

use lowtide_proto::{Endpoint, Timestamp};

pub use counters::StreamCounters;

use crate::{Tcp, TcpFlags};
use buffers::Buffers;
use flow::{Flow, Framer, Framing};
use syn::SynCache;
use table::FlowTable;

/// Sequence numbers farther than this from the expected one belong to another connection, or to none.
const WINDOW: u32 = 1 << 22;

/// A closed flow is remembered for so long, so that a retransmission of its last segment is known as one.
const LINGER_NANOS: u64 = 10_000_000_000;

/// How many places are looked at to find the one that is given up.
const SAMPLE: usize = 8;

/// How many places per segment are looked at for what has timed out.
const TENDED: usize = 2;

/// What the streams may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Flows, one per direction, that are remembered at once.
    pub max_flows: usize,
    /// Octets buffered over all flows: messages in parts and segments behind a gap, with what it costs to keep them.
    pub max_bytes: usize,
    /// Octets that may wait behind the gap of one flow.
    pub max_held_bytes: usize,
    /// Segments that may wait behind the gap of one flow.
    pub max_held_segments: usize,
    /// Nanoseconds of traffic time for which a gap stays open. Longer than a sender takes to send again (RFC 6298).
    pub gap_timeout: u64,
    /// Nanoseconds of traffic time without a segment after which a flow is forgotten.
    pub idle_timeout: u64,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            max_flows: 65_536,
            max_bytes: 64 << 20,
            max_held_bytes: 512 << 10,
            max_held_segments: 256,
            gap_timeout: 1_000_000_000,
            idle_timeout: 60_000_000_000,
        }
    }
}

/// A message taken from a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamMessage<'a> {
    /// When the last of its octets was captured.
    pub time: Timestamp,
    /// Where it came from.
    pub source: Endpoint,
    /// Where it went.
    pub destination: Endpoint,
    /// The message without its length prefix: 12 octets at least, fewer than `wire_len` when it is cut.
    pub octets: &'a [u8],
    /// Its length as the prefix says it.
    pub wire_len: u32,
    /// Whether its end is missing: cut off by the snap length, lost, or not yet sent when the capture ended.
    pub cut: bool,
}

/// The streams of one source of packets.
pub struct Streams {
    limits: StreamLimits,
    flows: FlowTable,
    buffers: Buffers,
    syns: SynCache,
    counters: StreamCounters,
}

impl Streams {
    /// No streams yet, with these limits.
    pub fn new(limits: StreamLimits) -> Self {
        Self {
            limits,
            flows: FlowTable::new(limits.max_flows.max(1)),
            buffers: Buffers::new(),
            syns: SynCache::new(),
            counters: StreamCounters::default(),
        }
    }

    /// What happened so far.
    pub const fn counters(&self) -> &StreamCounters {
        &self.counters
    }

    /// Octets allocated now for messages in parts and segments behind gaps; never more than
    /// [`StreamLimits::max_bytes`] between two calls.
    pub fn buffered_bytes(&self) -> usize {
        self.buffers.bytes_in_use()
    }

    /// Octets allocated for the next buffers: at most 2 MiB, and about 100 octets for each flow that buffered
    /// something when most others did.
    pub fn spare_bytes(&self) -> usize {
        self.buffers.bytes_spare()
    }

    /// Flows that are remembered now.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Takes the next segment; `on_message` gets each message that it completes.
    pub fn segment(
        &mut self,
        time: Timestamp,
        segment: &Tcp<'_>,
        on_message: &mut impl FnMut(StreamMessage<'_>),
    ) {
        self.counters.segments += 1;
        self.tend(time, on_message);
        let payload = usize::try_from(segment.wire_len)
            .ok()
            .and_then(|wire_len| segment.payload.get(..wire_len))
            .unwrap_or(segment.payload);
        let syn = segment.flags.contains(TcpFlags::SYN);
        if segment.wire_len == 0 && !segment.flags.intersects(TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST) {
            return;
        }
        self.counters.payload_octets += payload.len() as u64;

        // The SYN takes the sequence number before the first octet.
        let first = segment.sequence.wrapping_add(u32::from(syn));
        let key = (segment.source, segment.destination);
        let slot = match self.flows.find(key) {
            Some(slot) => slot,
            None if segment.wire_len == 0 => {
                if syn {
                    self.syns.remember(key, first);
                }
                return;
            }
            None => {
                let start = if syn { Some(first) } else { self.syns.take(key, first) };
                self.make_room(on_message);
                self.counters.flows += 1;
                self.flows.insert(key, Flow::new(key, start, first, time))
            }
        };
        let Some(flow) = self.flows.get_mut(slot) else { return };
        let mut framer = Framer {
            slot,
            flow,
            buffers: &mut self.buffers,
            counters: &mut self.counters,
            limits: &self.limits,
            on_message,
        };
        framer.flow.last = time;
        if syn && framer.flow.start != first {
            framer.restart(Framing::Start, first);
        }
        if segment.flags.contains(TcpFlags::RST) {
            // Text in a RST says why, and is not part of the stream (RFC 9293 §3.10.7.4).
            framer.counters.skipped_octets += payload.len() as u64;
            if framer.flow.distance(first).unsigned_abs() <= WINDOW {
                framer.close();
            }
            return;
        }
        if segment.wire_len > 0 {
            framer.segment(first, payload, segment.wire_len, time);
        }
        if segment.flags.contains(TcpFlags::FIN) && first.wrapping_add(segment.wire_len) == framer.flow.next {
            framer.close();
        }
        self.keep_budget(on_message);
    }

    /// Gives up what has waited for too long at `time`. Each segment does so for a few flows; a source that may be
    /// silent for long calls it with the time of its other packets.
    pub fn tend(&mut self, time: Timestamp, on_message: &mut impl FnMut(StreamMessage<'_>)) {
        for _ in 0..TENDED {
            if let Some(slot) = self.flows.next_place()
                && let Some(flow) = self.flows.get_mut(slot)
            {
                let timeout = if flow.closed { LINGER_NANOS } else { self.limits.idle_timeout };
                // A clock that was set back leaves times in the future: these flows are stale as well.
                if time.0.abs_diff(flow.last.0) > timeout {
                    self.counters.flows_idle += u64::from(!flow.closed);
                    self.remove(slot, on_message);
                }
            }
            if let Some(slot) = self.buffers.next_flow()
                && let Some(mut framer) = self.framer(slot, on_message)
            {
                framer.give_up_gaps(time);
            }
        }
        self.keep_budget(on_message);
    }

    /// Ends all streams: what is complete behind gaps, and the readable start of what is not, is delivered.
    pub fn finish(&mut self, on_message: &mut impl FnMut(StreamMessage<'_>)) {
        for _ in 0..self.flows.places() {
            if let Some(slot) = self.flows.next_place() {
                self.remove(slot, on_message);
            }
        }
    }

    fn framer<'s, F: FnMut(StreamMessage<'_>)>(
        &'s mut self,
        slot: u32,
        on_message: &'s mut F,
    ) -> Option<Framer<'s, F>> {
        Some(Framer {
            slot,
            flow: self.flows.get_mut(slot)?,
            buffers: &mut self.buffers,
            counters: &mut self.counters,
            limits: &self.limits,
            on_message,
        })
    }

    fn remove(&mut self, slot: u32, on_message: &mut impl FnMut(StreamMessage<'_>)) {
        if let Some(mut framer) = self.framer(slot, on_message) {
            framer.give_up();
        }
        self.flows.remove(slot);
    }

    /// Makes room for one more flow: of a few, a closed one goes, or else the one that was silent for longest.
    fn make_room(&mut self, on_message: &mut impl FnMut(StreamMessage<'_>)) {
        while self.flows.is_full() {
            let mut victim = None;
            for _ in 0..SAMPLE {
                let Some(slot) = self.flows.next_place() else { continue };
                let Some(flow) = self.flows.get_mut(slot) else { continue };
                let rank = (!flow.closed, flow.last, slot);
                victim = Some(victim.map_or(rank, |best: (bool, Timestamp, u32)| best.min(rank)));
            }
            if let Some((open, _, slot)) = victim {
                self.counters.flows_evicted += u64::from(open);
                self.remove(slot, on_message);
            }
        }
    }

    /// Keeps the byte budget: of a few flows, the one that was silent for longest loses its buffers.
    fn keep_budget(&mut self, on_message: &mut impl FnMut(StreamMessage<'_>)) {
        while self.buffers.bytes_in_use() > self.limits.max_bytes {
            let mut victim = None;
            for _ in 0..SAMPLE {
                let Some(slot) = self.buffers.next_flow() else { continue };
                let Some(flow) = self.flows.get_mut(slot) else { continue };
                let rank = (flow.last, slot);
                victim = Some(victim.map_or(rank, |best: (Timestamp, u32)| best.min(rank)));
            }
            if let Some((_, slot)) = victim
                && let Some(mut framer) = self.framer(slot, on_message)
            {
                framer.counters.buffers_evicted += 1;
                framer.give_up();
            }
        }
    }
}
