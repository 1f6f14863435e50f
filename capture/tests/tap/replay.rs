//! fstrm_replay (libfstrm's own sender, which dnstap of BIND, Knot and Unbound is written with) plays the recordings.

use std::fs::{self, File};
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use lowtide_capture::tap::{CloseReason, Listen, Tap, TapHandle, TapLimits, TcpListen};
use lowtide_capture::{CaptureFile, Record};
use tempfile::TempDir;

use crate::support::{LONG, Tapped, until};

/// Whether tests that need servers' packages shall be skipped, which then is said.
fn skipped() -> bool {
    let skip = std::env::var_os("LOWTIDE_TEST_SERVERS").is_some_and(|value| value == "skip");
    if skip {
        // Not by eprintln!, which the test harness would keep to itself.
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let said = format!("SKIPPED, because of LOWTIDE_TEST_SERVERS=skip: {test}\n");
        let _ = stderr().write_all(said.as_bytes());
    }
    skip
}

/// Unpacked recordings, with the frames that our reader of files finds in them.
fn recordings(into: &Path) -> Vec<(PathBuf, Vec<Vec<u8>>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let mut packed: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".dnstap.zst"))
        .collect();
    packed.sort();
    assert!(packed.len() >= 6, "{packed:?}");
    packed
        .iter()
        .map(|path| {
            let unpacked = into.join(path.file_stem().unwrap());
            zstd::stream::copy_decode(File::open(path).unwrap(), File::create(&unpacked).unwrap()).unwrap();
            let mut file = CaptureFile::open(&unpacked).unwrap();
            let mut frames = Vec::new();
            while let Some(Record::Dnstap(frame)) = file.next().unwrap() {
                frames.push(frame.octets.to_vec());
            }
            (unpacked, frames)
        })
        .collect()
}

/// Plays every recording, one after the other, into an address that stands in `arguments`.
fn check(handle: &TapHandle, recordings: &[(PathBuf, Vec<Vec<u8>>)], arguments: &[&str]) {
    for (path, expected) in recordings {
        let mut replay = Command::new("fstrm_replay")
            .args(["-t", "protobuf:dnstap.Dnstap"])
            .args(arguments)
            .arg("-r")
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "fstrm_replay: {error}; install the Debian package fstrm-bin, or set \
                     LOWTIDE_TEST_SERVERS=skip"
                )
            });
        let mut received: Vec<Vec<u8>> = Vec::new();
        while received.len() < expected.len() {
            let chunk = handle.chunks().recv_timeout(LONG).unwrap();
            received.extend(chunk.frames().map(<[u8]>::to_vec));
        }
        assert!(received == *expected, "{}: other frames than in the file", path.display());
        // It waits for FINISH.
        assert!(replay.wait().unwrap().success());
        let sender = handle.senders().pop().unwrap();
        until("the end", || sender.is_closed().then_some(()));
        assert_eq!(sender.close_reason(), Some(CloseReason::Stopped));
        assert!(sender.is_bidirectional());
        assert_eq!((sender.frames(), sender.discarded_frames()), (expected.len() as u64, 0));
    }
    let counters = handle.counters();
    assert_eq!(counters.frames, recordings.iter().map(|(_, frames)| frames.len() as u64).sum::<u64>());
    assert_eq!((counters.begun, counters.closed("stop")), (recordings.len() as u64, recordings.len() as u64));
}

#[test]
fn into_a_unix_socket() {
    if skipped() {
        return;
    }
    let tapped = Tapped::new(TapLimits::default());
    let recordings = recordings(tapped.directory.path());
    check(&tapped.handle, &recordings, &["-u", tapped.path().to_str().unwrap()]);
}

#[test]
fn into_a_port() {
    if skipped() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let recordings = recordings(directory.path());
    let listen = Listen::Tcp(TcpListen { address: "127.0.0.1:0".parse().unwrap(), tls: None });
    let tap = Tap::bind(&[listen], TapLimits::default()).unwrap();
    let port = tap.addresses()[0].unwrap().port().to_string();
    let handle = tap.start().unwrap();
    check(&handle, &recordings, &["-a", "127.0.0.1", "-p", &port]);
    assert!(handle.senders().iter().all(|sender| sender.peer().starts_with("127.0.0.1:")));
}
