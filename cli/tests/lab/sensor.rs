//! What watches a provider: `lowtide run` at the bridge's end of its wire, and tcpdump there for a verdict from files.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::lowtide::Lowtide;
use crate::witness::Dump;
use crate::world::Party;

/// The tap at one provider.
pub struct Sensor {
    wire: &'static str,
    arguments: Vec<String>,
    folder: TempDir,
    live: Option<Lowtide>,
    dump: Option<Dump>,
    /// The files that were captured, those of earlier taps first.
    pub files: Vec<PathBuf>,
}

impl Sensor {
    /// Starts it.
    #[track_caller]
    pub fn start(party: Party, plan: &Path, clickhouse: &str) -> Self {
        let (wire, folder) = (party.wire(), TempDir::new().unwrap());
        let spool = folder.path().join("spool").display().to_string();
        let plan = plan.display().to_string();
        let arguments = ["--interface", wire, "--sensor", wire, "--config", &plan, "--spool", &spool];
        let more = ["--clickhouse", clickhouse, "--metrics", "off", "--interval", "4s", "--lateness", "1s"];
        let arguments = [&arguments[..], &more, &["--query-timeout", "1s", "--threads", "1"]].concat();
        let arguments = arguments.into_iter().map(str::to_owned).collect();
        let mut sensor = Self { wire, arguments, folder, live: None, dump: None, files: Vec::new() };
        sensor.revive();
        sensor
    }

    /// Kills it, as when the machine fails. Both see nothing from now on.
    #[track_caller]
    pub fn kill(&mut self) {
        self.live.take().unwrap().signal(Signal::SIGKILL);
        // All that it has seen is in the file: -U.
        self.dump.take().unwrap().end();
    }

    /// Starts it again.
    #[track_caller]
    pub fn revive(&mut self) {
        let file = self.folder.path().join(format!("{}.pcap", self.files.len()));
        self.dump = Some(Dump::start(self.wire, &file));
        self.files.push(file);
        self.live = Some(Lowtide::start(self.folder.path(), &self.arguments));
    }

    /// Asks it to end.
    #[track_caller]
    pub fn stop(&mut self) {
        let (status, _, said) = self.live.as_mut().unwrap().stop();
        assert!(status.success(), "{status}\n{said}");
    }
}
