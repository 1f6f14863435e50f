//! When this sensor was alive last, kept beside the spool: so that the next run can say for how long nobody watched, and
//! which senders have not come back.

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
    /// Its sources.
    pub sources: Vec<String>,
}

impl Alive {
    /// When the sensor was alive last.
    pub const fn last(&self) -> Timestamp {
        Timestamp(self.last)
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
        let alive = Alive { sensor: "ns1".into(), last: 5, sources: vec!["eth0".into()] };
        assert_eq!(Alive::read(spool.path(), "ns1"), None);
        alive.write(spool.path()).unwrap();
        assert_eq!(Alive::read(spool.path(), "ns1"), Some(alive));
        assert_eq!(Alive::read(spool.path(), "ns2"), None);
        fs::write(spool.path().join(lowtide_store::spool::ALIVE), "{").unwrap();
        assert_eq!(Alive::read(spool.path(), "ns1"), None);
    }
}
