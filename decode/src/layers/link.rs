//! Link-layer headers, by the tcpdump group's registry of `LINKTYPE_` values.
//!
//! Not read: those that carry no IP, IEEE 802.15.4, Juniper's, MACsec, and the `USER` range, whose meaning is private.

use super::view::View;
use super::{Header, Stop, protocol};
use crate::Defect;

/// The header that a link type announces.
pub(super) fn header(view: &mut View, link_type: u16) -> Result<Header, Stop> {
    Ok(match link_type {
        0 | 108 => return null(view),
        1 => Header::Ethernet,
        6 => return token_ring(view),
        8 => Header::Skip(16, &Header::Ip), // SLIP
        9 | 50 => Header::Ppp,
        10 => Header::Skip(13, &Header::Llc), // FDDI
        12 | 14 | 101 | 228 | 229 => Header::Ip,
        51 => Header::PppoeSession,
        100 => Header::Llc,          // ATM, RFC 1483
        104 => Header::EtherType(2), // Cisco HDLC
        105 => Header::Wlan(false),
        109 => Header::Skip(12, &Header::Ip), // OpenBSD's enc(4)
        113 => return sll(view),
        117 => return pflog(view),
        119 | 163 => return super::wlan::prism_or_avs(view),
        122 => Header::Skip(16, &Header::Llc), // IP over Fibre Channel
        127 => return super::wlan::radiotap(view),
        129 => return arcnet_linux(view),
        138 => Header::EtherType(16), // IP over IEEE 1394
        143 => return docsis(view),
        192 => return ppi(view),
        204 => Header::Skip(1, &Header::Ppp),
        205 => Header::EtherType(3),          // Cisco HDLC behind a direction
        226 => Header::Skip(24, &Header::Ip), // Solaris ipnet
        239 => return nflog(view),
        240 => Header::Skip(4, &Header::Ethernet), // netANALYZER
        258 => return pktap(view),
        274 => Header::Skip(8, &Header::Ethernet), // preamble first
        276 => return sll2(view),
        _ => return Err(Stop::UNKNOWN_LINK_TYPE),
    })
}

/// An EtherType, or the length of an IEEE 802.3 frame (up to 1500), behind which padding may stand.
pub(super) fn ether_type(view: &mut View) -> Result<Header, Stop> {
    match view.u16_be(Defect::Link)? {
        length @ 0..=1500 => {
            view.limit(usize::from(length));
            Ok(Header::Llc)
        }
        ether_type => protocol::ether_type(ether_type).ok_or(Stop::NOT_DNS),
    }
}

/// IEEE 802.2; SNAP with the organisation codes of Ethernet (RFC 1042) and of bridge tunnels, or the SAP of IP.
pub(super) fn llc(view: &mut View) -> Result<Header, Stop> {
    match view.array(Defect::Link)? {
        [0xaa, 0xaa, 0x03] => match view.array(Defect::Link)? {
            [0, 0, 0 | 0xf8] => protocol::ether_type(view.u16_be(Defect::Link)?).ok_or(Stop::NOT_DNS),
            _ => Err(Stop::NOT_DNS),
        },
        [0x06, 0x06, 0x03] => Ok(Header::Ip),
        _ => Err(Stop::NOT_DNS),
    }
}

/// BSD loopback: an address family in the byte order of the host, which is not known (LOOP: network order). Some put an
/// EtherType or PPP there.
fn null(view: &mut View) -> Result<Header, Stop> {
    if view.peek() == Some([0xff, 0x03]) {
        return Ok(Header::Ppp);
    }
    match view.array(Defect::Link)? {
        // AF_INET; AF_INET6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS.
        [family, 0, 0, 0] | [0, 0, 0, family] if matches!(family, 2 | 10 | 23 | 24 | 28 | 30) => {
            Ok(Header::Ip)
        }
        [_, _, t0, t1] => protocol::ether_type(u16::from_be_bytes([t0, t1])).ok_or(Stop::NOT_DNS),
    }
}

