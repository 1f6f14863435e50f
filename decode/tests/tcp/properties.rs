//! Random streams, cut into random segments that come in any order, more than once, or not at all.

use super::*;

struct Piece {
    at: usize,
    octets: Vec<u8>,
}

fn messages(random: &mut Random) -> Vec<Vec<u8>> {
    (0..1 + random.below(30))
        .map(|n| {
            let name: Vec<u8> = (0..1 + random.below(60)).map(|_| b'a' + random.below(26) as u8).collect();
            match random.below(4) {
                0 => answer(n as u16, &name, random.below(400) as u16),
                1 => answer(n as u16, &name, random.below(4) as u16),
                _ => query(n as u16, &name),
            }
        })
        .collect()
}

/// Segments of random size, in order; some say again what was said before.
fn segments(random: &mut Random, stream: &[u8]) -> Vec<Piece> {
    let longest = [3, 40, 600, 1_448, 9_000][random.below(5)].max(stream.len() / 400);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < stream.len() {
        let end = (at + 1 + random.below(longest)).min(stream.len());
        let from = if random.one_in(6) { at.saturating_sub(random.below(2 * longest)) } else { at };
        pieces.push(Piece { at: from, octets: stream[from..end].to_vec() });
        if random.one_in(8) {
            let from = random.below(end);
            let to = from + 1 + random.below((end - from).min(longest));
            pieces.push(Piece { at: from, octets: stream[from..to.min(end)].to_vec() });
        }
        at = end;
    }
    pieces
}

/// Swaps segments that are near to each other, from the index `from` on.
fn disorder(random: &mut Random, pieces: &mut [Piece], from: usize) {
    for _ in 0..pieces.len() / 2 {
        let a = from + random.below(pieces.len().saturating_sub(from));
        let b = a + random.below(20);
        if a < pieces.len() && b < pieces.len() {
            pieces.swap(a, b);
        }
    }
}

#[test]
fn without_loss_exactly_the_messages_come_out_in_order() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let messages = messages(&mut random);
        let stream = framed(&messages);
        let mut pieces = segments(&mut random, &stream);
        let start = random.next() as u32;
        let mut bench = Bench::new();
        let syn = random.one_in(2);
        if syn {
            bench.query(start.wrapping_sub(1), SYN, &[]);
        }
        disorder(&mut random, &mut pieces, usize::from(!syn));
        for piece in &pieces {
            bench.query(start.wrapping_add(piece.at as u32), NONE, &piece.octets);
        }
        let out = bench.finish();
        assert_eq!(out.len(), messages.len(), "seed {seed}: {:?}", bench.streams.counters());
        for (out, message) in out.iter().zip(&messages) {
            assert_eq!(&out.octets, message, "seed {seed}");
            assert!(!out.cut);
        }
        assert_eq!(bench.counter("gaps"), 0);
    }
}

#[test]
fn with_loss_nothing_is_invented_or_counted_twice() {
    let (mut sent, mut whole, mut cut) = (0, 0, 0);
    for seed in 0..600 {
        let mut random = Random(seed);
        let messages = messages(&mut random);
        let stream = framed(&messages);
        let mut pieces = segments(&mut random, &stream);
        let rate = 3 + random.below(40);
        pieces.retain(|_| !random.one_in(rate));
        if random.one_in(2) {
            disorder(&mut random, &mut pieces, 0);
        }
        let start = random.next() as u32;
        let snap = [usize::MAX, 60, 300][random.below(3)];
        let mut bench = Bench::new();
        if random.one_in(2) {
            bench.query(start.wrapping_sub(1), SYN, &[]);
        }
        for piece in &pieces {
            let readable = &piece.octets[..piece.octets.len().min(snap)];
            bench.now += if random.one_in(20) { 1_200_000_000 } else { 0 };
            bench.put(
                client(0),
                server(),
                start.wrapping_add(piece.at as u32),
                NONE,
                readable,
                piece.octets.len(),
            );
        }
        sent += messages.len();
        let mut left = messages.iter();
        for out in bench.finish() {
            assert!(out.octets.len() >= 12);
            assert_eq!(out.cut, out.octets.len() < out.wire_len as usize);
            // In order, and each of them at most once.
            let found = left
                .find(|message| message.len() == out.wire_len as usize && message.starts_with(&out.octets));
            assert!(found.is_some(), "seed {seed} invented {out:?}");
            if out.cut { cut += 1 } else { whole += 1 }
        }
    }
    // A floor, far below what is found: one segment in 3 to 42 is lost, and most are cut by the snap length.
    assert!(whole * 5 > sent, "{whole} whole and {cut} cut of {sent}");
}

#[test]
fn a_transfer_with_loss_falls_back_into_step() {
    // 60 messages of about 16 KiB, each in segments of 1448 octets of its own: a zone transfer, one segment in 20 lost.
    let mut random = Random(1);
    let mut bench = Bench::new();
    bench.query(0, SYN, &[]);
    let (mut at, mut readable, mut whole) = (1, 0, 0);
    for n in 0..60 {
        let mut lost = [false; 12];
        for (segment, part) in framed(&[answer(n, b"transfer", 1_020)]).chunks(1_448).enumerate() {
            lost[segment] = random.one_in(20);
            if !lost[segment] {
                bench.query(at, NONE, part);
            }
            at += part.len() as u32;
        }
        readable += usize::from(!lost[0]);
        whole += usize::from(lost == [false; 12]);
    }
    let out = bench.finish();
    assert_eq!(out.len(), readable);
    assert_eq!(out.iter().filter(|out| !out.cut).count(), whole);
}
