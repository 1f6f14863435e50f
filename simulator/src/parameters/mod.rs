//! What is simulated: the zones, the two providers, the operator's acts, the clients and the sensors.

mod draw;
mod scenarios;

pub use scenarios::SCENARIOS;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lowtide_proto::Timestamp;

/// Seconds, mostly since the start of the simulation.
pub type Seconds = u64;

/// Seconds of an hour.
pub const HOUR: Seconds = 3_600;

/// Seconds of a day.
pub const DAY: Seconds = 86_400;

/// Everything that a migration depends on. Moments are seconds since `start`.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// What it is called: a scenario's name, or `random`.
    pub scenario: String,
    /// All that is drawn at random is drawn from here.
    pub seed: u64,
    /// When the evidence begins.
    pub start: Timestamp,
    /// How long there are sensors.
    pub length: Seconds,
    /// How long it goes on without sensors, so that the truth knows what comes after the evidence.
    pub aftermath: Seconds,
    /// The zones that move.
    pub zones: Vec<Zone>,
    /// The old provider's servers.
    pub old: Vec<Server>,
    /// The new provider's servers.
    pub new: Vec<Server>,
    /// What the servers' names are.
    pub naming: Naming,
    /// Whether servers leave out authority and additional sections that nobody needs.
    pub minimal_responses: bool,
    /// The parent's TTLs.
    pub parent: Parent,
    /// What the operator does, and when.
    pub plan: Plan,
    /// What went wrong on purpose, in words.
    pub mistakes: Vec<String>,
    /// The resolvers.
    pub population: Population,
    /// Clients with the old servers' addresses in their configuration.
    pub stubs: Vec<Stub>,
    /// Clients that ask in fixed periods.
    pub monitors: Vec<Monitor>,
    /// Sweeps over names and types.
    pub scans: Vec<Scan>,
    /// Queries per hour, at each old server, for zones that stay there: signs of life.
    pub background_per_hour: f64,
    /// Who watches.
    pub sensors: Vec<Sensor>,
    /// How often sensors say that they are alive.
    pub coverage_step: Seconds,
    /// The quiet period that is configured.
    pub quiet_period: Seconds,
}

/// A zone that moves.
#[derive(Clone, Debug)]
pub struct Zone {
    /// Its name, with the final dot.
    pub origin: String,
    /// How many names of it resolvers ask for.
    pub names: usize,
}

/// A server, at one address or two.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its name where the provider names servers.
    pub name: String,
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
    /// At how many places it stands (anycast); each has its own clients.
    pub sites: usize,
}

impl Server {
    /// Its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.v4.map(IpAddr::V4).into_iter().chain(self.v6.map(IpAddr::V6))
    }
}

/// What the names of name servers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Those of the provider: the NS set changes with the provider.
    Provider,
    /// Names in the zone itself: the NS set stays, and glue and addresses change.
    Vanity,
}

/// The parent zone's part.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    /// The TTL of the NS set and its glue in seconds.
    pub ns_ttl: u32,
    /// The TTL of the DS set in seconds.
    pub ds_ttl: u32,
}

/// Which servers an NS set leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NsSet {
    /// The old provider's.
    Old,
    /// The new provider's.
    New,
    /// Those of both.
    Both,
}

impl NsSet {
    /// Whether it leads to an old server.
    pub const fn names_old(self) -> bool {
        matches!(self, NsSet::Old | NsSet::Both)
    }

    /// Whether it leads to a new server.
    pub const fn names_new(self) -> bool {
        matches!(self, NsSet::New | NsSet::Both)
    }
}

/// What the operator does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The TTL of the zone's own NS set before it is lowered, in seconds.
    pub ns_ttl: u32,
    /// The TTL of the addresses of name servers before, in seconds.
    pub address_ttl: u32,
    /// The TTL of both once it is lowered.
    pub lowered_ttl: u32,
    /// When it is lowered; `None` = forgotten.
    pub lower_at: Option<Seconds>,
    /// When it is raised again.
    pub raise_at: Option<Seconds>,
    /// The parent's NS set over time; before the first change it is the old one.
    pub parent_changes: Vec<(Seconds, NsSet)>,
    /// What the old servers serve as the zone's NS set; before the first change it is the old one.
    pub old_serve: Vec<(Seconds, NsSet)>,
    /// What the new servers serve; before the first change it is the new one.
    pub new_serve: Vec<(Seconds, NsSet)>,
    /// Number of the old server that gets none of the changes.
    pub forgotten: Option<usize>,
    /// The moment that the operator takes for the cutover and writes into the configuration.
    pub cutover: Seconds,
    /// When the zones are switched off at the old servers, and how.
    pub switch_off: Option<(Seconds, SwitchOff)>,
}

