//! Verdicts on simulated migrations beside the truth: a few of what `lowtide-drain-check` does by the thousand.

use lowtide_simulator::check::{Outcome, check};

/// Seeds that have something of everything: faults, mistakes, clients that stay, names that move.
#[test]
fn no_verdict_is_wrong() {
    let mut all = Outcome::default();
    (0..30).for_each(|seed| all.add(check(seed)));
    assert!(all.is_sound(), "{all}");
    // Else nothing was tried.
    assert!(all.drained > 50 && all.due > 30, "{all}");
}
