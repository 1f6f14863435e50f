//! Which header follows, by the numbers that announce it.

use super::Header;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const IPV6_FRAGMENT: u8 = 44;
pub(super) const AUTHENTICATION: u8 = 51;

/// Hop-by-hop options, routing, destination options, mobility, HIP, shim6.
pub(super) const fn is_ipv6_extension(protocol: u8) -> bool {
    matches!(protocol, 0 | 43 | 60 | 135 | 139 | 140)
}

/// The header that an IP protocol number announces, for the protocols that tunnel.
pub(super) const fn tunnel(protocol: u8) -> Option<Header> {
    Some(match protocol {
        // IP in IP (RFC 2003), IPv6 (RFC 4213), IPIP, ENCAP: all as tshark reads them.
        4 | 41 | 94 | 98 => Header::Ip,
        47 => Header::Gre,
        97 => Header::Skip(2, &Header::Ethernet),
        137 => Header::Mpls,
        143 => Header::Ethernet,
        _ => return None,
    })
}

/// Whether DNS can stand behind a header of this protocol; fragments of other protocols need not be held.
pub(super) const fn leads_to_dns(protocol: u8, ipv6: bool) -> bool {
    matches!(protocol, TCP | UDP | AUTHENTICATION)
        || tunnel(protocol).is_some()
        || (ipv6 && (protocol == IPV6_FRAGMENT || is_ipv6_extension(protocol)))
}

/// The header that an EtherType announces.
pub(super) const fn ether_type(ether_type: u16) -> Option<Header> {
    Some(match ether_type {
        0x0800 | 0x86dd => Header::Ip,
        // 802.1Q, 802.1ad, and the numbers used before it for stacked tags.
        0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => Header::EtherType(2),
        // VN-Tag, 802.1BR E-Tag, Cisco metadata (TrustSec).
        0x8926 => Header::EtherType(4),
        0x893f | 0x8909 => Header::EtherType(6),
        // 802.1ah: the I-tag, then the customer's frame.
        0x88e7 => Header::Skip(4, &Header::Ethernet),
        0x6558 => Header::Ethernet,
        0x8847 | 0x8848 => Header::Mpls,
        0x8864 => Header::PppoeSession,
        0x880b => Header::Ppp,
        0x894f => Header::Nsh,
        _ => return None,
    })
}

/// The header that a protocol number of PPP announces.
pub(super) const fn ppp(protocol: u16) -> Option<Header> {
    Some(match protocol {
        0x0021 | 0x0057 => Header::Ip,
        0x0281 | 0x0283 => Header::Mpls,
        _ => return None,
    })
}
