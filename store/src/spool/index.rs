//! The records of the segments in a spool, in the order of sending.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::Loss;
use crate::segment::{Header, Table};

/// What waits in a spool, files that cannot be read included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Segments, those in flight included.
    pub segments: u64,
    /// Their octets on disk.
    pub octets: u64,
    /// Their rows.
    pub rows: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// To be sent, not before this moment.
    Waiting(Option<Instant>),
    InFlight,
    /// Refused for good: not sent again by this process.
    Parked,
}

/// What is kept of a segment in memory.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub table: Table,
    octets: u64,
    /// What is lost if it is lost.
    pub loss: Loss,
    /// When it was written; `None` = nobody asks.
    written: Option<SystemTime>,
    state: State,
    /// The server may have it, although it did not say so.
    maybe_taken: bool,
}

impl Record {
    pub fn new(header: &Header, octets: u64, written: Option<SystemTime>) -> Self {
        Self {
            table: header.table,
            octets,
            loss: Loss::of(header),
            written,
            state: State::Waiting(None),
            maybe_taken: false,
        }
    }

    fn is_droppable(&self) -> bool {
        self.state != State::InFlight && !self.maybe_taken
    }
}

/// A segment that is in flight.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    /// Its file's name.
    pub name: Arc<str>,
    pub table: Table,
    pub rows: u64,
    pub octets: u64,
}

/// What there is to send.
#[derive(Debug)]
pub(crate) enum Next {
    Segment(Claim),
    /// Something, but not before this moment.
    Later(Instant),
    /// All that is left is in flight, and at least one segment is.
    InFlight,
    /// All that is left is refused for good, or nothing is left.
    Nothing,
}

/// The records by file name.
#[derive(Debug, Default)]
pub(super) struct Index {
    records: BTreeMap<Arc<str>, Record>,
    backlog: Backlog,
}

impl Index {
    pub const fn backlog(&self) -> Backlog {
        self.backlog
    }

    /// Whether so many octets more stay within the bound; into an empty spool everything goes.
    pub const fn has_room(&self, octets: u64, max_octets: u64) -> bool {
        self.backlog.segments == 0 || self.backlog.octets.saturating_add(octets) <= max_octets
    }

    /// Octets of a segment that is there.
    pub fn octets_of(&self, name: &str) -> u64 {
        self.records.get(name).map_or(0, |record| record.octets)
    }

    /// Adds a record, or replaces what it says of the file; the same name is the same segment, and stays in flight.
    pub fn insert(&mut self, name: Arc<str>, mut record: Record) {
        if let Some(old) = self.remove(&name) {
            record.state = old.state;
            record.maybe_taken = old.maybe_taken;
        }
        self.backlog.segments += 1;
        self.backlog.octets = self.backlog.octets.saturating_add(record.octets);
        self.backlog.rows = self.backlog.rows.saturating_add(record.loss.rows);
        self.records.insert(name, record);
    }

    /// Counts a file that cannot be read, and so cannot be sent; it waits for somebody to look at it.
    pub const fn add_unreadable(&mut self, octets: u64) {
        self.backlog.segments += 1;
        self.backlog.octets = self.backlog.octets.saturating_add(octets);
    }

    pub fn remove(&mut self, name: &str) -> Option<Record> {
        let record = self.records.remove(name)?;
        self.backlog.segments -= 1;
        self.backlog.octets = self.backlog.octets.saturating_sub(record.octets);
        self.backlog.rows = self.backlog.rows.saturating_sub(record.loss.rows);
        Some(record)
    }

    pub fn oldest_droppable(&self) -> Option<Arc<str>> {
        let droppable = || self.records.iter().filter(|(_, record)| record.is_droppable());
        let oldest =
            droppable().find(|(_, record)| !record.table.is_account()).or_else(|| droppable().next());
        oldest.map(|(name, _)| Arc::clone(name))
    }

    pub fn droppable_before(&self, moment: SystemTime) -> Vec<Arc<str>> {
        let old = |record: &Record| record.is_droppable() && record.written.is_some_and(|at| at < moment);
        self.records.iter().filter(|(_, record)| old(record)).map(|(name, _)| Arc::clone(name)).collect()
    }

    /// The next segment to send. What a run says of itself goes when nothing else is left, so that a run that is finished there has
    /// all its rows there.
    pub fn claim(&mut self, now: Instant) -> Next {
        let is_last = |record: &Record| record.table == Table::SensorRun;
        let rows_left = self.records.values().any(|record| !is_last(record));
        let mut later: Option<Instant> = None;
        let mut in_flight = false;
        for (name, record) in &mut self.records {
            if rows_left && is_last(record) && record.state != State::InFlight {
                continue;
            }
            match record.state {
                State::Waiting(Some(moment)) if moment > now => {
                    later = Some(later.map_or(moment, |earliest| earliest.min(moment)));
                }
                State::Waiting(_) => {
                    record.state = State::InFlight;
                    let name = Arc::clone(name);
                    let (table, rows, octets) = (record.table, record.loss.rows, record.octets);
                    return Next::Segment(Claim { name, table, rows, octets });
                }
                State::InFlight => in_flight = true,
                State::Parked => {}
            }
        }
        match later {
            Some(moment) => Next::Later(moment),
            None if in_flight => Next::InFlight,
            None => Next::Nothing,
        }
    }

    pub fn release(&mut self, name: &str, not_before: Option<Instant>, maybe_taken: bool) {
        self.settle(name, State::Waiting(not_before), maybe_taken);
    }

    pub fn park(&mut self, name: &str) {
        self.settle(name, State::Parked, false);
    }

    pub fn release_all(&mut self) {
        for record in self.records.values_mut() {
            record.maybe_taken |= record.state == State::InFlight;
            record.state = State::Waiting(None);
        }
    }

    fn settle(&mut self, name: &str, state: State, maybe_taken: bool) {
        if let Some(record) = self.records.get_mut(name) {
            record.state = state;
            record.maybe_taken |= maybe_taken;
        }
    }
}
