//! When this sensor was alive last, kept beside the spool: so that the next run can say for how long nobody watched, and
//! which senders have not come back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lowtide_proto::Timestamp;
use serde::{Deserialize, Serialize};

/// What a run leaves to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alive {
    /// The sensor's name.
    pub sensor: String,
    /// Its last sign of life, nanoseconds since 1970.
    pub last: u64,
    /// The moment before which everything is in rows that are kept; what was counted since goes with a process that is killed.
    #[serde(default = "everything")]
    pub recorded: u64,
    /// Its sources.
    pub sources: Vec<String>,
    /// Those of them that there was no way to, and since when.
    #[serde(default)]
    pub away: BTreeMap<String, u64>,
}

/// A run that says nothing of it left nothing behind.
const fn everything() -> u64 {
    u64::MAX
}

impl Alive {
    /// When the sensor was alive last.
    pub const fn last(&self) -> Timestamp {
        Timestamp(self.last)
    }

    /// The moment before which everything is in rows.
    pub fn recorded(&self) -> Timestamp {
        Timestamp(self.recorded.min(self.last))
    }

    fn path(spool: &Path) -> PathBuf {
        spool.join(lowtide_store::spool::ALIVE)
    }

    /// What the run before left in a spool; nothing, when there was none of this sensor or it cannot be read.
    pub fn read(spool: &Path, sensor: &str) -> Option<Self> {
        let text = fs::read(Self::path(spool)).ok()?;
        serde_json::from_slice(&text).ok().filter(|alive: &Self| alive.sensor == sensor)
    }

    /// Leaves this to the next run. It is written aside and renamed: a process that is killed leaves the one before.
    ///
    /// # Errors
    /// The file system's.
    pub fn write(&self, spool: &Path) -> io::Result<()> {
        let path = Self::path(spool);
        let aside = path.with_extension(lowtide_store::spool::ASIDE);
        fs::write(&aside, serde_json::to_vec(self)?)?;
        fs::rename(&aside, &path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_run_of_the_sensor_reads_what_was_written() {
        let spool = tempfile::tempdir().unwrap();
        let sources = vec!["eth0".into(), "eth1".into()];
        let away = BTreeMap::from([("eth1".into(), 2)]);
        let alive = Alive { sensor: "ns1".into(), last: 5, recorded: 3, sources, away };
        assert_eq!(Alive::read(spool.path(), "ns1"), None);
        alive.write(spool.path()).unwrap();
        assert_eq!(Alive::read(spool.path(), "ns1"), Some(alive));
        assert_eq!(Alive::read(spool.path(), "ns2"), None);
        let said = br#"{"sensor":"ns1","last":5,"sources":[]}"#;
        fs::write(spool.path().join(lowtide_store::spool::ALIVE), said).unwrap();
        assert_eq!(Alive::read(spool.path(), "ns1").unwrap().recorded(), Timestamp(5));
        fs::write(spool.path().join(lowtide_store::spool::ALIVE), "{").unwrap();
        assert_eq!(Alive::read(spool.path(), "ns1"), None);
    }
}
