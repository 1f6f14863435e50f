//! From a captured frame to a UDP datagram or TCP segment on a DNS port: link layers, IP, fragments, tunnels.
//!
//! Nearly all DNS is one Ethernet header, at most one VLAN tag, a plain IP header and UDP: `fast` reads those in one step.
//! Every other frame, and every one about which anything is odd, goes header by header through `walk`, which is a loop
//! with a limit and not a recursion. Both ways give the same where both apply; a test holds them to it.
//!
//! Checksums are not verified: offload leaves them wrong in what a host captures of itself. A datagram with a DNS port on
//! either side is DNS and never a tunnel. What ICMP errors quote is not a message.

mod fast;
mod fragment;
mod ip;
mod link;
mod protocol;
mod transport;
mod tunnel;
mod view;
mod walk;
mod wlan;

use lowtide_proto::Packet;

use crate::{Defect, Fate, Ports, Unit};
use fragment::FragmentTable;
pub use fragment::{FragmentLimits, Reassembly};
use walk::{Found, Walk};

/// Headers of all kinds in one frame: eight tunnels of Ethernet, IP, UDP and VXLAN.
const MAX_HEADERS: usize = 32;
/// Datagrams of one frame that each come out of fragments of the one around it.
const MAX_REASSEMBLIES: usize = 4;

/// Takes link layers, IP and tunnels off frames, and puts IP fragments together.
pub struct Layers {
    ports: Ports,
    fragments: FragmentTable,
    /// The reassembled datagrams of the frame at hand, the inner ones behind the outer.
    reassembled: [Vec<u8>; MAX_REASSEMBLIES],
}

/// A frame taken down to its datagram or segment.
#[derive(Clone, Copy, Debug)]
pub struct Peeled<'a> {
    /// What it carries.
    pub unit: Unit<'a>,
    /// Whether it came out of fragments, the last of which is the frame: its fate is then [`Fate::IpFragment`].
    pub reassembled: bool,
}

/// Why a frame gives no datagram or segment on a DNS port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The frame's fate.
    pub fate: Fate,
    /// What is wrong, of the fate [`Fate::Malformed`].
    pub defect: Option<Defect>,
}

impl Stop {
    const FRAGMENT: Self = Self { fate: Fate::IpFragment, defect: None };
    const NOT_DNS: Self = Self { fate: Fate::NotDns, defect: None };
    const TRUNCATED: Self = Self { fate: Fate::Truncated, defect: None };
    const UNKNOWN_LINK_TYPE: Self = Self { fate: Fate::UnknownLinkType, defect: None };

    const fn malformed(defect: Defect) -> Self {
        Self { fate: Fate::Malformed, defect: Some(defect) }
    }
}

/// Which header comes next.
#[derive(Clone, Copy, Debug)]
enum Header {
    /// What a `LINKTYPE_` value says.
    Link(u16),
    /// So many octets to pass over, then this header.
    Skip(u8, &'static Header),
    /// So many octets to pass over, then an EtherType: a tag.
    EtherType(u8),
    Ethernet,
    /// IEEE 802.2, perhaps with SNAP.
    Llc,
    /// IEEE 802.11; whether its header is padded to 4 octets.
    Wlan(bool),
    Mpls,
    PppoeSession,
    Ppp,
    /// The Network Service Header (RFC 8300).
    Nsh,
    Gre,
    /// IPv4 or IPv6, as its version says.
    Ip,
    /// What an IP protocol number says.
    Protocol(u8),
}

impl Layers {
    /// Looks for DNS on `ports`, and holds fragments within `limits`.
    pub fn new(ports: Ports, limits: FragmentLimits) -> Self {
        Self { ports, fragments: FragmentTable::new(limits), reassembled: Default::default() }
    }

    /// What became of fragmented datagrams so far.
    pub fn reassembly(&self) -> Reassembly {
        self.fragments.counters()
    }

    /// Takes the frame's headers off, down to a UDP datagram or TCP segment on a DNS port.
    ///
    /// A datagram's payload may be shorter than a DNS header.
    ///
    /// # Errors
    /// [`Stop`] with the fate of a frame that carries none: [`Fate::IpFragment`] (its datagram is not complete, or was
    /// not DNS), [`Fate::NotDns`], [`Fate::UnknownLinkType`], [`Fate::Malformed`] with the defect, or
    /// [`Fate::Truncated`].
    #[inline]
    pub fn peel<'a>(&'a mut self, packet: &Packet<'a>) -> Result<Peeled<'a>, Stop> {
        match fast::datagram(packet, &self.ports) {
            Some(udp) => Ok(Peeled { unit: Unit::Udp(udp), reassembled: false }),
            None => self.peel_any(packet),
        }
    }

