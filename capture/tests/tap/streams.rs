//! Streams of both kinds, and how they end.

use lowtide_capture::tap::{CloseReason, TapLimits};
use lowtide_proto::frame_streams::{Control, CutError, DNSTAP_CONTENT_TYPE, StreamError};

use crate::support::{LONG, Tapped, control, data, start, stop, until};

#[test]
fn bidirectional() {
    let tapped = Tapped::new(TapLimits::default());
    let mut client = tapped.connect();
    client.begin();
    client.send(&data(&["one", "two"]));
    client.send(&stop());
    assert!(client.expect(Control::Finish).is_empty());
    client.expect_end();
    assert_eq!(tapped.frames(2), [b"one", b"two"]);
    let sender = tapped.sender();
    until("the end", || sender.is_closed().then_some(()));
    assert_eq!(sender.close_reason(), Some(CloseReason::Stopped));
    assert!(sender.is_bidirectional() && sender.closed_at() >= Some(sender.begun()));
    assert_eq!((sender.frames(), sender.octets(), sender.discarded_frames()), (2, 6, 0));
    let me = format!("pid {}", std::process::id());
    assert!(sender.peer().starts_with("uid ") && sender.peer().ends_with(&me), "{}", sender.peer());
    tapped.handle.forget(sender.id());
    assert!(tapped.handle.senders().is_empty());
    let counters = tapped.handle.counters();
    assert_eq!((counters.accepted, counters.begun, counters.frames, counters.octets), (1, 1, 2, 6));
    assert_eq!((counters.closed("stop"), counters.closes().map(|(_, count)| count).sum::<u64>()), (1, 1));
}

/// The handshake and everything else in one write.
#[test]
fn a_sender_that_does_not_wait_for_accept() {
    let tapped = Tapped::new(TapLimits::default());
    let mut client = tapped.connect();
    let ready = control(Control::Ready, &[b"other", DNSTAP_CONTENT_TYPE]);
    client.send(&[ready, start(), data(&["one"]), stop()].concat());
    assert_eq!(client.expect(Control::Accept), [DNSTAP_CONTENT_TYPE]);
    client.expect(Control::Finish);
    client.expect_end();
    assert_eq!(tapped.frames(1), [b"one"]);
}

#[test]
fn unidirectional() {
    let tapped = Tapped::new(TapLimits::default());
    let mut client = tapped.connect();
    client.send(&[start(), data(&["one"])].concat());
    // What has come is there at once, though the stream goes on.
    assert_eq!(tapped.frames(1), [b"one"]);
    assert!(!tapped.sender().is_closed() && !tapped.sender().is_bidirectional());
    tapped.handle.forget(tapped.sender().id());
    assert_eq!(tapped.handle.senders().len(), 1, "an open one stays");
    client.send(&[data(&["two"]), stop()].concat());
    client.expect_end();
    assert_eq!(tapped.frames(1), [b"two"]);
    tapped.closed("stop", 1);
}

/// dnsdist and PowerDNS Recursor never say STOP.
#[test]
fn a_sender_that_only_closes() {
    let tapped = Tapped::new(TapLimits::default());
    let mut client = tapped.connect();
    client.begin();
    client.send(&data(&["one"]));
    drop(client);
    assert_eq!(tapped.frames(1), [b"one"]);
    tapped.closed("end", 1);
    let mut client = tapped.connect();
    client.send(&[start(), data(&["two", "cut"])[..13].to_vec()].concat());
    drop(client);
    assert_eq!(tapped.frames(1), [b"two"]);
    tapped.closed("cut", 1);
    assert_eq!(tapped.handle.counters().frames, 2);
}

