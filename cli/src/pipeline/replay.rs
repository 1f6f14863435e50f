//! The wiring of a replay: files to frames to observations to a report, and the threads and queues between them.
//!
//! ```text
//! this thread                                       shard threads, none with one thread
//! Timeline ─▶ Decoder ─▶ Matcher ─┬─▶ Accounts
//!                                 └─▶ batches by partition of the name ═┬▶ Names ─▶ report
//!                                                                       └▶ Windows ═▶ recorder
//! ```
//!
//! A frame is borrowed from the file's buffer and decoded and paired in this thread; what crosses a queue is a batch of
//! events that owns all it says. Batches come back empty and are used again. A full queue makes this thread wait:
//! a replay loses nothing. The names of a partition are all counted by one shard, in order, so that the report is the
//! same for any number of threads.
//!
//! When rows are recorded, this thread also says, at their place in the order of events, which zones were learnt and
//! which windows are over. So the rows do not depend on the number of threads either.
//!
//! When migrations are configured, the same thread shows each message to a [`Witness`] as well: for their verdicts, and for the rows of
//! who asked whom, which go to the recorder with the coverage.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crossbeam::channel::{Sender, bounded};
use lowtide_aggregate::anonymise::Anonymisation;
use lowtide_aggregate::drain::{DrainRows, Migration, Origin, Watch};
use lowtide_aggregate::names::PARTITIONS;
use lowtide_aggregate::report::{Damaged, Input, Report};
use lowtide_aggregate::summary::{self, Counted, rfc3339};
use lowtide_aggregate::{Accounts, Coverage, Matcher, MatcherLimits, MessageCounts, Names, Windows, ZoneMap};
use lowtide_capture::{Record, Timeline};
use lowtide_decode::{Decoder, DecoderLimits, Ports, Sink};
use lowtide_proto::{NameBuf, Observation, Timestamp};
use lowtide_store::recorder::Recorded;

use super::dropped;
use super::fan::{Counting, Fan, Lane, Marks};
use super::shard::{QUEUE, Shard, count_batches};
use super::witness::Witness;
use super::{Recording, UNREADABLE, nanos};
use crate::error::Error;
use crate::progress::Progress;

/// What a replay is asked to do.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// The files in the order given; `-` is standard input, at most once.
    pub files: Vec<PathBuf>,
    /// Rows in each table of names.
    pub top: usize,
    /// How long after a query its response counts as one, in traffic time.
    pub query_timeout: Duration,
    /// The length of the intervals of traffic time.
    pub interval: Duration,
    /// The DNS ports: 53 and those that were added, sorted, each once.
    pub ports: Vec<u16>,
    /// Threads to use, at least one.
    pub threads: usize,
    /// Names with exact counters of their own, at most.
    pub max_names: usize,
    /// The configured zones.
    pub zones: Vec<NameBuf>,
    /// What moves from where to where.
    pub migrations: Vec<Migration>,
    /// How long a file may show nothing until its silence proves nothing about migrations.
    pub max_silence: Duration,
}

/// Frames between two looks at the progress.
const PROGRESS_FRAMES: u64 = 16_384;

/// A file ends before its end, as a reason in coverage.
const DAMAGED: &str = "damaged_ms";

/// Rows of coverage that may wait for their interval's end.
const MAX_COVERAGE: usize = 4_096;

/// Frames between two looks whether so many rows of migrations wait that they are to be handed out.
const LOOK_FRAMES: u64 = 1_024;

