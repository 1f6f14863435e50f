//! Rows of `traffic` and its rollups, grouped: the statements, and what they give.
//!
//! All statements are one SELECT with other keys. The range is parted so that each part is read from the coarsest
//! rollup that is exact for it: days in the middle, hours and intervals at its edges. Rows of one key add up, so the
//! parts do too. What people typed goes to the server as query parameters and is never part of a statement.

use std::collections::BTreeMap;

use clickhouse::query::Query;
use clickhouse::{Client, Row};
use lowtide_aggregate::report::{Interval, Latency, Transactions};
use lowtide_aggregate::summary::{histogram_us, quantile};
use lowtide_aggregate::window::Counter;
use lowtide_proto::{NameBuf, Role};
use serde::Deserialize;

/// Seconds of an hour.
pub const HOUR: u32 = 3_600;
/// Seconds of a day.
pub const DAY: u32 = 86_400;

/// The start of intervals, seconds since 1970: from inclusive, to exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The earliest start.
    pub from: u32,
    /// The moment before which intervals start.
    pub to: u32,
}

/// Which rows are asked for. An empty list = all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Zones.
    pub zones: Vec<NameBuf>,
    /// Names.
    pub names: Vec<NameBuf>,
    /// Sensors.
    pub sensors: Vec<String>,
    /// Runs.
    pub runs: Vec<String>,
}

/// Tables that tell the same, coarsest first, and the seconds to which their intervals are aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// With zones, names and types.
    Names,
    /// With zones.
    Zones,
    /// With servers alone.
    Servers,
}

impl Tables {
    const fn grains(self) -> &'static [(&'static str, u32)] {
        match self {
            Tables::Names => &[("traffic_day", DAY), ("traffic_hour", HOUR), ("traffic", 1)],
            // A day of names is fewer rows than a day of minutes without names.
            Tables::Zones => &[("traffic_day", DAY), ("traffic_hour", HOUR), ("traffic_zone", 1)],
            Tables::Servers => &[("traffic_server", HOUR), ("traffic_zone", 1)],
        }
    }

    /// The columns that all of them have.
    fn columns(self) -> String {
        let dimensions = match self {
            Tables::Names => "interval, server, role, transport, zone, qname, qtype",
            Tables::Zones => "interval, server, role, transport, zone",
            Tables::Servers => "interval, server, role, transport",
        };
        let counters: Vec<_> = Counter::ALL.iter().map(|counter| counter.as_str()).collect();
        format!(
            "{dimensions}, {}, rcodes, latency, latency_sum_ns, latency_min_ns, latency_max_ns",
            counters.join(", ")
        )
    }

    /// The range in parts, each with the coarsest table that is exact for it. With a step, groups are intervals of
    /// so many seconds, which no row may span.
    fn parts(self, range: Range, step: Option<u32>) -> Vec<(&'static str, Range)> {
        let fits = |&&(_, grain): &&(&str, u32)| step.is_none_or(|step| step.is_multiple_of(grain));
        let mut parts = Vec::new();
        let mut rest = vec![range];
        for &(table, grain) in self.grains().iter().filter(fits) {
            for Range { from, to } in std::mem::take(&mut rest) {
                let inner =
                    Range { from: from.checked_next_multiple_of(grain).unwrap_or(to), to: to - to % grain };
                if inner.from < inner.to {
                    parts.push((table, inner));
                    rest.extend([Range { from, to: inner.from }, Range { from: inner.to, to }]);
                } else {
                    rest.push(Range { from, to });
                }
            }
            rest.retain(|range| range.from < range.to);
        }
        parts
    }
}

/// A value for a query parameter.
#[derive(Clone, Debug)]
enum Value {
    Number(u64),
    Texts(Vec<String>),
}

/// Statements over one range and filter.
#[derive(Clone, Debug)]
pub struct Rows {
    range: Range,
    filter: Filter,
}

/// A statement, and values for its parameters by name.
#[derive(Clone, Debug, Default)]
pub struct Statement {
    sql: String,
    values: BTreeMap<String, Value>,
}

impl Statement {
    /// The same parameters with another statement.
    #[must_use]
    pub fn with_sql(self, sql: String) -> Self {
        Self { sql, ..self }
    }

    /// Gives a list of texts to the parameter `name`.
    pub fn texts(&mut self, name: &str, texts: Vec<String>) {
        self.values.insert(name.to_owned(), Value::Texts(texts));
    }

