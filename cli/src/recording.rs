//! A replay's rows on their way to ClickHouse: the recorder's thread, the spool, delivery, and what is said of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::Ipv6Addr;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::bounded;
use lowtide_aggregate::drain::Migration;
use lowtide_aggregate::report::Report;
use lowtide_store::deliver::{Delivery, DeliveryOptions, GiveUp, Outcome, Start, start_with};
use lowtide_store::prepare::{self, Known};
use lowtide_store::recorder::{Draft, Recorded, Recorder, SegmentSink};
use lowtide_store::run::{Kind, RunKey};
use lowtide_store::schema;
use lowtide_store::segment::{Header, Table};
use lowtide_store::sensor_run::{Account, SensorRun, State};
use lowtide_store::server::{Connection, ErrorKind, Server, ServerError};
use lowtide_store::spool::{Condition, Put, Report as Told, Spool, SpoolError, SpoolOptions, WhenFull};
use tempfile::TempDir;
use xxhash_rust::xxh3::Xxh3;

use crate::args::clickhouse::{self as args, ConnectionArgs, DeliveryArgs, RecordArgs};
use crate::complaint::complain;
use crate::connection;
use crate::error::Error;
use crate::pipeline::{Recording, ReplayOptions};
use crate::progress;

/// Windows and coverage that may wait for the recorder.
const QUEUE: usize = 64;

/// How often delivery's progress is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// A replay that is being recorded.
pub struct Running {
    recording: Recording,
    recorder: JoinHandle<Result<Recorder<ToSpool>, SpoolError>>,
    delivery: Delivery,
    spool: Arc<Spool>,
    /// The spool's directory, when it is only for this replay.
    temporary: Option<TempDir>,
    run: SensorRun,
    server: Destination,
}

/// How a recording begins.
pub enum Beginning {
    /// Rows are taken.
    Open(Box<Running>),
    /// ClickHouse has all rows of this run.
    Complete(String),
}

/// Writes a recorder's segments into the spool.
pub struct ToSpool {
    spool: Arc<Spool>,
    key: RunKey,
    /// Whether a segment was dropped since this was last asked.
    dropped: bool,
}

impl ToSpool {
    /// Segments of a run go into this spool.
    pub fn new(spool: &Arc<Spool>, key: &RunKey) -> Self {
        Self { spool: Arc::clone(spool), key: key.clone(), dropped: false }
    }

    /// Whether a segment was dropped since this was last asked.
    pub const fn take_dropped(&mut self) -> bool {
        std::mem::replace(&mut self.dropped, false)
    }
}

impl SegmentSink for ToSpool {
    type Error = SpoolError;

    fn put(&mut self, draft: &Draft<'_>) -> Result<(), SpoolError> {
        let Some(table) = Table::from_name(draft.table) else { return Ok(()) };
        let header = Header {
            table,
            columns: draft.columns.iter().map(|&column| column.to_owned()).collect(),
            sensor: self.key.sensor.clone(),
            run: self.key.run.clone(),
            sequence: draft.sequence,
            rows: draft.rows,
            queries: draft.queries,
            responses: draft.responses,
            from: draft.intervals.0,
            to: draft.intervals.1,
            schema_version: schema::VERSION,
        };
        // What is dropped is counted by the spool, and told later.
        self.dropped |= self.spool.put(&header, draft.block)? == Put::Dropped;
        Ok(())
    }
}

