//! Every query of deploy/grafana, expanded as the plug-in does, on rows of testdata/clickhouse and of replayed captures.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state their expectations by failing"
)]

mod migration;
mod scene;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use scene::{FILES, Opened, PLUGIN, asking, dashboard, items, panels, path, text, variables};
use serde_json::Value;
use support::{Database, Server};

#[test]
fn dashboards_are_complete_and_tidy() {
    let mut uids = BTreeSet::new();
    let dashboards = FILES.map(dashboard);
    let files: BTreeSet<_> = fs::read_dir(path("deploy/grafana"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(files, FILES.map(str::to_owned).into());
    for dashboard in &dashboards {
        assert!(uids.insert(text(dashboard, "uid")), "two of a uid");
        assert!(dashboard["schemaVersion"].as_u64() >= Some(41));
        for leftover in ["id", "iteration", "gnetId", "__inputs", "__requires"] {
            assert!(dashboard.get(leftover).is_none(), "{leftover}");
        }
        assert!(!text(dashboard, "title").is_empty() && !text(dashboard, "description").is_empty());
        let source = &variables(dashboard)[0];
        assert_eq!((text(source, "name"), text(source, "type")), ("DS_CLICKHOUSE", "datasource"));
        assert_eq!(text(source, "query"), PLUGIN);
        let uses_source = |thing: &Value| {
            assert_eq!(text(&thing["datasource"], "type"), PLUGIN);
            assert_eq!(text(&thing["datasource"], "uid"), "${DS_CLICKHOUSE}");
        };
        for variable in variables(dashboard).iter().filter(|variable| variable["type"] == "query") {
            uses_source(variable);
            assert_eq!(variable["query"], variable["definition"]);
        }
        let (mut ids, mut titles, mut taken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for panel in panels(dashboard) {
            let title = text(panel, "title");
            assert!(titles.insert(title), "{title}: twice");
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: id");
            if panel["type"] == "text" {
                assert!(!text(&panel["options"], "content").is_empty(), "{title}");
            } else {
                assert!(text(panel, "description").contains("Table"), "{title}: which table?");
                assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{title}: unit");
                uses_source(panel);
            }
            for target in
                asking(dashboard).filter(|other| *other == panel).flat_map(|panel| items(panel, "targets"))
            {
                uses_source(target);
                assert_eq!(text(target, "editorType"), "sql", "{title}");
                // A user with readonly = 1 may not change settings.
                assert!(!text(target, "rawSql").contains("SETTINGS"), "{title}");
                let is_series = ["timeseries", "heatmap"].contains(&text(panel, "type"));
                let format = if is_series { (0, "timeseries") } else { (1, "table") };
                assert_eq!(
                    (target["format"].as_u64(), text(target, "queryType")),
                    (Some(format.0), format.1),
                    "{title}"
                );
            }
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24, "{title}: beyond the grid");
            for place in
                (at("x")..at("x") + at("w")).flat_map(|x| (at("y")..at("y") + at("h")).map(move |y| (x, y)))
            {
                assert!(taken.insert(place), "{title}: overlaps at {place:?}");
            }
        }
    }
    // Links lead to dashboards and to variables that are there.
    for dashboard in &dashboards {
        for link in dashboard.to_string().split("\"url\":\"/d/").skip(1) {
            let (uid, rest) = link.split_once('?').unwrap();
            let target = dashboards.iter().find(|other| other["uid"] == uid).unwrap();
            let names: Vec<_> = variables(target).iter().map(|variable| text(variable, "name")).collect();
            for parameter in rest.split('"').next().unwrap().split('&') {
                let name = parameter.strip_prefix("var-").and_then(|rest| rest.split('=').next());
                let passed = parameter.strip_prefix("${").and_then(|rest| rest.strip_suffix(":queryparam}"));
                let is_time =
                    ["from=", "to=", "${__url_time_range}"].iter().any(|time| parameter.starts_with(time));
                assert!(
                    is_time || name.or(passed).is_some_and(|name| names.contains(&name)),
                    "{uid}: {parameter}"
                );
            }
        }
    }
}

/// A database with three hours of generated rows of sensors that are alive, and what one capture each left.
fn fill(database: &Database) {
    lowtide(&["schema", "--apply", "--clickhouse", &database.url()]);
    let run = |file: &str, rows: &[(&str, &str)]| {
        let sql = fs::read_to_string(path("testdata/clickhouse").join(file)).unwrap();
        let mut request = database.server().request(&sql).database(&database.name);
        request = request.setting("param_begin", "2026-08-23 00:00:00");
        for (name, value) in rows {
            request = request.setting(name, value);
        }
        request.send().unwrap();
    };
    // 7,716 rows an interval of ten minutes: noon to three of the 88th day.
    run("traffic.sql", &[("param_from", "98332704"), ("param_rows", "138888")]);
    for file in ["vanished.sql", "coverage.sql", "sensor_run.sql", "drain.sql", "rrset.sql"] {
        run(file, &[]);
    }
    // One of the old servers of its migration is watched.
    database.query(
        "INSERT INTO coverage SELECT interval, sensor, run, kind, source, '192.0.2.10', 0, 0, 5, first, last, 600, map(), 0 \
         FROM coverage WHERE sensor = 'sensor-00'",
    );
}

fn lowtide(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lowtide")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn replay(arguments: &[&str], capture: &str) -> Value {
    let capture = path("testdata").join(capture);
    let begin = ["replay", "--json", "--top", "1000000", "--interval", "1s", capture.to_str().unwrap()];
    serde_json::from_str(&lowtide(&[&begin, arguments].concat())).unwrap()
}

const DAY: u64 = 86_400;
/// 2026-11-19 12:00:00, where the generated traffic begins.
const NOON: u64 = 1_795_089_600;
/// The end of the generated coverage.
const END: u64 = NOON + 36 * 3600;
const GONE: &str = "old-portal.corp.example.";

#[test]
fn every_query_answers_on_rows_of_a_fleet() {
    if support::skipped() {
        return;
    }
    let database = Server::shared();
    fill(&database);
    let name: (&str, &[&str]) = ("name", &[GONE]);
    let some: (&str, &[&str]) = ("sensor", &["sensor-02", "sensor-13"]);
    let old: (&str, &[&str]) = ("old", &["192.0.2.10", "192.0.2.11"]);
    // Up to a day, up to a month and beyond: each of the tables.
    let ranges = [(NOON, NOON + 3 * 3600), (NOON - 2 * DAY, NOON + DAY), (END - 90 * DAY, END)];
    for (number, range) in ranges.into_iter().enumerate() {
        for file in FILES {
            let opened = Opened::new(&database, file, range, &[name, old]);
            assert_eq!(opened.value("kind"), "live");
            let silent = opened.check(&database);
            // A sensor was off and all ran on within the 90 days; three hours may be without any event.
            let may_be_silent =
                ["Gaps", "Loss by reason", "Do the accounts balance?", "Losses of these sources by reason"];
            assert!(
                silent.iter().all(|title| number < 2 && may_be_silent.contains(&title.as_str())),
                "{silent:?}"
            );
            // One sensor made the rows of the migration.
            let some = if file == "migration" { ("sensor", &["sensor-00"][..]) } else { some };
            let silent = Opened::new(&database, file, range, &[name, some, old]).check(&database);
            assert!(
                silent.iter().all(|title| number < 2 && may_be_silent.contains(&title.as_str())),
                "{silent:?}"
            );
        }
        let table = |file: &str| Opened::new(&database, file, range, &[name]).value("table").to_owned();
        let tables = [
            ["traffic_zone", "traffic"],
            ["traffic_server", "traffic_hour"],
            ["traffic_server", "traffic_day"],
        ];
        assert_eq!([table("overview"), table("name")], tables[number]);
    }

    // Three hours of each dashboard against SQL over traffic.
    let range = ranges[0];
    let within = format!(
        "interval >= toDateTime({}) AND interval < toDateTime({}) AND kind = 'live'",
        range.0, range.1
    );
    let number = |sql: &str| database.query(sql).parse::<f64>().unwrap();
    let opened = Opened::new(&database, "overview", range, &[some]);
    let sensors = "sensor IN ('sensor-02', 'sensor-13') AND role = 'wire'";
    let queries = number(&format!("SELECT sum(queries) FROM traffic WHERE {within} AND {sensors}"));
    for title in ["Servers", "Largest zones"] {
        let all = opened.answer(&database, title);
        assert!(title != "Servers" || all.sum("queries") == queries, "{title}");
        assert!(all.sum("queries") <= queries, "{title}");
    }
    let rate = opened.answer(&database, "At a glance").sum("queries");
    assert!((rate * 10_800.0 - queries).abs() < 1e-6 * queries, "{rate} {queries}");
    let opened = Opened::new(&database, "name", range, &[name]);
    let clients = opened.answer(&database, "Clients");
    let asked = number(&format!(
        "SELECT sum(queries) FROM traffic WHERE {within} AND role = 'wire' AND qname = '{GONE}'"
    ));
    assert_eq!((clients.sum("queries"), clients.sum("while NXDOMAIN")), (asked, asked));
    // The day that sensor-13 was off, and only that.
    let opened = Opened::new(&database, "sensors", ranges[2], &[]);
    let gaps = opened.answer(&database, "Gaps");
    assert_eq!(gaps.rows.len(), 1);
    assert_eq!((gaps.field(0, "sensor").as_str(), gaps.sum("length")), (Some("sensor-13"), DAY as f64));
    let lost = opened.answer(&database, "Loss by reason").sum("Value");
    assert_eq!(lost, number("SELECT sum(arraySum(mapValues(lost))) FROM coverage"));
    let days = opened.answer(&database, "Rows by day");
    assert_eq!(days.rows.len(), 90);
}

#[test]
fn figures_of_a_replay_are_its_reports() {
    if support::skipped() {
        return;
    }
    let database = Server::shared();
    let url = database.url();
    for capture in ["migration.pcapng.zst", "names.pcap", "bind-resolver.dnstap.zst"] {
        let said = replay(&["--clickhouse", &url, "--sensor", "shelf", "--run", capture], capture);
        let first_last = format!(
            "SELECT toUnixTimestamp(assumeNotNull(first)), toUnixTimestamp(assumeNotNull(last)) + 1 \
             FROM sensor_run FINAL WHERE run = '{capture}'"
        );
        let times = database.query_rows(&first_last);
        let range = (times[0][0].parse().unwrap(), times[0][1].parse().unwrap());
        let run: (&str, &[&str]) = ("run", &[capture]);
        let roles = items(&said, "roles").iter().map(|role| text(role, "role"));
        for role in roles.collect::<BTreeSet<_>>() {
            let of_role = |list: &str| -> Vec<Value> {
                items(&said, list).iter().filter(|one| one["role"] == role).cloned().collect()
            };
            let of = |file: &str, more: (&str, &[&str])| {
                Opened::new(&database, file, range, &[run, ("role", &[role]), more])
            };
            let overview = of("overview", ("kind", &["replay"]));
            assert_eq!(overview.check(&database), BTreeSet::new());
            let servers = overview.answer(&database, "Servers");
            let said_servers = of_role("servers");
            assert_eq!(servers.rows.len(), said_servers.len(), "{capture} {role}");
            for (row, address) in
                servers.rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).enumerate()
            {
                let said = said_servers.iter().find(|one| one["address"] == *address).unwrap();
                for (column, figure) in [("queries", &said["queries"]), ("responses", &said["responses"])] {
                    assert_eq!(servers.field(row, column), figure, "{capture} {role} {address} {column}");
                }
                for quantile in ["p50", "p99"] {
                    let (shown, said) = (servers.field(row, quantile), &said["latency_us"][quantile]);
                    let (shown, said) = (shown.as_f64().unwrap_or(-1.0), said.as_f64().unwrap_or(-1.0));
                    assert!(
                        (shown - said).abs() <= said.abs() * 1e-9,
                        "{address} {quantile}: {shown} {said}"
                    );
                }
                let server = of("server", ("server", &[&address]));
                assert_eq!(server.check(&database), BTreeSet::new());
                let rates = server.answer(&database, "Queries and responses");
                let seconds: f64 = server.value("bucket").parse().unwrap();
                assert_eq!((rates.sum("queries") * seconds).round(), said["queries"].as_f64().unwrap());
                let cells = server.answer(&database, "Latency distribution");
                let samples: f64 = cells.columns[1..].iter().map(|column| cells.sum(&column.0)).sum();
                assert_eq!(Some(samples), said["latency_us"]["count"].as_f64(), "{address}");
            }
            let names = overview.answer(&database, "Busiest names");
            let said_names = of_role("qnames");
            let busiest = said_names.iter().map(|one| one["queries"].as_u64().unwrap()).max();
            assert_eq!(names.field(0, "queries").as_u64(), busiest);
            // Of some, the dashboard, and of all of an odd shape.
            let odd = said_names.iter().filter(|one| text(one, "qname").contains(['\\', '\'']));
            for one in said_names.iter().take(3).chain(odd) {
                let qname = text(one, "qname");
                let name = of("name", ("name", &[qname]));
                let silent = name.check(&database);
                assert!(silent.is_empty() || one["responses"] == 0, "{qname}: {silent:?}");
                let all = |figure: &str| -> f64 {
                    let its = said_names.iter().filter(|one| one["qname"] == qname);
                    its.map(|one| one[figure].as_f64().unwrap()).sum()
                };
                let compared = name.answer(&database, "Servers compared");
                for figure in ["queries", "responses"] {
                    assert_eq!(compared.sum(figure), all(figure), "{qname} {figure}");
                }
            }
        }
        let sensors = Opened::new(&database, "sensors", range, &[]);
        let silent: Vec<_> = sensors.check(&database).into_iter().collect();
        assert!(
            silent.iter().all(|title| ["Gaps", "Loss by reason"].contains(&title.as_str())),
            "{silent:?}"
        );
        let runs = sensors.answer(&database, "Runs of the sensors");
        let mine = (0..runs.rows.len()).find(|&row| runs.field(row, "run") == capture).unwrap();
        assert_eq!(runs.field(mine, "queries"), &said["messages"]["queries"]);
        let accounts = sensors.answer(&database, "Do the accounts balance?");
        let off = ["queries off", "responses off", "dropped"].map(|column| accounts.sum(column));
        assert!(!accounts.rows.is_empty() && off == [0.0; 3], "{off:?}");
    }
}
