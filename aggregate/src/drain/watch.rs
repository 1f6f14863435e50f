//! Watching migrations: every message from or to one of their servers about one of their zones is counted, by client; what
//! the servers serve is kept.
//!
//! Messages are counted, not transactions: a query that is asked twice was asked twice, and nothing has to be paired.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use foldhash::fast::RandomState;
use lowtide_proto::{Facts, Name, Observation, Role, Timestamp};

use super::evidence::{Asked, Evidence};
use super::plan::{Migration, SECOND};
use super::rrsets::Rrsets;

/// Clients of all migrations together; one takes about 250 octets.
const MAX_CLIENTS: usize = 1_000_000;

/// Steps of the time lines, nanoseconds.
const STEP: u64 = 60 * SECOND;

/// Stretches of time with queries that could not be read, of each source; past it the last one grows.
const MAX_UNREAD: usize = 1_000;

/// Watches migrations.
#[derive(Debug)]
pub struct Watch {
    migrations: Vec<Migration>,
    /// By server, the migrations that it is of.
    servers: HashMap<Ipv6Addr, Vec<usize>, RandomState>,
    asked: Vec<HashMap<(usize, Ipv6Addr), Asked, RandomState>>,
    rrsets: Vec<Vec<Rrsets>>,
    /// By number of the source, the servers that it showed.
    shown: HashMap<(usize, Ipv6Addr), u64, RandomState>,
    /// By number of the source, queries to old servers whose name was not captured: they may have been for any zone.
    unread: HashMap<usize, Vec<(Timestamp, Timestamp)>, RandomState>,
    clients: usize,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(migrations: Vec<Migration>) -> Self {
        let mut servers: HashMap<Ipv6Addr, Vec<usize>, RandomState> = HashMap::default();
        for (at, migration) in migrations.iter().enumerate() {
            for server in migration.old.iter().chain(&migration.new) {
                let of = servers.entry(server.address).or_default();
                if !of.contains(&at) {
                    of.push(at);
                }
            }
        }
        let addresses = |migration: &Migration| {
            migration.old.iter().chain(&migration.new).map(|server| server.address).collect::<Vec<_>>()
        };
        let rrsets = migrations
            .iter()
            .map(|migration| migration.zones.iter().map(|_| Rrsets::new(addresses(migration))).collect())
            .collect();
        Self {
            servers,
            asked: migrations.iter().map(|_| HashMap::default()).collect(),
            rrsets,
            shown: HashMap::default(),
            unread: HashMap::default(),
            clients: 0,
            migrations,
        }
    }

    /// The migrations, in the order given.
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// Looks at a message of source number `source`.
    #[inline]
    pub fn observe(&mut self, source: usize, observation: &Observation<'_>) {
        let Some(of) = self.servers.get(&observation.server.address).map(Vec::len) else { return };
        if is_beside_server(observation.role) {
            *self.shown.entry((source, observation.server.address)).or_default() += 1;
        }
        let message = observation.message;
        let is_cut = message.facts.contains(Facts::CUT) && !message.facts.contains(Facts::NO_QUESTION);
        if !message.is_response && is_cut && message.qname.0.is_empty() {
            self.unread(source, observation.time);
        }
        // A server is of one migration, or of very few.
        for at in 0..of {
            self.observe_for(at, observation);
        }
    }

    /// A query of source number `source` could not be read: whom and what it asked is not known.
    #[cold]
    fn unread(&mut self, source: usize, time: Timestamp) {
        let unread = self.unread.entry(source).or_default();
        let is_full = unread.len() >= MAX_UNREAD;
        match unread.last_mut() {
            Some((from, to)) if is_full || time.since(*to).unsigned_abs() < STEP => {
                *from = (*from).min(time);
                *to = (*to).max(time);
            }
            _ => unread.push((time, time)),
        }
    }

