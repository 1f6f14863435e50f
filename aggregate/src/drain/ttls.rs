//! With which TTLs a server served an RRset, as far as caches may still hold it: what a change of the RRset has to wait for.
//!
//! An answer matters as long as no later one had the same TTL or a higher one, so that what is kept is a staircase: the later, the
//! lower. It is the same in whatever order the answers come. What a cache before the server (a forwarder, a front end) says is the same
//! RRset growing older, and no lowering: time and TTL add up to the same moment.

use lowtide_proto::Timestamp;

use super::plan::SECOND;
use super::rrsets::Served;

/// Steps that are kept; past it the two that are nearest in time become one, which is never too early.
const MAX_STEPS: usize = 32;

/// By how much the end of an answer's life may differ from another's that is the same copy growing older: TTLs are whole seconds.
const ROUNDING: u64 = 2 * SECOND;

/// So many times a cache's TTL rises again; an operator changes his mind less often.
const RISES: usize = 3;

/// Rises that are remembered: several caches may answer in turn.
const REMEMBERED: usize = 8;

/// In how many lives of the highest TTL they must be.
const LIVES: u64 = 8;

/// Differences of less than this part of a TTL are a cache that asked anew a little later, or no lowering worth waiting for.
const PART: u32 = 20;

/// With which TTLs an RRset was served, by one server in one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ttls {
    /// TTL in seconds and the last time that it was served with it or a higher one: falling and rising. Copies that grow older are left out.
    steps: Vec<(u32, Timestamp)>,
    /// The latest answer.
    latest: (Timestamp, u32),
    /// The first answer.
    first: Timestamp,
    /// The highest TTL ever, seconds.
    highest: u32,
    /// The last answers with a higher TTL than the one before, the latest first.
    rises: [Option<(Timestamp, u32)>; REMEMBERED],
}

impl Ttls {
    /// Served for the first time.
    pub fn new(time: Timestamp, ttl: u32) -> Self {
        Self {
            steps: vec![(ttl, time)],
            latest: (time, ttl),
            first: time,
            highest: ttl,
            rises: [None; REMEMBERED],
        }
    }

    /// What can be said where no more than [`Served`] is known: nothing is too early, but the moment may be later than need be.
    pub fn of(served: &Served) -> Self {
        let mut ttls = Self::new(served.first, served.ttl_max);
        ttls.add_served(served);
        ttls
    }

    /// The same of one more, as of rows of intervals, in order of time: the shorter these are, the more exact it is.
    pub fn add_served(&mut self, served: &Served) {
        if served.ttl_max > served.ttl {
            // No answer was held longer than until the horizon, so that the one with the highest TTL was not later than this.
            let latest = Timestamp(served.horizon.0.saturating_sub(u64::from(served.ttl_max) * SECOND));
            let until = served.higher_until.unwrap_or(served.last).min(latest);
            self.add(until.max(served.first), served.ttl_max);
        }
        self.first = self.first.min(served.first);
        self.add(served.last, served.ttl);
    }

    /// Served once more.
    #[inline]
    pub fn add(&mut self, time: Timestamp, ttl: u32) {
        let (before, known) = self.latest;
        if time >= before {
            self.latest = (time, ttl);
            if ttl == known {
                // Nearly always.
                if let Some((last, until)) = self.steps.last_mut()
                    && *last == ttl
                {
                    *until = time;
                    return;
                }
            } else if ttl > known {
                self.rises.rotate_right(1);
                let [latest, ..] = &mut self.rises;
                *latest = Some((time, ttl));
            }
        }
        self.first = self.first.min(time);
        self.highest = self.highest.max(ttl);
        self.step(time, ttl);
    }

    /// Adds what another of the same RRset knows, as that of other content.
    pub fn merge(&mut self, other: &Self) {
        other.steps.iter().for_each(|&(ttl, time)| self.step(time, ttl));
        if other.latest.0 > self.latest.0 {
            (self.latest, self.rises) = (other.latest, other.rises);
        }
        self.first = self.first.min(other.first);
        self.highest = self.highest.max(other.highest);
    }

    fn step(&mut self, time: Timestamp, ttl: u32) {
        let gone = end(time, ttl);
        let hides = |&(step, at): &(u32, Timestamp)| {
            step >= ttl
                && (at >= time || (at <= time && end(at, step).0.abs_diff(gone.0) <= ROUNDING && step > ttl))
        };
        if self.steps.iter().any(hides) {
            return;
        }
        self.steps.retain(|&(step, at)| step > ttl || at > time);
        let place = self.steps.partition_point(|&(_, at)| at < time);
        self.steps.insert(place, (ttl, time));
        if self.steps.len() > MAX_STEPS {
            let gaps = self.steps.windows(2).map(|pair| match pair {
                [(_, one), (_, other)] => other.0 - one.0,
                _ => u64::MAX,
            });
            let nearest = gaps.enumerate().min_by_key(|&(_, gap)| gap).map_or(0, |(at, _)| at);
            let (_, later) = self.steps.remove(nearest + 1);
            if let Some((_, time)) = self.steps.get_mut(nearest) {
                *time = later;
            }
        }
    }

