//! Frames: those of the captures in testdata/, and made ones.

use std::path::Path;

use lowtide_capture::{CaptureFile, Record};

/// The frames of a capture in testdata/.
pub fn of_file(name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name);
    let mut file = CaptureFile::open(&path).unwrap();
    let mut frames = Vec::new();
    while let Some(record) = file.next().unwrap() {
        let Record::Packet(packet) = record else { panic!("{name} holds dnstap") };
        assert_eq!(packet.link_type.0, 1, "{name} is of Ethernet");
        assert_eq!(packet.data.len(), packet.wire_len as usize, "{name} is whole");
        frames.push(packet.data.to_vec());
    }
    assert!(!frames.is_empty());
    frames
}

/// A UDP datagram over IPv4 in an Ethernet frame.
pub fn udp_4(source: ([u8; 4], u16), destination: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    ip_4(source.0, destination.0, 0, &udp(source.1, destination.1, payload.len(), payload))
}

/// The same datagram in two fragments.
pub fn fragments_4(
    source: ([u8; 4], u16),
    destination: ([u8; 4], u16),
    payload: &[u8],
    id: u16,
) -> [Vec<u8>; 2] {
    let datagram = udp(source.1, destination.1, payload.len(), payload);
    let middle = datagram.len() / 16 * 8;
    let (first, second) = datagram.split_at(middle);
    let mut frames = [
        ip_4(source.0, destination.0, 0x2000, first),
        ip_4(source.0, destination.0, u16::try_from(middle / 8).unwrap(), second),
    ];
    for frame in &mut frames {
        frame[18..20].copy_from_slice(&id.to_be_bytes());
        checksum(&mut frame[14..34]);
    }
    frames
}

/// A UDP datagram over IPv6 in an Ethernet frame.
pub fn udp_6(source: ([u8; 16], u16), destination: ([u8; 16], u16), payload: &[u8]) -> Vec<u8> {
    let datagram = udp(source.1, destination.1, payload.len(), payload);
    let mut frame = [&MACS[..], &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend_from_slice(&u16::try_from(datagram.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&[17, 64]);
    frame.extend_from_slice(&source.0);
    frame.extend_from_slice(&destination.0);
    frame.extend_from_slice(&datagram);
    frame
}

/// The frame with tags between its addresses and its type.
pub fn tagged(frame: &[u8], tags: &[[u8; 4]]) -> Vec<u8> {
    [&frame[..12], &tags.concat(), &frame[12..]].concat()
}

/// Broadcast, so that an interface takes them that knows no such address.
const MACS: [u8; 12] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1];

fn udp(source: u16, destination: u16, length: usize, payload: &[u8]) -> Vec<u8> {
    let mut datagram = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    datagram.extend_from_slice(&u16::try_from(length + 8).unwrap().to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    datagram
}

fn ip_4(source: [u8; 4], destination: [u8; 4], flags_offset: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&MACS[..], &[0x08, 0x00, 0x45, 0]].concat();
    frame.extend_from_slice(&u16::try_from(payload.len() + 20).unwrap().to_be_bytes());
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(&flags_offset.to_be_bytes());
    frame.extend_from_slice(&[64, 17, 0, 0]);
    frame.extend_from_slice(&source);
    frame.extend_from_slice(&destination);
    checksum(&mut frame[14..]);
    frame.extend_from_slice(payload);
    frame
}

/// The kernel puts no datagram together whose header's checksum is wrong.
fn checksum(header: &mut [u8]) {
    header[10..12].fill(0);
    let mut sum: u32 =
        header[..20].chunks_exact(2).map(|half| u32::from(u16::from_be_bytes([half[0], half[1]]))).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    header[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
