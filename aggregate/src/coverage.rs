//! What each source showed in each interval of traffic time, and what of it was lost: the evidence that silence was watched.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv6Addr;

use foldhash::fast::RandomState;
use lowtide_proto::Timestamp;
use lowtide_proto::time::NANOS_PER_SECOND;

/// Servers of a source that get rows of their own, beside those that the operator named: a resolver asks thousands.
const MAX_SERVERS: usize = 64;

/// The beginning of the year 2000, seconds since 1970: no frame that is seen live is older.
const YEAR_2000: u64 = 946_684_800;

/// Seconds that a source's clock may be ahead of ours.
const AHEAD: u64 = 86_400;

/// What one source showed in one interval, and what it lost; or what it showed of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoverageRow {
    /// Start of the interval.
    pub start: Timestamp,
    /// Number of the source.
    pub source: usize,
    /// The server that the row is about; `None` = all that the source showed.
    pub server: Option<Ipv6Addr>,
    /// Packets or dnstap frames.
    pub frames: u64,
    /// Octets of those frames as captured.
    pub octets: u64,
    /// DNS messages that they completed.
    pub messages: u64,
    /// The earliest and the latest time of a frame; `None` without one.
    pub seen: Option<(Timestamp, Timestamp)>,
    /// Signs of life, one a second, with or without traffic. Of files there are none.
    pub heartbeats: u64,
    /// What was lost, by reason: frames, or milliseconds where the reason's name ends in `_ms`.
    pub lost: BTreeMap<&'static str, u64>,
    /// Whether more was lost, or may have been, than anybody can count.
    pub unknown: bool,
}

impl CoverageRow {
    fn saw(&mut self, time: Timestamp) {
        let (first, last) = self.seen.unwrap_or((time, time));
        self.seen = Some((first.min(time), last.max(time)));
    }

    /// Adds another row of this interval, source and server.
    fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.octets += other.octets;
        self.messages += other.messages;
        if let Some((first, last)) = other.seen {
            self.saw(first);
            self.saw(last);
        }
        self.heartbeats += other.heartbeats;
        for (reason, count) in other.lost {
            let lost = self.lost.entry(reason).or_default();
            *lost = lost.saturating_add(count);
        }
        self.unknown |= other.unknown;
    }
}

/// Number of the interval, source, server.
type Key = (u64, usize, Option<Ipv6Addr>);

/// Counts what was seen and what was lost by interval and source.
#[derive(Debug)]
pub struct Coverage {
    /// Nanoseconds of an interval.
    width: u64,
    rows: BTreeMap<Key, CoverageRow>,
    /// The row of a source last counted in: the next frame most likely belongs to it too.
    current: CoverageRow,
    /// DNS messages before the next frame.
    messages: u64,
    servers: Servers,
    /// The clock's time, if times are held against it.
    clock: Option<Timestamp>,
}

/// Which servers have rows, and what they showed since the rows were last handed out.
#[derive(Debug, Default)]
struct Servers {
    configured: HashSet<Ipv6Addr, RandomState>,
    admitted: HashMap<usize, HashSet<Ipv6Addr, RandomState>, RandomState>,
    seen: HashMap<(u64, usize, Ipv6Addr), (u64, Timestamp, Timestamp), RandomState>,
}

impl Servers {
    fn has_row(&mut self, source: usize, server: Ipv6Addr) -> bool {
        if self.configured.contains(&server) {
            return true;
        }
        let admitted = self.admitted.entry(source).or_default();
        admitted.contains(&server) || (admitted.len() < MAX_SERVERS && admitted.insert(server))
    }
}

impl Coverage {
    /// Nothing seen yet; intervals of `width` nanoseconds.
    pub fn new(width: u64) -> Self {
        Self {
            width: width.max(1),
            rows: BTreeMap::new(),
            current: CoverageRow::default(),
            messages: 0,
            servers: Servers::default(),
            clock: None,
        }
    }

