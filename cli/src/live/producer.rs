//! A thread that reads, decodes and pairs: what those for dnstap and for packets have in common.
//!
//! It counts for itself and publishes once a second. What it pairs stays apart for each source ([`Pairing`]), because each has
//! a clock of its own: a backlog an hour old must not make the others' queries expire, nor theirs its own.

use std::sync::Arc;
use std::time::Duration;

use lowtide_aggregate::drain::{Migration, Visitors, Watch};
use lowtide_aggregate::{Coverage, Matcher, MatcherLimits, MessageCounts};
use lowtide_decode::{Decoder, Sink};
use lowtide_proto::dnstap::DnstapFrame;
use lowtide_proto::{Observation, Packet, Timestamp};

use super::clock;
use super::shared::{Counted, Settings, Shared};
use crate::pipeline::UNREADABLE;
use crate::pipeline::fan::{Fan, Marks};

/// Between two signs of life of a producer.
pub const TICK: Duration = Duration::from_secs(1);

/// What a tick counts for at most. When the process was stopped for a while, what waits in the sockets is older than
/// that, and must be read before anything expires.
const LONGEST_TICK: Duration = Duration::from_millis(1_500);

/// Frames between two looks whether so many rows of migrations wait that they are to be handed over.
const LOOK_FRAMES: u32 = 1_024;

/// What is outstanding of one source, in its own traffic time.
pub struct Pairing {
    source: usize,
    matcher: Matcher,
    latest: Timestamp,
    /// For how long nothing came.
    idle: Duration,
    /// Whether something came since the last tick.
    busy: bool,
    clock_steps: u64,
}

impl Pairing {
    /// Nothing outstanding of a source, at `now` by the clock.
    pub fn new(source: usize, limits: MatcherLimits, now: Timestamp) -> Self {
        let matcher = Matcher::new(limits);
        Self { source, matcher, latest: now, idle: Duration::ZERO, busy: false, clock_steps: 0 }
    }

    /// The time of the frame read last.
    pub const fn latest(&self) -> Timestamp {
        self.latest
    }

    /// The source that is read.
    pub const fn source(&self) -> usize {
        self.source
    }

    /// What comes from now on belongs to this source.
    pub const fn turn_to(&mut self, source: usize) {
        self.source = source;
    }

    /// Messages that wait for their counterpart.
    pub fn outstanding(&self) -> usize {
        self.matcher.outstanding()
    }

    /// Bounds what may be outstanding.
    pub const fn limit(&mut self, outstanding: usize) {
        self.matcher.limit(outstanding);
    }
}

/// Takes the messages of a frame.
struct Tally<'a> {
    source: usize,
    messages: &'a mut MessageCounts,
    coverage: &'a mut Coverage,
    matcher: &'a mut Matcher,
    fan: &'a mut Fan,
    watch: Option<&'a mut Watch>,
}

impl Sink for Tally<'_> {
    #[inline]
    fn observe(&mut self, observation: &Observation<'_>) {
        self.messages.count(observation);
        let server = observation.server.address;
        let mut is_watched = false;
        if let Some(watch) = &mut self.watch {
            let time = self.coverage.credible(observation.time);
            let fan = &mut *self.fan;
            is_watched = watch.observe_as(self.source, observation, time, |client| fan.client(client));
        }
        if !is_watched && !server.to_canonical().is_unspecified() {
            self.coverage.server(self.source, server, observation.time);
        }
        self.matcher.observe(observation, self.fan);
    }
}

/// Decodes and pairs the frames of some sources.
pub struct Producer {
    name: String,
    number: usize,
    decoder: Decoder,
    messages: MessageCounts,
    coverage: Coverage,
    fan: Fan,
    /// Who asks the servers of migrations; `None` without migrations.
    watch: Option<Watch>,
    /// Frames until it is looked whether too many rows of that wait.
    unlooked: u32,
    shared: Arc<Shared>,
    /// How long frames may be late.
    lateness: Duration,
    closes: u64,
    clock_steps: u64,
    /// Frames that could not be read.
    unreadable: u64,
    settings: Settings,
    changes: u64,
}

impl Producer {
    /// A producer that has read nothing yet.
    pub fn new(
        name: &str,
        decoder: Decoder,
        coverage: Coverage,
        fan: Fan,
        lateness: Duration,
        shared: &Arc<Shared>,
    ) -> Self {
        let mut producer = Self {
            name: name.to_owned(),
            number: shared.producer(name),
            decoder,
            messages: MessageCounts::default(),
            coverage,
            fan,
            watch: None,
            unlooked: LOOK_FRAMES,
            shared: Arc::clone(shared),
            lateness,
            closes: 0,
            clock_steps: 0,
            unreadable: 0,
            settings: Settings::default(),
            changes: 0,
        };
        producer.coverage.set_clock(clock::now());
        producer.learn_settings();
        producer
    }

    /// The same, which makes rows of migrations in intervals of `width` nanoseconds; producers that may see the same clients share
    /// `visitors`.
    pub fn watching(
        mut self,
        migrations: &[Migration],
        width: u64,
        visitors: Option<&Arc<Visitors>>,
    ) -> Self {
        if !migrations.is_empty() {
            self.watch = Some(Watch::rows_alone(migrations.to_vec(), width, visitors.cloned()));
        }
        self
    }

    fn learn_settings(&mut self) {
        if let Some(settings) = self.shared.settings_since(&mut self.changes) {
            self.coverage.watch(settings.servers.iter().copied());
            self.settings = settings;
        }
    }

    /// Messages that may be outstanding, of all sources.
    pub const fn outstanding_limit(&self) -> usize {
        self.settings.outstanding
    }

    /// Its number.
    pub const fn number(&self) -> usize {
        self.number
    }

