//! From the accounts to the report.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use jiff::fmt::temporal::DateTimePrinter;
use lowtide_proto::time::NANOS_PER_SECOND;
use lowtide_proto::{Facts, Malformed, Name, Opcode, Qtype, Role, Timestamp, Transport};

use crate::account::{Account, LatencyAccount, RcodeCounts};
use crate::accounts::{RoleAccount, ServerAccount};
use crate::latency::{self, Pool};
use crate::names::{NameTable, OTHER_ZONES, Row};
use crate::report::{
    Families, Interval, Latency, Messages, Note, Qname, Report, RoleReport, SCHEMA, Server, Transactions,
    Zone,
};
use crate::transaction::MatcherCounters;
use crate::zones::{KnownBy, ZoneMap};
use crate::{Accounts, MessageCounts, Names};

/// Samples that a name needs to be called slow.
pub const SLOW_SAMPLES: u64 = 20;

/// Zones with a row of their own; the operator's always have one. The rest share one, as a capture of a top-level domain's
/// server has millions.
pub const MAX_ZONES: usize = 1_000;

/// What stands in place of an address or zone for all those without a row of their own.
pub const OTHERS: &str = "(others)";

/// Everything that was counted.
pub struct Counted<'a> {
    /// Messages.
    pub messages: &'a MessageCounts,
    /// Roles, servers and intervals, closed.
    pub accounts: &'a Accounts,
    /// Names of all shards.
    pub names: &'a Names,
    /// What the matcher noticed.
    pub matcher: &'a MatcherCounters,
}

/// A moment in RFC 3339 form, UTC, with nanoseconds.
pub fn rfc3339(time: Timestamp) -> String {
    match jiff::Timestamp::from_nanosecond(i128::from(time.0)) {
        Ok(time) => DateTimePrinter::new().precision(Some(9)).timestamp_to_string(&time),
        Err(_) => String::new(),
    }
}

/// Makes the report, with the `top` first of servers' and names' lists. Inputs and frame fates are the caller's to fill.
pub fn report(counted: &Counted<'_>, mut zones: ZoneMap, top: usize) -> Report {
    let names = counted.names;
    for (name, row) in names.tables().iter().flat_map(NameTable::rows) {
        if let Some(labels) = row.zone_labels {
            zones.learn(name, labels);
        }
    }
    let mut report = Report { schema: SCHEMA, ..messages(counted.messages) };
    roles(&mut report, counted.accounts);
    report.servers = servers(counted.accounts);
    report.zones = zone_reports(names, &zones);
    report.distinct_qnames = names.tables().iter().map(|table| table.distinct_names() as u64).sum();
    report.names_limited = names.tables().iter().any(NameTable::swept);
    name_lists(&mut report, counted, top);
    notes(&mut report, counted);
    report
}

fn messages(counts: &MessageCounts) -> Report {
    let malformed = Malformed::ALL.iter().zip(counts.malformed).filter(|&(_, count)| count > 0);
    let transports = Transport::ALL.iter().zip(counts.transports).filter(|&(_, count)| count > 0);
    let opcodes = (0..).map(Opcode).zip(counts.opcodes).filter(|&(_, count)| count > 0);
    Report {
        messages: Messages {
            queries: counts.queries,
            responses: counts.responses,
            malformed: malformed.map(|(reason, count)| (reason.as_str(), count)).collect(),
            cut: counts.with(Facts::CUT),
            no_question: counts.with(Facts::NO_QUESTION),
            many_questions: counts.with(Facts::MANY_QUESTIONS),
            trailing_octets: counts.with(Facts::TRAILING_OCTETS),
            edns: counts.with(Facts::EDNS),
            dnssec_ok: counts.with(Facts::DNSSEC_OK),
            client_subnet: counts.with(Facts::CLIENT_SUBNET),
            cookie: counts.with(Facts::COOKIE),
        },
        transports: transports.map(|(transport, count)| (transport.as_str(), count)).collect(),
        opcodes: opcodes.map(|(opcode, count)| (opcode.to_string(), count)).collect(),
        families: Families { ipv4: counts.ipv4, ipv6: counts.queries + counts.responses - counts.ipv4 },
        ..Report::default()
    }
}

fn rcode_map(rcodes: &RcodeCounts) -> BTreeMap<String, u64> {
    rcodes.iter().map(|(rcode, count)| (rcode.to_string(), count)).collect()
}

