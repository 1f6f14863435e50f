//! The dnstap schema (<https://dnstap.info>, `dnstap.proto`): for prost, and as a borrowed [`View`].
//!
//! The hot path reads dnstap by hand, without copying ([`View`], [`Layout`]); the prost messages write dnstap in tests
//! and tools and are the oracle for that reader. Field numbers and names are those of `dnstap.proto`.

mod view;

#[cfg(test)]
mod tests;

pub use view::{DnstapFrame, EnvelopeError, Layout, View};

/// The payload of one Frame Streams data frame.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Dnstap {
    /// The server's identity, as it names itself.
    #[prost(bytes = "vec", optional, tag = "1")]
    pub identity: Option<Vec<u8>>,
    /// The server's version.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub version: Option<Vec<u8>>,
    /// Free data.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub extra: Option<Vec<u8>>,
    /// The message, when `type` is 1 (`MESSAGE`).
    #[prost(message, optional, tag = "14")]
    pub message: Option<Message>,
    /// What the payload is; 1 is `MESSAGE`.
    #[prost(int32, required, tag = "15")]
    pub r#type: i32,
}

/// One DNS message event.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    /// 1 `AUTH_QUERY` to 14 `UPDATE_RESPONSE`.
    #[prost(int32, required, tag = "1")]
    pub r#type: i32,
    /// 1 INET, 2 INET6.
    #[prost(int32, optional, tag = "2")]
    pub socket_family: Option<i32>,
    /// 1 UDP, 2 TCP, 3 DOT, 4 DOH, 5 DNSCryptUDP, 6 DNSCryptTCP, 7 DOQ.
    #[prost(int32, optional, tag = "3")]
    pub socket_protocol: Option<i32>,
    /// The initiator's address.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub query_address: Option<Vec<u8>>,
    /// The responder's address.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub response_address: Option<Vec<u8>>,
    /// The initiator's port.
    #[prost(uint32, optional, tag = "6")]
    pub query_port: Option<u32>,
    /// The responder's port.
    #[prost(uint32, optional, tag = "7")]
    pub response_port: Option<u32>,
    /// Seconds of the time at which the query was sent or received.
    #[prost(uint64, optional, tag = "8")]
    pub query_time_sec: Option<u64>,
    /// Nanoseconds of it.
    #[prost(fixed32, optional, tag = "9")]
    pub query_time_nsec: Option<u32>,
    /// The query in wire form.
    #[prost(bytes = "vec", optional, tag = "10")]
    pub query_message: Option<Vec<u8>>,
    /// The zone or bailiwick that was asked.
    #[prost(bytes = "vec", optional, tag = "11")]
    pub query_zone: Option<Vec<u8>>,
    /// Seconds of the time at which the response was sent or received.
    #[prost(uint64, optional, tag = "12")]
    pub response_time_sec: Option<u64>,
    /// Nanoseconds of it.
    #[prost(fixed32, optional, tag = "13")]
    pub response_time_nsec: Option<u32>,
    /// The response in wire form.
    #[prost(bytes = "vec", optional, tag = "14")]
    pub response_message: Option<Vec<u8>>,
    /// The policy that was applied.
    #[prost(message, optional, tag = "15")]
    pub policy: Option<Policy>,
}

/// A policy that changed an answer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Policy {
    /// What kind of policy, such as `RPZ`.
    #[prost(string, optional, tag = "1")]
    pub r#type: Option<String>,
    /// The rule.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub rule: Option<Vec<u8>>,
    /// What was done.
    #[prost(int32, optional, tag = "3")]
    pub action: Option<i32>,
    /// What the rule matched on.
    #[prost(int32, optional, tag = "4")]
    pub r#match: Option<i32>,
    /// The value that matched.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub value: Option<Vec<u8>>,
}
