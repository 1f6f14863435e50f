//! When clients came last, for several threads that see a part of their queries each.
//!
//! The kernel distributes packets by flow, so that a client's queries are in all threads of an interface, by its ports. Each thread
//! alone would take the time between those that it sees for that between visits.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;
use lowtide_proto::Timestamp;

use super::client::begins_visit;

/// Tables, each with a lock of its own, so that threads seldom meet.
const SHARDS: usize = 16;

/// Clients of a table. All of them take 48 MiB; of a full one, the half that has been silent for longest is forgotten.
const MAX_CLIENTS: usize = 7 << 13;

/// Server and zone by number, and the halves of the client's address.
pub(super) type ClientKey = (u64, u64, u32);

/// What a client's queries before tell of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Visit {
    /// Whether another visit begins with it.
    pub begins: bool,
    /// Then, how long after the beginning of the visit before, nanoseconds; `None` where no visit before is known.
    pub gap: Option<u64>,
}

/// The last query of a client, and when its latest visit began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came {
    last: Timestamp,
    begun: Timestamp,
}

impl Came {
    /// A client that has not asked yet.
    pub(super) const NEVER: Self = Self { last: Timestamp(0), begun: Timestamp(0) };

    /// A query comes.
    #[inline]
    pub(super) fn again(&mut self, time: Timestamp) -> Visit {
        let is_new = self.last.0 == 0;
        let begins = is_new || begins_visit(time, self.last);
        let gap = (begins && !is_new).then(|| time.0.saturating_sub(self.begun.0));
        self.last = self.last.max(time);
        if begins {
            self.begun = time;
        }
        Visit { begins, gap }
    }

    /// Its last query.
    pub(super) const fn last(&self) -> Timestamp {
        self.last
    }
}

/// When clients came last.
#[derive(Debug)]
pub struct Visitors {
    shards: [Mutex<HashMap<ClientKey, Came, RandomState>>; SHARDS],
    hasher: RandomState,
}

impl Default for Visitors {
    fn default() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), hasher: RandomState::default() }
    }
}

impl Visitors {
    /// A query of a client comes, in whichever thread.
    pub(super) fn came(&self, key: ClientKey, time: Timestamp) -> Visit {
        let at = self.hasher.hash_one(key) >> 60;
        let Some(shard) = self.shards.get(at as usize) else { return Visit { begins: true, gap: None } };
        // No step of a change can fail half-way.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(came) = shard.get_mut(&key) {
            return came.again(time);
        }
        if shard.len() >= MAX_CLIENTS {
            forget(&mut shard);
        }
        shard.entry(key).or_insert(Came::NEVER).again(time)
    }
}

/// Forgets the half of the clients that has been silent for longest.
#[cold]
fn forget(clients: &mut HashMap<ClientKey, Came, RandomState>) {
    let mut times: Vec<Timestamp> = clients.values().map(Came::last).collect();
    let half = times.len() / 2;
    let (_, &mut median, _) = times.select_nth_unstable(half);
    clients.retain(|_, came| came.last > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn threads_share_what_they_know() {
        let visitors = Visitors::default();
        let came = |client, seconds| {
            let visit = visitors.came((0, client, 0), Timestamp(seconds * SECOND));
            (visit.begins, visit.gap.map(|gap| gap / SECOND))
        };
        let visits = std::thread::scope(|scope| {
            let mut visits = Vec::new();
            for time in [100, 3_700, 3_701, 7_300] {
                visits.push(scope.spawn(move || came(1, time)).join().unwrap());
            }
            visits
        });
        assert_eq!(visits, [(true, None), (true, Some(3_600)), (false, None), (true, Some(3_600))]);
        assert_eq!(came(2, 7_300), (true, None));
    }

    #[test]
    fn memory_is_bounded_and_the_latest_are_kept() {
        let visitors = Visitors::default();
        let all = (SHARDS * MAX_CLIENTS) as u64;
        for client in 0..2 * all {
            visitors.came((client, 0, 0), Timestamp(SECOND + client));
        }
        let kept: usize = visitors.shards.iter().map(|shard| shard.lock().unwrap().len()).sum();
        assert!(kept <= SHARDS * MAX_CLIENTS);
        let latest = 2 * all - 1;
        assert_eq!(visitors.came((latest, 0, 0), Timestamp(SECOND * 100)).gap, Some(99 * SECOND - latest));
    }
}
