//! Replayed files that say themselves that packets were dropped: the rows say so as well.

use std::fs;

use tempfile::TempDir;

use crate::craft::{Capture, MIDNIGHT, statistics};
use crate::recorded::database;
use crate::replayed::{CLIENT, NEW, OLD, PLAN, both, replay};
use crate::support::skipped;

/// Microseconds of a minute after midnight.
const fn at(minute: u64) -> u64 {
    (MIDNIGHT + minute * 60) * 1_000_000
}

fn traffic() -> Capture {
    Capture::default()
        .ask(5, CLIENT, OLD, "www.corp.example")
        .ask(6, CLIENT, NEW, "www.corp.example")
        .ask(90, CLIENT, OLD, "api.corp.example")
        .alive(0, 360)
}

/// A folder with the plan.
fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("plan.toml"), PLAN).unwrap();
    folder
}

#[test]
fn what_files_say_was_dropped_is_in_their_rows() {
    if skipped() {
        return;
    }
    let folder = folder();
    let folder = folder.path();
    let whole = traffic().pcapng(None);
    let early = traffic().until(60).pcapng(None).len();
    // Five were dropped by 01:01, and these many by 06:01.
    let counted = |code, until| {
        let (first, last) = (statistics(at(61), &[(code, 5)]), statistics(at(361), &[(code, until)]));
        [&whole[..early], &first, &whole[early..], &last].concat()
    };
    for (octets, code, losses) in [
        (whole.clone(), 0, "[]"),
        (counted(5, 5), 0, r#"[["2026-03-01 01:01:00", {"interface_drop":5}]]"#),
        (
            counted(7, 12),
            4,
            r#"[["2026-03-01 01:01:00", {"kernel_drop":5}],["2026-03-01 06:00:00", {"kernel_drop":7}]]"#,
        ),
        (
            [&whole[..], &statistics(at(361), &[(5, 1)])].concat(),
            4,
            r#"[["2026-03-01 06:00:00", {"interface_drop":1}]]"#,
        ),
    ] {
        fs::write(folder.join("a.pcapng"), octets).unwrap();
        let database = database();
        replay(folder, &database, "plan.toml", "tap", &["a.pcapng"]);
        let rows = database.query(
            "SELECT toString(interval), sumMap(lost) AS losses FROM coverage WHERE server = '' \
             GROUP BY interval HAVING notEmpty(losses) ORDER BY interval FORMAT JSONCompactEachRow",
        );
        let rows = rows.lines().collect::<Vec<_>>().join(",");
        assert_eq!(format!("[{rows}]"), losses);
        let [(of_files, files), (of_rows, rows)] = both(folder, &database, "plan.toml", &["a.pcapng"], &[]);
        assert_eq!((of_files, of_rows), (Some(code), Some(code)), "{losses}: {files} {rows}");
        if code == 4 {
            let rows = rows.to_string();
            assert!(rows.contains("_drop ") && rows.contains("nobody knows what was lost"), "{rows}");
        }
    }
}

#[test]
fn a_file_in_which_nothing_is_left_is_a_loss_of_its_run() {
    if skipped() {
        return;
    }
    let folder = folder();
    let folder = folder.path();
    let whole = traffic().pcapng(None);
    // All that came between 05:01 and 05:09.
    let start = &whole[..28 + 20];
    let empty = [start, &statistics(at(301), &[(5, 0)]), &statistics(at(309), &[(5, 70)])].concat();
    fs::write(folder.join("a.pcapng"), &whole).unwrap();
    fs::write(folder.join("b.pcapng"), empty).unwrap();
    let database = database();
    replay(folder, &database, "plan.toml", "tap", &["a.pcapng", "b.pcapng"]);
    let [(of_files, files), (of_rows, rows)] =
        both(folder, &database, "plan.toml", &["a.pcapng", "b.pcapng"], &[]);
    assert_eq!((of_files, of_rows), (Some(4), Some(4)), "{files} {rows}");
    assert!(
        files.to_string().contains("from 2026-03-01T05:01:00.000000000Z to 2026-03-01T05:09:00.000000000Z"),
        "{files}"
    );
    assert!(files.to_string().contains("b.pcapng: 70 packets dropped by the interface"), "{files}");
    assert!(rows.to_string().contains("interface_drop 70"), "{rows}");
}
