//! From frames to rows and reports: the threads of a replay and of a live run, and the queues between them.
//!
//! What both share is the way of an event: [`fan`] hands it to the shard that owns its name's partition, [`shard`] counts it
//! there. [`mod@replay`] reads files; `live/` reads sockets and interfaces. [`mod@drain`] reads files for the verdict on migrations alone, [`mod@stored`]
//! what ClickHouse has of them.

pub mod drain;
mod dropped;
pub mod fan;
pub mod replay;
pub mod shard;
mod sight;
pub mod stored;
mod witness;

use std::time::Duration;

use crossbeam::channel::Sender;
use lowtide_store::recorder::Recorded;

pub use drain::{DrainOptions, Drained, drain};
pub use replay::{ReplayOptions, replay};
pub use stored::stored;

/// What of a source is lost by frames of which nobody knows whether there is a message in them.
pub const UNREADABLE: &str = "unreadable_frames";

/// Where rows go.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Takes closed windows and coverage. Who counts waits while it is full.
    pub rows: Sender<Recorded>,
    /// Rows of open windows, about; the least asked names beyond are counted in their zone alone.
    pub max_rows: usize,
}

/// Nanoseconds of a duration; what has more than 584 years is as long as that.
pub const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}
