//! The operator's acts, and clients that no cache leads.

use lowtide_simulator::{Class, DAY, HOUR, Parameters, SCENARIOS};

use super::{after, run, scenario};

#[test]
fn every_scenario_has_a_name_and_runs() {
    for (name, about) in SCENARIOS {
        let parameters = scenario(name);
        assert_eq!(parameters.scenario, name);
        assert!(!about.is_empty());
    }
    assert!(Parameters::scenario("no such scenario", 1).is_none());
}

#[test]
fn a_migration_that_was_rolled_back_goes_on() {
    let (stream, truth) = run(scenario("rolled-back"));
    assert_eq!(truth.true_cutover, None);
    assert!(stream.last_cache_driven() > truth.end);
    assert!(truth.servers.iter().all(|server| server.compliant_may_come));

    let (_, truth) = run(scenario("twice"));
    assert_eq!(truth.true_cutover, Some(truth.cutover));
    assert!(truth.servers.iter().all(|server| server.drained_from.is_some()));
}

#[test]
fn a_forgotten_server_is_asked_on_and_the_other_as_well() {
    // The NS set that it serves names both.
    let (stream, truth) = run(scenario("forgotten-server"));
    let first = truth.servers[0].address;
    let late = |asked: &&lowtide_simulator::Asked| asked.time > after(truth.cutover, 2 * DAY);
    assert!(stream.cache_driven().filter(late).any(|asked| asked.server.ip() == first));
}

#[test]
fn monitors_are_periodic() {
    for (name, period) in [("minute-monitor", 60), ("hourly-monitor", HOUR), ("weekly-monitor", 7 * DAY)] {
        let mut parameters = scenario(name);
        parameters.population.resolvers = 5;
        let (stream, truth) = run(parameters);
        let address = truth.servers[0].address;
        let of =
            |asked: &&lowtide_simulator::Asked| asked.class == Class::Monitor && asked.server.ip() == address;
        let times: Vec<u64> = stream.asked.iter().filter(of).map(|asked| asked.time.0).collect();
        assert!(times.len() > 3, "{name}");
        for pair in times.windows(2) {
            let gap = (pair[1] - pair[0]) as f64 / 1e9;
            assert!((gap - period as f64).abs() < 1.0, "{name}: {gap}");
        }
        let client = truth.clients.iter().find(|client| client.class == Class::Monitor).unwrap();
        assert_eq!(client.period_s, Some(period));
        assert_eq!(name == "minute-monitor", client.last < Some(after(truth.cutover, DAY + 60)));
    }
}

#[test]
fn hard_coded_clients_never_leave_and_say_that_they_want_recursion() {
    let (stream, truth) = run(scenario("hard-coded-stub"));
    let last = stream.asked.iter().rev().find(|asked| asked.class == Class::HardCoded).unwrap();
    assert!(last.time > truth.end);
    let stub = truth.clients.iter().find(|client| client.class == Class::HardCoded).unwrap();
    let mine = |message: &&super::Message| stub.addresses.contains(&message.client.ip());
    let messages: Vec<_> = stream.messages.iter().filter(mine).collect();
    assert!(messages.len() > 500);
    assert!(messages.iter().all(|message| message.octets[2] & 1 == 1));
    // One of the two knows one address alone.
    let servers: std::collections::HashSet<_> = messages.iter().map(|message| message.server.ip()).collect();
    assert_eq!(servers.len(), 1);
}

#[test]
fn a_scanner_asks_for_much_in_a_short_time() {
    let (stream, truth) = run(scenario("scanner-after"));
    let scan: Vec<_> = stream.asked.iter().filter(|asked| asked.class == Class::Scanner).collect();
    assert_eq!(scan.len(), 420);
    assert!(scan[419].time < after(scan[0].time, 120));
    let questions: std::collections::HashSet<_> = scan.iter().map(|asked| asked.question).collect();
    assert!(questions.len() > 150);
    assert!(truth.servers.iter().all(|server| server.drained_from < server.last_query));
}
