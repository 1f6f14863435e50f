//! What is left of a frame when link layer, IP and tunnels are taken off.

use lowtide_proto::Endpoint;

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Udp<'a> {
    /// Where it came from.
    pub source: Endpoint,
    /// Where it went.
    pub destination: Endpoint,
    /// The payload that was captured.
    pub payload: &'a [u8],
    /// The payload's length on the wire, in octets; more than `payload.len()` when the snap length cut it.
    pub wire_len: u32,
}

bitflags::bitflags! {
    /// The control bits of a TCP header (RFC 9293 §3.1).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TcpFlags: u8 {
        /// No more data from the sender.
        const FIN = 0x01;
        /// Synchronise sequence numbers.
        const SYN = 0x02;
        /// Reset the connection.
        const RST = 0x04;
        /// The acknowledgement number is valid.
        const ACK = 0x10;
    }
}

/// A TCP segment.
#[derive(Clone, Copy, Debug)]
pub struct Tcp<'a> {
    /// Where it came from.
    pub source: Endpoint,
    /// Where it went.
    pub destination: Endpoint,
    /// The sequence number of its first octet (of the SYN, if it has one).
    pub sequence: u32,
    /// Its control bits.
    pub flags: TcpFlags,
    /// The payload that was captured.
    pub payload: &'a [u8],
    /// The payload's length on the wire, in octets; more than `payload.len()` when the snap length cut it.
    pub wire_len: u32,
}

/// What a frame carries.
#[derive(Clone, Copy, Debug)]
pub enum Unit<'a> {
    /// A UDP datagram on a DNS port.
    Udp(Udp<'a>),
    /// A TCP segment on a DNS port.
    Tcp(Tcp<'a>),
}
