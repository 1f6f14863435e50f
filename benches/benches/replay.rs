//! The whole program beside `md5sum` of the same file: CPU time, time, memory.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Parser;
use lowtide_benches::figures::{Rounds, Table, count, mebibytes, nanos, seconds, times, verdict};
use lowtide_benches::{Input, Options, machine, program};
use serde_json::Value;
use wait4::Wait4;

/// What the program may take.
const MARK_CPU: f64 = 1.0;
const MARK_MEMORY: u64 = 200 << 20;

/// What migrations may add to the CPU time, as a factor.
const MARK_MIGRATIONS: f64 = 1.15;

/// A program and what it took, round by round.
struct Contender {
    name: &'static str,
    program: OsString,
    arguments: Vec<OsString>,
    cpu: Rounds,
    wall: Rounds,
    memory: u64,
    output: Vec<u8>,
}

impl Contender {
    fn new(name: &'static str, program: impl Into<OsString>, arguments: &[&str], file: &Input) -> Self {
        let mut arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        arguments.push(file.path.clone().into());
        Self {
            name,
            program: program.into(),
            arguments,
            cpu: Rounds::default(),
            wall: Rounds::default(),
            memory: 0,
            output: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let begin = Instant::now();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", self.program.display()))?;
        self.output.clear();
        if let Some(stdout) = &mut child.stdout {
            stdout.read_to_end(&mut self.output)?;
        }
        let used = child.wait4()?;
        self.wall.push(begin.elapsed().as_secs_f64());
        if !used.status.success() {
            return Err(format!("{}: {}", self.name, used.status).into());
        }
        self.cpu.push((used.rusage.utime + used.rusage.stime).as_secs_f64());
        self.memory = self.memory.max(used.rusage.maxrss);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let lowtide = match &options.lowtide {
        Some(path) => path.clone(),
        None => program::build()?,
    };
    let input = Input::find(&options)?;
    println!("# Replay\n\n{}", machine::describe());

    let replay = |name, threads: &[&str]| {
        Contender::new(name, &lowtide, &[&["replay", "--json", "--quiet"], threads].concat(), &input)
    };
    let mut yardstick = Contender::new("md5sum", "md5sum", &[], &input);
    let mut contenders = [
        replay("lowtide --threads 1", &["--threads", "1"]),
        replay("lowtide --threads 2", &["--threads", "2"]),
        replay("lowtide", &[]),
    ];
    // Unpacking takes more memory than what is measured.
    machine::forget_peak();
    let own_memory = machine::peak_resident().unwrap_or_default();
    // The first run reads the file into the page cache, and is not counted.
    Contender::new("md5sum", "md5sum", &[], &input).run()?;
    let mut plain = replay("lowtide --threads 1, beside", &["--threads", "1"]);
    plain.run()?;
    let config = tempfile::NamedTempFile::new()?;
    std::fs::write(config.path(), migration(&serde_json::from_slice(&plain.output)?))?;
    let config = config.path().to_string_lossy().into_owned();
    // Beside each other, so that both find the machine in the same state.
    let mut pair = [
        replay("lowtide --threads 1, beside", &["--threads", "1"]),
        replay("lowtide --threads 1, migration", &["--threads", "1", "--config", &config]),
    ];
    for _ in 0..options.rounds {
        yardstick.run()?;
        for contender in contenders.iter_mut().chain(&mut pair) {
            contender.run()?;
        }
    }

    let report: Value = serde_json::from_slice(&contenders[0].output)?;
    if contenders.iter().any(|contender| contender.output != contenders[0].output) {
        return Err("the report depends on the number of threads".into());
    }
    let number = |key: &str| report.pointer(key).and_then(Value::as_u64).unwrap_or_default();
    let messages = number("/messages/queries") + number("/messages/responses");
    println!("{}: {}, {} messages", input.origin, mebibytes(input.octets()?), count(messages));
    println!("{} rounds; least (median) of each figure\n", options.rounds);

    let mut table =
        Table::new(&["program", "CPU time", "time", "CPU a message", "CPU : md5sum", "peak memory"]);
    for contender in std::iter::once(&yardstick).chain(&contenders).chain(&pair) {
        let Contender { name, cpu, wall, memory, .. } = contender;
        let ratio = cpu.over(&yardstick.cpu);
        let both = |rounds: &Rounds, unit: fn(f64) -> String| {
            format!("{} ({})", unit(rounds.min()), unit(rounds.median()))
        };
        table.row([
            (*name).to_owned(),
            both(cpu, seconds),
            both(wall, seconds),
            nanos(cpu.min() * 1e9 / messages as f64),
            format!("{} ({})", times(cpu.min() / yardstick.cpu.min()), times(ratio.median())),
            mebibytes(*memory),
        ]);
    }
    println!("{table}");
    for Contender { name, cpu, memory, .. } in &contenders {
        let ratio = cpu.min() / yardstick.cpu.min();
        println!("{name}: CPU time of md5sum at most: {}", verdict(ratio <= MARK_CPU));
        println!("{name}: less than {}: {}", mebibytes(MARK_MEMORY), verdict(*memory < MARK_MEMORY));
    }
    let [without, with] = &pair;
    let ratio = with.cpu.min() / without.cpu.min();
    println!(
        "migrations, of servers that most messages are of: CPU time {} ({}), at most {}: {}",
        times(ratio),
        times(with.cpu.over(&without.cpu).median()),
        times(MARK_MIGRATIONS),
        verdict(ratio <= MARK_MIGRATIONS)
    );
    println!(
        "(a program's memory counts from that of the benchmark that starts it: {})",
        mebibytes(own_memory)
    );
    println!("(load {} after)", machine::load().unwrap_or_default());
    Ok(())
}

/// A migration between the servers that were asked most, of the zones that were asked for most: the hardest case, in which nearly every
/// message is of it.
fn migration(report: &Value) -> String {
    let names = |list: &str, key: &str| -> Vec<String> {
        let list = report[list].as_array().into_iter().flatten();
        let mut names: Vec<String> = list.filter_map(|of| of[key].as_str().map(str::to_owned)).collect();
        names.retain(|name| !name.starts_with('('));
        names.truncate(4);
        names
    };
    let servers = names("servers", "address");
    let (old, new) = servers.split_at(servers.len().div_ceil(2));
    let zones = names("zones", "zone");
    format!("[[migration]]\nname = \"bench\"\nzones = {zones:?}\nold = {old:?}\nnew = {new:?}\n")
}
