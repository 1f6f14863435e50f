//! What the tests share.
#![allow(dead_code, reason = "no test uses all of it")]

pub mod proxy;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lowtide_store::deliver::{Delivery, DeliveryOptions, Outcome};
use lowtide_store::segment::{Header, Table};
use lowtide_store::server::{Connection, Server};
use lowtide_store::spool::{Condition, Put, Report, Spool, SpoolOptions};

/// A segment of 10 rows, 20 queries and 19 responses in the minute `sequence`.
pub fn header(sequence: u64) -> Header {
    let from = u32::try_from(sequence * 60).unwrap();
    Header {
        table: Table::Traffic,
        columns: vec!["interval".into(), "qname".into(), "queries".into()],
        sensor: "sensor 1".into(),
        run: "run/1".into(),
        sequence,
        rows: 10,
        queries: 20,
        responses: 19,
        from,
        to: from,
        schema_version: 1,
    }
}

/// Octets that do not shrink.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| random.u8(..)).collect()
}

pub fn put(spool: &Spool, sequence: u64, length: usize) -> Put {
    spool.put(&header(sequence), &noise(sequence, length)).unwrap()
}

pub fn open(dir: &Path) -> Spool {
    Spool::open(dir, SpoolOptions::default()).unwrap()
}

/// A spool with so many segments.
pub fn filled(dir: &Path, segments: u64, length: usize) -> Arc<Spool> {
    let spool = open(dir);
    for sequence in 0..segments {
        assert_eq!(put(&spool, sequence, length), Put::Stored);
    }
    Arc::new(spool)
}

/// The names of the segments in a directory, in order.
pub fn segments(dir: &Path) -> Vec<String> {
    let names =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".segment")).collect();
    names.sort();
    names
}

/// Keeps the conditions that are reported.
#[derive(Clone, Default)]
pub struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    pub fn report(&self) -> Report {
        let heard = Arc::clone(&self.0);
        Arc::new(move |condition: &Condition| heard.lock().unwrap().push(condition.to_string()))
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self, text: &str) -> usize {
        self.all().iter().filter(|heard| heard.contains(text)).count()
    }
}

pub fn connection(url: &str) -> Connection {
    let url = url.parse::<lowtide_store::server::ServerUrl>().unwrap();
    Connection {
        connect_timeout: Duration::from_secs(2),
        request_timeout: Duration::from_millis(500),
        ..Connection::new(url)
    }
}

/// Quick pauses, so that tests are.
pub fn options() -> DeliveryOptions {
    DeliveryOptions {
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        ..DeliveryOptions::default()
    }
}

pub fn start(spool: &Arc<Spool>, url: &str, options: DeliveryOptions) -> Delivery {
    Delivery::start(Arc::clone(spool), Server::new(connection(url)).unwrap(), options, None).unwrap()
}

pub fn deliver(spool: &Arc<Spool>, url: &str, options: DeliveryOptions) -> Outcome {
    start(spool, url, options).finish_within(Some(Duration::from_secs(20)))
}

/// Waits until something holds, 10 s at most.
pub fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
