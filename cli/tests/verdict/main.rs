//! Migrations in ClickHouse: rows by the recorder, and the verdict that is read back from them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

#[path = "../drain/craft.rs"]
#[allow(dead_code, reason = "captures of files' own tests need more")]
mod craft;
mod dropped;
mod fleet;
mod live;
mod recorded;
mod replayed;
mod runs;
#[path = "../support/mod.rs"]
mod support;
mod taps;
