//! The command line as a user meets it: exit codes, what stands on which stream, and errors in one line.

#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn lowtide(args: &[&str], stdin: Stdio) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lowtide"))
        .current_dir(testdata(""))
        .args(args)
        .stdin(stdin)
        .env("CLICOLOR", "1")
        .output()
        .unwrap()
}

fn testdata(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(file)
}

/// Runs `lowtide`, checks the exit code, and returns stdout and stderr.
#[track_caller]
fn check(args: &[&str], exit: i32) -> (String, String) {
    let output = lowtide(args, Stdio::null());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(exit), "lowtide {}\n{out}\n{err}", args.join(" "));
    (out, err)
}

#[test]
fn a_missing_file_is_named_in_one_line() {
    let (out, err) = check(&["replay", "no-such-file.pcap"], 1);
    assert_eq!(out, "");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.contains("no-such-file.pcap"), "{err}");
}

#[test]
fn usage_errors_exit_with_2() {
    for args in [
        &["replay", "--no-such-flag", "plain.pcap"][..],
        &["replay"],
        &["no-such-command"],
        &["replay", "--threads", "none", "plain.pcap"],
        &["replay", "--query-timeout", "soon", "plain.pcap"],
    ] {
        let (out, err) = check(args, 2);
        assert_eq!(out, "");
        assert!(!err.is_empty());
    }
}

#[test]
fn a_cut_file_is_counted_reported_and_failed_unless_lenient() {
    let size = fs::metadata(testdata("cut.pcap")).unwrap().len();
    let (out, err) = check(&["replay", "--json", "cut.pcap"], 1);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let damaged = &report["inputs"][0]["damaged"];
    let offset = damaged["offset"].as_u64().unwrap();
    assert!(offset > 24 && offset <= size, "{damaged}");
    assert!(damaged["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{damaged}");
    assert!(err.contains("cut.pcap") && err.contains(&offset.to_string()), "{err}");
    assert_eq!(check(&["replay", "--json", "--lenient", "cut.pcap"], 0).0, out);
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let (_, err) = check(&["replay", "record.sh"], 1);
    assert!(err.contains("record.sh"), "{err}");
}

#[test]
fn a_missing_file_among_others_is_named_before_anything_is_read() {
    let (out, err) = check(&["replay", "--json", "plain.pcap", "no-such-file.pcap"], 1);
    assert!(err.contains("no-such-file.pcap"), "{err}");
    assert!(out.is_empty(), "half a report could be taken for a whole one: {out}");
}

#[test]
fn a_dash_is_standard_input() {
    for file in ["plain.pcap", "plain.pcap.zst", "knot.dnstap.zst"] {
        let piped = lowtide(&["replay", "--json", "-"], Stdio::from(File::open(testdata(file)).unwrap()));
        assert_eq!(piped.status.code(), Some(0), "{file}: {}", String::from_utf8_lossy(&piped.stderr));
        let mut piped: serde_json::Value = serde_json::from_slice(&piped.stdout).unwrap();
        let mut named: serde_json::Value =
            serde_json::from_str(&check(&["replay", "--json", file], 0).0).unwrap();
        assert_eq!(piped["inputs"][0]["path"].take(), "-");
        assert_eq!(named["inputs"][0]["path"].take(), file);
        assert_eq!(piped, named, "{file}");
    }
}

#[test]
fn help_shows_examples() {
    for args in [&["--help"][..], &["replay", "--help"]] {
        let (out, err) = check(args, 0);
        assert!(out.contains("Examples") && out.contains("lowtide replay"), "{out}");
        assert_eq!(err, "");
    }
    assert!(check(&["--version"], 0).0.starts_with("lowtide "));
}

#[test]
fn there_is_no_colour_and_no_progress_off_a_terminal() {
    let (out, err) = check(&["replay", "migration.pcapng.zst"], 0);
    assert!(!out.contains('\u{1b}') && !err.contains('\u{1b}'), "{out}\n{err}");
    assert!(!out.contains('\r') && !err.contains('\r'), "{out}\n{err}");
    assert!(out.contains("NXDOMAIN") && out.contains("SERVFAIL"), "{out}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    use std::io::Read;

    let mut child = Command::new(env!("CARGO_BIN_EXE_lowtide"))
        .args(["replay", "--json"])
        .arg(testdata("migration.pcapng.zst"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    child.wait().unwrap();
    assert!(!err.contains("panicked"), "{err}");
}
