//! The wiring of a replay: files to frames to observations to a report, and the threads and queues between them.
//!
//! ```text
//! this thread                                       shard threads, none with one thread
//! Timeline ─▶ Decoder ─▶ Matcher ─┬─▶ Accounts
//!                                 └─▶ batches by partition of the name ═▶ Names ─▶ report
//! ```
//!
//! A frame is borrowed from the file's buffer and decoded and paired in this thread; what crosses a queue is a batch of
//! events that owns all it says. Batches come back empty and are used again. A full queue makes this thread wait:
//! a replay loses nothing. The names of a partition are all counted by one shard, in order, so that the report is the
//! same for any number of threads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, bounded};
use lowtide_aggregate::names::{PARTITIONS, partition};
use lowtide_aggregate::report::{Damaged, Input, Report};
use lowtide_aggregate::summary::{self, Counted, rfc3339};
use lowtide_aggregate::{
    Accounts, Event, EventBatch, EventSink, Exchange, Matcher, MatcherLimits, MessageCounts, Names, ZoneMap,
};
use lowtide_capture::{Record, Timeline};
use lowtide_decode::{Decoder, DecoderLimits, Ports, Sink};
use lowtide_proto::{NameBuf, Observation, Timestamp};

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
}

/// Events in a batch: large enough that crossing a queue costs little, small enough for the cache.
const BATCH: usize = 4096;

/// Batches that may wait for a shard.
const QUEUE: usize = 4;

/// Frames between two looks at the progress.
const PROGRESS_FRAMES: u64 = 16_384;

/// Reads all files as one timeline and gives the account of it. Damage to an input is not an error: it stands in the
/// report's [`Input`] and what was readable is counted.
///
/// # Errors
/// An input that cannot be opened or is of a foreign format.
pub fn replay(options: &ReplayOptions, progress: &dyn Progress) -> Result<Report, Error> {
    let timeline = Timeline::open(&options.files)?;
    progress.set_total(timeline.total_bytes());
    let zones = ZoneMap::new(options.zones.iter().map(|zone| zone.wire().to_vec()));
    let new_names = || Names::new(options.max_names, &zones);
    let shards = options.threads.saturating_sub(1).min(PARTITIONS);
    let (read, names) = if shards == 0 {
        let mut read = Read::new(options, timeline, vec![Lane::new(Counting::Here(Box::new(new_names())))]);
        read.run(progress);
        let names =
            read.tally.fan.names().ok_or_else(|| Error::Failed("no names were counted".to_owned()))?;
        (read, names)
    } else {
        thread::scope(|scope| -> Result<_, Error> {
            let mut lanes = Vec::new();
            let mut threads: Vec<ScopedJoinHandle<'_, Names>> = Vec::new();
            for shard in 0..shards {
                let (full, filled) = bounded(QUEUE);
                let (emptied, empty) = bounded(QUEUE + 1);
                let names = new_names();
                let thread = thread::Builder::new()
                    .name(format!("names-{shard}"))
                    .spawn_scoped(scope, move || count_names(names, &filled, &emptied))
                    .map_err(|error| Error::Failed(format!("cannot start a thread: {error}")))?;
                threads.push(thread);
                lanes.push(Lane::new(Counting::There { full, empty }));
            }
            let mut read = Read::new(options, timeline, lanes);
            read.run(progress);
            read.tally.fan.close();
            let mut all = new_names();
            for thread in threads {
                all.adopt(
                    thread
                        .join()
                        .map_err(|_| Error::Failed("a thread that counts names failed".to_owned()))?,
                );
            }
            Ok((read, all))
        })?
    };
    progress.finish();
    Ok(read.report(&names, zones, options.top))
}

/// A shard: counts batches until there are no more.
fn count_names(mut names: Names, filled: &Receiver<EventBatch>, emptied: &Sender<EventBatch>) -> Names {
    for mut batch in filled {
        names.count(&batch);
        batch.clear();
        // When the reader has enough batches, this one's memory is given back.
        let _ = emptied.try_send(batch);
    }
    names
}

/// Where the events of some partitions are counted.
enum Counting {
    Here(Box<Names>),
    There { full: Sender<EventBatch>, empty: Receiver<EventBatch> },
}

/// The way of the events to one shard.
struct Lane {
    batch: EventBatch,
    counting: Option<Counting>,
}

