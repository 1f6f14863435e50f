//! The verdict as JSON (`lowtide.drain/1`): structure and units.

use std::collections::BTreeMap;

use serde::Serialize;

/// The schema's name.
pub const SCHEMA: &str = "lowtide.drain/1";

/// The verdicts on all migrations asked about.
#[derive(Clone, Debug, Serialize)]
pub struct DrainReport {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The moment that the verdicts are of, RFC 3339; `null` when nothing says which, as with files that hold no frame.
    pub evaluated_at: Option<String>,
    /// One for each migration.
    pub migrations: Vec<MigrationReport>,
}

/// The verdict on one migration.
#[derive(Clone, Debug, Serialize)]
pub struct MigrationReport {
    /// Its name.
    pub name: String,
    /// Its zones, with final dot.
    pub zones: Vec<String>,
    /// The verdict in a word.
    pub verdict: &'static str,
    /// Why.
    pub reasons: Vec<Reason>,
    /// When the parent's NS set was changed.
    pub cutover: Option<String>,
    /// After this no compliant cache leads to the old servers: the latest of all zones.
    pub cache_horizon: Option<String>,
    /// Since when nothing has been asked.
    pub quiet_since: Option<String>,
    /// How long nothing may be asked, seconds: the longest of all servers and zones.
    pub quiet_required_s: f64,
    /// TTLs of what leads to the old servers, and when a change of it takes effect everywhere within them.
    pub ttl_lowering: TtlLowering,
    /// The old servers, by zone.
    pub servers: Vec<ServerReport>,
    /// The new servers, by zone: queries alone.
    pub new_servers: Vec<NewServer>,
    /// Who asked since the cutover, aggregated.
    pub residual: ResidualReport,
    /// How fast queries to the old servers decay.
    pub decay: Option<DecayReport>,
    /// Old and new servers' queries over time.
    pub split: Vec<Split>,
}

/// Why a verdict is what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub text: String,
}

/// The verdict on one old server and zone.
#[derive(Clone, Debug, Serialize)]
pub struct ServerReport {
    /// Its address.
    pub address: String,
    /// The zone.
    pub zone: String,
    /// The verdict in a word.
    pub verdict: &'static str,
    /// Why.
    pub reasons: Vec<Reason>,
    /// The last query of a client that is not set apart.
    pub last_query: Option<String>,
    /// Queries of such clients.
    pub queries: u64,
    /// Queries of clients that are set apart.
    pub queries_set_apart: u64,
    /// Queries an hour in the quiet period's length before the verdict.
    pub rate_per_hour: f64,
    /// Where none was seen: with 95 % the rate is below this, queries an hour.
    pub rate_upper_bound_95: Option<f64>,
    /// How much of the quiet period was watched.
    pub coverage: CoverageReport,
    /// Clients by class.
    pub classes: BTreeMap<&'static str, u64>,
    /// Who asked since the cutover, the latest first.
    pub residual_clients: Vec<ResidualClient>,
    /// Clients beyond those that are kept, and their queries.
    pub other_clients: u64,
    /// See [`Self::other_clients`].
    pub other_queries: u64,
    /// What was asked for since the cutover; `null` where that is not known.
    pub wanted: Option<WantedReport>,
}

/// How much of the time was watched.
#[derive(Clone, Debug, Serialize)]
pub struct CoverageReport {
    /// The share, from 0 to 1.
    pub fraction: f64,
    /// The holes.
    pub gaps: Vec<GapReport>,
}

/// A hole in the evidence.
#[derive(Clone, Debug, Serialize)]
pub struct GapReport {
    /// Its beginning.
    pub from: String,
    /// Its end.
    pub to: String,
    /// Why.
    pub reason: String,
}

/// A client that still asks.
#[derive(Clone, Debug, Serialize)]
pub struct ResidualClient {
    /// Its address.
    pub address: String,
    /// What it seems to be.
    pub class: &'static str,
    /// Its queries.
    pub queries: u64,
    /// Its first query.
    pub first_seen: String,
    /// Its last query.
    pub last_seen: String,
    /// Its period, seconds, if it comes at one.
    pub period_s: Option<f64>,
    /// Types it asked for; `(others)` = any from 63 on.
    pub qtypes: Vec<String>,
    /// The last name that it asked for since the cutover; `null` where that is not known.
    pub last_qname: Option<String>,
    /// The type of that.
    pub last_qtype: Option<String>,
    /// The number of its autonomous system; `null` without a database, or where that does not know.
    pub asn: Option<u32>,
    /// Who that is.
    pub as_org: Option<String>,
    /// The country's code (ISO 3166).
    pub country: Option<String>,
}

/// What one server was asked for of one zone since the cutover.
#[derive(Clone, Debug, Serialize)]
pub struct WantedReport {
    /// Queries.
    pub queries: u64,
    /// Names and types with the most queries, the most first.
    pub names: Vec<WantedName>,
    /// Queries for all others: with those of the names they are all queries.
    pub other_queries: u64,
}

