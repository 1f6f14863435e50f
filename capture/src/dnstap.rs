//! dnstap files: Frame Streams as `fstrm_capture`, the servers themselves or a recorded socket left them.

use lowtide_proto::dnstap::{EnvelopeError, Layout, View};
use lowtide_proto::frame_streams::{Control, DATA_HEADER, DNSTAP_CONTENT_TYPE, MAX_FRAME, Piece, piece};

use crate::buffer::Buffer;
use crate::file::Located;
use crate::{Damage, DamageReason};

/// Whether the file that begins with `head` is Frame Streams: any control frame.
pub(crate) fn is_frame_streams(head: &[u8]) -> bool {
    matches!(piece(head, MAX_FRAME), Ok(Piece::Control(..)))
}

/// The content type of the stream when it is one that is not dnstap's.
pub(crate) fn foreign_content(head: &[u8]) -> Option<String> {
    match piece(head, MAX_FRAME) {
        Ok(Piece::Control(frame, _)) if !frame.agrees_on(DNSTAP_CONTENT_TYPE) => {
            frame.content_types().next().map(|name| String::from_utf8_lossy(name).into_owned())
        }
        _ => None,
    }
}

/// Where in the stream the reader is, and what the frame says that was found last.
pub(crate) struct Dnstap {
    started: bool,
    layout: Layout,
    outcome: Result<(), EnvelopeError>,
}

impl Dnstap {
    pub(crate) fn new() -> Self {
        Self { started: false, layout: Layout::default(), outcome: Ok(()) }
    }

    /// What the frame says that was found last, whose payload is `octets`.
    #[inline]
    pub(crate) fn view<'a>(&self, octets: &'a [u8]) -> Result<View<'a>, EnvelopeError> {
        self.outcome.map(|()| self.layout.view(octets))
    }

    #[inline]
    pub(crate) fn advance(&mut self, buffer: &mut Buffer) -> Result<Option<Located>, Damage> {
        loop {
            match piece(buffer.rest(), MAX_FRAME) {
                Ok(Piece::Data(payload)) if self.started => {
                    self.outcome = self.layout.read(payload);
                    let time = self.outcome.ok().and_then(|()| self.layout.time());
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
                Err(error) => return Err(buffer.damage(error.into())),
            }
        }
    }
}
