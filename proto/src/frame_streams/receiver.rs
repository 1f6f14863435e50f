//! The receiving side of a connection.
//!
//! A sender that wants answers begins with READY, is told ACCEPT, sends START, data and STOP, and is told FINISH. One
//! that wants none (dnsdist, PowerDNS Recursor and NSD can be set so) begins with START, and often never says STOP. The
//! first control frame tells them apart, so a listener needs no setting for it.

use std::fmt;

use super::{Control, ControlFrame, CutError, DATA_HEADER, DNSTAP_CONTENT_TYPE, Piece, piece, put_control};

/// What the front of the octets means to the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// A data frame with this payload.
    Data(&'a [u8]),
    /// The sender offers dnstap and waits: send [`Receiver::put_accept`] before anything else is waited for.
    Ready,
    /// Data frames follow.
    Start,
    /// No data frame follows, and nothing else; when `finish`, the sender waits for [`Receiver::put_finish`].
    Stop {
        /// Whether the sender waits for FINISH.
        finish: bool,
    },
    /// A frame of which not everything is there: ask again with this many octets at least.
    Incomplete(usize),
}

/// Why a connection cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The octets are not Frame Streams.
    Cut(CutError),
    /// READY or START name content types, and dnstap is not among them.
    ContentType,
    /// A data frame outside of START and STOP.
    NotStarted,
    /// A control frame that this side sends, or one that does not come at this place.
    Unexpected(Control),
}

impl StreamError {
    /// The reason without its numbers, as a counter's label.
    pub const fn label(self) -> &'static str {
        match self {
            StreamError::Cut(CutError::FrameLength(_)) => "frame-length",
            StreamError::Cut(CutError::ControlFrame) => "control-frame",
            StreamError::Cut(CutError::ControlType(_)) => "control-type",
            StreamError::ContentType => "content-type",
            StreamError::NotStarted => "not-started",
            StreamError::Unexpected(_) => "unexpected-control",
        }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            StreamError::Cut(error) => error.fmt(f),
            StreamError::ContentType => f.write_str("a stream of another content than dnstap"),
            StreamError::NotStarted => f.write_str("a data frame outside of START and STOP"),
            StreamError::Unexpected(control) => write!(f, "{} where it does not belong", control.as_str()),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<CutError> for StreamError {
    fn from(error: CutError) -> Self {
        StreamError::Cut(error)
    }
}

/// Reads a stream of dnstap that is given to it piece by piece.
#[derive(Clone, Debug)]
pub struct Receiver {
    state: State,
    max_frame: usize,
    /// Whether READY came, so that STOP wants FINISH.
    is_bidirectional: bool,
    /// Whether READY named content types.
    names_content: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Opening,
    Ready,
    Data,
    Over,
}

impl Receiver {
    /// A connection of which nothing was read; data frames may have `max_frame` octets.
    pub const fn new(max_frame: usize) -> Self {
        Self { state: State::Opening, max_frame, is_bidirectional: false, names_content: false }
    }

    /// Whether START was read.
    pub const fn has_started(&self) -> bool {
        matches!(self.state, State::Data | State::Over)
    }

    /// Whether the sender began with READY.
    pub const fn is_bidirectional(&self) -> bool {
        self.is_bidirectional
    }

    /// What the front of `octets` means, and how many octets that was: 0 for [`Step::Incomplete`].
    ///
    /// # Errors
    /// [`StreamError`]; the stream cannot be read on.
    #[inline]
    pub fn step<'a>(&mut self, octets: &'a [u8]) -> Result<(Step<'a>, usize), StreamError> {
        match piece(octets, self.max_frame)? {
            Piece::Data(payload) if self.state == State::Data => {
                Ok((Step::Data(payload), DATA_HEADER + payload.len()))
            }
            Piece::Data(_) => Err(StreamError::NotStarted),
            Piece::Control(frame, len) => self.control(&frame).map(|step| (step, len)),
            Piece::Incomplete(needed) => Ok((Step::Incomplete(needed), 0)),
        }
    }

    #[cold]
    fn control(&mut self, frame: &ControlFrame<'_>) -> Result<Step<'static>, StreamError> {
        match (self.state, frame.control) {
            (State::Opening, Control::Ready) => {
                agreed(frame)?;
                self.is_bidirectional = true;
                self.names_content = frame.content_types().next().is_some();
                self.state = State::Ready;
                Ok(Step::Ready)
            }
            (State::Opening | State::Ready, Control::Start) => {
                agreed(frame)?;
                self.state = State::Data;
                Ok(Step::Start)
            }
            (State::Data, Control::Stop) => {
                self.state = State::Over;
                Ok(Step::Stop { finish: self.is_bidirectional })
            }
            (_, control) => Err(StreamError::Unexpected(control)),
        }
    }

    /// Appends ACCEPT, the answer to [`Step::Ready`].
    ///
    /// It names dnstap where READY did: a sender that named nothing would take a name for a content it did not offer.
    pub fn put_accept(&self, into: &mut Vec<u8>) {
        let content_types: &[&[u8]] = if self.names_content { &[DNSTAP_CONTENT_TYPE] } else { &[] };
        put_control(into, Control::Accept, content_types);
    }

    /// Appends FINISH, the answer to [`Step::Stop`].
    pub fn put_finish(&self, into: &mut Vec<u8>) {
        put_control(into, Control::Finish, &[]);
    }
}

fn agreed(frame: &ControlFrame<'_>) -> Result<(), StreamError> {
    if frame.agrees_on(DNSTAP_CONTENT_TYPE) { Ok(()) } else { Err(StreamError::ContentType) }
}
