//! The report of a replay: the JSON of schema `lowtide.report/1`, and what the terminal report is drawn from.

mod input;

use std::collections::BTreeMap;

use serde::Serialize;

pub use self::input::{Damaged, Dropped, Input};
use crate::drain::report::MigrationReport;

/// The version of the report's JSON.
pub const SCHEMA: &str = "lowtide.report/1";

/// A whole report. Fields that the accounts of traffic do not know (inputs, frame fates) are filled by the caller.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Always [`SCHEMA`].
    pub schema: &'static str,
    /// Where rows were read from, of a report from ClickHouse. Such a report leaves out what rows do not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// What was read.
    pub inputs: Vec<Input>,
    /// Frames by fate; adds up to the frames of all inputs.
    pub frame_fates: BTreeMap<&'static str, u64>,
    /// Malformed frames by defect; adds up to `frame_fates.malformed`.
    pub frame_defects: BTreeMap<&'static str, u64>,
    /// What became of fragmented datagrams (`fragments_...`) and TCP streams (`tcp_...`); only what is not zero.
    pub reassembly: BTreeMap<String, u64>,
    /// DNS messages.
    pub messages: Messages,
    /// Queries and responses paired.
    pub transactions: Transactions,
    /// Queries by type name.
    pub qtypes: BTreeMap<String, u64>,
    /// Responses by response code name, extended codes included.
    pub rcodes: BTreeMap<String, u64>,
    /// Messages by opcode name.
    pub opcodes: BTreeMap<String, u64>,
    /// Responses that are NODATA.
    pub nodata: u64,
    /// Responses that are referrals.
    pub referrals: u64,
    /// Responses with the TC bit.
    pub truncated_responses: u64,
    /// Messages by transport.
    pub transports: BTreeMap<&'static str, u64>,
    /// Messages by address family of the transport addresses.
    pub families: Families,
    /// Latency of the answered transactions, in microseconds.
    pub latency_us: Latency,
    /// Latency buckets that are not empty: upper bound in microseconds and count, in order.
    pub latency_histogram_us: Vec<(u64, u64)>,
    /// Per role, in the order of [`lowtide_proto::Role::ALL`]; only roles that were seen.
    pub roles: Vec<RoleReport>,
    /// Length of an interval in seconds: as asked for, or wider by a power of two where there would be more than 4,096.
    pub interval_s: f64,
    /// Per interval of traffic time, in order; only intervals in which something was seen.
    pub intervals: Vec<Interval>,
    /// The servers, most queries first.
    pub servers: Vec<Server>,
    /// The zones, most queries first.
    pub zones: Vec<Zone>,
    /// Distinct lower-cased query names; a lower bound when `names_limited`.
    pub distinct_qnames: u64,
    /// Whether `--max-names` was reached, so that light names are in the zones' `other` counts alone.
    pub names_limited: bool,
    /// The names asked most, most queries first.
    pub qnames: Vec<Qname>,
    /// The names that failed most: SERVFAIL, REFUSED, unanswered, then NXDOMAIN.
    pub failing_qnames: Vec<Qname>,
    /// The names slowest at the 99th percentile, of those with enough samples.
    pub slowest_qnames: Vec<Qname>,
    /// What the capture itself lacks and the reader must know, such as a one-way capture; in words.
    pub notes: Vec<Note>,
    /// The verdicts on migrations, where some are configured.
    pub migrations: Vec<MigrationReport>,
    /// What each sensor could see, of a report from ClickHouse.
    pub coverage: Vec<Coverage>,
    /// Findings.
    pub findings: Vec<()>,
}

/// Counts of DNS messages.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Messages {
    /// QR clear.
    pub queries: u64,
    /// QR set.
    pub responses: u64,
    /// By reason, those of the above that could not be read to their end.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Messages that the snap length cut.
    pub cut: u64,
    /// Messages without a question.
    pub no_question: u64,
    /// Messages with more than one question.
    pub many_questions: u64,
    /// Messages with octets behind their last record.
    pub trailing_octets: u64,
    /// Messages with EDNS.
    pub edns: u64,
    /// Messages with the DO bit.
    pub dnssec_ok: u64,
    /// Messages with EDNS Client Subnet.
    pub client_subnet: u64,
    /// Messages with a DNS cookie.
    pub cookie: u64,
}

