//! The verdict on a migration, with its reasons.
//!
//! Queries that were seen are proof that a server is asked, whatever else was not seen. That none were seen is proof only where
//! somebody looked all the time: a hole in that makes the verdict `unknown`.

mod told;

use std::net::Ipv6Addr;

use lowtide_proto::Timestamp;

use super::cover::Hole;
use super::decay;
use super::evidence::{Asked, Evidence};
use super::habits::Habits;
use super::horizon::{Horizon, horizon};
use super::lowering::lowering;
use super::plan::{Migration, SECOND};
use super::report::{DecayReport, MigrationReport, Reason};
use super::residual::{Locate, Residual, nowhere};
use crate::summary::rfc3339;
use told::{merged, new_servers, split, told};

/// How far evidence may be behind the moment that is asked about: sensors speak now and then, and rows are on their way. The quiet
/// period is then one that ends where the evidence does.
const BEHIND: u64 = 15 * 60 * SECOND;

const HOUR: u64 = 3_600 * SECOND;

/// Whether an old server can be switched off. In order of gravity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Nobody asks it any more, and that was watched.
    Drained,
    /// Nobody was seen to ask, but the evidence has holes.
    Unknown,
    /// It is still asked, or may be, and that will pass.
    Draining,
    /// It is in use.
    Active,
    /// It is asked, and some server goes on leading resolvers to it.
    NotClosing,
}

impl Verdict {
    /// The word in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Drained => "drained",
            Verdict::Unknown => "unknown",
            Verdict::Draining => "draining",
            Verdict::Active => "active",
            Verdict::NotClosing => "not-closing",
        }
    }
}

/// What is judged of one old server and zone.
struct Judged {
    verdict: Verdict,
    reasons: Vec<Reason>,
    /// How long nothing may be asked, nanoseconds.
    required: u64,
    holes: Vec<Hole>,
    fraction: f64,
    in_quiet_period: u64,
}

fn reason(code: &'static str, text: impl Into<String>) -> Reason {
    Reason { code, text: text.into() }
}

fn shown(address: Ipv6Addr) -> String {
    address.to_canonical().to_string()
}

