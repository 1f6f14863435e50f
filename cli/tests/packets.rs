//! `lowtide run` reads the packets of an interface, in network namespaces, as an unprivileged user: what is in ClickHouse then is what
//! a replay of the same packets shows, and what dnsperf counted at the other end of the wire.
//!
//! The tests need root, for namespaces and interfaces; LOWTIDE_TEST_NET=skip skips them, and says so.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state their expectations by failing"
)]

#[path = "support/lowtide.rs"]
mod lowtide;
#[path = "support/net.rs"]
mod net;
#[path = "support/process.rs"]
mod process;
#[path = "../../capture/tests/live/program.rs"]
mod program;
#[path = "support/servers/mod.rs"]
mod servers;
mod support;

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use lowtide::Lowtide;
use net::{Namespace, ip, send};
use process::{PATIENCE, wait_until};
use servers::drive::{Load, Way, dnsperf};
use servers::knot::Knot;
use servers::output;
use support::Server;
use tempfile::TempDir;

/// The interface that is read; frames come from the other end of the wire.
const TAP: &str = "tap";
/// The other end.
const WIRE: &str = "wire";

/// Recordings of real servers.
const RECORDINGS: [&str; 6] = ["plain", "auth", "edns", "tcp-pipeline", "truncation", "notify-update"];

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../testdata/{name}.pcap"))
}

fn skipped() -> bool {
    net::skipped() || support::skipped()
}

/// A `lowtide run` at [`TAP`] with its ClickHouse, both in a namespace where the test's thread is, too, and a wire out of it.
struct Bench {
    folder: TempDir,
    server: Server,
    lowtide: Lowtide,
    outside: Namespace,
    _inside: Namespace,
}

impl Bench {
    #[track_caller]
    fn start(arguments: &[&str]) -> Self {
        let (inside, outside) = (Namespace::new(), Namespace::new());
        inside.enter();
        outside.join(TAP, WIRE);
        // Not the one that tests of a process share: it would be in another's namespace.
        let server = Server::start();
        let folder = TempDir::new().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let (spool, url) = (folder.path().join("spool").display().to_string(), server.url("lowtide"));
        let mut all =
            vec!["--interface", TAP, "--user", "nobody", "--clickhouse", &url, "--sensor", "live", "--spool"];
        all.extend([spool.as_str(), "--interval", "1s", "--lateness", "1s", "--query-timeout", "1s"]);
        all.extend(arguments);
        let lowtide = Lowtide::start(folder.path(), all);
        let status = fs::read_to_string(format!("/proc/{}/status", lowtide.pid())).unwrap();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap();
        assert_ne!(uid.split_whitespace().next(), Some("0"), "{status}");
        Self { folder, server, lowtide, outside, _inside: inside }
    }

    fn try_query(&self, sql: &str) -> Option<String> {
        self.server.request(sql).database("lowtide").send().ok()
    }

