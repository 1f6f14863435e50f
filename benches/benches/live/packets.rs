//! Packets of an interface: captured traffic on a pair of virtual interfaces between two network namespaces, into `lowtide run`,
//! beside `tcpdump` that writes it away. The sender shares the cores with them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lowtide_benches::figures::{Rounds, Table, count, nanos, times, verdict};
use lowtide_benches::netns::Namespace;
use lowtide_benches::sensor::{Sensor, Setup};
use lowtide_benches::wire::{Packets, Sent};
use lowtide_benches::{Input, clock, program};
use rustix::process::Signal;

use super::{Options, Outcome, directory};

/// Packets that are held in memory.
const MOST: usize = 1_200_000;

/// The interface that the sender has, and the one that is watched.
const INTERFACES: (&str, &str) = ("lt-send", "lt-watch");

/// Messages a second that lowtide is to take without losing one.
const MARK: f64 = 300_000.0;

/// KiB of the kernel's ring: lowtide's default.
const RING: &str = "65536";

/// What lowtide's own filter amounts to here: fragments have no port.
const FILTER: &str = "port 53 or (ip[6:2] & 0x1fff != 0)";

/// How long packets may wait in libpcap's ring.
const IN_RING: Duration = Duration::from_millis(1_500);

/// One run.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    sent: Sent,
    /// Packets that were read.
    read: u64,
    /// DNS messages that were read, where that is told.
    messages: u64,
    /// Packets that the kernel dropped, as it says.
    dropped: u64,
    cpu: f64,
}

struct Wire {
    from: Namespace,
    to: Namespace,
    packets: Packets,
    /// Packets a second.
    rate: f64,
    time: Duration,
}

impl Wire {
    fn send(&self) -> Outcome<Sent> {
        Ok(self.from.inside(|| self.packets.send(INTERFACES.0, self.rate, self.time))??)
    }

    fn through_lowtide(&self, lowtide: &Path) -> Outcome<Taken> {
        let dir = directory()?;
        let setup = Setup {
            lowtide,
            dir: dir.path(),
            arguments: vec!["--interface".to_owned(), INTERFACES.1.to_owned()],
            core: None,
        };
        let sensor = Sensor::start(&setup, Some(&self.to))?;
        let before = sensor.cpu_seconds();
        let sent = self.send()?;
        let dropped = "lowtide_source_lost_total";
        let mut last = None;
        // What was neither read nor dropped never comes; two looks that agree, a second apart, are the end.
        let metrics = sensor.await_metrics("the end", |metrics| {
            let now = (metrics.counted(), metrics.sum(dropped));
            if now.0 + now.1 >= sent.packets || last == Some(now) {
                return true;
            }
            last = Some(now);
            clock::wait_until(Instant::now() + Duration::from_millis(2_500));
            false
        })?;
        let taken = Taken {
            sent,
            read: metrics.counted(),
            messages: metrics.sum("lowtide_messages_total"),
            dropped: metrics.sum_where(dropped, "_drop\""),
            cpu: sensor.cpu_seconds() - before,
        };
        let ended = sensor.stop()?;
        if ended.balances() { Ok(taken) } else { Err(format!("lowtide said:\n{}", ended.log).into()) }
    }

    fn through_tcpdump(&self) -> Outcome<Taken> {
        let dir = directory()?;
        let log = dir.path().join("log");
        let mut command = Command::new("tcpdump");
        command
            .args(["-n", "-w", "/dev/null", "-Z", "root", "-B", RING, "-i", INTERFACES.1, FILTER])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?);
        let mut child = self.to.inside(|| command.spawn())??;
        let said = |what: &str| fs::read_to_string(&log).is_ok_and(|said| said.contains(what));
        let listens = clock::await_some(Duration::from_secs(10), Duration::from_millis(20), || {
            said("listening on").then_some(())
        });
        let sent = listens.ok_or_else(|| "tcpdump does not listen".into()).and_then(|()| self.send());
        clock::wait_until(Instant::now() + IN_RING);
        let cpu = program::cpu_seconds(child.id()).unwrap_or(f64::NAN);
        program::signal(child.id(), Signal::INT)?;
        child.wait()?;
        let said = fs::read_to_string(&log)?;
        let number = |what: &str| {
            let line = said.lines().find(|line| line.contains(what))?;
            line.split(' ').next()?.parse().ok()
        };
        Ok(Taken {
            sent: sent?,
            read: number("captured").ok_or("tcpdump does not say what it captured")?,
            messages: 0,
            dropped: number("dropped by kernel").ok_or("tcpdump does not say what was dropped")?,
            cpu,
        })
    }
}

