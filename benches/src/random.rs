//! Random numbers that are the same in every run, and names that are not asked for evenly.

pub use lowtide_simulator::random::{Random, mix};

/// Ranks by Zipf's law: rank `r`, counted from 0, with a weight of 1/(r+1)^exponent. Names are asked so.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// Sums of the weights up to each rank.
    sums: Vec<f64>,
}

impl Zipf {
    /// Over `ranks` ranks.
    pub fn new(ranks: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weight = |rank: usize| (rank as f64).powf(-exponent);
        let sums = (1..=ranks).map(|rank| {
            sum += weight(rank);
            sum
        });
        Self { sums: sums.collect() }
    }

    /// A rank.
    pub fn rank(&self, random: &mut Random) -> usize {
        let all = self.sums.last().copied().unwrap_or_default();
        let at = random.unit() * all;
        self.sums.partition_point(|&sum| sum <= at).min(self.sums.len().saturating_sub(1))
    }
}
