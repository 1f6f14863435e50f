use std::io::{Cursor, Read, Write};

use lowtide_capture::{CaptureFile, DamageReason, Format, OpenErrorKind};
use lowtide_proto::{LinkType, Timestamp};

use crate::craft::{
    ORDERS, Order, Seen, assert_damaged, pcap_at, pcap_header, pcap_record, read, read_whole,
};

const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
const MODIFIED: u32 = 0xa1b2_cd34;

fn packet(nanos: u64, octets: &[u8], wire_len: u32) -> Seen {
    Seen { nanos, octets: octets.to_vec(), packet: Some((1, wire_len)) }
}

#[test]
fn both_orders_both_resolutions() {
    for order in ORDERS {
        for (magic, nanos) in [(MICROS, 5_000), (NANOS, 5)] {
            let mut file = pcap_header(order, magic, (2, 4), 1);
            file.extend(pcap_record(order, [1_700_000_000, 5, 3, 900], &[], b"abc"));
            file.extend(pcap_record(order, [u32::MAX, 0, 0, 0], &[], b""));
            let (frames, damage, summary) = read(file);
            let last = u64::from(u32::MAX) * 1_000_000_000;
            let first = 1_700_000_000_000_000_000 + nanos;
            assert_eq!(frames, [packet(first, b"abc", 900), packet(last, b"", 0)]);
            assert_eq!((damage, summary.format, summary.compression), (None, Format::Pcap, None));
            assert_eq!((summary.first, summary.last), (Some(Timestamp(first)), Some(Timestamp(last))));
            assert_eq!(summary.bytes, 24 + 16 + 3 + 16);
        }
    }
}

#[test]
fn a_header_alone_is_a_file_without_packets() {
    let (frames, damage, summary) = read(pcap_header(Order::Big, MICROS, (2, 4), 113));
    assert_eq!((frames.len(), damage, summary.first, summary.last), (0, None, None, None));
    assert_eq!(summary.link_type_names(), "LINUX_SLL");
}

#[test]
fn the_upper_half_of_the_link_type_is_that_of_the_check_sequence() {
    let (_, _, summary) = read(pcap_header(Order::Little, MICROS, (2, 4), 0x2400_0001));
    assert_eq!((summary.link_types, summary.damaged), (vec![LinkType(1)], None));
}

#[test]
fn a_fraction_beyond_its_second_is_added() {
    for (magic, nanos) in [(MICROS, 1_000), (NANOS, 1)] {
        let mut file = pcap_header(Order::Little, magic, (2, 4), 1);
        file.extend(pcap_record(Order::Little, [u32::MAX, u32::MAX, 1, 1], &[], b"x"));
        file.extend(pcap_record(Order::Little, [1, 1_500_000_000, 1, 1], &[], b"y"));
        file.extend(pcap_record(Order::Little, [1, 0, 1, 1], &[], b"z"));
        file.extend(pcap_record(Order::Little, [1, 0, 1, 1], &[], b"z"));
        let frames = read_whole(file);
        assert_eq!(frames[1].nanos, 1_000_000_000 + 1_500_000_000 * nanos);
        assert_eq!(frames.len(), 4);
    }
}

#[test]
fn an_original_length_below_the_captured_one_is_corrected() {
    let mut file = pcap_header(Order::Little, MICROS, (2, 4), 1);
    file.extend(pcap_record(Order::Little, [1, 0, 3, 0], &[], b"abc"));
    assert_eq!(read_whole(file), [packet(1_000_000_000, b"abc", 3)]);
}

/// Interface 2, ETH_P_IP, PACKET_HOST, and padding; in the second form also two octets of SMP debugging.
fn kuznetzov(order: Order, smp: bool) -> Vec<u8> {
    let mut extra = order.u32(2).to_vec();
    extra.extend(order.u16(0x0800));
    extra.extend(if smp { &[0, 0xaa, 0xbb, 1, 2, 3][..] } else { &[0, 0xcc] });
    extra
}

#[test]
fn modified_record_headers() {
    for order in ORDERS {
        let nokia = order.u32(0x9fbf_b601).to_vec();
        for (magic, extra) in [
            (MICROS, kuznetzov(order, false)),
            (MODIFIED, kuznetzov(order, false)),
            (MODIFIED, kuznetzov(order, true)),
            (MICROS, nokia),
        ] {
            let mut file = pcap_header(order, magic, (2, 4), 1);
            let mut expected = Vec::new();
            for number in 0..4_u8 {
                let data = [number; 60];
                file.extend(pcap_record(order, [7, 1, 60, 61], &extra, &data));
                expected.push(packet(7_000_001_000, &data, 61));
            }
            assert_eq!(read_whole(file), expected, "magic {magic:#x}, {} octets more", extra.len());
        }
    }
}

#[test]
fn ixia_headers_end_with_the_length_of_all_records() {
    for order in ORDERS {
        for (magic, nanos) in [(0x1c00_01ab, 9_000), (0x1c00_01ac, 9)] {
            let mut file = pcap_header(order, magic, (2, 4), 1);
            file.extend(order.u32(18));
            file.extend(pcap_record(order, [1, 9, 2, 2], &[], b"ab"));
            assert_eq!(read_whole(file), [packet(1_000_000_000 + nanos, b"ab", 2)]);
        }
    }
}