/// Opens the spool, looks whether ClickHouse can be reached and what it knows of the run, and starts delivery.
///
/// # Errors
/// Options that cannot be meant, a spool that cannot be used, and what somebody has to change at the server first.
pub fn begin(
    connection: &ConnectionArgs,
    delivery: &DeliveryArgs,
    record: &RecordArgs,
    options: &ReplayOptions,
) -> Result<Beginning, Error> {
    let whole_seconds = options.interval.subsec_nanos() == 0;
    if !whole_seconds {
        return Err(Error::Usage(
            "--interval: rows in ClickHouse have intervals of whole seconds".to_owned(),
        ));
    }
    if let Some(warning) = connection::warning(connection) {
        complain(&warning);
    }
    let started = jiff::Timestamp::now();
    let key = RunKey {
        sensor: record.sensor.clone().unwrap_or_else(host_name),
        run: record
            .run
            .clone()
            .unwrap_or_else(|| format!("{}-{:08x}", started.strftime("%Y%m%dT%H%M%SZ"), fastrand::u32(..))),
        kind: Kind::Replay,
    };
    check_name("--sensor", &key.sensor)?;
    check_name("--run", &key.run)?;
    let fingerprint = fingerprint(options, record)?;
    let connection = connection::of(connection)?;
    let url = connection.url.to_string();
    let server = Server::new(connection.clone()).map_err(|error| Error::Failed(error.to_string()))?;

    let known = connection::block_on(async { Ok::<_, Error>(look(&server, &key, &fingerprint).await) })?;
    match known {
        Ok(Known::Complete) => {
            let text =
                format!("run '{}' of sensor '{}' is in {url} already: nothing was sent", key.run, key.sensor);
            return Ok(Beginning::Complete(text));
        }
        Ok(Known::New | Known::CutOff) => {}
        Err(error) if error.is_permanent() => return Err(Error::Failed(error.to_string())),
        Err(error) => complain(&format!("{error}; rows wait in the spool")),
    }

    let told: Told = Arc::new(|condition: &Condition| complain(&condition.to_string()));
    let temporary = match record.spool {
        Some(_) => None,
        None => Some(tempfile::Builder::new().prefix("lowtide-spool-").tempdir().map_err(|error| {
            Error::Failed(format!(
                "cannot make a spool in the directory for temporary files: {error}; --spool names another"
            ))
        })?),
    };
    let dir = record.spool.as_deref().or(temporary.as_ref().map(TempDir::path)).unwrap_or(Path::new("."));
    let spool_options = SpoolOptions {
        max_octets: record.spool_max_size,
        when_full: match record.spool_when_full {
            args::WhenFull::Wait => WhenFull::Wait,
            args::WhenFull::DropOldest => WhenFull::DropOldest,
            args::WhenFull::DropNewest => WhenFull::DropNewest,
        },
        report: Arc::clone(&told),
        ..SpoolOptions::default()
    };
    let spool = Spool::open(dir, spool_options).map_err(|error| Error::Failed(error.to_string()))?;
    let spool = Arc::new(spool);

    let run = SensorRun {
        key: key.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        updated: nanos(started),
        started: nanos(started),
        finished: None,
        state: State::Running,
        fingerprint,
        inputs: options.files.iter().map(|path| path.display().to_string()).collect(),
        interval_s: options.interval.as_secs_f64(),
        query_timeout_s: options.query_timeout.as_secs_f64(),
        account: Account::default(),
    };
    let server =
        Destination { connection, options: delivery_options(delivery, told), verified: !record.no_verify };
    let delivery = server.deliver(&spool, Some(check_and_begin(run.clone())))?;
    complain(&format!("run '{}' of sensor '{}' goes to {url}", key.run, key.sensor));
    let (rows, taken) = bounded::<Recorded>(QUEUE);
    let sink = ToSpool::new(&spool, &key);
    let mut recorder = Recorder::new(key, run.inputs.clone(), record.segment_rows, sink);

    let recorder = thread::Builder::new()
        .name("recorder".to_owned())
        .spawn(move || {
            for recorded in taken {
                recorder.record(recorded)?;
            }
            recorder.cut()?;
            Ok(recorder)
        })
        .map_err(|error| Error::Failed(format!("cannot start a thread: {error}")))?;
    let recording = Recording { rows, max_rows: record.max_rows };
    Ok(Beginning::Open(Box::new(Running { recording, recorder, delivery, spool, temporary, run, server })))
}

