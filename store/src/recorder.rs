//! From closed windows to segments: which rows go into which, in an order that is the same in every run.
//!
//! Shards close their windows at the same marks, but hand them over in no order. The recorder waits until every
//! partition has reached a mark and takes them by time and partition. A segment has rows of one month, because one insert may
//! touch one partition of the table; blocks of several months are open at a time, so that clocks that leap about do not make a
//! segment of each row. So a run that is repeated makes the same segments, and what ClickHouse has of it already is
//! recognised by its token.

use std::collections::BTreeMap;

use lowtide_aggregate::CoverageRow;
use lowtide_aggregate::drain::DrainRows;
use lowtide_aggregate::names::PARTITIONS;
use lowtide_aggregate::window::{Closed, Window};
use lowtide_proto::Timestamp;
use lowtide_proto::time::NANOS_PER_SECOND;

use crate::coverage::CoverageBlock;
use crate::drain::{DrainBlock, RrsetBlock, start};
use crate::months::{Month, Months, Open, RowBlock, month, widened};
use crate::run::RunKey;
use crate::sensor_run::SensorRun;
use crate::traffic::{TrafficBlock, interval_seconds};

/// Something to be recorded.
pub enum Recorded {
    /// The windows of one partition that ended before one mark.
    Windows(Closed),
    /// What the sources showed before the next mark, and the rows of migrations before it.
    Coverage(Vec<CoverageRow>, DrainRows),
    /// One more source, whose number is how many there were before.
    Source(String),
    /// What the run says of itself at this moment.
    Run(Box<SensorRun>),
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

/// Makes segments of what is recorded.
pub struct Recorder<S> {
    sink: S,
    /// Rows of a segment.
    segment_rows: usize,
    sources: Vec<String>,
    /// By month. Together they hold at most twice the rows of a segment.
    traffic: BTreeMap<Month, Open<TrafficBlock>>,
    traffic_rows: usize,
    // Of each of these at most the rows of a segment.
    drain: Months<DrainBlock>,
    rrset: Months<RrsetBlock>,
    coverage: Months<CoverageBlock>,
    /// The memory of a block that was written.
    spare: Option<TrafficBlock>,
    key: RunKey,
    /// Windows by mark, as they arrive.
    closed: BTreeMap<u64, Vec<Closed>>,
    /// Coverage and rows of migrations by mark.
    covered: BTreeMap<u64, (Vec<CoverageRow>, DrainRows)>,
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
            traffic: BTreeMap::new(),
            traffic_rows: 0,
            drain: Months::default(),
            rrset: Months::default(),
            coverage: Months::default(),
            spare: None,
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

    /// How many marks are complete: all windows and coverage before them have been taken.
    pub const fn marks(&self) -> u64 {
        self.next_mark
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
            Recorded::Coverage(rows, drain) => {
                self.covered.insert(self.covered_marks, (rows, drain));
                self.covered_marks += 1;
            }
            Recorded::Source(name) => self.sources.push(name),
            Recorded::Run(mut run) => {
                run.account.rows = self.rows();
                self.say(&run)?;
            }
        }
        while self.closed.get(&self.next_mark).is_some_and(|closed| closed.len() == PARTITIONS)
            && let Some((covered, drain)) = self.covered.remove(&self.next_mark)
        {
            let closed = self.closed.remove(&self.next_mark).unwrap_or_default();
            self.next_mark += 1;
            self.windows(closed)?;
            self.migrations(&drain)?;
            // Behind all that it is the proof of.
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
            let month = month(start);
            for (at, row) in window.rows().iter().enumerate() {
                let open = self.traffic.entry(month).or_insert_with(|| Open {
                    block: self.spare.take().unwrap_or_else(|| TrafficBlock::new(&self.key)),
                    span: None,
                });
                open.span = Some(widened(open.span, start));
                open.block.push(&window, at, row);
                self.traffic_rows += 1;
                if open.block.rows() >= self.segment_rows {
                    self.cut_traffic(month)?;
                } else if self.traffic_rows >= 2 * self.segment_rows {
                    let largest = self.traffic.iter().max_by_key(|(_, open)| open.block.rows());
                    if let Some((&month, _)) = largest {
                        self.cut_traffic(month)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn migrations(&mut self, rows: &DrainRows) -> Result<(), S::Error> {
        for row in &rows.asked {
            self.drain.next(&self.key, start(row.start)).push(row);
            if let Some(open) = self.drain.full(self.segment_rows) {
                self.put_block(open)?;
            }
        }
        for row in &rows.served {
            self.rrset.next(&self.key, start(row.start)).push(row);
            if let Some(open) = self.rrset.full(self.segment_rows) {
                self.put_block(open)?;
            }
        }
        Ok(())
    }

    fn sources(&mut self, rows: &[CoverageRow]) -> Result<(), S::Error> {
        for row in rows {
            let source = self.sources.get(row.source).map_or("", String::as_str);
            self.coverage.next(&self.key, start(row.start)).push(source, row);
            if let Some(open) = self.coverage.full(self.segment_rows) {
                self.put_block(open)?;
            }
        }
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
        self.missed(seconds, source, CoverageRow { lost: lost.clone(), ..CoverageRow::default() })
    }

    /// Records that nobody knows what was lost of an interval.
    ///
    /// # Errors
    /// What the sink says.
    pub fn unknown(&mut self, seconds: u32, source: &str) -> Result<(), S::Error> {
        self.missed(seconds, source, CoverageRow { unknown: true, ..CoverageRow::default() })
    }

    fn missed(&mut self, seconds: u32, source: &str, row: CoverageRow) -> Result<(), S::Error> {
        let row = CoverageRow { start: Timestamp::new(u64::from(seconds), 0), ..row };
        self.coverage.next(&self.key, seconds).push(source, &row);
        self.coverage.full(self.segment_rows).map_or(Ok(()), |open| self.put_block(open))
    }

    fn cut_traffic(&mut self, month: Month) -> Result<(), S::Error> {
        let Some(Open { mut block, span: Some(intervals) }) = self.traffic.remove(&month) else {
            return Ok(());
        };
        self.block.clear();
        block.write(&mut self.block);
        let (messages, columns, rows) = (block.messages(), block.column_names(), block.rows());
        self.traffic_rows -= rows;
        block.clear();
        self.spare = Some(block);
        self.put("traffic", &columns, rows, messages, intervals)
    }

    fn put_block<B: RowBlock>(&mut self, open: Open<B>) -> Result<(), S::Error> {
        let Open { block, span: Some(intervals) } = open else { return Ok(()) };
        self.block.clear();
        block.write(&mut self.block);
        self.put(B::TABLE, &block.column_names(), block.rows(), (0, 0), intervals)
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
        while let Some((&month, _)) = self.traffic.first_key_value() {
            self.cut_traffic(month)?;
        }
        while let Some(open) = self.drain.earliest() {
            self.put_block(open)?;
        }
        while let Some(open) = self.rrset.earliest() {
            self.put_block(open)?;
        }
        while let Some(open) = self.coverage.earliest() {
            self.put_block(open)?;
        }
        Ok(())
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
