//! Live traffic: dnstap and packets as fast as they come, what it costs the DNS server, and a soak with faults.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use lowtide_benches::{machine, program};

mod dnstap;
mod fstrm;
mod packets;
mod reading;
mod server;
mod soak;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// dnstap through one socket
    Dnstap,
    /// Packets of an interface
    Packets,
    /// What the DNS server pays
    Server,
    /// Hours of everything, with faults
    Soak,
}

// Without a group: it would have the name of that of the options which all have.
#[derive(Debug, Parser)]
#[group(skip)]
struct Options {
    #[command(flatten)]
    all: lowtide_benches::Options,
    /// The dnstap to send [default: ../shared/load/dnstap-1m.dnstap.zst if it is there, else made up]
    #[arg(long, value_name = "FILE")]
    frames: Option<PathBuf>,
    /// How long each measurement loads what is measured
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Frames a second through one socket
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    frame_rate: u64,
    /// DNS messages a second on an interface; somewhat more than the mark, because a capture that is sent again and again repeats
    /// TCP segments, which are no messages then
    #[arg(long, value_name = "N", default_value_t = 315_000, value_parser = clap::value_parser!(u64).range(1..))]
    message_rate: u64,
    /// Queries a second to the DNS server
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    query_rate: u64,
    /// How long the soak takes
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Frames a second in the soak
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    /// Which faults the soak has when
    #[arg(long, value_name = "N", default_value_t = 4)]
    seed: u64,
    /// Run this part alone
    #[arg(long, value_enum)]
    only: Option<Part>,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    const fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

fn main() -> Outcome<ExitCode> {
    let options = Options::parse();
    let lowtide = match &options.all.lowtide {
        Some(path) => path.clone(),
        None => program::build()?,
    };
    println!("# Live\n\n{}\n", machine::describe());
    if options.wants(Part::Dnstap) {
        dnstap::run(&options, &lowtide)?;
    }
    if options.wants(Part::Packets) {
        packets::run(&options, &lowtide)?;
    }
    if options.wants(Part::Server) {
        server::run(&options, &lowtide)?;
    }
    let mut balances = true;
    if options.wants(Part::Soak) {
        balances = soak::run(&options, &lowtide)?;
    }
    println!("(load {} after)", machine::load().unwrap_or_default());
    Ok(if balances { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A directory for spools and sockets.
fn directory() -> Outcome<tempfile::TempDir> {
    Ok(tempfile::Builder::new().prefix("lowtide-bench-").tempdir()?)
}
