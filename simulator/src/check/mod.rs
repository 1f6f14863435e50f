//! Verdicts beside the truth: the whole way from the octets of messages to the verdict, half-hour by half-hour of a migration.

mod hindsight;
mod outcome;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use lowtide_aggregate::drain::report::MigrationReport;
use lowtide_aggregate::drain::{Cover, Migration, Prefix, Server, Watch, judge};
use lowtide_decode::dns;
use lowtide_proto::{Endpoint, Message, NameBuf, Observation, Role, Timestamp, Transport};

use crate::Simulation;
use crate::parameters::{Naming, Parameters, Seconds};
use crate::sink::{Asked, Class, CoverageFact, Seen, Sink};
use crate::truth::Truth;

pub use hindsight::hindsight;
pub use outcome::Outcome;

const SECOND: u64 = 1_000_000_000;

/// Between two verdicts.
const STEP: Seconds = 1_800;

/// The evidence as sensors give it, and the truth that nobody has.
struct Evidence {
    watch: Watch,
    cover: Cover,
    sensors: Vec<String>,
    qname: NameBuf,
    /// When a compliant or an extending cache asked, by zone and old server; in order.
    asked: BTreeMap<(usize, Ipv6Addr, Class), Vec<Timestamp>>,
    /// The last query that a sensor saw, of clients that are not set apart.
    last_seen: BTreeMap<(usize, Ipv6Addr), Timestamp>,
    set_apart: BTreeSet<usize>,
    /// What sensors said that they had lost: who, from when, until when.
    lost: Vec<(String, Timestamp, Timestamp)>,
}

/// A verdict with its reasons, and when it was first given.
struct Told {
    at: Timestamp,
    why: String,
}

/// What was said of the old servers, by zone and server.
struct Verdicts {
    /// The moments at which one was called drained.
    drained: BTreeMap<(usize, Ipv6Addr), Vec<Timestamp>>,
    /// The verdicts, where one differs from the one before.
    told: BTreeMap<(usize, Ipv6Addr), Vec<Told>>,
    /// The last report.
    last: Option<MigrationReport>,
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn observation<'a>(seen: &Seen<'_>, message: &'a Message<'a>) -> Observation<'a> {
    let endpoint =
        |address: std::net::SocketAddr| Endpoint { address: mapped(address.ip()), port: address.port() };
    Observation {
        time: seen.time,
        own_latency: None,
        role: Role::Auth,
        transport: Transport::Udp,
        client: endpoint(seen.client),
        server: endpoint(seen.server),
        message,
    }
}

/// What a sensor says of itself.
fn told_of(fact: &CoverageFact, sensors: &[String], cover: &mut Cover) {
    match *fact {
        CoverageFact::Alive { sensor, from, to } => {
            if let Some(name) = sensors.get(sensor) {
                cover.seen(name, from, to);
            }
        }
        CoverageFact::Lost { sensor, from, to, frames } => {
            if let Some(name) = sensors.get(sensor) {
                cover.lost(name, from, to, &format!("lost {frames} frames"));
            }
        }
    }
}

impl Sink for Evidence {
    fn message(&mut self, seen: &Seen<'_>) {
        let Some(message) = dns::read(seen.octets, seen.octets.len() as u32, &mut self.qname) else { return };
        self.watch.observe(seen.sensor, &observation(seen, &message));
    }

    fn coverage(&mut self, fact: &CoverageFact) {
        told_of(fact, &self.sensors, &mut self.cover);
        if let CoverageFact::Lost { sensor, from, to, .. } = *fact
            && let Some(name) = self.sensors.get(sensor)
        {
            self.lost.push((name.clone(), from, to));
        }
    }

    fn asked(&mut self, asked: &Asked) {
        if asked.is_new {
            return;
        }
        let server = mapped(asked.server.ip());
        if asked.class.is_cache_driven() {
            self.asked.entry((asked.zone, server, asked.class)).or_default().push(asked.time);
        }
        if asked.seen_by.is_some() && !self.set_apart.contains(&asked.client_number) {
            self.last_seen.insert((asked.zone, server), asked.time);
        }
    }
}