/// The roles, and what they come to in all.
fn roles(report: &mut Report, accounts: &Accounts) {
    let mut pool = Pool::default();
    let mut total = Account::default();
    let mut intervals: BTreeMap<u64, Account> = BTreeMap::new();
    for (role, account) in accounts.roles() {
        let role = role_report(role, account, accounts.pool());
        total.add(&mut pool, &account.account, accounts.pool());
        for (start, account) in account.intervals.iter() {
            intervals.entry(start).or_default().add(&mut pool, account, accounts.pool());
        }
        report.transactions.add(&role.transactions);
        report.nodata += role.nodata;
        report.referrals += role.referrals;
        report.truncated_responses += role.truncated_responses;
        for (qtype, count) in &role.qtypes {
            *report.qtypes.entry(qtype.clone()).or_default() += count;
        }
        for (rcode, count) in &role.rcodes {
            *report.rcodes.entry(rcode.clone()).or_default() += count;
        }
        report.roles.push(role);
    }
    report.latency_us = latency(&total.latency, &pool);
    report.latency_histogram_us = histogram(&total.latency, &pool);
    report.interval_s = accounts.interval() as f64 / NANOS_PER_SECOND as f64;
    report.intervals = intervals.iter().map(|(&start, account)| interval(start, account, &pool)).collect();
}

fn role_report(role: Role, account: &RoleAccount, pool: &Pool) -> RoleReport {
    RoleReport {
        role: role.as_str(),
        queries: account.account.queries,
        responses: account.account.responses,
        transactions: account.transactions,
        qtypes: account.qtypes.iter().map(|(qtype, count)| (qtype.to_string(), count)).collect(),
        rcodes: rcode_map(&account.rcodes),
        nodata: account.account.nodata,
        referrals: account.referrals,
        truncated_responses: account.truncated,
        latency_us: latency(&account.account.latency, pool),
        latency_histogram_us: histogram(&account.account.latency, pool),
        intervals: account.intervals.iter().map(|(start, account)| interval(start, account, pool)).collect(),
    }
}

fn histogram(account: &LatencyAccount, pool: &Pool) -> Vec<(u64, u64)> {
    histogram_us(pool.buckets(account.histogram), account.max)
}

/// Buckets with their upper bounds in microseconds; `max` is the largest sample in nanoseconds.
pub fn histogram_us(buckets: impl Iterator<Item = (u16, u64)>, max: u64) -> Vec<(u64, u64)> {
    // The last bucket has no bound of its own.
    let bound = |bucket| {
        if bucket == latency::OVERFLOW { max.div_ceil(1000) } else { latency::upper_bound(bucket) }
    };
    buckets.map(|(bucket, count)| (bound(bucket), count)).collect()
}

fn interval(start: u64, account: &Account, pool: &Pool) -> Interval {
    Interval {
        start: rfc3339(Timestamp(start)),
        queries: account.queries,
        responses: account.responses,
        nxdomain: account.nxdomain,
        servfail: account.servfail,
        unanswered: account.unanswered,
        latency_us: latency(&account.latency, pool),
    }
}

fn servers(accounts: &Accounts) -> Vec<Server> {
    let mut servers: Vec<_> = accounts.servers().collect();
    servers.sort_unstable_by_key(|(address, role, server)| {
        (Reverse((server.account.queries, server.account.responses)), *address, *role)
    });
    let server = |address: String, role: Role, server: &ServerAccount| Server {
        address,
        role: role.as_str(),
        queries: server.account.queries,
        responses: server.account.responses,
        unanswered: server.account.unanswered,
        rcodes: rcode_map(&server.rcodes),
        latency_us: latency(&server.account.latency, accounts.pool()),
    };
    let named = servers.into_iter();
    let named =
        named.map(|(address, role, account)| server(address.to_canonical().to_string(), role, account));
    named
        .chain(accounts.other_servers().map(|(role, account)| server(OTHERS.to_owned(), role, account)))
        .collect()
}

struct ZoneAccount {
    known_by: KnownBy,
    account: Account,
    other_names: u64,
    other_queries: u64,
}

impl ZoneAccount {
    fn new(known_by: KnownBy) -> Self {
        Self { known_by, account: Account::default(), other_names: 0, other_queries: 0 }
    }
}

