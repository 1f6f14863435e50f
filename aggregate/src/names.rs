//! The table of names: one row for each role, query name and type, in bounded memory.
//!
//! Names are what an attacker can mint, so the table holds at most so many rows, and so many octets of histograms. At
//! either limit it is swept: the lighter half of the rows goes into one `other` row for each role and zone, counts and
//! histograms added exactly, names counted by HyperLogLog. A heavy name outlives the sweeps; totals stay exact.
//!
//! Names are spread over [`PARTITIONS`] tables by a hash that is the same in every run, each with its share of the
//! limit. A partition's rows depend on the order of its events alone, whichever thread counts them; so the report does
//! not depend on the number of threads. Inside a partition the hash is keyed and seeded at random.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::mem::offset_of;

use cardinality_estimator::CardinalityEstimator;
use lowtide_proto::{Name, Qtype, Role};

use crate::account::Account;
use crate::event::{Event, EventBatch};
use crate::latency::{Histogram, Pool, reserve_quarter};
use crate::zones::{KnownBy, ZoneMap};

/// How many tables the names are spread over: as many threads can count names side by side.
pub const PARTITIONS: usize = 16;

/// Zones of a partition's `other` rows. The operator's always have one; the others past it share [`OTHER_ZONES`].
const MAX_OTHER_ZONES: usize = 1024;

/// The zone of `other` rows of zones that have none: no name at all, so that it cannot be taken for the root.
pub const OTHER_ZONES: Name<'static> = Name(&[]);

/// Octets of histograms for each row that the limit allows, and for the least table. Most names have a few answers
/// and need 16 to 64.
const HISTOGRAM_SHARE: usize = 512;
const LEAST_HISTOGRAMS: usize = 4 << 20;

/// How many events are looked up side by side, so that their cache misses overlap.
const BLOCK: usize = 32;

/// The partition of a name.
#[inline]
pub fn partition(name: &[u8]) -> usize {
    let mut hasher = foldhash::fast::FixedState::with_seed(0).build_hasher();
    hasher.write(name);
    hasher.finish() as usize % PARTITIONS
}

/// The hash for counting distinct names: the same in every run, and well mixed in every bit, as HyperLogLog asks.
pub(crate) fn distinct_hash(name: &[u8]) -> u64 {
    let mut hasher = foldhash::quality::FixedState::with_seed(1).build_hasher();
    hasher.write(name);
    hasher.finish()
}

/// The account of a role, name and type.
///
/// Two cache lines, of which an answered transaction without an error needs the first alone.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Row {
    name_start: u32,
    name_len: u8,
    /// In which role it was seen.
    pub role: Role,
    /// The query type; 0 for messages without a question.
    pub qtype: Qtype,
    /// How many rightmost labels of the name are its zone's, as the last authoritative response said.
    pub zone_labels: Option<u8>,
    /// Its counts.
    pub account: Account,
}

const _: () = assert!(size_of::<Row>() == 128 && offset_of!(Row, account.nodata) == 64);

/// Rows by number, in pieces that never move: growing copies nothing.
#[derive(Default)]
struct Rows {
    pieces: Vec<Vec<Row>>,
    len: usize,
}

impl Rows {
    const PIECE: usize = 256;

    #[inline]
    fn get(&self, at: usize) -> Option<&Row> {
        self.pieces.get(at / Self::PIECE)?.get(at % Self::PIECE)
    }

    #[inline]
    fn get_mut(&mut self, at: usize) -> Option<&mut Row> {
        self.pieces.get_mut(at / Self::PIECE)?.get_mut(at % Self::PIECE)
    }

