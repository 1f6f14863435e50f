//! The rows for the store: each event in one row of its interval, sums exact whatever is folded, the same for any number of
//! shards.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use lowtide_aggregate::latency::bucket;
use lowtide_aggregate::names::{PARTITIONS, partition};
use lowtide_aggregate::window::{Closed, Counter, OTHER_SERVERS};
use lowtide_aggregate::{Event, EventBatch, Exchange, Mark, Outcome, Windows, ZoneMap};
use lowtide_proto::{Name, NameBuf, Qtype, Rcode, Role, Timestamp, Transport};

const MINUTE: u64 = 60_000_000_000;

/// A small generator (xorshift64*), so that tests need no seed from outside.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) % bound
    }
}

#[derive(Clone)]
enum Item {
    Event(Event, Exchange, Vec<u8>),
    Mark(Mark),
}

/// Traffic of ten minutes, at most a minute out of order, of all outcomes; windows are closed two minutes behind.
fn traffic(events: u64, names: u64, seed: u64) -> Vec<Item> {
    let mut random = Random(seed);
    let mut items = vec![Item::Mark(Mark::Zone(NameBuf::parse("b.zone3.test").unwrap().wire().into()))];
    let mut closed = 0;
    for at in 0..events {
        let now = at * 10 * MINUTE / events + 2 * MINUTE;
        let outcome = [
            Outcome::Answered,
            Outcome::Answered,
            Outcome::Answered,
            Outcome::Unanswered,
            Outcome::Pending,
            Outcome::Evicted,
            Outcome::Retransmission,
            Outcome::Duplicate,
            Outcome::Orphan,
        ][random.below(9) as usize];
        let rcode = [0, 0, 0, 2, 3, 5, 4, 16, 4095][random.below(9) as usize];
        let number = random.below(names) * random.below(names) / names;
        let name = format!("n{number}.{}.zone{}.test", ["a", "b"][number as usize % 2], number % 7);
        let name = if random.below(50) == 0 { NameBuf::new() } else { NameBuf::parse(&name).unwrap() };
        let event = Event {
            time: Timestamp(now - random.below(MINUTE)),
            latency: match (outcome, random.below(10)) {
                (Outcome::Answered, 0) => None,
                (Outcome::Answered, 1) => Some(-5),
                (Outcome::Answered, _) => Some(random.below(40_000_000) as i64),
                _ => None,
            },
            name_hash: 0,
            qtype: if name.wire().is_empty() { Qtype(0) } else { Qtype(1 + random.below(3) as u16) },
            rcode: Rcode(if outcome.has_response() { rcode } else { 0 }),
            outcome,
            role: [Role::Wire, Role::Auth][random.below(2) as usize],
            nodata: outcome.has_response() && random.below(9) == 0,
            referral: false,
            truncated: outcome.has_response() && random.below(9) == 1,
            has_question: true,
            zone_labels: None,
        };
        let exchange = Exchange {
            server: Ipv6Addr::from(u128::from(1 + random.below(3))),
            client: Ipv6Addr::from(u128::from(1 + random.below(30))),
            transport: [Transport::Udp, Transport::Tcp][random.below(2) as usize],
            query_octets: if outcome.has_query() { 40 } else { 0 },
            response_octets: if outcome.has_response() { random.below(2000) as u32 } else { 0 },
        };
        items.push(Item::Event(event, exchange, name.wire().to_vec()));
        if now / MINUTE > closed + 2 {
            closed = now / MINUTE - 2;
            items.push(Item::Mark(Mark::Close(Timestamp(closed * MINUTE))));
        }
    }
    items.push(Item::Mark(Mark::Close(Timestamp(u64::MAX))));
    items
}

/// Through as many shards, in batches of odd sizes.
fn run(items: &[Item], limit: usize, shards: usize) -> Vec<Closed> {
    let zones = ZoneMap::new([NameBuf::parse("zone1.test").unwrap().wire().to_vec()]);
    let mut lanes: Vec<_> = (0..shards)
        .map(|shard| {
            let mine = (0..PARTITIONS).filter(move |partition| partition % shards == shard);
            (EventBatch::default(), Windows::new(mine, MINUTE, limit, &zones))
        })
        .collect();
    let mut closed = Vec::new();
    for item in items {
        match item {
            Item::Event(event, exchange, name) => {
                let partition = partition(name);
                let (batch, windows) = &mut lanes[partition % shards];
                batch.push(event, name, partition);
                batch.push_exchange(exchange);
                if batch.len() == 77 {
                    windows.count(batch, |done| closed.push(done));
                    batch.clear();
                }
            }
            Item::Mark(mark) => lanes.iter_mut().for_each(|(batch, _)| batch.mark(mark.clone())),
        }
    }
    for (batch, mut windows) in lanes {
        windows.count(&batch, |done| closed.push(done));
    }
    closed.sort_by_key(|closed| (closed.mark, closed.partition));
    closed
}

