//! Traffic time: what a capture file or a dnstap frame says, never the machine's clock.

/// Nanoseconds since 1970-01-01 00:00:00 UTC; reaches to the year 2554.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

impl Timestamp {
    /// From whole seconds and nanoseconds; saturates at the last representable moment.
    #[inline]
    pub const fn new(seconds: u64, nanos: u64) -> Self {
        Self(seconds.saturating_mul(NANOS_PER_SECOND).saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to this moment; negative when this one is the earlier. Saturates.
    #[inline]
    pub const fn since(self, earlier: Self) -> i64 {
        let nanos = self.0.abs_diff(earlier.0);
        let nanos = if nanos > i64::MAX as u64 { i64::MAX } else { nanos as i64 };
        if self.0 >= earlier.0 { nanos } else { -nanos }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign_and_saturate() {
        assert_eq!(Timestamp::new(2, 5).since(Timestamp::new(1, 6)), 999_999_999);
        assert_eq!(Timestamp::new(1, 0).since(Timestamp::new(2, 0)), -1_000_000_000);
        assert_eq!(Timestamp(u64::MAX).since(Timestamp(0)), i64::MAX);
        assert_eq!(Timestamp::new(u64::MAX, 1), Timestamp(u64::MAX));
    }
}
