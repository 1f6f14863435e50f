//! Migrations with a name.

use std::net::{Ipv4Addr, Ipv6Addr};

use lowtide_proto::Timestamp;

use super::{
    DAY, Fault, HOUR, Monitor, Naming, NsSet, Parameters, Parent, Plan, Population, Scan, Sensor, Server,
    Stub, SwitchOff, Watched, Zone,
};

/// Names and descriptions of all scenarios.
pub const SCENARIOS: [(&str, &str); 28] = [
    (
        "textbook",
        "TTLs lowered in time, both providers in parallel, the NS set changed everywhere, everybody watched",
    ),
    (
        "vanity-names",
        "the same with name servers named in the zone: glue and addresses change, the NS set does not",
    ),
    ("parallel-parent", "the parent names both providers for a day before the cutover"),
    ("ttl-not-lowered", "the zone's own TTLs stay at a day"),
    ("long-parent-ttl", "the parent's TTL is two days"),
    (
        "old-ns-still-served",
        "the old servers go on serving the old NS set with a TTL of a day: who is child-centric learns it again and again",
    ),
    ("new-serves-old-ns", "the zone was copied with its old NS set: the new servers lead back"),
    ("forgotten-server", "one of the old servers never got the new NS set"),
    ("twice", "cut over, taken back, and cut over again"),
    ("rolled-back", "cut over and taken back; the configuration still says cut over"),
    ("switched-off-early", "the zones are switched off two hours after the cutover: REFUSED"),
    ("switched-off-silent", "the same, and nothing answers"),
    ("switched-off-down", "the same, with the machines and the sensors on them"),
    ("sticky", "a few resolvers keep to the servers they know"),
    ("extending", "every tenth resolver keeps data too long, up to four times"),
    ("hard-coded-stub", "a stub and a forwarder have the old addresses in their configuration"),
    ("minute-monitor", "a monitor asks every minute and is turned over a day after the cutover"),
    ("hourly-monitor", "a monitor asks every hour and is never turned over"),
    ("weekly-monitor", "a monitor asks once a week"),
    ("own-monitor", "the operator's own monitor goes on and is set apart"),
    ("scanner-after", "a scanner sweeps over the old servers when all is quiet"),
    ("nobody-asks", "a zone that nobody asks for"),
    ("sensor-outage", "a sensor is blind for three hours of the quiet period"),
    ("dead-tap", "a sensor dies before the cutover and never comes back"),
    ("drops", "a sensor loses frames in the quiet period, and says how many"),
    ("clock-step", "a sensor's clock is an hour ahead for a while"),
    ("uncovered-server", "nobody watches one of the old servers"),
    ("anycast-half-seen", "an old server stands at two places, and one is watched"),
];

/// 2026-03-02 00:00:00 UTC.
const START: Timestamp = Timestamp(1_772_409_600_000_000_000);

impl Parameters {
    /// The scenario of this name; `None` when there is none.
    pub fn scenario(name: &str, seed: u64) -> Option<Self> {
        let mut of = Self::textbook(name, seed);
        let cutover = of.plan.cutover;
        match name {
            "textbook" => {}
            "vanity-names" => of.naming = Naming::Vanity,
            "parallel-parent" => {
                of.plan.parent_changes.insert(0, (cutover - DAY, NsSet::Both));
                of.plan.old_serve = vec![(cutover - DAY, NsSet::Both), (cutover - HOUR, NsSet::New)];
                of.plan.new_serve = vec![(0, NsSet::Both), (cutover - HOUR, NsSet::New)];
            }
            "ttl-not-lowered" => of.plan.lower_at = None,
            "long-parent-ttl" => {
                of.parent.ns_ttl = 2 * DAY as u32;
                of.length += DAY;
            }
            "old-ns-still-served" => {
                of.plan.old_serve.clear();
                of.plan.lower_at = None;
            }
            "new-serves-old-ns" => {
                of.plan.new_serve = vec![(0, NsSet::Old)];
                of.plan.old_serve.clear();
            }
            "forgotten-server" => of.plan.forgotten = Some(1),
            "twice" | "rolled-back" => {
                let back = cutover + DAY / 2;
                of.plan.parent_changes.push((back, NsSet::Old));
                of.plan.old_serve.push((back, NsSet::Old));
                of.plan.new_serve.push((back, NsSet::Old));
                if name == "twice" {
                    let again = cutover + DAY;
                    of.plan.parent_changes.push((again, NsSet::New));
                    of.plan.old_serve.push((again - HOUR, NsSet::New));
                    of.plan.new_serve.push((again - HOUR, NsSet::New));
                    of.plan.cutover = again;
                    of.length += DAY;
                }
            }
            "switched-off-early" => of.plan.switch_off = Some((cutover + 2 * HOUR, SwitchOff::Refused)),
            "switched-off-silent" => of.plan.switch_off = Some((cutover + 2 * HOUR, SwitchOff::Silent)),
            "switched-off-down" => of.plan.switch_off = Some((cutover + 2 * HOUR, SwitchOff::Down)),
            "sticky" => of.population.sticky = 0.02,
            "extending" => (of.population.extending, of.population.stretch) = (0.1, 4.0),
            "hard-coded-stub" => {
                let stub = Stub { queries_per_day: 120.0, all_addresses: false, recursion_desired: true };
                of.stubs = vec![stub.clone(), Stub { queries_per_day: 600.0, all_addresses: true, ..stub }];
            }
            "minute-monitor" => of.monitors = vec![Monitor { until: Some(cutover + DAY), ..monitor(60) }],
            "hourly-monitor" => of.monitors = vec![monitor(HOUR)],
            "weekly-monitor" => {
                of.monitors = vec![monitor(7 * DAY)];
                of.length = 28 * DAY;
                of.population.queries_per_day /= 3.0;
            }
            "own-monitor" => of.monitors = vec![Monitor { set_apart: true, ..monitor(300) }],
            "scanner-after" => of.scans = vec![Scan { at: of.length - DAY, queries: 420, pace_ms: 200 }],
            "nobody-asks" => of.population.resolvers = 0,
            "sensor-outage" => {
                let from = of.length - 14 * HOUR;
                of.fault(0, Fault::Outage { from, to: from + 3 * HOUR });
            }
            "dead-tap" => of.fault(0, Fault::Death { at: cutover - DAY }),
            "drops" => {
                let from = of.length - 14 * HOUR;
                of.fault(0, Fault::Drop { from, to: from + 3 * HOUR, share: 0.3 });
            }
            "clock-step" => {
                let from = of.length - 14 * HOUR;
                of.fault(0, Fault::ClockStep { from, to: from + 3 * HOUR, by: HOUR as i64 });
            }
            "uncovered-server" => of.sensors.retain(|sensor| sensor.name != "old-2"),
            "anycast-half-seen" => {
                if let Some(server) = of.old.first_mut() {
                    server.sites = 2;
                }
            }
            _ => return None,
        }
        if name != "textbook" && !matches!(name, "vanity-names" | "parallel-parent" | "long-parent-ttl") {
            of.mistakes.push(name.to_owned());
        }
        Some(of)
    }

