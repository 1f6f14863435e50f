//! TTL lowering: before the cutover, what leads to the old servers gets a low TTL, and the change has to wait until no cache holds an
//! answer with the higher one.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use lowtide_proto::Timestamp;

use super::evidence::Evidence;
use super::horizon::Leads;
use super::plan::{Migration, SECOND};
use super::report::{Reason, RrsetTtl, TtlLowering};
use super::rrsets::Section;
use super::ttls::{Higher, Ttls};
use crate::summary::rfc3339;

/// Zone, owner, type, section and server: the content may change while the TTL is lowered.
type Key<'a> = (usize, &'a str, &'a str, Section, Ipv6Addr);

/// What holds the cutover back the longest.
struct Longest {
    higher: Higher,
    rrset: String,
    server: Ipv6Addr,
}

/// TTLs of what leads to the old servers, as of `at`, and what they mean for the cutover.
pub fn lowering(migration: &Migration, evidence: &Evidence, at: Timestamp) -> (TtlLowering, Vec<Reason>) {
    let target = migration.target_ttl.map(|nanos| u32::try_from(nanos / SECOND).unwrap_or(u32::MAX));
    let mut rrsets: Vec<RrsetTtl> = parents(migration);
    let mut longest: Option<Longest> = None;
    let mut above: Vec<Reason> = Vec::new();
    let served = served(migration, evidence, at);
    for (key, ttls) in &served {
        let &(zone, owner, rrtype, section, server) = key;
        let now = now(key, ttls, &served);
        let is_above = target.is_some_and(|target| now > target);
        // What is planned may be higher than what is served.
        let higher = ttls.higher(target.map_or(now, |target| target.max(now))).filter(|_| !is_above);
        let name = migration.zones.get(zone).map(|zone| zone.as_name().to_string()).unwrap_or_default();
        if let (true, Some(target)) = (is_above, target) {
            let text = format!(
                "{rrtype} {owner} served with TTL {now} s by {}, the plan says {target} s",
                shown(server)
            );
            let reason = Reason { code: "ttl-above-plan", text };
            if !above.contains(&reason) {
                above.push(reason);
            }
        }
        rrsets.push(RrsetTtl {
            zone: name,
            server: Some(shown(server)),
            owner: owner.to_owned(),
            rrtype: rrtype.to_owned(),
            section: section.as_str(),
            ttl_s: now,
            ttl_max_s: ttls.highest(),
            lowered_at: higher.map(|higher| rfc3339(higher.until)),
            safe_at: higher.map(|higher| rfc3339(higher.gone)),
            higher_ttl_s: higher.map(|higher| higher.ttl),
            above_target: is_above,
            counts_down: ttls.varies(),
            first_seen: Some(rfc3339(ttls.first())),
            last_seen: Some(rfc3339(ttls.last())),
        });
        if let Some(higher) = higher
            && longest.as_ref().is_none_or(|longest| higher.gone > longest.higher.gone)
        {
            longest = Some(Longest { higher, rrset: format!("{owner} {rrtype}"), server });
        }
    }
    let is_before = migration.cutover.is_none_or(|cutover| cutover > at);
    let mut reasons = Vec::new();
    if is_before {
        reasons.append(&mut above);
    }
    reasons.extend(longest.as_ref().and_then(|longest| too_early(migration, longest, at)));
    let unmet = rrsets.iter().any(|rrset| rrset.above_target);
    let told = TtlLowering {
        target_ttl_s: target,
        earliest_safe_change: longest.as_ref().filter(|_| !unmet).map(|longest| rfc3339(longest.higher.gone)),
        rrsets,
    };
    (told, reasons)
}

/// The TTL that an RRset has now. It is the same in all sections of a server's answers, and the one that was seen last tells: an RRset
/// may have been in the answer section for the last time before it was lowered.
fn now(key: &Key<'_>, ttls: &Ttls, served: &BTreeMap<Key<'_>, Ttls>) -> u32 {
    let now = ttls.now();
    let &(zone, owner, rrtype, section, server) = key;
    let others = [Section::Answer, Section::Authority, Section::Additional].into_iter();
    let latest = others
        .filter(|&other| other != section)
        .filter_map(|other| served.get(&(zone, owner, rrtype, other, server)))
        .filter(|other| other.last() > ttls.last())
        .max_by_key(|other| other.last());
    // Where the server has the parent zone as well, both may always have been different.
    latest.filter(|other| other.highest() >= now).map_or(now, |other| other.now().min(now))
}

