//! Who still asks: one client of one server and zone, when it came, and what it is by that.

use std::net::Ipv6Addr;

use lowtide_proto::{Qtype, Timestamp};

use super::plan::SECOND;
use super::wanted::Slot;

/// After a silence of this length a query begins another visit: retries, and the types and names that one resolution asks for, come
/// closer to one another.
const VISIT: u64 = 60 * SECOND;

/// By how much times between visits may differ that are one period: a clock's are nearly the same, chance's are not.
const JITTER: u64 = 10 * SECOND;

/// Visits from which a period can be told.
const PERIODIC_VISITS: u64 = 4;

/// Query types in a short time that nobody asks for who only wants to resolve.
const SCAN_TYPES: u32 = 5;

/// How long a sweep takes at most.
const SCAN: u64 = 2 * 3_600 * SECOND;

/// What a client seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A resolver that may still have been led here by its cache.
    WithinHorizon,
    /// A resolver that asks although no compliant cache leads here any more.
    PastHorizon,
    /// It asks for recursion: it was told this address by hand, or forwards to it.
    HardCoded,
    /// It comes at a fixed period.
    Monitor,
    /// It came for a short time and asked for what nobody needs.
    Scanner,
}

impl Class {
    /// All, in the order of reports.
    pub const ALL: [Class; 5] =
        [Class::WithinHorizon, Class::PastHorizon, Class::HardCoded, Class::Monitor, Class::Scanner];

    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::WithinHorizon => "resolver-within-horizon",
            Class::PastHorizon => "resolver-past-horizon",
            Class::HardCoded => "hard-coded",
            Class::Monitor => "monitor",
            Class::Scanner => "scanner",
        }
    }
}

/// When a client came: visits and the times between their beginnings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visits {
    /// How many.
    pub count: u64,
    /// When the latest began.
    pub latest: Timestamp,
    /// The shortest time between two, nanoseconds.
    pub shortest: u64,
    /// The longest.
    pub longest: u64,
}

/// Whether a query begins another visit, when the last one before was at `before`.
pub(super) const fn begins_visit(time: Timestamp, before: Timestamp) -> bool {
    time.0.saturating_sub(before.0) >= VISIT
}

impl Visits {
    /// A query, when the last one before was at `before`.
    fn add(&mut self, time: Timestamp, before: Timestamp) {
        if self.count == 0 {
            *self = Self { count: 1, latest: time, ..Self::default() };
            return;
        }
        if !begins_visit(time, before) {
            return;
        }
        let gap = time.0.saturating_sub(self.latest.0);
        self.shortest = if self.count == 1 { gap } else { self.shortest.min(gap) };
        self.longest = self.longest.max(gap);
        self.count += 1;
        self.latest = time;
    }

    /// The period, if the client comes at one: no time between visits is much shorter or longer than another.
    pub fn period(&self) -> Option<u64> {
        let even = self.longest.saturating_sub(self.shortest) <= JITTER.max(self.shortest / 100);
        (self.count >= PERIODIC_VISITS && even).then_some(self.longest)
    }
}

/// What was seen of one client at one server, of one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; IPv4 as `::ffff:a.b.c.d`.
    pub address: Ipv6Addr,
    /// Queries.
    pub queries: u64,
    /// Of those, with RD set.
    pub rd_queries: u64,
    /// Its first query.
    pub first: Timestamp,
    /// Its last.
    pub last: Timestamp,
    /// When it came.
    pub visits: Visits,
    /// Types it asked for: a bit for each of the first 64 code points, and the highest for all others.
    pub qtypes: u64,
    /// Where its last name since the cutover stands among all that were asked for.
    pub wanted: Option<Slot>,
}

impl Client {
    /// A client that has not come yet.
    pub fn new(address: Ipv6Addr) -> Self {
        Self {
            address,
            queries: 0,
            rd_queries: 0,
            first: Timestamp(u64::MAX),
            last: Timestamp(0),
            visits: Visits::default(),
            qtypes: 0,
            wanted: None,
        }
    }

    /// Counts a query.
    #[inline]
    pub fn count(&mut self, time: Timestamp, qtype: Qtype, is_recursive: bool) {
        self.queries += 1;
        self.rd_queries += u64::from(is_recursive);
        self.visits.add(time, self.last);
        self.first = self.first.min(time);
        self.last = self.last.max(time);
        self.qtypes |= 1 << qtype.0.min(63);
    }

    /// The types that it asked for, by name.
    pub fn types(&self) -> Vec<String> {
        let known = (0..63).filter(|code| self.qtypes >> code & 1 == 1).map(|code| Qtype(code).to_string());
        known.chain((self.qtypes >> 63 == 1).then(|| "(others)".to_owned())).collect()
    }

    /// What it seems to be, when no compliant cache leads here after `horizon`.
    pub fn class(&self, horizon: Option<Timestamp>) -> Class {
        let is_brief = self.last.0.saturating_sub(self.first.0) <= SCAN;
        if is_brief && self.qtypes.count_ones() >= SCAN_TYPES {
            Class::Scanner
        } else if self.visits.period().is_some() {
            Class::Monitor
        } else if self.rd_queries * 2 > self.queries {
            Class::HardCoded
        } else if horizon.is_some_and(|horizon| self.last > horizon) {
            Class::PastHorizon
        } else {
            Class::WithinHorizon
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600 * SECOND;

    fn client(times: impl IntoIterator<Item = u64>, qtypes: &[u16], rd: bool) -> Client {
        let mut client = Client::new(Ipv6Addr::LOCALHOST);
        for time in times {
            for &qtype in qtypes {
                client.count(Timestamp(time), Qtype(qtype), rd);
            }
        }
        client
    }

    #[test]
    fn behaviour_tells_what_a_client_is() {
        let horizon = Some(Timestamp(100 * HOUR));
        let hourly = (0..30).map(|at| at * HOUR + at % 5 * SECOND);
        let uneven = [1, 2, 7, 9, 30].map(|at| at * HOUR);
        let check = |client: Client, class| assert_eq!(client.class(horizon), class, "{client:?}");
        check(client(hourly.clone(), &[6], false), Class::Monitor);
        check(client(hourly, &[6], true), Class::Monitor);
        check(client(uneven, &[1, 28], false), Class::WithinHorizon);
        check(client(uneven, &[1, 28], true), Class::HardCoded);
        check(client(uneven.map(|time| time + 90 * HOUR), &[1], false), Class::PastHorizon);
        check(client([5 * HOUR], &[1, 2, 6, 15, 16, 28, 48], false), Class::Scanner);
        check(client([5 * HOUR], &[1, 28], false), Class::WithinHorizon);
        assert_eq!(client([0, 168, 336, 504].map(|at| at * HOUR), &[1], false).class(None), Class::Monitor);
        assert_eq!(client([0, 168, 336].map(|at| at * HOUR), &[1], false).class(None), Class::WithinHorizon);
    }

    #[test]
    fn what_comes_together_is_one_visit() {
        let visits = client([0, 5 * SECOND, 50 * SECOND, 2 * HOUR], &[1], false).visits;
        assert_eq!((visits.count, visits.shortest, visits.longest), (2, 2 * HOUR, 2 * HOUR));
    }
}
