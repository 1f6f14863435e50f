//! Drain: is an old DNS provider still asked, and is it safe to switch it off?
//!
//! ```text
//! Observation ─▶ Watch ─▶ Evidence (who asked, what was served, who watched) ─▶ judge ─▶ DrainReport
//!                             ▲
//!                         ClickHouse
//! ```
//!
//! A verdict is given only with proof: a hole in the evidence makes it `unknown`, and names the hole.

pub mod client;
pub mod cover;
pub mod decay;
pub mod evidence;
pub mod habits;
pub mod horizon;
pub mod plan;
pub mod report;
pub mod rrsets;
pub mod verdict;
pub mod watch;

pub use cover::Cover;
pub use evidence::Evidence;
pub use plan::{Migration, Prefix, Server};
pub use report::DrainReport;
pub use verdict::{Verdict, judge};
pub use watch::Watch;