/// A name and type that is still asked for.
#[derive(Clone, Debug, Serialize)]
pub struct WantedName {
    /// The name, lower case, final dot.
    pub qname: String,
    /// The type.
    pub qtype: String,
    /// Queries that were counted of it. Where there are more than a thousand names, there may be more, which are among the others.
    pub queries: u64,
    /// The last of them.
    pub last_seen: String,
}

/// Clients that asked an old server since the cutover. Their queries are those of all time, as in [`ResidualClient`].
#[derive(Clone, Debug, Serialize)]
pub struct ResidualReport {
    /// Clients, each counted once.
    pub clients: u64,
    /// Their queries.
    pub queries: u64,
    /// Clients by class.
    pub classes: BTreeMap<&'static str, u64>,
    /// By network, the most queries first: /24 of IPv4, /48 of IPv6.
    pub prefixes: Vec<ResidualPrefix>,
    /// Networks beyond those.
    pub other_prefixes: u64,
    /// By autonomous system, the most queries first; none without a database.
    pub autonomous_systems: Vec<ResidualAs>,
    /// By country, the most queries first; none without a database.
    pub countries: Vec<ResidualCountry>,
    /// Clients beyond those that are kept, and their queries: in none of the above.
    pub other_clients: u64,
    /// See [`Self::other_clients`].
    pub other_queries: u64,
}

/// Clients of one network.
#[derive(Clone, Debug, Serialize)]
pub struct ResidualPrefix {
    /// The network.
    pub prefix: String,
    /// Clients.
    pub clients: u64,
    /// Their queries.
    pub queries: u64,
    /// The last of them.
    pub last_seen: String,
    /// The autonomous system of all of them.
    pub asn: Option<u32>,
    /// Who that is.
    pub as_org: Option<String>,
    /// The country of all of them.
    pub country: Option<String>,
}

/// Clients of one autonomous system.
#[derive(Clone, Debug, Serialize)]
pub struct ResidualAs {
    /// Its number.
    pub asn: u32,
    /// Who it is.
    pub as_org: Option<String>,
    /// Clients.
    pub clients: u64,
    /// Their queries.
    pub queries: u64,
    /// The last of them.
    pub last_seen: String,
}

/// Clients in one country.
#[derive(Clone, Debug, Serialize)]
pub struct ResidualCountry {
    /// Its code (ISO 3166).
    pub country: String,
    /// Clients.
    pub clients: u64,
    /// Their queries.
    pub queries: u64,
    /// The last of them.
    pub last_seen: String,
}

/// How the TTLs of what leads to the old servers were lowered before the cutover.
#[derive(Clone, Debug, Serialize)]
pub struct TtlLowering {
    /// The TTL that is planned, seconds.
    pub target_ttl_s: Option<u32>,
    /// The first moment at which a change takes effect everywhere within the TTLs served now: the latest `safe_at`. `null` = no
    /// higher TTL was seen, or a TTL is above the plan.
    pub earliest_safe_change: Option<String>,
    /// The NS sets of the zones, addresses in them and DS sets, as each old server serves them, and the parent's by configuration.
    pub rrsets: Vec<RrsetTtl>,
}

/// The TTL of an RRset that leads to the old servers.
#[derive(Clone, Debug, Serialize)]
pub struct RrsetTtl {
    /// The zone.
    pub zone: String,
    /// The old server; `null` = the parent's, of which the configuration tells.
    pub server: Option<String>,
    /// The owner name.
    pub owner: String,
    /// The type.
    pub rrtype: String,
    /// The section of the message that it stood in, or `parent`.
    pub section: &'static str,
    /// The TTL that it has now, seconds. Of copies that a cache counts down it is what the cache began with.
    pub ttl_s: u32,
    /// The highest TTL ever seen, seconds.
    pub ttl_max_s: u32,
    /// The last answer with a higher TTL than now or than planned; `null` = none was seen, or the TTL is above the plan.
    pub lowered_at: Option<String>,
    /// When no cache holds such an answer any more: the latest of time served + TTL.
    pub safe_at: Option<String>,
    /// The TTL of that which caches hold the longest, seconds.
    pub higher_ttl_s: Option<u32>,
    /// Whether the TTL is above the plan.
    pub above_target: bool,
    /// Whether it goes up and down as in a cache before the server.
    pub counts_down: bool,
    /// The first answer that was seen; what was served before is not known.
    pub first_seen: Option<String>,
    /// The last one.
    pub last_seen: Option<String>,
}

/// A new server's queries for one zone.
#[derive(Clone, Debug, Serialize)]
pub struct NewServer {
    /// Its address.
    pub address: String,
    /// The zone.
    pub zone: String,
    /// Its queries.
    pub queries: u64,
}

/// The fitted decay.
#[derive(Clone, Debug, Serialize)]
pub struct DecayReport {
    /// Seconds in which the rate halves.
    pub half_life_s: f64,
    /// When less than one query is expected in a quiet period.
    pub expected_quiet: String,
    /// The ends of the 95 % interval; `null` = that end does not fall.
    pub expected_quiet_95: (String, Option<String>),
}

/// Queries in one hour.
#[derive(Clone, Debug, Serialize)]
pub struct Split {
    /// Its beginning.
    pub start: String,
    /// Queries to old servers.
    pub old: u64,
    /// Queries to new servers.
    pub new: u64,
}
