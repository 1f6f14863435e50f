//! Watching migrations: every message from or to one of their servers about one of their zones is counted, by client; what
//! the servers serve is kept.
//!
//! Messages are counted, not transactions: a query that is asked twice was asked twice, and nothing has to be paired.

mod evidence;
mod servers;

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv6Addr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use lowtide_proto::{Facts, Message, Observation, Role, Timestamp};

use super::evidence::Asked;
use super::intervals::{Intervals, Key, Row};
use super::plan::{Migration, SECOND};
use super::rows::{DrainRow, DrainRows};
use super::rrsets::Rrsets;
use super::visitors::Visitors;
use crate::coverage::Coverage;
use servers::{Of, OfZone, Servers};

/// Clients of all migrations together; one takes about 250 octets.
const MAX_CLIENTS: usize = 1_000_000;

/// Steps of the time lines, nanoseconds.
const STEP: u64 = 60 * SECOND;

/// Stretches of time with queries that could not be read, of each source; past it the last one grows.
const MAX_UNREAD: usize = 1_000;

/// Rows that may wait for the end of their interval, about; one takes 150 octets.
const MAX_OPEN: usize = 262_144;

/// A migration, one of its zones and one of its servers.
#[derive(Debug)]
struct Group {
    migration: usize,
    /// Number of the zone in the migration.
    zone: usize,
    server: Ipv6Addr,
    /// What was asked, over the whole run.
    asked: Option<Asked>,
    /// Whether any response was seen.
    is_answered: bool,
    /// For rows.
    names: (Arc<str>, Arc<str>),
}

/// A zone, of whichever migrations.
#[derive(Debug)]
struct Zone {
    name: Arc<str>,
    rrsets: Rrsets,
}

/// Watches migrations.
#[derive(Debug)]
pub struct Watch {
    migrations: Vec<Migration>,
    servers: Servers,
    /// In the order of rows.
    groups: Vec<Group>,
    zones: Vec<Zone>,
    /// By number of the migration and of its zone, the number of the zone.
    zone_numbers: HashMap<(usize, usize), usize, RandomState>,
    /// By number of the source, queries to old servers whose name was not captured: they may have been for any zone.
    unread: HashMap<usize, Vec<(Timestamp, Timestamp)>, RandomState>,
    clients: usize,
    /// Whether all of a run is kept, for a verdict.
    keeps: bool,
    intervals: Option<Intervals>,
    /// Rows of intervals before this one were handed out.
    number: u64,
}

impl Watch {
    /// Nothing seen yet; keeps what verdicts need.
    pub fn new(migrations: Vec<Migration>) -> Self {
        Self::with(migrations, true, None, None)
    }

    /// The same, and rows are made in intervals of `width` nanoseconds.
    pub fn recording(migrations: Vec<Migration>, width: u64) -> Self {
        Self::with(migrations, true, Some(width), None)
    }

    /// Rows alone: for a run without end, of which nothing is kept but what tells visits. Several threads that may see the same clients
    /// share `visitors`.
    pub fn rows_alone(migrations: Vec<Migration>, width: u64, visitors: Option<Arc<Visitors>>) -> Self {
        Self::with(migrations, false, Some(width), visitors)
    }

    fn with(
        migrations: Vec<Migration>,
        keeps: bool,
        width: Option<u64>,
        visitors: Option<Arc<Visitors>>,
    ) -> Self {
        let mut groups = Vec::new();
        for (number, migration) in migrations.iter().enumerate() {
            let servers: BTreeSet<Ipv6Addr> =
                migration.old.iter().chain(&migration.new).map(|server| server.address).collect();
            let migration_name: Arc<str> = migration.name.as_str().into();
            for (zone, name) in migration.zones.iter().enumerate() {
                let zone_name: Arc<str> = name.as_name().to_string().into();
                groups.extend(servers.iter().map(|&server| Group {
                    migration: number,
                    zone,
                    server,
                    asked: None,
                    is_answered: false,
                    names: (Arc::clone(&migration_name), Arc::clone(&zone_name)),
                }));
            }
        }
        groups.sort_by(|one, other| (&one.names, one.server).cmp(&(&other.names, other.server)));
        let servers: BTreeSet<Ipv6Addr> = groups.iter().map(|group| group.server).collect();
        let mut watch = Self {
            servers: Servers::new(&servers),
            groups: Vec::new(),
            zones: Vec::new(),
            zone_numbers: HashMap::default(),
            unread: HashMap::default(),
            clients: 0,
            keeps,
            intervals: width.map(|width| Intervals::new(width, visitors)),
            number: 0,
            migrations,
        };
        for (number, group) in groups.iter().enumerate() {
            let Some(migration) = watch.migrations.get(group.migration) else { continue };
            let Some(&name) = migration.zones.get(group.zone) else { continue };
            let zone = match watch.zones.iter().position(|zone| zone.name == group.names.1) {
                Some(known) => known,
                None => {
                    let rrsets = Rrsets::new(name, servers.iter().copied(), width);
                    watch.zones.push(Zone { name: Arc::clone(&group.names.1), rrsets });
                    watch.zones.len() - 1
                }
            };
            watch.zone_numbers.insert((group.migration, group.zone), zone);
            let Some((at, place)) = watch.servers.find(group.server) else { continue };
            place.unanswered += 1;
            let Some(watched) = watch.servers.all.get_mut(at) else { continue };
            let of = &mut watched.of;
            let at = of.iter().position(|of| of.migration == group.migration).unwrap_or_else(|| {
                of.push(Of::new(group.migration, migration, group.server));
                of.len() - 1
            });
            if let Some(of) = of.get_mut(at) {
                of.add(OfZone::new(name.wire(), number as u32, zone as u32));
            }
        }
        watch.groups = groups;
        watch
    }