/// The migration as its operator would configure it.
fn configured(of: &Parameters, truth: &Truth) -> Migration {
    let servers = |servers: &[crate::parameters::Server]| {
        servers
            .iter()
            .flat_map(|server| {
                let name = match of.naming {
                    Naming::Provider => NameBuf::parse(&server.name).ok(),
                    Naming::Vanity => None,
                };
                server.addresses().map(move |address| Server { name, address: mapped(address) })
            })
            .collect()
    };
    let apart = truth.clients.iter().filter(|client| client.is_set_apart);
    Migration {
        name: of.scenario.clone(),
        zones: of.zones.iter().filter_map(|zone| NameBuf::parse(&zone.origin).ok()).collect(),
        old: servers(&of.old),
        new: servers(&of.new),
        cutover: Some(of.at(of.plan.cutover)),
        parent_ns_ttl: u64::from(of.parent.ns_ttl) * SECOND,
        ds_ttl: u64::from(of.parent.ds_ttl) * SECOND,
        target_ttl: None,
        quiet_period: of.quiet_period * SECOND,
        near_zero: 0,
        // An operator who looks sees it.
        new_verified: !of.mistakes.iter().any(|mistake| mistake == "new-serves-old-ns"),
        set_apart: apart
            .flat_map(|client| &client.addresses)
            .map(|&address| Prefix::new(mapped(address), 128))
            .collect(),
    }
}

/// Who is who, which is drawn before anything else: a run for nothing else.
fn drawn(parameters: &Parameters) -> Truth {
    let mut short = parameters.clone();
    (short.length, short.aftermath) = (0, 0);
    Simulation::new(short).finish()
}

fn names(parameters: &Parameters) -> Vec<String> {
    parameters.sensors.iter().map(|sensor| sensor.name.clone()).collect()
}

/// The verdict by what was asked and what sensors say of themselves.
fn judged(
    migration: &Migration,
    watch: &Watch,
    sensors: &[String],
    cover: &Cover,
    at: Timestamp,
) -> MigrationReport {
    let mut evidence = watch.evidence(sensors).into_iter().next().unwrap_or_default();
    let mut cover = cover.clone();
    cover.adopt(std::mem::take(&mut evidence.cover));
    evidence.cover = cover;
    judge(migration, &evidence, at).1
}

/// Judges one migration, drawn from a seed, each half-hour from its cutover to the end of the evidence.
pub fn check(seed: u64) -> Outcome {
    let parameters = Parameters::random(seed);
    let clients = drawn(&parameters);
    let migration = configured(&parameters, &clients);
    let mut evidence = Evidence {
        watch: Watch::new(vec![migration.clone()]),
        cover: Cover::default(),
        sensors: names(&parameters),
        qname: NameBuf::new(),
        asked: BTreeMap::new(),
        last_seen: BTreeMap::new(),
        lost: Vec::new(),
        set_apart: clients
            .clients
            .iter()
            .filter(|client| client.is_set_apart)
            .map(|client| client.number)
            .collect(),
    };
    let mut simulation = Simulation::new(parameters.clone());
    let mut drained: BTreeMap<(usize, Ipv6Addr), Vec<Timestamp>> = BTreeMap::new();
    let mut told: BTreeMap<(usize, Ipv6Addr), Vec<Told>> = BTreeMap::new();
    let mut last: Option<MigrationReport> = None;
    let mut moment = parameters.plan.cutover;
    while moment <= parameters.length {
        let at = parameters.at(moment);
        simulation.run_until(at, &mut evidence);
        let is_last = moment + STEP > parameters.length;
        if is_last || evidence.may_be_drained(&migration, at) {
            let report = judged(&migration, &evidence.watch, &evidence.sensors, &evidence.cover, at);
            for (number, server) in report.servers.iter().enumerate() {
                let zone = number / migration.old.len();
                let Some(old) = migration.old.get(number % migration.old.len()) else { continue };
                if server.verdict == "drained" {
                    drained.entry((zone, old.address)).or_default().push(at);
                }
                let told = told.entry((zone, old.address)).or_default();
                let reasons = server.reasons.iter().map(|reason| reason.text.as_str());
                let is_same = |last: &Told| {
                    last.why.split_once(':').is_some_and(|(verdict, _)| verdict == server.verdict)
                };
                if !told.last().is_some_and(is_same) {
                    let why = reasons.collect::<Vec<_>>().join("; ");
                    told.push(Told { at, why: format!("{}: {why}", server.verdict) });
                }
            }
            last = is_last.then_some(report);
        }
        moment += STEP;
    }
    // Past the end of the evidence for the truth alone; the sink still learns who really asked.
    simulation.run_until(Timestamp(u64::MAX), &mut evidence);
    let truth = simulation.finish();
    outcome::compare(&parameters, &migration, &truth, &evidence, &Verdicts { drained, told, last })
}

impl Evidence {
    /// Whether any server has been quiet for long enough to be judged; others cannot be drained.
    fn may_be_drained(&self, migration: &Migration, at: Timestamp) -> bool {
        let quiet = |zone: usize, server: &Server| {
            let last = self.last_seen.get(&(zone, server.address));
            last.is_none_or(|last| at.0.saturating_sub(last.0) >= migration.quiet_period)
        };
        (0..migration.zones.len()).any(|zone| migration.old.iter().any(|server| quiet(zone, server)))
    }
}
