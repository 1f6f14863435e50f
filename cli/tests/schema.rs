//! The schema on a real server: complete, idempotent, guarded by its version, and exact in what it adds up.

#![expect(clippy::unwrap_used, reason = "tests state their expectations by failing")]

mod support;

use std::net::Ipv6Addr;
use std::process::{Command, Output};
use std::thread;

use lowtide_aggregate::latency;
use lowtide_store::schema::{Options, VERSION};

use support::{READER, Server, Setup, WRITER, skipped};

/// `traffic` and the tables that fill themselves from it.
const TRAFFIC: [&str; 5] = ["traffic", "traffic_hour", "traffic_day", "traffic_zone", "traffic_server"];

fn schema(url: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lowtide"))
        .args(["schema", "--clickhouse", url])
        .args(args)
        .output()
        .unwrap()
}

#[track_caller]
fn apply(url: &str, args: &[&str]) -> String {
    let output = schema(url, &[&["--apply"], args].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.trim_end().lines().count(), 1, "one line: {text}");
    text
}

#[test]
fn every_table_and_column_says_what_it_is() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    apply(&database.url(), &[]);
    let tables = "SELECT name FROM system.tables WHERE database = currentDatabase() AND comment = ''";
    assert_eq!(database.query(tables), "");
    // Materialized views have the columns of the table that they fill.
    let columns = "SELECT table, name FROM system.columns WHERE database = currentDatabase() AND comment = ''
        AND table NOT IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'MaterializedView')";
    assert_eq!(database.query(columns), "");
    let count = database.query("SELECT count() FROM system.columns WHERE database = currentDatabase()");
    assert!(count.parse::<u32>().unwrap() > 300, "{count}");
}

#[test]
fn every_dimension_is_in_the_sorting_key() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    apply(&database.url(), &[]);
    // What is neither summed nor in the key would be any one of the values that merge.
    let columns = "SELECT table, name FROM system.columns WHERE database = currentDatabase()
        AND table IN (SELECT name FROM system.tables WHERE database = currentDatabase() AND engine = 'AggregatingMergeTree')
        AND type NOT LIKE 'SimpleAggregateFunction%' AND NOT is_in_sorting_key";
    assert_eq!(database.query(columns), "");
}

#[test]
fn applying_again_changes_nothing_and_a_newer_schema_is_left_alone() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    let url = database.url();
    apply(&url, &[]);
    let tables = "SELECT name, metadata_modification_time, create_table_query FROM system.tables
        WHERE database = currentDatabase() ORDER BY name";
    let before = database.query(tables);
    apply(&url, &[]);
    assert_eq!(database.query(tables), before);
    let newer = VERSION + 1;
    database
        .query(&format!("INSERT INTO schema_version (version, applied_by) VALUES ({newer}, 'lowtide 99')"));
    let error = refused(&schema(&url, &["--apply"]));
    assert!(error.contains(&format!("version {newer}")) && error.contains("newer lowtide"), "{error}");
    assert_eq!(database.query(tables), before);
}

#[test]
fn two_may_apply_at_once() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    let url = database.url();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| apply(&url, &["--keep-intervals", "30d"]));
        }
    });
    assert_eq!(
        database.query("SELECT count(DISTINCT version), max(version) FROM schema_version"),
        format!("{VERSION}\t{VERSION}")
    );
}

#[test]
fn who_may_not_is_told_so() {
    if skipped() {
        return;
    }
    let setup = Setup { users: true, ..Setup::default() };
    let server = Server::with(setup);
    let name = server.create_database();
    let error = refused(&schema(&server.url_as(READER, &name), &["--apply"]));
    assert!(error.contains("reader") || error.to_lowercase().contains("read"), "{error}");
    apply(&server.url_as(WRITER, &name), &[]);
}

