//! What sensors say of themselves, as `coverage.json`: a file of frames has no signs of life in it.

use lowtide_proto::Timestamp;
use serde::Serialize;

use crate::time::rfc3339;

/// What one sensor said.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    sensor: String,
    /// When it was alive, by its own clock.
    alive: Vec<Span>,
    lost: Vec<Lost>,
}

#[derive(Clone, Debug, Serialize)]
struct Span {
    #[serde(serialize_with = "rfc3339")]
    from: Timestamp,
    #[serde(serialize_with = "rfc3339")]
    to: Timestamp,
}

#[derive(Clone, Debug, Serialize)]
struct Lost {
    #[serde(flatten)]
    span: Span,
    frames: u64,
}

impl Told {
    pub(super) fn new(sensor: &str) -> Self {
        Self { sensor: sensor.to_owned(), alive: Vec::new(), lost: Vec::new() }
    }

    pub(super) fn alive(&mut self, from: Timestamp, to: Timestamp) {
        match self.alive.last_mut() {
            Some(last) if last.to == from => last.to = to,
            _ => self.alive.push(Span { from, to }),
        }
    }

    pub(super) fn lost(&mut self, from: Timestamp, to: Timestamp, frames: u64) {
        self.lost.push(Lost { span: Span { from, to }, frames });
    }
}