#[test]
fn old_versions_have_the_lengths_the_other_way_round() {
    for version in [(2, 1), (543, 0)] {
        let mut file = pcap_header(Order::Big, MICROS, version, 1);
        file.extend(pcap_record(Order::Big, [1, 0, 90, 2], &[], b"ab"));
        assert_eq!(read_whole(file), [packet(1_000_000_000, b"ab", 90)]);
    }
    let mut file = pcap_header(Order::Big, MICROS, (2, 3), 1);
    file.extend(pcap_record(Order::Big, [1, 0, 90, 2], &[], b"ab"));
    file.extend(pcap_record(Order::Big, [1, 0, 2, 90], &[], b"cd"));
    assert_eq!(read_whole(file), [packet(1_000_000_000, b"ab", 90), packet(1_000_000_000, b"cd", 90)]);
    // AIX: interface type 6 is Ethernet, and times are nanoseconds.
    let mut file = pcap_header(Order::Big, MICROS, (2, 2), 6);
    file.extend(pcap_record(Order::Big, [1, 5, 90, 2], &[], b"ab"));
    assert_eq!(read_whole(file), [packet(1_000_000_005, b"ab", 90)]);
}

#[test]
fn a_file_cut_anywhere_gives_what_is_before_the_cut() {
    let file = pcap_at(&[1, 2, 3]);
    assert_eq!(file.len(), 24 + 3 * 20);
    assert_damaged(&file[..0], 0, 0, DamageReason::Empty);
    for len in 1..file.len() {
        let cut = &file[..len];
        match len {
            1..24 => assert_damaged(cut, 0, 0, DamageReason::Cut),
            24 | 44 | 64 => assert_eq!(read_whole(cut).len(), (len - 24) / 20),
            _ => {
                let whole = (len - 24) / 20;
                assert_damaged(cut, whole, 24 + whole * 20, DamageReason::Cut);
            }
        }
    }
}

#[test]
fn hostile_lengths() {
    for captured in [262_145, 0x7fff_ffff, u32::MAX] {
        let mut file = pcap_at(&[1]);
        file.extend(pcap_record(Order::Little, [1, 0, captured, captured], &[], &[0; 64]));
        assert_damaged(file, 1, 44, DamageReason::PacketLength(captured));
    }
    let mut file = pcap_at(&[1]);
    file.extend(pcap_record(Order::Little, [1, 0, 262_144, 262_144], &[], &vec![7; 262_144]));
    file.extend(pcap_record(Order::Little, [1, 0, 262_144, 262_144], &[], &vec![8; 262_144]));
    let frames = read_whole(file);
    assert_eq!(frames[1].octets, vec![7; 262_144]);
    assert_eq!(frames[2].octets, vec![8; 262_144]);
    assert_damaged(pcap_header(Order::Little, MICROS, (1, 4), 1), 0, 0, DamageReason::PcapVersion(1, 4));
}

#[test]
fn foreign_files_are_named_with_what_they_begin_with() {
    match CaptureFile::from_reader(Cursor::new(b"\x7fELF\x02\x01\x01\0\0\0".to_vec())) {
        Err(OpenErrorKind::UnknownFormat(head)) => assert_eq!(head, b"\x7fELF\x02\x01\x01\0"),
        _ => panic!("an ELF file is no capture"),
    }
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "no capture").unwrap();
    let said = |path| CaptureFile::open(path).map(|_| ()).unwrap_err().to_string();
    assert!(said(&text).contains("notes.txt") && said(&text).contains("pcapng"), "{}", said(&text));
    assert!(said(folder.path()).contains("directory"));
    assert!(said(&folder.path().join("none.pcap")).contains("No such file"));
}

/// Gives a few octets at a time, as pipes do, and fails at the end if it is told to.
struct Trickle {
    octets: Cursor<Vec<u8>>,
    most: usize,
    error: Option<i32>,
}

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = self.most.min(into.len());
        match (self.octets.read(&mut into[..most])?, self.error) {
            (0, Some(number)) => Err(std::io::Error::from_raw_os_error(number)),
            (read, _) => Ok(read),
        }
    }
}

#[test]
fn pieces_of_any_size() {
    let times: Vec<u64> = (0..20_000).collect();
    let file = pcap_at(&times);
    let whole = read_whole(file.clone());
    for most in [1, 7, 4_096] {
        let source = Trickle { octets: Cursor::new(file.clone()), most, error: None };
        let mut capture = CaptureFile::from_reader(source).unwrap();
        for expected in &whole {
            assert_eq!(crate::craft::seen(&capture.next().unwrap().unwrap()), *expected);
        }
        assert!(capture.next().unwrap().is_none());
    }
}

#[test]
fn a_failing_disk_is_damage_with_the_text_of_the_system() {
    let source = Trickle { octets: Cursor::new(pcap_at(&[1, 2])), most: 50, error: Some(5) };
    let mut capture = CaptureFile::from_reader(source).unwrap();
    assert!(capture.next().unwrap().is_some());
    assert!(capture.next().unwrap().is_some());
    let damage = capture.next().unwrap_err();
    assert_eq!((damage.offset, damage.reason), (64, DamageReason::Os(5)));
    assert!(damage.to_string().contains("Input/output error"), "{damage}");
    assert!(capture.next().unwrap().is_none());
}

#[test]
fn a_pipe() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&pcap_at(&[1, 2, 3])));
    let mut capture = CaptureFile::from_reader(reader).unwrap();
    let mut frames = 0;
    while capture.next().unwrap().is_some() {
        frames += 1;
    }
    writing.join().unwrap().unwrap();
    assert_eq!(frames, 3);
}
