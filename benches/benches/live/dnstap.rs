//! dnstap through one unix socket: into `lowtide run` on one core, beside what only reads it and what only writes it away.
//!
//! lowtide reads whatever comes and discards what it cannot count, so that no server ever waits for it. A sender without mercy
//! shows how much it counts then; whether a rate is counted without a discard, only a sender at that rate shows.

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lowtide_benches::figures::{Rounds, Table, count, mebibytes, nanos, times, verdict};
use lowtide_benches::frames::Frames;
use lowtide_benches::sender::{Sender, Sent};
use lowtide_benches::sensor::{Sensor, Setup};
use lowtide_benches::{machine, program};

use super::fstrm::Fstrm;
use super::{Options, Outcome, directory, reading};

/// Frames that are held in memory.
const MOST: u64 = 1_100_000;

/// Where receiver and sender run.
#[derive(Clone, Copy, Debug, Default)]
struct Cores {
    receiver: Option<usize>,
    sender: Option<usize>,
}

/// How a sender sends.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// As fast as it is read, so many frames.
    Flood(u64),
    /// So many a second, for so long.
    Pace(u64, Duration),
}

/// One run.
#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    sent: Sent,
    /// Seconds from the first octet until all was read.
    read: f64,
    /// Seconds of CPU time of the receiver.
    cpu: f64,
    discarded: u64,
    memory: u64,
}

fn send(frames: &mut Frames, socket: &Path, plan: Plan, core: Option<usize>) -> Outcome<(Sent, f64)> {
    let work = || -> io::Result<(Sent, f64)> {
        core.map_or(Ok(()), program::pin)?;
        let mut sender = Sender::connect(socket)?;
        let begin = Instant::now();
        let sent = match plan {
            // Only the distances of the frames' times depend on the rate.
            Plan::Flood(least) => sender.flood(&mut frames.endless(2_000_000), least)?,
            Plan::Pace(rate, time) => {
                sender.pace(&mut frames.endless(rate), rate, time, || true).map_err(|(_, error)| error)?
            }
        };
        sender.finish()?;
        Ok((sent, begin.elapsed().as_secs_f64()))
    };
    let sent = thread::scope(|scope| scope.spawn(work).join());
    Ok(sent.map_err(|_| "the sender failed")??)
}

fn into_reading(frames: &mut Frames, plan: Plan, cores: Cores) -> Outcome<Taken> {
    let dir = directory()?;
    let socket = dir.path().join("tap.sock");
    let receiver = reading::start(&socket, cores.receiver)?;
    let (sent, read) = send(frames, &socket, plan, cores.sender)?;
    let cpu = receiver.join().map_err(|_| "the receiver failed")??;
    Ok(Taken { sent, read, cpu: cpu.as_secs_f64(), ..Taken::default() })
}

fn into_fstrm(frames: &mut Frames, plan: Plan, cores: Cores) -> Outcome<Taken> {
    let dir = directory()?;
    let socket = dir.path().join("tap.sock");
    let receiver = Fstrm::start(&socket, cores.receiver)?;
    let before = receiver.cpu_seconds();
    let (sent, read) = send(frames, &socket, plan, cores.sender)?;
    Ok(Taken {
        sent,
        read,
        cpu: receiver.cpu_seconds() - before,
        memory: receiver.memory(),
        ..Taken::default()
    })
}

fn into_lowtide(frames: &mut Frames, plan: Plan, cores: Cores, lowtide: &Path) -> Outcome<Taken> {
    let dir = directory()?;
    let socket = dir.path().join("tap.sock");
    let setup = Setup {
        lowtide,
        dir: dir.path(),
        arguments: vec!["--dnstap".to_owned(), format!("unix:{}", socket.display())],
        core: cores.receiver,
    };
    let sensor = Sensor::start(&setup, None)?;
    let before = sensor.cpu_seconds();
    let (sent, read) = send(frames, &socket, plan, cores.sender)?;
    let is_done = |counted: u64, discarded: u64| counted + discarded >= sent.frames;
    let metrics =
        sensor.await_metrics("all frames", |metrics| is_done(metrics.counted(), metrics.discarded()))?;
    let (cpu, memory) = (sensor.cpu_seconds() - before, machine::peak_resident_of(sensor.id()));
    let (counted, discarded) = (metrics.counted(), metrics.discarded());
    let ended = sensor.stop()?;
    if counted + discarded != sent.frames || !ended.balances() {
        return Err(format!(
            "sent {} frames, but {counted} are counted and {discarded} discarded; lowtide said:\n{}",
            sent.frames, ended.log
        )
        .into());
    }
    Ok(Taken { sent, read, cpu, discarded, memory: memory.unwrap_or_default() })
}