/// IEEE 802.5: a set first bit of the source address says that routing information stands before the LLC header.
fn token_ring(view: &mut View) -> Result<Header, Stop> {
    view.skip(8, Defect::Link)?;
    let [source, ..]: [u8; 6] = view.array(Defect::Link)?;
    if source & 0x80 != 0 {
        let [control, _] = view.array(Defect::Link)?;
        view.skip(usize::from(control & 0x1f).saturating_sub(2), Defect::Link)?;
    }
    Ok(Header::Llc)
}

/// Linux "cooked" capture, version 1.
fn sll(view: &mut View) -> Result<Header, Stop> {
    let [_, _, h0, h1, _, _, _, _, _, _, _, _, _, _, p0, p1] = view.array(Defect::Link)?;
    sll_payload([h0, h1], [p0, p1])
}

/// Linux "cooked" capture, version 2.
fn sll2(view: &mut View) -> Result<Header, Stop> {
    let [p0, p1, _, _, _, _, _, _, h0, h1, _, _, _, _, _, _, _, _, _, _] = view.array(Defect::Link)?;
    sll_payload([h0, h1], [p0, p1])
}

fn sll_payload(hardware: [u8; 2], protocol: [u8; 2]) -> Result<Header, Stop> {
    /// `ETH_P_802_2` of Linux, which is not an EtherType.
    const LLC: u16 = 4;
    match (u16::from_be_bytes(hardware), u16::from_be_bytes(protocol)) {
        (801, _) => Ok(Header::Wlan(false)),
        (802, _) => Ok(Header::Link(119)),
        (803, _) => Ok(Header::Link(127)),
        (_, LLC) => Ok(Header::Llc),
        (_, ether_type) => protocol::ether_type(ether_type).ok_or(Stop::NOT_DNS),
    }
}

/// OpenBSD's packet filter log: its length stands first, without the padding to 4 octets.
fn pflog(view: &mut View) -> Result<Header, Stop> {
    let [length] = view.array(Defect::Link)?;
    view.skip(usize::from(length).next_multiple_of(4).saturating_sub(1), Defect::Link)?;
    Ok(Header::Ip)
}

/// ARCNET as Linux gives it: RFC 1201 with a sequence header, RFC 1051 without.
fn arcnet_linux(view: &mut View) -> Result<Header, Stop> {
    const EXCEPTION: u8 = 0xff;
    let [_, _, _, _, kind] = view.array(Defect::Link)?;
    match kind {
        240 => Ok(Header::Ip),
        212 | 196 => {
            let [split_flag, _, _] = view.array(Defect::Link)?;
            Ok(if split_flag == EXCEPTION { Header::Skip(4, &Header::Ip) } else { Header::Ip })
        }
        _ => Err(Stop::NOT_DNS),
    }
}

/// DOCSIS MAC frames that carry Ethernet, with or without an extended header.
fn docsis(view: &mut View) -> Result<Header, Stop> {
    let [control, parameter, _, _] = view.array(Defect::Link)?;
    if control >> 6 != 0 {
        return Err(Stop::NOT_DNS);
    }
    let extended = if control & 1 == 1 { usize::from(parameter) } else { 0 };
    view.skip(extended + 2, Defect::Link)?;
    Ok(Header::Ethernet)
}

/// Per-Packet Information: fields that are passed over, then the link type that it names.
fn ppi(view: &mut View) -> Result<Header, Stop> {
    let [_, _, l0, l1, t0, t1, t2, t3] = view.array(Defect::Link)?;
    let rest =
        usize::from(u16::from_le_bytes([l0, l1])).checked_sub(8).ok_or(Stop::malformed(Defect::Link))?;
    view.skip(rest, Defect::Link)?;
    inner_link_type(u32::from_le_bytes([t0, t1, t2, t3]))
}

/// Apple's capture header: its length, a record type, the link type of what follows.
fn pktap(view: &mut View) -> Result<Header, Stop> {
    let [l0, l1, l2, l3, _, _, _, _, t0, t1, t2, t3] = view.array(Defect::Link)?;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    view.skip(length.checked_sub(12).ok_or(Stop::malformed(Defect::Link))?, Defect::Link)?;
    inner_link_type(u32::from_le_bytes([t0, t1, t2, t3]))
}

