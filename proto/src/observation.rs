//! One DNS message as it was seen: what decode/ says and aggregate/ counts.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use crate::{Class, Name, Opcode, Qtype, Rcode, Timestamp};

/// An address and a port. IPv4 addresses are held in their IPv4-mapped form (RFC 4291 §2.5.5.2), so that a server
/// that listens on a dual-stack socket and one that does not are the same server.
///
/// Aligned, because it is copied for every message: in 18 packed octets it would be written and read in pieces of
/// different sizes, which the processor cannot forward from its store buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(align(8))]
pub struct Endpoint {
    /// The address; IPv4 as `::ffff:a.b.c.d`.
    pub address: Ipv6Addr,
    /// The port; 0 where it is unknown.
    pub port: u16,
}

impl Endpoint {
    /// An IPv4 endpoint.
    #[inline]
    pub const fn v4(octets: [u8; 4], port: u16) -> Self {
        let [a, b, c, d] = octets;
        Self { address: Ipv6Addr::from_octets([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]), port }
    }

    /// An IPv6 endpoint.
    #[inline]
    pub const fn v6(octets: [u8; 16], port: u16) -> Self {
        Self { address: Ipv6Addr::from_octets(octets), port }
    }

    /// Whether the address is an IPv4 address.
    #[inline]
    pub fn is_ipv4(&self) -> bool {
        matches!(self.address.segments(), [0, 0, 0, 0, 0, 0xffff, _, _])
    }

    /// The address in its own family.
    pub fn ip(&self) -> IpAddr {
        self.address.to_canonical()
    }
}

/// In which role the watched host sent or received a message. Roles are different traffic and are never added
/// together. The dnstap roles are the dnstap message types' prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Seen on the wire: the role is not known.
    Wire,
    /// `AUTH_*`: an authoritative server and its clients.
    Auth,
    /// `CLIENT_*`: a resolver (or proxy) and its clients.
    Client,
    /// `RESOLVER_*`: a resolver and authoritative servers.
    Resolver,
    /// `FORWARDER_*`: a resolver and its upstream resolvers.
    Forwarder,
    /// `STUB_*`: a stub resolver and its resolver.
    Stub,
    /// `TOOL_*`: a tool such as dig.
    Tool,
    /// `UPDATE_*`: dynamic updates (RFC 2136).
    Update,
}

impl Role {
    /// All roles, in the order of reports.
    pub const ALL: [Role; 8] = [
        Role::Wire,
        Role::Auth,
        Role::Client,
        Role::Resolver,
        Role::Forwarder,
        Role::Stub,
        Role::Tool,
        Role::Update,
    ];

    /// The name used in reports and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Wire => "wire",
            Role::Auth => "auth",
            Role::Client => "client",
            Role::Resolver => "resolver",
            Role::Forwarder => "forwarder",
            Role::Stub => "stub",
            Role::Tool => "tool",
            Role::Update => "update",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What carried a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Transport {
    /// Plain UDP.
    Udp,
    /// Plain TCP.
    Tcp,
    /// DNS over TLS (RFC 7858).
    Dot,
    /// DNS over HTTPS (RFC 8484).
    Doh,
    /// DNS over QUIC (RFC 9250).
    Doq,
    /// DNSCrypt over UDP.
    DnscryptUdp,
    /// DNSCrypt over TCP.
    DnscryptTcp,
    /// The sender did not say, or said a value that is not known.
    Unknown,
}

impl Transport {
    /// All transports, in the order of reports.
    pub const ALL: [Transport; 8] = [
        Transport::Udp,
        Transport::Tcp,
        Transport::Dot,
        Transport::Doh,
        Transport::Doq,
        Transport::DnscryptUdp,
        Transport::DnscryptTcp,
        Transport::Unknown,
    ];

    /// The name used in reports and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Dot => "dot",
            Transport::Doh => "doh",
            Transport::Doq => "doq",
            Transport::DnscryptUdp => "dnscrypt_udp",
            Transport::DnscryptTcp => "dnscrypt_tcp",
            Transport::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

bitflags::bitflags! {
    /// What is true of a message, from its header, its EDNS record and its sections. The bits of the header's flags
    /// stand where the header has them (RFC 1035 §4.1.1, RFC 4035 §3), the others above.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Facts: u32 {
        /// The CD bit (RFC 4035 §3.2.2).
        const CHECKING_DISABLED = 1 << 4;
        /// The AD bit (RFC 4035 §3.2.3).
        const AUTHENTIC_DATA = 1 << 5;
        /// The RA bit.
        const RECURSION_AVAILABLE = 1 << 7;
        /// The RD bit.
        const RECURSION_DESIRED = 1 << 8;
        /// The TC bit.
        const TRUNCATED = 1 << 9;
        /// The AA bit.
        const AUTHORITATIVE = 1 << 10;
        /// An OPT record is there (RFC 6891).
        const EDNS = 1 << 16;
        /// The DO bit (RFC 3225).
        const DNSSEC_OK = 1 << 17;
        /// An EDNS Client Subnet option (RFC 7871).
        const CLIENT_SUBNET = 1 << 18;
        /// A COOKIE option (RFC 7873).
        const COOKIE = 1 << 19;
        /// NOERROR, no answer of the type asked, and authoritative or with an SOA in authority (RFC 9499 §3).
        const NODATA = 1 << 20;
        /// NOERROR, AA clear, NS in authority and an empty answer section (RFC 9499 §7).
        const REFERRAL = 1 << 21;
        /// The question section is empty.
        const NO_QUESTION = 1 << 22;
        /// The question section has more than one entry; the first one is the key.
        const MANY_QUESTIONS = 1 << 23;
        /// Octets stand behind the last record.
        const TRAILING_OCTETS = 1 << 24;
        /// The end of the message was not captured, by the snap length or for loss; what was there could be read.
        const CUT = 1 << 25;
        /// The frame said no time; `time` is that of the frame before it.
        const TIME_UNKNOWN = 1 << 26;
        /// The first question was read whole: name, type and class.
        const QUESTION = 1 << 27;
    }
}

impl Facts {
    /// Those that stand in the header's flags.
    #[inline]
    pub const fn of_flags(flags: u16) -> Self {
        const FLAGS: u32 = Facts::CHECKING_DISABLED.bits()
            | Facts::AUTHENTIC_DATA.bits()
            | Facts::RECURSION_AVAILABLE.bits()
            | Facts::RECURSION_DESIRED.bits()
            | Facts::TRUNCATED.bits()
            | Facts::AUTHORITATIVE.bits();
        Self::from_bits_retain(flags as u32 & FLAGS)
    }
}

/// Why a message whose 12-octet header was read could not be read to its end. One reason a message: the first met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// A name runs past the end of the message.
    NameOverrun,
    /// A label has the reserved type 01 or 10 (RFC 1035 §4.1.4).
    LabelType,
    /// A compression pointer does not point strictly backwards.
    Pointer,
    /// A name is longer than 255 octets.
    NameTooLong,
    /// The question section is cut short.
    QuestionShort,
    /// A record's fixed part is cut short, or fewer records are there than the header says.
    RecordShort,
    /// A record's RDLENGTH runs past the end of the message.
    RdataOverrun,
    /// More than one OPT record, or one whose owner is not the root (RFC 6891 §6.1.1).
    Opt,
    /// An EDNS option runs past the OPT record.
    OptionOverrun,
    /// A dnstap message type that contradicts the QR bit of its message.
    Direction,
}

