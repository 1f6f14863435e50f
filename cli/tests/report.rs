//! `lowtide report` gives from ClickHouse what `lowtide replay` gave of the same traffic, says what it cannot know, and
//! answers for any range, filter and number of sensors.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::{Database, READER, Server, Setup, WRITER};

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

fn lowtide(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lowtide"))
        .current_dir(testdata(""))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A database with the schema.
fn database() -> Database {
    let database = Server::shared();
    let output = lowtide(&["schema", "--apply", "--clickhouse", &database.url()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    database
}

/// Replays files into a database; the report of it.
#[track_caller]
fn replay(database: &Database, sensor: &str, run: &str, files: &[&str]) -> Value {
    let url = database.url();
    let options = ["replay", "--json", "--clickhouse", &url, "--sensor", sensor, "--run", run];
    json_of(&lowtide(&[&options, files].concat()))
}

#[track_caller]
fn ask(database: &Database, options: &[&str]) -> Value {
    let url = database.url();
    json_of(&lowtide(&[&["report", "--json", "--clickhouse", &url], options].concat()))
}

/// The report of everything from 1970 on, by the minute.
#[track_caller]
fn report(database: &Database, options: &[&str]) -> Value {
    ask(database, &[&["--from", "1970-01-01", "--interval", "60s"], options].concat())
}

/// Notes where two reports differ in what both have.
fn compare(place: &str, replayed: &Value, read: &Value, differences: &mut Vec<String>) {
    match (replayed, read) {
        (Value::Object(replayed), Value::Object(read)) => {
            for (field, value) in read {
                match replayed.get(field) {
                    Some(other) => compare(&format!("{place}/{field}"), other, value, differences),
                    None => differences.push(format!("{place}/{field} is new")),
                }
            }
        }
        (Value::Array(replayed), Value::Array(read)) => {
            if replayed.len() != read.len() {
                differences.push(format!("{place} has {} elements, not {}", read.len(), replayed.len()));
            }
            for (at, (one, other)) in replayed.iter().zip(read).enumerate() {
                compare(&format!("{place}/{at}"), one, other, differences);
            }
        }
        _ if replayed == read => {}
        _ => differences.push(format!("{place} is {read}, not {replayed}")),
    }
}

/// That a report has all that rows can tell, with the values of a replay, and nothing that they cannot.
#[track_caller]
fn assert_same(replayed: &Value, read: &Value, but: &[&str]) {
    let mut read = read.clone();
    for field in ["source", "coverage"].iter().chain(but) {
        assert!(read.as_object_mut().unwrap().remove(*field).is_some(), "{field}");
    }
    let mut differences = Vec::new();
    compare("", replayed, &read, &mut differences);
    assert!(differences.is_empty(), "{}", differences.join("\n"));

    let untold =
        ["inputs", "frame_fates", "frame_defects", "reassembly", "opcodes", "migrations", "findings"];
    for (field, value) in replayed.as_object().unwrap() {
        let is_told = !untold.contains(&field.as_str()) && field != "coverage";
        assert!(!is_told || read.get(field).is_some() || but.contains(&field.as_str()), "{field} {value}");
    }
    for field in untold {
        assert!(read.get(field).is_none(), "{field} cannot be known");
    }
    for field in ["edns", "malformed", "cut", "cookie"] {
        assert!(read["messages"].get(field).is_none(), "{field} cannot be known");
    }
    assert!(read["transactions"].get("evicted").is_none());
}

#[test]
fn the_report_of_rows_is_the_report_of_the_replay() {
    if support::skipped() {
        return;
    }
    for files in [
        &["migration.pcapng.zst"][..],
        &["plain.pcap"],
        &["knot.dnstap.zst"],
        &["dnsdist.dnstap.zst"],
        &["bind-resolver.dnstap.zst"],
        &["unanswered.pcap", "duplicates.pcap", "truncation.pcap"],
        &["rotated-1.pcap", "rotated-2.pcapng"],
    ] {
        let database = database();
        let replayed = replay(&database, "ns1", "one", files);
        let read = report(&database, &[]);
        assert_same(&replayed, &read, &[]);
        let source = &read["source"];
        assert_eq!(source["url"], database.url(), "{files:?}");
        assert_eq!(
            (&source["seen"][0]["run"], &source["seen"][0]["state"]),
            (&json!("one"), &json!("finished"))
        );
        assert_eq!(source["gaps"], json!([]));
        let sum = |list: &Value, field: &str| -> u64 {
            list.as_array().unwrap().iter().map(|element| element[field].as_u64().unwrap()).sum()
        };
        assert_eq!(sum(&read["coverage"], "frames"), sum(&replayed["inputs"], "frames"), "{files:?}");
    }
}

#[test]
fn zones_that_are_learnt_on_the_way_add_up_all_the_same() {
    if support::skipped() {
        return;
    }
    let database = database();
    let replayed =
        replay(&database, "ns1", "one", &["names.pcap", "auth.pcap", "edns.pcap", "resolver.pcap"]);
    let read = report(&database, &[]);
    // A row has the zone that was known when its interval ended.
    assert_same(&replayed, &read, &["zones"]);
    for field in ["queries", "responses", "nxdomain", "servfail", "unanswered"] {
        let sum = |report: &Value| -> u64 {
            report["zones"].as_array().unwrap().iter().map(|zone| zone[field].as_u64().unwrap()).sum()
        };
        assert_eq!(sum(&replayed), sum(&read), "{field}");
    }
}

#[test]
fn sensors_and_runs_add_up_and_can_be_told_apart() {
    if support::skipped() {
        return;
    }
    let database = database();
    let one = replay(&database, "ns1", "monday", &["migration.pcapng.zst"]);
    let other = replay(&database, "ns2", "tuesday", &["plain.pcap"]);
    assert_same(&one, &report(&database, &["--sensor", "ns1"]), &[]);
    assert_same(&one, &report(&database, &["--run", "monday"]), &[]);
    assert_same(&other, &report(&database, &["--sensor", "ns2", "--run", "tuesday"]), &[]);
    let both = report(&database, &[]);
    for pointer in [
        "/messages/queries",
        "/messages/responses",
        "/transactions/answered",
        "/rcodes/NOERROR",
        "/rcodes/NXDOMAIN",
        "/qtypes/A",
        "/nodata",
        "/latency_us/count",
        "/transports/udp",
    ] {
        let number = |report: &Value| report.pointer(pointer).map_or(0, |value| value.as_u64().unwrap());
        assert_eq!(number(&both), number(&one) + number(&other), "{pointer}");
        assert!(number(&one) > 0 || number(&other) > 0, "{pointer}");
    }
    let ends = |end: &str| [&one, &other].map(|report| report["latency_us"][end].as_f64().unwrap());
    assert_eq!(both["latency_us"]["min"], ends("min")[0].min(ends("min")[1]));
    assert_eq!(both["latency_us"]["max"], ends("max")[0].max(ends("max")[1]));
    assert_eq!(both["source"]["seen"].as_array().unwrap().len(), 2);

    // Each sample twice: all counts double and no quantile moves.
    replay(&database, "ns3", "again", &["migration.pcapng.zst"]);
    let twice = report(&database, &["--sensor", "ns1", "--sensor", "ns3"]);
    assert_eq!(
        twice["messages"]["queries"].as_u64(),
        one["messages"]["queries"].as_u64().map(|number| number * 2)
    );
    for figure in ["min", "p50", "p90", "p95", "p99", "p999", "max"] {
        assert_eq!(twice["latency_us"][figure], one["latency_us"][figure], "{figure}");
    }
    assert_eq!(twice["distinct_qnames"], one["distinct_qnames"]);
    assert_eq!(twice["qnames"][0]["qname"], one["qnames"][0]["qname"]);
}

#[test]
fn filters_give_what_other_tools_count() {
    if support::skipped() {
        return;
    }
    let database = database();
    let replayed = replay(&database, "ns1", "one", &["migration.pcapng.zst"]);
    for zone in replayed["zones"].as_array().unwrap() {
        let read = report(&database, &["--zone", zone["zone"].as_str().unwrap()]);
        assert_eq!(read["messages"]["queries"], zone["queries"], "{zone}");
        assert_eq!(read["transactions"]["unanswered"], zone["unanswered"], "{zone}");
        assert_eq!(read["latency_us"], zone["latency_us"], "{zone}");
        assert_eq!(read["zones"].as_array().unwrap().len(), 1);
    }
    let expected = fs::read_to_string(testdata("migration.expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let names = expected["report"]["qnames"].as_array().unwrap();
    assert!(names.len() > 5);
    for name in names.iter().step_by(names.len() / 5) {
        let qname = name["qname"].as_str().unwrap();
        // As a person may write it.
        let typed = qname.trim_end_matches('.').to_uppercase();
        let read = report(&database, &["--name", &typed, "--top", "1000"]);
        let same = |other: &&Value| other["qtype"] == name["qtype"] && other["qname"] == name["qname"];
        let found = read["qnames"].as_array().unwrap().iter().find(same).unwrap();
        for (field, value) in name.as_object().unwrap().iter().filter(|(field, _)| *field != "latency_us") {
            assert_eq!(found[field], *value, "{qname} {field}");
        }
        assert_eq!(read["distinct_qnames"], 1, "{qname}");
    }
}

#[test]
fn lists_are_as_long_as_asked() {
    if support::skipped() {
        return;
    }
    let database = database();
    let url = database.url();
    for top in ["0", "3", "1000"] {
        let options =
            ["replay", "--json", "--clickhouse", &url, "--run", "one", "--sensor", "ns1", "--top", top];
        let replayed = json_of(&lowtide(&[&options[..], &["plain.pcap"]].concat()));
        assert_same(&replayed, &report(&database, &["--top", top]), &[]);
    }
}

/// Three days of minutes by a live sensor, with a hole in its coverage and a loss.
fn three_days(database: &Database) {
    database.query(
        "INSERT INTO traffic (interval, sensor, run, kind, server, role, transport, zone, qname, qtype, queries, responses, \
         answered, rcodes, latency, latency_sum_ns, latency_min_ns, latency_max_ns) \
         SELECT toDateTime('2024-03-01 00:00:00', 'UTC') + 60 * number, 'ns1', 'live-1', 'live', '192.0.2.1', 'wire', 'udp', \
         'example.', concat('n', toString(number % 7), '.example.'), 'A', 1 + number % 3 AS n, n, n, map('NOERROR', n), \
         map(toUInt16(number % 200), n), n * 1000 * (number % 200), 1000 * (number % 200), 1000 * (number % 200) \
         FROM numbers(3 * 1440)",
    );
    database.query(
        "INSERT INTO coverage (interval, sensor, run, kind, source, server, frames, octets, messages, first, last, heartbeats) \
         SELECT toDateTime('2024-03-01 00:00:00', 'UTC') + 60 * number AS at, 'ns1', 'live-1', 'live', 'eth0', '', 10, 1000, 2, \
         at, at + 59, 1 FROM numbers(3 * 1440) WHERE number NOT BETWEEN 600 AND 659",
    );
    database.query(
        "INSERT INTO coverage (interval, sensor, run, kind, source, server, lost) \
         SELECT toDateTime('2024-03-01 10:30:00', 'UTC'), 'ns1', 'live-1', 'live', 'eth0', '', map('kernel_drop', 1234)",
    );
    database.query(
        "INSERT INTO sensor_run (sensor, run, kind, updated, started, finished, state, inputs, interval_s) VALUES \
         ('ns1', 'live-1', 'live', '2024-03-04 00:00:00', '2024-03-01 00:00:00', '2024-03-04 00:00:00', 'finished', ['eth0', 'eth1'], 60)",
    );
}

#[test]
fn a_range_is_exact_whichever_tables_it_is_read_from() {
    if support::skipped() {
        return;
    }
    let database = database();
    three_days(&database);
    for (from, to) in [
        ("2024-03-01", "2024-03-04"),
        ("2024-03-02", "2024-03-03"),
        ("2024-03-01T23:00:00Z", "2024-03-03T01:00:00Z"),
        ("2024-03-01T22:59:00Z", "2024-03-03T01:01:00Z"),
        ("2024-03-01T22:59:30Z", "2024-03-03T01:00:30Z"),
        ("2024-03-02T12:00:00Z", "2024-03-02T12:01:00Z"),
        ("2024-03-02T13:30:00+01:00", "2024-03-02T12:45"),
    ] {
        let read = ask(&database, &["--from", from, "--to", to]);
        let (from, to) = (&read["source"]["from"], &read["source"]["to"]);
        let counted = database.query_rows(&format!(
            "SELECT sum(queries), max(latency_max_ns) / 1000, uniqExact(qname), \
             quantileExactWeightedArray(0.9)(mapKeys(latency), mapValues(latency)) \
             FROM traffic WHERE interval >= parseDateTimeBestEffort({from}, 'UTC') AND interval < parseDateTimeBestEffort({to}, 'UTC')"
        ).replace('"', "'"));
        let number = |at: usize| counted[0][at].parse::<f64>().unwrap();
        assert_eq!(read["messages"]["queries"].as_f64(), Some(number(0)), "{from} to {to}");
        assert_eq!(read["latency_us"]["max"].as_f64(), Some(number(1)), "{from} to {to}");
        assert_eq!(read["distinct_qnames"].as_f64(), Some(number(2)), "{from} to {to}");
        assert_eq!(read["latency_us"]["p90"].as_f64(), Some(number(3)), "{from} to {to}");
        for list in ["zones", "servers", "intervals"] {
            let queries =
                read[list].as_array().unwrap().iter().map(|element| element["queries"].as_f64().unwrap());
            assert_eq!(queries.sum::<f64>(), number(0), "{list}, {from} to {to}");
        }
        assert_eq!(read["notes"], json!([]));
    }
}

#[test]
fn what_nobody_saw_is_told() {
    if support::skipped() {
        return;
    }
    let database = database();
    three_days(&database);
    let range = ["--from", "2024-03-01", "--to", "2024-03-04"];
    let read = ask(&database, &range);
    assert_eq!(
        read["source"]["gaps"],
        json!([
            {"sensor": "ns1", "source": "eth0", "from": "2024-03-01T10:00:00.000000000Z", "to": "2024-03-01T11:00:00.000000000Z"},
            // Named by the run, and never heard of.
            {"sensor": "ns1", "source": "eth1", "from": "2024-03-01T00:00:00.000000000Z", "to": "2024-03-04T00:00:00.000000000Z"},
        ])
    );
    assert_eq!(read["coverage"][0]["lost"], json!({"kernel_drop": 1234}));
    assert_eq!(read["coverage"][0]["frames"], 10 * (3 * 1440 - 60));
    assert_eq!(read["coverage"][0]["first"], "2024-03-01T00:00:00.000000000Z");
    let url = database.url();
    let text = lowtide(&[&["report", "--clickhouse", &url], &range[..]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    for part in
        ["Coverage", "1,234 kernel_drop", "ns1 eth0: nobody looked from 2024-03-01 10:00:00 UTC", "(1 h)"]
    {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    assert!(!text.contains("known by") && !text.contains("EDNS"), "{text}");
    let none = report(&database, &["--sensor", "ns9"]);
    assert_eq!((&none["coverage"], &none["roles"]), (&json!([]), &json!([])));
}

#[test]
fn nothing_found_is_an_answer_and_says_where_there_is_something() {
    if support::skipped() {
        return;
    }
    let database = database();
    let url = database.url();
    let text = |options: &[&str]| {
        let output = lowtide(&[&["report", "--clickhouse", &url], options].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(text(&[]).contains("nothing was ever recorded"));
    three_days(&database);
    let elsewhere = text(&["--from", "2023-01-01", "--to", "2023-01-02"]).replace("\n  ", " ");
    assert!(elsewhere.contains("between 2024-03-01T00:00:00Z and 2024-03-04T00:00:00Z"), "{elsewhere}");
    assert!(
        text(&["--from", "2024-03-01", "--name", "no-such.example"]).contains("nothing was ever recorded")
    );
}

#[test]
fn what_cannot_be_answered_fails_in_one_line() {
    if support::skipped() {
        return;
    }
    let database = database();
    let url = database.url();
    let fails = |exit: i32, options: &[&str], words: &str| {
        let output = lowtide(&[&["report"], options].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(exit), "{options:?}: {error}");
        assert!(output.stdout.is_empty() && error.contains(words), "{options:?}: {error}");
        error
    };
    fails(2, &[], "--clickhouse");
    fails(2, &["--clickhouse", "ftp://x"], "not a ClickHouse URL");
    fails(2, &["--clickhouse", &url, "--from", "2024-03-02", "--to", "2024-03-01"], "is not before");
    fails(2, &["--clickhouse", &url, "--from", "2024-03-02", "--to", "2024-03-02"], "is not before");
    fails(2, &["--clickhouse", &url, "--from", "yesterday"], "2026-03-01T09:30:00Z");
    fails(2, &["--clickhouse", &url, "--interval", "500ms"], "whole seconds");
    fails(2, &["--clickhouse", &url, "--zone", "a..b"], "--zone");
    let nowhere = database.server().url("nowhere");
    assert_eq!(fails(1, &["--clickhouse", &nowhere], "no lowtide schema").lines().count(), 1);
    assert_eq!(fails(1, &["--clickhouse", "http://127.0.0.1:1/x"], "127.0.0.1:1").lines().count(), 1);
    database.query("INSERT INTO schema_version (version, applied_by) VALUES (99, 'a later lowtide')");
    fails(1, &["--clickhouse", &url], "use a newer lowtide");
}

#[test]
fn a_user_who_may_only_read_is_enough() {
    if support::skipped() {
        return;
    }
    let server = Server::with(Setup { users: true, ..Setup::default() });
    let url = server.url_as(WRITER, "dns");
    let replayed =
        json_of(&lowtide(&["replay", "--json", "--clickhouse", &url, "--run", "one", "plain.pcap"]));
    let options = ["report", "--json", "--from", "1970-01-01", "--interval", "60s", "--clickhouse"];
    let read = json_of(&lowtide(&[&options[..], &[&server.url_as(READER, "dns")]].concat()));
    assert_same(&replayed, &read, &[]);
    // Neither user nor password.
    assert_eq!(read["source"]["url"], server.url("dns"));
    let wrong = lowtide(&[&options[..], &[&server.url_as(("reader", "guess"), "dns")]].concat());
    let error = String::from_utf8(wrong.stderr).unwrap();
    assert_eq!(wrong.status.code(), Some(1), "{error}");
    assert!(error.contains("check user, password") && !error.contains("guess"), "{error}");
}
