//! dnstap in Frame Streams, as an authoritative server writes it.

use std::net::IpAddr;

use lowtide_proto::Timestamp;
use lowtide_proto::dnstap::{Dnstap, Message};
use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE, put_control, put_data};
use lowtide_proto::time::NANOS_PER_SECOND;
use prost::Message as _;

use crate::sink::Seen;

const MESSAGE: i32 = 1;
const AUTH_QUERY: i32 = 1;
const AUTH_RESPONSE: i32 = 2;
const UDP: i32 = 1;

/// Begins a stream.
pub(super) fn begin(into: &mut Vec<u8>) {
    put_control(into, Control::Start, &[DNSTAP_CONTENT_TYPE]);
}

/// Ends a stream.
pub(super) fn end(into: &mut Vec<u8>) {
    put_control(into, Control::Stop, &[]);
}

/// Appends a frame. A response has the time of its query with it, and not the query itself, as BIND and Knot DNS do.
pub(super) fn put(into: &mut Vec<u8>, seen: &Seen<'_>, sensor: &str) {
    let octets = Some(seen.octets.to_vec());
    let (query, response) = if seen.is_response { (None, octets) } else { (octets, None) };
    let asked = seen.query_time.unwrap_or(seen.time);
    let answered = seen.is_response.then_some(seen.time);
    let message = Message {
        r#type: if seen.is_response { AUTH_RESPONSE } else { AUTH_QUERY },
        socket_family: Some(if seen.server.is_ipv4() { 1 } else { 2 }),
        socket_protocol: Some(UDP),
        query_address: Some(address(seen.client.ip())),
        response_address: Some(address(seen.server.ip())),
        query_port: Some(seen.client.port().into()),
        response_port: Some(seen.server.port().into()),
        query_time_sec: Some(seconds(asked)),
        query_time_nsec: Some(nanoseconds(asked)),
        query_message: query,
        query_zone: None,
        response_time_sec: answered.map(seconds),
        response_time_nsec: answered.map(nanoseconds),
        response_message: response,
        policy: None,
    };
    let frame = Dnstap {
        identity: Some(sensor.as_bytes().to_vec()),
        version: Some(b"lowtide-simulator".to_vec()),
        extra: None,
        message: Some(message),
        r#type: MESSAGE,
    };
    put_data(into, &frame.encode_to_vec());
}

fn address(of: IpAddr) -> Vec<u8> {
    match of {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

const fn seconds(time: Timestamp) -> u64 {
    time.0 / NANOS_PER_SECOND
}

const fn nanoseconds(time: Timestamp) -> u32 {
    (time.0 % NANOS_PER_SECOND) as u32
}
