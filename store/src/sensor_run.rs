//! The row of the table `sensor_run`: what a run read, with which options, and its account.

use std::collections::BTreeMap;

use lowtide_aggregate::report::{Report, Transactions};

use crate::native::{self, Column, Floats, Lists, Map, Moments, Numbers, Texts, Word};
use crate::run::RunKey;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It has begun.
    Running,
    /// It came to its end.
    Finished,
    /// It ended early.
    Failed,
}

impl State {
    /// The word in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Finished => "finished",
            State::Failed => "failed",
        }
    }
}

/// A run and its account.
#[derive(Clone, Debug)]
pub struct SensorRun {
    /// Which run.
    pub key: RunKey,
    /// The version of lowtide.
    pub version: String,
    /// When this is said, by the clock, in nanoseconds since 1970.
    pub updated: u64,
    /// When it began, by the clock.
    pub started: u64,
    /// When it ended, by the clock.
    pub finished: Option<u64>,
    /// How far it is.
    pub state: State,
    /// Digest of inputs and options.
    pub fingerprint: String,
    /// Files, interfaces and sockets as given.
    pub inputs: Vec<String>,
    /// Seconds of an interval.
    pub interval_s: f64,
    /// Seconds until a query counts as unanswered.
    pub query_timeout_s: f64,
    /// What came of it.
    pub account: Account,
}

/// What a run counted.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Traffic time of the earliest frame, nanoseconds since 1970.
    pub first: Option<u64>,
    /// Traffic time of the latest frame.
    pub last: Option<u64>,
    /// Packets or dnstap frames.
    pub frames: u64,
    /// Octets of the inputs as stored.
    pub bytes: u64,
    /// Frames by fate.
    pub frame_fates: BTreeMap<&'static str, u64>,
    /// Malformed messages by reason.
    pub malformed: BTreeMap<&'static str, u64>,
    /// Queries.
    pub queries: u64,
    /// Responses.
    pub responses: u64,
    /// Transactions of all roles.
    pub transactions: Transactions,
    /// Rows by table.
    pub rows: BTreeMap<&'static str, u64>,
    /// What was counted and not delivered.
    pub dropped: BTreeMap<&'static str, u64>,
}

impl Account {
    /// From the report of a replay; rows and drops are the caller's to fill.
    pub fn of(report: &Report, first: Option<u64>, last: Option<u64>) -> Self {
        Self {
            first,
            last,
            frames: report.inputs.iter().map(|input| input.frames).sum(),
            bytes: report.inputs.iter().map(|input| input.bytes).sum(),
            frame_fates: report.frame_fates.clone(),
            malformed: report.messages.malformed.clone(),
            queries: report.messages.queries,
            responses: report.messages.responses,
            transactions: report.transactions,
            ..Self::default()
        }
    }
}

impl SensorRun {
    /// The names of the columns and the block of this one row, in Native form.
    pub fn block(&self) -> (Vec<&'static str>, Vec<u8>) {
        let text = |text: &str| {
            let mut column = Texts::default();
            column.push(text.as_bytes());
            column
        };
        let number = |value| {
            let mut column = Numbers::default();
            column.push(value);
            column
        };
        let seconds = |value| {
            let mut column = Floats::default();
            column.push(value);
            column
        };
        let moment = |nanos| {
            let mut column = Moments::default();
            column.push(nanos);
            column
        };
        let map = |counts: &BTreeMap<&'static str, u64>| {
            let mut column = Map::default();
            column.push(counts.iter().map(|(&name, &count)| (Word(name), count)));
            column
        };
        let mut inputs = Lists::default();
        inputs.push(self.inputs.iter().map(String::as_str));
        let account = &self.account;
        let transactions = &account.transactions;
        let columns: Vec<(&'static str, Box<dyn Column>)> = vec![
            ("sensor", Box::new(text(&self.key.sensor))),
            ("run", Box::new(text(&self.key.run))),
            ("kind", Box::new(text(self.key.kind.as_str()))),
            ("version", Box::new(text(&self.version))),
            ("updated", Box::new(moment(Some(self.updated)))),
            ("started", Box::new(moment(Some(self.started)))),
            ("finished", Box::new(moment(self.finished))),
            ("state", Box::new(text(self.state.as_str()))),
            ("fingerprint", Box::new(text(&self.fingerprint))),
            ("inputs", Box::new(inputs)),
            ("interval_s", Box::new(seconds(self.interval_s))),
            ("query_timeout_s", Box::new(seconds(self.query_timeout_s))),
            ("first", Box::new(moment(account.first))),
            ("last", Box::new(moment(account.last))),
            ("frames", Box::new(number(account.frames))),
            ("bytes", Box::new(number(account.bytes))),
            ("frame_fates", Box::new(map(&account.frame_fates))),
            ("malformed", Box::new(map(&account.malformed))),
            ("queries", Box::new(number(account.queries))),
            ("responses", Box::new(number(account.responses))),
            ("answered", Box::new(number(transactions.answered))),
            ("unanswered", Box::new(number(transactions.unanswered))),
            ("pending", Box::new(number(transactions.pending))),
            ("retransmissions", Box::new(number(transactions.retransmissions))),
            ("duplicate_responses", Box::new(number(transactions.duplicate_responses))),
            ("orphan_responses", Box::new(number(transactions.orphan_responses))),
            ("rows", Box::new(map(&account.rows))),
            ("dropped", Box::new(map(&account.dropped))),
        ];
        let borrowed: Vec<_> = columns.iter().map(|(name, column)| (*name, &**column)).collect();
        let mut block = Vec::new();
        native::block(1, &borrowed, &mut block);
        (columns.iter().map(|(name, _)| *name).collect(), block)
    }
}
