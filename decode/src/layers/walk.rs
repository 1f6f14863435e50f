//! The general way through a frame, header by header.

use lowtide_proto::Packet;

use super::fragment::Fragment;
use super::ip::{self, Network, Payload};
use super::view::View;
use super::{Header, MAX_HEADERS, Stop, link, protocol, transport, tunnel, wlan};
use crate::{Defect, Ports, Unit};

/// Where the walk comes to an end.
pub(super) enum Found<'a> {
    Unit(Unit<'a>),
    Fragment(Fragment<'a>),
}

/// The way through one frame.
pub(super) struct Walk<'a> {
    view: View<'a>,
    next: Header,
    network: Network,
    /// How many headers may still come.
    left: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(packet: &Packet<'a>) -> Self {
        Self {
            view: View::new(packet.data, packet.wire_len as usize),
            next: Header::Link(packet.link_type.0),
            network: Network::default(),
            left: MAX_HEADERS,
        }
    }

    /// Goes on in a datagram that was put together from fragments.
    pub(super) fn enter(&mut self, datagram: &'a [u8], protocol: u8) {
        self.view = View::new(datagram, datagram.len());
        self.next = Header::Protocol(protocol);
    }

    /// Goes on to a datagram or segment on one of `ports`, or to a fragment.
    pub(super) fn run(&mut self, ports: &Ports) -> Result<Found<'a>, Stop> {
        let Self { view, network, .. } = self;
        let mut next = self.next;
        loop {
            self.left = self.left.checked_sub(1).ok_or(Stop::malformed(Defect::Depth))?;
            let payload = match next {
                Header::Ip => ip::header(view, network)?,
                Header::Protocol(protocol::IPV6_FRAGMENT) if network.ipv6 => ip::fragment(view, network)?,
                Header::Protocol(protocol::AUTHENTICATION) => {
                    Payload::Protocol(ip::authentication(view, network)?)
                }
                Header::Protocol(number) if network.ipv6 && protocol::is_ipv6_extension(number) => {
                    Payload::Protocol(ip::extension(view)?)
                }
                Header::Protocol(protocol::UDP) => {
                    let (source, destination) = transport::ports(view, Defect::Udp)?;
                    if ports.either(source, destination) {
                        return Ok(Found::Unit(Unit::Udp(transport::udp(view, network)?)));
                    }
                    next = tunnel::over_udp(view, source, destination)?;
                    continue;
                }
                Header::Protocol(protocol::TCP) => {
                    let (source, destination) = transport::ports(view, Defect::Tcp)?;
                    if ports.either(source, destination) {
                        return Ok(Found::Unit(Unit::Tcp(transport::tcp(view, network)?)));
                    }
                    return Err(Stop::NOT_DNS);
                }
                _ => {
                    next = below_ip(view, next)?;
                    continue;
                }
            };
            next = match payload {
                Payload::Protocol(number) => Header::Protocol(number),
                Payload::Fragment(fragment) => return Ok(Found::Fragment(fragment)),
            };
        }
    }
}

/// The headers that say nothing but which one follows.
fn below_ip(view: &mut View, header: Header) -> Result<Header, Stop> {
    match header {
        Header::Link(link_type) => link::header(view, link_type),
        Header::Skip(octets, next) => {
            view.skip(usize::from(octets), Defect::Link)?;
            Ok(*next)
        }
        Header::EtherType(octets) => {
            view.skip(usize::from(octets), Defect::Link)?;
            link::ether_type(view)
        }
        Header::Ethernet => {
            view.skip(12, Defect::Link)?;
            link::ether_type(view)
        }
        Header::Llc => link::llc(view),
        Header::Wlan(padded) => wlan::header(view, padded),
        Header::Mpls => link::mpls(view),
        Header::PppoeSession => link::pppoe_session(view),
        Header::Ppp => link::ppp(view),
        Header::Nsh => tunnel::nsh(view),
        Header::Gre => tunnel::gre(view),
        Header::Protocol(number) => protocol::tunnel(number).ok_or(Stop::NOT_DNS),
        Header::Ip => Ok(header),
    }
}
