//! Observations to rows: transactions, histograms, name tables, the report.
//!
//! ```text
//! Observation ─▶ MessageCounts
//!       └──────▶ Matcher ─ Event ─▶ Accounts (roles, servers, intervals; the same thread)
//!                           └─────▶ EventBatch ─▶ Names (partitions; any number of threads) ─▶ Report
//! ```
//!
//! Time comes from the data only: this crate does no IO, starts no thread and reads no clock.

pub mod account;
pub mod accounts;
pub mod event;
pub mod latency;
pub mod messages;
pub mod names;
pub mod report;
pub mod summary;
pub mod transaction;
pub mod zones;

pub use accounts::Accounts;
pub use event::{Event, EventBatch, EventSink, Outcome};
pub use messages::MessageCounts;
pub use names::Names;
pub use transaction::{Matcher, MatcherLimits};
pub use zones::ZoneMap;
