//! Rows for the store: what happened in one interval of traffic time, by server, role, transport, query name and type.
//!
//! A window is one interval of one partition of the names. It is open while events of it may come, and is handed out whole
//! when a [`Mark::Close`] has passed; a straggler opens it anew, and its rows add up with those that went before. Like
//! the table of names, windows hold a bounded number of rows: past it, the lighter half of the largest goes into
//! one row for each server, role, transport and zone, all sums exact and the names counted by HyperLogLog.

mod clients;
mod counts;

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher};
use std::net::Ipv6Addr;

use cardinality_estimator::CardinalityEstimator;
use foldhash::fast::{FixedState, RandomState};
use hashbrown::HashTable;
use lowtide_proto::{Name, Qtype, Rcode, Role, Timestamp, Transport};

use crate::account::LatencyAccount;
use crate::event::{Event, EventBatch, Exchange, Mark};
use crate::latency::Pool;
use crate::names::{OTHER_ZONES, PARTITIONS, distinct_hash};
use crate::zones::ZoneMap;

pub use clients::{CLIENTS, OTHER_CLIENTS};
use clients::{ClientPool, Clients};
pub use counts::{Counter, Counts};

/// Folded rows of a window by server and zone; past them all other zones of a server share [`OTHER_ZONES`], and past twice as many
/// all other servers share [`OTHER_SERVERS`].
const MAX_FOLDED: usize = 1024;

/// In place of a server's address: all servers past the bound.
pub const OTHER_SERVERS: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

/// The least rows of a partition, so that a fold has something to choose from.
const LEAST_ROWS: usize = 64;

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The server's address; [`OTHER_SERVERS`] in folded rows past the bound.
    pub server: Ipv6Addr,
    /// In which role it was seen.
    pub role: Role,
    /// What carried the messages.
    pub transport: Transport,
    /// The query type; 0 without a question.
    pub qtype: Qtype,
    /// Whether the row stands for all names of a zone that have no row of their own. Its name is then the zone's.
    pub folded: bool,
}

/// One row of a window.
#[derive(Clone, Debug)]
pub struct Row {
    hash: u64,
    name_start: u32,
    name_len: u8,
    zone_labels: Option<u8>,
    /// What it is about, its name apart.
    pub key: Key,
    /// Counters.
    pub counts: Counts,
    /// The largest response, in octets of its DNS message.
    pub response_octets_max: u32,
    /// Latency of answered transactions.
    pub latency: LatencyAccount,
    clients: Clients,
}

/// The rows of one interval and partition.
pub struct Window {
    start: Timestamp,
    rows: Vec<Row>,
    names: Vec<u8>,
    index: HashTable<u32>,
    hasher: RandomState,
    pool: Pool,
    clients: ClientPool,
    /// Response codes that have no counter, by row.
    rcodes: BTreeMap<(u32, u16), u64>,
    /// Distinct names of folded rows.
    folded: HashMap<u32, CardinalityEstimator<u64>, FixedState>,
}

impl Window {
    fn new(start: Timestamp) -> Self {
        Self {
            start,
            rows: Vec::new(),
            names: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            pool: Pool::default(),
            clients: ClientPool::default(),
            rcodes: BTreeMap::new(),
            folded: HashMap::default(),
        }
    }

