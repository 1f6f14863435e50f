//! What an operator is told: when a condition starts, and when it ends.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Loss, WhenFull};
use crate::server::ServerError;

/// Takes conditions as they start and end; called rarely, from the threads that meet them, and not to call the spool
/// itself.
pub type Report = Arc<dyn Fn(&Condition) + Send + Sync>;

/// A condition of the spool or of delivery that starts or ends.
#[derive(Clone, Debug)]
pub enum Condition {
    /// The spool is full; what happens now is its policy.
    SpoolFull {
        /// The policy.
        when_full: WhenFull,
    },
    /// The spool has room again.
    SpoolHasRoom {
        /// What was dropped meanwhile.
        dropped: Loss,
    },
    /// A segment cannot be written.
    SpoolUnwritable {
        /// The spool.
        dir: PathBuf,
        /// Why.
        error: String,
    },
    /// Segments can be written again.
    SpoolWritable {
        /// What was dropped meanwhile.
        dropped: Loss,
    },
    /// Segments were older than the spool keeps them.
    Expired {
        /// What was dropped.
        dropped: Loss,
    },
    /// A file in the spool is not lowtide's; it is left alone.
    ForeignFile {
        /// The file.
        path: PathBuf,
    },
    /// A segment is damaged and was moved to `quarantine/`.
    Quarantined {
        /// Where it is now.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What it held, as far as it still says.
        loss: Loss,
    },
    /// The file of a segment has gone.
    Vanished {
        /// The file.
        path: PathBuf,
        /// What it held.
        loss: Loss,
    },
    /// A file cannot be read, moved or removed; the segment in it is neither lost nor sent twice.
    FileTrouble {
        /// The file.
        path: PathBuf,
        /// Why.
        error: String,
    },
    /// The server takes nothing; segments are kept and tried again.
    ServerFailing {
        /// Why.
        error: ServerError,
    },
    /// The server takes segments again.
    ServerAnswers {
        /// For how long it did not.
        after: Duration,
        /// How often it was asked meanwhile.
        attempts: u64,
    },
    /// The server refuses this segment while it may take others.
    SegmentRefused {
        /// The segment's file name.
        name: String,
        /// Why.
        error: ServerError,
    },
    /// Delivery stops; what is left stays in the spool.
    GaveUp {
        /// The last error.
        error: ServerError,
    },
}

impl Condition {
    /// Whether rows were lost by it.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Expired { .. } | Self::Quarantined { .. } | Self::Vanished { .. } => true,
            Self::SpoolHasRoom { dropped } | Self::SpoolWritable { dropped } => dropped.segments > 0,
            Self::SpoolFull { when_full } => *when_full != WhenFull::Wait,
            _ => false,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SpoolFull { when_full: WhenFull::Wait } => {
                f.write_str("the spool is full: waiting for room")
            }
            Self::SpoolFull { when_full: WhenFull::DropOldest } => {
                f.write_str("the spool is full: dropping the oldest segments")
            }
            Self::SpoolFull { when_full: WhenFull::DropNewest } => {
                f.write_str("the spool is full: dropping new segments")
            }
            Self::SpoolHasRoom { dropped } if dropped.segments == 0 => {
                f.write_str("the spool has room again")
            }
            Self::SpoolHasRoom { dropped } => write!(f, "the spool has room again; dropped: {dropped}"),
            Self::SpoolUnwritable { dir, error } => {
                write!(f, "cannot write to spool {}: {error}", dir.display())
            }
            Self::SpoolWritable { dropped } if dropped.segments == 0 => {
                f.write_str("the spool can be written again")
            }
            Self::SpoolWritable { dropped } => {
                write!(f, "the spool can be written again; dropped: {dropped}")
            }
            Self::Expired { dropped } => write!(f, "dropped as too old: {dropped}"),
            Self::ForeignFile { path } => {
                write!(f, "{} is not a file of lowtide's and is left alone", path.display())
            }
            Self::Quarantined { path, reason, loss } => {
                write!(f, "{}: {reason}; lost: {loss}", path.display())
            }
            Self::Vanished { path, loss } => {
                write!(f, "{} was taken away by somebody else; lost: {loss}", path.display())
            }
            Self::FileTrouble { path, error } => write!(f, "{}: {error}", path.display()),
            Self::ServerFailing { error } => write!(f, "{error}; trying again"),
            Self::ServerAnswers { after, attempts } => {
                write!(
                    f,
                    "ClickHouse answers again after {:.1} s and {attempts} attempts",
                    after.as_secs_f64()
                )
            }
            Self::SegmentRefused { name, error } => write!(f, "segment {name} was refused: {error}"),
            Self::GaveUp { error } => write!(f, "gave up: {error}"),
        }
    }
}