    #[track_caller]
    fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|| panic!("{sql}"))
    }

    /// Messages in rows of live traffic.
    fn messages(&self) -> u64 {
        // The tables come with the first rows.
        self.try_query("SELECT sum(queries) + sum(responses) FROM traffic WHERE sensor = 'live'")
            .map_or(0, |sum| sum.parse().unwrap())
    }

    /// Waits until so many messages are in rows, or longer than that takes.
    fn wait_for(&self, messages: u64) {
        // When it does not come about, the comparison says what is missing.
        wait_until(PATIENCE, || self.messages() >= messages);
    }

    #[track_caller]
    fn wait_for_log(&self, words: &str) {
        assert!(wait_until(PATIENCE, || self.lowtide.log().contains(words)), "{}", self.lowtide.log());
    }

    /// Sends recordings into the wire; how many frames they have.
    fn send(&self, recordings: &[&str]) -> u64 {
        self.outside.inside(|| recordings.iter().map(|name| send(&recording(name), WIRE)).sum())
    }

    /// Replays all recordings, each for itself, into the same database; how many messages they have.
    fn replay_all(&self) -> u64 {
        for name in RECORDINGS {
            let mut replay = Command::new(env!("CARGO_BIN_EXE_lowtide"));
            replay.args(["replay", "--quiet", "--sensor", "file", "--run", name, "--clickhouse"]);
            replay.arg(self.server.url("lowtide")).arg("--spool").arg(self.folder.path().join("replay"));
            output(replay.arg(recording(name)));
        }
        self.query("SELECT sum(queries) + sum(responses) FROM traffic WHERE sensor = 'file'").parse().unwrap()
    }

    /// Says whether rows of live traffic are those of the replay.
    #[track_caller]
    fn compare(&self) {
        let rows = |sensor: &str| {
            let sql = format!(
                "SELECT server, role, transport, qname, qtype, sum(t.queries), sum(t.responses), sumMap(t.rcodes),
                     sum(t.query_octets), sum(t.response_octets)
                 FROM traffic AS t WHERE sensor = '{sensor}' GROUP BY ALL"
            );
            self.query(&sql).lines().map(str::to_owned).collect::<BTreeSet<_>>()
        };
        let (live, file) = (rows("live"), rows("file"));
        let (more, less) = (live.difference(&file), file.difference(&live));
        assert!(
            live == file,
            "live: {:#?}\nreplayed: {:#?}",
            more.collect::<Vec<_>>(),
            less.collect::<Vec<_>>()
        );
    }

    /// What was lost of the interface for a reason.
    #[track_caller]
    fn lost(&self, reason: &str) -> u64 {
        let sql =
            format!("SELECT sum(lost['{reason}']) FROM coverage WHERE sensor = 'live' AND source = '{TAP}'");
        self.query(&sql).parse().unwrap()
    }

    /// Frames that the interface has shown.
    #[track_caller]
    fn frames(&self) -> u64 {
        let sql = format!(
            "SELECT sum(frames) FROM coverage WHERE sensor = 'live' AND source = '{TAP}' AND server = ''"
        );
        self.query(&sql).parse().unwrap()
    }

    #[track_caller]
    fn stop(&mut self) {
        let (status, took, said) = self.lowtide.stop();
        assert!(status.success(), "{status}\n{said}");
        assert!(took < Duration::from_secs(20), "{took:?}\n{said}");
    }
}

#[test]
fn live_rows_are_those_of_a_replay_also_when_the_interface_comes_back() {
    if skipped() {
        return;
    }
    let mut bench = Bench::start(&["--metrics", "off"]);
    // Not the same again after it: TCP streams of the same numbers would be retransmissions.
    let (before, after) = RECORDINGS.split_at(3);
    let mut frames = bench.send(before);
    let messages = bench.replay_all();
    assert!(messages > 400, "{messages}");
    assert!(wait_until(PATIENCE, || bench.messages() > 0));
    assert_eq!(bench.lost("interface_gone_ms"), 0);

    // With the interface goes the other end.
    let begin = Instant::now();
    ip(&["link", "del", TAP]);
    bench.wait_for_log("looking for it once a second");
    let noticed = Instant::now();
    thread::park_timeout(Duration::from_millis(2_500));
    let away = noticed.elapsed();
    bench.outside.join(TAP, WIRE);
    bench.wait_for_log(&format!("{TAP} is back"));
    let gone = begin.elapsed();
    frames += bench.send(after);
    bench.wait_for(messages);
    bench.stop();

    bench.compare();
    let lost = Duration::from_millis(bench.lost("interface_gone_ms"));
    // The last certain sight may be a little older than the removal; each interval is rounded up to a millisecond.
    assert!(lost >= away && lost <= gone + Duration::from_secs(2), "{away:?} {lost:?} {gone:?}");
    assert_eq!((bench.lost("kernel_drop"), bench.lost("interface_drop")), (0, 0));
    // What is no DNS does not pass the filter.
    assert!(bench.frames() <= frames, "{} of {frames}", bench.frames());
}

#[test]
fn two_threads_neither_lose_nor_double() {
    if skipped() {
        return;
    }
    let mut bench = Bench::start(&["--capture-threads", "2"]);
    bench.send(&RECORDINGS);
    let messages = bench.replay_all();
    bench.wait_for(messages);
    // The namespace has this port for itself.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, 9353)).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics).unwrap();
    bench.stop();
    bench.compare();
    assert_eq!((bench.lost("kernel_drop"), bench.lost("interface_drop")), (0, 0));
    for reader in ["tap#0", "tap#1"] {
        let read = metrics
            .lines()
            .filter(|line| line.starts_with("lowtide_frames_total{") && line.contains(reader))
            .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .sum::<f64>();
        assert!(read > 0.0, "{reader}: {metrics}");
    }
}