fn zone_reports(names: &Names, map: &ZoneMap) -> Vec<Zone> {
    let mut pool = Pool::default();
    let mut zones: HashMap<(Role, Name<'_>), ZoneAccount, RandomState> = HashMap::default();
    for table in names.tables() {
        for (name, row) in table.rows().filter(|(name, _)| !name.0.is_empty()) {
            let (zone, known_by) = map.zone_of(name, row.zone_labels);
            let zone = zones.entry((row.role, zone)).or_insert_with(|| ZoneAccount::new(known_by));
            zone.account.add(&mut pool, &row.account, table.pool());
        }
        for (role, name, other) in table.other() {
            let zone =
                zones.entry((role, name)).or_insert_with(|| ZoneAccount::new(map.zone_of(name, None).1));
            zone.account.add(&mut pool, &other.account, table.pool());
            // A name is in one partition only, so that the estimates add up.
            zone.other_names += other.names.estimate() as u64;
            zone.other_queries += other.account.queries;
        }
    }
    let mut zones: Vec<_> = zones.into_iter().collect();
    zones.sort_unstable_by(|(one, first), (other, second)| {
        second.account.queries.cmp(&first.account.queries).then_with(|| one.cmp(other))
    });
    let mut others: BTreeMap<Role, ZoneAccount> = BTreeMap::new();
    let mut listed = Vec::new();
    for ((role, name), zone) in zones {
        let room = listed.len() < MAX_ZONES || zone.known_by == KnownBy::Configured;
        if room && name != OTHER_ZONES {
            listed.push(zone_report(name.to_string(), role, &zone, &pool));
            continue;
        }
        let other = others.entry(role).or_insert_with(|| ZoneAccount::new(zone.known_by));
        other.account.add_within(&zone.account, &mut pool);
        other.other_names += zone.other_names;
        other.other_queries += zone.account.queries;
    }
    listed.extend(others.iter().map(|(&role, zone)| zone_report(OTHERS.to_owned(), role, zone, &pool)));
    listed
}

fn zone_report(name: String, role: Role, zone: &ZoneAccount, pool: &Pool) -> Zone {
    Zone {
        known_by: if name == OTHERS { OTHERS } else { zone.known_by.as_str() },
        zone: name,
        role: role.as_str(),
        queries: zone.account.queries,
        responses: zone.account.responses,
        nxdomain: zone.account.nxdomain,
        servfail: zone.account.servfail,
        unanswered: zone.account.unanswered,
        latency_us: latency(&zone.account.latency, pool),
        other_names: zone.other_names,
        other_queries: zone.other_queries,
    }
}

/// A row, its name, and the pool of its histogram.
type Listed<'a> = (&'a Row, Name<'a>, &'a Pool);

fn name_lists(report: &mut Report, counted: &Counted<'_>, top: usize) {
    let names = counted.names;
    let one_way = counted.accounts.roles().filter(|(_, role)| role.is_one_way());
    let one_way: Vec<Role> = one_way.map(|(role, _)| role).collect();
    let rows = || {
        let all = names.tables().iter();
        let all = all.flat_map(|table| table.rows().map(move |(name, row)| (row, name, table.pool())));
        all.filter(|(_, name, _)| !name.0.is_empty())
    };
    report.qnames = first_by(rows(), top, |row, _| (row.account.queries, row.account.responses));
    let failures = |row: &Row| failures(row, one_way.contains(&row.role));
    let failing = rows().filter(|(row, ..)| failures(row) != (0, 0));
    report.failing_qnames = first_by(failing, top, |row, _| failures(row));
    // An answer is a sample, or nearly always: so few rows' histograms are counted.
    let sampled = rows().filter(|(row, _, pool)| {
        row.account.responses >= SLOW_SAMPLES && row.account.latency.count(pool) >= SLOW_SAMPLES
    });
    report.slowest_qnames = first_by(sampled, top, |row, pool| {
        let count = row.account.latency.count(pool);
        let latency = &row.account.latency;
        (quantile(pool.buckets(latency.histogram), count, latency.max, 0.99), count)
    });
}

/// What an operator must look at first: no answer or a wrong one, then NXDOMAIN. Of a one-way capture nobody knows what was
/// answered.
const fn failures(row: &Row, one_way: bool) -> (u64, u64) {
    let account = &row.account;
    let unanswered = if one_way { 0 } else { account.unanswered };
    (account.servfail + account.refused + unanswered, account.nxdomain)
}

/// The place of a row in a list: greatest keys first, ties in the order of names, types and roles.
type Rank<'a> = (Reverse<(u64, u64)>, Name<'a>, Qtype, Role);

/// The `top` rows with the greatest keys.
fn first_by<'a>(
    rows: impl Iterator<Item = Listed<'a>>,
    top: usize,
    key: impl Fn(&Row, &Pool) -> (u64, u64),
) -> Vec<Qname> {
    let mut first: BTreeMap<Rank<'a>, (&Row, &Pool)> = BTreeMap::new();
    for (row, name, pool) in rows {
        let rank = (Reverse(key(row, pool)), name, row.qtype, row.role);
        if first.len() < top || first.last_key_value().is_some_and(|(last, _)| rank < *last) {
            first.insert(rank, (row, pool));
            if first.len() > top {
                first.pop_last();
            }
        }
    }
    first.into_iter().map(|((_, name, ..), (row, pool))| qname(row, name, pool)).collect()
}

fn qname(row: &Row, name: Name<'_>, pool: &Pool) -> Qname {
    Qname {
        qname: name.to_string(),
        qtype: row.qtype.to_string(),
        role: row.role.as_str(),
        queries: row.account.queries,
        responses: row.account.responses,
        nodata: row.account.nodata,
        nxdomain: row.account.nxdomain,
        servfail: row.account.servfail,
        refused: row.account.refused,
        unanswered: row.account.unanswered,
        latency_us: latency(&row.account.latency, pool),
    }
}

