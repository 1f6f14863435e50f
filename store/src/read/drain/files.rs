//! What replayed files saw: stretches of frames, losses, servers.
//!
//! A file is one of a run: two taps may be replayed under one sensor name and one path, `eth0.pcap` of two machines or standard input, and
//! neither may fill the other's holes. Only what is the very same is one file, in however many runs: of one sensor and path, with the same
//! first and last frame and as many frames and octets. What a run that did not come to its end has of a file is the same when a whole run
//! of that path has all of it; else it is a file that nobody saw to its end. Which files are one capture that was rotated is for whoever knows
//! files.

use std::collections::{BTreeMap, BTreeSet};
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
    /// The run; of several that replayed the same, the first by name.
    pub run: String,
    /// Its path where it was replayed.
    pub path: String,
    /// From when to when it saw, without silences that are longer than allowed.
    pub seen: Vec<(Timestamp, Timestamp)>,
    /// From when to when a run saw it that did not come to its end: no proof that it saw all between.
    pub claimed: Option<(Timestamp, Timestamp)>,
    /// What it lost.
    pub lost: Vec<Loss>,
    /// The servers that it showed.
    pub servers: Vec<Ipv6Addr>,
}

/// Sensor, run, path.
type Key = (String, String, String);

/// What tells a file from others of its sensor and path: first and last frame, frames, octets.
type Print = (u64, u64, u64, u64);

#[derive(Debug, Deserialize, Row)]
struct FileRow {
    sensor: String,
    run: String,
    source: String,
    servers: Vec<String>,
    print: Print,
}

#[derive(Debug, Deserialize, Row)]
struct SpanRow {
    sensor: String,
    run: String,
    source: String,
    since: u64,
    until: u64,
}

#[derive(Debug, Deserialize, Row)]
struct CutOffRow {
    sensor: String,
    run: String,
    source: String,
    state: String,
    since: u64,
    until: u64,
}

#[derive(Debug, Deserialize, Row)]
struct KeyRow {
    sensor: String,
    run: String,
    source: String,
}

#[derive(Debug, Deserialize, Row)]
struct WideRow {
    sensor: String,
    run: String,
    seconds: f64,
}

/// Runs that came to their end with all rows, a condition.
const WHOLE: &str = "(sensor, run) IN (SELECT sensor, run FROM sensor_run FINAL WHERE kind = 'replay' AND state = 'finished' AND empty(dropped))";

/// Files by what they are of, with what tells the whole ones from others.
#[derive(Debug, Default)]
struct Files(BTreeMap<Key, (File, Option<Print>)>);

impl Files {
    fn get(&mut self, sensor: &str, run: &str, path: &str) -> &mut (File, Option<Print>) {
        let key = (sensor.to_owned(), run.to_owned(), path.to_owned());
        let file = |(sensor, run, path): &Key| File {
            sensor: sensor.clone(),
            run: run.clone(),
            path: path.clone(),
            ..File::default()
        };
        self.0.entry(key).or_insert_with_key(|key| (file(key), None))
    }

    /// Whether a whole file of this sensor and path begins with this very frame and goes on for as long at least.
    fn is_begun(&self, row: &CutOffRow) -> bool {
        self.0.iter().any(|((sensor, run, path), (_, print))| {
            (sensor, path) == (&row.sensor, &row.source)
                && *run != row.run
                && print.is_some_and(|(first, last, ..)| first == row.since && last >= row.until)
        })
    }

    /// Takes in what runs saw that did not come to their end; `repeated` are those of which whole runs have every row.
    fn cut_off(
        &mut self,
        rows: &[CutOffRow],
        repeated: &BTreeSet<Key>,
        at: Timestamp,
        notes: &mut Vec<String>,
    ) {
        let key = |row: &CutOffRow| (row.sensor.clone(), row.run.clone(), row.source.clone());
        for row in rows {
            if let Some((_, print)) = self.0.get_mut(&key(row)) {
                *print = None;
            }
        }
        let mut told: Option<(&str, &str)> = None;
        for row in rows {
            let state = if row.state.is_empty() { "said nothing of itself" } else { row.state.as_str() };
            let reason = format!("replay {} of it is not whole ({state})", row.run);
            let run = (row.sensor.as_str(), row.run.as_str());
            if told.replace(run) != Some(run) {
                notes.push(format!("sensor {}: {reason}: that it shows nothing proves nothing", row.sensor));
            }
            let is_known = repeated.contains(&key(row)) || self.is_begun(row);
            if is_known || row.since == 0 {
                self.0.remove(&key(row));
                continue;
            }
            let (file, _) = self.get(&row.sensor, &row.run, &row.source);
            let (from, to) = (Timestamp(row.since), Timestamp(row.until.min(at.0)));
            file.claimed = Some((from, to));
            file.lost.push(Loss { server: None, from, to, reason });
        }
    }

