//! Events on their way to the shards of their names.
//!
//! The thread that pairs messages keeps the accounts of roles and servers itself, and gathers events in one batch for each shard.
//! When rows are recorded it also says, at their place in the order of events, which zones were learnt.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use crossbeam::channel::{Receiver, Sender};
use lowtide_aggregate::anonymise::{Anonymisation, Anonymiser};
use lowtide_aggregate::names::partition;
use lowtide_aggregate::{Accounts, Event, EventBatch, EventSink, Exchange, Mark, Names, ZoneMap};
use lowtide_proto::{Name, Timestamp};

use super::shard::Shard;

/// Events in a batch: large enough that crossing a queue costs little, small enough for the cache.
const BATCH: usize = 4096;

/// Intervals that windows may be open for. Traffic has few, but for that whose times leap about.
const MAX_OPEN: usize = 64;

/// Where the events of some partitions are counted.
pub enum Counting {
    /// In this thread.
    Here(Box<Shard>),
    /// In another: it takes full batches and gives empty ones back.
    There {
        /// Takes full batches. A full queue makes this thread wait.
        full: Sender<EventBatch>,
        /// Gives empty ones.
        empty: Receiver<EventBatch>,
    },
}

/// The way of the events to one shard.
pub struct Lane {
    batch: EventBatch,
    counting: Option<Counting>,
}

impl Lane {
    /// A lane that nothing went over yet.
    pub fn new(counting: Counting) -> Self {
        Self { batch: EventBatch::default(), counting: Some(counting) }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match &mut self.counting {
            Some(Counting::Here(shard)) => {
                shard.count(&self.batch);
                self.batch.clear();
            }
            Some(Counting::There { full, empty }) => {
                let next = empty.try_recv().unwrap_or_default();
                let batch = std::mem::replace(&mut self.batch, next);
                // Only a shard that failed closes its end; joining it tells.
                let _ = full.send(batch);
            }
            None => {}
        }
    }
}

/// What is kept beside the events when rows are made of them.
pub struct Marks {
    zones: ZoneMap,
    /// Nanoseconds of an interval.
    width: u64,
    /// Windows are closed when nothing before this moment is to come.
    next: Timestamp,
    /// Intervals of events since then.
    open: BTreeSet<u64>,
    latest: Option<u64>,
}

impl Marks {
    /// Nothing seen yet, with intervals of `width` nanoseconds.
    pub fn new(width: u64, zones: ZoneMap) -> Self {
        Self { zones, width: width.max(1), next: Timestamp(0), open: BTreeSet::new(), latest: None }
    }

    #[inline]
    fn event(&mut self, event: &Event) {
        let number = event.time.0 / self.width;
        if self.latest != Some(number) {
            self.latest = Some(number);
            self.open.insert(number);
        }
    }

    /// Whether windows of more intervals are open than may be.
    #[inline]
    pub fn is_crowded(&self) -> bool {
        self.open.len() > MAX_OPEN
    }

    /// All windows were closed.
    pub fn closed(&mut self) {
        self.open.clear();
        self.latest = None;
    }

    /// Up to which moment windows are to be closed now, if any are; nothing before `settled` is to come.
    #[inline]
    pub fn due(&mut self, settled: Timestamp) -> Option<Timestamp> {
        let number = settled.0 / self.width;
        if self.is_crowded() {
            self.closed();
            self.next = Timestamp((number + 1).saturating_mul(self.width));
            return Some(Timestamp(u64::MAX));
        }
        if settled < self.next {
            // Traffic time was far ahead and stepped back: windows are to close where it is now.
            if settled.0.saturating_add(self.width.saturating_mul(2)) < self.next.0 {
                self.next = Timestamp((number + 1).saturating_mul(self.width));
            }
            return None;
        }
        self.next = Timestamp((number + 1).saturating_mul(self.width));
        self.open = self.open.split_off(&number);
        Some(Timestamp(number * self.width))
    }
}

/// Counts events and hands them on to the shards of their names.
pub struct Fan {
    /// The accounts of roles, servers and intervals.
    pub accounts: Accounts,
    lanes: Vec<Lane>,
    /// Kept when rows are made.
    pub marks: Option<Marks>,
    /// What clients' addresses become before they go anywhere.
    anonymiser: Anonymiser,
}

impl EventSink for Fan {
    #[inline]
    fn event(&mut self, event: &Event, exchange: &Exchange, name: &[u8]) {
        self.accounts.count(event, exchange.server);
        let partition = partition(name);
        let lanes = self.lanes.len();
        if let Some(lane) = self.lanes.get_mut(partition % lanes) {
            lane.batch.push(event, name, partition);
            if self.marks.is_some() {
                let client = self.anonymiser.client(exchange.client);
                lane.batch.push_exchange(&Exchange { client, ..*exchange });
            }
            if lane.batch.len() >= BATCH {
                lane.flush();
            }
        }
        if let Some(marks) = &mut self.marks {
            marks.event(event);
            if let Some(zone) = event.zone_labels.and_then(|labels| marks.zones.learn(Name(name), labels)) {
                let mark = Mark::Zone(zone.0.into());
                self.lanes.iter_mut().for_each(|lane| lane.batch.mark(mark.clone()));
            }
        }
    }
}

impl Fan {
    /// Nothing counted yet.
    pub fn new(accounts: Accounts, lanes: Vec<Lane>, marks: Option<Marks>, clients: &Anonymisation) -> Self {
        Self { accounts, lanes, marks, anonymiser: Anonymiser::new(clients) }
    }

    /// What is stored in the place of a client's address.
    #[inline]
    pub fn client(&mut self, address: Ipv6Addr) -> Ipv6Addr {
        self.anonymiser.client(address)
    }

    /// Closes the windows that ended by `moment`.
    pub fn close_windows(&mut self, moment: Timestamp) {
        for lane in &mut self.lanes {
            lane.batch.mark(Mark::Close(moment));
            lane.flush();
        }
    }

    /// Sends what was gathered.
    pub fn flush(&mut self) {
        self.lanes.iter_mut().for_each(Lane::flush);
    }

    /// Sends what is left and lets the shards end.
    pub fn close(&mut self) {
        self.flush();
        self.lanes.iter_mut().for_each(|lane| lane.counting = None);
    }

    /// The names counted in this thread.
    pub fn names(&mut self) -> Option<Names> {
        self.flush();
        self.lanes.iter_mut().find_map(|lane| match lane.counting.take() {
            Some(Counting::Here(shard)) => shard.names,
            _ => None,
        })
    }
}