#[test]
fn what_is_no_stream_of_dnstap_is_closed_and_counted() {
    let tapped = Tapped::new(TapLimits { frame_octets: 1_000, ..TapLimits::default() });
    let after_start = |octets: &[u8]| [start(), data(&["good"]), octets.to_vec()].concat();
    let length = |octets: u32| StreamError::Cut(CutError::FrameLength(octets));
    for (octets, error, frames) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), length(0x4745_5420), 0),
        (data(&["x"]), StreamError::NotStarted, 0),
        (control(Control::Ready, &[b"other"]), StreamError::ContentType, 0),
        (control(Control::Start, &[b"other"]), StreamError::ContentType, 0),
        (control(Control::Finish, &[]), StreamError::Unexpected(Control::Finish), 0),
        (after_start(&[0xff; 4]), length(u32::MAX), 1),
        (after_start(&1_001_u32.to_be_bytes()), length(1_001), 1),
        (after_start(&start()), StreamError::Unexpected(Control::Start), 1),
        (after_start(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 9]), StreamError::Cut(CutError::ControlType(9)), 1),
        (after_start(&[0, 0, 0, 0, 0, 0, 0, 3]), StreamError::Cut(CutError::ControlFrame), 1),
    ] {
        let before = tapped.handle.counters().closed(error.label());
        let mut client = tapped.connect();
        client.send(&octets);
        client.expect_end();
        tapped.closed(error.label(), before + 1);
        // What was good before it is kept.
        assert_eq!(tapped.frames(frames), vec![b"good"; frames]);
        let sender = tapped.handle.senders().pop();
        assert_eq!(sender.is_some(), frames > 0);
        if let Some(sender) = sender {
            assert_eq!(sender.close_reason(), Some(CloseReason::Protocol(error)));
            tapped.handle.forget(sender.id());
        }
    }
}

/// Frames of every length up to the longest, in writes of every length, come through in order.
#[test]
fn frames_of_all_lengths() {
    let tapped = Tapped::new(TapLimits::default());
    let longest = TapLimits::default().frame_octets;
    let lengths =
        (0..20).map(|power| 1 << power).filter(|&len| len <= longest).chain([longest, 1, 3, longest]);
    let frames: Vec<Vec<u8>> =
        lengths.cycle().take(200).enumerate().map(|(at, len)| vec![at as u8; len]).collect();
    let stream = [start(), data(&frames), stop()].concat();
    let mut client = tapped.connect();
    let writer = std::thread::spawn(move || {
        let mut rest = &stream[..];
        for len in [1, 2, 3, 5, 4_096, 7, 100_000, 400_000].into_iter().cycle() {
            let (now, later) = rest.split_at(len.min(rest.len()));
            client.send(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        client.expect_end();
    });
    let received = tapped.frames(frames.len());
    assert!(received == frames);
    writer.join().unwrap();
}

#[test]
fn several_senders_each_in_order() {
    const SENDERS: u32 = 20;
    const FRAMES: u32 = 500;
    let tapped = Tapped::new(TapLimits::default());
    let clients: Vec<_> = (0..SENDERS)
        .map(|number| {
            let mut client = tapped.connect();
            std::thread::spawn(move || {
                client.begin();
                for frame in 0..FRAMES {
                    client.send(&data(&[[number.to_be_bytes(), frame.to_be_bytes()].concat()]));
                }
                client.send(&stop());
                client.expect(Control::Finish);
            })
        })
        .collect();
    let mut next = std::collections::HashMap::<u64, (u32, u32)>::new();
    let mut received = 0;
    while received < SENDERS * FRAMES {
        let chunk = tapped.handle.chunks().recv_timeout(LONG).unwrap();
        for frame in chunk.frames() {
            let number = u32::from_be_bytes(frame[..4].try_into().unwrap());
            let (known, expected) = next.entry(chunk.sender.id()).or_insert((number, 0));
            assert_eq!((number, &frame[4..]), (*known, &expected.to_be_bytes()[..]));
            *expected += 1;
            received += 1;
        }
    }
    for client in clients {
        client.join().unwrap();
    }
    tapped.closed("stop", u64::from(SENDERS));
    assert!(tapped.handle.senders().iter().all(|sender| sender.frames() == u64::from(FRAMES)));
}

#[test]
fn stopping_reads_what_is_there() {
    let tapped = Tapped::new(TapLimits::default());
    let mut client = tapped.connect();
    client.begin();
    client.send(&data(&["one"]));
    assert_eq!(tapped.frames(1), [b"one"]);
    client.send(&data(&vec!["more"; 1_000]));
    let mut silent = tapped.connect();
    until("both", || (tapped.handle.counters().accepted == 2).then_some(()));
    tapped.handle.stop();
    client.expect_end();
    silent.expect_end();
    assert_eq!(tapped.frames(1_000).len(), 1_000);
    assert!(tapped.handle.chunks().recv().is_err(), "disconnected behind the last chunk");
    assert_eq!(tapped.sender().close_reason(), Some(CloseReason::Shutdown));
    assert_eq!(tapped.handle.counters().closed("shutdown"), 2);
    assert!(!tapped.path().exists());
}
