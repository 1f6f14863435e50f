//! IPv4 (RFC 791), IPv6 (RFC 8200) and its extension headers.

use super::fragment::{Fragment, Key};
use super::view::View;
use super::{Stop, protocol};
use crate::Defect;

/// What the innermost IP header said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Network {
    /// IPv4 as `::ffff:a.b.c.d`.
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    pub(super) ipv6: bool,
    /// Whether all that the header announces was captured; else a fragment of it cannot be reassembled.
    pub(super) whole: bool,
    /// Whether it is a first fragment that is read alone, because it was not captured to its end.
    pub(super) first_fragment: bool,
}

/// What stands behind an IP header.
pub(super) enum Payload<'a> {
    /// The header of this protocol.
    Protocol(u8),
    /// A fragment, to be put together with others.
    Fragment(Fragment<'a>),
}

/// The header of either version. As in tshark, the version nibble decides and not what the layer below announced.
pub(super) fn header<'a>(view: &mut View<'a>, network: &mut Network) -> Result<Payload<'a>, Stop> {
    match view.nibble() {
        Some(6) => v6(view, network),
        _ => v4(view, network),
    }
}

fn v4<'a>(view: &mut View<'a>, network: &mut Network) -> Result<Payload<'a>, Stop> {
    let wire_len = view.wire_len();
    let [version_ihl, _, t0, t1, id0, id1, f0, f1, _, proto, _, _, s0, s1, s2, s3, d0, d1, d2, d3] =
        view.array(Defect::Ipv4)?;
    let header_len = usize::from(version_ihl & 0x0f) * 4;
    // Segmentation offload leaves the total length 0 in what the host itself sends.
    let total_len = match u16::from_be_bytes([t0, t1]) {
        0 => wire_len,
        total_len => usize::from(total_len),
    };
    if version_ihl >> 4 != 4 || header_len < 20 || total_len < header_len {
        return Err(Stop::malformed(Defect::Ipv4));
    }
    let whole = view.limit(total_len - 20);
    view.skip(header_len - 20, Defect::Ipv4)?;
    *network = Network {
        source: mapped([s0, s1, s2, s3]),
        destination: mapped([d0, d1, d2, d3]),
        ipv6: false,
        whole,
        first_fragment: false,
    };
    let flags_offset = u16::from_be_bytes([f0, f1]);
    let place = Place { offset: usize::from(flags_offset & 0x1fff) * 8, more: flags_offset & 0x2000 != 0 };
    fragment_or_rest(view, network, u32::from(u16::from_be_bytes([id0, id1])), proto, proto, place)
}

fn v6<'a>(view: &mut View<'a>, network: &mut Network) -> Result<Payload<'a>, Stop> {
    let fixed: [u8; 8] = view.array(Defect::Ipv6)?;
    let source = view.array(Defect::Ipv6)?;
    let destination = view.array(Defect::Ipv6)?;
    let [.., l0, l1, next, _] = fixed;
    // 0 is a jumbogram (RFC 2675) or segmentation offload: all that is there.
    let whole = match u16::from_be_bytes([l0, l1]) {
        0 => view.rest().len() == view.wire_len(),
        payload_len => view.limit(usize::from(payload_len)),
    };
    *network = Network { source, destination, ipv6: true, whole, first_fragment: false };
    Ok(Payload::Protocol(next))
}

/// Hop-by-hop, routing, destination options, mobility, HIP and shim6: all have one shape (RFC 6564).
pub(super) fn extension(view: &mut View) -> Result<u8, Stop> {
    let [next, length] = view.array(Defect::Ipv6)?;
    view.skip(usize::from(length) * 8 + 6, Defect::Ipv6)?;
    Ok(next)
}

/// The Authentication Header (RFC 4302), in both versions of IP; its length counts words of 4 octets, less 2.
pub(super) fn authentication(view: &mut View, network: &Network) -> Result<u8, Stop> {
    let defect = if network.ipv6 { Defect::Ipv6 } else { Defect::Ipv4 };
    let [next, length] = view.array(defect)?;
    view.skip((usize::from(length) + 2) * 4 - 2, defect)?;
    Ok(next)
}

/// The IPv6 fragment header (RFC 8200 §4.5).
pub(super) fn fragment<'a>(view: &mut View<'a>, network: &mut Network) -> Result<Payload<'a>, Stop> {
    let [next, _, o0, o1, i0, i1, i2, i3] = view.array(Defect::Ipv6)?;
    let offset_flags = u16::from_be_bytes([o0, o1]);
    let place = Place { offset: usize::from(offset_flags & 0xfff8), more: offset_flags & 1 != 0 };
    fragment_or_rest(view, network, u32::from_be_bytes([i0, i1, i2, i3]), next, 0, place)
}

struct Place {
    offset: usize,
    more: bool,
}

fn fragment_or_rest<'a>(
    view: &View<'a>,
    network: &mut Network,
    id: u32,
    next: u8,
    key_protocol: u8,
    Place { offset, more }: Place,
) -> Result<Payload<'a>, Stop> {
    if offset == 0 && !more {
        // Not a fragment, or an atomic one (RFC 6946).
        return Ok(Payload::Protocol(next));
    }
    if !protocol::leads_to_dns(next, network.ipv6) {
        return Err(Stop::FRAGMENT);
    }
    if !network.whole {
        network.first_fragment = true;
        return if offset == 0 { Ok(Payload::Protocol(next)) } else { Err(Stop::FRAGMENT) };
    }
    let Network { source, destination, ipv6, .. } = *network;
    let key = Key { source, destination, id, protocol: key_protocol, ipv6 };
    Ok(Payload::Fragment(Fragment { key, protocol: next, offset, more, data: view.rest() }))
}

const fn mapped([a, b, c, d]: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
}
