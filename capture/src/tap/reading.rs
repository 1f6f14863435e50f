//! A connection's octets: read into a buffer, cut in place, handed over with the buffer.
//!
//! ```text
//!     buffer   | gone | whole data frames, not yet handed over | part of a frame | room |
//!              0    start                                     cut               end    len
//! ```
//!
//! Buffers come from the pool when octets do and go with the chunk, so that a sender that is silent holds none. They grow
//! when a read fills them, never because a frame says that it is long.

use std::sync::Arc;

use lowtide_proto::frame_streams::{Receiver, Step, StreamError};

use super::SenderStatus;
use super::chunk::{Chunk, Pool};

/// What the connection has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Read on.
    Read,
    /// Send ACCEPT, then go on.
    Accept,
    /// Take the sender in, then go on.
    Begin,
    /// Send FINISH if asked to, and close.
    Stop {
        /// Whether the sender waits for FINISH.
        finish: bool,
    },
}

#[derive(Debug)]
pub(super) struct Reading {
    pool: Arc<Pool>,
    receiver: Receiver,
    /// Empty while nothing is held.
    buffer: Vec<u8>,
    /// The number of the size of the next buffer.
    class: usize,
    start: usize,
    cut: usize,
    end: usize,
    frames: usize,
    octets: usize,
    was_filled: bool,
}

impl Reading {
    pub(super) const fn new(pool: Arc<Pool>, max_frame: usize) -> Self {
        Self {
            pool,
            receiver: Receiver::new(max_frame),
            buffer: Vec::new(),
            class: 0,
            start: 0,
            cut: 0,
            end: 0,
            frames: 0,
            octets: 0,
            was_filled: false,
        }
    }

    pub(super) const fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Where the next octets go; never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = self.pool.take(self.class);
        } else if self.end == self.buffer.len() {
            // One frame fills it: the next size, which holds the longest frame at last.
            self.class = (self.class + 1).min(self.pool.largest());
            self.move_to_next_buffer();
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Gives the buffer back while there is nothing in it.
    pub(super) fn rest(&mut self) {
        if self.start == self.end && !self.buffer.is_empty() {
            self.pool.give(std::mem::take(&mut self.buffer));
            (self.start, self.cut, self.end) = (0, 0, 0);
        }
    }

    /// So many octets came into the room.
    pub(super) const fn came(&mut self, octets: usize) {
        self.end += octets;
        self.was_filled = self.end == self.buffer.len();
    }

    /// Cuts what is there, up to the next thing to do.
    pub(super) fn cut(&mut self) -> Result<Action, StreamError> {
        let mut rest = self.buffer.get(self.cut..self.end).unwrap_or_default();
        loop {
            let (step, len) = self.receiver.step(rest)?;
            let action = match step {
                Step::Data(payload) => {
                    self.frames += 1;
                    self.octets += payload.len();
                    self.cut += len;
                    rest = rest.get(len..).unwrap_or_default();
                    continue;
                }
                Step::Incomplete(_) => return Ok(Action::Read),
                Step::Ready => Action::Accept,
                Step::Start => Action::Begin,
                // The frames before it stay a run of data frames; nothing comes behind it.
                Step::Stop { finish } => return Ok(Action::Stop { finish }),
            };
            // No data frame comes before START.
            self.cut += len;
            self.start = self.cut;
            return Ok(action);
        }
    }

    /// Frames and octets that were cut and not yet handed over.
    pub(super) const fn pending(&self) -> (usize, usize) {
        (self.frames, self.octets)
    }

    /// Whether a frame has begun of which not everything is there.
    pub(super) const fn is_inside_frame(&self) -> bool {
        self.end > self.cut
    }

    /// Whether so much of the buffer is used that the next read had better have another.
    pub(super) const fn is_used(&self) -> bool {
        self.frames > 0 && self.buffer.len() - self.end < self.buffer.len() / 2
    }

    /// The frames that were cut, with the buffer that holds them; what came of the next frame goes to another buffer.
    pub(super) fn take_chunk(&mut self, sender: &Arc<SenderStatus>) -> Option<Chunk> {
        if self.frames == 0 {
            return None;
        }
        let (range, frames) = (self.start..self.cut, self.frames);
        let used = self.end - self.start;
        if self.was_filled {
            self.class = (self.class + 1).min(self.pool.largest());
        } else if used < self.buffer.len() / 16 {
            self.class = self.class.saturating_sub(1);
        }
        (self.start, self.frames, self.octets, self.was_filled) = (self.cut, 0, 0, false);
        let buffer = self.move_to_next_buffer();
        Some(self.pool.chunk(sender, buffer, range, frames))
    }

    /// Goes on in another buffer, with what came of the next frame. Returns the one before, which is no longer needed
    /// but for the chunk in it.
    fn move_to_next_buffer(&mut self) -> Vec<u8> {
        let begun = self.buffer.get(self.start..self.end).unwrap_or_default();
        let mut next = Vec::new();
        if !begun.is_empty() {
            next = self.pool.take(self.class);
            while next.len() <= begun.len() && self.class < self.pool.largest() {
                self.pool.give(next);
                self.class += 1;
                next = self.pool.take(self.class);
            }
            if let Some(front) = next.get_mut(..begun.len()) {
                front.copy_from_slice(begun);
            }
        }
        self.cut -= self.start;
        self.end -= self.start;
        self.start = 0;
        std::mem::replace(&mut self.buffer, next)
    }
}
