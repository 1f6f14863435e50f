//! Who still asks: one client of one server and zone, when it came, and what it is by that.

use std::net::Ipv6Addr;

use lowtide_proto::{Qtype, Timestamp};

use super::habits;
use super::plan::SECOND;
use super::wanted::Slot;

/// After a silence of this length a query begins another visit: retries, and the types and names that one resolution asks for, come
/// closer to one another.
pub const VISIT: u64 = 60 * SECOND;

/// By how much times between visits may differ that are one period: a clock's are nearly the same, chance's are not.
const JITTER: u64 = 10 * SECOND;

/// Visits from which a period can be told.
const PERIODIC_VISITS: u64 = 4;

/// Visits from which a period can be told when some were missed: of so many by chance, no two would all but surely come closer to one
/// another than nine tenths of the average.
const SURE_VISITS: u64 = 12;

/// The shortest period that can be told of few visits when some were missed: multiples of a shorter one are everywhere.
const LONG_PERIOD: u64 = 900 * SECOND;

/// In [`Client::qtypes`], the types that ask for much at once, which no resolver does of itself: IXFR, AXFR, MAILB, MAILA, ANY. It is the
/// bit of the reserved type 0.
pub const SWEEPING: u64 = 1;

/// The bit of a type in [`Client::qtypes`].
#[inline]
pub const fn type_bit(qtype: Qtype) -> u64 {
    match qtype.0 {
        0 | 251..=255 => SWEEPING,
        1..63 => 1 << qtype.0,
        _ => 1 << 63,
    }
}

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

    /// The period, if some visits were missed but the others tell it: where a sensor was down, frames were lost, or the client was
    /// away, times between visits are multiples of the period, and never less than it.
    fn period_with_misses(&self, first: Timestamp) -> Option<u64> {
        if self.count < PERIODIC_VISITS {
            return None;
        }
        // The longest time may be one in which nobody looked.
        let others = self.count - 2;
        let rest = self.latest.0.saturating_sub(first.0).saturating_sub(self.longest);
        let least = self.shortest.saturating_mul(others);
        if self.count >= SURE_VISITS {
            return (rest <= least.saturating_add(least / 10)).then_some(rest / others);
        }
        let multiple = (self.longest + self.shortest / 2) / self.shortest.max(1) * self.shortest;
        let is_whole = self.longest.abs_diff(multiple) <= JITTER;
        let is_told = self.shortest >= LONG_PERIOD && rest.saturating_sub(least) <= JITTER && is_whole;
        is_told.then_some(rest / others)
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
    /// Types it asked for, by their [`type_bit`]: one for each code point up to 62, the lowest for [`SWEEPING`] ones, and the highest
    /// for all others.
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
        self.qtypes |= type_bit(qtype);
    }

    /// Says where that stands which its query at `time`, counted before, asked for, if that has a place.
    #[inline]
    pub(super) fn wants(&mut self, slot: Option<Slot>, time: Timestamp) {
        if self.last == time {
            self.wanted = slot;
        }
    }

    /// The types that it asked for, by name.
    pub fn types(&self) -> Vec<String> {
        let sweeping = (self.qtypes & SWEEPING != 0).then(|| "ANY, AXFR or IXFR".to_owned());
        let known = (1..63).filter(|code| self.qtypes >> code & 1 == 1).map(|code| Qtype(code).to_string());
        sweeping
            .into_iter()
            .chain(known)
            .chain((self.qtypes >> 63 == 1).then(|| "(others)".to_owned()))
            .collect()
    }

    /// The period, if it comes at one, though some of its visits may have been missed.
    pub fn period(&self) -> Option<u64> {
        self.visits.period().or_else(|| self.visits.period_with_misses(self.first))
    }

    /// What it seems to be by what it did here alone, when no compliant cache leads here after `horizon`.
    pub fn class(&self, horizon: Option<Timestamp>) -> Class {
        habits::class(self, horizon)
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
    fn a_sweep_is_told_by_what_it_asks_for() {
        let class = |qtypes: &[u16], times: u64| client(0..times, qtypes, true).class(None);
        // A few queries of many types; or a transfer, or all records, among them.
        assert_eq!(class(&[1, 6, 15, 16, 28], 7), Class::Scanner);
        assert_eq!(class(&[1, 16, 252], 70), Class::Scanner);
        assert_eq!(class(&[1, 28, 255], 70), Class::Scanner);
        // A busy resolver's hour; HTTPS and CAA are no sign of anything.
        assert_eq!(class(&[1, 6, 15, 16, 28], 8), Class::HardCoded);
        assert_eq!(class(&[1, 65, 257], 70), Class::HardCoded);
        // One visit of a resolver that validates and asks for mail's records.
        assert_eq!(class(&[1, 2, 15, 16, 28, 43, 48, 65], 1), Class::HardCoded);
        // One who only transfers the zone.
        assert_eq!(class(&[6, 252], 1), Class::HardCoded);
        let slow = client([0, 3 * HOUR], &[1, 2, 15, 16, 28, 255], true);
        assert_eq!(slow.class(None), Class::HardCoded);
    }

    /// The period in seconds of a client that comes at these times.
    fn period(times: impl IntoIterator<Item = u64>) -> Option<u64> {
        client(times, &[6], false).period().map(|period| period / SECOND)
    }

    #[test]
    fn a_period_shows_though_visits_were_missed() {
        let minutes = |missed: &'static [u64]| {
            (0..40).filter(|at| !missed.contains(at)).map(|at| at * 300 * SECOND + at % 3 * SECOND)
        };
        assert_eq!(period(minutes(&[])), Some(301));
        // An outage of two hours and a half; a twentieth of the queries lost.
        let outage = (0..60).filter(|at| !(5..35).contains(at));
        assert_eq!(period(outage.map(|at| at * 300 * SECOND)), Some(300));
        assert!((300..=320).contains(&period(minutes(&[7, 20])).unwrap()));
        // Half of them lost is no period any more.
        assert_eq!(
            period(minutes(&[3, 5, 6, 9, 11, 12, 15, 17, 20, 22, 23, 25, 28, 30, 33, 34, 36, 38])),
            None
        );
        // Four visits tell, if the gap is a multiple of the rest.
        let daily = |days: [u64; 4], late: u64| period(days.map(|day| day * 24 * HOUR + day / 4 * late));
        assert_eq!(daily([0, 1, 2, 4], 0), Some(86_400));
        assert_eq!(daily([0, 1, 2, 4], 60 * SECOND), None);
        assert_eq!(period([0, 100, 200, 400].map(|at| at * SECOND)), None);
    }

    #[test]
    fn what_comes_together_is_one_visit() {
        let visits = client([0, 5 * SECOND, 50 * SECOND, 2 * HOUR], &[1], false).visits;
        assert_eq!((visits.count, visits.shortest, visits.longest), (2, 2 * HOUR, 2 * HOUR));
    }
}
