//! Resolvers that find their way from the root by themselves.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::authority::{MOVING, dig, hints};
use crate::process::Process;
use crate::servers::server_program;
use crate::world::{EAGER, PLAIN, Party, World, v4, v6};

/// An `unbound`.
pub struct Resolver {
    _process: Process,
    _folder: TempDir,
}

impl Resolver {
    /// One that speaks both families and keeps nothing longer than it may.
    pub fn plain(world: &World) -> Self {
        let families = format!("outgoing-interface: {}\n    do-ip6: yes", v6(PLAIN));
        Self::start(world, PLAIN, &families)
    }

    /// One that speaks IPv4 alone, asks before its cache expires, and serves what is expired.
    pub fn eager(world: &World) -> Self {
        Self::start(world, EAGER, "do-ip6: no\n    prefetch: yes\n    serve-expired: yes")
    }

    fn start(world: &World, host: u8, more: &str) -> Self {
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
        let process = world.at(Party::Resolvers, || {
            let mut process = Process::start(&command, &folder.path().join("log"));
            // Without recursion desired, it says what it has in its cache: nothing. All that counts is that it answers.
            process.ready(|| !dig(address.into(), MOVING[0], "A").is_empty());
            process
        });
        Self { _process: process, _folder: folder }
    }
}
