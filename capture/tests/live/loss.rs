//! Frames that found the ring full are counted.

use std::time::Instant;

use lowtide_capture::live::LiveOptions;

use crate::frames::udp_4;
use crate::net::{Net, PATIENCE, Sender, TAP, open, options, take};

#[test]
fn delivered_and_dropped_add_up_to_what_was_sent() {
    let Some(_net) = Net::new() else { return };
    // Four blocks of the ring, and twelve times as many octets.
    let mut capture = open(&LiveOptions { buffer_octets: 1 << 20, ..LiveOptions::new(TAP) });
    let frame = udp_4(([192, 0, 2, 1], 40_000), ([198, 51, 100, 2], 53), &[0x5a; 1400]);
    let sent = vec![frame; 9000];
    let mut sender = Sender::new();
    let mut stats = capture.stats().unwrap();
    for part in sent.chunks(500) {
        let before = stats.received;
        sender.send(part);
        // What was sent has arrived when it was counted, be it as dropped. Between two interfaces wait 1000 frames at
        // most, and more are lost where no capture counts.
        let end = Instant::now() + PATIENCE;
        while stats.received < before + part.len() as u64 {
            assert!(Instant::now() < end, "{stats:?}");
            stats = capture.stats().unwrap();
        }
    }
    assert_eq!(stats.received, sent.len() as u64);
    assert!(stats.kernel_dropped > 5000, "{stats:?}");
    let delivered = sent.len() as u64 - stats.kernel_dropped;
    assert_eq!(take(&mut capture, delivered as usize).len() as u64, delivered);

    // With room again nothing more is lost, and the counters go on.
    sender.send(&sent[..100]);
    assert_eq!(take(&mut capture, 100).len(), 100);
    let later = capture.stats().unwrap();
    assert_eq!((later.received, later.kernel_dropped), (stats.received + 100, stats.kernel_dropped));
    assert_eq!(later.interface_dropped, 0);
}

#[test]
fn what_was_there_before_is_not_counted() {
    let Some(_net) = Net::new() else { return };
    let frame = udp_4(([192, 0, 2, 1], 40_000), ([198, 51, 100, 2], 53), b"query");
    // Traffic all the while the handles are opened; none of it twice, none of it uncounted.
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sender = Sender::new();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                sender.send(std::iter::repeat_n(&frame, 10));
            }
        });
        let opened: Vec<_> =
            (0..3).map(|_| open(&options())).map(|mut capture| (capture.stats().unwrap(), capture)).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        sending.join().unwrap();
        for (_, mut capture) in opened {
            let taken = take(&mut capture, 0).len() as u64;
            let stats = capture.stats().unwrap();
            assert_eq!(stats.received - stats.kernel_dropped, taken);
        }
    });
}
