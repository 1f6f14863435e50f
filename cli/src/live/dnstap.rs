//! The thread that decodes what dnstap senders sent.
//!
//! Another thread reads the sockets and never waits for this one ([`lowtide_capture::tap`]); chunks of frames come over its queue.
//! A sender's connection is paired for itself; its frames are counted under the sender's identity, which each frame names.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::RecvTimeoutError;
use lowtide_aggregate::MatcherLimits;
use lowtide_capture::tap::{Chunk, CloseReason, SenderStatus, TapHandle};
use lowtide_proto::Timestamp;
use lowtide_proto::dnstap::DnstapFrame;
use lowtide_proto::time::NANOS_PER_SECOND;
use tracing::info;

use super::clock;
use super::producer::{Pairing, Producer, TICK};
use super::rarely::Rarely;

/// What of a source is lost while no sender of it is connected.
pub const DISCONNECTED: &str = "disconnected_ms";

/// Frames that were read and discarded, because what reads them was behind.
const QUEUE_FULL: &str = "queue_full";

/// Octets of an identity that are kept.
const MAX_IDENTITY: usize = 128;

/// Outstanding messages that a connection may always have, however many others have.
const LEAST_OUTSTANDING: usize = 1_024;

/// A connection of a sender.
struct Feed {
    status: Arc<SenderStatus>,
    /// The socket that it came by, as a source.
    socket: usize,
    pairing: Pairing,
    identity: Vec<u8>,
    /// Sources that it has named, each opened once.
    sources: Vec<usize>,
    /// Chunks that were taken.
    taken: u64,
    outstanding: usize,
    is_greeted: bool,
}

/// Decodes until the run is to end.
pub struct Dnstap {
    producer: Producer,
    tap: Arc<TapHandle>,
    /// The socket as a source.
    socket: usize,
    limits: MatcherLimits,
    feeds: HashMap<u64, Feed>,
    outstanding: usize,
    rarely: Rarely,
}

impl Dnstap {
    /// Nothing read yet. `socket` is the source of the tap's only listener.
    pub fn new(producer: Producer, tap: Arc<TapHandle>, socket: usize, limits: MatcherLimits) -> Self {
        Self { producer, tap, socket, limits, feeds: HashMap::new(), outstanding: 0, rarely: Rarely::new() }
    }

