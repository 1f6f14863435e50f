//! Replayed captures: the verdict out of ClickHouse is that of the files themselves.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::craft::Capture;
use crate::recorded::database;
use crate::support::{Database, skipped};

pub const OLD: [u8; 4] = [192, 0, 2, 53];
pub const NEW: [u8; 4] = [198, 51, 100, 53];
pub const CLIENT: [u8; 4] = [203, 0, 113, 77];

pub const PLAN: &str = "[[migration]]\nname = 'm'\nzones = ['corp.example']\nold = ['192.0.2.53']\nnew = ['198.51.100.53']\n\
    cutover = '2026-03-01T01:00:00Z'\nparent_ns_ttl = '1h'\nquiet_period = '2h'\nnew_verified = true\n";

fn lowtide(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lowtide")).current_dir(folder).args(args).output().unwrap()
}

pub fn replay(folder: &Path, database: &Database, plan: &str, sensor: &str, files: &[&str]) {
    let url = database.url();
    let args = ["replay", "--quiet", "--json", "--config", plan, "--clickhouse", &url, "--sensor", sensor];
    let output = lowtide(folder, &[&args, files].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The verdict of files and that out of ClickHouse, with the exit codes.
pub fn both(
    folder: &Path,
    database: &Database,
    plan: &str,
    files: &[&str],
    more: &[&str],
) -> [(Option<i32>, Value); 2] {
    let url = database.url();
    let from_files = [&["drain", "--quiet", "--json", "--config", plan], more, files].concat();
    let from_rows = [&["drain", "--json", "--config", plan, "--clickhouse", &url], more].concat();
    [from_files, from_rows].map(|args| {
        let output = lowtide(folder, &args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.stdout.is_empty(), "{said}");
        let report = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), report)
    })
}

/// What has to be the same: moments, verdicts, queries and last queries, clients with theirs but for the names that they asked for, what was watched.
fn told(report: &Value) -> Value {
    let mut told = Vec::new();
    for migration in report["migrations"].as_array().unwrap() {
        let mut servers = Vec::new();
        for server in migration["servers"].as_array().unwrap() {
            let mut clients: Vec<Value> = server["residual_clients"].as_array().unwrap().clone();
            clients.sort_by_key(|client| client["address"].as_str().unwrap().to_owned());
            // Rows of clients do not tell of names.
            for client in clients.iter_mut().filter_map(Value::as_object_mut) {
                client.retain(|key, _| !["last_qname", "last_qtype"].contains(&key.as_str()));
            }
            let gaps: Vec<Value> = server["coverage"]["gaps"]
                .as_array()
                .unwrap()
                .iter()
                .map(|gap| serde_json::json!([gap["from"], gap["to"]]))
                .collect();
            servers.push(serde_json::json!([
                server["address"],
                server["zone"],
                server["verdict"],
                server["queries"],
                server["last_query"],
                server["classes"],
                clients,
                gaps,
                server["coverage"]["fraction"],
            ]));
        }
        let migration = serde_json::json!([
            migration["name"],
            migration["verdict"],
            migration["quiet_since"],
            migration["quiet_required_s"],
            servers,
            migration["new_servers"],
        ]);
        told.push(migration);
    }
    serde_json::json!([report["evaluated_at"], told])
}

#[test]
fn a_recording_of_real_servers_is_judged_as_its_file_is() {
    if skipped() {
        return;
    }
    let database = database();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    replay(&folder, &database, "migration.toml", "lab", &["migration.pcapng.zst"]);
    let [(code, files), (stored_code, rows)] =
        both(&folder, &database, "migration.toml", &["migration.pcapng.zst"], &[]);
    assert_eq!(code, Some(3));
    assert_eq!(stored_code, code);
    assert_eq!(told(&rows), told(&files));
}

fn captures(folder: &Path) {
    let names = [(5, "www.corp.example"), (42, "CORP.example"), (90, "api.corp.example")];
    let asked = names.into_iter().fold(Capture::default(), |capture, (minute, name)| {
        capture.ask(minute, CLIENT, OLD, name).ask(minute + 1, CLIENT, NEW, name)
    });
    for (name, capture) in
        [("whole/a.pcap", asked.clone().alive(0, 360)), ("gap/a.pcap", asked.alive(0, 300).alive(330, 360))]
    {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        capture.write(&path, usize::MAX);
    }
    fs::write(folder.join("plan.toml"), PLAN).unwrap();
}

