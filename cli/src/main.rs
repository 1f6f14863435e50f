//! The `lowtide` command: a passive DNS traffic analyzer.

mod args;
mod command;
mod complaint;
#[allow(dead_code, reason = "the live run reads the rest")]
mod config;
mod connection;
mod duration;
mod error;
mod live;
mod local;
#[cfg_attr(not(test), expect(dead_code, reason = "used by lowtide run"))]
mod metrics;
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

fn main() -> ExitCode {
    command::run(args::Cli::parse())
}
