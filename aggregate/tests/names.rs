//! The table of names: exact below its limit, bounded above it, totals exact always, the same for any number of shards.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use lowtide_aggregate::names::{NameTable, PARTITIONS, partition};
use lowtide_aggregate::summary::{self, Counted};
use lowtide_aggregate::transaction::MatcherCounters;
use lowtide_aggregate::{Accounts, Event, EventBatch, MessageCounts, Names, Outcome, ZoneMap};
use lowtide_proto::{NameBuf, Qtype, Rcode, Role, Timestamp};

/// Zipf-like names: name 0 is asked every second time, name 1 every fourth...; plus a name that is asked once each time.
fn stream(events: u64) -> Vec<(u64, String, Qtype)> {
    (0..events)
        .flat_map(|at| {
            let heavy = u64::from((at + 1).trailing_zeros());
            let qtype = if at % 3 == 0 { Qtype::AAAA } else { Qtype::A };
            [
                (at, format!("heavy{heavy}.example.org"), qtype),
                (at, format!("once{at}.flood.example"), Qtype::A),
            ]
        })
        .collect()
}

/// An answered transaction; every tenth says NXDOMAIN.
fn event(at: u64, name: &[u8], qtype: Qtype) -> Event {
    Event {
        time: Timestamp(at),
        latency: Some((at * 7919 % 40_000_000) as i64),
        name_hash: BuildHasherDefault::<DefaultHasher>::default().hash_one(name),
        qtype,
        rcode: if at.is_multiple_of(10) { Rcode::NXDOMAIN } else { Rcode::NOERROR },
        outcome: Outcome::Answered,
        role: Role::Wire,
        nodata: false,
        referral: false,
        truncated: false,
        has_question: true,
        zone_labels: None,
    }
}

fn count(stream: &[(u64, String, Qtype)], limit: usize, shards: usize) -> Names {
    let mut lanes: Vec<_> =
        (0..shards).map(|_| (EventBatch::default(), Names::new(limit, &ZoneMap::default()))).collect();
    for (at, name, qtype) in stream {
        let name = NameBuf::parse(name).unwrap();
        let partition = partition(name.wire());
        let event = event(*at, name.wire(), *qtype);
        let (batch, names) = &mut lanes[partition % shards];
        batch.push(&event, name.wire(), partition);
        if batch.len() == 100 {
            names.count(batch);
            batch.clear();
        }
    }
    let mut all = Names::new(limit, &ZoneMap::default());
    for (batch, mut names) in lanes {
        names.count(&batch);
        all.adopt(names);
    }
    all
}

/// All that a table says, in an order of its own: rows, and what was swept out by zone.
type Said = (BTreeMap<(String, Qtype), (u64, u64, Vec<(u16, u64)>)>, Vec<(String, u64, Vec<(u16, u64)>)>);

fn said(names: &Names) -> Said {
    let mut rows = BTreeMap::new();
    let mut other = Vec::new();
    for table in names.tables() {
        for (name, row) in table.rows() {
            let account = &row.account;
            let buckets = table.pool().buckets(account.latency.histogram).collect();
            let before =
                rows.insert((name.to_string(), row.qtype), (account.queries, account.nxdomain, buckets));
            assert!(before.is_none(), "{name} has one row");
        }
        for (_, zone, swept) in table.other() {
            let buckets = table.pool().buckets(swept.account.latency.histogram).collect();
            other.push((zone.to_string(), swept.account.queries, buckets));
        }
    }
    (rows, other)
}

#[test]
fn below_the_limit_every_name_is_exact() {
    let stream = stream(5_000);
    let mut truth: BTreeMap<(String, Qtype), u64> = BTreeMap::new();
    for (_, name, qtype) in &stream {
        *truth.entry((format!("{name}."), *qtype)).or_default() += 1;
    }
    let names = count(&stream, 1_000_000, 1);
    let (rows, other) = said(&names);
    assert!(other.is_empty());
    assert!(rows.iter().map(|(key, row)| (key, row.0)).eq(truth.iter().map(|(key, count)| (key, *count))));
    assert!(
        rows.values()
            .all(|(queries, _, buckets)| buckets.iter().map(|bucket| bucket.1).sum::<u64>() == *queries)
    );
    let mut distinct: Vec<_> = truth.keys().map(|key| &key.0).collect();
    distinct.dedup();
    assert_eq!(names.tables().iter().map(NameTable::distinct_names).sum::<usize>(), distinct.len());
}

#[test]
fn the_number_of_shards_changes_nothing_swept_or_not() {
    let stream = stream(20_000);
    for limit in [1_000_000, 800] {
        let one = said(&count(&stream, limit, 1));
        for shards in [2, 3, PARTITIONS] {
            assert_eq!(said(&count(&stream, limit, shards)), one, "{limit} rows, {shards} shards");
        }
    }
}

