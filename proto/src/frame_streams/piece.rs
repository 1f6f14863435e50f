//! Octets cut into frames.

use std::fmt;

use super::{Control, FIELD_CONTENT_TYPE, MAX_CONTENT_TYPE, MAX_CONTROL_FRAME};
use crate::{Cursor, Short};

/// The octets in front of a data frame: its length.
pub const DATA_HEADER: usize = 4;

/// The octets in front of a control frame: the escape and its length.
const CONTROL_HEADER: usize = 8;

/// What stands at the front of the octets that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A data frame's payload, which stands [`DATA_HEADER`] octets behind the front.
    Data(&'a [u8]),
    /// A control frame, of this many octets with its framing.
    Control(ControlFrame<'a>, usize),
    /// A frame of which not everything is there: ask again with this many octets at least.
    Incomplete(usize),
}

/// Why a frame cannot be cut off. What follows it cannot be found any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutError {
    /// A data frame that says to be longer than what is accepted.
    FrameLength(u32),
    /// A control frame that is too short, too long, or not of its form.
    ControlFrame,
    /// A control frame of an unknown type.
    ControlType(u32),
}

impl fmt::Display for CutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            CutError::FrameLength(len) => write!(f, "a frame of {len} octets, more than the maximum"),
            CutError::ControlFrame => f.write_str("a malformed control frame"),
            CutError::ControlType(number) => write!(f, "a control frame of unknown type {number}"),
        }
    }
}

impl std::error::Error for CutError {}

/// A control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlFrame<'a> {
    /// What it says.
    pub control: Control,
    fields: &'a [u8],
}

impl<'a> ControlFrame<'a> {
    /// The content types that it names, in order.
    pub fn content_types(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut fields = Cursor::new(self.fields);
        std::iter::from_fn(move || match field(&mut fields) {
            Ok(Some(content_type)) => Some(content_type),
            _ => None,
        })
    }

    /// Whether data of `content_type` may follow: it is named, or none is.
    pub fn agrees_on(&self, content_type: &[u8]) -> bool {
        let mut named = self.content_types().peekable();
        named.peek().is_none() || named.any(|name| name == content_type)
    }
}

/// The next content type of a control frame.
fn field<'a>(fields: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, CutError> {
    const MALFORMED: fn(Short) -> CutError = |_| CutError::ControlFrame;
    if fields.is_empty() {
        return Ok(None);
    }
    let kind = fields.u32_be().map_err(MALFORMED)?;
    let len = fields.u32_be().map_err(MALFORMED)? as usize;
    if kind != FIELD_CONTENT_TYPE || len > MAX_CONTENT_TYPE {
        return Err(CutError::ControlFrame);
    }
    fields.take(len).map(Some).map_err(MALFORMED)
}

/// Cuts the first frame off; a data frame may have `max_frame` octets.
///
/// # Errors
/// [`CutError`], as soon as the octets that show it are there.
#[inline]
pub fn piece(octets: &[u8], max_frame: usize) -> Result<Piece<'_>, CutError> {
    let mut cursor = Cursor::new(octets);
    let Ok(len) = cursor.u32_be() else {
        return Ok(Piece::Incomplete(DATA_HEADER));
    };
    if len == 0 {
        return control(cursor);
    }
    if len as usize > max_frame {
        return Err(CutError::FrameLength(len));
    }
    Ok(match cursor.take(len as usize) {
        Ok(payload) => Piece::Data(payload),
        Err(short) => Piece::Incomplete(DATA_HEADER + short.needed),
    })
}

#[cold]
fn control(mut cursor: Cursor<'_>) -> Result<Piece<'_>, CutError> {
    let Ok(len) = cursor.u32_be() else {
        return Ok(Piece::Incomplete(CONTROL_HEADER));
    };
    let len = len as usize;
    if !(4..=MAX_CONTROL_FRAME).contains(&len) {
        return Err(CutError::ControlFrame);
    }
    let Ok(mut frame) = cursor.sub(len) else {
        return Ok(Piece::Incomplete(CONTROL_HEADER + len));
    };
    let number = frame.u32_be().map_err(|_| CutError::ControlFrame)?;
    let control = Control::from_number(number).ok_or(CutError::ControlType(number))?;
    let fields = frame.rest();
    while field(&mut frame)?.is_some() {}
    Ok(Piece::Control(ControlFrame { control, fields }, CONTROL_HEADER + len))
}
