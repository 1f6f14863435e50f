//! The steady state: a capture runs through several times, and the allocations of the last time are counted.
//!
//! The first time makes names, servers and flows known; the second lets go what the first left, so that all buffers and
//! free lists have their size. The frames are the same each time, but later. What the third run still allocates is
//! allocated for as long as the program runs.

use lowtide_aggregate::{Event, EventSink, Exchange};
use lowtide_capture::{CaptureFile, Damage};
use lowtide_decode::Sink;
use lowtide_proto::Observation;

use crate::pipeline::{self, Accounting, Count, Matching, Naming};

/// Counts the heap allocations of some work: the caller brings the allocator that can.
pub type Measure = fn(&mut dyn FnMut()) -> u64;

/// A stage, and the allocations of it and of all behind it.
struct Counted<S> {
    stage: S,
    measure: Measure,
    allocations: u64,
}

impl<S> Counted<S> {
    const fn new(stage: S, measure: Measure) -> Self {
        Self { stage, measure, allocations: 0 }
    }
}

impl<S: Sink> Sink for Counted<S> {
    fn observe(&mut self, observation: &Observation<'_>) {
        self.allocations += (self.measure)(&mut || self.stage.observe(observation));
    }
}

impl<S: EventSink> EventSink for Counted<S> {
    fn event(&mut self, event: &Event, exchange: &Exchange, name: &[u8]) {
        self.allocations += (self.measure)(&mut || self.stage.event(event, exchange, name));
    }
}

/// Allocations of one run through the capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Messages.
    pub messages: u64,
    /// Intervals of traffic time that the messages are in.
    pub intervals: u64,
    /// Reading the file, frames, streams and messages.
    pub decode: u64,
    /// Counting and pairing messages.
    pub matching: u64,
    /// Roles, servers and intervals.
    pub accounts: u64,
    /// Batches and names.
    pub names: u64,
}

/// Allocations of a run that are not the messages' fault: a hash table may grow once more, because how soon it does so
/// depends on its random seed.
pub const TABLES: u64 = 4;

/// Allocations that an interval may cost: it gets an account, whose histogram is summed up.
pub const PER_INTERVAL: u64 = 16;

impl Allocations {
    /// Whether as much would have been allocated for any number of messages.
    pub const fn is_steady(&self) -> bool {
        self.decode + self.matching + self.names <= TABLES && self.accounts <= PER_INTERVAL * self.intervals
    }

    /// Of all stages.
    pub const fn all(&self) -> u64 {
        self.decode + self.matching + self.accounts + self.names
    }
}

/// Times that the capture runs through.
pub const RUNS: usize = 3;

/// Runs the file that `open` opens through the whole pipeline and returns the allocations of each run. What opening and
/// closing the file takes is not counted.
///
/// # Errors
/// The file is damaged.
pub fn run(measure: Measure, mut open: impl FnMut() -> CaptureFile) -> Result<[Allocations; RUNS], Damage> {
    let names = Counted::new(Naming::default(), measure);
    let accounts = Counted::new(Accounting::new(names), measure);
    let mut sink = Counted::new(Matching::new(accounts), measure);
    let mut decoder = pipeline::decoder();
    let mut shift = 0;
    let mut runs = [Allocations::default(); RUNS];
    for run in &mut runs {
        let mut file = open();
        let before = sink.stage.messages().clone();
        let mut outcome = Ok(());
        let all = measure(&mut || {
            outcome = pipeline::decode(&mut file, shift, &mut decoder, &mut sink).map(|_| ());
        });
        outcome?;
        let after = sink.stage.messages().clone();
        let accounts = &mut sink.stage.events;
        let names = &mut accounts.stage.next;
        let (in_sink, in_accounts, in_names) = (sink.allocations, accounts.allocations, names.allocations);
        let (first, last) = file.summary().first.zip(file.summary().last).unwrap_or_default();
        *run = Allocations {
            messages: after.queries + after.responses - before.queries - before.responses,
            intervals: (last.0 + shift) / pipeline::INTERVAL - (first.0 + shift) / pipeline::INTERVAL + 1,
            decode: all - in_sink,
            matching: in_sink - in_accounts,
            accounts: in_accounts - in_names,
            names: in_names,
        };
        (names.allocations, accounts.allocations) = (0, 0);
        sink.allocations = 0;
        // Later than everything that this run may have left to wait for.
        shift += (last.0 - first.0) / pipeline::INTERVAL * pipeline::INTERVAL + 60 * pipeline::INTERVAL;
    }
    Ok(runs)
}

/// The same for decoding alone: messages, and the allocations of the last run.
///
/// # Errors
/// The file is damaged.
pub fn decode_only(measure: Measure, mut open: impl FnMut() -> CaptureFile) -> Result<(u64, u64), Damage> {
    let mut decoder = pipeline::decoder();
    let mut result = (0, 0);
    let mut shift = 0;
    for _ in 0..RUNS {
        let mut file = open();
        let mut sink = Count::default();
        let mut outcome = Ok(());
        result.1 = measure(&mut || {
            outcome = pipeline::decode(&mut file, shift, &mut decoder, &mut sink).map(|_| ());
        });
        outcome?;
        result.0 = sink.0;
        let (first, last) = file.summary().first.zip(file.summary().last).unwrap_or_default();
        shift += last.0 - first.0 + 60 * pipeline::INTERVAL;
    }
    Ok(result)
}
