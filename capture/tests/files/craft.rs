//! Writers of capture files, and a reader of all frames as owned values.

use std::io::Cursor;

use lowtide_capture::{CaptureFile, Damage, DamageReason, Record, Summary};

/// The order of octets in what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Little,
    Big,
}

pub const ORDERS: [Order; 2] = [Order::Little, Order::Big];

impl Order {
    pub fn u16(self, value: u16) -> [u8; 2] {
        if self == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub fn u32(self, value: u32) -> [u8; 4] {
        if self == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub fn u64(self, value: u64) -> [u8; 8] {
        if self == Order::Big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

/// A pcap file header.
pub fn pcap_header(order: Order, magic: u32, version: (u16, u16), network: u32) -> Vec<u8> {
    let mut file = order.u32(magic).to_vec();
    file.extend(order.u16(version.0));
    file.extend(order.u16(version.1));
    file.extend([0; 8]);
    file.extend(order.u32(65_535));
    file.extend(order.u32(network));
    file
}

/// A pcap record; `extra` is what variants have between the header and the data.
pub fn pcap_record(order: Order, fields: [u32; 4], extra: &[u8], data: &[u8]) -> Vec<u8> {
    let mut record: Vec<u8> = fields.iter().flat_map(|&field| order.u32(field)).collect();
    record.extend(extra);
    record.extend(data);
    record
}

/// A plain little-endian Ethernet pcap file of packets that hold their own number, at these microseconds.
pub fn pcap_at(micros: &[u64]) -> Vec<u8> {
    let mut file = pcap_header(Order::Little, 0xa1b2_c3d4, (2, 4), 1);
    for (number, &at) in micros.iter().enumerate() {
        let data = (number as u32).to_be_bytes();
        let fields = [(at / 1_000_000) as u32, (at % 1_000_000) as u32, 4, 4];
        file.extend(pcap_record(Order::Little, fields, &[], &data));
    }
    file
}

/// A pcapng block.
pub fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let len = order.u32(padded as u32 + 12);
    let mut block = order.u32(kind).to_vec();
    block.extend(len);
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(len);
    block
}

pub fn section(order: Order) -> Vec<u8> {
    let mut body = order.u32(0x1a2b_3c4d).to_vec();
    body.extend(order.u16(1));
    body.extend(order.u16(0));
    body.extend([0xff; 8]);
    block(order, 0x0a0d_0d0a, &body)
}

pub fn option(order: Order, code: u16, value: &[u8]) -> Vec<u8> {
    let mut option = order.u16(code).to_vec();
    option.extend(order.u16(value.len() as u16));
    option.extend(value);
    option.resize(4 + value.len().next_multiple_of(4), 0);
    option
}

pub fn interface(order: Order, link_type: u16, snap_len: u32, options: &[u8]) -> Vec<u8> {
    let mut body = order.u16(link_type).to_vec();
    body.extend([0; 2]);
    body.extend(order.u32(snap_len));
    body.extend(options);
    block(order, 1, &body)
}

pub fn enhanced(order: Order, interface: u32, ticks: u64, data: &[u8], original: u32) -> Vec<u8> {
    let mut body = order.u32(interface).to_vec();
    body.extend(order.u32((ticks >> 32) as u32));
    body.extend(order.u32(ticks as u32));
    body.extend(order.u32(data.len() as u32));
    body.extend(order.u32(original));
    body.extend(data);
    // A comment behind the packet, as editors leave them.
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(option(order, 1, b"seen"));
    body.extend(option(order, 0, b""));
    block(order, 6, &body)
}

/// A Frame Streams control frame with content types.
pub fn control(kind: u32, content_types: &[&[u8]]) -> Vec<u8> {
    let mut body = kind.to_be_bytes().to_vec();
    for content_type in content_types {
        body.extend(1_u32.to_be_bytes());
        body.extend((content_type.len() as u32).to_be_bytes());
        body.extend(*content_type);
    }
    let mut frame = vec![0; 4];
    frame.extend((body.len() as u32).to_be_bytes());
    frame.extend(body);
    frame
}

pub fn start() -> Vec<u8> {
    control(2, &[b"protobuf:dnstap.Dnstap"])
}

pub fn stop() -> Vec<u8> {
    control(3, &[])
}

pub fn data(payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes().to_vec();
    frame.extend(payload);
    frame
}

/// A frame, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub nanos: u64,
    pub octets: Vec<u8>,
    /// Of packets: the link type and the length on the wire.
    pub packet: Option<(u16, u32)>,
}

pub fn seen(record: &Record<'_>) -> Seen {
    match record {
        Record::Packet(packet) => Seen {
            nanos: packet.time.0,
            octets: packet.data.to_vec(),
            packet: Some((packet.link_type.0, packet.wire_len)),
        },
        Record::Dnstap(frame) => Seen { nanos: frame.time.0, octets: frame.octets.to_vec(), packet: None },
    }
}

/// What a file gives: its frames, its damage, and its summary. Checks that the end is the end and that the summary
/// counts what was given.
#[track_caller]
pub fn read(file: impl Into<Vec<u8>>) -> (Vec<Seen>, Option<Damage>, Summary) {
    let mut file = CaptureFile::from_reader(Cursor::new(file.into())).expect("a known format");
    let mut frames = Vec::new();
    let damage = loop {
        match file.next() {
            Ok(Some(record)) => frames.push(seen(&record)),
            Ok(None) => break None,
            Err(damage) => break Some(damage),
        }
    };
    for _ in 0..3 {
        assert!(matches!(file.next(), Ok(None)), "goes on after its end");
    }
    let summary = file.summary();
    assert_eq!(summary.frames, frames.len() as u64);
    assert_eq!(summary.damaged, damage);
    (frames, damage, summary)
}

/// The frames of a file that must have no damage.
#[track_caller]
pub fn read_whole(file: impl Into<Vec<u8>>) -> Vec<Seen> {
    let (frames, damage, _) = read(file);
    assert_eq!(damage, None);
    frames
}

/// A file that must give `frames` frames and then this damage.
#[track_caller]
pub fn assert_damaged(file: impl Into<Vec<u8>>, frames: usize, offset: usize, reason: DamageReason) {
    let (seen, damage, _) = read(file);
    assert_eq!(damage, Some(Damage { offset: offset as u64, reason }));
    assert_eq!(seen.len(), frames);
}
