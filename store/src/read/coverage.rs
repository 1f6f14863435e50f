//! What the sensors could see of a range, what they lost, and when nobody looked.

use std::collections::{BTreeMap, BTreeSet};

use clickhouse::{Client, Row};
use lowtide_aggregate::report::{Coverage, Gap, Run};
use lowtide_aggregate::summary::rfc3339;
use lowtide_proto::Timestamp;
use lowtide_proto::time::NANOS_PER_SECOND;
use serde::Deserialize;

use super::rows::{Range, Rows, Statement};

/// Rows of a list that are read. What is listed is read by people.
const MOST: usize = 10_000;

/// Gaps of one source that are told.
const MOST_GAPS: usize = 1_000;

/// Seconds of an interval of a run that said nothing of itself.
const STEP: u32 = 60;

/// Intervals that may be on their way from a sensor to ClickHouse.
const ON_THE_WAY: u32 = 3;

#[derive(Debug, Deserialize, Row)]
struct RunRow {
    sensor: String,
    run: String,
    kind: String,
    state: String,
    step: f64,
    started_ns: i64,
    finished_ns: Option<i64>,
    run_inputs: Vec<String>,
    not_delivered: Vec<(String, u64)>,
}

#[derive(Debug, Deserialize, Row)]
struct CoverageRow {
    sensor: String,
    run: String,
    kind: String,
    source: String,
    first_ns: Option<i64>,
    last_ns: Option<i64>,
    frame_sum: u64,
    message_sum: u64,
    lost_sum: Vec<(String, u64)>,
    is_unknown: u8,
}

/// When a live sensor was to cover: seconds since 1970.
#[derive(Debug, Deserialize, Row)]
struct Watch {
    sensor: String,
    since: u32,
    /// `None` = it runs, or ended without being told to.
    until: Option<u32>,
}

/// When a live source did cover.
#[derive(Clone, Debug, Default, Deserialize, Row)]
struct Seen {
    sensor: String,
    source: String,
    from: u32,
    to: u32,
    step: u32,
    gaps: Vec<(u32, u32)>,
}

/// Runs, coverage and gaps of a range.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The runs that covered some of it, or should have.
    pub runs: Vec<Run>,
    /// What each source showed.
    pub coverage: Vec<Coverage>,
    /// When live sensors showed nothing.
    pub gaps: Vec<Gap>,
}

const RANGE: &str =
    "interval >= toDateTime({from:UInt32}, 'UTC') AND interval < toDateTime({to:UInt32}, 'UTC')";