fn span(nanos: u64) -> String {
    let seconds = nanos / SECOND;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Judges a migration at a moment, and says why.
pub fn judge(migration: &Migration, evidence: &Evidence, at: Timestamp) -> (Verdict, MigrationReport) {
    judge_located(migration, evidence, at, &nowhere)
}

/// The same, where somebody knows where clients are.
pub fn judge_located(
    migration: &Migration,
    evidence: &Evidence,
    at: Timestamp,
    locate: Locate<'_>,
) -> (Verdict, MigrationReport) {
    let mut residual = Residual::new(locate);
    let habits = Habits::of(migration, evidence);
    let mut servers = Vec::new();
    let mut worst = Verdict::Drained;
    let mut reasons: Vec<Reason> = Vec::new();
    let mut latest_horizon: Option<Timestamp> = None;
    let (mut required, mut last_query) = (migration.quiet_period, None::<Timestamp>);
    for (number, zone) in migration.zones.iter().enumerate() {
        let horizon = horizon(migration, evidence, number, at);
        latest_horizon = latest_horizon.max(horizon.at);
        for server in &migration.old {
            let none = Asked::new(60 * SECOND);
            let asked = evidence.asked.get(&(number, server.address)).unwrap_or(&none);
            let judged = one(migration, evidence, &horizon, (number, server.address), asked, at);
            worst = worst.max(judged.verdict);
            required = required.max(judged.required);
            last_query = last_query.max(asked.last);
            let zone = zone.as_name().to_string();
            for reason in &judged.reasons {
                if !reasons.contains(reason) {
                    reasons.push(reason.clone());
                }
            }
            servers.push(told(
                migration,
                (&horizon, &habits),
                (server.address, zone),
                asked,
                judged,
                at,
                &mut residual,
            ));
        }
    }
    if migration.zones.is_empty() || migration.old.is_empty() {
        worst = Verdict::Unknown;
        reasons.push(reason("nothing-to-watch", "no zone or no old server is named"));
    }
    let old = merged(migration, evidence, &migration.old);
    let new = merged(migration, evidence, &migration.new);
    let decay = migration.cutover.and_then(|cutover| decay::fit(&old, cutover, at, required));
    let (ttl_lowering, of_ttls) = lowering(migration, evidence, at);
    reasons.extend(of_ttls);
    let report = MigrationReport {
        name: migration.name.clone(),
        zones: migration.zones.iter().map(|zone| zone.as_name().to_string()).collect(),
        verdict: worst.as_str(),
        reasons,
        cutover: migration.cutover.map(rfc3339),
        cache_horizon: latest_horizon.map(rfc3339),
        quiet_since: last_query.map(rfc3339),
        quiet_required_s: required as f64 / SECOND as f64,
        ttl_lowering,
        servers,
        new_servers: new_servers(migration, evidence),
        residual: residual.told(),
        decay: decay.map(|decay| DecayReport {
            half_life_s: decay.half_life,
            expected_quiet: rfc3339(decay.quiet),
            expected_quiet_95: (rfc3339(decay.quiet_interval.0), decay.quiet_interval.1.map(rfc3339)),
        }),
        split: split(&old, &new),
    };
    (worst, report)
}

/// How long nothing may be asked: the quiet period, or twice the longest period at which a client comes.
fn required(migration: &Migration, asked: &Asked) -> (u64, Option<Reason>) {
    let longest = asked.clients.values().filter_map(|client| Some((client.period()?, client.address))).max();
    match longest {
        Some((period, client)) if period.saturating_mul(2) > migration.quiet_period => {
            let text = format!(
                "{} comes every {}: nothing may be asked for {}",
                shown(client),
                span(period),
                span(period.saturating_mul(2))
            );
            (period.saturating_mul(2), Some(reason("periodic-client", text)))
        }
        _ => (migration.quiet_period, None),
    }
}

fn one(
    migration: &Migration,
    evidence: &Evidence,
    horizon: &Horizon,
    (number, server): (usize, Ipv6Addr),
    asked: &Asked,
    at: Timestamp,
) -> Judged {
    let (required, periodic) = required(migration, asked);
    let known = evidence.cover.known_until(server).unwrap_or_default();
    // What one source saw while another lags behind was asked all the same.
    let until = at;
    let at = if known < at && at.0 - known.0 <= BEHIND { known } else { at };
    let begin = Timestamp(at.0.saturating_sub(required));
    // The last query alone tells exactly; the steps at both ends of the time may count others, too.
    let is_quiet = asked.last.is_none_or(|last| last < begin);
    let in_quiet_period = if is_quiet { 0 } else { asked.series.between(begin, until) };
    let holes = evidence.cover.holes(server, begin, at);
    let fraction = evidence.cover.fraction(server, begin, at);
    // A zone that nobody ever asks any server for may be a slip of the pen; silence proves nothing of it.
    let is_known =
        evidence.asked.iter().any(|(&(of, _), asked)| of == number && asked.queries + asked.apart > 0);
    let mut reasons = Vec::new();
    // An old server that nobody asks leads nobody anywhere, whatever it served last, once caches have forgotten that: it may have been
    // changed since, and nobody saw it. A new one will be asked again.
    let is_new = |server: Ipv6Addr| migration.new.iter().any(|new| new.address == server);
    let is_asked_now = |server: Ipv6Addr| {
        evidence.asked.get(&(number, server)).is_some_and(|asked| asked.last >= Some(begin))
    };
    let may_lead = |server| horizon.at > Some(at) || is_asked_now(server) || is_new(server);
    let culprits: Vec<_> = horizon.culprits.iter().filter(|culprit| may_lead(culprit.server)).collect();
    let leads_back = culprits.iter().any(|culprit| is_new(culprit.server));
    let name = shown(server);
    let zone = migration.zones.get(number).map(|zone| zone.as_name().to_string()).unwrap_or_default();
    let verdict = match (migration.cutover, horizon.at) {
        (Some(cutover), _) if cutover > at && asked.queries > 0 => {
            reasons.push(reason("before-cutover", format!("the cutover is at {}", rfc3339(cutover))));
            Verdict::Active
        }
        (Some(cutover), Some(closes)) if cutover <= at => {
            if in_quiet_period > migration.near_zero {
                let last = asked.last.map(rfc3339).unwrap_or_default();
                let last = if in_quiet_period == 1 {
                    format!("at {last}")
                } else {
                    format!("the last time at {last}")
                };
                let text = format!(
                    "{name} was asked for {zone} {} in the last {}, {last}",
                    times(in_quiet_period),
                    span(required)
                );
                reasons.push(reason("queries", text));
            }
            for culprit in &culprits {
                reasons.push(reason(
                    "still-served",
                    format!(
                        "{} still serves {} ({} section, TTL {} s), last at {}: it must be changed there",
                        shown(culprit.server),
                        culprit.rrset,
                        culprit.section.as_str(),
                        culprit.ttl,
                        rfc3339(culprit.last)
                    ),
                ));
            }
            let is_asked = in_quiet_period > migration.near_zero;
            if !is_asked && !is_known {
                let text = format!(
                    "nobody was seen to ask any server for {zone} at any time: is that its name, and is it asked here?"
                );
                reasons.push(reason("never-asked", text));
            }
            let is_proven = is_known && holes.is_empty();
            if !is_asked && !is_proven {
                reasons.extend(holes.iter().take(10).map(|hole| {
                    let (from, to) = (rfc3339(hole.from), rfc3339(hole.to));
                    reason("hole", format!("{name} from {from} to {to}: {}", hole.reason))
                }));
                Verdict::Unknown
            } else if !culprits.is_empty() && (is_asked || at < closes || leads_back) {
                Verdict::NotClosing
            } else if at < closes {
                reasons.push(reason(
                    "within-horizon",
                    format!("caches may lead to the old servers until {}", rfc3339(closes)),
                ));
                Verdict::Draining
            } else if is_asked {
                Verdict::Draining
            } else if !horizon.new_is_known && !migration.new_verified {
                reasons.push(reason(
                    "new-servers-unseen",
                    "nobody saw what NS set the new servers serve: watch one of them, or look there and say new_verified = true",
                ));
                Verdict::Unknown
            } else {
                let asked = match in_quiet_period {
                    0 => "nothing".to_owned(),
                    few => format!("{} (near_zero allows {})", times(few), migration.near_zero),
                };
                let text = format!(
                    "{name} was asked {asked} for {zone} for {} up to {}, and all of it was watched",
                    span(required),
                    rfc3339(at)
                );
                reasons.push(reason("quiet", text));
                Verdict::Drained
            }
        }
        _ if asked.queries > 0 => {
            reasons.push(reason("no-cutover", "no cutover is configured"));
            Verdict::Active
        }
        _ => {
            reasons.push(reason("no-cutover", "no cutover is behind us, and nobody was seen to ask"));
            Verdict::Unknown
        }
    };
    reasons.extend(periodic);
    Judged { verdict, reasons, required, holes, fraction, in_quiet_period }
}

#[cfg(test)]
mod tests;
