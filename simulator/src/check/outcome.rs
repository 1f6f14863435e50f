//! What came of verdicts beside the truth: counts, and how right classes are.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;

use lowtide_aggregate::drain::Migration;
use lowtide_aggregate::drain::report::MigrationReport;
use lowtide_proto::Timestamp;

use super::{Evidence, SECOND, Told, Verdicts, mapped};
use crate::parameters::Parameters;
use crate::resolver::IN_FLIGHT;
use crate::sink::Class;
use crate::truth::{ServerTruth, Truth};

const HOUR: u64 = 3_600 * SECOND;

/// Examples that are kept of what is wrong.
const EXAMPLES: usize = 20;

/// What came of one migration, or of many.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Migrations.
    pub migrations: u64,
    /// Zones and old servers that were judged.
    pub judged: u64,
    /// Of those, called drained at some hour.
    pub drained: u64,
    /// Called drained, and a compliant cache asked later although the configuration was true: never to be.
    pub false_drained: u64,
    /// Called drained, and only a cache that keeps data longer than it may asked later.
    pub extending_later: u64,
    /// Called drained where the operator's own configuration was wrong (rolled back, cut over twice), and a cache asked later.
    pub misconfigured_later: u64,
    /// Called drained in an hour whose quiet period has a hole: never to be.
    pub drained_with_hole: u64,
    /// Those that the rules allow to be called drained within the evidence, which has no hole.
    pub due: u64,
    /// Of those, called drained within an hour.
    pub in_time: u64,
    /// The same where the server itself was watched all the time, and another old server was not.
    pub due_beside_hole: u64,
    /// Of those, called drained within an hour.
    pub in_time_beside_hole: u64,
    /// What was wrong, as text.
    pub examples: Vec<String>,
    /// Clients by true class and the class that they were given.
    pub classes: BTreeMap<(Class, &'static str), u64>,
}

impl Outcome {
    /// Adds another.
    pub fn add(&mut self, other: Self) {
        self.migrations += other.migrations;
        self.judged += other.judged;
        self.drained += other.drained;
        self.false_drained += other.false_drained;
        self.extending_later += other.extending_later;
        self.misconfigured_later += other.misconfigured_later;
        self.drained_with_hole += other.drained_with_hole;
        self.due += other.due;
        self.in_time += other.in_time;
        self.due_beside_hole += other.due_beside_hole;
        self.in_time_beside_hole += other.in_time_beside_hole;
        self.examples.extend(other.examples);
        self.examples.sort_by_key(|example| (!example.contains("compliant"), !example.contains("hole")));
        self.examples.truncate(EXAMPLES);
        for (key, count) in other.classes {
            *self.classes.entry(key).or_default() += count;
        }
    }

    /// Whether no verdict was wrong, and nearly all that were due came in time.
    pub fn is_sound(&self) -> bool {
        self.false_drained == 0 && self.drained_with_hole == 0 && self.in_time * 100 >= self.due * 99
    }

    /// How many clients of some true classes were given some classes.
    fn count(&self, truth: &[Class], given: &[&str]) -> u64 {
        let is_meant =
            |((class, name), _): &(&(Class, &str), &u64)| truth.contains(class) && given.contains(name);
        self.classes.iter().filter(is_meant).map(|(_, count)| count).sum()
    }

