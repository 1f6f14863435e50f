//! The verdict on what live sensors saw: silence is proof only of who watched, all the time.

use std::process::Command;

use crate::fleet::{Fleet, OLD};
use crate::support::skipped;

/// A month of two sensors; the old server was asked on the first two days.
fn quiet() -> Fleet {
    let fleet = Fleet::new();
    for sensor in ["ns1", "ns2"] {
        fleet.watched(sensor, 0, 30, "0");
        fleet.asked(sensor, "r", "203.0.113.7", "2026-03-01 05:00:00", 3);
        fleet.asked(sensor, "r", "203.0.113.8", "2026-03-02 23:10:00", 1);
    }
    fleet
}

#[test]
fn silence_that_all_sensors_watched_is_drained() {
    if skipped() {
        return;
    }
    let fleet = quiet();
    fleet.check("2026-03-30T00:00:00Z", &[], 0, "drained", "all of it was watched");
    fleet.check("2026-03-03T12:00:00Z", &[], 3, "draining", "2 times in the last 24 h");
    let report = fleet.report(&["--at", "2026-03-30T00:00:00Z"], 0);
    let server = &report["servers"][0];
    assert_eq!(
        (server["queries"].as_u64(), server["last_query"].as_str()),
        (Some(8), Some("2026-03-02T23:10:00.000000000Z"))
    );
    assert_eq!(server["coverage"]["fraction"], 1.0);
    assert_eq!(server["residual_clients"].as_array().unwrap().len(), 2);
    assert_eq!(report["split"].as_array().unwrap().len(), 2);
    // What came later is not looked at.
    let report = fleet.report(&["--at", "2026-03-02T04:00:00Z"], 3);
    assert_eq!(report["servers"][0]["queries"], 6);
    // In the midst of an hour and of a day, the rows of intervals tell.
    let report = fleet.report(&["--at", "2026-03-02T23:09:59Z"], 0);
    assert_eq!(report["servers"][0]["queries"], 6);
    let report = fleet.report(&["--at", "2026-03-02T23:10:00Z"], 3);
    assert_eq!(report["servers"][0]["queries"], 8);
}

#[test]
fn a_minute_that_nobody_watched_is_unknown() {
    if skipped() {
        return;
    }
    let fleet = Fleet::new();
    // 28 March, 10:00.
    fleet.watched("ns1", 0, 29, &format!("minute = {}", 27 * 1_440 + 600));
    fleet.asked("ns1", "r", "203.0.113.7", "2026-03-01 05:00:00", 3);
    let hole =
        "from 2026-03-28T10:00:00.000000000Z to 2026-03-28T10:01:00.000000000Z: ns1 eth0: nobody looked";
    fleet.check("2026-03-29T00:00:00Z", &[], 4, "unknown", hole);
    // A day later it is out of the quiet period; then the sensor ends.
    fleet.check("2026-03-29T10:02:00Z", &[], 0, "drained", "quiet");
    fleet.check(
        "2026-03-30T10:10:00Z",
        &[],
        4,
        "unknown",
        "ns1 eth0: nothing of it since 2026-03-30T00:00:00",
    );
    fleet.watched("ns1", 29, 30, "0");
    // A source that was not asked to watch the server, for a minute.
    let delete = format!(
        "ALTER TABLE coverage DELETE WHERE server = '{OLD}' AND interval = '2026-03-29 23:00:00' SETTINGS mutations_sync = 2"
    );
    fleet.database.query(&delete);
    fleet.check(
        "2026-03-30T00:00:00Z",
        &[],
        4,
        "unknown",
        "2026-03-29T23:00:00.000000000Z to 2026-03-29T23:01",
    );
}

#[test]
fn what_was_lost_is_unknown() {
    if skipped() {
        return;
    }
    let fleet = quiet();
    let lose = |what: &str| {
        fleet.database.query(&format!(
            "INSERT INTO coverage (interval, sensor, run, kind, source, server, lost, unknown) SELECT '2026-03-29 10:00:00', 'ns2', 'r', 'live', {what}"
        ))
    };
    lose("'eth0', '', map('kernel_drop', 7), 0");
    let hole = "2026-03-29T10:00:00.000000000Z to 2026-03-29T10:01:00.000000000Z: ns2 eth0: kernel_drop 7";
    fleet.check("2026-03-30T00:00:00Z", &[], 4, "unknown", hole);
    fleet.check("2026-03-29T09:59:00Z", &[], 0, "drained", "quiet");
    fleet.check("2026-03-30T00:00:00Z", &["--sensor", "ns1"], 0, "drained", "quiet");
}

