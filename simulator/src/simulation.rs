//! The simulation: events in the order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use lowtide_proto::Timestamp;

use crate::authority::{Nanos, SECOND};
use crate::network::Network;
use crate::parameters::{NsSet, Parameters};
use crate::population::{Asks, Crowd};
use crate::questions::Questions;
use crate::random::Random;
use crate::resolver::Attempt;
use crate::sink::Sink;
use crate::truth::Truth;

/// What happens next; numbers are those of the [`Crowd`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// A query at random.
    Load(usize),
    /// A resolver tries again.
    Again(usize, Attempt),
    /// A monitor's period is over, for the so-manieth time.
    Monitor(usize, u64),
    /// A scan's next query.
    Scan(usize, u32),
    /// Sensors say that they are alive.
    Coverage,
}

/// A migration in virtual time.
pub struct Simulation {
    parameters: Parameters,
    crowd: Crowd,
    network: Network,
    random: Random,
    events: BinaryHeap<Reverse<(Nanos, u64, What)>>,
    order: u64,
    /// Up to when coverage was said.
    covered: Nanos,
    end: Nanos,
    until: Nanos,
    is_over: bool,
}

impl Simulation {
    /// A migration of which nothing happened yet.
    pub fn new(parameters: Parameters) -> Self {
        let cacheable = Questions::new(&parameters).cacheable;
        let crowd = Crowd::draw(&parameters, cacheable);
        let network = Network::new(&parameters, crowd.clients.clone());
        let start = parameters.start.0;
        let end = parameters.at(parameters.length).0;
        let mut simulation = Self {
            random: Random::new(parameters.seed, 4),
            events: BinaryHeap::new(),
            order: 0,
            covered: start,
            end,
            until: end + parameters.aftermath * SECOND,
            is_over: false,
            crowd,
            network,
            parameters,
        };
        simulation.begin();
        simulation
    }

    /// The parameters.
    pub const fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Runs to the end, and says what was true.
    pub fn run(mut self, sink: &mut impl Sink) -> Truth {
        self.run_until(Timestamp(Nanos::MAX), sink);
        self.truth()
    }

    /// Runs up to a moment: what has happened before it was handed over. For verdicts in between.
    pub fn run_until(&mut self, moment: Timestamp, sink: &mut impl Sink) {
        while let Some(&Reverse((now, _, what))) = self.events.peek()
            && now < moment.0
            && now <= self.until
        {
            self.events.pop();
            self.hand_over(now, sink);
            self.happens(now, what, sink);
        }
        self.hand_over(moment.0, sink);
    }

