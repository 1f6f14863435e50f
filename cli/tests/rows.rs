//! What SQL reads back from ClickHouse is what `replay --json` says, to the last count: totals, names, servers, quantiles.
//!
//! The two come about on different ways: the report from the tables of names, servers and intervals of the whole replay, the
//! rows from the windows of each interval, through encoding, spool, delivery and ClickHouse's own merging.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

#[path = "../../store/tests/support/proxy.rs"]
mod proxy;
mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use proxy::{Proxy, Weather};
use serde_json::{Map, Value, json};
use support::Server;

const COUNTERS: [&str; 16] = [
    "queries",
    "responses",
    "answered",
    "unanswered",
    "pending",
    "retransmissions",
    "duplicate_responses",
    "orphan_responses",
    "nodata",
    "referrals",
    "truncated_responses",
    "nxdomain",
    "servfail",
    "refused",
    "negative_latency",
    "unknown_latency",
];

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

fn replay(arguments: &[&str], file: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
    command.args(["replay", "--json", "--top", "1000000"]).args(arguments).arg(file).stdin(Stdio::null());
    command
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The rows of a query, in `JSONEachRow`; 64-bit numbers as numbers.
fn rows(server: &Server, sql: &str) -> Vec<Value> {
    let settings = "SETTINGS output_format_json_quote_64bit_integers = 0";
    let text = server.query(&format!("{sql} {settings} FORMAT JSONEachRow"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Expressions for all counters and the latency figures, as the report has them.
fn figures() -> String {
    let counters = COUNTERS.map(|counter| format!("sum({counter}) AS {counter}_")).join(", ");
    let quantiles = [("p50", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999)].map(|(name, level)| {
        format!(
            "if(samples = 0, NULL, least(greatest(toFloat64(assumeNotNull(lowtideLatencyQuantile(histogram, {level}))), \
             least_ns / 1000), most_ns / 1000)) AS {name}"
        )
    });
    format!(
        "{counters}, sumMap(rcodes) AS rcodes_, sumMap(latency) AS histogram, arraySum(mapValues(histogram)) AS samples, \
         min(latency_min_ns) AS least_ns, max(latency_max_ns) AS most_ns, sum(latency_sum_ns) AS sum_ns, \
         sum(query_octets) AS query_octets_, sum(response_octets) AS response_octets_, {}",
        quantiles.join(", ")
    )
}

fn latency(row: &Value) -> Value {
    if row["samples"] == 0 {
        return json!({"count": 0, "min": null, "mean": null, "p50": null, "p90": null, "p95": null, "p99": null, "p999": null, "max": null});
    }
    let micros = |name: &str| row[name].as_f64().unwrap() / 1000.0;
    let mut latency = Map::new();
    latency.insert("count".into(), row["samples"].clone());
    latency.insert("min".into(), micros("least_ns").into());
    latency.insert(
        "mean".into(),
        (row["sum_ns"].as_f64().unwrap() / row["samples"].as_f64().unwrap() / 1000.0).into(),
    );
    for name in ["p50", "p90", "p95", "p99", "p999"] {
        latency.insert(name.into(), row[name].as_f64().unwrap().into());
    }
    latency.insert("max".into(), micros("most_ns").into());
    Value::Object(latency)
}

/// Counts must be the same; of floating-point figures reading and printing may change the last digit.
fn assert_latency(what: &str, said: &Value, found: &Value) {
    for (name, said) in said.as_object().unwrap() {
        let is_same = match (said.as_f64(), found[name].as_f64()) {
            (Some(said), Some(found)) => (said - found).abs() <= said.abs() * 1e-14,
            (said, found) => said == found,
        };
        assert!(is_same, "{what}: {name} {said} {}", found[name]);
    }
}

fn assert_counts(what: &str, said: &Value, row: &Value, names: &[&str]) {
    for name in names {
        assert_eq!(said[name], row[format!("{name}_")], "{what}: {name}");
    }
}

/// Compares everything that both sides say.
fn compare(server: &Server, database: &str, report: &Value) {
    let figures = figures();
    let of = |keys: &str, condition: &str, group: &str| {
        rows(server, &format!("SELECT {keys} {figures} FROM {database}.traffic WHERE {condition} {group}"))
    };
    // All.
    let total = &of("", "1", "")[0];
    assert_counts("messages", &report["messages"], total, &["queries", "responses"]);
    assert_counts(
        "transactions",
        &report["transactions"],
        total,
        &[
            "answered",
            "unanswered",
            "pending",
            "retransmissions",
            "duplicate_responses",
            "orphan_responses",
            "negative_latency",
            "unknown_latency",
        ],
    );
    assert_counts("report", report, total, &["nodata", "referrals", "truncated_responses", "rcodes"]);
    assert_latency("latency", &report["latency_us"], &latency(total));
    // Roles, servers, names: as many, and each the same.
    let list = |name: &str, keys: &[&str], counts: &[&str], found: Vec<Value>| {
        let key = |value: &Value| {
            keys.iter().map(|key| value[key].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let found: BTreeMap<_, _> = found.into_iter().map(|row| (key(&row), row)).collect();
        let said = report[name].as_array().unwrap();
        assert_eq!(said.len(), found.len(), "{name}");
        for one in said {
            let what = format!("{name} {:?}", key(one));
            assert!(found.contains_key(&key(one)), "{what}: not there");
            let row = &found[&key(one)];
            assert_counts(&what, one, row, counts);
            assert_latency(&what, &one["latency_us"], &latency(row));
        }
    };
    list(
        "roles",
        &["role"],
        &["queries", "responses", "nodata", "rcodes"],
        of("role,", "1", "GROUP BY role"),
    );
    list(
        "servers",
        &["address", "role"],
        &["queries", "responses", "unanswered", "rcodes"],
        of("server AS address, role,", "1", "GROUP BY server, role"),
    );
    list(
        "qnames",
        &["qname", "qtype", "role"],
        &["queries", "responses", "nodata", "nxdomain", "servfail", "refused", "unanswered"],
        of("qname, qtype, role,", "qname != ''", "GROUP BY qname, qtype, role"),
    );
    let qtypes = rows(
        server,
        &format!(
            "SELECT qtype, sum(queries) AS n FROM {database}.traffic WHERE qtype != '' GROUP BY qtype HAVING n > 0"
        ),
    );
    let qtypes: Map<String, Value> =
        qtypes.iter().map(|row| (row["qtype"].as_str().unwrap().to_owned(), row["n"].clone())).collect();
    assert_eq!(report["qtypes"], Value::Object(qtypes));
    let transports = rows(
        server,
        &format!(
            "SELECT transport, sum(queries + responses) AS n FROM {database}.traffic GROUP BY transport"
        ),
    );
    let transports: Map<String, Value> = transports
        .iter()
        .map(|row| (row["transport"].as_str().unwrap().to_owned(), row["n"].clone()))
        .collect();
    assert_eq!(report["transports"], Value::Object(transports));
    // The rows' own balances, one by one.
    let odd = "queries != answered + unanswered + pending + retransmissions \
               OR responses != answered + duplicate_responses + orphan_responses \
               OR responses != arraySum(mapValues(rcodes)) OR queries != arraySum(mapValues(clients)) \
               OR arraySum(mapValues(latency)) != answered - negative_latency - unknown_latency";
    assert_eq!(server.query(&format!("SELECT count() FROM {database}.traffic WHERE {odd}")).trim(), "0");
    // The account of the run.
    let run = &rows(server, &format!("SELECT *, frames AS frames_ FROM {database}.sensor_run FINAL"))[0];
    assert_eq!(run["state"], "finished");
    for name in ["queries", "responses"] {
        assert_eq!(run[name], report["messages"][name], "sensor_run: {name}");
    }
    let nonzero = |map: &Value| -> Value {
        map.as_object()
            .unwrap()
            .iter()
            .filter(|(_, n)| **n != 0)
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    assert_eq!(nonzero(&run["frame_fates"]), nonzero(&report["frame_fates"]));
    let frames: u64 =
        report["inputs"].as_array().unwrap().iter().map(|input| input["frames"].as_u64().unwrap()).sum();
    assert_eq!(run["frames"], frames);
    let coverage = &rows(
        server,
        &format!(
            "SELECT sum(frames) AS frames, sum(messages) AS messages, toString(min(first)) AS first, toString(max(last)) AS last FROM {database}.coverage"
        ),
    )[0];
    assert_eq!(coverage["frames"], frames);
    let time = |text: &Value| text.as_str().unwrap().replace('T', " ").replace('Z', "");
    let inputs = report["inputs"].as_array().unwrap();
    let first =
        inputs.iter().filter(|input| !input["first"].is_null()).map(|input| time(&input["first"])).min();
    let last = inputs.iter().filter(|input| !input["last"].is_null()).map(|input| time(&input["last"])).max();
    assert_eq!((coverage["first"].as_str(), coverage["last"].as_str()), (first.as_deref(), last.as_deref()));
}

#[test]
fn every_recording_reads_back_as_reported() {
    if support::skipped() {
        return;
    }
    let server = Server::start();
    let files = [
        "migration.pcapng.zst",
        "auth.pcap",
        "merged.pcapng",
        "unanswered.pcap",
        "duplicates.pcap",
        "edns.pcap",
        "mid-stream.pcap",
        "fragments.pcap",
        "knot.dnstap.zst",
        "bind.dnstap.zst",
        "bind-resolver.dnstap.zst",
        "dnsdist.dnstap.zst",
    ];
    for (number, file) in files.into_iter().enumerate() {
        let path = testdata(file);
        let database = format!("rows{number}");
        let url = server.url(&database);
        let arguments = [
            "--clickhouse",
            &url,
            "--interval",
            "1s",
            "--segment-rows",
            "50",
            "--threads",
            ["1", "3"][number % 2],
        ];
        let output = replay(&arguments, &path).output().unwrap();
        let said = report(&output);
        assert_eq!(
            said,
            report(&replay(&["--interval", "1s"], &path).output().unwrap()),
            "{file}: recording changes nothing"
        );
        compare(&server, &database, &said);
    }
}

#[test]
fn segments_are_the_same_for_any_number_of_threads() {
    if support::skipped() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for threads in ["1", "2", "5"] {
        let spool = dir.path().join(threads);
        // Nobody listens on the discard port: everything stays in the spool.
        let arguments =
            ["--clickhouse", "http://127.0.0.1:9/x", "--sensor", "s", "--run", "r", "--give-up", "100ms"];
        let options = ["--interval", "1s", "--segment-rows", "20", "--threads", threads, "--spool"];
        let mut command = replay(
            &[&arguments[..], &options[..], &[spool.to_str().unwrap()]].concat(),
            &testdata("migration.pcapng.zst"),
        );
        assert_eq!(command.output().unwrap().status.code(), Some(1));
        let mut segments = BTreeMap::new();
        for entry in std::fs::read_dir(&spool).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // What the run says of itself has the time of the day in it.
            if name.ends_with(".segment") && !name.contains("sensor_run") {
                segments.insert(name, std::fs::read(path).unwrap());
            }
        }
        assert!(segments.len() > 10, "{} segments", segments.len());
        all.push(segments);
    }
    assert!(all[0] == all[1] && all[1] == all[2]);
}

#[test]
fn replays_without_a_name_are_runs_of_their_own_and_can_be_deleted() {
    if support::skipped() {
        return;
    }
    let server = Server::start();
    let url = server.url("runs");
    let file = testdata("auth.pcap");
    for _ in 0..2 {
        report(&replay(&["--clickhouse", &url], &file).output().unwrap());
    }
    let said = report(&replay(&[], &file).output().unwrap());
    let queries = said["messages"]["queries"].as_u64().unwrap();
    let total = || server.query("SELECT sum(queries) FROM runs.traffic").trim().parse::<u64>().unwrap();
    assert_eq!(total(), 2 * queries);
    let runs = server.query("SELECT run FROM runs.sensor_run FINAL ORDER BY started");
    let runs: Vec<&str> = runs.lines().collect();
    assert_eq!(runs.len(), 2);
    let tables = server.query(
        "SELECT table FROM system.columns WHERE database = 'runs' AND name = 'run' AND table NOT LIKE 'v\\_%' \
         AND table NOT IN (SELECT name FROM system.tables WHERE database = 'runs' AND engine LIKE '%View')",
    );
    for table in tables.lines() {
        server.query(&format!("DELETE FROM runs.{table} WHERE run = '{}'", runs[0]));
    }
    assert_eq!(total(), queries);
    compare(&server, "runs", &said);

    // ClickHouse still knows the tokens of what was deleted, and throws rows away that come under the same name.
    let named = ["--clickhouse", &url, "--run", "named"];
    report(&replay(&named, &file).output().unwrap());
    for table in tables.lines() {
        server.query(&format!("DELETE FROM runs.{table} WHERE run = 'named'"));
    }
    let output = replay(&named, &file).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&format!("holds 0 of {queries} queries")) && said.contains("another --run"),
        "{said}"
    );
    assert_eq!(server.query("SELECT state FROM runs.sensor_run FINAL WHERE run = 'named'"), "failed");
}

/// The load of a million messages, with a server that is killed ten times on the way. It lies beside the project, and
/// `test.sh` runs this where it does.
#[test]
#[ignore = "needs LOWTIDE_LOAD, the path of dns-1m.pcap.zst"]
fn a_million_messages_and_ten_kills() {
    if support::skipped() {
        return;
    }
    let file = PathBuf::from(std::env::var_os("LOWTIDE_LOAD").unwrap());
    let mut server = Server::start();
    let plain = report(&replay(&["--interval", "1s"], &file).output().unwrap());
    assert_eq!(plain["messages"]["queries"], 529_990);

    let url = server.url("million");
    assert_eq!(report(&replay(&["--interval", "1s", "--clickhouse", &url], &file).output().unwrap()), plain);
    compare(&server, "million", &plain);

    let proxy = Proxy::start(Some(server.address()));
    proxy.set(Weather::Slow(Duration::from_millis(2)));
    let url = format!("{}/killed", proxy.url());
    let arguments = ["--interval", "1s", "--segment-rows", "5000", "--in-flight", "2", "--clickhouse", &url];
    let child = replay(&arguments, &file).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = std::thread::spawn(move || child.wait_with_output().unwrap());
    for kill in 1..=10 {
        let sent = proxy.inserts().len();
        while proxy.inserts().len() < sent + 3 {
            assert!(!output.is_finished(), "the replay must still run at kill {kill}");
            std::thread::park_timeout(Duration::from_millis(5));
        }
        server.kill();
        server.restart();
        proxy.set_upstream(Some(server.address()));
    }
    proxy.set(Weather::Fair);
    assert_eq!(report(&output.join().unwrap()), plain);
    compare(&server, "killed", &plain);
}

/// One query and its response over UDP and IPv4, as frames of a pcap file, a millisecond apart.
fn exchange(seconds: u32, number: u16) -> Vec<u8> {
    let name = format!("n{number}");
    let question = [&[name.len() as u8], name.as_bytes(), b"\x04test\0\0\x01\0\x01"].concat();
    let mut frames = Vec::new();
    for (flags, ports, addresses, micros) in [
        ([0x01, 0x00], [40_000u16, 53], [[10, 0, 0, 1], [192, 0, 2, 53]], 0u32),
        ([0x85, 0x80], [53, 40_000], [[192, 0, 2, 53], [10, 0, 0, 1]], 1_000),
    ] {
        let message = [&number.to_be_bytes()[..], &flags, &[0, 1, 0, 0, 0, 0, 0, 0], &question].concat();
        let udp_octets = message.len() as u16 + 8;
        let mut frame = [0u8; 12].to_vec();
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend((udp_octets + 20).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend(addresses.as_flattened());
        frame.extend(ports.iter().flat_map(|port| port.to_be_bytes()));
        frame.extend(udp_octets.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(message);
        let octets = frame.len() as u32;
        frames.extend([seconds, micros, octets, octets].iter().flat_map(|field| field.to_le_bytes()));
        frames.extend(frame);
    }
    frames
}

#[test]
fn clocks_that_leap_about_lose_no_row_and_fold_no_name() {
    if support::skipped() {
        return;
    }
    let server = Server::start();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("leap.pcap");
    let mut octets =
        [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1].map(u32::to_le_bytes).as_flattened().to_vec();
    // A few messages of the year 2096, then a clock that is right but for every seventh message, which is of 1970.
    for number in 0..2_000 {
        let seconds = match number {
            0..20 => 4_000_000_000 + u32::from(number),
            _ if number % 7 == 0 => u32::from(number),
            _ => 1_763_000_000 + u32::from(number),
        };
        octets.extend(exchange(seconds, number));
    }
    std::fs::write(&file, octets).unwrap();
    let url = server.url("leap");
    let output =
        replay(&["--clickhouse", &url, "--interval", "1s", "--max-rows", "40000"], &file).output().unwrap();
    let said = report(&output);
    assert_eq!(said["messages"]["queries"], 2_000);
    compare(&server, "leap", &said);
    assert_eq!(server.query("SELECT count() FROM leap.traffic WHERE qname = '(others)'"), "0");
    let delivered = String::from_utf8_lossy(&output.stderr).into_owned();
    let segments: u32 =
        delivered.rsplit(" rows in ").next().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(segments < 20, "three months make few segments: {delivered}");
}
