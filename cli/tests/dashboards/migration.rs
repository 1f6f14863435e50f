//! The dashboard of a migration against what tshark saw, and against rows made by hand.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::scene::{Answer, Opened, items, path, text};
use crate::support::{Database, Server, skipped};
use crate::{lowtide, replay};

const GAPS: &str = "Gaps of sight of the old servers";
const LOSSES: &str = "Losses of these sources by reason";

/// The rows of a table by the text of some of its columns.
fn by(answer: &Answer, keys: &[&str], figures: &[&str]) -> BTreeMap<String, Vec<Value>> {
    let keyed = |row: usize| {
        let key: Vec<_> = keys.iter().map(|key| answer.field(row, key).as_str().unwrap()).collect();
        (key.join(" "), figures.iter().map(|figure| answer.field(row, figure).clone()).collect())
    };
    let found: BTreeMap<_, _> = (0..answer.rows.len()).map(keyed).collect();
    assert_eq!(found.len(), answer.rows.len(), "a key twice");
    found
}

/// What of an RFC 3339 time ClickHouse shows as a DateTime.
fn to_the_second(time: &Value) -> String {
    time.as_str().unwrap()[..19].replace('T', " ")
}

/// 2026-11-21 05:34:36, the second of the first frame of the recording; the last is in the 13th.
const BEGIN: u64 = 1_795_239_276;
/// Seconds with frames: `tshark -r migration.pcapng -T fields -e frame.time_epoch | cut -d. -f1 | uniq`.
const SECONDS: u64 = 13;

#[test]
fn a_migration_is_what_tshark_saw() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    let (url, plan) = (database.url(), path("testdata/migration.toml"));
    let plan = plan.to_str().unwrap();
    let into = ["--config", plan, "--clickhouse", &url, "--sensor", "shelf", "--run", "lab"];
    replay(&into, "migration.pcapng.zst");
    let old: (&str, &[&str]) = ("old", &["192.0.2.10", "2001:db8::10"]);
    let cutover: (&str, &[&str]) = ("cutover", &["2026-11-21T05:34:38Z"]);
    let open = |seconds| {
        Opened::new(&database, "migration", (BEGIN, BEGIN + seconds), &[old, cutover, ("sensor", &["shelf"])])
    };
    let opened = open(SECONDS);
    assert_eq!((opened.value("kind"), opened.value("migration")), ("replay", "lab"));
    let silent: Vec<_> = opened.check(&database).into_iter().collect();
    assert_eq!(silent, [GAPS, LOSSES]);

    // testdata/drain.py wrote this with tshark.
    let seen = std::fs::read_to_string(path("testdata/migration.drain.json")).unwrap();
    let seen: BTreeMap<String, Value> = serde_json::from_str(&seen).unwrap();
    let mut quiet = BTreeMap::new();
    let mut clients: BTreeMap<String, (u64, String, String)> = BTreeMap::new();
    for (zone_server, of) in &seen {
        quiet.insert(
            zone_server.clone(),
            vec![of["queries"].clone(), json!(to_the_second(&of["last_query"]))],
        );
        for (client, figures) in of["clients"].as_object().unwrap() {
            let (first, last) = (to_the_second(&figures[1]), to_the_second(&figures[2]));
            let known = clients.entry(client.clone()).or_insert((0, first.clone(), last.clone()));
            *known = (
                known.0 + figures[0].as_u64().unwrap(),
                known.1.clone().min(first),
                known.2.clone().max(last),
            );
        }
    }
    let answer = opened.answer(&database, "Since when quiet");
    assert_eq!(by(&answer, &["zone", "server"], &["queries", "last query"]), quiet);
    // All queries of the recording have RD set, and the clients of the old servers never ask the new ones.
    let clients: BTreeMap<_, _> = clients
        .into_iter()
        .map(|(client, (queries, first, last))| {
            (
                client,
                vec![json!(queries), json!(first), json!(last), json!(1), json!(0), json!("A AAAA MX TXT")],
            )
        })
        .collect();
    let answer = opened.answer(&database, "Who still asks");
    let figures = ["queries", "first query", "last query", "RD", "to new", "types"];
    assert_eq!(by(&answer, &["address"], &figures), clients);

    // 480 queries to the old servers and 420 to the new, all of them for the zones (`ip.dst`, `ipv6.dst` of queries that no ICMP
    // error quotes), by second 29 and 23 first. The last one to an old server is 05:34:46.53.
    let glance = opened.answer(&database, "At a glance");
    let figures = ["to old", "to new", "clients of old", "quiet for", "unwatched"];
    assert_eq!(figures.map(|figure| glance.field(0, figure).as_u64()), [480, 420, 3, 3, 0].map(Some));
    let rates = opened.answer(&database, "Queries an hour, old and new");
    assert_eq!(opened.value("bucket"), "1");
    assert_eq!(["old", "new"].map(|whose| rates.sum(whose)), [480.0 * 3600.0, 420.0 * 3600.0]);
    assert_eq!(["old", "new"].map(|whose| rates.field(0, whose).as_u64()), [29, 23].map(|n| Some(n * 3600)));
    let days = opened.answer(&database, "Clients a day");
    let day = ["old", "new", "old alone"].map(|whose| days.field(0, whose).as_u64());
    assert_eq!((days.rows.len(), day), (1, [3, 2, 3].map(Some)));

    // tshark -Y 'dns.flags.response == 1 && dns.ns': new servers alone give NS sets, all with the old server's address beside them.
    let served = opened.answer(&database, "What is served");
    let figures =
        ["given by", "records", "leads to old", "TTL max", "answers", "last served", "after cutover"];
    let mut expected = BTreeMap::new();
    for (server, zone, answers, second) in [
        ("192.0.2.20", "example.com.", 63, 42),
        ("192.0.2.20", "example.net.", 51, 42),
        ("2001:db8::20", "example.com.", 32, 48),
        ("2001:db8::20", "example.net.", 18, 48),
    ] {
        let (name, last) = (format!("ns.{zone}"), format!("2026-11-21 05:34:{second}"));
        let row = |records: &str, leads: &str, after: Value| {
            vec![json!("new"), json!(records), json!(leads), json!(300), json!(answers), json!(last), after]
        };
        expected.insert(format!("{server} {zone} NS"), row(&name, "yes", json!(second - 38)));
        expected.insert(format!("{server} {name} A"), row("192.0.2.10", "address", Value::Null));
    }
    assert_eq!(by(&served, &["address", "name", "type"], &figures), expected);

    let watched = |opened: &Opened| -> Vec<f64> {
        let answer = opened.answer(&database, "Was it watched?");
        let found = by(&answer, &["server", "source"], &["covered"]);
        assert_eq!(found.len(), 4, "old and new servers, each by the file: {found:?}");
        found.values().map(|figures| figures[0].as_f64().unwrap()).collect()
    };
    assert_eq!(watched(&opened), [1.0; 4]);
    // A minute after the file's end of which nobody knows anything, and must not look quiet.
    let longer = open(SECONDS + 60);
    assert_eq!(watched(&longer), [SECONDS as f64 / (SECONDS + 60) as f64; 4]);
    let gaps = by(&longer.answer(&database, GAPS), &["server", "began_at"], &["length"]);
    let began = |server| (format!("{server} 2026-11-21 05:34:49"), vec![json!(60)]);
    assert_eq!(gaps, BTreeMap::from(["192.0.2.10", "2001:db8::10"].map(began)));
}

