//! Bodies: a segment's payload on its way out, an answer on its way in.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::segment::Payload;

/// What is sent: a statement, or the payload of a segment.
#[derive(Debug)]
pub(super) enum Outgoing {
    Statement(Option<Bytes>),
    /// The file is read where the request is written, in the thread of delivery: it was read a moment ago to be
    /// verified, so it comes from memory.
    Payload(Payload, Arc<AtomicU64>),
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let chunk = match self.get_mut() {
            Self::Statement(statement) => Ok(statement.take()),
            Self::Payload(payload, sent) => payload.chunk().map(|chunk| {
                sent.fetch_add(1, Ordering::Relaxed);
                chunk.map(Bytes::from)
            }),
        };
        Poll::Ready(chunk.transpose().map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Statement(statement) => statement.is_none(),
            Self::Payload(payload, _) => payload.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Self::Statement(statement) => statement.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::Payload(payload, _) => payload.len(),
        })
    }
}

/// Reads an answer, `limit` octets at most; also whether there was more.
pub(super) async fn read(mut body: Incoming, limit: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut answer = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = limit - answer.len();
        answer.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            return Ok((answer.freeze(), true));
        }
    }
    Ok((answer.freeze(), false))
}
