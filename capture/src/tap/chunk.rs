//! What crosses from the sockets to the pipeline: chunks of many frames, in the very octets that were read.
//!
//! The queue is bounded twice: by the octets of the buffers that were handed over and did not come back, and by its slots.
//! When it is full, the chunk is discarded: the frames are counted by their own time, the buffer is read into again. When it
//! is empty, whoever takes chunks waits.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam::channel::{Sender, TrySendError};
use lowtide_proto::Cursor;
use lowtide_proto::dnstap::Layout;

use super::SenderStatus;
use super::counters::Counting;

/// Data frames of one sender, in order. Dropping it gives its buffer back.
#[derive(Debug)]
pub struct Chunk {
    /// Whose frames they are.
    pub sender: Arc<SenderStatus>,
    buffer: Vec<u8>,
    range: Range<usize>,
    frames: usize,
    pool: Arc<Pool>,
    /// Whether its buffer counts in the octets that are handed over.
    is_queued: bool,
}

impl Chunk {
    /// The frames' payloads.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Cursor::new(self.buffer.get(self.range.clone()).unwrap_or_default());
        std::iter::from_fn(move || {
            let len = rest.u32_be().ok()?;
            rest.take(len as usize).ok()
        })
    }

    /// How many frames there are.
    pub const fn len(&self) -> usize {
        self.frames
    }

    /// Whether there is no frame: never.
    pub const fn is_empty(&self) -> bool {
        self.frames == 0
    }

    /// The octets in the frames.
    pub fn octets(&self) -> usize {
        self.range.len() - self.frames * lowtide_proto::frame_streams::DATA_HEADER
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if self.is_queued {
            self.pool.handed_over.fetch_sub(self.buffer.len(), Ordering::AcqRel);
        }
        self.pool.give(std::mem::take(&mut self.buffer));
    }
}

/// The smallest buffer: what a sender gets of which little is known.
pub(super) const SMALLEST: usize = 4 << 10;

/// Read buffers in sizes that grow fourfold, to be used again. All are full of octets (zeros at first), so that nothing is
/// read into memory that was not initialised.
#[derive(Debug)]
pub(super) struct Pool {
    classes: Vec<Class>,
    handed_over: AtomicUsize,
}

/// The buffers of a size. The last that came back is used next, for it is still in the processor's cache.
#[derive(Debug)]
struct Class {
    size: usize,
    kept: Mutex<Vec<Vec<u8>>>,
}

impl Class {
    /// Octets of buffers that wait for being used again; what is beyond is freed when an overload is over.
    const KEPT: usize = 8 << 20;

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// A pool whose largest buffers have `largest` octets.
    pub(super) fn new(largest: usize) -> Self {
        let sizes = std::iter::successors(Some(SMALLEST), |size| size.checked_mul(4));
        let classes = sizes
            .take_while(|&size| size < largest)
            .chain([largest])
            .map(|size| Class { size, kept: Mutex::default() })
            .collect();
        Self { classes, handed_over: AtomicUsize::new(0) }
    }

    /// The number of the largest size.
    pub(super) fn largest(&self) -> usize {
        self.classes.len().saturating_sub(1)
    }

    /// A buffer of a size.
    pub(super) fn take(&self, class: usize) -> Vec<u8> {
        match self.classes.get(class.min(self.largest())) {
            Some(class) => {
                let kept = class.lock().pop();
                kept.unwrap_or_else(|| vec![0; class.size])
            }
            None => Vec::new(),
        }
    }

    /// Takes a buffer back.
    pub(super) fn give(&self, buffer: Vec<u8>) {
        if let Some(class) = self.classes.iter().find(|class| class.size == buffer.len()) {
            let mut kept = class.lock();
            if kept.len() * class.size < Class::KEPT {
                kept.push(buffer);
            }
        }
    }

    /// A chunk of the octets in `range` of `buffer`, which are `frames` whole data frames.
    pub(super) fn chunk(
        self: &Arc<Self>,
        sender: &Arc<SenderStatus>,
        buffer: Vec<u8>,
        range: Range<usize>,
        frames: usize,
    ) -> Chunk {
        Chunk { sender: Arc::clone(sender), buffer, range, frames, pool: Arc::clone(self), is_queued: false }
    }
}

/// The queue's entrance.
#[derive(Debug)]
pub(super) struct Queue {
    sender: Sender<Chunk>,
    /// How many octets of buffers may be handed over at once.
    most: usize,
}

impl Queue {
    /// Slots that a queue has for so many octets of buffers.
    pub(super) fn slots(octets: usize) -> usize {
        (octets / SMALLEST).clamp(16, 1 << 15)
    }

    pub(super) const fn new(sender: Sender<Chunk>, most: usize) -> Self {
        Self { sender, most }
    }

    /// Whether whoever takes chunks has so much to do that nobody waits for another one.
    pub(super) fn is_behind(&self) -> bool {
        /// Chunks that are taken in no time.
        const FEW: usize = 32;
        self.sender.len() > FEW
    }

    /// Hands a chunk over, or discards it; never waits.
    pub(super) fn offer(&self, mut chunk: Chunk, counting: &Counting) {
        let sender = Arc::clone(&chunk.sender);
        let size = chunk.buffer.len();
        let before = chunk.pool.handed_over.fetch_add(size, Ordering::AcqRel);
        chunk.is_queued = true;
        // A chunk alone always fits, however small the bound is.
        let fits = before == 0 || before + size <= self.most;
        let refused =
            if fits { self.sender.try_send(chunk).err().map(TrySendError::into_inner) } else { Some(chunk) };
        match refused {
            None => {
                sender.chunks_queued.add(1);
                counting.chunks.add(1);
            }
            Some(chunk) => discard(&chunk, counting),
        }
    }
}

#[cold]
fn discard(chunk: &Chunk, counting: &Counting) {
    const NANOS: u64 = 1_000_000_000;
    let mut layout = Layout::default();
    let seconds = chunk.frames().map(|frame| {
        let time = layout.read(frame).ok().and_then(|()| layout.time());
        time.map_or(0, |time| time.0 / NANOS)
    });
    let (frames, octets) = (chunk.len() as u64, chunk.octets() as u64);
    chunk.sender.discard(seconds);
    chunk.sender.discarded_frames.add(frames);
    chunk.sender.discarded_octets.add(octets);
    counting.discarded_frames.add(frames);
    counting.discarded_octets.add(octets);
}
