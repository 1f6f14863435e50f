//! The dispatcher: from a frame to observations, with exactly one fate for each frame.

use lowtide_proto::dnstap::{DnstapFrame, View};
use lowtide_proto::{Endpoint, Facts, Malformed, NameBuf, Observation, Packet, Role, Transport};

use crate::layers::{FragmentLimits, Layers, Reassembly};
use crate::tcp::{StreamCounters, StreamLimits, StreamMessage, Streams};
use crate::{Defect, Fate, Ports, Unit, dns};

/// `Dnstap.Type` of a frame that holds a message; there is no other so far.
const DNSTAP_MESSAGE: i32 = 1;

/// Where observations go.
pub trait Sink {
    /// Takes a message. It borrows from the frame and is gone after the call.
    fn observe(&mut self, observation: &Observation<'_>);
}

/// The bounds of a [`Decoder`].
#[derive(Clone, Debug, Default)]
pub struct DecoderLimits {
    /// Of IP fragments.
    pub fragments: FragmentLimits,
    /// Of TCP streams.
    pub streams: StreamLimits,
}

/// Frames by fate, and malformed ones by defect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameCounts {
    fates: [u64; Fate::ALL.len()],
    defects: [u64; Defect::ALL.len()],
}

impl FrameCounts {
    /// Fates with their counts, in the order of [`Fate::ALL`].
    pub fn fates(&self) -> impl Iterator<Item = (Fate, u64)> {
        Fate::ALL.into_iter().zip(self.fates)
    }

    /// How many frames had this fate.
    #[inline]
    pub fn of(&self, fate: Fate) -> u64 {
        self.fates.get(fate as usize).copied().unwrap_or_default()
    }

    /// Frames of which nobody knows whether there is a message in them: too short (snap length), or of an unknown link type.
    #[inline]
    pub fn unreadable(&self) -> u64 {
        self.of(Fate::Truncated) + self.of(Fate::UnknownLinkType)
    }

    /// Defects of malformed frames with their counts, in the order of [`Defect::ALL`].
    pub fn defects(&self) -> impl Iterator<Item = (Defect, u64)> {
        Defect::ALL.into_iter().zip(self.defects)
    }

    #[inline]
    fn count(&mut self, fate: Fate) {
        if let Some(counter) = self.fates.get_mut(fate as usize) {
            *counter += 1;
        }
    }

    #[cold]
    fn count_defect(&mut self, defect: Defect) {
        self.count(Fate::Malformed);
        if let Some(counter) = self.defects.get_mut(defect as usize) {
            *counter += 1;
        }
    }
}

/// Decodes the frames of one source, in their order.
pub struct Decoder {
    layers: Layers,
    streams: Streams,
    counts: FrameCounts,
    qname: NameBuf,
}

impl Decoder {
    /// A decoder that looks for DNS on `ports`.
    pub fn new(ports: Ports, limits: DecoderLimits) -> Self {
        Self {
            layers: Layers::new(ports, limits.fragments),
            streams: Streams::new(limits.streams),
            counts: FrameCounts::default(),
            qname: NameBuf::new(),
        }
    }

    /// Where the frames ended.
    pub const fn counts(&self) -> &FrameCounts {
        &self.counts
    }

    /// What became of fragmented datagrams.
    pub fn fragments(&self) -> Reassembly {
        self.layers.reassembly()
    }

    /// What happened in TCP streams.
    pub const fn streams(&self) -> &StreamCounters {
        self.streams.counters()
    }

    /// Takes a captured packet.
    #[inline]
    pub fn packet(&mut self, packet: &Packet<'_>, sink: &mut impl Sink) {
        let peeled = match self.layers.peel(packet) {
            Ok(peeled) => peeled,
            Err(stop) => {
                match stop.defect {
                    Some(defect) => self.counts.count_defect(defect),
                    None => self.counts.count(stop.fate),
                }
                return;
            }
        };
        match peeled.unit {
            Unit::Udp(udp) => {
                let mut message = dns::read(udp.payload, udp.wire_len, &mut self.qname);
                let Some(message) = &mut message else {
                    // Too short for a header: the snap length's fault, or the sender's.
                    if peeled.reassembled {
                        self.counts.count(Fate::IpFragment);
                    } else if (udp.payload.len() as u64) < u64::from(udp.wire_len) {
                        self.counts.count(Fate::Truncated);
                    } else {
                        self.counts.count_defect(Defect::DnsHeader);
                    }
                    return;
                };
                self.counts.count(if peeled.reassembled { Fate::IpFragment } else { Fate::UdpMessage });
                message.facts.set(Facts::TIME_UNKNOWN, !packet.time_known);
                let (client, server) = ends(udp.source, udp.destination, message.is_response);
                sink.observe(&Observation {
                    time: packet.time,
                    own_latency: None,
                    role: Role::Wire,
                    transport: Transport::Udp,
                    client,
                    server,
                    message,
                });
            }
            Unit::Tcp(segment) => {
                self.counts.count(if peeled.reassembled { Fate::IpFragment } else { Fate::TcpSegment });
                let (qname, time_known) = (&mut self.qname, packet.time_known);
                self.streams.segment(packet.time, &segment, &mut |message| {
                    stream_message(&message, time_known, qname, sink);
                });
            }
        }
    }

