//! Who asks the servers of a migration, live: rows say what was sent.

use std::process::Command;
use std::time::Duration;

use crate::message::{Asked, SECOND, now};
use crate::place::{Place, SENSOR};
use crate::rows::Rows;
use crate::sender::{recorded, recording};
use crate::support::{Server, skipped};

/// The servers of all frames, and another that nobody asks.
pub const PLAN: &str = "[[migration]]\nname = 'm'\nzones = ['example.com', 'example.net']\nold = ['192.0.2.53', '2001:db8::53']\nnew = ['198.51.100.53']\n";

/// The servers of the recordings, and zones that they have.
const RECORDED: &str = "[[migration]]\nname = 'recorded'\nzones = ['child.test', 'dyn.test', 'signed.test', 'test']\n\
    old = ['192.0.2.53', '2001:db8::53', '192.0.2.54', '2001:db8::54']\nnew = ['192.0.2.55']\n";

const CLIENTS: [[u8; 4]; 3] = [[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]];

#[test]
fn rows_of_a_migration_say_what_was_sent() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let (database, url) = ("sent", server.url("sent"));
    let mut place = Place::new(Some(&url));
    place.configure(PLAN);
    let mut run = place.start();
    let begin = (now() / SECOND - 600) * SECOND;
    let mut sender = place.sender();
    // Each client asks as often as its number says, at one name of each zone, a hundred seconds apart; the last query is unanswered.
    let mut sent = Vec::new();
    let mut id = 0;
    for (number, client) in CLIENTS.into_iter().enumerate() {
        for round in 0..=number as u64 {
            for (zone, name) in [("example.com.", "www.example.com"), ("example.net.", "a.b.example.net")] {
                let time = begin + round * 100 * SECOND + number as u64;
                id += 1;
                let asked = Asked::at("ns1", time, id).named(name).from(client);
                sender.send([asked.query()]);
                if round < number as u64 {
                    sender.send([asked.response(Duration::from_millis(5))]);
                }
                sent.push((zone, client, time));
            }
        }
    }
    // Not of the migration; and one of a time that cannot be, which counts as now.
    sender.send(Asked::at("ns1", begin, 900).named("www.example.org").from(CLIENTS[0]).pair());
    sender.send([Asked::at("ns1", begin + 400 * 86_400 * SECOND, 901)
        .named("www.example.com")
        .from([10, 0, 0, 9])
        .query()]);
    sender.finish();
    run.stop();
    let after = now();

    let rows = Rows { server: &server, database };
    let all = rows.query_rows(
        "SELECT zone, lowtideAddress(client), sum(queries), sum(responses), sum(rd_queries), sum(visits),
            toUnixTimestamp64Nano(minIf(first_seen, queries > 0)), toUnixTimestamp64Nano(maxIf(last_seen, queries > 0)),
            ifNull(min(gap_min), 0), ifNull(max(gap_max), 0), any(sensor), any(role), any(server)
         FROM drain WHERE migration = 'm' AND client != toIPv6('10.0.0.9') GROUP BY zone, client ORDER BY zone, client",
    );
    let mut expected = Vec::new();
    for zone in ["example.com.", "example.net."] {
        for client in CLIENTS {
            let times: Vec<u64> =
                sent.iter().filter(|of| (of.0, of.1) == (zone, client)).map(|of| of.2).collect();
            let queries = times.len();
            let gap = if queries > 1 { 100 * SECOND } else { 0 };
            let address = client.map(|octet| octet.to_string()).join(".");
            let counts = [queries, queries - 1, queries, queries].map(|count| count.to_string());
            let times = [times[0], times[queries - 1], gap, gap].map(|time| time.to_string());
            let whose = [SENSOR, "auth", "192.0.2.53"].map(str::to_owned);
            expected.push([&[zone.to_owned(), address][..], &counts, &times, &whose].concat());
        }
    }
    assert_eq!(all, expected);
    let odd = rows.query_rows(
        "SELECT sum(queries), max(toUnixTimestamp(interval)) FROM drain WHERE client = toIPv6('10.0.0.9')",
    );
    assert_eq!(odd[0][0], "1");
    assert!(odd[0][1].parse::<u64>().unwrap() <= after / SECOND, "{odd:?}");

    // What its sender showed of the server, of whatever zone, and that somebody looked at the silent one.
    let messages = "SELECT sum(messages) FROM coverage WHERE source LIKE '% ns1' AND server = ";
    assert_eq!(rows.number(&format!("{messages}'192.0.2.53'")), 2 * 12 - 6 + 2 + 1);
    assert_eq!(rows.number(&format!("{messages}'198.51.100.53'")), 0);
}

#[test]
fn a_live_run_makes_the_rows_of_a_replay() {
    if skipped() {
        return;
    }
    let server = Server::start();
    for name in ["nsd", "bind", "knot"] {
        let database = format!("moved_{name}");
        let url = server.url(&database);
        let mut place = Place::new(Some(&url));
        let frames = recorded(name);
        place.configure(RECORDED);
        let mut run = place.start();
        let mut sender = place.sender();
        sender.send(&frames);
        sender.finish();
        run.stop();
        let mut replay = Command::new(env!("CARGO_BIN_EXE_lowtide"));
        replay.args(["replay", "--quiet", "--interval", "1s", "--query-timeout", "1s", "--sensor", "replay"]);
        replay.arg("--config").arg(place.configuration());
        let output = replay.args(["--clickhouse", &url]).arg(recording(name)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let rows = Rows { server: &server, database: &database };
        for (table, columns) in [
            (
                "drain",
                "interval, role, migration, zone, server, client, qtype, queries, rd_queries, responses, first_seen, last_seen, visits, gap_min, gap_max",
            ),
            (
                "rrset",
                "interval, role, server, zone, owner, rrtype, section, digest, rdata, ttl_min, ttl_max, horizon, answers, first_seen, last_seen",
            ),
            ("coverage", "interval, server, messages, first, last"),
        ] {
            let condition = if table == "coverage" { " AND server != '' AND messages > 0" } else { "" };
            let of = |sensor| {
                rows.query_rows(&format!(
                    "SELECT {columns} FROM {table} FINAL WHERE sensor = '{sensor}'{condition} ORDER BY ALL"
                ))
            };
            let (live, replayed) = (of(SENSOR), of("replay"));
            // BIND was told to leave NS sets out of its responses.
            assert_eq!(live.is_empty(), name == "bind" && table == "rrset", "{name} {table}");
            assert_eq!(live, replayed, "{name} {table}");
        }
    }
}
