//! Rows by month on their way into segments: one insert may touch one partition of its table, and tables are parted by month.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::native::{self, Column};
use crate::run::RunKey;

/// Year and month.
pub type Month = (i16, i8);

/// Rows of one table on their way into one segment.
pub trait RowBlock {
    /// The table.
    const TABLE: &'static str;
    /// No rows yet, of a run.
    fn new(run: &RunKey) -> Self;
    /// Rows held.
    fn rows(&self) -> usize;
    /// Names and values of the columns.
    fn columns(&self) -> Vec<(&'static str, &dyn Column)>;

    /// The names of the columns, in the order of the block.
    fn column_names(&self) -> Vec<&'static str> {
        self.columns().into_iter().map(|(name, _)| name).collect()
    }

    /// Appends the block in Native form.
    fn write(&self, out: &mut Vec<u8>) {
        native::block(self.rows(), &self.columns(), out);
    }
}

/// The month of an interval, seconds since 1970.
pub fn month(seconds: u32) -> Month {
    let moment = jiff::Timestamp::from_second(i64::from(seconds)).unwrap_or_default();
    let date = moment.to_zoned(TimeZone::UTC).date();
    (date.year(), date.month())
}

/// A span of intervals with one more.
pub fn widened(span: Option<(u32, u32)>, start: u32) -> (u32, u32) {
    span.map_or((start, start), |(first, last)| (first.min(start), last.max(start)))
}

/// Rows of one month on their way into a segment.
pub struct Open<B> {
    /// The rows.
    pub block: B,
    /// First and last interval.
    pub span: Option<(u32, u32)>,
}

/// Blocks of several months, so that clocks that leap about do not make a segment of each row.
pub struct Months<B> {
    open: BTreeMap<Month, Open<B>>,
    rows: usize,
}

impl<B> Default for Months<B> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), rows: 0 }
    }
}

impl<B: RowBlock> Months<B> {
    /// The block that takes the next row, which is of the interval that begins at `start`.
    pub fn next(&mut self, key: &RunKey, start: u32) -> &mut B {
        let new = || Open { block: B::new(key), span: None };
        let open = self.open.entry(month(start)).or_insert_with(new);
        open.span = Some(widened(open.span, start));
        self.rows += 1;
        &mut open.block
    }

    /// The largest block, when all of them together have as many rows as a segment.
    pub fn full(&mut self, segment_rows: usize) -> Option<Open<B>> {
        if self.rows < segment_rows {
            return None;
        }
        let (&month, _) = self.open.iter().max_by_key(|(_, open)| open.block.rows())?;
        self.take(month)
    }

    /// The earliest block.
    pub fn earliest(&mut self) -> Option<Open<B>> {
        let (&month, _) = self.open.first_key_value()?;
        self.take(month)
    }

    fn take(&mut self, month: Month) -> Option<Open<B>> {
        let open = self.open.remove(&month)?;
        self.rows -= open.block.rows();
        Some(open)
    }
}
