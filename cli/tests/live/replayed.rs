//! What came through a socket gives the rows that a replay of the same frames gives.

use std::process::Command;

use crate::place::{Place, SENSOR};
use crate::rows::Rows;
use crate::sender::{recorded, recording};
use crate::support::{Server, skipped};

/// All that rows say, in order.
fn rows_of(rows: &Rows<'_>, sensor: &str) -> Vec<String> {
    let sql = format!(
        "SELECT interval, role, transport, server, zone, qname, qtype,
           sum(queries), sum(responses), sum(answered), sum(unanswered), sum(pending), sum(retransmissions),
           sum(duplicate_responses), sum(orphan_responses), sum(nodata), sum(referrals), sum(truncated_responses),
           sum(nxdomain), sum(servfail), sum(refused), sumMap(rcodes), sum(query_octets), sum(response_octets),
           max(response_octets_max), sum(responses_over_512), sum(responses_over_1232), sumMap(latency),
           sum(latency_sum_ns), min(latency_min_ns), max(latency_max_ns), sum(negative_latency),
           sum(unknown_latency), sumMap(clients), sum(other_names)
         FROM traffic WHERE sensor = '{sensor}' GROUP BY interval, role, transport, server, zone, qname, qtype
         ORDER BY interval, role, transport, server, zone, qname, qtype"
    );
    rows.query(&sql).lines().map(str::to_owned).collect()
}

fn compare(recordings: &[&str]) {
    if skipped() {
        return;
    }
    let server = Server::start();
    for name in recordings {
        let database = format!("like_{}", name.replace('-', "_"));
        let url = server.url(&database);
        let place = Place::new(Some(&url));
        let mut run = place.start();
        let frames = recorded(name);
        let mut sender = place.sender();
        sender.send(&frames);
        sender.finish();
        run.stop();
        let mut replay = Command::new(env!("CARGO_BIN_EXE_lowtide"));
        replay.args(["replay", "--quiet", "--interval", "1s", "--query-timeout", "1s", "--sensor", "replay"]);
        let output = replay.args(["--clickhouse", &url]).arg(recording(name)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let rows = Rows { server: &server, database: &database };
        let (live, replayed) = (rows_of(&rows, SENSOR), rows_of(&rows, "replay"));
        assert!(!live.is_empty(), "{name}");
        for (live, replayed) in live.iter().zip(&replayed) {
            assert_eq!(live, replayed, "{name}");
        }
        assert_eq!(live.len(), replayed.len(), "{name}");
        let frames_of = |sensor| {
            rows.number(&format!(
                "SELECT sum(frames) FROM coverage WHERE server = '' AND sensor = '{sensor}'"
            ))
        };
        assert_eq!(frames_of(SENSOR), frames.len() as u64, "{name}");
        assert_eq!(frames_of("replay"), frames.len() as u64, "{name}");
    }
}

#[test]
fn of_authoritative_servers() {
    compare(&["knot", "bind", "nsd"]);
}

#[test]
fn of_resolvers_and_proxies() {
    compare(&["unbound", "bind-resolver", "dnsdist"]);
}
