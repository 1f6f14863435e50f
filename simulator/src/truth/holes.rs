//! Who watched what, and what is missing from the evidence.

use std::net::IpAddr;

use lowtide_proto::Timestamp;
use serde::Serialize;

use crate::parameters::{Fault, Parameters, Sensor, Watched};
use crate::sensor::faults;
use crate::time::rfc3339;

/// A sensor.
#[derive(Clone, Debug, Serialize)]
pub struct SensorTruth {
    /// Its name; its file is called so.
    pub name: String,
    /// The addresses that it watches.
    pub watches: Vec<IpAddr>,
}

/// A hole in the evidence.
#[derive(Clone, Debug, Serialize)]
pub struct Hole {
    /// `outage`, `death`, `drop`, `clock-step`, `late`, `unwatched-server` or `unwatched-site`.
    pub kind: &'static str,
    /// The sensor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor: Option<String>,
    /// The addresses that it concerns.
    pub addresses: Vec<IpAddr>,
    /// From when.
    #[serde(serialize_with = "rfc3339")]
    pub from: Timestamp,
    /// Until when.
    #[serde(serialize_with = "rfc3339")]
    pub to: Timestamp,
    /// The share that was lost or late, or the seconds by which the clock was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<f64>,
}

pub(super) fn is_watched(parameters: &Parameters, server: usize, site: usize) -> bool {
    let wanted = Watched { is_new: false, server, site };
    parameters.sensors.iter().any(|sensor| sensor.watches.contains(&wanted))
}

fn watched_addresses(parameters: &Parameters, watches: &[Watched]) -> Vec<IpAddr> {
    let servers = watches.iter().filter_map(|watched| parameters.servers(watched.is_new).get(watched.server));
    let mut addresses: Vec<_> = servers.flat_map(crate::parameters::Server::addresses).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

pub(super) fn sensors(parameters: &Parameters) -> Vec<SensorTruth> {
    let one = |sensor: &Sensor| SensorTruth {
        name: sensor.name.clone(),
        watches: watched_addresses(parameters, &sensor.watches),
    };
    parameters.sensors.iter().map(one).collect()
}

pub(super) fn holes(parameters: &Parameters) -> Vec<Hole> {
    let mut holes = Vec::new();
    for (sensor, faults) in parameters.sensors.iter().zip(faults(parameters)) {
        for fault in faults {
            let (kind, amount) = match fault {
                Fault::Outage { .. } => ("outage", None),
                Fault::Death { .. } => ("death", None),
                Fault::Drop { share, .. } => ("drop", Some(share)),
                Fault::ClockStep { by, .. } => ("clock-step", Some(by as f64)),
                Fault::Late { share, .. } => ("late", Some(share)),
            };
            let (from, to) = fault.span();
            holes.push(Hole {
                kind,
                sensor: Some(sensor.name.clone()),
                addresses: watched_addresses(parameters, &sensor.watches),
                from: parameters.at(from),
                to: parameters.at(to.unwrap_or(parameters.length).min(parameters.length)),
                amount,
            });
        }
    }
    for (number, server) in parameters.old.iter().enumerate() {
        let unwatched =
            (0..server.sites.max(1)).filter(|&site| !is_watched(parameters, number, site)).count();
        if unwatched > 0 {
            let kind = if unwatched == server.sites.max(1) { "unwatched-server" } else { "unwatched-site" };
            let (from, to) = (parameters.start, parameters.at(parameters.length));
            let addresses = server.addresses().collect();
            holes.push(Hole { kind, sensor: None, addresses, from, to, amount: None });
        }
    }
    holes
}