    /// The start of the interval.
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// The rows, in order of appearance.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The query name of a row, lower-cased; of a folded row its zone ([`OTHER_ZONES`] where that is not told); empty without
    /// a question.
    #[inline]
    pub fn name(&self, row: &Row) -> Name<'_> {
        let start = row.name_start as usize;
        Name(self.names.get(start..start + usize::from(row.name_len)).unwrap_or_default())
    }

    /// How many rightmost labels of a row's name are its zone's, once the window is closed.
    pub fn zone_labels(&self, row: &Row) -> usize {
        usize::from(row.zone_labels.unwrap_or_default())
    }

    /// Latency buckets of a row that are not empty, in order.
    pub fn latency(&self, row: &Row) -> impl Iterator<Item = (u16, u64)> {
        self.pool.buckets(row.latency.histogram)
    }

    /// Clients of a row with their queries; [`OTHER_CLIENTS`] are all beyond the first few.
    pub fn clients(&self, row: &Row) -> impl Iterator<Item = (Ipv6Addr, u64)> {
        self.clients.iter(&row.clients)
    }

    /// Responses of a row by code, every response in one.
    pub fn rcodes(&self, at: usize, row: &Row) -> impl Iterator<Item = (Rcode, u64)> {
        let at = at as u32;
        let counts = row.counts;
        let rare =
            self.rcodes.range((at, 0)..=(at, u16::MAX)).map(|(&(_, code), &count)| (Rcode(code), count));
        let rare_sum: u64 = rare.clone().map(|(_, count)| count).sum();
        let named = [
            (Rcode::SERVFAIL, counts.get(Counter::Servfail)),
            (Rcode::NXDOMAIN, counts.get(Counter::Nxdomain)),
            (Rcode::REFUSED, counts.get(Counter::Refused)),
        ];
        let named_sum: u64 = named.iter().map(|(_, count)| count).sum();
        let noerror = (Rcode::NOERROR, counts.get(Counter::Responses).saturating_sub(named_sum + rare_sum));
        std::iter::once(noerror).chain(named).chain(rare).filter(|&(_, count)| count > 0)
    }

    /// Distinct names that a folded row stands for (estimate); 0 for others.
    pub fn folded_names(&self, at: usize) -> u64 {
        self.folded.get(&(at as u32)).map_or(0, |names| names.estimate() as u64)
    }

    #[inline]
    fn hash(&self, key: &Key, name: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name);
        hasher.write_u128(key.server.to_bits());
        hasher.write_u64(
            u64::from(key.qtype.0) << 32
                | (key.role as u64) << 16
                | (key.transport as u64) << 8
                | u64::from(key.folded),
        );
        hasher.finish()
    }

    /// The number of the row of a key, which is made when it is new.
    #[inline]
    fn row(&mut self, key: &Key, name: &[u8]) -> u32 {
        let hash = self.hash(key, name);
        let is_it = |&at: &u32| {
            self.rows
                .get(at as usize)
                .is_some_and(|row| row.hash == hash && row.key == *key && self.name(row).is_same(Name(name)))
        };
        if let Some(&at) = self.index.find(hash, is_it) {
            return at;
        }
        let at = self.rows.len() as u32;
        self.rows.push(Row {
            hash,
            name_start: self.names.len() as u32,
            name_len: name.len() as u8,
            zone_labels: None,
            key: *key,
            counts: Counts::default(),
            response_octets_max: 0,
            latency: LatencyAccount::default(),
            clients: Clients::default(),
        });
        self.names.extend_from_slice(name);
        let rows = &self.rows;
        self.index.insert_unique(hash, at, |&at| rows.get(at as usize).map_or(0, |row| row.hash));
        at
    }

    #[inline]
    fn count(&mut self, event: &Event, exchange: &Exchange, name: &[u8]) {
        let Exchange { server, transport, .. } = *exchange;
        let key = Key { server, role: event.role, transport, qtype: event.qtype, folded: false };
        let at = self.row(&key, name);
        let Some(row) = self.rows.get_mut(at as usize) else { return };
        row.zone_labels = event.zone_labels.or(row.zone_labels);
        row.counts.count(event, exchange);
        if event.outcome.has_query() {
            self.clients.add(&mut row.clients, exchange.client, 1);
        }
        if event.outcome.has_response() {
            row.response_octets_max = row.response_octets_max.max(exchange.response_octets);
            let counted = [Rcode::NOERROR, Rcode::NXDOMAIN, Rcode::SERVFAIL, Rcode::REFUSED];
            if !counted.contains(&event.rcode) {
                *self.rcodes.entry((at, event.rcode.0)).or_default() += 1;
            }
        }
        if let Some(Ok(nanos)) = event.latency.map(u64::try_from) {
            row.latency.add(nanos, &mut self.pool);
        }
    }

    /// Adds a row of another window of this interval.
    fn absorb(&mut self, key: &Key, name: &[u8], from: &Window, from_at: usize, from_row: &Row) {
        let at = self.row(key, name);
        let Some(row) = self.rows.get_mut(at as usize) else { return };
        if !key.folded {
            row.zone_labels = from_row.zone_labels;
        }
        row.counts.add_all(&from_row.counts);
        row.response_octets_max = row.response_octets_max.max(from_row.response_octets_max);
        row.latency.absorb(&from_row.latency, &mut self.pool, &from.pool);
        for (client, queries) in from.clients(from_row) {
            self.clients.add(&mut row.clients, client, queries);
        }
        let from_at = from_at as u32;
        for (&(_, rcode), count) in from.rcodes.range((from_at, 0)..=(from_at, u16::MAX)) {
            *self.rcodes.entry((at, rcode)).or_default() += count;
        }
        if key.folded {
            let names = self.folded.entry(at).or_default();
            match from.folded.get(&from_at) {
                Some(folded) => names.merge(folded),
                None if from_row.name_len == 0 => {}
                None => names.insert_hash(distinct_hash(from.name(from_row).0)),
            }
        }
    }

    /// Rows that are not folded yet.
    fn foldable(&self) -> usize {
        self.rows.len() - self.folded.len()
    }

    /// Folds the lighter half of the rows that are not folded yet into one row for each server, role, transport and zone.
    fn fold(&mut self, zones: &ZoneMap) {
        let (mut kept, mut order): (Vec<_>, Vec<_>) =
            self.rows.iter().enumerate().partition(|(_, row)| row.key.folded);
        let weight = |row: &Row| row.counts.get(Counter::Queries) + row.counts.get(Counter::Responses);
        // Stable, and rows stand in order of appearance: so the outcome is the same in every run.
        order.sort_by_key(|(_, row)| std::cmp::Reverse(weight(row)));
        let gone = order.split_off(order.len() / 2);
        kept.append(&mut order);
        let mut folded = Window::new(self.start);
        for (at, row) in kept {
            folded.absorb(&row.key, self.name(row).0, self, at, row);
        }
        for (at, row) in gone {
            let (mut zone, _) = zones.zone_of(self.name(row), row.zone_labels);
            let mut key = Key { qtype: Qtype(0), folded: true, ..row.key };
            if folded.folded.len() >= MAX_FOLDED {
                zone = OTHER_ZONES;
            }
            if folded.folded.len() >= 2 * MAX_FOLDED {
                key.server = OTHER_SERVERS;
            }
            folded.absorb(&key, zone.0, self, at, row);
        }
        *self = folded;
    }

    /// Says of every row which zone it belongs to.
    fn assign_zones(&mut self, zones: &ZoneMap) {
        for row in &mut self.rows {
            let start = row.name_start as usize;
            let name = Name(self.names.get(start..start + usize::from(row.name_len)).unwrap_or_default());
            let zone = if row.key.folded { name } else { zones.zone_of(name, row.zone_labels).0 };
            row.zone_labels = Some(zone.label_count() as u8);
        }
    }
}

