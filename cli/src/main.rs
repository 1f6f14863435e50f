//! The `lowtide` command: a passive DNS traffic analyzer.

mod args;
mod command;
mod complaint;
mod connection;
mod duration;
mod error;
#[expect(dead_code, reason = "used by lowtide run")]
mod guard;
mod local;
#[cfg_attr(not(test), expect(dead_code, reason = "used by lowtide run"))]
mod metrics;
#[cfg_attr(not(test), expect(dead_code, reason = "used by lowtide run"))]
mod notify;
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
