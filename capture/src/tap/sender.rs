//! Who sends: each connection whose stream began, what it sent, what was discarded of it, and why it ended.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use lowtide_proto::frame_streams::StreamError;

use super::counters::Counter;

/// Seconds of discarded frames that are told apart. More than an hour of a sender's own time seldom comes in one
/// overload; past it, frames count under the second before theirs that is there.
const MAX_SECONDS: usize = 4_096;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The sender said STOP, and was told FINISH where it wanted that.
    Stopped,
    /// The peer closed between two frames, without STOP: dnsdist and PowerDNS Recursor always do.
    Ended,
    /// The peer closed, or was gone, inside a frame.
    Cut,
    /// What it sent is not a stream of dnstap, or a frame is too long.
    Protocol(StreamError),
    /// START did not come in time, or the TLS handshake was not done.
    HandshakeTimeout,
    /// The rest of a frame did not come in time.
    FrameTimeout,
    /// No frame came for as long as a connection may be idle.
    IdleTimeout,
    /// Before its START another connection came, and there was no more room.
    Displaced,
    /// TLS failed.
    Tls,
    /// Reading or writing failed.
    Failed(io::ErrorKind),
    /// This side stopped.
    Shutdown,
}

impl CloseReason {
    /// Every label.
    pub const LABELS: [&'static str; 16] = [
        "stop",
        "end",
        "cut",
        "frame-length",
        "control-frame",
        "control-type",
        "content-type",
        "not-started",
        "unexpected-control",
        "handshake-timeout",
        "frame-timeout",
        "idle-timeout",
        "displaced",
        "tls",
        "failed",
        "shutdown",
    ];

    /// The reason without its numbers, as a counter's label.
    pub const fn label(self) -> &'static str {
        match self {
            CloseReason::Stopped => "stop",
            CloseReason::Ended => "end",
            CloseReason::Cut => "cut",
            CloseReason::Protocol(error) => error.label(),
            CloseReason::HandshakeTimeout => "handshake-timeout",
            CloseReason::FrameTimeout => "frame-timeout",
            CloseReason::IdleTimeout => "idle-timeout",
            CloseReason::Displaced => "displaced",
            CloseReason::Tls => "tls",
            CloseReason::Failed(_) => "failed",
            CloseReason::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CloseReason::Stopped => f.write_str("the sender stopped"),
            CloseReason::Ended => f.write_str("the sender closed"),
            CloseReason::Cut => f.write_str("the sender was gone inside a frame"),
            CloseReason::Protocol(error) => error.fmt(f),
            CloseReason::HandshakeTimeout => f.write_str("no START came in time"),
            CloseReason::FrameTimeout => f.write_str("the rest of a frame did not come in time"),
            CloseReason::IdleTimeout => f.write_str("nothing came for too long"),
            CloseReason::Displaced => f.write_str("no START had come when another needed the room"),
            CloseReason::Tls => f.write_str("TLS failed"),
            CloseReason::Failed(kind) => write!(f, "{kind}"),
            CloseReason::Shutdown => f.write_str("lowtide stopped"),
        }
    }
}

/// A connection whose stream began. The socket's thread counts; anybody may read.
#[derive(Debug)]
pub struct SenderStatus {
    id: u64,
    listener: usize,
    peer: String,
    is_bidirectional: bool,
    begun: Instant,
    pub(super) frames: Counter,
    pub(super) octets: Counter,
    pub(super) discarded_frames: Counter,
    pub(super) discarded_octets: Counter,
    pub(super) chunks_queued: Counter,
    discarded: Mutex<BTreeMap<u64, u64>>,
    closed: OnceLock<(CloseReason, Instant)>,
}

impl SenderStatus {
    pub(super) fn new(id: u64, listener: usize, peer: &str, is_bidirectional: bool) -> Self {
        Self {
            id,
            listener,
            peer: peer.to_owned(),
            is_bidirectional,
            begun: Instant::now(),
            frames: Counter::default(),
            octets: Counter::default(),
            discarded_frames: Counter::default(),
            discarded_octets: Counter::default(),
            chunks_queued: Counter::default(),
            discarded: Mutex::default(),
            closed: OnceLock::new(),
        }
    }

