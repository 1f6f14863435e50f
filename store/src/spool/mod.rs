//! The spool: a directory of segments that wait for ClickHouse.
//!
//! Invariants: a segment is there as a whole or not at all (written aside, synchronised, renamed); it leaves when it is
//! acknowledged, dropped by the stated policy and counted, or damaged and put into `quarantine/`; what lowtide did not
//! write is left alone. One process at a time, by lock. In memory there is a small record per segment, whatever they hold.

mod condition;
mod index;
mod loss;
mod open;

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::Notify;

pub use condition::{Condition, Report};
pub use index::Backlog;
pub(crate) use index::{Claim, Next};
use index::{Index, Record};
pub use loss::{Loss, LossKey, Losses, Reason};
pub use open::{ALIVE, ASIDE, make_dir};

use crate::segment::{Draft, Header, Segment, SegmentError};

/// What happens to a segment that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// [`Spool::put`] waits until there is room: nothing is lost, the reader of a file is slowed down.
    #[default]
    Wait,
    /// The segments first in order are dropped and counted, but none that the server may have taken already.
    DropOldest,
    /// The new segment is dropped and counted.
    DropNewest,
}

/// Says what time it is; `cli/` gives the real one.
pub type Clock = fn() -> SystemTime;

/// How a spool is kept.
#[derive(Clone)]
pub struct SpoolOptions {
    /// Octets of segments at most; a single segment is taken into an empty spool whatever its size.
    pub max_octets: u64,
    /// How long a segment is kept after it was written, by this clock.
    pub max_age: Option<(Duration, Clock)>,
    /// What happens when it is full.
    pub when_full: WhenFull,
    /// With [`WhenFull::Wait`]: how long a write that fails is tried again.
    pub write_patience: Duration,
    /// Takes conditions.
    pub report: Report,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            max_octets: u64::MAX,
            max_age: None,
            when_full: WhenFull::Wait,
            write_patience: Duration::from_secs(60),
            report: Arc::new(|_| ()),
        }
    }
}

impl fmt::Debug for SpoolOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpoolOptions")
            .field("max_octets", &self.max_octets)
            .field("max_age", &self.max_age.map(|(age, _)| age))
            .field("when_full", &self.when_full)
            .field("write_patience", &self.write_patience)
            .finish_non_exhaustive()
    }
}

/// Why the spool cannot be used or cannot take a segment.
#[derive(Debug)]
pub enum SpoolError {
    /// Another lowtide has the directory.
    InUse(PathBuf),
    /// The directory cannot be used.
    Directory(PathBuf, io::Error),
    /// A segment could not be written for as long as is waited.
    Write(PathBuf, SegmentError),
    /// Waiting ended because delivery has stopped.
    Stopped,
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(dir) => {
                write!(
                    f,
                    "spool {} is in use by another lowtide: give this one another directory",
                    dir.display()
                )
            }
            Self::Directory(dir, error) => write!(f, "spool {}: {error}", dir.display()),
            Self::Write(dir, error) => write!(f, "cannot write to spool {}: {error}", dir.display()),
            Self::Stopped => f.write_str("the spool is full, and delivery has stopped"),
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory(_, error) => Some(error),
            Self::Write(_, error) => Some(error),
            _ => None,
        }
    }
}

/// What became of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a dropped segment is a loss that the caller may have to tell"]
pub enum Put {
    /// It is on the disk.
    Stored,
    /// It was dropped, as the policy says, and counted.
    Dropped,
}

/// What changes under the lock.
#[derive(Debug, Default)]
struct State {
    index: Index,
    /// Since the spool was opened.
    losses: Losses,
    /// Since they were last taken.
    untold: Losses,
    /// What was dropped since the spool became full; `None` = it has room.
    full: Option<Loss>,
    /// What was dropped since writing began to fail; `None` = it works.
    unwritable: Option<Loss>,
}

/// A directory of segments, exclusively held.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    options: SpoolOptions,
    state: Mutex<State>,
    /// A segment has left, or waiting is to end.
    room: Condvar,
    /// A segment has come.
    arrived: Notify,
    stopped: AtomicBool,
    /// Held, not read: closing it gives the directory free.
    _lock: File,
}

