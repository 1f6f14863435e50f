use std::path::PathBuf;

use lowtide_capture::{DamageReason, OpenErrorKind, Timeline};
use lowtide_proto::dnstap::{Dnstap, Message};
use prost::Message as _;
use tempfile::TempDir;

use crate::craft::{data, pcap_at, start};

/// Files in a folder of their own.
struct Files {
    folder: TempDir,
    paths: Vec<PathBuf>,
}

impl Files {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), paths: Vec::new() }
    }

    fn add(&mut self, octets: &[u8]) {
        let path = self.folder.path().join(self.paths.len().to_string());
        std::fs::write(&path, octets).unwrap();
        self.paths.push(path);
    }

    fn with_times(times: &[&[u64]]) -> Self {
        let mut files = Self::new();
        times.iter().for_each(|times| files.add(&pcap_at(times)));
        files
    }
}

/// Input and microsecond of every frame, and how many files were open at most.
fn merge(timeline: &mut Timeline) -> (Vec<(usize, u64)>, usize) {
    let mut frames = Vec::new();
    let mut open = timeline.open_files();
    while let Some((input, record)) = timeline.next() {
        frames.push((input, record.time().0 / 1_000));
        open = open.max(timeline.open_files());
    }
    assert!(timeline.next().is_none());
    (frames, open)
}

#[test]
fn rotated_files_in_any_order() {
    let files = Files::with_times(&[&[50, 60], &[10, 20], &[70], &[30, 40]]);
    let mut timeline = Timeline::open(&files.paths).unwrap();
    assert_eq!(timeline.open_files(), 0);
    let (frames, open) = merge(&mut timeline);
    assert_eq!(frames, [(1, 10), (1, 20), (3, 30), (3, 40), (0, 50), (0, 60), (2, 70)]);
    assert!(open <= 2, "{open} files open");
    let total: u64 = files.paths.iter().map(|path| path.metadata().unwrap().len()).sum();
    assert_eq!((timeline.total_bytes(), timeline.bytes_read()), (Some(total), total));
    let counts: Vec<_> = timeline.inputs().iter().map(|input| input.summary.frames).collect();
    assert_eq!(counts, [2, 2, 1, 2]);
}

#[test]
fn overlapping_files_are_merged_exactly() {
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); 5];
    let mut random = 1_u64;
    for at in 0..5_000 {
        random = random * 48_271 % 2_147_483_647;
        times[(random % 5) as usize].push(at);
    }
    let slices: Vec<&[u64]> = times.iter().map(Vec::as_slice).collect();
    let files = Files::with_times(&slices);
    let (frames, open) = merge(&mut Timeline::open(&files.paths).unwrap());
    assert!(frames.iter().map(|frame| frame.1).eq(0..5_000));
    assert!(frames.iter().all(|&(input, at)| times[input].binary_search(&at).is_ok()));
    assert_eq!(open, 5);
}

#[test]
fn equal_times_and_disorder_inside_a_file_lose_nothing() {
    let files = Files::with_times(&[&[5, 5, 5], &[5, 4, 6], &[5]]);
    let (mut frames, _) = merge(&mut Timeline::open(&files.paths).unwrap());
    frames.sort_unstable();
    assert_eq!(frames, [(0, 5), (0, 5), (0, 5), (1, 4), (1, 5), (1, 6), (2, 5)]);
}

#[test]
fn a_thousand_rotated_files_hold_few_descriptors() {
    let mut files = Files::new();
    for number in (0..1_000_u64).rev() {
        files.add(&pcap_at(&[number * 10, number * 10 + 9]));
    }
    let (frames, open) = merge(&mut Timeline::open(&files.paths).unwrap());
    assert_eq!(frames.len(), 2_000);
    assert!(frames.is_sorted_by_key(|frame| frame.1));
    assert!(open <= 2, "{open} files open");
}

#[test]
fn damaged_and_empty_inputs_do_not_stop_the_others() {
    let mut files = Files::with_times(&[&[1, 2, 9], &[3, 4, 5]]);
    let mut cut = pcap_at(&[2, 6, 7]);
    cut.truncate(cut.len() - 1);
    files.add(&cut);
    files.add(b"");
    files.add(&pcap_at(&[]));
    let mut timeline = Timeline::open(&files.paths).unwrap();
    let (frames, _) = merge(&mut timeline);
    let times: Vec<_> = frames.iter().map(|frame| frame.1).collect();
    assert_eq!(times, [1, 2, 2, 3, 4, 5, 6, 9]);
    let damage: Vec<_> =
        timeline.inputs().iter().map(|input| input.summary.damaged.map(|damage| damage.reason)).collect();
    assert_eq!(damage, [None, None, Some(DamageReason::Cut), Some(DamageReason::Empty), None]);
}

#[test]
fn a_file_that_vanishes_is_damage() {
    let files = Files::with_times(&[&[1, 2], &[3]]);
    let mut timeline = Timeline::open(&files.paths).unwrap();
    std::fs::remove_file(&files.paths[1]).unwrap();
    assert_eq!(merge(&mut timeline).0.len(), 2);
    // ENOENT
    assert_eq!(timeline.inputs()[1].summary.damaged.map(|damage| damage.reason), Some(DamageReason::Os(2)));
}

#[test]
fn dnstap_and_packets_side_by_side() {
    let frame = |nanos: u32| {
        let message = Message {
            r#type: 5,
            query_time_sec: Some(0),
            query_time_nsec: Some(nanos),
            ..Message::default()
        };
        data(&Dnstap { r#type: 1, message: Some(message), ..Dnstap::default() }.encode_to_vec())
    };
    let mut files = Files::with_times(&[&[1, 4]]);
    files.add(&[start(), frame(2_000), frame(3_000)].concat());
    files.add(&[start(), frame(5_000), frame(7_000)].concat());
    files.add(&[start(), frame(6_000)].concat());
    let (frames, _) = merge(&mut Timeline::open(&files.paths).unwrap());
    assert_eq!(frames, [(0, 1), (1, 2), (1, 3), (0, 4), (2, 5), (3, 6), (2, 7)]);
}

#[test]
fn one_file_is_read_once() {
    let files = Files::with_times(&[&[1, 2, 3]]);
    let mut timeline = Timeline::open(&files.paths).unwrap();
    assert_eq!(timeline.open_files(), 1);
    assert_eq!(merge(&mut timeline).0, [(0, 1), (0, 2), (0, 3)]);
    assert_eq!(merge(&mut Timeline::open(&[]).unwrap()).0, []);
}

#[test]
fn errors_name_the_file() {
    let mut files = Files::with_times(&[&[1]]);
    files.add(b"#!/bin/sh");
    let error = Timeline::open(&files.paths).map(|_| ()).unwrap_err();
    assert!(matches!(error.kind, OpenErrorKind::UnknownFormat(_)));
    assert_eq!(error.path, files.paths[1]);
    files.paths[1] = "/dev/null/none".into();
    let error = Timeline::open(&files.paths).map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("/dev/null/none: cannot be read: "), "{error}");
}