/// The smallest bucket bound in microseconds below which at least the share `q` of the `count` samples lies (nearest
/// rank), not above the largest sample, `max` nanoseconds.
pub fn quantile(buckets: impl Iterator<Item = (u16, u64)>, count: u64, max: u64, q: f64) -> u64 {
    let rank = ((count as f64 * q).ceil() as u64).max(1);
    let mut below = 0;
    for (bucket, count) in buckets {
        below += count;
        if below >= rank {
            return latency::upper_bound(bucket).min(max.div_ceil(1000));
        }
    }
    max / 1000
}

fn latency(account: &LatencyAccount, pool: &Pool) -> Latency {
    let buckets: Vec<_> = pool.buckets(account.histogram).collect();
    Latency::of(&buckets, account.sum, account.min, account.max)
}

impl Latency {
    /// The figures of a histogram: buckets in order with their counts, and the sum and extremes of the samples in
    /// nanoseconds. Quantiles are bucket bounds that leave the extremes alone.
    pub fn of(buckets: &[(u16, u64)], sum: u64, min: u64, max: u64) -> Self {
        let count = buckets.iter().map(|(_, count)| count).sum();
        if count == 0 {
            return Self::default();
        }
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let at = |q| {
            let bound = quantile(buckets.iter().copied(), count, max, q);
            Some((bound as f64).clamp(micros(min), micros(max)))
        };
        Self {
            count,
            min: Some(micros(min)),
            mean: Some(sum as f64 / count as f64 / 1000.0),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: Some(micros(max)),
        }
    }
}

fn notes(report: &mut Report, counted: &Counted<'_>) {
    report.notes = report.roles.iter().flat_map(role_notes).collect();
    let mut note = |code, text: String| report.notes.push(Note { code, text });
    if counted.matcher.clock_steps > 0 {
        let steps = counted.matcher.clock_steps;
        note(
            "clock-steps",
            format!("steps of traffic time by more than a minute, back or for one message: {steps}"),
        );
    }
    if let Some((_, others)) = counted.accounts.other_servers().next() {
        let queries = others.account.queries;
        note(
            "servers-limited",
            format!(
                "there are more servers than have an account of their own; the rest is in {OTHERS}: {queries} queries"
            ),
        );
    }
}

/// What the reader of a role's figures must know.
pub fn role_notes(account: &RoleReport) -> Vec<Note> {
    let mut notes = Vec::new();
    let mut note = |code, text: String| notes.push(Note { code, text });
    let RoleReport { role, queries, responses, transactions, .. } = account;
    if *responses == 0 {
        note(
            "one-way-capture",
            format!(
                "one-way capture ({role}): only queries were seen, {queries} of them; whether they were answered is unknown"
            ),
        );
    } else if *queries == 0 {
        note(
            "one-way-capture",
            format!(
                "one-way capture ({role}): only responses were seen, {responses} of them; what was asked in vain, and how long the answers took, is unknown"
            ),
        );
    }
    if is_coarse(&account.latency_histogram_us) {
        note(
            "coarse-clock",
            format!(
                "the clock behind the {role} messages steps by a millisecond or more: latencies below that read as 0"
            ),
        );
    }
    if transactions.negative_latency > 0 {
        note(
            "negative-latency",
            format!(
                "{} of {} answered transactions ({role}) have a response stamped before its query; they are in no latency figure",
                transactions.negative_latency, transactions.answered
            ),
        );
    }
    if transactions.evicted > 0 {
        note(
            "evicted",
            format!(
                "{} queries ({role}) were given up before their timeout for want of memory; they are counted as pending",
                transactions.evicted
            ),
        );
    }
    notes
}

/// Whether a clock knows no time between 0 and a millisecond: half or more of the samples are 0, and none is between.
fn is_coarse(histogram: &[(u64, u64)]) -> bool {
    let zero = histogram.iter().find(|(bound, _)| *bound == 0).map_or(0, |(_, count)| *count);
    let between = histogram.iter().any(|&(bound, _)| bound > 0 && bound < 1000);
    let count: u64 = histogram.iter().map(|(_, count)| count).sum();
    count >= SLOW_SAMPLES && zero * 2 >= count && !between
}

impl Transactions {
    /// Adds the counts of another role.
    pub const fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.unanswered += other.unanswered;
        self.pending += other.pending;
        self.retransmissions += other.retransmissions;
        self.duplicate_responses += other.duplicate_responses;
        self.orphan_responses += other.orphan_responses;
        self.negative_latency += other.negative_latency;
        self.unknown_latency += other.unknown_latency;
        self.evicted += other.evicted;
    }
}