/// 2026-11-10 00:00:00.
const MIDNIGHT: u64 = 1_794_268_800;

/// An hour of a live sensor beside the old server 192.0.2.1, with holes; nobody is beside 192.0.2.2.
fn hour(database: &Database) {
    lowtide(&["schema", "--apply", "--clickhouse", &database.url()]);
    // A minute of November, from role to type, and how many queries, of which some with RD; the last message is 20 s later.
    let asked = |minute: &str, who: &str, (queries, rd): (u64, u64)| {
        let (at, times) =
            (format!("2026-11-{minute}:00"), format!("'2026-11-{minute}:10', '2026-11-{minute}:20'"));
        format!("('{at}', 'ns1', 'r', 'live', '{who}', {queries}, {rd}, {}, {times})", queries.max(1))
    };
    let minutes = "toDateTime(1794268800, 'UTC') + 60 * number";
    for sql in [
        "INSERT INTO sensor_run (sensor, run, kind, updated, started, state, interval_s) \
         VALUES ('ns1', 'r', 'live', '2026-11-10 01:00:00', '2026-11-10 00:00:00', 'running', 60)",
        // Not running from minute 10 to 20 and from 44 on; of minute 30 it did not see two seconds, of minute 31 one, as a verdict allows.
        // In minute 40 the kernel dropped seven packets.
        &format!(
            "INSERT INTO coverage (interval, sensor, run, kind, source, server, frames, messages, heartbeats, lost) \
             SELECT {minutes}, 'ns1', 'r', 'live', 'eth0', server, if(server = '', 5, 0), 5, multiIf(number = 30, 58, number = 31, 59, 60), \
             multiIf(server = '' AND number = 40, map('kernel_drop', 7), server != '' AND number = 41, map('unread_query', 3), map()) \
             FROM numbers(44) ARRAY JOIN ['', '192.0.2.1'] AS server WHERE number NOT BETWEEN 10 AND 19"
        ),
        // What its spool dropped was of all its sources; another sensor's is another's.
        "INSERT INTO coverage (interval, sensor, run, kind, source, lost) VALUES \
         ('2026-11-10 00:42:00', 'ns1', 'r', 'live', 'spool', map('spool_dropped_rows', 4)), \
         ('2026-11-10 00:42:00', 'ns2', 'r', 'live', 'spool', map('spool_dropped_rows', 8))",
        // A source that has heartbeats beside the server and never saw a message of it does not watch it.
        &format!(
            "INSERT INTO coverage (interval, sensor, run, kind, source, server, heartbeats) \
             SELECT {minutes}, 'ns1', 'r', 'live', 'eth1', '192.0.2.2', 60 FROM numbers(60)"
        ),
        // a.example. was asked in minute 5 and 25, the rest is responses, or another role's. b.example. was asked a day before.
        &format!(
            "INSERT INTO drain (interval, sensor, run, kind, role, migration, zone, server, client, qtype, queries, rd_queries, \
             responses, first_seen, last_seen) VALUES {}",
            [
                asked("10 00:05", "wire', 'm', 'a.example.', '192.0.2.1', '::ffff:203.0.113.1', 'A", (4, 1)),
                asked("10 00:25", "wire', 'm', 'a.example.', '192.0.2.1', '::ffff:203.0.113.2', 'NS", (2, 0)),
                asked("10 00:40", "wire', 'm', 'a.example.', '192.0.2.1', '::ffff:203.0.113.2', 'NS", (0, 0)),
                asked("10 00:40", "auth', 'm', 'a.example.', '192.0.2.1', '::ffff:203.0.113.3', 'A", (9, 0)),
                asked(
                    "10 00:40",
                    "wire', 'm', 'a.example.', '198.51.100.1', '::ffff:203.0.113.1', 'A",
                    (6, 0)
                ),
                asked("09 00:00", "wire', 'm', 'b.example.', '192.0.2.2', '::ffff:203.0.113.9', 'A", (1, 1)),
                asked(
                    "10 00:40",
                    "wire', 'other', 'a.example.', '192.0.2.1', '::ffff:203.0.113.4', 'A",
                    (8, 0)
                ),
            ]
            .join(", ")
        ),
        // Served in minute 20: the old NS set and a new one; in b.example. a name whose address moves. c.example. is of no migration.
        "INSERT INTO rrset (interval, sensor, run, kind, role, server, zone, owner, rrtype, section, digest, rdata, ttl_min, ttl_max, \
         horizon, answers, first_seen, last_seen) SELECT 1794270000, 'ns1', 'r', 'live', 'wire', server, zone, owner, rrtype, 'authority', \
         cityHash64(rdata), rdata, 300, 3600, 1794273610, 1, 1794270010, 1794270010 FROM VALUES('server String, zone String, owner String, \
         rrtype String, rdata Array(String)', \
         ('192.0.2.1', 'a.example.', 'a.example.', 'NS', ['ns1.old.example.']), \
         ('192.0.2.1', 'a.example.', 'ns1.old.example.', 'A', ['192.0.2.1']), \
         ('198.51.100.1', 'a.example.', 'a.example.', 'NS', ['ns1.new.example.']), \
         ('198.51.100.1', 'a.example.', 'ns1.new.example.', 'A', ['198.51.100.1']), \
         ('198.51.100.1', 'a.example.', 'a.example.', 'DS', ['1 13 2 00']), \
         ('192.0.2.1', 'b.example.', 'b.example.', 'NS', ['ns.b.example.']), \
         ('192.0.2.1', 'b.example.', 'ns.b.example.', 'A', ['192.0.2.2']), \
         ('198.51.100.1', 'b.example.', 'ns.b.example.', 'A', ['198.51.100.1']), \
         ('192.0.2.1', 'c.example.', 'c.example.', 'NS', ['ns1.old.example.']))",
    ] {
        database.query(sql);
    }
}

