//! What a row of a window counts, under the names that the report's JSON and ClickHouse have for it.

use lowtide_proto::Rcode;

use crate::event::{Event, Exchange, Outcome};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $variant:ident => $name:literal,)+) => {
        /// One counter of a row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Counter {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Counter {
            /// All of them, in the order of columns.
            pub const ALL: &'static [Counter] = &[$(Counter::$variant),+];

            /// The name in reports and rows.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Counter::$variant => $name,)+
                }
            }
        }
    };
}

counters! {
    /// Queries.
    Queries => "queries",
    /// Responses.
    Responses => "responses",
    /// Transactions with a response within the query timeout.
    Answered => "answered",
    /// Transactions without one.
    Unanswered => "unanswered",
    /// Transactions whose end was not seen.
    Pending => "pending",
    /// Queries beyond the first of their transaction.
    Retransmissions => "retransmissions",
    /// Responses beyond the first of their transaction.
    DuplicateResponses => "duplicate_responses",
    /// Responses without a query.
    OrphanResponses => "orphan_responses",
    /// NODATA responses.
    Nodata => "nodata",
    /// Referrals.
    Referrals => "referrals",
    /// Responses with the TC bit.
    TruncatedResponses => "truncated_responses",
    /// NXDOMAIN responses.
    Nxdomain => "nxdomain",
    /// SERVFAIL responses.
    Servfail => "servfail",
    /// REFUSED responses.
    Refused => "refused",
    /// Octets of the queries' DNS messages.
    QueryOctets => "query_octets",
    /// Octets of the responses' DNS messages.
    ResponseOctets => "response_octets",
    /// Responses of more than 512 octets, which need EDNS or TCP (RFC 1035 §4.2.1).
    ResponsesOver512 => "responses_over_512",
    /// Responses of more than 1,232 octets, which may be fragmented (DNS Flag Day 2020).
    ResponsesOver1232 => "responses_over_1232",
    /// Answered transactions whose latency came out negative, which is in no latency figure.
    NegativeLatency => "negative_latency",
    /// Answered transactions whose latency is not known.
    UnknownLatency => "unknown_latency",
}

/// The counters of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts([u64; Counter::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Counter::ALL.len()])
    }
}

impl Counts {
    /// The value of a counter.
    #[inline]
    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).copied().unwrap_or_default()
    }

    #[inline]
    fn add(&mut self, counter: Counter, count: u64) {
        if let Some(value) = self.0.get_mut(counter as usize) {
            *value += count;
        }
    }

    /// Counts an event.
    #[inline]
    pub fn count(&mut self, event: &Event, exchange: &Exchange) {
        let outcome = match event.outcome {
            Outcome::Answered => Counter::Answered,
            Outcome::Unanswered => Counter::Unanswered,
            Outcome::Pending | Outcome::Evicted => Counter::Pending,
            Outcome::Retransmission => Counter::Retransmissions,
            Outcome::Duplicate => Counter::DuplicateResponses,
            Outcome::Orphan => Counter::OrphanResponses,
        };
        self.add(outcome, 1);
        if event.outcome.has_query() {
            self.add(Counter::Queries, 1);
            self.add(Counter::QueryOctets, u64::from(exchange.query_octets));
        }
        if event.outcome.has_response() {
            self.response(event, exchange.response_octets);
        }
        if event.outcome == Outcome::Answered {
            self.add(Counter::NegativeLatency, u64::from(event.latency.is_some_and(|nanos| nanos < 0)));
            self.add(Counter::UnknownLatency, u64::from(event.latency.is_none()));
        }
    }

    #[inline]
    fn response(&mut self, event: &Event, octets: u32) {
        self.add(Counter::Responses, 1);
        self.add(Counter::ResponseOctets, u64::from(octets));
        self.add(Counter::ResponsesOver512, u64::from(octets > 512));
        self.add(Counter::ResponsesOver1232, u64::from(octets > 1232));
        self.add(Counter::Nodata, u64::from(event.nodata));
        self.add(Counter::Referrals, u64::from(event.referral));
        self.add(Counter::TruncatedResponses, u64::from(event.truncated));
        match event.rcode {
            Rcode::NXDOMAIN => self.add(Counter::Nxdomain, 1),
            Rcode::SERVFAIL => self.add(Counter::Servfail, 1),
            Rcode::REFUSED => self.add(Counter::Refused, 1),
            _ => {}
        }
    }

    /// Adds the counts of another row.
    pub fn add_all(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}
