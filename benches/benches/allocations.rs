//! Heap allocations in the steady state: none per message.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;

use clap::Parser;
use lowtide_benches::figures::{Table, count, verdict};
use lowtide_benches::steady::{self, Allocations};
use lowtide_benches::{Input, Options};
use lowtide_capture::CaptureFile;

type Figure = fn(&Allocations) -> u64;

fn allocations(work: &mut dyn FnMut()) -> u64 {
    allocation_counter::measure(work).count_total
}

fn main() -> Result<(), Box<dyn Error>> {
    let input = Input::find(&Options::parse())?;
    // It could be opened a moment ago.
    CaptureFile::open(&input.path)?;
    let open = || CaptureFile::open(&input.path).unwrap_or_else(|error| std::process::exit(fail(&error)));

    let (messages, decode_only) = steady::decode_only(allocations, open)?;
    let runs = steady::run(allocations, open)?;

    println!("# Allocations\n\n{}: {} messages\n", input.origin, count(messages));
    let mut columns = vec!["allocations".to_owned()];
    columns.extend((1..=runs.len()).map(|run| format!("run {run}")));
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = Table::new(&columns);
    let rows: [(&str, Figure); 5] = [
        ("read and decode", |run| run.decode),
        ("count and pair messages", |run| run.matching),
        ("roles, servers, intervals", |run| run.accounts),
        ("names", |run| run.names),
        ("all", Allocations::all),
    ];
    for (what, figure) in rows {
        table.row(std::iter::once(what.to_owned()).chain(runs.iter().map(|run| count(figure(run)))));
    }
    println!("{table}");

    let [.., last] = runs;
    println!(
        "decoding alone, last run: {decode_only} allocations, {:.6} per message",
        per(decode_only, messages)
    );
    println!(
        "whole pipeline, last run: {} allocations, {:.6} per message",
        last.all(),
        per(last.all(), last.messages)
    );
    let intervals = last.intervals;
    println!(
        "of them for {intervals} new intervals: {}; for messages: {}",
        last.accounts,
        last.all() - last.accounts
    );
    let steady = decode_only <= steady::TABLES && last.is_steady();
    println!("mark: none per message: {}", verdict(steady));
    if steady { Ok(()) } else { Err("something is allocated per message".into()) }
}

fn per(allocations: u64, messages: u64) -> f64 {
    allocations as f64 / messages as f64
}

fn fail(error: &dyn Error) -> i32 {
    println!("{error}");
    1
}
