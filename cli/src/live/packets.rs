//! A thread that reads an interface: packets are decoded out of the kernel's ring.
//!
//! When it is behind, the kernel drops packets and says how many: that is read once a second and told as a loss. An interface that
//! vanishes is tried again until it is back; meanwhile nobody sees through it. What an XDP program takes never gets here, and one may
//! be attached at any time: it is looked for every few seconds, and while there is one, how much is lost is unknown.

use std::time::{Duration, Instant};

use lowtide_capture::live::{LiveCapture, LiveError, LiveStats};
use lowtide_proto::Timestamp;
use tracing::{error, info, warn};

use super::clock;
use super::producer::{Pairing, Producer, TICK};
use crate::pipeline::nanos;

/// What of an interface is lost while it is not there.
pub const GONE: &str = "interface_gone_ms";

/// How long a look at the interface waits for packets.
const WAIT: Duration = Duration::from_millis(100);

/// How long a capture that reads nothing may take to find that its interface is gone.
const UNNOTICED: Duration = Duration::from_secs(1);

/// How often XDP programs are looked for.
const LOOK: Duration = Duration::from_secs(10);

/// How far back it is told at most that losses are unknown: beyond, the run stood still, which is told by who watches over it.
const LONGEST_DOUBT: u64 = 60;

/// Reads one handle of an interface until the run is to end.
pub struct Packets {
    producer: Producer,
    capture: LiveCapture,
    pairing: Pairing,
    stats: LiveStats,
    is_open: bool,
    /// When the interface was there for certain.
    seen: Timestamp,
    /// Why it cannot be opened again.
    reopening: Trouble,
    /// Why the kernel's counters cannot be read.
    counting: Trouble,
    counted: Doubt,
    /// What may hide packets.
    hiding: Trouble,
    bare: Doubt,
    looked: Instant,
}

/// What is wrong at the moment, so that it is said when it changes and not once a second.
#[derive(Debug, Default)]
struct Trouble(Option<String>);

impl Trouble {
    /// What to say, if it is not what was said last; `None` = all is well.
    fn news(&mut self, now: Option<String>) -> Option<Option<&str>> {
        if self.0 == now {
            return None;
        }
        self.0 = now;
        Some(self.0.as_deref())
    }
}

/// Up to when all losses are known.
#[derive(Debug)]
struct Doubt(Timestamp);

impl Doubt {
    /// They are known up to now.
    const fn end(&mut self, now: Timestamp) {
        self.0 = now;
    }

    /// They are not: the moments of each second since.
    fn seconds(&mut self, now: Timestamp) -> impl Iterator<Item = Timestamp> + use<> {
        let second = nanos(Duration::from_secs(1));
        let earliest = now.0.saturating_sub(LONGEST_DOUBT * second);
        let since = std::mem::replace(&mut self.0, now).0.clamp(earliest, now.0);
        (0..(now.0 - since).div_ceil(second))
            .map(move |count| Timestamp(since + count * second))
            .chain(std::iter::once(now))
    }
}

impl Packets {
    /// Nothing read yet.
    pub fn new(producer: Producer, capture: LiveCapture, pairing: Pairing) -> Self {
        // It was open before the source had a number.
        producer.shared().sources.opened_at(pairing.source(), Timestamp(0));
        let now = clock::now();
        Self {
            producer,
            capture,
            pairing,
            stats: LiveStats::default(),
            is_open: true,
            seen: now,
            reopening: Trouble::default(),
            counting: Trouble::default(),
            counted: Doubt(now),
            hiding: Trouble::default(),
            bare: Doubt(now),
            looked: Instant::now(),
        }
    }

    /// The thread's work.
    pub fn run(mut self) {
        self.look();
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
        self.look();
        let Self { mut producer, pairing, is_open, .. } = self;
        if is_open {
            producer.shared().sources.closed(pairing.source());
        }
        producer.finish(pairing);
        producer.close();
    }

    fn read(&mut self) {
        let Self { producer, capture, pairing, .. } = self;
        match capture.poll(WAIT, &mut |packet| producer.packet(pairing, packet)) {
            // Silence is looked into once a second.
            Ok(polled) if polled.packets == 0 => {
                let looked = clock::now().0.saturating_sub(nanos(UNNOTICED));
                self.seen = self.seen.max(Timestamp(looked));
            }
            Ok(_) => {}
            Err(error) => self.lose(&error),
        }
    }

