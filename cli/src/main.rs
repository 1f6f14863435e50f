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
