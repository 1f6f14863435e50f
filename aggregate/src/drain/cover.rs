//! Which servers were watched, when, and where the evidence has holes.
//!
//! A source watches a server if it ever showed a message of it. All sources that watch a server have to be whole: nobody can tell
//! two taps at one server from two sites of an anycast address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use lowtide_proto::Timestamp;

use super::plan::SECOND;

/// A time that nobody saw is no hole when it is not longer than this: two stretches of coverage need not meet to the nanosecond. What
/// was lost is one, however short.
const JOINT: u64 = SECOND;

/// A stretch of time in which nobody could see what a server was asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hole {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// Why, and of which source.
    pub reason: String,
}

/// What one source could see.
#[derive(Clone, Debug, Default)]
struct Source {
    /// When it saw, from and to; they may overlap.
    seen: Vec<(Timestamp, Timestamp)>,
    /// When it lost something, and why.
    lost: Vec<Hole>,
    servers: BTreeSet<Ipv6Addr>,
}

/// What all sources could see.
#[derive(Clone, Debug, Default)]
pub struct Cover {
    sources: BTreeMap<String, Source>,
}

impl Cover {
    /// A source could see from one moment to another.
    pub fn seen(&mut self, source: &str, from: Timestamp, to: Timestamp) {
        let source = self.source(source);
        match source.seen.last_mut() {
            Some((begin, end)) if from <= *end && to >= *begin => {
                *begin = (*begin).min(from);
                *end = (*end).max(to);
            }
            _ => source.seen.push((from, to)),
        }
    }

    /// A source lost something between two moments.
    pub fn lost(&mut self, source: &str, from: Timestamp, to: Timestamp, reason: &str) {
        let text = format!("{source}: {reason}");
        self.source(source).lost.push(Hole { from, to, reason: text });
    }

    /// A source showed a message from or to a server.
    pub fn watches(&mut self, source: &str, server: Ipv6Addr) {
        self.source(source).servers.insert(server);
    }

    /// Adds what somebody else knows of the same and of other sources.
    pub fn adopt(&mut self, other: Self) {
        for (name, mut source) in other.sources {
            let known = self.sources.entry(name).or_default();
            known.seen.append(&mut source.seen);
            known.lost.append(&mut source.lost);
            known.servers.append(&mut source.servers);
        }
    }

    fn source(&mut self, name: &str) -> &mut Source {
        self.sources.entry(name.to_owned()).or_default()
    }

    /// Whether anybody watches a server.
    pub fn is_watched(&self, server: Ipv6Addr) -> bool {
        self.sources.values().any(|source| source.servers.contains(&server))
    }

    /// When the evidence ends: the last moment that any source saw.
    pub fn end(&self) -> Option<Timestamp> {
        self.sources.values().flat_map(|source| &source.seen).map(|&(_, to)| to).max()
    }

    /// Up to when all sources that watch a server are known to have seen; `None` = none of them saw anything, or none watches it.
    pub fn known_until(&self, server: Ipv6Addr) -> Option<Timestamp> {
        let watching = self.sources.values().filter(|source| source.servers.contains(&server));
        watching.map(|source| source.seen.iter().map(|&(_, to)| to).max()).min().flatten()
    }

    /// The holes of a server between two moments, in order; several sources' may overlap.
    pub fn holes(&self, server: Ipv6Addr, from: Timestamp, to: Timestamp) -> Vec<Hole> {
        let mut holes = Vec::new();
        let watching: Vec<_> =
            self.sources.iter().filter(|(_, source)| source.servers.contains(&server)).collect();
        if watching.is_empty() && from < to {
            holes.push(Hole { from, to, reason: "no sensor has ever seen this server".to_owned() });
        }
        for (name, source) in watching {
            let mut seen = source.seen.clone();
            seen.sort_unstable();
            let mut known = from;
            for (begin, end) in seen.into_iter().chain([(to, to)]) {
                let until = begin.min(to);
                if until.0.saturating_sub(known.0) > JOINT {
                    let reason = format!("{name}: nobody looked");
                    holes.push(Hole { from: known, to: until, reason });
                }
                known = known.max(end);
            }
            let touches = |hole: &&Hole| hole.from <= to && hole.to >= from;
            holes.extend(source.lost.iter().filter(touches).map(|hole| Hole {
                from: hole.from.max(from),
                to: hole.to.min(to),
                reason: hole.reason.clone(),
            }));
        }
        holes.sort_unstable();
        holes
    }

    /// The share of the time between two moments that no hole covers.
    pub fn fraction(&self, server: Ipv6Addr, from: Timestamp, to: Timestamp) -> f64 {
        let whole = to.0.saturating_sub(from.0);
        if whole == 0 {
            return 0.0;
        }
        let (mut known, mut blind) = (from, 0);
        for hole in self.holes(server, from, to) {
            let begin = hole.from.max(known);
            blind += hole.to.0.saturating_sub(begin.0);
            known = known.max(hole.to);
        }
        1.0 - blind as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv6Addr = Ipv6Addr::LOCALHOST;

    /// Minutes.
    const fn at(minutes: u64) -> Timestamp {
        Timestamp(minutes * 60 * SECOND)
    }

    fn holes(cover: &Cover, from: u64, to: u64) -> Vec<(u64, u64)> {
        let minutes = |time: Timestamp| time.0 / (60 * SECOND);
        cover.holes(A, at(from), at(to)).iter().map(|hole| (minutes(hole.from), minutes(hole.to))).collect()
    }

    #[test]
    fn what_nobody_saw_is_a_hole() {
        let mut cover = Cover::default();
        assert_eq!(holes(&cover, 0, 10), [(0, 10)]);
        cover.watches("tap", A);
        for (from, to) in [(10, 20), (20, 30), (40, 50), (45, 60)] {
            cover.seen("tap", at(from), at(to));
        }
        assert_eq!(holes(&cover, 0, 100), [(0, 10), (30, 40), (60, 100)]);
        assert_eq!(holes(&cover, 15, 28), []);
        assert_eq!(holes(&cover, 35, 45), [(35, 40)]);
        assert!((cover.fraction(A, at(0), at(100)) - 0.4).abs() < 1e-9);
        cover.lost("tap", at(12), at(13), "kernel_drop");
        assert_eq!(holes(&cover, 10, 30), [(12, 13)]);
        assert_eq!(cover.end(), Some(at(60)));
    }

    #[test]
    fn each_source_that_watches_has_to_be_whole() {
        let mut cover = Cover::default();
        for source in ["east", "west"] {
            cover.watches(source, A);
        }
        cover.seen("other", at(0), at(100));
        cover.seen("east", at(0), at(100));
        cover.seen("west", at(0), at(70));
        assert_eq!(holes(&cover, 0, 100), [(70, 100)]);
        assert_eq!(cover.known_until(A), Some(at(70)));
        cover.watches("silent", A);
        assert_eq!(cover.known_until(A), None);
    }

    #[test]
    fn joints_are_none_but_a_loss_is_and_neither_hides_a_hole() {
        let mut cover = Cover::default();
        cover.watches("tap", A);
        // A month of minutes that do not quite meet, without one hour of them.
        for minute in (0..44_640).filter(|minute| !(44_000..44_060).contains(minute)) {
            let end = Timestamp(at(minute + 1).0 - 1_000_000);
            cover.seen("tap", at(minute), end);
        }
        assert_eq!(holes(&cover, 0, 44_640), [(43_999, 44_060)]);
        cover.lost("tap", at(7), at(7), "kernel_drop");
        assert_eq!(holes(&cover, 0, 40_000), [(7, 7)]);
    }
}
