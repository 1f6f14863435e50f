//! What the kernel says of an interface, by rtnetlink.
//!
//! Neither sysfs nor `SIOCGIFFLAGS`: sysfs shows the network namespace of who mounted it, a sandbox may hide it, and
//! neither tells of XDP. The socket is opened once and kept, so that it goes on working when privileges are dropped.

use std::fmt;
use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp, XdpAttached,
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::ANY;

/// Whether an XDP program is attached to an interface, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xdp {
    /// None is.
    None,
    /// In the driver.
    Driver,
    /// In the network stack ("generic", "skb"). Even there it runs before any capture.
    Generic,
    /// In the network card.
    Hardware,
    /// In more than one of these places.
    Several,
    /// In a place that is not known here.
    Other,
}

impl Xdp {
    /// Whether one is attached, so that traffic may be hidden.
    pub fn is_attached(self) -> bool {
        self != Xdp::None
    }
}

impl fmt::Display for Xdp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Xdp::None => f.write_str("no XDP program is attached"),
            Xdp::Driver => f.write_str("an XDP program is attached (driver)"),
            Xdp::Generic => f.write_str("an XDP program is attached (generic)"),
            Xdp::Hardware => f.write_str("an XDP program is attached (hardware)"),
            Xdp::Several => f.write_str("several XDP programs are attached"),
            Xdp::Other => f.write_str("an XDP program is attached (in an unknown way)"),
        }
    }
}

/// Whether an XDP program is attached to `interface`, or to any one for [`ANY`].
///
/// # Errors
/// The kernel does not say: then it is unknown, which is not the same as none.
pub fn xdp(interface: &str) -> io::Result<Xdp> {
    Links::open()?.xdp(interface)
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) name: String,
    /// The kernel's number of it; another interface of the same name has another.
    pub(super) index: u32,
    pub(super) up: bool,
    pub(super) bridge: bool,
    pub(super) xdp: Xdp,
    /// Frames lost by the network card or its driver, as libpcap counts them: `rx_missed_errors` and
    /// `rx_fifo_errors`. `rx_dropped` is not among them: it holds frames that captures have seen.
    pub(super) dropped: u64,
}

/// Asks the kernel for interfaces of the network namespace in which it was opened.
pub(super) struct Links {
    socket: Socket,
    sequence: u32,
}

impl Links {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // The kernel has answered when the request was sent; a read that finds nothing must not wait for ever.
        socket.set_non_blocking(true)?;
        Ok(Self { socket, sequence: 0 })
    }

    /// One interface; none when there is no such.
    pub(super) fn find(&mut self, name: &str) -> io::Result<Option<Link>> {
        let mut request = LinkMessage::default();
        request.attributes.push(LinkAttribute::IfName(name.to_owned()));
        let found = self.ask(request, NLM_F_REQUEST);
        match found {
            // EINVAL: a name that no interface can have, because it is empty or too long.
            Err(error)
                if matches!(error.raw_os_error(), Some(libc::ENODEV | libc::EINVAL | libc::ERANGE)) =>
            {
                Ok(None)
            }
            other => Ok(other?.into_iter().next()),
        }
    }

    /// All of them.
    pub(super) fn all(&mut self) -> io::Result<Vec<Link>> {
        self.ask(LinkMessage::default(), NLM_F_REQUEST | NLM_F_DUMP)
    }

    /// Those that a capture at `interface` sees: that one, or all.
    pub(super) fn seen_by(&mut self, interface: &str) -> io::Result<Vec<Link>> {
        if interface == ANY { self.all() } else { Ok(self.find(interface)?.into_iter().collect()) }
    }

    pub(super) fn xdp(&mut self, interface: &str) -> io::Result<Xdp> {
        let links = self.seen_by(interface)?;
        if links.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        Ok(links.iter().map(|link| link.xdp).find(|xdp| xdp.is_attached()).unwrap_or(Xdp::None))
    }

    fn ask(&mut self, request: LinkMessage, flags: u16) -> io::Result<Vec<Link>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message =
            NetlinkMessage::new(header, NetlinkPayload::from(RouteNetlinkMessage::GetLink(request)));
        message.finalize();
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        self.socket.send(&octets, 0)?;

        let mut links = Vec::new();
        loop {
            let (octets, _) = self.socket.recv_from_full()?;
            if answer(&octets, self.sequence, &mut links)? || flags & NLM_F_DUMP == 0 {
                return Ok(links);
            }
        }
    }
}

/// Takes the interfaces out of one datagram of an answer; whether it ends the answer.
fn answer(mut octets: &[u8], sequence: u32, links: &mut Vec<Link>) -> io::Result<bool> {
    while !octets.is_empty() {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(octets)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).next_multiple_of(4);
        octets = octets.get(length.max(16)..).unwrap_or_default();
        if message.header.sequence_number != sequence {
            // The rest of an answer that was given up at an error.
            continue;
        }
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(message)) => links.push(link(message)),
            NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
            NetlinkPayload::Done(_) => return Ok(true),
            _ => {}
        }
    }
    Ok(false)
}

fn link(message: LinkMessage) -> Link {
    let mut link = Link {
        name: String::new(),
        index: message.header.index,
        up: message.header.flags.contains(LinkFlags::Up),
        bridge: false,
        xdp: Xdp::None,
        dropped: 0,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::LinkInfo(infos) => {
                link.bridge = infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Bridge)));
            }
            LinkAttribute::Xdp(attributes) => {
                for attribute in attributes {
                    if let LinkXdp::Attached(attached) = attribute {
                        link.xdp = match attached {
                            XdpAttached::None => Xdp::None,
                            XdpAttached::Driver => Xdp::Driver,
                            XdpAttached::SocketBuffer => Xdp::Generic,
                            XdpAttached::Hardware => Xdp::Hardware,
                            XdpAttached::Multiple => Xdp::Several,
                            _ => Xdp::Other,
                        };
                    }
                }
            }
            LinkAttribute::Stats64(stats) => {
                link.dropped = stats.rx_missed_errors.saturating_add(stats.rx_fifo_errors);
            }
            _ => {}
        }
    }
    link
}