type RowKey = (u64, Ipv6Addr, Role, Transport, String, Qtype);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sums {
    counts: BTreeMap<&'static str, u64>,
    rcodes: BTreeMap<u16, u64>,
    latency: BTreeMap<u16, u64>,
    clients: BTreeMap<Ipv6Addr, u64>,
    sum: u64,
    min: Option<u64>,
    max: Option<u64>,
    largest: u32,
}

impl Sums {
    fn add(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.counts.entry(name).or_default() += count;
        }
    }

    fn latency(&mut self, nanos: u64) {
        *self.latency.entry(bucket(nanos / 1000)).or_default() += 1;
        self.sum += nanos;
        self.min = Some(self.min.unwrap_or(nanos).min(nanos));
        self.max = Some(self.max.unwrap_or(nanos).max(nanos));
    }

    fn merge(&mut self, other: &Sums) {
        other.counts.iter().for_each(|(&name, &count)| self.add(name, count));
        other.rcodes.iter().for_each(|(&code, count)| *self.rcodes.entry(code).or_default() += count);
        other.latency.iter().for_each(|(&bucket, count)| *self.latency.entry(bucket).or_default() += count);
        other.clients.iter().for_each(|(&client, count)| *self.clients.entry(client).or_default() += count);
        self.sum += other.sum;
        self.min = [self.min, other.min].into_iter().flatten().min();
        self.max = self.max.max(other.max);
        self.largest = self.largest.max(other.largest);
    }
}

/// The same counted in the simplest way.
fn truth(items: &[Item]) -> BTreeMap<RowKey, Sums> {
    let mut rows: BTreeMap<RowKey, Sums> = BTreeMap::new();
    for item in items {
        let Item::Event(event, exchange, name) = item else { continue };
        let key = (
            event.time.0 / MINUTE,
            exchange.server,
            event.role,
            exchange.transport,
            Name(name).to_string(),
            event.qtype,
        );
        let row = rows.entry(key).or_default();
        let outcome = match event.outcome {
            Outcome::Answered => "answered",
            Outcome::Unanswered => "unanswered",
            Outcome::Pending | Outcome::Evicted => "pending",
            Outcome::Retransmission => "retransmissions",
            Outcome::Duplicate => "duplicate_responses",
            Outcome::Orphan => "orphan_responses",
        };
        row.add(outcome, 1);
        if event.outcome.has_query() {
            row.add("queries", 1);
            row.add("query_octets", 40);
            *row.clients.entry(exchange.client).or_default() += 1;
        }
        if event.outcome.has_response() {
            row.add("responses", 1);
            row.add("response_octets", exchange.response_octets.into());
            row.add("responses_over_512", (exchange.response_octets > 512).into());
            row.add("responses_over_1232", (exchange.response_octets > 1232).into());
            row.add("nodata", event.nodata.into());
            row.add("truncated_responses", event.truncated.into());
            row.add("servfail", (event.rcode.0 == 2).into());
            row.add("nxdomain", (event.rcode.0 == 3).into());
            row.add("refused", (event.rcode.0 == 5).into());
            *row.rcodes.entry(event.rcode.0).or_default() += 1;
            row.largest = row.largest.max(exchange.response_octets);
        }
        match (event.outcome, event.latency) {
            (Outcome::Answered, None) => row.add("unknown_latency", 1),
            (Outcome::Answered, Some(nanos)) if nanos < 0 => row.add("negative_latency", 1),
            (_, Some(nanos)) => row.latency(nanos as u64),
            _ => {}
        }
    }
    rows
}

/// What the windows say, rows of one key added up; folded ones stand under `*` and their zone.
fn said(closed: &[Closed]) -> BTreeMap<RowKey, Sums> {
    let mut rows: BTreeMap<RowKey, Sums> = BTreeMap::new();
    for window in closed.iter().flat_map(|closed| &closed.windows) {
        for (at, row) in window.rows().iter().enumerate() {
            let mut sums = Sums::default();
            Counter::ALL.iter().for_each(|&counter| sums.add(counter.as_str(), row.counts.get(counter)));
            sums.rcodes = window.rcodes(at, row).map(|(rcode, count)| (rcode.0, count)).collect();
            sums.latency = window.latency(row).collect();
            sums.clients = window.clients(row).collect();
            sums.sum = row.latency.sum;
            let sampled = !sums.latency.is_empty();
            sums.min = sampled.then_some(row.latency.min);
            sums.max = sampled.then_some(row.latency.max);
            sums.largest = row.response_octets_max;
            let mut name = window.name(row).to_string();
            if row.key.folded {
                name.insert(0, '*');
            }
            let start = window.start().0 / MINUTE;
            let key = (start, row.key.server, row.key.role, row.key.transport, name, row.key.qtype);
            rows.entry(key).or_default().merge(&sums);
        }
    }
    rows
}

