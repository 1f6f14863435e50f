//! What is still asked of an old server since the cutover: names and types, the heavy ones of any number.
//!
//! Space-Saving (Metwally et al. 2005) behind a filter (Homem and Carvalho 2010): when the table is full, names without a place are counted
//! in cells, several in one, and one whose cell is above the lowest rank in the table takes the place of the name that has it. So a name with
//! more than one in 512 of all queries is always there, and most rare ones cost no more than a look at their cell. What is told of a
//! name is what was counted since it came in, so that names and all others add up to the total exactly.

use std::hash::BuildHasher;
use std::num::NonZeroU32;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use lowtide_proto::{Name, Qtype, Timestamp};

use super::evidence::Asked;
use super::report;
use crate::summary::rfc3339;

/// Names and types of one server and zone; with the longest names all of them take 180 KB, with usual ones 60 KB. More would cost time, as
/// those of several zones and servers are not in the processor's cache then.
const MAX_NAMES: usize = 512;

/// Names of all servers and zones of a migration: where there are very many, each has fewer.
const MAX_ALL: usize = 512 * MAX_NAMES;

/// Names that each has all the same.
const MIN_NAMES: usize = 64;

/// Cells of names without a place, for each place; all of a table take 8 KiB.
const CELLS: usize = 4;

/// Names that are told.
const MAX_TOLD: usize = 100;

/// Where a name stands, for as long as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    number: u16,
    tenant: NonZeroU32,
}

/// What was asked for one name and type.
#[derive(Clone, Debug)]
pub struct WantedName {
    /// The name, lower case, wire form.
    pub qname: Vec<u8>,
    /// The type.
    pub qtype: Qtype,
    /// Queries since it came into the table; before that there were [`Self::missed`] at most.
    pub queries: u64,
    /// Queries in its cell before.
    pub missed: u64,
    /// The last of its queries.
    pub last: Timestamp,
    hash: u64,
    tenant: NonZeroU32,
}

impl WantedName {
    /// What it is ranked by: no less than all its queries.
    const fn rank(&self) -> u64 {
        self.queries + self.missed
    }
}

/// Names and types that one server was asked of one zone.
#[derive(Clone, Debug)]
pub struct Wanted {
    max: usize,
    names: Vec<WantedName>,
    index: HashTable<u16>,
    hasher: RandomState,
    /// By hash, at most so many queries had each name without a place.
    cells: Vec<u32>,
    /// Places whose rank was the lowest when they were looked for, and that rank.
    lowest: Vec<u16>,
    rank: u64,
    queries: u64,
}

impl Wanted {
    /// Nothing asked for yet, of one of so many servers and zones.
    pub fn new(of: usize) -> Self {
        Self {
            max: (MAX_ALL / of.max(1)).clamp(MIN_NAMES, MAX_NAMES),
            names: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::default(),
            cells: Vec::new(),
            lowest: Vec::new(),
            rank: 0,
            queries: 0,
        }
    }

    /// Counts a query.
    #[inline]
    pub fn count(&mut self, qname: Name<'_>, qtype: Qtype, time: Timestamp) -> Option<Slot> {
        self.queries += 1;
        let hash = self.hasher.hash_one((qname.0, qtype.0));
        let Self { names, index, .. } = self;
        let is_same = |&number: &u16| {
            names
                .get(usize::from(number))
                .is_some_and(|name| name.hash == hash && name.qtype == qtype && name.qname == qname.0)
        };
        let number = match index.find(hash, is_same) {
            Some(&number) => number,
            None => self.admit(qname, qtype, hash)?,
        };
        let name = self.names.get_mut(usize::from(number))?;
        name.queries += 1;
        name.last = name.last.max(time);
        Some(Slot { number, tenant: name.tenant })
    }

    /// Whether the cell of a name counts its query, which then has no place.
    #[inline]
    fn is_passed(&mut self, hash: u64) -> bool {
        let rank = self.rank;
        let last = self.cells.len().wrapping_sub(1);
        self.cells.get_mut(hash as usize & last).is_some_and(|cell| {
            let is_low = u64::from(*cell) < rank;
            *cell += u32::from(is_low);
            is_low
        })
    }

    /// Gives a name a place: a new one, or that of the name which was asked least; `None` where that was asked for more often.
    #[inline]
    fn admit(&mut self, qname: Name<'_>, qtype: Qtype, hash: u64) -> Option<u16> {
        if self.is_passed(hash) { None } else { self.place(qname, qtype, hash) }
    }

