//! Frame Streams (<https://farsightsec.github.io/fstrm/>): constants of the framing that carries dnstap.

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
}
