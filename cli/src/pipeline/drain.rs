//! The wiring of `lowtide drain` over files: frames to observations to what migrations' servers were asked, and who watched.
//!
//! One thread reads: nothing is paired and no name is counted, so that there is little to share.

use std::path::PathBuf;
use std::time::Duration;

use lowtide_aggregate::drain::report::{Reason, SCHEMA};
use lowtide_aggregate::drain::watch::is_beside_server;
use lowtide_aggregate::drain::{DrainReport, Migration, Verdict, Watch, judge_located};
use lowtide_aggregate::summary::rfc3339;
use lowtide_capture::{Input, Record, Timeline};
use lowtide_decode::{Decoder, DecoderLimits, Fate, Ports, Sink};
use lowtide_proto::{Observation, Timestamp};

use super::nanos;
use super::sight::{self, Seen, Sight, Sources};
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

/// Shows observations to the watch.
struct Observer {
    watch: Watch,
    sights: Vec<Sight>,
    /// The file that is read.
    input: usize,
    until: Timestamp,
}

impl Sink for Observer {
    #[inline]
    fn observe(&mut self, observation: &Observation<'_>) {
        if observation.time > self.until {
            return;
        }
        if is_beside_server(observation.role)
            && let Some(sight) = self.sights.get_mut(self.input)
        {
            sight.server(observation.server.address);
        }
        self.watch.observe(self.input, observation);
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
    let silence = nanos(options.max_silence);
    let mut decoder = Decoder::new(Ports::new(&options.ports), DecoderLimits::default());
    let mut observer = Observer {
        watch: Watch::new(options.migrations.clone()),
        sights: vec![Sight::default(); options.files.len()],
        input: 0,
        until: options.at.unwrap_or(Timestamp(u64::MAX)),
    };
    let (mut frames, mut blind, mut last) = (0_u64, 0_u64, None);
    while let Some((input, record)) = timeline.next() {
        let time = record.time();
        last = last.max(Some(time));
        observer.input = input;
        match record {
            Record::Packet(packet) => decoder.packet(&packet, &mut observer),
            Record::Dnstap(frame) => decoder.dnstap(&frame, &mut observer),
        }
        if let Some(sight) = observer.sights.get_mut(input) {
            sight.frame(time, silence);
            let (count, reason) = unreadable(&decoder);
            if count > blind {
                blind = count;
                sight.lost(time, reason);
            }
        }
        frames += 1;
        if frames.is_multiple_of(PROGRESS_FRAMES) {
            progress.set(timeline.bytes_read());
        }
    }
    decoder.finish(&mut observer);
    progress.finish();
    let inputs = timeline.inputs();
    let drained = judged(options, &observer, origins, inputs, options.at.or(last), silence);
    origins.whole()?;
    Ok(drained)
}

/// Frames that were too short to see whether there is a query in them, or of a kind that is not known.
fn unreadable(decoder: &Decoder) -> (u64, &'static str) {
    let mut count = 0;
    for (fate, frames) in decoder.counts().fates() {
        if matches!(fate, Fate::Truncated | Fate::UnknownLinkType) {
            count += frames;
        }
    }
    (count, "frames that cannot be read (snap length or link type)")
}

fn judged(
    options: &DrainOptions,
    observer: &Observer,
    origins: &Origins,
    inputs: Vec<Input>,
    at: Option<Timestamp>,
    silence: u64,
) -> Drained {
    let files: Vec<Seen> =
        inputs.iter().zip(&observer.sights).map(|(input, sight)| seen(input, sight)).collect();
    let sources: Sources = sight::sources(&files);
    let mut verdicts = Vec::new();
    let mut migrations = Vec::new();
    for (migration, mut evidence) in options.migrations.iter().zip(observer.watch.evidence(&sources.names)) {
        sight::cover(&mut evidence.cover, &files, &sources, silence);
        let (verdict, mut report) =
            judge_located(migration, &evidence, at.unwrap_or_default(), &|address| origins.locate(address));
        if at.is_none() {
            let text = "the files hold no frame: nothing was seen at any time".to_owned();
            report.reasons = vec![Reason { code: "no-frame", text }];
        }
        verdicts.push(verdict);
        migrations.push(report);
    }
    Drained {
        report: DrainReport { schema: SCHEMA, evaluated_at: at.map(rfc3339), migrations },
        verdicts,
        inputs,
        notes: sources.notes,
    }
}

fn seen(input: &Input, sight: &Sight) -> Seen {
    let summary = &input.summary;
    Seen {
        path: input.path.clone(),
        kind: format!("{} {}", summary.format.as_str(), summary.link_type_names()).trim().to_owned(),
        damaged: summary
            .damaged
            .map(|damage| format!("damaged at offset {}: {}", damage.offset, damage.reason)),
        sight: sight.clone(),
    }
}
