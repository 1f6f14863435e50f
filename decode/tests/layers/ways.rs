//! Every way that leads to a DNS message: each case is a link type and a frame that carries the one query.

use crate::craft::*;

pub struct Way {
    pub name: &'static str,
    pub link_type: u16,
    pub frame: Vec<u8>,
}

/// LLC and SNAP with an EtherType.
fn snap(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    cat(&[&[0xaa, 0xaa, 3, 0, 0, 0], &ether_type.to_be_bytes(), payload])
}

/// An IPv4 packet in an Ethernet frame with a UDP tunnel's header.
fn over_udp(port: u16, header: &[u8], payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, &udp(50_000, port, &cat(&[header, payload]))))
}

fn gre(header: &[u8], payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(47, &cat(&[header, payload])))
}

/// An 802.11 header to an access point, not encrypted.
fn wlan(control: [u8; 2], more: &[u8], payload: &[u8]) -> Vec<u8> {
    cat(&[&control, &[0; 22], more, payload])
}

pub fn ways() -> Vec<Way> {
    let (v4, v6) = (query4(), query6());
    let frame = ethernet(0x0800, &v4);
    let frame6 = ethernet(0x86dd, &v6);
    let datagram = udp(CLIENT_PORT, 53, QUERY);
    let snapped = snap(0x0800, &v4);
    let length = (snapped.len() as u16).to_be_bytes();
    let payload_length = ((v4.len() + 2) as u16).to_be_bytes();
    let sll = |hardware: u16, protocol: u16| {
        cat(&[&[0, 0], &hardware.to_be_bytes(), &[0; 10], &protocol.to_be_bytes()])
    };

    let table: Vec<(&'static str, u16, Vec<u8>)> = vec![
        // Link layers.
        ("ethernet, IPv4", 1, frame.clone()),
        ("ethernet, IPv6", 1, frame6.clone()),
        ("ethernet, padded to 60 and checked", 1, cat(&[&frame, &[0x55; 12]])),
        ("802.1Q", 1, ethernet(0x8100, &cat(&[&[0, 7, 8, 0], &v4]))),
        ("802.1Q, IPv6", 1, ethernet(0x8100, &cat(&[&[0, 7, 0x86, 0xdd], &v6]))),
        ("802.1ad", 1, ethernet(0x88a8, &cat(&[&[0, 7, 0x81, 0, 0, 9, 8, 0], &v4]))),
        ("stacked 0x9100", 1, ethernet(0x9100, &cat(&[&[0, 7, 0x81, 0, 0, 9, 8, 0], &v4]))),
        ("VN-Tag", 1, ethernet(0x8926, &cat(&[&[0, 0, 0, 1, 8, 0], &v4]))),
        ("Cisco metadata", 1, ethernet(0x8909, &cat(&[&[1, 1, 0, 1, 0, 5, 8, 0], &v4]))),
        ("802.1ah", 1, ethernet(0x88e7, &cat(&[&[0, 0, 0, 1], &frame]))),
        ("802.3 with LLC and SNAP, padded", 1, cat(&[&frame[..12], &length, &snapped, &[0; 6]])),
        ("802.3 with the SAP of IP", 1, cat(&[&frame[..12], &[0, 60], &[6, 6, 3], &v4])),
        ("MPLS", 1, ethernet(0x8847, &cat(&[&[0, 1, 0, 64, 0, 2, 1, 64], &v4]))),
        ("MPLS, IPv6", 1, ethernet(0x8848, &cat(&[&[0, 1, 1, 64], &v6]))),
        (
            "MPLS pseudowire with control word",
            1,
            ethernet(0x8847, &cat(&[&[0, 1, 1, 64, 0, 0, 0, 0], &frame])),
        ),
        ("MPLS pseudowire without", 1, ethernet(0x8847, &cat(&[&[0, 1, 1, 64], &frame]))),
        ("PPPoE", 1, ethernet(0x8864, &cat(&[&[0x11, 0, 0, 1], &payload_length, &[0, 0x21], &v4, &[0; 4]]))),
        ("PPPoE, IPv6", 1, ethernet(0x8864, &cat(&[&[0x11, 0, 0, 1, 0, 0x4f, 0, 0x57], &v6]))),
        ("NULL, little-endian", 0, cat(&[&[2, 0, 0, 0], &v4])),
        ("NULL, big-endian", 0, cat(&[&[0, 0, 0, 2], &v4])),
        ("NULL, macOS IPv6", 0, cat(&[&[30, 0, 0, 0], &v6])),
        ("NULL, FreeBSD IPv6", 0, cat(&[&[28, 0, 0, 0], &v6])),
        ("LOOP", 108, cat(&[&[0, 0, 0, 2], &v4])),
        ("token ring", 6, cat(&[&[0x10, 0x40], &[0; 12], &snapped])),
        (
            "token ring, source routed",
            6,
            cat(&[&[0x10, 0x40], &[0; 6], &[0x80, 0, 0, 0, 0, 0], &[4, 0, 0, 1], &snapped]),
        ),
        ("FDDI", 10, cat(&[&[0x50], &[0; 12], &snapped])),
        ("raw 12", 12, v4.clone()),
        ("raw 101", 101, v6.clone()),
        ("IPV4", 228, v4.clone()),
        ("IPV6", 229, v6.clone()),
        ("PPP", 9, cat(&[&[0xff, 3, 0, 0x21], &v4])),
        ("PPP, fields compressed", 9, cat(&[&[0x21], &v4])),
        ("PPP in HDLC framing", 50, cat(&[&[0xff, 3, 0, 0x57], &v6])),
        ("Cisco HDLC as PPP", 50, cat(&[&[0x0f, 0, 8, 0], &v4])),
        ("PPPoE without Ethernet", 51, cat(&[&[0x11, 0, 0, 1], &payload_length, &[0, 0x21], &v4])),
        ("Cisco HDLC", 104, cat(&[&[0x0f, 0, 0x86, 0xdd], &v6])),
        ("PPP with direction", 204, cat(&[&[0, 0xff, 3, 0, 0x21], &v4])),
        ("Cisco HDLC with direction", 205, cat(&[&[0, 0x0f, 0, 8, 0], &v4])),
        ("ATM, RFC 1483", 100, snapped.clone()),
        ("802.11 data", 105, wlan([0x08, 1], &[], &snapped)),
        ("802.11 QoS data", 105, wlan([0x88, 2], &[0, 0], &snapped)),
        ("802.11 QoS data, four addresses, HT control", 105, wlan([0x88, 0x83], &[0; 12], &snapped)),
        ("802.11, A-MSDU", 105, wlan([0x88, 2], &cat(&[&[0x80, 0], &[2; 12], &length]), &snapped)),
        ("radiotap", 127, cat(&[&[0, 0, 8, 0, 0, 0, 0, 0], &wlan([8, 1], &[], &snapped)])),
        (
            "radiotap with a padded header",
            127,
            cat(&[
                &[0, 0, 18, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0],
                &wlan([0x88, 1], &[0, 0, 0, 0], &snapped),
            ]),
        ),
        ("AVS", 163, cat(&[&[0x80, 0x21, 0x10, 1, 0, 0, 0, 64], &[0; 56], &wlan([8, 1], &[], &snapped)])),
        ("Prism", 119, cat(&[&[0x44, 0, 0, 0, 144, 0, 0, 0], &[0; 136], &wlan([8, 1], &[], &snapped)])),
        ("PPI with Ethernet", 192, cat(&[&[0, 0, 8, 0, 1, 0, 0, 0], &frame])),
        ("PPI with 802.11", 192, cat(&[&[0, 0, 8, 0, 105, 0, 0, 0], &wlan([8, 1], &[], &snapped)])),
        ("OpenBSD enc", 109, cat(&[&[2, 0, 0, 0], &[0; 8], &v4])),
        ("SLL", 113, cat(&[&sll(1, 0x0800), &v4])),
        ("SLL, IPv6 without a link layer", 113, cat(&[&sll(65534, 0x86dd), &v6])),
        ("SLL, tagged", 113, cat(&[&sll(1, 0x8100), &[0, 7, 8, 0], &v4])),
        ("SLL, 802.2", 113, cat(&[&sll(1, 4), &snapped])),
        ("SLL2", 276, cat(&[&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6], &[0; 8], &v4])),
        ("PFLOG", 117, cat(&[&[61, 2], &[0; 62], &v4])),
        ("IP over Fibre Channel", 122, cat(&[&[0; 16], &snapped])),
        ("ARCNET, RFC 1201", 129, cat(&[&[1, 2, 0, 0, 212, 0, 0, 1], &v4])),
        ("ARCNET, RFC 1051", 129, cat(&[&[1, 2, 0, 0, 240], &v4])),
        ("IP over IEEE 1394", 138, cat(&[&[0; 16], &[8, 0], &v4])),
        ("DOCSIS", 143, cat(&[&[0, 0, 0, 75, 9, 0], &frame, &[0; 4]])),
        ("Solaris ipnet", 226, cat(&[&[1, 2, 0, 0, 0, 0, 0, 57], &[0; 16], &v4])),
        (
            "NFLOG",
            239,
            cat(&[&[2, 0, 0, 0], &[8, 0, 1, 0, 8, 0, 0, 1, 5, 0, 10, 0, b'x', 0, 0, 0], &[61, 0, 9, 0], &v4]),
        ),
        ("PKTAP", 258, cat(&[&[108, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], &[0; 96], &frame])),
        ("PKTAP, raw", 258, cat(&[&[108, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0], &[0; 96], &v6])),
        (
            "Ethernet behind its preamble",
            274,
            cat(&[&[0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xd5], &frame]),
        ),
        // The network layer.
        ("IPv4 options", 1, ethernet(0x0800, &ipv4_options(17, &[0x94, 4, 0, 0, 1, 1, 1, 0], &datagram))),
        ("IPv4 authentication header", 101, ipv4(51, &cat(&[&[17, 4], &[0; 22], &datagram]))),
        ("IPv6 hop-by-hop options", 101, ipv6(0, &cat(&[&[17, 0, 5, 2, 0, 0, 1, 0], &datagram]))),
        ("IPv6 routing", 101, ipv6(43, &cat(&[&[17, 2, 4, 0, 0, 0, 0, 0], &SERVER6, &datagram]))),
        (
            "IPv6 destination options, authentication",
            101,
            ipv6(60, &cat(&[&[51, 0, 1, 4, 0, 0, 0, 0], &[17, 4], &[0; 22], &datagram])),
        ),
        ("IPv6 mobility", 101, ipv6(135, &cat(&[&[17, 0, 0, 0, 0, 0, 0, 0], &datagram]))),
        ("IPv6 atomic fragment", 101, ipv6_fragment(17, 7, 0, false, &datagram)),
        // Tunnels.
        ("IP in IP", 101, ipv4(4, &v4)),
        ("6in4", 101, ipv4(41, &v6)),
        ("4in6", 101, ipv6(4, &v4)),
        ("EtherIP", 101, ipv4(97, &cat(&[&[0x30, 0], &frame]))),
        ("MPLS in IP", 101, ipv4(137, &cat(&[&[0, 1, 1, 64], &v4]))),
        ("SRv6 with Ethernet", 101, ipv6(143, &frame)),
        ("GRE", 1, gre(&[0, 0, 8, 0], &v4)),
        ("GRE in IPv6", 1, ethernet(0x86dd, &ipv6(47, &cat(&[&[0, 0, 0x86, 0xdd], &v6])))),
        ("GRE, checksum, key, sequence", 1, gre(&[0xb0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2], &v4)),
        ("GRE, source route", 1, gre(&[0x40, 0, 8, 0, 0, 0, 0, 0, 8, 0, 4, 4, 10, 0, 0, 1, 0, 0, 0, 0], &v4)),
        ("GRE with bridged Ethernet", 1, gre(&[0, 0, 0x65, 0x58], &frame6)),
        ("GRE with MPLS", 1, gre(&[0, 0, 0x88, 0x47, 0, 1, 1, 64], &v4)),
        (
            "PPTP",
            1,
            gre(&[0x30, 0x81, 0x88, 0x0b, 0, 0x3d, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 3, 0, 0x21], &v4),
        ),
        ("WCCP", 1, gre(&[0, 0, 0x88, 0x3e], &v4)),
        ("WCCP 2", 1, gre(&[0, 0, 0x88, 0x3e, 0, 0, 0, 0], &v4)),
        ("ERSPAN I", 1, gre(&[0, 0, 0x88, 0xbe], &frame)),
        ("ERSPAN II", 1, gre(&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 7, 0, 1, 0, 0, 0, 0], &frame)),
        (
            "ERSPAN III",
            1,
            gre(&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0], &frame),
        ),
        (
            "ERSPAN III, platform header",
            1,
            gre(
                &[
                    0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
                    0, 0,
                ],
                &frame,
            ),
        ),
        ("VXLAN", 1, over_udp(4789, &[8, 0, 0, 0, 0, 0, 7, 0], &frame)),
        ("VXLAN, Linux port, IPv6", 1, over_udp(8472, &[8, 0, 0, 0, 0, 0, 7, 0], &frame6)),
        (
            "VXLAN in VXLAN",
            1,
            over_udp(4789, &[8, 0, 0, 0, 0, 0, 7, 0], &over_udp(4789, &[8, 0, 0, 0, 0, 0, 8, 0], &frame)),
        ),
        ("VXLAN-GPE", 1, over_udp(4790, &[0x0c, 0, 0, 1, 0, 0, 7, 0], &v4)),
        (
            "VXLAN-GPE, NSH",
            1,
            over_udp(4790, &[0x0c, 0, 0, 4, 0, 0, 7, 0, 0x0f, 0xc2, 2, 1, 0, 0, 1, 255], &v4),
        ),
        ("GENEVE", 1, over_udp(6081, &[0, 0, 0x65, 0x58, 0, 0, 7, 0], &frame)),
        ("GENEVE, options", 1, over_udp(6081, &[1, 0, 8, 0, 0, 0, 7, 0, 1, 2, 3, 0], &v4)),
        ("MPLS over UDP", 1, over_udp(6635, &[0, 1, 1, 64], &v4)),
        ("GTP-U", 1, over_udp(2152, &[0x30, 255, 0, 57, 0, 0, 0, 1], &v4)),
        (
            "GTP-U, extension header",
            1,
            over_udp(2152, &[0x34, 255, 0, 65, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0x10, 9, 0], &v4),
        ),
        ("Teredo", 1, over_udp(3544, &[], &v6)),
        ("Teredo, origin", 1, over_udp(3544, &[0, 0, 0x0f, 0xff, 1, 2, 3, 4], &v6)),
        (
            "Teredo, authentication and origin",
            1,
            over_udp(3544, &[0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0x0f, 0xff, 1, 2, 3, 4], &v6),
        ),
        ("L2TP", 1, over_udp(1701, &[0, 2, 0, 1, 0, 1, 0xff, 3, 0, 0x21], &v4)),
        (
            "L2TP, all fields",
            1,
            over_udp(1701, &[0x4a, 2, 0, 75, 0, 1, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x21], &v4),
        ),
        ("TZSP", 1, over_udp(37008, &[1, 0, 0, 1, 10, 1, 0, 0, 1], &frame)),
    ];
    table.into_iter().map(|(name, link_type, frame)| Way { name, link_type, frame }).collect()
}
