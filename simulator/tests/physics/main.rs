//! What must hold in the simulated world, seen from outside: in the stream of queries and messages, not in the simulation's own books.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests state their expectations by failing"
)]

mod evidence;
mod messages;
mod migrations;
mod resolvers;
mod truth;

use std::net::SocketAddr;

use lowtide_proto::Timestamp;
use lowtide_simulator::{Asked, CoverageFact, Parameters, Seen, Simulation, Sink, Truth};

/// A [`Seen`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Message {
    sensor: usize,
    time: Timestamp,
    query_time: Option<Timestamp>,
    client: SocketAddr,
    server: SocketAddr,
    octets: Vec<u8>,
}

/// All that came of a simulation.
#[derive(Default)]
struct Stream {
    messages: Vec<Message>,
    facts: Vec<CoverageFact>,
    asked: Vec<Asked>,
}

impl Sink for Stream {
    fn message(&mut self, seen: &Seen<'_>) {
        assert_eq!(seen.is_response, seen.query_time.is_some());
        self.messages.push(Message {
            sensor: seen.sensor,
            time: seen.time,
            query_time: seen.query_time,
            client: seen.client,
            server: seen.server,
            octets: seen.octets.to_vec(),
        });
    }

    fn coverage(&mut self, fact: &CoverageFact) {
        self.facts.push(*fact);
    }

    fn asked(&mut self, asked: &Asked) {
        self.asked.push(*asked);
    }
}

impl Stream {
    /// Queries of resolvers to old servers for zones that move.
    fn cache_driven(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(|asked| asked.class.is_cache_driven() && !asked.is_new)
    }

    fn last_cache_driven(&self) -> Timestamp {
        self.cache_driven().map(|asked| asked.time).max().unwrap()
    }
}

fn scenario(name: &str) -> Parameters {
    Parameters::scenario(name, 7).unwrap()
}

fn run(parameters: Parameters) -> (Stream, Truth) {
    let mut stream = Stream::default();
    let truth = Simulation::new(parameters).run(&mut stream);
    (stream, truth)
}

/// So many seconds later.
fn after(time: Timestamp, seconds: u64) -> Timestamp {
    Timestamp(time.0 + seconds * 1_000_000_000)
}