    fn observe_for(&mut self, at: usize, observation: &Observation<'_>) {
        let server = observation.server.address;
        let Some(&number) = self.servers.get(&server).and_then(|of| of.get(at)) else { return };
        let message = observation.message;
        let Some(migration) = self.migrations.get(number) else { return };
        let Some(zone) = zone_of(migration, message.qname) else { return };
        if message.is_response {
            let rrsets = self.rrsets.get_mut(number).and_then(|of| of.get_mut(zone));
            if let (Some(rrsets), Some(name)) = (rrsets, migration.zones.get(zone)) {
                rrsets.observe(server, name.as_name(), observation.time, message.octets);
            }
            return;
        }
        let Some(asked) = self.asked.get_mut(number) else { return };
        let asked = asked.entry((zone, server)).or_insert_with(|| Asked::new(STEP));
        let client = observation.client.address;
        if migration.is_apart(client) {
            asked.apart += 1;
            return;
        }
        let is_recursive = message.facts.contains(Facts::RECURSION_DESIRED);
        let room = self.clients < MAX_CLIENTS;
        self.clients += usize::from(asked.count(client, observation.time, message.qtype, is_recursive, room));
        let is_past = migration.cutover.is_some_and(|cutover| observation.time >= cutover);
        if is_past && migration.is_old(server) {
            let of = migration.zones.len() * migration.old.len();
            asked.wants(of, client, message.qname, message.qtype, observation.time);
        }
    }

    /// The evidence of each migration; `sources` are the names of the sources by number. Who watched when is the caller's to add.
    pub fn evidence(&self, sources: &[String]) -> Vec<Evidence> {
        let one = |number: usize| {
            let mut evidence = Evidence::default();
            for (&key, asked) in self.asked.get(number).into_iter().flatten() {
                evidence.asked.insert(key, asked.clone());
            }
            for (zone, rrsets) in self.rrsets.get(number).into_iter().flatten().enumerate() {
                evidence.unread.extend(rrsets.unread().map(|(server, time)| ((zone, server), time)));
                evidence.rrsets.extend(rrsets.iter().map(|(key, served)| (zone, key.clone(), *served)));
                evidence.ttls.extend(rrsets.ttls().map(|(key, ttls)| ((zone, key.clone()), ttls.clone())));
            }
            for &(source, server) in self.shown.keys() {
                if let Some(name) = sources.get(source) {
                    evidence.cover.watches(name, server);
                }
            }
            for (&source, unread) in &self.unread {
                for (&(from, to), name) in unread.iter().zip(std::iter::repeat(sources.get(source))) {
                    let reason = "queries whose name was not captured (snap length)";
                    name.into_iter().for_each(|name| evidence.cover.lost(name, from, to, reason));
                }
            }
            // Of a server whose responses were not captured at all nobody knows what it serves.
            for (&key, asked) in &evidence.asked {
                let is_silent = self
                    .rrsets
                    .get(number)
                    .and_then(|of| of.get(key.0))
                    .is_none_or(|rrsets| !rrsets.has_answer_of(key.1));
                if let Some(last) = asked.last.filter(|_| is_silent) {
                    evidence.unread.insert(key, last);
                }
            }
            evidence
        };
        (0..self.migrations.len()).map(one).collect()
    }
}

/// Whether a message of this role was seen at the server, where all others are seen as well. A resolver's own view of the servers
/// that it asks proves nothing of what other resolvers ask them.
pub const fn is_beside_server(role: Role) -> bool {
    match role {
        Role::Wire | Role::Auth | Role::Client | Role::Update => true,
        Role::Resolver | Role::Forwarder | Role::Stub | Role::Tool => false,
    }
}

/// The number of the longest zone of a migration that a name is in.
#[inline]
fn zone_of(migration: &Migration, name: Name<'_>) -> Option<usize> {
    let mut found: Option<(usize, usize)> = None;
    for (at, zone) in migration.zones.iter().enumerate() {
        let zone = zone.wire();
        if found.is_none_or(|(_, len)| zone.len() > len) && is_in(name, zone) {
            found = Some((at, zone.len()));
        }
    }
    found.map(|(at, _)| at)
}

/// Whether a lower-cased name ends in a zone's, at a label.
#[inline]
fn is_in(name: Name<'_>, zone: &[u8]) -> bool {
    if !name.0.ends_with(zone) {
        return false;
    }
    let mut suffix = name.0;
    while suffix.len() > zone.len() {
        let Some((&len, rest)) = suffix.split_first() else { return false };
        suffix = rest.get(usize::from(len)..).unwrap_or_default();
    }
    suffix.len() == zone.len()
}