#[test]
fn losses_of_all_kinds_are_holes() {
    if skipped() {
        return;
    }
    for (what, told) in [
        ("'eth0', '', map('not_running_ms', 1500), 1", "not running for 1.500 s"),
        ("'eth0', '', map(), 1", "nobody knows what was lost"),
        ("'spool', '', map('spool_dropped_rows', 9), 0", "spool_dropped_rows 9"),
        ("'eth0', '192.0.2.53', map('unread_query', 2), 0", "2 queries whose name was not captured"),
    ] {
        let fleet = Fleet::new();
        fleet.watched("ns2", 0, 30, "0");
        fleet.asked("ns2", "r", "203.0.113.7", "2026-03-01 05:00:00", 3);
        fleet.database.query(&format!(
            "INSERT INTO coverage (interval, sensor, run, kind, source, server, lost, unknown) SELECT '2026-03-29 10:00:00', 'ns2', 'r', 'live', {what}"
        ));
        fleet.check("2026-03-30T00:00:00Z", &[], 4, "unknown", told);
    }
}

#[test]
fn a_dead_sensor_is_unknown_and_named_until_the_others_alone_are_asked() {
    if skipped() {
        return;
    }
    let fleet = quiet();
    fleet.watched("ns3", 0, 27, "0");
    fleet.check(
        "2026-03-30T00:00:00Z",
        &[],
        4,
        "unknown",
        "ns3 eth0: nothing of it since 2026-03-28T00:00:00",
    );
    fleet.check("2026-03-30T00:00:00Z", &["--sensor", "ns1", "--sensor", "ns2"], 0, "drained", "quiet");
    // What it saw counts, whoever is asked to have been whole.
    fleet.asked("ns3", "r", "203.0.113.9", "2026-03-29 12:00:00", 1);
    let others = ["--at", "2026-03-30T00:00:00Z", "--sensor", "ns1", "--sensor", "ns2"];
    let report = fleet.report(&others, 3);
    assert!(report["reasons"].to_string().contains("was asked for corp.example. once"), "{report}");
    // By the clock all of them have been dead for long.
    let report = fleet.report(&[], 4);
    assert!(report["reasons"].to_string().contains("ns1 eth0: nothing of it"), "{}", report["reasons"]);
}

#[test]
fn a_weekly_client_makes_the_quiet_period_two_weeks_whatever_is_restarted() {
    if skipped() {
        return;
    }
    let fleet = Fleet::new();
    fleet.watched("ns1", 0, 60, "0");
    // On five Sundays, each in a run of its own.
    for day in ["03-01", "03-08", "03-15", "03-22", "03-29"] {
        fleet.asked("ns1", &format!("run-{day}"), "203.0.113.7", &format!("2026-{day} 05:00:00"), 1);
    }
    let report = fleet.report(&["--at", "2026-04-05T00:00:00Z"], 3);
    assert_eq!(report["quiet_required_s"], 14.0 * 86_400.0);
    assert!(report["reasons"].to_string().contains("203.0.113.7 comes every 7 d"), "{}", report["reasons"]);
    let client = &report["servers"][0]["residual_clients"][0];
    assert_eq!(
        (client["class"].as_str(), client["period_s"].as_f64()),
        (Some("monitor"), Some(7.0 * 86_400.0))
    );
    fleet.check("2026-04-13T00:00:00Z", &[], 0, "drained", "periodic-client");
}

#[test]
fn own_monitors_and_roles_are_counted_once_and_apart() {
    if skipped() {
        return;
    }
    let mut fleet = quiet();
    // The same server beside its own dnstap: the same queries, and one that only one of the two saw.
    fleet.row("ns1", "r", "auth", "203.0.113.7", "2026-03-01 05:00:00", 3);
    fleet.row("ns1", "r", "auth", "203.0.113.9", "2026-03-04 05:00:00", 1);
    fleet.row("ns1", "r", "wire", "203.0.113.10", "2026-03-04 05:01:00", 1);
    fleet.asked("ns1", "r", "198.51.100.9", "2026-03-29 12:00:00", 50);
    let report = fleet.report(&["--at", "2026-03-30T00:00:00Z"], 3);
    assert_eq!(report["servers"][0]["queries"], 8 + 50 + 1);
    fleet.plan += "set_apart = ['198.51.100.0/24']\n";
    let report = fleet.report(&["--at", "2026-03-30T00:00:00Z"], 0);
    let server = &report["servers"][0];
    assert_eq!((server["queries"].as_u64(), server["queries_set_apart"].as_u64()), (Some(9), Some(50)));
    // The last query is the last in any role.
    fleet.row("ns1", "r", "auth", "203.0.113.9", "2026-03-29 20:00:00", 1);
    let report = fleet.report(&["--at", "2026-03-30T00:00:00Z"], 3);
    assert_eq!(report["servers"][0]["last_query"], "2026-03-29T20:00:00.000000000Z");
}

