//! How fast the queries to the old servers decay, and when they are expected to be over.
//!
//! After the cutover caches let go one after another, so that the rate falls about exponentially. The logarithm of the counts of
//! each step is fitted to a line by weighted least squares; a count's logarithm has about the variance of its inverse, so that
//! counts are the weights.

use lowtide_proto::Timestamp;

use super::evidence::Series;
use super::plan::SECOND;

/// Steps from which a line can be fitted.
const LEAST_STEPS: usize = 5;

/// 97.5 % of the normal distribution: for an interval of 95 %.
const Z: f64 = 1.96;

/// A fitted decay.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decay {
    /// Seconds in which the rate halves.
    pub half_life: f64,
    /// When less than one query is expected in a quiet period.
    pub quiet: Timestamp,
    /// The same at both ends of the slope's 95 % interval; the later one is `None` when that end does not fall.
    pub quiet_interval: (Timestamp, Option<Timestamp>),
}

/// Fits the decay of a series from `from` to `to`; `None` when it does not fall, or there is too little of it.
pub fn fit(series: &Series, from: Timestamp, to: Timestamp, quiet_period: u64) -> Option<Decay> {
    let hours = |time: Timestamp| time.0.saturating_sub(from.0) as f64 / (3_600.0 * SECOND as f64);
    // By hours: a step of a minute seldom has a query.
    let mut counts = std::collections::BTreeMap::<u64, f64>::new();
    for (time, count) in series.iter().filter(|&(time, _)| time >= from && time <= to) {
        *counts.entry(hours(time) as u64).or_default() += count as f64;
    }
    if counts.len() < LEAST_STEPS {
        return None;
    }
    let points = || counts.iter().map(|(&hour, &count)| (hour as f64 + 0.5, count.ln(), count));
    let sum = |of: &dyn Fn(f64, f64, f64) -> f64| points().map(|(x, y, w)| of(x, y, w)).sum::<f64>();
    let weight = sum(&|_, _, w| w);
    let (mean_x, mean_y) = (sum(&|x, _, w| w * x) / weight, sum(&|_, y, w| w * y) / weight);
    let spread = sum(&|x, _, w| w * (x - mean_x).powi(2));
    if spread <= 0.0 {
        return None;
    }
    let slope = sum(&|x, y, w| w * (x - mean_x) * (y - mean_y)) / spread;
    let residual = sum(&|x, y, w| w * (y - mean_y - slope * (x - mean_x)).powi(2));
    let error = (residual / (counts.len() - 2) as f64 / spread).sqrt();
    let quiet_hours = quiet_period as f64 / (3_600.0 * SECOND as f64);
    // The rate is e^(a + bx) an hour: less than one in a quiet period when that is 1 / quiet_hours.
    let quiet_at = |slope: f64| {
        let x = mean_x + (-quiet_hours.ln() - mean_y) / slope;
        (slope < 0.0 && x.is_finite())
            .then(|| Timestamp(from.0.saturating_add((x.max(0.0) * 3_600.0 * SECOND as f64) as u64)))
    };
    Some(Decay {
        half_life: std::f64::consts::LN_2 / -slope * 3_600.0,
        quiet: quiet_at(slope)?,
        quiet_interval: (quiet_at(slope - Z * error)?, quiet_at(slope + Z * error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600 * SECOND;

    #[test]
    fn an_exponential_is_found_again() {
        let mut series = Series::new(60 * SECOND);
        // 10,000 an hour, halved every 6 hours.
        for hour in 0..48_u64 {
            let count = 10_000.0 * (-(hour as f64 + 0.5) / 6.0).exp2();
            series.add(Timestamp(hour * HOUR), count.round() as u64);
        }
        let decay = fit(&series, Timestamp(0), Timestamp(48 * HOUR), 24 * HOUR).unwrap();
        assert!((decay.half_life / 3_600.0 - 6.0).abs() < 0.1, "{decay:?}");
        // 10,000 × 2^(-x/6) = 1/24 at x = 6 × log2(240,000) = 107 hours.
        let quiet = decay.quiet.0 as f64 / HOUR as f64;
        assert!((quiet - 107.2).abs() < 2.0, "{quiet}");
        let (early, late) = decay.quiet_interval;
        assert!(early <= decay.quiet && late.is_some_and(|late| late >= decay.quiet));
    }

    #[test]
    fn what_does_not_fall_has_no_end() {
        let mut series = Series::new(60 * SECOND);
        for hour in 0..48 {
            series.add(Timestamp(hour * HOUR), 100 + hour);
        }
        assert_eq!(fit(&series, Timestamp(0), Timestamp(48 * HOUR), 24 * HOUR), None);
        assert_eq!(fit(&Series::new(1), Timestamp(0), Timestamp(48 * HOUR), 24 * HOUR), None);
    }
}
