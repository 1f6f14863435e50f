//! What attackers, scanners and strangers send to port 53; and what it may cost.

use super::*;

#[test]
fn half_open_connections_cost_nothing() {
    let mut bench = Bench::new();
    for n in 0..1_000_000 {
        bench.put(client(n), server(), n.wrapping_mul(77), SYN, &[], 0);
    }
    assert_eq!(bench.streams.flows(), 0);
    assert_eq!(bench.peak, 0);
    assert_eq!(bench.counter("segments"), 1_000_000);
}

#[test]
fn a_million_flows_of_one_octet_stay_within_the_limits() {
    let limits = StreamLimits { max_flows: 5_000, max_bytes: 200_000, ..StreamLimits::default() };
    let mut bench = Bench::with(limits);
    for n in 0..1_000_000 {
        bench.put(client(n), server(), 1, NONE, &[0], 1);
        assert!(bench.streams.flows() <= 5_000);
    }
    assert!(bench.peak <= 200_000, "{}", bench.peak);
    assert!(bench.counter("flows_evicted") >= 990_000);
    assert_eq!(bench.finish(), []);
}

#[test]
fn gaps_that_are_never_filled_stay_within_the_limits() {
    let limits = StreamLimits { max_bytes: 1 << 20, ..StreamLimits::default() };
    let mut bench = Bench::with(limits);
    let payload = [0; 1_000];
    for n in 0..100_000 {
        let (flow, round) = (n % 1_000, n / 1_000);
        if round == 0 {
            bench.put(client(flow), server(), 0, SYN, &[], 0);
        }
        bench.put(client(flow), server(), 2 + round * 1_001, NONE, &payload, 1_000);
    }
    assert!(bench.peak <= 1 << 20, "{}", bench.peak);
    assert!(bench.counter("buffers_evicted") > 0);
    assert_eq!(bench.finish(), []);
}

#[test]
fn one_octet_at_every_other_place_stays_within_the_limits() {
    let limits = StreamLimits { max_bytes: 1 << 20, gap_timeout: u64::MAX, ..StreamLimits::default() };
    let mut bench = Bench::with(limits);
    bench.query(0, SYN, &[]);
    // Backwards, so that each goes in front of all others.
    for n in (1..200_000).rev() {
        bench.query(n * 2, NONE, &[7]);
    }
    assert!(bench.peak <= 1 << 20);
    assert_eq!(bench.finish(), []);
}

#[test]
fn long_messages_that_never_end_stay_within_the_limits() {
    let limits = StreamLimits { max_bytes: 4 << 20, ..StreamLimits::default() };
    let mut bench = Bench::with(limits);
    let mut start = vec![0xff, 0xff];
    start.extend(answer(1, b"slow", 4_000));
    for n in 0..2_000 {
        bench.put(client(n), server(), 0, SYN, &[], 0);
        bench.put(client(n), server(), 1, NONE, &start, start.len());
    }
    assert!(bench.peak <= 4 << 20, "{}", bench.peak);
    // Each was read once, whether it was evicted or the data ended.
    let out = bench.finish();
    assert_eq!(out.len(), 2_000);
    assert!(out.iter().all(|out| out.cut));
}

#[test]
fn anything_at_all_is_accounted_for() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let limits = StreamLimits {
            max_flows: 1 + random.below(8),
            max_bytes: random.below(20_000),
            max_held_bytes: random.below(5_000),
            max_held_segments: random.below(20),
            ..StreamLimits::default()
        };
        let mut bench = Bench::with(limits);
        let stream = framed(&[query(1, b"some"), answer(2, b"more", 60), vec![0; 5], answer(3, b"last", 9)]);
        for _ in 0..500 {
            let at = random.below(stream.len());
            let payload = &stream[at..at + random.below(stream.len() - at + 1)];
            let sequence = match random.below(30) {
                0 => random.next() as u32,
                1 => (at as u32).wrapping_add(1 << 31),
                _ => at as u32,
            };
            let flags =
                TcpFlags::from_bits_truncate(if random.one_in(8) { random.next() as u8 } else { 0x10 });
            let wire_len = match random.below(20) {
                0 => random.next() as u32 as usize,
                1 => random.below(payload.len() + 1),
                2 => payload.len() + random.below(2_000),
                _ => payload.len(),
            };
            if random.one_in(50) {
                bench.now = bench.now.wrapping_add(random.next() >> random.below(64));
            }
            bench.now = bench.now.min(u64::MAX - 1_000_000_000);
            bench.put(client(random.below(12) as u32), server(), sequence, flags, payload, wire_len);
            assert!(bench.streams.buffered_bytes() <= limits.max_bytes);
            assert!(bench.streams.flows() <= limits.max_flows);
        }
        bench.finish();
    }
}

