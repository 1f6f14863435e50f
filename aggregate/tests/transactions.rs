//! The meanings of DESIGN §2, message by message: each case is a list of messages and what must come of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

use lowtide_aggregate::report::Transactions;
use lowtide_aggregate::{Accounts, Event, EventSink, Exchange, Matcher, MatcherLimits};
use lowtide_proto::{
    Class, Endpoint, Facts, Message, NameBuf, Observation, Opcode, Qtype, Rcode, Role, Timestamp, Transport,
};

const MS: u64 = 1_000_000;
/// Times are counted from here, so that they can step back.
const START: u64 = 1_700_000_000_000 * MS;

/// One message of a case.
#[derive(Clone, Copy)]
struct Seen<'a> {
    millis: i64,
    response: bool,
    id: u16,
    qname: Option<&'a str>,
    client_port: u16,
    role: Role,
    transport: Transport,
    own_latency: Option<i64>,
}

fn query(millis: i64, id: u16, qname: &str) -> Seen<'_> {
    Seen {
        millis,
        response: false,
        id,
        qname: Some(qname),
        client_port: 40_000,
        role: Role::Wire,
        transport: Transport::Udp,
        own_latency: None,
    }
}

fn response(millis: i64, id: u16, qname: &str) -> Seen<'_> {
    Seen { response: true, ..query(millis, id, qname) }
}

#[derive(Default)]
struct Collected {
    events: Vec<(Event, String)>,
    exchanges: Vec<Exchange>,
}

impl EventSink for Collected {
    fn event(&mut self, event: &Event, exchange: &Exchange, name: &[u8]) {
        self.exchanges.push(*exchange);
        self.events.push((*event, lowtide_proto::Name(name).to_string()));
    }
}

