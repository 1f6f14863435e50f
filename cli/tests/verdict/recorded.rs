//! Rows of migrations through the recorder into ClickHouse.

use std::process::Command;
use std::sync::Arc;

use lowtide_aggregate::CoverageRow;
use lowtide_aggregate::drain::DrainRows;
use lowtide_aggregate::drain::rows::{DrainRow, RrsetRow};
use lowtide_aggregate::drain::rrsets::{RrsetKey, Section, Served};
use lowtide_aggregate::names::PARTITIONS;
use lowtide_aggregate::window::Closed;
use lowtide_proto::{Qtype, Role, Timestamp};
use lowtide_store::recorder::{Draft, Recorded, Recorder, SegmentSink};
use lowtide_store::run::{Kind, RunKey};

use crate::support::{Database, Server, skipped};

pub const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// 2026-10-30 00:00:00 UTC.
const BEGIN: u64 = 1_793_318_400;

/// A database with the schema.
pub fn database() -> Database {
    let database = Server::shared();
    let apply = ["schema", "--apply", "--clickhouse", &database.url()];
    let output = Command::new(env!("CARGO_BIN_EXE_lowtide")).args(apply).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    database
}

/// Segments go to ClickHouse at once, as delivery sends them.
pub struct Insert<'a> {
    pub database: &'a Database,
    pub key: RunKey,
    /// Table, rows, first and last interval of each.
    pub segments: Vec<(&'static str, u64, (u32, u32))>,
    pub octets: Vec<u8>,
}

impl<'a> Insert<'a> {
    pub fn new(database: &'a Database, sensor: &str, run: &str, kind: Kind) -> Self {
        let key = RunKey { sensor: sensor.to_owned(), run: run.to_owned(), kind };
        Self { database, key, segments: Vec::new(), octets: Vec::new() }
    }
}

impl SegmentSink for Insert<'_> {
    type Error = ();

    fn put(&mut self, draft: &Draft<'_>) -> Result<(), ()> {
        let sql = format!("INSERT INTO {} ({}) FORMAT Native", draft.table, draft.columns.join(","));
        let token = format!("{}/{}/{}/{}", self.key.sensor, self.key.run, draft.table, draft.sequence);
        let request = self.database.server().request(&sql).database(&self.database.name).data(draft.block);
        let request = request.setting("insert_deduplication_token", &token);
        request.setting("deduplicate_blocks_in_dependent_materialized_views", "1").send().unwrap();
        self.segments.push((draft.table, draft.rows, draft.intervals));
        self.octets.extend_from_slice(draft.block);
        Ok(())
    }
}

/// Records rows as of one mark; what the sink then has seen.
pub fn record<'a>(
    sink: Insert<'a>,
    sources: &[&str],
    segment_rows: usize,
    coverage: Vec<CoverageRow>,
    rows: DrainRows,
) -> Insert<'a> {
    let sources = sources.iter().map(|&source| source.to_owned()).collect();
    let mut recorder = Recorder::new(sink.key.clone(), sources, segment_rows, sink);
    for partition in 0..PARTITIONS {
        let closed = Closed { mark: 0, partition, windows: Vec::new() };
        recorder.record(Recorded::Windows(closed)).unwrap();
    }
    recorder.record(Recorded::Coverage(coverage, rows)).unwrap();
    recorder.cut().unwrap();
    let fresh = Insert {
        segments: Vec::new(),
        octets: Vec::new(),
        key: recorder.sink().key.clone(),
        ..*recorder.sink()
    };
    std::mem::replace(recorder.sink(), fresh)
}

fn v4(last: u8) -> std::net::Ipv6Addr {
    std::net::Ipv4Addr::new(192, 0, 2, last).to_ipv6_mapped()
}

/// Four days around the end of a month, an hour apart: one client's query each.
fn asked() -> Vec<DrainRow> {
    let row = |hour: u64| {
        let seconds = BEGIN + hour * 3_600;
        DrainRow {
            start: Timestamp::new(seconds, 0),
            role: if hour.is_multiple_of(2) { Role::Wire } else { Role::Auth },
            migration: Arc::from("to-b"),
            zone: Arc::from("example.net."),
            server: v4(53),
            client: if hour == 7 { std::net::Ipv6Addr::UNSPECIFIED } else { v4(200) },
            qtype: Qtype([1, 28, 65_280][hour as usize % 3]),
            queries: 1 + hour,
            rd_queries: hour,
            responses: 1,
            seen: (Timestamp::new(seconds, 1), Timestamp::new(seconds, 999_999_999)),
            visits: 1,
            gaps: (hour > 0).then_some((3_600 * SECOND, 3_600 * SECOND + hour)),
        }
    };
    (0..96).map(row).collect()
}

