//! Drain: is an old DNS provider still asked, and is it safe to switch it off?
//!
//! ```text
//! Observation ─▶ Watch ─▶ Evidence (who asked, what was served, who watched) ─▶ judge ─▶ DrainReport
//!                             ▲
//!                         ClickHouse
//! ```
//!
//! With a store, the same messages make rows of each interval on their way ([`DrainRows`]).
//!
//! A verdict is given only with proof: a hole in the evidence makes it `unknown`, and names the hole.

pub mod client;
pub mod cover;
pub mod decay;
#[cfg(test)]
mod draws;
pub mod evidence;
pub mod gathered;
pub mod habits;
pub mod horizon;
mod intervals;
pub mod lowering;
pub mod plan;
pub mod report;
pub mod residual;
pub mod rows;
pub mod rrsets;
mod scan;
mod served;
mod shown;
pub mod ttls;
pub mod verdict;
pub mod visitors;
pub mod wanted;
pub mod watch;

pub use cover::Cover;
pub use evidence::Evidence;
pub use gathered::Gathered;
pub use plan::{Migration, Prefix, Server};
pub use report::DrainReport;
pub use residual::Origin;
pub use rows::DrainRows;
pub use verdict::{Verdict, judge, judge_located};
pub use visitors::Visitors;
pub use watch::Watch;