    /// Gives a number to the parameter `name`.
    pub fn number(&mut self, name: &str, number: impl Into<u64>) {
        self.values.insert(name.to_owned(), Value::Number(number.into()));
    }

    /// As the client sends it.
    pub fn query(&self, client: &Client) -> Query {
        let query = client.query(&self.sql);
        self.values.iter().fold(query, |query, (name, value)| match value {
            Value::Number(number) => query.param(name, number),
            Value::Texts(texts) => query.param(name, texts),
        })
    }
}

/// What of the rows is grouped and how.
#[derive(Clone, Copy, Debug)]
pub struct Grouping<'a> {
    /// Which tables, at least.
    pub tables: Tables,
    /// The keys: expressions over columns that can be shown as text.
    pub keys: &'a [&'a str],
    /// The counters of each group; others are 0.
    pub counters: &'a [Counter],
    /// Whether response codes are counted.
    pub rcodes: bool,
    /// Which groups come first; empty = in no order.
    pub order: &'a str,
    /// Conditions on rows besides the filter's; empty = none.
    pub only: &'a str,
    /// A condition on groups; empty = none.
    pub having: &'a str,
    /// Groups at most; 0 = all.
    pub limit: usize,
    /// Seconds of an interval, where groups are intervals.
    pub step: Option<u32>,
}

impl Default for Grouping<'_> {
    fn default() -> Self {
        Self {
            tables: Tables::Servers,
            keys: &[],
            counters: &[],
            rcodes: false,
            order: "",
            only: "",
            having: "",
            limit: 0,
            step: None,
        }
    }
}

impl Rows {
    /// The rows of a range that a filter lets through.
    pub fn new(range: Range, filter: Filter) -> Self {
        Self { range, filter }
    }

    /// The coarsest tables that tell what is asked for, and at least as much as `least`.
    pub const fn tables(&self, least: Tables) -> Tables {
        match least {
            _ if !self.filter.names.is_empty() => Tables::Names,
            Tables::Servers if !self.filter.zones.is_empty() => Tables::Zones,
            least => least,
        }
    }

    /// Values for the parameters of the conditions.
    fn bind(&self, statement: &mut Statement) {
        let Filter { zones, names, sensors, runs } = &self.filter;
        let shown =
            |names: &[NameBuf]| names.iter().map(|name| name.as_name().to_string()).collect::<Vec<_>>();
        statement.texts("roles", Role::ALL.iter().map(|role| role.as_str().to_owned()).collect());
        if !zones.is_empty() {
            statement.texts("zones", shown(zones));
        }
        if !names.is_empty() {
            statement.texts("names", shown(names));
            // A name's zone is one of its ends: with it the primary key finds the rows.
            let zones = names.iter().map(NameBuf::as_name).flat_map(|name| {
                (0..=name.label_count()).map(move |labels| match labels {
                    0 => ".".to_owned(),
                    _ => name.suffix(labels).to_string(),
                })
            });
            statement.texts("zones_of_names", zones.collect());
        }
        if !sensors.is_empty() {
            statement.texts("sensors", sensors.clone());
        }
        if !runs.is_empty() {
            statement.texts("runs", runs.clone());
        }
    }

    /// The conditions of the filter on sensors and runs, each behind an AND.
    pub fn whose(&self, statement: &mut Statement) -> String {
        self.bind(statement);
        let mut conditions = String::new();
        if !self.filter.sensors.is_empty() {
            conditions.push_str(" AND sensor IN {sensors:Array(String)}");
        }
        if !self.filter.runs.is_empty() {
            conditions.push_str(" AND run IN {runs:Array(String)}");
        }
        conditions
    }

    /// The conditions of the whole filter.
    pub fn which(&self, statement: &mut Statement) -> String {
        let mut conditions = self.whose(statement);
        if !self.filter.zones.is_empty() {
            conditions.push_str(" AND zone IN {zones:Array(String)}");
        }
        if !self.filter.names.is_empty() {
            conditions
                .push_str(" AND qname IN {names:Array(String)} AND zone IN {zones_of_names:Array(String)}");
        }
        conditions
    }

