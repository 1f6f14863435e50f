//! Queries by zone and old server, as tshark counts them.

use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::process::Command;

use lowtide_proto::Timestamp;

use crate::case::{Case, brief, text};

/// Whether there is no tshark; says so.
pub fn skipped() -> bool {
    let is_there =
        Command::new("tshark").arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        // Not by eprintln!, which the test harness would keep to itself.
        let _ = stderr().write_all(format!("SKIPPED, as there is no tshark: {test}\n").as_bytes());
    }
    !is_there
}

struct Query {
    time: Timestamp,
    client: String,
    server: String,
    name: String,
}

/// Compares each old server's counts at each moment, and the last query, with those of the packets.
#[track_caller]
pub fn check(case: &Case) {
    let queries = queries(case);
    let clients = case.truth["clients"].as_array().unwrap().iter().filter(|of| of["is_set_apart"] == true);
    let apart: Vec<&str> =
        clients.flat_map(|of| of["addresses"].as_array().unwrap()).map(|of| of.as_str().unwrap()).collect();
    let mut all = 0;
    for (&at, report) in case.moments.iter().zip(&case.reports) {
        let mut expected: BTreeMap<(&str, &str), (u64, u64, Option<Timestamp>)> = BTreeMap::new();
        let servers = report["servers"].as_array().unwrap();
        let keys = servers.iter().map(|of| (of["zone"].as_str().unwrap(), of["address"].as_str().unwrap()));
        let keys: Vec<_> = keys.collect();
        for query in queries.iter().filter(|query| query.time <= at) {
            let is_meant =
                |(zone, address): &&(&str, &str)| *address == query.server && is_in(&query.name, zone);
            let Some(key) = keys.iter().find(is_meant) else { continue };
            let (counted, set_apart, last) = expected.entry(*key).or_default();
            if apart.contains(&query.client.as_str()) {
                *set_apart += 1;
            } else {
                *counted += 1;
                *last = (*last).max(Some(query.time));
            }
        }
        for (key, server) in keys.iter().zip(servers) {
            let (counted, set_apart, last) = expected.get(key).copied().unwrap_or_default();
            let what = format!("{} at {}: {}", case.name, text(at), brief(server));
            assert_eq!(server["queries"], counted, "{what}");
            assert_eq!(server["queries_set_apart"], set_apart, "{what}");
            assert_eq!(server["last_query"].as_str(), last.map(text).as_deref(), "{what}");
            all += counted;
        }
    }
    assert!(all > 100, "{}: nothing was counted", case.name);
}

fn is_in(name: &str, zone: &str) -> bool {
    let zone = zone.trim_end_matches('.');
    name.strip_suffix(zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[track_caller]
fn queries(case: &Case) -> Vec<Query> {
    let mut queries = Vec::new();
    for file in &case.files {
        let mut command = Command::new("tshark");
        command.args(["-n", "-r"]).arg(file);
        command.args(["-Y", "dns.flags.response == 0", "-T", "fields"]);
        for field in ["frame.time_epoch", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "dns.qry.name"] {
            command.args(["-e", field]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        queries.extend(String::from_utf8(output.stdout).unwrap().lines().map(query));
    }
    queries
}

#[track_caller]
fn query(line: &str) -> Query {
    let fields: Vec<&str> = line.split('\t').collect();
    let [time, source4, source6, target4, target6, name] = fields[..] else { panic!("{line}") };
    let (seconds, fraction) = time.split_once('.').unwrap();
    Query {
        time: Timestamp(format!("{seconds}{fraction:0<9}").parse().unwrap()),
        client: format!("{source4}{source6}"),
        server: format!("{target4}{target6}"),
        name: name.to_lowercase(),
    }
}
