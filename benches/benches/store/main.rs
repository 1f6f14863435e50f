//! Rows on their way to ClickHouse: encoding and spooling them, delivering them, what a backlog takes in memory, and the verdict that is read
//! back.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::path::PathBuf;

use clap::Parser;
use lowtide_benches::{machine, program};

mod backlog;
mod clickhouse;
mod delivery;
mod peer;
#[allow(dead_code, reason = "the program shows sizes, too")]
#[path = "../../../cli/src/size.rs"]
#[expect(unused_imports, reason = "those of its tests, which do not run here")]
mod size;
mod spooling;
mod verdict;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Encoding and spooling
    Spooling,
    /// Delivery to a local server
    Delivery,
    /// Memory with a backlog
    Backlog,
    /// The verdict on a migration, out of a local server
    Verdict,
}

// Without a group: it would have the name of that of the options which all have.
#[derive(Debug, Parser)]
#[group(skip)]
struct Options {
    #[command(flatten)]
    all: lowtide_benches::Options,
    /// Rows of `traffic` to encode and to deliver, at least
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    rows: usize,
    /// Rows of a segment
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    segment_rows: usize,
    /// How large the backlog is [e.g. 10GiB]
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size::parse)]
    backlog: u64,
    /// How large each of its segments is; 100 000 rows take about as much as this
    #[arg(long, value_name = "SIZE", default_value = "3MiB", value_parser = size::parse)]
    backlog_segment: u64,
    /// Run this part alone
    #[arg(long, value_enum)]
    only: Option<Part>,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

fn main() -> Outcome<()> {
    let options = Options::parse();
    let lowtide: PathBuf = match &options.all.lowtide {
        Some(path) => path.clone(),
        None => program::build()?,
    };
    println!("# Store\n\n{}\n", machine::describe());
    // First, as long as this process is small: what it starts counts its memory from there.
    if options.wants(Part::Backlog) {
        backlog::run(&options, &lowtide)?;
    }
    if options.wants(Part::Spooling) || options.wants(Part::Delivery) {
        let filled = spooling::run(&options)?;
        if options.wants(Part::Delivery) {
            delivery::run(&options, &lowtide, &filled)?;
        }
    }
    if options.wants(Part::Verdict) {
        verdict::run(&lowtide)?;
    }
    println!("(load {} after)", machine::load().unwrap_or_default());
    Ok(())
}