    /// Its number, which no other connection of this process has.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Which of the listeners it came to, counted from 0.
    pub const fn listener(&self) -> usize {
        self.listener
    }

    /// Who it is: the address, or the user and process of a unix socket's other end.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Whether it began with READY.
    pub const fn is_bidirectional(&self) -> bool {
        self.is_bidirectional
    }

    /// When its START was read.
    pub const fn begun(&self) -> Instant {
        self.begun
    }

    /// Data frames that were read, the discarded ones included.
    pub fn frames(&self) -> u64 {
        self.frames.get()
    }

    /// Octets in them.
    pub fn octets(&self) -> u64 {
        self.octets.get()
    }

    /// Frames that were discarded because the queue was full.
    pub fn discarded_frames(&self) -> u64 {
        self.discarded_frames.get()
    }

    /// Octets in them.
    pub fn discarded_octets(&self) -> u64 {
        self.discarded_octets.get()
    }

    /// Chunks of it that were put into the queue.
    pub fn chunks_queued(&self) -> u64 {
        self.chunks_queued.get()
    }

    /// Whether the connection ended. Chunks of it may still be in the queue; all were counted in
    /// [`chunks_queued`](Self::chunks_queued) before this was said.
    pub fn is_closed(&self) -> bool {
        self.closed.get().is_some()
    }

    /// Why the connection ended.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.closed.get().map(|&(reason, _)| reason)
    }

    /// When the connection ended.
    pub fn closed_at(&self) -> Option<Instant> {
        self.closed.get().map(|&(_, at)| at)
    }

    /// The frames that were discarded since this was last asked, by the second of their own time, in order; those without
    /// a time are under 0. At most 4,096 seconds are told apart.
    pub fn take_discarded(&self) -> Vec<(u64, u64)> {
        std::mem::take(&mut *self.lock_discarded()).into_iter().collect()
    }

    /// Counts discarded frames, given as runs of frames of one second.
    pub(super) fn discard(&self, seconds: impl Iterator<Item = u64>) {
        let mut discarded = self.lock_discarded();
        for second in seconds {
            if let Some(frames) = discarded.get_mut(&second) {
                *frames += 1;
            } else if discarded.len() < MAX_SECONDS {
                discarded.insert(second, 1);
            } else if let Some((_, frames)) = discarded.range_mut(..second).next_back() {
                *frames += 1;
            } else if let Some((_, frames)) = discarded.iter_mut().next() {
                *frames += 1;
            }
        }
    }

    pub(super) fn close(&self, reason: CloseReason) {
        // Only the connection closes it, once.
        let _ = self.closed.set((reason, Instant::now()));
    }

    fn has_discarded(&self) -> bool {
        !self.lock_discarded().is_empty()
    }

    fn lock_discarded(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.discarded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closed senders that are kept for whoever asks. Somebody who opens and closes streams all day must not fill the memory.
const MAX_CLOSED: usize = 4_096;

/// The senders, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Senders(Mutex<Vec<Arc<SenderStatus>>>);

impl Senders {
    /// Takes a sender in; whether a closed one was dropped for it.
    pub(super) fn add(&self, sender: Arc<SenderStatus>) -> bool {
        let mut senders = self.lock();
        let mut dropped = false;
        if senders.len() >= MAX_CLOSED {
            // One that has nothing more to tell goes first.
            let oldest = senders
                .iter()
                .position(|sender| sender.is_closed() && !sender.has_discarded())
                .or_else(|| senders.iter().position(|sender| sender.is_closed()));
            if let Some(at) = oldest {
                senders.remove(at);
                dropped = true;
            }
        }
        senders.push(sender);
        dropped
    }

    pub(super) fn all(&self) -> Vec<Arc<SenderStatus>> {
        self.lock().clone()
    }

    /// Lets a closed sender go.
    pub(super) fn forget(&self, id: u64) {
        self.lock().retain(|sender| sender.id != id || !sender.is_closed());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<SenderStatus>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