fn inner_link_type(link_type: u32) -> Result<Header, Stop> {
    u16::try_from(link_type).map(Header::Link).map_err(|_| Stop::UNKNOWN_LINK_TYPE)
}

/// Netfilter log: attributes in the byte order of the host; one of them is the packet.
fn nflog(view: &mut View) -> Result<Header, Stop> {
    const PAYLOAD: u16 = 9;
    view.skip(4, Defect::Link)?;
    loop {
        let [l0, l1, k0, k1] = view.array(Defect::Link)?;
        // Attribute types are small, so the octet that is 0 tells the order.
        let (length, kind) = if k1 & 0x7f == 0 {
            (u16::from_le_bytes([l0, l1]), u16::from_le_bytes([k0, k1]))
        } else {
            (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([k0, k1]))
        };
        let length = usize::from(length).checked_sub(4).ok_or(Stop::malformed(Defect::Link))?;
        if kind & 0x7fff == PAYLOAD {
            view.limit(length);
            return Ok(Header::Ip);
        }
        view.skip(length.next_multiple_of(4), Defect::Link)?;
    }
}

/// One MPLS label (RFC 3032). Below the last one nothing says what follows: IP if it can be that, else an Ethernet
/// pseudowire (RFC 4448), with or without its control word.
pub(super) fn mpls(view: &mut View) -> Result<Header, Stop> {
    let [_, _, bottom, _] = view.array(Defect::Link)?;
    if bottom & 1 == 0 {
        return Ok(Header::Mpls);
    }
    if is_plausible_ip(view) {
        return Ok(Header::Ip);
    }
    let is_ethernet = view
        .peek()
        .is_some_and(|[.., t0, t1]: [u8; 14]| protocol::ether_type(u16::from_be_bytes([t0, t1])).is_some());
    Ok(match view.nibble() {
        _ if is_ethernet => Header::Ethernet,
        Some(0) => Header::Skip(4, &Header::Ethernet),
        // Neither: an IP header that is damaged, an associated channel, or another pseudowire.
        Some(4 | 6) => Header::Ip,
        _ => return Err(Stop::NOT_DNS),
    })
}

/// Whether an IP header stands here whose lengths the frame can hold.
pub(super) fn is_plausible_ip(view: &View) -> bool {
    match view.peek() {
        Some([0x45..=0x4f, _, l0, l1]) => {
            (20..=view.wire_len()).contains(&usize::from(u16::from_be_bytes([l0, l1])))
        }
        Some([0x60..=0x6f, ..]) => view.peek().is_some_and(|[_, _, _, _, l0, l1]| {
            usize::from(u16::from_be_bytes([l0, l1])) + 40 <= view.wire_len()
        }),
        _ => false,
    }
}

/// PPPoE (RFC 2516), in its session stage.
pub(super) fn pppoe_session(view: &mut View) -> Result<Header, Stop> {
    let [version_type, code, _, _, l0, l1] = view.array(Defect::Link)?;
    if version_type != 0x11 || code != 0 {
        return Err(Stop::NOT_DNS);
    }
    view.limit(usize::from(u16::from_be_bytes([l0, l1])));
    Ok(Header::Ppp)
}

/// PPP (RFC 1661), perhaps in HDLC-like framing (RFC 1662) or Cisco's, perhaps with its protocol field compressed.
pub(super) fn ppp(view: &mut View) -> Result<Header, Stop> {
    match view.peek() {
        Some([0xff, 0x03]) => view.skip(2, Defect::Link)?,
        Some([0x0f | 0x8f, 0x00]) => return Ok(Header::EtherType(2)),
        _ => {}
    }
    let [high] = view.array(Defect::Link)?;
    let number = if high & 1 == 1 {
        u16::from(high)
    } else {
        let [low] = view.array(Defect::Link)?;
        u16::from_be_bytes([high, low])
    };
    protocol::ppp(number).ok_or(Stop::NOT_DNS)
}
