//! Rows that wait for the end of their interval, from several threads: rows of one key become one.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use lowtide_proto::{Qtype, Role, Timestamp};

use super::rows::{DrainRow, DrainRows, RrsetRow};
use super::rrsets::RrsetKey;

/// A row of `drain` by its key: interval, role, migration, zone, server, client, type.
type AskedKey = (Timestamp, Role, Arc<str>, Arc<str>, Ipv6Addr, Ipv6Addr, Qtype);

/// A row of `rrset` by its key.
type ServedKey = (Timestamp, Role, Arc<str>, RrsetKey);

/// Rows on their way.
#[derive(Debug, Default)]
pub struct Gathered {
    asked: BTreeMap<AskedKey, DrainRow>,
    served: BTreeMap<ServedKey, RrsetRow>,
}

impl DrainRow {
    /// Adds another row of this key.
    pub fn add(&mut self, other: &Self) {
        // Responses say when only where there is no query.
        match (self.queries, other.queries) {
            (0, 1..) => self.seen = other.seen,
            (1.., 0) => {}
            _ => self.seen = (self.seen.0.min(other.seen.0), self.seen.1.max(other.seen.1)),
        }
        self.queries += other.queries;
        self.rd_queries += other.rd_queries;
        self.responses += other.responses;
        self.visits += other.visits;
        self.gaps = match (self.gaps, other.gaps) {
            (Some((shortest, longest)), Some(other)) => Some((shortest.min(other.0), longest.max(other.1))),
            (one, other) => one.or(other),
        };
    }
}

impl Gathered {
    /// Takes rows.
    pub fn add(&mut self, rows: DrainRows) {
        for row in rows.asked {
            let (migration, zone) = (Arc::clone(&row.migration), Arc::clone(&row.zone));
            let key = (row.start, row.role, migration, zone, row.server, row.client, row.qtype);
            match self.asked.get_mut(&key) {
                Some(known) => known.add(&row),
                None => {
                    self.asked.insert(key, row);
                }
            }
        }
        for row in rows.served {
            let key = (row.start, row.role, Arc::clone(&row.zone), row.rrset.clone());
            match self.served.get_mut(&key) {
                Some(known) => known.served.merge(&row.served),
                None => {
                    self.served.insert(key, row);
                }
            }
        }
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.asked.len() + self.served.len()
    }

    /// Hands out the rows of intervals that began before `moment`, in their order.
    pub fn close(&mut self, moment: Timestamp) -> DrainRows {
        let mut rows = DrainRows::default();
        while let Some(first) = self.asked.first_entry()
            && first.key().0 < moment
        {
            rows.asked.push(first.remove());
        }
        while let Some(first) = self.served.first_entry()
            && first.key().0 < moment
        {
            rows.served.push(first.remove());
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(start: u64, client: u128, queries: u64, seen: (u64, u64), gaps: Option<(u64, u64)>) -> DrainRow {
        DrainRow {
            start: Timestamp(start),
            role: Role::Wire,
            migration: "m".into(),
            zone: "example.net.".into(),
            server: Ipv6Addr::LOCALHOST,
            client: Ipv6Addr::from_bits(client),
            qtype: Qtype(1),
            queries,
            rd_queries: queries / 2,
            responses: 1,
            seen: (Timestamp(seen.0), Timestamp(seen.1)),
            visits: u64::from(queries > 0),
            gaps,
        }
    }

    #[test]
    fn rows_of_one_key_become_one_and_wait_for_their_end() {
        let mut gathered = Gathered::default();
        let of = |asked| DrainRows { asked, served: Vec::new() };
        gathered.add(of(vec![row(60, 2, 0, (110, 119), None), row(120, 1, 1, (130, 130), None)]));
        gathered.add(of(vec![row(60, 1, 1, (70, 70), None), row(60, 2, 4, (70, 80), Some((5, 9)))]));
        gathered.add(of(vec![row(60, 2, 2, (60, 75), Some((3, 4)))]));
        assert_eq!(gathered.rows(), 3);
        let closed = gathered.close(Timestamp(120)).asked;
        let both =
            DrainRow { rd_queries: 3, responses: 3, visits: 2, ..row(60, 2, 6, (60, 80), Some((3, 9))) };
        assert_eq!(closed, [row(60, 1, 1, (70, 70), None), both]);
        assert_eq!(gathered.close(Timestamp(u64::MAX)).asked, [row(120, 1, 1, (130, 130), None)]);
        assert!(gathered.close(Timestamp(u64::MAX)).is_empty());
    }
}
