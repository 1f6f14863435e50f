//! A run of a sensor: what its rows are known by.

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