/// Reads all files as one timeline and gives the account of it; with `recording`, the rows for the store as well. Damage to an input is not an error: it stands in the
/// report's [`Input`] and what was readable is counted.
///
/// # Errors
/// An input that cannot be opened or is of a foreign format, and rows that nobody takes any more.
pub fn replay(
    options: &ReplayOptions,
    recording: Option<&Recording>,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    let timeline = Timeline::open(&options.files)?;
    progress.set_total(timeline.total_bytes());
    let zones = ZoneMap::new(options.zones.iter().map(|zone| zone.wire().to_vec()));
    let new_names = || Names::new(options.max_names, &zones);
    let shards = options.threads.saturating_sub(1).min(PARTITIONS);
    let new_shard = |shard: usize, shards: usize| Shard {
        names: Some(new_names()),
        windows: recording.map(|recording| {
            let partitions = Shard::partitions(shard, shards);
            (
                Windows::new(partitions, nanos(options.interval), recording.max_rows, &zones),
                recording.rows.clone(),
            )
        }),
    };
    let (read, names) = if shards == 0 {
        let lanes = vec![Lane::new(Counting::Here(Box::new(new_shard(0, 1))))];
        let mut read = Read::new(options, timeline, lanes, recording);
        read.run(progress)?;
        let names =
            read.tally.fan.names().ok_or_else(|| Error::Failed("no names were counted".to_owned()))?;
        (read, names)
    } else {
        thread::scope(|scope| -> Result<_, Error> {
            let mut lanes = Vec::new();
            let mut threads: Vec<ScopedJoinHandle<'_, Option<Names>>> = Vec::new();
            for shard in 0..shards {
                let (full, filled) = bounded(QUEUE);
                let (emptied, empty) = bounded(QUEUE + 1);
                let counting = new_shard(shard, shards);
                let thread = thread::Builder::new()
                    .name(format!("names-{shard}"))
                    .spawn_scoped(scope, move || count_batches(counting, &filled, &emptied))
                    .map_err(|error| Error::Failed(format!("cannot start a thread: {error}")))?;
                threads.push(thread);
                lanes.push(Lane::new(Counting::There { full, empty }));
            }
            let mut read = Read::new(options, timeline, lanes, recording);
            let run = read.run(progress);
            read.tally.fan.close();
            run?;
            let mut all = new_names();
            for thread in threads {
                let names = thread.join().ok().flatten();
                all.adopt(
                    names.ok_or_else(|| Error::Failed("a thread that counts names failed".to_owned()))?,
                );
            }
            Ok((read, all))
        })?
    };
    progress.finish();
    Ok(read.report(&names, zones, options.top))
}

/// Counts and pairs messages.
struct Tally {
    messages: MessageCounts,
    matcher: Matcher,
    fan: Fan,
    witness: Option<Witness>,
}

impl Sink for Tally {
    #[inline]
    fn observe(&mut self, observation: &Observation<'_>) {
        self.messages.count(observation);
        if let Some(witness) = &mut self.witness {
            witness.observe(observation);
        }
        self.matcher.observe(observation, &mut self.fan);
    }
}

/// The reading thread's part.
struct Read {
    timeline: Timeline,
    decoder: Decoder,
    tally: Tally,
    /// What the inputs covered, and where that goes.
    coverage: Option<(Coverage, Sender<Recorded>)>,
    /// How long a file may show nothing until its silence proves nothing, nanoseconds.
    silence: u64,
}

