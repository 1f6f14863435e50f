use std::io::{Cursor, Write};

use lowtide_capture::{CaptureFile, Compression, DamageReason, OpenErrorKind};

use crate::craft::{Seen, pcap_at, read, read_whole};

fn gzip(octets: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(octets).unwrap();
    packer.finish().unwrap()
}

fn zstd(octets: &[u8]) -> Vec<u8> {
    zstd::encode_all(octets, 1).unwrap()
}

fn xz(octets: &[u8]) -> Vec<u8> {
    let mut packer = liblzma::write::XzEncoder::new(Vec::new(), 0);
    packer.write_all(octets).unwrap();
    packer.finish().unwrap()
}

fn bzip2(octets: &[u8]) -> Vec<u8> {
    let mut packer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    packer.write_all(octets).unwrap();
    packer.finish().unwrap()
}

fn lz4_as(info: lz4_flex::frame::FrameInfo, octets: &[u8]) -> Vec<u8> {
    let mut packer = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    packer.write_all(octets).unwrap();
    packer.finish().unwrap()
}

fn lz4(octets: &[u8]) -> Vec<u8> {
    lz4_as(lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB), octets)
}

type Pack = fn(&[u8]) -> Vec<u8>;

const ALL: [(Compression, Pack); 5] = [
    (Compression::Gzip, gzip),
    (Compression::Zstd, zstd),
    (Compression::Xz, xz),
    (Compression::Bzip2, bzip2),
    (Compression::Lz4, lz4),
];

/// Some 600 kB that do not pack to nothing, and its frames.
fn capture() -> (Vec<u8>, Vec<Seen>) {
    let mut at = 1;
    let times: Vec<u64> = (0..30_000_u64)
        .map(|number| {
            at = (at * 48_271) % 2_147_483_647;
            number * 1_000 + at % 1_000
        })
        .collect();
    let file = pcap_at(&times);
    let frames = read_whole(file.clone());
    (file, frames)
}

#[test]
fn each_compression_in_one_piece_and_in_two() {
    let (file, frames) = capture();
    for (compression, pack) in ALL {
        let packed = pack(&file);
        let (seen, damage, summary) = read(packed.clone());
        assert_eq!((damage, summary.compression), (None, Some(compression)), "{compression}");
        assert!(seen == frames, "{compression}");
        assert_eq!(summary.bytes, packed.len() as u64, "{compression}");
        assert_eq!(summary.format_name(), format!("pcap+{compression}"));
        // gzip members, zstd and lz4 frames, xz and bzip2 streams.
        let (first, second) = file.split_at(file.len() / 3);
        let joined = [pack(first), pack(second)].concat();
        assert!(read_whole(joined) == frames, "{compression}");
    }
}

#[test]
fn a_cut_stream_gives_what_is_before_the_cut() {
    let (file, frames) = capture();
    for (compression, pack) in ALL {
        let packed = pack(&file);
        for part in [1, 2, 3, 7] {
            let cut = &packed[..packed.len() * part / 8];
            let (seen, damage, _) = read(cut);
            let damage = damage.expect("a cut stream is damage");
            assert_eq!(damage.reason, DamageReason::CompressionCut(compression));
            let read = 24 + seen.len() as u64 * 20;
            assert!(damage.offset == read || (seen.is_empty() && damage.offset == 0), "{compression} {part}");
            assert!(seen == frames[..seen.len()], "{compression}");
            // bzip2 and xz unpack in large blocks; the others give something early.
            let some = !matches!(compression, Compression::Bzip2 | Compression::Xz) && part > 2;
            assert!(!some || !seen.is_empty(), "{compression} {part}");
        }
        // Without its last octet the content is whole, but nothing proves it.
        let (seen, damage, _) = read(&packed[..packed.len() - 1]);
        assert_eq!(damage.map(|damage| damage.reason), Some(DamageReason::CompressionCut(compression)));
        assert!(seen.len() > frames.len() / 2, "{compression}: {}", seen.len());
    }
}

/// lz4_flex takes an end between two blocks for the end of the stream; lowtide must not.
#[test]
fn lz4_cut_between_two_blocks() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameInfo};
    let (file, frames) = capture();
    let plain = FrameInfo::new().block_size(BlockSize::Max64KB);
    for info in [
        plain.clone(),
        plain.clone().content_checksum(true),
        plain.clone().content_size(Some(file.len() as u64)),
        plain.clone().block_mode(BlockMode::Linked).block_checksums(true),
    ] {
        let block_checksum = if info.block_checksums { 4 } else { 0 };
        let mut at = if info.content_size.is_some() { 15 } else { 7 };
        let packed = lz4_as(info, &file);
        assert!(read_whole(packed.clone()) == frames);
        for _ in 0..3 {
            let len = u32::from_le_bytes(packed[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
            at += 4 + len as usize + block_checksum;
            let (seen, damage, _) = read(&packed[..at]);
            assert_eq!(
                damage.map(|damage| damage.reason),
                Some(DamageReason::CompressionCut(Compression::Lz4))
            );
            assert!(!seen.is_empty() && seen == frames[..seen.len()]);
        }
    }
}

#[test]
fn a_corrupt_stream() {
    let (file, frames) = capture();
    for (compression, pack) in ALL {
        let mut packed = pack(&file);
        let middle = packed.len() / 2;
        packed[middle..middle + 64].fill(0x55);
        let (seen, damage, _) = read(packed);
        let damage = damage.expect("noise is damage").reason;
        assert!(
            matches!(damage, DamageReason::CompressionCorrupt(by) | DamageReason::CompressionCut(by) if by == compression)
                // Without a checksum on its blocks, lz4 and gzip give the noise out before they refuse it.
                || matches!(damage, DamageReason::PacketLength(_)),
            "{compression}: {damage}"
        );
        assert!(seen.len() < frames.len());
    }
}

#[test]
fn packed_nothing_and_packed_text() {
    for (compression, pack) in ALL {
        let (_, damage, summary) = read(pack(b""));
        assert_eq!(damage.map(|damage| damage.reason), Some(DamageReason::Empty), "{compression}");
        assert_eq!(summary.format_name(), format!("unknown+{compression}"));
        match CaptureFile::from_reader(Cursor::new(pack(b"no capture at all"))) {
            Err(OpenErrorKind::UnknownContent(by)) => assert_eq!(by, compression),
            _ => panic!("{compression}: text is no capture"),
        }
        assert!(CaptureFile::from_reader(Cursor::new(pack(&pack(&pcap_at(&[1]))))).is_err());
    }
}
