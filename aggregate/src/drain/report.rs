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
    /// The old servers, by zone.
    pub servers: Vec<ServerReport>,
    /// The new servers, by zone: queries alone.
    pub new_servers: Vec<NewServer>,
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
