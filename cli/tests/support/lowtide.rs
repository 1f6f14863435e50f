//! `lowtide run` as a child of a test.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::process::{PATIENCE, Process};

/// A `lowtide run` that ends with its owner.
#[derive(Debug)]
pub struct Lowtide {
    process: Process,
}

impl Lowtide {
    /// Starts `lowtide run` with arguments, and waits until it says that it watches. Its log is made in a folder.
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = A>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
        command.arg("run").args(arguments);
        let mut process = Process::start(&command, &folder.join("lowtide.log"));
        let log = folder.join("lowtide.log");
        process.ready(|| std::fs::read_to_string(&log).is_ok_and(|log| log.contains("watching")));
        Self { process }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// How it ended, if it did.
    pub fn poll(&mut self) -> Option<ExitStatus> {
        self.process.poll()
    }

    /// Asks it to end; how and how fast it did, and what it wrote.
    #[track_caller]
    pub fn stop(&mut self) -> (ExitStatus, Duration, String) {
        let begin = Instant::now();
        self.process.signal(Signal::SIGTERM);
        let status = self.process.end(PATIENCE).unwrap_or_else(|| panic!("lowtide does not end"));
        (status, begin.elapsed(), self.process.log())
    }
}
