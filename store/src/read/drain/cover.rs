//! When live sensors watched the old servers, and what they lost.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use clickhouse::{Client, Row};
use lowtide_aggregate::drain::plan::SECOND;
use lowtide_aggregate::drain::{Evidence, client};
use lowtide_aggregate::summary::rfc3339;
use lowtide_proto::Timestamp;
use serde::Deserialize;

use super::beats::{self, Crowded, Watched};
use super::{Loss, Scope, address, all, seconds};
use crate::read::ReadError;
use crate::read::rows::{HOUR, Statement};

/// Seconds of an interval of a run that said nothing of itself.
pub const WIDTH: u32 = 60;

/// Queries whose name was not captured: they may have been for any zone.
const UNREAD_QUERY: &str = "unread_query";

/// Responses that could not be read to their end.
const UNREAD_RESPONSE: &str = "unread_response";

/// After so long without a row a sensor does not only lag behind, nanoseconds.
const SILENT: u64 = 15 * 60 * SECOND;

/// Losses that are told of one source; past it the last one grows.
const MAX_LOSSES: usize = 10_000;

#[derive(Debug, Deserialize, Row)]
struct WatchRow {
    sensor: String,
    source: String,
    servers: Vec<String>,
}

#[derive(Debug, Deserialize, Row)]
struct UntoldRow {
    sensor: String,
    server: String,
    hour: u32,
    asked: u64,
}

#[derive(Debug, Deserialize, Row)]
struct LossRow {
    sensor: String,
    run: String,
    source: String,
    server: String,
    at: u32,
    to: u32,
    last: u64,
    losses: Vec<(String, u64)>,
    is_unknown: u8,
}

/// Losses as they are read: those of neighbouring intervals and of the same kind are one.
#[derive(Debug, Default)]
pub struct Losses {
    /// By sensor, run and source.
    pub by_source: BTreeMap<(String, String, String), Vec<Loss>>,
    /// When responses of a server could not be read, last.
    pub unread: BTreeMap<Ipv6Addr, Timestamp>,
    /// The counts of the loss that is last in its list.
    counts: BTreeMap<String, u64>,
}

impl Losses {
    /// The statement over the rows of coverage that `which` lets through.
    pub fn sql(which: &str) -> String {
        format!(
            "SELECT sensor, run, source, toString(server) AS server, toUInt32(interval) AS at, \
             toUInt32(at + if(max(its.width) = 0, toUInt32({WIDTH}), max(its.width))) AS to, \
             toUInt64(ifNull(toUnixTimestamp64Nano(max(last)), 0)) AS last, \
             CAST(mapFilter((reason, count) -> count > 0, sumMap(lost)) AS Array(Tuple(String, UInt64))) AS losses, \
             max(unknown) AS is_unknown \
             FROM coverage LEFT JOIN {RUNS} AS its USING (sensor, run) \
             WHERE {which} AND (unknown > 0 OR notEmpty(lost)) \
             GROUP BY sensor, run, source, server, interval HAVING notEmpty(losses) OR is_unknown > 0 \
             ORDER BY sensor, run, source, server, at"
        )
    }

    /// Reads losses up to a moment.
    pub async fn read(
        &mut self,
        client: &Client,
        statement: Statement,
        until: Timestamp,
    ) -> Result<(), ReadError> {
        let failed = |source| ReadError::Query { what: "losses", source };
        let mut cursor = statement.query(client).fetch::<LossRow>().map_err(failed)?;
        while let Some(row) = cursor.next().await.map_err(failed)? {
            self.add(row, until);
        }
        Ok(())
    }

    fn add(&mut self, row: LossRow, until: Timestamp) {
        let server = address(&row.server);
        let (from, to) = (seconds(row.at), seconds(row.to).min(until));
        let mut losses: BTreeMap<String, u64> = row.losses.into_iter().collect();
        if let (Some(server), Some(_)) = (server, losses.remove(UNREAD_RESPONSE)) {
            let last = if row.last > 0 { Timestamp(row.last).min(to) } else { to };
            let known = self.unread.entry(server).or_default();
            *known = (*known).max(last);
        }
        if losses.is_empty() && row.is_unknown == 0 {
            return;
        }
        let list = self.by_source.entry((row.sensor, row.run, row.source)).or_default();
        let is_same = self.counts.keys().eq(losses.keys());
        let is_full = list.len() >= MAX_LOSSES;
        match list.last_mut() {
            Some(last) if last.server == server && last.to >= from && is_same || is_full => {
                last.to = last.to.max(to);
                last.from = last.from.min(from);
                for (reason, count) in losses {
                    let counted = self.counts.entry(reason).or_default();
                    *counted = counted.saturating_add(count);
                }
                last.reason = told(&self.counts);
            }
            _ => {
                list.push(Loss { server, from, to, reason: told(&losses) });
                self.counts = losses;
            }
        }
    }
}

