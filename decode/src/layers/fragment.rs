//! IP fragments to datagrams (RFC 791 §3.2, RFC 8200 §4.5), under a budget of octets and of datagrams.
//!
//! Both families follow the rule that RFC 5722 gives for IPv6 and Linux applies to both since 4.19: a fragment that says
//! other octets for a place already filled drops the whole datagram, and those of it that are still to come. One that
//! repeats what is there is a duplicate and harmless. So nobody can choose which of two texts we read.
//!
//! Datagrams stand in a ring in the order of their first fragment; the oldest leaves first, when it is too old in
//! traffic time or when a budget asks for room.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;
use hashbrown::HashTable;
use lowtide_proto::Timestamp;

use super::Stop;
use crate::Defect;

/// The longest payload that fragments may make.
const MAX_DATAGRAM: usize = 65_535;
/// Buffers kept for reuse beside the budget, and the largest that is kept: together at most 576 KiB.
const SPARES: usize = 64;
const SPARE_OCTETS: usize = 8 * 1024;
const SPARE_PIECES: usize = 64;

/// How much the reassembly of IP fragments may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentLimits {
    /// Octets of memory for the fragments of incomplete datagrams.
    pub octets: usize,
    /// Datagrams between the oldest incomplete one and the newest.
    pub datagrams: usize,
    /// Nanoseconds of traffic time after which an incomplete datagram is given up.
    pub age: i64,
}

impl Default for FragmentLimits {
    /// 8 MiB, 16,384 datagrams, 30 s (Linux: `ipfrag_time`).
    fn default() -> Self {
        Self { octets: 8 << 20, datagrams: 16_384, age: 30_000_000_000 }
    }
}

/// What became of fragmented datagrams. Every datagram of which a fragment was held is in exactly one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reassembly {
    /// Came together.
    pub completed: u64,
    /// Given up by age: fragments of it were never seen.
    pub expired: u64,
    /// Given up, the oldest first, because a budget asked for room.
    pub evicted: u64,
    /// Dropped because its fragments contradict each other.
    pub conflicting: u64,
    /// Incomplete at this moment.
    pub pending: u64,
}

/// Which datagram a fragment belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) source: [u8; 16],
    pub(super) destination: [u8; 16],
    pub(super) id: u32,
    /// 0 in IPv6, where only the first fragment's next header counts (RFC 8200 §4.5).
    pub(super) protocol: u8,
    pub(super) ipv6: bool,
}

/// One fragment, captured to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) key: Key,
    /// What the datagram holds, as this fragment says.
    pub(super) protocol: u8,
    /// Octets of the datagram before this fragment.
    pub(super) offset: usize,
    /// Whether more fragments follow.
    pub(super) more: bool,
    pub(super) data: &'a [u8],
}

/// Octets `start..end` of the datagram, which lie at `at` in [`Datagram::octets`].
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u32,
    end: u32,
    at: u32,
}

struct Datagram {
    key: Key,
    first_seen: Timestamp,
    /// From the fragment with offset 0.
    protocol: Option<u8>,
    /// Its length, once the last fragment was seen.
    length: Option<usize>,
    /// Sorted by `start`, never overlapping.
    pieces: Vec<Piece>,
    /// In the order of arrival.
    octets: Vec<u8>,
    /// Contradicted itself; what still comes of it is dropped.
    conflicting: bool,
}

/// A fragment contradicts another of its datagram.
struct Conflict;

impl Datagram {
    fn memory(&self) -> usize {
        self.octets.capacity() + self.pieces.capacity() * size_of::<Piece>()
    }

    fn is_complete(&self) -> bool {
        self.protocol.is_some() && self.length == Some(self.octets.len())
    }

