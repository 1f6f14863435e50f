//! What a segment says of itself.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{EXTENSION, SegmentError};

/// Octets of a sensor's or run's name at most.
const MAX_NAME: usize = 255;
/// Columns of a table at most.
const MAX_COLUMNS: usize = 256;
/// Octets of a column's name at most.
const MAX_COLUMN: usize = 64;
/// How much of a sensor's or run's name is shown in a file's name.
const SHOWN: usize = 40;

/// A table that lowtide inserts into. Rollups are not among them: materialized views fill those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    /// Counts per interval, server, name and type.
    Traffic,
    /// What each sensor could see, and its loss.
    Coverage,
    /// The runs.
    SensorRun,
    /// Who still asks the old servers.
    Drain,
    /// What each server serves.
    Rrset,
    /// Faults.
    Finding,
}

impl Table {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Traffic, Self::Coverage, Self::SensorRun, Self::Drain, Self::Rrset, Self::Finding];

    /// Its name in SQL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traffic => "traffic",
            Self::Coverage => "coverage",
            Self::SensorRun => "sensor_run",
            Self::Drain => "drain",
            Self::Rrset => "rrset",
            Self::Finding => "finding",
        }
    }

    /// Whether its rows tell of others: what was seen and what was lost. They are small, are sent behind the rows that they tell
    /// of, and are the last to be dropped.
    pub const fn is_account(self) -> bool {
        matches!(self, Self::Coverage | Self::SensorRun)
    }

    /// The table of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a segment holds and where it belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The table.
    pub table: Table,
    /// The columns, in the order of the block.
    pub columns: Vec<String>,
    /// Who saw the traffic.
    pub sensor: String,
    /// In which run.
    pub run: String,
    /// The segment's number within sensor, run and table. A number stands for the same rows for ever: ClickHouse throws
    /// away other rows that come under a number it knows.
    pub sequence: u64,
    /// Rows of the block.
    pub rows: u64,
    /// Queries that the rows count, so that a loss can be told in them.
    pub queries: u64,
    /// Responses that the rows count.
    pub responses: u64,
    /// Start of the earliest interval, unix seconds.
    pub from: u32,
    /// Start of the latest interval, unix seconds.
    pub to: u32,
    /// The schema the rows were made for.
    pub schema_version: u32,
}

