//! A full spool delivered to a local server, beside the same segments into tables that do less.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lowtide_benches::figures::{Rounds, Table, count, seconds, times, verdict};
use lowtide_benches::program;
use lowtide_store::deliver::{Delivery, DeliveryOptions};
use lowtide_store::spool::{Spool, SpoolOptions};

use super::clickhouse::ClickHouse;
use super::spooling::Filled;
use super::{Options, Outcome};

/// Seconds from the start of delivery to the last acknowledgement.
const MARK: f64 = 2.0;

/// The rollups that views fill.
const ROLLUPS: [&str; 4] = ["traffic_zone", "traffic_server", "traffic_hour", "traffic_day"];

/// What is delivered into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The schema with its views.
    Schema,
    /// Its table alone.
    Table,
    /// The table as a plain MergeTree.
    Plain,
    /// Nothing: the network, and reading the blocks.
    Null,
}

impl Target {
    const fn name(self) -> &'static str {
        match self {
            Self::Schema => "the whole schema",
            Self::Table => "traffic without views",
            Self::Plain => "the same as MergeTree",
            Self::Null => "the same as Null",
        }
    }

    /// Makes the database `bench`; `schema` has the whole schema.
    fn create(self, server: &ClickHouse) -> Outcome<()> {
        if self == Self::Schema {
            return server.create_schema("bench");
        }
        let engine = match self {
            Self::Null => "Null".to_owned(),
            _ => server.query(
                "SELECT engine_full FROM system.tables WHERE database = 'schema' AND name = 'traffic' FORMAT TSVRaw",
            )?,
        };
        let engine =
            if self == Self::Plain { engine.replace("AggregatingMergeTree", "MergeTree") } else { engine };
        server.query("CREATE DATABASE bench")?;
        server.query(&format!("CREATE TABLE bench.traffic AS schema.traffic ENGINE = {engine}"))?;
        Ok(())
    }
}

struct Contender {
    target: Target,
    in_flight: usize,
    wall: Rounds,
    server: Rounds,
    own: Rounds,
}

impl Contender {
    fn new(target: Target, in_flight: usize) -> Self {
        Self { target, in_flight, wall: Rounds::default(), server: Rounds::default(), own: Rounds::default() }
    }

    fn run(&mut self, server: &ClickHouse, filled: &Filled) -> Outcome<()> {
        self.target.create(server)?;
        let dir = filled.copy()?;
        let spool = Arc::new(Spool::open(dir.path(), SpoolOptions::default())?);
        let options = DeliveryOptions { in_flight: self.in_flight, ..DeliveryOptions::default() };
        let own = || program::cpu_seconds(std::process::id()).unwrap_or(f64::NAN);
        let (begin, server_before, own_before) = (Instant::now(), server.cpu_seconds(), own());
        let outcome = Delivery::start(spool, server.server("bench")?, options, None)?.finish();
        self.wall.push(begin.elapsed().as_secs_f64());
        self.server.push(server.cpu_seconds() - server_before);
        self.own.push(own() - own_before);
        if !outcome.is_complete() || outcome.retries > 0 || outcome.rows != filled.contents.rows {
            return Err(outcome.to_string().into());
        }
        if self.target != Target::Null {
            server.check("bench", filled)?;
        }
        if self.target == Target::Schema {
            ROLLUPS.iter().try_for_each(|table| server.check_rollup(&format!("bench.{table}"), filled))?;
        }
        server.drop_database("bench")
    }
}

/// Delivers in each round to each target in turn.
pub fn run(options: &Options, lowtide: &Path, filled: &Filled) -> Outcome<()> {
    let server = ClickHouse::start(lowtide)?;
    server.create_schema("schema")?;
    let default = DeliveryOptions::default().in_flight;
    let mut contenders = vec![Contender::new(Target::Null, default)];
    contenders.extend([Target::Plain, Target::Table].map(|target| Contender::new(target, default)));
    contenders.extend([1, 2, 4].map(|in_flight| Contender::new(Target::Schema, in_flight)));
    // A server's first insert takes longer, and is not counted.
    Contender::new(Target::Schema, default).run(&server, filled)?;
    for _ in 0..options.all.rounds {
        for contender in &mut contenders {
            contender.run(&server, filled)?;
        }
    }

    let rows = filled.contents.rows;
    println!("## Delivery\n");
    println!("{} rows in {} segments into ClickHouse on this machine", count(rows), filled.contents.segments);
    println!("from its start to the last acknowledgement; after it every table had every query once");
    println!("{} rounds; least (median) of each figure\n", options.all.rounds);
    let null = contenders.first().map(|null| null.wall.clone()).unwrap_or_default();
    let both = |rounds: &Rounds| format!("{} ({})", seconds(rounds.min()), seconds(rounds.median()));
    let mut table = Table::new(&[
        "into",
        "in flight",
        "time",
        "rows a second",
        "time : Null",
        "the server's CPU time",
        "lowtide's",
    ]);
    for Contender { target, in_flight, wall, server, own } in &contenders {
        table.row([
            target.name().to_owned(),
            in_flight.to_string(),
            both(wall),
            count((rows as f64 / wall.min()) as u64),
            format!("{} ({})", times(wall.min() / null.min()), times(wall.over(&null).median())),
            both(server),
            both(own),
        ]);
    }
    println!("{table}");
    for Contender { target, in_flight, wall, .. } in &contenders {
        if *target == Target::Schema {
            // More rows than a million may take more time.
            let holds = wall.min() <= MARK * (rows as f64 / 1e6).max(1.0);
            println!("{in_flight} in flight: a million rows in {}: {}", seconds(MARK), verdict(holds));
        }
    }
    println!();
    Ok(())
}