    /// The migrations, in the order given.
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// Looks at a message of source number `source`; whether it is of a server that is watched.
    #[inline]
    pub fn observe(&mut self, source: usize, observation: &Observation<'_>) -> bool {
        self.observe_as(source, observation, observation.time, |client| client)
    }

    /// The same, with another time than the message's own, and with what becomes of its client's address before it is stored.
    #[inline(always)]
    pub fn observe_as(
        &mut self,
        source: usize,
        observation: &Observation<'_>,
        time: Timestamp,
        stored: impl FnOnce(Ipv6Addr) -> Ipv6Addr,
    ) -> bool {
        let Some((at, place)) = self.servers.find(observation.server.address) else { return false };
        let is_recorded = self.intervals.is_some();
        let is_answered = place.unanswered == 0;
        if (place.source != source || is_recorded) && is_beside_server(observation.role) {
            self.show(observation.server.address, source, time);
        }
        if !observation.message.is_response {
            if is_recorded {
                self.record(at, observation, time, stored(observation.client.address));
            }
            if self.keeps {
                self.ask(at, observation, time);
            }
            if is_without_name(observation.message) {
                self.unread(at, source, time);
            }
        } else if is_recorded || !is_answered || self.servers.may_lead(observation.message) {
            // Nearly all responses lead nowhere; without rows there is nothing to be counted of them.
            self.response(at, source, observation, time, stored);
        }
        true
    }

    /// A source shows a server from beside it.
    #[inline(never)]
    fn show(&mut self, server: Ipv6Addr, source: usize, time: Timestamp) {
        let Some((at, place)) = self.servers.find(server) else { return };
        if place.source != source {
            self.servers.show(server, source);
        }
        if let (Some(intervals), Some(watched)) = (&mut self.intervals, self.servers.all.get_mut(at)) {
            watched.shown.message(source, intervals.number(time), time);
        }
    }

    /// A query is counted by client, for a verdict.
    #[inline(never)]
    fn ask(&mut self, at: usize, observation: &Observation<'_>, time: Timestamp) {
        let Self { servers, groups, clients, .. } = self;
        let Some(watched) = servers.all.get(at) else { return };
        let (message, client) = (observation.message, observation.client.address);
        for of in &watched.of {
            let Some(zone) = of.zone_of(message.qname) else { continue };
            let Some(group) = groups.get_mut(zone.group as usize) else { continue };
            let asked = group.asked.get_or_insert_with(|| Asked::new(STEP));
            if of.is_apart(client) {
                asked.apart += 1;
                continue;
            }
            let is_recursive = message.facts.contains(Facts::RECURSION_DESIRED);
            let wanted = if time >= of.wanted_since {
                asked.wants(of.places, message.qname, message.qtype, time)
            } else {
                None
            };
            let room = *clients < MAX_CLIENTS;
            let is_new = asked.count(client, time, message.qtype, is_recursive, room, wanted);
            *clients += usize::from(is_new);
        }
    }

    /// A query is counted by interval, for rows.
    #[inline(never)]
    fn record(&mut self, at: usize, observation: &Observation<'_>, time: Timestamp, client: Ipv6Addr) {
        let Some(watched) = self.servers.all.get(at) else { return };
        let Some(intervals) = &mut self.intervals else { return };
        let Observation { message, role, .. } = *observation;
        let is_recursive = message.facts.contains(Facts::RECURSION_DESIRED);
        for zone in watched.of.iter().filter_map(|of| of.zone_of(message.qname)) {
            let key = Key { group: zone.group, client, role, qtype: message.qtype };
            intervals.query(key, time, is_recursive);
        }
    }

    #[inline(never)]
    fn response(
        &mut self,
        at: usize,
        source: usize,
        observation: &Observation<'_>,
        time: Timestamp,
        stored: impl FnOnce(Ipv6Addr) -> Ipv6Addr,
    ) {
        let Self { servers, groups, zones, intervals, .. } = self;
        let Some(watched) = servers.all.get_mut(at) else { return };
        let Observation { role, message, .. } = *observation;
        let client = stored(observation.client.address);
        let (mut is_read, mut answered) = (true, 0);
        for (number, of) in watched.of.iter().enumerate() {
            let Some(zone) = of.zone_of(message.qname) else { continue };
            if let Some(intervals) = intervals {
                let key = Key { group: zone.group, client, role, qtype: message.qtype };
                intervals.response(key, time);
            }
            if let Some(group) = groups.get_mut(zone.group as usize)
                && !std::mem::replace(&mut group.is_answered, true)
            {
                answered += 1;
            }
            // A zone of two migrations is looked at once.
            let is_it = |of: &Of| of.zone_of(message.qname).is_some_and(|of| of.zone == zone.zone);
            let is_done = number > 0 && watched.of.iter().take(number).any(is_it);
            if let Some(zone) = zones.get_mut(zone.zone as usize).filter(|_| !is_done) {
                is_read &= zone.rrsets.observe(watched.address, role, time, message);
            }
        }
        if !is_read && let Some(intervals) = intervals {
            watched.shown.unread_response(source, intervals.number(time));
        }
        if answered > 0
            && let Some((_, place)) = servers.find(observation.server.address)
        {
            place.unanswered = place.unanswered.saturating_sub(answered);
        }
    }

