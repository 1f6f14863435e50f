//! From closed windows to segments: which rows go into which, in an order that is the same in every run.
//!
//! Shards close their windows at the same marks, but hand them over in no order. The recorder waits until every
//! partition has reached a mark and takes them by time and partition. A segment is cut by its number of rows and where
//! the month changes, because one insert may touch one partition of the table. So a run that is repeated makes the same
//! segments, and what ClickHouse has of it already is recognised by its token.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use lowtide_aggregate::CoverageRow;
use lowtide_aggregate::names::PARTITIONS;
use lowtide_aggregate::window::{Closed, Window};
use lowtide_proto::time::NANOS_PER_SECOND;

use crate::coverage::CoverageBlock;
use crate::run::RunKey;
use crate::sensor_run::SensorRun;
use crate::traffic::{TrafficBlock, interval_seconds};

/// Something to be recorded.
pub enum Recorded {
    /// The windows of one partition that ended before one mark.
    Windows(Closed),
    /// What the sources showed before the next mark.
    Coverage(Vec<CoverageRow>),
}

/// The rows of one segment before it is written.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// The table.
    pub table: &'static str,
    /// The columns, in the order of the block.
    pub columns: &'a [&'static str],
    /// Which segment of this run and table it is: 0, 1, 2 ...
    pub sequence: u64,
    /// Its rows.
    pub rows: u64,
    /// Queries that the rows count.
    pub queries: u64,
    /// Responses that the rows count.
    pub responses: u64,
    /// Start of the first and of the last interval, seconds since 1970.
    pub intervals: (u32, u32),
    /// The rows in Native form.
    pub block: &'a [u8],
}

/// Where segments go.
pub trait SegmentSink {
    /// Why a segment could not be taken.
    type Error;
    /// Takes a segment.
    ///
    /// # Errors
    /// When it is lost to this sink for good.
    fn put(&mut self, draft: &Draft<'_>) -> Result<(), Self::Error>;
}

/// The month of an interval: what the tables are partitioned by.
fn month(seconds: u32) -> (i16, i8) {
    let moment = jiff::Timestamp::from_second(i64::from(seconds)).unwrap_or_default();
    let date = moment.to_zoned(TimeZone::UTC).date();
    (date.year(), date.month())
}

/// A span of intervals with one more.
fn widened(span: Option<(u32, u32)>, start: u32) -> (u32, u32) {
    span.map_or((start, start), |(first, last)| (first.min(start), last.max(start)))
}

/// Makes segments of what is recorded.
pub struct Recorder<S> {
    sink: S,
    /// Rows of a segment.
    segment_rows: usize,
    sources: Vec<String>,
    traffic: TrafficBlock,
    coverage: CoverageBlock,
    /// First and last interval of the blocks at hand.
    traffic_span: Option<(u32, u32)>,
    coverage_span: Option<(u32, u32)>,
    key: RunKey,
    /// Windows by mark, as they arrive.
    closed: BTreeMap<u64, Vec<Closed>>,
    /// Coverage by mark.
    covered: BTreeMap<u64, Vec<CoverageRow>>,
    covered_marks: u64,
    next_mark: u64,
    /// The next segment's number, and the rows so far, by table.
    written: BTreeMap<&'static str, (u64, u64)>,
    /// The block being written, as memory to use again.
    block: Vec<u8>,
}

impl<S: SegmentSink> Recorder<S> {
    /// Nothing recorded yet of a run that reads `sources`, with up to `segment_rows` rows in a segment: large enough that an
    /// insert costs little a row, small enough to be held in memory a few times over.
    pub fn new(key: RunKey, sources: Vec<String>, segment_rows: usize, sink: S) -> Self {
        Self {
            sink,
            segment_rows,
            sources,
            traffic: TrafficBlock::new(&key),
            coverage: CoverageBlock::new(&key),
            traffic_span: None,
            coverage_span: None,
            key,
            closed: BTreeMap::new(),
            covered: BTreeMap::new(),
            covered_marks: 0,
            next_mark: 0,
            written: BTreeMap::new(),
            block: Vec::new(),
        }
    }

    /// Rows so far, by table.
    pub fn rows(&self) -> BTreeMap<&'static str, u64> {
        self.written.iter().map(|(&table, &(_, rows))| (table, rows)).collect()
    }

    /// Where segments go.
    pub const fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Takes something to be recorded.
    ///
    /// # Errors
    /// What the sink says.
    pub fn record(&mut self, recorded: Recorded) -> Result<(), S::Error> {
        match recorded {
            Recorded::Windows(closed) => self.closed.entry(closed.mark).or_default().push(closed),
            Recorded::Coverage(rows) => {
                self.covered.insert(self.covered_marks, rows);
                self.covered_marks += 1;
            }
        }
        while self.closed.get(&self.next_mark).is_some_and(|closed| closed.len() == PARTITIONS)
            && let Some(covered) = self.covered.remove(&self.next_mark)
        {
            let closed = self.closed.remove(&self.next_mark).unwrap_or_default();
            self.next_mark += 1;
            self.windows(closed)?;
            self.sources(&covered)?;
        }
        Ok(())
    }

