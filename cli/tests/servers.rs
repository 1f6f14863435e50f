//! Six real DNS servers speak dnstap to a receiver: what dnsperf sent is in the rows, to the last count.
//!
//! Every server is driven over each way that it offers. Then the rows in ClickHouse are compared with what dnsperf counted
//! and with the server's own statistics. The same is done with `fstrm_capture` in the place of `lowtide run`, followed by
//! `lowtide replay`: see [`tap`].
//!
//! Without the servers the tests fail and name the package; LOWTIDE_TEST_SERVERS=skip skips them, and says so.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state their expectations by failing"
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

use std::time::Duration;

use servers::bind::Bind;
use servers::dnsdist::Dnsdist;
use servers::drive::{Load, Perf, Way, dnsperf, kdig};
use servers::knot::Knot;
use servers::nsd::Nsd;
use servers::recursor::Recursor;
use servers::unbound::Unbound;
use servers::{DNS, DOH, DOT, Running, Stopped, ZONE};
use tap::{Figures, Seen, Tap};
use tempfile::TempDir;

/// How many queries over one way, and how many a second.
#[derive(Clone, Copy, Debug)]
struct Pace {
    queries: u64,
    rate: u64,
}

/// Slow enough for queues of 512 frames per thread on a busy machine.
const BRISK: Pace = Pace { queries: 3000, rate: 2000 };
/// Slow enough for one such queue and a pipe of 64 KiB before it.
const CALM: Pace = Pace { queries: 1000, rate: 400 };
/// How many queries over HTTPS, where dnsperf is slow.
const QUERIES_DOH: u64 = 100;

/// Makes both tests of a server.
macro_rules! tests {
    ($($server:ident)*) => {
        mod live {
            $(#[test]
            fn $server() {
                if !crate::skipped() {
                    crate::$server(crate::Tap::lowtide());
                }
            })*
        }

        mod in_a_file {
            $(#[test]
            fn $server() {
                if !crate::skipped() {
                    crate::$server(crate::Tap::capture());
                }
            })*
        }
    };
}

tests! { knot nsd bind bind_resolver unbound unbound_forwarder dnsdist recursor }

fn skipped() -> bool {
    process::skipped() || support::skipped()
}

/// What was sent over one way, and what came of it.
#[derive(Debug, Default)]
struct Sent {
    perf: Perf,
    /// How many were for names that do not exist.
    nxdomain: u64,
    /// How many had answers too big for their way.
    truncated: u64,
}

/// Puts a load on a server over some ways, and asks it once by kdig over each.
#[track_caller]
fn drive(server: &Running, pace: Pace, ways: &[Way]) -> Vec<Sent> {
    let folder = TempDir::new().unwrap();
    let drive = |way: &Way| {
        let load = Load::new(folder.path(), if *way == Way::Doh { QUERIES_DOH } else { pace.queries });
        let at = server.at(match way {
            Way::Udp | Way::Tcp => DNS,
            Way::Dot => DOT,
            Way::Doh => DOH,
        });
        let mut perf = dnsperf(*way, at, &load, pace.rate);
        assert_eq!(
            (perf.sent, perf.completed, perf.lost),
            (load.queries, load.queries, 0),
            "{way:?}: {perf:?}"
        );
        assert_eq!(perf.rcodes.get("NXDOMAIN"), Some(&load.nxdomain), "{way:?}: {perf:?}");
        assert_eq!(perf.rcodes.len(), 2, "{way:?}: {perf:?}");
        assert_eq!(kdig(*way, at, &format!("host7.{ZONE}"), "A"), "NOERROR", "{way:?}");
        (perf.sent, perf.completed) = (perf.sent + 1, perf.completed + 1);
        Sent { perf, nxdomain: load.nxdomain, truncated: if *way == Way::Udp { load.big } else { 0 } }
    };
    ways.iter().map(drive).collect()
}

/// What a server's clock is good for, which stands in its dnstap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Microseconds or better.
    Fine,
    /// Steps of 4 ms, so that most latencies are 0 and a few are 4 ms.
    Coarse,
    /// Fine, but both times are those at which another process came to see the messages.
    Late,
}

