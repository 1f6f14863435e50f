//! The counting of the events of some partitions of the names: for the report, for rows, or both.

use crossbeam::channel::{Receiver, Sender};
use lowtide_aggregate::names::PARTITIONS;
use lowtide_aggregate::{EventBatch, Names, Windows};
use lowtide_store::recorder::Recorded;

/// Batches that may wait for a shard.
pub const QUEUE: usize = 4;

/// What is counted of the names of some partitions.
pub struct Shard {
    /// For a report over all of the data.
    pub names: Option<Names>,
    /// For rows of each interval, and where they go.
    pub windows: Option<(Windows, Sender<Recorded>)>,
}

impl Shard {
    /// The partitions of shard number `shard` of `shards`.
    pub fn partitions(shard: usize, shards: usize) -> impl Iterator<Item = usize> {
        (0..PARTITIONS).filter(move |partition| partition % shards == shard)
    }

    /// Counts a batch.
    pub fn count(&mut self, batch: &EventBatch) {
        if let Some(names) = &mut self.names {
            names.count(batch);
        }
        if let Some((windows, rows)) = &mut self.windows {
            // A recorder that failed takes nothing any more; who waits for it finds that out.
            windows.count(batch, |closed| drop(rows.send(Recorded::Windows(closed))));
        }
    }
}

/// A shard's thread: counts batches until there are no more.
pub fn count_batches(
    mut shard: Shard,
    filled: &Receiver<EventBatch>,
    emptied: &Sender<EventBatch>,
) -> Option<Names> {
    for mut batch in filled {
        shard.count(&batch);
        batch.clear();
        // When there are batches enough, this one's memory is given back.
        let _ = emptied.try_send(batch);
    }
    shard.names
}