/// Queries and responses paired. `answered + unanswered + pending + retransmissions` = queries;
/// `answered + duplicate_responses + orphan_responses` = responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Transactions {
    /// Transactions with a response within the query timeout.
    pub answered: u64,
    /// Transactions without one.
    pub unanswered: u64,
    /// Transactions whose end was not seen: outstanding when the data ended, or given up for want of memory.
    pub pending: u64,
    /// Queries beyond the first of their transaction.
    pub retransmissions: u64,
    /// Responses beyond the first of their transaction.
    pub duplicate_responses: u64,
    /// Responses without a query.
    pub orphan_responses: u64,
    /// Of `answered`, those whose latency came out negative (clocks), which is in no latency figure.
    pub negative_latency: u64,
    /// Of `answered`, those whose latency is not known for want of a time.
    pub unknown_latency: u64,
    /// Of `pending`, those given up for want of memory.
    pub evicted: u64,
}

/// Messages by address family.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Families {
    /// Over IPv4.
    pub ipv4: u64,
    /// Over IPv6.
    pub ipv6: u64,
}

/// Latency figures in microseconds; `None` where there is no sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Samples.
    pub count: u64,
    /// The smallest, exact.
    pub min: Option<f64>,
    /// The mean, exact.
    pub mean: Option<f64>,
    /// The median; quantiles are within the histogram's error of 0.8 %.
    pub p50: Option<f64>,
    /// The 90th percentile.
    pub p90: Option<f64>,
    /// The 95th percentile.
    pub p95: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
    /// The 99.9th percentile.
    pub p999: Option<f64>,
    /// The largest, exact.
    pub max: Option<f64>,
}

/// The account of one role.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RoleReport {
    /// The role's name.
    pub role: &'static str,
    /// QR clear.
    pub queries: u64,
    /// QR set.
    pub responses: u64,
    /// Its transactions.
    pub transactions: Transactions,
    /// Its queries by type name.
    pub qtypes: BTreeMap<String, u64>,
    /// Its responses by code.
    pub rcodes: BTreeMap<String, u64>,
    /// Its responses that are NODATA.
    pub nodata: u64,
    /// Its responses that are referrals.
    pub referrals: u64,
    /// Its responses with the TC bit.
    pub truncated_responses: u64,
    /// Its latency.
    pub latency_us: Latency,
    /// Its latency buckets, as [`Report::latency_histogram_us`].
    pub latency_histogram_us: Vec<(u64, u64)>,
    /// Its intervals, as [`Report::intervals`].
    pub intervals: Vec<Interval>,
}

/// The account of one interval of traffic time. Queries, responses and latency belong to the interval of their
/// transaction's first query; responses without a query to their own.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Interval {
    /// Its start, RFC 3339.
    pub start: String,
    /// Queries.
    pub queries: u64,
    /// Responses.
    pub responses: u64,
    /// Responses that say NXDOMAIN.
    pub nxdomain: u64,
    /// Responses that say SERVFAIL.
    pub servfail: u64,
    /// Transactions without a response.
    pub unanswered: u64,
    /// Latency.
    pub latency_us: Latency,
}

/// The account of one server.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Server {
    /// The address; `(others)` is all servers without an account of their own.
    pub address: String,
    /// The role in which it was seen.
    pub role: &'static str,
    /// Queries to it.
    pub queries: u64,
    /// Responses from it.
    pub responses: u64,
    /// Transactions without a response.
    pub unanswered: u64,
    /// Responses by code.
    pub rcodes: BTreeMap<String, u64>,
    /// Latency.
    pub latency_us: Latency,
}

