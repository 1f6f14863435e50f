//! The filter that the kernel applies, which lets through what can be DNS and nothing else.
//!
//! That is UDP and TCP on the DNS ports, and what has no ports to be seen but may belong to it: IPv4 fragments behind
//! the first, and IPv6 packets whose first extension header is one that DNS can stand behind, fragments above all.
//! All of that plain, behind one VLAN tag (802.1Q) and behind two (QinQ). A filter that says `port 53` alone, as most
//! that people write do, loses the greater part of every large response, and every frame that has a tag when it
//! reaches the filter.
//!
//! # The user's filter
//!
//! It is joined with `and` inside each of the three layers, because libpcap's keyword `vlan` moves all that is behind
//! it by one tag: so `net 192.0.2.0/24` means the same behind a tag as without one. A filter of hosts and nets lets
//! their fragments through, because each fragment has the addresses; one that speaks of ports (or of lengths, or of
//! DNS octets) does not, and a [`Warning`] says so. A filter that names a layer itself (`vlan 100 and host h`) stands
//! in front of ours, which then looks inside of that layer. libpcap moves on at `not vlan` as well, so that this one
//! lets nothing through.
//!
//! # The golden frames
//!
//! What was compiled is tried before the first frame is captured, with frames made for it (`golden`), each in all the
//! shapes that the kernel shows: a tag in the frame, as it is sent, and a tag beside it, as it is received. For the
//! latter the program asks the kernel and cannot be run by libpcap's own `pcap_offline_filter`, which knows of no tag
//! and rejects; so `machine` runs it.
//!
//! - Our part alone must let all DNS through and what is not DNS not: else [`FilterDefect`], and nothing is captured.
//! - With the user's filter nothing *must* pass, because golden frames are not of the user's hosts. But the constants
//!   in the compiled filter are tried as addresses: if a frame then passes whole and not as a fragment, that is proof
//!   that the filter drops fragments. That none is found proves nothing, for a filter may be as odd as it likes.
//!
//! # Cooked link types
//!
//! On the interface `any` libpcap has no keyword `vlan`. Of a tagged frame the kernel has taken the (outer) tag off,
//! so that it looks plain; one that still has a tag (QinQ, or sent with it) passes unseen, and is counted by decoding
//! as what it is. A user's filter sees only the outermost layer there.

mod check;
mod golden;
mod machine;

use std::fmt;
use std::fmt::Write as _;

use lowtide_proto::LinkType;
use pcap::{Activated, Capture, Linktype};

use super::{LiveError, Warning};

/// Ethernet, the only link type whose frames may have tags.
const ETHERNET: LinkType = LinkType(1);
const SLL: LinkType = LinkType(113);
const SLL2: LinkType = LinkType(276);

/// A filter that was compiled and tested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// What is to be set, optimized; none where libpcap has no filter for the link type.
    pub expression: Option<String>,
    /// What an operator should know of it.
    pub warnings: Vec<Warning>,
}

impl Filter {
    /// Makes the filter for the link type of `handle`, and tests it. `ports` are DNS ports beside 53.
    ///
    /// # Errors
    /// The user's filter is wrong; or ours does not do what it should.
    pub fn new<T: Activated + ?Sized>(
        handle: &Capture<T>,
        ports: &[u16],
        user: Option<&str>,
    ) -> Result<Self, LiveError> {
        let link_type = link_type(handle.get_datalink());
        let mut warnings = Vec::new();
        let wrong = |error: pcap::Error| LiveError::Filter {
            filter: user.unwrap_or_default().to_owned(),
            message: message(error),
        };
        // By itself first: so that the message is about what the user wrote, and no parenthesis in it closes ours.
        let users_own = user.map(|user| handle.compile(user, false).map_err(wrong)).transpose()?;
        let ours = expression(ports, None, link_type);
        let Ok(program) = handle.compile(&ours, true) else {
            warnings.push(Warning::Unfiltered(link_type));
            return Ok(Self { expression: user.map(str::to_owned), warnings });
        };
        let defect = |defect, expression| LiveError::FilterDefect { defect, expression, link_type };
        let tested = check::dns_passes(&program, ports, link_type).map_err(|d| defect(d, ours.clone()))?;
        if !tested {
            warnings.push(Warning::Untested(link_type));
        }
        let Some((user, users_own)) = user.zip(users_own) else {
            length(&program, &mut warnings);
            return Ok(Self { expression: Some(ours), warnings });
        };
        let expression = expression(ports, Some(user), link_type);
        let program = handle.compile(&expression, true).map_err(wrong)?;
        if tested && check::drops_fragments(&program, &users_own, ports, link_type) {
            warnings.push(Warning::DropsFragments);
        }
        length(&program, &mut warnings);
        Ok(Self { expression: Some(expression), warnings })
    }
}

/// Whether a user's filter can be compiled for Ethernet, for which no interface is needed; what may be new to an
/// interface of another type is found when it is opened.
///
/// # Errors
/// The filter, and what libpcap says of it.
pub fn syntax(user: &str) -> Result<(), LiveError> {
    let wrong = |error: pcap::Error| LiveError::Filter { filter: user.to_owned(), message: message(error) };
    Filter::new(&Capture::dead(Linktype::ETHERNET).map_err(wrong)?, &[], Some(user)).map(drop)
}

