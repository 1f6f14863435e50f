//! One case each: what happens on real wires.

use super::*;

fn octets(out: &[Out]) -> Vec<Vec<u8>> {
    out.iter().map(|out| out.octets.clone()).collect()
}

#[test]
fn whole_messages_in_one_segment_are_not_buffered() {
    let messages = [query(1, b"a"), query(2, b"b"), answer(3, b"c", 9)];
    let mut bench = Bench::new();
    bench.query(99, SYN, &[]);
    bench.query(100, NONE, &framed(&messages));
    assert_eq!(octets(&bench.out), messages);
    assert_eq!(bench.peak, 0);
    assert!(!bench.finish().iter().any(|out| out.cut));
}

#[test]
fn one_octet_a_segment_across_the_wrap_of_sequence_numbers() {
    let messages = [query(1, b"a"), answer(2, b"b", 20), query(3, b"c")];
    for syn in [true, false] {
        let mut bench = Bench::new();
        let start = u32::MAX - 30;
        if syn {
            bench.query(start.wrapping_sub(1), SYN, &[]);
        }
        let mut times = Vec::new();
        for (n, octet) in framed(&messages).into_iter().enumerate() {
            bench.query(start.wrapping_add(n as u32), NONE, &[octet]);
            times.push(bench.now);
        }
        assert_eq!(octets(&bench.out), messages);
        let first = bench.out.first().map(|out| out.time);
        let expected = if syn { times.get(messages[0].len() + 1).copied() } else { first };
        assert_eq!(first, expected, "the time of the last octet");
        bench.finish();
    }
}

#[test]
fn capture_starts_in_mid_stream_and_finds_the_next_message() {
    let big = framed(&[answer(1, b"a", 200)]);
    let (first, second) = (query(2, b"b"), query(3, b"c"));
    let mut bench = Bench::new();
    bench.query(5_000, NONE, &big[1_000..1_900]);
    bench.query(5_900, NONE, &big[1_900..]);
    let at = 5_000 + big.len() as u32 - 1_000;
    // Prefix and message apart, as many clients send them.
    bench.query(at, NONE, &(first.len() as u16).to_be_bytes());
    bench.query(at + 2, NONE, &first);
    bench.query(at + 2 + first.len() as u32, NONE, &framed(std::slice::from_ref(&second)));
    assert_eq!(octets(&bench.finish()), [first, second]);
    assert_eq!(bench.counter("resyncs"), 1);
    assert_eq!(bench.counter("skipped_octets"), big.len() as u64 - 1_000);
}

#[test]
fn first_segment_of_the_capture_is_the_prefix_alone() {
    let message = query(7, b"prefix");
    let mut bench = Bench::new();
    bench.query(1, NONE, &(message.len() as u16).to_be_bytes());
    bench.query(3, NONE, &message);
    assert_eq!(octets(&bench.finish()), [message]);
}

#[test]
fn keep_alive_octets_and_retransmissions_count_once() {
    let messages = [query(1, b"a"), query(2, b"b")];
    let first = framed(&messages[..1]);
    let mut bench = Bench::new();
    bench.query(0, SYN, &[]);
    bench.query(1, NONE, &first);
    let next = 1 + first.len() as u32;
    bench.query(next - 1, NONE, &[0]);
    bench.query(1, NONE, &first);
    // A retransmission that carries new octets too.
    bench.query(1, FIN, &framed(&messages));
    bench.query(1, FIN, &framed(&messages));
    assert_eq!(octets(&bench.finish()), messages);
    assert_eq!(
        bench.counter("retransmitted_octets"),
        1 + 3 * first.len() as u64 + framed(&messages[1..]).len() as u64
    );
}

#[test]
fn syn_with_data_and_its_repetition() {
    let message = framed(&[query(1, b"fast")]);
    let mut bench = Bench::new();
    bench.query(41, SYN, &message);
    bench.query(41, SYN, &[]);
    // The server did not take it: the client sends it again.
    bench.query(42, NONE, &message);
    bench.query(42 + message.len() as u32, NONE, &message);
    assert_eq!(bench.finish().len(), 2);
    assert_eq!(bench.counter("flows_restarted"), 0);
}

