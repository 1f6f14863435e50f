//! The `lowtide` command: a passive DNS traffic analyzer.

mod args;
mod command;
mod duration;
mod error;
mod pages;
mod pipeline;
mod progress;
mod report;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    command::run(args::Cli::parse())
}
