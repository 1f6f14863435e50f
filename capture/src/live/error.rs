//! Why live capture cannot begin, stops, or may not show all.

use std::fmt;
use std::io;

use lowtide_proto::LinkType;

use super::filter::FilterDefect;
use super::{ANY, Xdp};
use crate::link_type_name;

/// Why a live capture cannot begin or go on.
#[derive(Debug)]
pub enum LiveError {
    /// There is no such interface.
    NoInterface {
        /// The name that was asked for.
        interface: String,
        /// Those that are there.
        present: Vec<String>,
    },
    /// The process may not capture.
    Permission {
        /// The interface.
        interface: String,
    },
    /// The interface is there, but down.
    Down {
        /// The interface.
        interface: String,
    },
    /// The interface went away or down while it was captured. [`LiveCapture::reopen`](super::LiveCapture::reopen)
    /// goes on when it is back.
    Gone {
        /// The interface.
        interface: String,
        /// Which of the two.
        how: Gone,
    },
    /// An XDP program is attached. It can drop frames, answer them, or hand them to another program (as Knot's
    /// `listen-xdp` and dnsdist's XSK do), and none of those reaches a capture.
    Xdp {
        /// The interface.
        interface: String,
        /// How it is attached.
        xdp: Xdp,
    },
    /// The user's filter is not libpcap's language, or does not fit the interface.
    Filter {
        /// The filter.
        filter: String,
        /// What libpcap says.
        message: String,
    },
    /// The compiled filter fails its test with golden frames.
    FilterDefect {
        /// What it does with them.
        defect: FilterDefect,
        /// The whole filter.
        expression: String,
        /// What it was compiled for.
        link_type: LinkType,
    },
    /// The handles cannot share the traffic.
    Fanout {
        /// The interface.
        interface: String,
        /// The system's reason.
        error: io::Error,
    },
    /// The system refuses something else.
    Os {
        /// The interface.
        interface: String,
        /// The system's reason.
        error: io::Error,
    },
    /// libpcap refuses.
    Pcap {
        /// The interface.
        interface: String,
        /// What libpcap says.
        message: String,
    },
}

/// How an interface was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// It was removed, or another one has its name now.
    Removed,
    /// It was taken down.
    Down,
}

impl fmt::Display for LiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LiveError::NoInterface { interface, present } if present.is_empty() => {
                write!(f, "there is no interface {interface}")
            }
            LiveError::NoInterface { interface, present } => {
                write!(f, "there is no interface {interface}; there are {ANY}, {}", present.join(", "))
            }
            LiveError::Permission { interface } => write!(
                f,
                "capturing at {interface} needs CAP_NET_RAW: run as root, or `setcap cap_net_raw+ep` the program"
            ),
            LiveError::Down { interface } => write!(f, "interface {interface} is down"),
            LiveError::Gone { interface, how: Gone::Removed } => {
                write!(f, "interface {interface} was removed")
            }
            LiveError::Gone { interface, how: Gone::Down } => write!(f, "interface {interface} went down"),
            LiveError::Xdp { interface, xdp } => write!(
                f,
                "{xdp} at {interface}: it may hide traffic from this capture, whose coverage would be unknown; \
                 detach it, use the server's dnstap, or allow XDP"
            ),
            LiveError::Filter { filter, message } => write!(f, "filter {filter:?}: {message}"),
            LiveError::FilterDefect { defect, expression, link_type } => write!(
                f,
                "the filter compiled for {} {defect}; it is: {expression}",
                link_type_name(*link_type)
            ),
            LiveError::Fanout { interface, error } => {
                write!(f, "several threads cannot share the traffic of {interface}: {error}")
            }
            LiveError::Os { interface, error } => write!(f, "interface {interface}: {error}"),
            LiveError::Pcap { interface, message } => write!(f, "interface {interface}: {message}"),
        }
    }
}

impl std::error::Error for LiveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            LiveError::Fanout { error, .. } | LiveError::Os { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What an operator should know of a capture that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// All interfaces at once.
    Any,
    /// A bridge.
    Bridge,
    /// A link type that is not decoded.
    LinkType(LinkType),
    /// A link type for which libpcap cannot compile the filter: everything is captured, and the user's filter is not
    /// applied.
    Unfiltered(LinkType),
    /// The filter could not be tested.
    Untested(LinkType),
    /// A user's filter that drops fragments of messages which it accepts whole.
    DropsFragments,
    /// A filter of so many instructions that the kernel does not take it.
    FilterLength(usize),
    /// Several handles, and IPv6 fragments.
    Ipv6Fragments,
    /// An attached XDP program that was allowed.
    Xdp(Xdp),
    /// Whether an XDP program is attached could not be learnt.
    XdpUnknown,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::Any => f.write_str(
                "the interface any shows a frame once for each interface that it passes: bridged, forwarded and VLAN \
                 traffic is counted twice or more",
            ),
            Warning::Bridge => f.write_str(
                "a bridge shows its ports' frames: do not capture at those as well, or they are counted twice",
            ),
            Warning::LinkType(link_type) => {
                write!(f, "frames of link type {} are not decoded", link_type_name(*link_type))
            }
            Warning::Unfiltered(link_type) => write!(
                f,
                "libpcap has no filter for link type {}: all frames are captured",
                link_type_name(*link_type)
            ),
            Warning::Untested(link_type) => write!(
                f,
                "the filter could not be tested for link type {}",
                link_type_name(*link_type)
            ),
            Warning::DropsFragments => f.write_str(
                "your filter drops fragments of messages that it accepts whole: only a message's first fragment has \
                 ports; filter by hosts and nets, and leave ports to the DNS ports",
            ),
            Warning::FilterLength(instructions) => write!(
                f,
                "the filter has {instructions} instructions, more than the kernel takes: all traffic is copied to the \
                 ring and filtered there"
            ),
            Warning::Ipv6Fragments => f.write_str(
                "several capture threads: a fragmented IPv6 response may reach another thread than its query",
            ),
            Warning::Xdp(xdp) => write!(f, "{xdp}: it may hide traffic, coverage is unknown"),
            Warning::XdpUnknown => {
                f.write_str("whether an XDP program hides traffic is unknown, and so is coverage")
            }
        }
    }
}