fn run_with(
    limits: MatcherLimits,
    seen: &[Seen<'_>],
    end_millis: i64,
) -> (Transactions, Vec<(Event, String)>) {
    let time = |millis: i64| Timestamp(START.saturating_add_signed(millis * MS as i64));
    let mut matcher = Matcher::new(limits);
    let mut collected = Collected::default();
    for one in seen {
        let qname = one.qname.map_or(NameBuf::new(), |text| NameBuf::parse(text).unwrap());
        let question = one.qname.is_some();
        let observation = Observation {
            time: time(one.millis),
            own_latency: one.own_latency,
            role: one.role,
            transport: one.transport,
            client: Endpoint::v4([192, 0, 2, 7], one.client_port),
            server: Endpoint::v4([198, 51, 100, 53], 53),
            message: &Message {
                id: one.id,
                is_response: one.response,
                opcode: Opcode::QUERY,
                rcode: Rcode::NOERROR,
                qname: qname.as_name(),
                qtype: if question { Qtype::A } else { Qtype(0) },
                qclass: if question { Class::IN } else { Class(0) },
                facts: if question { Facts::QUESTION } else { Facts::empty() },
                udp_payload_size: 0,
                zone_labels: None,
                servers: 0,
                delegation: lowtide_proto::Delegation::default(),
                size: 40,
                octets: &[],
                malformed: None,
            },
        };
        matcher.observe(&observation, &mut collected);
    }
    matcher.finish(time(end_millis), &mut collected);
    assert_eq!(matcher.outstanding(), 0);

    let mut accounts = Accounts::new(60_000 * MS);
    collected
        .events
        .iter()
        .zip(&collected.exchanges)
        .for_each(|((event, _), exchange)| accounts.count(event, exchange.server));
    accounts.close();
    let mut total = Transactions::default();
    accounts.roles().for_each(|(_, role)| total.add(&role.transactions));
    let queries = seen.iter().filter(|one| !one.response).count() as u64;
    let responses = seen.len() as u64 - queries;
    let octets = collected.exchanges.iter().fold((0, 0), |(queries, responses), exchange| {
        (queries + u64::from(exchange.query_octets), responses + u64::from(exchange.response_octets))
    });
    assert_eq!(octets, (queries * 40, responses * 40), "each message's octets are in one event");
    assert_eq!(
        total.answered + total.unanswered + total.pending + total.retransmissions,
        queries,
        "queries balance"
    );
    assert_eq!(
        total.answered + total.duplicate_responses + total.orphan_responses,
        responses,
        "responses balance"
    );
    (total, collected.events)
}

fn run(seen: &[Seen<'_>], end_millis: i64) -> (Transactions, Vec<(Event, String)>) {
    run_with(MatcherLimits::default(), seen, end_millis)
}

fn check(seen: &[Seen<'_>], end_millis: i64, expect: Transactions) {
    assert_eq!(run(seen, end_millis).0, expect);
}

fn latencies(events: &[(Event, String)]) -> Vec<Option<i64>> {
    let answered = events.iter().filter(|(event, _)| event.outcome == lowtide_aggregate::Outcome::Answered);
    answered.map(|(event, _)| event.latency.map(|nanos| nanos / MS as i64)).collect()
}

#[test]
fn a_query_and_its_response_are_one_transaction() {
    let seen = [query(0, 1, "a.example"), response(7, 1, "A.EXAMPLE")];
    let (total, events) = run(&seen, 10_000);
    assert_eq!(total, Transactions { answered: 1, ..Default::default() });
    assert_eq!(latencies(&events), [Some(7)]);
    assert_eq!(events[0].1, "a.example.");
}

#[test]
fn what_differs_in_its_key_does_not_pair() {
    let base = query(0, 1, "a.example");
    for other in [
        response(1, 2, "a.example"),
        response(1, 1, "b.example"),
        Seen { client_port: 40_001, ..response(1, 1, "a.example") },
        Seen { transport: Transport::Tcp, ..response(1, 1, "a.example") },
        Seen { role: Role::Resolver, ..response(1, 1, "a.example") },
    ] {
        check(
            &[base, other],
            10_000,
            Transactions { unanswered: 1, orphan_responses: 1, ..Default::default() },
        );
    }
}

#[test]
fn bind_answers_an_auth_query_with_a_client_response() {
    let seen = [
        Seen { role: Role::Auth, ..query(0, 1, "a.example") },
        Seen { role: Role::Client, ..response(3, 1, "a.example") },
    ];
    let (total, events) = run(&seen, 10_000);
    assert_eq!(total.answered, 1);
    assert_eq!(events[0].0.role, Role::Auth, "the transaction's role is its query's");
}

#[test]
fn retransmissions_and_their_responses() {
    // Two queries, two responses: latency from the first query to the first response.
    let seen = [
        query(0, 1, "a.example"),
        query(1000, 1, "a.example"),
        response(1500, 1, "a.example"),
        response(1600, 1, "a.example"),
    ];
    let (total, events) = run(&seen, 10_000);
    assert_eq!(
        total,
        Transactions { answered: 1, retransmissions: 1, duplicate_responses: 1, ..Default::default() }
    );
    assert_eq!(latencies(&events), [Some(1500)]);
    // A third response is one too many.
    let mut three = seen.to_vec();
    three.push(response(1700, 1, "a.example"));
    check(
        &three,
        10_000,
        Transactions {
            answered: 1,
            retransmissions: 1,
            duplicate_responses: 1,
            orphan_responses: 1,
            ..Default::default()
        },
    );
    // The same key after the answer is a transaction of its own.
    let again = [
        query(0, 1, "a.example"),
        response(5, 1, "a.example"),
        query(6, 1, "a.example"),
        response(9, 1, "a.example"),
    ];
    check(&again, 10_000, Transactions { answered: 2, ..Default::default() });
    // A second response to a single query has no query left.
    let double = [query(0, 1, "a.example"), response(5, 1, "a.example"), response(5, 1, "a.example")];
    check(&double, 10_000, Transactions { answered: 1, orphan_responses: 1, ..Default::default() });
}

#[test]
fn unanswered_and_pending_are_told_by_traffic_time() {
    let one = [query(0, 1, "a.example")];
    check(&one, 5_001, Transactions { unanswered: 1, ..Default::default() });
    check(&one, 5_000, Transactions { pending: 1, ..Default::default() });
    let late = [query(0, 1, "a.example"), response(5_001, 1, "a.example")];
    check(&late, 60_000, Transactions { unanswered: 1, orphan_responses: 1, ..Default::default() });
    let in_time = [query(0, 1, "a.example"), query(4_999, 2, "b.example"), response(5_000, 1, "a.example")];
    check(&in_time, 5_000, Transactions { answered: 1, pending: 1, ..Default::default() });
    // A query with the key of one that timed out is no retransmission.
    let anew = [query(0, 1, "a.example"), query(5_500, 1, "a.example"), response(5_600, 1, "a.example")];
    check(&anew, 60_000, Transactions { unanswered: 1, answered: 1, ..Default::default() });
}

#[test]
fn a_response_without_a_question_pairs_on_the_rest() {
    let bare = Seen { qname: None, ..response(4, 1, "a.example") };
    let (total, events) = run(&[query(0, 1, "a.example"), bare], 10_000);
    assert_eq!(total.answered, 1);
    assert_eq!(events[0].1, "a.example.", "the name is the query's");
    // Of two questions with one id, the older is answered; the response is counted once.
    let two = [query(0, 1, "a.example"), query(1, 1, "b.example"), bare];
    let (total, events) = run(&two, 2_000);
    assert_eq!(total, Transactions { answered: 1, pending: 1, ..Default::default() });
    assert_eq!(events[0].1, "a.example.");
    check(&[bare], 10_000, Transactions { orphan_responses: 1, ..Default::default() });
}

#[test]
fn taps_that_deliver_out_of_order_are_put_right() {
    let late_query = [response(105, 1, "a.example"), query(100, 1, "a.example")];
    let (total, events) = run(&late_query, 10_000);
    assert_eq!(total.answered, 1);
    assert_eq!(latencies(&events), [Some(5)]);
    // A response that was sent before the query cannot be its answer.
    let other = [response(99, 1, "a.example"), query(100, 1, "a.example")];
    check(&other, 10_000, Transactions { unanswered: 1, orphan_responses: 1, ..Default::default() });
    // Read in order, a response stamped before its query is its answer all the same: the clocks differ.
    let (total, events) = run(&[query(100, 1, "a.example"), response(98, 1, "a.example")], 10_000);
    assert_eq!((total.answered, total.negative_latency), (1, 1));
    assert_eq!(latencies(&events), [Some(-2)]);
}

#[test]
fn a_response_that_says_its_own_times_is_believed() {
    let own = Seen { own_latency: Some(2 * MS as i64), ..response(50, 1, "a.example") };
    let (_, events) = run(&[query(0, 1, "a.example"), own], 10_000);
    assert_eq!(latencies(&events), [Some(2)]);
}

#[test]
fn clock_steps_do_not_stop_the_counting() {
    let hour = 3_600_000;
    let mut seen = vec![query(hour, 1, "a.example")];
    for at in 0..100 {
        seen.push(query(at * 10, at as u16, "b.example"));
        seen.push(response(at * 10 + 5, at as u16, "b.example"));
    }
    // The first query stood before the step back: its end cannot be known.
    check(&seen, 60_000, Transactions { answered: 100, pending: 1, ..Default::default() });
    let outlier = [
        query(0, 1, "a.example"),
        response(1, 1, "a.example"),
        query(900 * hour, 9, "z.example"),
        query(20, 2, "a.example"),
        response(21, 2, "a.example"),
    ];
    check(&outlier, 60_000, Transactions { answered: 2, pending: 1, ..Default::default() });
}

#[test]
fn memory_is_bounded_and_what_is_given_up_is_counted() {
    let limits = MatcherLimits { outstanding: 10, ..Default::default() };
    let seen: Vec<_> = (0..50).map(|id| query(i64::from(id), id, "a.example")).collect();
    let (total, _) = run_with(limits, &seen, 60_000);
    assert_eq!((total.pending, total.evicted, total.unanswered), (40, 40, 10));
    // Crafted ids: one client port asks many names with one id.
    let names: Vec<String> = (0..1000).map(|at| format!("n{at}.example")).collect();
    let seen: Vec<_> = names.iter().map(|name| query(0, 1, name)).collect();
    let (total, _) = run(&seen, 60_000);
    assert_eq!((total.evicted, total.unanswered), (1000 - 64, 64));
}

#[test]
fn names_longer_than_an_entry_are_kept_whole() {
    let long = format!("{}.{}.{}.{}", "a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61));
    let seen = [
        query(0, 1, &long),
        query(1, 2, "short.example"),
        response(2, 2, "short.example"),
        query(3, 3, &long),
    ];
    let (total, events) = run(&seen, 60_000);
    assert_eq!((total.answered, total.unanswered), (1, 2));
    assert!(events.iter().filter(|(_, name)| *name == format!("{long}.")).count() == 2);
}

#[test]
fn a_single_message_from_the_future_does_not_end_what_is_outstanding() {
    let hour = 3_600_000;
    let seen = [
        query(0, 1, "a.example"),
        query(hour, 9, "z.example"),
        response(500, 1, "a.example"),
        query(600, 2, "b.example"),
        response(700, 2, "b.example"),
    ];
    check(&seen, 60_000, Transactions { answered: 2, pending: 1, ..Default::default() });
    // A silence of an hour is no step: what waits is unanswered, and the next pair is one.
    let silence = [
        query(0, 1, "a.example"),
        query(hour, 2, "b.example"),
        response(hour + 5, 2, "b.example"),
        response(hour + 6, 1, "a.example"),
    ];
    check(
        &silence,
        2 * hour,
        Transactions { answered: 1, unanswered: 1, orphan_responses: 1, ..Default::default() },
    );
}

#[test]
fn thousands_of_responses_to_one_query_do_not_pile_up() {
    // A zone transfer: one answer, the rest without a query of their own, and as fast as any other messages.
    let mut seen = vec![Seen { transport: Transport::Tcp, ..query(0, 1, "zone.example") }];
    seen.extend((0..50_000).map(|_| Seen { transport: Transport::Tcp, ..response(1, 1, "zone.example") }));
    check(&seen, 60_000, Transactions { answered: 1, orphan_responses: 49_999, ..Default::default() });
    // The same with other names: nothing to pair with, and no long search for it.
    let names: Vec<String> = (0..50_000).map(|at| format!("n{at}.example")).collect();
    let seen: Vec<_> = names.iter().map(|name| response(1, 1, name)).collect();
    check(&seen, 60_000, Transactions { orphan_responses: 50_000, ..Default::default() });
}

#[test]
fn a_query_that_timed_out_does_not_stand_before_one_that_waits() {
    let bare = Seen { qname: None, ..response(5_100, 1, "b.example") };
    let seen = [query(0, 1, "a.example"), query(4_900, 1, "b.example"), bare];
    let (total, events) = run(&seen, 60_000);
    assert_eq!(total, Transactions { answered: 1, unanswered: 1, ..Default::default() });
    assert_eq!(latencies(&events), [Some(200)]);
}

#[test]
fn a_query_without_a_question_repeats_none_that_has_one() {
    let bare = Seen { qname: None, ..query(1, 1, "a.example") };
    let seen = [query(0, 1, "a.example"), bare, response(2, 1, "a.example")];
    check(&seen, 60_000, Transactions { answered: 1, unanswered: 1, ..Default::default() });
    let twice = [bare, Seen { millis: 2, ..bare }, Seen { response: true, millis: 3, ..bare }];
    check(&twice, 60_000, Transactions { answered: 1, retransmissions: 1, ..Default::default() });
}
