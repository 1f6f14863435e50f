//! What a few kilobytes that unpack to megabytes cost in memory. A test binary of its own with one test, because what
//! the process held at most is measured.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "tests state their expectations by failing")]

use std::io::{Cursor, Write};

use lowtide_capture::CaptureFile;
use lowtide_fuzz::craft;

/// Octets of the content.
const CONTENT: usize = 24 << 20;

/// Octets by which memory may grow: read buffers, the window of a decompressor, its tables.
const GROWTH: u64 = 12 << 20;

/// The most memory that this process ever held, in octets.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// A dnstap stream of frames of 200,000 zeros, packed.
fn bomb<W: Write>(mut packer: W) -> W {
    let frame = craft::data(&[0; 200_000]);
    packer.write_all(&craft::control(2)).unwrap();
    for _ in 0..CONTENT / frame.len() {
        packer.write_all(&frame).unwrap();
    }
    packer
}

#[test]
fn bombs_are_unpacked_piece_by_piece() {
    let gzip = bomb(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast())).finish().unwrap();
    let zstd = bomb(zstd::Encoder::new(Vec::new(), 1).unwrap()).finish().unwrap();
    for bomb in [gzip, zstd] {
        assert!(bomb.len() < CONTENT / 100);
        let before = peak();
        let mut file = CaptureFile::from_reader(Cursor::new(bomb)).unwrap();
        let mut frames = 0;
        while file.next().unwrap().is_some() {
            frames += 1;
        }
        assert_eq!(frames, CONTENT / 200_004);
        let growth = peak() - before;
        assert!(growth < GROWTH, "{} MiB", growth >> 20);
    }
}