    /// The TTL that the server gives the RRset now, seconds: the latest answer's, or what that is an older copy of.
    pub fn now(&self) -> u32 {
        let rises = self.late_rises().filter(|_| self.varies());
        rises.chain([self.latest]).map(|(time, ttl)| self.original(time, ttl)).max().unwrap_or(0)
    }

    /// The TTL of which an answer's is that of an older copy, or its own.
    fn original(&self, time: Timestamp, ttl: u32) -> u32 {
        let gone = end(time, ttl);
        let is_copy = |&&(step, at): &&(u32, Timestamp)| end(at, step).0.abs_diff(gone.0) <= ROUNDING;
        self.steps.iter().filter(is_copy).map(|&(step, _)| step).max().unwrap_or(ttl).max(ttl)
    }

    fn late_rises(&self) -> impl Iterator<Item = (Timestamp, u32)> {
        let highest = self.steps.iter().map(|&(ttl, _)| ttl).max().unwrap_or(0);
        let since = self.latest.0.0.saturating_sub(LIVES * u64::from(highest) * SECOND);
        self.rises.iter().flatten().copied().filter(move |(time, _)| time.0 >= since)
    }

    /// Whether the TTL goes up and down as a cache's does.
    pub fn varies(&self) -> bool {
        self.late_rises().count() >= RISES
    }

    /// The highest TTL ever, seconds.
    pub const fn highest(&self) -> u32 {
        self.highest
    }

    /// The latest answer.
    pub const fn last(&self) -> Timestamp {
        self.latest.0
    }

    /// The first answer.
    pub const fn first(&self) -> Timestamp {
        self.first
    }

    /// What caches hold the longest of answers with a higher TTL than `ttl` seconds, if there were any.
    pub fn higher(&self, ttl: u32) -> Option<Higher> {
        let higher = self.steps.iter().filter(|&&(step, _)| step > ttl.saturating_add(ttl / PART));
        let longest = higher.clone().max_by_key(|&&(step, at)| end(at, step))?;
        let until = higher.map(|&(_, at)| at).max()?;
        Some(Higher { until, ttl: longest.0, served: longest.1, gone: end(longest.1, longest.0) })
    }
}

/// Answers with a higher TTL than now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Higher {
    /// The last of them.
    pub until: Timestamp,
    /// The TTL of that which caches hold the longest, seconds.
    pub ttl: u32,
    /// When that was served.
    pub served: Timestamp,
    /// When no compliant cache holds any of them.
    pub gone: Timestamp,
}