impl Running {
    /// Where the pipeline's rows go.
    pub const fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Ends the recording and waits until everything is acknowledged; a line about it.
    ///
    /// # Errors
    /// When something was not delivered: it says what, and where it is.
    pub fn finish(self, report: Option<&Report>, quiet: bool) -> Result<String, Error> {
        let Self { recording, recorder, delivery, spool, temporary, mut run, server } = self;
        drop(recording);
        let recorded = match recorder.join() {
            Ok(recorded) => recorded,
            Err(_) => return Err(Error::Failed("the thread that records rows failed".to_owned())),
        };
        run.account = report.map(account).unwrap_or_default();
        let mut recorder = recorded.and_then(|mut recorder| {
            let losses = take_losses(&run.key, &spool);
            add_losses(&mut run.account.dropped, &losses);
            tell_losses(&mut recorder, &losses, run.interval_s)?;
            recorder.cut()?;
            run.account.rows = recorder.rows();
            Ok(recorder)
        });
        let mut outcome = wait(delivery, &spool, quiet);
        let mut wrong = recorder.as_ref().err().map(ToString::to_string);
        if outcome.is_complete() && report.is_some() && wrong.is_none() && server.verified {
            wrong = verify(&server.connection, &run)?;
        }
        // Last, so that a run that is finished there has all its rows there.
        let is_whole = report.is_some() && wrong.is_none() && outcome.losses.is_empty();
        run.state = if is_whole { State::Finished } else { State::Failed };
        run.updated = nanos(jiff::Timestamp::now());
        run.finished = Some(run.updated);
        if let Ok(recorder) = &mut recorder {
            wrong = recorder.say(&run).err().map(|error| error.to_string()).or(wrong);
            if outcome.is_complete() {
                let last = wait(server.deliver(&spool, None)?, &spool, quiet);
                outcome.segments += last.segments;
                outcome.rows += last.rows;
                outcome.undelivered = last.undelivered;
                outcome.last_error = last.last_error;
            } else {
                outcome.undelivered = spool.backlog();
            }
        }
        let dir = spool.dir().to_owned();
        drop((recorder, spool));
        if let Some(temporary) = temporary
            && (outcome.undelivered.segments > 0 || !outcome.losses.is_empty())
        {
            // Its rows are nowhere else.
            let _ = temporary.keep();
        }
        let url = &server.connection.url;
        let mut text = format!("{url}: {outcome} (sensor '{}', run '{}')", run.key.sensor, run.key.run);
        if outcome.undelivered.segments > 0 {
            let dir = dir.display();
            text.push_str(&format!("; to deliver the rest: lowtide ship --clickhouse {url} '{dir}'"));
        }
        match wrong {
            Some(wrong) => Err(Error::Failed(format!("{wrong}; {text}"))),
            None if outcome.is_complete() => Ok(text),
            None => Err(Error::Failed(text)),
        }
    }
}

/// A server, and how segments are sent there.
struct Destination {
    connection: Connection,
    options: DeliveryOptions,
    /// Whether it is asked for its counts at the end.
    verified: bool,
}

impl Destination {
    fn deliver(&self, spool: &Arc<Spool>, start: Option<Start>) -> Result<Delivery, Error> {
        let server =
            Server::new(self.connection.clone()).map_err(|error| Error::Failed(error.to_string()))?;
        Delivery::start(Arc::clone(spool), server, self.options.clone(), start)
            .map_err(|error| Error::Failed(format!("cannot start delivery: {error}")))
    }
}

