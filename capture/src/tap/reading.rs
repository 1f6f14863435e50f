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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lowtide_proto::frame_streams::{
        Control, DNSTAP_CONTENT_TYPE, MAX_FRAME, StreamError, put_control, put_data,
    };

    use super::{Action, Pool, Reading, SenderStatus};
    use crate::tap::chunk::SMALLEST;

    fn reading() -> Reading {
        Reading::new(Arc::new(Pool::new(MAX_FRAME + SMALLEST)), MAX_FRAME)
    }

    /// Reads as much of `octets` as `most` and the room allow.
    fn read(reading: &mut Reading, octets: &mut &[u8], most: usize) {
        let room = reading.room();
        let count = most.min(room.len()).min(octets.len());
        let (now, later) = octets.split_at(count);
        room[..count].copy_from_slice(now);
        reading.came(count);
        *octets = later;
    }

    fn start() -> Vec<u8> {
        let mut octets = Vec::new();
        put_control(&mut octets, Control::Start, &[DNSTAP_CONTENT_TYPE]);
        octets
    }

    /// However the octets come and the chunks go, the frames are the same, and each comes once.
    #[test]
    fn any_reads_and_any_chunks_give_the_same_frames() {
        let sender = Arc::new(SenderStatus::new(1, 0, "test", false));
        let mut state = 0x5eed_u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) as usize) % end
        };
        for round in 0..200 {
            let largest = [20, 300, 5_000, MAX_FRAME][round % 4];
            let frames: Vec<Vec<u8>> =
                (0..1 + below(60)).map(|at| vec![at as u8; 1 + below(largest)]).collect();
            let mut stream = start();
            frames.iter().for_each(|frame| put_data(&mut stream, frame));
            put_control(&mut stream, Control::Stop, &[]);
            let (mut octets, mut seen) = (&stream[..], Vec::new());
            let mut reading = reading();
            let mut is_over = false;
            while !is_over {
                let scale = [3, 200, 70_000, 1 << 20][below(4)];
                let most = 1 + below(scale);
                read(&mut reading, &mut octets, most);
                loop {
                    match reading.cut().unwrap() {
                        Action::Read => break,
                        Action::Stop { finish } => {
                            assert!(!finish);
                            is_over = true;
                            break;
                        }
                        Action::Begin => {}
                        Action::Accept => panic!("no READY was sent"),
                    }
                }
                if is_over || reading.is_used() || below(3) == 0 {
                    let pending = reading.pending();
                    if let Some(chunk) = reading.take_chunk(&sender) {
                        assert_eq!((chunk.len(), chunk.octets()), pending);
                        seen.extend(chunk.frames().map(<[u8]>::to_vec));
                    }
                }
                reading.rest();
            }
            assert!(seen == frames, "round {round}");
        }
    }

    /// A frame that says to be long costs what came of it.
    #[test]
    fn memory_grows_with_what_comes() {
        let mut reading = reading();
        assert_eq!(reading.buffer.len(), 0);
        let mut stream = start();
        put_data(&mut stream, &vec![7; MAX_FRAME]);
        let mut octets = &stream[..];
        read(&mut reading, &mut octets, start().len() + 100);
        assert_eq!((reading.cut(), reading.cut()), (Ok(Action::Begin), Ok(Action::Read)));
        reading.rest();
        assert_eq!(reading.buffer.len(), SMALLEST, "what has begun is kept");
        while !octets.is_empty() {
            let came = stream.len() - octets.len();
            assert!(reading.buffer.len() <= SMALLEST + 4 * came, "{} for {came}", reading.buffer.len());
            read(&mut reading, &mut octets, 1_000);
            assert_eq!(reading.cut(), Ok(Action::Read));
        }
        assert_eq!(reading.pending(), (1, MAX_FRAME));
        let sender = Arc::new(SenderStatus::new(1, 0, "test", false));
        assert_eq!(reading.take_chunk(&sender).map(|chunk| chunk.octets()), Some(MAX_FRAME));
        assert_eq!(reading.buffer.len(), 0, "silent, it holds nothing");
        read(&mut reading, &mut &[0xff; 4][..], 4);
        assert!(matches!(reading.cut(), Err(StreamError::Cut(_))));
    }

    /// Reads that fill the buffer make the next ones larger, and few octets at a time smaller again.
    #[test]
    fn buffers_follow_the_rate() {
        let sender = Arc::new(SenderStatus::new(1, 0, "test", false));
        let mut reading = reading();
        let mut stream = start();
        (0..20_000).for_each(|_| put_data(&mut stream, &[1; 170]));
        let mut octets = &stream[..];
        let mut sizes = Vec::new();
        while !octets.is_empty() {
            read(&mut reading, &mut octets, usize::MAX);
            while reading.cut() != Ok(Action::Read) {}
            sizes.push(reading.buffer.len());
            reading.take_chunk(&sender);
        }
        assert_eq!(sizes[..4], [4 << 10, 16 << 10, 64 << 10, 256 << 10]);
        assert!(sizes[4..].iter().all(|&size| size == MAX_FRAME + SMALLEST));
        let mut frame = Vec::new();
        put_data(&mut frame, &[1; 170]);
        for _ in 0..20 {
            read(&mut reading, &mut &frame[..], usize::MAX);
            assert_eq!(reading.cut(), Ok(Action::Read));
            reading.take_chunk(&sender);
        }
        assert_eq!(reading.class, 0);
    }
}
