//! Verdicts on evidence made by hand: silence is proof only where all of it was watched.

use std::net::Ipv6Addr;

use lowtide_proto::{NameBuf, Qtype};

use super::*;
use crate::drain::Cover;
use crate::drain::plan::Server;
use crate::drain::rrsets::{RrsetKey, Section, Served};

const OLD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const CUTOVER: u64 = 1_000 * HOUR;

fn migration() -> Migration {
    Migration {
        name: "m".to_owned(),
        zones: vec![NameBuf::parse("corp.example").unwrap()],
        old: vec![Server { name: None, address: OLD }],
        new: Vec::new(),
        cutover: Some(Timestamp(CUTOVER)),
        parent_ns_ttl: 48 * HOUR,
        ds_ttl: 0,
        target_ttl: None,
        quiet_period: 24 * HOUR,
        near_zero: 0,
        new_verified: true,
        set_apart: Vec::new(),
    }
}

/// Asked at these hours after the cutover, and watched all the time until hour 200.
fn evidence(hours: &[u64]) -> Evidence {
    let mut evidence = Evidence::default();
    let mut asked = Asked::new(60 * SECOND);
    for hour in hours {
        asked.count(CLIENT, Timestamp(CUTOVER + hour * HOUR), Qtype(1), false, true, None);
    }
    evidence.asked.insert((0, OLD), asked);
    evidence.cover = Cover::default();
    evidence.cover.watches("tap", OLD);
    evidence.cover.seen("tap", Timestamp(CUTOVER - 100 * HOUR), Timestamp(CUTOVER + 200 * HOUR));
    evidence
}

#[track_caller]
fn check(evidence: &Evidence, hour: u64, verdict: Verdict, code: &str) {
    let (is, report) = judge(&migration(), evidence, Timestamp(CUTOVER + hour * HOUR));
    assert_eq!(is, verdict, "{report:#?}");
    assert!(report.reasons.iter().any(|reason| reason.code == code), "{report:#?}");
}

#[test]
fn silence_that_was_watched_is_proof() {
    check(&evidence(&[5]), 20, Verdict::Draining, "within-horizon");
    check(&evidence(&[5]), 49, Verdict::Drained, "quiet");
    check(&evidence(&[5]), 199, Verdict::Drained, "quiet");
    check(&evidence(&[5]), 203, Verdict::Unknown, "hole");
}

#[test]
fn a_reason_says_once_and_so_many_times() {
    let text = |hours: &[u64], near_zero: u64| {
        let migration = Migration { near_zero, ..migration() };
        let (_, report) = judge(&migration, &evidence(hours), Timestamp(CUTOVER + 100 * HOUR));
        report.reasons.first().unwrap().text.clone()
    };
    // The cutover is at 1970-02-11 16:00.
    assert_eq!(
        text(&[90], 0),
        "2001:db8::1 was asked for corp.example. once in the last 24 h, at 1970-02-15T10:00:00.000000000Z"
    );
    assert_eq!(
        text(&[90, 91], 0),
        "2001:db8::1 was asked for corp.example. 2 times in the last 24 h, the last time at 1970-02-15T11:00:00.000000000Z"
    );
    assert!(text(&[90], 5).starts_with("2001:db8::1 was asked once (near_zero allows 5) for corp.example."));
    assert!(text(&[90, 91], 5).starts_with("2001:db8::1 was asked 2 times (near_zero allows 5) for"));
    assert!(text(&[], 5).starts_with("nobody was seen to ask any server for corp.example."));
}

#[test]
fn a_query_after_the_moment_hides_none_before_it() {
    check(&evidence(&[5, 99, 150]), 100, Verdict::Draining, "queries");
}

#[test]
fn a_query_that_one_source_saw_while_another_lags_behind_was_asked() {
    let mut lagging = evidence(&[5, 199]);
    let end = Timestamp(CUTOVER + 199 * HOUR - 120 * SECOND);
    lagging.cover.watches("late", OLD);
    lagging.cover.seen("late", Timestamp(CUTOVER - 100 * HOUR), end);
    check(&lagging, 199, Verdict::Draining, "queries");
}

#[test]
fn a_zone_that_nobody_ever_asked_for_is_unknown() {
    check(&evidence(&[]), 199, Verdict::Unknown, "never-asked");
    let mut apart = evidence(&[]);
    apart.asked.entry((0, OLD)).and_modify(|asked| asked.apart = 1);
    check(&apart, 199, Verdict::Drained, "quiet");
}

#[test]
fn a_loss_is_a_hole_however_short() {
    let mut evidence = evidence(&[5]);
    let moment = Timestamp(CUTOVER + 190 * HOUR);
    evidence.cover.lost("tap", moment, moment, "kernel_drop");
    check(&evidence, 199, Verdict::Unknown, "hole");
    check(&evidence, 189, Verdict::Drained, "quiet");
}

#[test]
fn responses_that_nobody_could_read_may_have_led_back() {
    let mut evidence = evidence(&[5]);
    evidence.unread.insert((0, OLD), Timestamp(CUTOVER + 5 * HOUR));
    // A week, as it is not known what the server's TTLs are.
    check(&evidence, 172, Verdict::Draining, "within-horizon");
    check(&evidence, 173, Verdict::Drained, "quiet");
}

#[test]
fn an_old_server_that_nobody_asks_any_more_does_not_keep_the_other_from_draining() {
    const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3);
    let mut two = migration();
    two.old.push(Server { name: None, address: OTHER });
    let mut evidence = evidence(&[5, 99]);
    evidence.cover.watches("tap", OTHER);
    // It is changed after its last query: nobody sees that.
    let last = Timestamp(CUTOVER + 5 * HOUR);
    let mut asked = Asked::new(60 * SECOND);
    asked.count(CLIENT, last, Qtype(1), false, true, None);
    evidence.asked.insert((0, OTHER), asked);
    let key = RrsetKey {
        server: OTHER,
        owner: "corp.example.".to_owned(),
        rrtype: "NS".to_owned(),
        section: Section::Authority,
        rdata: vec!["ns1.old.example.".to_owned()],
    };
    let served = Served {
        ttl_min: 3_600,
        ttl_max: 3_600,
        horizon: Timestamp(last.0 + HOUR),
        higher_until: None,
        answers: 1,
        first: last,
        last,
        ttl: 3_600,
    };
    evidence.rrsets.push((0, key, served));
    let at = |hour: u64| Timestamp(CUTOVER + hour * HOUR);
    for (hour, verdict) in [(20, Verdict::NotClosing), (100, Verdict::Draining), (124, Verdict::Drained)] {
        let (is, report) = judge(&two, &evidence, at(hour));
        assert_eq!(is, verdict, "{hour}: {report:#?}");
        let told = report.reasons.iter().any(|reason| reason.code == "still-served");
        assert_eq!(told, verdict == Verdict::NotClosing, "{report:#?}");
    }
    // It is still asked.
    if let Some(asked) = evidence.asked.get_mut(&(0, OTHER)) {
        asked.count(CLIENT, at(90), Qtype(1), false, true, None);
    }
    assert_eq!(judge(&two, &evidence, at(100)).0, Verdict::NotClosing);
}

#[test]
fn a_client_that_comes_rarely_makes_silence_say_less_though_one_of_its_visits_was_missed() {
    let evidence = evidence(&[0, 20, 40, 80]);
    check(&evidence, 119, Verdict::Draining, "periodic-client");
    check(&evidence, 121, Verdict::Drained, "quiet");
}
