//! Network namespaces, and what sends into them.
//!
//! They have no names that would have to be removed: a namespace goes with the last process in it and the last handle of it,
//! whatever becomes of the test, and with it go its interfaces.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::{self, File};
use std::io::{Write, stderr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use pcap::Capture;

use crate::process::program;

/// Whether tests at interfaces are to be skipped, which it says.
pub fn skipped() -> bool {
    let skip = std::env::var_os("LOWTIDE_TEST_NET").is_some_and(|value| value == "skip");
    if skip {
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let _ = stderr().write_all(format!("SKIPPED, because of LOWTIDE_TEST_NET=skip: {test}\n").as_bytes());
    }
    skip
}

/// A network namespace.
#[derive(Debug)]
pub struct Namespace(File);

impl Namespace {
    /// An empty one, whose loopback interface is up.
    #[track_caller]
    pub fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
                panic!(
                    "a network namespace: {error} (these tests need root; LOWTIDE_TEST_NET=skip skips them)"
                )
            });
            // Interfaces speak of nothing by themselves.
            fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
            Self(File::open("/proc/thread-self/ns/net").unwrap())
        };
        let namespace = thread::scope(|scope| scope.spawn(make).join()).unwrap();
        namespace.inside(|| ip(&["link", "set", "lo", "up"]));
        namespace
    }

    /// The calling thread, and what it starts, is in it from now on.
    pub fn enter(&self) {
        setns(&self.0, CloneFlags::CLONE_NEWNET).unwrap();
    }

    /// Does something in it.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let work = || {
            self.enter();
            work()
        };
        thread::scope(|scope| scope.spawn(work).join()).unwrap()
    }

    /// Joins the caller's namespace with this by a wire; both ends are up.
    pub fn join(&self, name: &str, other_name: &str) {
        let there = format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd());
        // As long as frames may be: recordings have such that a network card had put together.
        let mtu = ["mtu", "65535"];
        let ends = [&["type", "veth", "peer", "name", other_name, "netns", &there][..], &mtu].concat();
        ip(&[&["link", "add", name][..], &mtu, &ends].concat());
        ip(&["link", "set", name, "up"]);
        self.inside(|| ip(&["link", "set", other_name, "up"]));
    }
}

/// ip(8), in the thread's namespace.
#[track_caller]
pub fn ip(arguments: &[&str]) {
    crate::servers::output(Command::new(program("ip", "iproute2")).args(arguments));
}

/// Sends the frames of a recording at an interface of the thread's namespace, as fast as it can; how many.
pub fn send(recording: &Path, interface: &str) -> u64 {
    let mut recording = Capture::from_file(recording).unwrap();
    let mut sender = Capture::from_device(interface).unwrap().open().unwrap();
    let mut frames = 0;
    while let Ok(packet) = recording.next_packet() {
        sender.sendpacket(packet.data).unwrap();
        frames += 1;
    }
    frames
}
