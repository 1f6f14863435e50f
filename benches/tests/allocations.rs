//! Nothing is allocated per message in the steady state.
#![expect(clippy::unwrap_used, reason = "a test may state its expectations by failing")]

use std::io::Cursor;

use lowtide_benches::{Traffic, steady};
use lowtide_capture::CaptureFile;

fn allocations(work: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(work).count_total
}

fn capture(traffic: Traffic) -> impl FnMut() -> CaptureFile {
    let mut octets = Vec::new();
    traffic.write(&mut octets).unwrap();
    move || CaptureFile::from_reader(Cursor::new(octets.clone())).unwrap()
}

#[test]
fn the_counter_counts() {
    let counted = allocations(&mut || drop(std::hint::black_box(vec![Box::new(1), Box::new(2)])));
    assert_eq!(counted, 3);
}

#[test]
fn decoding_allocates_nothing() {
    let open = capture(Traffic { queries: 20_000, names: 2000, rate: 1000 });
    let (messages, allocations) = steady::decode_only(allocations, open).unwrap();
    assert!(messages > 39_000, "{messages} messages");
    assert!(allocations <= steady::TABLES, "{allocations} allocations of {messages} messages");
}

#[test]
fn what_the_whole_pipeline_allocates_does_not_depend_on_the_messages() {
    for rate in [50, 200] {
        let open = capture(Traffic { queries: 100 * rate, names: 2000, rate });
        let [first, .., last] = steady::run(allocations, open).unwrap();
        assert_eq!(first.messages, last.messages);
        assert!(first.messages > 190 * rate && last.intervals <= 3);
        assert!(last.is_steady(), "{last:?}");
    }
}
