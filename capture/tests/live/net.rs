//! A network namespace with a pair of interfaces, and what sends and captures in it.

use std::fs::{self, File};
use std::io::{Write, stderr};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lowtide_capture::live::{LiveCapture, LiveError, LiveOptions};
use lowtide_proto::Timestamp;
use pcap::{Active, Capture};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The end of the pair at which frames are sent.
pub const SENDER: &str = "sender";
/// The end at which they are captured.
pub const TAP: &str = "tap";

/// Long enough for any machine; tests wait for conditions, and for this only when they fail.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Whether tests at interfaces are to be skipped, which it says.
fn skipped() -> bool {
    let skip = std::env::var_os("LOWTIDE_TEST_NET").is_some_and(|value| value == "skip");
    if skip {
        // Not by eprintln!, which the test harness would keep to itself.
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = stderr().write_all(format!("SKIPPED, because of LOWTIDE_TEST_NET=skip: {test}\n").as_bytes());
    }
    skip
}

/// A network namespace in which the calling thread is until it is dropped. Its interfaces [`SENDER`] and [`TAP`] are
/// the two ends of a wire, and speak of nothing by themselves.
pub struct Net {
    name: String,
    before: File,
}

impl Net {
    /// None when tests are to be skipped.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if skipped() {
            return None;
        }
        let name = format!("lowtide-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let before = File::open("/proc/thread-self/ns/net").unwrap();
        ip(&["netns", "add", &name]);
        // From here on it is removed, whatever happens.
        let net = Self { name, before };
        enter(&File::open(format!("/run/netns/{}", net.name)).unwrap());
        // No neighbour discovery, which is no DNS, but passes the filter where it has hop-by-hop options.
        fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
        net.add_pair();
        Some(net)
    }

    pub fn add_pair(&self) {
        // Frames that a test puts tags in front of are longer than those of Ethernet.
        ip(&["link", "add", SENDER, "mtu", "9000", "type", "veth", "peer", "name", TAP, "mtu", "9000"]);
        ip(&["link", "set", SENDER, "up"]);
        ip(&["link", "set", TAP, "up"]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let _ = move_into_link_name_space(self.before.as_fd(), Some(LinkNameSpaceType::Network));
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

fn enter(namespace: &File) {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
}

/// ip(8), in the thread's namespace.
pub fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("ip(8) is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {}: {said} (these tests need root; LOWTIDE_TEST_NET=skip skips them)",
        arguments.join(" ")
    );
}

/// Sends frames as they are.
pub struct Sender(Capture<Active>);

impl Sender {
    pub fn new() -> Self {
        Self::at(SENDER)
    }

    pub fn at(interface: &str) -> Self {
        Self(Capture::from_device(interface).unwrap().open().unwrap())
    }

    pub fn send<'a>(&mut self, frames: impl IntoIterator<Item = &'a Vec<u8>>) {
        for frame in frames {
            self.0.sendpacket(frame.as_slice()).unwrap();
        }
    }
}

/// A frame as it was lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub octets: Vec<u8>,
    pub wire_len: u32,
    pub time: Timestamp,
}

pub fn open(options: &LiveOptions) -> LiveCapture {
    let mut captures = LiveCapture::open(options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(captures.len(), 1);
    captures.remove(0)
}

/// Options with a ring that suits a test.
pub fn options() -> LiveOptions {
    LiveOptions { buffer_octets: 16 << 20, ..LiveOptions::new(TAP) }
}

/// Polls once and keeps what is lent.
pub fn poll(capture: &mut LiveCapture, taken: &mut Vec<Taken>) -> Result<usize, LiveError> {
    let before = taken.len();
    let polled = capture.poll(Duration::from_millis(50), &mut |packet| {
        assert!(packet.time_known);
        taken.push(Taken { octets: packet.data.to_vec(), wire_len: packet.wire_len, time: packet.time });
    })?;
    assert_eq!(polled.packets, taken.len() - before);
    Ok(polled.packets)
}

/// Polls until there are `count` frames, and on until it is sure that there are no more.
pub fn take(capture: &mut LiveCapture, count: usize) -> Vec<Taken> {
    let mut taken = Vec::new();
    let end = Instant::now() + PATIENCE;
    let mut quiet = None;
    loop {
        let now = Instant::now();
        let packets = poll(capture, &mut taken).unwrap_or_else(|error| panic!("{error}"));
        if packets > 0 || taken.len() < count {
            quiet = None;
        } else if now - *quiet.get_or_insert(now) > Duration::from_millis(400) {
            return taken;
        }
        assert!(now < end, "{} of {count} frames", taken.len());
    }
}

/// Polls until it fails.
pub fn fail(capture: &mut LiveCapture, taken: &mut Vec<Taken>) -> LiveError {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Err(error) = poll(capture, taken) {
            return error;
        }
    }
    panic!("nothing fails");
}

pub fn octets(taken: &[Taken]) -> Vec<Vec<u8>> {
    taken.iter().map(|taken| taken.octets.clone()).collect()
}