    /// A migration in which all goes well.
    pub(super) fn textbook(name: &str, seed: u64) -> Self {
        let cutover = 3 * DAY;
        Self {
            scenario: name.to_owned(),
            seed,
            start: START,
            length: 7 * DAY,
            aftermath: 4 * DAY,
            zones: vec![
                Zone { origin: "corp.example.".to_owned(), names: 12 },
                Zone { origin: "shop.example.".to_owned(), names: 6 },
            ],
            old: servers(false, 2, true),
            new: servers(true, 2, true),
            naming: Naming::Provider,
            minimal_responses: false,
            parent: Parent { ns_ttl: DAY as u32, ds_ttl: DAY as u32 },
            plan: Plan {
                ns_ttl: DAY as u32,
                address_ttl: DAY as u32,
                lowered_ttl: 300,
                lower_at: Some(DAY),
                raise_at: Some(cutover + 2 * DAY),
                parent_changes: vec![(cutover, NsSet::New)],
                old_serve: vec![(cutover - HOUR, NsSet::New)],
                new_serve: Vec::new(),
                forgotten: None,
                cutover,
                switch_off: None,
            },
            mistakes: Vec::new(),
            population: Population {
                resolvers: 300,
                queries_per_day: 40.0,
                diurnal: 0.6,
                late: 0.1,
                child_centric: 0.35,
                asking: 0.3,
                renewing: 0.5,
                capping: 0.15,
                extending: 0.0,
                stretch: 1.0,
                sticky: 0.0,
                prefetching: 0.2,
                serve_stale: 0.15,
                validating: 0.3,
                shared: 0.1,
                ipv4_only: 0.5,
            },
            stubs: Vec::new(),
            monitors: Vec::new(),
            scans: Vec::new(),
            background_per_hour: 60.0,
            sensors: (0..2).map(|server| sensor(false, server, 1)).collect(),
            coverage_step: 600,
            quiet_period: DAY,
        }
    }

    fn fault(&mut self, sensor: usize, fault: Fault) {
        if let Some(sensor) = self.sensors.get_mut(sensor) {
            sensor.faults.push(fault);
        }
    }
}

/// A monitor that goes on for ever.
const fn monitor(period: u64) -> Monitor {
    Monitor { period, jitter_ms: 800, until: None, set_apart: false }
}

/// The sensor of one server at all its places.
pub(super) fn sensor(is_new: bool, server: usize, sites: usize) -> Sensor {
    let provider = if is_new { "new" } else { "old" };
    Sensor {
        name: format!("{provider}-{}", server + 1),
        watches: (0..sites).map(|site| Watched { is_new, server, site }).collect(),
        faults: Vec::new(),
    }
}

/// A provider's servers.
pub(super) fn servers(is_new: bool, count: usize, has_v6: bool) -> Vec<Server> {
    let one = |number: usize| {
        let host = 53 + number as u8;
        let (provider, v4, net) = match is_new {
            false => ("old-dns", Ipv4Addr::new(192, 0, 2, host), 0x53),
            true => ("new-dns", Ipv4Addr::new(198, 51, 100, host), 0xc0),
        };
        let v6 = Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, 0x53 + number as u16);
        Server {
            name: format!("ns{}.{provider}.example.", number + 1),
            v4: Some(v4),
            v6: has_v6.then_some(v6),
            sites: 1,
        }
    };
    (0..count).map(one).collect()
}
