//! The authoritative side: what the parent and each server say at each moment.

use std::net::IpAddr;

use crate::parameters::{NsSet, Parameters, SwitchOff};
use crate::random::Random;

/// Nanoseconds since 1970.
pub(crate) type Nanos = u64;

pub(crate) const SECOND: Nanos = 1_000_000_000;

/// What a server says of a zone's name servers from some moment on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub ns: NsSet,
    pub ns_ttl: u32,
    pub address_ttl: u32,
    pub serial: u32,
}

/// One address of a server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address {
    pub ip: IpAddr,
    pub is_new: bool,
    /// Number among all servers, the old ones first.
    pub server: usize,
}

/// How a server meets a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// With the data of this version.
    Answers(usize),
    Refuses,
    IsSilent,
}

/// The parent and the servers.
pub(crate) struct Authority {
    pub addresses: Vec<Address>,
    /// For each server, since when it has which version.
    pub versions: Vec<Vec<(Nanos, Version)>>,
    parent: Vec<(Nanos, NsSet)>,
    switch_off: Option<(Nanos, SwitchOff)>,
    old_servers: usize,
}

impl Authority {
    pub(crate) fn new(parameters: &Parameters) -> Self {
        let all = parameters.old.iter().chain(&parameters.new).enumerate();
        let old_servers = parameters.old.len();
        let addresses = all
            .flat_map(|(server, of)| {
                of.addresses().map(move |ip| Address { ip, is_new: server >= old_servers, server })
            })
            .collect();
        let versions = (0..old_servers + parameters.new.len()).map(|server| versions(parameters, server));
        let plan = &parameters.plan;
        let first = (0, NsSet::Old);
        let parent = plan.parent_changes.iter().map(|&(at, set)| (parameters.at(at).0, set));
        Self {
            addresses,
            versions: versions.collect(),
            parent: std::iter::once(first).chain(parent).collect(),
            switch_off: plan.switch_off.map(|(at, how)| (parameters.at(at).0, how)),
            old_servers,
        }
    }

    /// Where the parent leads at this moment.
    pub(crate) fn parent(&self, now: Nanos) -> NsSet {
        at(&self.parent, now).1
    }

    /// What the zone's own NS set of a server is.
    pub(crate) fn served(&self, server: usize, now: Nanos) -> Version {
        at(&self.versions[server], now).1
    }

    /// How a server meets a query for a zone that moves.
    pub(crate) fn manner(&self, server: usize, now: Nanos) -> Manner {
        match self.switch_off {
            Some((off, how)) if server < self.old_servers && now >= off => match how {
                SwitchOff::Refused => Manner::Refuses,
                SwitchOff::Silent | SwitchOff::Down => Manner::IsSilent,
            },
            _ => Manner::Answers(self.version(server, now)),
        }
    }

    /// The number of a server's version at this moment.
    pub(crate) fn version(&self, server: usize, now: Nanos) -> usize {
        self.versions[server].partition_point(|(since, _)| *since <= now).saturating_sub(1)
    }

    /// Whether a host with these families can reach an address of the set.
    pub(crate) fn reachable(&self, set: NsSet, v4: bool, v6: bool) -> impl Iterator<Item = usize> {
        self.addresses.iter().enumerate().filter_map(move |(number, address)| {
            let named = if address.is_new { set.names_new() } else { set.names_old() };
            let family = if address.ip.is_ipv4() { v4 } else { v6 };
            (named && family).then_some(number)
        })
    }

    /// The address that a resolver asks: mostly its favourite, else any; at each further attempt the next one.
    pub(crate) fn choose(
        &self,
        set: NsSet,
        (v4, v6): (bool, bool),
        favourite: u64,
        attempt: u64,
        random: &mut Random,
    ) -> Option<usize> {
        let count = self.reachable(set, v4, v6).count() as u64;
        let offset = if attempt == 0 && random.below(4) == 0 { random.below(count.max(1)) } else { 0 };
        let at = favourite.wrapping_add(attempt).wrapping_add(offset).checked_rem(count)?;
        self.reachable(set, v4, v6).nth(at as usize)
    }
}

fn at<T: Copy>(timeline: &[(Nanos, T)], now: Nanos) -> (Nanos, T) {
    timeline[timeline.partition_point(|(since, _)| *since <= now).saturating_sub(1)]
}

/// What a server serves over time: TTLs are lowered and raised and the NS set is changed, but not where it was forgotten.
fn versions(parameters: &Parameters, server: usize) -> Vec<(Nanos, Version)> {
    let plan = &parameters.plan;
    let is_new = server >= parameters.old.len();
    let changes = if is_new { &plan.new_serve } else { &plan.old_serve };
    let ns = if is_new { NsSet::New } else { NsSet::Old };
    let first = Version { ns, ns_ttl: plan.ns_ttl, address_ttl: plan.address_ttl, serial: 2_026_030_101 };
    let mut versions = vec![(0, first)];
    if plan.forgotten == Some(server) {
        return versions;
    }
    let ttls = [(plan.lower_at, Some(plan.lowered_ttl)), (plan.raise_at, None)];
    let ttls = ttls.into_iter().filter_map(|(at, ttl)| Some((at?, Change::Ttl(ttl))));
    let sets = changes.iter().map(|&(at, set)| (at, Change::Set(set)));
    let mut changes: Vec<_> = ttls.chain(sets).collect();
    changes.sort_by_key(|(at, _)| *at);
    let mut version = first;
    for (at, change) in changes {
        match change {
            Change::Ttl(Some(lowered)) => {
                version.ns_ttl = version.ns_ttl.min(lowered);
                version.address_ttl = version.address_ttl.min(lowered);
            }
            Change::Ttl(None) => {
                version.ns_ttl = plan.ns_ttl;
                version.address_ttl = plan.address_ttl;
            }
            Change::Set(set) => version.ns = set,
        }
        version.serial += 1;
        versions.push((parameters.at(at).0, version));
    }
    versions
}

enum Change {
    Ttl(Option<u32>),
    Set(NsSet),
}
