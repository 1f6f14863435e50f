//! Resolvers: what they keep, how long, and whom it makes them ask.
//!
//! What leads a resolver to a server is its *binding*: the NS set (with the addresses of its names) that it holds for a zone, from
//! the parent or from the zone itself, until it expires. Everything about a migration is in how bindings are made and how
//! long they are kept.

use crate::authority::{Nanos, SECOND};
use crate::messages::LearnedNs;
use crate::network::{Network, Reply};
use crate::parameters::NsSet;
use crate::random::Random;
use crate::sink::Sink;

/// The longest that a resolution goes on, with its repetitions and its way to the server: so long after a binding expired may a
/// query come that it led to.
pub const IN_FLIGHT: u64 = 12 * SECOND;

/// How a resolver treats TTLs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TtlPolicy {
    Obeys,
    /// Nothing longer than this, in seconds.
    Caps(u32),
    /// Nothing shorter than this, in seconds.
    Raises(u32),
    /// Everything so many times longer.
    Stretches(f64),
}

impl TtlPolicy {
    fn applied(self, ttl: u32) -> Nanos {
        let seconds = match self {
            TtlPolicy::Obeys => f64::from(ttl),
            TtlPolicy::Caps(most) => f64::from(ttl.min(most)),
            TtlPolicy::Raises(least) => f64::from(ttl.max(least)),
            TtlPolicy::Stretches(times) => f64::from(ttl) * times,
        };
        (seconds * SECOND as f64) as Nanos
    }
}

/// Where a resolver takes the NS set from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Centric {
    /// The parent's referral.
    Parent,
    /// Any response of the zone's servers that has it.
    Child,
    /// The zone's servers, which are asked for it after each referral.
    Asking,
}

/// What makes one resolver different from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub ttl: TtlPolicy,
    pub centric: Centric,
    /// Whether an NS set that is known already is kept longer when it comes again.
    pub renews: bool,
    /// Whether what it knows is kept until it fails.
    pub is_sticky: bool,
    pub prefetches: bool,
    pub serves_stale: bool,
    pub validates: bool,
    /// Whether it asks the parent anew when all servers fail.
    pub asks_anew: bool,
}

/// What leads to servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub set: NsSet,
    pub expires: Nanos,
    is_child: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    expires: Nanos,
    /// From when on a prefetching resolver renews it.
    ripe: Nanos,
}

#[derive(Clone, Debug, Default)]
struct ZoneState {
    binding: Option<Binding>,
    /// Until when nobody is asked, because all failed.
    held_until: Nanos,
    failures: u32,
}

/// A question on its way, at one of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Attempt {
    pub question: usize,
    pub number: u64,
}

/// A resolver with its cache, and the caches of forwarders before it.
#[derive(Clone, Debug)]
pub(crate) struct Resolver {
    pub client: usize,
    pub policy: Policy,
    pub families: (bool, bool),
    /// The way to a server and back.
    pub rtt: Nanos,
    pub favourite: u64,
    zones: Vec<ZoneState>,
    answers: Vec<Entry>,
    forwarders: Vec<Vec<Nanos>>,
}

impl Resolver {
    pub(crate) fn new(
        client: usize,
        policy: Policy,
        zones: usize,
        questions: usize,
        forwarders: usize,
    ) -> Self {
        Self {
            client,
            policy,
            families: (true, false),
            rtt: 0,
            favourite: 0,
            zones: vec![ZoneState::default(); zones],
            answers: vec![Entry::default(); questions],
            forwarders: vec![vec![0; questions]; forwarders],
        }
    }

    /// Gives it what it knew before the simulation began: the parent's NS set, at some age.
    pub(crate) fn knew(&mut self, zone: usize, start: Nanos, parent_ttl: u32, random: &mut Random) {
        let age = random.below(self.policy.ttl.applied(parent_ttl).max(1));
        self.zones[zone].binding = Some(Binding { set: NsSet::Old, expires: start + age, is_child: false });
    }

    /// What leads it to a zone's servers, if it still does.
    pub(crate) fn binding(&self, zone: usize, now: Nanos) -> Option<Binding> {
        self.zones[zone].binding.filter(|binding| self.policy.is_sticky || now < binding.expires)
    }

    /// Whether it takes NS sets from the zone's own servers.
    pub(crate) fn listens_to_children(&self) -> bool {
        self.policy.centric != Centric::Parent
    }