/// Reads the evidence. `now` is the clock's, seconds since 1970.
pub async fn read(
    client: &Client,
    rows: &Rows,
    range: Range,
    now: u32,
) -> Result<Evidence, clickhouse::error::Error> {
    let statement = |sql: &dyn Fn(&str) -> String| {
        let mut statement = Statement::default();
        let whose = rows.whose(&mut statement);
        statement.number("from", range.from);
        statement.number("to", range.to);
        statement.with_sql(sql(&whose)).query(client)
    };
    let runs: Vec<RunRow> = statement(&|whose| {
        format!(
            "SELECT sensor, run, kind, state, interval_s AS step, toUnixTimestamp64Nano(started) AS started_ns, \
             toUnixTimestamp64Nano(finished) AS finished_ns, inputs AS run_inputs, dropped AS not_delivered \
             FROM sensor_run FINAL WHERE ((sensor, run) IN (SELECT sensor, run FROM coverage WHERE {RANGE}{whose}) \
             OR kind = 'live' AND started < toDateTime({{to:UInt32}}, 'UTC') \
             AND (finished IS NULL OR finished >= toDateTime({{from:UInt32}}, 'UTC'))){whose} \
             ORDER BY sensor, started, run LIMIT {MOST}"
        )
    })
    .fetch_all()
    .await?;
    let coverage: Vec<CoverageRow> = statement(&|whose| {
        format!(
            "SELECT sensor, run, kind, source, toUnixTimestamp64Nano(min(first)) AS first_ns, \
             toUnixTimestamp64Nano(max(last)) AS last_ns, sum(frames) AS frame_sum, sum(messages) AS message_sum, \
             sumMap(lost) AS lost_sum, max(unknown) AS is_unknown \
             FROM coverage WHERE server = '' AND {RANGE}{whose} \
             GROUP BY sensor, run, kind, source ORDER BY sensor, first_ns, run, source LIMIT {MOST}"
        )
    })
    .fetch_all()
    .await?;
    let watches: Vec<Watch> = statement(&|whose| {
        format!(
            "SELECT sensor, toUInt32(min(started)) AS since, \
             if(argMax(state, started) = 'finished', toUInt32(argMax(finished, started)), NULL) AS until \
             FROM sensor_run FINAL WHERE kind = 'live'{whose} GROUP BY sensor ORDER BY sensor LIMIT {MOST}"
        )
    })
    .fetch_all()
    .await?;
    // Only what shows that somebody looked is coverage: a row of losses alone does not.
    let seen: Vec<Seen> = statement(&|whose| {
        format!(
            "WITH arraySort(groupUniqArray((at, toUInt32(at + width)))) AS spans \
             SELECT sensor, source, min(at) AS from, toUInt32(max(at + width)) AS to, max(width) AS step, \
             arraySlice(arrayFilter(gap -> gap.2 > gap.1, arrayMap((one, next) -> (one.2, next.1), \
             arrayPopBack(spans), arrayPopFront(spans))), 1, {MOST_GAPS}) AS gaps \
             FROM (SELECT sensor, source, toUInt32(interval) AS at, if(its.width = 0, toUInt32({STEP}), its.width) AS width \
             FROM coverage LEFT JOIN (SELECT sensor, run, toUInt32(greatest(1, ceil(interval_s))) AS width FROM sensor_run FINAL) AS its \
             USING (sensor, run) \
             WHERE kind = 'live' AND server = '' AND (frames > 0 OR heartbeats > 0) AND {RANGE}{whose}) \
             GROUP BY sensor, source ORDER BY sensor, source LIMIT {MOST}"
        )
    })
    .fetch_all()
    .await?;
    let gaps = gaps(&watches, &runs, &seen, range, now);
    Ok(Evidence {
        runs: told_runs(runs, &coverage),
        coverage: coverage.into_iter().map(told).collect(),
        gaps,
    })
}

fn moment(nanos: i64) -> String {
    rfc3339(Timestamp(u64::try_from(nanos).unwrap_or_default()))
}

/// A second since 1970 as RFC 3339 writes it.
pub fn second(seconds: u32) -> String {
    rfc3339(Timestamp(u64::from(seconds) * NANOS_PER_SECOND))
}

/// What the runs say of themselves, and those of which there is coverage but no word yet.
fn told_runs(runs: Vec<RunRow>, coverage: &[CoverageRow]) -> Vec<Run> {
    let known: BTreeSet<(String, String)> =
        runs.iter().map(|run| (run.sensor.clone(), run.run.clone())).collect();
    let silent: BTreeMap<(&str, &str), &str> = coverage
        .iter()
        .filter(|row| !known.contains(&(row.sensor.clone(), row.run.clone())))
        .map(|row| ((row.sensor.as_str(), row.run.as_str()), row.kind.as_str()))
        .collect();
    let silent: Vec<Run> = silent
        .into_iter()
        .map(|((sensor, run), kind)| Run {
            sensor: sensor.to_owned(),
            run: run.to_owned(),
            kind: kind.to_owned(),
            ..Run::default()
        })
        .collect();
    let told = runs.into_iter().map(|run| Run {
        sensor: run.sensor,
        run: run.run,
        kind: run.kind,
        state: run.state,
        interval_s: run.step,
        started: Some(moment(run.started_ns)),
        finished: run.finished_ns.map(moment),
        dropped: run.not_delivered.into_iter().collect(),
    });
    told.chain(silent).collect()
}

fn told(row: CoverageRow) -> Coverage {
    Coverage {
        sensor: row.sensor,
        run: row.run,
        kind: row.kind,
        source: row.source,
        first: row.first_ns.map(moment),
        last: row.last_ns.map(moment),
        frames: row.frame_sum,
        messages: row.message_sum,
        lost: row.lost_sum.into_iter().filter(|(_, count)| *count > 0).collect(),
        unknown: row.is_unknown > 0,
    }
}

