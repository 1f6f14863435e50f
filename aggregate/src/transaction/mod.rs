//! Queries and responses paired into transactions, in traffic time.
//!
//! The key is transport, both addresses and ports, id, and the question with its name lower-cased; a message without a
//! readable question pairs on the rest. Only what is outstanding is held: an answered transaction leaves at once,
//! unless it was retransmitted and further responses may come. Entries stand in a slab, indexed by a keyed hash of the
//! addresses, ports and id, and in one list in order of arrival, from whose head they expire.
//!
//! Servers' taps deliver out of order by up to a second, so a response without a query waits that long for one that
//! was sent before it, and nothing expires before that much more than the query timeout has passed.

mod entry;

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use lowtide_proto::{Facts, Message, Name, Observation, Timestamp};

use crate::event::{Event, EventSink, Exchange, Outcome};
use entry::{Entry, INLINE_NAME, NONE, Path, ResponseFacts, Side, State, time_known};

/// How far out of order a source may deliver, in nanoseconds.
pub const DISORDER: i64 = 1_000_000_000;

/// A step of traffic time by more than this is looked at twice, in nanoseconds: back, it is a clock step; forward, it is one
/// if the message after it is back where time was, else a silence.
const CLOCK_STEP: i64 = 60_000_000_000;

/// Outstanding entries of one client port, server and id, and responses among them that wait for their query. More are a
/// flood with crafted ids: the oldest are given up, so that a lookup stays short.
const MAX_SAME_KEY: usize = 64;

/// The bounds of a [`Matcher`].
#[derive(Clone, Copy, Debug)]
pub struct MatcherLimits {
    /// How long a response may take, in nanoseconds.
    pub query_timeout: i64,
    /// How many messages may be outstanding; about 240 octets each, and 255 more for one with a long name.
    pub outstanding: usize,
}

impl Default for MatcherLimits {
    fn default() -> Self {
        Self { query_timeout: 5_000_000_000, outstanding: 262_144 }
    }
}

/// Counts of the matcher that no event carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatcherCounters {
    /// Steps back of traffic time by more than a minute, and single messages more than a minute ahead of it.
    pub clock_steps: u64,
}

/// Pairs queries with responses.
#[derive(Debug)]
pub struct Matcher {
    limits: MatcherLimits,
    hasher: RandomState,
    entries: Vec<Entry>,
    free: Vec<u32>,
    index: HashTable<u32>,
    oldest: u32,
    newest: u32,
    long_names: Vec<[u8; 255]>,
    free_long_names: Vec<u32>,
    arrivals: u64,
    clock: Option<Timestamp>,
    /// A time far ahead of the clock, said by one message; the next one tells whether it is to be believed.
    ahead: Option<Timestamp>,
    counters: MatcherCounters,
}

impl Matcher {
    /// A matcher with nothing outstanding.
    pub fn new(limits: MatcherLimits) -> Self {
        Self {
            limits,
            hasher: RandomState::default(),
            entries: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            oldest: NONE,
            newest: NONE,
            long_names: Vec::new(),
            free_long_names: Vec::new(),
            arrivals: 0,
            clock: None,
            ahead: None,
            counters: MatcherCounters::default(),
        }
    }

    /// What no event carries.
    pub const fn counters(&self) -> &MatcherCounters {
        &self.counters
    }

    /// Bounds what may be outstanding from now on; what is beyond goes with the next message, the oldest first.
    pub const fn limit(&mut self, outstanding: usize) {
        self.limits.outstanding = outstanding;
    }

    /// Messages outstanding.
    pub fn outstanding(&self) -> usize {
        self.index.len()
    }

    /// The moment before which no transaction is outstanding any more; `None` before the first message. Entries expire in order
    /// of arrival, and so up to [`DISORDER`] late.
    #[inline]
    pub fn settled(&self) -> Option<Timestamp> {
        let wait = self.limits.query_timeout.saturating_add(2 * DISORDER).cast_unsigned();
        Some(Timestamp(self.clock?.0.saturating_sub(wait)))
    }

    /// Takes a message in; says what it decides to `sink`.
    #[inline]
    pub fn observe(&mut self, observation: &Observation<'_>, sink: &mut impl EventSink) {
        self.advance(observation.time, sink);
        let path = Path {
            client: observation.client,
            server: observation.server,
            id: observation.message.id,
            transport: observation.transport,
            side: Side::of(observation.role),
        };
        let hash = self.path_hash(&path);
        if observation.message.is_response {
            self.response(hash, path, observation, sink);
        } else {
            self.query(hash, path, observation, sink);
        }
    }