fn served() -> Vec<RrsetRow> {
    let rrset = |rdata: &[&str]| RrsetKey {
        server: v4(53),
        owner: "example.net.".to_owned(),
        rrtype: "NS".to_owned(),
        section: Section::Authority,
        rdata: rdata.iter().map(|&record| record.to_owned()).collect(),
    };
    let row = |number: u64| {
        let first = Timestamp::new(BEGIN + 60 * number, 5);
        RrsetRow {
            start: Timestamp::new(BEGIN + 60 * number, 0),
            role: Role::Wire,
            zone: Arc::from("example.net."),
            rrset: rrset(if number < 2 {
                &["ns1.a.example.", "ns2.a.example."]
            } else {
                &["ns1.b.example."]
            }),
            served: Served {
                ttl_min: 300,
                ttl_max: 3_600,
                horizon: Timestamp(first.0 + 3_600 * SECOND),
                higher_until: None,
                answers: 7,
                first,
                last: Timestamp(first.0 + 1),
                ttl: 300,
            },
        }
    };
    (0..4).map(row).collect()
}

#[test]
fn rows_of_migrations_come_out_as_they_went_in() {
    if skipped() {
        return;
    }
    let database = database();
    let rows = || DrainRows { asked: asked(), served: served() };
    let sink = || Insert::new(&database, "ns1", "r", Kind::Live);
    let coverage =
        || vec![CoverageRow { start: Timestamp::new(BEGIN, 0), heartbeats: 60, ..CoverageRow::default() }];
    let inserted = record(sink(), &["eth0"], 20, coverage(), rows());
    let again = record(sink(), &["eth0"], 20, coverage(), rows());
    assert_eq!(inserted.octets, again.octets);
    // A segment is of one month; the proof that it was watched comes last.
    let (october, november) = (BEGIN as u32, (BEGIN + 2 * DAY) as u32);
    let tables: Vec<_> = inserted.segments.iter().map(|(table, rows, _)| (*table, *rows)).collect();
    // 48 rows in each month: what October leaves stays until the end, and makes November's segments smaller.
    let drain = [20, 20, 12, 12, 12, 12, 8].map(|rows| ("drain", rows));
    assert_eq!(tables, [&drain[..], &[("rrset", 4), ("coverage", 1)]].concat());
    assert_eq!(inserted.segments[0].2, (october, october + 19 * 3_600));
    for &(_, _, (from, to)) in &inserted.segments {
        assert!(to < november || from >= november, "{from} {to}");
    }
    // Two keys of a day at the most, the client and the others: all in all what was counted.
    let sums = "sum(queries), sum(rd_queries), sum(responses), min(first_seen), max(last_seen)";
    let expected = "4656\t4560\t96\t2026-10-30 00:00:00.000000001\t2026-11-02 23:00:00.999999999";
    for table in ["drain", "drain_day", "drain_hour"] {
        assert_eq!(database.query(&format!("SELECT {sums} FROM {table}")), expected, "{table}");
    }
    let gaps = "SELECT sum(visits), min(gap_min), max(gap_max), countIf(gap_min IS NULL) FROM";
    assert_eq!(database.query(&format!("{gaps} drain")), "96\t3600000000000\t3600000000095\t1");
    assert_eq!(database.query(&format!("{gaps} drain_day")), "96\t3600000000000\t3600000000095\t0");
    let texts = "SELECT DISTINCT sensor, run, kind, role, migration, zone, server, lowtideAddress(client) FROM drain ORDER BY ALL";
    assert_eq!(
        database.query(texts),
        "ns1\tr\tlive\tauth\tto-b\texample.net.\t192.0.2.53\t(others)\n\
         ns1\tr\tlive\tauth\tto-b\texample.net.\t192.0.2.53\t192.0.2.200\n\
         ns1\tr\tlive\twire\tto-b\texample.net.\t192.0.2.53\t192.0.2.200"
    );
    assert_eq!(
        database.query("SELECT arraySort(groupUniqArray(qtype)) FROM drain"),
        "['A','AAAA','TYPE65280']"
    );
    let rrsets = "SELECT uniqExact(digest), rdata, sum(answers), min(ttl_min), max(ttl_max), max(horizon), section, server, owner, rrtype
        FROM rrset GROUP BY rdata, section, server, owner, rrtype ORDER BY rdata DESC";
    assert_eq!(
        database.query(rrsets),
        "1\t['ns1.b.example.']\t14\t300\t3600\t2026-10-30 01:03:01\tauthority\t192.0.2.53\texample.net.\tNS\n\
         1\t['ns1.a.example.','ns2.a.example.']\t14\t300\t3600\t2026-10-30 01:01:01\tauthority\t192.0.2.53\texample.net.\tNS"
    );
    assert_eq!(database.query("SELECT uniqExact(digest) FROM rrset"), "2");
}