    /// By class, of the clients given it the share that are of it, and of those that are of it the share that were given it.
    pub fn precisions_and_recalls(&self) -> [(&'static str, f64, f64); 4] {
        let resolvers = [Class::ResolverCompliant, Class::ResolverExtending];
        let classes: [(&str, &[Class], &[&str]); 4] = [
            ("resolver", &resolvers, &["resolver-within-horizon", "resolver-past-horizon"]),
            ("hard-coded", &[Class::HardCoded], &["hard-coded"]),
            ("monitor", &[Class::Monitor], &["monitor"]),
            ("scanner", &[Class::Scanner], &["scanner"]),
        ];
        classes.map(|(name, truth, given)| {
            let both = self.count(truth, given) as f64;
            let (given, all) = (self.count(&Class::ALL, given), self.count(truth, &ALL_GIVEN));
            (name, both / given as f64, both / all as f64)
        })
    }

    /// Of each true class in a line, how many were given which class.
    fn confusion(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>24}", "")?;
        ALL_GIVEN.iter().try_for_each(|given| write!(f, "{given:>25}"))?;
        writeln!(f)?;
        for class in Class::ALL.into_iter().filter(|class| *class != Class::Background) {
            write!(f, "{:>24}", format!("{class:?}"))?;
            ALL_GIVEN.iter().try_for_each(|given| write!(f, "{:>25}", self.count(&[class], &[given])))?;
            writeln!(f)?;
        }
        Ok(())
    }
}

/// The classes that clients are given.
const ALL_GIVEN: [&str; 5] =
    ["resolver-within-horizon", "resolver-past-horizon", "hard-coded", "monitor", "scanner"];

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} migrations, {} zones and old servers judged each half-hour",
            self.migrations, self.judged
        )?;
        writeln!(f, "called drained: {}", self.drained)?;
        writeln!(f, "  and a compliant cache asked later: {}", self.false_drained)?;
        writeln!(f, "  and the quiet period had a hole: {}", self.drained_with_hole)?;
        writeln!(
            f,
            "  and a cache that keeps data longer than it may asked later: {}",
            self.extending_later
        )?;
        writeln!(
            f,
            "  with a configuration that was wrong, and a cache asked later: {}",
            self.misconfigured_later
        )?;
        let share = |of: u64, all: u64| 100.0 * of as f64 / (all as f64).max(1.0);
        writeln!(
            f,
            "drained by the rules, with whole evidence: {}; so called within an hour: {} ({:.2} %)",
            self.due,
            self.in_time,
            share(self.in_time, self.due)
        )?;
        writeln!(
            f,
            "the same, but with a hole at another old server: {}; so called within an hour: {} ({:.2} %)",
            self.due_beside_hole,
            self.in_time_beside_hole,
            share(self.in_time_beside_hole, self.due_beside_hole)
        )?;
        writeln!(f, "clients that asked after the cutover, precision and recall of their classes:")?;
        for (name, precision, recall) in self.precisions_and_recalls() {
            writeln!(f, "  {name}: {precision:.3}, {recall:.3}")?;
        }
        writeln!(f, "what they are, by line, and what they were taken for:")?;
        self.confusion(f)?;
        for example in &self.examples {
            writeln!(f, "WRONG: {example}")?;
        }
        Ok(())
    }
}

/// What the truth says of one zone and old server.
struct One<'a> {
    zone: usize,
    server: Ipv6Addr,
    truth: &'a ServerTruth,
    drained: &'a [Timestamp],
    told: &'a [Told],
}

pub(super) fn compare(
    parameters: &Parameters,
    migration: &Migration,
    truth: &Truth,
    evidence: &Evidence,
    verdicts: &Verdicts,
) -> Outcome {
    let mut outcome = Outcome { migrations: 1, ..Outcome::default() };
    let is_configured_right = truth.true_cutover == Some(truth.cutover);
    for server in &truth.servers {
        let Some(zone) = parameters.zones.iter().position(|zone| zone.origin == server.zone) else {
            continue;
        };
        let address = mapped(server.address);
        let called = verdicts.drained.get(&(zone, address)).map_or(&[][..], Vec::as_slice);
        let told = verdicts.told.get(&(zone, address)).map_or(&[][..], Vec::as_slice);
        let one = One { zone, server: address, truth: server, drained: called, told };
        outcome.judged += 1;
        outcome.drained += u64::from(!called.is_empty());
        later(&mut outcome, truth, evidence, &one, is_configured_right);
        with_hole(&mut outcome, parameters, truth, evidence, &one);
        due(&mut outcome, parameters, migration, truth, evidence, &one);
    }
    classes(&mut outcome, truth, verdicts.last.as_ref());
    outcome
}