/// What our part of a filter does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterDefect {
    /// It drops DNS: which frame, and in which shape.
    Drops(&'static str, &'static str),
    /// It lets through what is not DNS.
    Passes(&'static str, &'static str),
}

impl fmt::Display for FilterDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilterDefect::Drops(frame, shape) => write!(f, "drops {frame} ({shape})"),
            FilterDefect::Passes(frame, shape) => write!(f, "lets {frame} through ({shape})"),
        }
    }
}

/// The filter for DNS on port 53 and `ports`, joined with the user's, in libpcap's language.
pub fn expression(ports: &[u16], user: Option<&str>, link_type: LinkType) -> String {
    let mut dns = String::from("((udp or tcp) and (port 53");
    for port in all_ports(ports).skip(1) {
        let _ = write!(dns, " or port {port}");
    }
    dns.push_str(")) or ip[6:2] & 0x1fff != 0");
    for next in EXTENSIONS {
        let _ = write!(dns, " or ip6[6] = {next}");
    }
    if link_type == SLL || link_type == SLL2 {
        for tag in TAGS {
            let _ = write!(dns, " or ether proto {tag:#x}");
        }
    }
    // A second `vlan` stands for two tags, because the first has moved what is behind it.
    let layers = |layer: &str| {
        if link_type == ETHERNET {
            format!("({layer}) or (vlan and ({layer})) or (vlan and ({layer}))")
        } else {
            layer.to_owned()
        }
    };
    match user {
        None => layers(&dns),
        Some(user) if names(user, &["mpls", "pppoed", "pppoes", "geneve"]) => format!("({user}) and ({dns})"),
        Some(user) if names(user, &["vlan"]) => format!("({user}) and ({})", layers(&dns)),
        Some(user) => layers(&format!("({dns}) and ({user})")),
    }
}

/// Headers that may stand between IPv6 and DNS: hop-by-hop options, routing, fragment, authentication, destination
/// options, mobility, HIP, shim6. Little else comes behind them (MLD does), so that it costs next to nothing to let
/// all pass.
const EXTENSIONS: [u8; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

/// EtherTypes of VLAN tags: 802.1Q, 802.1ad, and what was used before that.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// Port 53 first, each port once.
fn all_ports(ports: &[u16]) -> impl Iterator<Item = u16> {
    let mut more: Vec<u16> = ports.iter().copied().filter(|port| *port != 53).collect();
    more.sort_unstable();
    more.dedup();
    std::iter::once(53).chain(more)
}

fn names(filter: &str, keywords: &[&str]) -> bool {
    filter.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| keywords.contains(&word))
}

/// The link type that files and decoding know, of one that libpcap knows. They differ where BSDs disagree about
/// numbers.
pub(super) fn link_type(of: Linktype) -> LinkType {
    LinkType(match of.0 {
        11 => 100,      // DLT_ATM_RFC1483
        12 | 14 => 101, // DLT_RAW, also OpenBSD's
        13 => 102,      // DLT_SLIP_BSDOS
        16 => 103,      // DLT_PPP_BSDOS
        18 => 117,      // DLT_PFSYNC of some; PFLOG is 117 everywhere
        other => u16::try_from(other).unwrap_or(u16::MAX),
    })
}

/// libpcap's message, without the crate's prefix.
pub(super) fn message(error: pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(message) => message,
        other => other.to_string(),
    }
}

fn length(program: &pcap::BpfProgram, warnings: &mut Vec<Warning>) {
    /// `BPF_MAXINSNS`.
    const MOST: usize = 4096;
    let instructions = program.get_instructions().len();
    if instructions > MOST {
        warnings.push(Warning::FilterLength(instructions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_stands_in_each_layer() {
        let user = expression(&[853, 53, 853], Some("net 192.0.2.0/24"), ETHERNET);
        assert_eq!(user.matches("(net 192.0.2.0/24)").count(), 3, "{user}");
        assert_eq!(user.matches("(port 53 or port 853)").count(), 3, "{user}");
        let vlan = expression(&[], Some("vlan 7 and host 192.0.2.1"), ETHERNET);
        assert!(vlan.starts_with("(vlan 7 and host 192.0.2.1) and ("), "{vlan}");
        assert!(!expression(&[], None, SLL).contains("vlan"));
    }

    #[test]
    fn what_the_user_wrote_is_checked_by_itself() {
        assert!(syntax("host 192.0.2.1").is_ok());
        for wrong in ["host 192.0.2.1) or (udp", "prot 53", "port", ") or ("] {
            match syntax(wrong) {
                Err(LiveError::Filter { filter, message }) => {
                    assert_eq!(filter, wrong);
                    assert!(message.contains("syntax error") || message.contains("parse"), "{message}");
                }
                other => panic!("{wrong}: {other:?}"),
            }
        }
    }
}