    /// The thread's work.
    pub fn run(mut self) {
        let mut ticked = Instant::now();
        while !self.producer.shared().is_stopping() {
            match self.tap.chunks().recv_deadline(ticked + TICK) {
                Ok(chunk) => self.chunk(chunk),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if ticked.elapsed() >= TICK {
                self.tick(ticked);
                ticked = Instant::now();
            }
        }
        self.end();
    }

    fn chunk(&mut self, chunk: Chunk) {
        if !self.feeds.contains_key(&chunk.sender.id()) {
            self.part_with_gone();
        }
        let Self { producer, feeds, limits, outstanding, socket, .. } = self;
        let new = || Feed::new(&chunk.sender, *socket, *limits, producer);
        let feed = feeds.entry(chunk.sender.id()).or_insert_with(new);
        feed.taken += 1;
        let others = outstanding.saturating_sub(feed.outstanding);
        feed.pairing.limit(producer.outstanding_limit().saturating_sub(others).max(LEAST_OUTSTANDING));
        for octets in chunk.frames() {
            let frame = DnstapFrame::parse(octets, feed.pairing.latest());
            if let Ok(view) = &frame.view
                && view.identity.unwrap_or_default() != feed.identity
            {
                feed.turn_to(view.identity.unwrap_or_default(), producer);
            }
            producer.dnstap(&mut feed.pairing, &frame);
        }
        feed.outstanding = feed.pairing.outstanding();
        *outstanding = others + feed.outstanding;
        self.tap.recycle(chunk);
    }

    /// Once a second: time goes on for those who are silent, who has gone is ended, and everything is published.
    fn tick(&mut self, since: Instant) {
        let now = clock::now();
        let elapsed = since.elapsed();
        self.part_with_gone();
        for status in self.tap.senders() {
            self.greet(&status);
        }
        if let Some(lines) = self.rarely.left_out() {
            info!("{lines} lines about senders that came and went were left out");
        }
        for feed in self.feeds.values_mut() {
            feed.discarded(&mut self.producer, now);
            self.producer.tick(&mut feed.pairing, elapsed, now);
            feed.outstanding = feed.pairing.outstanding();
        }
        self.part_with_gone();
        self.outstanding = self.feeds.values().map(|feed| feed.outstanding).sum();
        self.producer.publish(self.outstanding);
    }

    /// Knows of a sender before its first frame: silence, too, is watched.
    fn greet(&mut self, status: &Arc<SenderStatus>) {
        let Self { producer, feeds, limits, socket, rarely, .. } = self;
        let feed = feeds.entry(status.id()).or_insert_with(|| Feed::new(status, *socket, *limits, producer));
        if !std::mem::replace(&mut feed.is_greeted, true) && rarely.may() {
            info!("{} sends dnstap", feed.title());
        }
    }

    /// Ends who has gone. Before somebody new is greeted: it may be the same sender again, and the time between counts.
    fn part_with_gone(&mut self) {
        let gone = self.feeds.values().filter(|feed| feed.is_over()).map(|feed| feed.status.id());
        let gone: Vec<u64> = gone.collect();
        let now = clock::now();
        for id in gone {
            self.part(id, now);
        }
    }

    fn part(&mut self, id: u64, now: Timestamp) {
        let Some(feed) = self.feeds.remove(&id) else { return };
        feed.discarded(&mut self.producer, now);
        let why =
            feed.status.close_reason().map_or_else(|| "lowtide stops".to_owned(), |why| why.to_string());
        info!("{} has gone: {why}", feed.title());
        let closed = feed.status.closed_at().map_or(now, clock::at);
        if feed.status.close_reason().is_some_and(is_broken) {
            // Other connections may be open, so that this is no gap: but what was on its way in this one is lost.
            self.producer.coverage().unknown(feed.pairing.source(), closed);
        }
        for &source in feed.sources.iter().chain([&feed.socket]) {
            self.producer.shared().sources.closed_at(source, closed);
        }
        self.producer.finish(feed.pairing);
        self.tap.forget(id);
    }

    /// Reads what is there, and ends.
    fn end(mut self) {
        // The sockets are read for the last time, and closed; what is in the queue is all there is.
        self.tap.stop();
        while let Ok(chunk) = self.tap.chunks().try_recv() {
            self.chunk(chunk);
        }
        for status in self.tap.senders() {
            self.greet(&status);
        }
        let now = clock::now();
        let ids: Vec<u64> = self.feeds.keys().copied().collect();
        for id in ids {
            self.part(id, now);
        }
        self.producer.close();
    }
}

impl Feed {
    fn new(status: &Arc<SenderStatus>, socket: usize, limits: MatcherLimits, producer: &Producer) -> Self {
        producer.shared().sources.opened_at(socket, clock::at(status.begun()));
        Self {
            status: Arc::clone(status),
            socket,
            pairing: Pairing::new(socket, limits, clock::now()),
            identity: Vec::new(),
            sources: Vec::new(),
            taken: 0,
            outstanding: 0,
            is_greeted: false,
        }
    }

    fn title(&self) -> String {
        let identity = String::from_utf8_lossy(&self.identity);
        format!("{} ({})", self.status.peer(), if identity.is_empty() { "no identity" } else { &identity })
    }

    /// What follows is of another identity.
    #[cold]
    fn turn_to(&mut self, identity: &[u8], producer: &Producer) {
        self.identity = identity.to_vec();
        let sources = &producer.shared().sources;
        let Some(socket) = sources.name(self.socket) else { return };
        let source = match shown(identity) {
            name if name.is_empty() => self.socket,
            name => sources.number(&format!("{socket} {name}"), producer.number(), DISCONNECTED),
        };
        if source != self.socket && !self.sources.contains(&source) {
            // Who it is, it says with its first frame; there, it was before.
            sources.opened_at(source, clock::at(self.status.begun()));
            self.sources.push(source);
        }
        self.pairing.turn_to(source);
    }

    /// Counts what was read and discarded, each frame in its own time.
    fn discarded(&self, producer: &mut Producer, now: Timestamp) {
        for (second, frames) in self.status.take_discarded() {
            let time = if second == 0 { now } else { Timestamp(second.saturating_mul(NANOS_PER_SECOND)) };
            producer.coverage().lost(self.pairing.source(), time, QUEUE_FULL, frames);
        }
    }

    /// Whether it is closed, and everything of it was taken.
    fn is_over(&self) -> bool {
        self.status.is_closed() && self.taken >= self.status.chunks_queued()
    }
}

/// Whether frames may have been lost by a connection's end, beside what its sender decided to lose.
const fn is_broken(reason: CloseReason) -> bool {
    use CloseReason::{Cut, Failed, FrameTimeout, Protocol};
    matches!(reason, Cut | Failed(_) | FrameTimeout | Protocol(_))
}

/// An identity as part of a source's name.
fn shown(identity: &[u8]) -> String {
    let identity = identity.get(..MAX_IDENTITY).unwrap_or(identity);
    String::from_utf8_lossy(identity).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
