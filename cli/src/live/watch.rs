//! Watching over the watchers: once a second it says of every source whether it could be seen through, closes the windows
//! of intervals that are over, and tells when the process itself was stopped, the machine slept or the clock was set.
//!
//! Windows close by the clock, not before nothing of them can be outstanding any more: the query timeout, a second of
//! disorder and the lateness later. What comes still later makes rows of its own, of its own interval: rows add up.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crossbeam::channel::Sender;
use lowtide_aggregate::{Configuration, Coverage, EventBatch, Mark};
use lowtide_proto::Timestamp;
use lowtide_store::recorder::Recorded;

use super::clock::{Passed, Steps};
use super::shared::Shared;
use super::sources::{Source, Sources};
use crate::pipeline::nanos;

/// How much longer than the query timeout and the lateness a window stays open: disorder at its beginning and its end, a
/// tick until an expired query is seen, and another until it is published.
const MARGIN: Duration = Duration::from_secs(4);

/// A tick that took so long was no tick: the process was stopped.
const STALL: Duration = Duration::from_secs(4);

/// A producer that said nothing for so long is stuck.
const WEDGED: Duration = Duration::from_secs(5);

/// A gap of more intervals than this is told from its end: a week of minutes.
const LONGEST_GAP: u64 = 10_080;

/// Of the time before a start so much is told, and no more than so many rows of it, sources and intervals together.
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 86_400);

/// See [`LONGEST_PAUSE`].
const PAUSE_ROWS: u64 = 100_000;

/// What of a source is lost while the process does not run.
pub const NOT_RUNNING: &str = "not_running_ms";

/// What of a source was seen by a process that was killed before there were rows of it.
pub const UNRECORDED: &str = "unrecorded_ms";

/// What of a source may be lost when the clock was set: by so much back, or all the time that it leapt over. A machine that
/// slept is no different, for the clock that measures ticks stands still meanwhile.
const CLOCK_STEP: &str = "clock_step_ms";

/// What of a source may be lost while the process is stopped.
const STALLED: &str = "stalled_ms";

/// Keeps the evidence.
pub struct Watch {
    shared: Arc<Shared>,
    shards: Vec<Sender<EventBatch>>,
    rows: Sender<Recorded>,
    steps: Steps,
    /// Since when it watches; a second that it did not see from its beginning has no heartbeat.
    began: Timestamp,
    /// Nanoseconds of an interval.
    width: u64,
    /// How far behind the clock windows close, in nanoseconds.
    behind: u64,
    /// Windows before this interval are closed.
    number: u64,
    /// Marks so far.
    marks: u64,
    /// Marks that may not be in the spool yet, and the moments that intervals were closed up to.
    closed: VecDeque<(u64, Timestamp)>,
    /// Everything before this moment is in rows that are kept.
    recorded: Timestamp,
}

/// What a look has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The process was stopped for this long.
    pub stalled: Option<Duration>,
    /// The clock was set by this much.
    pub stepped: Option<Duration>,
    /// A producer is stuck.
    pub wedged: bool,
}