impl Malformed {
    /// All reasons, in the order of reports.
    pub const ALL: [Malformed; 10] = [
        Malformed::NameOverrun,
        Malformed::LabelType,
        Malformed::Pointer,
        Malformed::NameTooLong,
        Malformed::QuestionShort,
        Malformed::RecordShort,
        Malformed::RdataOverrun,
        Malformed::Opt,
        Malformed::OptionOverrun,
        Malformed::Direction,
    ];

    /// The name used in reports and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Malformed::NameOverrun => "name_overrun",
            Malformed::LabelType => "label_type",
            Malformed::Pointer => "pointer",
            Malformed::NameTooLong => "name_too_long",
            Malformed::QuestionShort => "question_short",
            Malformed::RecordShort => "record_short",
            Malformed::RdataOverrun => "rdata_overrun",
            Malformed::Opt => "opt",
            Malformed::OptionOverrun => "option_overrun",
            Malformed::Direction => "direction",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What the DNS message itself says.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The message id.
    pub id: u16,
    /// The QR bit: false for a query, true for a response.
    pub is_response: bool,
    /// What is asked for.
    pub opcode: Opcode,
    /// The response code, extended by EDNS; meaningless in a query.
    pub rcode: Rcode,
    /// The first question's name, uncompressed and lower-cased; empty when there is none or it could not be read.
    pub qname: Name<'a>,
    /// The first question's type; 0 unless [`Facts::QUESTION`].
    pub qtype: Qtype,
    /// The first question's class; 0 unless [`Facts::QUESTION`].
    pub qclass: Class,
    /// Flags and findings.
    pub facts: Facts,
    /// The requestor's UDP payload size (RFC 6891 §6.2.3); 0 without EDNS.
    pub udp_payload_size: u16,
    /// In authoritative answers, how many rightmost labels of `qname` name its zone, as the owner of an SOA or NS
    /// record says; `None` where the message does not tell.
    pub zone_labels: Option<u8>,
    /// What its records may say of name servers: [`server_bit`] of the data of each A and AAAA record, all bits where there is a DS record,
    /// or an NS record that is not in the authority section. In a message that was read to its end, what has no bit in common with this
    /// and is not in [`Self::delegation`] is not there.
    pub servers: u64,
    /// The NS records in its authority section.
    pub delegation: Delegation,
    /// Octets of the message on the wire.
    pub size: u32,
    /// The message as it was read, without what was not captured of it.
    pub octets: &'a [u8],
    /// Why it could not be read to its end.
    pub malformed: Option<Malformed>,
}

/// The stretch of a message from the first NS record in its authority section to the last one there; empty where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delegation {
    /// Offset of the first record's owner, octets from the message's beginning.
    pub begin: u32,
    /// Offset behind the last record's data; 0 where there is none.
    pub end: u32,
    /// How many records of the section stand before it.
    pub before: u16,
    /// Whether the first question's name stands in the message as it is, without a pointer.
    pub is_plain: bool,
}

/// The bit in [`Message::servers`] that stands for an address, IPv4 or IPv6, by its last octet.
#[inline]
pub const fn server_bit(address: &[u8]) -> u64 {
    match address.last() {
        Some(&octet) => 1 << (octet & 63),
        None => 0,
    }
}

/// One DNS message, where and when it was seen.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// When the message was captured; of a TCP message, when its last octet was. dnstap: the message's own time.
    pub time: Timestamp,
    /// Latency in nanoseconds that the message says of itself: a dnstap response with both times.
    pub own_latency: Option<i64>,
    /// In which role it was seen.
    pub role: Role,
    /// What carried it.
    pub transport: Transport,
    /// Who asks.
    pub client: Endpoint,
    /// Who is asked.
    pub server: Endpoint,
    /// The message. Borrowed, because it is large enough that moving it is seen in the time a message takes.
    pub message: &'a Message<'a>,
}
