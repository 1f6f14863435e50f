//! The servers that are watched, and the zones that matter of each.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use lowtide_proto::{Facts, Message, Name, Timestamp, server_bit};

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

/// What every message asks of its server, side by side.
#[derive(Clone, Debug)]
pub(super) struct Place {
    address: Ipv6Addr,
    /// The number of the server; [`NONE`] where there is none.
    number: u32,
    /// In how many groups no response of it was seen yet.
    pub(super) unanswered: u32,
    /// The source that showed it last.
    pub(super) source: usize,
}

/// The servers that are watched.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) all: Vec<Watched>,
    /// By a hash of addresses, with holes, so that a search ends: most other servers are told by one look.
    places: Vec<Place>,
    /// The bits of their addresses, as in [`Message::servers`].
    bits: u64,
}

/// No server.
const NONE: u32 = u32::MAX;

/// A migration that a server is of.
#[derive(Debug)]
pub(super) struct Of {
    pub(super) migration: usize,
    /// Its zones by a hash of names, with holes, so that a search ends.
    zones: Vec<Option<OfZone>>,
    /// By octets of a name, a bit where a zone's has as many.
    lengths: [u64; 4],
    /// Since when it is counted what the server is asked for, which is to be left alone then; the end of time where it never is.
    pub(super) wanted_since: Timestamp,
    /// In how many places that is counted: zones and servers together.
    pub(super) places: usize,
    apart: Box<[Prefix]>,
}

/// A zone of a migration at one of its servers.
#[derive(Debug)]
pub(super) struct OfZone {
    name: Box<[u8]>,
    ends: Ends,
    /// Number of migration, zone and server together.
    pub(super) group: u32,
    /// Number of the zone among those of all migrations.
    pub(super) zone: u32,
}

impl Servers {
    pub(super) fn new(servers: &BTreeSet<Ipv6Addr>) -> Self {
        let hole = Place { address: Ipv6Addr::UNSPECIFIED, number: NONE, unanswered: 0, source: usize::MAX };
        let mut places = vec![hole; (4 * servers.len()).next_power_of_two()];
        for (number, &address) in servers.iter().enumerate() {
            let hash = hash_of_server(address);
            let free = (hash..).map(|at| at & (places.len() - 1));
            let free = free.take(places.len()).find(|&at| places.get(at).is_some_and(Place::is_hole));
            if let Some(place) = free.and_then(|free| places.get_mut(free)) {
                (place.address, place.number) = (address, number as u32);
            }
        }
        let watched =
            |&address| Watched { address, of: Vec::new(), sources: Vec::new(), shown: Shown::default() };
        let bits = servers.iter().fold(0, |bits, server| bits | server_bit(&server.octets()));
        Self { all: servers.iter().map(watched).collect(), places, bits }
    }

    /// The number of a server that is watched, and its place.
    #[inline(always)]
    pub(super) fn find(&mut self, server: Ipv6Addr) -> Option<(usize, &mut Place)> {
        let last = self.places.len().wrapping_sub(1);
        let mut at = hash_of_server(server);
        while self.places.get(at & last).is_some_and(|place| place.address != server && !place.is_hole()) {
            at += 1;
        }
        let place = self.places.get_mut(at & last).filter(|place| !place.is_hole())?;
        Some((place.number as usize, place))
    }

    /// A source shows a server, maybe for the first time; it is the last of them then.
    #[cold]
    pub(super) fn show(&mut self, server: Ipv6Addr, source: usize) {
        let Some((number, place)) = self.find(server) else { return };
        place.source = source;
        if let Some(watched) = self.all.get_mut(number) {
            watched.sources.retain(|&known| known != source);
            watched.sources.push(source);
        }
    }

    /// Whether a response may carry a record that leads to a server, or could not be read to its end.
    #[inline]
    pub(super) fn may_lead(&self, message: &Message<'_>) -> bool {
        message.delegation.end > 0
            || message.servers & self.bits != 0
            || message.malformed.is_some()
            || message.facts.contains(Facts::CUT)
    }
}

impl Place {
    #[inline]
    const fn is_hole(&self) -> bool {
        self.number == NONE
    }
}

/// Where a server is looked for.
#[inline]
const fn hash_of_server(server: Ipv6Addr) -> usize {
    let bits = server.to_bits();
    let half = bits as u64 ^ (bits >> 64) as u64;
    (half.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
}

impl Of {
    pub(super) fn new(number: usize, migration: &Migration, server: Ipv6Addr) -> Self {
        let cutover = migration.cutover.filter(|_| migration.is_old(server));
        Self {
            migration: number,
            zones: Vec::new(),
            lengths: [0; 4],
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

    /// One more zone.
    pub(super) fn add(&mut self, zone: OfZone) {
        let length = zone.name.len();
        if let Some(lengths) = self.lengths.get_mut(length / 64) {
            *lengths |= 1 << (length % 64);
        }
        let known: Vec<OfZone> =
            std::mem::take(&mut self.zones).into_iter().flatten().chain([zone]).collect();
        self.zones.resize_with((4 * known.len()).next_power_of_two(), || None);
        let last = self.zones.len() - 1;
        for zone in known {
            let mut at = zone.ends.hash();
            while self.zones.get(at & last).is_some_and(Option::is_some) {
                at += 1;
            }
            if let Some(place) = self.zones.get_mut(at & last) {
                *place = Some(zone);
            }
        }
    }

    /// The longest zone that a lower-cased name is in.
    #[inline(always)]
    pub(super) fn zone_of(&self, name: Name<'_>) -> Option<&OfZone> {
        let octets = name.0;
        let mut at = 0;
        while let Some(&label) = octets.get(at) {
            let len = octets.len() - at;
            // A name has 255 octets at most.
            if self.lengths.get(len / 64 % 4).is_some_and(|lengths| lengths >> (len % 64) & 1 == 1)
                && let Some(zone) = octets.get(at..).and_then(|rest| self.named(rest))
            {
                return Some(zone);
            }
            at += 1 + usize::from(label);
        }
        None
    }

    #[inline(always)]
    fn named(&self, name: &[u8]) -> Option<&OfZone> {
        let ends = Ends::of(name);
        let last = self.zones.len().wrapping_sub(1);
        let mut at = ends.hash();
        loop {
            let zone = self.zones.get(at & last)?.as_ref()?;
            // Most zones' names are no longer than both ends.
            if zone.ends == ends && (matches!(name.len(), 8..=16) || *name == *zone.name) {
                return Some(zone);
            }
            at += 1;
        }
    }
}

/// What zones' names differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    /// The first eight octets, and the last eight; 0 where the name is shorter.
    head: u64,
    end: u64,
    len: usize,
}

impl Ends {
    #[inline(always)]
    fn of(name: &[u8]) -> Self {
        let (head, end) = match (name.first_chunk(), name.last_chunk()) {
            (Some(head), Some(end)) => (u64::from_ne_bytes(*head), u64::from_ne_bytes(*end)),
            _ => (0, 0),
        };
        Self { head, end, len: name.len() }
    }

    /// Where a name is looked for.
    #[inline(always)]
    const fn hash(self) -> usize {
        let all = self.head ^ self.end.rotate_left(32) ^ self.len as u64;
        (all.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize
    }
}

impl OfZone {
    pub(super) fn new(name: &[u8], group: u32, zone: u32) -> Self {
        Self { name: name.into(), ends: Ends::of(name), group, zone }
    }
}
