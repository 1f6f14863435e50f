//! A run of a sensor: what its rows are known by.

use crate::native::{Column, Constant, Seconds};

/// Where a run's rows come from. It decides how long they are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A live sensor.
    Live,
    /// Files.
    Replay,
}

impl Kind {
    /// The word in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Live => "live",
            Kind::Replay => "replay",
        }
    }
}

/// What stands in every row of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunKey {
    /// The sensor's name.
    pub sensor: String,
    /// The run's name: one of this sensor.
    pub run: String,
    /// Where its rows come from.
    pub kind: Kind,
}

/// The columns in which that stands, with the interval of each row.
#[derive(Debug)]
pub(crate) struct RunColumns {
    interval: Seconds,
    sensor: Constant,
    run: Constant,
    kind: Constant,
}

impl RunColumns {
    pub(crate) fn new(run: &RunKey) -> Self {
        Self {
            interval: Seconds::default(),
            sensor: Constant::new(run.sensor.clone()),
            run: Constant::new(run.run.clone()),
            kind: Constant::new(run.kind.as_str().to_owned()),
        }
    }

    /// Appends a row of the interval that begins at `start`, seconds since 1970.
    #[inline]
    pub(crate) fn push(&mut self, start: u32) {
        self.interval.push(start);
        self.sensor.push();
        self.run.push();
        self.kind.push();
    }

    pub(crate) fn columns(&self) -> [(&'static str, &dyn Column); 4] {
        [("interval", &self.interval), ("sensor", &self.sensor), ("run", &self.run), ("kind", &self.kind)]
    }

    /// Forgets the rows and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.interval.clear();
        self.sensor.clear();
        self.run.clear();
        self.kind.clear();
    }
}
