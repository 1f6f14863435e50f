//! Compressed files: known by their magic, unpacked as they are read.

use std::fmt;
use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream};
use lz4_flex::frame::FrameDecoder;

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952), one or several members.
    Gzip,
    /// Zstandard (RFC 8878), one or several frames.
    Zstd,
    /// xz, one or several streams.
    Xz,
    /// bzip2, one or several streams.
    Bzip2,
    /// LZ4 in its frame format, one or several frames.
    Lz4,
}

/// What unpacking one xz file may take; `xz -9` needs 65 MiB.
const XZ_MEMORY: u64 = 256 * 1024 * 1024;

impl Compression {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Xz => "xz",
            Compression::Bzip2 => "bzip2",
            Compression::Lz4 => "lz4",
        }
    }

    /// Which compression a file that begins with `head` has.
    pub(crate) const fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 0x08, ..] => Some(Compression::Gzip),
            // pzstd and seekable zstd begin with a skippable frame (RFC 8878 §3.1.2).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Compression::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Compression::Xz),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some(Compression::Bzip2),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Compression::Lz4),
            _ => None,
        }
    }

    /// A reader of the content of `packed`.
    pub(crate) fn unpack(self, packed: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
        Ok(match self {
            Compression::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(packed)?),
            Compression::Xz => {
                let stream = Stream::new_stream_decoder(XZ_MEMORY, CONCATENATED)?;
                Box::new(XzDecoder::new_stream(packed, stream))
            }
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(packed)),
            Compression::Lz4 => Box::new(Lz4::new(packed)),
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Several LZ4 frames as one, and an error where the last one is cut.
///
/// `FrameDecoder` says "end" behind each frame, and says the same when its source ends between two blocks of a frame.
/// What it waits for is found out by seven zero octets behind the last real one, as many as the smallest frame header
/// has: a decoder between two frames refuses them as a magic number, one inside a frame takes them for an end mark.
struct Lz4<R: Read> {
    decoder: FrameDecoder<Probed<R>>,
    finished: bool,
}

struct Probed<R> {
    packed: R,
    ended: bool,
    zeros: usize,
}

impl<R: Read> Lz4<R> {
    fn new(packed: R) -> Self {
        Self { decoder: FrameDecoder::new(Probed { packed, ended: false, zeros: 0 }), finished: false }
    }
}

impl<R: Read> Read for Lz4<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.finished || into.is_empty() {
            return Ok(0);
        }
        loop {
            let read = self.decoder.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            if self.decoder.get_ref().ended {
                break;
            }
        }
        self.finished = true;
        self.decoder.get_mut().zeros = 7;
        match self.decoder.read(into) {
            Err(error) if is_wrong_magic(&error) => Ok(0),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

fn is_wrong_magic(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(lz4_flex::frame::Error::WrongMagicNumber))
}

impl<R: Read> Read for Probed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            let zeros = self.zeros.min(into.len());
            into.iter_mut().take(zeros).for_each(|octet| *octet = 0);
            self.zeros -= zeros;
            return Ok(zeros);
        }
        let read = self.packed.read(into)?;
        self.ended = read == 0 && !into.is_empty();
        Ok(read)
    }
}
