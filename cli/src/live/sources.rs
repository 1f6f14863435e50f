//! The sources of a live run: sockets, their senders by identity, interfaces; which of them can be seen through at the
//! moment, and what each has shown and lost since the start.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lowtide_aggregate::CoverageRow;
use lowtide_proto::Timestamp;

use super::clock;
use crate::pipeline::nanos;

/// A sender that has been away for so long is forgotten: it is missed no more, until it is back.
pub const FORGOTTEN: Duration = Duration::from_secs(7 * 86_400);

/// Sources at most; senders name themselves, and past this they share one.
const MAX_SOURCES: usize = 1_024;

/// The name of the source that all share past the bound.
const OTHERS: &str = "(others)";

/// One source.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in rows.
    pub name: String,
    /// Which producer reads it.
    pub producer: usize,
    /// Those that read it as well: other handles of an interface.
    pub others: Vec<usize>,
    /// How many open ways there are to it: connections of a sender, handles of an interface.
    pub ways: usize,
    /// Why there is none, when there is none: the name of a loss in milliseconds.
    pub gone: &'static str,
    /// Frames since the start.
    pub frames: u64,
    /// Octets of those frames.
    pub octets: u64,
    /// The earliest and the latest time of a frame.
    pub seen: Option<(Timestamp, Timestamp)>,
    /// Losses since the start, by reason.
    pub lost: BTreeMap<&'static str, u64>,
    /// Whether it named itself, and may be forgotten.
    is_sender: bool,
    /// Since when there is no way to it; of no meaning while there is.
    left: Timestamp,
    /// The same, or up to when that was told.
    away: Timestamp,
    /// Times without a way that are over and were not told yet.
    gaps: Vec<(Timestamp, Timestamp)>,
}

impl Source {
    /// All producers that read it.
    pub fn producers(&self) -> impl Iterator<Item = usize> + '_ {
        std::iter::once(self.producer).chain(self.others.iter().copied())
    }

    /// Since when there is no way to it, if there is none.
    pub fn away_since(&self) -> Option<Timestamp> {
        (self.ways == 0).then_some(self.left)
    }

    /// Whether it is a sender that has been away for too long to be missed.
    pub fn is_forgotten(&self, now: Timestamp) -> bool {
        let is_long = |left: Timestamp| now.0.saturating_sub(left.0) > nanos(FORGOTTEN);
        self.is_sender && self.away_since().is_some_and(is_long)
    }
}

#[derive(Debug, Default)]
struct State {
    sources: Vec<Source>,
    numbers: HashMap<String, usize>,
    /// How many of them the recorder knows.
    told: usize,
}

/// All sources, shared by the threads that read them and the one that watches over them.
#[derive(Debug, Default)]
pub struct Sources(Mutex<State>);

impl Sources {
    /// The number of a source that is configured, which is new when its name is; a way to it is yet to be opened.
    pub fn number(&self, name: &str, producer: usize, gone: &'static str) -> usize {
        self.add_new(name, producer, gone, false)
    }

    /// The same for a sender, which named itself.
    pub fn sender(&self, name: &str, producer: usize, gone: &'static str) -> usize {
        self.add_new(name, producer, gone, true)
    }

    fn add_new(&self, name: &str, producer: usize, gone: &'static str, is_sender: bool) -> usize {
        let now = clock::now();
        let mut state = self.state();
        let full = state.sources.len() >= MAX_SOURCES;
        let known = state.numbers.get(name).or_else(|| state.numbers.get(OTHERS).filter(|_| full));
        if let Some(&number) = known {
            if let Some(source) = state.sources.get_mut(number)
                && source.producers().all(|its| its != producer)
            {
                source.others.push(producer);
            }
            return number;
        }
        let name = if full { OTHERS } else { name };
        let number = state.sources.len();
        state.numbers.insert(name.to_owned(), number);
        state.sources.push(Source {
            name: name.to_owned(),
            producer,
            others: Vec::new(),
            ways: 0,
            gone,
            frames: 0,
            octets: 0,
            seen: None,
            lost: BTreeMap::new(),
            is_sender,
            left: now,
            away: now,
            gaps: Vec::new(),
        });
        number
    }

    /// The name of a source.
    pub fn name(&self, number: usize) -> Option<String> {
        self.state().sources.get(number).map(|source| source.name.clone())
    }

    /// There has been no way to a source since then: what a run before knew.
    pub fn left_at(&self, number: usize, at: Timestamp) {
        if let Some(source) = self.state().sources.get_mut(number).filter(|source| source.ways == 0) {
            source.left = at;
        }
    }

    /// A way to the source is open.
    pub fn opened(&self, number: usize) {
        self.opened_at(number, clock::now());
    }

    /// A way to the source has been open since then.
    pub fn opened_at(&self, number: usize, at: Timestamp) {
        if let Some(source) = self.state().sources.get_mut(number) {
            if source.ways == 0 && source.away < at && !source.is_forgotten(at) {
                source.gaps.push((source.away, at));
            }
            source.ways += 1;
        }
    }

    /// A way to the source is closed.
    pub fn closed(&self, number: usize) {
        self.closed_at(number, clock::now());
    }

    /// A way to the source has been closed since then; how many are still open.
    pub fn closed_at(&self, number: usize, at: Timestamp) -> usize {
        self.state().sources.get_mut(number).map_or(0, |source| {
            source.ways = source.ways.saturating_sub(1);
            if source.ways == 0 {
                source.away = at;
                source.left = at;
            }
            source.ways
        })
    }

