//! Migrations in a replay: the verdict is that of `lowtide drain`, and the rows in ClickHouse say what tshark says.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{Server, skipped};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

/// What a command on the recorded migration prints, and its exit code.
fn lowtide(args: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
        .current_dir(testdata(""))
        .args(args)
        .args(["--quiet", "--config", "migration.toml", "migration.pcapng.zst"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("error"), "{said}");
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

/// Rows of a query, tab-separated.
fn rows(server: &Server, database: &str, sql: &str) -> Vec<Vec<String>> {
    let text = server.request(sql).database(database).send().unwrap();
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

#[test]
fn a_replay_judges_as_drain_does() {
    let (drain, code) = lowtide(&["drain", "--json"]);
    assert_eq!(code, Some(3));
    let drain: Value = serde_json::from_str(&drain).unwrap();
    for threads in ["1", "3"] {
        let (report, code) = lowtide(&["replay", "--json", "--threads", threads]);
        assert_eq!(code, Some(0), "the exit code is that of a replay");
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["migrations"], drain["migrations"]);
    }
    let verdict = drain["migrations"][0]["verdict"].as_str().unwrap();
    let (page, _) = lowtide(&["replay"]);
    assert!(page.contains(&format!("\n  lab: {verdict}\n    · ")), "{page}");
    assert!(page.contains("'lowtide drain' tells more"), "{page}");
}

#[test]
fn a_file_without_migrations_says_ports_and_zones_alone() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("lowtide.toml");
    fs::write(&config, "[sensor]\nports = [54]\nzones = ['example.net']\n").unwrap();
    let replay = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
            .args(["replay", "--json", "--quiet"])
            .args(args)
            .arg(testdata("migration.pcapng.zst"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default(), said, output.status.code())
    };
    let (report, said, code) = replay(&["--config", config.to_str().unwrap()]);
    assert_eq!((said.as_str(), code), ("", Some(0)));
    assert_eq!(report["migrations"], json!([]));
    let known_by = |report: &Value| {
        let zones = report["zones"].as_array().unwrap();
        zones.iter().find(|zone| zone["zone"] == "example.net.").map(|zone| zone["known_by"].clone())
    };
    assert_eq!(known_by(&report), Some("configured".into()));
    assert_ne!(known_by(&replay(&[]).0), Some("configured".into()));
    fs::write(&config, "[[migration]]\nname = 'm'\n").unwrap();
    let (_, said, code) = replay(&["--config", config.to_str().unwrap()]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("lowtide.toml:1") && said.contains("zones"), "{said}");
}

#[test]
fn rows_say_who_asked_as_tshark_does() {
    if skipped() {
        return;
    }
    let server = Server::start();
    // Rows of seconds and of minutes add up to the same.
    for (database, interval) in [("seconds", "1s"), ("minutes", "60s")] {
        let url = server.url(database);
        let sensor = ["--clickhouse", &url, "--sensor", "tap", "--run", database, "--interval", interval];
        let (report, code) = lowtide(&[&["replay", "--json"], &sensor[..]].concat());
        assert_eq!(code, Some(0));
        let report: Value = serde_json::from_str(&report).unwrap();

        // Per zone, server and client: queries, the first and the last.
        let time = |of: &str| {
            format!("replaceOne(concat(toString({of}(IF), 'UTC'), 'Z'), ' ', 'T')").replace(
                "(IF)",
                &format!("If({}, queries > 0)", if of == "min" { "first_seen" } else { "last_seen" }),
            )
        };
        let sql = format!(
            "SELECT concat(zone, ' ', server), lowtideAddress(client), sum(queries) AS asked, {}, {} FROM drain WHERE migration = 'lab' \
             GROUP BY zone, server, client HAVING asked > 0 ORDER BY ALL",
            time("min"),
            time("max")
        );
        let expected: BTreeMap<String, Value> =
            serde_json::from_str(&fs::read_to_string(testdata("migration.drain.json")).unwrap()).unwrap();
        let mut seen: BTreeMap<String, serde_json::Map<String, Value>> = BTreeMap::new();
        for row in rows(&server, database, &sql) {
            let figures = json!([row[2].parse::<u64>().unwrap(), row[3], row[4]]);
            seen.entry(row[0].clone()).or_default().insert(row[1].clone(), figures);
        }
        for (key, expected) in &expected {
            let clients = seen.get(key).cloned().unwrap_or_default();
            assert_eq!(Value::from(clients), expected["clients"], "{database} {key}");
        }
        let queries: u64 = expected.values().map(|of| of["queries"].as_u64().unwrap()).sum();
        assert!(queries > 100, "{queries}");

        // What the files' own account says of all servers of the migration, of which none answers for another zone here.
        let totals =
            "SELECT server, sum(messages) FROM coverage WHERE server != '' GROUP BY server ORDER BY ALL";
        let mut covered: Vec<_> = report["servers"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|of| {
                let servers = ["192.0.2.10", "2001:db8::10", "192.0.2.20", "2001:db8::20"];
                servers.contains(&of["address"].as_str().unwrap())
            })
            .map(|of| {
                let messages = of["queries"].as_u64().unwrap() + of["responses"].as_u64().unwrap();
                vec![of["address"].as_str().unwrap().to_owned(), messages.to_string()]
            })
            .collect();
        covered.sort();
        assert_eq!(rows(&server, database, totals), covered);

        // What was served is what the verdict stands on: times and TTLs of each RRset.
        let sql = "SELECT min(first_seen) <= max(last_seen), count() > 0, countIf(rrtype = 'NS') > 0 FROM rrset WHERE zone = 'example.net.'";
        assert_eq!(rows(&server, database, sql), [["1", "1", "1"]]);
    }
    // Seconds and minutes have the same answers, TTLs and horizons.
    let served = |database| {
        let sql = "SELECT server, zone, owner, rrtype, section, digest, sum(answers), min(ttl_min), max(ttl_max), max(horizon), \
            min(first_seen), max(last_seen) FROM rrset GROUP BY server, zone, owner, rrtype, section, digest ORDER BY ALL";
        rows(&server, database, sql)
    };
    assert!(!served("seconds").is_empty());
    assert_eq!(served("seconds"), served("minutes"));
}
