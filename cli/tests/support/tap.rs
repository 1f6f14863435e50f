//! A receiver of dnstap, and what ClickHouse says that it received.
//!
//! There are two: `lowtide run`, and `fstrm_capture` into a file that `lowtide replay` then reads. Both end in the same rows, so
//! the same expectations hold; where only one of them fails, that tells whether the server or lowtide lost a frame.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::ops::Add;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;
use tempfile::TempDir;

use crate::lowtide::Lowtide;
use crate::process::{PATIENCE, Process, program, wait_until};
use crate::servers::{READY, ZONE, output};
use crate::support::{Database, Server};

/// The name of the sensor in all rows.
pub const SENSOR: &str = "tap";

/// Who receives.
#[derive(Debug)]
enum Receiver {
    Lowtide(Lowtide),
    Capture(Process),
}

/// A receiver that waits for a server.
#[derive(Debug)]
pub struct Tap {
    folder: TempDir,
    database: Database,
    receiver: Receiver,
}

/// Counts of some rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Figures {
    pub queries: u64,
    pub responses: u64,
    pub answered: u64,
    pub unanswered: u64,
    pub pending: u64,
    pub retransmissions: u64,
    pub duplicate_responses: u64,
    pub orphan_responses: u64,
    pub truncated_responses: u64,
    pub nxdomain: u64,
    pub servfail: u64,
    pub refused: u64,
    pub negative_latency: u64,
    pub unknown_latency: u64,
    pub latency_sum_ns: u64,
}

impl Figures {
    /// The mean latency; `None` when there is none.
    pub fn latency(&self) -> Option<Duration> {
        let samples = self.answered - self.negative_latency - self.unknown_latency;
        self.latency_sum_ns.checked_div(samples).map(Duration::from_nanos)
    }

    fn combine(self, other: Self, with: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            queries: with(self.queries, other.queries),
            responses: with(self.responses, other.responses),
            answered: with(self.answered, other.answered),
            unanswered: with(self.unanswered, other.unanswered),
            pending: with(self.pending, other.pending),
            retransmissions: with(self.retransmissions, other.retransmissions),
            duplicate_responses: with(self.duplicate_responses, other.duplicate_responses),
            orphan_responses: with(self.orphan_responses, other.orphan_responses),
            truncated_responses: with(self.truncated_responses, other.truncated_responses),
            nxdomain: with(self.nxdomain, other.nxdomain),
            servfail: with(self.servfail, other.servfail),
            refused: with(self.refused, other.refused),
            negative_latency: with(self.negative_latency, other.negative_latency),
            unknown_latency: with(self.unknown_latency, other.unknown_latency),
            latency_sum_ns: with(self.latency_sum_ns, other.latency_sum_ns),
        }
    }
}

impl Add for Figures {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combine(other, u64::add)
    }
}

#[derive(Deserialize)]
struct Row {
    role: String,
    transport: String,
    /// What the queries were for: `load`, `ready` or, for neither, `other`.
    purpose: String,
    #[serde(flatten)]
    figures: Figures,
}

/// What lowtide says of its own sight, over all sources and intervals.
#[derive(Debug, Deserialize)]
pub struct Coverage {
    /// What was lost, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Whether there is an interval whose loss is not known.
    pub unknown: u8,
    /// Signs of life.
    pub heartbeats: u64,
}

/// What was received: the counts by role and transport.
#[derive(Debug)]
pub struct Seen {
    /// Of the queries of the load.
    pub load: BTreeMap<(String, String), Figures>,
    /// Of all queries.
    pub all: BTreeMap<(String, String), Figures>,
}

impl Seen {
    /// The load's in a role, over all transports.
    pub fn role(&self, role: &str) -> Figures {
        of_role(&self.load, role)
    }

    /// The load's in a role over a transport.
    pub fn of(&self, role: &str, transport: &str) -> Figures {
        self.load.get(&(role.to_owned(), transport.to_owned())).copied().unwrap_or_default()
    }

    /// All in a role, over all transports.
    pub fn everything(&self, role: &str) -> Figures {
        of_role(&self.all, role)
    }
}

fn of_role(figures: &BTreeMap<(String, String), Figures>, role: &str) -> Figures {
    figures
        .iter()
        .filter(|((its, _), _)| its == role)
        .fold(Figures::default(), |sum, (_, figures)| sum + *figures)
}

impl Tap {
    /// `lowtide run`.
    #[track_caller]
    pub fn lowtide() -> Self {
        Self::lowtide_with(&[])
    }

    /// `lowtide run` with more arguments.
    #[track_caller]
    pub fn lowtide_with(arguments: &[&str]) -> Self {
        let (folder, database) = (TempDir::new().unwrap(), Server::shared());
        let dnstap = format!("unix:{}", folder.path().join("tap.sock").display());
        let spool = folder.path().join("spool").display().to_string();
        let url = database.url();
        let mut all = vec!["--dnstap", &dnstap, "--clickhouse", &url, "--sensor", SENSOR, "--spool", &spool];
        all.extend(["--interval", "1s", "--lateness", "1s", "--metrics", "off"]);
        all.extend(arguments);
        let receiver = Receiver::Lowtide(Lowtide::start(folder.path(), all));
        let tap = Self { folder, database, receiver };
        assert!(tap.socket().exists(), "lowtide says that it watches, and there is no socket");
        tap
    }