    /// The rows as a subquery: all parts of the range, with everything that is asked of a row.
    pub fn from(&self, statement: &mut Statement, tables: Tables, step: Option<u32>, only: &str) -> String {
        let which = self.which(statement);
        let only = if only.is_empty() { String::new() } else { format!(" AND {only}") };
        let tables = self.tables(tables);
        let columns = tables.columns();
        let mut parts = Vec::new();
        for (at, (table, range)) in tables.parts(self.range, step).into_iter().enumerate() {
            // Several parts of one statement have several ranges, and several FROMs may have different parts.
            let (from, to) = (format!("{table}_from_{at}"), format!("{table}_to_{at}"));
            parts.push(format!(
                "SELECT {columns} FROM {table} WHERE interval >= toDateTime({{{from}:UInt32}}, 'UTC') \
                 AND interval < toDateTime({{{to}:UInt32}}, 'UTC'){which}{only}"
            ));
            statement.number(&from, range.from);
            statement.number(&to, range.to);
        }
        format!("({})", parts.join(" UNION ALL "))
    }

    fn select(&self, columns: &str, grouping: &Grouping<'_>) -> Statement {
        let Grouping { tables, keys, order, only, having, limit, step, .. } = *grouping;
        let mut statement = Statement::default();
        let from = self.from(&mut statement, tables, step, only);
        let shown: Vec<_> = keys.iter().map(|key| format!("CAST({key}, 'String')")).collect();
        let mut sql =
            format!("SELECT CAST([{}], 'Array(String)') AS keys, {columns} FROM {from}", shown.join(", "));
        let limit = if limit == 0 { String::new() } else { limit.to_string() };
        let clauses =
            [("GROUP BY", &*keys.join(", ")), ("HAVING", having), ("ORDER BY", order), ("LIMIT", &*limit)];
        for (word, clause) in clauses.into_iter().filter(|(_, clause)| !clause.is_empty()) {
            sql.push_str(&format!(" {word} {clause}"));
        }
        statement.with_sql(sql)
    }

    /// Groups with their counters and latencies: rows of [`Group`].
    pub fn groups(&self, grouping: &Grouping<'_>) -> Statement {
        let count = |counter: &Counter| {
            let asked = grouping.counters.contains(counter);
            if asked { format!("sum({})", counter.as_str()) } else { "toUInt64(0)".to_owned() }
        };
        let counts: Vec<_> = Counter::ALL.iter().map(count).collect();
        let rcodes = if grouping.rcodes { "sumMap(rcodes)" } else { "CAST(map(), 'Map(String, UInt64)')" };
        let columns = format!(
            "[{}] AS counts, {rcodes} AS rcode_counts, sumMap(latency) AS buckets, \
             sum(latency_sum_ns) AS latency_sum, min(latency_min_ns) AS latency_min, max(latency_max_ns) AS latency_max",
            counts.join(", ")
        );
        self.select(&columns, grouping)
    }

    /// Groups with one number: rows of [`Tally`].
    pub fn tallies(&self, number: &str, grouping: &Grouping<'_>) -> Statement {
        self.select(&format!("{number} AS number"), grouping)
    }
}

/// One number of a group.
#[derive(Debug, Deserialize, Row)]
pub struct Tally {
    /// The group's keys.
    pub keys: Vec<String>,
    /// The number.
    pub number: u64,
}

/// Everything that is counted of a group.
#[derive(Clone, Debug, Default, Deserialize, Row)]
pub struct Group {
    /// The group's keys.
    pub keys: Vec<String>,
    /// By counter, in the order of [`Counter::ALL`].
    counts: Vec<u64>,
    rcode_counts: Vec<(String, u64)>,
    /// Latency buckets, in order.
    buckets: Vec<(u16, u64)>,
    latency_sum: u64,
    latency_min: Option<u64>,
    latency_max: Option<u64>,
}

impl Group {
    /// The key at a place.
    pub fn key(&self, at: usize) -> &str {
        self.keys.get(at).map_or("", String::as_str)
    }

