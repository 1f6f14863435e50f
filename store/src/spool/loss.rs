//! What did not reach ClickHouse, in rows, queries and responses, so that `coverage` can say it.

use std::collections::BTreeMap;
use std::fmt;

use crate::segment::{Header, Table};

/// How many kinds of loss are told apart before further ones go under an empty sensor and run: a spool of foreign
/// segments must not fill the memory.
const MAX_KEYS: usize = 4096;

/// Why segments were lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The spool was full.
    Full,
    /// They were older than the spool keeps them.
    Age,
    /// They could not be written.
    Unwritable,
    /// They were damaged; the file is in `quarantine/`.
    Damaged,
    /// Their file was taken away by somebody else.
    Vanished,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the spool was full",
            Self::Age => "too old",
            Self::Unwritable => "the spool could not be written",
            Self::Damaged => "damaged",
            Self::Vanished => "the file was taken away",
        })
    }
}

/// What was lost together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LossKey {
    /// Why.
    pub reason: Reason,
    /// The table; `None` when a damaged file does not say.
    pub table: Option<Table>,
    /// Whose rows; empty when a damaged file does not say.
    pub sensor: String,
    /// Of which run; empty when a damaged file does not say.
    pub run: String,
}

/// How much was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Segments.
    pub segments: u64,
    /// Their rows.
    pub rows: u64,
    /// The queries that the rows counted.
    pub queries: u64,
    /// The responses that the rows counted.
    pub responses: u64,
    /// Start of the earliest and of the latest interval, unix seconds; `None` when no segment said.
    pub intervals: Option<(u32, u32)>,
}

impl LossKey {
    /// The key of a segment's loss, as far as a damaged file says.
    pub(super) fn of(reason: Reason, header: Option<&Header>) -> Self {
        let name = |name: fn(&Header) -> &String| header.map(name).cloned().unwrap_or_default();
        Self {
            reason,
            table: header.map(|header| header.table),
            sensor: name(|header| &header.sensor),
            run: name(|header| &header.run),
        }
    }
}

impl Loss {
    /// What is lost with a segment.
    pub(super) fn of(header: &Header) -> Self {
        Self {
            segments: 1,
            rows: header.rows,
            queries: header.queries,
            responses: header.responses,
            intervals: Some((header.from, header.to)),
        }
    }

    /// Adds another loss. A damaged header may say any number, so sums stop at the largest.
    pub fn add(&mut self, other: &Self) {
        self.segments = self.segments.saturating_add(other.segments);
        self.rows = self.rows.saturating_add(other.rows);
        self.queries = self.queries.saturating_add(other.queries);
        self.responses = self.responses.saturating_add(other.responses);
        self.intervals = match (self.intervals, other.intervals) {
            (Some((from, to)), Some((earlier, later))) => Some((from.min(earlier), to.max(later))),
            (one, other) => one.or(other),
        };
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} segments with {} rows ({} queries, {} responses)",
            self.segments, self.rows, self.queries, self.responses
        )
    }
}

/// Losses by reason, table, sensor and run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(BTreeMap<LossKey, Loss>);

impl Losses {
    /// Counts a loss.
    pub(super) fn count(&mut self, mut key: LossKey, loss: &Loss) {
        if self.0.len() >= MAX_KEYS && !self.0.contains_key(&key) {
            key.sensor.clear();
            key.run.clear();
        }
        self.0.entry(key).or_default().add(loss);
    }

    /// Whether nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, by reason, table, sensor and run.
    pub fn iter(&self) -> impl Iterator<Item = (&LossKey, &Loss)> {
        self.0.iter()
    }

    /// The sum of what was lost for reasons that `which` picks.
    pub fn sum(&self, which: impl Fn(Reason) -> bool) -> Loss {
        let mut sum = Loss::default();
        for (_, loss) in self.0.iter().filter(|(key, _)| which(key.reason)) {
            sum.add(loss);
        }
        sum
    }

    /// The sum of all but damaged segments: what was given up.
    pub fn dropped(&self) -> Loss {
        self.sum(|reason| reason != Reason::Damaged)
    }

    /// The sum of the damaged segments, which are in `quarantine/`.
    pub fn quarantined(&self) -> Loss {
        self.sum(|reason| reason == Reason::Damaged)
    }
}
