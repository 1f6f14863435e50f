//! Frames made to hurt: they may say anything, and cost no more than their length.

use crate::craft::*;
use crate::{layers, packet, stop_of};
use lowtide_decode::{Defect, Fate};

#[test]
fn nesting_ends_at_a_depth() {
    let deep = (Fate::Malformed, Some(Defect::Depth));
    let mut layers = layers();
    let bombs: [(&str, u16, Vec<u8>); 6] = [
        ("VLAN tags", 1, ethernet(0x8100, &[0, 1, 0x81, 0].repeat(16_000))),
        ("MPLS labels", 1, ethernet(0x8847, &[0, 1, 0, 64].repeat(16_000))),
        ("IP in IP", 101, (0..1000).fold(query4(), |inner, _| ipv4(4, &inner))),
        ("IPv6 extension headers", 101, ipv6(60, &[60, 0, 1, 4, 0, 0, 0, 0].repeat(8000))),
        ("GRE", 101, (0..1000).fold(query4(), |inner, _| ipv4(47, &cat(&[&[0, 0, 8, 0], &inner])))),
        ("PPI", 192, [0, 0, 8, 0, 192, 0, 0, 0].repeat(8000)),
    ];
    for (name, link_type, frame) in bombs {
        assert_eq!(stop_of(layers.peel(&packet(link_type, &frame))), deep, "{name}");
    }
    let eight = (0..7).fold(query4(), |inner, _| {
        ipv4(17, &udp(1, 4789, &cat(&[&[8, 0, 0, 0, 0, 0, 1, 0], &ethernet(0x0800, &inner)])))
    });
    assert!(layers.peel(&packet(101, &eight)).is_ok());
}

#[test]
fn a_hundred_thousand_first_fragments_leave_memory_flat() {
    let mut layers = layers();
    let data = [0; 1480];
    for id in 0..100_000_u32 {
        let frame = ethernet(0x86dd, &ipv6_fragment(17, id, 0, true, &data));
        assert_eq!(stop_of(layers.peel(&packet(1, &frame))), (Fate::IpFragment, None));
    }
    let counters = layers.reassembly();
    assert_eq!(counters.evicted + counters.pending, 100_000);
    // 8 MiB of payload, and no more.
    assert!(counters.pending as usize * data.len() <= 8 << 20, "{counters:?}");
}

#[test]
fn the_smallest_fragments_in_the_worst_order_come_together() {
    let payload: Vec<u8> = (0..60_000_u32).map(|at| at as u8).collect();
    let datagram = udp(CLIENT_PORT, 53, &payload);
    let mut layers = layers();
    let mut complete = 0;
    for (at, data) in datagram.chunks(8).enumerate().rev() {
        let frame = ipv4_fragment(17, 1, at * 8, (at + 1) * 8 < datagram.len(), data);
        complete += usize::from(layers.peel(&packet(101, &frame)).is_ok());
    }
    assert_eq!(complete, 1);
}

/// Every octet of every way set to every extreme, and octets that mean nothing: no panic, and one answer each.
#[test]
fn any_octets_are_survived() {
    let mut layers = layers();
    for way in crate::ways::ways() {
        let mut frame = way.frame;
        for at in 0..frame.len() {
            let octet = frame[at];
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                frame[at] = value;
                let _ = layers.peel(&packet(way.link_type, &frame));
            }
            frame[at] = octet;
        }
    }
    let mut state = 1_u64;
    let noise: Vec<u8> =
        std::iter::repeat_with(|| crate::oracle::random(&mut state) as u8).take(4096).collect();
    for link_type in 0..=300 {
        for start in 0..200 {
            for length in [0, 1, 14, 40, 200, 2000] {
                let _ = layers.peel(&packet(link_type, &noise[start..start + length]));
                let _ = layers.peel(&crate::cut(link_type, &noise[start..start + 2000], length));
            }
        }
    }
}