#[test]
fn functions_agree_with_the_histogram() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    apply(&database.url(), &[]);
    let uppers = database.query("SELECT arrayStringConcat(arrayMap(b -> toString(lowtideLatencyUpper(toUInt16(b))), range(2540)), ' ')");
    let expected: Vec<_> = (0..2540).map(|bucket| latency::upper_bound(bucket).to_string()).collect();
    assert_eq!(uppers, expected.join(" "));
    for address in ["192.0.2.53", "2001:db8::1", "::1", "2001:db8:0:1::", "::ffff:0:0:1"] {
        let v6: Ipv6Addr = address
            .parse()
            .unwrap_or_else(|_| address.parse::<std::net::Ipv4Addr>().unwrap().to_ipv6_mapped());
        assert_eq!(database.query(&format!("SELECT lowtideAddress(toIPv6('{v6}'))")), address);
    }
    assert_eq!(database.query("SELECT lowtideAddress(toIPv6('::'))"), "(others)");
    // Nearest rank, against the sorted samples themselves.
    let samples: Vec<u16> = (0..997u32).map(|n| (n * n % 1777) as u16).collect();
    let mut sorted = samples.clone();
    sorted.sort_unstable();
    let buckets = samples.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    for level in [0.0, 0.001, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0] {
        let rank = ((samples.len() as f64 * level).ceil() as usize).max(1);
        let sql = format!(
            "SELECT lowtideLatencyQuantile(sumMap(map(b, toUInt64(1))), {level}), lowtideLatencyUpper(quantileExactWeightedArray({level})([b], [1]))
             FROM (SELECT toUInt16(arrayJoin([{buckets}])) AS b)"
        );
        let upper = latency::upper_bound(sorted[rank - 1]);
        assert_eq!(database.query(&sql), format!("{upper}\t{upper}"), "at {level}");
    }
    let none = "SELECT isNull(lowtideLatencyQuantile(CAST(map() AS Map(UInt16, UInt64)), 0.5))";
    assert_eq!(database.query(none), "1");
}

/// 40 rows of four keys over two hours, ten intervals each; of the second key no latency is known.
const ROWS: &str = "INSERT INTO traffic (interval, sensor, run, kind, server, role, transport, zone, qname, qtype,
        queries, responses, answered, rcodes, response_octets_max, latency, latency_sum_ns, latency_min_ns, latency_max_ns, unknown_latency, clients)
    SELECT toDateTime('2026-11-20 10:30:00', 'UTC') + 360 * intDiv(number, 4), 's', 'r', 'replay', '192.0.2.53', 'wire', 'udp', 'example.',
        concat('n', toString(number % 4), '.example.'), 'A', 3, 2, 2, map('NOERROR', 1, 'NXDOMAIN', 1), 100 + number,
        if(number % 4 = 1, map(), map(10 + number % 4, 1, 300 + number, 1)), 1000 * number,
        if(number % 4 = 1, NULL, 500 + number), if(number % 4 = 1, NULL, 5000 + number), if(number % 4 = 1, 2, 0),
        map(toIPv6('::ffff:192.0.2.1'), 2, toIPv6('::'), 1)
    FROM numbers(40)";

const SUMS: &str =
    "sum(queries), sum(responses), sum(answered), sumMap(rcodes), max(response_octets_max), sumMap(latency),
    sum(latency_sum_ns), min(latency_min_ns), max(latency_max_ns), sum(unknown_latency)";

#[test]
fn rollups_add_up_exactly_and_a_token_counts_once() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    apply(&database.url(), &[]);
    let insert = |token: &str| {
        let request = database.server().request(ROWS).database(&database.name);
        let request = request.setting("insert_deduplication_token", token).setting("optimize_on_insert", "0");
        request.setting("deduplicate_blocks_in_dependent_materialized_views", "1").send().unwrap()
    };
    insert("s/r/traffic/1");
    let sums = |table: &str| database.query(&format!("SELECT {SUMS} FROM {table}"));
    let expected = sums("traffic");
    assert!(expected.starts_with("120\t80\t80\t{'NOERROR':40,'NXDOMAIN':40}\t139\t"), "{expected}");
    let extremes = "SELECT min(latency_min_ns), max(latency_max_ns) FROM traffic_day WHERE qname = 'n";
    for table in TRAFFIC {
        insert("s/r/traffic/1");
        assert_eq!(sums(table), expected, "{table}");
        database.query(&format!("OPTIMIZE TABLE {table} FINAL"));
        assert_eq!(sums(table), expected, "{table}, merged");
    }
    assert_eq!(database.query(&format!("{extremes}1.example.'")), "\\N\t\\N");
    assert_eq!(database.query(&format!("{extremes}2.example.'")), "502\t5038");
    let rows: Vec<_> =
        TRAFFIC.iter().map(|table| database.query(&format!("SELECT count() FROM {table}"))).collect();
    // 10:30 to 11:24 is two hours, and one day; one zone has ten intervals.
    assert_eq!(rows, ["40", "8", "4", "10", "2"]);
    insert("s/r/traffic/2");
    for table in TRAFFIC {
        assert_eq!(database.query(&format!("SELECT sum(queries) FROM {table}")), "240", "{table}");
    }
    let views = "SELECT (SELECT sum(queries) FROM v_reachable), (SELECT sum(count) FROM v_latency), (SELECT sum(responses) FROM v_errors)";
    assert_eq!(database.query(views), "240\t120\t160");
}

