//! How delivery stands, while it runs and at its end.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::server::ServerError;
use crate::spool::{Backlog, Losses};

/// Counts that can be read while delivery runs.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) segments: AtomicU64,
    pub(super) rows: AtomicU64,
    pub(super) octets: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) in_flight: AtomicU64,
    pub(super) failing: AtomicBool,
    pub(super) gave_up: AtomicBool,
}

impl Progress {
    /// Segments that were acknowledged.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// Their rows.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Their octets on disk.
    pub fn octets(&self) -> u64 {
        self.octets.load(Ordering::Relaxed)
    }

    /// Attempts that failed and were, or will be, made again.
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Segments on their way.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the server takes nothing at the moment.
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Whether delivery has given up: what is in the spool stays there.
    pub fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed)
    }
}

pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// What became of everything.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Segments that were acknowledged.
    pub segments: u64,
    /// Their rows.
    pub rows: u64,
    /// Their octets on disk, nearly all of which were sent, compressed as they are.
    pub octets: u64,
    /// Attempts that failed.
    pub retries: u64,
    /// What is still in the spool, to be delivered later.
    pub undelivered: Backlog,
    /// What was lost, and why, since the spool was opened.
    pub losses: Losses,
    /// Whether delivery gave up.
    pub gave_up: bool,
    /// The last trouble with the server, even if it is over.
    pub last_error: Option<ServerError>,
}

impl Outcome {
    /// Whether every row that was put into the spool is in ClickHouse.
    pub fn is_complete(&self) -> bool {
        self.undelivered.segments == 0 && self.losses.is_empty()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "delivered {} rows in {} segments", self.rows, self.segments)?;
        if self.undelivered.segments > 0 {
            let Backlog { segments, rows, .. } = self.undelivered;
            write!(f, "; not delivered: {rows} rows in {segments} segments, which stay in the spool")?;
        }
        let (dropped, quarantined) = (self.losses.dropped(), self.losses.quarantined());
        if dropped.segments > 0 {
            write!(f, "; dropped: {dropped}")?;
        }
        if quarantined.segments > 0 {
            write!(f, "; damaged and in quarantine: {quarantined}")?;
        }
        match &self.last_error {
            Some(error) if self.undelivered.segments > 0 || self.gave_up => write!(f, "; {error}"),
            _ => Ok(()),
        }
    }
}