/// Compares what was seen of some ways with what was sent over them.
#[track_caller]
fn compare(seen: Figures, sent: &[Sent], clock: Clock) {
    let sum = |count: fn(&Sent) -> u64| sent.iter().map(count).sum::<u64>();
    let queries = sum(|sent| sent.perf.sent);
    let expected = Figures {
        queries,
        responses: queries,
        answered: sum(|sent| sent.perf.completed),
        unanswered: sum(|sent| sent.perf.lost),
        truncated_responses: sum(|sent| sent.truncated),
        nxdomain: sum(|sent| sent.nxdomain),
        negative_latency: if clock == Clock::Late { seen.negative_latency } else { 0 },
        latency_sum_ns: seen.latency_sum_ns,
        ..Figures::default()
    };
    assert_eq!(seen, expected);

    // What a server takes is a part of what its client waits.
    let mean = seen.latency().unwrap();
    let waited = sent.iter().map(|sent| sent.perf.latency.as_secs_f64() * sent.perf.sent as f64).sum::<f64>()
        / queries as f64;
    match clock {
        Clock::Fine => assert!(!mean.is_zero() && mean.as_secs_f64() <= waited, "{mean:?}, of {waited} s"),
        Clock::Coarse => assert!(mean.as_secs_f64() <= waited + 0.004, "{mean:?}, of {waited} s"),
        Clock::Late => {}
    }
}

/// What a stop may take when its receiver answers.
#[track_caller]
fn in_time(stopped: Stopped) {
    assert!(stopped.end < Duration::from_secs(2), "{stopped:?}");
}

/// Waits for all that was sent, stops the server, then the receiver.
#[track_caller]
fn finish(tap: &mut Tap, role: &str, sent: &[Sent], stop: impl FnOnce() -> Stopped) -> Seen {
    tap.wait_for(role, sent.iter().map(|sent| sent.perf.sent).sum());
    in_time(stop());
    tap.finish()
}

fn knot(mut tap: Tap) {
    let mut knot = Knot::start(Some(&tap.socket()));
    tap.wait_until_connected();
    let sent = drive(&knot.running, BRISK, &[Way::Udp, Way::Tcp]);
    let own = knot.queries();
    let seen = finish(&mut tap, "auth", &sent, || knot.stop());
    compare(seen.of("auth", "udp"), &sent[..1], Clock::Fine);
    compare(seen.of("auth", "tcp"), &sent[1..], Clock::Fine);
    assert_eq!(seen.everything("auth").queries, own);
}

fn nsd(mut tap: Tap) {
    let mut nsd = Nsd::start(&tap.socket());
    tap.wait_until_connected();
    let sent = drive(&nsd.running, CALM, &[Way::Udp, Way::Tcp, Way::Dot]);
    let own = nsd.queries();
    let seen = finish(&mut tap, "auth", &sent, || nsd.stop());
    compare(seen.of("auth", "udp"), &sent[..1], Clock::Late);
    // It tells TLS as TCP.
    compare(seen.of("auth", "tcp"), &sent[1..], Clock::Late);
    assert_eq!(seen.everything("auth").queries, own);
}

/// Its responses are CLIENT_RESPONSE, also as an authoritative server: the pairs are AUTH_QUERY and CLIENT_RESPONSE.
fn bind(mut tap: Tap) {
    let mut bind = Bind::authoritative(&tap.socket());
    tap.wait_until_connected();
    let sent = drive(&bind.running, BRISK, &[Way::Udp, Way::Tcp, Way::Dot, Way::Doh]);
    let own = bind.statistics();
    let seen = finish(&mut tap, "auth", &sent, || bind.stop());
    compare(seen.of("auth", "udp"), &sent[..1], Clock::Coarse);
    // It tells TLS and HTTPS as TCP.
    compare(seen.of("auth", "tcp"), &sent[1..], Clock::Coarse);
    assert_eq!(seen.role("client"), Figures::default());
    let all = seen.everything("auth");
    assert_eq!((all.queries, all.queries + all.responses, 0), (own.queries, own.frames, own.dropped));
}

