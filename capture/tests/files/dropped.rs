//! What pcapng files say of packets that were dropped.

use std::io::{Write, stderr};
use std::process::Command;

use lowtide_capture::DroppedBy::{Interface, System, Unreadable, Unsaid};
use lowtide_capture::{DamageReason, Dropped, DroppedBy};
use lowtide_proto::Timestamp;

use crate::craft::{ORDERS, Order, assert_damaged, block, enhanced, interface, option, read, section};

const L: Order = Order::Little;

/// Midnight, 1 March 2026, UTC, in microseconds.
const MIDNIGHT: u64 = 1_772_323_200_000_000;

const MINUTE: u64 = 60_000_000;

/// Code and value of an option.
type Count = (u16, u64);

/// A statistics block with counts, at a time in microseconds.
fn statistics(order: Order, number: u32, at: u64, counts: &[Count]) -> Vec<u8> {
    let mut body = [order.u32(number), order.u32((at >> 32) as u32), order.u32(at as u32)].concat();
    for &(code, value) in counts {
        let value = match code {
            2 | 3 => [order.u32((value >> 32) as u32), order.u32(value as u32)].concat(),
            _ => order.u64(value).to_vec(),
        };
        body.extend(option(order, code, &value));
    }
    body.extend(option(order, 0, b""));
    block(order, 5, &body)
}

/// A packet whose block says how many were dropped before it.
fn after_drops(order: Order, number: u32, at: u64, dropped: &[u8]) -> Vec<u8> {
    let mut body = [number, (at >> 32) as u32, at as u32, 5, 5].map(|word| order.u32(word)).concat();
    body.extend(b"hello\0\0\0");
    body.extend(option(order, 4, dropped));
    block(order, 6, &body)
}

/// Two interfaces of microseconds and a packet of each at midnight.
fn begin(order: Order) -> Vec<u8> {
    let interface = interface(order, 1, 0, &[]);
    let packet = |number| enhanced(order, number, MIDNIGHT, b"packet", 6);
    [section(order), interface.clone(), interface, packet(0), packet(1)].concat()
}

/// Minutes after midnight.
type Minutes = (Option<i64>, Option<i64>);

/// What a whole file says, with times in minutes after midnight.
#[track_caller]
fn dropped(file: Vec<u8>) -> Vec<(DroppedBy, u64, Minutes)> {
    let (_, damage, summary) = read(file);
    assert_eq!(damage, None);
    let minute = |time: Timestamp| (time.0 as i64 / 1_000 - MIDNIGHT as i64) / MINUTE as i64;
    let minutes = |time: Option<Timestamp>| time.map(minute);
    let told = |of: &Dropped| (of.by, of.count, (minutes(of.from), minutes(of.to)));
    summary.dropped.iter().map(told).collect()
}

/// What is counted from the beginning, twice for interface 0.
fn cumulative(order: Order) -> Vec<u8> {
    let at = |minute: u64| MIDNIGHT + minute * MINUTE;
    [
        begin(order),
        statistics(order, 0, at(2), &[(2, MIDNIGHT - MINUTE), (4, 1_000), (5, 5), (7, 0)]),
        after_drops(order, 1, at(3), &order.u64(3)),
        statistics(order, 1, at(9), &[(5, 0), (7, 9)]),
        statistics(order, 0, at(10), &[(2, MIDNIGHT - MINUTE), (3, at(11)), (5, 12), (7, 4)]),
        statistics(order, 0, at(20), &[(5, 12), (7, 4)]),
        enhanced(order, 0, at(30), b"last", 4),
    ]
    .concat()
}

#[test]
fn counts_are_since_the_interface_said_so_last() {
    for order in ORDERS {
        assert_eq!(
            dropped(cumulative(order)),
            [
                (Interface, 5, (Some(-1), Some(2))),
                (Unsaid, 3, (Some(0), Some(3))),
                (System, 9, (None, Some(9))),
                (Interface, 7, (Some(2), Some(11))),
                (System, 4, (Some(2), Some(11))),
            ]
        );
    }
}

