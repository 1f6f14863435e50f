//! Rows of the table `coverage`.

use lowtide_aggregate::CoverageRow;

use crate::drain::start;
use crate::months::RowBlock;
use crate::native::{Column, Map, Moments, Numbers, Texts, Word};
use crate::run::{RunColumns, RunKey};

/// Rows of `coverage` on their way into one segment.
#[derive(Debug)]
pub struct CoverageBlock {
    rows: usize,
    run: RunColumns,
    source: Texts,
    server: Texts,
    frames: Numbers,
    octets: Numbers,
    messages: Numbers,
    first: Moments,
    last: Moments,
    heartbeats: Numbers,
    lost: Map<Word>,
    unknown: Numbers,
}

impl CoverageBlock {
    /// Appends what a source showed and lost.
    pub fn push(&mut self, source: &str, row: &CoverageRow) {
        self.rows += 1;
        self.run.push(start(row.start));
        self.source.push(source.as_bytes());
        let server = row.server.map(|server| server.to_canonical().to_string()).unwrap_or_default();
        self.server.push(server.as_bytes());
        self.frames.push(row.frames);
        self.octets.push(row.octets);
        self.messages.push(row.messages);
        self.first.push(row.seen.map(|(first, _)| first.0));
        self.last.push(row.seen.map(|(_, last)| last.0));
        self.heartbeats.push(row.heartbeats);
        self.lost.push(row.lost.iter().map(|(&reason, &count)| (Word(reason), count)));
        self.unknown.push(u64::from(row.unknown));
    }
}

impl RowBlock for CoverageBlock {
    const TABLE: &'static str = "coverage";

    fn new(run: &RunKey) -> Self {
        Self {
            rows: 0,
            run: RunColumns::new(run),
            source: Texts::default(),
            server: Texts::default(),
            frames: Numbers::default(),
            octets: Numbers::default(),
            messages: Numbers::default(),
            first: Moments::default(),
            last: Moments::default(),
            heartbeats: Numbers::default(),
            lost: Map::default(),
            unknown: Numbers::default(),
        }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> Vec<(&'static str, &dyn Column)> {
        let mut columns = self.run.columns().to_vec();
        columns.extend::<[(&'static str, &dyn Column); 10]>([
            ("source", &self.source),
            ("server", &self.server),
            ("frames", &self.frames),
            ("octets", &self.octets),
            ("messages", &self.messages),
            ("first", &self.first),
            ("last", &self.last),
            ("heartbeats", &self.heartbeats),
            ("lost", &self.lost),
            ("unknown", &self.unknown),
        ]);
        columns
    }
}
