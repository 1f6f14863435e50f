//! BIND, authoritative for the zone or recursive from a root server's hints, over UDP, TCP, TLS and HTTPS.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{
    CONTROL, DNS, DOH, DOT, Running, STATISTICS, Stopped, ZONE, certificate, http, server_program, zone,
};
use crate::process::program;

/// A `named`.
#[derive(Debug)]
pub struct Bind {
    /// What all servers have.
    pub running: Running,
    control: PathBuf,
}

/// What BIND counts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Queries that came in.
    pub queries: u64,
    /// dnstap frames that were queued.
    pub frames: u64,
    /// Those for which the queue had no room.
    pub dropped: u64,
}

impl Bind {
    /// An authoritative server, with dnstap into a socket.
    #[track_caller]
    pub fn authoritative(tap: &Path) -> Self {
        let running = Running { address: Ipv4Addr::LOCALHOST, ..Running::new() };
        running.write("load.zone", &zone(ZONE, running.address));
        let zone = format!("zone \"{ZONE}\" {{ type primary; file \"load.zone\"; }};");
        Self::start(running, tap, "recursion no;", &zone)
    }

    /// A resolver that knows a root server, and has its ports: BIND's `port` is both that where it listens and that where it
    /// asks the servers that it learns of.
    #[track_caller]
    pub fn recursive(tap: &Path, root: &Running) -> Self {
        let running = Running { address: Ipv4Addr::LOCALHOST, port: root.port, ..Running::new() };
        let root = root.address;
        running.write("root.hints", &format!(". 3600 NS ns.\nns. 3600 A {root}\n"));
        let options = "recursion yes; allow-query { any; }; empty-zones-enable no; qname-minimization off;";
        Self::start(running, tap, options, "zone \".\" { type hint; file \"root.hints\"; };")
    }

    #[track_caller]
    fn start(mut running: Running, tap: &Path, options: &str, zones: &str) -> Self {
        let folder = running.folder.path().display().to_string();
        let [dns, dot, doh, control_port, statistics] =
            [DNS, DOT, DOH, CONTROL, STATISTICS].map(|what| running.at(what).port());
        let (address, tap) = (running.address, tap.display());
        let secret = "bG93dGlkZSB0ZXN0cyBjb250cm9sIGNoYW5uZWw=";
        let key = format!("key control {{ algorithm hmac-sha256; secret \"{secret}\"; }};");
        let control = running.write(
            "rndc.conf",
            &format!(
                "{key}\noptions {{ default-key control; default-server {address}; default-port {control_port}; }};\n"
            ),
        );
        let (certificate, tls_key) = certificate(running.folder.path());
        let (certificate, tls_key) = (certificate.display(), tls_key.display());
        // The queue is as long as it can be: on a busy machine, libfstrm's 512 frames are a tenth of a second.
        let configuration = running.write(
            "named.conf",
            &format!(
                "
{key}
tls own {{ cert-file \"{certificate}\"; key-file \"{tls_key}\"; }};
options {{
    directory \"{folder}\";
    port {dns};
    pid-file \"{folder}/named.pid\";
    session-keyfile \"{folder}/session.key\";
    listen-on port {dns} {{ {address}; }};
    listen-on port {dot} tls own {{ {address}; }};
    listen-on port {doh} tls own http default {{ {address}; }};
    listen-on-v6 {{ none; }};
    query-source address {address};
    notify no;
    dnssec-validation no;
    version \"bind\";
    server-id \"bind.test\";
    dnstap {{ all; }};
    dnstap-output unix \"{tap}\";
    dnstap-identity \"bind.test\";
    fstrm-set-input-queue-size 16384;
    fstrm-set-output-queue-size 1024;
    {options}
}};
controls {{ inet {address} port {control_port} allow {{ any; }} keys {{ control; }}; }};
statistics-channels {{ inet {address} port {statistics} allow {{ any; }}; }};
{zones}
"
            ),
        );
        let mut command = Command::new(server_program("named", "bind9", running.folder.path()));
        command.args(["-g", "-n", "2", "-c"]).arg(&configuration);
        running.start(&command);
        Self { running, control }
    }

    /// What it counts itself.
    pub fn statistics(&self) -> Statistics {
        let text = http(self.running.at(STATISTICS), "/json/v1/server");
        let statistics: Value = serde_json::from_str(&text).unwrap();
        let count = |pointer: &str| statistics.pointer(pointer).map_or(0, |value| value.as_u64().unwrap());
        Statistics {
            queries: count("/opcodes/QUERY"),
            frames: count("/dnstapstats/DNSTAPsuccess"),
            dropped: count("/dnstapstats/DNSTAPdropped"),
        }
    }

    /// `rndc stop`.
    #[track_caller]
    pub fn stop(&mut self) -> Stopped {
        let mut command = Command::new(program("rndc", "bind9-utils"));
        self.running.stop_by(command.arg("-c").arg(&self.control).arg("stop"))
    }
}
