//! The accounts that do not grow with the names: bounded, and exact in sum whatever the bound folds together.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

use std::net::Ipv6Addr;

use lowtide_aggregate::{Accounts, Event, Outcome};
use lowtide_proto::{Qtype, Rcode, Role, Timestamp};

const SECOND: u64 = 1_000_000_000;

fn server(number: u32) -> Ipv6Addr {
    Ipv6Addr::from(u128::from(number) + 1)
}

fn event(time: u64, outcome: Outcome) -> Event {
    Event {
        time: Timestamp(time),
        latency: (outcome == Outcome::Answered).then_some(1_000_000),
        name_hash: 0,
        qtype: Qtype::A,
        rcode: Rcode::NOERROR,
        outcome,
        role: Role::Wire,
        nodata: false,
        referral: false,
        truncated: false,
        has_question: true,
        zone_labels: None,
    }
}

#[test]
fn an_interval_has_the_transactions_that_began_in_it() {
    let mut accounts = Accounts::new(60 * SECOND);
    // In no order, as transactions end: unanswered ones long after later ones were answered.
    for (second, outcome) in
        [(61, Outcome::Answered), (59, Outcome::Unanswered), (60, Outcome::Answered), (0, Outcome::Answered)]
    {
        accounts.count(&event(second * SECOND, outcome), server(0));
    }
    accounts.close();
    let (_, role) = accounts.roles().next().unwrap();
    let intervals: Vec<_> = role
        .intervals
        .iter()
        .map(|(start, account)| (start / SECOND, account.queries, account.responses, account.unanswered))
        .collect();
    assert_eq!(intervals, [(0, 2, 1, 1), (60, 2, 2, 0)]);
    assert_eq!((role.account.queries, role.account.latency.count(accounts.pool())), (4, 3));
}

#[test]
fn times_all_over_the_centuries_widen_the_intervals() {
    let mut accounts = Accounts::new(SECOND);
    let events = 300_000;
    for at in 0..events {
        accounts.count(&event(at * 7 * SECOND, Outcome::Answered), server(0));
    }
    accounts.close();
    let (_, role) = accounts.roles().next().unwrap();
    let intervals: Vec<_> = role.intervals.iter().collect();
    assert!((2_048..=4_096).contains(&intervals.len()), "{} intervals", intervals.len());
    assert!(intervals.is_sorted_by_key(|(start, _)| *start));
    assert_eq!(intervals.iter().map(|(_, account)| account.queries).sum::<u64>(), events);
    assert_eq!(role.account.latency.count(accounts.pool()), events);
}

#[test]
fn servers_past_the_bound_share_an_account() {
    let mut accounts = Accounts::new(60 * SECOND);
    let servers = 50_000;
    for number in 0..servers {
        accounts.count(&event(0, Outcome::Answered), server(number));
    }
    accounts.count(&event(0, Outcome::Answered), server(3));
    accounts.close();
    let of = |address: u128| {
        accounts
            .servers()
            .find(|(other, ..)| other.to_bits() == address)
            .map(|(_, _, server)| server.account.queries)
    };
    assert_eq!(accounts.servers().count(), 16_384);
    assert_eq!(of(4), Some(2));
    let others: Vec<_> =
        accounts.other_servers().map(|(role, server)| (role, server.account.queries)).collect();
    assert_eq!(others, [(Role::Wire, u64::from(servers) - 16_384)]);
}
