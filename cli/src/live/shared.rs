//! What the threads of a live run share: each counts for itself and publishes now and then.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::channel::{Sender, bounded};
use lowtide_aggregate::drain::{DrainRows, Gathered};
use lowtide_aggregate::report::Transactions;
use lowtide_aggregate::{Accounts, Coverage, CoverageRow, MessageCounts};
use lowtide_decode::Decoder;
use lowtide_proto::{Malformed, Role};

use super::sources::Sources;

/// How long a producer waits for all windows to be closed. It never comes to that: closing takes milliseconds.
const CLOSING: Duration = Duration::from_secs(10);

/// Rows of coverage that may wait for the end of their interval. Sources that make up the times of their frames could fill
/// the memory with them.
const MAX_ROWS: usize = 20_000;

/// Rows of migrations that may wait for the end of their interval; one takes about 300 octets.
const MAX_ASKED: usize = 200_000;

/// What happens to the thread that watches over the others.
#[derive(Debug)]
pub enum Happening {
    /// A signal, by number.
    Signal(i32),
    /// Windows, or rows of coverage, of too many intervals are open: all are to be closed, and the sender told.
    Crowded(Sender<()>),
    /// A thread cannot go on.
    Failed(String),
}

/// What one producer has counted since the start.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// What it reads.
    pub name: String,
    /// Frames by fate.
    pub fates: BTreeMap<&'static str, u64>,
    /// Malformed frames by defect.
    pub defects: BTreeMap<&'static str, u64>,
    /// Messages that could not be read to their end, by reason.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Queries.
    pub queries: u64,
    /// Responses.
    pub responses: u64,
    /// Transactions by role; what is outstanding is in none of its counters.
    pub transactions: BTreeMap<Role, Transactions>,
    /// Responses by role and code.
    pub rcodes: BTreeMap<(Role, String), u64>,
    /// Messages that wait for their counterpart.
    pub outstanding: u64,
    /// Steps of the sources' clocks.
    pub clock_steps: u64,
}

impl Counted {
    /// What a producer's parts say.
    pub fn of(name: &str, decoder: &Decoder, messages: &MessageCounts, accounts: &Accounts) -> Self {
        let counts = decoder.counts();
        let mut counted = Self {
            name: name.to_owned(),
            fates: counts.fates().map(|(fate, count)| (fate.as_str(), count)).collect(),
            defects: counts.defects().map(|(defect, count)| (defect.as_str(), count)).collect(),
            malformed: Malformed::ALL
                .into_iter()
                .zip(messages.malformed)
                .filter(|&(_, count)| count > 0)
                .map(|(reason, count)| (reason.as_str(), count))
                .collect(),
            queries: messages.queries,
            responses: messages.responses,
            ..Self::default()
        };
        for role in Role::ALL {
            let Some(account) = accounts.role(role) else { continue };
            if account.transactions != Transactions::default() {
                counted.transactions.insert(role, account.transactions);
            }
            for (rcode, count) in account.rcodes.iter() {
                counted.rcodes.insert((role, rcode.to_string()), count);
            }
        }
        counted
    }
}

/// A producer as others see it.
#[derive(Debug)]
struct Slot {
    counted: Counted,
    published: Instant,
}

/// What an operator may change while a run goes on, as far as producers need it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Servers that have a row of coverage of their own.
    pub servers: Vec<Ipv6Addr>,
    /// Messages that may wait for their counterpart, of all sources of a producer.
    pub outstanding: usize,
}

/// What all threads of a run know.
#[derive(Debug)]
pub struct Shared {
    /// The sources.
    pub sources: Sources,
    /// Takes what happens.
    pub happenings: Sender<Happening>,
    /// Set when the run is to end: producers read what is there and return.
    pub stopping: AtomicBool,
    coverage: Mutex<Coverage>,
    asked: Mutex<Gathered>,
    producers: Mutex<Vec<Slot>>,
    closes: AtomicU64,
    settings: Mutex<Settings>,
    /// How often the settings were changed.
    changes: AtomicU64,
}