    /// Moves traffic time to `now` and lets expire what has waited too long.
    #[inline]
    pub fn advance(&mut self, now: Timestamp, sink: &mut impl EventSink) {
        if let Some(clock) = self.clock {
            let step = now.since(clock);
            if step > CLOCK_STEP && self.ahead.is_none_or(|ahead| ahead.since(now) > CLOCK_STEP) {
                self.ahead = Some(now);
                return;
            }
            if self.ahead.take().is_some() && step <= CLOCK_STEP {
                self.counters.clock_steps += 1;
            }
            if step <= 0 {
                if step >= -CLOCK_STEP {
                    return;
                }
                self.counters.clock_steps += 1;
            }
        }
        self.clock = Some(now);
        while let Some(oldest) = self.entries.get(self.oldest as usize) {
            let age = now.since(oldest.time);
            let limit = match oldest.state {
                State::Response => DISORDER,
                State::Query | State::Answered => self.limits.query_timeout.saturating_add(DISORDER),
            };
            // An entry far in the future stood before a clock step: its age can no longer be told.
            let outcome = match age {
                age if age > limit => Outcome::Unanswered,
                age if age < -CLOCK_STEP => Outcome::Pending,
                _ => break,
            };
            self.close(self.oldest, outcome, sink);
        }
    }

    /// Ends the data at `end`: what is younger than the query timeout is pending, the rest unanswered.
    pub fn finish(&mut self, end: Timestamp, sink: &mut impl EventSink) {
        let end = self.clock.map_or(end, |clock| if end.since(clock) > 0 { end } else { clock });
        while let Some(oldest) = self.entries.get(self.oldest as usize) {
            let late = end.since(oldest.time) > self.limits.query_timeout;
            self.close(self.oldest, if late { Outcome::Unanswered } else { Outcome::Pending }, sink);
        }
    }

    fn query(&mut self, hash: u64, path: Path, observation: &Observation<'_>, sink: &mut impl EventSink) {
        let message = &observation.message;
        let name = message.qname.0;
        let time = observation.time;
        let mut same_key = 0;
        let mut oldest_same_key = NONE;
        let mut found = None;
        for &at in self.index.iter_hash(hash) {
            let Some(entry) =
                self.entries.get(at as usize).filter(|entry| entry.hash == hash && entry.path == path)
            else {
                continue;
            };
            same_key += 1;
            if oldest_same_key == NONE || self.is_older(at, oldest_same_key) {
                oldest_same_key = at;
            }
            let pairs = match entry.state {
                State::Query => self.is_repeated(entry, message),
                State::Response => {
                    (0..=self.limits.query_timeout).contains(&entry.time.since(time))
                        && self.same_question(entry, message)
                }
                State::Answered => false,
            };
            if pairs && found.is_none_or(|other| self.is_older(at, other)) {
                found = Some(at);
            }
        }
        if let Some((at, entry)) = found.and_then(|at| Some((at, self.entries.get_mut(at as usize)?))) {
            match entry.state {
                State::Query if time.since(entry.time) <= self.limits.query_timeout => {
                    entry.further = entry.further.saturating_add(1);
                    let event = Event { time, ..entry.event(Outcome::Retransmission) };
                    let exchange = entry.exchange(message.size, 0);
                    self.say(at, event, &exchange, message, sink);
                    return;
                }
                State::Query => self.close(at, Outcome::Unanswered, sink),
                _ => {
                    // The response came first; the transaction begins with this query.
                    let latency =
                        known(entry.response.time_known && time_known(message), entry.time.since(time));
                    let mut event = Event { time, role: observation.role, ..entry.event(Outcome::Answered) };
                    event.answer(entry.response, latency);
                    let exchange = entry.exchange(message.size, entry.octets);
                    self.say(at, event, &exchange, message, sink);
                    self.remove(at);
                    return;
                }
            }
        } else if same_key >= MAX_SAME_KEY {
            self.close(oldest_same_key, Outcome::Evicted, sink);
        }
        let name_hash = self.hash_name(name);
        self.insert(hash, name_hash, path, State::Query, observation, sink);
    }

