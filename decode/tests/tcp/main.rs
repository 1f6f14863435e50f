//! TCP stream reassembly through its public interface. The truth is what the tests put into the segments.

#[cfg(test)]
mod cases;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod properties;

use lowtide_decode::tcp::{StreamLimits, Streams};
use lowtide_decode::{Tcp, TcpFlags};
use lowtide_proto::{Endpoint, Timestamp};

/// A message that came out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Out {
    time: u64,
    source: Endpoint,
    octets: Vec<u8>,
    wire_len: u32,
    cut: bool,
}

/// Streams with a clock that moves 10 µs a segment, and all that came out of them.
struct Bench {
    streams: Streams,
    now: u64,
    out: Vec<Out>,
    /// The most octets that were buffered.
    peak: usize,
}

const NONE: TcpFlags = TcpFlags::ACK;
const SYN: TcpFlags = TcpFlags::SYN;
const FIN: TcpFlags = TcpFlags::FIN;
const RST: TcpFlags = TcpFlags::RST;

fn client(n: u32) -> Endpoint {
    let [a, b, c, d] = n.to_be_bytes();
    Endpoint::v4([10, b, c, d], 1024 + u16::from(a))
}

fn server() -> Endpoint {
    Endpoint::v4([192, 0, 2, 53], 53)
}

impl Bench {
    fn new() -> Self {
        Self::with(StreamLimits::default())
    }

    fn with(limits: StreamLimits) -> Self {
        Self { streams: Streams::new(limits), now: 1_000_000_000_000, out: Vec::new(), peak: 0 }
    }

    fn put(
        &mut self,
        from: Endpoint,
        to: Endpoint,
        sequence: u32,
        flags: TcpFlags,
        payload: &[u8],
        wire_len: usize,
    ) {
        self.now += 10_000;
        let segment =
            Tcp { source: from, destination: to, sequence, flags, payload, wire_len: wire_len as u32 };
        let Self { streams, now, out, peak } = self;
        streams.segment(Timestamp(*now), &segment, &mut |message| {
            out.push(Out {
                time: message.time.0,
                source: message.source,
                octets: message.octets.to_vec(),
                wire_len: message.wire_len,
                cut: message.cut,
            });
        });
        *peak = (*peak).max(streams.buffered_bytes());
    }

    /// A segment from client 0 to the server.
    fn query(&mut self, sequence: u32, flags: TcpFlags, payload: &[u8]) {
        self.put(client(0), server(), sequence, flags, payload, payload.len());
    }

    fn counter(&self, name: &str) -> u64 {
        self.streams.counters().iter().find(|counter| counter.0 == name).map_or(u64::MAX, |counter| counter.1)
    }

    /// Ends the streams; every payload octet must be accounted for.
    fn finish(&mut self) -> Vec<Out> {
        let Self { streams, out, .. } = self;
        streams.finish(&mut |message| {
            out.push(Out {
                time: message.time.0,
                source: message.source,
                octets: message.octets.to_vec(),
                wire_len: message.wire_len,
                cut: message.cut,
            });
        });
        let c = streams.counters();
        assert_eq!(
            c.payload_octets,
            c.message_octets + c.retransmitted_octets + c.overlapping_octets + c.skipped_octets,
            "{c:?}"
        );
        assert_eq!(c.messages, out.len() as u64);
        assert_eq!(c.messages_cut, out.iter().filter(|out| out.cut).count() as u64);
        assert_eq!((streams.flows(), streams.buffered_bytes()), (0, 0));
        assert!(streams.spare_bytes() <= (2 << 20) + 100 * c.flows as usize);
        std::mem::take(out)
    }
}

/// A query for `name`.A with this id.
fn query(id: u16, name: &[u8]) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    message.push(name.len() as u8);
    message.extend(name);
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// An authoritative answer with so many A records.
fn answer(id: u16, name: &[u8], records: u16) -> Vec<u8> {
    let mut message = query(id, name);
    for (octet, value) in
        message.iter_mut().skip(2).zip([0x84, 0, 0, 1].into_iter().chain(records.to_be_bytes()))
    {
        *octet = value;
    }
    for n in 0..records {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0]);
        message.extend(n.to_be_bytes());
    }
    message
}

/// Messages with their prefixes, one after the other.
fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
    messages
        .iter()
        .flat_map(|message| [&(message.len() as u16).to_be_bytes()[..], message].concat())
        .collect()
}

/// SplitMix64, for reproducible cases.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}
