//! The `lowtide` command: a passive DNS traffic analyzer.

mod args;
mod command;
mod complaint;
mod config;
mod connection;
mod duration;
mod error;
mod guard;
mod live;
mod local;
mod metrics;
mod notify;
mod origin;
mod pages;
mod pipeline;
mod progress;
mod query;
mod recording;
mod report;
mod schema;
mod ship;
mod size;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// The windows of an interval are filled by one thread and freed by another. In bursts with rests between, this gave most of the memory
/// back in the rests, and glibc's allocator did not (benches/results).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    command::run(args::Cli::parse())
}