    fn response(&mut self, hash: u64, path: Path, observation: &Observation<'_>, sink: &mut impl EventSink) {
        let message = &observation.message;
        let time = observation.time;
        let mut query = None;
        let mut answered = None;
        let mut waiting = 0;
        let mut oldest_waiting = NONE;
        for &at in self.index.iter_hash(hash) {
            let Some(entry) = self.entries.get(at as usize) else { continue };
            if entry.hash != hash || entry.path != path {
                continue;
            }
            let slot = match entry.state {
                // It expires as unanswered; one that asked later may be meant.
                State::Query if time.since(entry.time) > self.limits.query_timeout => continue,
                State::Query => &mut query,
                State::Answered => &mut answered,
                State::Response => {
                    waiting += 1;
                    if oldest_waiting == NONE || self.is_older(at, oldest_waiting) {
                        oldest_waiting = at;
                    }
                    continue;
                }
            };
            if !self.same_question(entry, message) {
                continue;
            }
            if slot.is_none_or(|other| self.is_older(at, other)) {
                *slot = Some(at);
            }
        }
        let response = ResponseFacts::of(observation);
        if let Some((at, entry)) = query.and_then(|at| Some((at, self.entries.get_mut(at as usize)?))) {
            let latency = time.since(entry.time);
            let mut event = entry.event(Outcome::Answered);
            event.answer(response, known(entry.response.time_known && response.time_known, latency));
            let exchange = entry.exchange(entry.octets, message.size);
            let spent = entry.further == 0;
            entry.state = State::Answered;
            self.say(at, event, &exchange, message, sink);
            if spent {
                self.remove(at);
            }
            return;
        }
        if let Some((at, entry)) = answered.and_then(|at| Some((at, self.entries.get_mut(at as usize)?))) {
            let mut event = Event { time, ..entry.event(Outcome::Duplicate) };
            event.answer(response, None);
            entry.further -= 1;
            let exchange = entry.exchange(0, message.size);
            let spent = entry.further == 0;
            self.say(at, event, &exchange, message, sink);
            if spent {
                self.remove(at);
            }
            return;
        }
        if waiting >= MAX_SAME_KEY {
            self.close(oldest_waiting, Outcome::Orphan, sink);
        }
        let name_hash = self.hash_name(message.qname.0);
        self.insert(hash, name_hash, path, State::Response, observation, sink);
    }

    /// Says an event with the question of an entry, or of the message that pairs with it if the entry has none.
    #[inline]
    fn say(
        &self,
        at: u32,
        mut event: Event,
        exchange: &Exchange,
        message: &Message<'_>,
        sink: &mut impl EventSink,
    ) {
        match self.entries.get(at as usize) {
            Some(entry) if entry.name_len > 0 => sink.event(&event, exchange, self.name(entry).0),
            _ => {
                event.name_hash = self.hash_name(message.qname.0);
                event.qtype = message.qtype;
                event.has_question = message.facts.contains(Facts::QUESTION);
                sink.event(&event, exchange, message.qname.0);
            }
        }
    }

    /// Whether the message asks once more what the entry asked, or both ask what could not be read.
    #[inline]
    fn is_repeated(&self, entry: &Entry, message: &Message<'_>) -> bool {
        entry.has_question == message.facts.contains(Facts::QUESTION)
            && entry.qtype == message.qtype
            && entry.qclass == message.qclass
            && self.name(entry).is_same(message.qname)
    }

    /// Whether the entry and the message ask the same; a question that could not be read agrees with any.
    #[inline]
    fn same_question(&self, entry: &Entry, message: &Message<'_>) -> bool {
        let same_name = || self.name(entry).is_same(message.qname);
        if entry.has_question && message.facts.contains(Facts::QUESTION) {
            return entry.qtype == message.qtype && entry.qclass == message.qclass && same_name();
        }
        entry.name_len == 0 || message.qname.0.is_empty() || same_name()
    }

    /// Whether `at` arrived before `other`.
    #[inline]
    fn is_older(&self, at: u32, other: u32) -> bool {
        match (self.entries.get(at as usize), self.entries.get(other as usize)) {
            (Some(at), Some(other)) => at.arrival < other.arrival,
            _ => false,
        }
    }

