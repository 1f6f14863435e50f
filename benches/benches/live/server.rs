//! What the DNS server itself pays for its dnstap: Knot under dnsperf's load, without dnstap, with `fstrm_capture` at the other end of the
//! socket, and with lowtide.
//!
//! All three share the machine's cores. What matters is CPU time of `knotd`, so that a machine too small for the rate says what
//! it can.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lowtide_benches::figures::{Rounds, Table, count, nanos, verdict};
use lowtide_benches::sensor::{Sensor, Setup, free_port};
use lowtide_benches::{clock, machine, program};

use super::fstrm::Fstrm;
use super::{Options, Outcome, directory};

/// Of a core, more than with `fstrm_capture`.
const MARK: f64 = 0.05;

/// Names that are asked.
const NAMES: usize = 10_000;

const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);

/// Where dnstap goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Into {
    Nowhere,
    Fstrm,
    Lowtide,
}

impl Into {
    const fn name(self) -> &'static str {
        match self {
            Self::Nowhere => "without dnstap",
            Self::Fstrm => "dnstap into fstrm_capture",
            Self::Lowtide => "dnstap into lowtide",
        }
    }
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    sent: u64,
    completed: u64,
    seconds: f64,
    /// Of `knotd`.
    cpu: f64,
    /// Frames that lowtide read, and of these discarded.
    frames: Option<(u64, u64)>,
}

/// Knot; ends with its owner.
struct Knot(Child);

impl Knot {
    fn start(dir: &Path, address: SocketAddr, socket: Option<&Path>) -> Outcome<Self> {
        let (ip, port) = (address.ip(), address.port());
        let here = dir.display();
        let mut configuration = format!(
            "server:\n    rundir: {here}\n    listen: {ip}@{port}\n    udp-workers: 1\n    tcp-workers: 1\n    \
             background-workers: 1\ndatabase:\n    storage: {here}\nlog:\n  - target: stderr\n    any: warning\n"
        );
        let mut module = "";
        if let Some(socket) = socket {
            write!(configuration, "mod-dnstap:\n  - id: tap\n    sink: \"unix:{}\"\n", socket.display())?;
            module = "    global-module: mod-dnstap/tap\n";
        }
        write!(
            configuration,
            "template:\n  - id: default\n    storage: {here}\n    file: load.zone\n    zonefile-sync: -1\n    \
             journal-content: none\n    semantic-checks: off\n{module}zone:\n  - domain: load.test\n"
        )?;
        let file = dir.join("knot.conf");
        fs::write(&file, configuration)?;
        let log = dir.join("knot.log");
        let child = Command::new("knotd")
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .map_err(|error| format!("knotd: {error} (Debian: knot, knot-module-dnstap)"))?;
        let knot = Self(child);
        let answers = || {
            let asked = Command::new("kdig")
                .args([
                    "+time=1",
                    "+retry=0",
                    "+short",
                    "-p",
                    &port.to_string(),
                    &format!("@{ip}"),
                    "load.test",
                    "SOA",
                ])
                .output();
            asked.is_ok_and(|output| !output.stdout.is_empty() && output.status.success()).then_some(())
        };
        clock::await_some(PATIENCE, STEP, answers).ok_or_else(|| {
            format!("knotd does not answer; it said:\n{}", fs::read_to_string(&log).unwrap_or_default())
        })?;
        Ok(knot)
    }

    fn cpu_seconds(&self) -> f64 {
        program::cpu_seconds(self.0.id()).unwrap_or(f64::NAN)
    }
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write_zone(dir: &Path) -> Outcome<()> {
    let mut zone =
        "$ORIGIN load.test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\nns A 192.0.2.53\n"
            .to_owned();
    let mut queries = String::new();
    for number in 0..NAMES {
        writeln!(zone, "host{number:05} A 198.51.100.{}", number % 250 + 1)?;
        // One in ten does not exist.
        let name = if number % 10 == 9 { "none" } else { "host" };
        writeln!(queries, "{name}{number:05}.load.test {}", if number % 4 == 3 { "AAAA" } else { "A" })?;
    }
    fs::write(dir.join("load.zone"), zone)?;
    fs::write(dir.join("queries"), queries)?;
    Ok(())
}

/// Sends queries with dnsperf; how many were sent and completed, and seconds.
fn ask(dir: &Path, address: SocketAddr, options: &Options) -> Outcome<(u64, u64, f64)> {
    let output = Command::new("dnsperf")
        .args(["-s", &address.ip().to_string(), "-p", &address.port().to_string(), "-d"])
        .arg(dir.join("queries"))
        .args(["-c", "8", "-T", "1", "-q", "500", "-l", &options.seconds.to_string()])
        .args(["-Q", &options.query_rate.to_string()])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("dnsperf: {error} (Debian: dnsperf)"))?;
    let said = String::from_utf8(output.stdout)?;
    let number = |what: &str| -> Option<f64> {
        let line = said.lines().find_map(|line| line.trim_start().strip_prefix(what))?;
        line.split_whitespace().next()?.parse().ok()
    };
    match (number("Queries sent:"), number("Queries completed:"), number("Run time (s):")) {
        (Some(sent), Some(completed), Some(seconds)) => Ok((sent as u64, completed as u64, seconds)),
        _ => Err(format!("dnsperf said:\n{said}").into()),
    }
}