impl Watch {
    /// Begins to watch. `query_timeout` and `lateness` say how long an interval stays open.
    pub fn new(
        shared: &Arc<Shared>,
        shards: Vec<Sender<EventBatch>>,
        rows: Sender<Recorded>,
        width: Duration,
        query_timeout: Duration,
        lateness: Duration,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            shards,
            rows,
            steps: Steps::new(),
            began: super::clock::now(),
            width: nanos(width).max(1),
            behind: nanos(query_timeout + lateness + MARGIN),
            number: 0,
            marks: 0,
            closed: VecDeque::new(),
            recorded: super::clock::now(),
        }
    }

    /// Says that nobody watched these sources since `last`, and that what was seen since `recorded` went with whoever watched.
    pub fn not_running(&mut self, sources: &[usize], recorded: Timestamp, last: Timestamp) {
        // Until this is in rows itself, the next run has to say it.
        self.recorded = recorded;
        let now = super::clock::now();
        let intervals = PAUSE_ROWS / (sources.len() as u64).max(1);
        let longest = nanos(LONGEST_PAUSE).min(self.width.saturating_mul(intervals));
        let earliest = Timestamp(now.0.saturating_sub(longest));
        let (recorded, last) = (recorded.max(earliest), last.max(earliest));
        let mut gaps = Gaps::of(&self.shared, self.width);
        for &source in sources {
            gaps.tell(source, recorded, last, UNRECORDED);
            gaps.tell(source, last, now, NOT_RUNNING);
        }
    }

    /// The moment before which everything is in rows that are kept, when those of so many marks are.
    pub fn recorded(&mut self, marks: u64) -> Timestamp {
        while let Some((_, moment)) = self.closed.pop_front_if(|(mark, _)| *mark <= marks) {
            self.recorded = self.recorded.max(moment);
        }
        self.recorded
    }

    /// Looks at everything; to be called once a second.
    pub fn look(&mut self) -> Found {
        let passed = self.steps.look();
        self.after(passed)
    }

    /// Says what was between two looks.
    fn after(&mut self, passed: Passed) -> Found {
        let ages = self.shared.ages();
        let is_old = |producer: usize| ages.get(producer).is_some_and(|age| *age > WEDGED);
        let is_wedged = |source: &Source| source.producers().any(is_old);
        let sources = self.shared.sources.all();
        let mut gaps = Gaps::of(&self.shared, self.width);
        let found = Found {
            stalled: (passed.nanos > nanos(STALL)).then(|| Duration::from_nanos(passed.nanos)),
            stepped: (passed.step > 0).then(|| Duration::from_nanos(passed.step)),
            wedged: sources.iter().any(is_wedged),
        };
        let away = self.shared.sources.take_gaps(passed.to);
        for (number, (source, away)) in sources.iter().zip(away).enumerate() {
            if away.is_empty() && source.is_forgotten(passed.to) {
                continue;
            }
            if passed.is_back() {
                self.began = passed.to;
                for (from, to) in away {
                    gaps.tell(number, from, to, source.gone);
                }
                gaps.stepped_back(number, passed, found.stalled.is_some());
                continue;
            }
            let why = match &found {
                _ if passed.is_forward() => Some(CLOCK_STEP),
                Found { stalled: Some(_), .. } => Some(STALLED),
                _ if is_wedged(source) => Some("wedged_ms"),
                _ => None,
            };
            let mut since = passed.from;
            for &(from, to) in &away {
                gaps.tell(number, from, to, source.gone);
                if let Some(reason) = why {
                    gaps.tell(number, since, from, reason);
                }
                since = since.max(to);
            }
            match why {
                Some(reason) => gaps.tell(number, since, passed.to, reason),
                None if source.ways > 0 => {
                    for second in passed.seconds().filter(|second| *second >= self.began) {
                        gaps.coverage.heartbeat(number, second);
                    }
                }
                None => {}
            }
        }
        drop(gaps);
        self.close_due(passed.to);
        found
    }

    /// Says when there was no way to the sources, up to now.
    pub fn tell_gaps(&self) {
        let now = super::clock::now();
        let sources = self.shared.sources.all();
        let away = self.shared.sources.take_gaps(now);
        let mut gaps = Gaps::of(&self.shared, self.width);
        for (number, (source, away)) in sources.iter().zip(away).enumerate() {
            for (from, to) in away {
                gaps.tell(number, from, to, source.gone);
            }
        }
    }

    /// Closes the windows of intervals that are over.
    fn close_due(&mut self, now: Timestamp) {
        let number = now.0.saturating_sub(self.behind) / self.width;
        if number != self.number {
            self.number = number;
            let moment = Timestamp(number * self.width);
            self.close(moment);
            self.closed.push_back((self.marks, moment));
        }
    }

    /// Closes the windows of intervals that began before `moment`, and hands the coverage of them out.
    pub fn close(&mut self, moment: Timestamp) {
        self.mark(&Mark::Close(moment));
        let rows = self.shared.coverage().close(moment);
        let asked = self.shared.asked().close(moment);
        // Only after the rows: a source is known before there are rows of it.
        let sources = self.shared.sources.take_new().into_iter().map(Recorded::Source);
        for recorded in sources.chain([Recorded::Coverage(rows, asked)]) {
            // A recorder that failed has said so.
            let _ = self.rows.send(recorded);
        }
        self.marks += 1;
        self.shared.closed();
    }

    /// From now on these are the operator's zones and bounds.
    pub fn configure(&self, configuration: Configuration) {
        self.mark(&Mark::Configure(Arc::new(configuration)));
    }

    /// Sends the recorder something to record.
    pub fn record(&self, recorded: Recorded) {
        let _ = self.rows.send(recorded);
    }

    fn mark(&self, mark: &Mark) {
        for shard in &self.shards {
            let mut batch = EventBatch::default();
            batch.mark(mark.clone());
            // A shard that failed is told by joining it.
            let _ = shard.send(batch);
        }
    }
}

