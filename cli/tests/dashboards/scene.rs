//! Dashboards opened as Grafana opens them: variables filled, macros expanded, and queries asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Database;

pub const FILES: [&str; 5] = ["overview", "name", "server", "sensors", "migration"];
pub const PLUGIN: &str = "grafana-clickhouse-datasource";

pub fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value}"))
}

pub fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no list {key} in {value}"))
}

pub fn dashboard(file: &str) -> Value {
    let path = path("deploy/grafana").join(file).with_extension("json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

pub fn variables(dashboard: &Value) -> &[Value] {
    items(&dashboard["templating"], "list")
}

pub fn panels(dashboard: &Value) -> &[Value] {
    items(dashboard, "panels")
}

/// All panels but those that show a text of their own.
pub fn asking(dashboard: &Value) -> impl Iterator<Item = &Value> {
    panels(dashboard).iter().filter(|panel| panel["type"] != "text")
}

/// As JavaScript's `encodeURIComponent`, and stricter: safe between quotes.
pub fn percent_encoded(value: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    value
        .bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What a variable stands for: its values, or all of them without a list.
#[derive(Clone, Debug)]
pub enum Choice {
    All,
    Of(Vec<String>),
}

impl Choice {
    pub fn one(value: &str) -> Self {
        Self::Of(vec![value.to_owned()])
    }
}

/// A time range and the variables of a dashboard.
pub struct Scene {
    pub from: u64,
    pub to: u64,
    pub choices: BTreeMap<String, Choice>,
}

impl Scene {
    /// As `CHDatasource.ts`, then Grafana's `templateSrv`, then the plug-in's `macros.go` do it.
    pub fn expand(&self, sql: &str) -> String {
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
pub struct Answer {
    pub columns: Vec<(String, String)>,
    pub rows: Vec<Vec<Value>>,
}

impl Answer {
    pub fn column(&self, name: &str) -> usize {
        self.columns
            .iter()
            .position(|column| column.0 == name)
            .unwrap_or_else(|| panic!("no column {name}: {:?}", self.columns))
    }

    pub fn field(&self, row: usize, name: &str) -> &Value {
        &self.rows[row][self.column(name)]
    }

    pub fn sum(&self, name: &str) -> f64 {
        let column = self.column(name);
        self.rows.iter().filter_map(|row| row[column].as_f64()).sum()
    }
}

pub fn is_number(kind: &str) -> bool {
    let kind = kind.strip_prefix("Nullable(").unwrap_or(kind);
    ["UInt", "Int", "Float"].iter().any(|number| kind.starts_with(number))
}

/// Whether the plug-in makes a field of its own of a type: not of the SimpleAggregateFunction that `max` and `any` keep.
pub fn is_shown(kind: &str) -> bool {
    let kind = kind.strip_prefix("Nullable(").unwrap_or(kind);
    is_number(kind)
        || ["String", "LowCardinality(String)", "DateTime"].iter().any(|shown| kind.starts_with(shown))
}

pub fn ask(database: &Database, what: &str, sql: &str) -> Answer {
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
pub struct Opened {
    pub dashboard: Value,
    pub scene: Scene,
}

impl Opened {
    pub fn new(database: &Database, file: &str, (from, to): (u64, u64), chosen: &[(&str, &[&str])]) -> Self {
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

    pub fn value(&self, variable: &str) -> &str {
        match &self.scene.choices[variable] {
            Choice::Of(values) => &values[0],
            Choice::All => panic!("{variable} is at All"),
        }
    }

    pub fn answer(&self, database: &Database, title: &str) -> Answer {
        let panel = panels(&self.dashboard).iter().find(|panel| panel["title"] == title).unwrap();
        ask(database, title, &self.scene.expand(text(&panel["targets"][0], "rawSql")))
    }

    /// Asks every panel, and checks that the answer is what its type needs; returns those without a row.
    pub fn check(&self, database: &Database) -> BTreeSet<String> {
        let mut silent = BTreeSet::new();
        for panel in asking(&self.dashboard) {
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
