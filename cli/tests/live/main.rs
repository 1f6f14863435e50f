//! `lowtide run` in every weather: what it counts and records while senders, ClickHouse, disks, signals and it itself do
//! what they do in the course of months.
//!
//! Each test starts the program, sends dnstap to its sockets, lets something happen, and compares rows, metrics and log with what was
//! sent. Intervals last a second here.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state their expectations by failing"
)]

#[path = "../support/lowtide.rs"]
mod lowtide;
#[path = "../support/process.rs"]
mod process;
#[path = "../support/mod.rs"]
mod support;

mod away;
mod full;
mod guarded;
mod message;
mod migrations;
mod place;
mod rows;
mod sender;

mod private;
mod quiet;
mod replayed;
mod senders;
mod signals;
mod startup;
mod tcp;
