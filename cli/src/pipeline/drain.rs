//! The wiring of `lowtide drain` over files: frames to observations to what migrations' servers were asked, and who watched.
//!
//! One thread reads: nothing is paired and no name is counted, so that there is little to share.

use std::path::PathBuf;
use std::time::Duration;

use lowtide_aggregate::drain::{DrainReport, Migration, Verdict, Watch};
use lowtide_capture::{Input, Record, Timeline};
use lowtide_decode::{Decoder, DecoderLimits, Ports, Sink};
use lowtide_proto::{Observation, Timestamp};

use super::nanos;
use super::witness::{Told, Witness};
use crate::error::Error;
use crate::origin::Origins;
use crate::progress::Progress;

/// Frames between two looks at the progress.
const PROGRESS_FRAMES: u64 = 16_384;

/// What is asked.
#[derive(Clone, Debug)]
pub struct DrainOptions {
    /// The files in any order; `-` is standard input, at most once.
    pub files: Vec<PathBuf>,
    /// The migrations asked about.
    pub migrations: Vec<Migration>,
    /// The DNS ports, sorted, each once.
    pub ports: Vec<u16>,
    /// The moment of the verdict: what comes later is not looked at. `None` = that of the last frame.
    pub at: Option<Timestamp>,
    /// How long a file may show nothing until it proves nothing.
    pub max_silence: Duration,
}

/// The verdicts, and what they were made of.
#[derive(Debug)]
pub struct Drained {
    /// The report.
    pub report: DrainReport,
    /// The verdicts in its order.
    pub verdicts: Vec<Verdict>,
    /// The files.
    pub inputs: Vec<Input>,
    /// What the operator should know of them.
    pub notes: Vec<String>,
}

impl Sink for Witness {
    #[inline]
    fn observe(&mut self, observation: &Observation<'_>) {
        self.observe(observation);
    }
}

/// Reads all files as one timeline and judges the migrations. Damage to a file is no error: it stands in [`Drained::inputs`], and is a
/// hole in the evidence.
///
/// # Errors
/// A file that cannot be opened or is of a foreign format, or a database that is damaged.
pub fn drain(options: &DrainOptions, origins: &Origins, progress: &dyn Progress) -> Result<Drained, Error> {
    let mut timeline = Timeline::open(&options.files)?;
    progress.set_total(timeline.total_bytes());
    let mut decoder = Decoder::new(Ports::new(&options.ports), DecoderLimits::default());
    let watch = Watch::new(options.migrations.clone());
    let mut witness = Witness::new(watch, options.files.len(), options.at, nanos(options.max_silence));
    let mut frames = 0_u64;
    while let Some((input, record)) = timeline.next() {
        let time = record.time();
        witness.turn_to(input);
        match record {
            Record::Packet(packet) => decoder.packet(&packet, &mut witness),
            Record::Dnstap(frame) => decoder.dnstap(&frame, &mut witness),
        }
        witness.frame(time, &decoder);
        frames += 1;
        if frames.is_multiple_of(PROGRESS_FRAMES) {
            progress.set(timeline.bytes_read());
        }
    }
    decoder.finish(&mut witness);
    progress.finish();
    let inputs = timeline.inputs();
    let Told { report, verdicts, notes } =
        witness.judged(&inputs, options.at, &|address| origins.locate(address));
    origins.whole()?;
    Ok(Drained { report, verdicts, inputs, notes })
}