#[test]
fn port_reuse_with_and_without_its_syn() {
    let message = framed(&[query(1, b"again")]);
    let mut bench = Bench::new();
    bench.query(0, SYN, &[]);
    bench.query(1, FIN, &message);
    bench.query(7_000, SYN, &[]);
    bench.query(7_001, FIN, &message);
    bench.query(2_000_000_000, NONE, &message);
    // Ahead of a closed flow, but near: no gap to wait for.
    bench.query(2_000_000_000 + message.len() as u32, FIN, &[]);
    bench.query(2_000_500_000, NONE, &message);
    assert_eq!(bench.out.len(), 4);
    assert_eq!(bench.counter("flows"), 1);
    assert_eq!(bench.counter("flows_restarted"), 3);
    bench.finish();
}

#[test]
fn reset_and_end_of_data_deliver_what_was_read() {
    let message = answer(1, b"big", 100);
    let stream = framed(std::slice::from_ref(&message));
    for flags in [RST, FIN, NONE] {
        let mut bench = Bench::new();
        bench.query(0, SYN, &[]);
        bench.query(1, NONE, &stream[..500]);
        bench.query(501, flags, &[]);
        assert_eq!(bench.out.len(), usize::from(flags != NONE));
        let out = bench.finish();
        assert_eq!(octets(&out), [message[..498].to_vec()]);
        assert!(out[0].cut);
        assert_eq!(out[0].wire_len as usize, message.len());
    }
    // Fewer octets than a header: nothing was read.
    let mut bench = Bench::new();
    bench.query(0, SYN, &[]);
    bench.query(1, FIN, &stream[..13]);
    assert_eq!(bench.finish(), []);
}

#[test]
fn snap_length_keeps_the_flow_in_step() {
    let (first, second) = (answer(1, b"cut", 300), query(2, b"next"));
    let stream = framed(&[first.clone(), second.clone()]);
    let mut bench = Bench::new();
    bench.query(0, SYN, &[]);
    for (n, part) in stream.chunks(1_000).enumerate() {
        let readable = &part[..part.len().min(if n == 0 { 60 } else { 20 })];
        bench.put(client(0), server(), 1 + 1_000 * n as u32, NONE, readable, part.len());
    }
    bench.query(1 + stream.len() as u32, NONE, &framed(std::slice::from_ref(&second)));
    let out = bench.finish();
    // The prefix of the second message lies among the octets that were cut off; the third starts a segment.
    assert_eq!(octets(&out), [first[..58].to_vec(), second]);
    assert!(out[0].cut && !out[1].cut);
    assert_eq!(out[0].wire_len as usize, first.len());
}

#[test]
fn a_lost_segment_inside_a_message_costs_only_that_message() {
    let messages = [answer(1, b"one", 300), query(2, b"two"), query(3, b"three")];
    let stream = framed(&messages);
    let mut bench = Bench::new();
    bench.query(0, SYN, &[]);
    bench.query(1, NONE, &stream[..1_000]);
    bench.query(2_001, NONE, &stream[2_000..]);
    assert_eq!(bench.out.len(), 0, "the gap may still be filled");
    let later = Timestamp(bench.now + 1_100_000_000);
    let mut late = Vec::new();
    bench.streams.tend(later, &mut |message| late.push((message.octets.to_vec(), message.cut)));
    assert_eq!(late[0], (messages[0][..998].to_vec(), true));
    assert_eq!(late[1], (messages[1].clone(), false));
    assert_eq!(late[2], (messages[2].clone(), false));
    assert_eq!((bench.counter("gaps"), bench.counter("lost_octets")), (1, 1_000));
    // Too late: the octets were given up.
    bench.query(1_001, NONE, &stream[1_000..2_000]);
    assert_eq!(bench.counter("retransmitted_octets"), 1_000);
}

#[test]
fn too_much_behind_a_gap_closes_it() {
    let message = framed(&[query(1, b"waiting")]);
    let limits = StreamLimits { max_held_segments: 10, ..StreamLimits::default() };
    let mut bench = Bench::with(limits);
    bench.query(0, SYN, &[]);
    for n in 1..=20 {
        bench.query(1 + n * message.len() as u32, NONE, &message);
    }
    assert_eq!(bench.out.len(), 20);
    assert_eq!(bench.finish().len(), 20);
    assert_eq!(bench.counter("lost_octets"), message.len() as u64);
}

