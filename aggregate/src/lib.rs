//! Observations to rows: transactions, histograms, name tables, the report.
//!
//! ```text
//! Observation ─▶ MessageCounts
//!       └──────▶ Matcher ─ Event ─▶ Accounts (roles, servers, intervals; the same thread)
//!                           └─────▶ EventBatch ─┬▶ Names (partitions; any number of threads) ─▶ Report
//!                                               └▶ Windows (the same partitions) ─▶ rows for the store
//! ```
//!
//! Time comes from the data only: this crate does no IO, starts no thread and reads no clock.

pub mod account;
pub mod accounts;
pub mod anonymise;
pub mod coverage;
pub mod drain;
pub mod event;
pub mod latency;
pub mod messages;
pub mod names;
pub mod report;
pub mod summary;
pub mod transaction;
pub mod window;
pub mod zones;

pub use accounts::Accounts;
pub use anonymise::{Anonymisation, Anonymiser};
pub use coverage::{Coverage, CoverageRow};
pub use event::{Configuration, Event, EventBatch, EventSink, Exchange, Mark, Outcome};
pub use messages::MessageCounts;
pub use names::Names;
pub use transaction::{Matcher, MatcherLimits};
pub use window::Windows;
pub use zones::ZoneMap;
