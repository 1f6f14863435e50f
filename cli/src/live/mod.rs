//! `lowtide run`: beside running servers, around the clock.
//!
//! ```text
//! sockets ─▶ "dnstap" reads, never waits ═queue═▶ "decode"  ─┐ events      shards        recorder
//!                     (full: discards, counts)               ├═══════════▶ Windows ═════▶ segments ─▶ spool ─▶ delivery
//! interface ─▶ kernel's ring ─▶ "packets" decodes in place ──┘               ▲               ▲
//!                     (full: the kernel drops, counts)                       │ close         │ coverage
//! clock, signals ─▶ this thread: heartbeats, gaps, the ends of intervals ────┴───────────────┘
//! ```
//!
//! Everything is opened first, then privileges are dropped, then threads start. A thread that waits for the next makes only those before it
//! wait that can afford it: what must not wait discards, and counts what it discards.

mod account;
mod alive;
mod clock;
mod dnstap;
mod log;
mod opened;
mod packets;
mod page;
mod producer;
mod rarely;
mod rows;
mod shared;
mod signals;
mod sources;
mod stop;
mod tls;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use lowtide_aggregate::drain::Visitors;
use lowtide_aggregate::names::PARTITIONS;
use lowtide_aggregate::{Accounts, Configuration, Coverage, EventBatch, MatcherLimits, Windows, ZoneMap};
use lowtide_decode::{Decoder, DecoderLimits, Ports};
use lowtide_proto::Timestamp;
use lowtide_store::recorder::Recorded;
use lowtide_store::run::{Kind, RunKey};
use lowtide_store::sensor_run::{Account, SensorRun, State};
use signal_hook::consts::SIGHUP;
use tracing::{error, info, warn};

use crate::config::options::RunOptions;
use crate::config::reload::{Reloaded, Reloader};
use crate::error::Error;
use crate::notify;
use crate::pipeline::fan::{Counting, Fan, Lane, Marks};
use crate::pipeline::nanos;
use crate::pipeline::shard::{QUEUE, Shard, count_batches};
use alive::Alive;
use opened::Opened;
use producer::{Pairing, Producer, TICK};
use rows::Rows;
use shared::{Happening, Settings, Shared};
use watch::Watch;

/// How often the run says in `sensor_run` what it has counted.
const SAY: Duration = Duration::from_secs(60);

/// How often it leaves a sign of life to the next run.
const LEAVE: Duration = Duration::from_secs(5);

/// Runs until a signal says to end. SIGHUP makes `reloader` read the configuration again.
///
/// # Errors
/// Sources, sockets, directories that cannot be opened, and privileges that cannot be dropped; and a recorder that fails.
pub fn run(options: &RunOptions, reloader: &Reloader) -> Result<ExitCode, Error> {
    let level = log::begin(&options.log);
    let opened = Opened::open(options)?;
    opened.drop_privileges(options, reloader.file())?;

    let (happen, happenings) = unbounded();
    signals::watch(happen.clone(), options.process.stop_timeout)?;
    let shared = Arc::new(Shared::new(nanos(options.interval), settings(options), happen));
    let mut run = first_word(options);
    let mut running = Running::start(options, opened, &shared, &run)?;
    info!("watching {} as sensor '{}', run '{}'", running.inputs.join(", "), run.key.sensor, run.key.run);
    tell(notify::ready("watching"));

    let ended = running.watch(options, reloader, &level, &happenings, &mut run);
    if let Err(why) = &ended {
        error!("{why}");
    }
    tell(notify::stopping("delivering what is left"));
    let done = running.stop(options, &happenings, run);
    ended.and(done)
}

fn settings(options: &RunOptions) -> Settings {
    Settings {
        servers: options.servers.iter().map(|&address| mapped(address)).collect(),
        outstanding: options.limits.outstanding,
    }
}

const fn mapped(address: std::net::IpAddr) -> std::net::Ipv6Addr {
    match address {
        std::net::IpAddr::V4(address) => address.to_ipv6_mapped(),
        std::net::IpAddr::V6(address) => address,
    }
}