    /// Nanoseconds of an interval.
    pub const fn width(&self) -> u64 {
        self.width
    }

    /// From now on this is the clock's time, and what pretends to be of a time that cannot be counts as seen at this one.
    pub const fn set_clock(&mut self, now: Timestamp) {
        self.clock = Some(now);
    }

    /// A frame's time, or the clock's, when that time is before the year 2000 or more than a day ahead of the clock.
    #[inline]
    pub fn credible(&self, time: Timestamp) -> Timestamp {
        match self.clock {
            Some(now)
                if time.0 < YEAR_2000 * NANOS_PER_SECOND
                    || time.0 > now.0.saturating_add(AHEAD * NANOS_PER_SECOND) =>
            {
                now
            }
            _ => time,
        }
    }

    /// Gives these servers rows of their own, whatever others there are.
    pub fn watch(&mut self, servers: impl IntoIterator<Item = Ipv6Addr>) {
        self.servers.configured = servers.into_iter().collect();
    }

    /// Counts a frame of `source`, in an interval that is unknown when its time is not credible; `messages` is how many DNS messages there were in all up to this frame.
    #[inline]
    pub fn frame(&mut self, source: usize, time: Timestamp, octets: usize, messages: u64) {
        let believed = self.credible(time);
        let is_made_up = believed != time;
        let time = believed;
        let start = self.current.start.0;
        let is_current = self.current.frames > 0
            && self.current.source == source
            && (start..start.saturating_add(self.width)).contains(&time.0);
        if !is_current {
            self.turn_to(source, time);
        }
        let row = &mut self.current;
        row.frames += 1;
        row.octets += octets as u64;
        row.messages += messages - self.messages;
        row.unknown |= is_made_up;
        row.saw(time);
        self.messages = messages;
    }

    /// Counts a DNS message from or to `server`, for its own row.
    #[inline]
    pub fn server(&mut self, source: usize, server: Ipv6Addr, time: Timestamp) {
        let time = self.credible(time);
        let number = time.0 / self.width;
        if let Some((messages, first, last)) = self.servers.seen.get_mut(&(number, source, server)) {
            *messages += 1;
            *first = (*first).min(time);
            *last = (*last).max(time);
        } else if self.servers.has_row(source, server) {
            self.servers.seen.insert((number, source, server), (1, time, time));
        }
    }

    /// Says that `source` was watched at this moment, whether or not it showed anything; and so for each server that the
    /// operator named, so that a silent server is seen to be silent.
    pub fn heartbeat(&mut self, source: usize, time: Timestamp) {
        let servers = std::mem::take(&mut self.servers.configured);
        for server in std::iter::once(None).chain(servers.iter().copied().map(Some)) {
            self.row(time, source, server).heartbeats += 1;
        }
        self.servers.configured = servers;
    }

    /// Counts what was lost of `source`: frames, or milliseconds where the reason's name ends in `_ms`.
    pub fn lost(&mut self, source: usize, time: Timestamp, reason: &'static str, count: u64) {
        if count > 0 {
            // Files may say any number.
            let lost = self.row(time, source, None).lost.entry(reason).or_default();
            *lost = lost.saturating_add(count);
        }
    }

    /// Says that of `source`, at this moment, more may have been lost than anybody can count.
    pub fn unknown(&mut self, source: usize, time: Timestamp) {
        self.row(time, source, None).unknown = true;
    }

    /// Says it of all moments between two, and of these; in every interval, or every so many.
    pub fn unknown_between(&mut self, source: usize, from: Timestamp, to: Timestamp, every: u64) {
        let mut at = from.0;
        while at < to.0 {
            self.unknown(source, Timestamp(at));
            at = (at / self.width).saturating_add(every.max(1)).saturating_mul(self.width);
        }
        self.unknown(source, to);
    }

