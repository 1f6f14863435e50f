//! The cache horizon: until when a compliant cache can hold something that leads to the old servers.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use lowtide_proto::Timestamp;

use super::evidence::Evidence;
use super::plan::{Migration, SECOND};
use super::rrsets::{MAX_TTL, RrsetKey, Section, Served};

/// A server that still gives something away that leads to the old servers, after the cutover.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Culprit {
    /// The server to be changed.
    pub server: Ipv6Addr,
    /// Owner and type of the RRset.
    pub rrset: String,
    /// Whether it is an NS set, and not addresses.
    pub is_ns: bool,
    /// The section it stands in.
    pub section: Section,
    /// Its TTL, seconds.
    pub ttl: u32,
    /// When it was served last.
    pub last: Timestamp,
}

/// The horizon of one zone, and who keeps it from closing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Horizon {
    /// After this moment no compliant cache leads to the old servers; `None` without a cutover.
    pub at: Option<Timestamp>,
    /// Servers that go on extending it.
    pub culprits: Vec<Culprit>,
    /// Whether a new server was seen to serve an NS set since the cutover.
    pub new_is_known: bool,
}

/// What leads to the old servers.
pub(super) struct Leads {
    /// Names of old servers alone.
    names: BTreeSet<String>,
    /// Names of new servers alone.
    new_names: BTreeSet<String>,
    /// Names that stay while their addresses move: names of the zone's own, mostly. What leads is then the address.
    moving: BTreeSet<String>,
    old: BTreeSet<Ipv6Addr>,
}

impl Leads {
    pub(super) fn of(migration: &Migration, evidence: &Evidence, zone: usize) -> Self {
        let configured = |servers: &[super::plan::Server]| -> BTreeSet<String> {
            servers
                .iter()
                .filter_map(|server| server.name.as_ref().map(|name| name.as_name().to_string()))
                .collect()
        };
        let addresses = |servers: &[super::plan::Server]| -> BTreeSet<Ipv6Addr> {
            servers.iter().map(|server| server.address).collect()
        };
        let (old, new) = (addresses(&migration.old), addresses(&migration.new));
        let mut leads = Self {
            names: configured(&migration.old),
            new_names: configured(&migration.new),
            moving: BTreeSet::new(),
            old,
        };
        // Names that were seen to have such an address.
        for (_, key, _) in evidence.rrsets.iter().filter(|(of, ..)| *of == zone) {
            for address in key.rdata.iter().filter_map(|text| address(&key.rrtype, text)) {
                if leads.old.contains(&address) {
                    leads.names.insert(key.owner.clone());
                } else if new.contains(&address) {
                    leads.new_names.insert(key.owner.clone());
                }
            }
        }
        leads.moving = leads.names.intersection(&leads.new_names).cloned().collect();
        leads.names.retain(|name| !leads.new_names.contains(name));
        leads
    }

    /// Whether an RRset leads to an old server. Where no old server's name is known, an NS set does if it names any that is not
    /// known to be new.
    pub(super) fn includes(&self, key: &RrsetKey) -> bool {
        match key.rrtype.as_str() {
            "NS" if self.names.is_empty() && self.moving.is_empty() => {
                key.rdata.iter().any(|name| !self.new_names.contains(name))
            }
            "NS" => key.rdata.iter().any(|name| self.names.contains(name)),
            rrtype => key
                .rdata
                .iter()
                .filter_map(|text| address(rrtype, text))
                .any(|address| self.old.contains(&address)),
        }
    }
}

fn address(rrtype: &str, text: &str) -> Option<Ipv6Addr> {
    match rrtype {
        "A" => text.parse::<std::net::Ipv4Addr>().ok().map(|address| address.to_ipv6_mapped()),
        "AAAA" => text.parse().ok(),
        _ => None,
    }
}

/// The horizon of zone number `zone` as it is known at `now`.
pub fn horizon(migration: &Migration, evidence: &Evidence, zone: usize, now: Timestamp) -> Horizon {
    let Some(cutover) = migration.cutover else { return Horizon::default() };
    let leads = Leads::of(migration, evidence, zone);
    let after = |nanos: u64, time: Timestamp| Timestamp(time.0.saturating_add(nanos));
    let mut at = after(migration.parent_ns_ttl.max(migration.ds_ttl), cutover);
    let of_zone: Vec<(&RrsetKey, &Served)> = evidence
        .rrsets
        .iter()
        .filter(|(of, _, served)| *of == zone && served.first <= now)
        .map(|(_, key, served)| (key, served))
        .collect();
    let mut culprits = Vec::new();
    for &(key, served) in of_zone.iter().filter(|(key, _)| leads.includes(key)) {
        at = at.max(served.horizon);
        let is_latest = !of_zone.iter().any(|(other, later)| {
            other.server == key.server
                && other.owner == key.owner
                && other.rrtype == key.rrtype
                && other.rdata != key.rdata
                && later.last > served.last
        });
        // Addresses of the old servers may stay what they are: nothing names them any more, once the NS sets do not. But a name
        // that moves must move.
        let is_to_change = key.rrtype == "NS" || leads.moving.contains(&key.owner);
        if is_to_change && is_latest && served.last > cutover {
            culprits.push(Culprit {
                server: key.server,
                rrset: format!("{} {}", key.owner, key.rrtype),
                is_ns: key.rrtype == "NS",
                section: key.section,
                ttl: served.ttl,
                last: served.last,
            });
        }
    }
    culprits.sort_unstable();
    // What an old server gave away while nobody looked, or nobody could read, leads on from the end of that time.
    for server in &migration.old {
        let ns = of_zone.iter().filter(|(key, served)| {
            key.server == server.address && key.rrtype == "NS" && served.last > cutover
        });
        let latest = ns.max_by_key(|(_, served)| served.last);
        if latest.is_some_and(|(key, _)| !leads.includes(key)) {
            continue;
        }
        let ttls = of_zone
            .iter()
            .filter(|(key, _)| key.server == server.address && leads.includes(key))
            .map(|(_, served)| u64::from(served.ttl_max) * SECOND);
        let highest = ttls.max();
        if let Some(&unread) = evidence.unread.get(&(zone, server.address)).filter(|&&time| time > cutover) {
            at = at.max(after(highest.unwrap_or(u64::from(MAX_TTL) * SECOND), unread));
        }
        let ttl = highest.unwrap_or(migration.parent_ns_ttl);
        // What is not known yet is no hole.
        let Some(known) = evidence.cover.known_until(server.address) else { continue };
        for hole in evidence.cover.holes(server.address, cutover, known.min(now)) {
            at = at.max(after(ttl, hole.to));
        }
    }
    let new_is_known = of_zone.iter().any(|(key, served)| {
        let is_new = migration.new.iter().any(|server| server.address == key.server);
        is_new && key.rrtype == "NS" && served.last > cutover
    });
    Horizon { at: Some(at), culprits, new_is_known }
}
