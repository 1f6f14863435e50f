//! Lines that anybody could cause at will are logged so many a minute, and the rest are counted.

use std::time::{Duration, Instant};

/// Over how long lines are counted.
const SPAN: Duration = Duration::from_secs(60);

/// Lines in that time. Servers come and go seldom; what comes and goes more often is a flood.
const LINES: u32 = 20;

/// Whether to log.
#[derive(Debug)]
pub struct Rarely {
    since: Instant,
    logged: u32,
    left_out: u64,
}

impl Rarely {
    /// Nothing logged yet.
    pub fn new() -> Self {
        Self { since: Instant::now(), logged: 0, left_out: 0 }
    }

    /// Whether a line may be logged now.
    pub fn may(&mut self) -> bool {
        self.may_at(Instant::now())
    }

    fn may_at(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= SPAN {
            self.since = now;
            self.logged = 0;
        }
        let may = self.logged < LINES;
        if may {
            self.logged += 1;
        } else {
            self.left_out += 1;
        }
        may
    }

    /// How many lines were left out since this was asked last, when the flood is over.
    pub fn left_out(&mut self) -> Option<u64> {
        let is_over = self.logged < LINES || self.since.elapsed() >= SPAN;
        (is_over && self.left_out > 0).then(|| std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_told_once() {
        let mut rarely = Rarely::new();
        let begin = Instant::now();
        let said = (0..100).filter(|_| rarely.may_at(begin)).count();
        assert_eq!(said, LINES as usize);
        assert_eq!(rarely.left_out(), None, "it goes on");
        assert!(rarely.may_at(begin + SPAN * 2));
        assert_eq!(rarely.left_out(), Some(80));
        assert_eq!(rarely.left_out(), None);
    }
}