    #[cold]
    fn lose(&mut self, error: &LiveError) {
        error!("{error}; looking for it once a second");
        self.is_open = false;
        let since = self.seen.max(self.pairing.latest()).min(clock::now());
        self.producer.shared().sources.closed_at(self.pairing.source(), since);
    }

    fn tick(&mut self, since: Instant) {
        if !self.is_open {
            self.reopen();
        }
        self.drops();
        if self.looked.elapsed() >= LOOK {
            self.look();
        }
        if self.hiding.0.is_some() {
            self.doubt(|packets| &mut packets.bare);
        }
        self.pairing.limit(self.producer.outstanding_limit());
        self.producer.tick(&mut self.pairing, since.elapsed(), clock::now());
        self.producer.publish(self.pairing.outstanding());
    }

    fn reopen(&mut self) {
        let error = self.capture.reopen().err();
        if let Some(Some(error)) = self.reopening.news(error.as_ref().map(LiveError::to_string)) {
            warn!("{error}");
        }
        if error.is_none() {
            info!("{} is back", self.capture.interface());
            self.is_open = true;
            self.seen = clock::now();
            self.producer.shared().sources.opened(self.pairing.source());
            // It may be another one, with a program of its own.
            self.look();
        }
    }

    /// Looks for XDP programs.
    fn look(&mut self) {
        if !self.is_open {
            return;
        }
        self.looked = Instant::now();
        let found = match self.capture.xdp() {
            Ok(xdp) if !xdp.is_attached() => None,
            Ok(xdp) => Some(xdp.to_string()),
            Err(error) => Some(format!("whether an XDP program is attached cannot be learnt: {error}")),
        };
        match self.hiding.news(found) {
            Some(Some(what)) => {
                warn!(
                    "{}: {what}; it may hide traffic, and coverage is unknown meanwhile",
                    self.capture.interface()
                );
            }
            Some(None) => {
                info!("{}: no XDP program is attached any more", self.capture.interface());
                // Until a moment ago there was one.
                self.doubt(|packets| &mut packets.bare);
            }
            None => {}
        }
        match self.hiding.0 {
            Some(_) => self.doubt(|packets| &mut packets.bare),
            None => self.bare.end(clock::now()),
        }
    }

    /// Tells what the kernel dropped since it was asked last.
    fn drops(&mut self) {
        let stats = self.capture.stats();
        if stats.is_err() && !self.is_open {
            return;
        }
        match self.counting.news(stats.as_ref().err().map(LiveError::to_string)) {
            Some(Some(error)) => warn!("{error}; how much the kernel drops is unknown meanwhile"),
            Some(None) => info!("{}: the kernel's counters can be read again", self.capture.interface()),
            None => {}
        }
        let Ok(stats) = stats else {
            self.doubt(|packets| &mut packets.counted);
            return;
        };
        let (source, now) = (self.pairing.source(), clock::now());
        self.counted.end(now);
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

    /// Says that what was lost since then is unknown.
    fn doubt(&mut self, of: impl FnOnce(&mut Self) -> &mut Doubt) {
        let source = self.pairing.source();
        for moment in of(self).seconds(clock::now()) {
            self.producer.coverage().unknown(source, moment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_is_news_once() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.news(None), None);
        assert_eq!(trouble.news(Some("no".to_owned())), Some(Some("no")));
        assert_eq!(trouble.news(Some("no".to_owned())), None);
        assert_eq!(trouble.news(None), Some(None));
    }

    #[test]
    fn a_doubt_is_in_every_second_since_it_began() {
        let at = |millis: u64| Timestamp(1_000_000_000_000 + millis * 1_000_000);
        let mut doubt = Doubt(at(0));
        assert_eq!(doubt.seconds(at(2_500)).collect::<Vec<_>>(), [at(0), at(1_000), at(2_000), at(2_500)]);
        assert_eq!(doubt.seconds(at(3_000)).collect::<Vec<_>>(), [at(2_500), at(3_000)]);
        assert_eq!(doubt.seconds(at(1_000)).collect::<Vec<_>>(), [at(1_000)], "the clock was set back");
        doubt.end(at(9_000));
        assert_eq!(doubt.seconds(at(9_000)).collect::<Vec<_>>(), [at(9_000)]);
        assert_eq!(doubt.seconds(at(900_000)).count() as u64, LONGEST_DOUBT + 1);
    }
}
