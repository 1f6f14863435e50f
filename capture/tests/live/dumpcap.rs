//! dumpcap says in its files what it dropped, and is believed.

use std::fs;
use std::io::{BufRead, BufReader, Write, stderr};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use lowtide_capture::{CaptureFile, Dropped, DroppedBy};

use crate::frames::udp_4;
use crate::net::{Net, PATIENCE, Sender, TAP};

/// What came to the interface of this thread's namespace.
fn arrived() -> u64 {
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let line = table.lines().find_map(|line| line.trim().strip_prefix("tap:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Ends with the test, however that ends.
struct Dumpcap(Child);

impl Drop for Dumpcap {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_dumpcap_drops_its_file_says() {
    let Some(_net) = Net::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.pcapng");
    let dumpcap = Command::new("dumpcap")
        .args(["-q", "-B", "1", "-i", TAP, "-w"])
        .arg(&path)
        .stderr(Stdio::piped())
        .spawn();
    let Ok(dumpcap) = dumpcap else {
        let text = b"SKIPPED, as there is no dumpcap: dumpcap::what_dumpcap_drops_its_file_says\n";
        let _ = stderr().write_all(text);
        return;
    };
    let mut dumpcap = Dumpcap(dumpcap);
    let id = dumpcap.0.id().to_string();
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    };
    // The interface is open when it has a file.
    let mut lines = BufReader::new(dumpcap.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("File: ")), "dumpcap does not begin");
    let frame = udp_4(([192, 0, 2, 1], 40_000), ([198, 51, 100, 2], 53), &[0x5a; 1400]);
    let mut sender = Sender::new();
    // It is stopped, and leaves its ring to overflow.
    signal("-STOP");
    let end = Instant::now() + PATIENCE;
    for _ in 0..9 {
        let before = arrived();
        sender.send(&vec![frame.clone(); 500]);
        while arrived() < before + 500 {
            assert!(Instant::now() < end, "what was sent does not arrive");
            thread::yield_now();
        }
    }
    signal("-CONT");
    signal("-INT");
    // Packets received/dropped on interface 'tap': 469/7072 (pcap:7072/dumpcap:0/flushed:0/ps_ifdrop:0) (6.2%)
    let said = lines.find_map(|line| {
        let figures = line.strip_prefix("Packets received/dropped on interface 'tap': ")?;
        let (written, dropped) = figures.split(' ').next()?.split_once('/')?;
        Some((written.parse::<u64>().unwrap(), dropped.parse::<u64>().unwrap()))
    });
    assert!(dumpcap.0.wait().unwrap().success());
    let (written, dropped) = said.expect("dumpcap says what it dropped");
    assert!(dropped > 1000, "{dropped}");
    let mut file = CaptureFile::open(&path).unwrap();
    while file.next().unwrap().is_some() {}
    let summary = file.summary();
    assert_eq!(summary.frames, written);
    let [Dropped { by: DroppedBy::Interface, count, from, to }] = summary.dropped[..] else {
        panic!("{:?}", summary.dropped)
    };
    assert_eq!(count, dropped);
    // Whatever clock it has for its statistics, they are of the time of its packets.
    assert!(from.is_none_or(|from| Some(from) <= summary.first), "{summary:?}");
    assert!(to.is_none_or(|to| Some(to) >= summary.last), "{summary:?}");
}
