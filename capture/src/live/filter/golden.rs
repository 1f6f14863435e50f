//! Frames made for testing a filter.
//!
//! Checksums are 0: no filter looks at them.

use lowtide_proto::LinkType;

use super::machine::Frame;
use super::{ETHERNET, SLL, SLL2};

/// The addresses of a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Addresses {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

/// Of documentation: RFC 5737 and RFC 3849.
pub(super) const CLIENT_4: [u8; 4] = [192, 0, 2, 1];
pub(super) const SERVER_4: [u8; 4] = [198, 51, 100, 2];
pub(super) const CLIENT_6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
pub(super) const SERVER_6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const V4: Addresses = Addresses::V4(CLIENT_4, SERVER_4);
const V6: Addresses = Addresses::V6(CLIENT_6, SERVER_6);

const CLIENT_PORT: u16 = 40_000;

/// An IP packet with its name.
#[derive(Clone, Debug)]
pub(super) struct Golden {
    pub(super) name: &'static str,
    pub(super) packet: Vec<u8>,
    is_v6: bool,
}

impl Golden {
    fn new(name: &'static str, packet: Vec<u8>) -> Self {
        let is_v6 = packet.first().is_some_and(|octet| octet >> 4 == 6);
        Self { name, packet, is_v6 }
    }

    /// The packet with the headers of a link type, in each shape that the kernel shows; none for other link types.
    pub(super) fn shapes(&self, link_type: LinkType) -> Option<Vec<(&'static str, Frame)>> {
        let ether_type: u16 = if self.is_v6 { 0x86dd } else { 0x0800 };
        let frame = |head: &[&[u8]], tag| {
            let mut octets = head.concat();
            octets.extend_from_slice(&ether_type.to_be_bytes());
            octets.extend_from_slice(&self.packet);
            Frame { octets, tag }
        };
        const MACS: &[u8] = &[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        const TAG: &[u8] = &[0x81, 0x00, 0x00, 0x07];
        const SERVICE_TAG: &[u8] = &[0x88, 0xa8, 0x00, 0x64];
        Some(match link_type {
            ETHERNET => vec![
                ("untagged", frame(&[MACS], None)),
                ("a tag in the frame", frame(&[MACS, TAG], None)),
                ("a tag beside the frame", frame(&[MACS], Some(7))),
                ("two tags in the frame", frame(&[MACS, SERVICE_TAG, TAG], None)),
                ("two tags of 802.1Q in the frame", frame(&[MACS, TAG, TAG], None)),
                ("one tag beside the frame and one in it", frame(&[MACS, TAG], Some(100))),
            ],
            SLL => vec![("cooked", frame(&[&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]], None))],
            SLL2 => {
                let mut octets = ether_type.to_be_bytes().to_vec();
                octets.extend_from_slice(&[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0]);
                octets.extend_from_slice(&self.packet);
                vec![("cooked", Frame { octets, tag: None })]
            }
            LinkType(101) => vec![("without link header", Frame { octets: self.packet.clone(), tag: None })],
            _ => return None,
        })
    }
}

/// What must pass.
pub(super) fn dns(ports: &[u16]) -> Vec<Golden> {
    let mut all = Vec::new();
    for port in ports.iter().copied() {
        let (query, response) = ((CLIENT_PORT, port), (port, CLIENT_PORT));
        all.extend([
            Golden::new("a query by UDP over IPv4", ip(V4, UDP, &udp(query))),
            Golden::new("a response by UDP over IPv4", ip(V4, UDP, &udp(response))),
            Golden::new("a query by TCP over IPv4", ip(V4, TCP, &tcp(query))),
            Golden::new("a response by TCP over IPv4", ip(V4, TCP, &tcp(response))),
            Golden::new("a query by UDP over IPv4 with options", with_options(query)),
            Golden::new("a query by UDP over IPv6", ip(V6, UDP, &udp(query))),
            Golden::new("a response by UDP over IPv6", ip(V6, UDP, &udp(response))),
            Golden::new("a query by TCP over IPv6", ip(V6, TCP, &tcp(query))),
            Golden::new("a response by TCP over IPv6", ip(V6, TCP, &tcp(response))),
            Golden::new("a query behind IPv6 hop-by-hop options", behind_options(0, query)),
            Golden::new("a query behind IPv6 destination options", behind_options(60, query)),
        ]);
        all.extend(fragments(V4, port));
        all.extend(fragments(V6, port));
    }
    all
}

