//! Migrations at random, with faults or none.

use super::scenarios::{sensor, servers};
use super::{
    DAY, Fault, HOUR, Monitor, Naming, NsSet, Parameters, Scan, Seconds, Stub, SwitchOff, Watched, Zone,
};
use crate::random::Random;

/// Queries of clients in a whole simulation, about: it bounds what one costs.
const CLIENT_QUERIES: f64 = 150_000.0;

impl Parameters {
    /// A migration in which everything is drawn at random: a half has no operator's mistake, a half no fault of a sensor.
    pub fn random(seed: u64) -> Self {
        let random = &mut Random::new(seed, 0);
        let mut of = Self::textbook("random", seed);
        draw_world(&mut of, random);
        draw_clients(&mut of, random);
        if random.chance(0.5) {
            draw_mistake(&mut of, random);
        }
        of.sensors = (0..of.old.len()).map(|server| sensor(false, server, 1)).collect();
        if random.chance(0.3) {
            merge_sensors(&mut of);
        }
        if random.chance(0.25) {
            of.sensors.extend((0..of.new.len()).map(|server| sensor(true, server, 1)));
        }
        if random.chance(0.5) {
            for _ in 0..random.between(1, 2) {
                draw_fault(&mut of, random);
            }
        }
        of
    }
}

fn draw_world(of: &mut Parameters, random: &mut Random) {
    const ORIGINS: [&str; 4] = ["corp.example.", "shop.example.", "media.example.", "legacy.example."];
    let zones = random.pick(&[1, 1, 1, 2, 2, 3]);
    let first = random.below(4) as usize;
    let zone = |number: usize, random: &mut Random| Zone {
        origin: ORIGINS[(first + number) % 4].to_owned(),
        names: random.between(3, 20) as usize,
    };
    of.zones = (0..zones).map(|number| zone(number, random)).collect();
    let has_v6 = random.chance(0.6);
    of.old = servers(false, random.between(1, 3) as usize, has_v6);
    of.new = servers(true, random.between(1, 3) as usize, random.chance(0.7));
    of.naming = if random.chance(0.2) { Naming::Vanity } else { Naming::Provider };
    of.minimal_responses = random.chance(0.4);
    of.parent.ns_ttl = random.pick(&[3_600, 21_600, 43_200, 86_400, 86_400, 172_800]);
    of.parent.ds_ttl = random.pick(&[3_600, 86_400, 86_400]);
    let plan = &mut of.plan;
    plan.ns_ttl = random.pick(&[3_600, 14_400, 43_200, 86_400, 86_400, 172_800]);
    plan.address_ttl = random.pick(&[3_600, 14_400, 86_400, 86_400]);
    plan.lowered_ttl = random.pick(&[60, 300, 300, 900, 3_600]);
    // Not on the hour: rules that hold on round figures alone must fail.
    plan.cutover = random.between(2 * DAY, 3 * DAY + 12 * HOUR);
    let cutover = plan.cutover;
    plan.lower_at = random.chance(0.75).then(|| cutover - random.between(6 * HOUR, 44 * HOUR));
    plan.raise_at = random.chance(0.7).then(|| cutover + random.between(HOUR, 2 * DAY));
    plan.parent_changes = vec![(cutover, NsSet::New)];
    // Within an hour or so before or after the parent, sometimes long after.
    let swap = if random.chance(0.2) {
        cutover + random.between(HOUR, 20 * HOUR)
    } else {
        cutover - 2 * HOUR + random.below(3 * HOUR)
    };
    plan.old_serve = vec![(swap, NsSet::New)];
    if random.chance(0.25) {
        let both = cutover - random.between(2 * HOUR, DAY);
        plan.parent_changes.insert(0, (both, NsSet::Both));
        plan.old_serve.insert(0, (both, NsSet::Both));
        plan.new_serve = vec![(0, NsSet::Both), (swap, NsSet::New)];
    }
    let longest = u64::from(of.parent.ns_ttl.max(of.parent.ds_ttl).max(plan.ns_ttl).max(plan.address_ttl));
    of.length = cutover
        + longest.max(swap.saturating_sub(cutover))
        + of.quiet_period
        + random.between(DAY / 2, 3 * DAY);
    of.aftermath = 3 * DAY;
}

