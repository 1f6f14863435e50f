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
    /// Which was put into the spool before which.
    order: u64,
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
            order: 0,
            maybe_taken: false,
        }
    }

    /// Whether its rows are what coverage says was watched.
    const fn is_watched(&self) -> bool {
        !matches!(self.table, Table::Coverage | Table::SensorRun)
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
    /// The order of the segment put last; up to 1 are those that were there before.
    order: u64,
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
        self.order = self.order.max(1) + 1;
        record.order = self.order;
        self.keep(name, record);
    }

    /// Adds a record of a segment that an earlier process left, nobody knows in which order: coverage is behind all others.
    pub fn insert_left(&mut self, name: Arc<str>, mut record: Record) {
        record.order = u64::from(!record.is_watched());
        self.keep(name, record);
    }

    fn keep(&mut self, name: Arc<str>, mut record: Record) {
        if let Some(old) = self.remove(&name) {
            record.state = old.state;
            record.order = old.order;
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
    /// all its rows there. Coverage goes behind all that was put before it: else it said that a time was watched whose rows, also those that
    /// the server refuses, are still here.
    pub fn claim(&mut self, now: Instant) -> Next {
        let is_last = |record: &Record| record.table == Table::SensorRun;
        let rows_left = self.records.values().any(|record| !is_last(record));
        let watched = self.records.values().filter(|record| record.is_watched());
        let oldest = watched.map(|record| record.order).min().unwrap_or(u64::MAX);
        let mut later: Option<Instant> = None;
        let mut in_flight = false;
        for (name, record) in &mut self.records {
            if rows_left && is_last(record) && record.state != State::InFlight {
                continue;
            }
            let is_early = record.table == Table::Coverage && record.order > oldest;
            if is_early && record.state != State::InFlight {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(table: Table) -> Record {
        let (octets, loss) = (1, Loss::default());
        Record {
            table,
            octets,
            loss,
            written: None,
            state: State::Waiting(None),
            order: 0,
            maybe_taken: false,
        }
    }

    fn claimed(index: &mut Index) -> Option<String> {
        match index.claim(Instant::now()) {
            Next::Segment(claim) => Some(claim.name.to_string()),
            _ => None,
        }
    }

    #[test]
    fn coverage_waits_for_the_rows_that_it_speaks_of() {
        let mut index = Index::default();
        // In the order of the recorder; names are in that of times.
        for (name, table) in [
            ("5 drain", Table::Drain),
            ("4 coverage", Table::Coverage),
            ("6 drain", Table::Drain),
            ("7 run", Table::SensorRun),
        ] {
            index.insert(name.into(), record(table));
        }
        assert_eq!(claimed(&mut index).as_deref(), Some("5 drain"));
        // The second rows do not wait for the first.
        assert_eq!(claimed(&mut index).as_deref(), Some("6 drain"));
        assert_eq!(claimed(&mut index), None);
        // Refused: they come later, and so does what says that they were watched.
        index.release("5 drain", Some(Instant::now() + std::time::Duration::from_secs(60)), false);
        assert_eq!(claimed(&mut index), None);
        index.remove("5 drain");
        assert_eq!(claimed(&mut index).as_deref(), Some("4 coverage"));
        index.remove("4 coverage");
        index.remove("6 drain");
        assert_eq!(claimed(&mut index).as_deref(), Some("7 run"));
    }

    #[test]
    fn coverage_that_was_left_waits_for_all_that_was() {
        let mut index = Index::default();
        index.insert_left("4 coverage".into(), record(Table::Coverage));
        index.insert_left("5 traffic".into(), record(Table::Traffic));
        assert_eq!(claimed(&mut index).as_deref(), Some("5 traffic"));
        assert_eq!(claimed(&mut index), None);
        index.remove("5 traffic");
        // What comes new is not waited for.
        index.insert("6 traffic".into(), record(Table::Traffic));
        assert_eq!(claimed(&mut index).as_deref(), Some("4 coverage"));
    }
}
