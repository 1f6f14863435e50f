//! The PowerDNS Recursor, whose dnstap tells what it asks other servers, and not what its clients ask.
//!
//! It ends without writing what it holds, which is up to a second old: who counts waits for the last frame, then stops it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use super::{Running, Stopped, output, server_program};
use crate::process::program;

/// A `pdns_recursor`.
#[derive(Debug)]
pub struct Recursor {
    /// What all servers have.
    pub running: Running,
}

impl Recursor {
    /// A resolver that asks one authoritative server, with dnstap into a socket.
    #[track_caller]
    pub fn start(tap: &Path, server: SocketAddr) -> Self {
        let mut running = Running::new();
        let folder = running.folder.path().display().to_string();
        let (address, port, tap) = (running.address, running.port, tap.display());
        let lua = running.write(
            "recursor.lua",
            &format!(
                "dnstapFrameStreamServer({{'{tap}'}}, {{logQueries=true, logResponses=true, flushTimeout=1, \
                 inputQueueSize=16384, outputQueueSize=1024}})\n"
            ),
        );
        running.write(
            "recursor.conf",
            &format!(
                "
local-address={address}
local-port={port}
query-local-address={address}
allow-from=127.0.0.0/8
dont-query=
forward-zones=.={server}
dnssec=off
qname-minimization=no
threads=2
pdns-distributes-queries=no
reuseport=yes
root-nx-trust=no
security-poll-suffix=
server-id=recursor.test
setuid=
setgid=
daemon=no
disable-syslog=yes
write-pid=no
socket-dir={folder}
lua-config-file={}
",
                lua.display()
            ),
        );
        let mut command =
            Command::new(server_program("pdns_recursor", "pdns-recursor", running.folder.path()));
        command.arg(format!("--config-dir={folder}"));
        running.start(&command);
        Self { running }
    }

    fn control(&self) -> Command {
        let mut command = Command::new(program("rec_control", "pdns-recursor"));
        command.arg(format!("--socket-dir={}", self.running.folder.path().display()));
        command
    }

    /// How many queries it sent to other servers.
    pub fn outgoing(&self) -> u64 {
        output(self.control().args(["get", "all-outqueries"])).trim().parse().unwrap()
    }

    /// `rec_control quit-nicely`.
    #[track_caller]
    pub fn stop(&mut self) -> Stopped {
        let mut command = self.control();
        self.running.stop_by(command.arg("quit-nicely"))
    }
}