/// Gaps on their way into coverage, and into what the sources have lost since the start.
struct Gaps<'a> {
    coverage: MutexGuard<'a, Coverage>,
    sources: &'a Sources,
    width: u64,
}

impl<'a> Gaps<'a> {
    fn of(shared: &'a Shared, width: u64) -> Self {
        Self { coverage: shared.coverage(), sources: &shared.sources, width }
    }

    /// Nobody saw through a source; told at most [`LONGEST_GAP`] intervals back.
    fn tell(&mut self, source: usize, from: Timestamp, to: Timestamp, reason: &'static str) {
        let earliest = to.0.saturating_sub(self.width.saturating_mul(LONGEST_GAP));
        let from = Timestamp(from.0.max(earliest));
        self.coverage.gap(source, from, to, reason);
        self.sources.lose(source, reason, to.0.saturating_sub(from.0) / 1_000_000);
    }

    /// Times before and after a step back cannot be told apart.
    fn stepped_back(&mut self, source: usize, passed: Passed, is_stalled: bool) {
        if is_stalled {
            self.tell(source, Timestamp(passed.to.0.saturating_sub(passed.nanos)), passed.to, STALLED);
        }
        let millis = passed.step / 1_000_000;
        self.coverage.lost(source, passed.to, CLOCK_STEP, millis);
        self.sources.lose(source, CLOCK_STEP, millis);
        self.coverage.unknown(source, passed.from);
        self.coverage.unknown(source, passed.to);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crossbeam::channel::{Receiver, unbounded};
    use lowtide_aggregate::CoverageRow;

    use super::super::shared::Settings;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    const fn at(second: u64) -> Timestamp {
        Timestamp(second * SECOND)
    }

    /// A watch over nobody yet; the receiver keeps its rows from being refused.
    fn watch() -> (Watch, Arc<Shared>, Receiver<Recorded>) {
        let (happen, _) = unbounded();
        let shared = Arc::new(Shared::new(60 * SECOND, Settings::default(), happen));
        let (rows, taken) = unbounded();
        let second = Duration::from_secs(1);
        let watch = Watch::new(&shared, Vec::new(), rows, 60 * second, second, second);
        // Nothing is due.
        (Watch { behind: u64::MAX, began: Timestamp(90_400_000_000), ..watch }, shared, taken)
    }

    const fn passed(from: u64, to: u64, nanos: u64, step: u64) -> Passed {
        Passed { from: at(from), to: at(to), nanos: nanos * SECOND, step: step * SECOND }
    }

    type Told = (u64, BTreeMap<&'static str, u64>, u64, bool);

    /// Minute, milliseconds lost, heartbeats and whether more may be.
    fn told(shared: &Shared) -> Vec<Told> {
        let rows = shared.coverage().close(Timestamp(u64::MAX));
        let row = |row: CoverageRow| (row.start.0 / SECOND / 60, row.lost, row.heartbeats, row.unknown);
        rows.into_iter().map(row).collect()
    }

    #[test]
    fn each_second_has_a_heartbeat_whenever_ticks_come() {
        let (mut watch, shared, _taken) = watch();
        let eth0 = shared.sources.number("eth0", 0, "gone_ms");
        shared.sources.opened_at(eth0, at(1));
        // From the midst of a second on: ticks a little more than a second apart, some late by up to three.
        let (mut now, end) = (watch.began.0, 600_000_000_000);
        let late = [1_003, 1_001, 3_900, 4, 1_250, 1_000, 2_700, 10].map(|millis: u64| millis * 1_000_000);
        for nanos in late.into_iter().cycle() {
            let (from, to) = (Timestamp(now), Timestamp((now + nanos).min(end)));
            let found = watch.after(Passed { from, to, nanos: to.0 - from.0, step: 0 });
            assert_eq!(found, Found::default());
            now = to.0;
            if now == end {
                break;
            }
        }
        let beats: Vec<_> = told(&shared).into_iter().map(|(minute, _, beats, _)| (minute, beats)).collect();
        assert_eq!(beats, [(1, 29), (2, 60), (3, 60), (4, 60), (5, 60), (6, 60), (7, 60), (8, 60), (9, 60)]);
    }

    #[test]
    fn a_machine_that_slept_saw_nothing() {
        let (mut watch, shared, _taken) = watch();
        let eth0 = shared.sources.number("eth0", 0, "gone_ms");
        shared.sources.opened_at(eth0, at(1));
        let found = watch.after(passed(60, 60 + 3_600, 1, 3_599));
        assert_eq!(found.stepped, Some(Duration::from_secs(3_599)));
        let rows = told(&shared);
        assert_eq!(rows.len(), 60);
        let whole = |(number, row): (usize, &Told)| {
            *row == (1 + number as u64, BTreeMap::from([(CLOCK_STEP, 60_000)]), 0, true)
        };
        assert!(rows.iter().enumerate().all(whole), "{rows:?}");
        assert_eq!(shared.sources.all()[eth0].lost[CLOCK_STEP], 3_600_000);
    }

    #[test]
    fn a_long_pause_is_told_from_its_end() {
        let (mut watch, shared, _taken) = watch();
        let sources: Vec<_> =
            (0..50).map(|at| shared.sources.number(&format!("eth{at}"), 0, "gone_ms")).collect();
        let now = super::super::clock::now();
        watch.not_running(&sources, at(1_000_000_000), at(1_000_000_600));
        let rows = told(&shared);
        let most = usize::try_from(PAUSE_ROWS).unwrap();
        assert!(rows.len() > most - 100 && rows.len() <= most + 100, "{}", rows.len());
        assert!(rows.iter().all(|(_, lost, ..)| lost.keys().eq(&[NOT_RUNNING])));
        assert!(rows[0].0 >= now.0 / SECOND / 60 - PAUSE_ROWS / 50);
        assert_eq!(watch.recorded(0), at(1_000_000_000), "until it is in rows, the next run has to say it");
    }

    #[test]
    fn a_clock_that_was_set_hides_nothing_else() {
        let (mut watch, shared, _taken) = watch();
        let now = super::super::clock::now().0 / SECOND / 60 * 60;
        let eth0 = shared.sources.number("eth0", 0, "gone_ms");
        shared.sources.opened_at(eth0, at(1));
        shared.sources.closed_at(eth0, at(now));
        shared.sources.opened_at(eth0, at(now + 2));
        // It stood still for ten seconds, and the clock was set back by three minutes.
        let found = watch.after(passed(now + 2, now + 12 - 180, 10, 180));
        assert!(found.stalled.is_some() && found.stepped.is_some());
        let minute = now / 60;
        let lost = told(&shared);
        assert_eq!(
            lost,
            [
                (minute - 3, BTreeMap::from([(STALLED, 10_000), (CLOCK_STEP, 180_000)]), 0, true),
                (minute, BTreeMap::from([("gone_ms", 2_000)]), 0, true),
            ]
        );
    }
}