impl Header {
    /// Whether this may be sent to a server.
    ///
    /// # Errors
    /// [`SegmentError::Header`] with the reason.
    pub fn validate(&self) -> Result<(), SegmentError> {
        let refuse = |reason: &str| Err(SegmentError::Header(reason.to_owned()));
        for name in [&self.sensor, &self.run] {
            if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
                return refuse("a sensor's or run's name is empty, too long or has control characters");
            }
        }
        if self.columns.is_empty() || self.columns.len() > MAX_COLUMNS {
            return refuse("no columns or too many");
        }
        let word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        if self.columns.iter().any(|c| c.is_empty() || c.len() > MAX_COLUMN || !c.bytes().all(word)) {
            return refuse("a column's name is not made of a-z, 0-9 and _");
        }
        if self.rows == 0 {
            return refuse("no rows");
        }
        if self.from > self.to {
            return refuse("the intervals end before they begin");
        }
        Ok(())
    }

    /// `INSERT INTO table (columns) FORMAT Native`; the database goes beside it, as a setting.
    pub fn insert_statement(&self) -> String {
        format!("INSERT INTO {} ({}) FORMAT Native", self.table, self.columns.join(","))
    }

    /// `sensor/run/table/sequence`, by which ClickHouse knows rows that it has already. Within the names `/` and `%` are
    /// escaped, so that no two segments share a token.
    pub fn token(&self) -> String {
        let escape = |name: &str| name.replace('%', "%25").replace('/', "%2F");
        format!("{}/{}/{}/{}", escape(&self.sensor), escape(&self.run), self.table, self.sequence)
    }

    /// The file's name: earliest interval first, so that names sort in the order of sending; the same segment always has
    /// the same name.
    pub fn file_name(&self) -> String {
        let from = jiff::Timestamp::from_second(i64::from(self.from)).unwrap_or_default();
        let shown = |name: &str| {
            let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '_' };
            name.chars().map(plain).take(SHOWN).collect::<String>()
        };
        let mut name = format!(
            "{}-{:010}-{}-{}-{}-",
            from.strftime("%Y%m%dT%H%M%SZ"),
            self.sequence,
            self.table,
            shown(&self.sensor),
            shown(&self.run)
        );
        // What was shortened or replaced above must not make two segments one.
        let _ = write!(name, "{:016x}.{EXTENSION}", xxh3_64(self.token().as_bytes()));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            table: Table::Traffic,
            columns: vec!["interval".into(), "qname".into()],
            sensor: "ns1.example".into(),
            run: "2026-11-21/a".into(),
            sequence: 42,
            rows: 1,
            queries: 2,
            responses: 3,
            from: 1_700_000_000,
            to: 1_700_000_060,
            schema_version: 1,
        }
    }

    #[test]
    fn says_where_it_belongs() {
        let header = header();
        header.validate().unwrap();
        assert_eq!(header.insert_statement(), "INSERT INTO traffic (interval,qname) FORMAT Native");
        assert_eq!(header.token(), "ns1.example/2026-11-21%2Fa/traffic/42");
        let name = header.file_name();
        assert!(name.starts_with("20231114T221320Z-0000000042-traffic-ns1.example-2026_11_21_a-"), "{name}");
        assert!(name.ends_with(".segment") && name.len() < 200, "{name}");
    }

    #[test]
    fn names_sort_by_interval_then_number() {
        let at = |from, sequence| Header { from, to: from, sequence, ..header() }.file_name();
        let mut names = vec![at(1_700_000_060, 2), at(1_700_000_000, 10), at(1_700_000_000, 9), at(0, 11)];
        names.sort();
        assert_eq!(names, [at(0, 11), at(1_700_000_000, 9), at(1_700_000_000, 10), at(1_700_000_060, 2)]);
    }

    #[test]
    fn different_segments_have_different_tokens_and_names() {
        let of = |sensor: &str, run: &str| Header { sensor: sensor.into(), run: run.into(), ..header() };
        for (one, other) in [
            (of("a/b", "c"), of("a", "b/c")),
            (of("a%2Fb", "c"), of("a/b", "c")),
            (of("a b", "c"), of("a_b", "c")),
            (of(&"x".repeat(50), "c"), of(&"x".repeat(60), "c")),
        ] {
            assert_ne!(one.token(), other.token());
            assert_ne!(one.file_name(), other.file_name());
        }
    }

    #[test]
    fn refuses_what_could_harm() {
        for column in ["", "a b", "a)", "a`", "a'", "a;DROP", "A", "é", "a\n", &"a".repeat(65)] {
            let header = Header { columns: vec!["interval".into(), column.to_owned()], ..header() };
            assert!(header.validate().is_err(), "{column:?}");
        }
        for name in ["", "a\r\nX-Evil: 1", "a\0", &"a".repeat(256)] {
            assert!(Header { sensor: name.to_owned(), ..header() }.validate().is_err(), "{name:?}");
            assert!(Header { run: name.to_owned(), ..header() }.validate().is_err(), "{name:?}");
        }
        assert!(Header { columns: Vec::new(), ..header() }.validate().is_err());
        assert!(Header { columns: vec!["a".into(); 257], ..header() }.validate().is_err());
        assert!(Header { rows: 0, ..header() }.validate().is_err());
        assert!(Header { from: 2, to: 1, ..header() }.validate().is_err());
        let json = serde_json::to_string(&header()).unwrap();
        assert!(serde_json::from_str::<Header>(&json.replace("traffic", "system.users")).is_err());
    }
}