    /// `fstrm_capture`, then `lowtide replay`.
    #[track_caller]
    pub fn capture() -> Self {
        let (folder, database) = (TempDir::new().unwrap(), Server::shared());
        let (socket, file) = (folder.path().join("tap.sock"), folder.path().join("tap.dnstap"));
        let mut command = Command::new(program("fstrm_capture", "fstrm-bin"));
        command.args(["-dddd", "-t", "protobuf:dnstap.Dnstap", "-u"]).arg(&socket).arg("-w").arg(file);
        let mut process = Process::start(&command, &folder.path().join("fstrm_capture.log"));
        process.ready(|| socket.exists());
        Self { folder, database, receiver: Receiver::Capture(process) }
    }

    /// The socket's path.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("tap.sock")
    }

    /// Sends the receiver a signal.
    pub fn signal(&self, signal: Signal) {
        match &self.receiver {
            Receiver::Lowtide(lowtide) => lowtide.signal(signal),
            Receiver::Capture(process) => process.signal(signal),
        }
    }

    /// The rows' database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Waits until there are so many queries of the load in a role.
    ///
    /// What a file has cannot be seen from outside, because of the buffers before it: there, the wait is three times as long
    /// as servers hold frames back.
    pub fn wait_for(&self, role: &str, queries: u64) {
        match &self.receiver {
            Receiver::Lowtide(_) => {
                // When it does not come about, the counts that are compared later say what is missing.
                wait_until(PATIENCE, || self.seen().role(role).queries >= queries);
            }
            Receiver::Capture(_) => thread::park_timeout(Duration::from_secs(3)),
        }
    }

    /// Waits until what asks for [`READY`] is seen, so that the server's connection is known to work.
    #[track_caller]
    pub fn wait_until_connected(&self) {
        match &self.receiver {
            Receiver::Lowtide(lowtide) => {
                let seen = wait_until(PATIENCE, || !self.seen().all.is_empty());
                assert!(seen, "no frame of the server came:\n{}", lowtide.log());
            }
            Receiver::Capture(process) => {
                let accepted = wait_until(PATIENCE, || process.log().contains("accepted new connection"));
                assert!(accepted, "no server has connected:\n{}", process.log());
            }
        }
    }

    /// What ClickHouse has.
    #[track_caller]
    pub fn seen(&self) -> Seen {
        let figures = "queries responses answered unanswered pending retransmissions duplicate_responses orphan_responses \
             truncated_responses nxdomain servfail refused negative_latency unknown_latency latency_sum_ns";
        let sums =
            figures.split_whitespace().map(|name| format!(", sum(t.{name}) AS {name}")).collect::<String>();
        let sql = format!(
            "SELECT role, transport,
               multiIf(qname = '{READY}.', 'ready', endsWith(qname, '{ZONE}.'), 'load', 'other') AS purpose{sums}
             FROM traffic AS t WHERE sensor = '{SENSOR}' GROUP BY role, transport, purpose
             SETTINGS output_format_json_quote_64bit_integers = 0 FORMAT JSONEachRow"
        );
        let mut seen = Seen { load: BTreeMap::new(), all: BTreeMap::new() };
        // The tables come with the first rows.
        let text = self.database.try_query(&sql).unwrap_or_default();
        for row in text.lines().map(|line| serde_json::from_str::<Row>(line).unwrap()) {
            let key = (row.role, row.transport);
            if row.purpose == "load" {
                seen.load.insert(key.clone(), row.figures);
            }
            let all = seen.all.entry(key).or_default();
            *all = *all + row.figures;
        }
        seen
    }

    /// The rows about lowtide's own sight; `None` while there are none.
    pub fn coverage(&self) -> Option<Coverage> {
        let sql = format!(
            "SELECT sumMap(lost) AS lost, max(unknown) AS unknown, sum(heartbeats) AS heartbeats
             FROM coverage WHERE sensor = '{SENSOR}'
             SETTINGS output_format_json_quote_64bit_integers = 0 FORMAT JSONEachRow"
        );
        serde_json::from_str(&self.database.try_query(&sql).ok()?).ok()
    }

    /// What was lost for a reason in the intervals from one time to another, both in ClickHouse's form.
    pub fn lost_within(&self, reason: &str, from: &str, to: &str) -> u64 {
        let sql = format!(
            "SELECT max(lost) FROM (
                 SELECT sum(lost['{reason}']) AS lost FROM coverage
                 WHERE sensor = '{SENSOR}' AND server = '' AND interval >= toDateTime('{from}', 'UTC') AND interval <= toDateTime('{to}', 'UTC')
                 GROUP BY source
             )"
        );
        self.database.try_query(&sql).map_or(0, |lost| lost.parse().unwrap())
    }

    /// Ends the receiver, which must go well; what ClickHouse has then.
    #[track_caller]
    pub fn finish(&mut self) -> Seen {
        match &mut self.receiver {
            Receiver::Lowtide(lowtide) => {
                let (status, _, said) = lowtide.stop();
                assert!(status.success(), "lowtide: {status}\n{said}");
            }
            Receiver::Capture(process) => {
                process.signal(Signal::SIGTERM);
                assert!(process.end(PATIENCE).is_some(), "fstrm_capture does not end");
                let mut replay = Command::new(env!("CARGO_BIN_EXE_lowtide"));
                replay
                    .args(["replay", "--quiet", "--interval", "1s", "--clickhouse", &self.database.url()])
                    .args(["--sensor", SENSOR, "--spool"])
                    .arg(self.folder.path().join("spool"))
                    .arg(self.folder.path().join("tap.dnstap"));
                output(&mut replay);
            }
        }
        self.seen()
    }
}
