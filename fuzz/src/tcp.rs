//! Any octets as segments of a few connections.

use lowtide_decode::tcp::{StreamLimits, StreamMessage, Streams};
use lowtide_decode::{Tcp, TcpFlags};
use lowtide_proto::Endpoint;

use crate::input::{Input, START, step};

/// What the first octet of a segment says beside SYN, FIN and RST, which stand where TCP has them.
pub mod is {
    /// From the server.
    pub const RESPONSE: u8 = 0x08;
    /// The sequence number follows (4 octets), else its distance from the end of the segment before it (1 octet).
    pub const ABSOLUTE: u8 = 0x10;
    /// A step of time follows (1 octet); else it is 10 µs.
    pub const LATER: u8 = 0x20;
    /// How many octets the snap length cut off follows (2 octets).
    pub const CUT: u8 = 0x40;
    /// Of which client follows (1 octet); else of the one before it.
    pub const CLIENT: u8 = 0x80;
}

/// The server of all connections.
const SERVER: Endpoint = Endpoint::v4([192, 0, 2, 53], 53);

fn client(number: u8) -> Endpoint {
    Endpoint::v4([198, 51, 100, number], 1024 + u16::from(number))
}

/// The first octet chooses the limits: a bit for each that is small.
fn limits(choice: u8) -> StreamLimits {
    let all = StreamLimits::default();
    let choose = |bit: u8, small: usize, large: usize| if choice & bit == 0 { large } else { small };
    StreamLimits {
        max_flows: choose(1, 3, all.max_flows),
        max_bytes: choose(2, 4_000, all.max_bytes),
        max_held_bytes: choose(4, 700, all.max_held_bytes),
        max_held_segments: choose(8, 4, all.max_held_segments),
        ..all
    }
}

/// Limits hold after every segment; every octet ends in one counter; no message is longer than it says.
pub fn holds(octets: &[u8]) {
    let mut input = Input::new(octets);
    let limits = limits(input.octet());
    let mut streams = Streams::new(limits);
    let mut seen = Counted::default();
    let (mut time, mut number) = (START, 0);
    // Where each direction of each client's connection goes on.
    let mut next = [[0_u32; 2]; 256];
    let (mut payload_octets, mut segments) = (0, 0);
    while !input.is_empty() {
        let kind = input.octet();
        if kind & is::CLIENT != 0 {
            number = input.octet();
        }
        time = if kind & is::LATER != 0 { step(time, input.octet()) } else { step(time, 13) };
        let from_server = kind & is::RESPONSE != 0;
        let next = &mut next[usize::from(number)][usize::from(from_server)];
        let sequence = if kind & is::ABSOLUTE != 0 {
            input.u32()
        } else {
            next.wrapping_add_signed(i32::from(input.octet() as i8))
        };
        let missing = if kind & is::CUT != 0 { u32::from(input.u16()) } else { 0 };
        let length = usize::from(input.u16());
        let payload = input.take(length);
        let flags = TcpFlags::from_bits_truncate(kind & 0x07) | TcpFlags::ACK;
        let wire_len = payload.len() as u32 + missing;
        let syn = u32::from(flags.contains(TcpFlags::SYN));
        *next = sequence.wrapping_add(syn).wrapping_add(wire_len);
        let (source, destination) =
            if from_server { (SERVER, client(number)) } else { (client(number), SERVER) };
        let segment = Tcp { source, destination, sequence, flags, payload, wire_len };
        segments += 1;
        payload_octets += payload.len() as u64;
        streams.segment(time, &segment, &mut |message| seen.take(&message));
        assert!(streams.flows() <= limits.max_flows);
        assert!(streams.buffered_bytes() <= limits.max_bytes);
        assert!(streams.spare_bytes() <= 3 << 20);
    }
    streams.finish(&mut |message| seen.take(&message));
    let counters = streams.counters();
    assert_eq!((streams.flows(), streams.buffered_bytes()), (0, 0));
    assert_eq!(counters.segments, segments);
    assert_eq!(counters.payload_octets, payload_octets);
    assert_eq!(
        counters.payload_octets,
        counters.message_octets
            + counters.retransmitted_octets
            + counters.overlapping_octets
            + counters.skipped_octets,
        "{counters:?}"
    );
    assert_eq!(
        seen,
        Counted { messages: counters.messages, cut: counters.messages_cut, octets: counters.message_octets }
    );
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    messages: u64,
    cut: u64,
    octets: u64,
}

impl Counted {
    fn take(&mut self, message: &StreamMessage<'_>) {
        assert!(message.octets.len() >= 12);
        assert!(message.octets.len() <= message.wire_len as usize && message.wire_len <= 65_535);
        assert_eq!(message.cut, message.octets.len() < message.wire_len as usize);
        assert!((message.source == SERVER) != (message.destination == SERVER));
        self.messages += 1;
        self.cut += u64::from(message.cut);
        self.octets += 2 + message.octets.len() as u64;
    }
}
