//! A segment: rows of one table, encoded once, as an immutable file that is sent as it is.
//!
//! ```text
//! magic     8   "lowtide\0"
//! version   4   1, little endian like all that follows
//! length    4   octets of the header
//! header        JSON, see Header
//! payload       one Native block, one zstd frame
//! length    8   octets of the payload
//! length    8   octets of the block
//! checksum  8   XXH3-64 over everything before it
//! ```
//!
//! The lengths stand at the end because the payload is compressed straight into the file; together with the file's own
//! length they show a cut file without reading it. The checksum shows a flipped bit, and is verified before each sending.
//!
//! A segment may come from another machine (`lowtide ship`), so nothing in it is believed: the table must be one that is
//! known, columns are plain words, and sensor and run go into the deduplication token only, never into SQL.

mod file;
mod header;

use std::fmt;
use std::io;

pub(crate) use file::{Draft, TEMPORARY, sync_dir};
pub use file::{EXTENSION, Payload, Segment, Verified};
pub use header::{Header, Table};

/// The version of the file format that this lowtide writes and reads.
pub const FORMAT_VERSION: u32 = 1;

/// Why a file is not a segment that can be sent.
#[derive(Debug)]
pub enum SegmentError {
    /// It could not be read or written.
    Io(io::Error),
    /// It does not begin as a segment does.
    NotASegment,
    /// It is of a later format.
    Version(u32),
    /// It has another length than it says: cut short, or longer.
    Length {
        /// What it says, in octets.
        stated: u64,
        /// What it has.
        found: u64,
    },
    /// Its octets are not those that were written.
    Checksum,
    /// Its header cannot be accepted, for this reason.
    Header(String),
}

impl SegmentError {
    /// Whether the file itself is bad. Otherwise only reading failed, and may work later, or with a newer lowtide.
    pub const fn is_damage(&self) -> bool {
        !matches!(self, Self::Io(_) | Self::Version(_))
    }
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotASegment => f.write_str("not a segment of lowtide"),
            Self::Version(version) => write!(
                f,
                "a segment of format {version}, this lowtide knows format {FORMAT_VERSION}: use a newer lowtide"
            ),
            Self::Length { stated, found } => {
                write!(f, "cut short or damaged: {found} octets instead of {stated}")
            }
            Self::Checksum => f.write_str("damaged: the checksum does not match"),
            Self::Header(reason) => write!(f, "the header cannot be accepted: {reason}"),
        }
    }
}

impl std::error::Error for SegmentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for SegmentError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