/// Windows that are over: those of one partition that ended before one mark.
pub struct Closed {
    /// The number of the mark: 0, 1, 2 ..., the same for all partitions.
    pub mark: u64,
    /// The partition.
    pub partition: usize,
    /// Its windows in order of time; none when nothing happened.
    pub windows: Vec<Window>,
}

/// The open windows of some partitions.
pub struct Windows {
    /// Nanoseconds of an interval.
    width: u64,
    /// Rows of a partition.
    limit: usize,
    zones: ZoneMap,
    /// By number; `None` where another thread counts them.
    partitions: [Option<Partition>; PARTITIONS],
    marks: u64,
}

/// The open windows of a partition, by number of their interval.
struct Partition {
    open: BTreeMap<u64, Window>,
    rows: usize,
    /// With how many rows it folds.
    bound: usize,
}

impl Partition {
    /// Folds the largest windows until there is room.
    #[cold]
    fn fold(&mut self, limit: usize, zones: &ZoneMap) {
        while self.rows > limit / 4 * 3
            && let Some(largest) = self.open.values_mut().max_by_key(|window| window.foldable())
            && largest.foldable() >= LEAST_ROWS / 4
        {
            let before = largest.rows.len();
            largest.fold(zones);
            // Rows that fold may be fewer than the new rows for their zones.
            self.rows = self.rows + largest.rows.len() - before;
        }
        // What cannot be folded any more may be more than the bound by itself.
        self.bound = limit.max(self.rows + limit / 4);
    }
}

