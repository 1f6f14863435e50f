//! Frame Streams (<https://farsightsec.github.io/fstrm/>), the framing that carries dnstap, without IO.
//!
//! [`piece()`] cuts octets into frames, for files and sockets alike; [`Receiver`] is the receiving side of a connection as a
//! state machine; [`put_control`] and [`put_data`] write frames.

mod piece;
mod receiver;

#[cfg(test)]
mod tests;

pub use piece::{ControlFrame, CutError, DATA_HEADER, Piece, piece};
pub use receiver::{Receiver, Step, StreamError};

/// The content type of dnstap payloads.
pub const DNSTAP_CONTENT_TYPE: &[u8] = b"protobuf:dnstap.Dnstap";

/// The largest data frame that is accepted, in octets. A query, its response and metadata can exceed 64 KiB.
pub const MAX_FRAME: usize = 256 * 1024;

/// The largest control frame (libfstrm's `FSTRM_CONTROL_FRAME_LENGTH_MAX`), in octets.
pub const MAX_CONTROL_FRAME: usize = 512;

/// The largest content type in a control field (libfstrm's `FSTRM_CONTROL_FIELD_CONTENT_TYPE_LENGTH_MAX`), in octets.
pub const MAX_CONTENT_TYPE: usize = 256;

/// The field type of a content type inside a control frame.
pub const FIELD_CONTENT_TYPE: u32 = 1;

/// Control frame types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Control {
    /// The receiver agrees on a content type.
    Accept = 1,
    /// Data frames follow.
    Start = 2,
    /// No data frame follows.
    Stop = 3,
    /// The sender offers content types.
    Ready = 4,
    /// The receiver has read up to the STOP.
    Finish = 5,
}

impl Control {
    /// The control type with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Control::Accept),
            2 => Some(Control::Start),
            3 => Some(Control::Stop),
            4 => Some(Control::Ready),
            5 => Some(Control::Finish),
            _ => None,
        }
    }

    /// The name in Frame Streams' own words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Control::Accept => "ACCEPT",
            Control::Start => "START",
            Control::Stop => "STOP",
            Control::Ready => "READY",
            Control::Finish => "FINISH",
        }
    }
}

/// Appends a control frame that names content types. Those that no receiver would take (more than
/// [`MAX_CONTENT_TYPE`] octets each, [`MAX_CONTROL_FRAME`] together) are written all the same.
pub fn put_control(into: &mut Vec<u8>, control: Control, content_types: &[&[u8]]) {
    let fields: usize = content_types.iter().map(|name| 8 + name.len()).sum();
    put_number(into, 0);
    put_number(into, (4 + fields) as u32);
    put_number(into, control as u32);
    for name in content_types {
        put_number(into, FIELD_CONTENT_TYPE);
        put_number(into, name.len() as u32);
        into.extend_from_slice(name);
    }
}

/// Appends a data frame. An empty one would read as the escape of a control frame, so it is not written.
pub fn put_data(into: &mut Vec<u8>, payload: &[u8]) {
    if !payload.is_empty() {
        put_number(into, payload.len() as u32);
        into.extend_from_slice(payload);
    }
}

fn put_number(into: &mut Vec<u8>, number: u32) {
    into.extend_from_slice(&number.to_be_bytes());
}
