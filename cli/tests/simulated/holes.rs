//! What is missing from the evidence, as `truth.json` says it.

use lowtide_proto::Timestamp;
use serde_json::Value;

use crate::case::{SECOND, time};

/// The `--max-silence` of these tests: a shorter hole is a silence like any other. Of the signs of life of a server there are 42 an hour
/// or more.
const SILENCE: u64 = 30 * 60 * SECOND;

/// A verdict may be as of so long before the moment that is asked about.
const BEHIND: u64 = 15 * 60 * SECOND;

struct Hole {
    kind: String,
    addresses: Vec<String>,
    /// When nobody looked, by the sensor's clock.
    from: Timestamp,
    to: Timestamp,
}

/// All of them.
pub struct Holes(Vec<Hole>);

impl Holes {
    pub fn new(truth: &Value) -> Self {
        Self(truth["holes"].as_array().unwrap().iter().map(hole).collect())
    }

    /// Whether nothing is missing. What came late is there.
    pub fn are_none(&self) -> bool {
        self.0.iter().all(|hole| hole.kind == "late")
    }

    /// Whether there is one that files cannot show: frames that were dropped here and there, or a silence that is short.
    pub fn are_beyond_files(&self) -> bool {
        self.0.iter().any(|hole| hole.kind == "drop" || (is_blind(hole) && !hole.is_long()))
    }

    /// Whether files must show that nobody looked at a server between two moments.
    pub fn show(&self, address: &str, from: Timestamp, to: Timestamp) -> bool {
        self.0.iter().any(|hole| {
            let (begin, end) = (hole.from.max(from), hole.to.min(to));
            is_blind(hole)
                && hole.is_long()
                && hole.addresses.iter().any(|of| of == address)
                && end.0.saturating_sub(begin.0) > BEHIND
        })
    }
}

impl Hole {
    const fn is_long(&self) -> bool {
        self.to.0 - self.from.0 > SILENCE
    }
}

/// Whether nobody sees anything at all in it. Nobody can see that a place of an anycast address is watched by nobody, and frames that are
/// late are not lost.
fn is_blind(hole: &Hole) -> bool {
    ["outage", "death", "clock-step", "unwatched-server"].contains(&hole.kind.as_str())
}

fn hole(of: &Value) -> Hole {
    let (mut from, mut to) = (time(&of["from"]).unwrap(), time(&of["to"]).unwrap());
    let kind = of["kind"].as_str().unwrap().to_owned();
    if kind == "clock-step" {
        // Set ahead, a clock leaves out what it was set ahead by; set back, it leaves that out when it is right again.
        let by = of["amount"].as_f64().unwrap();
        let blind = (by.abs() as u64 * SECOND).min(to.0 - from.0);
        if by > 0.0 {
            to = Timestamp(from.0 + blind);
        } else {
            from = Timestamp(to.0 - blind);
        }
    }
    let addresses = of["addresses"].as_array().unwrap().iter();
    Hole { kind, addresses: addresses.map(|of| of.as_str().unwrap().to_owned()).collect(), from, to }
}
