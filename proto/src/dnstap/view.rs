//! The dnstap envelope read by hand: one pass over the protobuf, nothing copied.

use std::fmt;
use std::num::NonZeroU32;

use crate::{Cursor, Short, Timestamp};

/// One dnstap data frame, borrowed from where it was read.
#[derive(Clone, Copy, Debug)]
pub struct DnstapFrame<'a> {
    /// The time of the message; that of the frame before it where the message says none.
    pub time: Timestamp,
    /// The whole frame.
    pub octets: &'a [u8],
    /// What the frame says, or why it cannot be read.
    pub view: Result<View<'a>, EnvelopeError>,
}

impl<'a> DnstapFrame<'a> {
    /// Reads a frame; `before` is the time of the frame before it.
    pub fn parse(octets: &'a [u8], before: Timestamp) -> Self {
        let view = View::parse(octets);
        let time = view.ok().and_then(|view| view.time()).unwrap_or(before);
        Self { time, octets, view }
    }
}

/// Why a dnstap frame is not the protobuf message it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeError {
    /// A field runs past the end of the frame or of the message that holds it.
    Short,
    /// A variable-length integer has more than 64 bits.
    Varint,
    /// A field number is 0 or has more than 29 bits.
    FieldNumber,
    /// A wire type that does not exist, or not the one that the field has in `dnstap.proto`.
    WireType,
    /// A group is closed that was not opened, or opened and not closed.
    Group,
}

impl EnvelopeError {
    /// What is wrong, in a few words.
    pub const fn as_str(self) -> &'static str {
        match self {
            EnvelopeError::Short => "a field runs past the end",
            EnvelopeError::Varint => "an integer has more than 64 bits",
            EnvelopeError::FieldNumber => "a field number is out of range",
            EnvelopeError::WireType => "a field has the wrong wire type",
            EnvelopeError::Group => "a group is not balanced",
        }
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::error::Error for EnvelopeError {}

impl From<Short> for EnvelopeError {
    #[inline]
    fn from(_: Short) -> Self {
        EnvelopeError::Short
    }
}

/// The fields of a `Dnstap` and its `Message`, borrowed. A field that is not there is `None`. Numbers are as sent: an
/// unknown enumerator is not an error. Of a field that is there several times the last one counts, also across several
/// `message` fields, as protobuf wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// `Dnstap.type`; 1 is `MESSAGE`.
    pub payload_type: Option<i32>,
    /// The server's identity, as it names itself.
    pub identity: Option<&'a [u8]>,
    /// The server's version.
    pub version: Option<&'a [u8]>,
    /// Whether `Dnstap.extra` is there.
    pub has_extra: bool,
    /// Whether `Dnstap.message` is there.
    pub has_message: bool,
    /// `Message.type`: 1 `AUTH_QUERY` to 14 `UPDATE_RESPONSE`.
    pub message_type: Option<i32>,
    /// 1 INET, 2 INET6.
    pub socket_family: Option<i32>,
    /// 1 UDP, 2 TCP, 3 DOT, 4 DOH, 5 DNSCryptUDP, 6 DNSCryptTCP, 7 DOQ.
    pub socket_protocol: Option<i32>,
    /// The initiator's address.
    pub query_address: Option<&'a [u8]>,
    /// The responder's address.
    pub response_address: Option<&'a [u8]>,
    /// The initiator's port.
    pub query_port: Option<u32>,
    /// The responder's port.
    pub response_port: Option<u32>,
    /// When the query was sent or received; missing nanoseconds are 0.
    pub query_time: Option<Timestamp>,
    /// When the response was sent or received; missing nanoseconds are 0.
    pub response_time: Option<Timestamp>,
    /// The query in wire form.
    pub query_message: Option<&'a [u8]>,
    /// The response in wire form.
    pub response_message: Option<&'a [u8]>,
    /// The zone or bailiwick that was asked, as a name in wire form.
    pub query_zone: Option<&'a [u8]>,
    /// Whether a policy was applied.
    pub has_policy: bool,
}

impl<'a> View<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// [`EnvelopeError`] where the frame is not a protobuf message, or not of this schema.
    pub fn parse(octets: &'a [u8]) -> Result<Self, EnvelopeError> {
        let mut layout = Layout::default();
        layout.read(octets)?;
        Ok(layout.view(octets))
    }

    /// Whether the message type is one of the responses; `None` when there is no message of a known type.
    #[inline]
    pub const fn is_response(&self) -> Option<bool> {
        is_response(self.message_type)
    }

    /// The moment of the event: a response's `response_time`, a query's `query_time`, else the other of the two.
    #[inline]
    pub fn time(&self) -> Option<Timestamp> {
        event_time(self.message_type, self.query_time, self.response_time)
    }
}