#[test]
fn coverage_is_unknown_while_an_xdp_program_is_attached() {
    if skipped() {
        return;
    }
    let mut bench = Bench::start(&["--metrics", "off"]);
    let file = bench.folder.path().join("pass.o");
    fs::write(&file, program::passes_all()).unwrap();
    let count = |bench: &Bench, unknown: u8| {
        let sql = format!(
            "SELECT uniqExact(interval) FROM coverage
             WHERE sensor = 'live' AND source = '{TAP}' AND heartbeats > 0 AND unknown = {unknown}"
        );
        bench.try_query(&sql).map_or(0, |count| count.parse::<u64>().unwrap())
    };
    assert!(wait_until(PATIENCE, || count(&bench, 0) > 0));
    assert_eq!(count(&bench, 1), 0);
    ip(&["link", "set", TAP, "xdpgeneric", "obj", &file.display().to_string(), "sec", "xdp"]);
    bench.wait_for_log("an XDP program is attached (generic)");
    thread::park_timeout(Duration::from_secs(2));
    ip(&["link", "set", TAP, "xdpgeneric", "off"]);
    bench.wait_for_log("no XDP program is attached any more");
    let known = count(&bench, 0);
    assert!(wait_until(PATIENCE, || count(&bench, 0) >= known + 2));
    bench.stop();
    assert!(count(&bench, 1) >= 3, "{}", bench.lowtide.log());
}

#[test]
fn what_dnsperf_asks_of_knot_is_seen_to_the_last_query() {
    if skipped() || process::skipped() {
        return;
    }
    let (at, client) = (Ipv4Addr::new(192, 0, 2, 1), "192.0.2.2/24");
    let mut bench = Bench::start(&["--metrics", "off", "--no-promiscuous"]);
    ip(&["address", "add", &format!("{at}/24"), "dev", TAP]);
    bench.outside.inside(|| ip(&["address", "add", client, "dev", WIRE]));
    let mut knot = Knot::on(at);
    let load = Load::new(bench.folder.path(), 3_000);
    let ways = [(Way::Udp, "udp", load.big), (Way::Tcp, "tcp", 0)];
    let sent = ways.map(|(way, transport, truncated)| {
        let perf = bench.outside.inside(|| dnsperf(way, knot.running.at(servers::DNS), &load, 2_000));
        assert_eq!((perf.sent, perf.lost), (load.queries, 0), "{perf:?}");
        assert_eq!(perf.rcodes.get("NXDOMAIN"), Some(&load.nxdomain), "{perf:?}");
        (transport, truncated, perf)
    });
    bench.wait_for(4 * load.queries);
    knot.stop();
    bench.stop();
    for (transport, truncated, perf) in sent {
        let row = bench.query(&format!(
            "SELECT sum(t.queries), sum(t.responses), sum(t.answered), sum(t.unanswered), sum(t.pending), sum(t.retransmissions),
                 sum(t.orphan_responses), sum(t.nxdomain), sum(t.truncated_responses)
             FROM traffic AS t WHERE sensor = 'live' AND role = 'wire' AND server = '{at}' AND transport = '{transport}'"
        ));
        let expected = [perf.sent, perf.completed, perf.completed, 0, 0, 0, 0, load.nxdomain, truncated]
            .map(|count| count.to_string());
        assert_eq!(row.split('\t').collect::<Vec<_>>(), expected, "{transport}");
        let latency = bench.query(&format!(
            "SELECT sum(latency_sum_ns) / sum(answered) / 1e9 FROM traffic WHERE sensor = 'live' AND transport = '{transport}'"
        ));
        let latency = latency.parse::<f64>().unwrap();
        // A part of what the client waits.
        assert!(latency > 0.0 && latency <= perf.latency.as_secs_f64(), "{latency} {perf:?}");
    }
    assert_eq!((bench.lost("kernel_drop"), bench.lost("interface_drop")), (0, 0));
}
