//! Resolvers that find their way from the root by themselves.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::authority::{MOVING, dig, hints};
use crate::process::Process;
use crate::servers::server_program;
use crate::world::{BIND, EAGER, PLAIN, Party, RECURSOR, World, v4, v6};

/// A resolver that runs.
pub struct Resolver {
    _process: Process,
    _folder: TempDir,
}

impl Resolver {
    /// All of them.
    pub fn all(world: &World) -> Vec<Self> {
        vec![Self::plain(world), Self::eager(world), Self::bind(world), Self::recursor(world)]
    }

    /// An Unbound that speaks both families and keeps nothing longer than it may.
    fn plain(world: &World) -> Self {
        let families = format!("outgoing-interface: {}\n    do-ip6: yes", v6(PLAIN));
        Self::unbound(world, PLAIN, &families)
    }

    /// An Unbound that speaks IPv4 alone, asks before its cache expires, and serves what is expired.
    fn eager(world: &World) -> Self {
        Self::unbound(world, EAGER, "do-ip6: no\n    prefetch: yes\n    serve-expired: yes")
    }

    fn unbound(world: &World, host: u8, more: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display();
        let hints_file = folder.path().join("root.hints");
        fs::write(&hints_file, hints()).unwrap();
        let address = v4(host);
        let configuration = folder.path().join("unbound.conf");
        let text = format!(
            "
server:
    interface: {address}
    outgoing-interface: {address}
    {more}
    access-control: 192.0.2.0/24 allow
    root-hints: {}
    module-config: \"iterator\"
    username: \"\"
    chroot: \"\"
    directory: {path}
    pidfile: {path}/unbound.pid
    use-syslog: no
    do-daemonize: no
    num-threads: 1
remote-control:
    control-enable: no
",
            hints_file.display()
        );
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new(server_program("unbound", "unbound", folder.path()));
        command.arg("-d").arg("-c").arg(&configuration);
        Self::start(world, host, folder, &command)
    }

    /// A BIND that speaks both families.
    fn bind(world: &World) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display();
        fs::write(folder.path().join("root.hints"), hints()).unwrap();
        let (v4, v6) = (v4(BIND), v6(BIND));
        let configuration = folder.path().join("named.conf");
        let text = format!(
            "
options {{
    directory \"{path}\";
    pid-file \"{path}/named.pid\";
    session-keyfile \"{path}/session.key\";
    listen-on {{ {v4}; }};
    listen-on-v6 {{ none; }};
    query-source address {v4};
    query-source-v6 address {v6};
    recursion yes;
    allow-query {{ any; }};
    allow-recursion {{ any; }};
    dnssec-validation no;
    notify no;
}};
controls {{ }};
zone \".\" {{ type hint; file \"root.hints\"; }};
"
        );
        fs::write(&configuration, text).unwrap();
        let mut command = Command::new(server_program("named", "bind9", folder.path()));
        command.args(["-g", "-n", "1", "-c"]).arg(&configuration);
        Self::start(world, BIND, folder, &command)
    }

    /// A PowerDNS Recursor that speaks IPv4.
    fn recursor(world: &World) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().display();
        fs::write(folder.path().join("root.hints"), hints()).unwrap();
        let address = v4(RECURSOR);
        let text = format!(
            "
local-address={address}
local-port=53
query-local-address={address}
allow-from=192.0.2.0/24
dont-query=
hint-file={path}/root.hints
dnssec=off
threads=1
security-poll-suffix=
setuid=
setgid=
daemon=no
disable-syslog=yes
write-pid=no
socket-dir={path}
"
        );
        fs::write(folder.path().join("recursor.conf"), text).unwrap();
        let mut command = Command::new(server_program("pdns_recursor", "pdns-recursor", folder.path()));
        command.arg(format!("--config-dir={path}"));
        Self::start(world, RECURSOR, folder, &command)
    }

    fn start(world: &World, host: u8, folder: TempDir, command: &Command) -> Self {
        let process = world.at(Party::Resolvers, || {
            let mut process = Process::start(command, &folder.path().join("log"));
            // Without recursion desired, it says what it has in its cache: nothing. All that counts is that it answers.
            process.ready(|| !dig(v4(host).into(), MOVING[0], "A").is_empty());
            process
        });
        Self { _process: process, _folder: folder }
    }
}
