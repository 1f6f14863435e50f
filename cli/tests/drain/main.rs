//! `lowtide drain` over files: the verdict, its exit code, and that no hole in the evidence passes for silence.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests state their expectations by failing"
)]

mod craft;
mod dropped;
mod recording;
mod residual;
mod ttls;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use craft::Capture;

const OLD: [u8; 4] = [192, 0, 2, 53];
const NEW: [u8; 4] = [198, 51, 100, 53];
const CLIENT: [u8; 4] = [203, 0, 113, 77];

/// Cut over at 01:00, an hour of TTL, two hours of quiet.
const PLAN: &str = "[[migration]]\nname = 'm'\nzones = ['corp.example']\nold = ['192.0.2.53']\nnew = ['198.51.100.53']\n\
    cutover = '2026-03-01T01:00:00Z'\nparent_ns_ttl = '1h'\nquiet_period = '2h'\nnew_verified = true\n";

/// A folder with a plan and captures.
struct Case {
    folder: TempDir,
    plan: String,
}

impl Case {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), plan: PLAN.to_owned() }
    }

    /// The plan with something else in place of a part of it.
    fn with(plan: &str, other: &str) -> Self {
        assert!(PLAN.contains(plan));
        Self { plan: PLAN.replace(plan, other), ..Self::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, capture: Capture) -> &Self {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        capture.write(&path, usize::MAX);
        self
    }

    fn output(&self, args: &[&str]) -> Output {
        fs::write(self.path("plan.toml"), &self.plan).unwrap();
        Command::new(env!("CARGO_BIN_EXE_lowtide"))
            .current_dir(self.folder.path())
            .args(["drain", "--config", "plan.toml", "--quiet"])
            .args(args)
            .output()
            .unwrap()
    }

    /// The verdict and all codes and texts of the reasons.
    #[track_caller]
    fn verdict(&self, args: &[&str], exit: i32) -> (String, String) {
        let output = self.output(&[&["--json"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{said}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["schema"], "lowtide.drain/1");
        let migration = &report["migrations"][0];
        let reasons: Vec<String> = migration["reasons"]
            .as_array()
            .unwrap()
            .iter()
            .map(|reason| {
                format!("{}: {}", reason["code"].as_str().unwrap(), reason["text"].as_str().unwrap())
            })
            .collect();
        (migration["verdict"].as_str().unwrap().to_owned(), reasons.join("\n"))
    }

    #[track_caller]
    fn check(&self, args: &[&str], exit: i32, verdict: &str, reason: &str) {
        let (is, reasons) = self.verdict(args, exit);
        assert_eq!(is, verdict, "{reasons}");
        assert!(reasons.contains(reason), "{reasons}");
    }
}

/// Asked until 01:30; alive from midnight to 06:00.
fn drained() -> Capture {
    asked().alive(0, 360)
}

fn asked() -> Capture {
    let names = [(5, "www.corp.example"), (42, "CORP.example"), (90, "api.corp.example")];
    names.into_iter().fold(Capture::default(), |capture, (minute, name)| {
        capture.ask(minute, CLIENT, OLD, name).ask(minute + 1, CLIENT, NEW, name)
    })
}

#[test]
fn silence_that_was_watched_is_drained_and_exits_with_0() {
    let case = Case::new();
    case.file("a.pcap", drained());
    case.check(&["a.pcap"], 0, "drained", "quiet: 192.0.2.53 was asked nothing for corp.example. for 2 h");
    let output = case.output(&["a.pcap"]);
    let page = String::from_utf8(output.stdout).unwrap();
    for part in [
        "as of 2026-03-01 06:00:00 UTC · 1 input",
        "\n  drained  the old servers can be switched off\n",
        "✓ 192.0.2.53 was asked nothing",
        "cutover       2026-03-01 01:00:00 UTC",
        "last query    2026-03-01 01:30:00 UTC",
        "203.0.113.77",
        "100 %",
        "< 1.5/h",
        "to new",
    ] {
        assert!(page.contains(part), "{part} is missing in\n{page}");
    }
    // Once more at 05:00, and the same at moments before that.
    case.file("b.pcap", drained().ask(300, CLIENT, OLD, "www.corp.example"));
    case.check(&["b.pcap"], 3, "draining", "once in the last 2 h, at 2026-03-01T05:00:00");
    case.check(&["--at", "2026-03-01T04:59:00Z", "b.pcap"], 0, "drained", "quiet");
    case.check(&["--at", "2026-03-01T03:00:00Z", "b.pcap"], 3, "draining", "queries");
    case.check(&["--at", "2026-03-01T01:45:00Z", "b.pcap"], 3, "draining", "within-horizon");
    case.check(&["--at", "2026-03-01T00:50:00Z", "b.pcap"], 3, "active", "before-cutover");
}

#[test]
fn after_the_end_of_all_files_nobody_looked() {
    let case = Case::new();
    case.file("a.pcap", drained());
    case.check(
        &["--at", "2026-03-01T06:20:00Z", "a.pcap"],
        4,
        "unknown",
        "06:20:00.000000000Z: a.pcap: nobody looked",
    );
    // Evidence is always a little behind: the quiet period is then one that ended with it.
    case.check(&["--at", "2026-03-01T06:10:00Z", "a.pcap"], 0, "drained", "quiet");
    case.check(&["--at", "2027-03-01", "a.pcap"], 4, "unknown", "nobody looked");
}

#[test]
fn a_gap_is_unknown_and_named() {
    let case = Case::new();
    case.file("a.pcap", asked().alive(0, 250).alive(290, 360));
    let hole = "192.0.2.53 from 2026-03-01T04:10:00.000000000Z to 2026-03-01T04:50:00.000000000Z: a.pcap: nobody looked";
    case.check(&["a.pcap"], 4, "unknown", hole);
    // The silence was before the quiet period, or is one that is allowed.
    case.file("b.pcap", asked().alive(0, 100).alive(140, 400));
    case.check(&["b.pcap"], 0, "drained", "quiet");
    case.check(&["--max-silence", "40m", "a.pcap"], 0, "drained", "quiet");
    case.check(&["--max-silence", "9m", "b.pcap"], 4, "unknown", "hole");
}

#[test]
fn rotated_files_in_any_order_are_one_capture_and_other_folders_are_not() {
    let case = Case::new();
    let parts =
        [asked().alive(0, 110), Capture::default().alive(120, 230), Capture::default().alive(240, 360)];
    for (number, part) in parts.iter().enumerate() {
        case.file(&format!("tap/{number}.pcap"), part.clone())
            .file(&format!("{number}/a.pcap"), part.clone());
    }
    for order in [["0", "1", "2"], ["2", "0", "1"], ["1", "2", "0"]] {
        let files = order.map(|number| format!("tap/{number}.pcap"));
        case.check(&files.each_ref().map(String::as_str), 0, "drained", "quiet");
    }
    case.check(&["tap/0.pcap", "tap/2.pcap"], 0, "drained", "quiet");
    case.check(&["tap/0.pcap", "tap/1.pcap"], 0, "drained", "quiet");
    // The last one alone has never seen the server; with the first, the middle is missing when the quiet period has it.
    case.check(&["tap/2.pcap"], 4, "unknown", "no sensor has ever seen this server");
    case.check(&["--at", "2026-03-01T05:30:00Z", "tap/0.pcap", "tap/2.pcap"], 4, "unknown", "nobody looked");
    case.check(&["0/a.pcap", "1/a.pcap", "2/a.pcap"], 4, "unknown", "0/a.pcap: nobody looked");
}

#[test]
fn of_two_sensors_at_a_server_both_have_to_be_whole() {
    let case = Case::new();
    case.file("east/a.pcap", drained()).file("west/a.pcap", asked().alive(0, 300));
    case.check(&["east/a.pcap", "west/a.pcap"], 4, "unknown", "west/a.pcap: nobody looked");
    case.file("west/b.pcap", drained());
    case.check(&["east/a.pcap", "west/b.pcap"], 0, "drained", "quiet");
    // Side by side in one folder they cannot be one capture.
    fs::copy(case.path("west/b.pcap"), case.path("east/b.pcap")).unwrap();
    let said = String::from_utf8(case.output(&["east/a.pcap", "east/b.pcap"]).stderr).unwrap();
    assert!(said.contains("overlap in time"), "{said}");
}

#[test]
fn damage_is_unknown_and_fails_unless_lenient() {
    let case = Case::new();
    case.file("a.pcap", drained());
    let octets = fs::read(case.path("a.pcap")).unwrap();
    fs::write(case.path("cut.pcap"), &octets[..octets.len() - 5]).unwrap();
    case.check(&["cut.pcap"], 1, "unknown", "hole");
    case.check(&["--lenient", "cut.pcap"], 4, "unknown", "damaged at offset");
    let said = String::from_utf8(case.output(&["cut.pcap"]).stderr).unwrap();
    assert!(said.contains("cut.pcap: damaged at offset"), "{said}");
}

#[test]
fn what_the_snap_length_cut_may_have_been_a_query() {
    let case = Case::new();
    let asked_late = || drained().ask(300, CLIENT, OLD, "www.corp.example");
    for (snap, exit, verdict, reason) in [
        // The name is there, its type is not.
        (60, 3, "draining", "once in the last 2 h, at 2026-03-01T05:00:00"),
        (44, 4, "unknown", "queries whose name was not captured"),
        (30, 4, "unknown", "no sensor has ever seen this server"),
    ] {
        asked_late().write(&case.path("a.pcap"), snap);
        case.check(&["a.pcap"], exit, verdict, reason);
    }
    // All queries can be read, but no answer: the old server may have led resolvers back for a week.
    let path = case.path("b.pcap");
    drained().write(&path, 62);
    case.check(&["b.pcap"], 0, "drained", "quiet");
    let one_way = |capture: Capture| capture.without_answers_of(OLD);
    case.file("c.pcap", one_way(drained()));
    case.check(&["c.pcap"], 3, "draining", "caches may lead to the old servers until 2026-03-08T01:30:00");
}

#[test]
fn what_was_not_seen_at_all_is_unknown() {
    let case = Case::new();
    case.file("a.pcap", Capture::default());
    case.check(&["a.pcap"], 4, "unknown", "no-frame");
    case.check(&["--at", "2026-03-01T06:00:00Z", "a.pcap"], 4, "unknown", "hole");
    // Another zone's traffic, or a zone that nobody asks for.
    case.file("b.pcap", Capture::default().alive(0, 360));
    case.check(&["b.pcap"], 4, "unknown", "no sensor has ever seen this server");
    let other = Case::with("corp.example", "crop.example");
    other.file("a.pcap", drained());
    other.check(&["a.pcap"], 4, "unknown", "never-asked");
    // One old server of two is watched.
    let two = Case::with("old = ['192.0.2.53'", "old = ['192.0.2.53', '192.0.2.54'");
    two.file("a.pcap", drained());
    two.check(&["a.pcap"], 4, "unknown", "192.0.2.54 from");
}

#[test]
fn before_a_cutover_nothing_is_drained() {
    for plan in ["cutover = '2026-03-02T01:00:00Z'", "cutover = '2099-01-01T00:00:00Z'", "#"] {
        let case = Case::with("cutover = '2026-03-01T01:00:00Z'", plan);
        case.file("a.pcap", drained());
        case.check(&["a.pcap"], 3, "active", "cutover");
        case.file("b.pcap", Capture::default().ask(1, CLIENT, NEW, "corp.example").alive(0, 360));
        case.check(&["b.pcap"], 4, "unknown", "cutover");
    }
}

#[test]
fn addresses_are_the_same_however_they_are_written() {
    let case = Case::with("192.0.2.53", "ns1.old.example=::ffff:192.0.2.53");
    case.file("a.pcap", drained());
    case.check(&["a.pcap"], 0, "drained", "192.0.2.53 was asked nothing");
    let same = Case::with("198.51.100.53", "::ffff:c000:235");
    same.file("a.pcap", drained());
    let output = same.output(&["a.pcap"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    assert!(
        said.contains("plan.toml:5:8: migration[0].new[0]: '192.0.2.53' is among the old servers"),
        "{said}"
    );
}

#[test]
fn own_monitors_do_not_keep_a_server_from_being_drained() {
    let monitored = || drained().ask(350, CLIENT, OLD, "www.corp.example");
    let case = Case::with("quiet_period", "set_apart = ['203.0.113.64/28']\nquiet_period");
    case.file("a.pcap", monitored());
    case.check(&["a.pcap"], 0, "drained", "quiet");
    let plain = Case::new();
    plain.file("a.pcap", monitored());
    plain.check(&["a.pcap"], 3, "draining", "queries");
    let near_zero = Case::with("quiet_period", "near_zero = 1\nquiet_period");
    near_zero.file("a.pcap", monitored());
    near_zero.check(&["a.pcap"], 0, "drained", "once (near_zero allows 1)");
}

#[test]
fn migrations_are_chosen_by_name_and_the_worst_decides() {
    let mut case = Case::new();
    case.plan.push_str(
        "[[migration]]\nname = 'other'\nzones = ['other.example']\nold = ['192.0.2.200']\ncutover = '2026-03-01T01:00:00Z'\n\
         parent_ns_ttl = '1h'\nquiet_period = '2h'\nnew_verified = true\n",
    );
    case.file("a.pcap", drained());
    case.check(&["a.pcap"], 3, "drained", "quiet");
    case.check(&["--migration", "m", "a.pcap"], 0, "drained", "quiet");
    case.check(&["--migration", "other", "a.pcap"], 3, "draining", "queries");
    let output = case.output(&["--migration", "nope", "a.pcap"]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("--migration nope: the configuration has m, other"), "{said}");
    for (args, exit) in
        [(&["no-such-file"][..], 1), (&["-", "-"], 2), (&["plan.toml"], 1), (&["--at", "soon", "a.pcap"], 2)]
    {
        assert_eq!(case.output(args).status.code(), Some(exit), "{args:?}");
    }
}

fn testdata(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(file)
}
