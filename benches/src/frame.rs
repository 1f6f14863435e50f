//! Ethernet frames around UDP and TCP, and the capture file around them.

use std::io::{self, Write};

use lowtide_proto::Endpoint;

const ETHERNET: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
const UDP: u8 = 17;
const TCP: u8 = 6;

/// Octets of an IP payload that go into one frame; longer datagrams are fragmented.
const MTU_PAYLOAD: usize = 1480;

/// FIN of a TCP segment.
pub const FIN: u8 = 0x01;
/// SYN of a TCP segment.
pub const SYN: u8 = 0x02;
/// ACK of a TCP segment.
pub const ACK: u8 = 0x10;

/// The frames of a UDP datagram: one, or fragments over IPv4.
pub fn udp(source: Endpoint, destination: Endpoint, id: u16, payload: &[u8]) -> Vec<Vec<u8>> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    for field in [source.port, destination.port, 8 + payload.len() as u16, 0] {
        datagram.extend(field.to_be_bytes());
    }
    datagram.extend_from_slice(payload);
    put_checksum(&mut datagram, 6, source, destination, UDP);
    if datagram.len() <= MTU_PAYLOAD || !source.is_ipv4() {
        return vec![ip(source, destination, UDP, id, 0, &datagram)];
    }
    let last = (datagram.len() - 1) / MTU_PAYLOAD;
    let fragment = |(number, part): (usize, &[u8])| {
        let more = if number < last { 0x2000 } else { 0 };
        ip(source, destination, UDP, id, more | (number * MTU_PAYLOAD / 8) as u16, part)
    };
    datagram.chunks(MTU_PAYLOAD).enumerate().map(fragment).collect()
}

/// A TCP segment's numbers and control bits.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// The number of its first octet.
    pub sequence: u32,
    /// The number of the octet expected from the other side.
    pub acknowledges: u32,
    /// Its control bits.
    pub flags: u8,
}

/// The frame of a TCP segment.
pub fn tcp(source: Endpoint, destination: Endpoint, segment: Segment, payload: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(20 + payload.len());
    octets.extend(source.port.to_be_bytes());
    octets.extend(destination.port.to_be_bytes());
    octets.extend(segment.sequence.to_be_bytes());
    octets.extend(segment.acknowledges.to_be_bytes());
    octets.extend([0x50, segment.flags, 0xff, 0xff, 0, 0, 0, 0]);
    octets.extend_from_slice(payload);
    put_checksum(&mut octets, 16, source, destination, TCP);
    ip(source, destination, TCP, 0, 0x4000, &octets)
}

/// Puts the Internet checksum over segment and pseudo-header where it belongs (RFC 9293 §3.1, RFC 8200 §8.1).
fn put_checksum(segment: &mut [u8], at: usize, source: Endpoint, destination: Endpoint, protocol: u8) {
    // The prefix of an IPv4-mapped address is not in the pseudo-header.
    let mapped = if source.is_ipv4() { 2 * 0xffff } else { 0 };
    let addresses = sum(&source.address.octets()) + sum(&destination.address.octets()) - mapped;
    put(segment, at, addresses + segment.len() as u32 + u32::from(protocol) + sum(segment));
}

fn put(octets: &mut [u8], at: usize, sum: u32) {
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = !(folded as u16);
    // A UDP checksum of 0 means that there is none (RFC 768).
    let checksum = if checksum == 0 { 0xffff } else { checksum };
    if let Some(field) = octets.get_mut(at..at + 2) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The sum of 16-bit words; an odd octet at the end is the upper half of one.
fn sum(octets: &[u8]) -> u32 {
    let (words, rest) = octets.as_chunks::<2>();
    let last = rest.first().map_or(0, |&octet| u32::from(octet) << 8);
    words.iter().map(|&word| u32::from(u16::from_be_bytes(word))).sum::<u32>() + last
}

fn ip(source: Endpoint, destination: Endpoint, protocol: u8, id: u16, flags: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(54 + payload.len());
    frame.extend(ETHERNET);
    let (from, to) = (source.address.octets(), destination.address.octets());
    if source.is_ipv4() {
        frame.extend([0x08, 0x00, 0x45, 0]);
        for field in [20 + payload.len() as u16, id, flags] {
            frame.extend(field.to_be_bytes());
        }
        frame.extend([64, protocol, 0, 0]);
        frame.extend_from_slice(from.get(12..).unwrap_or_default());
        frame.extend_from_slice(to.get(12..).unwrap_or_default());
        if let Some(header) = frame.get_mut(ETHERNET.len() + 2..) {
            put(header, 10, sum(header));
        }
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend([protocol, 64]);
        frame.extend(from);
        frame.extend(to);
    }
    frame.extend_from_slice(payload);
    frame
}

/// Writes a pcap file with times in nanoseconds.
pub struct PcapWriter<W>(W);

impl<W: Write> PcapWriter<W> {
    /// Writes the file header.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn new(mut out: W) -> io::Result<Self> {
        for field in [0xa1b2_3c4d_u32, 4 << 16 | 2, 0, 0, 262_144, 1] {
            out.write_all(&field.to_le_bytes())?;
        }
        Ok(Self(out))
    }

    /// Writes a frame that was captured whole, at `nanos` since 1970.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn frame(&mut self, nanos: u64, frame: &[u8]) -> io::Result<()> {
        let len = frame.len() as u32;
        for field in [(nanos / 1_000_000_000) as u32, (nanos % 1_000_000_000) as u32, len, len] {
            self.0.write_all(&field.to_le_bytes())?;
        }
        self.0.write_all(frame)
    }

    /// Writes out what the writer holds back.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}
