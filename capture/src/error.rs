//! What can be wrong with a file: it cannot be opened, or reading stops somewhere inside.

use std::fmt;
use std::io;
use std::path::PathBuf;

use lowtide_proto::frame_streams::CutError;

use crate::{Compression, MAX_PACKET};

/// Where and why a file could not be read on. Everything before it was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Octets into the uncompressed file: where the record begins that could not be read.
    pub offset: u64,
    /// What is wrong there.
    pub reason: DamageReason,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at octet {}", self.reason, self.offset)
    }
}

impl std::error::Error for Damage {}

/// Why a file could not be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageReason {
    /// The file has no octets at all.
    Empty,
    /// The file ends inside a header or a record.
    Cut,
    /// Reading failed, with this error number of the operating system.
    Os(i32),
    /// Reading failed otherwise.
    Read(io::ErrorKind),
    /// The compressed stream ends before its end mark.
    CompressionCut(Compression),
    /// The compressed stream cannot be unpacked.
    CompressionCorrupt(Compression),
    /// A pcap file of a version that is not known (major, minor).
    PcapVersion(u16, u16),
    /// A packet that says to be longer than [`MAX_PACKET`].
    PacketLength(u32),
    /// A pcapng section that does not begin with its byte-order magic.
    ByteOrder(u32),
    /// A pcapng section of a version that is not known (major, minor).
    SectionVersion(u16, u16),
    /// A pcapng block whose length is too small, too large or not a multiple of 4.
    BlockLength(u32),
    /// A pcapng block that says another length behind than in front of its body.
    BlockTrailer(u32, u32),
    /// A pcapng block too short for its fields, or for the packet it says to hold.
    BlockShort(u32),
    /// A pcapng packet of an interface that was not described.
    Interface(u32),
    /// A pcapng section with more interfaces than the obsolete packet block could number.
    TooManyInterfaces,
    /// A Frame Streams frame that says to be longer than
    /// [`MAX_FRAME`](lowtide_proto::frame_streams::MAX_FRAME).
    FrameLength(u32),
    /// A Frame Streams control frame that is too short, too long, or not of its form.
    ControlFrame,
    /// A Frame Streams control frame of an unknown type.
    ControlType(u32),
    /// A Frame Streams START with another content than dnstap.
    ContentType,
    /// A Frame Streams data frame outside of START and STOP.
    NotStarted,
}

impl fmt::Display for DamageReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            DamageReason::Empty => f.write_str("the file is empty"),
            DamageReason::Cut => f.write_str("the file is cut short"),
            DamageReason::Os(number) => write!(f, "{}", io::Error::from_raw_os_error(number)),
            DamageReason::Read(kind) => write!(f, "{kind}"),
            DamageReason::CompressionCut(by) => write!(f, "the {by} stream is cut short"),
            DamageReason::CompressionCorrupt(by) => write!(f, "the {by} stream is corrupt"),
            DamageReason::PcapVersion(major, minor) => write!(f, "unknown pcap version {major}.{minor}"),
            DamageReason::PacketLength(len) => {
                write!(f, "a packet of {len} octets, more than the maximum of {MAX_PACKET}")
            }
            DamageReason::ByteOrder(magic) => write!(f, "a section with byte-order magic {magic:#010x}"),
            DamageReason::SectionVersion(major, minor) => {
                write!(f, "unknown pcapng version {major}.{minor}")
            }
            DamageReason::BlockLength(len) => write!(f, "a block of {len} octets, which cannot be"),
            DamageReason::BlockTrailer(front, behind) => {
                write!(f, "a block of {front} octets that ends as one of {behind}")
            }
            DamageReason::BlockShort(kind) => write!(f, "a block of type {kind} too short for what it holds"),
            DamageReason::Interface(id) => {
                write!(f, "a packet of interface {id}, which was not described")
            }
            DamageReason::TooManyInterfaces => f.write_str("more than 65536 interfaces in a section"),
            DamageReason::FrameLength(len) => write!(f, "a frame of {len} octets, more than the maximum"),
            DamageReason::ControlFrame => f.write_str("a malformed control frame"),
            DamageReason::ControlType(number) => write!(f, "a control frame of unknown type {number}"),
            DamageReason::ContentType => f.write_str("a stream of another content than dnstap"),
            DamageReason::NotStarted => f.write_str("a data frame outside of START and STOP"),
        }
    }
}

impl From<CutError> for DamageReason {
    fn from(error: CutError) -> Self {
        match error {
            CutError::FrameLength(len) => DamageReason::FrameLength(len),
            CutError::ControlFrame => DamageReason::ControlFrame,
            CutError::ControlType(number) => DamageReason::ControlType(number),
        }
    }
}

/// A file that cannot be read at all.
#[derive(Debug)]
pub struct OpenError {
    /// The path as given; `-` is standard input.
    pub path: PathBuf,
    /// What hinders.
    pub kind: OpenErrorKind,
}

/// Why a file cannot be read at all.
#[derive(Debug)]
pub enum OpenErrorKind {
    /// The operating system refuses.
    Io(io::Error),
    /// It is a directory.
    Directory,
    /// Its first octets are those of no known format.
    UnknownFormat(Vec<u8>),
    /// A compressed file whose content is of no known format.
    UnknownContent(Compression),
    /// Frame Streams, but of another content than dnstap.
    ContentType(String),
    /// Standard input is named twice.
    StdinTwice,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KNOWN: &str =
            "pcap, pcapng or dnstap (Frame Streams), plain or packed by gzip, zstd, xz, bzip2 or lz4";
        write!(
            f,
            "{}: ",
            if self.path.as_os_str() == "-" {
                "standard input".into()
            } else {
                self.path.display().to_string()
            }
        )?;
        match &self.kind {
            OpenErrorKind::Io(error) => write!(f, "cannot be read: {error}"),
            OpenErrorKind::Directory => f.write_str("is a directory; name the files in it"),
            OpenErrorKind::UnknownFormat(head) => {
                write!(f, "is no capture file: give {KNOWN}; it begins with")?;
                head.iter().try_for_each(|octet| write!(f, " {octet:02x}"))
            }
            OpenErrorKind::UnknownContent(by) => {
                write!(f, "holds no capture inside {by}: give {KNOWN}, packed once")
            }
            OpenErrorKind::ContentType(content) => {
                write!(f, "holds Frame Streams of {content:?}, not of dnstap; give a dnstap file")
            }
            OpenErrorKind::StdinTwice => f.write_str("can be read only once; name it once"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            OpenErrorKind::Io(error) => Some(error),
            _ => None,
        }
    }
}
