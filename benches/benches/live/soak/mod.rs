//! A soak: two senders for minutes or hours, faults all the time, and an account at the end that must be true.
//!
//! A sender waits while lowtide does not read, and leaves out what it is then too late for; so every frame that the socket took
//! must be counted or be counted as discarded, whatever was killed or stopped meanwhile.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lowtide_benches::figures::{Table, count, verdict};
use lowtide_benches::random::Random;
use lowtide_benches::sender::Sent;
use lowtide_benches::sensor::{Metrics, Sensor, Setup};
use lowtide_benches::{clock, program};
use lowtide_store::spool::{Spool, SpoolOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Options, Outcome, directory};

mod clickhouse;
mod faults;
mod memory;
mod senders;

use clickhouse::{ClickHouse, DATABASE};
use faults::{Fault, Victims};
use memory::Samples;
use senders::Senders;

/// By how much memory may grow once warm.
const GROWTH: f64 = 0.10;

/// What a soak was asked and answered.
#[derive(Default)]
struct Verdicts(Vec<(String, bool)>);

impl Verdicts {
    fn add(&mut self, holds: bool, what: String) {
        self.0.push((what, holds));
    }

    fn print(&self) {
        for (what, holds) in &self.0 {
            println!("{what}: {}", verdict(*holds));
        }
        println!();
    }

    fn all_hold(&self) -> bool {
        self.0.iter().all(|(_, holds)| *holds)
    }
}

/// Soaks, and prints the account; whether it balances.
pub fn run(options: &Options, lowtide: &Path) -> Outcome<bool> {
    let limit = getrlimit(Resource::Nofile);
    // A thousand silent clients have a descriptor each, here and there.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let dir = directory()?;
    let (socket, configuration) = (dir.path().join("tap.sock"), dir.path().join("lowtide.toml"));
    configure(&configuration, false)?;
    let mut clickhouse = ClickHouse::start(lowtide, dir.path())?;
    let arguments = ["--dnstap", &format!("unix:{}", socket.display()), "--clickhouse", &clickhouse.url()]
        .into_iter()
        .chain(["--config", configuration.to_str().ok_or("a directory whose name is not UTF-8")?])
        .map(str::to_owned)
        .collect();
    let setup = Setup { lowtide, dir: dir.path(), arguments, core: None };
    let sensor = Sensor::start(&setup, None)?;

    let time = Duration::from_secs(60 * options.minutes);
    let schedule = faults::schedule(options.seed, time);
    let memory = Samples::start(sensor.id())?;
    let senders = Senders::start(options, &socket)?;
    let origin = senders.origin.clone();
    let begin = Instant::now();
    let mut victims = Victims {
        sensor: &sensor,
        clickhouse: &mut clickhouse,
        senders: &senders,
        socket: &socket,
        configuration: &configuration,
        random: Random::starting_at(options.seed ^ 1),
    };
    for (at, fault) in &schedule {
        clock::wait_until(begin + *at);
        if senders.has_failed() {
            break;
        }
        victims.suffer(*fault)?;
    }
    if !senders.has_failed() {
        clock::wait_until(begin + time);
    }
    let sent = senders.finish()?;
    let all = sent.iter().fold(Sent::default(), |all, one| all.and(*one));
    // When it does not come to that, the verdicts below say so.
    let _ =
        sensor.await_metrics("all frames", |metrics| metrics.counted() + metrics.discarded() >= all.frames);
    let metrics = sensor.scrape()?;
    let memory = memory.finish()?;
    let ended = sensor.stop()?;

    println!("## Soak\n");
    println!(
        "{} minutes of {origin} by two senders, {} frames a second together; {} faults by seed {}\n",
        options.minutes,
        count(options.rate),
        schedule.len(),
        options.seed
    );
    print_faults(&schedule);
    println!("{}", memory.table());

    let mut verdicts = Verdicts::default();
    let (counted, discarded) = (metrics.counted(), metrics.discarded());
    println!("the senders held {} frames back while nobody read", count(all.held_back));
    verdicts.add(
        all.frames == counted + discarded,
        format!(
            "{} frames sent = {} counted + {} discarded",
            count(all.frames),
            count(counted),
            count(discarded)
        ),
    );
    verdicts.add(ended.balances(), format!("lowtide says so, and ends with {}", ended.status));
    let account =
        (ended.account("queries").unwrap_or_default(), ended.account("responses").unwrap_or_default());
    let stored = stored(&clickhouse, lowtide, &dir.path().join("spool"))?;
    verdicts.add(
        stored == account,
        format!(
            "{} queries and {} responses counted, {} and {} in ClickHouse",
            count(account.0),
            count(account.1),
            count(stored.0),
            count(stored.1)
        ),
    );
    let lost = Lost::read(&clickhouse)?;
    print_losses(&lost, &metrics);
    gaps(&mut verdicts, &schedule, &lost);
    if !verdicts.all_hold() {
        println!("lowtide said:\n{}", ended.log);
    }
    let balances = verdicts.all_hold();
    if let Some(growth) = memory.growth() {
        let percent = |part: f64| format!("{:.1} %", part * 100.0);
        verdicts.add(
            growth <= GROWTH,
            format!(
                "memory after {} minutes grows by {}, at most {}",
                memory.warm_up(),
                percent(growth),
                percent(GROWTH)
            ),
        );
    }
    verdicts.print();
    Ok(balances)
}