    fn add(&mut self, fragment: &Fragment) -> Result<(), Conflict> {
        let end = fragment.offset + fragment.data.len();
        let reach = self.pieces.last().map_or(0, |last| last.end as usize);
        match self.length {
            Some(length) if end > length || (!fragment.more && end != length) => return Err(Conflict),
            None if !fragment.more && reach > end => return Err(Conflict),
            _ => {}
        }
        if !fragment.more {
            self.length = Some(end);
        }
        if fragment.offset == 0 {
            self.protocol = Some(fragment.protocol);
        }
        self.fill(fragment.offset as u32, fragment.data)
    }

    /// Compares `data` with what is there, and stores it where nothing is.
    fn fill(&mut self, start: u32, data: &[u8]) -> Result<(), Conflict> {
        let (mut start, mut data) = (start, data);
        let mut index = self.pieces.partition_point(|piece| piece.end <= start);
        while !data.is_empty() {
            let next = self.pieces.get(index).copied();
            let until =
                next.map_or(u32::MAX, |piece| if piece.start <= start { piece.end } else { piece.start });
            let (now, later) = data.split_at_checked((until - start) as usize).unwrap_or((data, &[]));
            match next {
                Some(piece) if piece.start <= start => {
                    let at = (piece.at + (start - piece.start)) as usize;
                    if self.octets.get(at..at + now.len()) != Some(now) {
                        return Err(Conflict);
                    }
                    index += 1;
                }
                _ => index = self.store(index, start, now),
            }
            start += now.len() as u32;
            data = later;
        }
        Ok(())
    }

    /// Stores `data` before the piece at `index`, and says where that piece now is.
    fn store(&mut self, index: usize, start: u32, data: &[u8]) -> usize {
        let (at, end) = (self.octets.len() as u32, start + data.len() as u32);
        self.octets.extend_from_slice(data);
        let before = index.checked_sub(1).and_then(|index| self.pieces.get_mut(index));
        if let Some(before) = before
            && before.end == start
            && before.at + (before.end - before.start) == at
        {
            before.end = end;
            return index;
        }
        self.pieces.insert(index, Piece { start, end, at });
        index + 1
    }

    /// Writes the octets in their order.
    fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        for piece in &self.pieces {
            let at = piece.at as usize;
            let octets = self.octets.get(at..at + (piece.end - piece.start) as usize);
            out.extend_from_slice(octets.unwrap_or_default());
        }
    }
}

/// The incomplete datagrams.
pub(super) struct FragmentTable {
    limits: FragmentLimits,
    counters: Reassembly,
    hasher: RandomState,
    /// Sequence numbers of datagrams.
    table: HashTable<u64>,
    /// Datagrams by sequence number, from `oldest` on; `None` where one left before its elders.
    ring: VecDeque<Option<Datagram>>,
    oldest: u64,
    memory: usize,
    spares: Vec<(Vec<u8>, Vec<Piece>)>,
}

impl FragmentTable {
    pub(super) fn new(limits: FragmentLimits) -> Self {
        Self {
            limits,
            counters: Reassembly::default(),
            hasher: RandomState::default(),
            table: HashTable::new(),
            ring: VecDeque::new(),
            oldest: 0,
            memory: 0,
            spares: Vec::new(),
        }
    }

    pub(super) fn counters(&self) -> Reassembly {
        let conflicting = self.ring.iter().flatten().filter(|datagram| datagram.conflicting).count();
        Reassembly { pending: (self.table.len() - conflicting) as u64, ..self.counters }
    }

