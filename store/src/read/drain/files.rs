//! What replayed files saw: stretches of frames, losses, servers.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use clickhouse::{Client, Row};
use lowtide_aggregate::drain::plan::SECOND;
use lowtide_proto::Timestamp;
use serde::Deserialize;

use super::cover::Losses;
use super::{Question, address, all, whose};
use crate::read::ReadError;
use crate::read::rows::Statement;

/// Something that was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The server that it is of; `None` = of all.
    pub server: Option<Ipv6Addr>,
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// What.
    pub reason: String,
}

/// What a replayed file saw.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The sensor's name that it was replayed under.
    pub sensor: String,
    /// Its path where it was replayed.
    pub path: String,
    /// From when to when it saw, without silences that are longer than allowed.
    pub seen: Vec<(Timestamp, Timestamp)>,
    /// What it lost.
    pub lost: Vec<Loss>,
    /// The servers that it showed.
    pub servers: Vec<Ipv6Addr>,
}

#[derive(Debug, Deserialize, Row)]
struct SpanRow {
    sensor: String,
    source: String,
    since: u64,
    until: u64,
}

#[derive(Debug, Deserialize, Row)]
struct ServersRow {
    sensor: String,
    source: String,
    servers: Vec<String>,
}

#[derive(Debug, Deserialize, Row)]
struct RunRow {
    sensor: String,
    run: String,
    state: String,
    sources: Vec<String>,
    since: u64,
    until: u64,
}

#[derive(Debug, Deserialize, Row)]
struct WideRow {
    sensor: String,
    run: String,
    seconds: f64,
}

