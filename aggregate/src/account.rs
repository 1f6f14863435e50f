//! The counts kept of a name, a server, a zone, an interval or a role.

use lowtide_proto::Rcode;

use crate::event::{Event, Outcome};
use crate::latency::{self, Histogram, Pool};

/// Counts of one thing, and its latency histogram, whose memory is a [`Pool`]'s.
///
/// In this order, so that what every answered transaction changes stands together.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Account {
    /// Latency of answered transactions.
    pub latency: LatencyAccount,
    /// Queries.
    pub queries: u64,
    /// Responses.
    pub responses: u64,
    /// NODATA responses.
    pub nodata: u64,
    /// NXDOMAIN responses.
    pub nxdomain: u64,
    /// SERVFAIL responses.
    pub servfail: u64,
    /// REFUSED responses.
    pub refused: u64,
    /// Transactions without a response.
    pub unanswered: u64,
}

/// Latency of answered transactions: exact sum and extremes in nanoseconds, and the histogram, which also knows how many
/// there are.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct LatencyAccount {
    /// How they spread.
    pub histogram: Histogram,
    /// Their sum.
    pub sum: u64,
    /// The smallest; `u64::MAX` without samples.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

impl Default for LatencyAccount {
    fn default() -> Self {
        Self { histogram: Histogram::default(), sum: 0, min: u64::MAX, max: 0 }
    }
}

impl LatencyAccount {
    /// Adds a sample, in nanoseconds.
    #[inline]
    pub fn add(&mut self, nanos: u64, pool: &mut Pool) {
        self.sum = self.sum.saturating_add(nanos);
        self.min = self.min.min(nanos);
        self.max = self.max.max(nanos);
        pool.add(&mut self.histogram, latency::bucket(nanos / 1000), 1);
    }

    /// Adds the samples of another account, whose histogram is in the pool `theirs`.
    pub fn absorb(&mut self, other: &Self, pool: &mut Pool, theirs: &Pool) {
        pool.merge(&mut self.histogram, theirs, other.histogram);
        self.add_figures(other);
    }

    /// Adds everything of another account but its histogram.
    const fn add_figures(&mut self, other: &Self) {
        self.sum = self.sum.saturating_add(other.sum);
        self.min = if other.min < self.min { other.min } else { self.min };
        self.max = if other.max > self.max { other.max } else { self.max };
    }

    /// How many samples there are.
    pub fn count(&self, pool: &Pool) -> u64 {
        pool.buckets(self.histogram).map(|(_, count)| count).sum()
    }
}

impl Account {
    /// Counts an event.
    #[inline]
    pub fn count(&mut self, event: &Event, pool: &mut Pool) {
        self.queries += u64::from(event.outcome.has_query());
        // Branches, because adding 0 would load a cache line that is seldom needed.
        if event.outcome == Outcome::Unanswered {
            self.unanswered += 1;
        }
        if event.outcome.has_response() {
            self.responses += 1;
            if event.nodata {
                self.nodata += 1;
            }
            match event.rcode {
                Rcode::NXDOMAIN => self.nxdomain += 1,
                Rcode::SERVFAIL => self.servfail += 1,
                Rcode::REFUSED => self.refused += 1,
                _ => {}
            }
        }
        if let Some(Ok(nanos)) = event.latency.map(u64::try_from) {
            self.latency.add(nanos, pool);
        }
    }

    /// Adds the counts of another account, whose histograms are in the pool `theirs`.
    pub fn add(&mut self, pool: &mut Pool, other: &Self, theirs: &Pool) {
        pool.merge(&mut self.latency.histogram, theirs, other.latency.histogram);
        self.add_figures(other);
    }

    /// Adds the counts of another account of the same pool.
    pub fn add_within(&mut self, other: &Self, pool: &mut Pool) {
        pool.add_histogram(&mut self.latency.histogram, other.latency.histogram);
        self.add_figures(other);
    }

    /// Adds the counts of another account of the same pool and gives its histogram's memory back.
    pub fn absorb(&mut self, mut other: Self, pool: &mut Pool) {
        self.add_within(&other, pool);
        pool.release(&mut other.latency.histogram);
    }

    /// Whether nothing was counted.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.queries == 0 && self.responses == 0
    }

    /// Adds everything of another account but its histogram.
    const fn add_figures(&mut self, other: &Self) {
        self.queries += other.queries;
        self.responses += other.responses;
        self.nodata += other.nodata;
        self.nxdomain += other.nxdomain;
        self.servfail += other.servfail;
        self.refused += other.refused;
        self.unanswered += other.unanswered;
        self.latency.add_figures(&other.latency);
    }
}

/// Counts by response code.
#[derive(Clone, Debug, Default)]
pub struct RcodeCounts {
    /// The codes that an RFC has assigned so far.
    common: [u64; 24],
    /// The rest of the 4,096.
    rare: std::collections::BTreeMap<u16, u64>,
}

impl RcodeCounts {
    /// Counts `count` responses with `rcode`.
    #[inline]
    pub fn add(&mut self, rcode: Rcode, count: u64) {
        match self.common.get_mut(usize::from(rcode.0)) {
            Some(counter) => *counter += count,
            None => *self.rare.entry(rcode.0).or_default() += count,
        }
    }

    /// The codes that were seen, in order, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Rcode, u64)> {
        let common = (0..).zip(self.common.iter().copied());
        let rare = self.rare.iter().map(|(&code, &count)| (code, count));
        common.chain(rare).filter(|&(_, count)| count > 0).map(|(code, count)| (Rcode(code), count))
    }
}
