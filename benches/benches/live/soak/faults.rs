//! What goes wrong in a soak, and when: the same for the same seed.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use lowtide_benches::random::Random;
use lowtide_benches::sensor::Sensor;
use lowtide_benches::{clock, sender};
use rustix::process::Signal;

use super::clickhouse::ClickHouse;
use super::senders::Senders;
use super::{Outcome, configure};

/// How long lowtide is stopped.
pub const STOPPED: Duration = Duration::from_secs(5);

/// How long ClickHouse is away.
const AWAY: Duration = Duration::from_secs(4);

/// Clients that say nothing, and for how long.
const SILENT: (usize, Duration) = (1_000, Duration::from_secs(5));

/// Connections one after the other, as fast as they go.
const CONNECTS: usize = 10_000;

/// How long a client sends one octet after the other.
const SLOW: Duration = Duration::from_secs(15);

/// Faults are so many seconds apart, at least and less than.
const APART: (u64, u64) = (9, 14);

/// Something that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A sender ends inside a frame, and comes back.
    Sender,
    /// lowtide is stopped.
    Stopped,
    /// ClickHouse is killed, and comes back.
    ClickHouse,
    /// Clients connect and say nothing.
    Silent,
    /// Clients connect and go.
    Connects,
    /// A client sends a frame octet by octet.
    Slow,
    /// Clients send what is no dnstap.
    Garbage,
    /// The configuration is read again.
    Reload,
}

impl Fault {
    const ALL: [Fault; 8] = [
        Fault::Sender,
        Fault::Stopped,
        Fault::ClickHouse,
        Fault::Silent,
        Fault::Connects,
        Fault::Slow,
        Fault::Garbage,
        Fault::Reload,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Sender => f.write_str("a sender killed inside a frame, and back"),
            Fault::Stopped => write!(f, "lowtide stopped for {} s", STOPPED.as_secs()),
            Fault::ClickHouse => write!(f, "ClickHouse killed, and back after {} s", AWAY.as_secs()),
            Fault::Silent => write!(f, "{} silent clients", SILENT.0),
            Fault::Connects => write!(f, "{CONNECTS} connects at once"),
            Fault::Slow => f.write_str("a frame octet by octet"),
            Fault::Garbage => f.write_str("clients that send garbage"),
            Fault::Reload => f.write_str("SIGHUP"),
        }
    }
}

/// Faults for some time, in rounds of all of them, each in an order of its own; none at the very end.
pub fn schedule(seed: u64, time: Duration) -> Vec<(Duration, Fault)> {
    let (mut random, mut at) = (Random::starting_at(seed), Duration::from_secs(5));
    let (mut scheduled, mut round) = (Vec::new(), Vec::new());
    while at + Duration::from_secs(15) <= time {
        if round.is_empty() {
            round = Fault::ALL.to_vec();
        }
        let fault = round.swap_remove(random.below(round.len() as u64) as usize);
        scheduled.push((at, fault));
        at += Duration::from_secs(APART.0 + random.below(APART.1 - APART.0));
    }
    scheduled
}

/// All that faults are done to.
pub struct Victims<'a> {
    pub sensor: &'a Sensor<'a>,
    pub clickhouse: &'a mut ClickHouse,
    pub senders: &'a Senders,
    pub socket: &'a Path,
    pub configuration: &'a Path,
    pub random: Random,
}

impl Victims<'_> {
    /// Lets it happen, to its end.
    pub fn suffer(&mut self, fault: Fault) -> Outcome<()> {
        match fault {
            Fault::Sender => self.senders.kill.store(true, Ordering::Release),
            Fault::Stopped => {
                self.sensor.signal(Signal::STOP)?;
                wait(STOPPED);
                self.sensor.signal(Signal::CONT)?;
            }
            Fault::ClickHouse => {
                self.clickhouse.kill()?;
                wait(AWAY);
                self.clickhouse.restart()?;
            }
            Fault::Silent => {
                let clients = (0..SILENT.0).map(|_| UnixStream::connect(self.socket));
                let _clients = clients.collect::<io::Result<Vec<_>>>()?;
                wait(SILENT.1);
            }
            Fault::Connects => {
                for _ in 0..CONNECTS {
                    drop(UnixStream::connect(self.socket)?);
                }
            }
            Fault::Slow => slow(self.socket)?,
            Fault::Garbage => {
                for len in [1, 16, 4 << 10, 64 << 10, 1 << 20] {
                    let octets: Vec<u8> = (0..len).map(|_| self.random.bits() as u8).collect();
                    // It is cut off as soon as it shows what it is.
                    let _ = UnixStream::connect(self.socket)?.write_all(&octets);
                }
            }
            Fault::Reload => {
                configure(self.configuration, self.random.one_in(2))?;
                self.sensor.signal(Signal::HUP)?;
            }
        }
        Ok(())
    }
}

/// Sends a frame octet by octet, and goes on meanwhile.
fn slow(socket: &Path) -> Outcome<()> {
    let mut stream = sender::Sender::connect(socket)?;
    thread::Builder::new().name("slow".to_owned()).spawn(move || {
        let begin = Instant::now();
        // A frame of as many octets as may be, which never ends.
        let octets = (256u32 << 10).to_be_bytes().into_iter().chain(std::iter::repeat(0x0a));
        for octet in octets {
            if begin.elapsed() >= SLOW || stream.raw(&[octet]).is_err() {
                return;
            }
            wait(Duration::from_millis(200));
        }
    })?;
    Ok(())
}

pub fn wait(time: Duration) {
    clock::wait_until(Instant::now() + time);
}
