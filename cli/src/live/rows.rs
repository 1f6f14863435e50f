//! A live run's rows on their way to ClickHouse: the recorder's thread, the spool, delivery.
//!
//! The spool never makes anybody wait: when it is full or cannot be written, segments are dropped, counted, and said in
//! `coverage`. Delivery never gives up; what is left at the end stays in the spool for the next run or for `lowtide ship`.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use lowtide_store::deliver::{Delivery, DeliveryOptions, GiveUp, Outcome, Progress, start_with};
use lowtide_store::prepare;
use lowtide_store::recorder::{Recorded, Recorder};
use lowtide_store::run::RunKey;
use lowtide_store::sensor_run::{SensorRun, State};
use lowtide_store::server::Server;
use lowtide_store::spool::{Backlog, Report as Told, Spool, SpoolError, SpoolOptions};

use super::shared::{Happening, Shared};
use crate::error::Error;
use crate::recording::{Lost, ToSpool, add_losses, take_losses, tell_losses};

/// Windows and coverage that may wait for the recorder.
const QUEUE: usize = 64;

/// Rows in a segment, which is one insert.
const SEGMENT_ROWS: usize = 100_000;

/// What was counted and is not in any row that can be delivered, by reason.
type Dropped = BTreeMap<&'static str, u64>;

/// How the spool is kept.
pub struct SpoolSettings<'a> {
    /// The directory.
    pub dir: &'a Path,
    /// The rest.
    pub options: SpoolOptions,
}

/// Rows on their way.
pub struct Rows {
    /// Whether everything that was lost is told.
    recorder: JoinHandle<Result<bool, SpoolError>>,
    delivery: Option<Delivery>,
    watcher: Watcher,
}

/// Looks at rows on their way.
#[derive(Clone)]
pub struct Watcher {
    spool: Arc<Spool>,
    dropped: Arc<Mutex<Dropped>>,
    ended: Arc<AtomicBool>,
    /// Marks whose rows, or the losses of them, are in the spool.
    marks: Arc<AtomicU64>,
}

/// What is left when a run has ended.
#[derive(Debug)]
pub struct Left {
    /// What waits in the spool.
    pub backlog: Backlog,
    /// What delivery came to; `None` without a server.
    pub outcome: Option<Outcome>,
}

impl Watcher {
    /// What waits in the spool.
    pub fn backlog(&self) -> Backlog {
        self.spool.backlog()
    }