/// One line of the table.
#[derive(Clone, Debug, Default)]
struct Line {
    rate: Rounds,
    messages: Rounds,
    dropped: Rounds,
    missing: Rounds,
    cpu: Rounds,
}

impl Line {
    fn push(&mut self, taken: &Taken) {
        let seconds = taken.sent.time.as_secs_f64();
        self.rate.push(taken.sent.packets as f64 / seconds);
        self.messages.push(taken.messages as f64 / seconds);
        self.dropped.push(taken.dropped as f64);
        self.missing.push(taken.sent.packets.saturating_sub(taken.read + taken.dropped) as f64);
        self.cpu.push(taken.cpu * 1e9 / taken.read.max(1) as f64);
    }

    fn row(&self, name: &str) -> [String; 6] {
        let least =
            |rounds: &Rounds| format!("{} ({})", count(rounds.min() as u64), count(rounds.median() as u64));
        [
            name.to_owned(),
            format!("{} ({})", count(self.rate.max() as u64), count(self.rate.median() as u64)),
            if self.messages.max() > 0.0 { count(self.messages.median() as u64) } else { String::new() },
            least(&self.dropped),
            least(&self.missing),
            format!("{} ({})", nanos(self.cpu.min()), nanos(self.cpu.median())),
        ]
    }
}

/// Sends in each round to each in turn.
pub fn run(options: &Options, lowtide: &Path) -> Outcome<()> {
    let input = Input::find(&options.all)?;
    let packets = Packets::load(&input.path, MOST)?;
    let each = packets.messages as f64 / packets.len().max(1) as f64;
    let (from, to) = (Namespace::new()?, Namespace::new()?);
    from.join(INTERFACES.0, &to, INTERFACES.1)?;
    let wire = Wire { from, to, packets, rate: options.message_rate as f64 / each, time: options.time() };
    let [mut of_lowtide, mut of_tcpdump]: [Line; 2] = Default::default();
    let mut whole = 0;
    for _ in 0..options.all.rounds {
        of_tcpdump.push(&wire.through_tcpdump()?);
        let taken = wire.through_lowtide(lowtide)?;
        let reached = taken.messages as f64 / taken.sent.time.as_secs_f64();
        let nothing_lost = taken.dropped == 0 && taken.read == taken.sent.packets;
        whole += u32::from(nothing_lost && reached >= MARK);
        of_lowtide.push(&taken);
    }

    println!("## Packets\n");
    println!(
        "{}: {} packets, {each:.3} DNS messages each, from one network namespace to another",
        input.origin,
        count(wire.packets.len() as u64)
    );
    println!("the sender shares the cores; {} aimed at", count(options.message_rate));
    println!("{} rounds of {} s; best (median) of each figure\n", options.all.rounds, options.seconds);
    let mut table = Table::new(&[
        "into",
        "packets a second",
        "messages a second",
        "dropped by the kernel",
        "else not seen",
        "CPU a packet",
    ]);
    table.row(of_tcpdump.row("tcpdump to /dev/null"));
    table.row(of_lowtide.row("lowtide"));
    println!("{table}");
    println!("lowtide : tcpdump: CPU a packet {}", times(of_lowtide.cpu.over(&of_tcpdump.cpu).median()));
    println!(
        "{} messages a second, none lost: {} ({whole} of {} rounds)\n",
        count(MARK as u64),
        verdict(whole * 2 > options.all.rounds),
        options.all.rounds
    );
    Ok(())
}
