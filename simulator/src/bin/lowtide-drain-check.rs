//! Judges simulated migrations and compares each verdict with the truth.
#![expect(clippy::print_stdout, reason = "it prints its figures")]

use std::process::ExitCode;
use std::thread;

use clap::Parser;
use lowtide_simulator::check::{Outcome, check};

/// Judge migrations with random parameters and faults, hour by hour, and compare the verdicts with the truth
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  lowtide-drain-check --from 0 --count 2000
  lowtide-drain-check --from 17 --count 1 --verbose     what was wrong about migration 17

Exit codes: 0 no verdict was wrong; 1 one was")]
struct Options {
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// How many migrations
    #[arg(long, value_name = "N", default_value_t = 200)]
    count: u64,
    /// Say of each migration what was found
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let threads = thread::available_parallelism().map_or(1, usize::from) as u64;
    let verbose = options.verbose;
    let seeds = |thread: u64| {
        (options.from..options.from + options.count).filter(move |seed| seed % threads == thread)
    };
    let mut all = Outcome::default();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let mut sum = Outcome::default();
                    for seed in seeds(thread) {
                        let outcome = check(seed);
                        if verbose {
                            println!("seed {seed}: {outcome:?}");
                        }
                        sum.add(outcome);
                    }
                    sum
                })
            })
            .collect();
        for worker in workers {
            if let Ok(outcome) = worker.join() {
                all.add(outcome);
            }
        }
    });
    println!("{all}");
    let whole = all.migrations == options.count;
    if whole && all.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
