//! dnsdist before another server, over UDP, TCP, TLS and HTTPS, with a cache.
//!
//! It ends without writing what it holds, which is up to a second old: who counts waits for the last frame, then stops it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CONTROL, DNS, DOH, DOT, Running, Stopped, certificate, number, output, server_program};

/// A `dnsdist`.
#[derive(Debug)]
pub struct Dnsdist {
    /// What all servers have.
    pub running: Running,
    configuration: PathBuf,
}

impl Dnsdist {
    /// Starts it before a server, with dnstap into a socket.
    #[track_caller]
    pub fn start(tap: &Path, server: SocketAddr) -> Self {
        let mut running = Running::new();
        let [dns, dot, doh, control] = [DNS, DOT, DOH, CONTROL].map(|what| running.at(what));
        let tap = tap.display();
        let (certificate, key) = certificate(running.folder.path());
        let (certificate, key) = (certificate.display(), key.display());
        let configuration = running.write(
            "dnsdist.conf",
            &format!(
                "
setLocal('{dns}')
addTLSLocal('{dot}', '{certificate}', '{key}')
addDOHLocal('{doh}', '{certificate}', '{key}', '/dns-query')
setACL('127.0.0.0/8')
controlSocket('{control}')
setKey('bG93dGlkZSBsb3d0aWRlIGxvd3RpZGUgbG93dGlkZSA=')
setSecurityPollSuffix('')
newServer({{address='{server}', checkInterval=60, healthCheckMode='up'}})
getPool(''):setCache(newPacketCache(10000))
tap = newFrameStreamUnixLogger('{tap}', {{flushTimeout=1, inputQueueSize=16384, outputQueueSize=1024}})
addAction(AllRule(), DnstapLogAction('dnsdist.test', tap))
addResponseAction(AllRule(), DnstapLogResponseAction('dnsdist.test', tap))
addCacheHitResponseAction(AllRule(), DnstapLogResponseAction('dnsdist.test', tap))
"
            ),
        );
        let mut command = Command::new(server_program("dnsdist", "dnsdist", running.folder.path()));
        command.args(["--supervised", "--disable-syslog", "-C"]).arg(&configuration);
        running.start(&command);
        Self { running, configuration }
    }

    fn control(&self, lua: &str) -> Command {
        let mut command = Command::new(crate::process::program("dnsdist", "dnsdist"));
        command.arg("-C").arg(&self.configuration).args(["-e", lua]);
        command
    }

    /// How many queries it counts itself.
    pub fn queries(&self) -> u64 {
        number(&output(&mut self.control("dumpStats()")), "queries")
    }

    /// `shutdown()`.
    #[track_caller]
    pub fn stop(&mut self) -> Stopped {
        let mut command = self.control("shutdown()");
        self.running.stop_by(&mut command)
    }
}
