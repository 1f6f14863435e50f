//! Peers that mean harm, or are broken.

use std::fs::File;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use lowtide_capture::tap::{CloseReason, TapLimits};
use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE};

use crate::support::{Tapped, control, data, start, stop, until};

#[test]
fn a_thousand_silent_connections() {
    let tapped = Tapped::new(TapLimits { senders: 64, ..TapLimits::default() });
    let mut sender = tapped.connect();
    sender.begin();
    let silent: Vec<_> = (0..1_000).map(|_| tapped.connect()).collect();
    until("all", || (tapped.handle.counters().accepted == 1_001).then_some(()));
    tapped.closed("displaced", 1_000 - 63);
    sender.send(&data(&["still here"]));
    assert_eq!(tapped.frames(1), [b"still here"]);
    // One more that speaks has its place, and keeps it.
    let mut late = tapped.connect();
    late.begin();
    late.send(&data(&["late"]));
    assert_eq!(tapped.frames(1), [b"late"]);
    let more: Vec<_> = (0..200).map(|_| tapped.connect()).collect();
    tapped.closed("displaced", 1_000 - 62 + 200);
    for client in [&mut sender, &mut late] {
        client.send(&stop());
        client.expect(Control::Finish);
    }
    drop((silent, more));
    tapped.closed("end", 62);
    assert_eq!(tapped.handle.counters().refused, 0);
}

#[test]
fn refused_where_all_are_sending() {
    let tapped = Tapped::new(TapLimits { senders: 2, ..TapLimits::default() });
    let mut senders = [tapped.connect(), tapped.connect()];
    senders.iter_mut().for_each(|sender| sender.send(&start()));
    until("both", || (tapped.handle.counters().begun == 2).then_some(()));
    tapped.connect().expect_end();
    assert_eq!(tapped.handle.counters().refused, 1);
    let [first, mut second] = senders;
    drop(first);
    tapped.closed("end", 1);
    let mut third = tapped.connect();
    third.begin();
    for sender in [&mut second, &mut third] {
        sender.send(&data(&["x"]));
        assert_eq!(tapped.frames(1), [b"x"]);
    }
}

#[test]
fn silence_and_slowness_before_start() {
    let limits = TapLimits { handshake_timeout: Duration::from_millis(300), ..TapLimits::default() };
    let tapped = Tapped::new(limits);
    let mut silent = tapped.connect();
    silent.expect_end();
    tapped.closed("handshake-timeout", 1);
    let mut ready = tapped.connect();
    ready.send(&control(Control::Ready, &[DNSTAP_CONTENT_TYPE]));
    ready.expect(Control::Accept);
    ready.expect_end();
    tapped.closed("handshake-timeout", 2);
    // Octet by octet, each in time, and together too late.
    let mut slow = tapped.connect();
    let (_never, pause) = crossbeam::channel::bounded::<()>(0);
    let octets = start();
    let sent = octets.iter().take_while(|&&octet| {
        let _ = pause.recv_timeout(Duration::from_millis(50));
        slow.stream.write_all(&[octet]).is_ok()
    });
    assert!(sent.count() < octets.len());
    tapped.closed("handshake-timeout", 3);
    assert!(tapped.handle.senders().is_empty());
}

