//! Rows of migrations for the store: who asked whom, and what was served, in one interval of traffic time.
//!
//! Rows of one key add up, so that late and partial ones are harmless: counts are sums, times are minima and maxima.

use std::net::Ipv6Addr;
use std::sync::Arc;

use lowtide_proto::{Qtype, Role, Timestamp};

use super::rrsets::{RrsetKey, Served};

/// What one client asked one server of a migration for, in one interval: a row of `drain`.
///
/// The key is interval, role, migration, zone, server, client and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainRow {
    /// Start of the interval.
    pub start: Timestamp,
    /// Where the messages were seen.
    pub role: Role,
    /// The migration's name.
    pub migration: Arc<str>,
    /// The zone that moves, with final dot.
    pub zone: Arc<str>,
    /// The old or new server; IPv4 as `::ffff:a.b.c.d`.
    pub server: Ipv6Addr,
    /// Who asked; `::` = all clients beyond the bound.
    pub client: Ipv6Addr,
    /// The type asked for.
    pub qtype: Qtype,
    /// Queries.
    pub queries: u64,
    /// Of those, with RD set.
    pub rd_queries: u64,
    /// Responses.
    pub responses: u64,
    /// The first and the last query, or response where there was no query.
    pub seen: (Timestamp, Timestamp),
    /// Visits that began with one of these queries: a client's queries that are less than a minute apart are one visit.
    pub visits: u64,
    /// The shortest and the longest time from the beginning of a visit to that of the next which began with one of these queries,
    /// nanoseconds; `None` where no visit before them is known.
    pub gaps: Option<(u64, u64)>,
}

/// When and with which TTL one server served one RRset in one interval: a row of `rrset`.
///
/// The key is interval, role, zone and [`RrsetKey`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RrsetRow {
    /// Start of the interval.
    pub start: Timestamp,
    /// Where the responses were seen.
    pub role: Role,
    /// The zone that moves, with final dot.
    pub zone: Arc<str>,
    /// Server, owner, type, section and records.
    pub rrset: RrsetKey,
    /// TTLs, horizon, count and times of the responses of this interval alone.
    pub served: Served,
}

/// Rows of migrations of the intervals before a mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrainRows {
    /// Rows of `drain`, by interval and then by their key, so that a run that is repeated makes the same rows in the same order.
    pub asked: Vec<DrainRow>,
    /// Rows of `rrset`, in the same way.
    pub served: Vec<RrsetRow>,
}

impl DrainRows {
    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.served.is_empty()
    }
}
