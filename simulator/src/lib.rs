//! Migrations between DNS providers in virtual time, with the truth beside the evidence.
//!
//! lowtide says that an old provider is drained only with proof. Whether its proofs hold can be tested where the truth is
//! known, and it is known nowhere but in a world that is made. This crate makes one: a parent zone, an old and a new provider, an
//! operator with a plan or without, thousands of resolvers and what else asks, and sensors with their faults. It runs days or weeks in a
//! fraction of a second.
//!
//! ```text
//! Parameters ─▶ Simulation ─┬─▶ Sink::message    what sensors saw: real DNS messages, by the sensors' clocks
//!                           ├─▶ Sink::coverage   what sensors say of themselves: alive, lost
//!                           ├─▶ Sink::asked      the truth, query by query, seen or not
//!                           └─▶ Truth            who came last, what may still come, what the evidence lacks
//! ```
//!
//! # What is simulated, and what is not
//!
//! **A resolver's binding** is the heart (`resolver`): the NS set that leads it to servers, taken from the parent or from the zone
//! itself, kept for its TTL or as long as the resolver's policy makes of that. A query goes to an old server because of a binding, and
//! so every query of a resolver is *cache-driven*. Resolvers differ in where they take the NS set from (parent; any response of the
//! zone; asked for after each referral), in whether hearing it again renews it, in what they do with TTLs (obey, cap, raise,
//! stretch, or stick to what works), in prefetching, serving stale data, validating, in families, and in forwarders before them.
//!
//! **Servers** answer with real messages: NS sets in answer and authority sections, addresses in the additional one, SOA records
//! in negatives. Which NS set and which TTLs a server has changes with the operator's plan (`authority`). With
//! [`Naming::Vanity`] the NS set never changes, and addresses do.
//!
//! **The world is exact where the verdict is, and coarse elsewhere.** Resolvers do not lose packets, do not minimise names and ask
//! the parent out of sight; the parent changes everywhere at once; everything goes over UDP. Load is Poisson, swings by day, and
//! is spread over resolvers by Pareto's law and over names by Zipf's. DNSSEC shows as DNSKEY queries; there are no signatures.
//!
//! **Faults are the sensors'**, drawn from a stream of random numbers of their own: the same seed without its faults is the same
//! migration. An outage silences frames and signs of life; a drop is counted and said; a clock that steps puts wrong times on
//! everything, on signs of life too; late frames have their right time in the wrong order.
//!
//! **The simulation goes on after the evidence ends** (`aftermath`), without sensors, and then looks into the caches. So the truth says
//! when the last cache-driven query came, and whether another one could come.
//!
//! # Invariants
//!
//! No clock, no threads, no input but the parameters; IO in [`mod@write`] alone. The same parameters give the same octets.

#![expect(
    clippy::indexing_slicing,
    reason = "indices are made here, of what is made here; no input of anybody is parsed"
)]

mod authority;
pub mod check;
mod messages;
mod network;
mod parameters;
mod population;
mod questions;
pub mod random;
mod resolver;
mod sensor;
mod simulation;
mod sink;
mod time;
mod truth;
pub mod write;

pub use parameters::{
    DAY, Fault, HOUR, Monitor, Naming, NsSet, Parameters, Parent, Plan, Population, SCENARIOS, Scan, Seconds,
    Sensor, Server, Stub, SwitchOff, Watched, Zone,
};
pub use resolver::IN_FLIGHT;
pub use simulation::Simulation;
pub use sink::{Asked, Class, CoverageFact, Seen, Sink};
pub use truth::{ClientTruth, Hole, Horizon, SensorTruth, ServerTruth, Truth};
