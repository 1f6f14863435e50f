//! The table of names and its histograms: memory, and CPU time per update.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

use clap::Parser;
use lowtide_aggregate::latency::{self, Histogram, Pool};
use lowtide_aggregate::names::partition;
use lowtide_aggregate::{Event, EventBatch, Names, Outcome, ZoneMap};
use lowtide_benches::figures::{Rounds, Table, count, cpu_time, mebibytes, nanos, nanos_each, verdict};
use lowtide_benches::random::{Random, Zipf, mix};
use lowtide_benches::{Options, machine, message};
use lowtide_proto::{Qtype, Rcode, Role, Timestamp};

/// What a million names may take.
const MARK_MEMORY: usize = 256 << 20;

const NAMES: usize = 1_000_000;

/// The partitions do not get the same number of names each; with so much room none is swept.
const ROOM: usize = NAMES + NAMES / 25;

/// Events counted at once, as in the program.
const BATCH: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    println!("# Names\n\n{}\n", machine::describe());
    names();
    flood();
    histograms(options.rounds)?;
    println!("(load {} after)", machine::load().unwrap_or_default());
    Ok(())
}

/// Wire forms of names, one behind the other.
struct Arena {
    octets: Vec<u8>,
    ends: Vec<usize>,
}

impl Arena {
    fn new(names: usize) -> Self {
        let mut arena = Self { octets: Vec::new(), ends: vec![0] };
        for number in 0..names {
            arena.octets.extend(message::name(number).0);
            arena.ends.push(arena.octets.len());
        }
        arena
    }

    fn name(&self, number: usize) -> &[u8] {
        let end = |at: usize| self.ends.get(at).copied().unwrap_or_default();
        self.octets.get(end(number)..end(number + 1)).unwrap_or_default()
    }
}

/// An answered query, `latency` nanoseconds long.
fn event(number: usize, latency: u64) -> Event {
    Event {
        time: Timestamp(0),
        latency: i64::try_from(latency).ok(),
        name_hash: mix(number as u64),
        qtype: Qtype::A,
        rcode: Rcode::NOERROR,
        outcome: Outcome::Answered,
        role: Role::Wire,
        nodata: false,
        referral: false,
        truncated: false,
        has_question: true,
        zone_labels: None,
    }
}

/// Some tens of microseconds, with a long tail: a name's latencies fall into many different buckets.
fn latency(random: &mut Random) -> u64 {
    30_000 + random.below(60_000) + (random.unit().powi(8) * 20_000_000.0) as u64
}

/// Counts `updates` events of the names that `choose` says; only counting is timed.
fn count_events(
    names: &mut Names,
    updates: usize,
    mut choose: impl FnMut(usize) -> usize,
    mut fill: impl FnMut(usize, &mut EventBatch),
) -> Duration {
    let mut batch = EventBatch::default();
    let mut taken = Duration::ZERO;
    for update in 0..updates {
        fill(choose(update), &mut batch);
        if batch.len() == BATCH || update + 1 == updates {
            taken += cpu_time(|| names.count(&batch)).0;
            batch.clear();
        }
    }
    taken
}

fn memory(names: &Names) -> usize {
    names.tables().iter().map(lowtide_aggregate::names::NameTable::memory).sum()
}

fn rows(names: &Names) -> u64 {
    names.tables().iter().map(|table| table.rows().count() as u64).sum()
}

fn names() {
    let arena = Arena::new(NAMES);
    let zipf = Zipf::new(NAMES, 0.9);
    let resident = machine::resident().unwrap_or_default();
    let mut names = Names::new(ROOM, &ZoneMap::default());
    let mut random = Random::starting_at(2);
    let mut samples = Random::starting_at(3);
    let mut fill = |number: usize, batch: &mut EventBatch| {
        let name = arena.name(number);
        batch.push(&event(number, latency(&mut samples)), name, partition(name));
    };

    let mut table = Table::new(&["events", "each", "rows", "table", "a name", "process grew by"]);
    let mut row = |what: &str, names: &Names, taken: Duration, updates: usize| {
        let held = memory(names);
        let grown = machine::resident().unwrap_or_default().saturating_sub(resident);
        table.row([
            what.to_owned(),
            nanos(nanos_each(taken, updates as u64)),
            count(rows(names)),
            mebibytes(held as u64),
            format!("{} octets", held / NAMES),
            mebibytes(grown),
        ]);
        held
    };
    let taken = count_events(&mut names, NAMES, |update| update, &mut fill);
    row("1M new names", &names, taken, NAMES);
    let updates = 4 * NAMES;
    let taken = count_events(&mut names, updates, |_| random.below(NAMES as u64) as usize, &mut fill);
    row("4M of them, evenly", &names, taken, updates);
    let updates = 10 * NAMES;
    let taken = count_events(&mut names, updates, |_| zipf.rank(&mut random), &mut fill);
    let held = row("10M of them, by Zipf's law", &names, taken, updates);
    println!("{table}");
    println!(
        "mark: 1M names with a histogram each in {}: {}\n",
        mebibytes(MARK_MEMORY as u64),
        verdict(held <= MARK_MEMORY)
    );
}