/// Whether anybody's cache led to the server after it was called drained.
fn later(
    outcome: &mut Outcome,
    truth: &Truth,
    evidence: &Evidence,
    one: &One<'_>,
    is_configured_right: bool,
) {
    let Some(&first) = one.drained.first() else { return };
    let after = |class: Class, may_come: bool| {
        let times = evidence.asked.get(&(one.zone, one.server, class)).map_or(&[][..], Vec::as_slice);
        // A query that was under way when its cache let go is no longer the cache's.
        let later = one.drained.iter().any(|&called| times.iter().any(|time| time.0 > called.0 + IN_FLIGHT));
        later || may_come
    };
    let compliant = after(Class::ResolverCompliant, one.truth.compliant_may_come);
    let extending = after(Class::ResolverExtending, one.truth.extending_may_come);
    if compliant && is_configured_right {
        outcome.false_drained += 1;
        outcome.examples.insert(
            0,
            format!(
                "seed {}: {} {} called drained at {}, and a compliant cache asked later ({:?}, {:?})",
                truth.seed,
                one.truth.zone,
                one.server.to_canonical(),
                crate::time::text(first),
                truth.mistakes,
                one.truth.last_compliant.map(crate::time::text)
            ),
        );
    } else if compliant {
        outcome.misconfigured_later += 1;
    } else if extending {
        outcome.extending_later += 1;
    }
}

/// The time that nobody saw, by the sensor's clock. A clock that is set ahead by an hour and back later skips an hour at most, or as
/// long as it was wrong.
fn blind(hole: &crate::truth::Hole) -> (u64, u64) {
    let (from, to) = (hole.from.0, hole.to.0);
    let by = (hole.amount.unwrap_or_default().abs() as u64).saturating_mul(SECOND);
    match hole.kind {
        "clock-step" if hole.amount.is_some_and(|amount| amount > 0.0) => {
            (from, to.min(from.saturating_add(by)))
        }
        "clock-step" => (from.max(to.saturating_sub(by)), to),
        _ => (from, to),
    }
}

/// Whether it was called drained in spite of a hole in the quiet period before.
fn with_hole(
    outcome: &mut Outcome,
    parameters: &Parameters,
    truth: &Truth,
    evidence: &Evidence,
    one: &One<'_>,
) {
    let quiet = parameters.quiet_period * SECOND;
    for hole in &truth.holes {
        // Late frames are not lost, and an unwatched place cannot be seen.
        let counts = !["late", "unwatched-site"].contains(&hole.kind);
        if !counts || !hole.addresses.iter().any(|&address| mapped(address) == one.server) {
            continue;
        }
        // Sensors speak every few minutes: what is a hole is known by then.
        let is_inside = |from: u64, to: u64, called: &Timestamp| {
            from + 2 * parameters.coverage_step * SECOND < called.0 && to > called.0.saturating_sub(quiet)
        };
        let (from, to) = blind(hole);
        let inside = |called: &&Timestamp| match hole.kind {
            // Where nothing came, nothing was dropped: what was is what sensors said.
            "drop" => evidence.lost.iter().any(|(sensor, begin, end)| {
                let is_of_hole = hole.sensor.as_ref() == Some(sensor) && begin.0 < to && end.0 > from;
                is_of_hole && is_inside(begin.0, end.0, called)
            }),
            _ => is_inside(from, to, called),
        };
        if let Some(&called) = one.drained.iter().find(inside) {
            outcome.drained_with_hole += 1;
            outcome.examples.push(format!(
                "seed {}: {} {} called drained at {} in spite of a hole ({}, {} to {}, {:?})",
                truth.seed,
                one.truth.zone,
                one.server.to_canonical(),
                crate::time::text(called),
                hole.kind,
                crate::time::text(hole.from),
                crate::time::text(hole.to),
                hole.amount
            ));
            return;
        }
    }
}

