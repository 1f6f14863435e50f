//! What really happened: the yardstick of verdicts.
//!
//! The [`Recorder`] is told each query as it reaches a server, from the same place that tells the sink, and looks into the resolvers'
//! caches at the very end for what may still come. Nothing in it knows the rules by which lowtide judges.

mod holes;

use std::collections::BTreeMap;
use std::net::IpAddr;

use lowtide_proto::Timestamp;
use serde::Serialize;

use crate::authority::{Nanos, SECOND};
use crate::messages::Learned;
use crate::network::Client;
use crate::parameters::Parameters;
use crate::sink::{Asked, Class};
use crate::time::{rfc3339, rfc3339_map, rfc3339_option};
use holes::{holes, is_watched, sensors};

pub use holes::{Hole, SensorTruth};

/// The truth of a simulation; `truth.json` is this.
#[derive(Clone, Debug, Serialize)]
pub struct Truth {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The evidence begins.
    #[serde(serialize_with = "rfc3339")]
    pub start: Timestamp,
    /// The evidence ends.
    #[serde(serialize_with = "rfc3339")]
    pub end: Timestamp,
    /// Up to here it was simulated what comes after the evidence.
    #[serde(serialize_with = "rfc3339")]
    pub simulated_until: Timestamp,
    /// The cutover that the configuration says.
    #[serde(serialize_with = "rfc3339")]
    pub cutover: Timestamp,
    /// The cutover that counts: from here on the parent never led to an old server again.
    #[serde(serialize_with = "rfc3339_option")]
    pub true_cutover: Option<Timestamp>,
    /// When the zones were switched off at the old servers.
    #[serde(serialize_with = "rfc3339_option")]
    pub switched_off: Option<Timestamp>,
    /// What went wrong on purpose.
    pub mistakes: Vec<String>,
    /// For each zone and old server's address, who asked it last.
    pub servers: Vec<ServerTruth>,
    /// For each zone, the last moment up to which a compliant cache may hold something that leads to the old servers.
    pub horizons: Vec<Horizon>,
    /// Those who asked an old server for a zone that moves; others with no number of queries.
    pub clients: Vec<ClientTruth>,
    /// Who watched what.
    pub sensors: Vec<SensorTruth>,
    /// What is missing from the evidence.
    pub holes: Vec<Hole>,
    /// What was simulated, as text.
    pub parameters: String,
}

/// Who asked an old server's address for a zone.
#[derive(Clone, Debug, Serialize)]
pub struct ServerTruth {
    /// The zone.
    pub zone: String,
    /// The server's name.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// The last query from a compliant cache, up to `simulated_until`.
    #[serde(serialize_with = "rfc3339_option")]
    pub last_compliant: Option<Timestamp>,
    /// The last query from a cache that keeps data too long.
    #[serde(serialize_with = "rfc3339_option")]
    pub last_extending: Option<Timestamp>,
    /// The last query from anybody who is not set apart.
    #[serde(serialize_with = "rfc3339_option")]
    pub last_query: Option<Timestamp>,
    /// Whether a compliant cache may ask on after `simulated_until`.
    pub compliant_may_come: bool,
    /// Whether a cache that keeps data too long may.
    pub extending_may_come: bool,
    /// From when on no cache will lead anyone here; `None` = never, as far as it was simulated.
    #[serde(serialize_with = "rfc3339_option")]
    pub drained_from: Option<Timestamp>,
    /// Queries by class, up to `simulated_until`.
    pub queries: BTreeMap<Class, u64>,
    /// The last query of each class.
    #[serde(serialize_with = "rfc3339_map")]
    pub last: BTreeMap<Class, Timestamp>,
    /// Whether a sensor watches it, at all its places.
    pub is_watched: bool,
}

/// The cache horizon by what was really served, whether or not a sensor saw it.
#[derive(Clone, Debug, Serialize)]
pub struct Horizon {
    /// The zone.
    pub zone: String,
    /// The true cutover and the longer of the parent's TTLs.
    #[serde(serialize_with = "rfc3339_option")]
    pub parent: Option<Timestamp>,
    /// Over all responses up to the end of the evidence: when it was served, and the longest TTL of an NS set that names old servers
    /// and of their addresses.
    #[serde(serialize_with = "rfc3339_option")]
    pub child: Option<Timestamp>,
}

/// A client.
#[derive(Clone, Debug, Serialize)]
pub struct ClientTruth {
    /// Its number in [`Seen`](crate::Seen) and [`Asked`].
    pub number: usize,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What it is.
    pub class: Class,
    /// A monitor's period in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period_s: Option<u64>,
    /// Whether it is set apart in the configuration.
    pub is_set_apart: bool,
    /// What it does.
    pub behaviour: String,
    /// Queries that reached old servers within the evidence.
    pub queries: u64,
    /// The first of them.
    #[serde(serialize_with = "rfc3339_option")]
    pub first: Option<Timestamp>,
    /// The last of them.
    #[serde(serialize_with = "rfc3339_option")]
    pub last: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    last: BTreeMap<Class, Timestamp>,
    queries: BTreeMap<Class, u64>,
    last_query: Option<Timestamp>,
    compliant_may_come: bool,
    extending_may_come: bool,
}

