//! What programs that deliver have in memory: `lowtide ship` with a backlog, `lowtide replay --clickhouse`.

use std::ffi::OsStr;
use std::path::Path;

use lowtide_benches::figures::{Table, count, mebibytes, seconds, verdict};
use lowtide_benches::program::{self, Used};
use lowtide_benches::random::Random;
use lowtide_benches::{Input, machine};
use lowtide_store::schema;
use lowtide_store::segment::{self, Header};
use lowtide_store::spool::{Backlog, Put, Spool, SpoolOptions};
use rustix::fs::statvfs;
use serde_json::Value;

use super::clickhouse::ClickHouse;
use super::peer::Peer;
use super::spooling::directory;
use super::{Options, Outcome};

/// Octets of memory, whatever the backlog.
const MARK: u64 = 128 << 20;

/// An address where nobody listens: the port of discard (RFC 863).
const NOBODY: &str = "http://127.0.0.1:9/away";

/// What is to be left of the disk.
const RESERVE: u64 = 1 << 30;

/// Fills a spool with segments of noise: nobody who ships looks into a block, and noise keeps its size.
fn fill(dir: &Path, octets: u64, segment: u64) -> Outcome<Backlog> {
    let disk = statvfs(dir)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < octets.saturating_add(RESERVE) {
        let (free, octets) = (mebibytes(free), mebibytes(octets));
        return Err(format!("{}: {free} free, too little for a backlog of {octets}", dir.display()).into());
    }
    let mut random = Random::starting_at(7);
    let noise: Vec<u8> = (0..segment / 8).flat_map(|_| random.bits().to_le_bytes()).collect();
    let spool = Spool::open(dir, SpoolOptions::default())?;
    let mut header = Header {
        table: segment::Table::Traffic,
        columns: vec!["interval".to_owned(), "queries".to_owned()],
        sensor: "bench".to_owned(),
        run: "backlog".to_owned(),
        sequence: 0,
        rows: 1,
        queries: 1,
        responses: 1,
        from: 0,
        to: 0,
        schema_version: schema::VERSION,
    };
    loop {
        if spool.put(&header, &noise)? == Put::Dropped {
            return Err("a segment was dropped".into());
        }
        let backlog = spool.backlog();
        if backlog.octets >= octets {
            return Ok(backlog);
        }
        header.sequence += 1;
    }
}

/// lowtide as a process, and whether all went well.
fn lowtide(program: &Path, arguments: &[&str], last: &Path) -> Outcome<Used> {
    // What it begins with is this process's peak.
    machine::forget_peak();
    Ok(program::run(program, arguments.iter().map(OsStr::new).chain([last.as_os_str()]))?)
}

fn succeeded(used: Used) -> Outcome<Used> {
    if used.success { Ok(used) } else { Err("lowtide failed".into()) }
}

/// What a report counts must be in a database, once.
fn check(server: &ClickHouse, database: &str, report: &[u8]) -> Outcome<()> {
    let report: Value = serde_json::from_slice(report)?;
    let number = |key: &str| report.pointer(key).and_then(Value::as_u64).unwrap_or_default();
    let reported = format!("{}\t{}", number("/messages/queries"), number("/messages/responses"));
    let counted = server.query(&format!("SELECT sum(queries), sum(responses) FROM {database}.traffic"))?;
    if counted != reported {
        return Err(format!("reported {reported:?}, but {database}.traffic has {counted:?}").into());
    }
    Ok(())
}

/// Ships and replays, and prints the peak of each.
pub fn run(options: &Options, program: &Path) -> Outcome<()> {
    let mut table = Table::new(&["program", "segments", "octets", "time", "CPU time", "peak memory"]);
    let mut row = |what: &str, backlog: Option<Backlog>, used: &Used| {
        let of = |figure: fn(&Backlog) -> String| backlog.as_ref().map(figure).unwrap_or_default();
        table.row([
            what.to_owned(),
            of(|backlog| count(backlog.segments)),
            of(|backlog| mebibytes(backlog.octets)),
            seconds(used.wall),
            seconds(used.cpu),
            mebibytes(used.memory),
        ]);
    };
    let ship = |url: &str, dir: &Path| {
        lowtide(program, &["ship", "--quiet", "--clickhouse", url], dir).and_then(succeeded)
    };
    let mut shipped = 0;

    let peer = Peer::start()?;
    for (what, octets) in [("ship, one segment", 1), ("ship, the backlog", options.backlog)] {
        let dir = directory()?;
        let backlog = fill(dir.path(), octets, options.backlog_segment)?;
        let used = ship(&peer.url(), dir.path())?;
        if peer.take_inserts() != backlog.segments {
            return Err("not every segment was sent once".into());
        }
        shipped = shipped.max(used.memory);
        row(what, Some(backlog), &used);
    }

    let input = Input::find(&options.all)?;
    let server = ClickHouse::start(program)?;
    let replay = ["replay", "--json", "--quiet"];
    row("replay", None, &lowtide(program, &replay, &input.path).and_then(succeeded)?);
    let url = server.url("straight");
    let used = lowtide(program, &[&replay, &["--clickhouse", &url][..]].concat(), &input.path)?;
    let used = succeeded(used)?;
    check(&server, "straight", &used.output)?;
    row("replay --clickhouse", None, &used);

    let spool = directory()?;
    let dir = spool.path().to_str().ok_or("a directory whose name is not UTF-8")?;
    let away = ["--clickhouse", NOBODY, "--give-up", "1s", "--spool", dir];
    let used = lowtide(program, &[&replay, &away[..]].concat(), &input.path)?;
    let backlog = Spool::open(spool.path(), SpoolOptions::default())?.backlog();
    row("replay --clickhouse, the server is away", Some(backlog), &used);
    let report = used.output;
    let used = ship(&server.url("later"), spool.path())?;
    check(&server, "later", &report)?;
    shipped = shipped.max(used.memory);
    row("ship, what that left, into ClickHouse", Some(backlog), &used);

    println!("## Memory\n");
    println!("segments of noise go to a peer that keeps nothing; replayed is {}\n", input.origin);
    println!("{table}");
    println!("ship: at most {} whatever the backlog: {}", mebibytes(MARK), verdict(shipped <= MARK));
    machine::forget_peak();
    println!(
        "(a program's memory counts from that of the benchmark that starts it: {})\n",
        mebibytes(machine::peak_resident().unwrap_or_default())
    );
    Ok(())
}