#[test]
fn silence_and_gaps_of_files_are_those_of_their_rows() {
    if skipped() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    captures(folder);
    for (file, expected) in [("whole/a.pcap", 0), ("gap/a.pcap", 4)] {
        let database = database();
        replay(folder, &database, "plan.toml", "tap", &[file]);
        let [(code, files), (stored_code, rows)] = both(folder, &database, "plan.toml", &[file], &[]);
        assert_eq!(
            (code, stored_code),
            (Some(expected), Some(expected)),
            "{file}: {}",
            rows["migrations"][0]["reasons"]
        );
        assert_eq!(told(&rows), told(&files), "{file}");
        // A run that says of itself that it is not at its end proves nothing.
        database.query(
            "INSERT INTO sensor_run SELECT * REPLACE (now64(9) AS updated, 'running' AS state) FROM sensor_run FINAL",
        );
        let [_, (code, rows)] = both(folder, &database, "plan.toml", &[file], &[]);
        assert_eq!(code, Some(4));
        assert!(rows.to_string().contains("is not whole (running)"), "{rows}");
    }
}

#[test]
fn an_interval_that_is_longer_than_a_silence_proves_none() {
    if skipped() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    captures(folder);
    let database = database();
    // The half hour without a frame is within one interval.
    replay(folder, &database, "plan.toml", "tap", &["--interval", "1h", "gap/a.pcap"]);
    let [(code, _), (stored_code, rows)] = both(folder, &database, "plan.toml", &["gap/a.pcap"], &[]);
    assert_eq!((code, stored_code), (Some(4), Some(4)), "{rows}");
    assert!(rows.to_string().contains("nobody looked"), "{rows}");
}

#[test]
fn what_files_lost_is_in_their_rows() {
    if skipped() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    captures(folder);
    let whole = fs::read(folder.join("whole/a.pcap")).unwrap();
    // A frame of twelve octets in the quiet period: a query whose octets nobody kept, at minute 355.
    let second = (crate::craft::MIDNIGHT as u32 + 355 * 60).to_le_bytes();
    let frame = [&second[..], &[0; 4], &12_u32.to_le_bytes(), &40_u32.to_le_bytes(), &[0x45; 12]].concat();
    let last = whole.len() - 2 * (16 + 28 + 12 + 23);
    let cut = [&whole[..last], &frame, &whole[last..]].concat();
    let damaged = whole[..whole.len() - 7].to_vec();
    for (name, octets, told) in [("cut", cut, "unreadable_frames 1"), ("damaged", damaged, "damaged for ")] {
        let file = format!("{name}.pcap");
        fs::write(folder.join(&file), octets).unwrap();
        let database = database();
        replay(folder, &database, "plan.toml", "tap", &["--lenient", &file]);
        let [(code, files), (stored_code, rows)] =
            both(folder, &database, "plan.toml", &[&file], &["--lenient"]);
        assert_eq!((code, stored_code), (Some(4), Some(4)), "{name}: {files} {rows}");
        assert!(rows.to_string().contains(told), "{rows}");
    }
}

#[test]
fn a_replay_that_was_not_told_of_the_migration_proves_nothing() {
    if skipped() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    captures(folder);
    let database = database();
    replay(folder, &database, "plan.toml", "tap", &["whole/a.pcap"]);
    // The same traffic as another sensor has it, who was asked a little later.
    database.query("INSERT INTO coverage SELECT * REPLACE ('other' AS sensor) FROM coverage");
    database.query("INSERT INTO sensor_run SELECT * REPLACE ('other' AS sensor) FROM sensor_run FINAL");
    let verdict = |exit: i32| {
        let [_, (code, rows)] = both(folder, &database, "plan.toml", &["whole/a.pcap"], &[]);
        assert_eq!(code, Some(exit), "{}", rows["migrations"][0]["reasons"]);
        rows.to_string()
    };
    verdict(0);
    database.query(
        "INSERT INTO traffic_zone (interval, sensor, run, kind, server, role, transport, zone, queries)
         VALUES ('2026-03-01 05:30:00', 'other', 'r', 'replay', '192.0.2.53', 'wire', 'udp', 'corp.example.', 3)",
    );
    assert!(verdict(4).contains("this sensor was not told of it"));
}