    /// When there was no way to each source, up to `now`, since this was last asked; by number, in order.
    pub fn take_gaps(&self, now: Timestamp) -> Vec<Vec<(Timestamp, Timestamp)>> {
        let mut state = self.state();
        let gaps = state.sources.iter_mut().map(|source| {
            let mut gaps = std::mem::take(&mut source.gaps);
            if source.ways == 0 {
                let away = std::mem::replace(&mut source.away, now);
                gaps.extend((away < now && !source.is_forgotten(now)).then_some((away, now)));
            }
            gaps
        });
        gaps.collect()
    }

    /// Adds what rows of coverage say to what each source has shown since the start.
    pub fn add<'a>(&self, rows: impl IntoIterator<Item = &'a CoverageRow>) {
        let mut state = self.state();
        for row in rows.into_iter().filter(|row| row.server.is_none()) {
            let Some(source) = state.sources.get_mut(row.source) else { continue };
            source.frames += row.frames;
            source.octets += row.octets;
            if let Some((first, last)) = row.seen {
                let (earliest, latest) = source.seen.unwrap_or((first, last));
                source.seen = Some((earliest.min(first), latest.max(last)));
            }
            for (&reason, &count) in &row.lost {
                *source.lost.entry(reason).or_default() += count;
            }
        }
    }

    /// Something of a source was lost.
    pub fn lose(&self, number: usize, reason: &'static str, count: u64) {
        if count > 0
            && let Some(source) = self.state().sources.get_mut(number)
        {
            *source.lost.entry(reason).or_default() += count;
        }
    }

    /// All of them as they are now, by number.
    pub fn all(&self) -> Vec<Source> {
        self.state().sources.clone()
    }

    /// The names of those that were not told yet, in order of their numbers.
    pub fn take_new(&self) -> Vec<String> {
        let mut state = self.state();
        let known = state.sources.len();
        let told = std::mem::replace(&mut state.told, known);
        state.sources.iter().skip(told).map(|source| source.name.clone()).collect()
    }

    /// No step of a change can fail half-way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number_and_is_told_once() {
        let sources = Sources::default();
        let eth0 = sources.number("eth0", 1, "gone_ms");
        let socket = sources.number("unix:/s", 0, "disconnected_ms");
        assert_eq!((eth0, socket, sources.number("eth0", 1, "gone_ms")), (0, 1, 0));
        assert_eq!(sources.take_new(), ["eth0", "unix:/s"]);
        sources.number("unix:/s ns1", 0, "disconnected_ms");
        assert_eq!(sources.take_new(), ["unix:/s ns1"]);
        assert!(sources.take_new().is_empty());
        sources.opened(eth0);
        sources.opened(eth0);
        sources.closed(eth0);
        assert_eq!(sources.all().iter().map(|source| source.ways).collect::<Vec<_>>(), [1, 0, 0]);
    }

    #[test]
    fn a_source_knows_all_who_read_it() {
        let sources = Sources::default();
        for producer in [1, 2, 1, 3] {
            sources.number("eth0", producer, "gone_ms");
        }
        let all = sources.all();
        assert_eq!(all[0].producers().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn times_without_a_way_are_told_once() {
        let sources = Sources::default();
        let start = clock::now().0;
        let at = |second: u64| Timestamp(start + second * 1_000_000_000);
        let number = sources.number("unix:/s ns1", 0, "disconnected_ms");
        sources.opened_at(number, Timestamp(start));
        sources.opened_at(number, at(1));
        assert_eq!(sources.closed_at(number, at(2)), 1);
        assert_eq!(sources.take_gaps(at(3)), [vec![]], "the other is still there");
        assert_eq!(sources.closed_at(number, at(4)), 0);
        sources.opened_at(number, at(5));
        sources.closed_at(number, at(6));
        assert_eq!(sources.take_gaps(at(7)), [vec![(at(4), at(5)), (at(6), at(7))]]);
        sources.opened_at(number, at(9));
        assert_eq!(sources.take_gaps(at(10)), [vec![(at(7), at(9))]]);
    }

    #[test]
    fn who_is_away_for_a_week_is_missed_no_more() {
        let sources = Sources::default();
        let start = clock::now().0;
        let at = |day: u64| Timestamp(start + day * 86_400 * 1_000_000_000);
        let socket = sources.number("unix:/s", 0, "disconnected_ms");
        let sender = sources.sender("unix:/s ns1", 0, "disconnected_ms");
        for number in [socket, sender] {
            sources.opened_at(number, at(0));
            sources.closed_at(number, at(1));
        }
        assert_eq!(sources.take_gaps(at(8)), [[(at(1), at(8))], [(at(1), at(8))]]);
        assert_eq!(sources.take_gaps(at(9)), [vec![(at(8), at(9))], vec![]]);
        let forgotten = |now| sources.all().iter().map(|source| source.is_forgotten(now)).collect::<Vec<_>>();
        assert_eq!((forgotten(at(8)), forgotten(at(9))), (vec![false, false], vec![false, true]));
        // It is new again when it is back.
        sources.opened_at(sender, at(20));
        assert_eq!(sources.take_gaps(at(21))[1], []);
        sources.closed_at(sender, at(22));
        assert_eq!(sources.take_gaps(at(23))[1], [(at(22), at(23))]);
    }

    #[test]
    fn names_that_a_sender_makes_up_are_bounded() {
        let sources = Sources::default();
        let numbers: Vec<_> =
            (0..2 * MAX_SOURCES).map(|at| sources.number(&format!("unix:/s {at}"), 0, "x_ms")).collect();
        assert_eq!(sources.all().len(), MAX_SOURCES + 1);
        assert!(numbers[MAX_SOURCES..].iter().all(|&number| number == MAX_SOURCES));
        assert_eq!(sources.all()[MAX_SOURCES].name, OTHERS);
    }
}
