//! The thread that decodes what dnstap senders sent.
//!
//! Another thread reads the sockets and never waits for this one ([`lowtide_capture::tap`]); chunks of frames come over its queue.
//! A sender's connection is paired for itself; its frames are counted under the sender's identity, which each frame names. One
//! that names none is who it is by its connection, its user or address: two servers must not be taken for one, of which
//! one may be silent unseen.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crossbeam::channel::RecvTimeoutError;
use lowtide_aggregate::MatcherLimits;
use lowtide_capture::tap::{Chunk, CloseReason, SenderStatus, TapCounters, TapHandle};
use lowtide_proto::Timestamp;
use lowtide_proto::dnstap::DnstapFrame;
use lowtide_proto::time::NANOS_PER_SECOND;
use tracing::{info, warn};

use super::clock;
use super::producer::{Pairing, Producer, TICK};
use super::rarely::Rarely;

/// What of a source is lost while no sender of it is connected.
pub const DISCONNECTED: &str = "disconnected_ms";

/// Frames that were read and discarded, because what reads them was behind.
const QUEUE_FULL: &str = "queue_full";

/// Connections that ended while others went on: how much of the source's traffic came by them, nobody can tell.
const ENDED: &str = "connections_ended";

/// Connections for which there was no room: any of them may have been a server's.
const REFUSED: &str = "senders_refused";

/// Label of the reason for which a connection that says nothing ends when there is no room.
const DISPLACED: &str = CloseReason::Displaced.label();

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
    /// As the latest message says; `None` before the first.
    identity: Option<Vec<u8>>,
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
    /// What the sockets had counted at the last look.
    counters: TapCounters,
}

impl Dnstap {
    /// Nothing read yet. `socket` is the source of the tap's only listener.
    pub fn new(producer: Producer, tap: Arc<TapHandle>, socket: usize, limits: MatcherLimits) -> Self {
        Self {
            producer,
            tap,
            socket,
            limits,
            feeds: HashMap::new(),
            outstanding: 0,
            rarely: Rarely::new(),
            counters: TapCounters::default(),
        }
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
                && feed.identity.as_deref() != Some(view.identity.unwrap_or_default())
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
        self.missed(now);
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
        if self.rarely.may() {
            info!("{} has gone: {why}", feed.title());
        }
        let closed = feed.status.closed_at().map_or(now, clock::at);
        if feed.status.close_reason().is_some_and(is_broken) {
            // Other connections may be open, so that this is no gap: but what was on its way in this one is lost.
            self.producer.coverage().unknown(feed.pairing.source(), closed);
        }
        let is_socket_alone = feed.sources.is_empty();
        for &source in feed.sources.iter().chain([&feed.socket]) {
            let left = self.producer.shared().sources.closed_at(source, closed);
            // Where it was known by a name, that is where it is missed.
            let is_missed = source != feed.socket || is_socket_alone;
            if left > 0 && is_missed && feed.status.close_reason().is_some_and(is_by_itself) {
                self.producer.coverage().lost(source, closed, ENDED, 1);
                self.producer.coverage().unknown(source, closed);
            }
        }
        self.producer.finish(feed.pairing);
        self.tap.forget(id);
    }

    /// Tells of those who were turned away, or forgotten for others, since the last look.
    fn missed(&mut self, now: Timestamp) {
        let counters = self.tap.counters();
        let before = std::mem::replace(&mut self.counters, counters);
        let turned_away = |counters: &TapCounters| counters.refused + counters.closed(DISPLACED);
        if counters.dropped_senders > before.dropped_senders {
            // What was discarded of them, or how they ended, is told by nobody.
            self.producer.coverage().unknown(self.socket, now);
        }
        let refused = turned_away(&counters).saturating_sub(turned_away(&before));
        if refused == 0 {
            return;
        }
        self.producer.coverage().lost(self.socket, now, REFUSED, refused);
        self.producer.coverage().unknown(self.socket, now);
        if self.rarely.may() {
            warn!("{refused} connections were turned away: there are as many as max_senders allows");
        }
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
        self.missed(now);
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
            identity: None,
            sources: Vec::new(),
            taken: 0,
            outstanding: 0,
            is_greeted: false,
        }
    }

    fn title(&self) -> String {
        let identity = shown(self.identity.as_deref().unwrap_or_default());
        format!("{} ({})", self.status.peer(), if identity.is_empty() { "no identity" } else { &identity })
    }

    /// What follows is of another identity.
    #[cold]
    fn turn_to(&mut self, identity: &[u8], producer: &Producer) {
        self.identity = Some(identity.to_vec());
        let sources = &producer.shared().sources;
        let Some(socket) = sources.name(self.socket) else { return };
        let name = match shown(identity) {
            name if name.is_empty() => host(self.status.peer()),
            name => name,
        };
        let source = sources.sender(&format!("{socket} {name}"), producer.number(), DISCONNECTED);
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
            let time = producer.coverage().credible(time);
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

/// Whether a connection ended while this side would have gone on.
const fn is_by_itself(reason: CloseReason) -> bool {
    !matches!(reason, CloseReason::Shutdown)
}

/// What of a peer stays the same when it connects again: a user without the process, an address without the port.
fn host(peer: &str) -> String {
    match peer.parse::<SocketAddr>() {
        Ok(address) => address.ip().to_canonical().to_string(),
        Err(_) => peer.split_once(" pid ").map_or(peer, |(user, _)| user).to_owned(),
    }
}

/// An identity as part of a source's name, or of a line in the log.
fn shown(identity: &[u8]) -> String {
    let identity = identity.get(..MAX_IDENTITY).unwrap_or(identity);
    String::from_utf8_lossy(identity).chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_no_line_of_its_own() {
        assert_eq!(shown(b"ns1\n2026 ERROR \x1b[2J"), "ns1?2026 ERROR ?[2J");
        assert_eq!(shown(&[b'a'; 1_000]).len(), MAX_IDENTITY);
    }

    #[test]
    fn a_peer_is_the_same_when_it_connects_again() {
        let peers = [
            "uid 0 pid 17",
            "uid 53",
            "unknown",
            "192.0.2.1:5300",
            "[::ffff:192.0.2.1]:1",
            "[2001:db8::1]:9",
        ];
        let hosts = ["uid 0", "uid 53", "unknown", "192.0.2.1", "192.0.2.1", "2001:db8::1"];
        assert_eq!(peers.map(host), hosts);
    }
}
