//! What sources showed of one watched server, interval by interval: for its rows of coverage.

use std::net::Ipv6Addr;

use lowtide_proto::Timestamp;

use crate::coverage::CoverageRow;

/// Queries to a server whose name was not captured, as a reason in its rows of coverage.
pub const UNREAD_QUERY: &str = "unread_query";

/// Responses of a server that could not be read to their end.
pub const UNREAD_RESPONSE: &str = "unread_response";

/// Entries that may wait until they are taken.
const MAX_ENTRIES: usize = 1_024;

/// One source in one interval.
#[derive(Debug)]
struct Entry {
    source: usize,
    number: u64,
    messages: u64,
    seen: Option<(Timestamp, Timestamp)>,
    unread_queries: u64,
    unread_responses: u64,
}

/// What sources showed of a server. Entries of one source and interval add up.
#[derive(Debug, Default)]
pub(super) struct Shown(Vec<Entry>);

impl Shown {
    /// A message was seen beside the server, in interval number `number`.
    #[inline(never)]
    pub(super) fn message(&mut self, source: usize, number: u64, time: Timestamp) {
        self.count(source, number, |entry| {
            entry.messages += 1;
            let (first, last) = entry.seen.unwrap_or((time, time));
            entry.seen = Some((first.min(time), last.max(time)));
        });
    }

    /// A query's name was not captured.
    #[cold]
    pub(super) fn unread_query(&mut self, source: usize, number: u64) {
        self.count(source, number, |entry| entry.unread_queries += 1);
    }

    /// A response could not be read to its end.
    #[cold]
    pub(super) fn unread_response(&mut self, source: usize, number: u64) {
        self.count(source, number, |entry| entry.unread_responses += 1);
    }

    #[inline]
    fn count(&mut self, source: usize, number: u64, count: impl FnOnce(&mut Entry)) {
        // The interval is nearly always that of the last message, or the one before it.
        let recent = self.0.iter_mut().rev().take(4);
        for entry in recent {
            if entry.number == number && entry.source == source {
                return count(entry);
            }
        }
        let (messages, seen) = (0, None);
        let mut entry = Entry { source, number, messages, seen, unread_queries: 0, unread_responses: 0 };
        count(&mut entry);
        self.0.push(entry);
    }

    /// Whether entries are to be taken soon.
    pub(super) const fn is_full(&self) -> bool {
        self.0.len() > MAX_ENTRIES
    }

    /// Takes what was shown of this server, as rows of coverage.
    pub(super) fn take(&mut self, server: Ipv6Addr, width: u64) -> impl Iterator<Item = CoverageRow> {
        self.0.drain(..).map(move |entry| {
            let lost = [(UNREAD_QUERY, entry.unread_queries), (UNREAD_RESPONSE, entry.unread_responses)];
            CoverageRow {
                start: Timestamp(entry.number.saturating_mul(width)),
                source: entry.source,
                server: Some(server),
                messages: entry.messages,
                seen: entry.seen,
                lost: lost.into_iter().filter(|&(_, count)| count > 0).collect(),
                ..CoverageRow::default()
            }
        })
    }
}