    /// Takes a dnstap frame.
    pub fn dnstap(&mut self, frame: &DnstapFrame<'_>, sink: &mut impl Sink) {
        let Ok(view) = &frame.view else {
            self.counts.count_defect(Defect::Dnstap);
            return;
        };
        let role = view.message_type.filter(|_| view.payload_type == Some(DNSTAP_MESSAGE)).and_then(role_of);
        let message = match role {
            Some((_, true)) => view.response_message,
            Some((_, false)) => view.query_message,
            None => None,
        };
        let (Some((role, is_response)), Some(octets)) = (role, message) else {
            self.counts.count(Fate::DnstapOther);
            return;
        };
        let Some(mut message) = dns::read(octets, octets.len() as u32, &mut self.qname) else {
            self.counts.count_defect(Defect::DnsHeader);
            return;
        };
        self.counts.count(Fate::DnstapMessage);
        if message.is_response != is_response {
            // What the server did counts: it received this as a query, or sent it as a response.
            message.is_response = is_response;
            message.malformed = message.malformed.or(Some(Malformed::Direction));
        }
        message.facts.set(Facts::TIME_UNKNOWN, view.time().is_none());
        let own_latency = match (view.query_time, view.response_time) {
            (Some(asked), Some(answered)) if is_response => Some(answered.since(asked)),
            _ => None,
        };
        let query_port = match role {
            // Not to be had: Unbound names in a response the port of whichever query used its socket last, or 0, and BIND
            // may name 0. The id and the name are left to tell transactions apart, and a resolver makes ids at random.
            Role::Resolver | Role::Forwarder => None,
            _ => view.query_port,
        };
        sink.observe(&Observation {
            time: frame.time,
            own_latency,
            role,
            transport: transport(view),
            client: endpoint(view, view.query_address, query_port),
            server: endpoint(view, view.response_address, view.response_port),
            message: &message,
        });
    }

    /// Ends the data: what streams still hold is said.
    pub fn finish(&mut self, sink: &mut impl Sink) {
        let qname = &mut self.qname;
        self.streams.finish(&mut |message| stream_message(&message, true, qname, sink));
    }
}

/// Client and server of a message: the QR bit tells who asks.
#[inline]
const fn ends(source: Endpoint, destination: Endpoint, is_response: bool) -> (Endpoint, Endpoint) {
    if is_response { (destination, source) } else { (source, destination) }
}

fn stream_message(stream: &StreamMessage<'_>, time_known: bool, qname: &mut NameBuf, sink: &mut impl Sink) {
    let mut message = dns::read(stream.octets, stream.wire_len, qname);
    let Some(message) = &mut message else { return };
    message.facts.set(Facts::TIME_UNKNOWN, !time_known);
    let (client, server) = ends(stream.source, stream.destination, message.is_response);
    sink.observe(&Observation {
        time: stream.time,
        own_latency: None,
        role: Role::Wire,
        transport: Transport::Tcp,
        client,
        server,
        message,
    });
}

/// Role and direction of a dnstap `Message.Type`.
const fn role_of(message_type: i32) -> Option<(Role, bool)> {
    Some(match message_type {
        1 => (Role::Auth, false),
        2 => (Role::Auth, true),
        3 => (Role::Resolver, false),
        4 => (Role::Resolver, true),
        5 => (Role::Client, false),
        6 => (Role::Client, true),
        7 => (Role::Forwarder, false),
        8 => (Role::Forwarder, true),
        9 => (Role::Stub, false),
        10 => (Role::Stub, true),
        11 => (Role::Tool, false),
        12 => (Role::Tool, true),
        13 => (Role::Update, false),
        14 => (Role::Update, true),
        _ => return None,
    })
}

/// The transport by dnstap's `SocketProtocol`. Some servers leave it out for DoH.
const fn transport(view: &View<'_>) -> Transport {
    match view.socket_protocol {
        Some(1) => Transport::Udp,
        Some(2) => Transport::Tcp,
        Some(3) => Transport::Dot,
        Some(4) => Transport::Doh,
        Some(5) => Transport::DnscryptUdp,
        Some(6) => Transport::DnscryptTcp,
        Some(7) => Transport::Doq,
        _ => Transport::Unknown,
    }
}

/// `Message.SocketFamily` INET.
const INET: i32 = 1;

/// An endpoint by its address's length; unspecified, in the socket's family, where the address is missing or of another
/// length.
fn endpoint(view: &View<'_>, address: Option<&[u8]>, port: Option<u32>) -> Endpoint {
    let port = port.and_then(|port| u16::try_from(port).ok()).unwrap_or_default();
    let address = address.unwrap_or_default();
    if let Ok(octets) = <[u8; 4]>::try_from(address) {
        return Endpoint::v4(octets, port);
    }
    match <[u8; 16]>::try_from(address) {
        Ok(octets) => Endpoint::v6(octets, port),
        Err(_) if view.socket_family == Some(INET) => Endpoint::v4([0; 4], port),
        Err(_) => Endpoint::v6([0; 16], port),
    }
}
