//! The names of a report. There may be millions: ClickHouse goes over all of them once to choose those that are listed, and
//! what is counted of these few is read afterwards.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use clickhouse::Row;
use lowtide_aggregate::latency;
use lowtide_aggregate::report::{Qname, Report};
use lowtide_aggregate::summary::SLOW_SAMPLES;
use lowtide_aggregate::window::Counter;
use lowtide_proto::{Qtype, Role};
use serde::Deserialize;

use super::lists::wire;
use super::rows::{Group, Grouping, Statement, Tables};
use super::{COUNTERS, ROLE_ORDER, ReadError, Reader, role, wire_order};

const NAMED: &str = "qname NOT IN ('', '(others)')";

/// Latencies that a name's 99th percentile is looked for above: this share of all samples is below.
const SHARES: [f64; 4] = [0.999, 0.99, 0.9, 0.0];

/// A name, a type and a role.
type Key = (String, String, String);

/// What one pass over all names tells.
#[derive(Debug, Default, Deserialize, Row)]
struct All {
    distinct_names: u64,
    /// Queries by role and type, with a space between.
    qtypes: Vec<(String, u64)>,
    most_asked: Vec<Key>,
    failing: Vec<Key>,
}

/// A name and the bucket of its 99th percentile.
#[derive(Debug, Deserialize, Row)]
struct Slow {
    key: Key,
}

impl Reader<'_> {
    /// Types, lists of names and the number of names. Gives the queries that rows of names count.
    pub(super) async fn names(&self, report: &mut Report, total: &Group) -> Result<u64, ReadError> {
        let one_way: Vec<&'static str> = report
            .roles
            .iter()
            .filter(|role| role.queries == 0 || role.responses == 0)
            .map(|role| role.role)
            .collect();
        let all = self.all_names(&one_way).await?;
        report.distinct_qnames = all.distinct_names;
        let mut queries = 0;
        for (role_and_type, number) in all.qtypes {
            queries += number;
            let Some((its_role, qtype)) = role_and_type.split_once(' ') else { continue };
            if qtype.is_empty() || number == 0 {
                continue;
            }
            *report.qtypes.entry(qtype.to_owned()).or_default() += number;
            if let Some(role) = report.roles.iter_mut().find(|role| role.role == its_role) {
                role.qtypes.insert(qtype.to_owned(), number);
            }
        }
        let slowest = self.slowest(total).await?;
        let keys: BTreeSet<&Key> = all.most_asked.iter().chain(&all.failing).chain(&slowest).collect();
        let groups = self.groups_of(&keys).await?;
        let list = |keys: &[Key], rank: &dyn Fn(&Qname, &Group) -> (u64, u64)| {
            let mut names: Vec<_> = keys
                .iter()
                .filter_map(|key| groups.get(key))
                .map(|(role, group)| {
                    let name = qname(*role, group);
                    let rank = Reverse(rank(&name, group));
                    ((rank, wire(&name.qname), qtype_number(&name.qtype), *role), name)
                })
                .collect();
            names.sort_by(|(one, _), (other, _)| one.cmp(other));
            names.into_iter().map(|(_, name)| name).collect()
        };
        report.qnames = list(&all.most_asked, &|name, _| (name.queries, name.responses));
        report.failing_qnames = list(&all.failing, &|name, _| {
            let unanswered = if one_way.contains(&name.role) { 0 } else { name.unanswered };
            (name.servfail + name.refused + unanswered, name.nxdomain)
        });
        report.slowest_qnames = list(&slowest, &|_, group| group.p99());
        Ok(queries)
    }

    async fn all_names(&self, one_way: &[&'static str]) -> Result<All, ReadError> {
        let mut statement = Statement::default();
        let from = self.rows.from(&mut statement, Tables::Names, None, "");
        statement.texts("one_way", one_way.iter().map(|&role| role.to_owned()).collect());
        let ties = format!("{}, {}, {ROLE_ORDER}", wire_order!("qname"), qtype_order());
        let first = |order: &str, condition: &str| match self.question.top {
            0 => "CAST([], 'Array(Tuple(String, String, String))')".to_owned(),
            top => format!(
                "arrayMap(place -> (place.6, place.7, place.8), groupArraySortedIf({top})(\
                 ({order}, {ties}, qname, toString(qtype), toString(role)), {NAMED} AND ({condition})))"
            ),
        };
        let most_asked = first("-toInt64(asked), -toInt64(answers)", "true");
        let failing = first("-toInt64(failed), -toInt64(vanished)", "failed > 0 OR vanished > 0");
        // Of a one-way capture nobody knows what was answered.
        let sql = format!(
            "SELECT uniqExactIf(qname, {NAMED}) AS distinct_names, \
             sumMap(map(concat(role, ' ', qtype), asked)) AS qtypes, \
             {most_asked} AS most_asked, {failing} AS failing \
             FROM (SELECT qname, qtype, role, sum(queries) AS asked, sum(responses) AS answers, \
             sum(servfail) + sum(refused) + sum(if(role IN {{one_way:Array(String)}}, 0, unanswered)) AS failed, \
             sum(nxdomain) AS vanished FROM {from} GROUP BY qname, qtype, role)"
        );
        let all = statement.with_sql(sql).query(&self.client).fetch_one().await;
        all.map_err(|source| ReadError::Query { what: "names", source })
    }

    /// The names with the highest 99th percentile. Histograms of all names would take the server's memory and minutes:
    /// a name whose percentile is in a bucket has a sample there, and few rows have one among the slowest. Only where
    /// these are too few names is the bound lowered.
    async fn slowest(&self, total: &Group) -> Result<Vec<Key>, ReadError> {
        let top = self.question.top;
        let mut slowest: Vec<Key> = Vec::new();
        let mut tried = None;
        for share in SHARES {
            let bucket = if share == 0.0 { 0 } else { total.bucket_at(share) };
            if slowest.len() >= top || tried == Some(bucket) {
                continue;
            }
            tried = Some(bucket);
            let statement = self.slower_than(bucket);
            let found = statement.query(&self.client).fetch_all::<Slow>().await;
            let found = found.map_err(|source| ReadError::Query { what: "slow names", source })?;
            slowest = found.into_iter().map(|slow| slow.key).collect();
        }
        Ok(slowest)
    }

    /// The slowest names with a 99th percentile in `bucket` or above: rows of [`Slow`].
    fn slower_than(&self, bucket: u16) -> Statement {
        let mut statement = Statement::default();
        let only = if bucket == 0 {
            NAMED.to_owned()
        } else {
            let slow =
                self.rows.from(&mut statement, Tables::Names, None, "latency_max_ns >= {least:UInt64}");
            let least = (latency::upper_bound(bucket - 1) + 1).saturating_mul(1_000);
            statement.number("least", least);
            format!("{NAMED} AND qname IN (SELECT qname FROM {slow})")
        };
        let from = self.rows.from(&mut statement, Tables::Names, None, &only);
        statement.number("bucket", u64::from(bucket));
        let samples = "(sum(answered) - sum(negative_latency) - sum(unknown_latency))";
        let sql = format!(
            "WITH quantileExactWeightedArray(0.99)(mapKeys(latency), mapValues(latency)) AS bucket_99 \
             SELECT (qname, toString(qtype), toString(role)) AS key FROM {from} GROUP BY qname, qtype, role \
             HAVING sum(responses) >= {SLOW_SAMPLES} AND {samples} >= {SLOW_SAMPLES} \
             AND bucket_99 >= {{bucket:UInt64}} \
             ORDER BY least(toFloat64(lowtideLatencyUpper(bucket_99)), toFloat64(intDiv(max(latency_max_ns) + 999, 1000))) DESC, \
             {samples} DESC, {}, {}, {ROLE_ORDER} LIMIT {}",
            wire_order!("qname"),
            qtype_order(),
            self.question.top
        );
        statement.with_sql(sql)
    }

    /// Everything that is counted of some names.
    async fn groups_of(&self, keys: &BTreeSet<&Key>) -> Result<BTreeMap<Key, (Role, Group)>, ReadError> {
        let mut groups = BTreeMap::new();
        if keys.is_empty() {
            return Ok(groups);
        }
        let grouping = Grouping {
            tables: Tables::Names,
            keys: &["qname", "qtype", "role"],
            counters: COUNTERS,
            // The first condition is for the index of names.
            only: "qname IN {listed_names:Array(String)} AND (qname, qtype, role) IN \
                   arrayZip({listed_names:Array(String)}, {listed_types:Array(String)}, {listed_roles:Array(String)})",
            ..Grouping::default()
        };
        let mut statement = self.rows.groups(&grouping);
        statement.texts("listed_names", keys.iter().map(|(name, ..)| name.clone()).collect());
        statement.texts("listed_types", keys.iter().map(|(_, qtype, _)| qtype.clone()).collect());
        statement.texts("listed_roles", keys.iter().map(|(.., role)| role.clone()).collect());
        self.each("names", statement, |group| {
            let key = (group.key(0).to_owned(), group.key(1).to_owned(), group.key(2).to_owned());
            groups.insert(key, (role(group.key(2))?, group));
            Ok(())
        })
        .await?;
        Ok(groups)
    }
}

