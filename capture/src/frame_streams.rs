//! Frame Streams cut into frames, without IO: files and sockets give it what they have read.

use lowtide_proto::frame_streams::{
    Control, FIELD_CONTENT_TYPE, MAX_CONTENT_TYPE, MAX_CONTROL_FRAME, MAX_FRAME,
};
use lowtide_proto::{Cursor, Short};

use crate::DamageReason;

/// What stands at the front of the octets that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A data frame's payload, which stands 4 octets behind the front.
    Data(&'a [u8]),
    /// A control frame, of this many octets with its framing.
    Control(ControlFrame<'a>, usize),
    /// A frame of which not everything is there: ask again with this many octets at least.
    Incomplete(usize),
}

/// The octets in front of a data frame: its length.
pub const DATA_HEADER: usize = 4;

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
fn field<'a>(fields: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, DamageReason> {
    const MALFORMED: fn(Short) -> DamageReason = |_| DamageReason::ControlFrame;
    if fields.is_empty() {
        return Ok(None);
    }
    let kind = fields.u32_be().map_err(MALFORMED)?;
    let len = fields.u32_be().map_err(MALFORMED)? as usize;
    if kind != FIELD_CONTENT_TYPE || len > MAX_CONTENT_TYPE {
        return Err(DamageReason::ControlFrame);
    }
    fields.take(len).map(Some).map_err(MALFORMED)
}

/// Cuts the first frame off.
///
/// # Errors
/// A frame that is too long or malformed; what follows it cannot be found any more.
#[inline]
pub fn piece(octets: &[u8]) -> Result<Piece<'_>, DamageReason> {
    let mut cursor = Cursor::new(octets);
    let Ok(len) = cursor.u32_be() else {
        return Ok(Piece::Incomplete(DATA_HEADER));
    };
    if len == 0 {
        return control(cursor);
    }
    if len as usize > MAX_FRAME {
        return Err(DamageReason::FrameLength(len));
    }
    Ok(match cursor.take(len as usize) {
        Ok(payload) => Piece::Data(payload),
        Err(short) => Piece::Incomplete(DATA_HEADER + short.needed),
    })
}

/// The octets in front of a control frame: the escape and its length.
const CONTROL_HEADER: usize = 8;

#[cold]
fn control(mut cursor: Cursor<'_>) -> Result<Piece<'_>, DamageReason> {
    let Ok(len) = cursor.u32_be() else {
        return Ok(Piece::Incomplete(CONTROL_HEADER));
    };
    let len = len as usize;
    if !(4..=MAX_CONTROL_FRAME).contains(&len) {
        return Err(DamageReason::ControlFrame);
    }
    let Ok(mut frame) = cursor.sub(len) else {
        return Ok(Piece::Incomplete(CONTROL_HEADER + len));
    };
    let number = frame.u32_be().map_err(|_| DamageReason::ControlFrame)?;
    let control = Control::from_number(number).ok_or(DamageReason::ControlType(number))?;
    let fields = frame.rest();
    while field(&mut frame)?.is_some() {}
    Ok(Piece::Control(ControlFrame { control, fields }, CONTROL_HEADER + len))
}
