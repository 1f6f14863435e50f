//! The account of a live run: what all producers have counted, for `sensor_run`, for the log and for metrics.

use std::collections::BTreeMap;

use lowtide_aggregate::report::Transactions;
use lowtide_store::sensor_run::Account;

use super::shared::{Counted, Shared};

/// The sums over all producers. What is outstanding is not yet in `transactions`.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Frames by fate.
    pub fates: BTreeMap<&'static str, u64>,
    /// Malformed messages by reason.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Queries.
    pub queries: u64,
    /// Responses.
    pub responses: u64,
    /// Transactions of all roles.
    pub transactions: Transactions,
}

impl Totals {
    /// Sums up.
    pub fn of<'a>(all: impl IntoIterator<Item = &'a Counted>) -> Self {
        let mut totals = Self::default();
        for counted in all {
            for (&fate, &count) in &counted.fates {
                *totals.fates.entry(fate).or_default() += count;
            }
            for (&reason, &count) in &counted.malformed {
                *totals.malformed.entry(reason).or_default() += count;
            }
            totals.queries += counted.queries;
            totals.responses += counted.responses;
            for transactions in counted.transactions.values() {
                totals.transactions.add(transactions);
            }
        }
        totals
    }

    /// Frames, each in one fate.
    pub fn frames(&self) -> u64 {
        self.fates.values().sum()
    }

    /// The accounts in two lines: what came in, and where it is. `frames` is what the sources say that they handed over.
    pub fn balance(&self, frames: u64) -> [String; 3] {
        let joined = |parts: &[(&str, u64)]| {
            let parts = parts.iter().filter(|(_, count)| *count > 0);
            let text: Vec<_> = parts.map(|(name, count)| format!("{count} {name}")).collect();
            if text.is_empty() { "0".to_owned() } else { text.join(" + ") }
        };
        let says = |whole: u64, parts: &[(&str, u64)]| {
            let sum: u64 = parts.iter().map(|(_, count)| count).sum();
            if sum == whole { "accounts balance" } else { "ACCOUNTS DO NOT BALANCE" }
        };
        let fates: Vec<_> = self.fates.iter().map(|(&fate, &count)| (fate, count)).collect();
        let t = &self.transactions;
        let queries = [
            ("answered", t.answered),
            ("unanswered", t.unanswered),
            ("pending", t.pending),
            ("retransmissions", t.retransmissions),
        ];
        let responses =
            [("answered", t.answered), ("duplicate", t.duplicate_responses), ("orphan", t.orphan_responses)];
        let line = |what: &str, whole: u64, parts: &[(&str, u64)]| {
            format!("{}: {whole} {what} = {}", says(whole, parts), joined(parts))
        };
        [
            line("frames", frames, &fates),
            line("queries", self.queries, &queries),
            line("responses", self.responses, &responses),
        ]
    }
}

/// The account for `sensor_run`, but for what the spool drops.
pub fn account(shared: &Shared) -> Account {
    let counted: Vec<_> = shared.counted().into_iter().map(|(counted, _)| counted).collect();
    let totals = Totals::of(&counted);
    let sources = shared.sources.all();
    let seen = || sources.iter().filter_map(|source| source.seen);
    Account {
        first: seen().map(|(first, _)| first.0).min(),
        last: seen().map(|(_, last)| last.0).max(),
        frames: totals.frames(),
        bytes: sources.iter().map(|source| source.octets).sum(),
        frame_fates: totals.fates,
        malformed: totals.malformed,
        queries: totals.queries,
        responses: totals.responses,
        transactions: totals.transactions,
        ..Account::default()
    }
}
