//! What a client seems to be, by what it does at all old servers of a migration together: who sweeps over names asks each server a
//! little, and a time that one sensor missed is known to another.

use std::collections::HashMap;
use std::net::Ipv6Addr;

use foldhash::fast::RandomState;
use lowtide_proto::{Qtype, Timestamp};

use super::client::{Class, Client, SWEEPING, type_bit};
use super::evidence::{Asked, Evidence};
use super::plan::{Migration, SECOND};

/// How long a sweep takes at most.
const SWEEP: u64 = 2 * 3_600 * SECOND;

/// Types that a resolver asks for of itself to find and validate the way to an answer, addresses, and, in the highest bit, HTTPS: they
/// are no sign of a sweep, not even all at one visit.
const RESOLVING: u64 = type_bit(Qtype(1))
    | type_bit(Qtype(2))
    | type_bit(Qtype(28))
    | type_bit(Qtype(43))
    | type_bit(Qtype(48))
    | type_bit(Qtype(65));

/// Other query types of a sweep that asks once or a few times for each.
const OTHER_TYPES: u32 = 3;

/// Below so many queries for each type it is such a sweep. A resolver of a busy zone asks for as many types in an hour, but for most
/// names it asks for addresses.
const PER_TYPE: u64 = 8;

/// Query types of a sweep that asks for what no resolver needs.
const SWEEPING_TYPES: u32 = 3;

/// What one client did at all old servers, for all zones.
#[derive(Clone, Copy, Debug)]
struct Habit {
    queries: u64,
    rd_queries: u64,
    first: Timestamp,
    last: Timestamp,
    qtypes: u64,
    visits: u64,
    /// Of those, the ones at servers where it came at a period.
    periodic: u64,
}

impl Habit {
    const fn none() -> Self {
        Self {
            queries: 0,
            rd_queries: 0,
            first: Timestamp(u64::MAX),
            last: Timestamp(0),
            qtypes: 0,
            visits: 0,
            periodic: 0,
        }
    }

    fn add(&mut self, client: &Client) {
        self.queries += client.queries;
        self.rd_queries += client.rd_queries;
        self.first = self.first.min(client.first);
        self.last = self.last.max(client.last);
        self.qtypes |= client.qtypes;
        self.visits += client.visits.count;
        if client.period().is_some() {
            self.periodic += client.visits.count;
        }
    }

    /// Whether it came once, and asked for what nobody needs who wants to resolve.
    fn is_sweep(&self) -> bool {
        let types = self.qtypes.count_ones();
        let is_brief = self.last.0.saturating_sub(self.first.0) <= SWEEP;
        let others = (self.qtypes & !RESOLVING).count_ones();
        let is_thin = others >= OTHER_TYPES && self.queries < PER_TYPE * u64::from(types);
        is_brief && (is_thin || (self.qtypes & SWEEPING != 0 && types >= SWEEPING_TYPES))
    }

    /// The class, of a client that came to one server for the last time at `last`.
    fn class(&self, last: Timestamp, horizon: Option<Timestamp>) -> Class {
        if self.is_sweep() {
            Class::Scanner
        } else if self.periodic > 0 && self.periodic * 2 >= self.visits {
            Class::Monitor
        } else if self.rd_queries * 2 > self.queries {
            Class::HardCoded
        } else if horizon.is_some_and(|horizon| last > horizon) {
            Class::PastHorizon
        } else {
            Class::WithinHorizon
        }
    }
}

/// What the clients that came since the cutover did, by address.
#[derive(Debug, Default)]
pub struct Habits(HashMap<Ipv6Addr, Habit, RandomState>);