/// One line of the table.
#[derive(Clone, Debug, Default)]
struct Line {
    rate: Rounds,
    cpu: Rounds,
    discarded: Rounds,
    memory: u64,
}

impl Line {
    fn push(&mut self, taken: &Taken) {
        let frames = taken.sent.frames as f64;
        self.rate.push(frames / taken.read);
        self.cpu.push(taken.cpu * 1e9 / frames);
        self.discarded.push(taken.discarded as f64 / frames);
        self.memory = self.memory.max(taken.memory);
    }

    fn row(&self, name: String, of_lowtide: bool) -> [String; 6] {
        let only = |of: bool, text: String| if of { text } else { String::new() };
        let percent = |part: f64| format!("{:.2} %", part * 100.0);
        let discarded = format!("{} ({})", percent(self.discarded.min()), percent(self.discarded.median()));
        [
            name,
            format!("{} ({})", count(self.rate.max() as u64), count(self.rate.median() as u64)),
            format!("{} ({})", nanos(self.cpu.min()), nanos(self.cpu.median())),
            only(self.cpu.min() > 0.0, count((1e9 / self.cpu.min()) as u64)),
            only(of_lowtide, discarded),
            only(self.memory > 0, mebibytes(self.memory)),
        ]
    }
}

/// Sends in each round to each receiver in turn, and at last to lowtide at rates that fall until none is discarded.
pub fn run(options: &Options, lowtide: &Path) -> Outcome<()> {
    let cores = match program::cores()?.as_slice() {
        [receiver, sender, ..] => Cores { receiver: Some(*receiver), sender: Some(*sender) },
        _ => Cores::default(),
    };
    let mut frames = Frames::load(options.frames.as_deref(), options.all.generate, MOST)?;
    let (rate, time) = (options.frame_rate, options.time());
    let flood = Plan::Flood(rate.saturating_mul(options.seconds));
    let pace = Plan::Pace(rate, time);

    let [mut read, mut written, mut flooded, mut paced]: [Line; 4] = Default::default();
    let mut without = 0;
    for _ in 0..options.all.rounds {
        read.push(&into_reading(&mut frames, flood, cores)?);
        written.push(&into_fstrm(&mut frames, flood, cores)?);
        flooded.push(&into_lowtide(&mut frames, flood, cores, lowtide)?);
        let at_rate = into_lowtide(&mut frames, pace, cores, lowtide)?;
        let reached = at_rate.sent.frames as f64 / at_rate.read >= 0.98 * rate as f64;
        without += u32::from(at_rate.discarded == 0 && reached);
        paced.push(&at_rate);
    }

    println!("## dnstap\n");
    println!(
        "{}: {} frames, {} octets each, again and again through one unix socket",
        frames.origin,
        count(frames.count),
        frames.octets() as u64 / frames.count.max(1)
    );
    match cores {
        Cores { receiver: Some(receiver), sender: Some(sender) } => {
            println!("the receiver on core {receiver} alone, the sender on core {sender}");
        }
        _ => println!("there is one core, for receiver and sender"),
    }
    println!("{} rounds of {} s; best (median) of each figure\n", options.all.rounds, options.seconds);
    let mut table = Table::new(&[
        "into",
        "frames a second",
        "CPU a frame",
        "frames a second of CPU",
        "discarded",
        "peak memory",
    ]);
    table.row(read.row("a thread that reads".to_owned(), false));
    table.row(written.row("fstrm_capture to /dev/null".to_owned(), false));
    table.row(flooded.row("lowtide, flooded".to_owned(), true));
    table.row(paced.row(format!("lowtide, at {} a second", count(rate)), true));
    println!("{table}");
    println!("lowtide : fstrm_capture: CPU a frame {}", times(paced.cpu.over(&written.cpu).median()));
    println!(
        "{} frames a second on one core, none discarded: {} ({without} of {} rounds)",
        count(rate),
        verdict(without * 2 > options.all.rounds),
        options.all.rounds
    );
    let best = highest(&mut frames, 1e9 / paced.cpu.min(), time, cores, lowtide)?;
    println!(
        "the highest rate without a discard: {} frames a second\n",
        best.map_or("none found".to_owned(), count)
    );
    Ok(())
}

/// Falls from what the CPU time promises, by a twentieth each time.
fn highest(
    frames: &mut Frames,
    promised: f64,
    time: Duration,
    cores: Cores,
    lowtide: &Path,
) -> Outcome<Option<u64>> {
    for twentieths in (8..=21).rev() {
        let rate = (promised * f64::from(twentieths) / 20.0) as u64;
        let taken = into_lowtide(frames, Plan::Pace(rate, time), cores, lowtide)?;
        if taken.discarded == 0 {
            return Ok(Some((taken.sent.frames as f64 / taken.read) as u64));
        }
    }
    Ok(None)
}
