//! Horizons of evidence made by hand. Times are hours after the cutover's day; all expectations are sums of what is given.

use lowtide_proto::NameBuf;

use super::*;
use crate::drain::plan::Server;

const HOUR: u64 = 3_600 * SECOND;
const CUTOVER: u64 = 1_000;
const OLD: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const NEW: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);

fn at(hour: u64) -> Timestamp {
    Timestamp(hour * HOUR)
}

/// A parent TTL of an hour, and a quiet period of 24.
fn migration(name: Option<&str>) -> Migration {
    let server = |address, name: Option<&str>| Server {
        name: name.map(|name| NameBuf::parse(name).unwrap()),
        address,
    };
    Migration {
        name: "m".to_owned(),
        zones: vec![NameBuf::parse("corp.example").unwrap()],
        old: vec![server(OLD, name)],
        new: vec![server(NEW, None)],
        cutover: Some(at(CUTOVER)),
        parent_ns_ttl: HOUR,
        ds_ttl: 0,
        target_ttl: None,
        quiet_period: 24 * HOUR,
        near_zero: 0,
        new_verified: true,
        set_apart: Vec::new(),
    }
}

/// Evidence from hour 900 to 1200, and somebody who watches.
fn watched(holes: &[(u64, u64)]) -> Evidence {
    let mut evidence = Evidence::default();
    evidence.cover.watches("tap", OLD);
    let mut from = 900;
    for &(begin, end) in holes {
        evidence.cover.seen("tap", at(from), at(begin));
        from = end;
    }
    evidence.cover.seen("tap", at(from), at(1_200));
    evidence
}

/// An RRset, from when until when it was served with one TTL, in hours.
fn serve(
    evidence: &mut Evidence,
    server: Ipv6Addr,
    (owner, rrtype, data): (&str, &str, &str),
    (first, last, ttl): (u64, u64, u64),
) {
    let key = RrsetKey {
        server,
        owner: owner.to_owned(),
        rrtype: rrtype.to_owned(),
        section: Section::Additional,
        rdata: vec![data.to_owned()],
    };
    let ttl_s = (ttl * 3_600) as u32;
    let served = Served {
        ttl_min: ttl_s,
        ttl_max: ttl_s,
        horizon: at(last + ttl),
        higher_until: None,
        answers: 2,
        first: at(first),
        last: at(last),
        ttl: ttl_s,
    };
    evidence.rrsets.push((0, key, served));
}

const APEX: &str = "corp.example.";

fn hours(migration: &Migration, evidence: &Evidence) -> u64 {
    horizon(migration, evidence, 0, at(1_200)).at.unwrap().0 / HOUR
}

/// The old server led until `led`, with a TTL of ten hours, and was seen to lead nobody from `cured` on.
fn swapped(led: u64, cured: u64, holes: &[(u64, u64)]) -> u64 {
    let mut evidence = watched(holes);
    serve(&mut evidence, OLD, (APEX, "NS", "ns.old.example."), (900, led, 10));
    serve(&mut evidence, OLD, (APEX, "NS", "ns.new.example."), (cured, 1_150, 10));
    hours(&migration(Some("ns.old.example")), &evidence)
}

#[test]
fn what_was_given_away_in_a_hole_leads_on_until_the_server_is_known_to_be_cured() {
    assert_eq!(swapped(1_003, 1_020, &[]), 1_013);
    assert_eq!(swapped(1_003, 1_020, &[(1_005, 1_009)]), 1_019);
    assert_eq!(swapped(1_003, 1_020, &[(1_005, 1_009), (1_021, 1_040)]), 1_019);
    // Cured before the cutover is cured as well.
    assert_eq!(swapped(980, 990, &[(1_005, 1_009)]), 1_001);
    // What was given away shortly before the cutover leads past it.
    assert_eq!(swapped(980, 999, &[(990, 998)]), 1_008);
}