#[test]
fn the_first_copy_wins() {
    let message = query(0x1111, b"first-copy");
    let stream = framed(std::slice::from_ref(&message));
    let other = vec![0xee; stream.len()];
    let mut bench = Bench::new();
    bench.query(0, SYN, &[]);
    bench.query(11, NONE, &stream[10..20]);
    bench.query(9, NONE, &[&stream[8..10], &other[10..20], &stream[20..24]].concat());
    bench.query(1, NONE, &[&stream[..8], &other[8..24], &stream[24..]].concat());
    assert_eq!(octets(&bench.finish()), [message]);
    assert_eq!(bench.counter("overlapping_octets"), 10 + 16);
}

#[test]
fn lengths_below_a_header_are_passed_over() {
    let (first, second) = (query(1, b"a"), query(2, b"b"));
    let stream = [
        framed(std::slice::from_ref(&first)),
        vec![0, 0, 0, 5, 1, 2, 3, 4, 5],
        framed(std::slice::from_ref(&second)),
    ]
    .concat();
    for size in [1, 3, 7, stream.len()] {
        let mut bench = Bench::new();
        bench.query(0, SYN, &[]);
        for (n, part) in stream.chunks(size).enumerate() {
            bench.query(1 + (n * size) as u32, NONE, part);
        }
        assert_eq!(octets(&bench.finish()), [first.clone(), second.clone()], "{size}");
        assert_eq!(bench.counter("messages_short"), 2);
        assert_eq!(bench.counter("skipped_octets"), 9);
    }
}

#[test]
fn odd_messages_with_a_header_count() {
    let mut odd = query(1, b"odd");
    odd[2] = 0x7f;
    odd[4] = 0xff;
    let mut bench = Bench::new();
    // At the known start of a stream, because its length fits; later because the stream is one of messages.
    bench.query(0, SYN, &[]);
    bench.query(1, NONE, &framed(std::slice::from_ref(&odd)));
    bench.query(1 + odd.len() as u32 + 2, NONE, &framed(&[vec![0xff; 12], odd.clone()]));
    assert_eq!(octets(&bench.finish()), [odd.clone(), vec![0xff; 12], odd]);
}

#[test]
fn both_directions_and_many_flows_are_apart() {
    let mut bench = Bench::new();
    for n in 0..50 {
        let (question, reply) = (framed(&[query(n, b"q")]), framed(&[answer(n, b"q", 40)]));
        let (asker, at) = (client(u32::from(n)), u32::from(n) << 24);
        bench.put(asker, server(), at, SYN, &[], 0);
        bench.put(server(), asker, at + 5, SYN, &[], 0);
        bench.put(asker, server(), at + 1, NONE, &question[..9], 9);
        bench.put(server(), asker, at + 6, NONE, &reply[..300], 300);
        bench.put(asker, server(), at + 10, NONE, &question[9..], question.len() - 9);
        bench.put(server(), asker, at + 306, NONE, &reply[300..], reply.len() - 300);
    }
    let out = bench.finish();
    assert_eq!(out.len(), 100);
    assert_eq!(out.iter().filter(|out| out.source == server()).count(), 50);
    assert_eq!(out.iter().filter(|out| out.octets.get(2).is_some_and(|flags| flags & 0x80 != 0)).count(), 50);
}

#[test]
fn idle_flows_are_forgotten() {
    let mut bench = Bench::new();
    bench.query(0, SYN, &[]);
    bench.query(1, NONE, &framed(&[answer(1, b"half", 10)])[..50]);
    assert_eq!(bench.streams.flows(), 1);
    let mut cut = 0;
    bench.streams.tend(Timestamp(bench.now + 61_000_000_000), &mut |message| cut += u32::from(message.cut));
    assert_eq!((bench.streams.flows(), cut), (0, 1));
    assert_eq!(bench.counter("flows_idle"), 1);
}
