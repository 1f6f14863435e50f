//! Where connections begin whose SYN was seen, but no payload yet.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use lowtide_proto::Endpoint;

use super::WINDOW;

/// Places in the cache; a connection needs its place from the SYN to its first payload.
const PLACES: usize = 16_384;

/// A cache of fixed size: a flood of SYNs overwrites it and costs nothing else. A flow whose place was overwritten, or
/// taken by another one with the same hash, is read as one that was met in mid-stream; so the hash needs no secret,
/// and a fixed one keeps replays alike.
pub(super) struct SynCache {
    /// Tag and sequence number of the first octet; the tag 0 is free.
    places: Box<[(u32, u32)]>,
    hash: FixedState,
}

impl SynCache {
    pub fn new() -> Self {
        Self { places: vec![(0, 0); PLACES].into_boxed_slice(), hash: FixedState::default() }
    }

    /// The octet after the SYN of the flow `key` has the number `first`.
    pub fn remember(&mut self, key: (Endpoint, Endpoint), first: u32) {
        let (place, tag) = self.place(key);
        if let Some(place) = place {
            *place = (tag, first);
        }
    }

    /// The first octet of the flow `key`, when its SYN was seen shortly before a segment with the number `sequence`.
    pub fn take(&mut self, key: (Endpoint, Endpoint), sequence: u32) -> Option<u32> {
        let (place, tag) = self.place(key);
        let place = place.filter(|place| place.0 == tag)?;
        let (_, first) = std::mem::take(place);
        (sequence.wrapping_sub(first) <= WINDOW).then_some(first)
    }

    fn place(&mut self, key: (Endpoint, Endpoint)) -> (Option<&mut (u32, u32)>, u32) {
        let hash = self.hash.hash_one(key);
        (self.places.get_mut(hash as usize % PLACES), (hash >> 32) as u32 | 1)
    }
}
