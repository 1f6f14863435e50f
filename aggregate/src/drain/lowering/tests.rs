//! TTLs of servers made by hand, at hours of a day.

use lowtide_proto::NameBuf;

use super::*;
use crate::drain::plan::Server;
use crate::drain::rrsets::{RrsetKey, Served};

const HOUR: u64 = 3_600 * SECOND;
const OLD: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0235);
const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53);

/// Midnight, 1 March 2026, UTC, and hours after it.
const fn at(hour: u64) -> Timestamp {
    Timestamp(1_772_323_200 * SECOND + hour * HOUR)
}

/// Cut over at an hour, five minutes planned.
fn migration(cutover: Option<u64>) -> Migration {
    let server = |name, address| Server { name: NameBuf::parse(name).ok(), address };
    Migration {
        name: "m".to_owned(),
        zones: vec![NameBuf::parse("corp.example").unwrap()],
        old: vec![server("ns1.old.example", OLD), server("ns2.old.example", OTHER)],
        new: Vec::new(),
        cutover: cutover.map(at),
        parent_ns_ttl: 48 * HOUR,
        ds_ttl: 0,
        target_ttl: Some(300 * SECOND),
        quiet_period: 24 * HOUR,
        near_zero: 0,
        new_verified: true,
        set_apart: Vec::new(),
    }
}

/// A server serves an RRset at hours with a TTL in seconds.
fn serve(
    evidence: &mut Evidence,
    server: Ipv6Addr,
    owner: &str,
    rrtype: &str,
    data: &str,
    answers: &[(u64, u32)],
) {
    let mut answers = answers.iter();
    let &(first, ttl) = answers.next().unwrap();
    let mut ttls = Ttls::new(at(first), ttl);
    let mut served = Served {
        ttl_min: ttl,
        ttl_max: ttl,
        horizon: at(first),
        higher_until: None,
        answers: 1,
        first: at(first),
        last: at(first),
        ttl,
    };
    for &(hour, ttl) in answers {
        ttls.add(at(hour), ttl);
        (served.last, served.ttl) = (at(hour), ttl);
    }
    let key = RrsetKey {
        server,
        owner: owner.to_owned(),
        rrtype: rrtype.to_owned(),
        section: Section::Answer,
        rdata: vec![data.to_owned()],
    };
    evidence.rrsets.push((0, key.clone(), served));
    evidence.ttls.insert((0, key), ttls);
}

/// NS from a day to five minutes between hours 10 and 11 at one server, between 12 and 13 at the other; an address of an hour.
fn evidence() -> Evidence {
    let mut evidence = Evidence::default();
    let ns = "ns1.old.example.";
    serve(&mut evidence, OLD, "corp.example.", "NS", ns, &[(0, 86_400), (10, 86_400), (11, 300), (20, 300)]);
    serve(
        &mut evidence,
        OTHER,
        "corp.example.",
        "NS",
        ns,
        &[(0, 86_400), (12, 86_400), (13, 300), (20, 300)],
    );
    serve(&mut evidence, OLD, ns, "A", "192.0.2.53", &[(5, 300), (20, 300)]);
    // What does not lead to an old server, or is not theirs to lower.
    serve(
        &mut evidence,
        OLD,
        "ns1.new.example.",
        "A",
        "198.51.100.53",
        &[(0, 86_400), (19, 86_400), (20, 300)],
    );
    evidence
}

fn codes(reasons: &[Reason]) -> Vec<&str> {
    reasons.iter().map(|reason| reason.code).collect()
}

#[test]
fn a_change_is_safe_when_the_last_server_was_lowered_and_that_ttl_is_over() {
    let (told, reasons) = lowering(&migration(None), &evidence(), at(20));
    // Served with a day last at noon: over at noon of the next day.
    assert_eq!(told.earliest_safe_change.as_deref(), Some("2026-03-02T12:00:00.000000000Z"));
    assert_eq!((told.target_ttl_s, codes(&reasons)), (Some(300), vec![]));
    let rows: Vec<_> = told
        .rrsets
        .iter()
        .map(|of| {
            let time = |time: &Option<String>| time.as_deref().map(|time| time[5..13].to_owned());
            (
                of.rrtype.as_str(),
                of.section,
                of.server.as_deref(),
                of.ttl_s,
                of.ttl_max_s,
                time(&of.lowered_at),
                time(&of.safe_at),
            )
        })
        .collect();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        rows,
        [
            ("NS", "parent", None, 172_800, 172_800, None, None),
            ("NS", "answer", Some("192.0.2.53"), 300, 86_400, some("03-01T10"), some("03-02T10")),
            ("NS", "answer", Some("2001:db8::53"), 300, 86_400, some("03-01T12"), some("03-02T12")),
            ("A", "answer", Some("192.0.2.53"), 300, 300, None, None),
        ]
    );
}