/// What is wrong with the rows that ClickHouse has of a run, every one of which it acknowledged.
///
/// It has forgotten rows that were deleted, but not their tokens: the rows of a run whose name was used and deleted before are
/// acknowledged and thrown away.
fn verify(connection: &Connection, run: &SensorRun) -> Result<Option<String>, Error> {
    let server = Server::new(connection.clone()).map_err(|error| Error::Failed(error.to_string()))?;
    let (key, account) = (&run.key, &run.account);
    match connection::block_on(async { Ok::<_, Error>(prepare::counted(&server, key).await) })? {
        Ok(counted) if counted == (account.queries, account.responses) => Ok(None),
        Ok((queries, responses)) => {
            let why = if queries > account.queries || responses > account.responses {
                "a part of it came twice, as the tokens of its first part were forgotten: delete the run there, and give it another --run"
            } else {
                "was a run of this name deleted there? Give this one another --run"
            };
            Ok(Some(format!(
                "ClickHouse acknowledged all rows of run '{}' but holds {queries} of {} queries and {responses} of {} responses: {why}",
                key.run, account.queries, account.responses
            )))
        }
        Err(error) => Ok(Some(format!("delivered, but not verified (--no-verify does without): {error}"))),
    }
}

/// Waits for the last acknowledgement.
pub fn wait(delivery: Delivery, spool: &Spool, quiet: bool) -> Outcome {
    let counts = delivery.progress();
    let bar = progress::delivery(quiet, spool.backlog().segments + counts.segments());
    loop {
        let outcome = delivery.finished_within(LOOK);
        bar.set(counts.segments(), counts.is_failing());
        if let Some(outcome) = outcome {
            bar.finish();
            return outcome;
        }
    }
}

/// How segments are delivered for somebody who waits.
pub fn delivery_options(args: &DeliveryArgs, report: Told) -> DeliveryOptions {
    DeliveryOptions {
        in_flight: usize::from(args.in_flight),
        give_up: GiveUp { after: Some(args.give_up), on_permanent_errors: true },
        report,
        ..DeliveryOptions::default()
    }
}

/// The account that goes into `sensor_run`.
fn account(report: &Report) -> Account {
    let times = |of: fn(&lowtide_aggregate::report::Input) -> Option<&str>| {
        report.inputs.iter().filter_map(of).filter_map(|text| text.parse().ok()).map(nanos)
    };
    let first = times(|input| input.first.as_deref()).min();
    Account::of(report, first, times(|input| input.last.as_deref()).max())
}

/// What was lost of one interval, by reason.
#[derive(Clone, Debug)]
pub struct Lost {
    /// Starts of the first and the last interval that it may be of, seconds since 1970.
    pub intervals: (u32, u32),
    /// How much, by reason.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Lost {
    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        add_losses(&mut self.counts, std::slice::from_ref(other));
        self.intervals = (self.intervals.0.min(other.intervals.0), self.intervals.1.max(other.intervals.1));
    }
}

/// Takes what was lost in the spool of this run since this was last done.
pub fn take_losses(run: &RunKey, spool: &Spool) -> Vec<Lost> {
    let mut all = Vec::new();
    for (key, loss) in spool.take_losses().iter() {
        // A live sensor's spool may hold what an earlier run of it left: that is the sensor's loss all the same.
        let is_ours = key.sensor == run.sensor && (run.kind == Kind::Live || key.run == run.run);
        if !is_ours {
            continue;
        }
        let counts = [
            ("spool_dropped_rows", loss.rows),
            ("spool_dropped_queries", loss.queries),
            ("spool_dropped_responses", loss.responses),
        ];
        let counts = counts.into_iter().filter(|&(_, count)| count > 0).collect();
        all.push(Lost { intervals: loss.intervals.unwrap_or_default(), counts });
    }
    all
}

/// Adds losses to sums by reason.
pub fn add_losses(sums: &mut BTreeMap<&'static str, u64>, losses: &[Lost]) {
    for (&reason, &count) in losses.iter().flat_map(|lost| &lost.counts) {
        *sums.entry(reason).or_default() += count;
    }
}

/// Of the intervals that one loss may be of, so many are told, the latest: a week of minutes.
const TOLD: u32 = 10_080;

