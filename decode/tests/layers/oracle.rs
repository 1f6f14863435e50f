//! etherparse as the oracle: where it accepts a frame and sees UDP or TCP on port 53, we see the same.

use crate::craft::*;
use crate::{layers, packet};
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};
use lowtide_decode::Unit;
use lowtide_decode::layers::Peeled;
use lowtide_proto::Endpoint;

/// xorshift64.
pub fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn built<E: std::fmt::Debug>(write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Vec<u8> {
    let mut frame = Vec::new();
    write(&mut frame).expect("a frame");
    frame
}

fn frames() -> Vec<Vec<u8>> {
    let mac = || PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let tag = || mac().single_vlan(7.try_into().expect("an id"));
    let stacked = || mac().double_vlan(7.try_into().expect("an id"), 8.try_into().expect("an id"));
    let datagram = udp(CLIENT_PORT, 53, QUERY);
    vec![
        built(|out| mac().ipv4(CLIENT, SERVER, 64).udp(CLIENT_PORT, 53).write(out, QUERY)),
        built(|out| mac().ipv6(CLIENT6, SERVER6, 64).udp(53, CLIENT_PORT).write(out, QUERY)),
        built(|out| tag().ipv4(CLIENT, SERVER, 64).udp(CLIENT_PORT, 53).write(out, QUERY)),
        built(|out| tag().ipv6(CLIENT6, SERVER6, 64).udp(CLIENT_PORT, 53).write(out, QUERY)),
        built(|out| stacked().ipv4(CLIENT, SERVER, 64).udp(CLIENT_PORT, 53).write(out, QUERY)),
        built(|out| mac().ipv4(CLIENT, SERVER, 64).tcp(53, CLIENT_PORT, 9, 100).ack(3).write(out, QUERY)),
        built(|out| mac().ipv6(CLIENT6, SERVER6, 64).tcp(CLIENT_PORT, 53, 9, 100).syn().write(out, QUERY)),
        ethernet(0x0800, &ipv4_options(17, &[0x94, 4, 0, 0], &datagram)),
        ethernet(0x86dd, &ipv6(0, &cat(&[&[17, 0, 5, 2, 0, 0, 1, 0], &datagram]))),
        ethernet(0x86dd, &ipv6(60, &cat(&[&[51, 0, 1, 4, 0, 0, 0, 0, 17, 4], &[0; 22], &datagram]))),
        cat(&[&ethernet(0x0800, &query4()), &[0; 12]]),
    ]
}

/// Source, destination, TCP's sequence number, payload.
type Seen = (Endpoint, Endpoint, Option<u32>, Vec<u8>);

fn oracle(frame: &[u8]) -> Option<Seen> {
    let sliced = SlicedPacket::from_ethernet(frame).ok()?;
    let endpoints = |source_port, destination_port| match sliced.net.as_ref()? {
        NetSlice::Ipv4(ip) => Some((
            Endpoint::v4(ip.header().source(), source_port),
            Endpoint::v4(ip.header().destination(), destination_port),
        )),
        NetSlice::Ipv6(ip) => Some((
            Endpoint::v6(ip.header().source(), source_port),
            Endpoint::v6(ip.header().destination(), destination_port),
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
    [source.port, destination.port].contains(&53).then(|| (source, destination, sequence, payload.to_vec()))
}

#[test]
fn etherparse_agrees_on_crafted_and_mutated_frames() {
    let mut layers = layers();
    let mut agreed = 0_u32;
    let mut check = |frame: &[u8]| {
        let Some(expected) = oracle(frame) else { return };
        let seen = match layers.peel(&packet(1, frame)) {
            Ok(Peeled { unit: Unit::Udp(udp), .. }) => {
                (udp.source, udp.destination, None, udp.payload.to_vec())
            }
            Ok(Peeled { unit: Unit::Tcp(tcp), .. }) => {
                (tcp.source, tcp.destination, Some(tcp.sequence), tcp.payload.to_vec())
            }
            Err(stop) => panic!("{stop:?} where etherparse sees {expected:?} in {frame:02x?}"),
        };
        assert_eq!(seen, expected, "{frame:02x?}");
        agreed += 1;
    };
    let frames = frames();
    for frame in &frames {
        check(frame);
    }
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for round in 0..60_000_usize {
        let mut frame = frames[round % frames.len()].clone();
        for _ in 0..=random(&mut state) % 3 {
            // Half of the changes fall on the headers.
            let reach = if random(&mut state) & 1 == 0 { 60 } else { frame.len() };
            let at = random(&mut state) as usize % reach;
            frame[at] = random(&mut state) as u8;
        }
        frame.truncate(frame.len() - (random(&mut state) as usize % 200).saturating_sub(190));
        check(&frame);
    }
    assert!(agreed > 20_000, "the oracle accepted {agreed} frames only");
}
