//! What a report tells beside the verdict: who asked an old server, who watched it, and what went to whom over time.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use lowtide_proto::Timestamp;

use super::{HOUR, Judged, shown};
use crate::drain::client::{Class, Client};
use crate::drain::evidence::{Asked, Evidence, Series};
use crate::drain::habits::Habits;
use crate::drain::horizon::Horizon;
use crate::drain::plan::{Migration, Server};
use crate::drain::report::{CoverageReport, GapReport, NewServer, ServerReport, Split};
use crate::drain::residual::Residual;
use crate::drain::wanted::Wanted;
use crate::summary::rfc3339;

/// Residual clients that are told, of each server and zone.
const MAX_RESIDUAL: usize = 1_000;

/// Holes that are told, of each server and zone.
const MAX_HOLES: usize = 1_000;

pub(super) fn told(
    migration: &Migration,
    (horizon, habits): (&Horizon, &Habits),
    (server, zone): (Ipv6Addr, String),
    asked: &Asked,
    judged: Judged,
    at: Timestamp,
    all: &mut Residual<'_>,
) -> ServerReport {
    let hours = judged.required as f64 / HOUR as f64;
    let since = migration.cutover.unwrap_or_default();
    let mut residual: Vec<(&Client, Class)> = asked
        .clients
        .values()
        .filter(|client| client.last >= since)
        .map(|client| (client, habits.class(client, horizon.at)))
        .collect();
    residual.sort_by_key(|(client, _)| (std::cmp::Reverse(client.last), client.address));
    let mut classes = BTreeMap::new();
    for (_, class) in &residual {
        *classes.entry(class.as_str()).or_default() += 1;
    }
    residual.iter().for_each(|&(client, class)| all.add(client, class));
    all.add_others(asked.other_clients() as u64, asked.others);
    residual.truncate(MAX_RESIDUAL);
    let quiet = asked.last.map_or(judged.required, |last| at.0.saturating_sub(last.0));
    let watched = quiet.min(judged.required) as f64 / HOUR as f64 * judged.fraction;
    ServerReport {
        address: shown(server),
        zone,
        verdict: judged.verdict.as_str(),
        reasons: judged.reasons,
        last_query: asked.last.map(rfc3339),
        queries: asked.queries,
        queries_set_apart: asked.apart,
        rate_per_hour: judged.in_quiet_period as f64 / hours,
        // None seen in a watched time T: e^(-rate T) = 0.05 (the rule of three).
        rate_upper_bound_95: (judged.in_quiet_period == 0 && watched > 0.0)
            .then(|| -(0.05_f64.ln()) / watched),
        coverage: CoverageReport {
            fraction: judged.fraction,
            gaps: judged
                .holes
                .iter()
                .take(MAX_HOLES)
                .map(|hole| GapReport {
                    from: rfc3339(hole.from),
                    to: rfc3339(hole.to),
                    reason: hole.reason.clone(),
                })
                .collect(),
        },
        classes,
        residual_clients: residual
            .into_iter()
            .map(|(client, class)| all.client(client, class, asked))
            .collect(),
        other_clients: asked.other_clients() as u64,
        other_queries: asked.others,
        wanted: asked.wanted.as_deref().map(Wanted::told),
    }
}

/// The queries of all zones and of these servers over time.
pub(super) fn merged(migration: &Migration, evidence: &Evidence, servers: &[Server]) -> Series {
    let mut series = Series::new(HOUR);
    for number in 0..migration.zones.len() {
        for server in servers {
            for (time, count) in
                evidence.asked.get(&(number, server.address)).iter().flat_map(|asked| asked.series.iter())
            {
                series.add(time, count);
            }
        }
    }
    series
}

pub(super) fn split(old: &Series, new: &Series) -> Vec<Split> {
    let mut hours: BTreeMap<Timestamp, (u64, u64)> = BTreeMap::new();
    old.iter().for_each(|(time, count)| hours.entry(time).or_default().0 += count);
    new.iter().for_each(|(time, count)| hours.entry(time).or_default().1 += count);
    hours.into_iter().map(|(start, (old, new))| Split { start: rfc3339(start), old, new }).collect()
}

pub(super) fn new_servers(migration: &Migration, evidence: &Evidence) -> Vec<NewServer> {
    let mut servers = Vec::new();
    for (number, zone) in migration.zones.iter().enumerate() {
        for server in &migration.new {
            let asked = evidence.asked.get(&(number, server.address));
            servers.push(NewServer {
                address: shown(server.address),
                zone: zone.as_name().to_string(),
                queries: asked.map_or(0, |asked| asked.queries),
            });
        }
    }
    servers
}
