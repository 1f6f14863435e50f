//! What a file says was dropped before it was written.

use lowtide_proto::Timestamp;
use lowtide_proto::time::NANOS_PER_SECOND;

/// Losses that are kept of a file; past it the last one of its kind grows.
const MAX_DROPPED: usize = 4_096;

/// Losses of one kind that are within this are one: nanoseconds.
const ONE_LOSS: u64 = 60 * NANOS_PER_SECOND;

/// A loss that is further than this from all frames of its file has a time that nobody knows: nanoseconds.
const FAR: u64 = 86_400 * NANOS_PER_SECOND;

/// By whom packets were dropped, in the file's own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DroppedBy {
    /// By the interface (`isb_ifdrop`). dumpcap counts here what the kernel dropped, too.
    Interface,
    /// By the operating system (`isb_osdrop`).
    System,
    /// By either, between two packets (`epb_dropcount`). What interfaces say of the same time may be the same packets.
    Unsaid,
    /// Nobody knows: what the file says of it cannot be read. Counts the blocks that say so.
    Unreadable,
}

impl DroppedBy {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Interface, Self::System, Self::Unsaid, Self::Unreadable];
}

/// A loss that a file tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// By whom.
    pub by: DroppedBy,
    /// Packets; of [`DroppedBy::Unreadable`], blocks.
    pub count: u64,
    /// Not before this; `None` = at any time since the capture began.
    pub from: Option<Timestamp>,
    /// Not after this; `None` = at any time until the file ends.
    pub to: Option<Timestamp>,
}

impl Dropped {
    /// Since when and until when, as nanoseconds.
    fn span(&self) -> (u64, u64) {
        (self.from.map_or(0, |from| from.0), self.to.map_or(u64::MAX, |to| to.0))
    }

    fn join(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.from = self.from.min(other.from);
        self.to = self.to.zip(other.to).map(|(one, other)| one.max(other));
    }

    /// In a file with frames between two moments. What is far from them all was said by another clock: dumpcap writes microseconds,
    /// whatever the interface's resolution is.
    fn within(self, (first, last): (Timestamp, Timestamp)) -> Self {
        let is_before = self.to.is_some_and(|to| to.0.saturating_add(FAR) < first.0);
        let is_behind = self.from.is_some_and(|from| from.0 > last.0.saturating_add(FAR));
        if is_before || is_behind { Self { from: None, to: None, ..self } } else { self }
    }
}

/// The losses of a file.
#[derive(Debug, Default)]
pub(crate) struct Drops(Vec<Dropped>);

impl Drops {
    /// Adds a loss between two moments, in whichever order.
    #[inline]
    pub(crate) fn add(&mut self, by: DroppedBy, count: u64, from: Option<Timestamp>, to: Option<Timestamp>) {
        if count > 0 {
            let from = from.map(|from| to.map_or(from, |to| from.min(to)));
            let to = to.map(|to| from.map_or(to, |from| from.max(to)));
            self.keep(Dropped { by, count, from, to });
        }
    }

    #[cold]
    fn keep(&mut self, new: Dropped) {
        let is_full = self.0.len() >= MAX_DROPPED;
        let Some(last) = self.0.iter_mut().rfind(|known| known.by == new.by) else {
            return self.0.push(new);
        };
        let ((from, to), (since, until)) = (last.span(), new.span());
        if is_full || to.max(until) - from.min(since) <= ONE_LOSS || (from, to) == (since, until) {
            last.join(&new);
        } else {
            self.0.push(new);
        }
    }

    /// All of them, in a file with frames between two moments.
    pub(crate) fn within(&self, span: Option<(Timestamp, Timestamp)>) -> Vec<Dropped> {
        self.0.iter().map(|dropped| span.map_or(*dropped, |span| dropped.within(span))).collect()
    }
}