/// Whether the new servers lead nobody back, and the operator or a sensor knows it. The rules allow nothing to be called drained before: a
/// new server that names old ones keeps the migration from closing, and what nobody knows of is a hole in the evidence.
fn new_servers_are_known_good(migration: &Migration) -> bool {
    migration.new_verified
}

/// Whether it was called drained within an hour of when the rules allow it.
fn due(
    outcome: &mut Outcome,
    parameters: &Parameters,
    migration: &Migration,
    truth: &Truth,
    evidence: &Evidence,
    one: &One<'_>,
) {
    let concerns = |hole: &&crate::truth::Hole| {
        hole.kind != "late" && hole.addresses.iter().any(|&address| mapped(address) == one.server)
    };
    let horizon = truth.horizons.iter().find(|horizon| horizon.zone == one.truth.zone);
    let (Some(horizon), Some(&last)) = (horizon, evidence.last_seen.get(&(one.zone, one.server))) else {
        return;
    };
    if truth.true_cutover != Some(truth.cutover)
        || one.truth.drained_from.is_none()
        || !one.truth.is_watched
        || truth.holes.iter().any(|hole| concerns(&hole))
        || !new_servers_are_known_good(migration)
    {
        return;
    }
    let periods = truth
        .clients
        .iter()
        .filter(|client| !client.is_set_apart && client.class == Class::Monitor && client.queries > 0);
    let longest = periods.filter_map(|client| client.period_s).max().unwrap_or_default() * SECOND;
    let quiet = migration.quiet_period.max(2 * longest);
    let earliest = horizon.parent.max(horizon.child).map_or(0, |time| time.0).max(last.0 + quiet);
    if earliest + HOUR > truth.end.0 {
        return;
    }
    // Judged each half-hour: the first look after the moment comes within an hour.
    let is_in_time = one.drained.iter().any(|called| called.0 <= earliest + HOUR);
    // Until when caches may lead here is told by the answers of all old servers, not of this one alone: what another one gave away while
    // nobody watched that leads on from the end of its hole. Such evidence is not whole, and is counted apart. A hole counts from when on
    // what was given away in it could lead past the cutover, up to when the verdict was due.
    let plan = &parameters.plan;
    let ttls = plan.ns_ttl.max(plan.address_ttl).max(parameters.parent.ns_ttl);
    let begin = truth.cutover.0.saturating_sub(u64::from(ttls) * SECOND);
    let is_beside_hole = truth
        .holes
        .iter()
        .any(|hole| hole.kind != "late" && hole.to.0 > begin && hole.from.0 < earliest + HOUR);
    if is_beside_hole {
        outcome.due_beside_hole += 1;
        outcome.in_time_beside_hole += u64::from(is_in_time);
        return;
    }
    outcome.due += 1;
    if is_in_time {
        outcome.in_time += 1;
    } else {
        let then = one.told.iter().rev().find(|told| told.at.0 <= earliest + HOUR);
        outcome.examples.push(format!(
            "seed {}: {} {} could be called drained at {} and was not within an hour (first at {:?}; {:?}); then it was {}",
            truth.seed,
            one.truth.zone,
            one.server.to_canonical(),
            crate::time::text(Timestamp(earliest)),
            one.drained.first().map(|&time| crate::time::text(time)),
            truth.mistakes,
            then.map_or("not judged", |told| told.why.as_str())
        ));
    }
}

/// What the clients were taken for in the last report.
fn classes(outcome: &mut Outcome, truth: &Truth, last: Option<&MigrationReport>) {
    let of: BTreeMap<String, Class> = truth
        .clients
        .iter()
        .flat_map(|client| client.addresses.iter().map(|address| (address.to_string(), client.class)))
        .collect();
    let mut seen = BTreeMap::new();
    for server in last.iter().flat_map(|report| &report.servers) {
        for client in &server.residual_clients {
            if let Some(&class) = of.get(&client.address) {
                *seen.entry((class, client.class)).or_default() += 1;
            }
        }
    }
    outcome.classes = seen;
}