/// Writes a configuration that differs in its zones.
fn configure(path: &Path, more: bool) -> Outcome<()> {
    let zones = if more { r#""example.", "legacy.example.""# } else { r#""example.""# };
    Ok(fs::write(path, format!("[sensor]\nzones = [{zones}]\n"))?)
}

fn print_faults(schedule: &[(Duration, Fault)]) {
    let mut table = Table::new(&["fault", "times"]);
    let mut known: Vec<Fault> = Vec::new();
    for (_, fault) in schedule {
        if !known.contains(fault) {
            known.push(*fault);
            let times = schedule.iter().filter(|(_, other)| other == fault).count();
            table.row([fault.to_string(), times.to_string()]);
        }
    }
    println!("{table}");
}

/// What was lost of a source, by reason, as the rows of coverage say.
struct Lost {
    source: String,
    reason: String,
    count: u64,
}

impl Lost {
    fn read(clickhouse: &ClickHouse) -> Outcome<Vec<Self>> {
        let answer = clickhouse.query(&format!(
            "SELECT source, reason, sum(number) FROM {DATABASE}.coverage \
             ARRAY JOIN mapKeys(lost) AS reason, mapValues(lost) AS number \
             WHERE server = '' GROUP BY source, reason ORDER BY source, reason"
        ))?;
        let line = |line: &str| {
            let mut columns = line.split('\t').map(str::to_owned);
            let (source, reason) = (columns.next()?, columns.next()?);
            Some(Self { source, reason, count: columns.next()?.parse().ok()? })
        };
        Ok(answer.lines().filter_map(line).collect())
    }
}

fn print_losses(lost: &[Lost], metrics: &Metrics) {
    let mut table = Table::new(&["lost, as coverage says", ""]);
    for Lost { source, reason, count: number } in lost {
        table.row([format!("{source}, {reason}"), count(*number)]);
    }
    println!("{table}");
    let mut table = Table::new(&["connections closed", ""]);
    for (labels, value) in metrics.series("lowtide_dnstap_closed_total").filter(|(_, value)| *value > 0.0) {
        let reason = labels.split(',').find_map(|label| label.strip_prefix("reason="));
        table.row([reason.unwrap_or(labels).replace('"', ""), count(value as u64)]);
    }
    println!("{table}");
}

/// Queries and responses in ClickHouse, after what is left of the spool is delivered.
fn stored(clickhouse: &ClickHouse, lowtide: &Path, spool: &Path) -> Outcome<(u64, u64)> {
    let url = clickhouse.url();
    let backlog = Spool::open(spool, SpoolOptions::default())?.backlog();
    println!("{} segments were left in the spool", backlog.segments);
    let ship =
        ["ship".as_ref(), "--quiet".as_ref(), "--clickhouse".as_ref(), url.as_ref(), spool.as_os_str()];
    if backlog.segments > 0 && !program::run(lowtide, ship)?.success {
        return Err("lowtide ship failed".into());
    }
    let answer = clickhouse.query(&format!("SELECT sum(queries), sum(responses) FROM {DATABASE}.traffic"))?;
    let mut numbers = answer.split('\t').map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(queries), Some(responses)) => Ok((queries?, responses?)),
        _ => Err(format!("ClickHouse answers {answer:?}").into()),
    }
}

/// That coverage says when nothing was seen: lowtide was stopped, a sender was away.
fn gaps(verdicts: &mut Verdicts, schedule: &[(Duration, Fault)], lost: &[Lost]) {
    let faults = [
        (Fault::Stopped, "stalled_ms", faults::STOPPED, "lowtide was stopped"),
        (Fault::Sender, "disconnected_ms", senders::AWAY, "a sender was away"),
    ];
    for (fault, reason, each, what) in faults {
        let times = schedule.iter().filter(|(_, other)| *other == fault).count();
        if times == 0 {
            continue;
        }
        let happened = each.as_secs_f64() * times as f64;
        // Of the senders, which are told apart from their socket by a name behind a blank, the first is killed.
        let of_senders = lost.iter().filter(|lost| lost.source.contains(' ') && lost.reason == reason);
        let told = of_senders.map(|lost| lost.count).max().unwrap_or_default() as f64 / 1e3;
        // It looks once a second, and the senders are away at the end, too.
        let tolerance = 1.5 * times as f64 + 3.0;
        verdicts.add(
            (told - happened).abs() <= tolerance,
            format!("{what} for {happened:.0} s, and coverage says {told:.1} s"),
        );
    }
}
