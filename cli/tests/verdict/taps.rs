//! Taps that were replayed under one sensor name, in runs of their own: no tap fills another's holes.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::craft::Capture;
use crate::recorded::database;
use crate::replayed::{CLIENT, NEW, OLD, PLAN};
use crate::support::{Database, skipped};

/// A database, and a folder with a plan and captures.
struct Case {
    database: Database,
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("plan.toml"), PLAN).unwrap();
        Self { database: database(), folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A capture that is alive from one minute to another, and shows old and new server at its beginning.
    fn capture(&self, file: &str, from: u64, to: u64) {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let name = "www.corp.example";
        let asked = Capture::default().ask(from, CLIENT, OLD, name).ask(from, CLIENT, NEW, name);
        asked.alive(from, to).write(&path, usize::MAX);
    }

    /// The same, with the old server beside others alone: in the quiet period nobody asks it for the zone.
    fn quiet(&self, file: &str, from: u64, to: u64) {
        let path = self.path().join(file);
        let other = "www.other.example";
        let asked = Capture::default().ask(from, CLIENT, OLD, other).ask(from, CLIENT, NEW, other);
        asked.alive(from, to).write(&path, usize::MAX);
    }

    /// Replays one file in a folder of the case, under a name that all taps share; `-` reads it from standard input.
    fn replay(&self, folder: &str, file: &str, more: &[&str]) {
        let folder = self.path().join(folder);
        let plan = self.path().join("plan.toml");
        let (name, input) = match file.strip_prefix("- ") {
            Some(file) => ("-", fs::File::open(folder.join(file)).unwrap().into()),
            None => (file, Stdio::null()),
        };
        let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
            .current_dir(&folder)
            .args(["replay", "--quiet", "--json", "--config", plan.to_str().unwrap(), "--sensor", "tap"])
            .args(["--clickhouse", &self.database.url()])
            .args(more)
            .arg(name)
            .stdin(input)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The verdict as of minute 360, by exit code.
    #[track_caller]
    fn check(&self, exit: i32, text: &str) {
        let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
            .current_dir(self.path())
            .args(["drain", "--json", "--config", "plan.toml", "--clickhouse", &self.database.url()])
            .args(["--at", "2026-03-01T06:00:00Z"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let reasons = &report["migrations"][0]["reasons"];
        assert_eq!(output.status.code(), Some(exit), "{reasons} {said}");
        assert!(reasons.to_string().contains(text) || said.contains(text), "{text}: {reasons} {said}");
    }
}

const WATCHED: &str = "all of it was watched";

#[test]
fn a_tap_that_lives_does_not_fill_the_time_of_one_that_is_dead() {
    if skipped() {
        return;
    }
    // Standard input has no run that is named.
    let named = |run: &'static str| if run.is_empty() { Vec::new() } else { vec!["--run", run] };
    for (file, east, west) in [("eth0.pcap", "east", "west"), ("- eth0.pcap", "", "")] {
        let case = Case::new();
        case.capture("east/eth0.pcap", 5, 360);
        case.capture("west/eth0.pcap", 5, 200);
        case.replay("east", file, &named(east));
        case.check(0, WATCHED);
        case.replay("west", file, &named(west));
        case.check(4, "(replayed): nobody looked");
        case.check(4, "are not the same file");
    }
    // One that begins when the other has ended may be another tap as well.
    let case = Case::new();
    case.capture("west/eth0.pcap", 5, 200);
    case.replay("west", "eth0.pcap", &["--run", "west"]);
    case.capture("east/eth0.pcap", 210, 360);
    case.quiet("east/eth0.pcap", 210, 360);
    case.replay("east", "eth0.pcap", &["--run", "east"]);
    case.check(4, "of run west (replayed): nobody looked");
}

#[test]
fn a_file_that_is_replayed_twice_is_one() {
    if skipped() {
        return;
    }
    for file in ["eth0.pcap", "- eth0.pcap"] {
        let case = Case::new();
        case.capture("east/eth0.pcap", 5, 360);
        case.replay("east", file, &[]);
        case.replay("east", file, &["--interval", "5m"]);
        case.check(0, WATCHED);
    }
}

#[test]
fn a_capture_that_was_rotated_may_be_replayed_file_by_file() {
    if skipped() {
        return;
    }
    let case = Case::new();
    case.capture("tap/1.pcap", 5, 120);
    case.quiet("tap/2.pcap", 130, 240);
    case.quiet("tap/3.pcap", 250, 360);
    for file in ["tap/2.pcap", "tap/1.pcap", "tap/3.pcap", "tap/2.pcap"] {
        case.replay("", file, &[]);
    }
    case.check(0, WATCHED);
    // One of them is another's.
    case.quiet("tap/2.pcap", 131, 241);
    case.replay("", "tap/2.pcap", &["--run", "other"]);
    case.check(4, "are not the same file");
}

/// Copies what was recorded up to a minute as a run that did not come to its end.
fn cut_off(case: &Case, run: &str, minute: u32, shift: &str) {
    case.database.query(&format!(
        "INSERT INTO coverage SELECT * REPLACE ('{run}' AS run, first + {shift} AS first) FROM (SELECT * FROM coverage
         WHERE run = 'whole' AND interval <= toDateTime('2026-03-01 00:00:00', 'UTC') + 60 * {minute})"
    ));
    case.database.query(&format!(
        "INSERT INTO sensor_run SELECT * REPLACE ('{run}' AS run, 'running' AS state)
         FROM (SELECT * FROM sensor_run FINAL WHERE run = 'whole')"
    ));
    assert_ne!(case.database.query(&format!("SELECT count() FROM coverage WHERE run = '{run}'")), "0");
}

#[test]
fn a_run_that_was_cut_off_does_no_harm_where_another_saw_all_of_the_same() {
    if skipped() {
        return;
    }
    let case = Case::new();
    case.capture("east/eth0.pcap", 5, 360);
    case.replay("east", "eth0.pcap", &["--run", "whole"]);
    cut_off(&case, "cut", 300, "0");
    case.check(0, WATCHED);
    // The frames of one minute are another tap's.
    cut_off(&case, "other", 100, "toIntervalMicrosecond(1)");
    case.check(4, "replay other of it is not whole (running)");
    case.check(4, "of run other (replayed): nobody looked");
}
