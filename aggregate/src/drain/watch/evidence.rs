//! What was seen, as evidence.

use std::net::Ipv6Addr;

use super::{Group, Watch, Zone};
use crate::drain::Evidence;

impl Watch {
    /// Which sources, by number, showed which of the servers from beside them.
    pub fn shown(&self) -> impl Iterator<Item = (usize, Ipv6Addr)> {
        self.servers
            .all
            .iter()
            .flat_map(|watched| watched.sources.iter().map(|&source| (source, watched.address)))
    }

    /// The evidence of each migration; `sources` are the names of the sources by number. Who watched when is the caller's to add.
    pub fn evidence(&self, sources: &[String]) -> Vec<Evidence> {
        (0..self.migrations.len()).map(|number| self.evidence_of(number, sources)).collect()
    }

    /// The number of a group's zone among those of all migrations.
    fn zone_of(&self, group: &Group) -> Option<usize> {
        self.zone_numbers.get(&(group.migration, group.zone)).copied()
    }

    fn evidence_of(&self, number: usize, sources: &[String]) -> Evidence {
        let mut evidence = Evidence::default();
        for group in self.groups.iter().filter(|group| group.migration == number) {
            let key = (group.zone, group.server);
            let zone = self.zone_of(group);
            let Some(Zone { rrsets, .. }) = zone.and_then(|zone| self.zones.get(zone)) else { continue };
            let of_server = |(server, time)| (server == group.server).then_some((key, time));
            evidence.unread.extend(rrsets.unread().filter_map(of_server));
            let of_server = rrsets.iter().filter(|(key, _)| key.server == group.server);
            evidence.rrsets.extend(of_server.map(|(key, served)| (group.zone, key.clone(), *served)));
            let of_server = rrsets.ttls().filter(|(key, _)| key.server == group.server);
            evidence.ttls.extend(of_server.map(|(key, ttls)| ((group.zone, key.clone()), ttls.clone())));
            let Some(asked) = &group.asked else { continue };
            evidence.asked.insert(key, asked.clone());
            // Of a server whose responses were not captured at all nobody knows what it serves.
            let is_of_server = |of: &&Group| of.server == group.server && self.zone_of(of) == zone;
            let is_answered = self.groups.iter().filter(is_of_server).any(|of| of.is_answered);
            if let Some(last) = asked.last.filter(|_| !is_answered) {
                evidence.unread.insert(key, last);
            }
        }
        for watched in &self.servers.all {
            for name in watched.sources.iter().filter_map(|&source| sources.get(source)) {
                evidence.cover.watches(name, watched.address);
            }
        }
        for (&source, unread) in &self.unread {
            for (&(from, to), name) in unread.iter().zip(std::iter::repeat(sources.get(source))) {
                let reason = "queries whose name was not captured (snap length)";
                name.into_iter().for_each(|name| evidence.cover.lost(name, from, to, reason));
            }
        }
        evidence
    }
}
