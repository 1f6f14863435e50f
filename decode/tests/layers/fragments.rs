//! Fragments of IPv4 and IPv6, in every order and in every kind of disagreement.

use crate::craft::*;
use crate::{layers, packet, stop_of};
use lowtide_decode::layers::{FragmentLimits, Layers, Peeled, Reassembly};
use lowtide_decode::{Defect, Fate, Ports, Unit};
use lowtide_proto::{Endpoint, LinkType, Packet, Timestamp};

const HELD: (Fate, Option<Defect>) = (Fate::IpFragment, None);
const CONTRADICTS: (Fate, Option<Defect>) = (Fate::Malformed, Some(Defect::Fragment));

/// A response of `length` octets of UDP payload.
fn response(length: usize) -> Vec<u8> {
    let tail = (QUERY.len()..length).map(|at| at as u8);
    QUERY.iter().copied().chain(tail).collect()
}

type Cut = fn(id: u16, offset: usize, more: bool, data: &[u8]) -> Vec<u8>;

fn v4(id: u16, offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4_fragment(17, id, offset, more, data))
}

fn v6(id: u16, offset: usize, more: bool, data: &[u8]) -> Vec<u8> {
    ethernet(0x86dd, &ipv6_fragment(17, u32::from(id), offset, more, data))
}

/// `datagram` in fragments of `size` octets.
fn fragments(cut: Cut, id: u16, datagram: &[u8], size: usize) -> Vec<Vec<u8>> {
    let count = datagram.len().div_ceil(size);
    datagram.chunks(size).enumerate().map(|(at, data)| cut(id, at * size, at + 1 < count, data)).collect()
}

fn at(seconds: u64, data: &[u8]) -> Packet<'_> {
    Packet {
        time: Timestamp::new(seconds, 0),
        time_known: true,
        link_type: LinkType(1),
        data,
        wire_len: data.len() as u32,
    }
}

fn complete(layers: &mut Layers, frame: &[u8], payload: &[u8]) {
    match layers.peel(&packet(1, frame)) {
        Ok(Peeled { unit: Unit::Udp(udp), reassembled: true }) => {
            assert_eq!(udp.payload, payload);
            assert_eq!(udp.wire_len as usize, payload.len());
            let v4 = (Endpoint::v4(CLIENT, CLIENT_PORT), Endpoint::v4(SERVER, 53));
            let v6 = (Endpoint::v6(CLIENT6, CLIENT_PORT), Endpoint::v6(SERVER6, 53));
            assert!([v4, v6].contains(&(udp.source, udp.destination)));
        }
        other => panic!("not complete: {other:?}"),
    }
}

#[test]
fn any_order_and_duplicates_make_the_datagram() {
    let payload = response(1000);
    let datagram = udp(CLIENT_PORT, 53, &payload);
    let orders: [&[usize]; 6] = [
        &[0, 1, 2, 3],
        &[3, 2, 1, 0],
        &[2, 0, 3, 1],
        &[0, 0, 1, 1, 3, 3, 2],
        &[3, 3, 0, 2, 2, 1],
        &[1, 3, 1, 0, 2],
    ];
    for cut in [v4 as Cut, v6] {
        let mut layers = layers();
        let pieces = fragments(cut, 9, &datagram, 256);
        for order in orders {
            let (last, held) = order.split_last().expect("an order");
            for &piece in held {
                assert_eq!(stop_of(layers.peel(&packet(1, &pieces[piece]))), HELD);
            }
            complete(&mut layers, &pieces[*last], &payload);
        }
        assert_eq!(layers.reassembly(), Reassembly { completed: 6, ..Reassembly::default() });
    }
}

#[test]
fn datagrams_interleave_by_every_part_of_their_key() {
    let payloads: Vec<Vec<u8>> = (600..604).map(response).collect();
    let mut layers = layers();
    let mut pieces = Vec::new();
    for (id, payload) in payloads.iter().enumerate() {
        let datagram = udp(CLIENT_PORT, 53, payload);
        let cut: Cut = if id % 2 == 0 { v4 } else { v6 };
        pieces.push(fragments(cut, id as u16 / 2, &datagram, 512));
    }
    for pieces in &pieces {
        assert_eq!(stop_of(layers.peel(&packet(1, &pieces[1]))), HELD);
    }
    assert_eq!(layers.reassembly().pending, 4);
    for (pieces, payload) in pieces.iter().zip(&payloads) {
        complete(&mut layers, &pieces[0], payload);
    }
}