/// What was lost in words.
fn told(losses: &BTreeMap<String, u64>) -> String {
    if losses.is_empty() {
        return "nobody knows what was lost".to_owned();
    }
    let piece = |(reason, count): (&String, &u64)| match reason.strip_suffix("_ms") {
        Some(reason) => format!("{} for {}.{:03} s", reason.replace('_', " "), count / 1_000, count % 1_000),
        None if reason == UNREAD_QUERY => {
            format!("{count} queries whose name was not captured (snap length)")
        }
        None => format!("{reason} {count}"),
    };
    losses.iter().map(piece).collect::<Vec<_>>().join(", ")
}

/// How long an interval of each run is, seconds.
pub const RUNS: &str =
    "(SELECT sensor, run, toUInt32(greatest(1, ceil(interval_s))) AS width FROM sensor_run FINAL)";

/// Fills who watched of the live sensors, and gives by sensor what sensors were not told to record; `unread` is when replayed files could not read a response of a server, last.
pub async fn read(
    scope: &Scope<'_>,
    evidence: &mut Evidence,
    unread: BTreeMap<Ipv6Addr, Timestamp>,
) -> Result<Vec<(String, Loss)>, ReadError> {
    let since = since(scope, evidence);
    let (mut parameters, whose) = scope.statement_of_watchers();
    parameters.number("since", since);
    let statement = |sql: String| parameters.clone().with_sql(sql);
    let live = format!("kind = 'live' AND interval <= toDateTime({{until:UInt32}}, 'UTC'){whose}");
    let in_range = format!("{live} AND interval >= toDateTime({{since:UInt32}}, 'UTC')");
    // Who ever showed an old server goes on being asked for.
    let sql = format!(
        "SELECT sensor, source, groupUniqArray(toString(server)) AS servers FROM coverage \
         WHERE {live} AND server IN {{old:Array(String)}} AND messages > 0 GROUP BY sensor, source ORDER BY sensor, source"
    );
    let watching: Vec<WatchRow> = all(scope.client, "who watches", statement(sql)).await?;
    let of_old = format!("{live} AND server IN {{old:Array(String)}}");
    // The interval that this begins in, and its neighbours, however long they are.
    let beaten = format!("{of_old} AND interval >= toDateTime({}, 'UTC')", since.saturating_sub(2 * HOUR));
    let beats = Beats {
        watched: beats::watched(scope.client, &parameters, &beaten).await?,
        crowded: beats::crowded(scope.client, &parameters, &of_old).await?,
    };
    let mut losses = Losses { unread, ..Losses::default() };
    let servers = "(server = '' OR server IN {servers:Array(String)})";
    losses.read(scope.client, statement(Losses::sql(&format!("{in_range} AND {servers}"))), scope.at).await?;
    let untold = untold(scope, statement).await?;
    for row in watching {
        watched(scope, evidence, &row, &beats, &losses, &untold);
    }
    let servers = scope.servers();
    for (server, last) in losses.unread.into_iter().filter(|(server, _)| servers.contains(server)) {
        for zone in 0..scope.migration.zones.len() {
            let known = evidence.unread.entry((zone, server)).or_default();
            *known = (*known).max(last);
        }
    }
    Ok(untold)
}

/// Hours in which sensors counted queries for a zone in `traffic` of which they have no row in `drain`: they were not told of the migration,
/// or not of that zone, and what they would have seen of it nobody knows. A sensor that does not know a zone counts its names for one
/// above it; there the names tell.
async fn untold(
    scope: &Scope<'_>,
    statement: impl Fn(String) -> Statement,
) -> Result<Vec<(String, Loss)>, ReadError> {
    let whose = if scope.sensors.is_empty() { "" } else { " AND sensor IN {sensors:Array(String)}" };
    let zones = scope.zones();
    let above = |zone: &String| -> Vec<String> {
        let dots = zone.char_indices().filter(|&(_, letter)| letter == '.').map(|(at, _)| at + 1);
        dots.filter_map(|at| zone.get(at..)).filter(|above| !above.is_empty()).map(str::to_owned).collect()
    };
    let parents: BTreeSet<String> = zones.iter().flat_map(above).collect();
    let columns = "toString(sensor) AS sensor, toString(server) AS server, toUInt32(toStartOfHour(interval)) AS hour, queries";
    let which = format!(
        "server IN {{old:Array(String)}}{whose} AND interval >= toDateTime({{since:UInt32}}, 'UTC') \
         AND interval <= toDateTime({{until:UInt32}}, 'UTC')"
    );
    // Of several zones that a name is in, the longest.
    let sql = format!(
        "SELECT sensor, server, hour, sum(queries) AS asked FROM (\
         SELECT {columns}, zone AS its_zone FROM traffic_zone \
         WHERE zone IN {{zones:Array(String)}} AND zone NOT IN {{parents:Array(String)}} AND {which} \
         UNION ALL \
         SELECT {columns}, arrayFirst(z -> qname = z OR endsWith(qname, concat('.', z)), \
         arraySort(z -> -toInt64(length(z)), {{zones:Array(String)}})) AS its_zone FROM traffic \
         WHERE zone IN {{parents:Array(String)}} AND {which}) \
         WHERE its_zone != '' \
         AND (sensor, server, its_zone, hour) NOT IN (SELECT toString(sensor), toString(server), zone, toUInt32(interval) FROM drain_hour \
         WHERE migration IN {{migration:Array(String)}} AND zone IN {{zones:Array(String)}} AND queries > 0) \
         GROUP BY sensor, server, hour HAVING asked > 0 ORDER BY sensor, server, hour LIMIT {MAX_LOSSES}"
    );
    let statement = |sql: String| {
        let mut statement = statement(sql);
        statement.texts("parents", parents.iter().cloned().collect());
        statement
    };
    let rows: Vec<UntoldRow> = all(scope.client, "traffic", statement(sql)).await?;
    let loss = |row: UntoldRow| {
        let reason = format!(
            "{} queries to {} in this hour that are in no row of {}: this sensor was not told of it",
            row.asked, row.server, scope.migration.name
        );
        let (from, to) = (seconds(row.hour), seconds(row.hour.saturating_add(HOUR)).min(scope.at));
        (row.sensor, Loss { server: address(&row.server), from, to, reason })
    };
    Ok(rows.into_iter().map(loss).collect())
}