    /// Says that nobody watched `source` from one moment to another: `reason`, in milliseconds of each interval.
    pub fn gap(&mut self, source: usize, from: Timestamp, to: Timestamp, reason: &'static str) {
        let mut from = from.0;
        while from < to.0 {
            let end = (from / self.width + 1).saturating_mul(self.width).min(to.0);
            let millis = (end - from).div_ceil(1_000_000);
            self.lost(source, Timestamp(from), reason, millis);
            self.unknown(source, Timestamp(from));
            from = end;
        }
    }

    fn row(&mut self, time: Timestamp, source: usize, server: Option<Ipv6Addr>) -> &mut CoverageRow {
        let number = time.0 / self.width;
        let start = Timestamp(number * self.width);
        let new = || CoverageRow { start, source, server, ..CoverageRow::default() };
        self.rows.entry((number, source, server)).or_insert_with(new)
    }

    #[cold]
    fn turn_to(&mut self, source: usize, time: Timestamp) {
        self.keep_current();
        let start = Timestamp(time.0 / self.width * self.width);
        self.current = CoverageRow { start, source, ..CoverageRow::default() };
    }

    fn keep_current(&mut self) {
        if self.current.frames > 0 {
            let row = std::mem::take(&mut self.current);
            self.absorb(row);
        }
    }

    /// Adds a row that somebody else counted.
    pub fn absorb(&mut self, row: CoverageRow) {
        let key = (row.start.0 / self.width, row.source, row.server);
        match self.rows.get_mut(&key) {
            Some(known) => known.add(row),
            None => {
                self.rows.insert(key, row);
            }
        }
    }

    fn keep_servers(&mut self) {
        let width = self.width;
        for ((number, source, server), (messages, first, last)) in std::mem::take(&mut self.servers.seen) {
            self.absorb(CoverageRow {
                start: Timestamp(number * width),
                source,
                server: Some(server),
                messages,
                seen: Some((first, last)),
                ..CoverageRow::default()
            });
        }
    }

    /// Rows that wait to be handed out.
    pub fn rows(&self) -> usize {
        self.rows.len() + self.servers.seen.len()
    }