#[test]
fn overlap_with_the_same_octets_is_harmless() {
    let payload = response(500);
    let datagram = udp(CLIENT_PORT, 53, &payload);
    for cut in [v4 as Cut, v6] {
        let mut layers = layers();
        for frame in [
            cut(1, 64, true, &datagram[64..256]),
            cut(1, 0, true, &datagram[..128]),
            cut(1, 384, false, &datagram[384..]),
        ] {
            assert_eq!(stop_of(layers.peel(&packet(1, &frame))), HELD);
        }
        complete(&mut layers, &cut(1, 56, true, &datagram[56..400]), &payload);
    }
}

#[test]
fn overlap_with_other_octets_drops_the_datagram_and_its_rest() {
    let datagram = udp(CLIENT_PORT, 53, &response(500));
    let mut other = datagram.clone();
    other[100] ^= 1;
    for cut in [v4 as Cut, v6] {
        let mut layers = layers();
        assert_eq!(stop_of(layers.peel(&packet(1, &cut(1, 0, true, &datagram[..128])))), HELD);
        assert_eq!(stop_of(layers.peel(&packet(1, &cut(1, 64, true, &other[64..256])))), CONTRADICTS);
        assert_eq!(stop_of(layers.peel(&packet(1, &cut(1, 0, true, &datagram[..128])))), HELD);
        assert_eq!(stop_of(layers.peel(&packet(1, &cut(1, 128, false, &datagram[128..])))), HELD);
        assert_eq!(layers.reassembly(), Reassembly { conflicting: 1, ..Reassembly::default() });
    }
}

#[test]
fn impossible_fragments_are_malformed() {
    let data = [7; 64];
    let mut layers = layers();
    // Teardrop: the second fragment lies within the first, and ends the datagram before it.
    assert_eq!(stop_of(layers.peel(&packet(1, &v4(1, 0, true, &data[..40])))), HELD);
    assert_eq!(stop_of(layers.peel(&packet(1, &v4(1, 24, false, &data[..4])))), CONTRADICTS);
    // A second end, and octets past the end.
    assert_eq!(stop_of(layers.peel(&packet(1, &v4(2, 64, false, &data)))), HELD);
    assert_eq!(stop_of(layers.peel(&packet(1, &v4(2, 64, false, &data[..32])))), CONTRADICTS);
    assert_eq!(stop_of(layers.peel(&packet(1, &v4(3, 64, false, &data)))), HELD);
    assert_eq!(stop_of(layers.peel(&packet(1, &v4(3, 128, true, &data)))), CONTRADICTS);
    // The ping of death, a length that is not a multiple of 8, and nothing at all.
    assert_eq!(stop_of(layers.peel(&packet(1, &v4(4, 65_528, false, &data)))), CONTRADICTS);
    assert_eq!(stop_of(layers.peel(&packet(1, &v6(4, 65_528, false, &data)))), CONTRADICTS);
    assert_eq!(stop_of(layers.peel(&packet(1, &v4(5, 0, true, &data[..63])))), CONTRADICTS);
    assert_eq!(stop_of(layers.peel(&packet(1, &v4(6, 8, false, &[])))), CONTRADICTS);
    assert_eq!(layers.reassembly(), Reassembly { conflicting: 3, ..Reassembly::default() });
}

#[test]
fn incomplete_datagrams_leave_by_age_in_traffic_time() {
    let payload = response(500);
    let pieces = fragments(v4, 1, &udp(CLIENT_PORT, 53, &payload), 256);
    let mut layers = layers();
    assert_eq!(stop_of(layers.peel(&at(1000, &pieces[0]))), HELD);
    // A clock that steps back gives nothing up.
    assert_eq!(stop_of(layers.peel(&at(10, &v4(2, 0, true, &[0; 64])))), HELD);
    assert_eq!(layers.reassembly(), Reassembly { pending: 2, ..Reassembly::default() });
    assert_eq!(stop_of(layers.peel(&at(1031, &pieces[1]))), HELD);
    assert_eq!(layers.reassembly(), Reassembly { expired: 2, pending: 1, ..Reassembly::default() });
}