/// What a resolver asked, as it says and as the server that it asked says.
///
/// Each question of the load at least once: then it is in the cache, but two threads may find at once that it is not. Each
/// time that the answer is too big for UDP, the question is asked over TCP, too.
#[track_caller]
fn compare_upstream(seen: &Seen, role: &str, server: u64) {
    let questions = Load::new(TempDir::new().unwrap().path(), BRISK.queries).questions;
    let (load, tcp, all) = (seen.role(role), seen.of(role, "tcp"), seen.everything(role));
    let expected = Figures {
        queries: load.queries,
        responses: load.queries,
        answered: load.queries,
        truncated_responses: tcp.queries,
        nxdomain: load.nxdomain,
        latency_sum_ns: load.latency_sum_ns,
        ..Figures::default()
    };
    assert_eq!(load, expected);
    assert!(load.queries > questions && tcp.queries >= 1, "{load:?} {tcp:?}");
    assert_eq!((all.queries, all.answered), (server, server));
}

fn bind_resolver(mut tap: Tap) {
    let upstream = Knot::start(None);
    let before = upstream.queries();
    let mut bind = Bind::recursive(&tap.socket(), &upstream.running);
    tap.wait_until_connected();
    let sent = drive(&bind.running, BRISK, &[Way::Udp, Way::Tcp, Way::Dot, Way::Doh]);
    let own = bind.statistics();
    let seen = finish(&mut tap, "client", &sent, || bind.stop());
    compare(seen.of("client", "udp"), &sent[..1], Clock::Coarse);
    compare(seen.of("client", "tcp"), &sent[1..], Clock::Coarse);
    assert_eq!((seen.everything("client").queries, 0), (own.queries, own.dropped));
    compare_upstream(&seen, "resolver", upstream.queries() - before);
}

fn unbound(tap: Tap) {
    unbound_asks(tap, "stub", "resolver");
}

fn unbound_forwarder(tap: Tap) {
    unbound_asks(tap, "forward", "forwarder");
}

fn unbound_asks(mut tap: Tap, kind: &str, role: &str) {
    let upstream = Knot::start(None);
    let before = upstream.queries();
    let mut unbound = Unbound::start(&tap.socket(), kind, upstream.running.at(DNS));
    tap.wait_until_connected();
    let sent = drive(&unbound.running, BRISK, &[Way::Udp, Way::Tcp, Way::Dot, Way::Doh]);
    let own = unbound.queries();
    let seen = finish(&mut tap, "client", &sent, || unbound.stop());
    compare(seen.of("client", "udp"), &sent[..1], Clock::Fine);
    // It tells TLS as TCP, and nothing of HTTPS.
    compare(seen.of("client", "tcp"), &sent[1..3], Clock::Fine);
    compare(seen.of("client", "unknown"), &sent[3..], Clock::Fine);
    assert_eq!(seen.everything("client").queries, own);
    compare_upstream(&seen, role, upstream.queries() - before);
}

fn dnsdist(mut tap: Tap) {
    let server = Knot::start(None);
    let mut dnsdist = Dnsdist::start(&tap.socket(), server.running.at(DNS));
    tap.wait_until_connected();
    let sent = drive(&dnsdist.running, BRISK, &[Way::Udp, Way::Tcp, Way::Dot, Way::Doh]);
    let own = dnsdist.queries();
    let seen = finish(&mut tap, "client", &sent, || dnsdist.stop());
    for (transport, sent) in ["udp", "tcp", "dot", "doh"].iter().zip(&sent) {
        compare(seen.of("client", transport), std::slice::from_ref(sent), Clock::Fine);
    }
    assert_eq!(seen.everything("client").queries, own);
}

/// Its dnstap tells nothing of its clients.
fn recursor(mut tap: Tap) {
    let upstream = Knot::start(None);
    let before = upstream.queries();
    let mut recursor = Recursor::start(&tap.socket(), upstream.running.at(DNS));
    tap.wait_until_connected();
    drive(&recursor.running, BRISK, &[Way::Udp, Way::Tcp]);
    let asked = upstream.queries() - before;
    assert_eq!(recursor.outgoing(), asked);
    tap.wait_for("resolver", Load::new(TempDir::new().unwrap().path(), BRISK.queries).questions + 1);
    in_time(recursor.stop());
    let seen = tap.finish();
    // At its start it asks the root for its name servers, perhaps before its dnstap is there.
    let all = seen.everything("resolver").queries;
    assert!(all == asked || all == asked - 1, "{all} of {asked}");
    compare_upstream(&seen, "resolver", all);
    assert_eq!(seen.role("client"), Figures::default());
}