/// What the run says of itself at its beginning.
fn first_word(options: &RunOptions) -> SensorRun {
    let started = clock::now();
    let stamp = jiff::Timestamp::from_nanosecond(i128::from(started.0)).unwrap_or_default();
    SensorRun {
        key: RunKey {
            sensor: options.sensor.clone(),
            run: format!("{}-{:08x}", stamp.strftime("%Y%m%dT%H%M%SZ"), fastrand::u32(..)),
            kind: Kind::Live,
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        updated: started.0,
        started: started.0,
        finished: None,
        state: State::Running,
        fingerprint: String::new(),
        inputs: opened::inputs(options),
        interval_s: options.interval.as_secs_f64(),
        query_timeout_s: options.query_timeout.as_secs_f64(),
        account: Account::default(),
    }
}

/// The threads of a run.
struct Running {
    shared: Arc<Shared>,
    inputs: Vec<String>,
    producers: Vec<JoinHandle<()>>,
    shards: Vec<JoinHandle<()>>,
    watch: Watch,
    rows: Rows,
    metrics: Option<crate::metrics::server::Server>,
    /// Whether somebody waits for signs of life.
    is_supervised: bool,
}

/// The ways to one shard: full batches go, empty ones come back.
type Way = (Sender<EventBatch>, Receiver<EventBatch>);

impl Running {
    fn start(
        options: &RunOptions,
        opened: Opened,
        shared: &Arc<Shared>,
        run: &SensorRun,
    ) -> Result<Self, Error> {
        let Opened { taps, captures, metrics, server } = opened;
        let told = log::conditions();
        let settings = opened::spool(options);
        let in_flight = usize::from(options.in_flight);
        let (rows, to_recorder) = Rows::start(settings, server, in_flight, run, shared, &told)?;
        let before = Alive::read(&options.spool.dir, &options.sensor);
        let zones = ZoneMap::new(options.zones.iter().map(|zone| zone.wire().to_vec()));

        let count = options.threads.clamp(1, PARTITIONS);
        let mut ways: Vec<Way> = Vec::new();
        let mut shards = Vec::new();
        for number in 0..count {
            let (full, filled) = bounded(QUEUE);
            let (emptied, empty) = bounded(2 * QUEUE);
            let partitions = Shard::partitions(number, count);
            let windows = Windows::new(partitions, nanos(options.interval), options.max_rows, &zones);
            let shard = Shard { names: None, windows: Some((windows, to_recorder.clone())) };
            shards.push(spawn(&format!("count-{number}"), move || {
                let _ = count_batches(shard, &filled, &emptied);
            })?);
            ways.push((full, empty));
        }
        let visitors = (taps.len() + captures.len() > 1).then(|| Arc::new(Visitors::default()));
        let new_producer = |name: &str| {
            let lanes = ways
                .iter()
                .map(|(full, empty)| Lane::new(Counting::There { full: full.clone(), empty: empty.clone() }))
                .collect();
            // The accounts of roles need no intervals: rows have them.
            let accounts = Accounts::new(u64::MAX);
            let marks = Marks::new(nanos(options.interval), zones.clone());
            let fan = Fan::new(accounts, lanes, Some(marks), &opened::anonymisation(&options.privacy));
            let decoder = Decoder::new(Ports::new(&options.ports), DecoderLimits::default());
            let coverage = Coverage::new(nanos(options.interval));
            Producer::new(name, decoder, coverage, fan, options.lateness, shared).watching(
                &options.migrations,
                nanos(options.interval),
                visitors.as_ref(),
            )
        };
        let query_timeout = i64::try_from(nanos(options.query_timeout)).unwrap_or(i64::MAX);
        let limits = MatcherLimits { query_timeout, outstanding: options.limits.outstanding };

        let mut producers = Vec::new();
        let mut watched = Vec::new();
        for (tap, name) in taps.into_iter().zip(opened::sockets(options)) {
            let producer = new_producer(&name);
            let socket = shared.sources.number(&name, producer.number(), dnstap::DISCONNECTED);
            let tap =
                tap.start().map_err(|error| Error::Failed(format!("cannot start a thread: {error}")))?;
            let tap = Arc::new(tap);
            watched.push((name, Arc::clone(&tap)));
            let dnstap = dnstap::Dnstap::new(producer, tap, socket, limits);
            producers.push(spawn("decode", move || dnstap.run())?);
        }
        for (reader, capture) in captures {
            let producer = new_producer(&reader);
            let source = shared.sources.number(capture.interface(), producer.number(), packets::GONE);
            let pairing = Pairing::new(source, limits, clock::now());
            let packets = packets::Packets::new(producer, capture, pairing);
            producers.push(spawn("packets", move || packets.run())?);
        }

        let to_shards = ways.iter().map(|(full, _)| full.clone()).collect();
        let mut watch = Watch::new(
            shared,
            to_shards,
            to_recorder,
            options.interval,
            options.query_timeout,
            options.lateness,
        );
        if let Some(before) = before {
            alive::resume(shared, &mut watch, &before);
        }
        let metrics = match metrics {
            Some(listener) => {
                let page = page::Page::new(shared, &rows, watched, run);
                let health = page.clone();
                let server =
                    listener.start(Arc::new(move || page.text()), Arc::new(move || health.health()))?;
                info!("metrics on http://{}/metrics", server.address());
                Some(server)
            }
            None => None,
        };
        Ok(Self {
            shared: Arc::clone(shared),
            inputs: run.inputs.clone(),
            producers,
            shards,
            watch,
            rows,
            metrics,
            is_supervised: notify::watchdog_interval().is_some(),
        })
    }

    /// Watches until it is to end.
    fn watch(
        &mut self,
        options: &RunOptions,
        reloader: &Reloader,
        level: &log::Level,
        happenings: &Receiver<Happening>,
        run: &mut SensorRun,
    ) -> Result<(), Error> {
        let (mut next, mut said, mut left) = (Instant::now() + TICK, Instant::now(), Instant::now());
        self.leave(options);
        loop {
            match happenings.recv_deadline(next) {
                Ok(Happening::Signal(SIGHUP)) => self.reload(reloader, level),
                Ok(Happening::Signal(_)) => return Ok(()),
                Ok(Happening::Crowded(done)) => {
                    self.watch.close(Timestamp(u64::MAX));
                    let _ = done.send(());
                }
                Ok(Happening::Failed(why)) => return Err(Error::Failed(why)),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {
                    self.look();
                    // Ticks keep their distance; those that were missed are not made up for.
                    next = (next + TICK).max(Instant::now());
                    if said.elapsed() >= SAY {
                        said = Instant::now();
                        self.say(run, State::Running);
                    }
                    if left.elapsed() >= LEAVE {
                        left = Instant::now();
                        self.leave(options);
                    }
                }
            }
        }
    }

    fn look(&mut self) {
        let found = self.watch.look();
        if let Some(stalled) = found.stalled {
            error!(
                "the process stood still for {:.1} s: what its sources showed meanwhile may be lost",
                stalled.as_secs_f64()
            );
        }
        if let Some(step) = found.stepped {
            warn!("the clock was set by {:.1} s, or the machine slept", step.as_secs_f64());
        }
        if self.producers.iter().chain(&self.shards).any(JoinHandle::is_finished) {
            let _ = self.shared.happenings.send(Happening::Failed("a thread that counts failed".to_owned()));
        }
        if self.is_supervised && !found.wedged {
            tell(notify::alive());
        }
    }

    fn say(&self, run: &mut SensorRun, state: State) {
        run.state = state;
        run.updated = clock::now().0;
        run.finished = (state != State::Running).then_some(run.updated);
        run.account = account::account(&self.shared);
        tell(notify::status(&format!(
            "{} frames, {} queries, {} responses",
            run.account.frames, run.account.queries, run.account.responses
        )));
        self.watch.record(Recorded::Run(Box::new(run.clone())));
    }

    fn leave(&mut self, options: &RunOptions) {
        let recorded = self.watch.recorded(self.rows.marks());
        alive::leave(&self.shared, options, recorded);
    }

    fn reload(&self, reloader: &Reloader, level: &log::Level) {
        let Some(file) = reloader.file() else {
            warn!("SIGHUP: there is no configuration file to read again");
            return;
        };
        tell(notify::reloading());
        match reloader.reload() {
            Ok(Reloaded { now, warnings }) => {
                warnings.iter().for_each(|warning| warn!("{warning}"));
                level.set(now.level);
                self.shared.set(Settings {
                    servers: now.servers.iter().map(|&address| mapped(address)).collect(),
                    outstanding: now.outstanding,
                });
                self.watch.configure(Configuration {
                    zones: now.zones.iter().map(|zone| zone.wire().to_vec()).collect(),
                    max_rows: now.max_rows,
                });
                info!("{} was read again: {} zones, {} rows", file.display(), now.zones.len(), now.max_rows);
            }
            Err(error) => error!("SIGHUP: nothing was changed: {error}"),
        }
        tell(notify::ready("watching"));
    }
}

/// The service manager, where there is one, need not listen: the run goes on without it.
fn tell(told: std::io::Result<()>) {
    if let Err(error) = told {
        warn!("cannot tell the service manager: {error}");
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| Error::Failed(format!("cannot start a thread: {error}")))
}
