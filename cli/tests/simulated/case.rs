//! One migration in files, and `lowtide drain` on it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use lowtide_proto::Timestamp;
use lowtide_simulator::check::hindsight;
use lowtide_simulator::write::{Format, write};
use lowtide_simulator::{HOUR, Parameters};
use serde_json::Value;
use tempfile::TempDir;

use crate::Tried;
use crate::holes::Holes;

pub const SECOND: u64 = 1_000_000_000;

/// A migration in files.
pub struct Case {
    pub name: String,
    pub folder: TempDir,
    pub files: Vec<PathBuf>,
    /// `truth.json`.
    pub truth: Value,
    pub holes: Holes,
    /// When it was judged, in order; the last is the end of the evidence.
    pub moments: Vec<Timestamp>,
    /// What lowtide said then.
    pub reports: Vec<Value>,
    parameters: Parameters,
}

impl Case {
    /// Writes a migration, and lets lowtide judge it.
    #[track_caller]
    pub fn write(parameters: Parameters, format: Format) -> Self {
        let folder = TempDir::new().unwrap();
        let name = format!("{} {} {format:?}", parameters.scenario, parameters.seed);
        let files = write(parameters.clone(), folder.path(), format).unwrap().files;
        let truth: Value =
            serde_json::from_slice(&fs::read(folder.path().join("truth.json")).unwrap()).unwrap();
        let holes = Holes::new(&truth);
        let moments = moments(&parameters);
        let mut case = Self { name, folder, files, truth, holes, moments, reports: Vec::new(), parameters };
        case.reports = case.moments.iter().map(|&at| case.drain(at)).collect();
        case
    }

    /// What the simulation was made of.
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    #[track_caller]
    fn drain(&self, at: Timestamp) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
            .args(["drain", "--quiet", "--json", "--max-silence", "30m", "--at", &text(at), "--config"])
            .arg(self.folder.path().join("lowtide.toml"))
            .args(&self.files)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
        let migration = &report["migrations"][0];
        let exit = match migration["verdict"].as_str() {
            Some("drained") => 0,
            Some("unknown") => 4,
            _ => 3,
        };
        assert_eq!(output.status.code(), Some(exit), "{}: {said}", self.name);
        migration.clone()
    }

    /// Compares the verdicts with those on the same messages in memory.
    #[track_caller]
    pub fn compare(&self, tried: &mut Tried) {
        let in_memory = hindsight(&self.parameters, &self.moments);
        let is_still = self.parameters.background_per_hour == 0.0;
        let is_blind = self.holes.are_beyond_files();
        tried.still += usize::from(is_still);
        tried.blind += usize::from(is_blind);
        for ((&at, of_files), in_memory) in self.moments.iter().zip(&self.reports).zip(in_memory) {
            // By way of the text, as the other: reading a number may change its last digit.
            let in_memory: Value = serde_json::from_str(&serde_json::to_string(&in_memory).unwrap()).unwrap();
            let what = format!("{} at {}", self.name, text(at));
            let servers = of_files["servers"].as_array().unwrap().iter();
            let others = in_memory["servers"].as_array().unwrap();
            assert_eq!(servers.len(), others.len(), "{what}");
            for (server, other) in servers.zip(others) {
                tried.compared += 1;
                // What was asked is in files whatever they prove.
                for key in ["zone", "address", "queries", "queries_set_apart", "last_query", "wanted"] {
                    assert_eq!(server[key], other[key], "{what}: {key}");
                }
                let (said, expected) = (server["verdict"].as_str(), other["verdict"].as_str());
                if is_still {
                    // Nobody looked, as far as the files can tell.
                    assert!(
                        said == Some("unknown") || said == expected,
                        "{what}: {}\nin memory: {}",
                        brief(server),
                        brief(other)
                    );
                } else if is_blind {
                    // Sensors know of more holes than files show, and so say less.
                    tried.less += usize::from(said != expected);
                    assert!(
                        said == expected || expected != Some("drained"),
                        "{what}: {}\nin memory: {}",
                        brief(server),
                        brief(other)
                    );
                } else {
                    tried.same += 1;
                    assert_eq!(said, expected, "{what}: {}\nin memory: {}", brief(server), brief(other));
                }
            }
            if !is_still && self.holes.are_none() && at != *self.moments.last().unwrap() {
                tried.whole += 1;
                let difference = difference(&without_cover(of_files.clone()), &without_cover(in_memory));
                assert_eq!(difference, None, "{what}");
            }
        }
    }
}

/// The report without what it says of who watched: a file is a source of another name, and saw from its first frame to its last. Where it
/// was blind in between, the horizon is different, too: it was so from the last frame to the next. At the very end of the evidence the quiet
/// period is that of the last frame.
fn without_cover(mut report: Value) -> Value {
    let strip = |reasons: &mut Value| {
        let reasons = reasons.as_array_mut().unwrap();
        for reason in reasons.iter_mut().filter(|reason| reason["code"] == "hole") {
            reason["text"] = Value::Null;
        }
        reasons.dedup();
    };
    strip(&mut report["reasons"]);
    for server in report["servers"].as_array_mut().unwrap() {
        strip(&mut server["reasons"]);
        for key in ["coverage", "rate_upper_bound_95"] {
            server.as_object_mut().unwrap().remove(key);
        }
    }
    report
}

/// What a report says of a zone and server, without who asked.
pub fn brief(server: &Value) -> String {
    let keys =
        ["zone", "address", "verdict", "last_query", "queries", "queries_set_apart", "reasons", "coverage"];
    keys.map(|key| format!("\n  {key}: {}", server[key])).concat()
}

/// The first place at which two reports differ.
fn difference(one: &Value, other: &Value) -> Option<String> {
    let at = |key: &str, one: Option<&Value>, other: Option<&Value>| {
        let (one, other) = (one.unwrap_or(&Value::Null), other.unwrap_or(&Value::Null));
        difference(one, other).map(|rest| format!("/{key}{rest}"))
    };
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            one.keys().chain(other.keys()).find_map(|key| at(key, one.get(key), other.get(key)))
        }
        (Value::Array(one), Value::Array(other)) => (0..one.len().max(other.len()))
            .find_map(|number| at(&number.to_string(), one.get(number), other.get(number))),
        _ => (one != other).then(|| format!(": {one} in files, {other} in memory")),
    }
}

/// Before the cutover, soon after it, midway, while scenarios' sensors are blind, and at the end of the evidence.
fn moments(of: &Parameters) -> Vec<Timestamp> {
    let (cutover, end) = (of.plan.cutover, of.length);
    let seconds = [cutover - 3 * HOUR, cutover + 5 * HOUR + 11, cutover.midpoint(end), end - 12 * HOUR, end];
    seconds.map(|seconds| of.at(seconds)).to_vec()
}

/// A moment in RFC 3339 form, as lowtide writes it.
pub fn text(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_nanosecond(i128::from(time.0)).unwrap();
    format!("{time:.9}")
}

/// A moment of a report or of the truth; `None` where it is null.
#[track_caller]
pub fn time(of: &Value) -> Option<Timestamp> {
    let time: jiff::Timestamp = of.as_str()?.parse().unwrap();
    Some(Timestamp(time.as_nanosecond().try_into().unwrap()))
}
