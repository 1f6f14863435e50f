//! Load: `dnsperf` with what it counts, `kdig` for one query.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{HOSTS, ZONE, output};
use crate::process::program;

/// The queries of a load, in a file for dnsperf.
#[derive(Debug)]
pub struct Load {
    file: PathBuf,
    /// How many there are.
    pub queries: u64,
    /// How many are for names that do not exist.
    pub nxdomain: u64,
    /// How many have answers that UDP without EDNS is too small for.
    pub big: u64,
    /// How many names with a type there are among them.
    pub questions: u64,
}

impl Load {
    /// Queries of which one in ten is for a name that does not exist, and one in twenty for a big answer.
    pub fn new(folder: &Path, queries: u64) -> Self {
        let file = folder.join(format!("{queries}.queries"));
        let (mut text, mut nxdomain, mut big) = (String::new(), 0, 0);
        let mut questions = BTreeMap::<String, u64>::new();
        for index in 0..queries {
            let line = match index % 20 {
                7 | 17 => {
                    nxdomain += 1;
                    format!("nothere{}.{ZONE} A", index / 10 % 50)
                }
                3 => {
                    big += 1;
                    format!("big.{ZONE} TXT")
                }
                _ => format!("host{}.{ZONE} A", index % HOSTS as u64),
            };
            text += &line;
            text.push('\n');
            *questions.entry(line).or_default() += 1;
        }
        std::fs::write(&file, text).unwrap();
        Self { file, queries, nxdomain, big, questions: questions.len() as u64 }
    }
}

/// How queries travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS.
    Dot,
    /// HTTPS.
    Doh,
}

/// What `dnsperf` counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Perf {
    /// Queries sent.
    pub sent: u64,
    /// Those answered in time.
    pub completed: u64,
    /// Those not.
    pub lost: u64,
    /// The answers by code.
    pub rcodes: BTreeMap<String, u64>,
    /// The average time until an answer, at the client.
    pub latency: Duration,
}

/// A `dnsperf` that runs.
#[derive(Debug)]
pub struct Perfing {
    child: Child,
}

/// Puts a load on a server once, at a rate; waits for its end.
#[track_caller]
pub fn dnsperf(way: Way, at: SocketAddr, load: &Load, rate: u64) -> Perf {
    start_dnsperf(way, at, load, rate, 1).end()
}

/// Begins to put a load on a server some times over.
pub fn start_dnsperf(way: Way, at: SocketAddr, load: &Load, rate: u64, times: u64) -> Perfing {
    let mut command = Command::new(program("dnsperf", "dnsperf"));
    command
        .args(["-s", &at.ip().to_string(), "-p", &at.port().to_string(), "-T", "1", "-t", "5"])
        .args(["-n", &times.to_string(), "-Q", &rate.to_string()])
        .arg("-d")
        .arg(&load.file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    // Eight connections, so that the server's threads, and with them its dnstap queues, share the load. Not with HTTPS:
    // dnsperf 2.10 hangs when a second query goes out before the first is answered (seen with dnsdist).
    let parallel = match way {
        Way::Doh => ["-c", "1", "-q", "1"],
        _ => ["-c", "8", "-q", "100"],
    };
    command.args(parallel);
    match way {
        Way::Udp => {}
        Way::Tcp => _ = command.args(["-m", "tcp"]),
        Way::Dot => _ = command.args(["-m", "dot"]),
        Way::Doh => _ = command.args(["-m", "doh", "-O", &format!("doh-uri=https://{at}/dns-query")]),
    }
    Perfing { child: command.spawn().unwrap() }
}

impl Perfing {
    /// Waits for its end.
    #[track_caller]
    pub fn end(self) -> Perf {
        let output = self.child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "dnsperf: {}\n{said}{complained}", output.status);
        Perf::read(&said)
    }
}

impl Perf {
    /// Reads what `dnsperf` said at its end.
    #[track_caller]
    pub fn read(said: &str) -> Self {
        let field = |name: &str| {
            said.lines()
                .find_map(|line| line.trim().strip_prefix(name))
                .map(|rest| rest.trim().to_owned())
                .unwrap_or_else(|| panic!("dnsperf says nothing of {name}\n{said}"))
        };
        let count = |name: &str| field(name).split(' ').next().unwrap().parse().unwrap();
        // "NOERROR 1800 (90.00%), NXDOMAIN 200 (10.00%)"
        let rcodes = field("Response codes:")
            .split(", ")
            .filter_map(|code| {
                let mut words = code.split(' ');
                Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
            })
            .collect();
        let latency = field("Average Latency (s):").split(' ').next().unwrap().parse().unwrap();
        Self {
            sent: count("Queries sent:"),
            completed: count("Queries completed:"),
            lost: count("Queries lost:"),
            rcodes,
            latency: Duration::from_secs_f64(latency),
        }
    }
}

/// Asks once by `kdig`; the code of the answer.
#[track_caller]
pub fn kdig(way: Way, at: SocketAddr, name: &str, qtype: &str) -> String {
    let mut command = Command::new(program("kdig", "knot-dnsutils"));
    command.arg(format!("@{}", at.ip())).args(["-p", &at.port().to_string(), "+time=5", "+retry=0"]);
    match way {
        Way::Udp => {}
        Way::Tcp => _ = command.arg("+tcp"),
        Way::Dot => _ = command.arg("+tls"),
        Way::Doh => _ = command.arg("+https=/dns-query"),
    }
    let said = output(command.args([name, qtype]));
    said.split_once("; status: ")
        .and_then(|(_, rest)| rest.split(';').next())
        .unwrap_or_else(|| panic!("no code in:\n{said}"))
        .to_owned()
}
