//! Watching migrations: every message from or to one of their servers about one of their zones is counted, by client; what
//! the servers serve is kept.
//!
//! Messages are counted, not transactions: a query that is asked twice was asked twice, and nothing has to be paired.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use foldhash::fast::RandomState;
use lowtide_proto::{Facts, Name, Observation};

use super::evidence::{Asked, Evidence};
use super::plan::{Migration, SECOND};
use super::rrsets::Rrsets;

/// Clients of all migrations together; one takes about 250 octets.
const MAX_CLIENTS: usize = 1_000_000;

/// Steps of the time lines, nanoseconds.
const STEP: u64 = 60 * SECOND;

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
        if let Some(of) = self.servers.get(&observation.server.address) {
            // Cloned only in name: a server is of one migration, or of very few.
            for at in 0..of.len() {
                self.observe_for(at, source, observation);
            }
        }
    }

    fn observe_for(&mut self, at: usize, source: usize, observation: &Observation<'_>) {
        let server = observation.server.address;
        *self.shown.entry((source, server)).or_default() += 1;
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
    }

    /// The evidence of each migration; `sources` are the names of the sources by number. Who watched when is the caller's to add.
    pub fn evidence(&self, sources: &[String]) -> Vec<Evidence> {
        let one = |number: usize| {
            let mut evidence = Evidence::default();
            for (&key, asked) in self.asked.get(number).into_iter().flatten() {
                evidence.asked.insert(key, asked.clone());
            }
            for (zone, rrsets) in self.rrsets.get(number).into_iter().flatten().enumerate() {
                evidence.rrsets.extend(rrsets.iter().map(|(key, served)| (zone, key.clone(), *served)));
            }
            for &(source, server) in self.shown.keys() {
                if let Some(name) = sources.get(source) {
                    evidence.cover.watches(name, server);
                }
            }
            evidence
        };
        (0..self.migrations.len()).map(one).collect()
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
