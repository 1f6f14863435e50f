//! Resolvers do what their policy says.

use std::collections::HashMap;

use lowtide_simulator::{Class, DAY, HOUR, IN_FLIGHT, NsSet, Parameters};

use super::{after, run, scenario};

/// The scenario, with resolvers of one kind alone.
fn only(name: &str, change: impl Fn(&mut Parameters)) -> Parameters {
    let mut parameters = scenario(name);
    let population = &mut parameters.population;
    population.child_centric = 0.0;
    population.capping = 0.0;
    population.shared = 0.0;
    population.validating = 0.0;
    population.prefetching = 0.0;
    change(&mut parameters);
    parameters
}

#[test]
fn parent_centric_ones_leave_within_the_parents_ttl() {
    for name in ["ttl-not-lowered", "old-ns-still-served", "new-serves-old-ns", "vanity-names"] {
        let (stream, truth) = run(only(name, |_| ()));
        let last = stream.last_cache_driven();
        assert!(last.0 <= after(truth.cutover, DAY).0 + IN_FLIGHT, "{name}: {last:?}");
        // With three hundred of them, somebody does use nearly all of it.
        assert!(last > after(truth.cutover, DAY - HOUR), "{name}: {last:?}");
        assert!(truth.servers.iter().any(|server| server.drained_from == Some(last)));
    }
}

#[test]
fn caps_hold_for_what_leads_to_servers() {
    let (stream, truth) = run(only("textbook", |of| of.population.capping = 1.0));
    let behaviour = |client: usize| &truth.clients[client].behaviour;
    let hour = stream.cache_driven().filter(|asked| behaviour(asked.client_number).contains("Caps(3600)"));
    let last = hour.map(|asked| asked.time).max().unwrap();
    assert!(last.0 <= after(truth.cutover, HOUR).0 + IN_FLIGHT);
    // What was known from before the start is capped as well, so that all is asked for again within each hour.
    assert!(last > truth.cutover);
}

#[test]
fn child_centric_ones_learn_the_old_set_again_while_it_is_served() {
    let child = |of: &mut Parameters| {
        of.population.child_centric = 1.0;
        of.population.renewing = 1.0;
        of.population.asking = 0.0;
    };
    let (stream, truth) = run(only("old-ns-still-served", child));
    // With a TTL of a day, whoever asks once a day is kept for ever.
    let late = stream.cache_driven().filter(|asked| asked.time > after(truth.cutover, 3 * DAY)).count();
    assert!(late > 100, "{late}");
    assert!(truth.servers.iter().all(|server| server.compliant_may_come && server.drained_from.is_none()));

    let (stream, truth) = run(only("textbook", child));
    assert!(stream.last_cache_driven().0 <= after(truth.cutover, DAY).0 + IN_FLIGHT);
    assert!(truth.servers.iter().all(|server| server.drained_from.is_some()));
}

#[test]
fn child_centric_ones_come_back_when_the_new_servers_name_the_old_ones() {
    let (stream, truth) = run(only("new-serves-old-ns", |of| of.population.child_centric = 1.0));
    assert!(stream.last_cache_driven() > truth.end);
    assert!(truth.servers.iter().all(|server| server.drained_from.is_none()));
}

#[test]
fn those_that_stretch_and_stick_stay_longer() {
    let (stream, truth) = run(only("textbook", |of| {
        (of.population.extending, of.population.stretch) = (1.0, 4.0);
    }));
    let last = stream.last_cache_driven();
    assert!(last > after(truth.cutover, 2 * DAY) && last.0 <= after(truth.cutover, 4 * DAY).0 + IN_FLIGHT);
    assert!(stream.cache_driven().all(|asked| asked.class == Class::ResolverExtending));

    let (stream, truth) = run(only("textbook", |of| of.population.sticky = 0.05));
    assert!(stream.last_cache_driven() > truth.end);
    assert!(truth.servers.iter().all(|server| server.extending_may_come && !server.compliant_may_come));
}

#[test]
fn sticky_ones_leave_when_the_servers_fail() {
    let (stream, truth) = run(only("switched-off-early", |of| of.population.sticky = 1.0));
    let switched_off = truth.switched_off.unwrap();
    // Each asks every server at most twice more, one zone at a time.
    let mut more: HashMap<_, u32> = HashMap::new();
    for asked in stream.cache_driven().filter(|asked| asked.time >= switched_off) {
        *more.entry((asked.client_number, asked.zone)).or_default() += 1;
    }
    assert!(more.len() > 100 && more.values().all(|count| *count <= 12), "{:?}", more.values().max());
    assert!(truth.servers.iter().any(|server| server.last_extending > Some(switched_off)));
}

#[test]
fn forwarders_share_the_cache_behind_them() {
    let alike = |shared| {
        only("textbook", |of| {
            of.population.resolvers = 40;
            of.population.shared = shared;
            of.population.queries_per_day = 2_000.0;
            of.plan.parent_changes = vec![(of.plan.cutover, NsSet::Old)];
        })
    };
    for shared in [0.0, 1.0] {
        let (stream, truth) = run(alike(shared));
        let mut last: HashMap<_, lowtide_proto::Timestamp> = HashMap::new();
        let mut pairs = 0;
        for asked in stream.cache_driven() {
            let key = (asked.client_number, asked.question);
            if let Some(before) = last.insert(key, asked.time) {
                // No answer is kept shorter than a minute, and however many stand before it asks for it once.
                assert!(asked.time >= after(before, 60), "{asked:?} after {before:?}");
                pairs += 1;
            }
        }
        assert!(pairs > 1_000);
        let has = truth.clients.iter().any(|client| client.behaviour.contains(" 6 forwarders"));
        assert_eq!(has, shared > 0.0);
    }
}

#[test]
fn prefetching_ones_ask_before_answers_expire() {
    let gaps = |prefetching: f64| {
        let (stream, _) = run(only("textbook", |of| {
            of.population.prefetching = prefetching;
            of.population.queries_per_day = 2_000.0;
            of.population.resolvers = 20;
        }));
        let mut last: HashMap<_, lowtide_proto::Timestamp> = HashMap::new();
        let asked = stream.asked.iter().filter(|asked| asked.class.is_cache_driven());
        let gaps = asked.filter_map(|asked| {
            Some(asked.time.0 - last.insert((asked.client_number, asked.question), asked.time)?.0)
        });
        gaps.min().unwrap() / 1_000_000_000
    };
    assert!(gaps(0.0) >= 60);
    assert!((54..60).contains(&gaps(1.0)));
}