    fn windows(&mut self, closed: Vec<Closed>) -> Result<(), S::Error> {
        let mut windows: Vec<(u64, usize, Window)> = Vec::new();
        for closed in closed {
            windows.extend(
                closed.windows.into_iter().map(|window| (window.start().0, closed.partition, window)),
            );
        }
        windows.sort_by_key(|&(start, partition, _)| (start, partition));
        for (.., window) in windows {
            let start = interval_seconds(&window);
            if self.traffic_span.is_some_and(|(first, _)| month(first) != month(start)) {
                self.cut_traffic()?;
            }
            for (at, row) in window.rows().iter().enumerate() {
                self.traffic_span = Some(widened(self.traffic_span, start));
                self.traffic.push(&window, at, row);
                if self.traffic.rows() >= self.segment_rows {
                    self.cut_traffic()?;
                }
            }
        }
        Ok(())
    }

    fn sources(&mut self, rows: &[CoverageRow]) -> Result<(), S::Error> {
        for row in rows {
            let start = u32::try_from(row.start.0 / NANOS_PER_SECOND).unwrap_or(u32::MAX);
            self.turn_coverage_to(start)?;
            let source = self.sources.get(row.source).map_or("", String::as_str);
            self.coverage.push(source, row);
        }
        Ok(())
    }

    fn turn_coverage_to(&mut self, start: u32) -> Result<(), S::Error> {
        let is_other_month = self.coverage_span.is_some_and(|(first, _)| month(first) != month(start));
        if is_other_month || self.coverage.rows() >= self.segment_rows {
            self.cut_coverage()?;
        }
        self.coverage_span = Some(widened(self.coverage_span, start));
        Ok(())
    }

    /// Records what was lost of an interval.
    ///
    /// # Errors
    /// What the sink says.
    pub fn loss(
        &mut self,
        seconds: u32,
        source: &str,
        lost: &BTreeMap<&'static str, u64>,
    ) -> Result<(), S::Error> {
        self.turn_coverage_to(seconds)?;
        self.coverage.push_loss(seconds, source, lost);
        Ok(())
    }

    fn cut_traffic(&mut self) -> Result<(), S::Error> {
        let Some(intervals) = self.traffic_span.take() else { return Ok(()) };
        self.block.clear();
        self.traffic.write(&mut self.block);
        let (queries, responses) = self.traffic.messages();
        let columns = self.traffic.column_names();
        let rows = self.traffic.rows();
        self.traffic.clear();
        self.put("traffic", &columns, rows, (queries, responses), intervals)
    }

    fn cut_coverage(&mut self) -> Result<(), S::Error> {
        let Some(intervals) = self.coverage_span.take() else { return Ok(()) };
        let coverage = std::mem::replace(&mut self.coverage, CoverageBlock::new(&self.key));
        self.block.clear();
        coverage.write(&mut self.block);
        self.put("coverage", &coverage.column_names(), coverage.rows(), (0, 0), intervals)
    }

    /// Writes what the run says of itself.
    ///
    /// # Errors
    /// What the sink says.
    pub fn say(&mut self, run: &SensorRun) -> Result<(), S::Error> {
        let (columns, block) = run.block();
        self.block = block;
        let seconds = u32::try_from(run.started / NANOS_PER_SECOND).unwrap_or(u32::MAX);
        // The latest of these rows counts, whatever was said before under the run's name: so each has a number of its own.
        self.written.entry("sensor_run").or_default().0 = run.updated;
        self.put("sensor_run", &columns, 1, (0, 0), (seconds, seconds))
    }

    /// Writes the rows at hand.
    ///
    /// # Errors
    /// What the sink says.
    pub fn cut(&mut self) -> Result<(), S::Error> {
        self.cut_traffic()?;
        self.cut_coverage()
    }

    fn put(
        &mut self,
        table: &'static str,
        columns: &[&'static str],
        rows: usize,
        (queries, responses): (u64, u64),
        intervals: (u32, u32),
    ) -> Result<(), S::Error> {
        let (segments, written) = self.written.entry(table).or_default();
        let rows = rows as u64;
        let draft = Draft {
            table,
            columns,
            sequence: *segments,
            rows,
            queries,
            responses,
            intervals,
            block: &self.block,
        };
        *segments += 1;
        *written += rows;
        self.sink.put(&draft)
    }
}