const fn is_response(message_type: Option<i32>) -> Option<bool> {
    match message_type {
        Some(number @ 1..=14) => Some(number % 2 == 0),
        _ => None,
    }
}

fn event_time(
    message_type: Option<i32>,
    query_time: Option<Timestamp>,
    response_time: Option<Timestamp>,
) -> Option<Timestamp> {
    match is_response(message_type) {
        Some(true) => response_time.or(query_time),
        _ => query_time.or(response_time),
    }
}

/// Where a field's octets stand in the frame.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// Behind its last octet; never 0, as a key and a length stand in front.
    end: NonZeroU32,
    len: u32,
}

/// What [`View`] shows, without the borrow: a reader that has to look ahead keeps it beside its buffer and makes the
/// view when the frame's turn has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout {
    payload_type: Option<i32>,
    identity: Option<Span>,
    version: Option<Span>,
    has_extra: bool,
    has_message: bool,
    message_type: Option<i32>,
    socket_family: Option<i32>,
    socket_protocol: Option<i32>,
    query_address: Option<Span>,
    response_address: Option<Span>,
    query_port: Option<u32>,
    response_port: Option<u32>,
    query_seconds: Option<u64>,
    query_nanos: u32,
    response_seconds: Option<u64>,
    response_nanos: u32,
    query_message: Option<Span>,
    response_message: Option<Span>,
    query_zone: Option<Span>,
    has_policy: bool,
}

impl Layout {
    /// Reads a frame in the place of the one before it.
    ///
    /// # Errors
    /// [`EnvelopeError`] where the frame is not a protobuf message, or not of this schema; what was read up to there
    /// is of no use.
    pub fn read(&mut self, octets: &[u8]) -> Result<(), EnvelopeError> {
        *self = Self::default();
        let mut wire = Wire { cursor: Cursor::new(octets), end: octets.len() };
        while !wire.cursor.is_empty() {
            match wire.key()? {
                (1, LEN) => self.identity = Some(wire.span()?),
                (2, LEN) => self.version = Some(wire.span()?),
                (3, LEN) => {
                    wire.span()?;
                    self.has_extra = true;
                }
                (14, LEN) => {
                    let message = wire.message()?;
                    self.has_message = true;
                    self.read_message(message)?;
                }
                (15, VARINT) => self.payload_type = Some(wire.int32()?),
                (1..=3 | 14 | 15, _) => return Err(EnvelopeError::WireType),
                (_, wire_type) => wire.skip(wire_type)?,
            }
        }
        Ok(())
    }

    fn read_message(&mut self, mut wire: Wire<'_>) -> Result<(), EnvelopeError> {
        while !wire.cursor.is_empty() {
            match wire.key()? {
                (1, VARINT) => self.message_type = Some(wire.int32()?),
                (2, VARINT) => self.socket_family = Some(wire.int32()?),
                (3, VARINT) => self.socket_protocol = Some(wire.int32()?),
                (4, LEN) => self.query_address = Some(wire.span()?),
                (5, LEN) => self.response_address = Some(wire.span()?),
                (6, VARINT) => self.query_port = Some(wire.uint32()?),
                (7, VARINT) => self.response_port = Some(wire.uint32()?),
                (8, VARINT) => self.query_seconds = Some(wire.varint()?),
                (9, I32) => self.query_nanos = wire.fixed32()?,
                (10, LEN) => self.query_message = Some(wire.span()?),
                (11, LEN) => self.query_zone = Some(wire.span()?),
                (12, VARINT) => self.response_seconds = Some(wire.varint()?),
                (13, I32) => self.response_nanos = wire.fixed32()?,
                (14, LEN) => self.response_message = Some(wire.span()?),
                (15, LEN) => {
                    wire.span()?;
                    self.has_policy = true;
                }
                (1..=15, _) => return Err(EnvelopeError::WireType),
                (_, wire_type) => wire.skip(wire_type)?,
            }
        }
        Ok(())
    }

    /// The moment of the event, as [`View::time`] gives it.
    #[inline]
    pub fn time(&self) -> Option<Timestamp> {
        event_time(self.message_type, self.query_time(), self.response_time())
    }

