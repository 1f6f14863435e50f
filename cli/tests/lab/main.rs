//! A migration of two zones between real providers, from before the cutover until the old one is switched off.
//!
//! Knot is the root and the parent zone, NSD the old provider, Knot the new one. Two Unbounds, BIND and the PowerDNS Recursor resolve
//! from the root with TTLs of seconds, and are asked all the time; somebody else has the old provider's addresses in a file. lowtide
//! reads the providers' wires into ClickHouse, and tcpdump into files. The verdicts from both have to agree, one after the other:
//!
//! - `active`, until the parent's NS sets and glue name the new provider;
//! - `not-closing`, while the old provider's own copies of the zones still lead to it;
//! - `draining`, while caches may hold that, and while the hard-coded clients go on;
//! - `unknown`, because the tap at the old provider died for some seconds of the quiet period;
//! - `drained`. Then the old provider is switched off, and every query of the resolvers' clients is answered.
//!
//! Who asked how often is compared with what tcpdump and tshark count at the other ends of the wires, and the cache horizon with when the
//! last resolver came.
//!
//! The test needs root, for namespaces and interfaces; LOWTIDE_TEST_NET=skip skips it, and says so.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state their expectations by failing"
)]

mod authority;
mod bench;
mod load;
#[path = "../support/lowtide.rs"]
mod lowtide;
#[path = "../support/net.rs"]
mod net;
#[path = "../support/process.rs"]
mod process;
mod resolver;
mod sensor;
#[path = "../support/servers/mod.rs"]
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod verdict;
mod witness;
mod world;

use std::io::{Write, stderr};
use std::thread;
use std::time::{Duration, Instant};

use authority::{MOVING, NS_TTL, PARENT_TTL};
use bench::Bench;
use load::Load;
use process::wait_until;
use verdict::text;
use world::{Family, HARD_CODED, NEW, OLD, RESOLVERS, both, v4};

/// Says how far the story is; seen when the test fails, or with --nocapture.
fn tell(text: &str) {
    let _ = stderr().write_all(format!("{} {text}\n", jiff::Timestamp::now()).as_bytes());
}

/// Lets the others go on for a while.
fn pass(time: Duration) {
    let begin = Instant::now();
    while let Some(left) = time.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn from_before_the_cutover_until_the_old_provider_is_off() {
    if net::skipped() || process::skipped() || support::skipped() {
        return;
    }
    let mut bench = Bench::start();
    let hard_coded = Family::BOTH.map(|family| Load::hard_coded(&bench.world, family));
    let fixed = both(HARD_CODED).map(|address| address.to_string());
    tell("resolvers are led to the old provider");
    pass(seconds(12));
    bench.until(&["unknown"], "active", "before-cutover");

    bench.parent.delegate_to_new(&bench.world);
    let cutover = bench.cut_over();
    tell("the parent names the new provider; the old provider's own copies name the old one");
    pass(seconds(8));
    for (rrset, section) in
        [(format!("{}. NS", MOVING[0]), "authority"), (format!("ns1.{}. A", MOVING[1]), "additional")]
    {
        let culprit = format!("{} still serves {rrset} ({section} section, TTL {NS_TTL} s)", v4(OLD));
        bench.until(&["active", "draining"], "not-closing", &culprit);
    }

    bench.old.name_new(&bench.world);
    let closed = jiff::Timestamp::now();
    tell("the old provider's copies name the new provider");
    bench.until(&["not-closing"], "draining", "within-horizon");
    pass(seconds(u64::from(NS_TTL) + 5));
    let asked = bench.until(&["draining"], "draining", "queries");
    for said in &asked {
        // The parent's change was before; what the old provider gave away last holds longer. Rows have it in whole seconds.
        let horizon = said.horizon();
        let bound = closed + seconds(u64::from(NS_TTL) + 1);
        assert!(horizon <= bound && horizon > cutover + seconds(PARENT_TTL.into()), "{horizon} {bound}");
        for (key, client) in said.residual() {
            let class = if fixed.contains(&key.2) { "hard-coded" } else { "resolver-within-horizon" };
            assert_eq!(text(&client["class"]), class, "{key:?} {client:#}");
        }
    }

    let sent = hard_coded.map(Load::end);
    tell("the last clients stop");
    // What lowtide holds in memory dies with it.
    let of_fixed = |bench: &Bench| {
        let rows = bench.rows(OLD);
        fixed.each_ref().map(|client| {
            rows.iter().filter(|((_, _, known), _)| known == client).map(|(_, count)| count).sum::<u64>()
        })
    };
    assert!(wait_until(seconds(60), || of_fixed(&bench) == sent), "{sent:?} {:?}", bench.rows(OLD));
    bench.at_old.kill();
    let killed = jiff::Timestamp::now();
    tell("the tap at the old provider is dead");
    pass(seconds(6));
    let revived = jiff::Timestamp::now();
    bench.at_old.revive();
    tell("the tap is back");
    for said in bench.until(&["draining"], "unknown", "hole") {
        let holes = said.holes();
        assert!(
            holes.iter().any(|(from, to)| *from <= killed && *to >= revived),
            "{killed} {revived} {holes:?}"
        );
    }
    let drained = bench.until(&["unknown"], "drained", "quiet");
    bench.end_clients();

    bench.old.switch_off();
    tell("the old provider is off");
    bench.nobody_misses_it();
    tell("nobody misses it");

    bench.at_old.stop();
    bench.at_new.stop();
    let [old, new] = [OLD, NEW].map(|host| (bench.witness(host), bench.rows(host)));
    for (witness, rows) in [&old, &new] {
        assert_eq!(*rows, witness.counts);
    }
    for said in &drained {
        assert_eq!(said.counts(), old.0.since(cutover));
    }
    // The horizon is right: no resolver came after it.
    let resolvers = RESOLVERS.map(both);
    let last = old.0.last.iter().filter(|((_, _, client), _)| {
        resolvers.iter().flatten().any(|address| address.to_string() == *client)
    });
    let last = *last.map(|(_, time)| time).max().unwrap();
    for said in &asked {
        tell(&format!(
            "the last resolver came {} s before the horizon",
            said.horizon().duration_since(last).as_secs_f64()
        ));
        assert!(last <= said.horizon(), "{last} {}", said.horizon());
    }
}
