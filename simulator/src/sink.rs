//! Where a simulation goes: what sensors see, what they say of themselves, and, beside it, what really happened.

use std::net::SocketAddr;

use lowtide_proto::Timestamp;
use serde::Serialize;

/// Takes what a simulation makes, in the order in which it comes about.
pub trait Sink {
    /// A sensor saw a message.
    fn message(&mut self, message: &Seen<'_>);

    /// A sensor says what it could see.
    fn coverage(&mut self, _fact: &CoverageFact) {}

    /// The truth: a query reached a server, whether or not anybody saw it.
    fn asked(&mut self, _asked: &Asked) {}
}

/// A message as a sensor saw it.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Number of the sensor.
    pub sensor: usize,
    /// When, by the sensor's clock.
    pub time: Timestamp,
    /// For a response, when its query was seen, by the same clock.
    pub query_time: Option<Timestamp>,
    /// Who asks.
    pub client: SocketAddr,
    /// Who is asked.
    pub server: SocketAddr,
    /// Whether it is a response.
    pub is_response: bool,
    /// The DNS message; it travels over UDP.
    pub octets: &'a [u8],
    /// Number of the client in the truth.
    pub client_number: usize,
    /// What the client really is.
    pub class: Class,
}

/// What a sensor says of itself, as heartbeats and counters of loss would. Times are those of its own clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoverageFact {
    /// It was alive all the time from one moment to the other.
    Alive {
        /// Number of the sensor.
        sensor: usize,
        /// From when.
        from: Timestamp,
        /// Until when.
        to: Timestamp,
    },
    /// It lost frames.
    Lost {
        /// Number of the sensor.
        sensor: usize,
        /// From when.
        from: Timestamp,
        /// Until when.
        to: Timestamp,
        /// How many.
        frames: u64,
    },
}

/// A query that reached a server.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// When, truly.
    pub time: Timestamp,
    /// Who asked.
    pub client: SocketAddr,
    /// Number of the client in the truth.
    pub client_number: usize,
    /// What the client is.
    pub class: Class,
    /// Who was asked.
    pub server: SocketAddr,
    /// Whether that is a server of the new provider.
    pub is_new: bool,
    /// Number of the zone; one past the last for zones that do not move.
    pub zone: usize,
    /// Number of the question.
    pub question: usize,
    /// The sensor that saw it and handed it over.
    pub seen_by: Option<usize>,
    /// Whether it came after the end of the evidence.
    pub is_after_end: bool,
}

/// What a client really is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A resolver that keeps data no longer than it may.
    ResolverCompliant,
    /// A resolver that keeps data longer.
    ResolverExtending,
    /// A stub or forwarder that was told the old servers' addresses.
    HardCoded,
    /// It asks in a fixed period.
    Monitor,
    /// It sweeps over names and types.
    Scanner,
    /// It asks for zones that do not move.
    Background,
}

impl Class {
    /// All classes.
    pub const ALL: [Class; 6] = [
        Class::ResolverCompliant,
        Class::ResolverExtending,
        Class::HardCoded,
        Class::Monitor,
        Class::Scanner,
        Class::Background,
    ];

    /// Whether its queries come from a cache that led it to the server.
    pub const fn is_cache_driven(self) -> bool {
        matches!(self, Class::ResolverCompliant | Class::ResolverExtending)
    }
}