#[test]
fn budgets_evict_the_oldest_first() {
    let datagram = udp(CLIENT_PORT, 53, &response(500));
    let limits = FragmentLimits { datagrams: 4, ..FragmentLimits::default() };
    let mut layers = Layers::new(Ports::default(), limits);
    let all: Vec<_> = (0..5).map(|id| fragments(v4, id, &datagram, 256)).collect();
    for pieces in &all {
        assert_eq!(stop_of(layers.peel(&packet(1, &pieces[0]))), HELD);
    }
    assert_eq!(layers.reassembly(), Reassembly { evicted: 1, pending: 4, ..Reassembly::default() });
    complete(&mut layers, &all[1][1], &response(500));

    let limits = FragmentLimits { octets: 4096, ..FragmentLimits::default() };
    let mut layers = Layers::new(Ports::default(), limits);
    for id in 0..100 {
        assert_eq!(stop_of(layers.peel(&packet(1, &v4(id, 0, true, &datagram[..256])))), HELD);
    }
    let Reassembly { evicted, pending, .. } = layers.reassembly();
    assert!(evicted + pending == 100 && (1..=16).contains(&pending), "{pending} pending");
}

#[test]
fn a_fragment_that_was_cut_is_read_alone() {
    let payload = response(1000);
    let datagram = udp(CLIENT_PORT, 53, &payload);
    for cut in [v4 as Cut, v6] {
        let pieces = fragments(cut, 1, &datagram, 512);
        let mut layers = layers();
        let snapped = |frame: usize| Packet { data: &pieces[frame][..120], ..packet(1, &pieces[frame]) };
        match layers.peel(&snapped(0)) {
            Ok(Peeled { unit: Unit::Udp(udp), reassembled: false }) => {
                assert!(udp.payload.len() >= 12 && payload.starts_with(udp.payload));
                assert_eq!(udp.wire_len, 1000);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(stop_of(layers.peel(&snapped(1))), HELD);
        assert_eq!(layers.reassembly(), Reassembly::default());
    }
}

#[test]
fn fragments_of_other_protocols_are_not_held() {
    let mut layers = layers();
    assert_eq!(stop_of(layers.peel(&packet(101, &ipv4_fragment(1, 1, 0, true, &[0; 64])))), HELD);
    assert_eq!(stop_of(layers.peel(&packet(101, &ipv6_fragment(58, 1, 0, true, &[0; 64])))), HELD);
    assert_eq!(layers.reassembly(), Reassembly::default());
}

#[test]
fn a_datagram_that_is_not_dns_stays_a_fragment() {
    let mut layers = layers();
    let pieces = fragments(v4, 1, &udp(1, 2, &response(500)), 256);
    for piece in &pieces {
        assert_eq!(stop_of(layers.peel(&packet(1, piece))), HELD);
    }
    assert_eq!(layers.reassembly(), Reassembly { completed: 1, ..Reassembly::default() });
}

/// A fragmented datagram in a tunnel whose own packets are fragments.
#[test]
fn fragments_within_fragments_come_together() {
    let payload = response(900);
    let mut layers = layers();
    let inner: Vec<_> = udp(CLIENT_PORT, 53, &payload).chunks(512).map(<[u8]>::to_vec).collect();
    let mut frames = Vec::new();
    for (at, data) in inner.iter().enumerate() {
        let packet = ipv4_fragment(17, 77, at * 512, at + 1 < inner.len(), data);
        let outer = cat(&[&[0, 0, 8, 0], &packet]);
        let (first, second) = outer.split_at(256);
        frames.push(ethernet(0x0800, &ipv4_fragment(47, at as u16, 0, true, first)));
        frames.push(ethernet(0x0800, &ipv4_fragment(47, at as u16, 256, false, second)));
    }
    let (last, held) = frames.split_last().expect("frames");
    for frame in held {
        assert_eq!(stop_of(layers.peel(&packet(1, frame))), HELD);
    }
    complete(&mut layers, last, &payload);
    assert_eq!(layers.reassembly(), Reassembly { completed: 3, ..Reassembly::default() });
}
