//! The messages are DNS messages, and say what the migration's phase has them say.

use std::collections::HashSet;

use hickory_proto::op::{Message as Dns, MessageType, ResponseCode};
use hickory_proto::rr::{RData, RecordType};
use lowtide_simulator::{HOUR, Parameters, SCENARIOS};

use super::{Message, after, run, scenario};

fn parsed(message: &Message) -> Dns {
    Dns::from_vec(&message.octets).unwrap_or_else(|error| panic!("{error}: {:x?}", message.octets))
}

#[test]
fn all_of_them_parse_and_match() {
    let random = (0..8).map(Parameters::random);
    let named = SCENARIOS.into_iter().map(|(name, _)| scenario(name));
    for mut parameters in random.chain(named) {
        parameters.population.resolvers = parameters.population.resolvers.min(12);
        parameters.monitors.retain(|monitor| monitor.period >= 3_600);
        parameters.background_per_hour = parameters.background_per_hour.min(4.0);
        parameters.aftermath = 0;
        let name = parameters.scenario.clone();
        let (stream, _) = run(parameters);
        let mut queries = HashSet::new();
        for message in &stream.messages {
            let dns = parsed(message);
            assert_eq!(dns.queries.len(), 1);
            let is_response = message.query_time.is_some();
            assert_eq!(dns.metadata.message_type == MessageType::Response, is_response, "{name}");
            // The question comes back as it was asked, letter by letter.
            let end = 12 + message.octets[12..].iter().position(|octet| *octet == 0).unwrap() + 5;
            let question = message.octets[12..end].to_vec();
            let key =
                (dns.metadata.id, message.client, message.server, question, dns.metadata.recursion_desired);
            if is_response {
                let is_known = queries.contains(&key);
                assert!(is_known || name == "drops" || name == "random", "{name}: {dns:?}");
                assert!(message.query_time < Some(message.time));
            } else {
                assert!(dns.answers.is_empty() && dns.authorities.is_empty());
                queries.insert(key);
            }
        }
    }
}

/// The NS sets in messages of a server in the hour around a moment, as names, and their TTLs.
fn ns_sets(messages: &[Message], from: u64, to: u64) -> HashSet<(Vec<String>, u32, bool)> {
    let responses = messages
        .iter()
        .filter(|message| message.query_time.is_some() && (from..to).contains(&message.time.0));
    let mut sets = HashSet::new();
    for message in responses {
        let dns = parsed(message);
        for (section, is_answer) in [(&dns.answers, true), (&dns.authorities, false)] {
            let of_zone = |record: &&hickory_proto::rr::Record| {
                record.record_type() == RecordType::NS
                    && record.name.to_lowercase().to_string() != "staying.example."
            };
            let records: Vec<_> = section.iter().filter(of_zone).collect();
            let names = records.iter().map(|record| match &record.data {
                RData::NS(name) => name.0.to_lowercase().to_string(),
                other => panic!("{other:?}"),
            });
            let names: Vec<_> = names.collect();
            if let Some(record) = records.first() {
                sets.insert((names, record.ttl, is_answer));
            }
        }
    }
    sets
}

#[test]
fn ns_sets_and_ttls_follow_the_plan() {
    let mut parameters = scenario("textbook");
    parameters.population.child_centric = 1.0;
    parameters.population.asking = 1.0;
    let lowered = parameters.at(parameters.plan.lower_at.unwrap());
    let (stream, truth) = run(parameters);
    let old = ["ns1.old-dns.example.".to_owned(), "ns2.old-dns.example.".to_owned()].to_vec();
    let new = ["ns1.new-dns.example.".to_owned(), "ns2.new-dns.example.".to_owned()].to_vec();
    let swap = truth.cutover.0 - HOUR * 1_000_000_000;
    let sets = |set: &Vec<String>, ttl| HashSet::from([(set.clone(), ttl, true), (set.clone(), ttl, false)]);
    assert_eq!(ns_sets(&stream.messages, truth.start.0, lowered.0), sets(&old, 86_400));
    assert_eq!(ns_sets(&stream.messages, after(lowered, 1).0, swap), sets(&old, 300));
    let last = ns_sets(&stream.messages, swap + 1_000_000_000, truth.end.0);
    assert!(last.contains(&(new.clone(), 300, false)), "{last:?}");
    assert!(last.iter().all(|(names, ..)| *names == new));
}

#[test]
fn vanity_names_keep_and_their_addresses_move() {
    let (stream, truth) = run(scenario("vanity-names"));
    let mut before = HashSet::new();
    let mut later = HashSet::new();
    for message in stream.messages.iter().filter(|message| message.query_time.is_some()) {
        let dns = parsed(message);
        let zone = dns.queries[0].name().to_lowercase().to_string();
        let glue = dns.additionals.iter().filter(|record| {
            !zone.ends_with("staying.example.") && record.name.to_lowercase().to_string().starts_with("ns1.")
        });
        let into = if message.time < truth.cutover { &mut before } else { &mut later };
        into.extend(glue.filter_map(|record| record.data.ip_addr()));
    }
    let old: HashSet<_> = ["192.0.2.53", "2001:db8:53::53"].map(|text| text.parse().unwrap()).into();
    let new: HashSet<_> = ["198.51.100.53", "2001:db8:c0::53"].map(|text| text.parse().unwrap()).into();
    // The old servers get the new addresses an hour before the cutover.
    assert!(before.is_superset(&old));
    assert_eq!(later, new);
}

#[test]
fn a_server_that_was_switched_off_refuses_or_is_silent() {
    for (name, answers) in [("switched-off-early", true), ("switched-off-silent", false)] {
        let (stream, truth) = run(scenario(name));
        let off = after(truth.switched_off.unwrap(), 1);
        let late = stream.messages.iter().filter(|message| message.time > off);
        let of_zone =
            |dns: &Dns| !dns.queries[0].name().to_lowercase().to_string().ends_with("staying.example.");
        let (mut queries, mut responses) = (0, 0);
        for dns in late.map(parsed).filter(of_zone) {
            if dns.metadata.message_type == MessageType::Query {
                queries += 1;
            } else {
                responses += 1;
                assert_eq!(dns.metadata.response_code, ResponseCode::Refused);
            }
        }
        assert!(queries > 50, "{name}: {queries}");
        assert_eq!(responses, if answers { queries } else { 0 }, "{name}");
    }
}