#[test]
fn retention_spares_replays_and_can_be_changed() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    let url = database.url();
    apply(&url, &[]);
    let rows = "INSERT INTO traffic (interval, kind, queries)
        SELECT arrayJoin([toDateTime('2020-01-01 00:00:00', 'UTC'), now()]), arrayJoin(['live', 'replay']), 1";
    database.query(rows);
    let ttl = |table: &str| {
        let sql = format!(
            "SELECT extract(engine_full, ' TTL (.*) SETTINGS') FROM system.tables WHERE database = currentDatabase() AND name = '{table}'"
        );
        database.query(&sql)
    };
    assert_eq!(ttl("traffic"), "");
    assert!(apply(&url, &["--keep-intervals", "90d"]).contains("traffic"));
    assert!(ttl("traffic").contains("toIntervalDay(90)"), "{}", ttl("traffic"));
    assert_eq!(ttl("traffic_day"), "");
    assert!(!apply(&url, &["--keep-intervals", "90d"]).contains("retention"));
    apply(&url, &[]);
    assert!(ttl("traffic").contains("toIntervalDay(90)"));
    let kept = "SELECT arraySort(groupArray((kind, toYear(interval) = 2020))) FROM (SELECT kind, interval FROM traffic)";
    database.query("ALTER TABLE traffic MATERIALIZE TTL SETTINGS mutations_sync = 2");
    database.query("OPTIMIZE TABLE traffic FINAL");
    assert_eq!(database.query(kept), "[('live',0),('replay',0),('replay',1)]");
    apply(&url, &["--keep-intervals", "30d", "--expire-replays"]);
    assert_eq!(ttl("traffic"), "interval + toIntervalDay(30)");
    database.query("ALTER TABLE traffic MATERIALIZE TTL SETTINGS mutations_sync = 2");
    database.query("OPTIMIZE TABLE traffic FINAL");
    assert_eq!(database.query(kept), "[('live',0),('replay',0)]");
    apply(&url, &["--keep-intervals", "forever"]);
    assert_eq!(ttl("traffic"), "");
}

/// Rows of a migration: 40 quarters of an hour over two days, of one client and two types, by two sensors.
const ASKED: &str = "INSERT INTO drain (interval, sensor, run, kind, role, migration, zone, server, client, qtype, queries, rd_queries,
        responses, first_seen, last_seen)
    SELECT toDateTime('2026-11-20 18:30:00', 'UTC') + 900 * intDiv(number, 2) AS at, concat('s', toString(number % 2)), 'r', 'live', 'wire', 'm',
        'example.', '192.0.2.53', toIPv6('::ffff:198.51.100.1'), if(number % 4 < 2, 'A', 'NS'), 3, 1, 2,
        toDateTime64(at, 9, 'UTC') + toIntervalMillisecond(number), toDateTime64(at, 9, 'UTC') + 1
    FROM numbers(80)";

const ASKED_SUMS: &str = "sum(queries), sum(rd_queries), sum(responses), min(first_seen), max(last_seen)";

