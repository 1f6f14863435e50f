//! A receiver that is stopped for a while (SIGSTOP, a suspended machine) and goes on.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lowtide_capture::tap::{Listen, Tap, TapLimits};
use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE};
use tempfile::TempDir;

use crate::support::{Client, LONG, control, data, start, stop, unix};

const PATH: &str = "LOWTIDE_TEST_STOPPED_PATH";

/// What came in time but could not be read then is no reason to close, neither inside a handshake nor inside a frame.
#[test]
fn what_came_meanwhile_came_in_time() {
    if let Some(path) = std::env::var_os(PATH) {
        return receive(Path::new(&path));
    }
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap");
    let mut receiver = Command::new(std::env::current_exe().unwrap())
        .args(["stopped::what_came_meanwhile_came_in_time", "--exact", "--nocapture"])
        .env(PATH, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("listening")));
    let connect = || Client::new(UnixStream::connect(&path).unwrap());
    let (mut in_frame, mut in_handshake) = (connect(), connect());
    in_frame.begin();
    in_frame.send(&data(&["first"]));
    assert!(lines.any(|line| line.ends_with("first")));
    in_handshake.send(&control(Control::Ready, &[DNSTAP_CONTENT_TYPE]));
    in_handshake.expect(Control::Accept);
    let frame = data(&["second"]);
    in_frame.send(&frame[..5]);
    signal(&receiver, "-STOP");
    in_frame.send(&[&frame[5..], &data(&vec!["more"; 1_000])].concat());
    in_handshake.send(&[start(), data(&["third"])].concat());
    let mut new = connect();
    new.send(&[control(Control::Ready, &[DNSTAP_CONTENT_TYPE]), start(), data(&["fourth"])].concat());
    let (_never, pause) = crossbeam::channel::bounded::<()>(0);
    // Longer than the receiver waits for anything.
    let _ = pause.recv_timeout(Duration::from_secs(4));
    signal(&receiver, "-CONT");
    new.expect(Control::Accept);
    for client in [&mut in_frame, &mut in_handshake, &mut new] {
        client.send(&stop());
        client.expect(Control::Finish);
    }
    let mut said: Vec<String> = lines.by_ref().take_while(|line| !line.ends_with("over")).collect();
    said.sort();
    assert_eq!(said.len(), 1_003);
    said.dedup();
    assert_eq!(said, ["fourth", "more", "second", "third"]);
    lines.for_each(drop);
    assert!(receiver.wait().unwrap().success());
}

fn signal(child: &Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

/// Says what comes, until three senders stopped.
fn receive(path: &Path) {
    let limits = TapLimits { handshake_timeout: Duration::from_secs(3), ..TapLimits::default() };
    let handle = Tap::bind(&[Listen::Unix(unix(path))], limits).unwrap().start().unwrap();
    println!("listening");
    let begin = Instant::now();
    let mut senders = 0;
    while senders < 3 {
        assert!(begin.elapsed() < LONG);
        if let Ok(chunk) = handle.chunks().recv_timeout(Duration::from_millis(10)) {
            chunk.frames().for_each(|frame| println!("{}", String::from_utf8_lossy(frame)));
        }
        let counters = handle.counters();
        assert_eq!(counters.closed("handshake-timeout") + counters.closed("frame-timeout"), 0);
        senders = if handle.chunks().is_empty() { counters.closed("stop") } else { 0 };
    }
    println!("over");
}
