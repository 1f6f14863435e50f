//! The flows, found by their addresses and visited in turn.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use lowtide_proto::Endpoint;

use super::flow::Flow;

/// A table of flows in places that do not move while a flow lives.
pub(super) struct FlowTable {
    places: Vec<Option<Flow>>,
    free: Vec<u32>,
    /// Places by the hash of their flow's addresses; the key is random, so that nobody can mint collisions.
    index: HashTable<u32>,
    hash: RandomState,
    max: usize,
    hand: usize,
}

impl FlowTable {
    pub fn new(max: usize) -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hash: RandomState::default(),
            max: max.min(u32::MAX as usize),
            hand: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    /// Places, free ones included.
    pub fn places(&self) -> usize {
        self.places.len()
    }

    #[inline]
    pub fn find(&self, key: (Endpoint, Endpoint)) -> Option<u32> {
        let hash = self.hash.hash_one(key);
        self.index.find(hash, |&slot| self.get(slot).is_some_and(|flow| flow.key == key)).copied()
    }

    #[inline]
    fn get(&self, slot: u32) -> Option<&Flow> {
        self.places.get(slot as usize)?.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut Flow> {
        self.places.get_mut(slot as usize)?.as_mut()
    }

    /// Puts in a flow that is not there yet.
    pub fn insert(&mut self, key: (Endpoint, Endpoint), flow: Flow) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            (self.places.len() - 1) as u32
        });
        if let Some(place) = self.places.get_mut(slot as usize) {
            *place = Some(flow);
        }
        let Self { places, index, hash, .. } = self;
        index.insert_unique(hash.hash_one(key), slot, |&slot| {
            places.get(slot as usize).and_then(Option::as_ref).map_or(0, |flow| hash.hash_one(flow.key))
        });
        slot
    }

    pub fn remove(&mut self, slot: u32) {
        let Some(flow) = self.places.get_mut(slot as usize).and_then(Option::take) else { return };
        if let Ok(entry) = self.index.find_entry(self.hash.hash_one(flow.key), |&other| other == slot) {
            entry.remove();
        }
        self.free.push(slot);
    }

    /// The next place in turn; `None` when there is none. Its flow may be gone.
    #[inline]
    pub fn next_place(&mut self) -> Option<u32> {
        if self.hand >= self.places.len() {
            self.hand = 0;
        }
        let slot = self.hand;
        self.hand += 1;
        (slot < self.places.len()).then_some(slot as u32)
    }
}
