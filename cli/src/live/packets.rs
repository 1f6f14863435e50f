//! A thread that reads an interface: packets are decoded out of the kernel's ring.
//!
//! When it is behind, the kernel drops packets and says how many: that is read once a second and told as a loss. An interface that
//! vanishes is tried again until it is back; meanwhile nobody sees through it.

use std::time::{Duration, Instant};

use lowtide_capture::live::{LiveCapture, LiveError, LiveStats};
use tracing::{error, info, warn};

use super::clock;
use super::producer::{Pairing, Producer, TICK};

/// What of an interface is lost while it is not there.
pub const GONE: &str = "interface_gone_ms";

/// How long a look at the interface waits for packets.
const WAIT: Duration = Duration::from_millis(100);

/// Reads one handle of an interface until the run is to end.
pub struct Packets {
    producer: Producer,
    capture: LiveCapture,
    pairing: Pairing,
    stats: LiveStats,
    is_open: bool,
}

impl Packets {
    /// Nothing read yet.
    pub fn new(producer: Producer, capture: LiveCapture, pairing: Pairing) -> Self {
        producer.shared().sources.opened(pairing.source());
        Self { producer, capture, pairing, stats: LiveStats::default(), is_open: true }
    }

    /// The thread's work.
    pub fn run(mut self) {
        let mut ticked = Instant::now();
        while !self.producer.shared().is_stopping() {
            if self.is_open {
                self.read();
            } else {
                std::thread::park_timeout(TICK);
            }
            if ticked.elapsed() >= TICK {
                self.tick(ticked);
                ticked = Instant::now();
            }
        }
        self.drops();
        let Self { mut producer, pairing, is_open, .. } = self;
        if is_open {
            producer.shared().sources.closed(pairing.source());
        }
        producer.finish(pairing);
        producer.close();
    }

    fn read(&mut self) {
        let Self { producer, capture, pairing, .. } = self;
        let read = capture.poll(WAIT, &mut |packet| producer.packet(pairing, packet));
        if let Err(error) = read {
            self.lose(&error);
        }
    }

    #[cold]
    fn lose(&mut self, error: &LiveError) {
        error!("{error}; looking for it once a second");
        self.is_open = false;
        self.producer.shared().sources.closed(self.pairing.source());
    }

    fn tick(&mut self, since: Instant) {
        if !self.is_open && self.capture.reopen().is_ok() {
            info!("{} is back", self.capture.interface());
            self.is_open = true;
            self.producer.shared().sources.opened(self.pairing.source());
        }
        self.drops();
        self.producer.tick(&mut self.pairing, since.elapsed(), clock::now());
        self.producer.publish(self.pairing.outstanding());
    }

    /// Tells what the kernel dropped since it was asked last.
    fn drops(&mut self) {
        let stats = match self.capture.stats() {
            Ok(stats) => stats,
            Err(_) if !self.is_open => return,
            Err(error) => {
                warn!("{error}");
                let (source, now) = (self.pairing.source(), clock::now());
                self.producer.coverage().unknown(source, now);
                return;
            }
        };
        let (source, now) = (self.pairing.source(), clock::now());
        let coverage = self.producer.coverage();
        let since = |new: u64, old: u64| new.saturating_sub(old);
        coverage.lost(source, now, "kernel_drop", since(stats.kernel_dropped, self.stats.kernel_dropped));
        coverage.lost(
            source,
            now,
            "interface_drop",
            since(stats.interface_dropped, self.stats.interface_dropped),
        );
        self.stats = stats;
    }
}