    /// The fields of the frame that this layout was read from.
    #[inline]
    pub fn view<'a>(&self, octets: &'a [u8]) -> View<'a> {
        // Octets other than those that were read would give other slices, or none; never a panic.
        let slice = |span: Option<Span>| {
            let Span { end, len } = span?;
            octets.get((end.get() - len) as usize..end.get() as usize)
        };
        View {
            payload_type: self.payload_type,
            identity: slice(self.identity),
            version: slice(self.version),
            has_extra: self.has_extra,
            has_message: self.has_message,
            message_type: self.message_type,
            socket_family: self.socket_family,
            socket_protocol: self.socket_protocol,
            query_address: slice(self.query_address),
            response_address: slice(self.response_address),
            query_port: self.query_port,
            response_port: self.response_port,
            query_time: self.query_time(),
            response_time: self.response_time(),
            query_message: slice(self.query_message),
            response_message: slice(self.response_message),
            query_zone: slice(self.query_zone),
            has_policy: self.has_policy,
        }
    }

    #[inline]
    fn query_time(&self) -> Option<Timestamp> {
        self.query_seconds.map(|seconds| Timestamp::new(seconds, u64::from(self.query_nanos)))
    }

    #[inline]
    fn response_time(&self) -> Option<Timestamp> {
        self.response_seconds.map(|seconds| Timestamp::new(seconds, u64::from(self.response_nanos)))
    }
}

// Wire types (<https://protobuf.dev/programming-guides/encoding/#structure>).
const VARINT: u8 = 0;
const I64: u8 = 1;
const LEN: u8 = 2;
const GROUP: u8 = 3;
const GROUP_END: u8 = 4;
const I32: u8 = 5;

/// A protobuf message that is being read, and where in the frame it ends.
struct Wire<'a> {
    cursor: Cursor<'a>,
    end: usize,
}

impl Wire<'_> {
    /// A field's number and wire type.
    #[inline(always)]
    fn key(&mut self) -> Result<(u32, u8), EnvelopeError> {
        let key = self.varint()?;
        match u32::try_from(key >> 3) {
            Ok(number @ 1..=0x1fff_ffff) => Ok((number, (key & 7) as u8)),
            _ => Err(EnvelopeError::FieldNumber),
        }
    }

    #[inline(always)]
    fn varint(&mut self) -> Result<u64, EnvelopeError> {
        let first = self.cursor.u8()?;
        if first < 0x80 { Ok(u64::from(first)) } else { self.long_varint(first) }
    }

    fn long_varint(&mut self, first: u8) -> Result<u64, EnvelopeError> {
        let mut value = u64::from(first & 0x7f);
        for shift in (7..63).step_by(7) {
            let octet = self.cursor.u8()?;
            value |= u64::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                return Ok(value);
            }
        }
        match self.cursor.u8()? {
            last @ 0..=1 => Ok(value | u64::from(last) << 63),
            _ => Err(EnvelopeError::Varint),
        }
    }

    /// An enumerator: protobuf sends 64 bits and means the lower 32.
    #[inline]
    fn int32(&mut self) -> Result<i32, EnvelopeError> {
        self.varint().map(|value| value as i32)
    }

    #[inline]
    fn uint32(&mut self) -> Result<u32, EnvelopeError> {
        self.varint().map(|value| value as u32)
    }

    #[inline]
    fn fixed32(&mut self) -> Result<u32, EnvelopeError> {
        Ok(u32::from_le_bytes(self.cursor.take_array()?))
    }

    #[inline]
    fn length(&mut self) -> Result<usize, EnvelopeError> {
        usize::try_from(self.varint()?).map_err(|_| EnvelopeError::Short)
    }

    #[inline(always)]
    fn span(&mut self) -> Result<Span, EnvelopeError> {
        let len = self.length()?;
        self.cursor.skip(len)?;
        // No frame has 4 GiB (see `frame_streams::MAX_FRAME`); one that had could not be shown.
        let end = u32::try_from(self.end - self.cursor.len()).ok().and_then(NonZeroU32::new);
        Ok(Span { end: end.ok_or(EnvelopeError::Short)?, len: len as u32 })
    }

    #[inline]
    fn message(&mut self) -> Result<Self, EnvelopeError> {
        let len = self.length()?;
        let cursor = self.cursor.sub(len)?;
        Ok(Self { cursor, end: self.end - self.cursor.len() })
    }

    /// Passes over an unknown field. Groups nest without end in hostile input: they are counted, not recursed into,
    /// and which number closes which group is not looked at.
    #[cold]
    fn skip(&mut self, wire_type: u8) -> Result<(), EnvelopeError> {
        let mut wire_type = wire_type;
        let mut depth = 0_usize;
        loop {
            match wire_type {
                VARINT => {
                    self.varint()?;
                }
                I64 => self.cursor.skip(8)?,
                LEN => {
                    self.span()?;
                }
                I32 => self.cursor.skip(4)?,
                GROUP => depth += 1,
                GROUP_END => depth = depth.checked_sub(1).ok_or(EnvelopeError::Group)?,
                _ => return Err(EnvelopeError::WireType),
            }
            if depth == 0 {
                return Ok(());
            }
            if self.cursor.is_empty() {
                return Err(EnvelopeError::Group);
            }
            wire_type = self.key()?.1;
        }
    }
}
