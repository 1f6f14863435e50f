//! dnstap files: Frame Streams as `fstrm_capture`, the servers themselves or a recorded socket left them.

use lowtide_proto::dnstap::{EnvelopeError, Layout};
use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE};

use crate::buffer::Buffer;
use crate::file::Located;
use crate::frame_streams::{DATA_HEADER, Piece, piece};
use crate::{Damage, DamageReason};

/// Whether the file that begins with `head` is Frame Streams: any control frame.
pub(crate) fn is_frame_streams(head: &[u8]) -> bool {
    matches!(piece(head), Ok(Piece::Control(..)))
}

/// The content type of the stream when it is one that is not dnstap's.
pub(crate) fn foreign_content(head: &[u8]) -> Option<String> {
    match piece(head) {
        Ok(Piece::Control(frame, _)) if !frame.agrees_on(DNSTAP_CONTENT_TYPE) => {
            frame.content_types().next().map(|name| String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    }
}

/// Where in the stream the reader is, and what the frame says that was found last.
pub(crate) struct Dnstap {
    started: bool,
    layout: Result<Layout, EnvelopeError>,
}

impl Dnstap {
    pub(crate) fn new() -> Self {
        Self { started: false, layout: Ok(Layout::default()) }
    }

    /// The layout of the frame that was found last.
    #[inline]
    pub(crate) fn layout(&self) -> &Result<Layout, EnvelopeError> {
        &self.layout
    }

    #[inline]
    pub(crate) fn advance(&mut self, buffer: &mut Buffer) -> Result<Option<Located>, Damage> {
        loop {
            match piece(buffer.rest()) {
                Ok(Piece::Data(payload)) if self.started => {
                    self.layout = Layout::parse(payload);
                    let time = self.layout.as_ref().ok().and_then(Layout::time);
                    let len = payload.len();
                    buffer.consume(DATA_HEADER);
                    return Ok(Some(Located::frame(time, buffer.consume(len))));
                }
                Ok(Piece::Data(_)) => return Err(buffer.damage(DamageReason::NotStarted)),
                Ok(Piece::Control(frame, len)) => {
                    match frame.control {
                        Control::Start if frame.agrees_on(DNSTAP_CONTENT_TYPE) => self.started = true,
                        Control::Start => return Err(buffer.damage(DamageReason::ContentType)),
                        // Files that were joined go on with another START.
                        Control::Stop => self.started = false,
                        // A recorded socket has the handshake of both sides.
                        Control::Ready | Control::Accept | Control::Finish => {}
                    }
                    buffer.consume(len);
                }
                Ok(Piece::Incomplete(needed)) => {
                    if !buffer.fill(needed) {
                        return buffer.end_of(buffer.offset()).map(|()| None);
                    }
                }
                Err(reason) => return Err(buffer.damage(reason)),
            }
        }
    }
}
