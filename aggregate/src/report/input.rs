//! What a report says of the files that were read.

use serde::Serialize;

/// One file that was read.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Input {
    /// The path as given; `-` is standard input.
    pub path: String,
    /// `pcap`, `pcapng` or `dnstap`, with the compression behind a plus sign: `pcap+zstd`.
    pub format: String,
    /// Link types by name, comma separated in order of appearance; empty for dnstap.
    pub link_type: String,
    /// Packets, or dnstap data frames.
    pub frames: u64,
    /// Octets of the file that were read, as stored.
    pub bytes: u64,
    /// The earliest time in it, RFC 3339; `None` when there is no frame with a time.
    pub first: Option<String>,
    /// The latest time in it, RFC 3339.
    pub last: Option<String>,
    /// Where and why reading stopped before the end.
    pub damaged: Option<Damaged>,
    /// What it says itself of packets that never came to it, each `by` once; left out when it says nothing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<Dropped>,
}

/// Packets that were dropped before a file was written, in its own words.
#[derive(Clone, Debug, Serialize)]
pub struct Dropped {
    /// `interface` (isb_ifdrop), `system` (isb_osdrop), `interface-or-system` (epb_dropcount, which may count what the other two do), or
    /// `unreadable`: it says something that cannot be read.
    pub by: &'static str,
    /// Packets; of `unreadable`, the blocks that cannot be read.
    pub count: u64,
    /// Not before this, RFC 3339; `None` = at any time since the capture began.
    pub from: Option<String>,
    /// Not after this, RFC 3339; `None` = at any time until the file ends.
    pub to: Option<String>,
}

/// Where and why a file could not be read on.
#[derive(Clone, Debug, Serialize)]
pub struct Damaged {
    /// Octets into the (uncompressed) file.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
}