/// The first and the longest pause between two attempts to write.
const WRITE_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Spool {
    /// Takes a segment: writes it and has it on the disk before this returns. A segment that is there already, from an
    /// earlier and cut off attempt, is replaced.
    ///
    /// # Errors
    /// With [`WhenFull::Wait`]: [`SpoolError::Write`] when writing fails for longer than is waited, and
    /// [`SpoolError::Stopped`] when there is no room and nobody makes any. With any policy: [`SpoolError::Write`] when
    /// the header itself cannot be accepted.
    pub fn put(&self, header: &Header, block: &[u8]) -> Result<Put, SpoolError> {
        self.expire();
        let deadline = Instant::now() + self.options.write_patience;
        let mut pause = WRITE_PAUSE.0;
        loop {
            let error = match self.try_put(header, block) {
                Ok(put) => return put,
                Err(error) => error,
            };
            let refused = matches!(error, SegmentError::Header(_));
            let mut state = self.state();
            if !refused && state.unwritable.is_none() {
                state.unwritable = Some(Loss::default());
                self.report(&Condition::SpoolUnwritable { dir: self.dir.clone(), error: error.to_string() });
            }
            if !refused && self.options.when_full != WhenFull::Wait {
                let loss = state.lose(LossKey::of(Reason::Unwritable, Some(header)), Some(header));
                state.unwritable.get_or_insert_default().add(&loss);
                return Ok(Put::Dropped);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if refused || left.is_zero() || self.is_stopped() {
                return Err(SpoolError::Write(self.dir.clone(), error));
            }
            let jittered = pause.mul_f64(fastrand::f64().mul_add(0.5, 0.5)).min(left);
            drop(self.room.wait_timeout(state, jittered));
            pause = (pause * 2).min(WRITE_PAUSE.1);
        }
    }

    /// One attempt; the outer error is one of writing.
    fn try_put(&self, header: &Header, block: &[u8]) -> Result<Result<Put, SpoolError>, SegmentError> {
        // What tells of losses is taken beyond the bound, by a sixteenth or a mebibyte.
        let max_octets = match header.table.is_account() {
            true => self.options.max_octets.saturating_add((self.options.max_octets / 16).max(1 << 20)),
            false => self.options.max_octets,
        };
        if self.options.when_full == WhenFull::DropNewest && !self.state().index.has_room(1, max_octets) {
            return Ok(Ok(self.drop_newest(&mut self.state(), header)));
        }
        let draft = Draft::write(&self.dir, header, block)?;
        let mut state = self.state();
        let mut fits = true;
        loop {
            let replaced = state.index.octets_of(&draft.name);
            if state.index.has_room(draft.octets.saturating_sub(replaced), max_octets) {
                break;
            }
            fits = false;
            match self.options.when_full {
                WhenFull::DropNewest => return Ok(Ok(self.drop_newest(&mut state, header))),
                WhenFull::DropOldest => {
                    self.note_full(&mut state);
                    // When all that is left is on its way to the server, this one is taken beyond the bound.
                    if !self.drop_oldest(&mut state) {
                        break;
                    }
                }
                WhenFull::Wait => {
                    self.note_full(&mut state);
                    if self.is_stopped() {
                        return Ok(Err(SpoolError::Stopped));
                    }
                    state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        let name: Arc<str> = Arc::from(draft.name.as_str());
        let record = Record::new(header, draft.octets, self.now());
        draft.publish(&self.dir)?;
        state.index.insert(name, record);
        if fits {
            self.note_room(&mut state);
        }
        if let Some(dropped) = state.unwritable.take() {
            self.report(&Condition::SpoolWritable { dropped });
        }
        drop(state);
        self.arrived.notify_one();
        Ok(Ok(Put::Stored))
    }

    fn note_full(&self, state: &mut State) {
        if state.full.is_none() {
            state.full = Some(Loss::default());
            self.report(&Condition::SpoolFull { when_full: self.options.when_full });
        }
    }

    /// The spool is no longer full when a tenth of it is free: otherwise each segment would begin and end it.
    fn note_room(&self, state: &mut State) {
        if state.index.has_room(self.options.max_octets / 10, self.options.max_octets)
            && let Some(dropped) = state.full.take()
        {
            self.report(&Condition::SpoolHasRoom { dropped });
        }
    }

    fn drop_newest(&self, state: &mut State, header: &Header) -> Put {
        self.note_full(state);
        let loss = state.lose(LossKey::of(Reason::Full, Some(header)), Some(header));
        state.full.get_or_insert_default().add(&loss);
        Put::Dropped
    }

    fn drop_oldest(&self, state: &mut State) -> bool {
        let Some(name) = state.index.oldest_droppable() else { return false };
        let loss = self.drop_segment(state, &name, Reason::Full);
        if let (Some(loss), Some(full)) = (loss, &mut state.full) {
            full.add(&loss);
        }
        loss.is_some()
    }

    /// Drops a segment and counts it; `None` when its file cannot be removed, and so is not lost.
    fn drop_segment(&self, state: &mut State, name: &str, reason: Reason) -> Option<Loss> {
        let path = self.dir.join(name);
        let header = Segment::header_of(&path).ok();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                self.report(&Condition::FileTrouble { path, error: error.to_string() });
                None
            }
            removed => {
                let reason = if removed.is_ok() { reason } else { Reason::Vanished };
                let record = state.index.remove(name)?;
                Some(state.lose_record(LossKey::of(reason, header.as_ref()), &record))
            }
        }
    }

    /// Drops what is older than it is kept.
    pub(crate) fn expire(&self) {
        let Some((age, clock)) = self.options.max_age else { return };
        let Some(before) = clock().checked_sub(age) else { return };
        let mut state = self.state();
        let mut dropped = Loss::default();
        for name in state.index.droppable_before(before) {
            if let Some(loss) = self.drop_segment(&mut state, &name, Reason::Age) {
                dropped.add(&loss);
            }
        }
        drop(state);
        if dropped.segments > 0 {
            self.report(&Condition::Expired { dropped });
            self.room.notify_all();
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What waits.
    pub fn backlog(&self) -> Backlog {
        self.state().index.backlog()
    }

    /// All that was lost since the spool was opened.
    pub fn losses(&self) -> Losses {
        self.state().losses.clone()
    }

    /// What was lost since this was last called: for rows of `coverage`.
    pub fn take_losses(&self) -> Losses {
        std::mem::take(&mut self.state().untold)
    }

    /// Whether the last attempt to write a segment succeeded.
    pub fn is_writable(&self) -> bool {
        self.state().unwritable.is_none()
    }

    /// Ends all waiting for room, with an error: nobody will make any. The end of a delivery does it too.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // Taken so that nobody is between looking at the flag and waiting.
        drop(self.state());
        self.room.notify_all();
        self.arrived.notify_one();
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    fn now(&self) -> Option<SystemTime> {
        self.options.max_age.map(|(_, clock)| clock())
    }

    fn report(&self, condition: &Condition) {
        (self.options.report)(condition);
    }

    /// A panic elsewhere does not make the records wrong: each change of them is one step.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What delivery does.
impl Spool {
    /// Somebody makes room from now on.
    pub(crate) fn begin_delivery(&self) {
        self.stopped.store(false, Ordering::Release);
    }

    /// Nobody makes room any more; what was in flight waits again.
    pub(crate) fn end_delivery(&self) {
        self.state().index.release_all();
        self.stop();
    }

    /// The next segment to send, marked as in flight.
    pub(crate) fn claim(&self, now: Instant) -> Next {
        self.state().index.claim(now)
    }

    /// Where the file of a claimed segment is.
    pub(crate) fn path(&self, claim: &Claim) -> PathBuf {
        self.dir.join(&*claim.name)
    }

    /// A segment was acknowledged: its file goes.
    pub(crate) fn acknowledge(&self, claim: &Claim) {
        let path = self.path(claim);
        // Without the directory being synchronised: a file that comes back after a power cut is sent once more and
        // recognised by its token.
        if let Err(error) = fs::remove_file(&path) {
            self.report(&Condition::FileTrouble {
                path,
                error: format!("delivered, but not removed: {error}"),
            });
        }
        let mut state = self.state();
        state.index.remove(&claim.name);
        self.note_room(&mut state);
        drop(state);
        self.room.notify_all();
    }

    /// A segment was not acknowledged and waits again. `maybe_taken`: the server may have it all the same, so that
    /// dropping it now would count as lost what is not.
    pub(crate) fn release(&self, claim: &Claim, not_before: Option<Instant>, maybe_taken: bool) {
        self.state().index.release(&claim.name, not_before, maybe_taken);
    }

    /// A segment will not be sent any more by this process, and stays.
    pub(crate) fn park(&self, claim: &Claim) {
        self.state().index.park(&claim.name);
    }

    /// A segment was found damaged.
    pub(crate) fn quarantine(&self, claim: &Claim, reason: &SegmentError) {
        let mut state = self.state();
        state.index.remove(&claim.name);
        self.set_aside(&mut state, &claim.name, reason);
        drop(state);
        self.room.notify_all();
    }

    /// A segment's file has gone.
    pub(crate) fn vanished(&self, claim: &Claim) {
        let mut state = self.state();
        let Some(record) = state.index.remove(&claim.name) else { return };
        let loss = state.lose_record(LossKey::of(Reason::Vanished, None), &record);
        drop(state);
        self.report(&Condition::Vanished { path: self.path(claim), loss });
        self.room.notify_all();
    }

    /// Waits until a segment comes.
    pub(crate) async fn arrival(&self) {
        self.arrived.notified().await;
    }
}

impl State {
    fn lose(&mut self, key: LossKey, header: Option<&Header>) -> Loss {
        let loss = header.map_or(Loss { segments: 1, ..Loss::default() }, Loss::of);
        self.count(key, loss)
    }

    /// Counts what is no longer there, as its record says.
    fn lose_record(&mut self, mut key: LossKey, record: &Record) -> Loss {
        key.table = Some(record.table);
        self.count(key, record.loss)
    }

    fn count(&mut self, key: LossKey, loss: Loss) -> Loss {
        self.untold.count(key.clone(), &loss);
        self.losses.count(key, &loss);
        loss
    }
}
