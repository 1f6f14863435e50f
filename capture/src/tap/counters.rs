//! What the sockets saw, in numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering};

use super::CloseReason;

/// Counts since the start, over all listeners. What a sender did counts in its
/// [`SenderStatus`](super::SenderStatus) too; here it stays when that is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TapCounters {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Of these, closed at once because as many senders as may were sending.
    pub refused: u64,
    /// Times that no connection could be accepted, most often because no file descriptor was left.
    pub accept_errors: u64,
    /// Connections whose stream began.
    pub begun: u64,
    /// Data frames that were read, whatever became of them.
    pub frames: u64,
    /// Octets in them.
    pub octets: u64,
    /// Chunks that were put into the queue.
    pub chunks: u64,
    /// Of the frames, those that were discarded because the queue was full.
    pub discarded_frames: u64,
    /// Octets in them.
    pub discarded_octets: u64,
    /// Closed senders that were dropped because nobody forgot them, oldest first.
    pub dropped_senders: u64,
    closes: [u64; CloseReason::LABELS.len()],
}

impl TapCounters {
    /// How many connections were closed for each reason, by [`CloseReason::label`].
    pub fn closes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CloseReason::LABELS.into_iter().zip(self.closes)
    }

    /// How many connections were closed for the reason with this label.
    pub fn closed(&self, label: &str) -> u64 {
        self.closes().find(|(known, _)| *known == label).map_or(0, |(_, count)| count)
    }
}

/// The same while it counts.
#[derive(Debug, Default)]
pub(super) struct Counting {
    pub(super) accepted: Counter,
    pub(super) refused: Counter,
    pub(super) accept_errors: Counter,
    pub(super) begun: Counter,
    pub(super) frames: Counter,
    pub(super) octets: Counter,
    pub(super) chunks: Counter,
    pub(super) discarded_frames: Counter,
    pub(super) discarded_octets: Counter,
    pub(super) dropped_senders: Counter,
    closes: [Counter; CloseReason::LABELS.len()],
}

impl Counting {
    pub(super) fn close(&self, reason: CloseReason) {
        let label = reason.label();
        if let Some((_, counter)) =
            CloseReason::LABELS.iter().zip(&self.closes).find(|(known, _)| **known == label)
        {
            counter.add(1);
        }
    }

    /// What is discarded was read before, and what is closed was accepted: those are read first, so that a snapshot never
    /// shows more of them.
    pub(super) fn snapshot(&self) -> TapCounters {
        let closes = self.closes.each_ref().map(Counter::get);
        let (discarded_frames, discarded_octets) = (self.discarded_frames.get(), self.discarded_octets.get());
        TapCounters {
            discarded_frames,
            discarded_octets,
            dropped_senders: self.dropped_senders.get(),
            chunks: self.chunks.get(),
            frames: self.frames.get(),
            octets: self.octets.get(),
            begun: self.begun.get(),
            accept_errors: self.accept_errors.get(),
            refused: self.refused.get(),
            accepted: self.accepted.get(),
            closes,
        }
    }
}

/// A number that one thread adds to and others read.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::AcqRel);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
