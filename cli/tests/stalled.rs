//! A lowtide that stands still does no harm to the server whose dnstap it receives, and says afterwards that it missed something.
//!
//! What was measured with the same receiver standing still for good (`fstrm_capture` under SIGSTOP, Debian 12): see
//! [`a_server_stops_beside_a_receiver_that_stands_still`].
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests state their expectations by failing, and measurements say what they measured"
)]

#[path = "support/lowtide.rs"]
mod lowtide;
#[path = "support/process.rs"]
mod process;
#[path = "support/servers/mod.rs"]
mod servers;
mod support;
#[path = "support/tap.rs"]
mod tap;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use process::{PATIENCE, wait_until};
use servers::bind::Bind;
use servers::dnsdist::Dnsdist;
use servers::drive::{Load, Perf, Way, start_dnsperf};
use servers::knot::Knot;
use servers::nsd::Nsd;
use servers::recursor::Recursor;
use servers::unbound::Unbound;
use servers::{DNS, Running, Stopped};
use tap::{SENSOR, Tap};
use tempfile::TempDir;

/// Queries of a load.
const QUERIES: u64 = 5000;

/// How much load a server is under, and for how long.
struct Size {
    /// How often the load is repeated.
    times: u64,
    /// Queries per second.
    rate: u64,
    /// How long the receiver stands still at least.
    still: Duration,
    /// How much of that it has to own up to.
    owned: Duration,
}

/// Small enough for every run of the tests, and longer than what is still taken for a slow tick.
const SMALL: Size =
    Size { times: 4, rate: 5000, still: Duration::from_secs(6), owned: Duration::from_secs(4) };

/// A minute of what a busy server is asked.
const FULL: Size =
    Size { times: 240, rate: 20_000, still: Duration::from_secs(60), owned: Duration::from_secs(58) };

/// A server of any kind.
enum Kind {
    Knot(Knot),
    Nsd(Nsd),
    Bind(Bind),
    Unbound(Unbound),
    Dnsdist(Dnsdist),
    Recursor(Recursor),
}

/// A server, and the one that it asks, if any.
struct Server {
    kind: Kind,
    _upstream: Option<Knot>,
}

impl Server {
    #[track_caller]
    fn start(kind: &str, tap: &Path) -> Self {
        let upstream = matches!(kind, "unbound" | "dnsdist" | "recursor").then(|| Knot::start(None));
        let at = upstream.as_ref().map(|upstream| upstream.running.at(DNS));
        let kind = match (kind, at) {
            ("knot", _) => Kind::Knot(Knot::start(Some(tap))),
            ("nsd", _) => Kind::Nsd(Nsd::start(tap)),
            ("bind", _) => Kind::Bind(Bind::authoritative(tap)),
            ("unbound", Some(at)) => Kind::Unbound(Unbound::start(tap, "stub", at)),
            ("dnsdist", Some(at)) => Kind::Dnsdist(Dnsdist::start(tap, at)),
            ("recursor", Some(at)) => Kind::Recursor(Recursor::start(tap, at)),
            _ => panic!("{kind}?"),
        };
        Self { kind, _upstream: upstream }
    }

    fn running(&self) -> &Running {
        match &self.kind {
            Kind::Knot(server) => &server.running,
            Kind::Nsd(server) => &server.running,
            Kind::Bind(server) => &server.running,
            Kind::Unbound(server) => &server.running,
            Kind::Dnsdist(server) => &server.running,
            Kind::Recursor(server) => &server.running,
        }
    }

    #[track_caller]
    fn stop(&mut self) -> Stopped {
        match &mut self.kind {
            Kind::Knot(server) => server.stop(),
            Kind::Nsd(server) => server.stop(),
            Kind::Bind(server) => server.stop(),
            Kind::Unbound(server) => server.stop(),
            Kind::Dnsdist(server) => server.stop(),
            Kind::Recursor(server) => server.stop(),
        }
    }
}