/// What the parent serves, by the configuration: it is not lowtide that could see it.
fn parents(migration: &Migration) -> Vec<RrsetTtl> {
    let mut rrsets = Vec::new();
    for zone in &migration.zones {
        for (rrtype, nanos) in [("NS", migration.parent_ns_ttl), ("DS", migration.ds_ttl)] {
            let ttl = u32::try_from(nanos / SECOND).unwrap_or(u32::MAX);
            if ttl > 0 {
                rrsets.push(RrsetTtl {
                    zone: zone.as_name().to_string(),
                    server: None,
                    owner: zone.as_name().to_string(),
                    rrtype: rrtype.to_owned(),
                    section: "parent",
                    ttl_s: ttl,
                    ttl_max_s: ttl,
                    lowered_at: None,
                    safe_at: None,
                    higher_ttl_s: None,
                    above_target: false,
                    counts_down: false,
                    first_seen: None,
                    last_seen: None,
                });
            }
        }
    }
    rrsets
}

/// What the old servers served that leads to them.
fn served<'a>(migration: &Migration, evidence: &'a Evidence, at: Timestamp) -> BTreeMap<Key<'a>, Ttls> {
    let mut all: BTreeMap<Key<'a>, Ttls> = BTreeMap::new();
    let leads: Vec<Leads> =
        (0..migration.zones.len()).map(|zone| Leads::of(migration, evidence, zone)).collect();
    for (zone, key, served) in evidence.rrsets.iter().filter(|(_, _, served)| served.first <= at) {
        let is_old = migration.old.iter().any(|server| server.address == key.server);
        let leads_there = leads.get(*zone).is_some_and(|leads| key.rrtype == "DS" || leads.includes(key));
        if !is_old || !leads_there {
            continue;
        }
        let ttls = evidence.ttls.get(&(*zone, key.clone())).cloned().unwrap_or_else(|| Ttls::of(served));
        all.entry((*zone, key.owner.as_str(), key.rrtype.as_str(), key.section, key.server))
            .and_modify(|known| known.merge(&ttls))
            .or_insert(ttls);
    }
    all
}

/// Why the cutover is, or was, before caches had let go of the higher TTL.
fn too_early(migration: &Migration, longest: &Longest, at: Timestamp) -> Option<Reason> {
    let cutover = migration.cutover?;
    let Longest { higher, rrset, server } = longest;
    if higher.gone <= cutover {
        return None;
    }
    let parent = Timestamp(cutover.0.saturating_add(migration.parent_ns_ttl.max(migration.ds_ttl)));
    let effect = match (cutover > at, higher.gone > parent) {
        (true, _) => "plan it later, or count on queries to the old servers until then",
        (false, true) => "this is why the cache horizon is so late",
        (false, false) => "the cache horizon is later still, by the parent's TTL",
    };
    let text = format!(
        "the cutover at {} {} too early: until {} caches may hold {rrset} with TTL {} s, served by {} at {}; {effect}",
        rfc3339(cutover),
        if cutover > at { "is" } else { "was" },
        rfc3339(higher.gone),
        higher.ttl,
        shown(*server),
        rfc3339(higher.served),
    );
    Some(Reason { code: "cutover-before-ttl", text })
}

fn shown(address: Ipv6Addr) -> String {
    address.to_canonical().to_string()
}

#[cfg(test)]
mod tests {
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
        serve(
            &mut evidence,
            OLD,
            "corp.example.",
            "NS",
            ns,
            &[(0, 86_400), (10, 86_400), (11, 300), (20, 300)],
        );
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
            }
        }
        let (told, _) = lowering(&migration(None), &evidence, at(20));
        assert_eq!(told.earliest_safe_change.as_deref(), Some("2026-03-02T12:00:00.000000000Z"));
    }
}