fn draw_clients(of: &mut Parameters, random: &mut Random) {
    let days = (of.length + of.aftermath) as f64 / DAY as f64;
    let population = &mut of.population;
    population.resolvers = random.log_uniform(20.0, 2_000.0) as usize;
    let most = CLIENT_QUERIES / (days * population.resolvers as f64);
    population.queries_per_day = random.log_uniform(4.0, 400.0).min(most);
    if random.chance(0.2) {
        // So few that silence says little: a day without a query may be chance.
        population.resolvers = random.log_uniform(2.0, 30.0) as usize;
        population.queries_per_day = random.log_uniform(0.3, 4.0);
    }
    population.diurnal = random.unit() * 0.9;
    population.late = random.unit() * 0.3;
    population.child_centric = random.unit() * 0.7;
    population.asking = random.unit();
    population.renewing = random.unit();
    population.capping = random.unit() * 0.4;
    if random.chance(0.4) {
        population.extending = random.pick(&[0.01, 0.087, 0.087]);
        population.stretch = 1.5 + random.unit() * 2.5;
    }
    if random.chance(0.12) {
        // Among few, a share that gives one of them.
        population.sticky = (1.0 / population.resolvers as f64).max(0.01);
    }
    population.prefetching = random.unit() * 0.5;
    population.serve_stale = random.unit() * 0.4;
    population.validating = random.unit() * 0.6;
    population.shared = random.unit() * 0.3;
    population.ipv4_only = random.unit();
    of.background_per_hour = if random.chance(0.7) { random.log_uniform(6.0, 120.0) } else { 0.0 };
    if random.chance(0.3) {
        for _ in 0..random.between(1, 3) {
            of.stubs.push(Stub {
                queries_per_day: random.log_uniform(3.0, 400.0),
                all_addresses: random.chance(0.5),
                recursion_desired: random.chance(0.9),
            });
        }
    }
    if random.chance(0.4) {
        for _ in 0..random.between(1, 2) {
            let set_apart = random.chance(0.4);
            let until = of.plan.cutover + random.below(DAY);
            of.monitors.push(Monitor {
                period: random.pick(&[300, 900, HOUR, HOUR, 6 * HOUR, DAY, 7 * DAY]),
                jitter_ms: random.pick(&[0, 200, 2_000]),
                until: random.chance(0.6).then_some(until),
                set_apart,
            });
        }
    }
    if random.chance(0.25) {
        for _ in 0..random.between(1, 2) {
            let at = random.between(DAY, of.length - HOUR);
            of.scans.push(Scan {
                at,
                queries: random.between(40, 400) as u32,
                pace_ms: random.between(5, 2_000),
            });
        }
    }
}

fn draw_mistake(of: &mut Parameters, random: &mut Random) {
    let (cutover, length) = (of.plan.cutover, of.length);
    let mistake = random.pick(&[
        "ttl-not-lowered",
        "old-ns-still-served",
        "new-serves-old-ns",
        "forgotten-server",
        "twice",
        "rolled-back",
        "switched-off-early",
    ]);
    let plan = &mut of.plan;
    match mistake {
        "ttl-not-lowered" => plan.lower_at = None,
        "old-ns-still-served" => plan.old_serve.clear(),
        "new-serves-old-ns" => plan.new_serve = vec![(0, NsSet::Old)],
        "forgotten-server" => plan.forgotten = Some(random.below(of.old.len() as u64) as usize),
        "switched-off-early" => {
            let how = random.pick(&[SwitchOff::Refused, SwitchOff::Silent, SwitchOff::Down]);
            plan.switch_off = Some((cutover + random.between(600, DAY), how));
        }
        _ => {
            let back = cutover + random.between(HOUR, DAY);
            plan.parent_changes.push((back, NsSet::Old));
            plan.old_serve.retain(|(at, _)| *at < back);
            plan.new_serve.retain(|(at, _)| *at < back);
            plan.old_serve.push((back, NsSet::Old));
            plan.new_serve.push((back, NsSet::Old));
            if mistake == "twice" {
                let again = back + random.between(HOUR, DAY);
                plan.parent_changes.push((again, NsSet::New));
                plan.old_serve.push((again, NsSet::New));
                plan.new_serve.push((again, NsSet::New));
                plan.cutover = again;
                of.length = length + (again - cutover);
            }
        }
    }
    of.mistakes.push(mistake.to_owned());
}

/// One sensor for all old servers, as a mirror port gives.
fn merge_sensors(of: &mut Parameters) {
    let watches: Vec<Watched> = of.sensors.iter().flat_map(|sensor| sensor.watches.clone()).collect();
    of.sensors.truncate(1);
    if let Some(sensor) = of.sensors.first_mut() {
        sensor.name = "old".to_owned();
        sensor.watches = watches;
    }
}

fn draw_fault(of: &mut Parameters, random: &mut Random) {
    let old: Vec<usize> = (0..of.sensors.len())
        .filter(|&at| of.sensors[at].watches.iter().all(|watched| !watched.is_new))
        .collect();
    let Some(&at) = old.get(random.below(old.len() as u64) as usize) else { return };
    let length: Seconds = of.length;
    let from = random.between(length / 4, length - 600);
    let to = (from + random.log_uniform(120.0, 86_400.0) as Seconds).min(length);
    let fault = match random.below(12) {
        0..4 => Fault::Outage { from, to },
        4..6 => Fault::Death { at: from },
        6..8 => Fault::Drop { from, to, share: random.pick(&[0.001, 0.02, 0.3, 0.9]) },
        8 => Fault::ClockStep { from, to, by: random.pick(&[-3_600, -90, 90, 3_600, 86_400]) },
        9..11 => Fault::Late { from, to, share: random.unit(), by: random.pick(&[1, 30, 600]) },
        _ => {
            if of.old.len() > 1 && of.sensors.len() > 1 {
                of.sensors.remove(at);
            } else if let Some(sensor) = of.sensors.get_mut(at)
                && sensor.watches.len() > 1
            {
                sensor.watches.pop();
            }
            return;
        }
    };
    of.sensors[at].faults.push(fault);
}