    /// What the threads share.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// What is counted of the sources, for losses.
    pub const fn coverage(&mut self) -> &mut Coverage {
        &mut self.coverage
    }

    /// Takes a packet.
    #[inline]
    pub fn packet(&mut self, pairing: &mut Pairing, packet: &Packet<'_>) {
        let (decoder, mut tally) = self.parts(pairing);
        decoder.packet(packet, &mut tally);
        self.frame(pairing, packet.time, packet.data.len());
    }

    /// Takes a dnstap frame.
    #[inline]
    pub fn dnstap(&mut self, pairing: &mut Pairing, frame: &DnstapFrame<'_>) {
        let (decoder, mut tally) = self.parts(pairing);
        decoder.dnstap(frame, &mut tally);
        self.frame(pairing, frame.time, frame.octets.len());
    }

    #[inline]
    const fn parts<'a>(&'a mut self, pairing: &'a mut Pairing) -> (&'a mut Decoder, Tally<'a>) {
        let tally = Tally {
            source: pairing.source,
            messages: &mut self.messages,
            coverage: &mut self.coverage,
            matcher: &mut pairing.matcher,
            fan: &mut self.fan,
            watch: self.watch.as_mut(),
        };
        (&mut self.decoder, tally)
    }

    #[inline]
    fn frame(&mut self, pairing: &mut Pairing, time: Timestamp, octets: usize) {
        pairing.latest = time;
        pairing.busy = true;
        let messages = self.messages.queries + self.messages.responses;
        self.coverage.frame(pairing.source, time, octets, messages);
        let unreadable = self.decoder.counts().unreadable();
        if unreadable > self.unreadable {
            let time = self.coverage.credible(time);
            self.coverage.lost(pairing.source, time, UNREADABLE, unreadable - self.unreadable);
            self.unreadable = unreadable;
        }
        if self.fan.marks.as_ref().is_some_and(Marks::is_crowded) {
            self.close_all();
        }
        if Shared::is_much(self.coverage.rows()) {
            self.cover();
        }
        self.unlooked -= 1;
        if self.unlooked == 0 {
            self.unlooked = LOOK_FRAMES;
            if self.watch.as_ref().is_some_and(Watch::is_full) {
                self.hand_over(Timestamp(u64::MAX));
                self.cover();
            }
        }
    }

    /// Hands over rows of migrations of the intervals that began before `moment`, and what is said of their servers in coverage.
    fn hand_over(&mut self, moment: Timestamp) {
        if let Some(watch) = &mut self.watch {
            watch.cover(&mut self.coverage);
            let is_all = moment == Timestamp(u64::MAX);
            let rows = if is_all { watch.close(moment) } else { watch.close_due(moment) };
            if !rows.is_empty() {
                self.shared.drain(rows);
            }
        }
    }

    /// Hands out coverage before it is time: there is so much of it only when times leap about.
    #[cold]
    fn cover(&mut self) {
        let rows = self.coverage.close(Timestamp(u64::MAX));
        self.fan.flush();
        self.shared.cover(rows);
    }

    #[cold]
    fn close_all(&mut self) {
        self.fan.flush();
        self.shared.ask_to_close();
        if let Some(marks) = &mut self.fan.marks {
            marks.closed();
        }
    }

    /// Lets time go on for a source that shows nothing, after `elapsed` since the last time; `now` is the clock's.
    pub fn tick(&mut self, pairing: &mut Pairing, elapsed: Duration, now: Timestamp) {
        let steps = pairing.matcher.counters().clock_steps;
        if steps > pairing.clock_steps {
            self.clock_steps += steps - pairing.clock_steps;
            self.coverage.lost(pairing.source, now, "clock_steps", steps - pairing.clock_steps);
            self.coverage.unknown(pairing.source, now);
            pairing.clock_steps = steps;
        }
        if std::mem::take(&mut pairing.busy) {
            pairing.idle = Duration::ZERO;
            return;
        }
        pairing.idle += elapsed.min(LONGEST_TICK);
        if let Some(idle) = pairing.idle.checked_sub(self.lateness) {
            let idle = crate::pipeline::nanos(idle);
            pairing.matcher.advance(Timestamp(pairing.latest.0.saturating_add(idle)), &mut self.fan);
        }
    }

    /// Ends a source: what is outstanding of it is pending, or unanswered if it was old enough.
    pub fn finish(&mut self, mut pairing: Pairing) {
        let (decoder, mut tally) = self.parts(&mut pairing);
        decoder.finish(&mut tally);
        pairing.matcher.finish(pairing.latest, &mut self.fan);
    }

    /// Sends what was gathered, and says what was counted; `outstanding` messages wait for their counterpart.
    pub fn publish(&mut self, outstanding: usize) {
        self.learn_settings();
        self.coverage.set_clock(clock::now());
        self.fan.flush();
        let closes = self.shared.closes();
        if closes != self.closes
            && let Some(marks) = &mut self.fan.marks
        {
            self.closes = closes;
            marks.closed();
        }
        // Before the windows of that interval are closed, but late enough for what is late.
        let behind = crate::pipeline::nanos(self.lateness + TICK);
        self.hand_over(Timestamp(clock::now().0.saturating_sub(behind)));
        let rows = self.coverage.close(Timestamp(u64::MAX));
        let mut counted = Counted::of(&self.name, &self.decoder, &self.messages, &self.fan.accounts);
        counted.outstanding = outstanding as u64;
        counted.clock_steps = self.clock_steps;
        self.shared.publish(self.number, counted, rows);
    }

    /// Sends what is left. The shards end when all producers have.
    pub fn close(mut self) {
        self.publish(0);
        self.hand_over(Timestamp(u64::MAX));
        self.fan.close();
    }
}
