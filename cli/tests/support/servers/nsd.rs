//! NSD, authoritative for the zone, over UDP, TCP and TLS.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{DNS, DOT, Running, Stopped, ZONE, certificate, number, output, server_program, zone};
use crate::process::program;

/// An `nsd`.
#[derive(Debug)]
pub struct Nsd {
    /// What all servers have.
    pub running: Running,
    configuration: PathBuf,
}

impl Nsd {
    /// Starts it, with dnstap into a socket.
    #[track_caller]
    pub fn start(tap: &Path) -> Self {
        let mut running = Running::new();
        let folder = running.folder.path().display().to_string();
        let (dns, dot) = (running.at(DNS).port(), running.at(DOT).port());
        let (address, tap) = (running.address, tap.display());
        running.write("load.zone", &zone(ZONE, address));
        let (certificate, key) = certificate(running.folder.path());
        let (certificate, key) = (certificate.display(), key.display());
        let configuration = running.write(
            "nsd.conf",
            &format!(
                "
server:
    server-count: 1
    ip-address: {address}@{dns}
    ip-address: {address}@{dot}
    tls-port: {dot}
    tls-service-key: {key}
    tls-service-pem: {certificate}
    username: \"\"
    chroot: \"\"
    zonesdir: {folder}
    database: \"\"
    pidfile: {folder}/nsd.pid
    xfrdfile: {folder}/xfrd.state
    zonelistfile: {folder}/zone.list
    xfrdir: {folder}
    identity: nsd.test
    # Its response rate limiting would leave out answers.
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: yes
    control-interface: {folder}/control
dnstap:
    dnstap-enable: yes
    dnstap-socket-path: {tap}
    dnstap-send-identity: yes
    dnstap-send-version: yes
    dnstap-log-auth-query-messages: yes
    dnstap-log-auth-response-messages: yes
zone:
    name: {ZONE}
    zonefile: load.zone
"
            ),
        );
        let mut command = Command::new(server_program("nsd", "nsd", running.folder.path()));
        command.arg("-d").arg("-c").arg(&configuration);
        running.start(&command);
        Self { running, configuration }
    }

    fn control(&self) -> Command {
        let mut command = Command::new(program("nsd-control", "nsd"));
        command.arg("-c").arg(&self.configuration);
        command
    }

    /// How many queries it counts itself.
    pub fn queries(&self) -> u64 {
        number(&output(self.control().arg("stats_noreset")), "num.queries")
    }

    /// `nsd-control stop`.
    #[track_caller]
    pub fn stop(&mut self) -> Stopped {
        let mut command = self.control();
        self.running.stop_by(command.arg("stop"))
    }
}
