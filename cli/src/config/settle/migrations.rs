//! Migrations: what each must say, and how they get in each other's way.

use std::collections::HashMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use lowtide_aggregate::drain::{Migration, Server};
use lowtide_proto::{Name, NameBuf};

use super::{Settling, given_list, value};
use crate::config::draft::MigrationDraft;
use crate::config::place::{Given, Place};
use crate::pipeline::nanos;

/// What the parent's NS set has in com and net. It has no effect without a cutover, with which the TTL must be said.
const PARENT_NS_TTL: Duration = Duration::from_hours(48);

const QUIET_PERIOD: Duration = Duration::from_hours(24);

/// A zone of a migration, where it is named.
struct Named {
    zone: Given<NameBuf>,
    migration: usize,
    old: Vec<Ipv6Addr>,
}

impl Settling<'_> {
    pub(super) fn migrations(&mut self, drafts: Vec<(Place, MigrationDraft)>) -> Vec<Migration> {
        let mut names: HashMap<String, Place> = HashMap::new();
        let mut before: Vec<Named> = Vec::new();
        let mut all = Vec::new();
        for (number, (place, draft)) in drafts.into_iter().enumerate() {
            if let Some(name) = &draft.name {
                if let Some(first) = names.get(&name.value) {
                    let text =
                        format!("there is a migration '{}' already, {}", name.value, first.reference());
                    self.fault(&name.place, text);
                } else {
                    names.insert(name.value.clone(), name.place.clone());
                }
            }
            self.not_empty(draft.zones.as_ref(), "at least one zone must move");
            self.not_empty(draft.old.as_ref(), "at least one server must be left");
            let zones = given_list(draft.zones);
            self.twice(&zones, "zone", |zone| zone.as_name().to_string(), |zone| zone.as_name().to_string());
            let (old, new) = (given_list(draft.old), given_list(draft.new));
            self.twice(&old, "address", |server| server.address, shown);
            self.twice(&new, "address", |server| server.address, shown);
            for server in &new {
                if let Some(same) = old.iter().find(|old| old.value.address == server.value.address) {
                    let text = format!(
                        "'{}' is among the old servers as well, {}: it cannot be switched off and take over",
                        shown(&server.value),
                        same.place.reference()
                    );
                    self.fault(&server.place, text);
                }
            }
            if let (Some(cutover), None) = (&draft.cutover, &draft.parent_ns_ttl) {
                let text = "needs parent_ns_ttl, the TTL of the NS set in the parent zone: caches keep it for so long";
                self.fault(&cutover.place, text.to_owned());
            }
            self.overlaps(&zones, number, &old, &mut before);
            // One without a name was complained of when it was read.
            let name = draft.name.map_or_else(|| place.reference(), |name| name.value);
            all.push(Migration {
                name,
                zones: zones.into_iter().map(|zone| zone.value).collect(),
                old: old.into_iter().map(|server| server.value).collect(),
                new: new.into_iter().map(|server| server.value).collect(),
                cutover: draft.cutover.map(|cutover| cutover.value),
                parent_ns_ttl: nanos(value(draft.parent_ns_ttl, PARENT_NS_TTL)),
                ds_ttl: value(draft.ds_ttl, None).map_or(0, nanos),
                target_ttl: draft.target_ttl.map(|given| nanos(given.value)),
                quiet_period: nanos(value(draft.quiet_period, QUIET_PERIOD)),
                near_zero: value(draft.near_zero, 0),
                new_verified: value(draft.new_verified, false),
                set_apart: given_list(draft.set_apart).into_iter().map(|prefix| prefix.value).collect(),
            });
        }
        all
    }

    fn not_empty<T>(&mut self, list: Option<&Given<Vec<Given<T>>>>, text: &str) {
        if let Some(list) = list.filter(|list| list.value.is_empty()) {
            self.fault(&list.place, text.to_owned());
        }
    }

    /// A query is judged in each migration whose zone its name is in, so that a name in two is counted in both.
    fn overlaps(
        &mut self,
        zones: &[Given<NameBuf>],
        migration: usize,
        old: &[Given<Server>],
        before: &mut Vec<Named>,
    ) {
        let addresses: Vec<Ipv6Addr> = old.iter().map(|server| server.value.address).collect();
        for zone in zones {
            let shares = |other: &&Named| other.old.iter().any(|address| addresses.contains(address));
            for other in before.iter().filter(|other| other.migration != migration).filter(shares) {
                let (name, first) = (zone.value.as_name(), other.zone.value.as_name());
                if name.is_same(first) {
                    let text = format!(
                        "the zone '{name}' leaves the same old server in another migration, {}",
                        other.zone.place.reference()
                    );
                    self.fault(&zone.place, text);
                } else if is_below(name, first) || is_below(first, name) {
                    let text = format!(
                        "'{name}' overlaps with '{first}' of another migration with the same old server, {}: names in both are \
                         counted in both",
                        other.zone.place.reference()
                    );
                    self.warn(&zone.place, text);
                }
            }
            before.push(Named { zone: zone.clone(), migration, old: addresses.clone() });
        }
    }
}

fn shown(server: &Server) -> String {
    server.address.to_canonical().to_string()
}

/// Whether a name is below a zone; neither is the other.
fn is_below(name: Name<'_>, zone: Name<'_>) -> bool {
    let mut rest = name.0;
    while let Some((&len, behind)) = rest.split_first() {
        let Some(behind) = behind.get(usize::from(len)..) else { return false };
        if Name(behind).is_same(zone) {
            return true;
        }
        rest = behind;
    }
    false
}