/// Collects the truth.
pub(crate) struct Recorder {
    /// By zone, then by the old servers' addresses.
    tallies: Vec<Vec<Tally>>,
    clients: Vec<(u64, Option<Timestamp>, Option<Timestamp>)>,
    set_apart: Vec<bool>,
    horizons: Vec<Option<Nanos>>,
    end: Nanos,
}

impl Recorder {
    pub(crate) fn new(parameters: &Parameters, clients: &[Client]) -> Self {
        let addresses = parameters.old.iter().flat_map(crate::parameters::Server::addresses).count();
        Self {
            tallies: vec![vec![Tally::default(); addresses]; parameters.zones.len()],
            clients: vec![(0, None, None); clients.len()],
            set_apart: clients.iter().map(|client| client.is_set_apart).collect(),
            horizons: vec![None; parameters.zones.len()],
            end: parameters.at(parameters.length).0,
        }
    }

    pub(crate) fn asked(&mut self, asked: &Asked, address: usize) {
        let Some(tally) = self.tallies.get_mut(asked.zone).and_then(|of| of.get_mut(address)) else {
            return;
        };
        tally.last.insert(asked.class, asked.time);
        *tally.queries.entry(asked.class).or_default() += 1;
        if !self.set_apart[asked.client_number] {
            tally.last_query = Some(asked.time);
        }
        if !asked.is_after_end {
            let (queries, first, last) = &mut self.clients[asked.client_number];
            *queries += 1;
            first.get_or_insert(asked.time);
            *last = Some(asked.time);
        }
    }

    pub(crate) fn served(&mut self, now: Nanos, zone: usize, learned: Learned) {
        if let Some(ttl) = learned.ns.and_then(|ns| ns.old_ttl)
            && now < self.end
        {
            let until = now + u64::from(ttl) * SECOND;
            self.horizons[zone] = self.horizons[zone].max(Some(until));
        }
    }

    /// A cache of this class may lead to an address after all that was simulated.
    pub(crate) fn may_come(&mut self, zone: usize, address: usize, class: Class) {
        if let Some(tally) = self.tallies.get_mut(zone).and_then(|of| of.get_mut(address)) {
            match class {
                Class::ResolverCompliant => tally.compliant_may_come = true,
                Class::ResolverExtending => tally.extending_may_come = true,
                _ => {}
            }
        }
    }

    pub(crate) fn finish(self, parameters: &Parameters, clients: &[Client], until: Nanos) -> Truth {
        let true_cutover = parameters.true_cutover().map(|at| parameters.at(at));
        let longest = u64::from(parameters.parent.ns_ttl.max(parameters.parent.ds_ttl)) * SECOND;
        let horizon = |(zone, child): (&crate::parameters::Zone, &Option<Nanos>)| Horizon {
            zone: zone.origin.clone(),
            parent: true_cutover.map(|cutover| Timestamp(cutover.0 + longest)),
            child: child.map(Timestamp),
        };
        Truth {
            scenario: parameters.scenario.clone(),
            seed: parameters.seed,
            start: parameters.start,
            end: Timestamp(self.end),
            simulated_until: Timestamp(until),
            cutover: parameters.at(parameters.plan.cutover),
            true_cutover,
            switched_off: parameters.plan.switch_off.map(|(at, _)| parameters.at(at)),
            mistakes: parameters.mistakes.clone(),
            horizons: parameters.zones.iter().zip(&self.horizons).map(horizon).collect(),
            servers: self.servers(parameters, true_cutover),
            clients: self.clients(clients),
            sensors: sensors(parameters),
            holes: holes(parameters),
            parameters: format!("{parameters:?}"),
        }
    }

    fn servers(&self, parameters: &Parameters, cutover: Option<Timestamp>) -> Vec<ServerTruth> {
        let mut servers = Vec::new();
        for (zone, tallies) in parameters.zones.iter().zip(&self.tallies) {
            let addresses = parameters.old.iter().enumerate().flat_map(|(number, server)| {
                server.addresses().map(move |address| (number, server, address))
            });
            for ((number, server, address), tally) in addresses.zip(tallies) {
                let last = |class| tally.last.get(&class).copied();
                let (compliant, extending) = (last(Class::ResolverCompliant), last(Class::ResolverExtending));
                let may_come = tally.compliant_may_come || tally.extending_may_come;
                servers.push(ServerTruth {
                    zone: zone.origin.clone(),
                    name: server.name.clone(),
                    address,
                    last_compliant: compliant,
                    last_extending: extending,
                    last_query: tally.last_query,
                    compliant_may_come: tally.compliant_may_come,
                    extending_may_come: tally.extending_may_come,
                    drained_from: cutover
                        .filter(|_| !may_come)
                        .map(|cutover| Some(cutover).max(compliant).max(extending).unwrap_or(cutover)),
                    queries: tally.queries.clone(),
                    last: tally.last.clone(),
                    is_watched: (0..server.sites.max(1)).all(|site| is_watched(parameters, number, site)),
                });
            }
        }
        servers
    }

    fn clients(&self, clients: &[Client]) -> Vec<ClientTruth> {
        let one = |(number, (client, &(queries, first, last))): (usize, (&Client, _))| ClientTruth {
            number,
            addresses: client.addresses().collect(),
            class: client.class,
            period_s: client.period,
            is_set_apart: client.is_set_apart,
            behaviour: client.behaviour.clone(),
            queries,
            first,
            last,
        };
        clients.iter().zip(&self.clients).enumerate().map(one).collect()
    }
}