#[test]
fn above_the_limit_totals_stay_exact_and_the_heavy_names_stay() {
    let stream = stream(50_000);
    let names = count(&stream, 1_600, 1);
    let (rows, other) = said(&names);
    assert!(rows.len() <= 1_600);
    let kept: u64 = rows.values().map(|row| row.0).sum();
    let swept: u64 = other.iter().map(|other| other.1).sum();
    assert_eq!(kept + swept, stream.len() as u64);
    let samples = |buckets: &[(u16, u64)]| buckets.iter().map(|bucket| bucket.1).sum::<u64>();
    let latencies: u64 =
        rows.values().map(|row| samples(&row.2)).chain(other.iter().map(|other| samples(&other.2))).sum();
    assert_eq!(latencies, stream.len() as u64);
    for heavy in 0..6u32 {
        let asked = rows
            .iter()
            .filter(|((name, _), _)| *name == format!("heavy{heavy}.example.org."))
            .map(|(_, row)| row.0)
            .sum::<u64>();
        assert_eq!(asked, (50_000 >> heavy) - (50_000u64 >> (heavy + 1)), "heavy{heavy} never left");
    }
    let names_swept: usize =
        names.tables().iter().flat_map(NameTable::other).map(|(_, _, other)| other.names.estimate()).sum();
    let singles = 50_000 - rows.keys().filter(|(name, _)| name.starts_with("once")).count();
    let error = names_swept as f64 / singles as f64 - 1.0;
    assert!(error.abs() < 0.05, "{names_swept} of {singles} estimated");
}

#[test]
fn a_million_names_fit_in_256_mib() {
    let mut names = Names::new(1_000_000, &ZoneMap::default());
    let mut batch = EventBatch::default();
    for at in 0..2_000_000u64 {
        let name = NameBuf::parse(&format!("host-{:06}.customers.example.net", at % 990_000)).unwrap();
        let event = event(at, name.wire(), Qtype::A);
        batch.push(&event, name.wire(), partition(name.wire()));
        if batch.len() == 1024 {
            names.count(&batch);
            batch.clear();
        }
    }
    let rows: usize = names.tables().iter().map(|table| table.rows().count()).sum();
    let memory: usize = names.tables().iter().map(NameTable::memory).sum();
    assert!(rows >= 980_000, "{rows} rows");
    assert!(memory <= 256 << 20, "{} MiB for {rows} names", memory >> 20);
}

#[test]
fn zones_are_listed_once_and_add_up_whether_names_were_swept_or_not() {
    let stream = stream(20_000);
    for limit in [1_000_000, 800] {
        let names = count(&stream, limit, 1);
        let counted = Counted {
            messages: &MessageCounts::default(),
            accounts: &Accounts::new(1),
            names: &names,
            matcher: &MatcherCounters::default(),
        };
        let report = summary::report(&counted, ZoneMap::default(), 3);
        assert_eq!(report.names_limited, limit == 800);
        let mut zones: Vec<_> = report.zones.iter().map(|zone| (zone.zone.as_str(), zone.queries)).collect();
        zones.sort_unstable();
        assert_eq!(zones, [("example.org.", 20_000), ("flood.example.", 20_000)]);
        // Every third query asks for AAAA.
        let top: Vec<_> = report.qnames.iter().map(|row| (row.qname.as_str(), row.queries)).collect();
        assert_eq!(
            top,
            [("heavy0.example.org.", 6_666), ("heavy0.example.org.", 3_334), ("heavy1.example.org.", 3_334)]
        );
    }
}

#[test]
fn what_the_operator_configured_never_loses_its_zone() {
    let wire = |name: &str| NameBuf::parse(name).unwrap().wire().to_vec();
    let zones = ZoneMap::new([wire("corp.example")]);
    let mut names = Names::new(64, &zones);
    let mut batch = EventBatch::default();
    for at in 0..60_000u64 {
        let name = if at % 20 == 19 { format!("h{at}.corp.example") } else { format!("z{at}.com") };
        let name = NameBuf::parse(&name).unwrap();
        batch.push(&event(at, name.wire(), Qtype::A), name.wire(), partition(name.wire()));
        names.count(&batch);
        batch.clear();
    }
    let counted = Counted {
        messages: &MessageCounts::default(),
        accounts: &Accounts::new(1),
        names: &names,
        matcher: &MatcherCounters::default(),
    };
    let report = summary::report(&counted, zones, 3);
    let queries = |zone: &str| report.zones.iter().find(|row| row.zone == zone).map(|row| row.queries);
    assert_eq!(queries("corp.example."), Some(3_000));
    assert_eq!(queries("."), None, "the root was not asked");
    assert_eq!(report.zones.iter().map(|row| row.queries).sum::<u64>(), 60_000);
    assert!(report.zones.len() <= 1_001 && queries("(others)") > Some(0));
}