/// Makes a test of each server.
macro_rules! tests {
    ($($server:ident)*) => {
        $(#[test]
        fn $server() {
            if !process::skipped() && !support::skipped() {
                goes_on(stringify!($server), &SMALL);
            }
        })*
    };
}

tests! { knot nsd bind unbound dnsdist recursor }

/// The servers by the minute and at 20,000 queries a second each.
#[test]
#[ignore = "takes eight minutes, and two idle cores"]
fn a_minute_at_20_000_queries_a_second() {
    for kind in ["knot", "nsd", "bind", "unbound", "dnsdist", "recursor"] {
        goes_on(kind, &FULL);
    }
}

/// Stops the receiver as by ^Z and puts load on the server.
#[track_caller]
fn stall(tap: &Tap, server: &Server, size: &Size) -> Perf {
    let folder = TempDir::new().unwrap();
    let load = Load::new(folder.path(), QUERIES);
    tap.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    let perf = start_dnsperf(Way::Udp, server.running().at(DNS), &load, size.rate, size.times).end();
    while let Some(left) = size.still.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
    perf
}

fn goes_on(kind: &str, size: &Size) {
    let mut tap = Tap::lowtide();
    let mut server = Server::start(kind, &tap.socket());
    tap.wait_until_connected();

    let begin = tap.database().query("SELECT now()");
    let perf = stall(&tap, &server, size);
    assert_eq!(perf.sent, QUERIES * size.times);
    // Of UDP a busy machine may lose some at any time.
    assert!(perf.lost * 1000 <= perf.sent && perf.latency < Duration::from_millis(50), "{perf:?}");
    let end = tap.database().query("SELECT now()");
    tap.signal(Signal::SIGCONT);

    let owned = || tap.lost_within("stalled_ms", &begin, &end);
    assert!(
        wait_until(PATIENCE, || u128::from(owned()) >= size.owned.as_millis()),
        "{} ms of standing still, {:?}",
        owned(),
        tap.coverage()
    );
    let stopped = server.stop();
    assert!(stopped.end < Duration::from_secs(2), "{stopped:?}");
    println!(
        "{kind}: lost {} of {}, latency {:?}; stalled for {} ms, said; {stopped:?}",
        perf.lost,
        perf.sent,
        perf.latency,
        owned()
    );

    let seen = tap.finish();
    let sent = perf.sent * 2; // what a resolver sees from both sides
    let queries = seen.load.values().map(|figures| figures.queries).sum::<u64>();
    assert!(queries > 0 && queries <= sent, "{queries} of {sent}");
    // What the sockets held meanwhile came late, and belongs to when it was asked.
    let late = format!(
        "SELECT count() FROM traffic WHERE sensor = '{SENSOR}' AND interval > toDateTime('{end}', 'UTC')"
    );
    assert_eq!(tap.database().query(&late), "0");
}

/// Not a test of lowtide but of what no receiver can help: how long a server takes to stop beside one that stands still.
///
/// After 20,000 queries at 5,000/s, of which none was lost:
///
/// | server | the receiver goes on before | it stands still |
/// |---|---|---|
/// | Knot | 34 ms | not within a minute |
/// | NSD | 36 ms | 32 ms |
/// | BIND | 58 ms | not within a minute |
/// | Unbound | 86 ms | 2.0 s |
/// | dnsdist | 39 ms | 25 ms |
/// | PowerDNS Recursor | 510 ms | not within a minute |
#[test]
#[ignore = "a measurement, of up to a minute a server"]
fn a_server_stops_beside_a_receiver_that_stands_still() {
    for kind in ["knot", "nsd", "bind", "unbound", "dnsdist", "recursor"] {
        for resumed in [true, false] {
            let tap = Tap::capture();
            let mut server = Server::start(kind, &tap.socket());
            tap.wait_until_connected();
            let perf = stall(&tap, &server, &SMALL);
            if resumed {
                tap.signal(Signal::SIGCONT);
            }
            let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.stop()));
            println!("{kind}, resumed: {resumed}: lost {} of {}, {stopped:?}", perf.lost, perf.sent);
        }
    }
}
