//! When this sensor was alive last, kept beside the spool: so that the next run can say for how long nobody watched, and
//! which senders have not come back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lowtide_proto::Timestamp;
use serde::{Deserialize, Serialize};

use super::clock;
use super::shared::Shared;
use super::sources::{FORGOTTEN, Source};
use super::watch::Watch;
use crate::config::options::RunOptions;
use crate::pipeline::nanos;

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

/// Leaves a sign of life to the next run; everything before `recorded` is in rows.
pub fn leave(shared: &Shared, options: &RunOptions, recorded: Timestamp) {
    let now = clock::now();
    let mut sources = shared.sources.all();
    sources.retain(|source| !source.is_forgotten(now));
    let away = sources.iter().filter_map(|source| Some((source.name.clone(), source.away_since()?.0)));
    let alive = Alive {
        sensor: options.sensor.clone(),
        last: now.0,
        recorded: recorded.0,
        away: away.collect(),
        sources: sources.into_iter().map(|source| source.name).collect(),
    };
    // The spool says when it cannot be written; the next run then knows less of this one.
    let _ = alive.write(&options.spool.dir);
}

/// Knows again the sources of the run before, and says that nobody watched them since; but for senders that had long gone.
pub fn resume(shared: &Shared, watch: &mut Watch, before: &Alive) {
    let known = shared.sources.all();
    let now = clock::now();
    let mut sources = Vec::new();
    for name in &before.sources {
        // A sender's source is its socket's name, a blank and its identity.
        let is_of = |source: &Source| {
            name.strip_prefix(&source.name).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let Some(source) = known.iter().find(|source| is_of(source)) else { continue };
        let left = before.away.get(name).copied().unwrap_or(before.last);
        if *name == source.name {
            sources.push(shared.sources.number(name, source.producer, source.gone));
        } else if now.0.saturating_sub(left) <= nanos(FORGOTTEN) {
            let number = shared.sources.sender(name, source.producer, source.gone);
            shared.sources.left_at(number, Timestamp(left));
            sources.push(number);
        }
    }
    watch.not_running(&sources, before.recorded(), before.last());
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
