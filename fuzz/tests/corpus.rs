//! Every property over the corpus of its target, and over mutations of it that are the same in every run.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a property that is broken fails the test; how much was run is said"
)]

use std::fs;
use std::path::Path;
use std::time::Instant;

use lowtide_fuzz::random::Random;
use lowtide_fuzz::{PROPERTIES, Property};

/// Fewer files than this mean that the corpus got lost, not that all is well.
const LEAST_FILES: usize = 10;

/// Runs a property over its corpus, and over `octets` octets of mutations, shared out evenly over its files.
fn run(name: &str, octets: usize) {
    let (_, holds) = PROPERTIES.into_iter().find(|(known, _)| *known == name).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= LEAST_FILES, "only {} files in {}", paths.len(), folder.display());
    let files: Vec<(String, Vec<u8>)> = paths
        .iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect();
    let begin = Instant::now();
    let mut random = Random(0x10e7_1de5);
    let mut runs = 0;
    for (file, whole) in &files {
        check(holds, file, whole);
        let mut left = octets / files.len();
        while left > 0 {
            let other = &files[random.below(files.len())].1;
            let mutated = random.mutate(whole, other);
            check(holds, file, &mutated);
            // An input costs something however short it is.
            left = left.saturating_sub(mutated.len().max(64));
            runs += 1;
        }
    }
    println!("{name}: {} files, {runs} mutations, {:.1} s", files.len(), begin.elapsed().as_secs_f64());
}

/// A failure leaves the input that caused it, so that it can be looked at and added to the corpus.
fn check(holds: Property, file: &str, octets: &[u8]) {
    if std::panic::catch_unwind(|| holds(octets)).is_err() {
        let path = std::env::temp_dir().join(format!("lowtide-fuzz-{file}"));
        fs::write(&path, octets).unwrap();
        panic!("a mutation of {file} breaks the property: {}", path.display());
    }
}

#[test]
fn capture_file() {
    run("capture_file", 24_000_000);
}

#[test]
fn frames() {
    run("frames", 60_000_000);
}

#[test]
fn tcp() {
    run("tcp", 60_000_000);
}

#[test]
fn dns() {
    run("dns", 20_000_000);
}

#[test]
fn dnstap() {
    run("dnstap", 24_000_000);
}

#[test]
fn frame_streams() {
    run("frame_streams", 10_000_000);
}

#[test]
fn replay() {
    run("replay", 10_000_000);
}
