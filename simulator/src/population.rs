//! Who asks: resolvers and other clients, drawn one by one from the shares that the parameters give.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::authority::{Nanos, SECOND};
use crate::messages::Style;
use crate::network::Client;
use crate::parameters::{DAY, HOUR, Parameters, Population};
use crate::random::Random;
use crate::resolver::{Centric, Policy, Resolver, TtlPolicy};
use crate::sink::Class;

/// A client whose queries come at random, more of them by day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub asks: Asks,
    /// Nanoseconds between two queries at the busiest hour, on average.
    pub mean: f64,
    /// Where in the day that hour is, in turns.
    pub phase: f64,
    pub swing: f64,
    pub from: Nanos,
    pub until: Nanos,
}

/// Who asks, by number.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asks {
    Resolver(usize),
    /// A client, and the address that it knows if it knows but one.
    Stub(usize, Option<usize>),
    /// Clients of zones that stay: asked is an old server.
    Background(usize),
}

impl Load {
    /// When the next query may come.
    pub(crate) fn next(&self, now: Nanos, random: &mut Random) -> Nanos {
        now.saturating_add(random.exponential(self.mean) as Nanos + 1)
    }

    /// Whether the query of this moment comes, or the hour is too quiet for it.
    pub(crate) fn comes(&self, now: Nanos, random: &mut Random) -> bool {
        let turn = (now as f64 / (DAY * SECOND) as f64 + self.phase) * std::f64::consts::TAU;
        random.unit() * (1.0 + self.swing) < 1.0 + self.swing * turn.cos()
    }
}

/// Everybody who asks.
pub(crate) struct Crowd {
    pub clients: Vec<Client>,
    pub resolvers: Vec<Resolver>,
    pub loads: Vec<Load>,
    /// For each monitor, the number of its client and its phase.
    pub monitors: Vec<(usize, Nanos)>,
    /// For each scan, the number of its client.
    pub scanners: Vec<usize>,
    /// Numbers of the clients of zones that stay.
    pub background: Vec<usize>,
}

/// Resolvers that ask for the zones that stay.
const BACKGROUND_CLIENTS: usize = 5;

impl Crowd {
    /// `cacheable` is how many questions there are that a resolver may keep the answers of.
    pub(crate) fn draw(parameters: &Parameters, cacheable: usize) -> Self {
        let mut random = Random::new(parameters.seed, 1);
        let mut crowd = Self {
            clients: Vec::new(),
            resolvers: Vec::new(),
            loads: Vec::new(),
            monitors: Vec::new(),
            scanners: Vec::new(),
            background: Vec::new(),
        };
        for _ in 0..parameters.population.resolvers {
            crowd.add_resolver(parameters, cacheable, &mut random);
        }
        let always = (parameters.start.0, Nanos::MAX);
        for stub in &parameters.stubs {
            let style = Style {
                recursion_desired: stub.recursion_desired,
                edns: random.chance(0.5),
                ..Style::default()
            };
            let v6 = random.chance(0.3);
            let client = crowd.add(Class::HardCoded, (true, v6), style, format!("{stub:?}"));
            let v4_servers = parameters.old.iter().filter_map(|server| server.v4).count() as u64;
            let one = (!stub.all_addresses).then(|| random.below(v4_servers.max(1)) as usize);
            crowd.load(Asks::Stub(client, one), stub.queries_per_day, 0.3, always, &mut random);
        }
        for monitor in &parameters.monitors {
            let style =
                Style { recursion_desired: random.chance(0.3), edns: random.chance(0.5), ..Style::default() };
            let client = crowd.add(Class::Monitor, (true, true), style, format!("{monitor:?}"));
            let phase = random.below(monitor.period * SECOND);
            if let Some(client) = crowd.clients.get_mut(client) {
                client.period = Some(monitor.period);
                client.is_set_apart = monitor.set_apart;
            }
            crowd.monitors.push((client, phase));
        }
        for scan in &parameters.scans {
            let style = Style { recursion_desired: random.chance(0.7), ..Style::default() };
            let client = crowd.add(Class::Scanner, (true, true), style, format!("{scan:?}"));
            crowd.scanners.push(client);
        }
        if parameters.background_per_hour > 0.0 {
            let style = Style { edns: true, ..Style::default() };
            for _ in 0..BACKGROUND_CLIENTS {
                let client = crowd.add(
                    Class::Background,
                    (true, true),
                    style,
                    "asks for a zone that stays".to_owned(),
                );
                crowd.background.push(client);
            }
            for server in 0..parameters.old.len() {
                let per_day = parameters.background_per_hour * 24.0;
                crowd.load(Asks::Background(server), per_day, 0.3, always, &mut random);
            }
        }
        crowd
    }

