//! From frames to datagrams and segments: every way that leads to DNS, and what leads nowhere.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state their expectations by failing, in their helpers too"
)]

mod craft;
mod fragments;
mod hostile;
mod oracle;
mod ways;

use craft::*;
use lowtide_decode::layers::{FragmentLimits, Layers, Peeled, Stop};
use lowtide_decode::{Defect, Fate, Ports, TcpFlags, Udp, Unit};
use lowtide_proto::{Endpoint, LinkType, Packet, Timestamp};

fn layers() -> Layers {
    Layers::new(Ports::default(), FragmentLimits::default())
}

fn packet(link_type: u16, data: &[u8]) -> Packet<'_> {
    cut(link_type, data, data.len())
}

/// A packet of `data` of which the snap length left `captured` octets.
fn cut(link_type: u16, data: &[u8], captured: usize) -> Packet<'_> {
    Packet {
        time: Timestamp::new(1_700_000_000, 0),
        time_known: true,
        link_type: LinkType(link_type),
        data: &data[..captured],
        wire_len: data.len() as u32,
    }
}

fn udp_of(peeled: Result<Peeled<'_>, Stop>) -> Udp<'_> {
    match peeled.expect("a datagram").unit {
        Unit::Udp(udp) => udp,
        Unit::Tcp(tcp) => panic!("a segment: {tcp:?}"),
    }
}

fn stop_of(peeled: Result<Peeled<'_>, Stop>) -> (Fate, Option<Defect>) {
    let Stop { fate, defect } = peeled.expect_err("no datagram");
    (fate, defect)
}

#[test]
fn every_way_leads_to_the_query() {
    let mut layers = layers();
    for way in ways::ways() {
        let udp = match layers.peel(&packet(way.link_type, &way.frame)) {
            Ok(Peeled { unit: Unit::Udp(udp), reassembled: false }) => udp,
            other => panic!("{}: {other:?}", way.name),
        };
        assert_eq!(udp.payload, QUERY, "{}", way.name);
        assert_eq!(udp.wire_len as usize, QUERY.len(), "{}", way.name);
        let ends = [udp.source, udp.destination];
        let v4 = [Endpoint::v4(CLIENT, CLIENT_PORT), Endpoint::v4(SERVER, 53)];
        let v6 = [Endpoint::v6(CLIENT6, CLIENT_PORT), Endpoint::v6(SERVER6, 53)];
        assert!(ends == v4 || ends == v6, "{}: {ends:?}", way.name);
    }
}

#[test]
fn a_cut_anywhere_is_truncated_or_what_is_left_of_the_query() {
    let mut layers = layers();
    for way in ways::ways() {
        let start = way.frame.windows(QUERY.len()).position(|octets| octets == QUERY).expect("the query");
        for captured in 0..way.frame.len() {
            let left = QUERY.len().min(captured.saturating_sub(start));
            match layers.peel(&cut(way.link_type, &way.frame, captured)) {
                Ok(Peeled { unit: Unit::Udp(udp), .. }) => {
                    assert_eq!(udp.payload, &QUERY[..left], "{} at {captured}", way.name);
                    assert_eq!(udp.wire_len as usize, QUERY.len(), "{} at {captured}", way.name);
                }
                Err(Stop { fate: Fate::Truncated, .. }) if captured < start => {}
                // What a header is taken for may hang on octets that were cut.
                Err(Stop { fate: Fate::NotDns, .. }) if captured < start => {}
                other => panic!("{} at {captured}: {other:?}", way.name),
            }
        }
    }
}

#[test]
fn a_segment_has_its_numbers_and_its_cut() {
    let mut frame = ethernet(0x0800, &ipv4(6, &tcp(53, CLIENT_PORT, 7, 0x18, &[0, 1, 2, 3, 9, 9, 9])));
    frame[46] = 0x60; // four of those seven octets are options
    let mut layers = layers();
    for (captured, payload, wire_len) in [(61, &[9, 9, 9][..], 3), (59, &[9], 3), (56, &[], 3)] {
        let Ok(Peeled { unit: Unit::Tcp(tcp), .. }) = layers.peel(&cut(1, &frame, captured)) else {
            panic!("a segment at {captured}");
        };
        assert_eq!((tcp.sequence, tcp.flags), (7, TcpFlags::ACK), "at {captured}");
        assert_eq!((tcp.payload, tcp.wire_len), (payload, wire_len), "at {captured}");
        assert_eq!(tcp.source, Endpoint::v4(CLIENT, 53));
        assert_eq!(tcp.destination, Endpoint::v4(SERVER, CLIENT_PORT));
    }
    assert_eq!(stop_of(layers.peel(&cut(1, &frame, 50))), (Fate::Truncated, None));
}

/// What tshark 4.0.17 makes of each is the expectation.
#[test]
fn lengths_that_lie_are_read_as_tshark_reads_them() {
    let set = |mut octets: Vec<u8>, at: usize, value: u16| {
        octets[at..at + 2].copy_from_slice(&value.to_be_bytes());
        octets
    };
    let (v4, v6, n) = (query4(), query6(), QUERY.len());
    let whole = |packet| (packet, Ok(n));
    let malformed = |packet, defect| (packet, Err(defect));
    let cases = [
        malformed(set(v4.clone(), 24, 0), Defect::Udp),
        malformed(set(v4.clone(), 24, 7), Defect::Udp),
        (set(v4.clone(), 24, 8), Ok(0)),
        (set(v4.clone(), 24, 20), Ok(12)),
        whole(set(v4.clone(), 24, 8 + n as u16 + 5)),
        whole(set(v4.clone(), 24, u16::MAX)),
        whole(set(v6.clone(), 44, 0)),
        malformed(set(v6.clone(), 44, 7), Defect::Udp),
        whole(set(v6.clone(), 44, u16::MAX)),
        whole(set(v4.clone(), 2, 0)),
        malformed(set(v4.clone(), 2, 19), Defect::Ipv4),
        malformed(set(v4.clone(), 2, 20 + 7), Defect::Udp),
        (set(v4.clone(), 2, 20 + 8 + 12), Ok(12)),
        whole(set(v4.clone(), 2, u16::MAX)),
        whole(set(v6.clone(), 4, 0)),
        whole(set(v6.clone(), 4, u16::MAX)),
        (set(v6.clone(), 4, 8 + 12), Ok(12)),
        malformed(set(v4.clone(), 0, 0x4400), Defect::Ipv4),
        malformed(set(v4.clone(), 0, 0x5500), Defect::Ipv4),
        malformed(set(v4.clone(), 0, 0x4f00)[..40].to_vec(), Defect::Ipv4),
    ];
    let mut layers = layers();
    for (at, (octets, expected)) in cases.into_iter().enumerate() {
        match (layers.peel(&packet(101, &octets)), expected) {
            (Ok(Peeled { unit: Unit::Udp(udp), .. }), Ok(length)) => {
                assert_eq!(udp.payload, &QUERY[..length], "case {at}");
                assert_eq!(udp.wire_len as usize, length, "case {at}");
            }
            (Err(stop), Err(defect)) => {
                assert_eq!((stop.fate, stop.defect), (Fate::Malformed, Some(defect)), "case {at}");
            }
            (got, expected) => panic!("case {at}: {got:?}, not {expected:?}"),
        }
    }
}

#[test]
fn what_is_not_dns_is_told_apart() {
    let query = udp(CLIENT_PORT, 53, QUERY);
    let quoted = cat(&[&[3, 3, 0, 0, 0, 0, 0, 0], &query4()]);
    let encrypted = cat(&[&[0x08, 0x41], &[0; 22], &[0; 60]]);
    let cases = [
        ("another port", 101, ipv4(17, &udp(1, 2, QUERY)), Fate::NotDns, None),
        ("another port, TCP", 101, ipv4(6, &tcp(1, 2, 0, 0, QUERY)), Fate::NotDns, None),
        ("ICMP that quotes DNS", 101, ipv4(1, &quoted), Fate::NotDns, None),
        ("ARP", 1, ethernet(0x0806, &[0; 28]), Fate::NotDns, None),
        ("spanning tree", 1, ethernet(38, &[0x42, 0x42, 3, 0, 0, 0]), Fate::NotDns, None),
        ("encrypted 802.11", 105, encrypted, Fate::NotDns, None),
        ("802.11 beacon", 105, cat(&[&[0x80, 0], &[0; 40]]), Fate::NotDns, None),
        (
            "GTP echo",
            101,
            ipv4(17, &udp(1, 2152, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0])),
            Fate::NotDns,
            None,
        ),
        ("not VXLAN", 101, ipv4(17, &udp(1, 4789, b"hello")), Fate::NotDns, None),
        ("not Teredo", 101, ipv4(17, &udp(1, 3544, b"hello")), Fate::NotDns, None),
        (
            "L2TP control",
            101,
            ipv4(17, &udp(1, 1701, &[0xc8, 2, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0])),
            Fate::NotDns,
            None,
        ),
        (
            "IPv4 with an IPv6 extension",
            101,
            ipv4(60, &cat(&[&[17, 0], &[0; 6], &query])),
            Fate::NotDns,
            None,
        ),
        ("private link type", 147, vec![0; 60], Fate::UnknownLinkType, None),
        ("short frame", 1, vec![0; 13], Fate::Malformed, Some(Defect::Link)),
        ("short UDP", 101, ipv4(17, &query[..6]), Fate::Malformed, Some(Defect::Udp)),
        (
            "TCP offset of 4",
            101,
            ipv4(6, &{
                let mut segment = tcp(1, 53, 0, 0, QUERY);
                segment[12] = 0x40;
                segment
            }),
            Fate::Malformed,
            Some(Defect::Tcp),
        ),
    ];
    let mut layers = layers();
    for (name, link_type, frame, fate, defect) in cases {
        assert_eq!(stop_of(layers.peel(&packet(link_type, &frame))), (fate, defect), "{name}");
    }
}

/// The kind of zeek's `gtp3_false_gtp.pcap`.
#[test]
fn a_dns_port_is_never_a_tunnel() {
    let mut layers = layers();
    for port in [2152, 4789, 8472, 6081, 3544, 1701] {
        for (source, destination) in [(port, 53), (53, port)] {
            let frame = ipv4(17, &udp(source, destination, QUERY));
            let udp = udp_of(layers.peel(&packet(101, &frame)));
            assert_eq!((udp.payload, udp.source.port, udp.destination.port), (QUERY, source, destination));
        }
    }
}

#[test]
fn ports_are_those_asked_for() {
    let mut layers = Layers::new(Ports::new(&[5353]), FragmentLimits::default());
    let other = ethernet(0x0800, &ipv4(17, &udp(CLIENT_PORT, 5353, QUERY)));
    assert_eq!(udp_of(layers.peel(&packet(1, &other))).payload, QUERY);
    assert_eq!(udp_of(layers.peel(&packet(1, &ethernet(0x0800, &query4())))).payload, QUERY);
    assert_eq!(stop_of(self::layers().peel(&packet(1, &other))), (Fate::NotDns, None));
}
