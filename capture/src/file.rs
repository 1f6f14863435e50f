//! One file: what format it is, and its frames one after the other.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lowtide_proto::dnstap::DnstapFrame;
use lowtide_proto::{LinkType, Packet, Timestamp};

use crate::buffer::Buffer;
use crate::dnstap::{self, Dnstap};
use crate::pcap::{self, Pcap};
use crate::pcapng::{self, Pcapng};
use crate::{Compression, Damage, DamageReason, Dropped, OpenError, OpenErrorKind, link_type_name};

/// One frame, borrowed until the next call.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// A packet of a pcap or pcapng file.
    Packet(Packet<'a>),
    /// A data frame of a dnstap file.
    Dnstap(DnstapFrame<'a>),
}

impl Record<'_> {
    /// When it was captured, or its event was; that of the frame before it where the file does not say.
    #[inline]
    pub const fn time(&self) -> Timestamp {
        match self {
            Record::Packet(packet) => packet.time,
            Record::Dnstap(frame) => frame.time,
        }
    }

    /// Octets of the frame as captured.
    #[inline]
    pub const fn octets(&self) -> usize {
        match self {
            Record::Packet(packet) => packet.data.len(),
            Record::Dnstap(frame) => frame.octets.len(),
        }
    }
}

/// What a file is, behind its compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// pcap in one of its variants.
    Pcap,
    /// pcapng.
    Pcapng,
    /// dnstap in Frame Streams.
    Dnstap,
    /// The file ended before it could be told.
    Unknown,
}

impl Format {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Format::Pcap => "pcap",
            Format::Pcapng => "pcapng",
            Format::Dnstap => "dnstap",
            Format::Unknown => "unknown",
        }
    }
}

/// What is known of a file so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it is.
    pub format: Format,
    /// How it is packed, if it is.
    pub compression: Option<Compression>,
    /// The link types of its interfaces in order of appearance, each once; none for dnstap.
    pub link_types: Vec<LinkType>,
    /// Packets, or dnstap data frames, that were given out.
    pub frames: u64,
    /// Octets that were read, as stored.
    pub bytes: u64,
    /// The earliest time of a frame that has one.
    pub first: Option<Timestamp>,
    /// The latest time of a frame that has one.
    pub last: Option<Timestamp>,
    /// Where and why reading stopped before the end.
    pub damaged: Option<Damage>,
    /// Packets that never came to the file, as far as it says so itself; only pcapng can. In the order of the file.
    pub dropped: Vec<Dropped>,
}

impl Summary {
    /// The format and the compression behind a plus sign: `pcap+zstd`.
    pub fn format_name(&self) -> String {
        match self.compression {
            None => self.format.as_str().to_owned(),
            Some(by) => format!("{}+{by}", self.format.as_str()),
        }
    }

    /// The link types by name, comma separated.
    pub fn link_type_names(&self) -> String {
        let names: Vec<_> = self.link_types.iter().map(|&link_type| link_type_name(link_type)).collect();
        names.join(",")
    }
}

/// Where a record stands in the buffer, and what must be known to show it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Located {
    time: Option<Timestamp>,
    octets: Range<usize>,
    link_type: u16,
    wire_len: u32,
}

impl Located {
    #[inline]
    pub(crate) fn packet(
        time: Option<Timestamp>,
        octets: Range<usize>,
        link_type: LinkType,
        original: u32,
    ) -> Self {
        // Broken writers leave the original length 0 or too small.
        let wire_len = original.max(octets.len() as u32);
        Self { time, octets, link_type: link_type.0, wire_len }
    }

    #[inline]
    pub(crate) fn frame(time: Option<Timestamp>, octets: Range<usize>) -> Self {
        Self { time, octets, link_type: 0, wire_len: 0 }
    }
}

enum Reader {
    Pcap(Pcap),
    Pcapng(Pcapng),
    Dnstap(Box<Dnstap>),
    /// The file header could not be read: the damage is all that is in the file.
    Broken(Format, Damage),
}