    /// A query of source number `source` to a server could not be read: for which name it asked is not known.
    #[cold]
    fn unread(&mut self, at: usize, source: usize, time: Timestamp) {
        if let (Some(intervals), Some(watched)) = (&mut self.intervals, self.servers.all.get_mut(at)) {
            watched.shown.unread_query(source, intervals.number(time));
        }
        if !self.keeps {
            return;
        }
        let unread = self.unread.entry(source).or_default();
        let is_full = unread.len() >= MAX_UNREAD;
        match unread.last_mut() {
            Some((from, to)) if is_full || time.since(*to).unsigned_abs() < STEP => {
                *from = (*from).min(time);
                *to = (*to).max(time);
            }
            _ => unread.push((time, time)),
        }
    }

    /// Whether so many rows wait that they are to be handed out before the end of their interval.
    pub fn is_full(&self) -> bool {
        let asked = self.intervals.as_ref().map_or(0, Intervals::rows);
        let served: usize = self.zones.iter().map(|zone| zone.rrsets.rows()).sum();
        asked + served > MAX_OPEN || self.servers.all.iter().any(|server| server.shown.is_full())
    }

    /// Adds to coverage what the sources showed of the servers since this was last asked, and what of it could not be read.
    pub fn cover(&mut self, coverage: &mut Coverage) {
        let Some(width) = self.intervals.as_ref().map(Intervals::width) else { return };
        for watched in &mut self.servers.all {
            watched.shown.take(watched.address, width).for_each(|row| coverage.absorb(row));
        }
    }

    /// As [`Self::close`], but nothing while `moment` stays in one interval: so that it can be asked often.
    pub fn close_due(&mut self, moment: Timestamp) -> DrainRows {
        let width = self.intervals.as_ref().map_or(1, Intervals::width);
        let number = moment.0 / width;
        if std::mem::replace(&mut self.number, number) == number {
            return DrainRows::default();
        }
        self.close(Timestamp(number.saturating_mul(width)))
    }

    /// Hands out the rows of intervals that began before `moment`. What comes later makes another row of the same key: they add up.
    pub fn close(&mut self, moment: Timestamp) -> DrainRows {
        let Some(intervals) = &mut self.intervals else { return DrainRows::default() };
        let width = intervals.width();
        let mut rows = intervals.close(moment);
        rows.sort_unstable_by_key(Row::order);
        let groups = &self.groups;
        let row = |row: Row| {
            let group = groups.get(row.key.group as usize)?;
            Some(DrainRow {
                start: Timestamp(row.number.saturating_mul(width)),
                role: row.key.role,
                migration: Arc::clone(&group.names.0),
                zone: Arc::clone(&group.names.1),
                server: group.server,
                client: row.key.client,
                qtype: row.key.qtype,
                queries: row.queries,
                rd_queries: row.rd_queries,
                responses: row.responses,
                seen: row.seen,
                visits: row.visits,
                gaps: row.gaps,
            })
        };
        let asked = rows.into_iter().filter_map(row).collect();
        let mut served = Vec::new();
        for zone in &mut self.zones {
            let is_renewed = zone.rrsets.is_full() && !self.keeps;
            let moment = if is_renewed { Timestamp(u64::MAX) } else { moment };
            served.extend(zone.rrsets.close(moment, &zone.name));
            if is_renewed {
                zone.rrsets.forget();
            }
        }
        served.sort_unstable_by(|one, other| {
            (one.start, one.role, &one.zone, &one.rrset).cmp(&(
                other.start,
                other.role,
                &other.zone,
                &other.rrset,
            ))
        });
        DrainRows { asked, served }
    }
}

/// Whether a message is a query whose name was not captured.
#[inline]
fn is_without_name(message: &Message<'_>) -> bool {
    !message.is_response
        && message.qname.0.is_empty()
        && message.facts.contains(Facts::CUT)
        && !message.facts.contains(Facts::NO_QUESTION)
}

/// Whether a message of this role was seen at the server, where all others are seen as well. A resolver's own view of the servers
/// that it asks proves nothing of what other resolvers ask them.
pub const fn is_beside_server(role: Role) -> bool {
    match role {
        Role::Wire | Role::Auth | Role::Client | Role::Update => true,
        Role::Resolver | Role::Forwarder | Role::Stub | Role::Tool => false,
    }
}

#[cfg(test)]
mod tests;