impl Shared {
    /// At the start of a run with intervals of `width` nanoseconds.
    pub fn new(width: u64, settings: Settings, happenings: Sender<Happening>) -> Self {
        let mut coverage = Coverage::new(width);
        coverage.watch(settings.servers.iter().copied());
        Self {
            sources: Sources::default(),
            happenings,
            stopping: AtomicBool::new(false),
            coverage: Mutex::new(coverage),
            asked: Mutex::default(),
            producers: Mutex::new(Vec::new()),
            closes: AtomicU64::new(0),
            settings: Mutex::new(settings),
            changes: AtomicU64::new(1),
        }
    }

    /// From now on these are the settings.
    pub fn set(&self, settings: Settings) {
        lock(&self.coverage).watch(settings.servers.iter().copied());
        *lock(&self.settings) = settings;
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// The settings, if they have changed since `seen` changes.
    pub fn settings_since(&self, seen: &mut u64) -> Option<Settings> {
        let changes = self.changes.load(Ordering::Acquire);
        (std::mem::replace(seen, changes) != changes).then(|| lock(&self.settings).clone())
    }

    /// A place for one more producer; its number.
    pub fn producer(&self, name: &str) -> usize {
        let mut producers = lock(&self.producers);
        let counted = Counted { name: name.to_owned(), ..Counted::default() };
        producers.push(Slot { counted, published: Instant::now() });
        producers.len() - 1
    }

    /// Takes what a producer has counted, and its rows of coverage.
    pub fn publish(&self, producer: usize, counted: Counted, rows: Vec<CoverageRow>) {
        if let Some(slot) = lock(&self.producers).get_mut(producer) {
            *slot = Slot { counted, published: Instant::now() };
        }
        self.cover(rows);
    }

    /// Takes a producer's rows of coverage. When there are too many, it waits until they are on their way.
    pub fn cover(&self, rows: Vec<CoverageRow>) {
        self.sources.add(&rows);
        let waiting = {
            let mut coverage = lock(&self.coverage);
            rows.into_iter().for_each(|row| coverage.absorb(row));
            coverage.rows()
        };
        if waiting > MAX_ROWS {
            self.ask_to_close();
        }
    }

    /// Takes a producer's rows of migrations. When there are too many, it waits until they are on their way.
    pub fn drain(&self, rows: DrainRows) {
        let waiting = {
            let mut asked = lock(&self.asked);
            asked.add(rows);
            asked.rows()
        };
        if waiting > MAX_ASKED {
            self.ask_to_close();
        }
    }

    /// The rows of migrations that wait for the end of their interval.
    pub fn asked(&self) -> MutexGuard<'_, Gathered> {
        lock(&self.asked)
    }

    /// Whether a producer has so many rows of coverage that it must not wait until it publishes.
    pub const fn is_much(rows: usize) -> bool {
        rows > MAX_ROWS
    }

    /// What each producer has counted, and how long ago it said so.
    pub fn counted(&self) -> Vec<(Counted, Duration)> {
        lock(&self.producers).iter().map(|slot| (slot.counted.clone(), slot.published.elapsed())).collect()
    }

    /// How long ago each producer gave a sign of life.
    pub fn ages(&self) -> Vec<Duration> {
        lock(&self.producers).iter().map(|slot| slot.published.elapsed()).collect()
    }

    /// The coverage that waits for the end of its interval.
    pub fn coverage(&self) -> MutexGuard<'_, Coverage> {
        lock(&self.coverage)
    }

    /// How often all windows were closed.
    pub fn closes(&self) -> u64 {
        self.closes.load(Ordering::Acquire)
    }

    /// Windows were closed.
    pub fn closed(&self) {
        self.closes.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether the run is to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Asks for all windows to be closed, and waits until they are.
    #[cold]
    pub fn ask_to_close(&self) {
        let (done, told) = bounded(1);
        if self.happenings.send(Happening::Crowded(done)).is_ok() {
            let _ = told.recv_timeout(CLOSING);
        }
    }
}

/// No step of a change can fail half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