/// One capture or dnstap file.
pub struct CaptureFile {
    buffer: Buffer,
    reader: Reader,
    located: Located,
    /// The time of the frame that was found last, its own or that of one before it.
    time: Timestamp,
    ended: bool,
    compression: Option<Compression>,
    frames: u64,
    first: Timestamp,
    last: Timestamp,
    damaged: Option<Damage>,
    stored: Arc<AtomicU64>,
}

/// What is read at once: large enough that a read costs next to nothing per packet, small enough for the second-level
/// cache, which the packets are then parsed from.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// More than the magic of any format, and a Frame Streams control frame.
const HEAD: usize = 520;

impl CaptureFile {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be read, or is of no known format. A file that is damaged from its first octet on is not an error:
    /// it has no records and a [`Damage`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_sized(path, READ_SIZE)
    }

    pub(crate) fn open_sized(path: &Path, read_size: usize) -> Result<Self, OpenError> {
        let opened = if path.as_os_str() == "-" {
            Self::identify(Box::new(io::stdin()), read_size)
        } else {
            open_file(path).and_then(|file| Self::identify(Box::new(file), read_size))
        };
        opened.map_err(|kind| OpenError { path: path.to_owned(), kind })
    }

    /// Reads a file from wherever its octets come.
    ///
    /// # Errors
    /// The first octets cannot be read, or are those of no known format.
    pub fn from_reader(source: impl Read + Send + 'static) -> Result<Self, OpenErrorKind> {
        Self::identify(Box::new(source), READ_SIZE)
    }

    fn identify(source: Box<dyn Read + Send>, read_size: usize) -> Result<Self, OpenErrorKind> {
        let stored = Arc::new(AtomicU64::new(0));
        let mut source = Counted { source, octets: Arc::clone(&stored) };
        let head = read_head(&mut source).map_err(OpenErrorKind::Io)?;
        let compression = Compression::of(&head);
        let source = io::Cursor::new(head).chain(source);
        let source = match compression {
            None => Box::new(source),
            Some(by) => by.unpack(BufReader::with_capacity(64 * 1024, source)).map_err(OpenErrorKind::Io)?,
        };
        let mut buffer = Buffer::new(source, compression, read_size);
        let reader = Reader::identify(&mut buffer, compression)?;
        Ok(Self {
            buffer,
            reader,
            located: Located::default(),
            time: Timestamp::default(),
            ended: false,
            compression,
            frames: 0,
            first: Timestamp(u64::MAX),
            last: Timestamp(0),
            damaged: None,
            stored,
        })
    }

    /// The next frame; `None` at the end, and from then on.
    ///
    /// # Errors
    /// The file cannot be read on. That is said once; what follows is `None`.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an Iterator cannot lend its items")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, Damage> {
        Ok(if self.advance()?.is_some() { Some(self.record()) } else { None })
    }

    /// Finds the next frame and says its time; [`record`](Self::record) then shows it.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<Option<Timestamp>, Damage> {
        if self.ended {
            return Ok(None);
        }
        let found = match &mut self.reader {
            Reader::Pcap(pcap) => pcap.advance(&mut self.buffer),
            Reader::Pcapng(pcapng) => pcapng.advance(&mut self.buffer),
            Reader::Dnstap(dnstap) => dnstap.advance(&mut self.buffer),
            Reader::Broken(_, damage) => Err(*damage),
        };
        match found {
            Ok(Some(located)) => {
                self.frames += 1;
                if let Some(time) = located.time {
                    self.time = time;
                    self.first = self.first.min(time);
                    self.last = self.last.max(time);
                }
                self.located = located;
                Ok(Some(self.time))
            }
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(damage) => {
                self.ended = true;
                self.damaged = Some(damage);
                Err(damage)
            }
        }
    }

    /// The frame that [`advance`](Self::advance) found last.
    #[inline]
    pub(crate) fn record(&self) -> Record<'_> {
        let octets = self.buffer.consumed(self.located.octets.clone());
        match &self.reader {
            Reader::Dnstap(dnstap) => {
                Record::Dnstap(DnstapFrame { time: self.time, octets, view: dnstap.view(octets) })
            }
            _ => Record::Packet(Packet {
                time: self.time,
                time_known: self.located.time.is_some(),
                link_type: LinkType(self.located.link_type),
                data: octets,
                wire_len: self.located.wire_len,
            }),
        }
    }

    /// What is known of the file so far; all of it once [`next`](Self::next) gave `None` or a damage.
    pub fn summary(&self) -> Summary {
        let span = (self.first <= self.last).then_some((self.first, self.last));
        Summary {
            format: match self.reader {
                Reader::Pcap(_) => Format::Pcap,
                Reader::Pcapng(_) => Format::Pcapng,
                Reader::Dnstap(_) => Format::Dnstap,
                Reader::Broken(format, _) => format,
            },
            compression: self.compression,
            link_types: match &self.reader {
                Reader::Pcap(pcap) => vec![pcap.link_type()],
                Reader::Pcapng(pcapng) => pcapng.link_types().to_vec(),
                Reader::Dnstap(_) | Reader::Broken(..) => Vec::new(),
            },
            frames: self.frames,
            bytes: self.bytes_read(),
            first: span.map(|(first, _)| first),
            last: span.map(|(_, last)| last),
            damaged: self.damaged,
            dropped: match &self.reader {
                Reader::Pcapng(pcapng) => pcapng.drops().within(span),
                Reader::Pcap(_) | Reader::Dnstap(_) | Reader::Broken(..) => Vec::new(),
            },
        }
    }

    /// Octets that were read, as stored.
    pub fn bytes_read(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }
}

