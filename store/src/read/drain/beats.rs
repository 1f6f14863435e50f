//! When live sensors had heartbeats, run by run, and where two runs had them under one name.

use clickhouse::{Client, Row};
use lowtide_proto::Timestamp;
use serde::Deserialize;

use super::all;
use super::cover::{RUNS, WIDTH};
use crate::read::ReadError;
use crate::read::rows::{DAY, Statement};

/// What a run may have in common with others, intervals and seconds: a few intervals where it took over, a few where it was taken over from, and
/// as many of a time that its clock was wrong. A host beside it has more.
const TOGETHER: u32 = 10;

/// See [`TOGETHER`].
const TOGETHER_SECONDS: u32 = 600;

/// A stretch in which a run had all heartbeats, beside one server, seconds since 1970.
#[derive(Debug, Deserialize, Row)]
pub struct Watched {
    pub sensor: String,
    pub source: String,
    pub server: String,
    pub run: String,
    pub since: u32,
    pub until: u32,
}

/// A source that two runs watched at a time, since then.
#[derive(Debug, Deserialize, Row)]
pub struct Crowded {
    pub sensor: String,
    pub source: String,
    pub since: u32,
}

/// Stretches with heartbeats in the rows of coverage that `which` lets through, of each run: between two runs nobody looked, though both may
/// have heartbeats in one interval.
///
/// A live sensor has a heartbeat for every second of the clock that it saw through, and says why where it has none, so that an interval has
/// as many as seconds. One less is let pass, as a second is no hole either, for sensors that counted ticks, of which one may fall into the
/// interval beside. Only where a run begins or ends in the midst of an interval may it have fewer: then it saw as many seconds at the
/// interval's end, or at its beginning; and of an interval that is all it has, what both hold for. Fewer in the midst of a run are those of
/// a sensor that did not see and does not say so: such an interval was not watched.
///
/// Most days are whole, and told so at once; of the others the intervals are looked at.
pub async fn watched(
    client: &Client,
    parameters: &Statement,
    which: &str,
) -> Result<Vec<Watched>, ReadError> {
    let width = format!("if(its.width = 0, toUInt32({WIDTH}), its.width)");
    let keys = "sensor, source, server, run";
    let days = format!(
        "SELECT {keys}, toUInt32(toStartOfDay(interval)) AS day, \
         uniqExactIf(interval, heartbeats + 1 >= {width}) * min({width}) = {DAY} AND max({width}) = min({width}) AS is_whole \
         FROM coverage LEFT JOIN {RUNS} AS its USING (sensor, run) WHERE {which} AND heartbeats > 0 GROUP BY {keys}, day"
    );
    let intervals = format!(
        "SELECT {keys}, toUInt32(interval) AS at, max({width}) AS width, \
         if(sum(heartbeats) + 1 >= width, 0, toUInt32(width - sum(heartbeats))) AS missing \
         FROM coverage LEFT JOIN {RUNS} AS its USING (sensor, run) \
         WHERE {which} AND heartbeats > 0 AND ({keys}, toUInt32(toStartOfDay(interval))) IN (SELECT {keys}, day FROM days WHERE NOT is_whole) \
         GROUP BY {keys}, interval"
    );
    // Beginning, length and missing heartbeats of each; then whether it goes on from the one before, and whether the next goes on from it.
    let spans = "arraySort(groupArray((at, width, missing))) AS its, \
         arrayMap((one, before) -> before < one.1, its, arrayPopBack(arrayPushFront(arrayMap(one -> one.1 + one.2, its), 0))) AS firsts, \
         arrayMap((one, after) -> after > one.1 + one.2, its, arrayPopFront(arrayPushBack(its.1, 4294967295))) AS lasts, \
         arrayFilter(span -> span.1 < span.2, arrayMap((one, is_first, is_last) -> (one.1 + if(is_first, one.3, 0), \
         if(one.3 > 0 AND NOT is_first AND NOT is_last, 0, one.1 + one.2 - if(is_last, one.3, 0))), its, firsts, lasts)) AS spans, \
         arraySplit((span, before) -> span.1 > before, spans, arrayPopBack(arrayPushFront(spans.2, 0))) AS stretches";
    let sql = format!(
        "WITH days AS ({days}) \
         SELECT sensor, source, toString(server) AS server, toString(run) AS run, day AS since, toUInt32(day + {DAY}) AS until \
         FROM days WHERE is_whole \
         UNION ALL \
         SELECT sensor, source, toString(server) AS server, toString(run) AS run, toUInt32(stretch[1].1) AS since, \
         toUInt32(stretch[-1].2) AS until \
         FROM (SELECT {keys}, {spans} FROM ({intervals}) GROUP BY {keys}) ARRAY JOIN stretches AS stretch"
    );
    let sql = format!("SELECT * FROM ({sql}) ORDER BY {keys}, since");
    let rows: Vec<Watched> = all(client, "heartbeats", parameters.clone().with_sql(sql)).await?;
    let mut stretches: Vec<Watched> = Vec::new();
    for row in rows {
        match stretches.last_mut() {
            Some(last)
                if (&last.sensor, &last.source, &last.server, &last.run)
                    == (&row.sensor, &row.source, &row.server, &row.run)
                    && last.until >= row.since =>
            {
                last.until = last.until.max(row.until);
            }
            _ => stretches.push(row),
        }
    }
    Ok(stretches)
}

/// Sources that two runs watched at a time, in the rows of coverage that `which` lets through, ever: two hosts have one name. When one of them
/// dies, the other's heartbeats are there, and nobody can tell its next run from the dead one's. A run that takes over from another has an
/// interval or a few in common with it ([`TOGETHER`]), and so has one whose clock was wrong.
///
/// When runs begin and end tells at once where none are two at a time; only else are intervals looked at.
pub async fn crowded(
    client: &Client,
    parameters: &Statement,
    which: &str,
) -> Result<Vec<Crowded>, ReadError> {
    let width = format!("if(its.width = 0, toUInt32({WIDTH}), its.width)");
    let which = format!("{which} AND heartbeats > 0");
    let sql = format!(
        "WITH lives AS (SELECT sensor, source, run, min(toUInt32(interval)) AS begins, max(toUInt32(interval)) AS ends \
         FROM coverage WHERE {which} GROUP BY sensor, source, run), \
         overlapping AS (SELECT DISTINCT sensor, source FROM (SELECT sensor, source, begins, \
         max(ends) OVER (PARTITION BY sensor, source ORDER BY begins, ends ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS known \
         FROM lives) WHERE known > begins) \
         SELECT sensor, source, toUInt32(min(since)) AS since FROM (\
         SELECT sensor, source, its_run, min(at) AS since FROM (\
         SELECT sensor, source, toUInt32(interval) AS at, max({width}) AS width, arrayJoin(groupUniqArray(run) AS its_runs) AS its_run \
         FROM coverage LEFT JOIN {RUNS} AS its USING (sensor, run) \
         WHERE {which} AND (sensor, source) IN (SELECT sensor, source FROM overlapping) \
         GROUP BY sensor, source, interval HAVING length(its_runs) > 1) \
         GROUP BY sensor, source, its_run HAVING count() > {TOGETHER} AND sum(width) > {TOGETHER_SECONDS}) \
         GROUP BY sensor, source ORDER BY sensor, source"
    );
    all(client, "runs at a time", parameters.clone().with_sql(sql)).await
}

impl Watched {
    /// From when to when, no later than `until`.
    pub fn span(&self, until: Timestamp) -> (Timestamp, Timestamp) {
        (super::seconds(self.since).min(until), super::seconds(self.until).min(until))
    }
}
