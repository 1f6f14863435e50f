//! What the matcher says and the accounts count: one event a transaction, and one for each message beyond its pair.

use std::net::Ipv6Addr;
use std::sync::Arc;

use lowtide_proto::{Qtype, Rcode, Role, Timestamp, Transport};

/// What became of a message or of a pair of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// A query and its first response.
    Answered,
    /// A query that had no response within the query timeout.
    Unanswered,
    /// A query that was outstanding, and younger than the timeout, when the data ended.
    Pending,
    /// A query that was given up early for want of memory.
    Evicted,
    /// A further query of a transaction.
    Retransmission,
    /// A further response of a transaction.
    Duplicate,
    /// A response without a query.
    Orphan,
}

impl Outcome {
    /// Whether the event counts a query.
    #[inline]
    pub const fn has_query(self) -> bool {
        !matches!(self, Outcome::Duplicate | Outcome::Orphan)
    }

    /// Whether the event counts a response.
    #[inline]
    pub const fn has_response(self) -> bool {
        matches!(self, Outcome::Answered | Outcome::Duplicate | Outcome::Orphan)
    }
}

/// One thing to count. It owns all it says, so that it can cross a queue; its name stands in the batch's arena.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// When: of the transaction's first query; of a retransmission, duplicate or orphan, its own time.
    pub time: Timestamp,
    /// Latency of an answered transaction in nanoseconds; `None` when it is not known.
    pub latency: Option<i64>,
    /// The keyed hash of the query name's lower-cased wire form.
    pub name_hash: u64,
    /// The query type.
    pub qtype: Qtype,
    /// The response code; NOERROR without a response.
    pub rcode: Rcode,
    /// What happened.
    pub outcome: Outcome,
    /// In which role it was seen.
    pub role: Role,
    /// Whether the response is NODATA.
    pub nodata: bool,
    /// Whether the response is a referral.
    pub referral: bool,
    /// Whether the response has the TC bit.
    pub truncated: bool,
    /// Whether the message says a question (a query without one has no type to count).
    pub has_question: bool,
    /// How many rightmost labels of the name are its zone's, where an authoritative response said so.
    pub zone_labels: Option<u8>,
}

/// Between whom an event's messages passed, over what, and how large they were. Apart from [`Event`], because a replay that
/// only reports does not ask names for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The server's address.
    pub server: Ipv6Addr,
    /// The client's address.
    pub client: Ipv6Addr,
    /// What carried them.
    pub transport: Transport,
    /// Octets of the query's DNS message; 0 when the event has none.
    pub query_octets: u32,
    /// Octets of the response's DNS message; 0 when the event has none.
    pub response_octets: u32,
}

/// Where the matcher's events go.
pub trait EventSink {
    /// Takes an event and the lower-cased wire form of its query name (empty when there is none).
    fn event(&mut self, event: &Event, exchange: &Exchange, name: &[u8]);
}

/// What an operator may change while traffic is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The operator's zones, as lower-cased wire names.
    pub zones: Vec<Vec<u8>>,
    /// Rows of all open windows, about.
    pub max_rows: usize,
}

/// Something that every partition must learn at its place in the order of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// An authoritative answer named a zone that was not known before (wire form).
    Zone(Box<[u8]>),
    /// From here on these are the operator's zones, and so many rows may be open.
    Configure(Arc<Configuration>),
    /// No event before this moment is to come, but for stragglers: windows that ended by then can be closed.
    Close(Timestamp),
}

/// Events in order, with their names and partitions: what crosses a queue. Emptied and used again, it allocates nothing.
#[derive(Clone, Debug, Default)]
pub struct EventBatch {
    /// Event, length of its name, partition.
    events: Vec<(Event, u8, u8)>,
    names: Vec<u8>,
    /// As many as events, or none when nobody asks.
    exchanges: Vec<Exchange>,
    /// Behind how many events each stands.
    marks: Vec<(usize, Mark)>,
}

impl EventBatch {
    /// How many events it holds.
    #[inline]
    pub const fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether it holds neither events nor marks.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.events.is_empty() && self.marks.is_empty()
    }

    /// Forgets the events and keeps the memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.names.clear();
        self.exchanges.clear();
        self.marks.clear();
    }

    /// Appends an event of the name's [`crate::names::partition`].
    #[inline]
    pub fn push(&mut self, event: &Event, name: &[u8], partition: usize) {
        debug_assert!(name.len() <= lowtide_proto::name::MAX_NAME && partition < crate::names::PARTITIONS);
        self.events.push((*event, name.len() as u8, partition as u8));
        self.names.extend_from_slice(name);
    }

    /// Says of the event that was pushed last between whom it was. To be called for all events of a batch or for none.
    #[inline]
    pub fn push_exchange(&mut self, exchange: &Exchange) {
        self.exchanges.push(*exchange);
    }

    /// Appends a mark behind the events so far.
    pub fn mark(&mut self, mark: Mark) {
        self.marks.push((self.events.len(), mark));
    }

    /// The exchanges, in the order of the events; empty when none were pushed.
    pub fn exchanges(&self) -> &[Exchange] {
        &self.exchanges
    }

    /// The marks in order, each with the number of events before it.
    pub fn marks(&self) -> impl Iterator<Item = (usize, &Mark)> {
        self.marks.iter().map(|(at, mark)| (*at, mark))
    }

    /// The events with their names and partitions, in order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Event, &[u8])> {
        let mut names = self.names.as_slice();
        self.events.iter().map(move |(event, len, partition)| {
            let (name, rest) = names.split_at_checked(usize::from(*len)).unwrap_or_default();
            names = rest;
            (usize::from(*partition), event, name)
        })
    }
}