#[test]
fn clocks_that_jump_lose_no_message_that_is_whole() {
    let mut bench = Bench::new();
    let message = framed(&[query(1, b"time")]);
    for n in 0..1_000 {
        bench.now = if n % 7 == 0 { 10_000_000_000_000 } else { 1_000_000_000_000 };
        bench.put(client(n % 10), server(), 1 + n / 10 * message.len() as u32, NONE, &message, message.len());
    }
    assert_eq!(bench.finish().len(), 1_000);
}

/// Openings of other protocols, most of them as nmap's service detection sends them to any port.
const STRANGERS: &[&[u8]] = &[
    b"GET / HTTP/1.0\r\n\r\n",
    b"OPTIONS * RTSP/1.0\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n",
    b"\r\n\r\n",
    b"HELP\r\n",
    b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03\x5f\x1e\x4c\xa1\x00\x00\x00\x00\x00\x20\x13\x02\x13\x03\x13\x01",
    b"\x16\x03\x00\x00S\x01\x00\x00O\x03\x00?G\xd7\xf7\xba,\xee\xea\xb2`~\xf3\x00\xfd\x82{\xb9\xd5\x96\xc8w",
    b"\x80\0\0\x28\x72\xfe\x1d\x13\0\0\0\0\0\0\0\x02\0\x01\x86\xa0\0\x01\x97\x7c\0\0\0\0\0\0\0\0\0\0\0\0",
    b"\0\0\0\xa4\xff\x53\x4d\x42\x72\0\0\0\0\x08\x01\x40\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x40\x06\0\0\x01\0",
    b"\x6c\0\x0b\0\0\0\0\0\0\0\0\0",
    b"\0\x5a\0\0\x01\0\0\0\x016\x01,\0\0\x08\0\x7f\xff\x7f\x08\0\0\0\x01\0\x20\0:\0\0\0\0\0\0\0",
    b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\0\x80\0",
    b"\x03\0\0\x0b\x06\xe0\0\0\0\0\0",
    b"DmdT\0\0\0\x17\0\0\0\x01\0\0\0\0\x11\x11\0\xff\x01\xff\x13",
    b"\x3a\0\0\0\x2f\0\0\0\x02\0\0\x40\x02\x0f\0\x01\0\x3d\x05\0\0\0\0\0\0\0\0\0\0\0\0\0\x2f\0\0\0\0\0\0\0",
    b"JRMI\0\x02K",
    b"*1\r\n$4\r\nPING\r\n",
];

#[test]
fn strangers_on_the_port_are_not_messages() {
    for opening in STRANGERS {
        for syn in [true, false] {
            let mut bench = Bench::new();
            if syn {
                bench.query(0, SYN, &[]);
            }
            bench.query(1, NONE, opening);
            // What an encrypted or compressed stream goes on with.
            let mut random = Random(opening.len() as u64);
            let mut at = 1 + opening.len() as u32;
            for _ in 0..200 {
                let len = 1 + random.below(1_400);
                let payload: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
                bench.query(at, NONE, &payload);
                at += len as u32;
            }
            bench.query(at, FIN, &[]);
            assert_eq!(bench.finish(), [], "{}", opening.escape_ascii());
        }
    }
}

#[test]
fn scanners_that_speak_dns_are_heard() {
    let version = b"\0\x1e\0\x06\x01\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03";
    let status = b"\0\x0c\0\0\x10\0\0\0\0\0\0\0\0\0";
    for probe in [&version[..], &status[..]] {
        for syn in [true, false] {
            let mut bench = Bench::new();
            if syn {
                bench.query(0, SYN, &[]);
            }
            bench.query(1, NONE, probe);
            assert_eq!(bench.finish().len(), 1);
        }
    }
}