/// Wireshark reads the same numbers out of the same file.
#[test]
fn wireshark_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    for order in ORDERS {
        let path = folder.path().join("a.pcapng");
        std::fs::write(&path, cumulative(order)).unwrap();
        let tshark = Command::new("tshark")
            .args(["-X", "read_format:MIME Files Format", "-V", "-r"])
            .arg(&path)
            .output();
        let Ok(output) = tshark else {
            let text = b"SKIPPED, as there is no tshark: dropped::wireshark_reads_the_same\n";
            let _ = stderr().write_all(text);
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let of = |name: &str| -> Vec<u64> {
            let start = format!("Option: {name} = ");
            text.lines().filter_map(|line| line.trim().strip_prefix(&*start)?.parse().ok()).collect()
        };
        assert_eq!(of("Number of Dropped Packets"), [5, 0, 12, 12], "{text}");
        assert_eq!(of("Number of Packets Dropped by OS"), [0, 9, 4, 4], "{text}");
        assert_eq!(of("Drop Count"), [3], "{text}");
        let times: Vec<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("[Timestamp: Mar  1, 2026 ")).collect();
        let blocks =
            ["00:02:00", "00:09:00", "00:10:00", "00:20:00"].map(|time| format!("{time}.000000000 UTC]"));
        assert!(blocks.iter().all(|time| times.contains(&time.as_str())), "{times:?}");
    }
}

#[test]
fn counters_that_go_back_began_anew_or_are_of_before() {
    let at = |minute: u64| MIDNIGHT + minute * MINUTE;
    let of = |minute, count| statistics(L, 0, at(minute), &[(5, count)]);
    let file = [begin(L), of(10, 8), of(5, 3), of(20, 2), of(30, 3)].concat();
    assert_eq!(
        dropped(file),
        [
            (Interface, 8, (None, Some(10))),
            (Interface, 2, (Some(10), Some(20))),
            (Interface, 1, (Some(20), Some(30))),
        ]
    );
    // Each section counts for itself.
    let sections =
        [begin(L), of(10, 8), begin(Order::Big), statistics(Order::Big, 0, at(12), &[(5, 8)])].concat();
    assert_eq!(dropped(sections), [(Interface, 8, (None, Some(10))), (Interface, 8, (None, Some(12)))]);
}

/// dumpcap writes microseconds in an interface of nanoseconds, so that its times are of January 1970.
#[test]
fn a_time_that_cannot_be_is_the_whole_file() {
    let nanos = option(L, 9, &[9]);
    let packet = |minute: u64| enhanced(L, 0, (MIDNIGHT + minute * MINUTE) * 1_000, b"p", 1);
    let start = [section(L), interface(L, 1, 0, &nanos)].concat();
    let wrong = statistics(L, 0, MIDNIGHT + 5 * MINUTE, &[(2, MIDNIGHT), (3, MIDNIGHT + 5 * MINUTE), (5, 7)]);
    for packets in [[packet(0), packet(1), wrong.clone()], [wrong.clone(), packet(0), packet(1)]] {
        assert_eq!(dropped([start.clone(), packets.concat()].concat()), [(Interface, 7, (None, None))]);
    }
    // Ahead of all packets, as nanoseconds read as microseconds are.
    let ahead = MIDNIGHT * 2;
    let file = [begin(L), statistics(L, 0, ahead, &[(2, ahead), (5, 7)])].concat();
    assert_eq!(dropped(file), [(Interface, 7, (Some(0), Some((MIDNIGHT / MINUTE) as i64)))]);
    let counts = |at| statistics(L, 0, at, &[(5, at)]);
    let said = dropped([begin(L), counts(ahead), counts(ahead + MIDNIGHT)].concat());
    assert_eq!(said[1], (Interface, MIDNIGHT, (None, None)));
    // A start of an hour too late.
    let late = [(2, MIDNIGHT + 60 * MINUTE), (5, 7)];
    let file = [begin(L), statistics(L, 0, MIDNIGHT + 99 * MINUTE, &late)].concat();
    assert_eq!(dropped(file), [(Interface, 7, (Some(0), Some(99)))]);
    // Without any packet, what it says is all there is.
    let file = [section(L), interface(L, 1, 0, &[]), statistics(L, 0, MIDNIGHT + MINUTE, &[(5, 7)])].concat();
    assert_eq!(dropped(file), [(Interface, 7, (None, Some(1)))]);
}

