//! The truth agrees with the stream of queries, for many migrations at random.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lowtide_proto::Timestamp;
use lowtide_simulator::{Class, DAY, IN_FLIGHT, Parameters, SCENARIOS, Truth};

use super::{Stream, run, scenario};

fn check(parameters: Parameters) {
    let name = format!("{} {}", parameters.scenario, parameters.seed);
    let (stream, truth) = run(parameters);
    check_lasts(&name, &stream, &truth);
    check_horizon(&name, &truth);
    let set_apart: Vec<bool> = truth.clients.iter().map(|client| client.is_set_apart).collect();
    for asked in &stream.asked {
        let client = &truth.clients[asked.client_number];
        assert_eq!(client.class, asked.class, "{name}");
        assert!(client.addresses.contains(&asked.client.ip()), "{name}: {asked:?} {client:?}");
    }
    for server in &truth.servers {
        let of = |asked: &&lowtide_simulator::Asked| {
            asked.server.ip() == server.address && truth_zone(&truth, asked.zone) == Some(&server.zone)
        };
        let apart = |asked: &&lowtide_simulator::Asked| !set_apart[asked.client_number];
        let last = stream.asked.iter().filter(of).filter(apart).map(|asked| asked.time).max();
        assert_eq!(last, server.last_query, "{name}");
    }
}

fn truth_zone(truth: &Truth, zone: usize) -> Option<&String> {
    truth.horizons.get(zone).map(|horizon| &horizon.zone)
}

fn check_lasts(name: &str, stream: &Stream, truth: &Truth) {
    let mut lasts: BTreeMap<(&String, IpAddr, Class), (Timestamp, u64)> = BTreeMap::new();
    for asked in stream.asked.iter().filter(|asked| !asked.is_new) {
        if let Some(zone) = truth_zone(truth, asked.zone) {
            let last = lasts.entry((zone, asked.server.ip(), asked.class)).or_default();
            *last = (last.0.max(asked.time), last.1 + 1);
        }
    }
    for server in &truth.servers {
        for class in Class::ALL {
            let seen = lasts.get(&(&server.zone, server.address, class)).copied();
            let told = server.last.get(&class).copied().zip(server.queries.get(&class).copied());
            assert_eq!(seen, told, "{name}: {class:?} at {server:?}");
        }
        let last = |class| lasts.get(&(&server.zone, server.address, class)).map(|last| last.0);
        let (compliant, extending) = (last(Class::ResolverCompliant), last(Class::ResolverExtending));
        assert_eq!((compliant, extending), (server.last_compliant, server.last_extending), "{name}");
        let may_come = server.compliant_may_come || server.extending_may_come;
        let drained = truth
            .true_cutover
            .filter(|_| !may_come)
            .map(|cutover| compliant.max(extending).unwrap_or_default().max(cutover));
        assert_eq!(server.drained_from, drained, "{name}");
    }
}

/// No compliant cache goes beyond what parent and servers have told it.
fn check_horizon(name: &str, truth: &Truth) {
    for server in truth.servers.iter().filter(|server| server.drained_from.is_some()) {
        let horizon = truth.horizons.iter().find(|horizon| horizon.zone == server.zone).unwrap();
        let until = horizon.parent.max(horizon.child).unwrap();
        if until < truth.end {
            let until = Timestamp(until.0 + IN_FLIGHT);
            assert!(server.last_compliant <= Some(until), "{name}: {server:?} {horizon:?}");
        }
    }
}

#[test]
fn of_every_scenario() {
    for (name, _) in SCENARIOS {
        let mut parameters = scenario(name);
        parameters.population.resolvers = parameters.population.resolvers.min(60);
        check(parameters);
    }
}

#[test]
fn of_migrations_at_random() {
    for seed in 0..60 {
        let mut parameters = Parameters::random(seed);
        parameters.population.resolvers = parameters.population.resolvers.min(150);
        parameters.population.queries_per_day = parameters.population.queries_per_day.min(40.0);
        check(parameters);
    }
}

#[test]
fn there_are_all_kinds_of_migrations_at_random() {
    let mut drained = 0;
    // A day without a query of a cache, and then one comes.
    let mut misleading = 0;
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..200 {
        let mut parameters = Parameters::random(seed);
        parameters.population.resolvers = parameters.population.resolvers.min(20);
        parameters.population.queries_per_day = parameters.population.queries_per_day.min(4.0);
        parameters.background_per_hour = 0.0;
        let (stream, truth) = run(parameters);
        // As verdicts are given: for each zone and server.
        let day_before = Timestamp(truth.end.0 - DAY * 1_000_000_000);
        let mut queries: BTreeMap<_, (Option<Timestamp>, bool)> = BTreeMap::new();
        for asked in stream.cache_driven() {
            let (last, comes_later) = queries.entry((asked.zone, asked.server.ip())).or_default();
            if asked.is_after_end {
                *comes_later = true;
            } else {
                *last = Some(asked.time);
            }
        }
        let is_misleading =
            |(last, comes_later): &&(Option<Timestamp>, bool)| *comes_later && *last < Some(day_before);
        misleading += queries.values().filter(is_misleading).count();
        let is_drained =
            truth.servers.iter().all(|server| server.drained_from.is_some_and(|at| at < truth.end));
        drained += u32::from(is_drained);
        for what in truth.mistakes.iter().cloned().chain(truth.holes.iter().map(|hole| hole.kind.to_owned()))
        {
            *kinds.entry(what).or_default() += 1;
        }
    }
    assert!((50..195).contains(&drained), "{drained}");
    assert!(misleading > 3, "{misleading}");
    for kind in [
        "ttl-not-lowered",
        "old-ns-still-served",
        "new-serves-old-ns",
        "forgotten-server",
        "twice",
        "rolled-back",
        "switched-off-early",
        "outage",
        "death",
        "drop",
        "clock-step",
        "late",
        "unwatched-server",
    ] {
        assert!(kinds.contains_key(kind), "no {kind} in {kinds:?}");
    }
}
