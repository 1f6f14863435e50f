//! The machine's clock, which a live run asks and nothing else of lowtide does.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use lowtide_proto::Timestamp;
use lowtide_proto::time::NANOS_PER_SECOND;

use crate::pipeline::nanos;

/// Nanoseconds by which two ticks may differ from what passed between them before the clock was set.
const STEP: u64 = 500_000_000;

/// The wall clock's time.
pub fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "a sensor says when it was alive, and nobody else can tell it"
    )]
    let now = SystemTime::now();
    Timestamp(now.duration_since(UNIX_EPOCH).map_or(0, nanos))
}

/// The wall clock's time at a moment that is over.
pub fn at(moment: Instant) -> Timestamp {
    Timestamp(now().0.saturating_sub(nanos(moment.elapsed())))
}

/// Notices when the wall clock is set. A machine that slept is one whose clock was set forward: the other stood still.
#[derive(Debug)]
pub struct Steps {
    wall: Timestamp,
    monotonic: Instant,
}

/// What passed between two looks at the clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// The wall clock's time before.
    pub from: Timestamp,
    /// The wall clock's time now.
    pub to: Timestamp,
    /// Nanoseconds that really passed.
    pub nanos: u64,
    /// Nanoseconds that the wall clock was set by, forward or back; 0 when it was not.
    pub step: u64,
}

impl Passed {
    /// The seconds of the wall clock that ended between the two, by their beginnings. A tick comes late where the machine is busy, and on
    /// this side or that of an interval's end; a second is of the interval that it is in, which so has all of its seconds.
    pub fn seconds(self) -> impl Iterator<Item = Timestamp> {
        let second = |time: Timestamp| time.0 / NANOS_PER_SECOND;
        (second(self.from)..second(self.to)).map(|second| Timestamp(second * NANOS_PER_SECOND))
    }

    /// Whether the wall clock was set forward.
    pub const fn is_forward(&self) -> bool {
        self.step > 0 && self.to.0 > self.from.0.saturating_add(self.nanos)
    }

    /// Whether the wall clock was set back.
    pub const fn is_back(&self) -> bool {
        self.step > 0 && !self.is_forward()
    }
}

impl Steps {
    /// Looks at both clocks.
    pub fn new() -> Self {
        Self { wall: now(), monotonic: Instant::now() }
    }

    /// Looks again.
    pub fn look(&mut self) -> Passed {
        let now = Self::new();
        let nanos = nanos(now.monotonic - self.monotonic);
        let passed = between(self.wall, now.wall, nanos);
        *self = now;
        passed
    }
}

fn between(from: Timestamp, to: Timestamp, nanos: u64) -> Passed {
    let apart = from.0.saturating_add(nanos).abs_diff(to.0);
    Passed { from, to, nanos, step: if apart > STEP { apart } else { 0 } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clock_that_was_set_steps() {
        let second = 1_000_000_000;
        let step = |to, nanos| between(Timestamp(100 * second), Timestamp(to), nanos).step;
        assert_eq!(step(101 * second, second), 0);
        assert_eq!(step(160 * second, 60 * second), 0, "the process was stopped");
        assert_eq!(step(101 * second + 400_000_000, second), 0, "slewed");
        assert_eq!(step(3_701 * second, second), 3_600 * second);
        assert_eq!(step(41 * second, second), 60 * second);
    }
}
