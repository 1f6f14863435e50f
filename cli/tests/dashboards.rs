//! Every query of deploy/grafana, expanded as the plug-in does, on rows of testdata/clickhouse and of replayed captures.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests state their expectations by failing"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::{Database, Server};

const FILES: [&str; 4] = ["overview", "name", "server", "sensors"];
const PLUGIN: &str = "grafana-clickhouse-datasource";

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key} in {value}"))
}

fn dashboard(file: &str) -> Value {
    let path = path("deploy/grafana").join(file).with_extension("json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

fn variables(dashboard: &Value) -> &[Value] {
    items(&dashboard["templating"], "list")
}

fn panels(dashboard: &Value) -> &[Value] {
    items(dashboard, "panels")
}

/// As JavaScript's `encodeURIComponent`, and stricter: safe between quotes.
fn percent_encoded(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    value
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What a variable stands for: its values, or all of them without a list.
#[derive(Clone, Debug)]
enum Choice {
    All,
    Of(Vec<String>),
}

impl Choice {
    fn one(value: &str) -> Self {
        Self::Of(vec![value.to_owned()])
    }
}

/// A time range and the variables of a dashboard.
struct Scene {
    from: u64,
    to: u64,
    choices: BTreeMap<String, Choice>,
}

impl Scene {
    /// As `CHDatasource.ts`, then Grafana's `templateSrv`, then the plug-in's `macros.go` do it.
    fn expand(&self, sql: &str) -> String {
        let sql = self.variables(&self.conditional_all(sql));
        let sql = sql.replace("$__fromTime", &format!("toDateTime({})", self.from));
        let sql = sql.replace("$__toTime", &format!("toDateTime({})", self.to));
        assert!(!sql.contains('$'), "unknown macro: {sql}");
        sql
    }

    /// `$__conditionalAll(condition, $variable)`: the condition, or `1=1` where the variable is at All.
    fn conditional_all(&self, sql: &str) -> String {
        const MACRO: &str = "$__conditionalAll(";
        let mut sql = sql.to_owned();
        while let Some(begin) = sql.rfind(MACRO) {
            let rest = &sql[begin + MACRO.len()..];
            let mut depth = 1;
            let mut commas = Vec::new();
            let end = rest.find(|c| {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            let inside = &rest[..end.unwrap()];
            depth = 0;
            for (place, c) in inside.char_indices() {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    ',' if depth == 0 => commas.push(place),
                    _ => {}
                }
            }
            assert_eq!(commas.len(), 1, "two arguments: {inside}");
            let (condition, variable) = inside.split_at(commas[0]);
            let variable = variable[1..].trim().strip_prefix('$').unwrap();
            let phrase = match &self.choices[variable] {
                Choice::All => "1=1",
                Choice::Of(_) => condition,
            };
            sql = format!("{}{phrase}{}", &sql[..begin], &rest[inside.len() + 1..]);
        }
        sql
    }

    /// `$name`, `${name}` and `${name:format}`.
    fn variables(&self, sql: &str) -> String {
        let mut parts = sql.split('$');
        let mut expanded = parts.next().unwrap().to_owned();
        for part in parts {
            if part.starts_with("__") {
                expanded = expanded + "$" + part;
                continue;
            }
            let (reference, rest) = match part.strip_prefix('{') {
                Some(braced) => braced.split_once('}').unwrap(),
                None => part.split_at(
                    part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len()),
                ),
            };
            let (name, format) = reference.split_once(':').unwrap_or((reference, ""));
            let Choice::Of(values) =
                self.choices.get(name).unwrap_or_else(|| panic!("unknown variable {name}"))
            else {
                panic!("{name} at All, and not within $__conditionalAll: {sql}")
            };
            expanded += &match (format, values.as_slice()) {
                ("", [value]) => value.clone(),
                ("percentencode", [value]) => percent_encoded(value),
                ("sqlstring", values) => {
                    let quoted = values.iter().map(|value| format!("'{}'", value.replace('\'', "''")));
                    quoted.collect::<Vec<_>>().join(",")
                }
                _ => panic!("format {format} of {name} = {values:?}"),
            };
            expanded += rest;
        }
        expanded
    }
}

/// What the data source gets: columns by name and type, and rows.
struct Answer {
    columns: Vec<(String, String)>,
    rows: Vec<Vec<Value>>,
}

impl Answer {
    fn column(&self, name: &str) -> usize {
        self.columns
            .iter()
            .position(|column| column.0 == name)
            .unwrap_or_else(|| panic!("no column {name}: {:?}", self.columns))
    }

    fn field(&self, row: usize, name: &str) -> &Value {
        &self.rows[row][self.column(name)]
    }

    fn sum(&self, name: &str) -> f64 {
        let column = self.column(name);
        self.rows.iter().filter_map(|row| row[column].as_f64()).sum()
    }
}

fn is_number(kind: &str) -> bool {
    let kind = kind.strip_prefix("Nullable(").unwrap_or(kind);
    ["UInt", "Int", "Float"].iter().any(|number| kind.starts_with(number))
}

/// Whether the plug-in makes a field of its own of a type: not of the SimpleAggregateFunction that `max` and `any` keep.
fn is_shown(kind: &str) -> bool {
    let kind = kind.strip_prefix("Nullable(").unwrap_or(kind);
    is_number(kind)
        || ["String", "LowCardinality(String)", "DateTime"].iter().any(|shown| kind.starts_with(shown))
}

fn ask(database: &Database, what: &str, sql: &str) -> Answer {
    let request = format!("{sql}\nFORMAT JSONCompact");
    let answer = database
        .server()
        .request(&request)
        .database(&database.name)
        .setting("output_format_json_quote_64bit_integers", "0")
        .send()
        .unwrap_or_else(|failure| panic!("{what}: {failure:?}\n{sql}"));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let columns = items(&answer, "meta").iter();
    Answer {
        columns: columns
            .map(|column| (text(column, "name").to_owned(), text(column, "type").to_owned()))
            .collect(),
        rows: items(&answer, "data").iter().map(|row| row.as_array().unwrap().clone()).collect(),
    }
}

/// A dashboard opened: its variables as Grafana fills them (the first value, or All) but for what is chosen.
struct Opened {
    dashboard: Value,
    scene: Scene,
}

impl Opened {
    fn new(database: &Database, file: &str, (from, to): (u64, u64), chosen: &[(&str, &[&str])]) -> Self {
        let dashboard = dashboard(file);
        let mut scene = Scene { from, to, choices: BTreeMap::new() };
        for variable in variables(&dashboard) {
            let name = text(variable, "name");
            let chosen = chosen.iter().find(|(choice, _)| *choice == name).map(|(_, values)| *values);
            let choice = match (text(variable, "type"), chosen) {
                ("datasource", _) => continue,
                ("textbox", None) => Choice::one(text(variable, "query")),
                ("textbox", Some(values)) => Choice::one(values[0]),
                _ => {
                    let what = format!("{file}: variable {name}");
                    let answer = ask(database, &what, &scene.expand(text(variable, "query")));
                    assert_eq!(answer.columns.len(), 1, "{what}");
                    assert!(answer.columns[0].1.contains("String"), "{what}: {:?}", answer.columns);
                    let values: Vec<_> = answer.rows.iter().map(|row| row[0].as_str().unwrap()).collect();
                    assert!(!values.is_empty(), "{what}: no value");
                    match chosen {
                        Some(chosen) => {
                            assert!(chosen.iter().all(|value| values.contains(value)), "{what}: {values:?}");
                            Choice::Of(chosen.iter().map(|&value| value.to_owned()).collect())
                        }
                        None if variable["includeAll"] == true => Choice::All,
                        None => Choice::one(values[0]),
                    }
                }
            };
            scene.choices.insert(name.to_owned(), choice);
        }
        Self { dashboard, scene }
    }

    fn value(&self, variable: &str) -> &str {
        match &self.scene.choices[variable] {
            Choice::Of(values) => &values[0],
            Choice::All => panic!("{variable} is at All"),
        }
    }

    fn answer(&self, database: &Database, title: &str) -> Answer {
        let panel = panels(&self.dashboard).iter().find(|panel| panel["title"] == title).unwrap();
        ask(database, title, &self.scene.expand(text(&panel["targets"][0], "rawSql")))
    }

    /// Asks every panel, and checks that the answer is what its type needs; returns those without a row.
    fn check(&self, database: &Database) -> BTreeSet<String> {
        let mut silent = BTreeSet::new();
        for panel in panels(&self.dashboard) {
            let title = text(panel, "title");
            let what = format!("{}: {title}", text(&self.dashboard, "title"));
            let answer = self.answer(database, title);
            let names: Vec<_> = answer.columns.iter().map(|column| column.0.as_str()).collect();
            for (name, kind) in &answer.columns {
                assert!(is_shown(kind), "{what}: {name} is {kind}");
            }
            let numbers = answer.columns.iter().filter(|column| is_number(&column.1)).count();
            assert!(numbers > 0, "{what}: {:?}", answer.columns);
            let is_series = panel["targets"][0]["format"] == 0;
            if is_series {
                assert!(
                    answer.columns[0].0 == "time" && answer.columns[0].1.starts_with("DateTime"),
                    "{what}"
                );
                // Long, with one label and one number, which Grafana makes wide, or wide.
                let labels = answer.columns.len() - 1 - numbers;
                assert!(labels == 0 || (labels == 1 && numbers == 1), "{what}: {:?}", answer.columns);
                assert!(answer.rows.is_sorted_by_key(|row| row[0].as_str().unwrap()), "{what}: not by time");
                let keys: BTreeSet<_> =
                    answer.rows.iter().map(|row| format!("{:?}", &row[..=labels])).collect();
                assert_eq!(keys.len(), answer.rows.len(), "{what}: a point twice");
                if labels == 1 {
                    let label = format!("${{__field.labels.{}}}", names[1]);
                    let shown = &panel["fieldConfig"]["defaults"]["displayName"];
                    assert!(names[1] != "Value" && *shown == *label, "{what}: {shown} of {names:?}");
                }
            }
            if panel["type"] == "stat" {
                assert_eq!((numbers, answer.rows.len()), (names.len(), 1), "{what}: a number a field");
            }
            // What an override names is there.
            for matcher in items(&panel["fieldConfig"], "overrides").iter().map(|one| &one["matcher"]) {
                if !is_series && matcher["id"] == "byName" {
                    assert!(names.contains(&text(matcher, "options")), "{what}: {matcher} of {names:?}");
                }
            }
            if answer.rows.is_empty() {
                silent.insert(title.to_owned());
            }
        }
        silent
    }
}

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
            assert!(text(panel, "description").contains("Table"), "{title}: which table?");
            assert!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), "{title}: unit");
            uses_source(panel);
            for target in items(panel, "targets") {
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
    for file in ["vanished.sql", "coverage.sql", "sensor_run.sql"] {
        run(file, &[]);
    }
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
    // Up to a day, up to a month and beyond: each of the tables.
    let ranges = [(NOON, NOON + 3 * 3600), (NOON - 2 * DAY, NOON + DAY), (END - 90 * DAY, END)];
    for (number, range) in ranges.into_iter().enumerate() {
        for file in FILES {
            let opened = Opened::new(&database, file, range, &[name]);
            assert_eq!(opened.value("kind"), "live");
            let silent = opened.check(&database);
            // A sensor was off and all ran on within the 90 days; three hours may be without any event.
            let may_be_silent = ["Gaps", "Loss by reason", "Do the accounts balance?"];
            assert!(
                silent.iter().all(|title| number < 2 && may_be_silent.contains(&title.as_str())),
                "{silent:?}"
            );
            let silent = Opened::new(&database, file, range, &[name, some]).check(&database);
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
