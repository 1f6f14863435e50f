//! Rows of the table `coverage`.

use std::collections::BTreeMap;

use lowtide_aggregate::CoverageRow;
use lowtide_proto::time::NANOS_PER_SECOND;

use crate::native::{self, Column, Constant, Map, Moments, Numbers, Seconds, Texts, Word};
use crate::run::RunKey;

/// Rows of `coverage` on their way into one segment.
#[derive(Debug)]
pub struct CoverageBlock {
    rows: usize,
    interval: Seconds,
    sensor: Constant,
    run: Constant,
    kind: Constant,
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
    /// No rows yet, of a run.
    pub fn new(run: &RunKey) -> Self {
        Self {
            rows: 0,
            interval: Seconds::default(),
            sensor: Constant::new(run.sensor.clone()),
            run: Constant::new(run.run.clone()),
            kind: Constant::new(run.kind.as_str().to_owned()),
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

    /// Rows held.
    pub const fn rows(&self) -> usize {
        self.rows
    }

    /// Appends what a source showed.
    pub fn push(&mut self, source: &str, row: &CoverageRow) {
        let seconds = u32::try_from(row.start.0 / NANOS_PER_SECOND).unwrap_or(u32::MAX);
        self.push_row(seconds, source, &BTreeMap::new());
        self.frames.push(row.frames);
        self.octets.push(row.octets);
        self.messages.push(row.messages);
        self.first.push(Some(row.first.0));
        self.last.push(Some(row.last.0));
    }

    /// Appends what was lost of an interval, by reason, without anything that was seen.
    pub fn push_loss(&mut self, seconds: u32, source: &str, lost: &BTreeMap<&'static str, u64>) {
        self.push_row(seconds, source, lost);
        self.frames.push(0);
        self.octets.push(0);
        self.messages.push(0);
        self.first.push(None);
        self.last.push(None);
    }

    fn push_row(&mut self, seconds: u32, source: &str, lost: &BTreeMap<&'static str, u64>) {
        self.rows += 1;
        self.interval.push(seconds);
        self.sensor.push();
        self.run.push();
        self.kind.push();
        self.source.push(source.as_bytes());
        self.server.push(b"");
        self.heartbeats.push(0);
        self.lost.push(lost.iter().map(|(&reason, &count)| (Word(reason), count)));
        self.unknown.push(0);
    }

    fn columns(&self) -> [(&'static str, &dyn Column); 14] {
        [
            ("interval", &self.interval),
            ("sensor", &self.sensor),
            ("run", &self.run),
            ("kind", &self.kind),
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
        ]
    }

    /// The names of the columns, in the order of the block.
    pub fn column_names(&self) -> Vec<&'static str> {
        self.columns().into_iter().map(|(name, _)| name).collect()
    }

    /// Appends the block in Native form.
    pub fn write(&self, out: &mut Vec<u8>) {
        native::block(self.rows, &self.columns(), out);
    }
}
