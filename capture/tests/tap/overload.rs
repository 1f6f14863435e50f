//! A pipeline that does not keep up, or does nothing at all.

use std::collections::BTreeMap;
use std::time::Duration;

use lowtide_capture::tap::{Chunk, TapLimits};
use lowtide_proto::dnstap::View;
use lowtide_proto::frame_streams::Control;

use crate::support::{Tapped, data, query, start, stop, until};

/// The frames of a chunk by their second.
fn count(into: &mut BTreeMap<u64, u64>, chunk: &Chunk) {
    for frame in chunk.frames() {
        let time = View::parse(frame).ok().and_then(|view| view.time());
        *into.entry(time.map_or(0, |time| time.0 / 1_000_000_000)).or_default() += 1;
    }
}

#[test]
fn nothing_is_taken_and_the_sender_is_not_held_up() {
    const SECONDS: u64 = 100;
    const EACH: u64 = 500;
    let tapped = Tapped::new(TapLimits { queue_octets: 1 << 20, ..TapLimits::default() });
    let mut client = tapped.connect();
    client.begin();
    for second in 0..SECONDS {
        client.send(&data(&vec![query(1_000 + second, 150); EACH as usize]));
        client.send(&data(&["no time"]));
    }
    client.send(&stop());
    // Whoever stops is not held up either.
    client.expect(Control::Finish);
    client.expect_end();
    let sender = tapped.sender();
    until("the end", || sender.is_closed().then_some(()));
    assert_eq!(sender.frames(), SECONDS * (EACH + 1));
    assert!(sender.discarded_frames() > SECONDS * EACH / 2, "{sender:?}");
    let mut all: BTreeMap<u64, u64> = sender.take_discarded().into_iter().collect();
    assert_eq!(all.values().sum::<u64>(), sender.discarded_frames());
    assert!(sender.take_discarded().is_empty());
    let counters = tapped.handle.counters();
    assert_eq!(counters.discarded_frames, sender.discarded_frames());
    assert_eq!(counters.discarded_octets, sender.discarded_octets());
    assert_eq!((counters.frames, counters.octets), (sender.frames(), sender.octets()));
    assert_eq!(counters.chunks, sender.chunks_queued());
    // What was not discarded is still there, and nothing of it is counted as discarded.
    let mut chunks = 0;
    let mut octets = 0;
    while let Ok(chunk) = tapped.handle.chunks().try_recv() {
        chunks += 1;
        octets += chunk.octets() as u64;
        count(&mut all, &chunk);
    }
    assert_eq!((chunks, octets + sender.discarded_octets()), (sender.chunks_queued(), sender.octets()));
    let expected = (0..SECONDS).map(|second| (1_000 + second, EACH)).chain([(0, SECONDS)]).collect();
    assert_eq!(all, expected);
    // And room is there again.
    let mut client = tapped.connect();
    client.send(&[start(), data(&["again"])].concat());
    assert_eq!(tapped.frames(1), [b"again"]);
}

/// More seconds than are told apart: no frame is lost from the count, and none counts later than it was.
#[test]
fn a_sender_of_all_times() {
    let tapped = Tapped::new(TapLimits { queue_octets: 1, ..TapLimits::default() });
    let mut client = tapped.connect();
    client.begin();
    client.send(&data(&["first"]));
    let held = tapped.chunk();
    for second in 0..5_000 {
        client.send(&data(&[query(10_000 + second, 1), query(20_000 - second, 1)]));
    }
    client.send(&stop());
    client.expect(Control::Finish);
    let sender = tapped.sender();
    let discarded = sender.take_discarded();
    assert_eq!(sender.discarded_frames(), 10_000);
    assert_eq!(discarded.len(), 4_096);
    assert_eq!(discarded.iter().map(|(_, frames)| frames).sum::<u64>(), 10_000);
    assert!(discarded.is_sorted());
    tapped.handle.recycle(held);
}

/// While the queue is long, few frames at a time share a chunk; all come, in order, also the last.
#[test]
fn few_frames_at_a_time_while_the_queue_is_long() {
    let tapped = Tapped::new(TapLimits::default());
    let mut client = tapped.connect();
    client.begin();
    let sender = tapped.sender();
    let frames: Vec<Vec<u8>> = (0..300_u32).map(|at| at.to_be_bytes().to_vec()).collect();
    for (at, frame) in frames.iter().enumerate() {
        client.send(&data(&[frame]));
        until("the frame", || (sender.frames() > at as u64).then_some(()));
    }
    let queued = until("the last", || {
        let queued = sender.chunks_queued();
        let (_never, pause) = crossbeam::channel::bounded::<()>(0);
        let _ = pause.recv_timeout(Duration::from_millis(200));
        (queued == sender.chunks_queued()).then_some(queued)
    });
    assert!((34..300).contains(&queued), "{queued} chunks");
    assert!(tapped.frames(frames.len()) == frames);
}
