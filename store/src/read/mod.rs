//! Reading back: the report over a range of time, from rows in ClickHouse.
//!
//! It has the figures and the JSON of a replay's report where rows tell them: sums are sums of rows, and histograms are
//! added bucket by bucket, so that the quantiles of many sensors and days are as exact as those of one capture. Roles
//! are never added together but in the totals. What is listed is chosen and cut off by ClickHouse, and groups are read one
//! at a time: memory here is bounded by the lists and the number of intervals.

mod coverage;
pub mod drain;
mod lists;
mod names;
mod rows;

use std::collections::BTreeMap;
use std::fmt;

use clickhouse::Client;
use lowtide_aggregate::report::{Families, Messages, Note, Report, RoleReport, SCHEMA, Source};
use lowtide_aggregate::summary::role_notes;
use lowtide_aggregate::window::Counter;
use lowtide_proto::{NameBuf, Role, Transport};

use crate::schema::{self, SchemaError};
use crate::server::{Server, ServerError};

use coverage::second;
use rows::{DAY, Group, Grouping, HOUR, Rows, Statement, Sum, Tally};
pub use rows::{Filter, Range};

/// Intervals with an account of their own, as in a replay; where there would be more, intervals are widened twofold.
const MAX_INTERVALS: u32 = 4_096;

/// Lengths of intervals that divide days, and how many of them make a good picture.
const INTERVALS: [u32; 8] = [60, 300, 900, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY];
const FEW: u32 = 360;

/// Characters of the server's own words that are repeated.
const MAX_WORDS: usize = 300;

/// What a report is asked for.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which intervals.
    pub range: Range,
    /// Which rows.
    pub filter: Filter,
    /// Seconds of an interval; `None` = by the range.
    pub interval: Option<u32>,
    /// Names in each list.
    pub top: usize,
    /// What the clock says, seconds since 1970.
    pub now: u32,
}

/// Why there is no report.
#[derive(Debug)]
pub enum ReadError {
    /// The server cannot be asked, or its schema is not this lowtide's.
    Schema(SchemaError<ServerError>),
    /// A query failed.
    Query {
        /// What was asked for.
        what: &'static str,
        /// What the server said.
        source: clickhouse::error::Error,
    },
    /// A row says something that this lowtide does not know.
    Unknown {
        /// Of which column.
        column: &'static str,
        /// What it says.
        value: String,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Schema(source) => source.fmt(f),
            Self::Query { what, source } => {
                let text = source.to_string();
                let words: String = text.lines().next().unwrap_or_default().chars().take(MAX_WORDS).collect();
                write!(f, "cannot read {what} from ClickHouse: {words}")
            }
            Self::Unknown { column, value } => write!(
                f,
                "a row has the {column} {value:?}, which this lowtide does not know: use a newer lowtide"
            ),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Schema(source) => Some(source),
            Self::Query { source, .. } => Some(source),
            Self::Unknown { .. } => None,
        }
    }
}

/// Reads the report.
///
/// # Errors
/// A server that cannot be asked, a schema of another version, a query that fails.
pub async fn report(server: &Server, question: &Question) -> Result<Report, ReadError> {
    schema::check(server, server.url().database()).await.map_err(ReadError::Schema)?;
    let reader = Reader {
        client: server.client(),
        rows: Rows::new(question.range, question.filter.clone()),
        question,
    };
    let mut report = reader.report().await?;
    if let Some(source) = &mut report.source {
        source.url = server.url().to_string();
        source.database = server.url().database().to_owned();
    }
    Ok(report)
}

/// The length of the intervals in seconds: what is asked for, or what suits the range; wider where there would be too
/// many.
fn interval_seconds(range: Range, asked: Option<u32>) -> u32 {
    let length = range.to.saturating_sub(range.from);
    let suits = |seconds: &u32| length.div_ceil(*seconds) <= FEW;
    let mut seconds = asked.unwrap_or_else(|| INTERVALS.into_iter().find(suits).unwrap_or(DAY)).max(1);
    while length / seconds >= MAX_INTERVALS {
        seconds = seconds.saturating_mul(2);
    }
    seconds
}

/// The octets of a name in wire form, as far as an order needs them: by labels, each by its length first.
macro_rules! wire_order {
    ($column:literal) => {
        concat!("arrayMap(label -> (length(label), label), splitByChar('.', ", $column, "))")
    };
}
use wire_order;

/// The place of a role in [`Role::ALL`].
const ROLE_ORDER: &str = "indexOf({roles:Array(String)}, role)";

/// What every account shows.
const COUNTERS: &[Counter] = &[
    Counter::Queries,
    Counter::Responses,
    Counter::Nodata,
    Counter::Nxdomain,
    Counter::Servfail,
    Counter::Refused,
    Counter::Unanswered,
];

