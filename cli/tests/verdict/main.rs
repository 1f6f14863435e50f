//! Migrations in ClickHouse: rows by the recorder, and the verdict that is read back from them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests state their expectations by failing")]

mod recorded;
#[path = "../support/mod.rs"]
mod support;
