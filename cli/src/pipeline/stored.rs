//! The wiring of `lowtide drain` over ClickHouse: rows of all sensors to evidence, and the verdict on it.

use std::path::{Path, PathBuf};

use lowtide_aggregate::drain::report::{Reason, SCHEMA};
use lowtide_aggregate::drain::{Cover, DrainReport, judge_located};
use lowtide_aggregate::summary::rfc3339;
use lowtide_proto::Timestamp;
use lowtide_store::read::drain::{File, Found, Loss, Question, evidence};
use lowtide_store::server::Server;

use super::sight::{self, Seen, Sight};
use super::{DrainOptions, Drained, nanos};
use crate::connection;
use crate::error::Error;
use crate::origin::Origins;

/// Judges the migrations by what ClickHouse has of these sensors, or of all; `now` is what the clock says; `origins` are
/// where addresses are.
///
/// # Errors
/// When ClickHouse cannot be asked, or its schema is of another version; a database of origins that is damaged.
pub fn stored(
    options: &DrainOptions,
    sensors: &[String],
    server: &Server,
    now: Timestamp,
    origins: &Origins,
) -> Result<Drained, Error> {
    let silence = nanos(options.max_silence);
    let migrations = &options.migrations;
    let question = Question { migrations, sensors, at: options.at, now, silence };
    let Found { at, evidence, untold, files, mut notes } = connection::block_on(evidence(server, &question))?;
    let (mut reports, mut verdicts) = (Vec::new(), Vec::new());
    let files = OfSensors::new(files, &mut notes);
    let mut untold = untold.into_iter();
    for (migration, mut evidence) in migrations.iter().zip(evidence) {
        files.cover(&mut evidence.cover, silence, &untold.next().unwrap_or_default());
        let (verdict, mut report) =
            judge_located(migration, &evidence, at.unwrap_or_default(), &|address| origins.locate(address));
        if at.is_none() {
            let text = "the database holds no coverage: nobody looked at any time".to_owned();
            report.reasons = vec![Reason { code: "no-coverage", text }];
        }
        verdicts.push(verdict);
        reports.push(report);
    }
    origins.whole()?;
    let report = DrainReport { schema: SCHEMA, evaluated_at: at.map(rfc3339), migrations: reports };
    Ok(Drained { report, verdicts, inputs: Vec::new(), notes })
}

/// Replayed files with the sources that they are of: the rule of files, for the files of each sensor.
struct OfSensors {
    files: Vec<File>,
    seen: Vec<Seen>,
    sources: sight::Sources,
}

impl OfSensors {
    fn new(files: Vec<File>, notes: &mut Vec<String>) -> Self {
        let seen: Vec<Seen> = files.iter().map(seen).collect();
        let mut sources = sight::Sources { names: Vec::new(), notes: Vec::new() };
        // Files are in order of their sensors.
        let mut rest = seen.as_slice();
        for of_sensor in files.chunk_by(|one, other| one.sensor == other.sensor) {
            let Some((its, others)) = rest.split_at_checked(of_sensor.len()) else { break };
            rest = others;
            let sensor = of_sensor.first().map_or("", |file| file.sensor.as_str());
            let runs: Vec<&str> = of_sensor.iter().map(|file| file.run.as_str()).collect();
            let found = sight::sources_of_runs(its, &runs);
            // A live source of the sensor may have a file's name.
            let names = found.names.into_iter().map(|name| format!("{sensor} {name} (replayed)"));
            sources.names.extend(names);
            notes.extend(found.notes.into_iter().map(|note| format!("sensor {sensor}: {note}")));
        }
        Self { files, seen, sources }
    }

    fn cover(&self, cover: &mut Cover, silence: u64, untold: &[(String, Loss)]) {
        sight::cover(cover, &self.seen, &self.sources, silence);
        for (file, name) in self.files.iter().zip(&self.sources.names) {
            for &server in &file.servers {
                cover.watches(name, server);
            }
            let untold = untold.iter().filter(|(sensor, _)| *sensor == file.sensor).map(|(_, loss)| loss);
            for loss in file.lost.iter().chain(untold) {
                cover.lost(name, loss.from, loss.to, &loss.reason);
            }
        }
    }
}

fn seen(file: &File) -> Seen {
    let path = PathBuf::from(&file.path);
    let mut sight = Sight::of(&file.seen, &file.servers);
    sight.claim(file.claimed);
    Seen { kind: kind(&path), damaged: None, dropped: Vec::new(), sight, path }
}

/// What the name says of the format, which rows do not tell: its ending, without that of a compression.
fn kind(path: &Path) -> String {
    let ending = |path: &Path| path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    match ending(path) {
        Some(packed) if ["gz", "zst", "xz", "bz2", "lz4"].contains(&packed.as_str()) => {
            ending(&path.with_extension("")).unwrap_or_default()
        }
        found => found.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_tells_its_kind() {
        for (path, expected) in [
            ("a/ns1.pcap.gz", "pcap"),
            ("ns1.PCAP", "pcap"),
            ("b/ns1.dnstap.zst", "dnstap"),
            ("-", ""),
            ("x.gz", ""),
        ] {
            assert_eq!(kind(Path::new(path)), expected, "{path}");
        }
    }
}