    /// Octets of memory that incomplete datagrams hold.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Takes in a fragment. When it completes its datagram, that is written to `out` and its protocol returned.
    pub(super) fn add(
        &mut self,
        fragment: &Fragment,
        time: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<Option<u8>, Stop> {
        let end = fragment.offset + fragment.data.len();
        // Only the last fragment's length may be other than a multiple of 8 (RFC 8200 §4.5).
        if end > MAX_DATAGRAM || fragment.data.is_empty() || (fragment.more && !end.is_multiple_of(8)) {
            return Err(Stop::malformed(Defect::Fragment));
        }
        self.expire(time);
        let sequence = self.find_or_start(fragment.key, time);
        let Some(datagram) = get_mut(&mut self.ring, self.oldest, sequence) else {
            return Ok(None);
        };
        if datagram.conflicting {
            return Ok(None);
        }
        let before = datagram.memory();
        let added = datagram.add(fragment);
        self.memory += datagram.memory() - before;
        if added.is_err() {
            datagram.conflicting = true;
            self.memory -= datagram.memory();
            (datagram.octets, datagram.pieces) = (Vec::new(), Vec::new());
            self.counters.conflicting += 1;
            return Err(Stop::malformed(Defect::Fragment));
        }
        let complete = datagram.is_complete().then_some(datagram.protocol).flatten();
        if complete.is_some() {
            datagram.write(out);
            self.counters.completed += 1;
            self.remove(sequence);
        }
        while self.memory > self.limits.octets && !self.ring.is_empty() {
            self.evict();
        }
        Ok(complete)
    }

    fn find_or_start(&mut self, key: Key, time: Timestamp) -> u64 {
        let hash = self.hasher.hash_one(key);
        let is_key =
            |sequence: &u64| get(&self.ring, self.oldest, *sequence).is_some_and(|found| found.key == key);
        if let Some(&sequence) = self.table.find(hash, is_key) {
            return sequence;
        }
        while self.ring.len() >= self.limits.datagrams.max(1) {
            self.evict();
        }
        let (octets, pieces) = self.spares.pop().unwrap_or_default();
        let datagram = Datagram {
            key,
            first_seen: time,
            protocol: None,
            length: None,
            pieces,
            octets,
            conflicting: false,
        };
        self.memory += datagram.memory();
        let sequence = self.oldest + self.ring.len() as u64;
        self.ring.push_back(Some(datagram));
        let Self { hasher, table, ring, oldest, .. } = self;
        table.insert_unique(hash, sequence, |&sequence| {
            get(ring, *oldest, sequence).map_or(0, |found| hasher.hash_one(found.key))
        });
        sequence
    }

    /// Gives up what is older than the limit. A clock that steps back ages nothing.
    fn expire(&mut self, now: Timestamp) {
        while let Some(Some(first)) = self.ring.front()
            && now.since(first.first_seen) > self.limits.age
        {
            self.counters.expired += u64::from(!first.conflicting);
            self.remove(self.oldest);
        }
    }

    fn evict(&mut self) {
        if let Some(Some(first)) = self.ring.front() {
            self.counters.evicted += u64::from(!first.conflicting);
        }
        self.remove(self.oldest);
    }

    fn remove(&mut self, sequence: u64) {
        if let Some(datagram) = slot(&mut self.ring, self.oldest, sequence).and_then(Option::take) {
            let hash = self.hasher.hash_one(datagram.key);
            if let Ok(entry) = self.table.find_entry(hash, |&found| found == sequence) {
                entry.remove();
            }
            self.memory -= datagram.memory();
            let Datagram { mut octets, mut pieces, .. } = datagram;
            let fits = octets.capacity() <= SPARE_OCTETS && pieces.capacity() <= SPARE_PIECES;
            if self.spares.len() < SPARES && fits {
                octets.clear();
                pieces.clear();
                self.spares.push((octets, pieces));
            }
        }
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.oldest += 1;
        }
    }
}

fn index(oldest: u64, sequence: u64) -> Option<usize> {
    sequence.checked_sub(oldest).and_then(|index| usize::try_from(index).ok())
}

fn get(ring: &VecDeque<Option<Datagram>>, oldest: u64, sequence: u64) -> Option<&Datagram> {
    ring.get(index(oldest, sequence)?)?.as_ref()
}

fn slot(ring: &mut VecDeque<Option<Datagram>>, oldest: u64, sequence: u64) -> Option<&mut Option<Datagram>> {
    ring.get_mut(index(oldest, sequence)?)
}

fn get_mut(ring: &mut VecDeque<Option<Datagram>>, oldest: u64, sequence: u64) -> Option<&mut Datagram> {
    slot(ring, oldest, sequence)?.as_mut()
}