    /// Runs to the end for the truth alone, and says it.
    pub fn finish(mut self) -> Truth {
        struct Nobody;
        impl Sink for Nobody {
            fn message(&mut self, _message: &crate::sink::Seen<'_>) {}
        }
        self.run_until(Timestamp(Nanos::MAX), &mut Nobody);
        self.truth()
    }

    fn hand_over(&mut self, now: Nanos, sink: &mut impl Sink) {
        if self.is_over {
            return;
        }
        self.network.sensors.hand_over(now, sink);
        if now >= self.end {
            // What was still on its way belongs to the evidence.
            self.network.sensors.hand_over(Nanos::MAX, sink);
            self.is_over = true;
        }
    }

    fn begin(&mut self) {
        for load in 0..self.crowd.loads.len() {
            let from = self.crowd.loads[load].from;
            let first = self.crowd.loads[load].next(from, &mut self.random);
            self.at(first, What::Load(load));
        }
        for monitor in 0..self.crowd.monitors.len() {
            let phase = self.crowd.monitors[monitor].1;
            self.at(self.parameters.start.0 + phase, What::Monitor(monitor, 0));
        }
        for (scan, of) in self.parameters.scans.clone().iter().enumerate() {
            self.at(self.parameters.at(of.at).0, What::Scan(scan, 0));
        }
        self.at(self.next_coverage(), What::Coverage);
    }

    fn at(&mut self, time: Nanos, what: What) {
        if time <= self.until {
            self.order += 1;
            self.events.push(Reverse((time, self.order, what)));
        }
    }

    fn happens(&mut self, now: Nanos, what: What, sink: &mut impl Sink) {
        match what {
            What::Load(load) => {
                let of = self.crowd.loads[load];
                if now >= of.until {
                    return;
                }
                if of.comes(now, &mut self.random) {
                    self.load_asks(now, of.asks, sink);
                }
                let next = of.next(now, &mut self.random);
                self.at(next, What::Load(load));
            }
            What::Again(resolver, attempt) => {
                let ttl = self.parameters.parent.ns_ttl;
                let of = &mut self.crowd.resolvers[resolver];
                let again = of.resolve(now, attempt, (ttl, &mut self.random), &mut self.network, sink);
                self.again(resolver, again);
            }
            What::Monitor(monitor, times) => self.monitor_asks(now, monitor, times, sink),
            What::Scan(scan, step) => self.scanner_asks(now, scan, step, sink),
            What::Coverage => {
                self.network.sensors.say_coverage(self.covered, now, sink);
                self.covered = now;
                if now < self.end {
                    self.at(self.next_coverage(), What::Coverage);
                }
            }
        }
    }

    fn next_coverage(&self) -> Nanos {
        let step = self.parameters.coverage_step.max(1) * SECOND;
        (self.covered / step + 1).saturating_mul(step).min(self.end)
    }

    fn again(&mut self, resolver: usize, again: Option<(Nanos, Attempt)>) {
        if let Some((at, attempt)) = again {
            self.at(at, What::Again(resolver, attempt));
        }
    }

    fn some_question(&mut self, zone: usize) -> usize {
        self.network.questions.by_popularity(zone, self.random.unit())
    }

    fn some_zone(&mut self) -> usize {
        self.random.below(self.parameters.zones.len() as u64) as usize
    }

    fn load_asks(&mut self, now: Nanos, asks: Asks, sink: &mut impl Sink) {
        match asks {
            Asks::Resolver(resolver) => {
                let zone = self.some_zone();
                let question = self.some_question(zone);
                let ttl = self.parameters.parent.ns_ttl;
                let of = &mut self.crowd.resolvers[resolver];
                let again = of.asked(now, question, (ttl, &mut self.random), &mut self.network, sink);
                self.again(resolver, again);
            }
            Asks::Stub(client, one) => {
                let zone = self.some_zone();
                let question = self.some_question(zone);
                let has_v6 = self.network.clients[client].v6.is_some();
                let (v6, at) = match one {
                    Some(one) => (false, one as u64),
                    None => (has_v6, self.random.bits() >> 32),
                };
                let random = &mut self.random;
                let address = self.network.authority.choose(NsSet::Old, (true, v6), at, 1, random);
                if let Some(address) = address {
                    self.network.ask(now, client, address, question, sink);
                }
            }
            Asks::Background(server) => {
                let question = self.some_question(self.parameters.zones.len());
                let client = self.random.pick(&self.crowd.background);
                let addresses = &self.network.authority.addresses;
                let of_server =
                    |address: &usize| addresses.get(*address).is_some_and(|of| of.server == server);
                let mine: Vec<usize> = (0..addresses.len()).filter(of_server).collect();
                if !mine.is_empty() {
                    let address = self.random.pick(&mine);
                    self.network.ask(now, client, address, question, sink);
                }
            }
        }
    }

    fn monitor_asks(&mut self, now: Nanos, monitor: usize, times: u64, sink: &mut impl Sink) {
        let Some(of) = self.parameters.monitors.get(monitor) else { return };
        let (client, phase) = self.crowd.monitors[monitor];
        if of.until.is_some_and(|until| now >= self.parameters.at(until).0) {
            return;
        }
        let zone = monitor % self.parameters.zones.len();
        let question = self.network.questions.zones[zone].soa;
        let addresses: Vec<usize> = self.network.authority.reachable(NsSet::Old, true, true).collect();
        for address in addresses {
            self.network.ask(now, client, address, question, sink);
        }
        let regular = self.parameters.start.0 + phase + (times + 1) * of.period * SECOND;
        let next = regular + self.random.below(of.jitter_ms * 1_000_000 + 1);
        self.at(next, What::Monitor(monitor, times + 1));
    }

    fn scanner_asks(&mut self, now: Nanos, scan: usize, step: u32, sink: &mut impl Sink) {
        let Some(&of) = self.parameters.scans.get(scan) else { return };
        let client = self.crowd.scanners[scan];
        let zones = &self.network.questions.zones;
        let zone = step as usize % self.parameters.zones.len();
        let (first, count) = zones[zone].scanned;
        // A step through all of them that is no multiple of the number of types.
        let question = first + (step as usize * 11) % count;
        let old = self.network.authority.reachable(NsSet::Old, true, true).count();
        let address = (step as usize / 7) % old.max(1);
        self.network.ask(now, client, address, question, sink);
        if step + 1 < of.queries {
            self.at(now + of.pace_ms * 1_000_000, What::Scan(scan, step + 1));
        }
    }

    /// Looks into the caches for what may still come, and closes the books.
    fn truth(mut self) -> Truth {
        let (until, authority) = (self.until, &self.network.authority);
        let mut new_servers = self.parameters.old.len()..authority.versions.len();
        let new_name_old = new_servers.any(|server| authority.served(server, until).ns.names_old());
        for zone in 0..self.parameters.zones.len() {
            // The resolvers' loads stand first. One that has lost its clients asks no more.
            let asking = self.crowd.resolvers.iter().zip(&self.crowd.loads);
            for (resolver, _) in asking.filter(|(_, load)| until < load.until) {
                let class = self.crowd.clients[resolver.client].class;
                let leads = resolver.binding(zone, until).is_some_and(|binding| binding.set.names_old());
                // Whoever asks the parent, or a new server that still names the old ones, is led back.
                let misled =
                    authority.parent(until).names_old() || (resolver.listens_to_children() && new_name_old);
                if leads || misled {
                    let (v4, v6) = resolver.families;
                    for address in authority.reachable(NsSet::Old, v4, v6) {
                        self.network.recorder.may_come(zone, address, class);
                    }
                }
            }
        }
        self.network.recorder.finish(&self.parameters, &self.crowd.clients, until)
    }
}