#[test]
fn a_weekly_client_of_the_role_with_fewer_queries_makes_the_quiet_period_two_weeks() {
    if skipped() {
        return;
    }
    let fleet = Fleet::new();
    fleet.watched("ns1", 0, 60, "0");
    fleet.row("ns1", "r", "wire", "203.0.113.8", "2026-03-01 04:00:00", 1_000);
    for day in ["03-01", "03-08", "03-15", "03-22", "03-29"] {
        fleet.row("ns1", &format!("run-{day}"), "auth", "203.0.113.7", &format!("2026-{day} 05:00:00"), 1);
    }
    let report = fleet.report(&["--at", "2026-04-05T00:00:00Z"], 3);
    assert_eq!(report["quiet_required_s"], 14.0 * 86_400.0);
    assert_eq!(report["servers"][0]["queries"], 1_000);
    fleet.check("2026-04-13T00:00:00Z", &[], 0, "drained", "periodic-client");
}

#[test]
fn a_sensor_that_was_not_told_of_a_zone_proves_nothing_of_it() {
    if skipped() {
        return;
    }
    let count = |fleet: &Fleet, table: &str, zone: &str, qname: &str| {
        let (column, qname) =
            if qname.is_empty() { ("", String::new()) } else { (", qname", format!(", '{qname}'")) };
        fleet.database.query(&format!(
            "INSERT INTO {table} (interval, sensor, run, kind, server, role, transport, zone{column}, queries)
             SELECT '2026-03-29 12:30:00', 'ns1', 'r', 'live', '{OLD}', 'wire', 'udp', '{zone}'{qname}, 5"
        ));
    };
    // The zone is one below that of the sensor's own account.
    let fleet = quiet();
    count(&fleet, "traffic", "example.", "www.other.example.");
    fleet.check("2026-03-30T00:00:00Z", &[], 0, "drained", "quiet");
    count(&fleet, "traffic", "example.", "www.corp.example.");
    fleet.check("2026-03-30T00:00:00Z", &[], 4, "unknown", "5 queries to 192.0.2.53 in this hour");
    // It knows another zone of the migration, of which it has a row in the same hour.
    let mut fleet = quiet();
    fleet.plan = fleet.plan.replace("['corp.example']", "['corp.example', 'shop.example']");
    fleet.plan += "set_apart = ['198.51.100.0/24']\n";
    fleet.asked("ns1", "r", "198.51.100.9", "2026-03-29 12:00:00", 1);
    fleet.database.query(
        "INSERT INTO drain SELECT * REPLACE ('shop.example.' AS zone) FROM (SELECT * FROM drain WHERE interval < '2026-03-03')",
    );
    fleet.check("2026-03-30T00:00:00Z", &[], 0, "drained", "quiet");
    count(&fleet, "traffic_zone", "shop.example.", "");
    fleet.check("2026-03-30T00:00:00Z", &[], 4, "unknown", "5 queries to 192.0.2.53 in this hour");
}

#[test]
fn where_there_is_no_evidence_nothing_is_drained() {
    if skipped() {
        return;
    }
    let fleet = Fleet::new();
    let report = fleet.report(&[], 4);
    assert_eq!(
        (report["verdict"].as_str(), report["reasons"][0]["code"].as_str()),
        (Some("unknown"), Some("no-coverage"))
    );
    // Watched, but nobody ever asked for the zone.
    fleet.watched("ns1", 0, 30, "0");
    fleet.check("2026-03-30T00:00:00Z", &[], 4, "unknown", "never-asked");
    // Not a schema, an old one, no server; a password is never told.
    let failed = |url: &str, text: &str| {
        let output = fleet.output(&["--clickhouse-timeout", "5s"]);
        drop(output);
        let output = Command::new(env!("CARGO_BIN_EXE_lowtide"))
            .args(["drain", "--config", "../testdata/migration.toml", "--clickhouse", url])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(text) && output.stdout.is_empty(), "{said}");
    };
    let server = fleet.database.server();
    let empty = server.create_database();
    failed(&server.url(&empty), "has no lowtide schema");
    server.query(&format!("CREATE TABLE {empty}.schema_version (version UInt32) ENGINE = Memory"));
    server.query(&format!("INSERT INTO {empty}.schema_version VALUES (1)"));
    failed(&server.url(&empty), "schema version 1");
    failed("http://127.0.0.1:1/lowtide", "127.0.0.1:1");
    // Files or ClickHouse.
    let output = fleet.output(&["a.pcap"]);
    assert_eq!(output.status.code(), Some(2));
}