    #[inline(never)]
    fn place(&mut self, qname: Name<'_>, qtype: Qtype, hash: u64) -> Option<u16> {
        let number = if self.names.len() < self.max {
            let number = u16::try_from(self.names.len()).ok()?;
            self.names.push(WantedName {
                qname: qname.0.to_vec(),
                qtype,
                queries: 0,
                missed: 0,
                last: Timestamp(0),
                hash,
                tenant: NonZeroU32::MIN,
            });
            number
        } else {
            if self.cells.is_empty() {
                self.cells = vec![0; (CELLS * self.max).next_power_of_two()];
            }
            let number = self.least()?;
            // The lowest rank may be a higher one by now.
            if self.is_passed(hash) {
                self.lowest.push(number);
                return None;
            }
            let rank = self.rank;
            let name = self.names.get_mut(usize::from(number))?;
            let last = self.cells.len() - 1;
            if let Some(cell) = self.cells.get_mut(name.hash as usize & last) {
                *cell = (*cell).max(u32::try_from(rank).unwrap_or(u32::MAX));
            }
            if let Ok(entry) = self.index.find_entry(name.hash, |&other| other == number) {
                entry.remove();
            }
            name.qname.clear();
            name.qname.extend_from_slice(qname.0);
            (name.qtype, name.hash, name.queries, name.missed) = (qtype, hash, 0, rank);
            name.last = Timestamp(0);
            name.tenant = name.tenant.checked_add(1).unwrap_or(NonZeroU32::MIN);
            number
        };
        let names = &self.names;
        self.index
            .insert_unique(hash, number, |&other| names.get(usize::from(other)).map_or(0, |name| name.hash));
        Some(number)
    }

    /// A place of the lowest rank. All of that rank are looked for at once: new names make many that are equal.
    fn least(&mut self) -> Option<u16> {
        loop {
            while let Some(number) = self.lowest.pop() {
                if self.names.get(usize::from(number)).map(WantedName::rank) == Some(self.rank) {
                    return Some(number);
                }
            }
            self.rank = self.names.iter().map(WantedName::rank).min()?;
            let rank = self.rank;
            let lowest = self.names.iter().zip(0_u16..).filter(|(of, _)| of.rank() == rank);
            self.lowest.extend(lowest.map(|(_, number)| number));
            // The earliest come first.
            self.lowest.reverse();
        }
    }

    /// All queries.
    pub const fn queries(&self) -> u64 {
        self.queries
    }

    /// What was asked for, the most first.
    pub fn names(&self) -> Vec<&WantedName> {
        let mut names: Vec<&WantedName> = self.names.iter().collect();
        names.sort_by(|one, other| {
            let key = |name: &WantedName| (std::cmp::Reverse(name.queries), std::cmp::Reverse(name.last));
            key(one).cmp(&key(other)).then_with(|| (&one.qname, one.qtype).cmp(&(&other.qname, other.qtype)))
        });
        names
    }

    /// The names with the most queries, and all others.
    pub fn told(&self) -> report::WantedReport {
        let names: Vec<report::WantedName> = self
            .names()
            .into_iter()
            .take(MAX_TOLD)
            .map(|name| report::WantedName {
                qname: Name(&name.qname).to_string(),
                qtype: name.qtype.to_string(),
                queries: name.queries,
                last_seen: rfc3339(name.last),
            })
            .collect();
        let told: u64 = names.iter().map(|name| name.queries).sum();
        report::WantedReport { queries: self.queries, other_queries: self.queries - told, names }
    }

    /// The name in a place, if it is still the same.
    pub fn at(&self, slot: Slot) -> Option<&WantedName> {
        self.names.get(usize::from(slot.number)).filter(|name| name.tenant == slot.tenant)
    }
}