    /// What a counter says.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts.get(counter as usize).copied().unwrap_or_default()
    }

    /// Responses by code.
    pub fn rcodes(&self) -> BTreeMap<String, u64> {
        self.rcode_counts.iter().filter(|(_, count)| *count > 0).cloned().collect()
    }

    /// The smallest latency bucket below or in which the share `q` of the samples lies.
    pub fn bucket_at(&self, q: f64) -> u16 {
        let count: u64 = self.buckets.iter().map(|(_, count)| count).sum();
        let rank = (count as f64 * q).ceil() as u64;
        let mut below = 0;
        let reached = |&&(_, count): &&(u16, u64)| {
            below += count;
            below >= rank
        };
        self.buckets.iter().find(reached).map_or(0, |(bucket, _)| *bucket)
    }

    /// The latency figures.
    pub fn latency(&self) -> Latency {
        let (min, max) = (self.latency_min.unwrap_or_default(), self.latency_max.unwrap_or_default());
        Latency::of(&self.buckets, self.latency_sum, min, max)
    }

    /// The bucket bound that names are ranked by as slow, in microseconds, and the number of samples.
    pub fn p99(&self) -> (u64, u64) {
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        let max = self.latency_max.unwrap_or_default();
        (quantile(self.buckets.iter().copied(), count, max, 0.99), count)
    }

    /// The histogram by upper bounds in microseconds.
    pub fn histogram(&self) -> Vec<(u64, u64)> {
        histogram_us(self.buckets.iter().copied(), self.latency_max.unwrap_or_default())
    }

    /// Queries and responses paired. What was given up for want of memory is among the pending and not told apart.
    pub fn transactions(&self) -> Transactions {
        Transactions {
            answered: self.get(Counter::Answered),
            unanswered: self.get(Counter::Unanswered),
            pending: self.get(Counter::Pending),
            retransmissions: self.get(Counter::Retransmissions),
            duplicate_responses: self.get(Counter::DuplicateResponses),
            orphan_responses: self.get(Counter::OrphanResponses),
            negative_latency: self.get(Counter::NegativeLatency),
            unknown_latency: self.get(Counter::UnknownLatency),
            evicted: 0,
        }
    }

    /// The account of an interval that starts at `start`.
    pub fn interval(&self, start: String) -> Interval {
        Interval {
            start,
            queries: self.get(Counter::Queries),
            responses: self.get(Counter::Responses),
            nxdomain: self.get(Counter::Nxdomain),
            servfail: self.get(Counter::Servfail),
            unanswered: self.get(Counter::Unanswered),
            latency_us: self.latency(),
        }
    }
}

/// Several groups as one.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    counts: Vec<u64>,
    rcodes: BTreeMap<String, u64>,
    buckets: BTreeMap<u16, u64>,
    latency_sum: u64,
    latency_min: Option<u64>,
    latency_max: Option<u64>,
}

impl Sum {
    /// Adds a group.
    pub fn add(&mut self, group: &Group) {
        self.counts.resize(Counter::ALL.len(), 0);
        for (sum, count) in self.counts.iter_mut().zip(&group.counts) {
            *sum = sum.saturating_add(*count);
        }
        for (rcode, count) in &group.rcode_counts {
            *self.rcodes.entry(rcode.clone()).or_default() += count;
        }
        for &(bucket, count) in &group.buckets {
            *self.buckets.entry(bucket).or_default() += count;
        }
        self.latency_sum = self.latency_sum.saturating_add(group.latency_sum);
        self.latency_min = self.latency_min.into_iter().chain(group.latency_min).min();
        self.latency_max = self.latency_max.into_iter().chain(group.latency_max).max();
    }