/// What must not pass.
pub(super) fn other(ports: &[u16]) -> Vec<Golden> {
    // mDNS, HTTP; where those are DNS ports, others are tried.
    let candidates = || [5353, 80, 443, 123, 25, 22, 9].into_iter().filter(|port| !ports.contains(port));
    let (Some(of_udp), Some(of_tcp)) = (candidates().next(), candidates().nth(1)) else { return Vec::new() };
    let (of_udp, of_tcp) = ((of_udp, of_udp), (CLIENT_PORT, of_tcp));
    if ports.contains(&CLIENT_PORT) {
        return Vec::new();
    }
    vec![
        Golden::new("UDP of another port over IPv4", ip(V4, UDP, &udp(of_udp))),
        Golden::new("TCP of another port over IPv4", ip(V4, TCP, &tcp(of_tcp))),
        Golden::new("UDP of another port over IPv6", ip(V6, UDP, &udp(of_udp))),
        Golden::new("TCP of another port over IPv6", ip(V6, TCP, &tcp(of_tcp))),
        Golden::new("ICMP over IPv4", ip(V4, 1, &[8, 0, 0, 0, 0, 53, 0, 53])),
        Golden::new("ICMP over IPv6", ip(V6, 58, &[128, 0, 0, 0, 0, 53, 0, 53])),
    ]
}

/// A response as it is, which the server sends.
pub(super) fn whole(addresses: Addresses, port: u16) -> Golden {
    Golden::new("a response", ip(addresses, UDP, &udp((port, CLIENT_PORT))))
}

/// A large response in three fragments.
pub(super) fn fragments(addresses: Addresses, port: u16) -> [Golden; 3] {
    let first = udp((port, CLIENT_PORT));
    // What must not be taken for ports.
    let later = [0xa5; 48];
    match addresses {
        Addresses::V4(..) => [
            Golden::new("a first fragment over IPv4", fragment_4(addresses, 0x2000, &first)),
            Golden::new("a middle fragment over IPv4", fragment_4(addresses, 0x2000 | 6, &later)),
            Golden::new("a last fragment over IPv4", fragment_4(addresses, 12, &later)),
        ],
        Addresses::V6(..) => [
            Golden::new("a first fragment over IPv6", fragment_6(addresses, 1, &first)),
            Golden::new("a middle fragment over IPv6", fragment_6(addresses, 6 << 3 | 1, &later)),
            Golden::new("a last fragment over IPv6", fragment_6(addresses, 12 << 3, &later)),
        ],
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// "." IN NS, with a header that says query.
const MESSAGE: [u8; 17] = [0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

fn udp((source, destination): (u16, u16)) -> Vec<u8> {
    // Padded to a multiple of 8, so that it can be a fragment.
    let mut datagram = vec![0, 0, 0, 0, 0, 48, 0, 0];
    datagram.splice(0..4, [source.to_be_bytes(), destination.to_be_bytes()].concat());
    datagram.extend_from_slice(&MESSAGE);
    datagram.resize(48, 0);
    datagram
}

fn tcp((source, destination): (u16, u16)) -> Vec<u8> {
    let mut segment = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    // Sequence and acknowledgement, 5 words of header, PSH and ACK, window, checksum, urgent pointer.
    segment.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(&[0, 17]);
    segment.extend_from_slice(&MESSAGE);
    segment
}

/// An IP header without anything special in front of `payload`.
fn ip(addresses: Addresses, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match addresses {
        Addresses::V4(source, destination) => v4(source, destination, protocol, 0, &[], payload),
        Addresses::V6(source, destination) => {
            let [high, low] = length(payload.len());
            [&[0x60, 0, 0, 0, high, low, protocol, 64], &source[..], &destination, payload].concat()
        }
    }
}

fn v4(
    source: [u8; 4],
    destination: [u8; 4],
    protocol: u8,
    flags_offset: u16,
    options: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let [high, low] = length(20 + options.len() + payload.len());
    let [flags, offset] = flags_offset.to_be_bytes();
    let version_ihl = if options.is_empty() { 0x45 } else { 0x46 };
    [
        &[version_ihl, 0, high, low, 0x77, 0x77, flags, offset, 64, protocol, 0, 0],
        &source[..],
        &destination,
        options,
        payload,
    ]
    .concat()
}

fn fragment_4(addresses: Addresses, flags_offset: u16, payload: &[u8]) -> Vec<u8> {
    match addresses {
        Addresses::V4(source, destination) => v4(source, destination, UDP, flags_offset, &[], payload),
        Addresses::V6(..) => fragment_6(addresses, flags_offset, payload),
    }
}

fn fragment_6(addresses: Addresses, offset_flags: u16, payload: &[u8]) -> Vec<u8> {
    let [offset, flags] = offset_flags.to_be_bytes();
    ip(addresses, 44, &[&[UDP, 0, offset, flags, 0x77, 0x77, 0x77, 0x77], payload].concat())
}

fn with_options(ports: (u16, u16)) -> Vec<u8> {
    // Router alert, as the only option of four octets.
    v4(CLIENT_4, SERVER_4, UDP, 0, &[0x94, 4, 0, 0], &udp(ports))
}

fn behind_options(header: u8, ports: (u16, u16)) -> Vec<u8> {
    // The next header, a length of 8 octets, and padding (PadN).
    ip(V6, header, &[&[UDP, 0, 1, 4, 0, 0, 0, 0], &udp(ports)[..]].concat())
}

fn length(octets: usize) -> [u8; 2] {
    u16::try_from(octets).unwrap_or(u16::MAX).to_be_bytes()
}
