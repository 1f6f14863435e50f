//! An interface that goes away and comes back.

use std::time::{Duration, Instant};

use lowtide_capture::live::{ANY, Gone, LiveError, LiveOptions, Warning};

use crate::frames::udp_4;
use crate::net::{Net, PATIENCE, SENDER, Sender, TAP, fail, ip, octets, open, options, poll, take};

fn frames(count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|port| udp_4(([192, 0, 2, 1], 40_000 + port), ([198, 51, 100, 2], 53), b"query")).collect()
}

#[test]
fn a_removed_interface_is_gone_until_there_is_another() {
    let Some(net) = Net::new() else { return };
    let mut capture = open(&options());
    let sent = frames(20);
    Sender::new().send(&sent);
    ip(&["link", "del", TAP]);
    // What came before is lent first, though the kernel had not handed it over yet.
    let mut taken = Vec::new();
    let error = fail(&mut capture, &mut taken);
    assert!(matches!(error, LiveError::Gone { how: Gone::Removed, .. }), "{error}");
    assert_eq!(octets(&taken), sent);
    assert_eq!(capture.stats().unwrap().received, 20);

    assert!(matches!(capture.reopen(), Err(LiveError::NoInterface { .. })));
    let again = poll(&mut capture, &mut taken);
    assert!(matches!(again, Err(LiveError::Gone { how: Gone::Removed, .. })), "{again:?}");
    net.add_pair();
    capture.reopen().unwrap();
    assert_eq!(take(&mut capture, 0), []);
    Sender::new().send(&sent);
    assert_eq!(octets(&take(&mut capture, 20)), sent);
    assert_eq!(capture.stats().unwrap().received, 40);
    // Without a loss it does nothing.
    capture.reopen().unwrap();
}

#[test]
fn an_interface_that_is_replaced_at_once_is_gone() {
    let Some(net) = Net::new() else { return };
    let mut capture = open(&options());
    ip(&["link", "del", TAP]);
    net.add_pair();
    let error = fail(&mut capture, &mut Vec::new());
    assert!(matches!(error, LiveError::Gone { how: Gone::Removed, .. }), "{error}");
    capture.reopen().unwrap();
    let sent = frames(5);
    Sender::new().send(&sent);
    assert_eq!(octets(&take(&mut capture, 5)), sent);
}

#[test]
fn an_interface_that_is_down_is_gone_until_it_is_up() {
    let Some(_net) = Net::new() else { return };
    let mut capture = open(&options());
    let sent = frames(20);
    let mut sender = Sender::new();
    sender.send(&sent);
    ip(&["link", "set", TAP, "down"]);
    let mut taken = Vec::new();
    let error = fail(&mut capture, &mut taken);
    assert!(matches!(error, LiveError::Gone { how: Gone::Down, .. }), "{error}");
    assert_eq!(octets(&taken), sent);
    assert!(matches!(capture.reopen(), Err(LiveError::Down { .. })));
    assert!(matches!(poll(&mut capture, &mut taken), Err(LiveError::Gone { how: Gone::Down, .. })));

    ip(&["link", "set", TAP, "up"]);
    capture.reopen().unwrap();
    sender.send(&sent);
    assert_eq!(octets(&take(&mut capture, 20)), sent);
    assert_eq!(capture.stats().unwrap().received, 40);
    // It sees the next loss as well, and a removal after it.
    ip(&["link", "set", TAP, "down"]);
    assert!(matches!(fail(&mut capture, &mut taken), LiveError::Gone { how: Gone::Down, .. }));
    ip(&["link", "del", TAP]);
    assert!(matches!(capture.reopen(), Err(LiveError::NoInterface { .. })));
}

#[test]
fn an_interface_that_is_up_again_when_it_is_polled_goes_on() {
    let Some(_net) = Net::new() else { return };
    let mut capture = open(&options());
    let sent = frames(20);
    let mut sender = Sender::new();
    for round in 1..=3 {
        ip(&["link", "set", TAP, "down"]);
        ip(&["link", "set", TAP, "up"]);
        sender.send(&sent);
        assert_eq!(octets(&take(&mut capture, 20)), sent, "round {round}");
        assert_eq!(capture.stats().unwrap().received, 20 * round);
    }
}

#[test]
fn a_removed_interface_comes_back_for_all_of_a_group() {
    let Some(net) = Net::new() else { return };
    let mut captures =
        lowtide_capture::live::LiveCapture::open(&LiveOptions { threads: 3, ..options() }).unwrap();
    ip(&["link", "del", TAP]);
    net.add_pair();
    for capture in &mut captures {
        assert!(matches!(fail(capture, &mut Vec::new()), LiveError::Gone { .. }));
    }
    for capture in &mut captures {
        capture.reopen().unwrap();
    }
    let sent = frames(300);
    Sender::new().send(&sent);
    let mut taken = Vec::new();
    let end = Instant::now() + PATIENCE;
    while taken.len() < sent.len() {
        assert!(Instant::now() < end, "{} frames", taken.len());
        for capture in &mut captures {
            poll(capture, &mut taken).unwrap();
        }
    }
    let mut taken = octets(&taken);
    taken.sort();
    let mut sent = sent;
    sent.sort();
    assert_eq!(taken, sent);
}

#[test]
fn all_interfaces_show_a_frame_at_each() {
    let Some(_net) = Net::new() else { return };
    let mut capture = open(&LiveOptions { interface: ANY.to_owned(), ..options() });
    assert_eq!(capture.warnings(), [Warning::Any]);
    assert!(capture.warnings()[0].to_string().contains("twice"));
    let cooked = match capture.link_type().0 {
        113 => 16,
        276 => 20,
        other => panic!("link type {other}"),
    };
    let sent = frames(10);
    Sender::new().send(&sent);
    let taken = take(&mut capture, 20);
    assert_eq!(taken.len(), 20);
    for frame in &sent {
        let times = taken.iter().filter(|taken| taken.octets[cooked..] == frame[14..]).count();
        assert_eq!(times, 2);
    }
    // Any one may go.
    ip(&["link", "del", SENDER]);
    let polled = capture.poll(Duration::from_millis(1500), &mut |_| {}).unwrap();
    assert_eq!(polled.packets, 0);
}

#[test]
fn tagged_frames_arrive_at_all_interfaces() {
    let Some(_net) = Net::new() else { return };
    let mut capture = open(&LiveOptions { interface: ANY.to_owned(), ..options() });
    let query = &frames(1)[0];
    let sent: Vec<_> = [&[[0x81, 0, 0, 7]][..], &[[0x88, 0xa8, 0, 100], [0x81, 0, 0, 7]]]
        .map(|tags| crate::frames::tagged(query, tags))
        .into();
    Sender::new().send(&sent);
    let taken = take(&mut capture, 4);
    assert_eq!(taken.len(), 4);
    assert!(taken.iter().all(|taken| taken.octets.ends_with(&query[14..])));
}

#[test]
fn a_bridge_is_told() {
    let Some(_net) = Net::new() else { return };
    ip(&["link", "add", "bridge", "type", "bridge"]);
    ip(&["link", "set", "bridge", "up"]);
    let capture = open(&LiveOptions::new("bridge"));
    assert_eq!(capture.warnings(), [Warning::Bridge]);
}
