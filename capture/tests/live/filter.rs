//! What arrives, and what does not.

use std::process::{Command, Stdio};
use std::time::Instant;

use lowtide_capture::live::{LiveOptions, LiveStats, Warning};

use crate::frames::{fragments_4, of_file, tagged, udp_4, udp_6};
use crate::net::{Net, PATIENCE, Sender, TAP, octets, open, options, take};

const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);
const SERVER: ([u8; 4], u16) = ([198, 51, 100, 2], 53);

#[test]
fn every_frame_of_a_file_arrives_as_it_is() {
    let Some(_net) = Net::new() else { return };
    let mut sender = Sender::new();
    for file in
        ["plain.pcap", "fragments.pcap", "link-vlan.pcap", "link-qinq.pcap", "tcp-pipeline.pcap", "edns.pcap"]
    {
        let sent = of_file(file);
        let mut capture = open(&options());
        assert_eq!(capture.link_type().0, 1);
        assert_eq!(capture.warnings(), []);
        sender.send(&sent);
        let taken = take(&mut capture, sent.len());
        assert_eq!(octets(&taken), sent, "{file}");
        assert!(taken.iter().all(|taken| taken.wire_len as usize == taken.octets.len()));
        assert!(taken.is_sorted_by_key(|taken| taken.time), "{file}");
        assert!(taken.iter().any(|taken| taken.time.0 % 1000 != 0), "{file}: nanoseconds");
        let stats = capture.stats().unwrap();
        assert_eq!(stats, LiveStats { received: sent.len() as u64, ..LiveStats::default() }, "{file}");
    }
}

#[test]
fn tcpdump_beside_it_sees_the_same() {
    let Some(_net) = Net::new() else { return };
    let sent = of_file("auth.pcap");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("beside.pcap");
    let mut tcpdump = Command::new("tcpdump")
        .args(["-i", TAP, "-U", "-Z", "root", "--nano", "-w"])
        .arg(&file)
        .args(["-c", &sent.len().to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("tcpdump is there");
    // It says on which interface it listens when it does.
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(tcpdump.stderr.take().unwrap()), &mut said)
        .unwrap();
    assert!(said.contains("listening on"), "{said}");
    let mut capture = open(&options());
    Sender::new().send(&sent);
    let taken = take(&mut capture, sent.len());
    assert!(tcpdump.wait().unwrap().success());
    let mut beside = lowtide_capture::CaptureFile::open(&file).unwrap();
    for taken in &taken {
        let Some(lowtide_capture::Record::Packet(packet)) = beside.next().unwrap() else {
            panic!("{taken:?}")
        };
        assert_eq!(packet.data, taken.octets);
        // The kernel takes the time once for all captures.
        assert_eq!(packet.time, taken.time);
    }
}

#[test]
fn the_snap_length_cuts_and_the_wire_length_tells() {
    let Some(_net) = Net::new() else { return };
    let sent = of_file("plain.pcap");
    let mut capture = open(&LiveOptions { snap_length: 70, ..options() });
    Sender::new().send(&sent);
    let taken = take(&mut capture, sent.len());
    for (taken, sent) in taken.iter().zip(&sent) {
        assert_eq!(taken.octets, sent[..sent.len().min(70)]);
        assert_eq!(taken.wire_len as usize, sent.len());
    }
    assert!(taken.iter().any(|taken| taken.wire_len > 70));
}

#[test]
fn what_is_not_dns_stays_away() {
    let Some(_net) = Net::new() else { return };
    let mut arp = vec![0xff; 12];
    arp.extend_from_slice(&[0x08, 0x06]);
    arp.resize(60, 0);
    let six = ([0x20; 16], 40_000);
    let mut sent = Vec::new();
    let mut expected = Vec::new();
    for port in [53, 853, 5353, 80, 9999] {
        let mut frames = vec![
            udp_4(CLIENT, (SERVER.0, port), b"query"),
            udp_4((SERVER.0, port), CLIENT, b"response"),
            udp_6(six, ([0x21; 16], port), b"query"),
        ];
        for tags in [&[[0x81, 0, 0, 7]][..], &[[0x88, 0xa8, 0, 100], [0x81, 0, 0, 7]]] {
            frames.extend(frames.clone()[..3].iter().map(|frame| tagged(frame, tags)));
        }
        if port == 53 || port == 853 {
            expected.extend(frames.clone());
        }
        sent.extend(frames);
        sent.push(arp.clone());
    }
    let mut capture = open(&LiveOptions { ports: vec![853], ..options() });
    Sender::new().send(&sent);
    assert_eq!(octets(&take(&mut capture, expected.len())), expected);
    assert_eq!(capture.stats().unwrap().received, expected.len() as u64);
}

#[test]
fn a_users_filter_holds_in_every_layer_and_keeps_fragments() {
    let Some(_net) = Net::new() else { return };
    let other = ([203, 0, 113, 9], 53);
    let mut sent = Vec::new();
    let mut expected = Vec::new();
    for server in [SERVER, other] {
        let mut frames = vec![udp_4(CLIENT, server, b"query"), udp_4((server.0, 80), CLIENT, b"no DNS")];
        frames.extend(fragments_4(server, CLIENT, &[0x5a; 2000], 7));
        for tags in [&[[0x81, 0, 0, 7]][..], &[[0x88, 0xa8, 0, 100], [0x81, 0, 0, 7]]] {
            frames.extend(frames.clone()[..4].iter().map(|frame| tagged(frame, tags)));
        }
        if server == SERVER {
            expected = frames.clone();
            for no_dns in [9, 5, 1] {
                expected.remove(no_dns);
            }
        }
        sent.extend(frames);
    }
    let mut sender = Sender::new();
    let filter = |filter: &str| LiveOptions { filter: Some(filter.to_owned()), ..options() };
    let mut capture = open(&filter("net 198.51.100.0/24"));
    assert_eq!(capture.warnings(), []);
    sender.send(&sent);
    assert_eq!(octets(&take(&mut capture, expected.len())), expected);

    // One that speaks of ports: the later fragment is missing in each layer, as it says.
    let mut capture = open(&filter("host 198.51.100.2 and udp port 53"));
    assert_eq!(capture.warnings(), [Warning::DropsFragments]);
    sender.send(&sent);
    let first: Vec<_> = (0..9).filter(|at| at % 3 != 2).map(|at| expected[at].clone()).collect();
    assert_eq!(octets(&take(&mut capture, first.len())), first);

    // One that names a layer.
    let mut capture = open(&filter("vlan 7 and host 198.51.100.2"));
    sender.send(&sent);
    assert_eq!(octets(&take(&mut capture, 3)), expected[3..6]);
}

/// The cost of a frame, from the ring to the caller, is a matter of benches; here only that nothing is slow by
/// design.
#[test]
fn an_idle_capture_waits_as_long_as_it_may() {
    let Some(_net) = Net::new() else { return };
    let mut capture = open(&options());
    let begin = Instant::now();
    let wait = std::time::Duration::from_millis(700);
    let polled = capture.poll(wait, &mut |_| panic!("a frame")).unwrap();
    assert_eq!(polled.packets, 0);
    assert!((wait..PATIENCE).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}
