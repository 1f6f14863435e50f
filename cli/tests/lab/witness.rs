//! An independent witness of who asked whom: tcpdump writes down what passes, tshark reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::authority::MOVING;
use crate::process::{PATIENCE, Process, program};
use crate::servers::output;

/// A `tcpdump` of an interface of the thread's namespace.
pub struct Dump {
    process: Process,
    /// What it writes.
    pub file: PathBuf,
}

impl Dump {
    /// Begins a file.
    #[track_caller]
    pub fn start(interface: &str, file: &Path) -> Self {
        let mut command = Command::new(program("tcpdump", "tcpdump"));
        // What is captured is written at once, and whole; by root, to whom the folder belongs.
        command.args(["-i", interface, "-U", "--immediate-mode", "-s", "0", "-Z", "root", "-w"]).arg(file);
        let log = file.with_extension("log");
        let mut process = Process::start(&command, &log);
        process.ready(|| std::fs::read_to_string(&log).is_ok_and(|log| log.contains("listening on")));
        Self { process, file: file.to_owned() }
    }

    /// Ends the file.
    #[track_caller]
    pub fn end(&mut self) {
        self.process.signal(Signal::SIGINT);
        assert!(self.process.end(PATIENCE).is_some(), "tcpdump goes on");
        let said = self.process.log();
        assert!(said.contains("\n0 packets dropped by kernel"), "{said}");
    }
}

/// Zone (with the final dot), server and client of queries.
pub type Key = (String, String, String);

/// Queries by what they were for, with the time of the last of each.
#[derive(Debug, Default)]
pub struct Asked {
    /// How many.
    pub counts: BTreeMap<Key, u64>,
    /// When the last one was.
    pub last: BTreeMap<Key, jiff::Timestamp>,
}

impl Asked {
    /// Those of clients that asked since a moment; their earlier queries count as well.
    pub fn since(&self, moment: jiff::Timestamp) -> BTreeMap<Key, u64> {
        let is_later = |key: &Key| self.last.get(key).is_some_and(|last| *last >= moment);
        self.counts
            .iter()
            .filter(|(key, _)| is_later(key))
            .map(|(key, count)| (key.clone(), *count))
            .collect()
    }
}

/// Reads the queries for zones that move out of a file, which may still grow.
#[track_caller]
pub fn read(file: &Path) -> Asked {
    let mut command = Command::new(program("tshark", "tshark"));
    command.arg("-r").arg(file);
    // An ICMP message quotes the packet that it is about.
    command.args(["-Y", "dns.flags.response == 0 && !icmp && !icmpv6", "-T", "fields"]);
    for field in ["frame.time_epoch", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst", "dns.qry.name"] {
        command.args(["-e", field]);
    }
    let mut asked = Asked::default();
    for line in output(&mut command).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [time, source4, source6, target4, target6, name] = fields[..] else { panic!("{line}") };
        let name = name.to_lowercase();
        let zone = MOVING.iter().find(|zone| {
            name.strip_suffix(**zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        });
        let Some(zone) = zone else { continue };
        let key = (format!("{zone}."), format!("{target4}{target6}"), format!("{source4}{source6}"));
        let (seconds, fraction) = time.split_once('.').unwrap();
        let nanos = format!("{seconds}{fraction:0<9}").parse().unwrap();
        let time = jiff::Timestamp::from_nanosecond(nanos).unwrap();
        *asked.counts.entry(key.clone()).or_default() += 1;
        let last = asked.last.entry(key).or_insert(time);
        *last = time.max(*last);
    }
    asked
}
