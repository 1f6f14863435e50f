//! Real DNS servers from Debian's packages, each with a small zone and dnstap into a socket.
//!
//! Every server listens on an address of its own out of 127.0.0.0/8, so that rows tell servers apart by address. BIND is the
//! exception: it listens only on addresses that an interface has, so 127.0.0.1 it is. The ports of a server lie side by side
//! ([`Running::at`]), below those that the system gives to clients. Nothing listens anywhere else.
//!
//! What was measured about them (Debian 12, two busy cores), which the tests rest on:
//!
//! - All of them connect at start when the receiver is there first, and hold frames back: libfstrm (BIND, Knot, dnsdist,
//!   PowerDNS Recursor) for up to 1 s or 8 KiB. A frame counts when it was written, not when the query was answered.
//! - libfstrm queues 512 frames per thread and drops what is beyond: at full speed (70,000 queries/s) Knot lost 130 of
//!   16,000. BIND, dnsdist and the Recursor can be given longer queues, and are. Only BIND counts its drops.
//! - NSD has a pipe of 64 KiB from each process that answers to the one that writes, and drops what does not fit: with both
//!   cores busy, it lost 1 to 4 % at 2,000 queries/s, and none at 400.
//! - What is held back when a server stops is lost with Unbound (up to 32 frames), dnsdist and the Recursor.
//! - DoT and DoH are told as such by dnsdist alone. BIND says TCP, NSD and Unbound say TCP of TLS, Unbound says nothing of HTTPS.
//! - The Recursor may ask its root for name servers before its dnstap is there.
//! - With a receiver that reads they stop in 30 to 90 ms, the Recursor in 500 ms.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod bind;
pub mod dnsdist;
pub mod drive;
pub mod knot;
pub mod nsd;
pub mod recursor;
pub mod unbound;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{PATIENCE, Process, program};

/// What listens at a port: DNS over UDP and TCP.
pub const DNS: u16 = 0;
/// DNS over TLS.
pub const DOT: u16 = 1;
/// DNS over HTTPS.
pub const DOH: u16 = 2;
/// The control channel, where it is not a unix socket.
pub const CONTROL: u16 = 3;
/// Statistics over HTTP.
pub const STATISTICS: u16 = 4;

/// The zone that load is put on.
pub const ZONE: &str = "load.test";
/// The name that is asked for to see whether a server answers; it is in no count.
pub const READY: &str = "ready.load.test";
/// How many hosts the zone has: `host0.load.test` and so on.
pub const HOSTS: usize = 200;

/// A server that runs, and ends with its owner.
#[derive(Debug)]
pub struct Running {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port of DNS over UDP and TCP; the others follow.
    pub port: u16,
    folder: TempDir,
    process: Option<Process>,
}

/// How a server stopped.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// How long the control program took (`knotc stop`).
    pub command: Duration,
    /// How long it took until the server was gone, from the beginning of the command.
    pub end: Duration,
}

impl Running {
    /// An address, ports and a folder for a server that is still to be started.
    fn new() -> Self {
        // 22 random bits, and never 127.0.x.y, where machines have services of their own.
        let [_, b, c, d] = fastrand::u32(..).to_be_bytes();
        let address = Ipv4Addr::new(127, 64 | (b & 63), c, d.clamp(1, 254));
        let port = std::iter::repeat_with(|| fastrand::u16(1500..4000) * 8)
            .find(|port| (*port..port + 8).all(|port| free(address, port) && free(Ipv4Addr::LOCALHOST, port)))
            .unwrap();
        Self { address, port, folder: TempDir::new().unwrap(), process: None }
    }

    /// The same at an address that only a network namespace of the test's has, where all ports are free.
    fn on(address: Ipv4Addr) -> Self {
        Self { address, port: 53, folder: TempDir::new().unwrap(), process: None }
    }

    /// A path in its folder.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into its folder; its path.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Starts its program and waits until it answers.
    #[track_caller]
    fn start(&mut self, command: &Command) {
        let mut process = Process::start(command, &self.path("log"));
        let at = self.at(DNS);
        process.ready(|| answers(at));
        self.process = Some(process);
    }

    /// Where [`DNS`] or something else of it listens.
    pub fn at(&self, what: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), self.port + what)
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    /// Runs a control program that makes it stop.
    #[track_caller]
    fn stop_by(&mut self, command: &mut Command) -> Stopped {
        let begin = Instant::now();
        let said = output(command);
        let took = begin.elapsed();
        let process = self.process.as_mut().unwrap();
        assert!(
            process.end(PATIENCE).is_some(),
            "{command:?} said {said:?}, and it goes on:\n{}",
            process.log()
        );
        Stopped { command: took, end: begin.elapsed() }
    }
}

fn free(address: Ipv4Addr, port: u16) -> bool {
    UdpSocket::bind((address, port)).is_ok() && TcpListener::bind((address, port)).is_ok()
}

/// A program for a server, with its path. Where AppArmor confines it to the places of Debian's service, a copy of it.
pub fn server_program(name: &str, package: &str, folder: &Path) -> PathBuf {
    let path = program(name, package);
    // Profiles go by path, so the copy has none.
    let confined =
        fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
    if !confined {
        return path;
    }
    let copy = folder.join(name);
    fs::copy(&path, &copy).unwrap();
    copy
}

/// What a program that succeeds says.
#[track_caller]
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{said}{complained}", output.status);
    said
}

/// Whether a server answers for [`READY`] over UDP, without an error.
pub fn answers(at: SocketAddr) -> bool {
    let id = fastrand::u16(..).to_be_bytes();
    let mut query = id.to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in READY.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    let ask = || -> io::Result<bool> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.connect(at)?;
        socket.send(&query)?;
        let mut answer = [0; 512];
        let length = socket.recv(&mut answer)?;
        // The same id, NOERROR, an answer.
        Ok(length > 12 && answer.starts_with(&id) && answer[3] & 15 == 0 && answer[7] > 0)
    };
    ask().unwrap_or(false)
}

/// The body of what a server says at a path, over HTTP.
fn http(at: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// The number after a key, in a text of keys and values.
#[track_caller]
fn number(text: &str, key: &str) -> u64 {
    let mut words = text.split([' ', '\t', '\n', '=']).filter(|word| !word.is_empty());
    words
        .find(|word| *word == key)
        .and_then(|_| words.next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {key} in:\n{text}"))
}

/// A zone of [`HOSTS`] hosts, and of `big`, whose TXT records want TCP; with a name server.
fn zone(name: &str, server: Ipv4Addr) -> String {
    let mut zone = format!(
        "$ORIGIN {name}.\n$TTL 300\n@ SOA ns hostmaster 1 3600 900 604800 60\n@ NS ns\nns A {server}\nready A 192.0.2.1\n"
    );
    for host in 0..HOSTS {
        zone += &format!("host{host} A 198.51.100.{host}\n");
    }
    for part in 0..12 {
        zone += &format!("big TXT \"{part:0180}\"\n");
    }
    zone
}

/// The root of a world in which one server has everything.
fn root_zone(server: Ipv4Addr) -> String {
    format!(
        "$ORIGIN .\n$TTL 300\n@ SOA ns. hostmaster. 1 3600 900 604800 60\n@ NS ns.\nns. A {server}\n\
         {ZONE}. NS ns.{ZONE}.\nns.{ZONE}. A {server}\n"
    )
}

/// A certificate that signs itself, and its key.
fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    let mut command = Command::new(program("openssl", "openssl"));
    command
        .args(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=dns.test"
                .split(' '),
        )
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate);
    output(&mut command);
    (certificate, key)
}
