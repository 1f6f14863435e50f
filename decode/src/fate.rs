//! Where a frame ends: exactly one [`Fate`] each, so that the accounts balance.

use std::fmt;

/// The one counter in which a frame ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Fate {
    /// A UDP datagram with a DNS message on a DNS port.
    UdpMessage,
    /// A TCP segment on a DNS port, with or without payload.
    TcpSegment,
    /// A fragment of an IP datagram, the last one included; what it completes is counted under `messages`.
    IpFragment,
    /// A dnstap frame with a DNS message.
    DnstapMessage,
    /// A dnstap frame without a DNS message, or of an unknown type.
    DnstapOther,
    /// Well formed, but not DNS: another protocol or port.
    NotDns,
    /// The link-layer header type is not supported.
    UnknownLinkType,
    /// A header contradicts the frame; see [`Defect`].
    Malformed,
    /// The snap length cut it before the 12 octets of the DNS header.
    Truncated,
}

impl Fate {
    /// All fates, in the order of reports.
    pub const ALL: [Fate; 9] = [
        Fate::UdpMessage,
        Fate::TcpSegment,
        Fate::IpFragment,
        Fate::DnstapMessage,
        Fate::DnstapOther,
        Fate::NotDns,
        Fate::UnknownLinkType,
        Fate::Malformed,
        Fate::Truncated,
    ];

    /// The name used in reports and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Fate::UdpMessage => "udp_message",
            Fate::TcpSegment => "tcp_segment",
            Fate::IpFragment => "ip_fragment",
            Fate::DnstapMessage => "dnstap_message",
            Fate::DnstapOther => "dnstap_other",
            Fate::NotDns => "not_dns",
            Fate::UnknownLinkType => "unknown_link_type",
            Fate::Malformed => "malformed",
            Fate::Truncated => "truncated",
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What contradicts itself in a frame of the fate [`Fate::Malformed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Defect {
    /// The link-layer header is cut short or impossible.
    Link,
    /// An IPv4 header: version, IHL or total length.
    Ipv4,
    /// An IPv6 header or extension header.
    Ipv6,
    /// Fragments that do not make a datagram: overlapping with other content, past 65,535 octets.
    Fragment,
    /// A UDP header: its length is below 8 or past the datagram's end.
    Udp,
    /// A TCP header: its data offset is below 5 or past the segment's end.
    Tcp,
    /// A tunnel's header.
    Tunnel,
    /// More than the allowed number of nested headers.
    Depth,
    /// Fewer than 12 octets on a DNS port, and not for want of snap length.
    DnsHeader,
    /// The dnstap protobuf envelope.
    Dnstap,
}

impl Defect {
    /// All defects, in the order of reports.
    pub const ALL: [Defect; 10] = [
        Defect::Link,
        Defect::Ipv4,
        Defect::Ipv6,
        Defect::Fragment,
        Defect::Udp,
        Defect::Tcp,
        Defect::Tunnel,
        Defect::Depth,
        Defect::DnsHeader,
        Defect::Dnstap,
    ];

    /// The name used in reports and rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Defect::Link => "link",
            Defect::Ipv4 => "ipv4",
            Defect::Ipv6 => "ipv6",
            Defect::Fragment => "fragment",
            Defect::Udp => "udp",
            Defect::Tcp => "tcp",
            Defect::Tunnel => "tunnel",
            Defect::Depth => "depth",
            Defect::DnsHeader => "dns_header",
            Defect::Dnstap => "dnstap",
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