    #[inline(never)]
    fn peel_any<'a>(&'a mut self, packet: &Packet<'a>) -> Result<Peeled<'a>, Stop> {
        let Self { ports, fragments, reassembled: buffers } = self;
        let mut buffers = buffers.iter_mut();
        let mut walk = Walk::new(packet);
        let mut reassembled = false;
        loop {
            let fragment = match walk.run(ports) {
                Ok(Found::Unit(unit)) => return Ok(Peeled { unit, reassembled }),
                Ok(Found::Fragment(fragment)) => fragment,
                Err(stop) if reassembled && stop.defect.is_none() => return Err(Stop::FRAGMENT),
                Err(stop) => return Err(stop),
            };
            let buffer = buffers.next().ok_or(Stop::malformed(Defect::Depth))?;
            let Some(protocol) = fragments.add(&fragment, packet.time, buffer)? else {
                return Err(Stop::FRAGMENT);
            };
            walk.enter(buffer, protocol);
            reassembled = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use lowtide_proto::{LinkType, Timestamp};

    use super::*;

    fn ethernet(ip: &[u8], tag: &[u8]) -> Vec<u8> {
        let ether_type: &[u8] = if ip[0] >> 4 == 4 { &[0x08, 0x00] } else { &[0x86, 0xdd] };
        [&[0; 12], tag, ether_type, ip, &[0; 4]].concat()
    }

    #[test]
    fn the_short_way_gives_what_the_long_way_gives() {
        let udp = [0x9c, 0x40, 0, 53, 0, 20, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let v4 = [&[0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], &udp[..]].concat();
        let v6 = [&[0x60, 0, 0, 0, 0, 20, 17, 64], &[0x20; 32][..], &udp].concat();
        let tag = [0x81, 0, 0, 7];
        let frames = [ethernet(&v4, &[]), ethernet(&v6, &[]), ethernet(&v4, &tag), ethernet(&v6, &tag)];
        let ports = Ports::default();
        let (mut short, mut declined) = (0, 0);
        for frame in frames {
            for at in 12..frame.len() {
                for value in 0..=u8::MAX {
                    let mut data = frame.clone();
                    data[at] = value;
                    let wire_len = data.len() as u32;
                    let packet = Packet {
                        time: Timestamp(0),
                        time_known: true,
                        link_type: LinkType(1),
                        data: &data,
                        wire_len,
                    };
                    let Some(fast) = fast::datagram(&packet, &ports) else {
                        declined += 1;
                        continue;
                    };
                    let Ok(Found::Unit(Unit::Udp(slow))) = Walk::new(&packet).run(&ports) else {
                        panic!("only the short way reads {data:02x?}");
                    };
                    assert_eq!((fast.source, fast.destination), (slow.source, slow.destination));
                    assert_eq!((fast.payload, fast.wire_len), (slow.payload, slow.wire_len));
                    short += 1;
                }
            }
        }
        assert!(short > 30_000 && declined > 5_000, "{short} read, {declined} declined");
    }

    #[test]
    fn what_fragments_hold_is_within_the_budget_and_given_back() {
        let limits = FragmentLimits { octets: 100_000, ..FragmentLimits::default() };
        let mut layers = Layers::new(Ports::default(), limits);
        for id in 0..20_000_u16 {
            let length = 8 * (1 + id % 180);
            let [i0, i1] = id.to_be_bytes();
            let [l0, l1] = (20 + length).to_be_bytes();
            let header =
                [0x45, 0, l0, l1, i0, i1, 0x20 | (id % 3) as u8, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
            let data = [&header[..], &vec![0; usize::from(length)]].concat();
            let wire_len = data.len() as u32;
            let time = Timestamp::new(u64::from(id) / 1000, 0);
            let packet = Packet { time, time_known: true, link_type: LinkType(101), data: &data, wire_len };
            assert_eq!(layers.peel(&packet).err(), Some(Stop::FRAGMENT));
            assert!(layers.fragments.memory() <= limits.octets);
        }
        let late =
            [0x45, 0, 0, 28, 0, 0, 0x20, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        let packet = Packet {
            time: Timestamp::new(1000, 0),
            time_known: true,
            link_type: LinkType(101),
            data: &late,
            wire_len: 28,
        };
        assert_eq!(layers.peel(&packet).err(), Some(Stop::FRAGMENT));
        assert_eq!(layers.reassembly().pending, 1);
        assert!(layers.fragments.memory() <= 16 * 1024, "{}", layers.fragments.memory());
    }
}
