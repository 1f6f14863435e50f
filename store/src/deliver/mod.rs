//! Delivery: segments leave the spool for ClickHouse, each until it is acknowledged.
//!
//! It has a thread of its own with a tokio runtime in it. A few segments are in flight at a time; when the server is ill,
//! one at a time tries whether it is well again, after pauses that grow. What is sent again is the same octets with
//! the same token, so that it does not matter what became of the attempt before.

mod outcome;
mod ship;
mod worker;

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, atomic::AtomicU8, atomic::Ordering};
use std::thread;
use std::time::Duration;

use tokio::sync::Notify;

pub use outcome::{Outcome, Progress};
pub use ship::{ShipError, ship};
use worker::Worker;

use crate::server::{Server, ServerError};
use crate::spool::{Report, Spool};

/// When delivery stops trying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GiveUp {
    /// After so long with something to deliver and no acknowledgement; `None` = never.
    pub after: Option<Duration>,
    /// At once when somebody has to change something first: a wrong password, no such database. A segment that alone is
    /// refused for good is then left in the spool while the others are sent.
    pub on_permanent_errors: bool,
}

/// How segments are delivered.
#[derive(Clone)]
pub struct DeliveryOptions {
    /// Segments on their way at a time.
    pub in_flight: usize,
    /// The pause after a first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// When to stop trying.
    pub give_up: GiveUp,
    /// Takes conditions.
    pub report: Report,
}

impl Default for DeliveryOptions {
    fn default() -> Self {
        Self {
            in_flight: 4,
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            give_up: GiveUp::default(),
            report: Arc::new(|_| ()),
        }
    }
}

impl fmt::Debug for DeliveryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryOptions")
            .field("in_flight", &self.in_flight)
            .field("first_pause", &self.first_pause)
            .field("longest_pause", &self.longest_pause)
            .field("give_up", &self.give_up)
            .finish_non_exhaustive()
    }
}

/// Runs before the first segment is sent, as often as it fails for a passing reason: checks or makes the schema.
pub type Start = Box<
    dyn Fn(Server) -> Pin<Box<dyn Future<Output = Result<(), ServerError>> + Send>> + Send + Sync + 'static,
>;

/// A [`Start`] of an async closure.
pub fn start_with<F, R>(check: F) -> Start
where
    F: Fn(Server) -> R + Send + Sync + 'static,
    R: Future<Output = Result<(), ServerError>> + Send + 'static,
{
    Box::new(move |server| Box::pin(check(server)))
}

/// What the owner of a delivery wants of it.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    wish: AtomicU8,
    changed: Notify,
}

impl Wish {
    /// To end when everything is acknowledged; below it, to go on.
    const FINISH: u8 = 1;
    /// To end now.
    const STOP: u8 = 2;

    fn set(&self, wish: u8) {
        self.wish.fetch_max(wish, Ordering::AcqRel);
        self.changed.notify_one();
    }

    fn is_at_least(&self, wish: u8) -> bool {
        self.wish.load(Ordering::Acquire) >= wish
    }
}

/// Segments on their way to a server. Dropped, it stops; what is in the spool stays.
#[derive(Debug)]
pub struct Delivery {
    wish: Arc<Wish>,
    progress: Arc<Progress>,
    spool: Arc<Spool>,
    outcome: mpsc::Receiver<Outcome>,
}

/// Stops a delivery from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Wish>);

impl Stopper {
    /// Delivery ends now; what is in the spool stays.
    pub fn stop(&self) {
        self.0.set(Wish::STOP);
    }
}

impl Delivery {
    /// Starts to deliver what is and what comes into a spool. `start` runs first, even if there is nothing yet.
    ///
    /// # Errors
    /// When no thread can be had.
    pub fn start(
        spool: Arc<Spool>,
        server: Server,
        options: DeliveryOptions,
        start: Option<Start>,
    ) -> io::Result<Self> {
        let wish = Arc::new(Wish::default());
        let progress = Arc::new(Progress::default());
        let (sender, outcome) = mpsc::channel();
        spool.begin_delivery();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let worker =
            Worker::new(Arc::clone(&spool), server, options, Arc::clone(&wish), Arc::clone(&progress));
        thread::Builder::new().name("delivery".to_owned()).spawn(move || {
            let outcome = runtime.block_on(worker.run(start));
            // What was cut off holds the spool, which may be opened again as soon as the outcome is known.
            drop(runtime);
            let _ = sender.send(outcome);
        })?;
        Ok(Self { wish, progress, spool, outcome })
    }

    /// Counts that change while it runs.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// What can stop it while its owner waits.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.wish))
    }

    /// Waits until everything in the spool is acknowledged, or delivery gives up or is stopped.
    pub fn finish(self) -> Outcome {
        self.finish_within(None)
    }

    /// As [`Delivery::finish`], but waits no longer than this.
    pub fn finish_within(self, limit: Option<Duration>) -> Outcome {
        self.wish.set(Wish::FINISH);
        let waited = match limit {
            Some(limit) => self.wait(limit),
            None => self.outcome.recv().map(Some).unwrap_or_else(|_| Some(self.unknown())),
        };
        waited.unwrap_or_else(|| {
            self.wish.set(Wish::STOP);
            self.outcome.recv().unwrap_or_else(|_| self.unknown())
        })
    }

    /// Asks it to end when everything is acknowledged, and looks whether it has; so that its progress can be shown.
    pub fn finished_within(&self, limit: Duration) -> Option<Outcome> {
        self.wish.set(Wish::FINISH);
        self.wait(limit)
    }

    fn wait(&self, limit: Duration) -> Option<Outcome> {
        match self.outcome.recv_timeout(limit) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(self.unknown()),
        }
    }

    /// When its thread has panicked: what is known without it.
    fn unknown(&self) -> Outcome {
        Worker::outcome(&self.spool, &self.progress, None)
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.wish.set(Wish::STOP);
    }
}
