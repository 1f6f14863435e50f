//! Reading back: the evidence about migrations, from rows of all sensors, live and replayed.
//!
//! Who asked comes from the rollups: clients by day, the time line by hour. Of the day and hour that the moment of the verdict cuts through,
//! the rows of intervals are read. Counts are never less than what was recorded up to that moment. Who watched comes from
//! `coverage`: stretches without a hole are put together by ClickHouse, so that what is read is as much as there are holes.

mod asked;
mod beats;
mod cover;
mod files;
mod served;
mod visits;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use clickhouse::{Client, Row, RowOwned, RowRead};
use lowtide_aggregate::drain::plan::SECOND;
use lowtide_aggregate::drain::{Evidence, Migration};
use lowtide_proto::Timestamp;
use serde::Deserialize;

use super::ReadError;
use super::rows::Statement;
use crate::schema;
use crate::server::Server;

pub use files::{File, Loss};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// The migrations.
    pub migrations: &'a [Migration],
    /// Who has to be whole: these sensors alone; empty = all. What any sensor saw is evidence.
    pub sensors: &'a [String],
    /// The moment of the verdict: what came later is not looked at. `None` = now when any sensor is live, else the end of the evidence.
    pub at: Option<Timestamp>,
    /// What the clock says.
    pub now: Timestamp,
    /// How long a replayed file may show nothing until that is a hole, nanoseconds.
    pub silence: u64,
}

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// The moment of the verdict; `None` when there is no coverage at all.
    pub at: Option<Timestamp>,
    /// The evidence on each migration, in their order; of replayed files without who watched.
    pub evidence: Vec<Evidence>,
    /// By migration, what sensors saw and did not record of it, with the sensor's name; live sensors have it in their evidence.
    pub untold: Vec<Vec<(String, Loss)>>,
    /// What replayed files saw: which of them are one sensor's is for whoever knows files.
    pub files: Vec<File>,
    /// What the operator should know.
    pub notes: Vec<String>,
}

/// What all statements about one migration share.
struct Scope<'a> {
    client: &'a Client,
    migration: &'a Migration,
    sensors: &'a [String],
    /// The moment of the verdict.
    at: Timestamp,
    /// Whether there are rows of migrations of a later time.
    is_cut: bool,
}

/// Reads the evidence.
///
/// # Errors
/// A server that cannot be asked, a schema of another version, a query that fails.
pub async fn evidence(server: &Server, question: &Question<'_>) -> Result<Found, ReadError> {
    schema::check(server, server.url().database()).await.map_err(ReadError::Schema)?;
    let client = server.client();
    let extent = extent(&client, question.sensors).await?;
    let at = question.at.or_else(|| match extent.live {
        0 => (extent.last > 0).then_some(Timestamp(extent.last)),
        _ => Some(question.now),
    });
    let mut found =
        Found { at, evidence: Vec::new(), untold: Vec::new(), files: Vec::new(), notes: Vec::new() };
    let Some(at) = at else {
        found.evidence = question.migrations.iter().map(|_| Evidence::default()).collect();
        return Ok(found);
    };
    let mut unread = BTreeMap::new();
    if extent.replays > 0 {
        (found.files, unread) = files::read(&client, question, at, &mut found.notes).await?;
    }
    for migration in question.migrations {
        let is_cut = extent.asked >= at.0;
        let scope = Scope { client: &client, migration, sensors: question.sensors, at, is_cut };
        let mut evidence = Evidence::default();
        asked::read(&scope, &mut evidence, &mut found.notes).await?;
        served::read(&scope, &mut evidence).await?;
        found.untold.push(cover::read(&scope, &mut evidence, unread.clone()).await?);
        found.evidence.push(evidence);
    }
    Ok(found)
}

#[derive(Debug, Deserialize, Row)]
struct Extent {
    /// 1 = there are rows.
    live: u8,
    replays: u8,
    /// The latest frame of a replay, nanoseconds.
    last: u64,
    /// The latest query to a server of a migration, nanoseconds.
    asked: u64,
}

/// Whether there is live coverage, when the replays end, and up to when there are rows of migrations.
async fn extent(client: &Client, sensors: &[String]) -> Result<Extent, ReadError> {
    let mut statement = Statement::default();
    let whose = whose(&mut statement, sensors);
    let sql = format!(
        "SELECT ifNull((SELECT toUInt8(1) FROM coverage WHERE kind = 'live' AND server = ''{whose} LIMIT 1), 0) AS live, \
         ifNull((SELECT toUInt8(1) FROM coverage WHERE kind = 'replay' AND server = ''{whose} LIMIT 1), 0) AS replays, \
         toUInt64(ifNull((SELECT toUnixTimestamp64Nano(max(last)) FROM coverage WHERE kind = 'replay' AND server = ''{whose}), 0)) AS last, \
         toUInt64(ifNull((SELECT toUnixTimestamp64Nano(max(last_seen)) FROM drain_hour), 0)) AS asked"
    );
    let mut rows: Vec<Extent> = all(client, "what there is", statement.with_sql(sql)).await?;
    Ok(rows.pop().unwrap_or(Extent { live: 0, replays: 0, last: 0, asked: 0 }))
}

/// The condition on sensors, behind an AND.
fn whose(statement: &mut Statement, sensors: &[String]) -> &'static str {
    if sensors.is_empty() {
        return "";
    }
    statement.texts("sensors", sensors.to_vec());
    " AND sensor IN {sensors:Array(String)}"
}

async fn all<T: RowOwned + RowRead>(
    client: &Client,
    what: &'static str,
    statement: Statement,
) -> Result<Vec<T>, ReadError> {
    let failed = |source| ReadError::Query { what, source };
    statement.query(client).fetch_all().await.map_err(failed)
}

/// An address as rows have it.
fn shown(address: Ipv6Addr) -> String {
    address.to_canonical().to_string()
}

/// An address out of a row.
fn address(text: &str) -> Option<Ipv6Addr> {
    text.parse::<IpAddr>().ok().map(|address| match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    })
}

const fn seconds(seconds: u32) -> Timestamp {
    Timestamp(seconds as u64 * SECOND)
}

impl Scope<'_> {
    fn zones(&self) -> Vec<String> {
        self.migration.zones.iter().map(|zone| zone.as_name().to_string()).collect()
    }

    /// All servers, the old ones first.
    fn servers(&self) -> Vec<Ipv6Addr> {
        self.migration.old.iter().chain(&self.migration.new).map(|server| server.address).collect()
    }

    fn old(&self) -> Vec<Ipv6Addr> {
        self.migration.old.iter().map(|server| server.address).collect()
    }

    /// The second that the moment is in.
    fn until(&self) -> u32 {
        u32::try_from(self.at.0 / SECOND).unwrap_or(u32::MAX)
    }

    /// A statement with the parameters that most need, over the rows of all sensors: what any of them saw counts, whoever is asked to have
    /// been whole.
    fn statement(&self) -> Statement {
        let mut statement = Statement::default();
        statement.texts("migration", vec![self.migration.name.clone()]);
        statement.texts("zones", self.zones());
        statement.texts("servers", self.servers().into_iter().map(shown).collect());
        statement.texts("old", self.old().into_iter().map(shown).collect());
        statement.number("until", self.until());
        statement
    }

    /// The same with a condition, behind an AND, on the sensors that have to be whole.
    fn statement_of_watchers(&self) -> (Statement, &'static str) {
        let mut statement = self.statement();
        let whose = whose(&mut statement, self.sensors);
        (statement, whose)
    }
}