    /// Hands out the rows of intervals that began before `moment`, in order of time and source. A later frame of such an
    /// interval makes another row of it: rows of one interval and source add up.
    pub fn close(&mut self, moment: Timestamp) -> Vec<CoverageRow> {
        self.keep_current();
        self.keep_servers();
        let open = self.rows.split_off(&(moment.0 / self.width, 0, None));
        std::mem::replace(&mut self.rows, open).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_where_they_belong() {
        let mut coverage = Coverage::new(60);
        let frames = [(0, 61), (1, 62), (0, 119), (0, 120), (0, 61), (1, 5), (0, 200)];
        for (at, (source, time)) in frames.into_iter().enumerate() {
            coverage.frame(source, Timestamp(time), 100, at as u64 * 2);
        }
        let rows = |rows: Vec<CoverageRow>| -> Vec<_> {
            let times = |row: &CoverageRow| row.seen.map(|(first, last)| (first.0, last.0)).unwrap();
            rows.iter().map(|row| (row.start.0, row.source, row.frames, times(row))).collect()
        };
        let closed = coverage.close(Timestamp(125));
        assert_eq!(closed.iter().map(|row| row.messages).sum::<u64>(), 2 * 4);
        assert_eq!(rows(closed), [(0, 1, 1, (5, 5)), (60, 0, 3, (61, 119)), (60, 1, 1, (62, 62))]);
        coverage.frame(0, Timestamp(100), 1, 12);
        assert_eq!(
            rows(coverage.close(Timestamp(u64::MAX))),
            [(60, 0, 1, (100, 100)), (120, 0, 1, (120, 120)), (180, 0, 1, (200, 200))]
        );
    }

    #[test]
    fn times_that_cannot_be_count_as_now_and_make_it_unknown() {
        let day = 86_400 * NANOS_PER_SECOND;
        let now = 20_000 * day;
        let times = [0, now - day, now + day, now + 2 * day, u64::MAX, now];
        let mut coverage = Coverage::new(day);
        coverage.set_clock(Timestamp(now));
        for (time, messages) in times.into_iter().zip(1..) {
            coverage.frame(0, Timestamp(time), 100, messages);
            coverage.server(0, Ipv6Addr::LOCALHOST, Timestamp(time));
        }
        let rows = coverage.close(Timestamp(u64::MAX));
        let of = |server: Option<Ipv6Addr>| -> Vec<_> {
            let rows = rows.iter().filter(|row| row.server == server);
            rows.map(|row| (row.start.0 / day, row.frames, row.messages, row.unknown)).collect()
        };
        assert_eq!(of(None), [(19_999, 1, 1, false), (20_000, 4, 4, true), (20_001, 1, 1, false)]);
        let servers = [(19_999, 0, 1, false), (20_000, 0, 4, false), (20_001, 0, 1, false)];
        assert_eq!(of(Some(Ipv6Addr::LOCALHOST)), servers);
    }

    #[test]
    fn a_gap_is_told_in_each_interval_it_touches() {
        let mut coverage = Coverage::new(1_000_000_000);
        coverage.gap(3, Timestamp(900_000_000), Timestamp(2_200_000_000), "stalled_ms");
        coverage.gap(3, Timestamp(5_000_000_000), Timestamp(5_000_000_000), "stalled_ms");
        coverage.heartbeat(3, Timestamp(2_300_000_000));
        let told: Vec<_> = coverage
            .close(Timestamp(u64::MAX))
            .into_iter()
            .map(|row| (row.start.0 / 1_000_000_000, row.lost["stalled_ms"], row.heartbeats, row.unknown))
            .collect();
        assert_eq!(told, [(0, 100, 0, true), (1, 1000, 0, true), (2, 200, 1, true)]);
    }

    #[test]
    fn what_is_unknown_is_so_in_each_interval_or_every_so_many() {
        let starts = |from, to, every| -> Vec<u64> {
            let mut coverage = Coverage::new(10);
            coverage.unknown_between(0, Timestamp(from), Timestamp(to), every);
            let rows = coverage.close(Timestamp(u64::MAX));
            assert!(rows.iter().all(|row| row.unknown));
            rows.iter().map(|row| row.start.0).collect()
        };
        assert_eq!(starts(15, 40, 1), [10, 20, 30, 40]);
        assert_eq!(starts(15, 39, 0), [10, 20, 30]);
        assert_eq!(starts(15, 15, 1), [10]);
        assert_eq!(starts(15, 99, 4), [10, 50, 90]);
        assert_eq!(starts(15, u64::MAX / 2, u64::MAX), [10, u64::MAX / 20 * 10]);
    }

    #[test]
    fn servers_have_rows_up_to_a_bound_and_named_ones_always() {
        let mut coverage = Coverage::new(60);
        let named = Ipv6Addr::from_bits(1 << 64);
        coverage.watch([named]);
        for host in 0..2 * MAX_SERVERS as u128 {
            coverage.server(0, Ipv6Addr::from_bits(host), Timestamp(7));
        }
        coverage.server(0, named, Timestamp(9));
        coverage.server(0, named, Timestamp(8));
        coverage.server(1, Ipv6Addr::from_bits(500), Timestamp(8));
        let rows = coverage.close(Timestamp(60));
        let of = |source| rows.iter().filter(move |row| row.source == source && row.server.is_some());
        assert_eq!((of(0).count(), of(1).count()), (MAX_SERVERS + 1, 1));
        coverage.heartbeat(0, Timestamp(61));
        let beats = coverage.close(Timestamp(u64::MAX));
        let beats: Vec<_> = beats.iter().map(|row| (row.server, row.heartbeats, row.messages)).collect();
        assert_eq!(beats, [(None, 1, 0), (Some(named), 1, 0)]);
        let row = rows.iter().find(|row| row.server == Some(named)).unwrap();
        assert_eq!((row.messages, row.seen), (2, Some((Timestamp(8), Timestamp(9)))));
    }
}
