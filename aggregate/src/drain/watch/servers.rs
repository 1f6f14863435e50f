//! The servers that are watched, and the zones that matter of each.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use lowtide_proto::Name;

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
}

/// A zone of a migration at one of its servers.
#[derive(Clone, Debug)]
pub(super) struct OfZone {
    /// Its first eight octets, in which zones differ; 0 where it is shorter.
    pub(super) head: u64,
    pub(super) name: Box<[u8]>,
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
    /// The longest zone that a name is in.
    #[inline]
    pub(super) fn zone_of(&self, name: Name<'_>) -> Option<&OfZone> {
        self.zones.iter().find(|zone| zone.has(name))
    }
}

impl OfZone {
    /// Whether a lower-cased name ends in the zone's, at a label.
    #[inline]
    pub(super) fn has(&self, name: Name<'_>) -> bool {
        let Some(begin) = name.0.len().checked_sub(self.name.len()) else { return false };
        let Some(tail) = name.0.get(begin..) else { return false };
        let head = tail.first_chunk().map_or(0, |head| u64::from_ne_bytes(*head));
        if head != self.head || *tail != *self.name {
            return false;
        }
        let mut at = 0;
        while at < begin {
            let Some(&len) = name.0.get(at) else { return false };
            at += 1 + usize::from(len);
        }
        at == begin
    }
}
