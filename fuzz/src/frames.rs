//! Any octets as a list of frames of any link type, and of dnstap frames.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use lowtide_decode::layers::{FragmentLimits, Layers, Peeled, Stop};
use lowtide_decode::tcp::StreamLimits;
use lowtide_decode::{Decoder, DecoderLimits, Defect, Fate, FrameCounts, Ports, Unit};
use lowtide_proto::{Endpoint, LinkType, Packet};

use crate::input::{Frame, Frames};
use crate::observed::{Observed, Seen};

/// Ethernet's link type.
const ETHERNET: LinkType = LinkType(1);

/// Small enough that a list of a few kilobytes reaches them.
pub fn limits() -> DecoderLimits {
    DecoderLimits {
        fragments: FragmentLimits { octets: 16 << 10, datagrams: 64, ..FragmentLimits::default() },
        streams: StreamLimits { max_flows: 16, max_bytes: 64 << 10, ..StreamLimits::default() },
    }
}

/// Every frame has one fate, which is that of its layers; what is observed holds; etherparse sees the same.
pub fn holds(octets: &[u8]) {
    let mut decoder = Decoder::new(Ports::default(), limits());
    let mut layers = Layers::new(Ports::default(), limits().fragments);
    let mut observed = Observed::default();
    let mut frames = 0;
    for frame in Frames::new(octets) {
        let (before, observed_before) = (decoder.counts().clone(), observed.total());
        match &frame {
            Frame::Packet(packet) => {
                decoder.packet(packet, &mut observed);
                let ended = ended(&before, decoder.counts());
                let new = observed.total() - observed_before;
                let peeled = layers.peel(packet);
                check_against_oracle(packet, &peeled);
                check_fate(packet, &peeled, ended, new, observed.last);
            }
            Frame::Dnstap(frame) => {
                decoder.dnstap(frame, &mut observed);
                let (fate, defect) = ended(&before, decoder.counts());
                let new = observed.total() - observed_before;
                assert_eq!(new, u64::from(fate == Fate::DnstapMessage));
                assert_eq!(frame.view.is_err(), defect == Some(Defect::Dnstap));
            }
        }
        frames += 1;
    }
    decoder.finish(&mut observed);
    assert_eq!(decoder.counts().fates().map(|(_, count)| count).sum::<u64>(), frames);
    let streams = decoder.streams();
    assert_eq!(
        streams.payload_octets,
        streams.message_octets
            + streams.retransmitted_octets
            + streams.overlapping_octets
            + streams.skipped_octets,
        "{streams:?}"
    );
    let pending = decoder.fragments().pending;
    assert!(pending <= limits().fragments.datagrams as u64);
}

/// The fate of the one frame that was counted between two counts, with its defect.
fn ended(before: &FrameCounts, after: &FrameCounts) -> (Fate, Option<Defect>) {
    let fates: Vec<_> = after
        .fates()
        .zip(before.fates())
        .filter(|(after, before)| after != before)
        .inspect(|((_, after), (_, before))| assert_eq!(*after, before + 1))
        .map(|((fate, _), _)| fate)
        .collect();
    let defects: Vec<_> = after
        .defects()
        .zip(before.defects())
        .filter(|(after, before)| after != before)
        .inspect(|((_, after), (_, before))| assert_eq!(*after, before + 1))
        .map(|((defect, _), _)| defect)
        .collect();
    match (&fates[..], &defects[..]) {
        ([Fate::Malformed], [defect]) => (Fate::Malformed, Some(*defect)),
        ([fate], []) if *fate != Fate::Malformed => (*fate, None),
        other => panic!("not one fate: {other:?}"),
    }
}