/// Stretches of the range in which a live sensor's source showed nothing, though the sensor had been started before
/// and was not stopped for good. What is younger than a few intervals may still be on its way.
fn gaps(watches: &[Watch], runs: &[RunRow], seen: &[Seen], range: Range, now: u32) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for watch in watches {
        let of_sensor = || seen.iter().filter(|seen| seen.sensor == watch.sensor);
        let mut sources: BTreeSet<&str> = of_sensor().map(|seen| seen.source.as_str()).collect();
        let its_runs = runs.iter().filter(|run| run.sensor == watch.sensor && run.kind == "live");
        sources.extend(its_runs.flat_map(|run| run.run_inputs.iter().map(String::as_str)));
        if sources.is_empty() {
            sources.insert("");
        }
        for source in sources {
            let seen = of_sensor().find(|seen| seen.source == source);
            let step = seen.map_or(STEP, |seen| seen.step);
            let due = now.saturating_sub(step.saturating_mul(ON_THE_WAY));
            let begin = range.from.max(watch.since);
            let end = range.to.min(watch.until.unwrap_or(u32::MAX)).min(due);
            let mut gap = |from: u32, to: u32| {
                let (from, to) = (from.max(begin), to.min(end));
                if from < to {
                    let (sensor, source) = (watch.sensor.clone(), source.to_owned());
                    gaps.push(Gap { sensor, source, from: second(from), to: second(to) });
                }
            };
            let Some(seen) = seen else {
                gap(begin, end);
                continue;
            };
            // An interval that the range or the run's start cuts through begins before.
            if seen.from >= begin.saturating_add(step) {
                gap(begin, seen.from);
            }
            seen.gaps.iter().for_each(|&(from, to)| gap(from, to));
            gap(seen.to, end);
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(since: u32, until: Option<u32>) -> Vec<Watch> {
        vec![Watch { sensor: "ns1".into(), since, until }]
    }

    fn seen(from: u32, to: u32, gaps: Vec<(u32, u32)>) -> Vec<Seen> {
        vec![Seen { sensor: "ns1".into(), source: "eth0".into(), from, to, step: 60, gaps }]
    }

    #[track_caller]
    fn check(watches: &[Watch], seen: &[Seen], now: u32, expected: &[(u32, u32)]) {
        let range = Range { from: 6_000, to: 12_000 };
        let found = gaps(watches, &[], seen, range, now);
        let expected: Vec<_> = expected.iter().map(|&(from, to)| (second(from), second(to))).collect();
        let found: Vec<_> = found.into_iter().map(|gap| (gap.from, gap.to)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_range_that_is_covered_has_no_gap() {
        check(&watch(0, None), &seen(6_000, 12_000, vec![]), 90_000, &[]);
        check(&watch(0, None), &seen(6_030, 12_030, vec![]), 90_000, &[]);
        check(&watch(9_017, Some(11_000)), &seen(9_000, 11_040, vec![]), 90_000, &[]);
        check(&watch(0, None), &seen(6_000, 9_000, vec![]), 9_100, &[]);
        check(&[], &seen(7_000, 8_000, vec![]), 90_000, &[]);
    }

    #[test]
    fn what_nobody_watched_is_a_gap() {
        check(
            &watch(0, None),
            &seen(7_020, 12_000, vec![(8_000, 9_000)]),
            90_000,
            &[(6_000, 7_020), (8_000, 9_000)],
        );
        check(&watch(0, None), &seen(6_000, 9_000, vec![]), 90_000, &[(9_000, 12_000)]);
        check(&watch(0, None), &seen(6_000, 9_000, vec![]), 10_180, &[(9_000, 10_000)]);
        check(
            &watch(7_000, Some(9_000)),
            &seen(8_000, 8_060, vec![]),
            90_000,
            &[(7_000, 8_000), (8_060, 9_000)],
        );
    }

    #[test]
    fn a_sensor_that_shows_nothing_is_a_gap_from_end_to_end() {
        check(&watch(0, None), &[], 90_000, &[(6_000, 12_000)]);
        check(&watch(8_000, None), &[], 90_000, &[(8_000, 12_000)]);
        check(&watch(0, Some(5_000)), &[], 90_000, &[]);
    }
}