/// Random names past the limit: each is new, and the table is swept again and again.
fn flood() {
    const FLOOD: usize = 8_000_000;
    let resident = machine::resident().unwrap_or_default();
    let mut names = Names::new(NAMES, &ZoneMap::default());
    let mut wire = Vec::new();
    let fill = |number: usize, batch: &mut EventBatch| {
        let label = format!("{:013x}", mix(number as u64) >> 12);
        wire.clear();
        wire.push(label.len() as u8);
        wire.extend(label.bytes());
        wire.extend(b"\x06victim\x07example\0");
        batch.push(&event(number, 50_000), &wire, partition(&wire));
    };
    let taken = count_events(&mut names, FLOOD, |update| update, fill);
    let mut table = Table::new(&["flood", "each", "rows", "table", "process grew by"]);
    table.row([
        "8M random names, limit 1M".to_owned(),
        nanos(nanos_each(taken, FLOOD as u64)),
        count(rows(&names)),
        mebibytes(memory(&names) as u64),
        mebibytes(machine::resident().unwrap_or_default().saturating_sub(resident)),
    ]);
    println!("{table}");
}

/// Histograms side by side with hdrhistogram's of the same precision.
fn histograms(rounds: u32) -> Result<(), Box<dyn Error>> {
    const HISTOGRAMS: usize = 256;
    const SAMPLES: usize = 1_000_000;
    let mut table = Table::new(&[
        "different buckets",
        "each",
        "a histogram",
        "hdrhistogram, 2 digits: each",
        "a histogram of it",
    ]);
    for buckets in [1, 4, 16, 64, 256, 1024] {
        let mut random = Random::starting_at(5);
        let samples: Vec<(usize, u64)> = (0..SAMPLES)
            .map(|_| {
                let bucket = 100 + random.below(buckets) as u16;
                (random.below(HISTOGRAMS as u64) as usize, latency::upper_bound(bucket))
            })
            .collect();
        let (mut ours, mut theirs) = (Rounds::default(), Rounds::default());
        let (mut our_octets, mut their_octets) = (0, 0);
        for _ in 0..rounds {
            let mut pool = Pool::default();
            let mut histograms = vec![Histogram::default(); HISTOGRAMS];
            let (taken, ()) = cpu_time(|| {
                for &(number, micros) in &samples {
                    if let Some(histogram) = histograms.get_mut(number) {
                        pool.add(histogram, latency::bucket(micros), 1);
                    }
                }
            });
            ours.push(nanos_each(taken, SAMPLES as u64));
            black_box(&histograms);
            our_octets = pool.memory() / HISTOGRAMS + size_of::<Histogram>();

            let one = hdrhistogram::Histogram::<u64>::new_with_bounds(1, latency::MAX_MICROS, 2)?;
            let mut histograms = vec![one; HISTOGRAMS];
            let (taken, ()) = cpu_time(|| {
                for &(number, micros) in &samples {
                    if let Some(histogram) = histograms.get_mut(number) {
                        histogram.saturating_record(micros);
                    }
                }
            });
            theirs.push(nanos_each(taken, SAMPLES as u64));
            their_octets = histograms.first().map_or(0, |one| one.distinct_values() * 8 + size_of_val(one));
            black_box(&histograms);
        }
        table.row([
            buckets.to_string(),
            nanos(ours.min()),
            format!("{our_octets} octets"),
            nanos(theirs.min()),
            format!("{their_octets} octets"),
        ]);
    }
    println!("{table}");
    Ok(())
}