impl Read {
    fn new(
        options: &ReplayOptions,
        timeline: Timeline,
        lanes: Vec<Lane>,
        recording: Option<&Recording>,
    ) -> Self {
        let width = nanos(options.interval);
        let zones = || ZoneMap::new(options.zones.iter().map(|zone| zone.wire().to_vec()));
        let query_timeout = i64::try_from(nanos(options.query_timeout)).unwrap_or(i64::MAX);
        let witness = (!options.migrations.is_empty()).then(|| {
            let migrations = options.migrations.clone();
            let watch = match recording {
                Some(_) => Watch::recording(migrations, width),
                None => Watch::new(migrations),
            };
            Witness::new(watch, options.files.len(), None, nanos(options.max_silence))
        });
        Self {
            timeline,
            decoder: Decoder::new(Ports::new(&options.ports), DecoderLimits::default()),
            tally: Tally {
                messages: MessageCounts::default(),
                matcher: Matcher::new(MatcherLimits { query_timeout, ..MatcherLimits::default() }),
                fan: Fan::new(
                    Accounts::new(width),
                    lanes,
                    recording.map(|_| Marks::new(width, zones())),
                    &Anonymisation::Keep,
                ),
                witness,
            },
            coverage: recording.map(|recording| (Coverage::new(width), recording.rows.clone())),
            silence: nanos(options.max_silence),
        }
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// Rows that nobody takes any more.
    fn run(&mut self, progress: &dyn Progress) -> Result<(), Error> {
        let mut last = Timestamp::default();
        let mut frames = 0u64;
        while let Some((input, record)) = self.timeline.next() {
            last = record.time();
            let octets = record.octets();
            if let Some(witness) = &mut self.tally.witness {
                witness.turn_to(input);
            }
            match record {
                Record::Packet(packet) => self.decoder.packet(&packet, &mut self.tally),
                Record::Dnstap(frame) => self.decoder.dnstap(&frame, &mut self.tally),
            }
            let witness = self.tally.witness.as_mut();
            let unreadable = witness.map_or(0, |witness| witness.frame(last, &self.decoder));
            if let Some((coverage, _)) = &mut self.coverage {
                let messages = self.tally.messages.queries + self.tally.messages.responses;
                coverage.frame(input, last, octets, messages);
                coverage.lost(input, last, UNREADABLE, unreadable);
                // Frames without DNS move no matcher's clock, but make rows of coverage.
                let is_full = coverage.rows() > MAX_COVERAGE
                    || (frames.is_multiple_of(LOOK_FRAMES)
                        && self.tally.witness.as_ref().is_some_and(|witness| witness.watch.is_full()));
                let due = self.tally.matcher.settled().zip(self.tally.fan.marks.as_mut());
                if let Some(moment) = due.and_then(|(settled, marks)| marks.due(settled)) {
                    self.close_windows(moment)?;
                } else if is_full {
                    self.close_windows(Timestamp(u64::MAX))?;
                }
            }
            frames += 1;
            if frames.is_multiple_of(PROGRESS_FRAMES) {
                progress.set(self.timeline.bytes_read());
            }
        }
        self.decoder.finish(&mut self.tally);
        self.tally.matcher.finish(last, &mut self.tally.fan);
        self.tally.fan.accounts.close();
        if let Some((coverage, _)) = &mut self.coverage {
            // Nobody knows what would have come behind the damage; where nothing comes for longer, that is a hole by itself.
            let inputs = self.timeline.inputs();
            dropped::record(coverage, &inputs);
            for (number, file) in inputs.iter().enumerate() {
                if let (Some(_), Some(last)) = (file.summary.damaged, file.summary.last) {
                    let until = Timestamp(last.0.saturating_add(self.silence));
                    coverage.gap(number, last, until, DAMAGED);
                }
            }
            self.close_windows(Timestamp(u64::MAX))?;
        }
        Ok(())
    }

    #[cold]
    fn close_windows(&mut self, moment: Timestamp) -> Result<(), Error> {
        self.tally.fan.close_windows(moment);
        let Some((coverage, rows)) = &mut self.coverage else { return Ok(()) };
        let mut asked = DrainRows::default();
        if let Some(witness) = &mut self.tally.witness {
            witness.watch.cover(coverage);
            asked = witness.watch.close(moment);
        }
        rows.send(Recorded::Coverage(coverage.close(moment), asked))
            .map_err(|_| Error::Failed("the rows for ClickHouse are no longer taken".to_owned()))
    }

    fn report(&self, names: &Names, zones: ZoneMap, top: usize) -> Report {
        let counted = Counted {
            messages: &self.tally.messages,
            accounts: &self.tally.fan.accounts,
            names,
            matcher: self.tally.matcher.counters(),
        };
        let counts = self.decoder.counts();
        let inputs = self.timeline.inputs();
        let judged =
            self.tally.witness.as_ref().map(|witness| witness.judged(&inputs, None, &|_| Origin::default()));
        let migrations = judged.map(|told| told.report.migrations).unwrap_or_default();
        Report {
            inputs: inputs.into_iter().map(input).collect(),
            migrations,
            frame_fates: counts.fates().map(|(fate, count)| (fate.as_str(), count)).collect(),
            frame_defects: nonzero(counts.defects().map(|(defect, count)| (defect.as_str(), count))),
            reassembly: self.reassembly(),
            ..summary::report(&counted, zones, top)
        }
    }

    fn reassembly(&self) -> BTreeMap<String, u64> {
        let fragments = self.decoder.fragments();
        let fragments = [
            ("completed", fragments.completed),
            ("expired", fragments.expired),
            ("evicted", fragments.evicted),
            ("conflicting", fragments.conflicting),
            ("incomplete", fragments.pending),
        ];
        let fragments = fragments.map(|(name, count)| (format!("fragments_{name}"), count)).into_iter();
        let streams = self.decoder.streams().iter().map(|(name, count)| (format!("tcp_{name}"), count));
        fragments.chain(streams).filter(|&(_, count)| count > 0).collect()
    }
}

fn input(input: lowtide_capture::Input) -> Input {
    let summary = &input.summary;
    Input {
        path: input.path.display().to_string(),
        format: summary.format_name(),
        link_type: summary.link_type_names(),
        frames: summary.frames,
        bytes: summary.bytes,
        first: summary.first.map(rfc3339),
        last: summary.last.map(rfc3339),
        damaged: summary
            .damaged
            .map(|damage| Damaged { offset: damage.offset, reason: damage.reason.to_string() }),
        dropped: dropped::summed(&summary.dropped),
    }
}

fn nonzero(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<&'static str, u64> {
    counts.filter(|&(_, count)| count > 0).collect()
}