fn end(time: Timestamp, ttl: u32) -> Timestamp {
    Timestamp(time.0.saturating_add(u64::from(ttl) * SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000 * SECOND + seconds * SECOND)
    }

    fn ttls(answers: impl IntoIterator<Item = (u64, u32)>) -> Ttls {
        let mut answers = answers.into_iter();
        let (first, ttl) = answers.next().unwrap();
        let mut ttls = Ttls::new(at(first), ttl);
        answers.for_each(|(time, ttl)| ttls.add(at(time), ttl));
        ttls
    }

    #[test]
    fn a_change_waits_for_the_last_answer_with_a_higher_ttl() {
        // A day until 1,000 s, an hour until 5,000 s, then five minutes: the day ends at 87,400 s, the hour at 8,600 s.
        let answers =
            [(0, 86_400), (1_000, 86_400), (1_600, 3_600), (5_000, 3_600), (5_600, 300), (9_000, 300)];
        let expect = Higher { until: at(5_000), ttl: 86_400, served: at(1_000), gone: at(87_400) };
        let seen = ttls(answers);
        assert_eq!((seen.now(), seen.highest(), seen.first()), (300, 86_400, at(0)));
        assert_eq!(seen.higher(300), Some(expect));
        assert_eq!(seen.higher(86_400), None);
        // Messages come late, in any order: what they say stays the same. Only the rises depend on it.
        for turn in 0..6 {
            let mut answers = answers;
            answers.rotate_left(turn);
            assert_eq!(ttls(answers).higher(300), Some(expect), "{turn}");
            answers.reverse();
            assert_eq!(ttls(answers).higher(300), Some(expect), "{turn}");
        }
    }

    #[test]
    fn one_late_message_raises_nothing_and_one_late_answer_counts() {
        let mut seen = ttls([(0, 3_600), (100, 300), (200, 300)]);
        // Captured at 50 s, delivered after the others.
        seen.add(at(50), 3_600);
        assert_eq!((seen.now(), seen.varies()), (300, false));
        assert_eq!(seen.higher(300).map(|higher| (higher.until, higher.gone)), Some((at(50), at(3_650))));
        // An instance that has not got the new zone yet: caches hold what it served.
        seen.add(at(500), 3_600);
        seen.add(at(501), 300);
        assert_eq!(seen.now(), 300);
        assert_eq!(seen.higher(300).map(|higher| (higher.until, higher.gone)), Some((at(500), at(4_100))));
    }

    #[test]
    fn a_cache_that_counts_down_lowers_nothing() {
        // Asked each 7 s, with an hour that is fetched anew when it is over.
        let counting = |length: u64| (0..length).step_by(7).map(|time| (time, (3_600 - time % 3_600) as u32));
        for length in [2, 100, 3_599, 3_700, 40_000] {
            let seen = ttls(counting(length));
            let now = seen.now();
            assert!((3_593..=3_600).contains(&now), "{length}: {now}");
            assert_eq!(seen.higher(now), None, "{length}");
        }
        // Two caches behind one address, of which one is half an hour older.
        let both =
            (0..40_000).step_by(7).map(|time| (time, (3_600 - (time + time / 7 % 2 * 1_800) % 3_600) as u32));
        let seen = ttls(both);
        assert!((3_580..=3_600).contains(&seen.now()), "{seen:?}");
        assert_eq!(seen.higher(seen.now()), None);
        assert!(seen.varies());
    }

    #[test]
    fn a_lowering_behind_a_cache_is_seen() {
        // A day from 0 on, counted down; five minutes from 20,000 s on, as the cache was told to fetch anew.
        let day = (0..20_000).step_by(100).map(|time| (time, (86_400 - time) as u32));
        let low = (20_000..30_000).step_by(100).map(|time| (time, (300 - time % 300) as u32));
        let seen = ttls(day.chain(low));
        assert!((298..=300).contains(&seen.now()), "{seen:?}");
        let higher = seen.higher(seen.now()).unwrap();
        assert_eq!((higher.gone, higher.ttl), (at(86_400), 86_400));
    }

    #[test]
    fn steps_are_bounded_and_never_too_early() {
        // Lowered by 16 seconds each ten seconds, five thousand times, down to 6,416 s.
        let seen = ttls((0..5_000_u64).map(|step| (step * 10, 86_400 - 16 * step as u32)));
        assert!(seen.steps.len() <= MAX_STEPS);
        // The first is held the longest, 86,400 s; the last that is a twentieth above is of 49,780 s, with 6,752 s.
        let higher = seen.higher(seen.now()).unwrap();
        assert!(higher.gone >= at(86_400) && higher.gone <= at(50_000 + 86_400), "{higher:?}");
        assert!(higher.until >= at(49_780), "{higher:?}");
    }

    /// What is known of answers in one interval; seconds and TTLs.
    fn served(answers: &[(u64, u32)]) -> Served {
        let ttls = || answers.iter().map(|&(_, ttl)| ttl);
        let (first, last) = (answers[0], answers[answers.len() - 1]);
        let mut drops = answers.windows(2).filter(|pair| pair[1].1 < pair[0].1);
        Served {
            ttl_min: ttls().min().unwrap(),
            ttl_max: ttls().max().unwrap(),
            horizon: answers.iter().map(|&(time, ttl)| at(time + u64::from(ttl))).max().unwrap(),
            higher_until: drops.next_back().map(|pair| at(pair[0].0)),
            answers: answers.len() as u64,
            first: at(first.0),
            last: at(last.0),
            ttl: last.1,
        }
    }

    #[test]
    fn rows_of_intervals_tell_the_same() {
        let gone = |ttls: &Ttls| ttls.higher(ttls.now()).map(|higher| higher.gone);
        // All in one row: the last answer with a day is known by its end.
        let answers =
            [(0, 86_400), (1_000, 86_400), (1_600, 3_600), (5_000, 3_600), (5_600, 300), (9_000, 300)];
        let seen = Ttls::of(&served(&answers));
        assert_eq!(
            (gone(&seen), seen.now(), seen.first(), seen.highest()),
            (Some(at(87_400)), 300, at(0), 86_400)
        );
        assert_eq!(gone(&Ttls::of(&served(&[(0, 300), (60, 300)]))), None);
        // In rows of a minute: a cache that counts down an hour for half a day.
        let minutes: Vec<Vec<(u64, u32)>> = (0..720_u64)
            .map(|minute| (0..60).step_by(7).map(move |second| minute * 60 + second))
            .map(|times| times.map(|time| (time, (3_600 - time % 3_600) as u32)).collect())
            .collect();
        let mut seen = Ttls::of(&served(&minutes[0]));
        minutes.iter().for_each(|answers| seen.add_served(&served(answers)));
        assert!((3_540..=3_600).contains(&seen.now()), "{seen:?}");
        assert_eq!(gone(&seen), None);
    }
}
