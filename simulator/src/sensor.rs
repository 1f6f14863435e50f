//! Sensors, and what befalls them: what they see is handed over in the order in which it comes to them, which is not the order
//! in which it happened.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;

use lowtide_proto::Timestamp;

use crate::authority::{Nanos, SECOND};
use crate::parameters::{Fault, Parameters, Seconds, SwitchOff};
use crate::random::Random;
use crate::sink::{Class, CoverageFact, Seen, Sink};

/// A message between a server and the sensor's reader.
#[derive(Debug)]
pub(crate) struct Pending {
    pub sensor: usize,
    pub time: Timestamp,
    pub query_time: Option<Timestamp>,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub class: Class,
    pub client_number: usize,
    pub octets: Vec<u8>,
}

/// When a sensor that saw a message says it was, and when it hands it over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    pub stamp: Timestamp,
    handed_over: Nanos,
}

#[derive(Debug)]
struct State {
    /// From, until, what.
    faults: Vec<(Nanos, Nanos, Fault)>,
    /// Frames lost since the last sign of life.
    lost: u64,
}

/// All sensors.
pub(crate) struct Sensors {
    all: Vec<State>,
    random: Random,
    queue: BinaryHeap<Reverse<(Nanos, u64, usize)>>,
    slots: Vec<Pending>,
    free: Vec<usize>,
    order: u64,
    /// The end of the evidence.
    end: Nanos,
}

impl Sensors {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let moment = |seconds: Seconds| parameters.at(seconds).0;
        let state = |faults: &[Fault]| {
            let spans = faults.iter().map(|&fault| {
                let (from, to) = fault.span();
                (moment(from), to.map_or(Nanos::MAX, moment), fault)
            });
            State { faults: spans.collect(), lost: 0 }
        };
        Self {
            all: faults(parameters).iter().map(|faults| state(faults)).collect(),
            random: Random::new(parameters.seed, 3),
            queue: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            order: 0,
            end: moment(parameters.length),
        }
    }

    /// Whether the sensor sees what happens now; a frame that is dropped is counted.
    pub(crate) fn sees(&mut self, sensor: usize, now: Nanos) -> Option<Sight> {
        if now >= self.end {
            return None;
        }
        let state = &mut self.all[sensor];
        let mut sight = Sight { stamp: Timestamp(now), handed_over: now };
        for &(from, to, fault) in &state.faults {
            if !(from..to).contains(&now) {
                continue;
            }
            match fault {
                Fault::Outage { .. } | Fault::Death { .. } => return None,
                Fault::Drop { share, .. } => {
                    if self.random.chance(share) {
                        state.lost += 1;
                        return None;
                    }
                }
                Fault::ClockStep { by, .. } => sight.stamp = step(now, by),
                Fault::Late { share, by, .. } => {
                    if self.random.chance(share) {
                        sight.handed_over += self.random.below(by * SECOND);
                    }
                }
            }
        }
        Some(sight)
    }

    /// A place for a message; its octets are those of an earlier one.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.free.last().map(|&slot| std::mem::take(&mut self.slots[slot].octets)).unwrap_or_default()
    }

    /// Hands a message over when its time has come.
    pub(crate) fn put(&mut self, sight: Sight, pending: Pending) {
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot] = pending;
                slot
            }
            None => {
                self.slots.push(pending);
                self.slots.len() - 1
            }
        };
        self.order += 1;
        self.queue.push(Reverse((sight.handed_over, self.order, slot)));
    }

    /// Hands over what came to the sensors up to now.
    pub(crate) fn hand_over(&mut self, now: Nanos, sink: &mut impl Sink) {
        while let Some(&Reverse((at, _, slot))) = self.queue.peek()
            && at <= now
        {
            self.queue.pop();
            let pending = &self.slots[slot];
            sink.message(&Seen {
                sensor: pending.sensor,
                time: pending.time,
                query_time: pending.query_time,
                client: pending.client,
                server: pending.server,
                is_response: pending.query_time.is_some(),
                octets: &pending.octets,
                client_number: pending.client_number,
                class: pending.class,
            });
            self.free.push(slot);
        }
    }

    /// Says for each sensor when it was alive in this span, and what it lost.
    pub(crate) fn say_coverage(&mut self, from: Nanos, to: Nanos, sink: &mut impl Sink) {
        for (sensor, state) in self.all.iter_mut().enumerate() {
            for (from, to, by) in alive(&state.faults, from, to) {
                sink.coverage(&CoverageFact::Alive { sensor, from: step(from, by), to: step(to, by) });
            }
            let frames = std::mem::take(&mut state.lost);
            if frames > 0 {
                let (from, to) = (Timestamp(from), Timestamp(to));
                sink.coverage(&CoverageFact::Lost { sensor, from, to, frames });
            }
        }
    }
}

impl Fault {
    /// From when until when.
    pub(crate) const fn span(self) -> (Seconds, Option<Seconds>) {
        match self {
            Fault::Death { at } => (at, None),
            Fault::Outage { from, to }
            | Fault::Drop { from, to, .. }
            | Fault::ClockStep { from, to, .. }
            | Fault::Late { from, to, .. } => (from, Some(to)),
        }
    }
}

/// The faults of each sensor, with those that the operator causes: a machine that is gone takes its sensor with it.
pub(crate) fn faults(parameters: &Parameters) -> Vec<Vec<Fault>> {
    let of = |sensor: &crate::parameters::Sensor| {
        let mut faults = sensor.faults.clone();
        if let Some((at, SwitchOff::Down)) = parameters.plan.switch_off
            && sensor.watches.iter().all(|watched| !watched.is_new)
        {
            faults.push(Fault::Death { at });
        }
        faults
    };
    parameters.sensors.iter().map(of).collect()
}

fn step(time: Nanos, by: i64) -> Timestamp {
    Timestamp(time.saturating_add_signed(by.saturating_mul(SECOND as i64)))
}

/// The parts of a span in which a sensor with these faults is alive, each with the seconds by which its clock is ahead.
fn alive(faults: &[(Nanos, Nanos, Fault)], from: Nanos, to: Nanos) -> Vec<(Nanos, Nanos, i64)> {
    let edges = faults.iter().flat_map(|&(begin, end, _)| [begin, end]);
    let mut edges: Vec<Nanos> =
        edges.filter(|edge| (from + 1..to).contains(edge)).chain([from, to]).collect();
    edges.sort_unstable();
    edges.dedup();
    let mut parts: Vec<(Nanos, Nanos, i64)> = Vec::new();
    for (&from, &to) in edges.iter().zip(edges.iter().skip(1)) {
        let here =
            || faults.iter().filter(|(begin, end, _)| (*begin..*end).contains(&from)).map(|fault| fault.2);
        if here().any(|fault| matches!(fault, Fault::Outage { .. } | Fault::Death { .. })) {
            continue;
        }
        let by =
            here().find_map(|fault| if let Fault::ClockStep { by, .. } = fault { Some(by) } else { None });
        let by = by.unwrap_or(0);
        match parts.last_mut() {
            Some((_, last, same)) if *last == from && *same == by => *last = to,
            _ => parts.push((from, to, by)),
        }
    }
    parts
}