    fn push(&mut self, row: Row) {
        if self.len.is_multiple_of(Self::PIECE) {
            self.pieces.push(Vec::with_capacity(Self::PIECE));
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.push(row);
            self.len += 1;
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Row> {
        self.pieces.iter().flatten()
    }
}

/// What the rows of a role and zone came to that had to leave the table.
#[derive(Clone, Default)]
pub struct Other {
    /// Their counts.
    pub account: Account,
    /// Their distinct names.
    pub names: CardinalityEstimator<u64>,
}

/// One partition's rows.
pub struct NameTable {
    /// Upper hash half and row number + 1; 0 is free. Open addressing from the place that the uppermost bits name, linear
    /// probing, at most half full. So it grows without asking the rows.
    index: Vec<u64>,
    rows: Rows,
    names: Vec<u8>,
    limit: usize,
    /// Octets of histograms at most; what they hold after a sweep is given to them on top.
    histograms: usize,
    swept: bool,
    /// The operator's zones, and those that the rows learnt before a sweep.
    zones: ZoneMap,
    /// The histograms of the rows and of `other`.
    pool: Pool,
    other: BTreeMap<(Role, Vec<u8>), Other>,
}

impl NameTable {
    /// An empty table of at most `limit` rows (at least two).
    pub fn new(limit: usize, zones: ZoneMap) -> Self {
        let limit = limit.clamp(2, u32::MAX as usize / 2);
        Self {
            index: vec![0; 64],
            rows: Rows::default(),
            names: Vec::new(),
            limit,
            histograms: (limit * HISTOGRAM_SHARE).max(LEAST_HISTOGRAMS),
            swept: false,
            zones,
            pool: Pool::default(),
            other: BTreeMap::new(),
        }
    }

    /// The rows with their names, in order of appearance.
    pub fn rows(&self) -> impl Iterator<Item = (Name<'_>, &Row)> {
        self.rows.iter().map(|row| (self.name(row), row))
    }

    /// What was swept out, by role and zone.
    pub fn other(&self) -> impl Iterator<Item = (Role, Name<'_>, &Other)> {
        self.other.iter().map(|((role, zone), other)| (*role, Name(zone), other))
    }

    /// The histograms of the rows and of `other`.
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether rows had to leave.
    pub const fn swept(&self) -> bool {
        self.swept
    }

    /// Octets of memory held.
    pub fn memory(&self) -> usize {
        self.pool.memory()
            + self.index.capacity() * 8
            + self.rows.pieces.len() * Rows::PIECE * size_of::<Row>()
            + self.names.capacity()
    }

    /// Distinct names that have a row.
    pub fn distinct_names(&self) -> usize {
        let hash = |row| distinct_hash(self.name(row).0);
        let mut order: Vec<(u64, u32)> = self.rows.iter().zip(0..).map(|(row, at)| (hash(row), at)).collect();
        order.sort_unstable();
        let name =
            |at: u32| self.rows.get(at as usize).map(|row| self.name(row)).filter(|name| !name.0.is_empty());
        // Names of one hash are few: compare each with those before it in its run.
        order
            .chunk_by(|one, other| one.0 == other.0)
            .map(|run| {
                let mut names: Vec<_> = run.iter().filter_map(|&(_, at)| name(at)).collect();
                names.sort_unstable();
                names.dedup();
                names.len()
            })
            .sum()
    }

    #[inline]
    fn name(&self, row: &Row) -> Name<'_> {
        let start = row.name_start as usize;
        Name(self.names.get(start..start + usize::from(row.name_len)).unwrap_or_default())
    }

    #[inline]
    const fn row_hash(name_hash: u64, role: Role, qtype: Qtype) -> u64 {
        let kind = (role as u64) << 16 | qtype.0 as u64;
        let mixed = (name_hash ^ kind.wrapping_mul(0x9e37_79b9_7f4a_7c15)) as u128 * 0xd6e8_feb8_6659_fd93;
        mixed as u64 ^ (mixed >> 64) as u64
    }

    /// Counts an event in its row, which is made when it is new.
    #[inline]
    fn count(&mut self, event: &Event, name: &[u8]) {
        let hash = Self::row_hash(event.name_hash, event.role, event.qtype);
        let at = match self.find(hash, event, name) {
            Some(at) => at,
            None => self.insert(hash, event, name),
        };
        if let Some(row) = self.rows.get_mut(at) {
            row.zone_labels = event.zone_labels.or(row.zone_labels);
            row.account.count(event, &mut self.pool);
        }
        if self.pool.used() > self.histograms {
            self.sweep();
        }
    }

    /// The place in an index of `len` entries where the search for an entry or hash with these upper bits begins.
    #[inline]
    const fn first_slot(upper: u64, len: usize) -> usize {
        (upper >> (u64::BITS - len.trailing_zeros())) as usize
    }

    #[inline]
    fn first_entry(&self, hash: u64) -> u64 {
        self.index.get(Self::first_slot(hash, self.index.len())).copied().unwrap_or_default()
    }

    #[inline]
    fn find(&self, hash: u64, event: &Event, name: &[u8]) -> Option<usize> {
        let mask = self.index.len() - 1;
        let mut slot = Self::first_slot(hash, self.index.len());
        loop {
            let entry = *self.index.get(slot)?;
            if entry == 0 {
                return None;
            }
            if entry >> 32 == hash >> 32 {
                let at = (entry as u32 - 1) as usize;
                if let Some(row) = self.rows.get(at)
                    && row.qtype == event.qtype
                    && row.role == event.role
                    && self.name(row).is_same(Name(name))
                {
                    return Some(at);
                }
            }
            slot = (slot + 1) & mask;
        }
    }

    #[cold]
    fn insert(&mut self, hash: u64, event: &Event, name: &[u8]) -> usize {
        let arena_full = self.names.len() + name.len() > u32::MAX as usize;
        if self.rows.len >= self.limit || arena_full {
            self.sweep();
        }
        if (self.rows.len + 1) * 2 > self.index.len() {
            self.grow_index();
        }
        let at = self.rows.len;
        self.rows.push(Row {
            name_start: self.names.len() as u32,
            name_len: name.len() as u8,
            role: event.role,
            qtype: event.qtype,
            zone_labels: None,
            account: Account::default(),
        });
        reserve_quarter(&mut self.names, name.len());
        self.names.extend_from_slice(name);
        Self::index_row(&mut self.index, hash >> 32 << 32 | (at as u64 + 1));
        at
    }

    #[inline]
    fn index_row(index: &mut [u64], entry: u64) {
        let mask = index.len() - 1;
        let mut slot = Self::first_slot(entry, index.len());
        while let Some(place) = index.get_mut(slot) {
            if *place == 0 {
                *place = entry;
                return;
            }
            slot = (slot + 1) & mask;
        }
    }

    #[cold]
    fn grow_index(&mut self) {
        let mut larger = vec![0; self.index.len() * 2];
        self.index.iter().filter(|&&entry| entry != 0).for_each(|&entry| Self::index_row(&mut larger, entry));
        self.index = larger;
    }

    /// Moves the lighter half of the rows into the `other` rows of their zones.
    #[cold]
    fn sweep(&mut self) {
        self.swept = true;
        self.learn_zones();
        let index = std::mem::take(&mut self.index);
        self.index = vec![0; index.len()];
        let rows = std::mem::take(&mut self.rows);
        let names = std::mem::take(&mut self.names);
        let name = |row: &Row| {
            let start = row.name_start as usize;
            Name(names.get(start..start + usize::from(row.name_len)).unwrap_or_default())
        };
        // The row without a name stands for no zone: it stays.
        let weight = |row: &Row| match row.name_len {
            0 => u64::MAX,
            _ => row.account.queries + row.account.responses,
        };
        let entries = index.into_iter().filter(|&entry| entry != 0);
        let row = |entry: u64| rows.get((entry as u32 - 1) as usize).map(|row| (entry, row));
        let mut order: Vec<(u64, &Row)> = entries.filter_map(row).collect();
        // Ties are broken by what the row is, so that the outcome is the same in every run.
        order.sort_unstable_by(|(_, one), (_, other)| {
            let key = |row: &Row| (row.qtype, row.role);
            weight(other)
                .cmp(&weight(one))
                .then_with(|| name(one).cmp(&name(other)))
                .then_with(|| key(one).cmp(&key(other)))
        });
        let (kept, gone) = order.split_at_checked(order.len() / 2).unwrap_or_default();
        for (_, row) in gone {
            let (zone, known_by) = self.zones.zone_of(name(row), row.zone_labels);
            let mut key = (row.role, zone.0.to_vec());
            let full = self.other.len() >= MAX_OTHER_ZONES && known_by != KnownBy::Configured;
            if full && !self.other.contains_key(&key) {
                key.1 = OTHER_ZONES.0.to_vec();
            }
            let other = self.other.entry(key).or_default();
            other.account.absorb(row.account, &mut self.pool);
            other.names.insert_hash(distinct_hash(name(row).0));
        }
        for (entry, row) in kept {
            let upper = entry >> 32 << 32;
            Self::index_row(&mut self.index, upper | (self.rows.len as u64 + 1));
            self.rows.push(Row { name_start: self.names.len() as u32, ..**row });
            self.names.extend_from_slice(name(row).0);
        }
        // What stays, and `other`, may hold more than the bound by themselves: then the next sweep waits for as much again.
        self.histograms = self.histograms.max(self.pool.used() * 2);
    }

    /// Learns the zones that the answers about the rows named.
    fn learn_zones(&mut self) {
        for row in self.rows.iter() {
            if let Some(labels) = row.zone_labels {
                let start = row.name_start as usize;
                let name = self.names.get(start..start + usize::from(row.name_len)).unwrap_or_default();
                self.zones.learn(Name(name), labels);
            }
        }
    }
}

/// The tables of all partitions.
pub struct Names {
    tables: Vec<NameTable>,
}

impl Names {
    /// Empty tables of at most `limit` rows together. `zones` has the operator's zones.
    pub fn new(limit: usize, zones: &ZoneMap) -> Self {
        Self { tables: (0..PARTITIONS).map(|_| NameTable::new(limit / PARTITIONS, zones.clone())).collect() }
    }