#[test]
fn silence_without_sight_is_not_taken_for_quiet() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    hour(&database);
    let chosen: [(&str, &[&str]); 3] =
        [("old", &["192.0.2.1", "192.0.2.2"]), ("migration", &["m"]), ("cutover", &["2026-11-10 00:10"])];
    let opened = Opened::new(&database, "migration", (MIDNIGHT, MIDNIGHT + 3600), &chosen);
    assert_eq!((opened.value("role"), opened.value("table")), ("wire", "drain"));
    assert!(opened.check(&database).is_empty());

    // 6 queries to the old servers and 6 to the new; another role's and another migration's are no part of them.
    let glance = opened.answer(&database, "At a glance");
    let figures = ["to old", "to new", "clients of old", "quiet for", "unwatched"];
    // The last query is 25:20 after midnight: 1,520 s of 3,600.
    assert_eq!(figures.map(|figure| glance.field(0, figure).as_u64()), [6, 6, 2, 2080, 1].map(Some));
    let quiet = by(
        &opened.answer(&database, "Since when quiet"),
        &["zone", "server"],
        &["last query", "quiet for", "queries"],
    );
    let never = vec![Value::Null, Value::Null, json!(0)];
    let expected = [
        ("a.example. 192.0.2.1", vec![json!("2026-11-10 00:25:20"), json!(2080), json!(6)]),
        ("a.example. 192.0.2.2", never.clone()),
        ("b.example. 192.0.2.1", never),
        ("b.example. 192.0.2.2", vec![json!("2026-11-09 00:00:20"), json!(89_980), json!(0)]),
    ];
    assert_eq!(quiet, BTreeMap::from(expected.map(|(key, row)| (key.to_owned(), row))));
    let clients = by(
        &opened.answer(&database, "Who still asks"),
        &["address"],
        &["queries", "RD", "to new", "last query", "types"],
    );
    let expected = [
        ("203.0.113.1", json!([4, 0.25, 6, "2026-11-10 00:05:20", "A"])),
        ("203.0.113.2", json!([2, 0, 0, "2026-11-10 00:25:20", "NS"])),
    ];
    let expected = expected.map(|(client, row)| (client.to_owned(), row.as_array().unwrap().clone()));
    assert_eq!(clients, BTreeMap::from(expected));

    // 44 minutes less ten that it did not run, less the one of which it did not see all: 33 of 60. 7 packets beside 5 in each of 34 minutes.
    let answer = opened.answer(&database, "Was it watched?");
    let watched = by(&answer, &["whose", "server", "source"], &["covered", "lost", "unread queries"]);
    let expected = [
        ("new 198.51.100.1 nobody", json!([0, null, 0])),
        ("old 192.0.2.1 eth0", json!([33.0 / 60.0, 7.0 / 177.0, 3])),
        ("old 192.0.2.2 nobody", json!([0, null, 0])),
    ];
    let expected = expected.map(|(key, row)| (key.to_owned(), row.as_array().unwrap().clone()));
    assert_eq!(watched, BTreeMap::from(expected));
    let gaps = by(&opened.answer(&database, GAPS), &["server", "source", "began_at"], &["length"]);
    let expected = [
        ("192.0.2.1 eth0 2026-11-10 00:10:00", 600),
        ("192.0.2.1 eth0 2026-11-10 00:30:00", 60),
        ("192.0.2.1 eth0 2026-11-10 00:44:00", 960),
        ("192.0.2.2 nobody 2026-11-10 00:00:00", 3600),
    ];
    assert_eq!(gaps, BTreeMap::from(expected.map(|(key, length)| (key.to_owned(), vec![json!(length)]))));
    let losses = opened.answer(&database, LOSSES);
    let reasons = by(&losses, &["time", "reason"], &["Value"]);
    let expected = [
        ("2026-11-10 00:40:00 kernel_drop", 7),
        ("2026-11-10 00:41:00 unread_query", 3),
        ("2026-11-10 00:42:00 spool_dropped_rows", 4),
    ];
    assert_eq!(reasons, BTreeMap::from(expected.map(|(key, lost)| (key.to_owned(), vec![json!(lost)]))));

    // The old set leads back ten minutes and ten seconds after the cutover; of a name that moves it is the old address that does.
    let served = opened.answer(&database, "What is served");
    let leads =
        by(&served, &["address", "name", "type"], &["leads to old", "after cutover", "in caches for"]);
    let expected = [
        ("192.0.2.1 a.example. NS", json!(["yes", 610, 1210])),
        ("192.0.2.1 ns1.old.example. A", json!(["address", null, 1210])),
        ("192.0.2.1 b.example. NS", json!(["", null, 1210])),
        ("192.0.2.1 ns.b.example. A", json!(["yes", 610, 1210])),
        ("198.51.100.1 a.example. NS", json!(["", null, 1210])),
        ("198.51.100.1 a.example. DS", json!(["", null, 1210])),
        ("198.51.100.1 ns1.new.example. A", json!(["", null, 1210])),
        ("198.51.100.1 ns.b.example. A", json!(["", null, 1210])),
    ];
    let expected = expected.map(|(key, row)| (key.to_owned(), row.as_array().unwrap().clone()));
    assert_eq!(leads, BTreeMap::from(expected));
    let texts = items(&opened.dashboard, "panels").iter().filter(|panel| text(panel, "type") == "text");
    assert_eq!(
        texts.filter(|panel| text(&panel["options"], "content").contains("lowtide drain --config")).count(),
        1
    );
}
