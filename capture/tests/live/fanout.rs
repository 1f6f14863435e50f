//! Several handles share an interface's traffic.

use std::collections::HashMap;
use std::time::Instant;

use lowtide_capture::live::{LiveCapture, LiveOptions, Warning};

use crate::frames::{fragments_4, udp_4, udp_6};
use crate::net::{Net, PATIENCE, Sender, TAP, Taken, options, poll, take};

/// Takes until there are `count` frames in all, and some time longer.
fn take_all(captures: &mut [LiveCapture], count: usize) -> Vec<Vec<Taken>> {
    let mut taken = vec![Vec::new(); captures.len()];
    let end = Instant::now() + PATIENCE;
    while taken.iter().map(Vec::len).sum::<usize>() < count {
        assert!(Instant::now() < end, "{:?} of {count}", taken.iter().map(Vec::len).collect::<Vec<_>>());
        for (capture, taken) in captures.iter_mut().zip(&mut taken) {
            poll(capture, taken).unwrap();
        }
    }
    for (capture, taken) in captures.iter_mut().zip(&mut taken) {
        taken.extend(take(capture, 0));
    }
    taken
}

#[test]
fn both_directions_of_a_flow_reach_one_handle_and_nothing_is_lost_or_doubled() {
    let Some(_net) = Net::new() else { return };
    let mut captures = LiveCapture::open(&LiveOptions { threads: 2, ..options() }).unwrap();
    assert_eq!(captures.len(), 2);
    assert!(captures.iter().all(|capture| capture.warnings() == [Warning::Ipv6Fragments]));
    let server_4 = ([198, 51, 100, 2], 53);
    let server_6 = ([0x21; 16], 53);
    // Queries come in at the tap; responses leave by it, as they do beside a server.
    let (mut there, mut back) = (Sender::new(), Sender::at(TAP));
    const FLOWS: u16 = 500;
    let mut expected = 0;
    let mut taken = vec![Vec::new(); 2];
    for flow in 0..FLOWS {
        let mark = flow.to_be_bytes();
        let client_4 = ([192, 0, 2, (flow % 7) as u8], 20_000 + flow);
        let mut address = [0x20; 16];
        address[15] = (flow % 5) as u8;
        let client_6 = (address, 20_000 + flow);
        there.send(&[udp_4(client_4, server_4, &mark), udp_6(client_6, server_6, &mark)]);
        back.send(&[udp_4(server_4, client_4, &mark), udp_6(server_6, client_6, &mark)]);
        // A fragmented response, in each direction: it is put together before it is shared.
        let large = [&mark[..], &[0x5a; 1998]].concat();
        back.send(&fragments_4(server_4, client_4, &large, flow));
        there.send(&fragments_4(server_4, client_4, &large, 20_000 + flow));
        expected += 6;
        // Between two interfaces wait 1000 frames at most, and more are lost where no capture counts.
        if flow % 100 == 99 {
            for (all, taken) in taken.iter_mut().zip(take_all(&mut captures, 600)) {
                all.extend(taken);
            }
        }
    }

    let mut handles = HashMap::<(u8, [u8; 2]), Vec<usize>>::new();
    for (handle, taken) in taken.iter().enumerate() {
        assert!(taken.len() > expected / 4, "{}", taken.len());
        for taken in taken {
            let (version, payload) = match taken.octets[12] {
                0x08 => (4, &taken.octets[42..]),
                _ => (6, &taken.octets[62..]),
            };
            assert!(payload.len() == 2 || payload.len() == 2000, "{}", payload.len());
            handles.entry((version, payload[..2].try_into().unwrap())).or_default().push(handle);
        }
    }
    assert_eq!(handles.len(), 2 * usize::from(FLOWS));
    for ((version, flow), handles) in handles {
        assert_eq!(handles.len(), if version == 4 { 4 } else { 2 }, "{version} {flow:?}");
        assert!(handles.iter().all(|handle| *handle == handles[0]), "{version} {flow:?}: {handles:?}");
    }
    let stats: Vec<_> = captures.iter_mut().map(|capture| capture.stats().unwrap()).collect();
    for (stats, taken) in stats.iter().zip(&taken) {
        assert_eq!((stats.received, stats.kernel_dropped), (taken.len() as u64, 0));
    }
}

#[test]
fn two_groups_do_not_share() {
    let Some(_net) = Net::new() else { return };
    let options = LiveOptions { threads: 2, ..options() };
    let mut one = LiveCapture::open(&options).unwrap();
    let mut other = LiveCapture::open(&options).unwrap();
    let sent: Vec<_> = (0..100)
        .map(|flow| udp_4(([192, 0, 2, 1], 20_000 + flow), ([198, 51, 100, 2], 53), b"query"))
        .collect();
    Sender::new().send(&sent);
    for group in [&mut one, &mut other] {
        assert_eq!(take_all(group, 100).iter().map(Vec::len).sum::<usize>(), 100);
    }
}
