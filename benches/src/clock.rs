//! The clock of live traffic, and waiting for a moment.

use std::thread::park_timeout;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "live traffic bears the time at which it is sent")]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Waits for a moment: senders have a rate, and a fault has its place in the schedule.
pub fn wait_until(moment: Instant) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // Nobody unparks; it may return early all the same.
        park_timeout(left);
    }
}

/// Looks every `step` whether something is there, for `time` at most.
pub fn await_some<T>(time: Duration, step: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        let found = look();
        if found.is_some() || begin.elapsed() >= time {
            return found;
        }
        wait_until(Instant::now() + step);
    }
}