/// Rows of a partition, of so many rows in all.
fn partition_limit(rows: usize) -> usize {
    (rows / PARTITIONS).max(LEAST_ROWS)
}

impl Windows {
    /// No windows yet, of the partitions `numbers`, with intervals of `width` nanoseconds. All partitions together hold about
    /// `limit` rows. `zones` has the operator's zones.
    pub fn new(numbers: impl IntoIterator<Item = usize>, width: u64, limit: usize, zones: &ZoneMap) -> Self {
        let limit = partition_limit(limit);
        let mut partitions = [const { None }; PARTITIONS];
        for number in numbers {
            if let Some(partition) = partitions.get_mut(number) {
                *partition = Some(Partition { open: BTreeMap::new(), rows: 0, bound: limit });
            }
        }
        Self { width: width.max(1), limit, zones: zones.clone(), partitions, marks: 0 }
    }

    /// Counts a batch; `closed` takes the windows that its marks end.
    pub fn count(&mut self, batch: &EventBatch, mut closed: impl FnMut(Closed)) {
        let mut marks = batch.marks().peekable();
        for (at, ((partition, event, name), exchange)) in batch.iter().zip(batch.exchanges()).enumerate() {
            while let Some((_, mark)) = marks.next_if(|(before, _)| *before <= at) {
                self.mark(mark, &mut closed);
            }
            self.event(partition, event, exchange, name);
        }
        for (_, mark) in marks {
            self.mark(mark, &mut closed);
        }
    }

    fn event(&mut self, partition: usize, event: &Event, exchange: &Exchange, name: &[u8]) {
        let Some(Some(partition)) = self.partitions.get_mut(partition) else { return };
        let number = event.time.0 / self.width;
        let start = Timestamp(number * self.width);
        let window = partition.open.entry(number).or_insert_with(|| Window::new(start));
        let before = window.rows.len();
        window.count(event, exchange, name);
        partition.rows += window.rows.len() - before;
        if partition.rows > partition.bound {
            partition.fold(self.limit, &self.zones);
        }
    }

    fn mark(&mut self, mark: &Mark, closed: &mut impl FnMut(Closed)) {
        match mark {
            Mark::Zone(zone) => {
                let zone = Name(zone);
                self.zones.learn(zone, zone.label_count() as u8);
            }
            Mark::Configure(configuration) => {
                self.zones.configure(configuration.zones.iter().map(Vec::as_slice));
                self.limit = partition_limit(configuration.max_rows);
                for partition in self.partitions.iter_mut().flatten() {
                    partition.bound = self.limit;
                }
            }
            Mark::Close(moment) => {
                let first_open = moment.0 / self.width;
                for (number, partition) in self.partitions.iter_mut().enumerate() {
                    let Some(partition) = partition else { continue };
                    let open = partition.open.split_off(&first_open);
                    let mut windows: Vec<_> =
                        std::mem::replace(&mut partition.open, open).into_values().collect();
                    windows.iter_mut().for_each(|window| window.assign_zones(&self.zones));
                    partition.rows -= windows.iter().map(|window| window.rows.len()).sum::<usize>();
                    partition.bound = self.limit.max(partition.rows + self.limit / 4);
                    closed(Closed { mark: self.marks, partition: number, windows });
                }
                self.marks += 1;
            }
        }
    }
}