/// The account of one zone.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Zone {
    /// The zone's name, final dot; `(others)` is all zones without a row of their own.
    pub zone: String,
    /// The role in which it was seen.
    pub role: &'static str,
    /// How the zone is known: `configured`, `learnt` (SOA or NS in an authoritative answer) or `public-suffix`.
    pub known_by: &'static str,
    /// Queries.
    pub queries: u64,
    /// Responses.
    pub responses: u64,
    /// NXDOMAIN responses.
    pub nxdomain: u64,
    /// SERVFAIL responses.
    pub servfail: u64,
    /// Transactions without a response.
    pub unanswered: u64,
    /// Latency.
    pub latency_us: Latency,
    /// Distinct names that had to give up their row (estimate), whose counts are, wholly or in part, in the zone's
    /// alone. Of `(others)`: only those of them.
    pub other_names: u64,
    /// Queries that are in no name's row. Of `(others)`: all queries.
    pub other_queries: u64,
}

/// The account of one name and type.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Qname {
    /// The name in presentation form, lower-cased, final dot.
    pub qname: String,
    /// The type's name.
    pub qtype: String,
    /// The role in which it was seen.
    pub role: &'static str,
    /// Queries.
    pub queries: u64,
    /// Responses.
    pub responses: u64,
    /// NODATA responses.
    pub nodata: u64,
    /// NXDOMAIN responses.
    pub nxdomain: u64,
    /// SERVFAIL responses.
    pub servfail: u64,
    /// REFUSED responses.
    pub refused: u64,
    /// Transactions without a response.
    pub unanswered: u64,
    /// Latency.
    pub latency_us: Latency,
}

/// Something that the reader of the figures must know.
#[derive(Clone, Debug, Serialize)]
pub struct Note {
    /// A stable word for programs, such as `one-way-capture`.
    pub code: &'static str,
    /// A sentence for people.
    pub text: String,
}

/// Which rows a report is made of.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Source {
    /// The server, without credentials.
    pub url: String,
    /// The database.
    pub database: String,
    /// The earliest start of an interval asked for, RFC 3339.
    pub from: String,
    /// The moment before which intervals start, RFC 3339.
    pub to: String,
    /// The zones asked for; empty = all. So too the next three.
    pub zones: Vec<String>,
    /// The names asked for.
    pub names: Vec<String>,
    /// The sensors asked for.
    pub sensors: Vec<String>,
    /// The runs asked for.
    pub runs: Vec<String>,
    /// The runs that covered some of it, or should have.
    pub seen: Vec<Run>,
    /// Stretches of the range that a live sensor did not cover, though it ran before and was not stopped for good.
    pub gaps: Vec<Gap>,
}

/// One run of a sensor.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Run {
    /// The sensor.
    pub sensor: String,
    /// The run's name.
    pub run: String,
    /// `live` or `replay`.
    pub kind: String,
    /// `running`, `finished` or `failed`; empty when the run said nothing of itself.
    pub state: String,
    /// Seconds of its intervals.
    pub interval_s: f64,
    /// When it began, by the clock, RFC 3339.
    pub started: Option<String>,
    /// When it ended.
    pub finished: Option<String>,
    /// What it counted and could not deliver, over the whole run.
    pub dropped: BTreeMap<String, u64>,
}

/// A stretch of time that nothing is known about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The sensor.
    pub sensor: String,
    /// The interface, socket or file; empty when the sensor covered nothing at all.
    pub source: String,
    /// When it begins, RFC 3339.
    pub from: String,
    /// When it ends.
    pub to: String,
}

/// What one source of a run showed in the range.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Coverage {
    /// The sensor.
    pub sensor: String,
    /// Its run.
    pub run: String,
    /// `live` or `replay`.
    pub kind: String,
    /// The interface, socket or file.
    pub source: String,
    /// The time of the earliest frame, RFC 3339.
    pub first: Option<String>,
    /// The time of the latest frame.
    pub last: Option<String>,
    /// Packets or dnstap frames.
    pub frames: u64,
    /// DNS messages, of all zones and names.
    pub messages: u64,
    /// What was lost, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Whether there may have been loss that nobody counted.
    pub unknown: bool,
}