#[test]
fn the_section_that_was_seen_last_tells_what_the_ttl_is_now() {
    let of = |authority: &[(u64, u32)]| {
        let mut evidence = Evidence::default();
        let ns = "ns1.old.example.";
        serve(&mut evidence, OLD, "corp.example.", "NS", ns, &[(0, 86_400), (9, 86_400)]);
        serve(&mut evidence, OLD, "corp.example.", "NS", ns, authority);
        let (_, key, _) = &mut evidence.rrsets[1];
        let ttls = evidence.ttls.remove(&(0, key.clone())).unwrap();
        key.section = Section::Authority;
        evidence.ttls.insert((0, key.clone()), ttls);
        serve(&mut evidence, OLD, "corp.example.", "NS", ns, &[(0, 86_400), (9, 86_400)]);
        evidence.rrsets.pop();
        let (told, reasons) = lowering(&migration(None), &evidence, at(20));
        (told.earliest_safe_change, reasons.len())
    };
    // Nobody asked for the NS set itself since it was lowered at 10:00; it was in the authority section.
    let safe = "2026-03-02T09:00:00.000000000Z".to_owned();
    assert_eq!(of(&[(8, 86_400), (10, 300), (20, 300)]), (Some(safe), 0));
    // Another section's TTL was always another.
    assert_eq!(of(&[(8, 300), (20, 300)]), (None, 1));
}

#[test]
fn what_is_above_the_plan_is_named_and_nothing_is_safe() {
    let mut evidence = evidence();
    serve(&mut evidence, OTHER, "ns2.old.example.", "AAAA", "2001:db8::53", &[(5, 7_200), (20, 3_600)]);
    let (told, reasons) = lowering(&migration(Some(50)), &evidence, at(20));
    assert_eq!(told.earliest_safe_change, None);
    assert_eq!(codes(&reasons), ["ttl-above-plan"]);
    assert_eq!(
        reasons[0].text,
        "AAAA ns2.old.example. served with TTL 3600 s by 2001:db8::53, the plan says 300 s"
    );
    // Without a plan the TTL that is served now is the low one. The address had two hours at 05:00.
    let unplanned = Migration { target_ttl: None, ..migration(None) };
    let (told, reasons) = lowering(&unplanned, &evidence, at(20));
    assert_eq!(
        (told.earliest_safe_change.as_deref(), reasons),
        (Some("2026-03-02T12:00:00.000000000Z"), vec![])
    );
    let address = told.rrsets.iter().find(|of| of.rrtype == "AAAA").unwrap();
    assert_eq!(address.safe_at.as_deref(), Some("2026-03-01T07:00:00.000000000Z"));
}

#[test]
fn a_cutover_before_that_was_too_early() {
    let check = |migration: &Migration, hour: u64, expect: &str| {
        let (_, reasons) = lowering(migration, &evidence(), at(hour));
        let texts: Vec<_> = reasons.iter().map(|reason| reason.text.as_str()).collect();
        assert_eq!(texts, if expect.is_empty() { vec![] } else { vec![expect] });
        assert!(reasons.iter().all(|reason| reason.code == "cutover-before-ttl"));
    };
    // Hour 36 is noon of the next day.
    check(&migration(Some(36)), 20, "");
    check(&migration(Some(36)), 40, "");
    let caches = "until 2026-03-02T12:00:00.000000000Z caches may hold corp.example. NS with TTL 86400 s, served by 2001:db8::53 at \
                  2026-03-01T12:00:00.000000000Z";
    check(
        &migration(Some(35)),
        20,
        &format!(
            "the cutover at 2026-03-02T11:00:00.000000000Z is too early: {caches}; plan it later, or count on queries to the old \
             servers until then"
        ),
    );
    check(
        &migration(Some(35)),
        40,
        &format!(
            "the cutover at 2026-03-02T11:00:00.000000000Z was too early: {caches}; the cache horizon is later still, by the parent's \
             TTL"
        ),
    );
    let short = Migration { parent_ns_ttl: HOUR / 2, ..migration(Some(35)) };
    check(
        &short,
        40,
        &format!(
            "the cutover at 2026-03-02T11:00:00.000000000Z was too early: {caches}; this is why the cache horizon is so late"
        ),
    );
}

#[test]
fn rows_without_ttls_are_taken_for_what_they_say() {
    let mut evidence = evidence();
    evidence.ttls.clear();
    for (_, key, served) in &mut evidence.rrsets {
        if key.rrtype == "NS" {
            let last = if key.server == OLD { at(10) } else { at(12) };
            (served.ttl_max, served.higher_until) = (86_400, Some(last));
            served.horizon = Timestamp(last.0 + 24 * HOUR);
        }
    }
    let (told, _) = lowering(&migration(None), &evidence, at(20));
    assert_eq!(told.earliest_safe_change.as_deref(), Some("2026-03-02T12:00:00.000000000Z"));
}
