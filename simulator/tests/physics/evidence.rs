//! Sensors see what they watch, but for their faults, and say the truth of themselves.

use std::collections::HashSet;

use lowtide_proto::Timestamp;
use lowtide_simulator::{CoverageFact, DAY, Fault, HOUR, Parameters, Simulation, Truth};

use super::{Stream, after, run, scenario};

/// When a sensor says it was alive, joined.
fn alive(stream: &Stream, of: usize) -> Vec<(Timestamp, Timestamp)> {
    let mut spans: Vec<(Timestamp, Timestamp)> = Vec::new();
    for fact in &stream.facts {
        if let CoverageFact::Alive { sensor, from, to } = *fact
            && sensor == of
        {
            match spans.last_mut() {
                Some((_, last)) if *last == from => *last = to,
                _ => spans.push((from, to)),
            }
        }
    }
    spans
}

#[test]
fn the_same_seed_gives_the_same_octets() {
    for seed in [3, 4] {
        let (first, _) = run(Parameters::random(seed));
        let (again, _) = run(Parameters::random(seed));
        assert!(first.messages.len() > 100);
        assert!(first.messages == again.messages && first.facts == again.facts);
    }
    let (first, _) = run(Parameters::random(3));
    let (other, _) = run(Parameters::random(5));
    assert!(first.messages != other.messages);
}

#[test]
fn a_run_in_steps_gives_what_one_run_gives() {
    let mut parameters = scenario("drops");
    parameters.population.resolvers = 40;
    let (whole, truth) = run(parameters.clone());
    let mut stream = Stream::default();
    let mut simulation = Simulation::new(parameters);
    let mut now = truth.start;
    while now < truth.end {
        now = after(now, 5_000);
        simulation.run_until(now, &mut stream);
        assert!(stream.messages.last().is_none_or(|message| message.time <= now));
        assert!(stream.messages.len() == whole.messages.partition_point(|message| message.time <= now));
    }
    assert!(stream.messages == whole.messages);
    let finished = simulation.finish();
    let lasts = |truth: &Truth| Vec::from_iter(truth.servers.iter().map(|server| server.drained_from));
    assert_eq!(lasts(&finished), lasts(&truth));
}

#[test]
fn every_query_is_seen_in_order_and_answered_where_nothing_is_wrong() {
    let (stream, truth) = run(scenario("textbook"));
    let expected = stream.asked.iter().filter(|asked| !asked.is_new && asked.time < truth.end);
    let expected: Vec<_> = expected.map(|asked| (asked.time, asked.client, asked.server)).collect();
    let queries = stream.messages.iter().filter(|message| message.query_time.is_none());
    let queries: Vec<_> = queries.map(|message| (message.time, message.client, message.server)).collect();
    assert!(queries == expected);
    let responses = stream.messages.iter().filter(|message| message.query_time.is_some());
    let responses: HashSet<_> =
        responses.map(|message| (message.query_time.unwrap(), message.client)).collect();
    let lost = queries.iter().filter(|(time, client, _)| !responses.contains(&(*time, *client))).count();
    assert!(lost <= 1, "but for one that was on its way at the end: {lost}");
    assert!(stream.messages.is_sorted_by_key(|message| message.time));
    assert!(stream.asked.is_sorted_by_key(|asked| asked.time));
    assert_eq!(alive(&stream, 0), [(truth.start, truth.end)]);
    assert!(truth.holes.is_empty());
}

#[test]
fn faults_do_not_change_what_happens() {
    let key = |stream: &Stream| -> Vec<_> {
        stream.asked.iter().map(|asked| (asked.time, asked.client, asked.server, asked.question)).collect()
    };
    let (whole, _) = run(scenario("textbook"));
    for name in ["sensor-outage", "drops", "dead-tap", "clock-step", "uncovered-server", "anycast-half-seen"]
    {
        let (faulty, truth) = run(scenario(name));
        assert!(key(&whole) == key(&faulty), "{name}");
        assert!(faulty.messages != whole.messages, "{name}");
        assert_eq!(truth.holes.len(), 1, "{name}");
    }
}

#[test]
fn an_outage_and_a_death_silence_frames_and_heartbeats() {
    for name in ["sensor-outage", "dead-tap"] {
        let (stream, truth) = run(scenario(name));
        let hole = &truth.holes[0];
        let within = |time: Timestamp| hole.from <= time && time < hole.to;
        assert!(!stream.messages.iter().any(|message| message.sensor == 0 && within(message.time)));
        assert!(stream.messages.iter().any(|message| message.sensor == 1 && within(message.time)));
        let spans = [(truth.start, hole.from), (hole.to, truth.end)];
        let spans: Vec<_> = spans.into_iter().filter(|(from, to)| from < to).collect();
        assert_eq!(alive(&stream, 0), spans, "{name}");
        assert_eq!(alive(&stream, 1), [(truth.start, truth.end)]);
        assert!(
            stream.asked.iter().any(|asked| within(asked.time) && asked.seen_by.is_none() && !asked.is_new)
        );
    }
}

#[test]
fn losses_are_told_to_the_frame() {
    let mut parameters = scenario("textbook");
    parameters.sensors[0].faults = vec![Fault::Drop { from: DAY, to: 2 * DAY, share: 0.25 }];
    let (stream, _) = run(parameters);
    let (whole, _) = run(scenario("textbook"));
    let lost = |fact: &CoverageFact| match fact {
        CoverageFact::Lost { sensor: 0, frames, .. } => *frames,
        CoverageFact::Lost { .. } => panic!("{fact:?}"),
        CoverageFact::Alive { .. } => 0,
    };
    let lost: u64 = stream.facts.iter().map(lost).sum();
    assert_eq!(whole.messages.len(), stream.messages.len() + lost as usize);
    assert!(lost > 100);
}

#[test]
fn a_clock_that_steps_takes_times_and_heartbeats_with_it() {
    let (stream, truth) = run(scenario("clock-step"));
    let hole = &truth.holes[0];
    let by = HOUR * 1_000_000_000;
    let ahead = (Timestamp(hole.from.0 + by), Timestamp(hole.to.0 + by));
    assert_eq!(alive(&stream, 0), [(truth.start, hole.from), ahead, (hole.to, truth.end)]);
    let mut previous = Timestamp(0);
    let mut back = 0;
    for message in stream.messages.iter().filter(|message| message.sensor == 0) {
        back += u32::from(message.time < previous);
        previous = message.time;
    }
    assert_eq!(back, 1);
}

#[test]
fn late_frames_have_their_right_time_in_the_wrong_order() {
    let mut parameters = scenario("textbook");
    parameters.sensors[0].faults = vec![Fault::Late { from: 0, to: 8 * DAY, share: 0.3, by: 600 }];
    let (stream, _) = run(parameters);
    let (whole, _) = run(scenario("textbook"));
    assert!(!stream.messages.is_sorted_by_key(|message| message.time));
    let sorted = |stream: Stream| {
        let mut messages = stream.messages;
        messages.sort_by_key(|message| (message.time, message.client, message.server));
        messages
    };
    assert!(sorted(stream) == sorted(whole));
}

#[test]
fn machines_that_are_gone_take_their_sensors_with_them() {
    let (stream, truth) = run(scenario("switched-off-down"));
    let off = truth.switched_off.unwrap();
    assert!(stream.messages.iter().all(|message| message.time < off));
    assert_eq!(alive(&stream, 1), [(truth.start, off)]);
    assert!(stream.cache_driven().any(|asked| asked.time > off));
    assert!(
        truth.holes.iter().all(|hole| hole.kind == "death" && hole.from == off) && truth.holes.len() == 2
    );
}
