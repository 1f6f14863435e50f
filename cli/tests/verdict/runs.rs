//! Runs of live sensors: seconds that none of them saw, and two at a time under one name.

use crate::fleet::Fleet;
use crate::support::skipped;

/// 28 March, 10:00, in minutes since the beginning of March.
const MINUTE: u32 = 27 * 1_440 + 600;

const MONTH: u32 = 30 * 1_440;

/// Who watched since then has seen quiet periods enough, and long after the cutover.
const BEGIN: u32 = 22 * 1_440;

fn asked(fleet: &Fleet) {
    fleet.asked("ns1", "r", "203.0.113.7", "2026-03-01 05:00:00", 3);
}

#[test]
fn between_two_runs_in_one_minute_nobody_looked() {
    if skipped() {
        return;
    }
    // At 10:00:35 a sensor is stopped, of which its spool does not tell; it is started anew at 10:00:40.
    let fleet = Fleet::new();
    fleet.beats("ns1", "r", (BEGIN, MINUTE + 1), &format!("if(minute = {MINUTE}, 35, 60)"));
    fleet.beats("ns1", "later", (MINUTE, MONTH), &format!("if(minute = {MINUTE}, 20, 60)"));
    asked(&fleet);
    let hole =
        "from 2026-03-28T10:00:35.000000000Z to 2026-03-28T10:00:40.000000000Z: ns1 eth0: nobody looked";
    fleet.check("2026-03-29T00:00:00Z", &[], 4, "unknown", hole);
    // Two seconds are a hole as well; one that no tick fell into is not.
    for (beats, exit) in [(23, 4), (24, 0), (25, 0)] {
        let fleet = Fleet::new();
        fleet.beats("ns1", "r", (BEGIN, MINUTE + 1), &format!("if(minute = {MINUTE}, 35, 60)"));
        fleet.beats("ns1", "later", (MINUTE, MONTH), &format!("if(minute = {MINUTE}, {beats}, 60)"));
        asked(&fleet);
        fleet.report(&["--at", "2026-03-29T00:00:00Z"], exit);
    }
}

#[test]
fn a_run_that_saw_less_than_all_of_a_minute_in_its_midst_saw_nobody_knows_what_of_it() {
    if skipped() {
        return;
    }
    let at = "2026-03-29T00:00:00Z";
    let hole =
        "from 2026-03-28T10:00:00.000000000Z to 2026-03-28T10:01:00.000000000Z: ns1 eth0: nobody looked";
    let fleet = Fleet::new();
    fleet.beats("ns1", "r", (BEGIN, MONTH), &format!("if(minute = {MINUTE}, 45, 60)"));
    asked(&fleet);
    fleet.check(at, &[], 4, "unknown", hole);
    // At midnight, too, where whole days meet.
    let fleet = Fleet::new();
    fleet.beats("ns1", "r", (BEGIN, MONTH), "if(minute = 27 * 1440, 45, 60)");
    asked(&fleet);
    let hole =
        "from 2026-03-28T00:00:00.000000000Z to 2026-03-28T00:00:15.000000000Z: ns1 eth0: nobody looked";
    fleet.check(at, &[], 4, "unknown", hole);
    // Ticks that fall into the minute beside theirs: 59 in one and 61 in the next.
    let fleet = Fleet::new();
    fleet.beats("ns1", "r", (BEGIN, MONTH), "60 + (minute % 7 = 3) - (minute % 7 = 2)");
    asked(&fleet);
    fleet.check(at, &[], 0, "drained", "all of it was watched");
}

#[test]
fn two_hosts_of_one_name_prove_nothing_once_one_may_be_dead() {
    if skipped() {
        return;
    }
    let told = "2026-03-03T00:00:00.000000000Z to 2026-03-30T00:00:00.000000000Z: ns1 eth0: two live runs under one sensor name";
    let fleet = Fleet::new();
    fleet.beats("ns1", "east", (0, MONTH), "60");
    // The other one begins on the third day and dies on the twentieth.
    fleet.beats("ns1", "west", (2 * 1_440, 20 * 1_440), "60");
    asked(&fleet);
    fleet.check("2026-03-03T00:00:00Z", &[], 0, "drained", "quiet");
    // Only the quiet period's part of it is told.
    let told = told.replace("2026-03-03", "2026-03-29");
    fleet.check("2026-03-30T00:00:00Z", &[], 4, "unknown", &told);
    // One of them restarts all the time, beside the other.
    let fleet = Fleet::new();
    fleet.beats("ns1", "east", (0, MONTH), "60");
    for run in 0..10 {
        fleet.beats("ns1", &format!("west-{run}"), (1_440 + 3 * run, 1_442 + 3 * run), "60");
    }
    asked(&fleet);
    fleet.check("2026-03-30T00:00:00Z", &[], 4, "unknown", "two live runs under one sensor name");
    // Whoever has names of their own is asked by them.
    fleet.beats("ns1-east", "r", (0, MONTH), "60");
    fleet.check("2026-03-30T00:00:00Z", &["--sensor", "ns1-east"], 0, "drained", "quiet");
}

#[test]
fn a_new_run_that_takes_over_is_no_second_host() {
    if skipped() {
        return;
    }
    let fleet = Fleet::new();
    // Each day another run, which begins three minutes before the one before it ends.
    for day in 0..30 {
        fleet.beats("ns1", &format!("run-{day}"), (1_440 * day, 1_440 * day + 1_443), "60");
    }
    // The clock was ahead for some minutes once, and behind; those who run then have rows of that time as well.
    fleet.beats("ns1", "run-1", (5 * 1_440, 5 * 1_440 + 2), "60");
    fleet.beats("ns1", "run-9", (7 * 1_440 + 30, 7 * 1_440 + 32), "60");
    asked(&fleet);
    fleet.check("2026-03-30T00:00:00Z", &[], 0, "drained", "all of it was watched");
}