/// How a zone is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwitchOff {
    /// The servers go on and answer REFUSED.
    Refused,
    /// Queries still arrive, where a sensor sees them, and nothing answers.
    Silent,
    /// The machines are gone, and the sensors on them.
    Down,
}

/// The resolvers, by shares of all of them; they are drawn independently of one another.
#[derive(Clone, Debug)]
pub struct Population {
    /// How many.
    pub resolvers: usize,
    /// Queries of clients per resolver and day, on average; single resolvers have very much more or less.
    pub queries_per_day: f64,
    /// Between 0 (none) and 1: how much the load swings over the day.
    pub diurnal: f64,
    /// Those that appear in the course of the simulation.
    pub late: f64,
    /// Those that take the NS set from the zone itself rather than from the parent.
    pub child_centric: f64,
    /// Of these, those that ask for it instead of taking it from authority sections.
    pub asking: f64,
    /// Of child-centric ones, those whose knowledge is renewed by each answer, not only when it has expired.
    pub renewing: f64,
    /// Those that keep nothing longer than an hour or a day.
    pub capping: f64,
    /// Those that keep everything longer than they may.
    pub extending: f64,
    /// How many times longer, at most.
    pub stretch: f64,
    /// Those that keep to the servers they know until these fail.
    pub sticky: f64,
    /// Those that renew answers before they expire.
    pub prefetching: f64,
    /// Those that answer from expired data while servers fail, and ask on.
    pub serve_stale: f64,
    /// Those that validate: they ask for DNSKEY.
    pub validating: f64,
    /// Those that a handful of forwarders with caches of their own stand before.
    pub shared: f64,
    /// Those with IPv4 alone; of the others a third has IPv6 alone where all servers have it.
    pub ipv4_only: f64,
}

/// A client that asks one or all of the old servers for ever: a stub, or a forwarder (RD=1).
#[derive(Clone, Debug)]
pub struct Stub {
    /// Queries a day.
    pub queries_per_day: f64,
    /// Whether it knows all addresses of the old servers, or one.
    pub all_addresses: bool,
    /// Whether it sets RD.
    pub recursion_desired: bool,
}

/// A client that asks every old server in a fixed period.
#[derive(Clone, Debug)]
pub struct Monitor {
    /// The period.
    pub period: Seconds,
    /// How far each query may be off, in milliseconds.
    pub jitter_ms: u64,
    /// When it is turned to the new servers.
    pub until: Option<Seconds>,
    /// Whether it is the operator's own, and set apart in the configuration.
    pub set_apart: bool,
}

/// A sweep over names and types.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    /// When it begins.
    pub at: Seconds,
    /// Queries of it.
    pub queries: u32,
    /// Milliseconds between two of them.
    pub pace_ms: u64,
}

/// One who watches.
#[derive(Clone, Debug)]
pub struct Sensor {
    /// Its name.
    pub name: String,
    /// What it watches.
    pub watches: Vec<Watched>,
    /// What befalls it.
    pub faults: Vec<Fault>,
}

/// A server at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Whether it is the new provider's.
    pub is_new: bool,
    /// Its number at the provider.
    pub server: usize,
    /// The place.
    pub site: usize,
}

/// What befalls a sensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// No frames and no signs of life.
    Outage {
        /// From when.
        from: Seconds,
        /// Until when.
        to: Seconds,
    },
    /// The sensor is gone and never comes back.
    Death {
        /// From when.
        at: Seconds,
    },
    /// A share of frames is lost, and the sensor says how many.
    Drop {
        /// From when.
        from: Seconds,
        /// Until when.
        to: Seconds,
        /// Of 1.
        share: f64,
    },
    /// The sensor's clock is wrong.
    ClockStep {
        /// From when.
        from: Seconds,
        /// Until when.
        to: Seconds,
        /// By how many seconds it is ahead.
        by: i64,
    },
    /// A share of frames is handed over late, out of order, with its right time.
    Late {
        /// From when.
        from: Seconds,
        /// Until when.
        to: Seconds,
        /// Of 1.
        share: f64,
        /// By how much at most.
        by: Seconds,
    },
}

impl Parameters {
    /// A moment of the simulation as traffic time.
    pub const fn at(&self, seconds: Seconds) -> Timestamp {
        Timestamp(self.start.0 + seconds * 1_000_000_000)
    }

    /// The servers of a provider.
    pub fn servers(&self, is_new: bool) -> &[Server] {
        if is_new { &self.new } else { &self.old }
    }

    /// The last change of the parent that leads no one to the old servers any more; `None` when there was none, or it was
    /// taken back.
    pub fn true_cutover(&self) -> Option<Seconds> {
        let changes = &self.plan.parent_changes;
        let last_old = changes.iter().rposition(|(_, set)| set.names_old());
        changes.get(last_old.map_or(0, |at| at + 1)).map(|&(at, _)| at)
    }
}