impl Lane {
    fn new(counting: Counting) -> Self {
        Self { batch: EventBatch::default(), counting: Some(counting) }
    }

    fn flush(&mut self) {
        match &mut self.counting {
            Some(Counting::Here(names)) => {
                names.count(&self.batch);
                self.batch.clear();
            }
            Some(Counting::There { full, empty }) => {
                let next = empty.try_recv().unwrap_or_default();
                let batch = std::mem::replace(&mut self.batch, next);
                // Only a shard that failed closes its end; joining it tells.
                let _ = full.send(batch);
            }
            None => {}
        }
    }
}

/// Counts events and hands them on to the shards of their names.
struct Fan {
    accounts: Accounts,
    lanes: Vec<Lane>,
}

impl EventSink for Fan {
    #[inline]
    fn event(&mut self, event: &Event, exchange: &Exchange, name: &[u8]) {
        self.accounts.count(event, exchange.server);
        let partition = partition(name);
        let lanes = self.lanes.len();
        if let Some(lane) = self.lanes.get_mut(partition % lanes) {
            lane.batch.push(event, name, partition);
            if lane.batch.len() >= BATCH {
                lane.flush();
            }
        }
    }
}

impl Fan {
    /// Sends what is left and lets the shards end.
    fn close(&mut self) {
        for lane in &mut self.lanes {
            lane.flush();
            lane.counting = None;
        }
    }

    /// The names counted in this thread.
    fn names(&mut self) -> Option<Names> {
        self.lanes.iter_mut().find_map(|lane| {
            lane.flush();
            match lane.counting.take() {
                Some(Counting::Here(names)) => Some(*names),
                _ => None,
            }
        })
    }
}

/// Counts and pairs messages.
struct Tally {
    messages: MessageCounts,
    matcher: Matcher,
    fan: Fan,
}

impl Sink for Tally {
    #[inline]
    fn observe(&mut self, observation: &Observation<'_>) {
        self.messages.count(observation);
        self.matcher.observe(observation, &mut self.fan);
    }
}

/// The reading thread's part.
struct Read {
    timeline: Timeline,
    decoder: Decoder,
    tally: Tally,
}

impl Read {
    fn new(options: &ReplayOptions, timeline: Timeline, lanes: Vec<Lane>) -> Self {
        let nanos = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let query_timeout = i64::try_from(nanos(options.query_timeout)).unwrap_or(i64::MAX);
        Self {
            timeline,
            decoder: Decoder::new(Ports::new(&options.ports), DecoderLimits::default()),
            tally: Tally {
                messages: MessageCounts::default(),
                matcher: Matcher::new(MatcherLimits { query_timeout, ..MatcherLimits::default() }),
                fan: Fan { accounts: Accounts::new(nanos(options.interval)), lanes },
            },
        }
    }

    /// Reads to the end.
    fn run(&mut self, progress: &dyn Progress) {
        let mut last = Timestamp::default();
        let mut frames = 0u64;
        while let Some((_, record)) = self.timeline.next() {
            last = record.time();
            match record {
                Record::Packet(packet) => self.decoder.packet(&packet, &mut self.tally),
                Record::Dnstap(frame) => self.decoder.dnstap(&frame, &mut self.tally),
            }
            frames += 1;
            if frames.is_multiple_of(PROGRESS_FRAMES) {
                progress.set(self.timeline.bytes_read());
            }
        }
        self.decoder.finish(&mut self.tally);
        self.tally.matcher.finish(last, &mut self.tally.fan);
        self.tally.fan.accounts.close();
    }

    fn report(&self, names: &Names, zones: ZoneMap, top: usize) -> Report {
        let counted = Counted {
            messages: &self.tally.messages,
            accounts: &self.tally.fan.accounts,
            names,
            matcher: self.tally.matcher.counters(),
        };
        let counts = self.decoder.counts();
        Report {
            inputs: self.inputs(),
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

    fn inputs(&self) -> Vec<Input> {
        let input = |input: lowtide_capture::Input| {
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
            }
        };
        self.timeline.inputs().into_iter().map(input).collect()
    }
}

fn nonzero(counts: impl Iterator<Item = (&'static str, u64)>) -> BTreeMap<&'static str, u64> {
    counts.filter(|&(_, count)| count > 0).collect()
}
