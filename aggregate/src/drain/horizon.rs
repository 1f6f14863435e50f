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

/// An RRset and when it was served.
type Seen<'a> = (&'a RrsetKey, &'a Served);

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

    /// Whether an RRset tells if its server leads to an old one: an NS set, or where names stay, the addresses of those.
    fn is_telling(&self, key: &RrsetKey) -> bool {
        if self.moving.is_empty() { key.rrtype == "NS" } else { self.moving.contains(&key.owner) }
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

/// Whether a server has an address set no more: for a quiet period it went on to give what else it knows of the name, in the same
/// section, and not this. A set that ends is not always followed by another of its type: the new server may have no IPv6.
fn is_gone(migration: &Migration, of_zone: &[Seen<'_>], key: &RrsetKey, served: &Served) -> bool {
    let is_address = |key: &RrsetKey| matches!(key.rrtype.as_str(), "A" | "AAAA");
    is_address(key)
        && of_zone.iter().any(|(other, later)| {
            (other.server, &other.owner, other.section) == (key.server, &key.owner, key.section)
                && is_address(other)
                && other.rrtype != key.rrtype
                && later.last.0.saturating_sub(served.last.0) >= migration.quiet_period
        })
}

/// Until when may lead what an old server gave away while nobody looked, or nobody could read.
fn unseen(
    migration: &Migration,
    evidence: &Evidence,
    (zone, server): (usize, Ipv6Addr),
    leads: &Leads,
    of_server: &[Seen<'_>],
    now: Timestamp,
) -> Timestamp {
    let cutover = migration.cutover.unwrap_or_default();
    let after = |nanos: u64, time: Timestamp| Timestamp(time.0.saturating_add(nanos));
    let leading = || of_server.iter().filter(|(key, _)| leads.includes(key));
    let telling = leading().filter(|(key, _)| leads.is_telling(key));
    let last_led = telling.map(|(_, served)| served.last).max();
    // Since when it is known to lead nobody any more: since it first said so, if it said something else before.
    let cured = of_server
        .iter()
        .filter(|(key, served)| leads.is_telling(key) && !leads.includes(key) && Some(served.last) > last_led)
        .map(|(_, served)| if Some(served.first) > last_led { served.first } else { served.last })
        .min();
    // Of a server that was never seen to lead anybody, what it says now is all that is known.
    let cured = if last_led.is_none() { cured.map(|_| Timestamp(0)) } else { cured };
    let is_cured = |time: Timestamp| cured.is_some_and(|cured| cured <= time);
    let longest = |ttls: &mut dyn Iterator<Item = u32>| ttls.max().map(|ttl| u64::from(ttl) * SECOND);
    let highest = longest(&mut leading().map(|(_, served)| served.ttl_max));
    let mut at = Timestamp(0);
    if let Some(&unread) = evidence.unread.get(&(zone, server)).filter(|&&time| time > cutover)
        && !is_cured(unread)
    {
        at = at.max(after(highest.unwrap_or(u64::from(MAX_TTL) * SECOND), unread));
    }
    // What is not known yet is no hole.
    let Some(known) = evidence.cover.known_until(server) else { return at };
    // What was given away before the cutover leads on as well; of a server that was never seen to lead, nobody knows for how long.
    let from =
        if last_led.is_some() { cutover.0.saturating_sub(highest.unwrap_or_default()) } else { cutover.0 };
    for hole in evidence.cover.holes(server, Timestamp(from), known.min(now)) {
        if is_cured(hole.from) {
            continue;
        }
        // A TTL that is the same before and after was the same meanwhile, and the answers after lead longer.
        let is_known = |served: &Served| {
            served.first <= hole.from
                && served.last >= hole.to
                && served.higher_until.is_none_or(|higher| higher < hole.from)
        };
        let ttl = match highest {
            None => Some(migration.parent_ns_ttl),
            Some(_) => longest(
                &mut leading().filter(|(_, served)| !is_known(served)).map(|(_, served)| served.ttl_max),
            ),
        };
        at = at.max(ttl.map_or(Timestamp(0), |ttl| after(ttl, hole.to)));
    }
    at
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
        if is_to_change && is_latest && served.last > cutover && !is_gone(migration, &of_zone, key, served) {
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
    for server in &migration.old {
        let of_server: Vec<_> =
            of_zone.iter().filter(|(key, _)| key.server == server.address).copied().collect();
        at = at.max(unseen(migration, evidence, (zone, server.address), &leads, &of_server, now));
    }
    let new_is_known = of_zone.iter().any(|(key, served)| {
        let is_new = migration.new.iter().any(|server| server.address == key.server);
        is_new && key.rrtype == "NS" && served.last > cutover
    });
    Horizon { at: Some(at), culprits, new_is_known }
}

#[cfg(test)]
mod tests;