    /// Each file once, in order of sensors.
    fn once(self) -> Vec<File> {
        let mut known: BTreeMap<(String, String, Print), usize> = BTreeMap::new();
        let mut all: Vec<File> = Vec::new();
        for (file, print) in self.0.into_values() {
            let next = all.len();
            let place = print.map_or(next, |print| {
                *known.entry((file.sensor.clone(), file.path.clone(), print)).or_insert(next)
            });
            match all.get_mut(place) {
                Some(same) => same.adopt(file),
                None => all.push(file),
            }
        }
        all
    }
}

impl File {
    /// Takes over what another run says of the same file: what either saw is in it, and what either lost nobody knows.
    fn adopt(&mut self, other: Self) {
        self.seen.extend(other.seen);
        self.seen.sort_unstable();
        for loss in other.lost {
            if !self.lost.contains(&loss) {
                self.lost.push(loss);
            }
        }
        self.servers.extend(other.servers);
        self.servers.sort_unstable();
        self.servers.dedup();
    }
}

/// What runs have of files that did not come to their end, where whole runs have intervals that begin with the very same frames.
async fn repeated(
    client: &Client,
    statement: Statement,
    of_replays: &str,
) -> Result<BTreeSet<Key>, ReadError> {
    let shown = format!("{of_replays} AND server = '' AND isNotNull(first)");
    let begins = "toUnixTimestamp64Nano(assumeNotNull(first))";
    let sql = format!(
        "SELECT sensor, run, source FROM (SELECT sensor, run, source, interval, min({begins}) AS begins \
         FROM coverage WHERE {shown} AND NOT {WHOLE} GROUP BY sensor, run, source, interval) \
         GROUP BY sensor, run, source HAVING min((sensor, source, interval, begins) IN (SELECT sensor, source, interval, {begins} \
         FROM coverage WHERE {shown} AND {WHOLE} \
         AND (sensor, source) IN (SELECT sensor, source FROM coverage WHERE {of_replays} AND NOT {WHOLE}))) = 1"
    );
    let rows: Vec<KeyRow> = all(client, "runs", statement.with_sql(sql)).await?;
    Ok(rows.into_iter().map(|row| (row.sensor, row.run, row.source)).collect())
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
    let statement = |sql: String| parameters.clone().with_sql(sql);
    let in_time = "interval <= toDateTime({until:UInt32}, 'UTC')";
    let of_replays = format!("kind = 'replay' AND {in_time}{whose}");
    let keys = "sensor, run, source";
    let mut files = Files::default();
    // What tells a file from others is of all of it, whatever is looked at.
    let nanos = |moment: &str| format!("toUInt64(ifNull(toUnixTimestamp64Nano({moment}), 0))");
    let sql = format!(
        "SELECT {keys}, \
         groupUniqArrayIf(toString(server), server != '' AND messages > 0 AND {in_time}) AS servers, \
         ({}, {}, toUInt64(sumIf(frames, server = '')), toUInt64(sumIf(octets, server = ''))) AS print FROM coverage \
         WHERE kind = 'replay'{whose} GROUP BY {keys} HAVING countIf(isNotNull(first) AND {in_time}) > 0 ORDER BY {keys}",
        nanos("minIf(first, server = '')"),
        nanos("maxIf(last, server = '')"),
    );
    let rows: Vec<FileRow> = all(client, "files", statement(sql)).await?;
    for row in rows {
        let (file, print) = files.get(&row.sensor, &row.run, &row.source);
        file.servers = row.servers.iter().filter_map(|text| address(text)).collect();
        file.servers.sort_unstable();
        *print = (row.print.0 > 0).then_some(row.print);
    }
    let sql = format!(
        "SELECT {keys}, toUInt64(min(since)) AS since, toUInt64(max(until)) AS until FROM (\
         SELECT *, sum(since > known + {{silence:Int64}}) OVER (PARTITION BY {keys} ORDER BY since, until \
         ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS island FROM (\
         SELECT *, max(until) OVER (PARTITION BY {keys} ORDER BY since, until \
         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS known FROM (\
         SELECT {keys}, (arrayJoin(if(last_at - first_at > {{silence:Int64}}, [(first_at, first_at), (last_at, last_at)], \
         [(first_at, last_at)])) AS ends).1 AS since, ends.2 AS until FROM (\
         SELECT {keys}, toUnixTimestamp64Nano(assumeNotNull(first)) AS first_at, toUnixTimestamp64Nano(assumeNotNull(last)) AS last_at \
         FROM coverage WHERE {of_replays} AND server = '' AND isNotNull(first) AND {WHOLE})))) \
         GROUP BY {keys}, island ORDER BY {keys}, since"
    );
    let rows: Vec<SpanRow> = all(client, "files", statement(sql)).await?;
    for row in rows.into_iter().filter(|row| row.since <= at.0) {
        let (file, _) = files.get(&row.sensor, &row.run, &row.source);
        file.seen.push((Timestamp(row.since), Timestamp(row.until.min(at.0))));
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
        "SELECT {keys}, its.state AS state, {} AS since, {} AS until \
         FROM coverage LEFT JOIN (SELECT sensor, run, if(empty(dropped), toString(state), 'rows were dropped') AS state FROM sensor_run FINAL) AS its USING (sensor, run) \
         WHERE {of_replays} AND NOT {WHOLE} GROUP BY {keys}, state ORDER BY {keys}",
        nanos("min(first)"),
        nanos("max(last)"),
    );
    let rows: Vec<CutOffRow> = all(client, "runs", statement(sql)).await?;
    if !rows.is_empty() {
        let repeated = repeated(client, statement(String::new()), &of_replays).await?;
        files.cut_off(&rows, &repeated, at, notes);
    }
    let mut losses = Losses::default();
    losses.read(client, statement(Losses::sql(&format!("{of_replays} AND {WHOLE}"))), at).await?;
    for ((sensor, run, source), lost) in losses.by_source {
        let key = (sensor, run, source);
        if let Some((file, _)) = files.0.get_mut(&key) {
            file.lost.extend(lost);
            continue;
        }
        // What was lost on the way to ClickHouse is of no file, and so of all of the run; and so is what a file lost that shows no frame.
        let of_run = files.0.iter_mut().filter(|(of, _)| (&of.0, &of.1) == (&key.0, &key.1));
        of_run.for_each(|(_, (file, _))| file.lost.extend(lost.iter().cloned()));
    }
    Ok((files.once(), losses.unread))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: Print = (100, 900, 7, 700);

    fn files(all: &[(&str, &str, Option<Print>)]) -> Files {
        let mut files = Files::default();
        for (number, &(run, path, print)) in all.iter().enumerate() {
            let (file, its) = files.get("tap", run, path);
            file.seen.push((Timestamp(100), Timestamp(900)));
            file.servers.push(Ipv6Addr::from_bits(number as u128 % 2));
            *its = print;
        }
        files
    }

    fn told(files: Files) -> Vec<(String, String, usize)> {
        files.once().into_iter().map(|file| (file.run, file.path, file.servers.len())).collect()
    }

    #[test]
    fn only_the_very_same_is_one_file() {
        let same = files(&[("b", "-", Some(PRINT)), ("a", "-", Some(PRINT)), ("c", "-", Some(PRINT))]);
        assert_eq!(told(same), [("a".into(), "-".into(), 2)]);
        for other in [(99, 900, 7, 700), (100, 901, 7, 700), (100, 900, 8, 700), (100, 900, 7, 701)] {
            assert_eq!(
                told(files(&[("a", "-", Some(PRINT)), ("b", "-", Some(other))])).len(),
                2,
                "{other:?}"
            );
        }
        assert_eq!(told(files(&[("a", "x", Some(PRINT)), ("b", "y", Some(PRINT))])).len(), 2);
        assert_eq!(told(files(&[("a", "x", None), ("b", "x", None)])).len(), 2);
    }

    #[test]
    fn what_either_run_of_a_file_lost_is_lost() {
        let mut same = files(&[("a", "x", Some(PRINT)), ("b", "x", Some(PRINT))]);
        let loss =
            |to| Loss { server: None, from: Timestamp(5), to: Timestamp(to), reason: "damaged".into() };
        same.get("tap", "a", "x").0.lost = vec![loss(6)];
        same.get("tap", "b", "x").0.lost = vec![loss(6), loss(7)];
        assert_eq!(same.once()[0].lost, [loss(6), loss(7)]);
    }

    #[test]
    fn a_run_that_was_cut_off_is_of_a_whole_file_only_when_that_begins_alike() {
        let row = |since, until| CutOffRow {
            sensor: "tap".into(),
            run: "cut".into(),
            source: "x".into(),
            state: "running".into(),
            since,
            until,
        };
        let cut_off = |path, row: CutOffRow, repeated: &[Key]| {
            let mut files = files(&[("whole", path, Some(PRINT)), ("cut", "x", Some(PRINT))]);
            files.get("tap", "cut", "x").0.seen.clear();
            let mut notes = Vec::new();
            files.cut_off(&[row], &repeated.iter().cloned().collect(), Timestamp(1_000), &mut notes);
            assert_eq!(notes.len(), 1);
            let files = files.once();
            files.into_iter().find(|file| file.run == "cut").map(|file| (file.claimed, file.lost.len()))
        };
        assert_eq!(cut_off("x", row(100, 900), &[]), None);
        assert_eq!(cut_off("x", row(100, 300), &[]), None);
        let stays = |since, until| Some((Some((Timestamp(since), Timestamp(until))), 1));
        assert_eq!(cut_off("x", row(100, 901), &[]), stays(100, 901));
        assert_eq!(cut_off("x", row(101, 300), &[]), stays(101, 300));
        assert_eq!(cut_off("y", row(100, 300), &[]), stays(100, 300));
        assert_eq!(cut_off("x", row(101, 300), &[("tap".into(), "cut".into(), "x".into())]), None);
    }
}