#[test]
fn every_event_is_in_the_row_of_its_interval() {
    let items = traffic(30_000, 200, 1);
    let mut expected = truth(&items);
    let mut rows = said(&run(&items, 1 << 20, 1));
    // Past eight clients a row names no more: compare the sums, and those that it names.
    for (key, row) in &mut rows {
        let truth = expected.get_mut(key).unwrap();
        let named = row.clients.iter().filter(|(client, _)| !client.is_unspecified());
        assert!(named.clone().all(|(client, count)| *count <= truth.clients[client]), "{key:?}");
        assert_eq!(named.count(), truth.clients.len().min(8), "{key:?}");
        assert_eq!(row.clients.values().sum::<u64>(), truth.clients.values().sum::<u64>(), "{key:?}");
        row.clients.clear();
        truth.clients.clear();
    }
    assert_eq!(rows, expected);
}

#[test]
fn any_number_of_shards_makes_the_same_rows_in_the_same_order() {
    let items = traffic(20_000, 3_000, 2);
    let listed = |closed: &[Closed]| -> Vec<String> {
        let windows =
            closed.iter().flat_map(|closed| closed.windows.iter().map(move |window| (closed, window)));
        windows
            .flat_map(|(closed, window)| {
                window.rows().iter().enumerate().map(move |(at, row)| {
                    format!(
                        "{} {} {} {:?} {} {:?} {:?} {} {}",
                        closed.mark,
                        closed.partition,
                        window.start().0,
                        row.key,
                        window.name(row),
                        row.counts,
                        window.clients(row).collect::<Vec<_>>(),
                        window.zone_labels(row),
                        window.folded_names(at),
                    )
                })
            })
            .collect()
    };
    for limit in [1 << 20, 2_000] {
        let one = run(&items, limit, 1);
        assert_eq!(one.len() % PARTITIONS, 0, "every partition closes at every mark");
        for shards in [2, 3, 16] {
            assert_eq!(listed(&one), listed(&run(&items, limit, shards)), "limit {limit}, {shards} shards");
        }
    }
}

#[test]
fn folding_keeps_all_sums_and_the_heavy_names() {
    let items = traffic(40_000, 20_000, 3);
    let expected = truth(&items);
    let closed = run(&items, 2_000, 1);
    for closed in &closed {
        let rows: usize = closed.windows.iter().map(|window| window.rows().len()).sum();
        assert!(rows <= 2_000, "{rows} rows in partition {}", closed.partition);
    }
    let rows = said(&closed);
    assert!(rows.len() < expected.len() / 2, "{} of {} rows", rows.len(), expected.len());
    assert!(rows.keys().any(|(.., name, _)| name.starts_with('*')));
    // By everything but name and type.
    let sums = |rows: &BTreeMap<RowKey, Sums>| {
        let mut sums: BTreeMap<_, Sums> = BTreeMap::new();
        for ((start, server, role, transport, ..), row) in rows {
            assert_ne!(*server, OTHER_SERVERS);
            let mut row = row.clone();
            row.clients = [(OTHER_SERVERS, row.clients.values().sum())].into();
            sums.entry((*start, *server, *role, *transport)).or_default().merge(&row);
        }
        sums
    };
    assert_eq!(sums(&rows), sums(&expected));

    // The names that were folded are counted, within HyperLogLog's error: those of a zone are in several partitions.
    let windows = closed.iter().flat_map(|closed| &closed.windows);
    let names: u64 =
        windows.map(|window| (0..window.rows().len()).map(|at| window.folded_names(at)).sum::<u64>()).sum();
    let mut missing = BTreeSet::new();
    for (start, server, role, transport, name, qtype) in expected.keys() {
        let key = (*start, *server, *role, *transport, name.clone(), *qtype);
        if rows.get(&key).is_none_or(|row| row.counts != expected[&key].counts) && !name.is_empty() {
            missing.insert((start, server, role, transport, name));
        }
    }
    let missing = missing.len() as u64;
    assert!(names.abs_diff(missing) * 100 <= missing * 3, "{names} for {missing}");
}

#[test]
fn zones_are_those_known_when_the_window_closes() {
    let items = traffic(5_000, 100, 4);
    let mut zones = BTreeSet::new();
    for window in run(&items, 1 << 20, 4).iter().flat_map(|closed| &closed.windows) {
        for row in window.rows() {
            let name = window.name(row);
            let zone = name.suffix(window.zone_labels(row)).to_string();
            let text = name.to_string();
            let expected = match text.split('.').collect::<Vec<_>>()[..] {
                [_, _, "zone1", ..] => "zone1.test.".to_owned(),
                [_, "b", "zone3", ..] => "b.zone3.test.".to_owned(),
                [_, _, zone, ..] => format!("{zone}.test."),
                _ => String::new(),
            };
            assert_eq!(zone, expected, "{text}");
            zones.insert(zone);
        }
    }
    assert_eq!(zones.len(), 9, "{zones:?}");
}