    #[inline]
    fn path_hash(&self, path: &Path) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u128(path.client.address.to_bits());
        hasher.write_u128(path.server.address.to_bits());
        hasher.write_u64(
            u64::from(path.client.port) << 48
                | u64::from(path.server.port) << 32
                | u64::from(path.id) << 16
                | (path.transport as u64) << 8
                | path.side as u64,
        );
        hasher.finish()
    }

    #[inline]
    fn hash_name(&self, name: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(name);
        hasher.finish()
    }

    #[inline]
    fn name<'s>(&'s self, entry: &'s Entry) -> Name<'s> {
        let octets = match self.long_names.get(entry.long_name as usize) {
            Some(long) => long.as_slice(),
            None => entry.name.as_slice(),
        };
        Name(octets.get(..usize::from(entry.name_len)).unwrap_or_default())
    }

    /// A slot for a name too long for its entry.
    #[cold]
    fn hold_long_name(&mut self, name: &[u8]) -> u32 {
        let slot = self.free_long_names.pop().unwrap_or_else(|| {
            self.long_names.push([0; 255]);
            self.long_names.len() as u32 - 1
        });
        if let Some(room) = self.long_names.get_mut(slot as usize).and_then(|room| room.get_mut(..name.len()))
        {
            room.copy_from_slice(name);
        }
        slot
    }

    fn insert(
        &mut self,
        hash: u64,
        name_hash: u64,
        path: Path,
        state: State,
        observation: &Observation<'_>,
        sink: &mut impl EventSink,
    ) {
        while self.index.len() >= self.limits.outstanding.max(1) {
            self.close(self.oldest, Outcome::Evicted, sink);
        }
        let message = &observation.message;
        let name = message.qname.0;
        let long_name = if name.len() > INLINE_NAME { self.hold_long_name(name) } else { NONE };
        self.arrivals += 1;
        let at = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::EMPTY);
            self.entries.len() as u32 - 1
        });
        // Written in place: an entry is 240 octets, most of them for a name that is short.
        if let Some(entry) = self.entries.get_mut(at as usize) {
            entry.hash = hash;
            entry.arrival = self.arrivals;
            entry.name_hash = name_hash;
            entry.path = path;
            entry.time = observation.time;
            entry.state = state;
            entry.role = observation.role;
            entry.qtype = message.qtype;
            entry.qclass = message.qclass;
            entry.octets = message.size;
            entry.has_question = message.facts.contains(Facts::QUESTION);
            entry.further = 0;
            entry.response = ResponseFacts::of(observation);
            entry.older = self.newest;
            entry.newer = NONE;
            entry.long_name = long_name;
            entry.name_len = name.len() as u8;
            if let Some(room) = entry.name.get_mut(..name.len()) {
                room.copy_from_slice(name);
            }
        }
        match self.entries.get_mut(self.newest as usize) {
            Some(newest) => newest.newer = at,
            None => self.oldest = at,
        }
        self.newest = at;
        let entries = &self.entries;
        self.index.insert_unique(hash, at, |&at| entries.get(at as usize).map_or(0, |entry| entry.hash));
    }

    /// Takes an entry out of index and list, and frees its slot and its name's.
    #[inline]
    fn remove(&mut self, at: u32) {
        let Some(entry) = self.entries.get(at as usize) else { return };
        let (older, newer, long_name) = (entry.older, entry.newer, entry.long_name);
        if let Ok(found) = self.index.find_entry(entry.hash, |&other| other == at) {
            found.remove();
        }
        match self.entries.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.entries.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        self.free.push(at);
        if long_name != NONE {
            self.free_long_names.push(long_name);
        }
    }

    /// Ends an entry without its counterpart. `outcome` is that of a query; a response is then an orphan, and an
    /// answered transaction needs no word.
    fn close(&mut self, at: u32, outcome: Outcome, sink: &mut impl EventSink) {
        let Some(entry) = self.entries.get(at as usize) else { return };
        let mut event = entry.event(outcome);
        match entry.state {
            State::Query => sink.event(&event, &entry.exchange(entry.octets, 0), self.name(entry).0),
            State::Response => {
                event.outcome = Outcome::Orphan;
                event.answer(entry.response, None);
                sink.event(&event, &entry.exchange(0, entry.octets), self.name(entry).0);
            }
            State::Answered => {}
        }
        self.remove(at);
    }
}

#[inline]
fn known(is_known: bool, latency: i64) -> Option<i64> {
    is_known.then_some(latency)
}
