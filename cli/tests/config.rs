//! `lowtide check-config` as an operator meets it, and what `lowtide run` says of a configuration that is wrong.

#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Runs `lowtide` in a directory with `l.toml`, checks the exit code, and returns stdout and stderr.
#[track_caller]
fn check(contents: &str, args: &[&str], exit: i32) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("l.toml"), contents).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
        .current_dir(dir.path())
        .args(args)
        .stdin(Stdio::null())
        .env_remove("STATE_DIRECTORY")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(exit), "lowtide {}\n{out}\n{err}", args.join(" "));
    (out, err)
}

#[test]
fn the_shipped_file_is_right() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/lowtide.toml");
    let (out, err) = check("", &["check-config", shipped.to_str().unwrap()], 0);
    assert_eq!(err, "");
    for part in ["is right", "unix:/run/lowtide/dnstap.sock, mode 0660", "http://127.0.0.1:8123/lowtide"] {
        assert!(out.contains(part), "{part} is missing in:\n{out}");
    }
}

#[test]
fn what_would_run_is_said_in_short_and_without_a_password() {
    let (out, err) = check(
        "[sensor]\nname = 'ns1'\nzones = ['example.org']\nthreads = 2\n\
         [[dnstap]]\nlisten = 'tcp:127.0.0.1:6000'\n[[interface]]\nname = 'eth0'\nfilter = 'ip'\n\
         [clickhouse]\nurl = 'https://me:hunter2@ch.example/db'\n[spool]\ndir = '/tmp/spool'\nmax_age = '1h'\n\
         [privacy]\nclients = 'truncate'\n[metrics]\nlisten = 'off'\n",
        &["check-config", "l.toml"],
        0,
    );
    assert_eq!(
        out,
        "\
l.toml is right. What it runs:
  sensor      ns1: intervals of 60s, 10s late at most; 1 zone, 0 servers; port 53; 2 threads
  dnstap      tcp:127.0.0.1:6000, not encrypted; 64 senders at most
  interface   eth0, promiscuous, 262144 octets of a packet, a ring of 64MiB, 1 thread, filter 'ip'
  clickhouse  https://ch.example:8443/db as 'me'
  spool       /tmp/spool, 10GiB at most, for 3600s at most, then the oldest rows are dropped
  clients     addresses cut to /24 and /48
  process     stays the user that it is started as; seccomp and landlock; stops within 10s
  metrics     off
  log         text, info
"
    );
    assert_eq!(
        err,
        "lowtide: warning: l.toml:11:7: clickhouse.url: the password is seen by everybody who reads this file; \
         LOWTIDE_CLICKHOUSE_PASSWORD and clickhouse.password_file hide it\n"
    );
}

#[test]
fn every_fault_has_its_line() {
    let wrong =
        "[sensor]\nintervall = '60s'\nmax_rows = 0\n[[dnstap]]\nlisten = 'unix:/x'\nmode = '99\u{1b}[31m'\n";
    let expect = "\
lowtide: l.toml:2:1: sensor.intervall: there is no such key; did you mean interval?
lowtide: l.toml:3:12: sensor.max_rows: 0: must be a whole number from 1 to 1000000000
";
    // A control character is no TOML, so that the first of all is where it stands.
    let (out, err) = check(wrong, &["check-config", "l.toml"], 2);
    assert_eq!(out, "");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.starts_with("lowtide: l.toml:6:11: not TOML: ") && !err.contains('\u{1b}'), "{err:?}");
    for command in [&["check-config", "l.toml"][..], &["run", "--config", "l.toml"]] {
        let (out, err) = check(&wrong.replace("99\u{1b}[31m", "0660"), command, 2);
        assert_eq!((out.as_str(), err.as_str()), ("", expect));
    }
    // Written as an escape, it is shown as one.
    let (_, err) = check("[log]\nlevel = \"\\u001b[31m\"\n", &["check-config", "l.toml"], 2);
    assert!(err.contains(r"\u{1b}[31m") && !err.contains('\u{1b}'), "{err:?}");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    for command in [&["check-config", "none.toml"][..], &["run", "--config", "none.toml"]] {
        let (_, err) = check("", command, 2);
        assert_eq!(err, "lowtide: none.toml: cannot read it: No such file or directory\n");
    }
    let (_, err) = check("", &["check-config", "."], 2);
    assert_eq!(err, "lowtide: .: cannot read it: Is a directory\n");
}
