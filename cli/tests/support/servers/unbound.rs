//! Unbound, which resolves from a server for everything, over UDP, TCP, TLS and HTTPS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{DNS, DOH, DOT, Running, Stopped, certificate, number, output, server_program};
use crate::process::program;

/// An `unbound`.
#[derive(Debug)]
pub struct Unbound {
    /// What all servers have.
    pub running: Running,
    configuration: PathBuf,
}

impl Unbound {
    /// A resolver that asks one server, as an authoritative one (`stub`) or as a resolver (`forward`).
    #[track_caller]
    pub fn start(tap: &Path, kind: &str, upstream: SocketAddr) -> Self {
        let mut running = Running::new();
        let upstream = format!("{}@{}", upstream.ip(), upstream.port());
        let folder = running.folder.path().display().to_string();
        let [dns, dot, doh] = [DNS, DOT, DOH].map(|what| running.at(what).port());
        let (address, tap) = (running.address, tap.display());
        let (certificate, key) = certificate(running.folder.path());
        let (certificate, key) = (certificate.display(), key.display());
        let configuration = running.write(
            "unbound.conf",
            &format!(
                "
server:
    interface: {address}@{dns}
    interface: {address}@{dot}
    interface: {address}@{doh}
    tls-port: {dot}
    https-port: {doh}
    tls-service-key: {key}
    tls-service-pem: {certificate}
    outgoing-interface: {address}
    do-not-query-localhost: no
    access-control: 127.0.0.0/8 allow
    module-config: \"iterator\"
    local-zone: \"test.\" nodefault
    qname-minimisation: no
    use-caps-for-id: yes
    username: \"\"
    chroot: \"\"
    directory: {folder}
    pidfile: {folder}/unbound.pid
    use-syslog: no
    do-daemonize: no
    num-threads: 2
    extended-statistics: yes
{kind}-zone:
    name: \".\"
    {kind}-addr: {upstream}
remote-control:
    control-enable: yes
    control-interface: {folder}/control
    control-use-cert: no
dnstap:
    dnstap-enable: yes
    dnstap-bidirectional: yes
    dnstap-socket-path: {tap}
    dnstap-send-identity: yes
    dnstap-identity: unbound.test
    dnstap-send-version: yes
    dnstap-log-resolver-query-messages: yes
    dnstap-log-resolver-response-messages: yes
    dnstap-log-client-query-messages: yes
    dnstap-log-client-response-messages: yes
    dnstap-log-forwarder-query-messages: yes
    dnstap-log-forwarder-response-messages: yes
"
            ),
        );
        let mut command = Command::new(server_program("unbound", "unbound", running.folder.path()));
        command.arg("-d").arg("-c").arg(&configuration);
        running.start(&command);
        Self { running, configuration }
    }

    fn control(&self) -> Command {
        let mut command = Command::new(program("unbound-control", "unbound"));
        command.arg("-c").arg(&self.configuration);
        command
    }

    /// How many queries it counts itself.
    pub fn queries(&self) -> u64 {
        number(&output(self.control().arg("stats_noreset")), "total.num.queries")
    }

    /// `unbound-control stop`.
    #[track_caller]
    pub fn stop(&mut self) -> Stopped {
        let mut command = self.control();
        self.running.stop_by(command.arg("stop"))
    }
}