    /// What was counted and dropped so far, by reason.
    pub fn dropped(&self) -> Dropped {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Dropped> {
        self.dropped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many marks' rows are in the spool, or told there as dropped.
    pub fn marks(&self) -> u64 {
        self.marks.load(Ordering::Acquire)
    }

    /// Whether rows are still taken.
    pub fn is_recording(&self) -> bool {
        !self.ended.load(Ordering::Acquire)
    }
}

impl Rows {
    /// Opens the spool and starts the threads. Without `server` rows stay in the spool.
    ///
    /// # Errors
    /// A spool that cannot be used, and no thread to be had.
    pub fn start(
        settings: SpoolSettings<'_>,
        server: Option<Server>,
        in_flight: usize,
        run: &SensorRun,
        shared: &Arc<Shared>,
        told: &Told,
    ) -> Result<(Self, Sender<Recorded>), Error> {
        let options = SpoolOptions { report: Arc::clone(told), ..settings.options };
        let spool = Spool::open(settings.dir, options).map_err(|error| Error::Failed(error.to_string()))?;
        let spool = Arc::new(spool);
        let no_thread = |error| Error::Failed(format!("cannot start a thread: {error}"));
        let delivery = match server {
            Some(server) => {
                let options = DeliveryOptions {
                    in_flight,
                    give_up: GiveUp::default(),
                    report: Arc::clone(told),
                    ..DeliveryOptions::default()
                };
                let run = run.clone();
                let start = start_with(move |server| {
                    let run = run.clone();
                    async move {
                        prepare::schema(&server).await?;
                        prepare::begin(&server, &run).await
                    }
                });
                Some(Delivery::start(Arc::clone(&spool), server, options, Some(start)).map_err(no_thread)?)
            }
            None => None,
        };
        let watcher =
            Watcher { spool, dropped: Arc::default(), ended: Arc::default(), marks: Arc::default() };
        let (rows, taken) = bounded(QUEUE);
        let sink = ToSpool::new(&watcher.spool, &run.key);
        let recorder = Recorder::new(run.key.clone(), Vec::new(), SEGMENT_ROWS, sink);
        let recording = Recording {
            recorder,
            key: run.key.clone(),
            interval_s: run.interval_s,
            watcher: watcher.clone(),
            untold: Vec::new(),
        };
        let work = {
            let (watcher, shared) = (watcher.clone(), Arc::clone(shared));
            move || {
                let ended = recording.record(&taken);
                watcher.ended.store(true, Ordering::Release);
                if let Err(error) = &ended {
                    let _ = shared.happenings.send(Happening::Failed(error.to_string()));
                }
                ended
            }
        };
        let recorder = thread::Builder::new().name("recorder".to_owned()).spawn(work).map_err(no_thread)?;
        Ok((Self { recorder, delivery, watcher }, rows))
    }

    /// Counts of delivery; `None` without a server.
    pub fn progress(&self) -> Option<Arc<Progress>> {
        self.delivery.as_ref().map(Delivery::progress)
    }

    /// How many marks' rows are in the spool, or told there as dropped.
    pub fn marks(&self) -> u64 {
        self.watcher.marks()
    }

    /// What others may look at while rows are on their way.
    pub fn watcher(&self) -> Watcher {
        self.watcher.clone()
    }

    /// Ends the recording, when nobody sends rows any more; whether everything is in rows, or what is not is told in them.
    ///
    /// # Errors
    /// Why the recorder ended early, if it did; what it left can be delivered all the same.
    pub fn recorded(self) -> (Rest, Result<bool, String>) {
        let ended = match self.recorder.join() {
            Ok(ended) => ended.map_err(|error| error.to_string()),
            Err(_) => Err("the thread that records rows failed".to_owned()),
        };
        (Rest { delivery: self.delivery, watcher: self.watcher }, ended)
    }
}

/// Rows that are in the spool, and nothing comes any more.
pub struct Rest {
    delivery: Option<Delivery>,
    watcher: Watcher,
}

impl Rest {
    /// Gives delivery this long.
    pub fn finish(self, limit: Duration) -> Left {
        let outcome = self.delivery.map(|delivery| delivery.finish_within(Some(limit)));
        Left { backlog: self.watcher.backlog(), outcome }
    }
}

/// Between two cuts at least: a sender whose times leap about closes intervals all the time, and a segment has its price.
const CUT: Duration = Duration::from_millis(900);

/// After a cut, this many times as long as it took: one segment for each month is many when sources make up their times.
const REST: u32 = 9;

/// But not longer than this.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// Losses that are held until they can be told; beyond, the later ones are told with the earlier.
const HELD: usize = 100_000;

/// When to cut next, after a cut that took so long.
fn rested(took: Duration) -> Instant {
    Instant::now() + took.saturating_mul(REST).clamp(CUT, LONGEST_REST)
}

/// The recorder's thread.
struct Recording {
    recorder: Recorder<ToSpool>,
    key: RunKey,
    /// Seconds of an interval.
    interval_s: f64,
    watcher: Watcher,
    /// Losses that no row in the spool tells of yet.
    untold: Vec<Lost>,
}

impl Recording {
    /// Records until nobody sends any more; whether all losses are told then. Rows are to be seen soon: when intervals have
    /// ended they are cut into segments.
    fn record(mut self, taken: &Receiver<Recorded>) -> Result<bool, SpoolError> {
        let (mut last, mut next, mut due, mut marks) = (None, Instant::now() + CUT, None, 0);
        loop {
            let recorded = match due {
                None => taken.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => taken.recv_deadline(due),
            };
            match recorded {
                // What is dropped until the end is part of it.
                Ok(Recorded::Run(run)) if run.state != State::Running => last = Some(run),
                Ok(Recorded::Run(run)) => self.say(run)?,
                Ok(recorded) => self.recorder.record(recorded)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if due.is_none() && self.recorder.marks() > marks {
                due = Some(next);
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                let began = Instant::now();
                self.cut()?;
                marks = self.recorder.marks();
                if self.untold.is_empty() {
                    // Losses that only this process knows of would go with it, if it were killed.
                    self.watcher.marks.store(marks, Ordering::Release);
                }
                (next, due) = (rested(began.elapsed()), None);
            }
        }
        self.cut()?;
        if let Some(run) = last {
            self.say(run)?;
        }
        Ok(self.untold.is_empty())
    }

    /// Writes the rows at hand, and then what was lost on the way: as soon as it can be written, for a row that tells of a
    /// full disk must not be lost to it.
    fn cut(&mut self) -> Result<(), SpoolError> {
        self.recorder.cut()?;
        self.look();
        if self.untold.is_empty() || !self.watcher.spool.is_writable() {
            return Ok(());
        }
        self.recorder.sink().take_dropped();
        tell_losses(&mut self.recorder, &self.untold, self.interval_s)?;
        self.recorder.cut()?;
        if !self.recorder.sink().take_dropped() {
            self.untold.clear();
        }
        // What had to make room for it is told the next time.
        self.look();
        Ok(())
    }

    /// Takes over what was lost.
    fn look(&mut self) {
        let losses = take_losses(&self.key, &self.watcher.spool);
        add_losses(&mut self.watcher.lock(), &losses);
        for lost in losses {
            let is_full = self.untold.len() >= HELD;
            match self.untold.last_mut().filter(|_| is_full) {
                Some(last) => last.add(&lost),
                None => self.untold.push(lost),
            }
        }
    }

    fn say(&mut self, mut run: Box<SensorRun>) -> Result<(), SpoolError> {
        run.account.dropped = self.watcher.dropped();
        self.recorder.record(Recorded::Run(run))
    }
}
