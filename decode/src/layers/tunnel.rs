//! Tunnels: GRE and what it carries, and those that run over UDP.

use super::view::View;
use super::{Header, Stop, link, protocol};
use crate::Defect;

/// GRE (RFC 2784, 2890), with the routing of RFC 1701, and PPTP's enhanced form (RFC 2637).
pub(super) fn gre(view: &mut View) -> Result<Header, Stop> {
    const CHECKSUM: u16 = 0x8000;
    const ROUTING: u16 = 0x4000;
    const KEY: u16 = 0x2000;
    const SEQUENCE: u16 = 0x1000;
    const ACKNOWLEDGEMENT: u16 = 0x0080;

    let flags = view.u16_be(Defect::Tunnel)?;
    let kind = view.u16_be(Defect::Tunnel)?;
    let version = flags & 7;
    if version > 1 {
        return Err(Stop::NOT_DNS);
    }
    let has = |flag| if flags & flag != 0 { 4 } else { 0 };
    view.skip(has(CHECKSUM | ROUTING) + has(KEY) + has(SEQUENCE), Defect::Tunnel)?;
    if version == 1 {
        view.skip(has(ACKNOWLEDGEMENT), Defect::Tunnel)?;
    } else if flags & ROUTING != 0 {
        skip_routes(view)?;
    }
    match kind {
        // ERSPAN I has no header of its own, and no sequence number before it.
        0x88be if flags & SEQUENCE == 0 => Ok(Header::Ethernet),
        0x88be => Ok(Header::Skip(8, &Header::Ethernet)),
        0x22eb => erspan3(view),
        // WCCP: version 2 puts 4 octets before the IP header.
        0x883e if link::is_plausible_ip(view) => Ok(Header::Ip),
        0x883e => Ok(Header::Skip(4, &Header::Ip)),
        // Aruba's mirrored 802.11 frames.
        0x8200..=0x820f | 0x9000 => Ok(Header::Wlan(false)),
        _ => protocol::ether_type(kind).ok_or(Stop::NOT_DNS),
    }
}

/// The source route entries of RFC 1701, up to the empty one.
fn skip_routes(view: &mut View) -> Result<(), Stop> {
    loop {
        let [f0, f1, _, length] = view.array(Defect::Tunnel)?;
        if [f0, f1, length] == [0, 0, 0] {
            return Ok(());
        }
        view.skip(usize::from(length), Defect::Tunnel)?;
    }
}

/// ERSPAN III (draft-foschiano-erspan): 12 octets, 8 more when its last bit says so; Ethernet or IP.
fn erspan3(view: &mut View) -> Result<Header, Stop> {
    let [.., frame_type, last]: [u8; 12] = view.array(Defect::Tunnel)?;
    if last & 1 == 1 {
        view.skip(8, Defect::Tunnel)?;
    }
    match frame_type >> 2 & 0x1f {
        0 => Ok(Header::Ethernet),
        2 => Ok(Header::Ip),
        _ => Err(Stop::NOT_DNS),
    }
}

/// The Network Service Header (RFC 8300); its length counts words of 4 octets.
pub(super) fn nsh(view: &mut View) -> Result<Header, Stop> {
    let [_, length, _, next] = view.array(Defect::Tunnel)?;
    let rest = (usize::from(length & 0x3f) * 4).checked_sub(4).ok_or(Stop::malformed(Defect::Tunnel))?;
    view.skip(rest, Defect::Tunnel)?;
    service(next)
}

/// The next protocol of NSH, and of VXLAN-GPE, which shares its numbers.
fn service(next: u8) -> Result<Header, Stop> {
    match next {
        1 | 2 => Ok(Header::Ip),
        3 => Ok(Header::Ethernet),
        4 => Ok(Header::Nsh),
        5 => Ok(Header::Mpls),
        _ => Err(Stop::NOT_DNS),
    }
}

/// A UDP datagram that is not on a DNS port. A tunnel's port is only a hint, as any client may have drawn it: what does
/// not look like that tunnel's header is not DNS, rather than malformed.
pub(super) fn over_udp(view: &mut View, source: u16, destination: u16) -> Result<Header, Stop> {
    let header: fn(&mut View) -> Result<Header, Stop> = match (source, destination) {
        (_, 4789 | 8472) => vxlan,
        (_, 4790) => vxlan_gpe,
        (_, 6081) => geneve,
        (_, 6635) => |_| Ok(Header::Mpls),
        (_, 37008) => tzsp,
        (1701, _) | (_, 1701) => l2tp,
        (2152, _) | (_, 2152) => gtp,
        (3544, _) | (_, 3544) => teredo,
        _ => return Err(Stop::NOT_DNS),
    };
    view.skip(8, Defect::Udp)?;
    match header(view) {
        Err(stop) if stop.defect.is_some() => Err(Stop::NOT_DNS),
        next => next,
    }
}

