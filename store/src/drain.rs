//! Rows of the tables `drain` and `rrset`: who asked the servers of migrations, and what they served.

use std::net::Ipv6Addr;

use lowtide_aggregate::drain::rows::{DrainRow, RrsetRow};
use lowtide_aggregate::drain::rrsets::Section;
use lowtide_proto::time::NANOS_PER_SECOND;
use lowtide_proto::{Qtype, Role, Timestamp};
use xxhash_rust::xxh3::Xxh3;

use crate::months::RowBlock;
use crate::native::{Addresses, Column, Dictionary, Lists, NullableNumbers, Numbers, Seconds, Texts, Times};
use crate::run::{RunColumns, RunKey};

/// The start of an interval in seconds since 1970, as rows have it.
pub(crate) fn start(time: Timestamp) -> u32 {
    u32::try_from(time.0 / NANOS_PER_SECOND).unwrap_or(u32::MAX)
}

fn canonical(address: Ipv6Addr) -> String {
    address.to_canonical().to_string()
}

/// What stands in each row of a run: interval, sensor, run, kind, role, zone, server.
#[derive(Debug)]
struct Whose {
    run: RunColumns,
    role: Dictionary<Role>,
    zone: Texts,
    server: Dictionary<Ipv6Addr>,
}

impl Whose {
    fn new(run: &RunKey) -> Self {
        Self {
            run: RunColumns::new(run),
            role: Dictionary::default(),
            zone: Texts::default(),
            server: Dictionary::default(),
        }
    }

    fn push(&mut self, interval: Timestamp, role: Role, zone: &str, server: Ipv6Addr) {
        self.run.push(start(interval));
        self.role.push(role, || role.to_string());
        self.zone.push(zone.as_bytes());
        self.server.push(server, || canonical(server));
    }

    fn columns(&self) -> Vec<(&'static str, &dyn Column)> {
        let mut columns = self.run.columns().to_vec();
        columns.extend::<[(&'static str, &dyn Column); 3]>([
            ("role", &self.role),
            ("zone", &self.zone),
            ("server", &self.server),
        ]);
        columns
    }
}

/// Rows of `drain` on their way into one segment.
#[derive(Debug)]
pub struct DrainBlock {
    rows: usize,
    whose: Whose,
    migration: Texts,
    client: Addresses,
    qtype: Dictionary<Qtype>,
    queries: Numbers,
    rd_queries: Numbers,
    responses: Numbers,
    first_seen: Times,
    last_seen: Times,
    visits: Numbers,
    gap_min: NullableNumbers,
    gap_max: NullableNumbers,
}

impl DrainBlock {
    /// Appends a row.
    pub fn push(&mut self, row: &DrainRow) {
        self.rows += 1;
        self.whose.push(row.start, row.role, &row.zone, row.server);
        self.migration.push(row.migration.as_bytes());
        self.client.push(row.client);
        self.qtype.push(row.qtype, || row.qtype.to_string());
        self.queries.push(row.queries);
        self.rd_queries.push(row.rd_queries);
        self.responses.push(row.responses);
        self.first_seen.push(row.seen.0.0);
        self.last_seen.push(row.seen.1.0);
        self.visits.push(row.visits);
        self.gap_min.push(row.gaps.map(|(shortest, _)| shortest));
        self.gap_max.push(row.gaps.map(|(_, longest)| longest));
    }
}

impl RowBlock for DrainBlock {
    const TABLE: &'static str = "drain";

    fn new(run: &RunKey) -> Self {
        Self {
            rows: 0,
            whose: Whose::new(run),
            migration: Texts::default(),
            client: Addresses::default(),
            qtype: Dictionary::default(),
            queries: Numbers::default(),
            rd_queries: Numbers::default(),
            responses: Numbers::default(),
            first_seen: Times::default(),
            last_seen: Times::default(),
            visits: Numbers::default(),
            gap_min: NullableNumbers::default(),
            gap_max: NullableNumbers::default(),
        }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> Vec<(&'static str, &dyn Column)> {
        let mut columns = self.whose.columns();
        columns.extend::<[(&'static str, &dyn Column); 11]>([
            ("migration", &self.migration),
            ("client", &self.client),
            ("qtype", &self.qtype),
            ("queries", &self.queries),
            ("rd_queries", &self.rd_queries),
            ("responses", &self.responses),
            ("first_seen", &self.first_seen),
            ("last_seen", &self.last_seen),
            ("visits", &self.visits),
            ("gap_min", &self.gap_min),
            ("gap_max", &self.gap_max),
        ]);
        columns
    }
}

/// Rows of `rrset` on their way into one segment.
#[derive(Debug)]
pub struct RrsetBlock {
    rows: usize,
    whose: Whose,
    owner: Texts,
    rrtype: Texts,
    section: Dictionary<Section>,
    digest: Numbers,
    rdata: Lists,
    ttl_min: Numbers,
    ttl_max: Numbers,
    horizon: Seconds,
    answers: Numbers,
    first_seen: Times,
    last_seen: Times,
}

/// What tells one content of an RRset from others: over the records in presentation form, sorted.
pub fn digest(rdata: &[String]) -> u64 {
    let mut hash = Xxh3::new();
    for record in rdata {
        hash.update(record.as_bytes());
        hash.update(b"\n");
    }
    hash.digest()
}

impl RrsetBlock {
    /// Appends a row.
    pub fn push(&mut self, row: &RrsetRow) {
        self.rows += 1;
        let (key, served) = (&row.rrset, &row.served);
        self.whose.push(row.start, row.role, &row.zone, key.server);
        self.owner.push(key.owner.as_bytes());
        self.rrtype.push(key.rrtype.as_bytes());
        self.section.push(key.section, || key.section.as_str().to_owned());
        self.digest.push(digest(&key.rdata));
        self.rdata.push(key.rdata.iter().map(String::as_str));
        self.ttl_min.push(u64::from(served.ttl_min));
        self.ttl_max.push(u64::from(served.ttl_max));
        // Rounded up: a horizon must not close early.
        let horizon = served.horizon.0.div_ceil(NANOS_PER_SECOND);
        self.horizon.push(u32::try_from(horizon).unwrap_or(u32::MAX));
        self.answers.push(served.answers);
        self.first_seen.push(served.first.0);
        self.last_seen.push(served.last.0);
    }
}

impl RowBlock for RrsetBlock {
    const TABLE: &'static str = "rrset";

    fn new(run: &RunKey) -> Self {
        Self {
            rows: 0,
            whose: Whose::new(run),
            owner: Texts::default(),
            rrtype: Texts::default(),
            section: Dictionary::default(),
            digest: Numbers::default(),
            rdata: Lists::default(),
            ttl_min: Numbers::default(),
            ttl_max: Numbers::default(),
            horizon: Seconds::default(),
            answers: Numbers::default(),
            first_seen: Times::default(),
            last_seen: Times::default(),
        }
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> Vec<(&'static str, &dyn Column)> {
        let mut columns = self.whose.columns();
        columns.extend::<[(&'static str, &dyn Column); 11]>([
            ("owner", &self.owner),
            ("rrtype", &self.rrtype),
            ("section", &self.section),
            ("digest", &self.digest),
            ("rdata", &self.rdata),
            ("ttl_min", &self.ttl_min),
            ("ttl_max", &self.ttl_max),
            ("horizon", &self.horizon),
            ("answers", &self.answers),
            ("first_seen", &self.first_seen),
            ("last_seen", &self.last_seen),
        ]);
        columns
    }
}