impl Habits {
    /// The habits of all who came to an old server of a migration since its cutover.
    pub fn of(migration: &Migration, evidence: &Evidence) -> Self {
        let since = migration.cutover.unwrap_or_default();
        let is_old = |server: Ipv6Addr| migration.old.iter().any(|old| old.address == server);
        let old: Vec<&Asked> = evidence
            .asked
            .iter()
            .filter(|((_, server), _)| is_old(*server))
            .map(|(_, asked)| asked)
            .collect();
        let clients = || old.iter().flat_map(|asked| asked.clients.values());
        let mut habits: HashMap<Ipv6Addr, Habit, RandomState> = HashMap::default();
        for client in clients().filter(|client| client.last >= since) {
            habits.entry(client.address).or_insert_with(Habit::none);
        }
        for client in clients() {
            if let Some(habit) = habits.get_mut(&client.address) {
                habit.add(client);
            }
        }
        Self(habits)
    }

    /// What a client of one server seems to be, when no compliant cache leads there after `horizon`.
    pub fn class(&self, client: &Client, horizon: Option<Timestamp>) -> Class {
        self.0
            .get(&client.address)
            .map_or_else(|| class(client, horizon), |habit| habit.class(client.last, horizon))
    }
}

/// What a client seems to be by what it did at one server.
pub fn class(client: &Client, horizon: Option<Timestamp>) -> Class {
    let mut habit = Habit::none();
    habit.add(client);
    habit.class(client.last, horizon)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drain::plan::Server;

    const HOUR: u64 = 3_600 * SECOND;
    const OLD: [Ipv6Addr; 3] = [
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3),
    ];
    const CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);

    /// The class at the first server of one who asked at these servers, at these times in seconds, for these types.
    fn class_of(asked: &[(usize, u64, u16)]) -> Class {
        let migration = Migration {
            name: "m".to_owned(),
            zones: Vec::new(),
            old: OLD[..2].iter().map(|&address| Server { name: None, address }).collect(),
            new: Vec::new(),
            cutover: Some(Timestamp(0)),
            parent_ns_ttl: 0,
            ds_ttl: 0,
            target_ttl: None,
            quiet_period: 0,
            near_zero: 0,
            new_verified: false,
            set_apart: Vec::new(),
        };
        let mut evidence = Evidence::default();
        for &(server, second, qtype) in asked {
            let of = evidence.asked.entry((0, OLD[server])).or_insert_with(|| Asked::new(SECOND));
            of.count(CLIENT, Timestamp(second * SECOND), Qtype(qtype), false, true, None);
        }
        let client = &evidence.asked[&(0, OLD[0])].clients[&CLIENT];
        Habits::of(&migration, &evidence).class(client, None)
    }

    #[test]
    fn who_sweeps_over_all_servers_asks_each_a_little() {
        assert_eq!(class_of(&[(0, 1, 1), (0, 2, 6), (0, 3, 16)]), Class::WithinHorizon);
        assert_eq!(class_of(&[(0, 1, 1), (0, 2, 6), (0, 3, 16), (1, 4, 15), (1, 5, 28)]), Class::Scanner);
        // The third is not one of the old servers.
        assert_eq!(
            class_of(&[(0, 1, 1), (0, 2, 6), (0, 3, 16), (2, 4, 15), (2, 5, 28)]),
            Class::WithinHorizon
        );
    }

    #[test]
    fn a_period_that_one_sensor_saw_is_one_where_another_missed_it() {
        let hours = |server: usize, hours: &[u64]| -> Vec<_> {
            hours.iter().map(|hour| (server, hour * HOUR / SECOND, 6)).collect()
        };
        let (broken, whole) = (hours(0, &[1, 2, 5]), hours(1, &[1, 2, 3, 4, 5]));
        assert_eq!(class_of(&broken), Class::WithinHorizon);
        assert_eq!(class_of(&[broken, whole].concat()), Class::Monitor);
        // By chance it comes evenly to one server: the others know better.
        let (uneven, even) = (hours(0, &[1, 2, 4, 5, 9, 12, 13]), hours(1, &[1, 3, 5, 7]));
        assert_eq!(class_of(&[uneven, even].concat()), Class::WithinHorizon);
    }
}