    fn add(&mut self, class: Class, (v4, v6): (bool, bool), style: Style, behaviour: String) -> usize {
        let number = self.clients.len();
        // Neighbours by number are not neighbours by prefix.
        let host = (number as u32).wrapping_mul(0x3a5) & 0x1_ffff;
        let host_v4 = Ipv4Addr::from_bits(u32::from_be_bytes([198, 18, 0, 0]) | host);
        let host_v6 = Ipv6Addr::new(
            0x2001,
            0xdb8,
            0x1000 | (number as u16 & 0xfff),
            (number >> 12) as u16,
            0,
            0,
            0,
            0x53,
        );
        self.clients.push(Client {
            class,
            v4: v4.then_some(host_v4),
            v6: v6.then_some(host_v6),
            style,
            period: None,
            is_set_apart: false,
            behaviour,
        });
        number
    }

    fn load(
        &mut self,
        asks: Asks,
        per_day: f64,
        swing: f64,
        (from, until): (Nanos, Nanos),
        random: &mut Random,
    ) {
        let mean = (DAY * SECOND) as f64 / (per_day.max(1e-6) * (1.0 + swing));
        self.loads.push(Load { asks, mean, phase: random.unit(), swing, from, until });
    }

    fn add_resolver(&mut self, parameters: &Parameters, cacheable: usize, random: &mut Random) {
        let of = &parameters.population;
        let policy = policy(of, random);
        let is_extending =
            policy.is_sticky || matches!(policy.ttl, TtlPolicy::Raises(_) | TtlPolicy::Stretches(_));
        let class = if is_extending { Class::ResolverExtending } else { Class::ResolverCompliant };
        let has_v6 = |servers: &[crate::parameters::Server]| servers.iter().any(|server| server.v6.is_some());
        let families = match () {
            () if random.chance(of.ipv4_only) => (true, false),
            () if random.chance(0.33) && has_v6(&parameters.old) && has_v6(&parameters.new) => (false, true),
            () => (true, true),
        };
        let style = Style {
            recursion_desired: false,
            edns: random.chance(0.95),
            dnssec_ok: policy.validates || random.chance(0.5),
            mixes_case: random.chance(0.1),
        };
        let is_shared = random.chance(of.shared);
        let forwarders = if is_shared { random.between(2, 6) as usize } else { 0 };
        let words = format!("{policy:?}, {forwarders} forwarders before it");
        let client = self.add(class, families, style, words);
        let zones = parameters.zones.len();
        let mut resolver = Resolver::new(client, policy, zones, cacheable, forwarders);
        resolver.families = families;
        resolver.rtt = random.between(2, 300) * 1_000_000;
        resolver.favourite = random.bits() >> 32;
        let span = parameters.at(parameters.length).0 - parameters.start.0;
        let is_late = random.chance(of.late);
        let from = parameters.start.0 + if is_late { random.below(span) } else { 0 };
        let until = if random.chance(0.05) { from + random.below(span) } else { Nanos::MAX };
        if !is_late {
            for zone in 0..zones {
                resolver.knew(zone, from, parameters.parent.ns_ttl, random);
            }
        }
        // Pareto's law: a few resolvers have most of the clients.
        let share = (1.0 - random.unit()).powf(-0.8) / 5.0;
        let per_day = of.queries_per_day * share.min(40.0);
        let number = self.resolvers.len();
        self.resolvers.push(resolver);
        self.load(Asks::Resolver(number), per_day, of.diurnal, (from, until), random);
    }
}

fn policy(of: &Population, random: &mut Random) -> Policy {
    let ttl = if random.chance(of.extending) {
        if random.chance(0.5) {
            TtlPolicy::Stretches(1.0 + random.unit() * (of.stretch - 1.0).max(0.0))
        } else {
            TtlPolicy::Raises(random.pick(&[HOUR as u32, DAY as u32]))
        }
    } else if random.chance(of.capping) {
        TtlPolicy::Caps(random.pick(&[HOUR as u32, DAY as u32]))
    } else {
        TtlPolicy::Obeys
    };
    let centric = if !random.chance(of.child_centric) {
        Centric::Parent
    } else if random.chance(of.asking) {
        Centric::Asking
    } else {
        Centric::Child
    };
    Policy {
        ttl,
        centric,
        renews: random.chance(of.renewing),
        is_sticky: random.chance(of.sticky),
        prefetches: random.chance(of.prefetching),
        serves_stale: random.chance(of.serve_stale),
        validates: random.chance(of.validating),
        asks_anew: random.chance(0.5),
    }
}