fn qname(role: Role, group: &Group) -> Qname {
    Qname {
        qname: group.key(0).to_owned(),
        qtype: group.key(1).to_owned(),
        role: role.as_str(),
        queries: group.get(Counter::Queries),
        responses: group.get(Counter::Responses),
        nodata: group.get(Counter::Nodata),
        nxdomain: group.get(Counter::Nxdomain),
        servfail: group.get(Counter::Servfail),
        refused: group.get(Counter::Refused),
        unanswered: group.get(Counter::Unanswered),
        latency_us: group.latency(),
    }
}

/// The number of a query type, as ClickHouse computes it of its name.
fn qtype_order() -> String {
    let known = || (0..=u16::MAX).map(Qtype).filter_map(|qtype| Some((qtype.mnemonic()?, qtype.0)));
    let names: Vec<_> = known().map(|(name, _)| format!("'{name}'")).collect();
    let numbers: Vec<_> = known().map(|(_, number)| number.to_string()).collect();
    let (names, numbers) = (names.join(", "), numbers.join(", "));
    format!("transform(toString(qtype), [{names}], [{numbers}], toUInt16OrZero(substring(qtype, 5)))")
}

/// The number of a query type by its name.
fn qtype_number(name: &str) -> u16 {
    let numbered = name.strip_prefix("TYPE").and_then(|number| number.parse().ok());
    let known = || (0..=u16::MAX).find(|&number| Qtype(number).mnemonic() == Some(name));
    numbered.or_else(known).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_order_of_their_numbers() {
        assert_eq!((qtype_number("A"), qtype_number("HTTPS"), qtype_number("TYPE65280")), (1, 65, 65_280));
        assert_eq!(qtype_number("(others)"), u16::MAX);
        assert!(qtype_order().contains("'NSAP-PTR'") && !qtype_order().contains('?'));
    }
}