#[test]
fn a_server_that_goes_back_is_not_cured_by_what_it_said_before() {
    let mut evidence = watched(&[(1_005, 1_009)]);
    serve(&mut evidence, OLD, (APEX, "NS", "ns.new.example."), (950, 1_150, 10));
    serve(&mut evidence, OLD, (APEX, "NS", "ns.old.example."), (900, 1_003, 10));
    assert_eq!(hours(&migration(Some("ns.old.example")), &evidence), 1_019);
}

#[test]
fn a_ttl_that_is_the_same_before_and_after_a_hole_needs_no_caution() {
    let mut evidence = watched(&[(1_005, 1_009)]);
    serve(&mut evidence, OLD, (APEX, "NS", "ns.old.example."), (900, 1_012, 1));
    evidence.rrsets[0].2.ttl_max = 48 * 3_600;
    evidence.rrsets[0].2.higher_until = Some(at(950));
    let migration = migration(Some("ns.old.example"));
    assert_eq!(hours(&migration, &evidence), 1_013);
    // Lowered in the hole or after it, or not served since: it may have been anything that it ever was.
    evidence.rrsets[0].2.higher_until = Some(at(1_005));
    assert_eq!(hours(&migration, &evidence), 1_009 + 48);
    evidence.rrsets[0].2.higher_until = Some(at(950));
    evidence.rrsets[0].2.last = at(1_004);
    assert_eq!(hours(&migration, &evidence), 1_009 + 48);
}

#[test]
fn responses_that_cannot_be_read_lead_on_unless_the_server_was_cured_before() {
    for (unread, expected) in [(1_010, 1_020), (1_030, 1_013)] {
        let mut evidence = watched(&[]);
        serve(&mut evidence, OLD, (APEX, "NS", "ns.old.example."), (900, 1_003, 10));
        serve(&mut evidence, OLD, (APEX, "NS", "ns.new.example."), (1_020, 1_150, 10));
        evidence.unread.insert((0, OLD), at(unread));
        assert_eq!(hours(&migration(Some("ns.old.example")), &evidence), expected);
    }
}

/// Names that stay: `ns.corp.example` has the old address until `led` and the new one from `cured` on.
fn moved(led: u64, cured: u64, holes: &[(u64, u64)]) -> Evidence {
    let mut evidence = watched(holes);
    let ns = "ns.corp.example.";
    serve(&mut evidence, OLD, (APEX, "NS", ns), (900, 1_150, 10));
    serve(&mut evidence, OLD, (ns, "AAAA", &OLD.to_string()), (900, led, 10));
    serve(&mut evidence, OLD, (ns, "AAAA", &NEW.to_string()), (cured, 1_150, 10));
    evidence
}

#[test]
fn where_names_stay_their_addresses_tell_and_not_the_ns_set() {
    assert_eq!(hours(&migration(None), &moved(1_003, 1_020, &[])), 1_013);
    assert_eq!(hours(&migration(None), &moved(1_003, 1_020, &[(1_005, 1_009)])), 1_019);
    assert_eq!(hours(&migration(None), &moved(1_003, 1_020, &[(1_030, 1_039)])), 1_013);
}

#[test]
fn an_address_that_is_given_no_more_is_no_culprit_for_ever() {
    let culprits = |until: u64| {
        // The new server gave the old address of a name once, and the new one in another family up to `until`.
        let mut evidence = moved(1_003, 1_004, &[]);
        let ns = "ns.corp.example.";
        serve(&mut evidence, NEW, (ns, "AAAA", &OLD.to_string()), (1_002, 1_002, 1));
        serve(&mut evidence, NEW, (ns, "A", "192.0.2.9"), (1_002, until, 1));
        let horizon = horizon(&migration(None), &evidence, 0, at(1_200));
        horizon.culprits.iter().map(|culprit| culprit.server).collect::<Vec<_>>()
    };
    assert_eq!(culprits(1_002), [NEW]);
    assert_eq!(culprits(1_025), [NEW]);
    assert!(culprits(1_026).is_empty());
}
