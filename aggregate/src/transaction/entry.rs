//! What the matcher holds of a message that waits for its counterpart.

use lowtide_proto::{Class, Endpoint, Facts, Message, Observation, Qtype, Rcode, Role, Timestamp, Transport};

use crate::event::{Event, Exchange, Outcome};

/// Octets of a name that an entry holds itself; longer names are held apart.
pub(super) const INLINE_NAME: usize = 64;

pub(super) const NONE: u32 = u32::MAX;

/// What an entry waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A query, for its response.
    Query,
    /// A response, for the query that the source delivers late.
    Response,
    /// An answered transaction, for as many further responses as it had further queries.
    Answered,
}

/// Addresses, ports, id and what else must be equal for a response to belong to a query, the question apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) client: Endpoint,
    pub(super) server: Endpoint,
    pub(super) id: u16,
    pub(super) transport: Transport,
    pub(super) side: Side,
}

/// Roles whose messages pair with each other: BIND logs an authoritative server's traffic as `AUTH_QUERY` and
/// `CLIENT_RESPONSE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Wire,
    Serving,
    Resolver,
    Forwarder,
    Stub,
    Tool,
    Update,
}

impl Side {
    #[inline]
    pub(super) const fn of(role: Role) -> Self {
        match role {
            Role::Wire => Side::Wire,
            Role::Auth | Role::Client => Side::Serving,
            Role::Resolver => Side::Resolver,
            Role::Forwarder => Side::Forwarder,
            Role::Stub => Side::Stub,
            Role::Tool => Side::Tool,
            Role::Update => Side::Update,
        }
    }
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) hash: u64,
    /// Arrival number: slots are reused, and several messages may have one time.
    pub(super) arrival: u64,
    pub(super) name_hash: u64,
    pub(super) path: Path,
    pub(super) time: Timestamp,
    pub(super) state: State,
    pub(super) role: Role,
    pub(super) qtype: Qtype,
    pub(super) qclass: Class,
    /// Octets of the message.
    pub(super) octets: u32,
    /// Whether the question was read whole.
    pub(super) has_question: bool,
    /// Of `State::Answered`: further responses that may come. Else further queries that came.
    pub(super) further: u32,
    /// Of `State::Response`: what the response says.
    pub(super) response: ResponseFacts,
    pub(super) older: u32,
    pub(super) newer: u32,
    /// Slot in [`Matcher::long_names`] of a name that does not fit `name`.
    pub(super) long_name: u32,
    pub(super) name_len: u8,
    pub(super) name: [u8; INLINE_NAME],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct ResponseFacts {
    pub(super) rcode: Rcode,
    pub(super) nodata: bool,
    pub(super) referral: bool,
    pub(super) truncated: bool,
    pub(super) zone_labels: Option<u8>,
    pub(super) own_latency: Option<i64>,
    pub(super) time_known: bool,
}

impl ResponseFacts {
    #[inline]
    pub(super) fn of(observation: &Observation<'_>) -> Self {
        let message = &observation.message;
        Self {
            rcode: message.rcode,
            nodata: message.facts.contains(Facts::NODATA),
            referral: message.facts.contains(Facts::REFERRAL),
            truncated: message.facts.contains(Facts::TRUNCATED),
            zone_labels: message.zone_labels,
            own_latency: observation.own_latency,
            time_known: time_known(message),
        }
    }
}

impl Entry {
    /// A slot before it is filled.
    pub(super) const EMPTY: Self = Self {
        hash: 0,
        arrival: 0,
        name_hash: 0,
        path: Path {
            client: Endpoint::v6([0; 16], 0),
            server: Endpoint::v6([0; 16], 0),
            id: 0,
            transport: Transport::Unknown,
            side: Side::Wire,
        },
        time: Timestamp(0),
        state: State::Query,
        role: Role::Wire,
        qtype: Qtype(0),
        qclass: Class(0),
        octets: 0,
        has_question: false,
        further: 0,
        response: ResponseFacts {
            rcode: Rcode::NOERROR,
            nodata: false,
            referral: false,
            truncated: false,
            zone_labels: None,
            own_latency: None,
            time_known: false,
        },
        older: NONE,
        newer: NONE,
        long_name: NONE,
        name_len: 0,
        name: [0; INLINE_NAME],
    };

    /// Between whom this entry's messages passed; `query` and `response` are their octets.
    #[inline]
    pub(super) const fn exchange(&self, query: u32, response: u32) -> Exchange {
        Exchange {
            server: self.path.server.address,
            client: self.path.client.address,
            transport: self.path.transport,
            query_octets: query,
            response_octets: response,
        }
    }

    /// An event of this entry's first message.
    #[inline]
    pub(super) const fn event(&self, outcome: Outcome) -> Event {
        Event {
            time: self.time,
            latency: None,
            name_hash: self.name_hash,
            qtype: self.qtype,
            rcode: Rcode::NOERROR,
            outcome,
            role: self.role,
            nodata: false,
            referral: false,
            truncated: false,
            has_question: self.has_question,
            zone_labels: None,
        }
    }
}

impl Event {
    /// Adds what the response says. `matched` is the latency between the two messages, in nanoseconds, if it is known;
    /// a latency that the response says of itself comes first.
    #[inline]
    pub(super) fn answer(&mut self, response: ResponseFacts, matched: Option<i64>) {
        self.rcode = response.rcode;
        self.nodata = response.nodata;
        self.referral = response.referral;
        self.truncated = response.truncated;
        self.zone_labels = response.zone_labels;
        self.latency = match self.outcome {
            Outcome::Answered => response.own_latency.or(matched),
            _ => None,
        };
    }
}

#[inline]
pub(super) fn time_known(message: &Message<'_>) -> bool {
    !message.facts.contains(Facts::TIME_UNKNOWN)
}