struct Reader<'a> {
    client: Client,
    rows: Rows,
    question: &'a Question,
}

impl Reader<'_> {
    async fn report(&self) -> Result<Report, ReadError> {
        let Question { range, filter, now, .. } = self.question;
        let evidence = coverage::read(&self.client, &self.rows, *range, *now)
            .await
            .map_err(|source| ReadError::Query { what: "coverage", source })?;
        let shown = |names: &[NameBuf]| names.iter().map(|name| name.as_name().to_string()).collect();
        let mut report = Report {
            schema: SCHEMA,
            source: Some(Source {
                from: second(range.from),
                to: second(range.to),
                zones: shown(&filter.zones),
                names: shown(&filter.names),
                sensors: filter.sensors.clone(),
                runs: filter.runs.clone(),
                seen: evidence.runs,
                gaps: evidence.gaps,
                ..Source::default()
            }),
            coverage: evidence.coverage,
            ..Report::default()
        };
        let Some(extent) = self.extent(&self.rows).await? else {
            report.notes.push(self.nothing().await?);
            return Ok(report);
        };
        // Of a range that is wider than what there is, only that counts.
        let step = interval_seconds(extent, self.question.interval);
        let total = self.roles(&mut report, step).await?;
        self.transports(&mut report).await?;
        self.servers(&mut report).await?;
        self.zones(&mut report).await?;
        let in_names = self.names(&mut report, &total).await?;
        self.notes(&mut report, in_names);
        Ok(report)
    }

    /// Groups in order, one at a time.
    async fn each(
        &self,
        what: &'static str,
        statement: Statement,
        mut take: impl FnMut(Group) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let failed = |source| ReadError::Query { what, source };
        let mut cursor = statement.query(&self.client).fetch::<Group>().map_err(failed)?;
        while let Some(group) = cursor.next().await.map_err(failed)? {
            take(group)?;
        }
        Ok(())
    }

    async fn tallies(&self, what: &'static str, statement: Statement) -> Result<Vec<Tally>, ReadError> {
        let tallies = statement.query(&self.client).fetch_all().await;
        tallies.map_err(|source| ReadError::Query { what, source })
    }

    /// The roles and their intervals, and what they come to in all.
    async fn roles(&self, report: &mut Report, step: u32) -> Result<Group, ReadError> {
        report.interval_s = f64::from(step);
        let start = format!("toString(intDiv(toUInt32(interval), {step}) * {step})");
        let grouping = Grouping {
            keys: &["role", &start],
            counters: Counter::ALL,
            rcodes: true,
            order: &format!("toUInt32({start}), {ROLE_ORDER}"),
            step: Some(step),
            ..Grouping::default()
        };
        let mut total = Sum::default();
        let mut roles: BTreeMap<Role, (Sum, RoleReport)> = BTreeMap::new();
        // Groups come by time: an interval is complete when the next begins.
        let mut current = (String::new(), Sum::default());
        self.each("intervals", self.rows.groups(&grouping), |group| {
            let start = group.key(1).parse().map(second).unwrap_or_default();
            if current.0 != start {
                let (start, sum) = std::mem::replace(&mut current, (start.clone(), Sum::default()));
                if !start.is_empty() {
                    report.intervals.push(sum.into_group(&[]).interval(start));
                }
            }
            current.1.add(&group);
            total.add(&group);
            let (sum, told) = roles.entry(role(group.key(0))?).or_default();
            sum.add(&group);
            told.intervals.push(group.interval(start));
            Ok(())
        })
        .await?;
        if !current.0.is_empty() {
            report.intervals.push(current.1.into_group(&[]).interval(current.0));
        }
        let total = total.into_group(&[]);
        report.messages = Messages {
            queries: total.get(Counter::Queries),
            responses: total.get(Counter::Responses),
            ..Messages::default()
        };
        report.transactions = total.transactions();
        report.rcodes = total.rcodes();
        report.nodata = total.get(Counter::Nodata);
        report.referrals = total.get(Counter::Referrals);
        report.truncated_responses = total.get(Counter::TruncatedResponses);
        report.latency_us = total.latency();
        report.latency_histogram_us = total.histogram();
        report.roles = roles
            .into_iter()
            .map(|(role, (sum, told))| {
                let sum = sum.into_group(&[]);
                RoleReport {
                    role: role.as_str(),
                    queries: sum.get(Counter::Queries),
                    responses: sum.get(Counter::Responses),
                    transactions: sum.transactions(),
                    rcodes: sum.rcodes(),
                    nodata: sum.get(Counter::Nodata),
                    referrals: sum.get(Counter::Referrals),
                    truncated_responses: sum.get(Counter::TruncatedResponses),
                    latency_us: sum.latency(),
                    latency_histogram_us: sum.histogram(),
                    ..told
                }
            })
            .collect();
        Ok(total)
    }

    /// Transports, and families where the servers' addresses tell them.
    async fn transports(&self, report: &mut Report) -> Result<(), ReadError> {
        const FAMILY: &str =
            "multiIf(position(server, ':') > 0, 'ipv6', position(server, '.') > 0, 'ipv4', 'unknown')";
        let grouping = Grouping { keys: &["transport", FAMILY], ..Grouping::default() };
        let statement = self.rows.tallies("sum(queries) + sum(responses)", &grouping);
        for Tally { keys, number } in self.tallies("transports", statement).await? {
            let [name, family] = keys.as_slice() else { continue };
            let transport = Transport::ALL.iter().find(|transport| transport.as_str() == name);
            let transport =
                transport.ok_or_else(|| ReadError::Unknown { column: "transport", value: name.clone() })?;
            *report.transports.entry(transport.as_str()).or_default() += number;
            let Families { ipv4, ipv6 } = &mut report.families;
            match family.as_str() {
                "ipv4" => *ipv4 += number,
                "ipv6" => *ipv6 += number,
                _ => {}
            }
        }
        Ok(())
    }

    fn notes(&self, report: &mut Report, in_names: u64) {
        report.notes = report.roles.iter().flat_map(role_notes).collect();
        let mut note = |code, text| report.notes.push(Note { code, text });
        let kinds = |kind: &str| report.coverage.iter().any(|coverage| coverage.kind == kind);
        if kinds("live") && kinds("replay") {
            let text =
                "live and replayed traffic are added together here; --sensor and --run tell them apart";
            note("mixed-kinds", text.to_owned());
        }
        let seen = report.source.iter().flat_map(|source| &source.seen);
        for run in seen.filter(|run| run.kind == "replay" && run.state != "finished") {
            let state = if run.state.is_empty() { "said nothing of itself" } else { run.state.as_str() };
            let text = format!(
                "run '{}' of sensor '{}' is not whole ({state}): a part of its rows may be missing",
                run.run, run.sensor
            );
            note("unfinished-run", text);
        }
        let in_zones: u64 = report.zones.iter().map(|zone| zone.queries).sum();
        let in_all = report.messages.queries;
        if in_names != in_all || in_zones > in_all {
            note(
                "uneven-rows",
                format!(
                    "the rows of servers count {in_all} queries, those of names {in_names}: rows of the range were written while this was read, or some have been deleted for their age"
                ),
            );
        }
    }

    /// From when to when there are rows, to the hour.
    async fn extent(&self, rows: &Rows) -> Result<Option<Range>, ReadError> {
        let mut ends = Vec::new();
        for end in ["min(interval)", "max(interval) + 1"] {
            let number = format!("if(count() = 0, 0, toUInt64({end}))");
            let tallies = self.tallies("what there is", rows.tallies(&number, &Grouping::default())).await?;
            ends.push(tallies.first().map_or(0, |tally| u32::try_from(tally.number).unwrap_or(u32::MAX)));
        }
        Ok(match ends.as_slice() {
            &[from, to] if to > 0 => Some(Range { from, to }),
            _ => None,
        })
    }

    /// Says that there is nothing, and where there is something.
    async fn nothing(&self) -> Result<Note, ReadError> {
        let ever = Rows::new(Range { from: 0, to: u32::MAX }, self.question.filter.clone());
        let text = match self.extent(&ever).await? {
            Some(Range { from, to }) => format!(
                "nothing was recorded of this in the range; what there is lies between {} and {}",
                short(from - from % HOUR),
                short(to.checked_next_multiple_of(HOUR).unwrap_or(to)),
            ),
            None => "nothing was ever recorded of this".to_owned(),
        };
        Ok(Note { code: "nothing-recorded", text })
    }
}

/// A second since 1970 as people read it.
fn short(seconds: u32) -> String {
    jiff::Timestamp::from_second(i64::from(seconds)).unwrap_or_default().to_string()
}

fn role(name: &str) -> Result<Role, ReadError> {
    Role::ALL
        .into_iter()
        .find(|role| role.as_str() == name)
        .ok_or_else(|| ReadError::Unknown { column: "role", value: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_suit_the_range_and_are_never_too_many() {
        for (length, asked, expected) in [
            (60, None, 60),
            (6 * HOUR, None, 60),
            (DAY, None, 300),
            (7 * DAY, None, HOUR),
            (90 * DAY, None, 6 * HOUR),
            (3_000 * DAY, None, DAY),
            (DAY, Some(60), 60),
            (3 * DAY, Some(60), 120),
            (u32::MAX, Some(1), 1 << 20),
        ] {
            let range = Range { from: 0, to: length };
            assert_eq!(interval_seconds(range, asked), expected, "{length} {asked:?}");
        }
    }
}