/// From when on it matters who watched: the cutover, or the longest quiet period that is asked for.
fn since(scope: &Scope<'_>, evidence: &Evidence) -> u32 {
    let periods = evidence.asked.values().flat_map(|asked| asked.clients.values());
    let longest = periods.filter_map(client::Client::period).max().unwrap_or_default();
    let required = scope.migration.quiet_period.max(longest.saturating_mul(2));
    // Two intervals more, so that none is cut through.
    let begin = scope.at.0.saturating_sub(required).saturating_sub(2 * u64::from(WIDTH) * SECOND);
    let cutover = scope.migration.cutover.map_or(begin, |cutover| cutover.0);
    u32::try_from(begin.min(cutover) / SECOND).unwrap_or(u32::MAX)
}

/// What the heartbeats tell.
struct Beats {
    watched: Vec<Watched>,
    crowded: Vec<Crowded>,
}

/// One source that watches old servers.
fn watched(
    scope: &Scope<'_>,
    evidence: &mut Evidence,
    row: &WatchRow,
    beats: &Beats,
    losses: &Losses,
    untold: &[(String, Loss)],
) {
    let mut by_spans: BTreeMap<Vec<(Timestamp, Timestamp)>, BTreeSet<Ipv6Addr>> = BTreeMap::new();
    for server in &row.servers {
        let of = |watched: &&Watched| {
            watched.sensor == row.sensor && watched.source == row.source && watched.server == *server
        };
        let spans: Vec<_> = beats.watched.iter().filter(of).map(|watched| watched.span(scope.at)).collect();
        if let Some(address) = address(server) {
            by_spans.entry(spans).or_default().insert(address);
        }
    }
    let is_one = by_spans.len() == 1;
    for (spans, servers) in by_spans {
        let mut name = format!("{} {}", row.sensor, row.source).trim_end().to_owned();
        if !is_one {
            // A server that was named to the sensor later than another.
            let servers: Vec<String> = servers.iter().map(|&server| super::shown(server)).collect();
            name = format!("{name} ({})", servers.join(", "));
        }
        for &server in &servers {
            evidence.cover.watches(&name, server);
        }
        for &(from, to) in &spans {
            evidence.cover.seen(&name, from, to);
        }
        let last = spans.iter().map(|&(_, to)| to).max();
        if last.is_none_or(|last| scope.at.0.saturating_sub(last.0) > SILENT) {
            let text = match last {
                Some(last) => format!("nothing of it since {}", rfc3339(last)),
                None => "nothing of it in this time".to_owned(),
            };
            let text = format!(
                "{text}; a sensor that is out of service is left out by naming the others with --sensor"
            );
            let from = last.unwrap_or(seconds(since(scope, evidence)));
            evidence.cover.lost(&name, from.min(scope.at), scope.at, &text);
        }
        let is_of = |crowded: &&Crowded| crowded.sensor == row.sensor && crowded.source == row.source;
        if let Some(crowded) = beats.crowded.iter().find(is_of) {
            let from = seconds(crowded.since).min(scope.at);
            let text = "two live runs under one sensor name, of which one may be dead unseen: give each host a name of its own, \
                        and name those with --sensor";
            evidence.cover.lost(&name, from, scope.at, text);
        }
        for (_, loss) in untold.iter().filter(|(sensor, _)| *sensor == row.sensor) {
            evidence.cover.lost(&name, loss.from, loss.to, &loss.reason);
        }
        for ((sensor, _, source), lost) in &losses.by_source {
            // What was lost on the way to ClickHouse is of no source, and so of all.
            let is_of =
                *sensor == row.sensor && (*source == row.source || source == "spool" || source.is_empty());
            for loss in lost.iter().filter(|_| is_of) {
                evidence.cover.lost(&name, loss.from, loss.to, &loss.reason);
            }
        }
    }
}
