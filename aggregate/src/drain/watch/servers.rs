//! The servers that are watched, and the zones that matter of each.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use lowtide_proto::{Name, Timestamp};

use super::super::plan::{Migration, Prefix};
use super::super::shown::Shown;

/// A server that is watched.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) address: Ipv6Addr,
    pub(super) of: Vec<Of>,
    /// The sources that showed it, by number.
    pub(super) sources: Vec<usize>,
    pub(super) shown: Shown,
}

/// The servers that are watched, and by a hash of addresses the first of them that has it: most other servers are told by one look.
#[derive(Debug)]
pub(super) struct Servers(pub(super) Vec<Watched>, [u32; 256]);

/// A migration that a server is of.
#[derive(Debug)]
pub(super) struct Of {
    pub(super) migration: usize,
    /// The zones, longest name first.
    pub(super) zones: Vec<OfZone>,
    /// Since when it is counted what the server is asked for, which is to be left alone then; the end of time where it never is.
    pub(super) wanted_since: Timestamp,
    /// In how many places that is counted: zones and servers together.
    pub(super) places: usize,
    apart: Box<[Prefix]>,
}

/// A zone of a migration at one of its servers.
#[derive(Clone, Debug)]
pub(super) struct OfZone {
    name: Box<[u8]>,
    /// Its first eight octets, in which zones differ, and its last eight.
    head: u64,
    end: u64,
    /// Number of migration, zone and server together.
    pub(super) group: u32,
    /// Number of the zone among those of all migrations.
    pub(super) zone: usize,
}

impl Servers {
    pub(super) fn new(servers: &BTreeSet<Ipv6Addr>) -> Self {
        let mut first = [u32::MAX; 256];
        for (at, &server) in servers.iter().enumerate().rev() {
            if let Some(first) = first.get_mut(Self::hash(server)) {
                *first = at as u32;
            }
        }
        let watched =
            |&address| Watched { address, of: Vec::new(), sources: Vec::new(), shown: Shown::default() };
        Self(servers.iter().map(watched).collect(), first)
    }

    #[inline]
    pub(super) const fn hash(server: Ipv6Addr) -> usize {
        let bits = server.to_bits();
        let half = bits as u64 ^ (bits >> 64) as u64;
        (half.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
    }

    #[inline]
    pub(super) fn get_mut(&mut self, server: Ipv6Addr) -> Option<&mut Watched> {
        let first = *self.1.get(Self::hash(server))? as usize;
        let at = if self.0.get(first)?.address == server { first } else { self.behind(first, server)? };
        self.0.get_mut(at)
    }

    /// Where a server is, if not at the first place that its hash says.
    #[cold]
    pub(super) fn behind(&self, first: usize, server: Ipv6Addr) -> Option<usize> {
        (first + 1..self.0.len()).find(|&at| self.0.get(at).is_some_and(|watched| watched.address == server))
    }
}

impl Watched {
    /// A source shows this server, maybe for the first time; it is the last of them then.
    #[cold]
    pub(super) fn shown_by(&mut self, source: usize) {
        self.sources.retain(|&known| known != source);
        self.sources.push(source);
    }
}

impl Of {
    pub(super) fn new(number: usize, migration: &Migration, server: Ipv6Addr) -> Self {
        let cutover = migration.cutover.filter(|_| migration.is_old(server));
        Self {
            migration: number,
            zones: Vec::new(),
            wanted_since: cutover.unwrap_or(Timestamp(u64::MAX)),
            places: migration.zones.len() * migration.old.len(),
            apart: migration.set_apart.as_slice().into(),
        }
    }

    /// Whether a client is set apart.
    #[inline]
    pub(super) fn is_apart(&self, client: Ipv6Addr) -> bool {
        self.apart.iter().any(|prefix| prefix.contains(client))
    }

    /// The longest zone that a name is in.
    #[inline]
    pub(super) fn zone_of(&self, name: Name<'_>) -> Option<&OfZone> {
        self.zones.iter().find(|zone| zone.has(name))
    }
}

/// Eight octets of a name; 0 where it is shorter.
#[inline]
fn word(octets: Option<&[u8; 8]>) -> u64 {
    octets.map_or(0, |octets| u64::from_ne_bytes(*octets))
}

impl OfZone {
    pub(super) fn new(name: &[u8], group: u32, zone: usize) -> Self {
        let (head, end) = (word(name.first_chunk()), word(name.last_chunk()));
        Self { name: name.into(), head, end, group, zone }
    }

    pub(super) const fn len(&self) -> usize {
        self.name.len()
    }

    /// Whether a lower-cased name ends in the zone's, at a label.
    #[inline]
    pub(super) fn has(&self, name: Name<'_>) -> bool {
        let begin = name.0.len().wrapping_sub(self.name.len());
        let Some((mut before, tail)) = name.0.split_at_checked(begin) else { return false };
        if word(tail.first_chunk()) != self.head {
            return false;
        }
        // Most zones' names are no longer than both ends.
        if word(tail.last_chunk()) != self.end || (!matches!(tail.len(), 8..=16) && *tail != *self.name) {
            return false;
        }
        while let Some((&len, rest)) = before.split_first() {
            let Some(rest) = rest.get(usize::from(len)..) else { return false };
            before = rest;
        }
        true
    }
}