/// VXLAN (RFC 7348) and its group policy extension: a valid network identifier, then Ethernet.
fn vxlan(view: &mut View) -> Result<Header, Stop> {
    let [flags, ..]: [u8; 8] = view.array(Defect::Tunnel)?;
    if flags & 0x08 != 0 { Ok(Header::Ethernet) } else { Err(Stop::NOT_DNS) }
}

/// VXLAN-GPE (draft-ietf-nvo3-vxlan-gpe).
fn vxlan_gpe(view: &mut View) -> Result<Header, Stop> {
    let [flags, _, _, next, ..]: [u8; 8] = view.array(Defect::Tunnel)?;
    if flags & 0x04 != 0 { service(next) } else { Ok(Header::Ethernet) }
}

/// GENEVE (RFC 8926); its options count words of 4 octets.
fn geneve(view: &mut View) -> Result<Header, Stop> {
    let [version_length, _, t0, t1, _, _, _, _] = view.array(Defect::Tunnel)?;
    if version_length >> 6 != 0 {
        return Err(Stop::NOT_DNS);
    }
    view.skip(usize::from(version_length & 0x3f) * 4, Defect::Tunnel)?;
    protocol::ether_type(u16::from_be_bytes([t0, t1])).ok_or(Stop::NOT_DNS)
}

/// GTP-U (3GPP TS 29.281): version 1 with a G-PDU that is IP, behind any extension headers.
fn gtp(view: &mut View) -> Result<Header, Stop> {
    const VERSION_1_OF_GTP: u8 = 0x30;
    const G_PDU: u8 = 255;
    let [flags, kind, ..]: [u8; 8] = view.array(Defect::Tunnel)?;
    if flags & 0xf0 != VERSION_1_OF_GTP || kind != G_PDU {
        return Err(Stop::NOT_DNS);
    }
    if flags & 0x07 != 0 {
        let [_, _, _, mut next] = view.array(Defect::Tunnel)?;
        while next != 0 {
            let [words] = view.array(Defect::Tunnel)?;
            let content = (usize::from(words) * 4).checked_sub(2).ok_or(Stop::NOT_DNS)?;
            view.skip(content, Defect::Tunnel)?;
            [next] = view.array(Defect::Tunnel)?;
        }
    }
    ip_or_nothing(view)
}

/// Teredo (RFC 4380 §5.1.1): authentication and origin indication may stand before the IPv6 packet.
fn teredo(view: &mut View) -> Result<Header, Stop> {
    if view.peek() == Some([0, 1]) {
        let [_, _, identifier, value] = view.array(Defect::Tunnel)?;
        view.skip(usize::from(identifier) + usize::from(value) + 9, Defect::Tunnel)?;
    }
    if view.peek() == Some([0, 0]) {
        view.skip(8, Defect::Tunnel)?;
    }
    ip_or_nothing(view)
}

fn ip_or_nothing(view: &View) -> Result<Header, Stop> {
    if link::is_plausible_ip(view) { Ok(Header::Ip) } else { Err(Stop::NOT_DNS) }
}

/// L2TP version 2 (RFC 2661 §3.1), data messages.
fn l2tp(view: &mut View) -> Result<Header, Stop> {
    const CONTROL: u16 = 0x8000;
    const LENGTH: u16 = 0x4000;
    const SEQUENCE: u16 = 0x0800;
    const OFFSET: u16 = 0x0200;
    let flags = view.u16_be(Defect::Tunnel)?;
    if flags & 0x000f != 2 || flags & CONTROL != 0 {
        return Err(Stop::NOT_DNS);
    }
    let has = |flag, octets| if flags & flag != 0 { octets } else { 0 };
    view.skip(has(LENGTH, 2) + 4 + has(SEQUENCE, 4), Defect::Tunnel)?;
    if flags & OFFSET != 0 {
        let pad = view.u16_be(Defect::Tunnel)?;
        view.skip(usize::from(pad), Defect::Tunnel)?;
    }
    Ok(Header::Ppp)
}

/// TaZmen Sniffer Protocol, as MikroTik and Cisco mirror packets: tagged fields, then Ethernet or 802.11.
fn tzsp(view: &mut View) -> Result<Header, Stop> {
    const PADDING: u8 = 0;
    const END: u8 = 1;
    let inner = match view.array(Defect::Tunnel)? {
        [1, 0, 0, 1] => Header::Ethernet,
        [1, 0, 0, 18] => Header::Wlan(false),
        _ => return Err(Stop::NOT_DNS),
    };
    loop {
        match view.array(Defect::Tunnel)? {
            [PADDING] => {}
            [END] => return Ok(inner),
            _ => {
                let [length] = view.array(Defect::Tunnel)?;
                view.skip(usize::from(length), Defect::Tunnel)?;
            }
        }
    }
}
