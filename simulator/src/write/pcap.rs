//! Packets: Ethernet, IP and UDP, in a pcap file with nanoseconds.

use std::net::IpAddr;

use crate::sink::Seen;

const NANOSECONDS: u32 = 0xa1b2_3c4d;
const ETHERNET: u32 = 1;
const MAC_CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC_SERVER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const UDP: u8 = 17;
const UDP_HEADER: usize = 8;

/// Begins a file.
pub(super) fn begin(into: &mut Vec<u8>) {
    into.extend(NANOSECONDS.to_le_bytes());
    into.extend(2_u16.to_le_bytes());
    into.extend(4_u16.to_le_bytes());
    for field in [0, 0, 262_144, ETHERNET] {
        into.extend(u32::to_le_bytes(field));
    }
}

/// Appends a packet.
pub(super) fn put(into: &mut Vec<u8>, seen: &Seen<'_>) {
    let (from, to) = if seen.is_response { (seen.server, seen.client) } else { (seen.client, seen.server) };
    let mut datagram = Vec::with_capacity(UDP_HEADER + seen.octets.len());
    for field in [from.port(), to.port(), (UDP_HEADER + seen.octets.len()) as u16, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend_from_slice(seen.octets);
    let packet = packet(from.ip(), to.ip(), seen.is_response, &mut datagram);
    let (seconds, nanoseconds) = (seen.time.0 / 1_000_000_000, seen.time.0 % 1_000_000_000);
    let length = packet.len() as u32;
    for field in [seconds as u32, nanoseconds as u32, length, length] {
        into.extend(field.to_le_bytes());
    }
    into.extend(packet);
}

fn packet(from: IpAddr, to: IpAddr, is_response: bool, datagram: &mut [u8]) -> Vec<u8> {
    let (source, destination) = if is_response { (MAC_SERVER, MAC_CLIENT) } else { (MAC_CLIENT, MAC_SERVER) };
    let mut packet = [destination, source].concat();
    let length = datagram.len() as u16;
    let (from, to) = (octets(from), octets(to));
    // The pseudo-header of RFC 768 and RFC 8200 §8.1; its order does not matter to a sum.
    let pseudo = sum(&from) + sum(&to) + u32::from(UDP) + u32::from(length);
    let checksum = match checksum(pseudo + sum(datagram)) {
        0 => 0xffff,
        checksum => checksum,
    };
    datagram[6..UDP_HEADER].copy_from_slice(&checksum.to_be_bytes());
    if from.len() == 4 {
        packet.extend([0x08, 0x00]);
        let start = packet.len();
        packet.extend([0x45, 0]);
        packet.extend((20 + length).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
        packet.extend(from.iter().chain(&to));
        let checksum = self::checksum(sum(&packet[start..]));
        packet[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
    } else {
        packet.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        packet.extend(length.to_be_bytes());
        packet.extend([UDP, 64]);
        packet.extend(from.iter().chain(&to));
    }
    packet.extend_from_slice(datagram);
    packet
}

fn octets(of: IpAddr) -> Vec<u8> {
    match of {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

fn sum(octets: &[u8]) -> u32 {
    let word = |pair: &[u8]| match *pair {
        [high, low] => u32::from(u16::from_be_bytes([high, low])),
        [high] => u32::from(high) << 8,
        _ => 0,
    };
    octets.chunks(2).map(word).sum()
}

/// The Internet checksum (RFC 1071).
const fn checksum(sum: u32) -> u16 {
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    !(folded as u16)
}
