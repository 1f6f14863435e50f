//! A network namespace of one's own, which vanishes with the process whatever becomes of it.
//!
//! It has no name that would have to be removed: a child holds it (`unshare --net cat`), which ends when its standard input
//! does, and that is a pipe of this process. With the namespace go its interfaces.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
    handle: File,
}

impl Namespace {
    /// Makes one; its loopback interface is up.
    ///
    /// # Errors
    /// This process may not, or `unshare` and `ip` are missing.
    pub fn new() -> io::Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("unshare: {error}")))?;
        // What comes back says that cat runs, and so in which namespace it is.
        let mut echo = String::new();
        if let (Some(stdin), Some(stdout)) = (&mut holder.stdin, &mut holder.stdout) {
            stdin.write_all(b"there\n")?;
            BufReader::new(stdout).read_line(&mut echo)?;
        }
        if echo.is_empty() {
            return Err(io::Error::other("no network namespace can be made here; that takes root"));
        }
        let handle = File::open(format!("/proc/{}/ns/net", holder.id()))?;
        let namespace = Self { holder, handle };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// Joins two namespaces by a pair of interfaces, both up and without addresses.
    ///
    /// # Errors
    /// `ip` says which.
    pub fn join(&self, name: &str, other: &Self, other_name: &str) -> io::Result<()> {
        let peer = other.holder.id().to_string();
        self.ip(&["link", "add", name, "type", "veth", "peer", "name", other_name, "netns", &peer])?;
        for (namespace, name) in [(self, name), (other, other_name)] {
            // No router solicitations among what is counted.
            namespace.ip(&["link", "set", name, "addrgenmode", "none", "mtu", "9000", "up"])?;
        }
        Ok(())
    }

    fn ip(&self, arguments: &[&str]) -> io::Result<()> {
        let output = self.inside(|| Command::new("ip").args(arguments).output())??;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), said.trim_end())))
    }

    /// Does something inside, in a thread of its own; a program that it starts is there, too.
    ///
    /// # Errors
    /// The thread cannot get there.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        let work = || {
            move_into_link_name_space(self.handle.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        };
        thread::scope(|scope| scope.spawn(work).join())
            .unwrap_or_else(|_| Err(io::Error::other("a thread failed")))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