    /// The sum as a group with these keys.
    pub fn into_group(self, keys: &[&str]) -> Group {
        Group {
            keys: keys.iter().map(|&key| key.to_owned()).collect(),
            counts: self.counts,
            rcode_counts: self.rcodes.into_iter().collect(),
            buckets: self.buckets.into_iter().collect(),
            latency_sum: self.latency_sum,
            latency_min: self.latency_min,
            latency_max: self.latency_max,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_parted_by_the_coarsest_table_that_is_exact() {
        let day = 20_000 * DAY;
        for (tables, from, to, step, expected) in [
            (Tables::Names, day, day + DAY, None, vec![("traffic_day", day, day + DAY)]),
            (
                Tables::Names,
                day + HOUR,
                day + 2 * HOUR,
                None,
                vec![("traffic_hour", day + HOUR, day + 2 * HOUR)],
            ),
            (Tables::Names, day + 60, day + 120, None, vec![("traffic", day + 60, day + 120)]),
            (Tables::Zones, day, day + DAY, None, vec![("traffic_day", day, day + DAY)]),
            (Tables::Servers, day, day + DAY, None, vec![("traffic_server", day, day + DAY)]),
            (Tables::Zones, day, day + DAY, Some(60), vec![("traffic_zone", day, day + DAY)]),
            (Tables::Names, day, day + DAY, Some(2 * HOUR), vec![("traffic_hour", day, day + DAY)]),
            (
                Tables::Names,
                day - 60,
                day + DAY + HOUR + 1,
                None,
                vec![
                    ("traffic_day", day, day + DAY),
                    ("traffic_hour", day + DAY, day + DAY + HOUR),
                    ("traffic", day - 60, day),
                    ("traffic", day + DAY + HOUR, day + DAY + HOUR + 1),
                ],
            ),
            (Tables::Names, u32::MAX - 5, u32::MAX, None, vec![("traffic", u32::MAX - 5, u32::MAX)]),
        ] {
            let parts: Vec<_> = tables
                .parts(Range { from, to }, step)
                .into_iter()
                .map(|(table, range)| (table, range.from, range.to))
                .collect();
            assert_eq!(parts, expected, "{from} to {to}");
        }
    }

    #[test]
    fn every_second_of_any_range_is_in_one_part() {
        for (from, to) in [(0, 1), (1, DAY * 3), (HOUR - 1, HOUR + 1), (DAY - 1, 3 * DAY + 7), (5, 5 * HOUR)]
        {
            for tables in [Tables::Names, Tables::Zones, Tables::Servers] {
                for step in [None, Some(60), Some(HOUR), Some(DAY)] {
                    let mut parts = tables.parts(Range { from, to }, step);
                    parts.sort_by_key(|(_, range)| range.from);
                    let end = parts.iter().fold(from, |at, (_, range)| {
                        assert_eq!(range.from, at);
                        range.to
                    });
                    assert_eq!(end, to);
                }
            }
        }
    }

    #[test]
    fn the_tables_tell_what_the_filter_asks() {
        let name = || vec![NameBuf::parse("example").unwrap()];
        let range = Range { from: 1, to: 2 };
        let rows = |zones, names| Rows::new(range, Filter { zones, names, ..Filter::default() });
        assert_eq!(rows(vec![], vec![]).tables(Tables::Servers), Tables::Servers);
        assert_eq!(rows(name(), vec![]).tables(Tables::Servers), Tables::Zones);
        assert_eq!(rows(name(), name()).tables(Tables::Servers), Tables::Names);
        assert_eq!(rows(vec![], vec![]).tables(Tables::Names), Tables::Names);
    }

    #[test]
    fn what_people_typed_is_in_no_statement() {
        let filter = Filter {
            zones: vec![NameBuf::parse("zone-typed.example").unwrap()],
            names: vec![NameBuf::parse("name-typed.example").unwrap()],
            sensors: vec!["sensor-typed'); DROP".into()],
            runs: vec!["run-typed".into()],
        };
        let rows = Rows::new(Range { from: 1, to: 1_000_000 }, filter);
        let grouping =
            Grouping { keys: &["role", "zone"], order: "sum(queries)", limit: 3, ..Grouping::default() };
        for statement in [rows.groups(&grouping), rows.tallies("sum(queries)", &grouping)] {
            assert!(!statement.sql.contains("typed") && !statement.sql.contains('?'), "{}", statement.sql);
        }
    }

    #[test]
    fn groups_add_up() {
        let group = |queries: u64, rcode: &str, bucket: u16, min: Option<u64>| Group {
            counts: Counter::ALL.iter().map(|_| queries).collect(),
            rcode_counts: vec![(rcode.to_owned(), queries)],
            buckets: vec![(bucket, 1)],
            latency_sum: 10,
            latency_min: min,
            latency_max: min,
            ..Group::default()
        };
        let mut sum = Sum::default();
        sum.add(&group(1, "NOERROR", 5, Some(5_000)));
        sum.add(&group(2, "SERVFAIL", 3, Some(3_000)));
        sum.add(&group(4, "NOERROR", 5, None));
        let sum = sum.into_group(&[]);
        assert_eq!(sum.get(Counter::Pending), 7);
        assert_eq!(sum.rcodes(), [("NOERROR".to_owned(), 5), ("SERVFAIL".to_owned(), 2)].into());
        assert_eq!(sum.buckets, [(3, 1), (5, 2)]);
        assert_eq!(
            (sum.latency().min, sum.latency().max, sum.latency().p50),
            (Some(3.0), Some(5.0), Some(5.0))
        );
    }
}
