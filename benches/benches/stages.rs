//! What each stage of the pipeline costs per message in CPU time, in one thread, beside the same work done straight with the crates
//! that are there for it.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::hint::black_box;
use std::path::Path;

use clap::Parser;
use lowtide_aggregate::summary::{self, Counted};
use lowtide_aggregate::{Names, ZoneMap};
use lowtide_benches::figures::{Rounds, Table, count, cpu_time, nanos, nanos_each, times};
use lowtide_benches::pipeline::{self, Accounting, Count, Matching, Naming};
use lowtide_benches::{Input, Options, machine};
use lowtide_capture::{CaptureFile, Record};
use lowtide_decode::Ports;
use lowtide_decode::layers::{FragmentLimits, Layers};

mod naive;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is run, up to and with a stage; returns what it found, so that nothing is left out.
type Stage = fn(&Path) -> Outcome<u64>;

const STAGES: [(&str, Stage); 7] = [
    ("read the file, find its records", records),
    ("+ link, IP and UDP headers", layers),
    ("+ DNS messages, TCP streams, fates", messages),
    ("+ counts, pairs", matching),
    ("+ roles, servers, intervals", accounts),
    ("+ names", names),
    ("+ the report", report),
];

fn main() -> Outcome<()> {
    let options = Options::parse();
    let input = Input::find(&options)?;
    let path = input.path.as_path();
    println!("# Stages\n\n{}", machine::describe());
    let messages = messages(path)?;
    println!("{}: {} messages, one thread", input.origin, count(messages));
    println!("{} rounds; CPU time of one thread, per message of the capture\n", options.rounds);

    let naive: (&str, Stage) = ("etherparse, hickory-proto, std HashMap, hdrhistogram", naive::run);
    let contenders: Vec<_> = STAGES.into_iter().chain([naive]).collect();
    let mut times_taken = vec![Rounds::default(); contenders.len()];
    for _ in 0..options.rounds {
        for ((_, stage), rounds) in contenders.iter().zip(&mut times_taken) {
            let (taken, found) = cpu_time(|| stage(path));
            black_box(found?);
            rounds.push(nanos_each(taken, messages));
        }
    }

    let all = times_taken.get(STAGES.len() - 1).cloned().unwrap_or_default();
    let mut table = Table::new(&["up to this stage", "least", "median", "the stage itself", "of the whole"]);
    let mut before = 0.0;
    for ((name, _), rounds) in contenders.iter().zip(&times_taken) {
        let own = if *name == naive.0 { String::new() } else { nanos(rounds.min() - before) };
        table.row([
            (*name).to_owned(),
            nanos(rounds.min()),
            nanos(rounds.median()),
            own,
            times(rounds.min() / all.min()),
        ]);
        before = rounds.min();
    }
    println!("{table}");
    println!("(load {} after)", machine::load().unwrap_or_default());
    Ok(())
}

fn records(path: &Path) -> Outcome<u64> {
    let mut file = CaptureFile::open(path)?;
    let mut octets = 0;
    while let Some(record) = file.next()? {
        octets += match record {
            Record::Packet(packet) => packet.data.len() as u64,
            Record::Dnstap(frame) => frame.octets.len() as u64,
        };
    }
    Ok(octets)
}

fn layers(path: &Path) -> Outcome<u64> {
    let mut file = CaptureFile::open(path)?;
    let mut layers = Layers::new(Ports::default(), FragmentLimits::default());
    let mut found = 0;
    while let Some(record) = file.next()? {
        if let Record::Packet(packet) = record {
            found += u64::from(black_box(layers.peel(&packet)).is_ok());
        }
    }
    Ok(found)
}

fn messages(path: &Path) -> Outcome<u64> {
    let mut sink = Count::default();
    pipeline::decode(&mut CaptureFile::open(path)?, 0, &mut pipeline::decoder(), &mut sink)?;
    Ok(sink.0)
}

fn matching(path: &Path) -> Outcome<u64> {
    let mut sink = Matching::new(Count::default());
    let last = pipeline::decode(&mut CaptureFile::open(path)?, 0, &mut pipeline::decoder(), &mut sink)?;
    sink.finish(last);
    Ok(sink.events.0)
}

fn accounts(path: &Path) -> Outcome<u64> {
    let mut sink = Matching::new(Accounting::new(Count::default()));
    let last = pipeline::decode(&mut CaptureFile::open(path)?, 0, &mut pipeline::decoder(), &mut sink)?;
    sink.finish(last);
    Ok(sink.events.next.0)
}

fn names(path: &Path) -> Outcome<u64> {
    let (mut sink, _) = all(path)?;
    Ok(rows(sink.events.next.finish()))
}

fn report(path: &Path) -> Outcome<u64> {
    let (mut sink, zones) = all(path)?;
    sink.events.accounts.close();
    sink.events.next.finish();
    let counted = Counted {
        messages: sink.messages(),
        accounts: &sink.events.accounts,
        names: sink.events.next.names(),
        matcher: sink.counters(),
    };
    Ok(black_box(summary::report(&counted, zones, 20)).qnames.len() as u64)
}

/// The pipeline when it has seen the whole file.
fn all(path: &Path) -> Outcome<(Matching<Accounting<Naming>>, ZoneMap)> {
    let mut sink = Matching::new(Accounting::new(Naming::default()));
    let last = pipeline::decode(&mut CaptureFile::open(path)?, 0, &mut pipeline::decoder(), &mut sink)?;
    sink.finish(last);
    Ok((sink, ZoneMap::default()))
}

fn rows(names: &Names) -> u64 {
    names.tables().iter().map(|table| table.rows().count() as u64).sum()
}
