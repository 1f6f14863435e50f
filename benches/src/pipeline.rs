//! The pipeline in one thread, in stages that can be put together one by one; `cli/src/pipeline.rs` has the whole of it.

use std::hint::black_box;

use lowtide_aggregate::names::partition;
use lowtide_aggregate::transaction::MatcherCounters;
use lowtide_aggregate::{
    Accounts, Event, EventBatch, EventSink, Exchange, Matcher, MatcherLimits, MessageCounts, Names, ZoneMap,
};
use lowtide_capture::{CaptureFile, Damage, Record};
use lowtide_decode::{Decoder, DecoderLimits, Ports, Sink};
use lowtide_proto::dnstap::DnstapFrame;
use lowtide_proto::{Observation, Packet, Timestamp};

/// Events in a batch, as in the program.
const BATCH: usize = 1024;

/// Names with a row, as in the program.
const MAX_NAMES: usize = 1_000_000;

/// Nanoseconds of an interval, as in the program.
pub const INTERVAL: u64 = 60_000_000_000;

/// A decoder as in the program.
pub fn decoder() -> Decoder {
    Decoder::new(Ports::default(), DecoderLimits::default())
}

/// Decodes a file, all its times moved by `shift` nanoseconds. Returns the time of its last frame, moved, too.
///
/// # Errors
/// The file is damaged.
#[inline]
pub fn decode(
    file: &mut CaptureFile,
    shift: u64,
    decoder: &mut Decoder,
    sink: &mut impl Sink,
) -> Result<Timestamp, Damage> {
    let mut last = Timestamp::default();
    while let Some(record) = file.next()? {
        last = Timestamp(record.time().0 + shift);
        match record {
            Record::Packet(packet) => decoder.packet(&Packet { time: last, ..packet }, sink),
            Record::Dnstap(frame) => decoder.dnstap(&DnstapFrame { time: last, ..frame }, sink),
        }
    }
    Ok(last)
}

/// Counts messages or events and looks at no more of them than that they are there.
#[derive(Debug, Default)]
pub struct Count(pub u64);

impl Sink for Count {
    #[inline]
    fn observe(&mut self, observation: &Observation<'_>) {
        self.0 += 1;
        black_box(observation);
    }
}

impl EventSink for Count {
    #[inline]
    fn event(&mut self, event: &Event, exchange: &Exchange, name: &[u8]) {
        self.0 += 1;
        black_box((event, exchange, name));
    }
}

/// Counts messages and pairs them.
pub struct Matching<E> {
    messages: MessageCounts,
    matcher: Matcher,
    /// Where the events go.
    pub events: E,
}

impl<E: EventSink> Matching<E> {
    /// With the program's limits.
    pub fn new(events: E) -> Self {
        Self { messages: MessageCounts::default(), matcher: Matcher::new(MatcherLimits::default()), events }
    }

    /// What no event says.
    pub const fn counters(&self) -> &MatcherCounters {
        self.matcher.counters()
    }

    /// Ends the data.
    pub fn finish(&mut self, last: Timestamp) {
        self.matcher.finish(last, &mut self.events);
    }

    /// The messages counted.
    pub const fn messages(&self) -> &MessageCounts {
        &self.messages
    }
}

impl<E: EventSink> Sink for Matching<E> {
    #[inline]
    fn observe(&mut self, observation: &Observation<'_>) {
        self.messages.count(observation);
        self.matcher.observe(observation, &mut self.events);
    }
}

/// Counts events by role, server and interval, and hands them on.
pub struct Accounting<E> {
    /// The accounts.
    pub accounts: Accounts,
    /// Where the events go.
    pub next: E,
}

impl<E: EventSink> Accounting<E> {
    /// With the program's intervals.
    pub fn new(next: E) -> Self {
        Self { accounts: Accounts::new(INTERVAL), next }
    }
}

impl<E: EventSink> EventSink for Accounting<E> {
    #[inline]
    fn event(&mut self, event: &Event, exchange: &Exchange, name: &[u8]) {
        self.accounts.count(event, exchange.server);
        self.next.event(event, exchange, name);
    }
}

/// Counts events by name, in batches.
pub struct Naming {
    batch: EventBatch,
    names: Names,
}

impl Default for Naming {
    fn default() -> Self {
        Self { batch: EventBatch::default(), names: Names::new(MAX_NAMES, &ZoneMap::default()) }
    }
}

impl Naming {
    /// The names; those of the last batch are missing.
    pub const fn names(&self) -> &Names {
        &self.names
    }

    /// Counts what is left in the batch, and gives the names.
    pub fn finish(&mut self) -> &Names {
        self.names.count(&self.batch);
        self.batch.clear();
        &self.names
    }
}

impl EventSink for Naming {
    #[inline]
    fn event(&mut self, event: &Event, _: &Exchange, name: &[u8]) {
        self.batch.push(event, name, partition(name));
        if self.batch.len() >= BATCH {
            self.finish();
        }
    }
}
