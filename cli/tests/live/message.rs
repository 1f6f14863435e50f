//! dnstap frames made up: queries and responses of given times.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use lowtide_proto::dnstap::{Dnstap, Message};
use prost::Message as _;

const AUTH_QUERY: i32 = 1;
const AUTH_RESPONSE: i32 = 2;

/// A second, in nanoseconds.
pub const SECOND: u64 = 1_000_000_000;

/// The wall clock, in nanoseconds since 1970.
pub fn now() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap()
}

/// A question to an authoritative server, and how it is told by dnstap.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who tells; nobody when it is empty.
    pub identity: String,
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// The message's id.
    pub id: u16,
    /// The name, without its final dot.
    pub name: String,
    /// Who asks.
    pub client: IpAddr,
}

impl Asked {
    /// At this time, told by this identity.
    pub fn at(identity: &str, time: u64, id: u16) -> Self {
        Self {
            identity: identity.to_owned(),
            time,
            id,
            name: "www.example.com".to_owned(),
            client: Ipv4Addr::new(192, 0, 2, 7).into(),
        }
    }

    /// The same for a name.
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// The same from a client.
    pub fn from(self, client: impl Into<IpAddr>) -> Self {
        Self { client: client.into(), ..self }
    }

    /// The frame of the query.
    pub fn query(&self) -> Vec<u8> {
        let (sec, nsec) = split(self.time);
        self.frame(Message {
            r#type: AUTH_QUERY,
            query_time_sec: Some(sec),
            query_time_nsec: Some(nsec),
            query_message: Some(self.message(0x0100)),
            ..Message::default()
        })
    }

    /// The frame of its response, so much later.
    pub fn response(&self, later: Duration) -> Vec<u8> {
        let (sec, nsec) = split(self.time + u64::try_from(later.as_nanos()).unwrap());
        self.frame(Message {
            r#type: AUTH_RESPONSE,
            response_time_sec: Some(sec),
            response_time_nsec: Some(nsec),
            response_message: Some(self.message(0x8500)),
            ..Message::default()
        })
    }

    /// A frame of its time in which the message is missing.
    pub fn hollow(&self) -> Vec<u8> {
        let (sec, nsec) = split(self.time);
        let times = Message { query_time_sec: Some(sec), query_time_nsec: Some(nsec), ..Message::default() };
        self.frame(Message { r#type: AUTH_QUERY, ..times })
    }

    /// Both; the response after a millisecond.
    pub fn pair(&self) -> [Vec<u8>; 2] {
        [self.query(), self.response(Duration::from_millis(1))]
    }

    fn message(&self, flags: u16) -> Vec<u8> {
        let mut message = Vec::new();
        for field in [self.id, flags, 1, 0, 0, 0] {
            message.extend(field.to_be_bytes());
        }
        for label in self.name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.as_bytes());
        }
        message.extend([0, 0, 1, 0, 1]);
        message
    }

    fn frame(&self, message: Message) -> Vec<u8> {
        let (server, family): (IpAddr, _) = match self.client {
            IpAddr::V4(_) => ([192, 0, 2, 53].into(), 1),
            IpAddr::V6(_) => ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x53].into(), 2),
        };
        let message = Message {
            socket_family: Some(family),
            socket_protocol: Some(1),
            query_address: Some(octets(self.client)),
            response_address: Some(octets(server)),
            query_port: Some(40_000),
            response_port: Some(53),
            ..message
        };
        let identity = Some(self.identity.clone().into_bytes()).filter(|identity| !identity.is_empty());
        Dnstap { r#type: 1, identity, message: Some(message), ..Dnstap::default() }.encode_to_vec()
    }
}

/// So many transactions, a microsecond apart from this time on.
pub fn pairs(identity: &str, time: u64, count: u64) -> Vec<Vec<u8>> {
    (0..count)
        .flat_map(|at| Asked::at(identity, time + at * 1_000, u16::try_from(at % 65_536).unwrap()).pair())
        .collect()
}

fn split(time: u64) -> (u64, u32) {
    (time / SECOND, u32::try_from(time % SECOND).unwrap())
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