#[test]
fn version_1_goes_on_to_version_2_with_its_rows() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    let statements = Options::single(&database.name).statements(0);
    let first = statements
        .iter()
        .position(|sql| sql.contains("schema_version (version, applied_by) VALUES (1,"))
        .unwrap();
    statements.iter().take(first + 1).for_each(|sql| drop(database.query(sql)));
    assert_eq!(database.query("EXISTS TABLE drain_day"), "0");
    database.query(ASKED);
    let url = database.url();
    // Rollups are filled once, whoever goes this way at the same time or comes late.
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| apply(&url, &[]));
        }
    });
    Options::single(&database.name).statements(1).iter().for_each(|sql| drop(database.query(sql)));
    assert_eq!(database.query("SELECT max(version) FROM schema_version"), VERSION.to_string());
    let sums = |table: &str| database.query(&format!("SELECT {ASKED_SUMS} FROM {table}"));
    let expected = "240\t80\t160\t2026-11-20 18:30:00.000000000\t2026-11-21 04:15:01.000000000";
    for table in ["drain", "drain_day", "drain_hour"] {
        assert_eq!(sums(table), expected, "{table}");
    }
    // From 18:30 to 04:15: two days, eleven hours, two sensors.
    let rows = "SELECT (SELECT count() FROM drain_day), (SELECT count() FROM drain_hour), (SELECT count() FROM v_drain)";
    assert_eq!(database.query(rows), "4\t22\t2");
    let view = "SELECT queries, rd_queries, responses, intervals, qtypes, address FROM v_drain ORDER BY sensor LIMIT 1";
    assert_eq!(database.query(view), "120\t40\t80\t40\t['A','NS']\t198.51.100.1");
    // What comes from now on goes into all of them, and is known by its token.
    let later = "INSERT INTO drain (interval, sensor, run, kind, role, migration, zone, server, client, qtype, queries, first_seen, last_seen,
            visits, gap_min, gap_max)
        SELECT toDateTime('2026-11-21 04:15:00', 'UTC'), 's0', 'r', 'live', 'wire', 'm', 'example.', '192.0.2.53',
            toIPv6('::ffff:198.51.100.1'), 'A', 1, '2026-11-21 04:15:02', '2026-11-21 04:15:03', 2, arrayJoin([NULL, 70, 50]) AS gap, gap";
    for token in ["s0/r/drain/1", "s0/r/drain/1", "s0/r/drain/2"] {
        let request = database.server().request(later).database(&database.name);
        let request = request.setting("insert_deduplication_token", token);
        request.setting("deduplicate_blocks_in_dependent_materialized_views", "1").send().unwrap();
    }
    for table in ["drain", "drain_day", "drain_hour"] {
        database.query(&format!("OPTIMIZE TABLE {table} FINAL"));
        assert!(sums(table).starts_with("246\t80\t160\t"), "{table}: {}", sums(table));
    }
    let gaps = "SELECT sum(visits), min(gap_min), max(gap_max) FROM drain_day";
    assert_eq!(database.query(gaps), "12\t50\t70");
}

#[test]
fn the_cluster_form_is_sql() {
    if skipped() {
        return;
    }
    let database = Server::shared();
    let options = Options { cluster: Some("fleet".into()), ..Options::single("lowtide") };
    let statements = options.statements(0);
    for sql in &statements {
        assert_eq!(sql.contains("INSERT INTO"), !sql.contains("ON CLUSTER `fleet`"), "{sql}");
        let sql = format!("EXPLAIN AST {sql}");
        database.query(&sql);
    }
    for table in ["drain", "rrset"] {
        let of_all = format!("ALTER TABLE `lowtide`.{table} ON CLUSTER `fleet`");
        let of_shards = format!("ALTER TABLE `lowtide`.{table}_local ON CLUSTER `fleet`");
        assert_eq!(statements.iter().filter(|sql| sql.starts_with(&of_all)).count(), 1, "{of_all}");
        assert_eq!(statements.iter().filter(|sql| sql.starts_with(&of_shards)).count(), 1, "{of_shards}");
    }
    let engines = |name: &str| statements.iter().filter(|sql| sql.contains(name)).count();
    assert_eq!(engines("ENGINE = Distributed("), engines("ENGINE = Replicated"));
    assert_eq!(engines("replicated_deduplication_window = 10000"), engines("ENGINE = Replicated") - 1);
}
