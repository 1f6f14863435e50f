//! Knot DNS, authoritative for the root and the zone.
//!
//! Its queue per thread cannot be lengthened: several threads, so that load over several connections has several queues.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Running, Stopped, ZONE, number, output, root_zone, server_program, zone};
use crate::process::program;

/// A `knotd`.
#[derive(Debug)]
pub struct Knot {
    /// What all servers have.
    pub running: Running,
    configuration: PathBuf,
}

impl Knot {
    /// Starts it, with dnstap into a socket or without.
    #[track_caller]
    pub fn start(tap: Option<&Path>) -> Self {
        Self::run(Running::new(), tap)
    }

    /// Starts it at an address of a network namespace, without dnstap.
    #[track_caller]
    pub fn on(address: Ipv4Addr) -> Self {
        Self::run(Running::on(address), None)
    }

    #[track_caller]
    fn run(mut running: Running, tap: Option<&Path>) -> Self {
        let folder = running.folder.path().display().to_string();
        let (address, port) = (running.address, running.port);
        running.write("load.zone", &zone(ZONE, address));
        running.write("root.zone", &root_zone(address));
        fs::create_dir(running.path("run")).unwrap();
        let (modules, sink) = match tap {
            Some(tap) => ("mod-dnstap/tap, mod-stats", tap.display().to_string()),
            None => ("mod-stats", "unused".to_owned()),
        };
        let configuration = running.write(
            "knot.conf",
            &format!(
                "
server:
    rundir: {folder}/run
    listen: {address}@{port}
    identity: knot.test
    udp-workers: 4
    tcp-workers: 4
    background-workers: 1
database:
    storage: {folder}/run
log:
  - target: stderr
    any: info
mod-dnstap:
  - id: tap
    sink: \"unix:{sink}\"
template:
  - id: default
    storage: {folder}
    zonefile-sync: -1
    journal-content: none
    semantic-checks: off
    global-module: [{modules}]
zone:
  - domain: .
    file: root.zone
  - domain: {ZONE}
    file: load.zone
"
            ),
        );
        let mut command = Command::new(server_program("knotd", "knot", running.folder.path()));
        command.arg("-c").arg(&configuration);
        running.start(&command);
        Self { running, configuration }
    }

    fn control(&self) -> Command {
        let mut command = Command::new(program("knotc", "knot"));
        command.arg("-c").arg(&self.configuration);
        command
    }

    /// How many queries it counts itself.
    pub fn queries(&self) -> u64 {
        number(&output(self.control().arg("stats")), "mod-stats.server-operation[query]")
    }

    /// `knotc stop`.
    #[track_caller]
    pub fn stop(&mut self) -> Stopped {
        let mut command = self.control();
        self.running.stop_by(command.arg("stop"))
    }
}
