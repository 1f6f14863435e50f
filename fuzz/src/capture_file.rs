//! Any octets as a file: pcap, pcapng or dnstap, plain or compressed.

use std::io::{self, Cursor, Read};

use lowtide_capture::{CaptureFile, Damage, MAX_PACKET, Record, Summary};
use lowtide_proto::dnstap::View;
use lowtide_proto::frame_streams::MAX_FRAME;

/// Octets of frames after which a file is not read on: a few kilobytes may unpack to gigabytes. That memory stays bounded
/// meanwhile is the fuzzer's memory limit to see, and `tests/memory.rs`.
const ENOUGH: usize = 16 << 20;

/// What a file gave.
#[derive(Debug, PartialEq)]
struct Reading {
    summary: Summary,
    /// Of each frame: time, link type (of packets), length on the wire, octets, folded into one number.
    digest: u64,
    whole: bool,
}

/// Reading ends, once, with an account of what was read; and in pieces of any size it gives the same.
pub fn holds(octets: &[u8]) {
    let Some(reading) = read(Cursor::new(octets.to_vec())) else { return };
    let summary = &reading.summary;
    assert!(summary.bytes <= octets.len() as u64);
    if reading.whole && summary.compression.is_none() && summary.damaged.is_none() {
        assert_eq!(summary.bytes, octets.len() as u64, "read to the end");
    }
    // A decompressor that finds its stream corrupt keeps to itself what it unpacked in the same call, so that what it gives
    // before depends on the size of the calls.
    if octets.len() <= 1 << 16 && summary.compression.is_none() {
        let pieces = read(Pieces { octets: octets.to_vec(), at: 0 }).expect("the same format");
        // How much was read when the damage was met is a matter of the pieces.
        let bytes = summary.bytes;
        let summary = Summary { bytes, ..pieces.summary };
        assert_eq!(Reading { summary, ..pieces }, reading);
    }
}

fn read(source: impl Read + Send + 'static) -> Option<Reading> {
    let mut file = CaptureFile::from_reader(source).ok()?;
    let (mut frames, mut octets, mut digest) = (0, 0, 0);
    let mut damaged = None;
    let whole = loop {
        match file.next() {
            Ok(Some(record)) => {
                frames += 1;
                octets += 1 + check(&record, &mut digest);
                if octets > ENOUGH {
                    break false;
                }
            }
            Ok(None) => break true,
            Err(damage) => {
                damaged = Some(damage);
                break true;
            }
        }
    };
    if whole {
        for _ in 0..3 {
            assert!(matches!(file.next(), Ok(None)), "goes on after its end");
        }
    }
    let summary = file.summary();
    assert_eq!(summary.frames, frames);
    assert_eq!(summary.damaged, damaged);
    assert!(summary.first <= summary.last);
    if let (Some(Damage { offset, .. }), None) = (damaged, summary.compression) {
        assert!(offset <= summary.bytes, "damage at {offset} of {}", summary.bytes);
    }
    Some(Reading { summary, digest, whole })
}

/// Checks a frame; returns its octets.
fn check(record: &Record<'_>, digest: &mut u64) -> usize {
    let (data, more) = match record {
        Record::Packet(packet) => {
            assert!(packet.data.len() <= MAX_PACKET);
            assert!(packet.wire_len as usize >= packet.data.len());
            let known = u64::from(packet.time_known) << 48;
            (packet.data, known | u64::from(packet.wire_len) << 16 | u64::from(packet.link_type.0))
        }
        Record::Dnstap(frame) => {
            assert!(frame.octets.len() <= MAX_FRAME);
            assert_eq!(frame.view, View::parse(frame.octets), "found while looking ahead, or now: the same");
            (frame.octets, 0)
        }
    };
    let words = data.iter().map(|&octet| u64::from(octet));
    for word in words.chain([more, record.time().0]) {
        *digest = (digest.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
    data.len()
}

/// Gives one to seven octets at a time.
struct Pieces {
    octets: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.octets[self.at..];
        let count = (1 + self.at % 7).min(rest.len()).min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}
