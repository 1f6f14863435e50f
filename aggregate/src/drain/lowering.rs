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
mod tests;