#[test]
fn slowness_inside_a_frame_and_silence_between_frames() {
    let limits = TapLimits {
        handshake_timeout: Duration::from_millis(300),
        idle_timeout: Some(Duration::from_secs(2)),
        ..TapLimits::default()
    };
    let tapped = Tapped::new(limits);
    let mut slow = tapped.connect();
    slow.send(&[start(), data(&["x"])].concat());
    let (_never, pause) = crossbeam::channel::bounded::<()>(0);
    let begin = Instant::now();
    // A frame of 256 KiB at 20 octets a second.
    let octets = data(&[vec![0; 1 << 18]]);
    let sent = octets.iter().take_while(|&&octet| {
        let _ = pause.recv_timeout(Duration::from_millis(50));
        slow.stream.write_all(&[octet]).is_ok()
    });
    assert!(sent.count() < octets.len());
    tapped.closed("frame-timeout", 1);
    assert!(begin.elapsed() >= Duration::from_millis(300));
    let begin = Instant::now();
    let mut idle = tapped.connect();
    idle.send(&[start(), data(&["x"])].concat());
    idle.expect_end();
    tapped.closed("idle-timeout", 1);
    assert!(begin.elapsed() >= Duration::from_secs(2));
    let reasons: Vec<_> = tapped.handle.senders().iter().map(|sender| sender.close_reason()).collect();
    assert_eq!(reasons, [Some(CloseReason::FrameTimeout), Some(CloseReason::IdleTimeout)]);
    assert_eq!(tapped.handle.counters().frames, 2);
}

/// Ten thousand connections that come and go at once, and streams that are over before they hold anything: the sender
/// between them loses nothing, and what is kept of the others is bounded.
#[test]
fn ten_thousand_connections() {
    let tapped = Tapped::new(TapLimits::default());
    let mut sender = tapped.connect();
    sender.begin();
    let path = tapped.path();
    let flood = std::thread::spawn(move || {
        let stream = [start(), stop()].concat();
        for number in 0..10_000 {
            let mut client = UnixStream::connect(&path).unwrap();
            if number % 2 == 0 {
                // It may have been displaced already.
                let _ = client.write_all(&stream);
            }
        }
    });
    let mut sent = 0_u64;
    while !flood.is_finished() {
        sender.send(&data(&[sent.to_be_bytes()]));
        assert_eq!(tapped.frames(1), [sent.to_be_bytes()]);
        sent += 1;
    }
    flood.join().unwrap();
    sender.send(&stop());
    sender.expect(Control::Finish);
    until("all ends", || {
        let counters = tapped.handle.counters();
        let closed = counters.closes().map(|(_, count)| count).sum::<u64>();
        (counters.accepted == 10_001 && closed + counters.refused == 10_001).then_some(())
    });
    let counters = tapped.handle.counters();
    assert_eq!((counters.frames, counters.discarded_frames), (sent, 0));
    let senders = tapped.handle.senders();
    assert!(senders.len() <= 4_096, "{}", senders.len());
    assert_eq!(counters.begun, senders.len() as u64 + counters.dropped_senders);
}

const WITHOUT_DESCRIPTORS: &str = "LOWTIDE_TEST_WITHOUT_DESCRIPTORS";

/// Runs itself in a process that may open few files, as only a shell can set it.
#[test]
fn without_descriptors() {
    if std::env::var_os(WITHOUT_DESCRIPTORS).is_some() {
        return in_a_process_of_few_descriptors();
    }
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["hostile::without_descriptors", "--exact", "--nocapture"])
        .env(WITHOUT_DESCRIPTORS, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

fn in_a_process_of_few_descriptors() {
    let tapped = Tapped::new(TapLimits::default());
    let mut before = tapped.connect();
    before.begin();
    let mut all: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(all.len() < 64);
    // One is free again, and the client takes it.
    all.pop();
    let begin = Instant::now();
    let mut client = tapped.connect();
    until("three failures", || (tapped.handle.counters().accept_errors >= 3).then_some(()));
    let (failures, elapsed) = (tapped.handle.counters().accept_errors, begin.elapsed());
    assert!(
        elapsed >= Duration::from_millis(200) * (failures as u32 - 2) / 2,
        "it does not spin: {elapsed:?}"
    );
    before.send(&data(&["meanwhile"]));
    assert_eq!(tapped.frames(1), [b"meanwhile"]);
    all.clear();
    client.begin();
    client.send(&data(&["afterwards"]));
    assert_eq!(tapped.frames(1), [b"afterwards"]);
}
