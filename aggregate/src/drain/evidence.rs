//! What a verdict stands on: who asked which server, what was served, and who watched. It comes from a replay or a live
//! run, or out of ClickHouse.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::net::Ipv6Addr;

use cardinality_estimator::CardinalityEstimator;
use foldhash::fast::{FixedState, RandomState};
use lowtide_proto::{Qtype, Timestamp};

use super::client::Client;
use super::cover::Cover;
use super::rrsets::{RrsetKey, Served};
use super::ttls::Ttls;
use super::wanted::{Slot, Wanted};

/// Steps of the time line of a server; past it they are widened twofold. It is a month of minutes.
const MAX_STEPS: usize = 44_640;

/// Queries over time.
#[derive(Clone, Debug)]
pub struct Series {
    width: u64,
    counts: BTreeMap<u64, u64>,
    /// The step last counted in: its beginning and its queries, which are not in `counts` yet. Time goes on, so that it is nearly always
    /// the next one's too.
    open: (u64, u64),
}

impl Series {
    /// Nothing counted, in steps of `width` nanoseconds.
    pub fn new(width: u64) -> Self {
        Self { width: width.max(1), counts: BTreeMap::new(), open: (0, 0) }
    }

    /// Counts queries at a moment.
    #[inline]
    pub fn add(&mut self, time: Timestamp, queries: u64) {
        if time.0.wrapping_sub(self.open.0) >= self.width {
            self.turn_to(time);
        }
        self.open.1 += queries;
    }

    #[cold]
    fn turn_to(&mut self, time: Timestamp) {
        if self.open.1 > 0 {
            *self.counts.entry(self.open.0 / self.width).or_default() += self.open.1;
        }
        if self.counts.len() > MAX_STEPS {
            self.width = self.width.saturating_mul(2);
            for (number, count) in std::mem::take(&mut self.counts) {
                *self.counts.entry(number / 2).or_default() += count;
            }
        }
        self.open = (time.0 / self.width * self.width, 0);
    }

    /// Nanoseconds of a step.
    pub const fn width(&self) -> u64 {
        self.width
    }

    /// Beginnings of steps with their queries, in order; steps without one are left out.
    pub fn iter(&self) -> impl Iterator<Item = (Timestamp, u64)> {
        let mut counts = self.counts.clone();
        if self.open.1 > 0 {
            *counts.entry(self.open.0 / self.width).or_default() += self.open.1;
        }
        counts.into_iter().map(|(number, count)| (Timestamp(number.saturating_mul(self.width)), count))
    }

    /// Queries of all steps that touch the time from `from` to `to`: at least as many as there were.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> u64 {
        if from > to {
            return 0;
        }
        let steps = from.0 / self.width..=to.0 / self.width;
        let open = if steps.contains(&(self.open.0 / self.width)) { self.open.1 } else { 0 };
        self.counts.range(steps).map(|(_, count)| count).sum::<u64>() + open
    }
}

/// What one server was asked of one zone, by all clients that are not set apart.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Queries.
    pub queries: u64,
    /// Queries of clients that are set apart.
    pub apart: u64,
    /// The first query.
    pub first: Option<Timestamp>,
    /// The last query.
    pub last: Option<Timestamp>,
    /// Queries over time.
    pub series: Series,
    /// Its clients.
    pub clients: HashMap<Ipv6Addr, Client, RandomState>,
    /// What was asked for since the cutover, where that is known.
    pub wanted: Option<Box<Wanted>>,
    /// Clients beyond the bound: their queries, and an estimate of how many they are.
    pub others: u64,
    others_seen: CardinalityEstimator<u64>,
}

impl Asked {
    /// Nothing asked, with a time line in steps of `width` nanoseconds.
    pub fn new(width: u64) -> Self {
        Self {
            queries: 0,
            apart: 0,
            first: None,
            last: None,
            series: Series::new(width),
            clients: HashMap::default(),
            wanted: None,
            others: 0,
            others_seen: CardinalityEstimator::new(),
        }
    }

    /// Counts a query; `room` says whether one more client may be kept, `wanted` where stands what it asked for, if that is counted. Whether
    /// one more client is kept.
    #[inline(always)]
    pub fn count(
        &mut self,
        client: Ipv6Addr,
        time: Timestamp,
        qtype: Qtype,
        is_recursive: bool,
        room: bool,
        wanted: Option<Slot>,
    ) -> bool {
        self.queries += 1;
        if self.last.is_none_or(|last| last < time) {
            self.last = Some(time);
        }
        if self.first.is_none_or(|first| first > time) {
            self.first = Some(time);
        }
        self.series.add(time, 1);
        if let Some(known) = self.clients.get_mut(&client) {
            known.count(time, qtype, is_recursive);
            known.wants(wanted, time);
            return false;
        }
        if !room {
            self.others += 1;
            self.others_seen.insert_hash(FixedState::default().hash_one(client));
            return false;
        }
        let mut new = Client::new(client);
        new.count(time, qtype, is_recursive);
        new.wants(wanted, time);
        self.clients.insert(client, new);
        true
    }

    /// Counts queries of clients beyond the bound of which nobody kept the addresses; they count as one client.
    pub fn count_others(&mut self, queries: u64) {
        self.others += queries;
        self.others_seen.insert_hash(FixedState::default().hash_one(Ipv6Addr::UNSPECIFIED));
    }

    /// About how many clients there are beyond those that are kept.
    pub fn other_clients(&self) -> usize {
        if self.others == 0 { 0 } else { self.others_seen.estimate() }
    }
}

/// The evidence about one migration.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// What was asked, by number of the zone and server.
    pub asked: BTreeMap<(usize, Ipv6Addr), Asked>,
    /// What was served, with the number of the zone.
    pub rrsets: Vec<(usize, RrsetKey, Served)>,
    /// With which TTLs, more exactly than [`Served`] says; what is missing here is taken from there.
    pub ttls: BTreeMap<(usize, RrsetKey), Ttls>,
    /// By number of the zone and server, the last response of which it is not known what it carried.
    pub unread: BTreeMap<(usize, Ipv6Addr), Timestamp>,
    /// Who watched.
    pub cover: Cover,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_line_keeps_its_sum_when_it_is_widened() {
        let mut series = Series::new(1);
        for at in 0..3 * MAX_STEPS as u64 {
            series.add(Timestamp(at), 2);
        }
        assert!(series.iter().count() <= MAX_STEPS);
        assert_eq!(series.between(Timestamp(0), Timestamp(u64::MAX)), 6 * MAX_STEPS as u64);
        assert_eq!(series.between(Timestamp(5), Timestamp(4)), 0);
    }

    #[test]
    fn clients_beyond_the_bound_are_counted_together() {
        let mut asked = Asked::new(60);
        let mut kept = 0;
        for host in 0..1_000_u128 {
            for time in [1, 100] {
                kept += usize::from(asked.count(
                    Ipv6Addr::from_bits(host),
                    Timestamp(time),
                    Qtype(1),
                    false,
                    kept < 100,
                    None,
                ));
            }
        }
        assert_eq!((asked.clients.len(), asked.queries, asked.others), (100, 2_000, 1_800));
        assert!((800..1_000).contains(&asked.other_clients()), "{}", asked.other_clients());
    }
}