impl Reader {
    /// Tells the format by the first octets and reads the file header.
    fn identify(buffer: &mut Buffer, compression: Option<Compression>) -> Result<Self, OpenErrorKind> {
        buffer.fill(HEAD);
        let head = buffer.rest();
        if pcap::is_pcap(head) {
            return Ok(match Pcap::open(buffer) {
                Ok(pcap) => Reader::Pcap(pcap),
                Err(damage) => Reader::Broken(Format::Pcap, damage),
            });
        }
        if pcapng::is_pcapng(head) {
            return Ok(Reader::Pcapng(Pcapng::new()));
        }
        if dnstap::is_frame_streams(head) {
            return match dnstap::foreign_content(head) {
                None => Ok(Reader::Dnstap(Box::new(Dnstap::new()))),
                Some(content) => Err(OpenErrorKind::ContentType(content)),
            };
        }
        match (buffer.end_of(0), compression) {
            // Nothing, or less than any magic: the file was cut, by a full disk as a rule.
            (Ok(()), _) => Ok(Reader::Broken(Format::Unknown, buffer.damage(DamageReason::Empty))),
            (Err(damage), _) if head.len() < 4 => Ok(Reader::Broken(Format::Unknown, damage)),
            (_, Some(by)) => Err(OpenErrorKind::UnknownContent(by)),
            (_, None) => Err(OpenErrorKind::UnknownFormat(head.iter().take(8).copied().collect())),
        }
    }
}

fn open_file(path: &Path) -> Result<File, OpenErrorKind> {
    let file = File::open(path).map_err(OpenErrorKind::Io)?;
    match file.metadata() {
        Ok(metadata) if metadata.is_dir() => Err(OpenErrorKind::Directory),
        _ => Ok(file),
    }
}

/// The first octets, enough for any magic of a compression.
fn read_head(source: &mut Counted) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    source.take(6).read_to_end(&mut head)?;
    Ok(head)
}

/// Counts what is read of a source, for whoever looks on.
struct Counted {
    source: Box<dyn Read + Send>,
    octets: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(into)?;
        self.octets.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