/// Reads what all replayed files saw up to a moment, and by server when a response could not be read, last.
///
/// Of a run that did not come to its end nobody knows which of its rows are there: what was asked counts, but that nothing was asked
/// does not. Rows do not tell of silences within an interval, so that one whose first and last frame are further apart than a silence may
/// be proves nothing between the two.
pub async fn read(
    client: &Client,
    question: &Question<'_>,
    at: Timestamp,
    notes: &mut Vec<String>,
) -> Result<(Vec<File>, BTreeMap<Ipv6Addr, Timestamp>), ReadError> {
    let mut parameters = Statement::default();
    let whose = whose(&mut parameters, question.sensors);
    parameters.number("until", u32::try_from(at.0 / SECOND).unwrap_or(u32::MAX));
    parameters.number("silence", question.silence.min(i64::MAX as u64));
    let of_replays = format!("kind = 'replay' AND interval <= toDateTime({{until:UInt32}}, 'UTC'){whose}");
    let whole = "(sensor, run) IN (SELECT sensor, run FROM sensor_run FINAL WHERE kind = 'replay' AND state = 'finished' AND empty(dropped))";
    let mut files: BTreeMap<(String, String), File> = BTreeMap::new();
    let statement = |sql: String| parameters.clone().with_sql(sql);
    let sql = format!(
        "SELECT sensor, source, groupUniqArray(toString(server)) AS servers FROM coverage \
         WHERE {of_replays} AND server != '' AND messages > 0 GROUP BY sensor, source ORDER BY sensor, source"
    );
    let rows: Vec<ServersRow> = all(client, "files", statement(sql)).await?;
    for row in rows {
        let mut servers: Vec<Ipv6Addr> = row.servers.iter().filter_map(|text| address(text)).collect();
        servers.sort_unstable();
        let file = File { sensor: row.sensor.clone(), path: row.source.clone(), servers, ..File::default() };
        files.insert((row.sensor, row.source), file);
    }
    let place = |files: &mut BTreeMap<(String, String), File>, sensor: &str, source: &str| {
        let key = (sensor.to_owned(), source.to_owned());
        let new = || File { sensor: sensor.to_owned(), path: source.to_owned(), ..File::default() };
        files.entry(key).or_insert_with(new);
    };
    let sql = format!(
        "SELECT sensor, source, toUInt64(min(since)) AS since, toUInt64(max(until)) AS until FROM (\
         SELECT *, sum(since > known + {{silence:Int64}}) OVER (PARTITION BY sensor, source ORDER BY since, until \
         ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS island FROM (\
         SELECT *, max(until) OVER (PARTITION BY sensor, source ORDER BY since, until \
         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS known FROM (\
         SELECT sensor, source, (arrayJoin(if(last_at - first_at > {{silence:Int64}}, [(first_at, first_at), (last_at, last_at)], \
         [(first_at, last_at)])) AS ends).1 AS since, ends.2 AS until FROM (\
         SELECT sensor, source, toUnixTimestamp64Nano(assumeNotNull(first)) AS first_at, toUnixTimestamp64Nano(assumeNotNull(last)) AS last_at \
         FROM coverage WHERE {of_replays} AND server = '' AND isNotNull(first) AND {whole})))) \
         GROUP BY sensor, source, island ORDER BY sensor, source, since"
    );
    let rows: Vec<SpanRow> = all(client, "files", statement(sql)).await?;
    for row in rows.into_iter().filter(|row| row.since <= at.0) {
        place(&mut files, &row.sensor, &row.source);
        if let Some(file) = files.get_mut(&(row.sensor, row.source)) {
            file.seen.push((Timestamp(row.since), Timestamp(row.until.min(at.0))));
        }
    }
    let sql = format!(
        "SELECT sensor, run, interval_s AS seconds FROM sensor_run FINAL \
         WHERE kind = 'replay' AND interval_s * 1000000000 > {{silence:Int64}}{whose} ORDER BY sensor, run"
    );
    let rows: Vec<WideRow> = all(client, "runs", statement(sql)).await?;
    for row in rows {
        notes.push(format!(
            "sensor {}: replay {} has intervals of {} s, longer than --max-silence: what they show between their first and last frame \
             is not known",
            row.sensor, row.run, row.seconds
        ));
    }
    let sql = format!(
        "SELECT sensor, run, its.state AS state, groupUniqArray(source) AS sources, \
         toUInt64(ifNull(toUnixTimestamp64Nano(min(first)), 0)) AS since, toUInt64(ifNull(toUnixTimestamp64Nano(max(last)), 0)) AS until \
         FROM coverage LEFT JOIN (SELECT sensor, run, if(empty(dropped), toString(state), 'rows were dropped') AS state FROM sensor_run FINAL) AS its USING (sensor, run) \
         WHERE {of_replays} AND NOT {whole} GROUP BY sensor, run, state ORDER BY sensor, run"
    );
    let rows: Vec<RunRow> = all(client, "runs", statement(sql)).await?;
    for row in rows {
        let state = if row.state.is_empty() { "said nothing of itself" } else { row.state.as_str() };
        let reason = format!("replay {} of it is not whole ({state})", row.run);
        notes.push(format!("sensor {}: {reason}: that it shows nothing proves nothing", row.sensor));
        for source in row.sources.iter().filter(|source| !source.is_empty()) {
            place(&mut files, &row.sensor, source);
            let Some(file) = files.get_mut(&(row.sensor.clone(), source.clone())) else { continue };
            // Another run may have seen all of it.
            let (from, to) = (Timestamp(row.since), Timestamp(row.until.min(at.0)));
            if !file.seen.iter().any(|&(begin, end)| begin <= from && end >= to) {
                file.lost.push(Loss { server: None, from, to, reason: reason.clone() });
            }
        }
    }
    let mut losses = Losses::default();
    losses.read(client, statement(Losses::sql(&format!("{of_replays} AND {whole}"))), at).await?;
    for ((sensor, source), lost) in losses.by_source {
        // What was lost on the way to ClickHouse is of no file, and so of all.
        if source == "spool" || source.is_empty() {
            let of_sensor = files.values_mut().filter(|file| file.sensor == sensor);
            of_sensor.for_each(|file| file.lost.extend(lost.iter().cloned()));
        } else if let Some(file) = files.get_mut(&(sensor, source)) {
            file.lost.extend(lost);
        }
    }
    Ok((files.into_values().collect(), losses.unread))
}