    /// The tables.
    pub fn tables(&self) -> &[NameTable] {
        &self.tables
    }

    /// Counts a batch.
    pub fn count(&mut self, batch: &EventBatch) {
        let mut events = batch.iter();
        loop {
            let mut block = [None; BLOCK];
            block.iter_mut().zip(events.by_ref()).for_each(|(slot, found)| *slot = Some(found));
            self.prefetch(&block);
            for (partition, event, name) in block.iter().flatten() {
                if let Some(table) = self.tables.get_mut(*partition) {
                    table.count(event, name);
                }
            }
            if block.last().is_none_or(Option::is_none) {
                return;
            }
        }
    }

    /// Takes over the tables of `other` that are not empty. Each partition is counted by one thread, so that no
    /// partition has rows on both sides.
    pub fn adopt(&mut self, other: Names) {
        for (mine, theirs) in self.tables.iter_mut().zip(other.tables) {
            if theirs.rows.len > 0 {
                *mine = theirs;
            }
        }
    }

    /// Loads index slots, then rows, then names and histograms of a block of events. Within each round the loads are
    /// independent of each other, so that their cache misses overlap, where one lookup after the other would wait for
    /// each of its own.
    #[inline]
    fn prefetch(&self, block: &[Option<(usize, &Event, &[u8])>; BLOCK]) {
        let mut entries = [0u64; BLOCK];
        for (entry, (partition, event, _)) in entries.iter_mut().zip(block.iter().flatten()) {
            let hash = NameTable::row_hash(event.name_hash, event.role, event.qtype);
            *entry = self.tables.get(*partition).map_or(0, |table| table.first_entry(hash));
        }
        let mut rows = [(0, Histogram::default()); BLOCK];
        for ((row, entry), (partition, ..)) in rows.iter_mut().zip(entries).zip(block.iter().flatten()) {
            let at = (entry as u32).wrapping_sub(1) as usize;
            if let Some(found) = self.tables.get(*partition).and_then(|table| table.rows.get(at)) {
                *row = (found.name_start, found.account.latency.histogram);
            }
        }
        let mut loaded = 0;
        for ((name, histogram), (partition, ..)) in rows.into_iter().zip(block.iter().flatten()) {
            if let Some(table) = self.tables.get(*partition) {
                loaded ^= u64::from(table.names.get(name as usize).copied().unwrap_or_default());
                loaded ^= table.pool.touch(histogram);
            }
        }
        std::hint::black_box(loaded);
    }
}
