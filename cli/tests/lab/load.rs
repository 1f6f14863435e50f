//! Those who ask: dnsperf at a low rate, at resolvers or straight at a server.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::authority::{MOVING, STAYING};
use crate::process::{PATIENCE, Process, program};
use crate::servers::drive::Perf;
use crate::world::{CLIENTS, Family, HARD_CODED, OLD, Party, World};

/// Queries a second at a resolver.
const RATE: u64 = 8;

/// Seconds until dnsperf gives an answer up.
const TIMEOUT: u64 = 5;

/// As many queries as last longer than the test.
pub const ENDLESS: usize = 10_000;

/// A dnsperf that goes on until it is told to end, or is through.
pub struct Load {
    process: Process,
    _folder: TempDir,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Names of all zones and, now and then, the NS sets of those that move.
    All,
    /// Those of the zones that move.
    Moving,
}

impl Load {
    /// Queries at a resolver, for ever new names, so that each has to be fetched.
    pub fn at_resolver(world: &World, resolver: u8, names: Names, label: &str, queries: usize) -> Self {
        let lines = (0..queries).map(|number| match number % 20 {
            3 => format!("{} NS", MOVING[number / 20 % 2]),
            7 | 14 if names == Names::All => format!("{label}{number}.{STAYING} A"),
            _ => format!("{label}{number}.{} A", MOVING[number % 2]),
        });
        Self::start(world, (CLIENTS, resolver), Family::V4, RATE, lines)
    }

    /// Queries with RD=1 straight at one address of the old provider.
    pub fn hard_coded(world: &World, family: Family) -> Self {
        let lines = (0..ENDLESS).map(|number| format!("fixed{number}.{} A", MOVING[number % 2]));
        Self::start(world, (HARD_CODED, OLD), family, 2, lines)
    }

    fn start(
        world: &World,
        (client, server): (u8, u8),
        family: Family,
        rate: u64,
        lines: impl Iterator<Item = String>,
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let file: PathBuf = folder.path().join("queries");
        fs::write(&file, lines.map(|line| line + "\n").collect::<String>()).unwrap();
        let mut command = Command::new(program("dnsperf", "dnsperf"));
        command
            .args(["-s", &family.of(server).to_string(), "-a", &family.of(client).to_string()])
            .args(["-T", "1", "-c", "1", "-t", &TIMEOUT.to_string(), "-Q", &rate.to_string(), "-d"])
            .arg(&file);
        let process = world.at(Party::Clients, || Process::start(&command, &folder.path().join("log")));
        Self { process, _folder: folder }
    }

    /// Ends it; how many queries it sent. All were answered without an error, but for what is on its way at the end.
    #[track_caller]
    pub fn end(mut self) -> u64 {
        self.process.signal(Signal::SIGINT);
        let perf = self.perf();
        assert!(perf.sent - perf.completed <= RATE * TIMEOUT, "{perf:?}");
        perf.sent
    }

    /// Waits until it is through. All was answered without an error.
    #[track_caller]
    pub fn finish(mut self) {
        let perf = self.perf();
        assert_eq!(perf.completed, perf.sent, "{perf:?}");
    }

    #[track_caller]
    fn perf(&mut self) -> Perf {
        let status = self.process.end(PATIENCE);
        let said = self.process.log();
        assert!(status.is_some_and(|status| status.success()), "dnsperf: {status:?}\n{said}");
        let perf = Perf::read(&said);
        assert_eq!(perf.lost, 0, "{perf:?}");
        assert_eq!(perf.rcodes, BTreeMap::from([("NOERROR".to_owned(), perf.completed)]), "{perf:?}");
        perf
    }
}