/// Writes losses into `coverage`, of a run with intervals of `interval_s` seconds: the counts into the first interval, and into all others that
/// they may be of as well that nobody knows what was lost.
///
/// # Errors
/// What the spool says.
pub fn tell_losses(
    recorder: &mut Recorder<ToSpool>,
    losses: &[Lost],
    interval_s: f64,
) -> Result<(), SpoolError> {
    let width = (interval_s as u32).max(1);
    for Lost { intervals: (first, last), counts } in losses {
        recorder.loss(*first, "spool", counts)?;
        let behind = last.saturating_sub(*first) / width;
        for number in (1..=behind).rev().take(TOLD as usize) {
            recorder.unknown(first + number * width, "spool")?;
        }
    }
    Ok(())
}

async fn look(server: &Server, key: &RunKey, fingerprint: &str) -> Result<Known, ServerError> {
    prepare::schema(server).await?;
    prepare::run(server, key, fingerprint).await
}

/// The same once more when delivery begins, as the server may have been away at first; then the run's name is taken.
fn check_and_begin(run: SensorRun) -> Start {
    start_with(move |server| {
        let run = run.clone();
        async move {
            let key = &run.key;
            match look(&server, key, &run.fingerprint).await? {
                Known::New | Known::CutOff => prepare::begin(&server, &run).await,
                Known::Complete => {
                    let what =
                        format!("all of run '{}' of sensor '{}' is there already", key.run, key.sensor);
                    Err(ServerError::new(ErrorKind::Options, server.url(), what))
                }
            }
        }
    })
}

fn nanos(moment: jiff::Timestamp) -> u64 {
    u64::try_from(moment.as_nanosecond()).unwrap_or_default()
}

/// The host's name, by which a sensor is known unless it has another.
pub fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() { "lowtide".to_owned() } else { name }
}

fn check_name(option: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        return Err(Error::Usage(format!("{option}: a name has 1 to 255 octets and no control characters")));
    }
    Ok(())
}

/// What tells a run from others: everything that its rows depend on. Paths are not part of it, as files may move. Files are read for
/// it only when the run has a name, and so may be repeated.
fn fingerprint(options: &ReplayOptions, record: &RecordArgs) -> Result<String, Error> {
    let mut hash = Xxh3::new();
    let zones: Vec<String> = options.zones.iter().map(|zone| zone.as_name().to_string()).collect();
    // What rows of migrations depend on.
    let moves: Vec<_> = options.migrations.iter().map(moved).collect();
    let said = format!(
        "{} {} {:?} {:?} {:?} {zones:?} {} {} {moves:?}",
        env!("CARGO_PKG_VERSION"),
        schema::VERSION,
        options.interval,
        options.query_timeout,
        options.ports,
        record.max_rows,
        record.segment_rows,
    );
    hash.update(said.as_bytes());
    for path in options.files.iter().filter(|_| record.run.is_some()) {
        if path == Path::new("-") || !path.is_file() {
            let text = "cannot be read again; without --run each replay is a run of its own";
            return Err(Error::Usage(format!("--run: '{}' {text}", path.display())));
        }
        read_into(path, &mut hash)
            .map_err(|error| Error::Failed(format!("cannot read '{}': {error}", path.display())))?;
    }
    Ok(format!("{:032x}", hash.digest128()))
}

/// Which rows a migration makes: its name, zones and servers.
fn moved(migration: &Migration) -> (&str, Vec<String>, Vec<Ipv6Addr>) {
    let zones = migration.zones.iter().map(|zone| zone.as_name().to_string()).collect();
    let servers = migration.old.iter().chain(&migration.new).map(|server| server.address).collect();
    (&migration.name, zones, servers)
}

fn read_into(path: &Path, hash: &mut Xxh3) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    hash.update(&file.metadata()?.len().to_le_bytes());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            octets => hash.update(buffer.get(..octets).unwrap_or_default()),
        }
    }
}