    /// A client of it asks. What cannot be answered yet is tried again after so long.
    pub(crate) fn asked(
        &mut self,
        now: Nanos,
        question: usize,
        (parent_ttl, random): (u32, &mut Random),
        network: &mut Network,
        sink: &mut impl Sink,
    ) -> Option<(Nanos, Attempt)> {
        let forwarder = random.below(self.forwarders.len() as u64) as usize;
        if self.forwarders.get(forwarder).is_some_and(|answers| now < answers[question]) {
            return None;
        }
        let entry = self.answers[question];
        let is_known = now < entry.expires;
        let zone = network.questions.all[question].zone;
        let mut again = None;
        if !is_known && now < self.zones[zone].held_until {
            // Answered SERVFAIL from the cache, or with stale data.
            return None;
        }
        if !is_known || (self.policy.prefetches && now >= entry.ripe) {
            again = self.resolve(now, Attempt { question, number: 0 }, (parent_ttl, random), network, sink);
        }
        let expires = self.answers[question].expires;
        if let Some(answers) = self.forwarders.get_mut(forwarder) {
            answers[question] = expires;
        }
        again
    }

    /// Asks a server, after the parent where nothing leads to one.
    pub(crate) fn resolve(
        &mut self,
        now: Nanos,
        attempt: Attempt,
        (parent_ttl, random): (u32, &mut Random),
        network: &mut Network,
        sink: &mut impl Sink,
    ) -> Option<(Nanos, Attempt)> {
        let of = &network.questions.all[attempt.question];
        let zone = of.zone;
        let (ns, keys) = (network.questions.zones[zone].ns, network.questions.zones[zone].keys);
        if attempt.number > 0 && now < self.answers[attempt.question].expires {
            return None;
        }
        let known = match self.binding(zone, now) {
            // What has begun with a binding ends with it.
            None if attempt.number > 0 => self.zones[zone].binding,
            known => known,
        };
        let is_referred = known.is_none();
        let binding = known.unwrap_or_else(|| {
            let expires = now + self.rtt + self.policy.ttl.applied(parent_ttl);
            Binding { set: network.authority.parent(now), expires, is_child: false }
        });
        self.zones[zone].binding = Some(binding);
        let address =
            network.authority.choose(binding.set, self.families, self.favourite, attempt.number, random)?;
        if is_referred && self.policy.centric == Centric::Asking && attempt.question != ns {
            self.ask(now, address, ns, network, sink);
        }
        if self.policy.validates && attempt.number == 0 && now >= self.answers[keys].expires {
            self.ask(now, address, keys, network, sink);
        }
        // That may have led elsewhere already; the question at hand goes where it was about to go.
        let wait = match self.ask(now, address, attempt.question, network, sink) {
            Reply::Answer(_) => {
                let state = &mut self.zones[zone];
                (state.failures, state.held_until) = (0, 0);
                return None;
            }
            Reply::Refused => self.rtt,
            Reply::Nothing => SECOND + self.rtt,
        };
        let number = attempt.number + 1;
        let (v4, v6) = self.families;
        let servers = network.authority.reachable(binding.set, v4, v6).count() as u64;
        if number < (2 * servers).clamp(2, 6) {
            return Some((now + wait, Attempt { number, ..attempt }));
        }
        self.failed(now, zone);
        None
    }

    /// All servers failed.
    fn failed(&mut self, now: Nanos, zone: usize) {
        self.favourite += 1;
        let (policy, state) = (self.policy, &mut self.zones[zone]);
        state.failures = (state.failures + 1).min(8);
        if policy.is_sticky || policy.asks_anew {
            state.binding = None;
        }
        // Stale answers are renewed every 30 s at most (RFC 8767 §5); else failures are kept for a while that grows.
        let hold = if policy.serves_stale { 30 } else { (5 << state.failures).min(900) };
        state.held_until = now + hold * SECOND;
    }

    fn ask(
        &mut self,
        now: Nanos,
        to: usize,
        question: usize,
        network: &mut Network,
        sink: &mut impl Sink,
    ) -> Reply {
        let zone = network.questions.all[question].zone;
        let reply = network.ask(now, self.client, to, question, sink);
        if let Reply::Answer(learned) = reply {
            let ttl = self.policy.ttl.applied(learned.ttl);
            let expires = now + self.rtt + ttl;
            self.answers[question] = Entry { expires, ripe: expires - ttl / 10 };
            if let Some(ns) = learned.ns {
                self.learn(now, zone, ns);
            }
        }
        reply
    }

    /// Takes an NS set from the zone itself over the parent's (RFC 2181 §5.4.1).
    fn learn(&mut self, now: Nanos, zone: usize, ns: LearnedNs) {
        let listens = match self.policy.centric {
            Centric::Parent => false,
            Centric::Child => true,
            Centric::Asking => ns.is_answer,
        };
        let is_same = self.zones[zone].binding.is_some_and(|known| {
            known.is_child && known.set == ns.set && (self.policy.is_sticky || now < known.expires)
        });
        if !listens || (is_same && !self.policy.renews) {
            return;
        }
        let expires = now + self.rtt + self.policy.ttl.applied(ns.ttl);
        self.zones[zone].binding = Some(Binding { set: ns.set, expires, is_child: true });
    }
}