impl Asked {
    /// Counts what was asked for since the cutover, of one of so many servers and zones; where that stands now.
    pub fn wants(&mut self, of: usize, qname: Name<'_>, qtype: Qtype, time: Timestamp) -> Option<Slot> {
        self.wanted.get_or_insert_with(|| Box::new(Wanted::new(of))).count(qname, qtype, time)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use lowtide_proto::NameBuf;

    use super::*;

    fn name(text: &str) -> NameBuf {
        NameBuf::parse(text).unwrap()
    }

    fn shown(wanted: &Wanted, top: usize) -> Vec<(String, u64)> {
        let named = |name: &&WantedName| (format!("{} {}", Name(&name.qname), name.qtype), name.queries);
        wanted.names().iter().take(top).map(named).collect()
    }

    #[test]
    fn few_names_are_counted_exactly() {
        let mut wanted = Wanted::new(1);
        for (text, qtype, times) in
            [("www.corp.example", 1, 5), ("www.corp.example", 28, 3), ("corp.example", 6, 9)]
        {
            for time in 0..times {
                wanted.count(name(text).as_name(), Qtype(qtype), Timestamp(time));
            }
        }
        let expect = [("corp.example. SOA", 9), ("www.corp.example. A", 5), ("www.corp.example. AAAA", 3)];
        assert_eq!(shown(&wanted, 9), expect.map(|(name, queries)| (name.to_owned(), queries)));
        assert_eq!((wanted.queries(), wanted.names()[0].last), (17, Timestamp(8)));
    }

    #[test]
    fn a_flood_of_names_hides_no_heavy_one_and_no_query() {
        let mut wanted = Wanted::new(256);
        let (www, late) = (name("www.corp.example"), name("late.corp.example"));
        // 100,000 random names, each once; beside them one that has a query in a hundred, and from the middle on one that has as many,
        // while 1,000 names were asked 50 times before that.
        let mut slot = None;
        for round in 0..50_u64 {
            for number in 0..1_000 {
                wanted.count(name(&format!("n{number}.corp.example")).as_name(), Qtype(1), Timestamp(round));
            }
        }
        let mut queries = 50_000;
        for number in 0..100_000_u64 {
            let random = name(&format!("{number:x}.random.corp.example"));
            let of = wanted.count(random.as_name(), Qtype(1), Timestamp(number));
            slot = slot.or(of);
            queries += 1;
            if number % 100 == 0 {
                wanted.count(www.as_name(), Qtype(28), Timestamp(number));
                queries += 1;
            }
            if number >= 50_000 && number % 100 == 0 {
                wanted.count(late.as_name(), Qtype(16), Timestamp(number));
                queries += 1;
            }
        }
        assert_eq!(
            (wanted.queries(), wanted.names.len(), wanted.index.len()),
            (queries, MAX_NAMES, MAX_NAMES)
        );
        let of =
            |text: &str| wanted.names.iter().find(|found| Name(&found.qname).to_string() == text).unwrap();
        for (text, times) in [("www.corp.example.", 1_000), ("late.corp.example.", 500)] {
            let found = of(text);
            // 151,500 queries in 512 places: it may have been missed 296 times, and is never told too often.
            assert!(found.queries <= times && found.queries + found.missed >= times, "{found:?}");
            assert!(times - found.queries <= 296, "{found:?}");
        }
        assert!(wanted.names.iter().map(|found| found.queries).sum::<u64>() <= queries);
        // What was given away is not taken for what came after it.
        assert_eq!(wanted.at(slot.unwrap()).map(|found| &found.qname), None);
        let again = wanted.count(www.as_name(), Qtype(28), Timestamp(0)).unwrap();
        assert_eq!(wanted.at(again).map(|found| found.qtype), Some(Qtype(28)));
    }

    #[test]
    fn many_tables_are_smaller() {
        for (of, max) in [(0, 512), (513, 511), (4_000, 65), (1_000_000, 64)] {
            let mut wanted = Wanted::new(of);
            for number in 0..3_000 {
                wanted.count(name(&format!("n{number}.corp.example")).as_name(), Qtype(1), Timestamp(number));
            }
            assert_eq!((wanted.names.len(), wanted.queries()), (max, 3_000), "{of}");
        }
    }

    #[test]
    fn places_are_small() {
        assert_eq!(size_of::<Option<Slot>>(), 8);
    }

    #[test]
    fn a_client_has_what_it_asked_for_last() {
        let mut asked = Asked::new(60);
        for (time, text, qtype) in
            [(5, "b.corp.example", 28), (9, "a.corp.example", 1), (7, "c.corp.example", 2)]
        {
            let (qtype, time) = (Qtype(qtype), Timestamp(time));
            let slot = asked.wants(1, name(text).as_name(), qtype, time);
            asked.count(Ipv6Addr::LOCALHOST, time, qtype, false, true, slot);
        }
        let wanted = asked.wanted.as_deref().unwrap();
        let last = asked.clients[&Ipv6Addr::LOCALHOST].wanted.and_then(|slot| wanted.at(slot)).unwrap();
        assert_eq!((Name(&last.qname).to_string().as_str(), last.qtype), ("a.corp.example.", Qtype(1)));
        assert_eq!(wanted.queries(), 3);
    }
}