fn measure(into: Into, options: &Options, lowtide: &Path) -> Outcome<Taken> {
    let dir = directory()?;
    let socket = dir.path().join("tap.sock");
    write_zone(dir.path())?;
    let address = free_port()?;
    let mut fstrm = None;
    let mut sensor = None;
    match into {
        Into::Nowhere => {}
        Into::Fstrm => fstrm = Some(Fstrm::start(&socket, None)?),
        Into::Lowtide => {
            let arguments = vec!["--dnstap".to_owned(), format!("unix:{}", socket.display())];
            let setup = Setup { lowtide, dir: dir.path(), arguments, core: None };
            sensor = Some(Sensor::start(&setup, None)?);
        }
    }
    let knot = Knot::start(dir.path(), address, (into != Into::Nowhere).then_some(&socket))?;
    // Whoever asked whether Knot answers is in the dnstap, too.
    let before_frames = match &sensor {
        Some(sensor) => settled(sensor)?.0,
        None => 0,
    };
    let before = knot.cpu_seconds();
    let (sent, completed, seconds) = ask(dir.path(), address, options)?;
    let cpu = knot.cpu_seconds() - before;
    let mut frames = None;
    if let Some(sensor) = sensor {
        let (read, discarded) = settled(&sensor)?;
        frames = Some((read - before_frames, discarded));
        drop(knot);
        let ended = sensor.stop()?;
        if !ended.balances() {
            return Err(format!("lowtide said:\n{}", ended.log).into());
        }
    }
    drop(fstrm);
    Ok(Taken { sent, completed, seconds, cpu, frames })
}

/// Frames read and discarded, when no more come.
fn settled(sensor: &Sensor<'_>) -> Outcome<(u64, u64)> {
    let mut last = None;
    let metrics = sensor.await_metrics("an end", |metrics| {
        let now = (metrics.sum("lowtide_dnstap_frames_read_total"), metrics.counted() + metrics.discarded());
        let is_end = now.0 == now.1 && last == Some(now);
        last = Some(now);
        // Knot hands its frames over once in a second at the latest.
        clock::wait_until(Instant::now() + Duration::from_millis(1_500));
        is_end
    })?;
    Ok((metrics.sum("lowtide_dnstap_frames_read_total"), metrics.discarded()))
}

/// One line of the table.
#[derive(Clone, Debug, Default)]
struct Line {
    rate: Rounds,
    lost: Rounds,
    each: Rounds,
    core: Rounds,
}

/// Measures in each round each in turn.
pub fn run(options: &Options, lowtide: &Path) -> Outcome<()> {
    let all = [Into::Nowhere, Into::Fstrm, Into::Lowtide];
    let mut lines: [Line; 3] = Default::default();
    let mut seen = Vec::new();
    for _ in 0..options.all.rounds {
        for (line, into) in lines.iter_mut().zip(all) {
            let taken = measure(into, options, lowtide)?;
            line.rate.push(taken.completed as f64 / taken.seconds);
            line.lost.push(taken.sent.saturating_sub(taken.completed) as f64);
            line.each.push(taken.cpu * 1e9 / taken.completed.max(1) as f64);
            line.core.push(taken.cpu / taken.seconds);
            seen.extend(taken.frames.map(|frames| (taken, frames)));
        }
    }

    println!("## What the server pays\n");
    println!(
        "Knot with one UDP worker and {} names, asked {} times a second by dnsperf on the same machine",
        count(NAMES as u64),
        count(options.query_rate)
    );
    println!("{} rounds of {} s; least (median) of each figure\n", options.all.rounds, options.seconds);
    let mut table = Table::new(&["Knot", "queries a second", "unanswered", "CPU a query", "of a core"]);
    let percent = |part: f64| format!("{:.1} %", part * 100.0);
    for (line, into) in lines.iter().zip(all) {
        table.row([
            into.name().to_owned(),
            format!("{} ({})", count(line.rate.max() as u64), count(line.rate.median() as u64)),
            format!("{} ({})", count(line.lost.min() as u64), count(line.lost.median() as u64)),
            format!("{} ({})", nanos(line.each.min()), nanos(line.each.median())),
            format!("{} ({})", percent(line.core.min()), percent(line.core.median())),
        ]);
    }
    println!("{table}");
    for (taken, (frames, discarded)) in &seen {
        println!(
            "dnsperf sent {} queries and got {} responses; lowtide read {} frames{}",
            count(taken.sent),
            count(taken.completed),
            count(*frames),
            if *discarded > 0 { format!(" and discarded {}", count(*discarded)) } else { String::new() }
        );
    }
    let [nowhere, fstrm, lowtide] = &lines;
    let slowest = lines.iter().map(|line| line.rate.max()).fold(f64::INFINITY, f64::min);
    if slowest < 0.98 * options.query_rate as f64 {
        println!("this machine answers no more than {} queries a second", count(slowest as u64));
    }
    let (least, middle) =
        (lowtide.core.min() - fstrm.core.min(), lowtide.core.median() - fstrm.core.median());
    println!(
        "the server's rise: with fstrm_capture {} of a core, with lowtide {}",
        percent(fstrm.core.min() - nowhere.core.min()),
        percent(lowtide.core.min() - nowhere.core.min())
    );
    println!(
        "lowtide over fstrm_capture: {} ({}); at most {} of a core: {}",
        percent(least),
        percent(middle),
        percent(MARK),
        verdict(least <= MARK)
    );
    println!("(load {} after)\n", machine::load().unwrap_or_default());
    Ok(())
}