#[test]
fn statistics_that_cannot_be_read_are_a_loss_that_nobody_knows() {
    let unknown = [(Unreadable, 1, (None, None))];
    for order in ORDERS {
        let whole = statistics(order, 0, MIDNIGHT, &[(4, 9), (5, 0), (7, 0)]);
        let body = &whole[8..whole.len() - 4];
        let cut = |len: usize| dropped([begin(order), block(order, 5, &body[..len])].concat());
        for len in (0..body.len()).step_by(4) {
            // Where an option ends, nobody can tell that more were to come.
            let is_whole = [12, 24, 36, 48].contains(&len);
            assert_eq!(cut(len), if is_whole { &[][..] } else { &unknown }, "{len}");
        }
    }
    let odd = |code, len: usize| {
        let body = [&[0; 12][..], &option(L, code, &vec![1; len])].concat();
        dropped([begin(L), block(L, 5, &body)].concat())
    };
    for code in [2, 3, 5, 7] {
        assert_eq!((odd(code, 4), odd(code, 9)), (unknown.to_vec(), unknown.to_vec()), "{code}");
    }
    // Options that are not of drops may be anything.
    assert_eq!(odd(1, 5), []);
    assert_eq!(dropped([begin(L), statistics(L, 2, MIDNIGHT, &[(5, 1)])].concat()), unknown);
    assert_eq!(dropped([begin(L), block(L, 5, &vec![0; 700_000])].concat()), unknown);
}

#[test]
fn statistics_that_the_file_ends_in_are_damage() {
    let whole = [begin(L), statistics(L, 0, MIDNIGHT, &[(5, 1)])].concat();
    let start = begin(L).len();
    for len in start + 1..whole.len() {
        assert_damaged(&whole[..len], 2, start, DamageReason::Cut);
    }
    let mut other = whole;
    *other.last_mut().unwrap() = 1;
    assert!(matches!(read(other).1.map(|damage| damage.reason), Some(DamageReason::BlockTrailer(..))));
}

#[test]
fn packets_say_what_was_dropped_before_them() {
    let at = |minute: u64| MIDNIGHT + minute * MINUTE;
    let file = [
        section(L),
        interface(L, 1, 0, &[]),
        after_drops(L, 0, at(0), &4_u64.to_le_bytes()),
        after_drops(L, 0, at(5), &0_u64.to_le_bytes()),
        after_drops(L, 0, at(7), &u64::MAX.to_le_bytes()),
        after_drops(L, 0, at(9), &[1]),
    ]
    .concat();
    let told = [
        (Unsaid, 4, (None, Some(0))),
        (Unsaid, u64::MAX, (Some(5), Some(7))),
        (Unreadable, 1, (Some(7), Some(9))),
    ];
    assert_eq!(dropped(file), told);
    // The obsolete block has 16 bits for it, all set where nobody counted.
    let obsolete = |minute, drops: u16| {
        let mut body = [L.u16(0), L.u16(drops)].concat();
        body.extend([(at(minute) >> 32) as u32, at(minute) as u32, 0, 0].map(|word| L.u32(word)).concat());
        block(L, 2, &body)
    };
    let file = [begin(L), obsolete(5, u16::MAX), obsolete(7, 6), obsolete(9, 0)].concat();
    assert_eq!(dropped(file), [(Unsaid, 6, (Some(5), Some(7)))]);
}

#[test]
fn losses_are_bounded_and_none_is_forgotten() {
    let packets = (0..20_000_u64)
        .flat_map(|number| after_drops(L, 0, MIDNIGHT + number * 2 * MINUTE, &1_u64.to_le_bytes()));
    let file: Vec<u8> = begin(L).into_iter().chain(packets).collect();
    let said = dropped([file, statistics(L, 1, MIDNIGHT + 50_000 * MINUTE, &[(7, 2)])].concat());
    assert!(said.len() < 5_000, "{}", said.len());
    assert_eq!(said.iter().filter(|of| of.0 == Unsaid).map(|of| of.1).sum::<u64>(), 20_000);
    assert_eq!(said.last(), Some(&(System, 2, (None, Some(50_000)))));
    assert_eq!(said[said.len() - 2].2.1, Some(39_998));
    // Many within a minute are one.
    let packets = (1..=600_u64)
        .flat_map(|number| after_drops(L, 0, MIDNIGHT + number * MINUTE / 10, &1_u64.to_le_bytes()));
    let said = dropped(begin(L).into_iter().chain(packets).collect());
    assert_eq!((said.len(), said.iter().map(|of| of.1).sum::<u64>()), (60, 600));
}
