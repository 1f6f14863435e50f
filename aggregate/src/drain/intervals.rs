//! Who asks, interval by interval: the rows of `drain` as they are counted.
//!
//! A client's state over the whole run, by which visits are told, leads to its rows of the intervals at hand, so that a message costs one
//! look into a table.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use lowtide_proto::{Qtype, Role, Timestamp};

use super::visitors::{Came, ClientKey, Visitors};

/// Clients of all servers and zones whose visits are known. The table takes 48 MiB then; when it is full, the half of them that has
/// been silent for longest is forgotten at the end of an interval.
const MAX_CLIENTS: usize = 7 << 17;

/// Rows of an interval. Clients and types beyond are counted for the client `::`.
const MAX_ROWS: u32 = 100_000;

/// Intervals whose rows are counted for that bound. Where times leap about, it is the memory that is bounded: by handing out rows early.
const MAX_INTERVALS: usize = 64;

/// Rows that are looked through for a client. It asks for few types, and the interval is nearly always that of its last query.
const DEPTH: usize = 8;

/// No row.
const NONE: u32 = u32::MAX;

/// What is known of a client of one server and zone.
#[derive(Debug, Clone, Copy)]
struct Known {
    came: Came,
    /// Its latest row.
    row: u32,
    /// Which rows those are: older ones were handed out.
    round: u32,
}

/// What one message is counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Server and zone, as a number.
    pub group: u32,
    /// Who asks.
    pub client: Ipv6Addr,
    /// Where it was seen.
    pub role: Role,
    /// What is asked for.
    pub qtype: Qtype,
}

/// A row while it is counted.
#[derive(Debug)]
pub(super) struct Row {
    /// Number of the interval.
    pub number: u64,
    pub key: Key,
    /// The row of the same client before.
    next: u32,
    pub queries: u64,
    pub rd_queries: u64,
    pub responses: u64,
    pub seen: (Timestamp, Timestamp),
    pub visits: u64,
    pub gaps: Option<(u64, u64)>,
}

impl Row {
    /// By what rows are put in order: groups are numbered in theirs.
    pub(super) const fn order(&self) -> (u64, Role, u32, Ipv6Addr, Qtype) {
        (self.number, self.key.role, self.key.group, self.key.client, self.key.qtype)
    }

    fn saw(&mut self, time: Timestamp) {
        self.seen = (self.seen.0.min(time), self.seen.1.max(time));
    }
}

/// Counts messages by interval and client.
#[derive(Debug)]
pub(super) struct Intervals {
    /// Nanoseconds of an interval.
    width: u64,
    /// Number and beginning of the interval of the last message: nearly always that of the next, too.
    current: (u64, u64),
    clients: HashMap<ClientKey, Known, RandomState>,
    rows: Vec<Row>,
    /// Rows beyond the depth, of clients that ask for many types.
    more: HashMap<(u64, Key), u32, RandomState>,
    round: u32,
    /// By interval, its rows.
    made: HashMap<u64, u32, RandomState>,
    /// What other threads see of the same clients.
    visitors: Option<Arc<Visitors>>,
}

const fn client_key(key: &Key) -> ClientKey {
    let bits = key.client.to_bits();
    ((bits >> 64) as u64, bits as u64, key.group)
}

impl Intervals {
    /// Nothing counted yet, in intervals of `width` nanoseconds.
    pub(super) fn new(width: u64, visitors: Option<Arc<Visitors>>) -> Self {
        Self {
            width: width.max(1),
            current: (0, 0),
            clients: HashMap::default(),
            rows: Vec::new(),
            more: HashMap::default(),
            round: 0,
            made: HashMap::default(),
            visitors,
        }
    }

    /// Nanoseconds of an interval.
    pub(super) const fn width(&self) -> u64 {
        self.width
    }

    /// The number of the interval of a moment.
    #[inline]
    pub(super) const fn number(&mut self, time: Timestamp) -> u64 {
        if time.0.wrapping_sub(self.current.1) >= self.width {
            let number = time.0 / self.width;
            self.current = (number, number * self.width);
        }
        self.current.0
    }

    /// Rows that wait to be handed out.
    pub(super) const fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Counts a query. It is not made part of its caller, which is as quick as may be without rows.
    #[inline(never)]
    pub(super) fn query(&mut self, key: Key, time: Timestamp, is_recursive: bool) {
        let number = self.number(time);
        let Some(known) = self.known(&key) else { return self.others(key, time, Some(is_recursive)) };
        let before = *known;
        let mut visit = known.came.again(time);
        if let Some(visitors) = &self.visitors {
            visit = visitors.came(client_key(&key), time);
        }
        let Some(row) = self.row(before, key, number, time) else {
            return self.others(key, time, Some(is_recursive));
        };
        if row.queries == 0 {
            row.seen = (time, time);
        }
        row.queries += 1;
        row.rd_queries += u64::from(is_recursive);
        row.saw(time);
        row.visits += u64::from(visit.begins);
        if let Some(gap) = visit.gap {
            let (shortest, longest) = row.gaps.unwrap_or((gap, gap));
            row.gaps = Some((shortest.min(gap), longest.max(gap)));
        }
    }

