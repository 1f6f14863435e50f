//! Simulated migrations in files, judged by `lowtide drain`, beside what is known of them without it.
//!
//! Three witnesses, none of which reads files as lowtide does: the truth that stands beside them, the verdicts on the same messages in
//! memory (`lowtide_simulator::check`), where sensors say themselves when they saw, and tshark, which counts the queries in the packets.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state their expectations by failing"
)]

mod case;
mod holes;
mod truth;
mod tshark;

use std::ops::Range;

use lowtide_simulator::write::Format;
use lowtide_simulator::{Parameters, SCENARIOS};

use case::Case;

/// What came of cases, so that a test can tell that something was tried.
#[derive(Debug, Default)]
struct Tried {
    /// Verdicts on a zone and old server at a moment.
    drained: usize,
    unknown: usize,
    not_closing: usize,
    /// Verdicts that were compared with those in memory, all of them and those that had to be the same.
    compared: usize,
    same: usize,
    /// Whole reports that had to be the same.
    whole: usize,
    /// Migrations whose files are quiet for too long, or cannot show a hole.
    still: usize,
    blind: usize,
    /// Of these, verdicts that sensors who say what they lost do not allow.
    less: usize,
}

/// A migration that is small enough to be written and read often.
fn smaller(mut of: Parameters) -> Parameters {
    let population = &mut of.population;
    population.resolvers = population.resolvers.min(40);
    population.queries_per_day = population.queries_per_day.min(30.0);
    for stub in &mut of.stubs {
        stub.queries_per_day = stub.queries_per_day.min(100.0);
    }
    of
}

/// One that is never so quiet that a file looks dead.
fn lively(of: Parameters) -> Parameters {
    Parameters { background_per_hour: 60.0, ..smaller(of) }
}

#[track_caller]
#[expect(clippy::print_stderr, reason = "figures, seen with --nocapture")]
fn judge(cases: impl IntoIterator<Item = (Parameters, Format)>) -> Tried {
    let mut tried = Tried::default();
    for (parameters, format) in cases {
        let case = Case::write(parameters, format);
        truth::check(&case, &mut tried);
        case.compare(&mut tried);
    }
    eprintln!("{tried:?}");
    tried
}

fn scenarios(format: Format, numbers: impl Iterator<Item = usize>) -> Tried {
    judge(numbers.map(|number| {
        let parameters = Parameters::scenario(SCENARIOS[number].0, 1 + number as u64).unwrap();
        (lively(parameters), format)
    }))
}

#[test]
fn scenarios_in_packets_are_judged_as_they_were() {
    let tried = scenarios(Format::Pcap, (0..SCENARIOS.len()).step_by(2));
    assert!(tried.drained > 100 && tried.unknown > 30 && tried.not_closing > 10, "{tried:?}");
    assert!(tried.same > 500 && tried.whole > 30, "{tried:?}");
}

#[test]
fn scenarios_in_dnstap_are_judged_as_they_were() {
    let tried = scenarios(Format::Dnstap, (1..SCENARIOS.len()).step_by(2));
    assert!(tried.drained > 100 && tried.unknown > 30 && tried.not_closing > 10, "{tried:?}");
    assert!(tried.same > 500 && tried.whole > 30, "{tried:?}");
}

fn at_random(seeds: Range<u64>) -> Tried {
    let formats = [Format::Pcap, Format::Dnstap].into_iter().cycle();
    judge(seeds.map(|seed| lively(Parameters::random(seed))).zip(formats))
}

#[test]
fn migrations_at_random_are_judged_as_they_were() {
    let tried = at_random(0..12);
    assert!(tried.drained > 30 && tried.unknown > 10 && tried.same > 100 && tried.whole > 10, "{tried:?}");
}

/// The figures of simulator/RESULTS.md.
#[test]
#[ignore = "takes minutes"]
fn many_migrations_at_random_are_judged_as_they_were() {
    let tried = at_random(1_000..1_200);
    assert!(tried.drained > 500 && tried.unknown > 200, "{tried:?}");
}

#[test]
fn files_that_show_nothing_for_long_prove_nothing() {
    let still = |seed: u64| Parameters { background_per_hour: 0.0, ..smaller(Parameters::random(seed)) };
    let tried = judge((100..104).map(|seed| (still(seed), Format::Dnstap)));
    assert_eq!(tried.still, 4);
    assert_eq!(tried.drained, 0);
    assert!(tried.unknown > 50, "{tried:?}");
}

#[test]
fn queries_are_counted_as_tshark_counts_them() {
    if tshark::skipped() {
        return;
    }
    for name in ["own-monitor", "clock-step", "vanity-names"] {
        tshark::check(&Case::write(lively(Parameters::scenario(name, 11).unwrap()), Format::Pcap));
    }
    tshark::check(&Case::write(smaller(Parameters::random(5)), Format::Pcap));
}