/// A frame's fate follows from what its layers hold.
fn check_fate(
    packet: &Packet<'_>,
    peeled: &Result<Peeled<'_>, Stop>,
    ended: (Fate, Option<Defect>),
    new: u64,
    last: Option<Seen>,
) {
    let peeled = match peeled {
        Ok(peeled) => peeled,
        Err(stop) => {
            assert_eq!(ended, (stop.fate, stop.defect));
            assert_eq!(new, 0);
            assert!(!matches!(stop.fate, Fate::UdpMessage | Fate::TcpSegment | Fate::DnstapMessage));
            return;
        }
    };
    match peeled.unit {
        Unit::Udp(udp) => {
            let has_header = udp.payload.len() >= 12;
            let cut = udp.payload.len() < udp.wire_len as usize;
            let fate = match (has_header, peeled.reassembled) {
                (_, true) => (Fate::IpFragment, None),
                (true, false) => (Fate::UdpMessage, None),
                (false, false) if cut => (Fate::Truncated, None),
                (false, false) => (Fate::Malformed, Some(Defect::DnsHeader)),
            };
            assert_eq!(ended, fate);
            assert_eq!(new, u64::from(has_header));
            if has_header {
                let is_response = udp.payload[2] & 0x80 != 0;
                let (client, server) =
                    if is_response { (udp.destination, udp.source) } else { (udp.source, udp.destination) };
                let seen = Seen { time: packet.time, client, server, is_response, size: udp.wire_len };
                assert_eq!(last, Some(seen));
            }
        }
        Unit::Tcp(_) => {
            let fate = if peeled.reassembled { Fate::IpFragment } else { Fate::TcpSegment };
            assert_eq!(ended, (fate, None));
        }
    }
}

/// Source, destination, TCP's sequence number, payload.
type Carried<'a> = (Endpoint, Endpoint, Option<u32>, &'a [u8]);

/// Where etherparse sees UDP or TCP on port 53 in an Ethernet frame that was captured whole, so do we.
fn check_against_oracle(packet: &Packet<'_>, peeled: &Result<Peeled<'_>, Stop>) {
    if packet.link_type != ETHERNET || packet.wire_len as usize != packet.data.len() {
        return;
    }
    let Some(expected) = oracle(packet.data) else { return };
    let carried: Carried<'_> = match peeled {
        Ok(Peeled { unit: Unit::Udp(udp), .. }) => (udp.source, udp.destination, None, udp.payload),
        Ok(Peeled { unit: Unit::Tcp(tcp), .. }) => {
            (tcp.source, tcp.destination, Some(tcp.sequence), tcp.payload)
        }
        Err(stop) => panic!("{stop:?} where etherparse sees {expected:02x?} in {:02x?}", packet.data),
    };
    assert_eq!(carried, expected, "{:02x?}", packet.data);
}

fn oracle(frame: &[u8]) -> Option<Carried<'_>> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let endpoints = |source, destination| match sliced.net.as_ref()? {
        NetSlice::Ipv4(ip) => Some((
            Endpoint::v4(ip.header().source(), source),
            Endpoint::v4(ip.header().destination(), destination),
        )),
        NetSlice::Ipv6(ip) => Some((
            Endpoint::v6(ip.header().source(), source),
            Endpoint::v6(ip.header().destination(), destination),
        )),
        NetSlice::Arp(_) => None,
    };
    let (source, destination, sequence, payload) = match sliced.transport.as_ref()? {
        // It reads a length of 0 as "all there is" in IPv4 too; tshark and the Linux kernel do not.
        TransportSlice::Udp(udp) if udp.length() == 0 => return None,
        TransportSlice::Udp(udp) => {
            let (source, destination) = endpoints(udp.source_port(), udp.destination_port())?;
            (source, destination, None, udp.payload())
        }
        TransportSlice::Tcp(tcp) => {
            let (source, destination) = endpoints(tcp.source_port(), tcp.destination_port())?;
            (source, destination, Some(tcp.sequence_number()), tcp.payload())
        }
        _ => return None,
    };
    [source.port, destination.port].contains(&53).then_some((source, destination, sequence, payload))
}