    /// Counts a response.
    #[inline(never)]
    pub(super) fn response(&mut self, key: Key, time: Timestamp) {
        let number = self.number(time);
        let Some(known) = self.known(&key) else { return self.others(key, time, None) };
        let before = *known;
        let Some(row) = self.row(before, key, number, time) else { return self.others(key, time, None) };
        row.responses += 1;
        if row.queries == 0 {
            row.saw(time);
        }
    }

    /// Counts for all clients beyond the bound; a query when it says whether it is recursive.
    #[cold]
    fn others(&mut self, key: Key, time: Timestamp, query: Option<bool>) {
        let key = Key { client: Ipv6Addr::UNSPECIFIED, ..key };
        let number = self.number(time);
        let entry = self.clients.entry(client_key(&key));
        let before = *entry.or_insert(Known { came: Came::NEVER, row: NONE, round: 0 });
        let Some(row) = self.row(before, key, number, time) else { return };
        match query {
            Some(is_recursive) => {
                if row.queries == 0 {
                    row.seen = (time, time);
                }
                row.queries += 1;
                row.rd_queries += u64::from(is_recursive);
                row.saw(time);
            }
            None => {
                row.responses += 1;
                if row.queries == 0 {
                    row.saw(time);
                }
            }
        }
    }

    /// What is known of a client; `None` when there is no room for one more.
    #[inline]
    fn known(&mut self, key: &Key) -> Option<&mut Known> {
        if key.client.is_unspecified() {
            return None;
        }
        let at = client_key(key);
        let has_room = self.clients.len() < MAX_CLIENTS;
        match self.clients.entry(at) {
            std::collections::hash_map::Entry::Occupied(known) => Some(known.into_mut()),
            std::collections::hash_map::Entry::Vacant(place) => {
                has_room.then(|| place.insert(Known { came: Came::NEVER, row: NONE, round: 0 }))
            }
        }
    }

    /// The row of a client of which `known` was known; `None` when the interval has too many.
    #[inline]
    fn row(&mut self, known: Known, key: Key, number: u64, time: Timestamp) -> Option<&mut Row> {
        let (mut at, mut depth) = (if known.round == self.round { known.row } else { NONE }, 0);
        while let Some(row) = self.rows.get(at as usize)
            && depth < DEPTH
        {
            if row.number == number && row.key.qtype == key.qtype && row.key.role == key.role {
                return self.rows.get_mut(at as usize);
            }
            (at, depth) = (row.next, depth + 1);
        }
        let is_deep = depth >= DEPTH;
        if is_deep && let Some(&at) = self.more.get(&(number, key)) {
            return self.rows.get_mut(at as usize);
        }
        self.new_row(known, key, number, time, is_deep)
    }

    #[cold]
    fn new_row(
        &mut self,
        known: Known,
        key: Key,
        number: u64,
        time: Timestamp,
        is_deep: bool,
    ) -> Option<&mut Row> {
        let made = self.made.entry(number).or_default();
        if *made >= MAX_ROWS && !key.client.is_unspecified() {
            return None;
        }
        *made = made.saturating_add(1);
        if self.made.len() > MAX_INTERVALS {
            self.made.clear();
        }
        let at = self.rows.len();
        let next = if known.round == self.round { known.row } else { NONE };
        self.rows.push(Row {
            number,
            key,
            next,
            queries: 0,
            rd_queries: 0,
            responses: 0,
            seen: (time, time),
            visits: 0,
            gaps: None,
        });
        self.link(at as u32, &key, number, is_deep);
        self.rows.get_mut(at)
    }

    /// Lets a row be found.
    fn link(&mut self, at: u32, key: &Key, number: u64, is_deep: bool) {
        if is_deep {
            self.more.insert((number, *key), at);
        } else if let Some(known) = self.clients.get_mut(&client_key(key)) {
            known.row = at;
            known.round = self.round;
        }
    }

    /// Hands out the rows of intervals that began before `moment`, in no order.
    pub(super) fn close(&mut self, moment: Timestamp) -> Vec<Row> {
        let start = |row: &Row| row.number.saturating_mul(self.width);
        let all = std::mem::take(&mut self.rows);
        let (closed, open): (Vec<Row>, Vec<Row>) = all.into_iter().partition(|row| start(row) < moment.0);
        self.more.clear();
        self.round = self.round.wrapping_add(1);
        for mut row in open {
            let (key, number) = (row.key, row.number);
            let known = self.clients.get(&client_key(&key)).filter(|known| known.round == self.round);
            row.next = known.map_or(NONE, |known| known.row);
            let (mut at, mut depth) = (row.next, 0);
            while let Some(row) = self.rows.get(at as usize)
                && depth < DEPTH
            {
                (at, depth) = (row.next, depth + 1);
            }
            self.rows.push(row);
            self.link((self.rows.len() - 1) as u32, &key, number, depth >= DEPTH);
        }
        if self.clients.len() >= MAX_CLIENTS {
            self.forget();
        }
        closed
    }

    /// Forgets the half of the clients that has been silent for longest.
    #[cold]
    fn forget(&mut self) {
        let mut times: Vec<Timestamp> = self.clients.values().map(|known| known.came.last()).collect();
        let half = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(half);
        let round = self.round;
        self.clients
            .retain(|_, known| known.came.last() > median || (known.round == round && known.row != NONE));
        if self.clients.len() >= MAX_CLIENTS {
            // All have rows that are still counted, or came at the same time.
            self.clients.retain(|_, known| known.round == round && known.row != NONE);
        }
    }
}

#[cfg(test)]
mod tests;
