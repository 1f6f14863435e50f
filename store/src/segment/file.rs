//! Writing and reading the file of a segment.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use lowtide_proto::Cursor;
use xxhash_rust::xxh3::Xxh3;

use super::{FORMAT_VERSION, Header, SegmentError};

/// How a segment's file name ends.
pub const EXTENSION: &str = "segment";
/// How a file name ends that is still being written.
pub(crate) const TEMPORARY: &str = "segment.tmp";

const MAGIC: &[u8; 8] = b"lowtide\0";
const PREFIX: usize = 16;
const TRAILER: u64 = 24;
/// The largest real header is below 2 KiB.
const MAX_HEADER: u32 = 65_536;
/// Octets read at a time: what one segment in flight keeps in memory.
const CHUNK: usize = 64 * 1024;
/// The fastest of the regular levels: compressing must not hold up what encodes the rows.
const COMPRESSION_LEVEL: i32 = 1;

/// A file that feeds the checksum on its way.
struct Summing {
    file: File,
    sum: Xxh3,
    octets: u64,
}

impl Write for Summing {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let written = self.file.write(octets)?;
        if let Some(part) = octets.get(..written) {
            self.sum.update(part);
        }
        self.octets += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A segment on disk that is not in its place yet; dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Draft {
    temporary: PathBuf,
    /// The file's name when it is in its place.
    pub name: String,
    /// Octets of the whole file.
    pub octets: u64,
    published: bool,
}

impl Draft {
    /// Writes a segment beside its place and has it on the disk.
    pub fn write(dir: &Path, header: &Header, block: &[u8]) -> Result<Self, SegmentError> {
        header.validate()?;
        let name = header.file_name();
        let mut draft =
            Self { temporary: dir.join(format!("{name}.tmp")), name, octets: 0, published: false };
        let json = serde_json::to_vec(header).map_err(|error| SegmentError::Header(error.to_string()))?;
        let length = u32::try_from(json.len()).ok().filter(|length| *length <= MAX_HEADER);
        let Some(length) = length else { return Err(SegmentError::Header("too long".to_owned())) };

        let mut options = OpenOptions::new();
        // Also where the directory is older, or another's: it holds addresses of clients.
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft.temporary)?;
        let mut out = Summing { file, sum: Xxh3::new(), octets: 0 };
        let mut start = Vec::with_capacity(PREFIX + json.len());
        start.extend_from_slice(MAGIC);
        start.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        start.extend_from_slice(&length.to_le_bytes());
        start.extend_from_slice(&json);
        out.write_all(&start)?;
        let before = out.octets;
        let mut zstd = zstd::stream::Encoder::new(&mut out, COMPRESSION_LEVEL)?;
        zstd.include_checksum(true)?;
        zstd.set_pledged_src_size(Some(block.len() as u64))?;
        zstd.write_all(block)?;
        zstd.finish()?;
        let payload = out.octets - before;
        out.write_all(&payload.to_le_bytes())?;
        out.write_all(&(block.len() as u64).to_le_bytes())?;
        let checksum = out.sum.digest();
        out.write_all(&checksum.to_le_bytes())?;
        out.file.sync_all()?;
        draft.octets = out.octets;
        Ok(draft)
    }

    /// Puts the segment in its place, for good.
    pub fn publish(mut self, dir: &Path) -> io::Result<()> {
        fs::rename(&self.temporary, dir.join(&self.name))?;
        self.published = true;
        sync_dir(dir).inspect_err(|_| {
            // What is reported as not written must not come back after a restart.
            let _ = fs::remove_file(dir.join(&self.name));
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.published {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Has a directory's names on the disk.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// An open segment whose lengths are right; its octets are not verified yet.
#[derive(Debug)]
pub struct Segment {
    file: File,
    header: Header,
    /// Where the payload begins.
    start: u64,
    /// Octets of the payload.
    payload: u64,
    checksum: u64,
}

/// A segment whose octets are those that were written.
#[derive(Debug)]
pub struct Verified(Segment);

fn array<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[u8; N], SegmentError> {
    cursor.take_array().map_err(|_| SegmentError::NotASegment)
}

/// Reads exactly so much; a file that is too short for it is no segment.
fn read<const N: usize>(file: &mut File) -> Result<[u8; N], SegmentError> {
    let mut octets = [0; N];
    file.read_exact(&mut octets).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => SegmentError::NotASegment,
        _ => SegmentError::Io(error),
    })?;
    Ok(octets)
}

impl Segment {
    /// Opens a segment: reads its header and compares its length with what it says.
    ///
    /// # Errors
    /// Everything of [`SegmentError`] but [`SegmentError::Checksum`].
    pub fn open(path: &Path) -> Result<Self, SegmentError> {
        let mut file = File::open(path)?;
        let (header, start) = read_header(&mut file)?;
        let found = file.metadata()?.len();
        let least = start + TRAILER;
        if found < least {
            return Err(SegmentError::Length { stated: least, found });
        }
        file.seek(SeekFrom::Start(found - TRAILER))?;
        let trailer: [u8; TRAILER as usize] = read(&mut file)?;
        let mut cursor = Cursor::new(&trailer);
        let payload = u64::from_le_bytes(array(&mut cursor)?);
        let _block = array::<8>(&mut cursor)?;
        let checksum = u64::from_le_bytes(array(&mut cursor)?);
        let stated = least.saturating_add(payload);
        if found != stated {
            return Err(SegmentError::Length { stated, found });
        }
        Ok(Self { file, header, start, payload, checksum })
    }

    /// The header of a file whose rest may be damaged; it may itself be.
    ///
    /// # Errors
    /// Everything of [`SegmentError`] but [`SegmentError::Checksum`] and [`SegmentError::Length`].
    pub fn header_of(path: &Path) -> Result<Header, SegmentError> {
        Ok(read_header(&mut File::open(path)?)?.0)
    }

    /// What it says of itself.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Octets of the whole file.
    pub const fn octets(&self) -> u64 {
        self.start + self.payload + TRAILER
    }

    /// Reads all of it and compares the checksum.
    ///
    /// # Errors
    /// [`SegmentError::Checksum`], or [`SegmentError::Io`].
    pub fn verify(mut self) -> Result<Verified, SegmentError> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut rest = self.octets() - 8;
        let mut sum = Xxh3::new();
        let mut reader = BufReader::with_capacity(CHUNK, &mut self.file).take(rest);
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = reader.read(&mut chunk)?;
            let Some(part) = chunk.get(..length).filter(|part| !part.is_empty()) else { break };
            sum.update(part);
            rest -= length as u64;
        }
        if rest > 0 || sum.digest() != self.checksum {
            return Err(SegmentError::Checksum);
        }
        Ok(Verified(self))
    }
}

/// Reads the header from a file's beginning; also says where the payload begins.
fn read_header(file: &mut File) -> Result<(Header, u64), SegmentError> {
    let prefix: [u8; PREFIX] = read(file)?;
    let mut cursor = Cursor::new(&prefix);
    if array::<8>(&mut cursor)? != *MAGIC {
        return Err(SegmentError::NotASegment);
    }
    let version = u32::from_le_bytes(array(&mut cursor)?);
    if version != FORMAT_VERSION {
        return Err(SegmentError::Version(version));
    }
    let length = u32::from_le_bytes(array(&mut cursor)?);
    if length > MAX_HEADER {
        return Err(SegmentError::Header("too long".to_owned()));
    }
    let mut json = Vec::new();
    file.take(u64::from(length)).read_to_end(&mut json)?;
    let header: Header =
        serde_json::from_slice(&json).map_err(|error| SegmentError::Header(error.to_string()))?;
    header.validate()?;
    Ok((header, PREFIX as u64 + u64::from(length)))
}

impl Verified {
    /// What it says of itself.
    pub const fn header(&self) -> &Header {
        self.0.header()
    }

    /// Octets of the whole file.
    pub const fn octets(&self) -> u64 {
        self.0.octets()
    }

    /// The payload, to be read in chunks.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn into_payload(mut self) -> io::Result<Payload> {
        self.0.file.seek(SeekFrom::Start(self.0.start))?;
        Ok(Payload { file: self.0.file, rest: self.0.payload })
    }
}

/// The compressed block of a segment, read chunk by chunk.
#[derive(Debug)]
pub struct Payload {
    file: File,
    rest: u64,
}

impl Payload {
    /// Octets that are left.
    pub const fn len(&self) -> u64 {
        self.rest
    }

    /// Whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest == 0
    }

    /// The next octets, 64 KiB at most; `None` at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or has become shorter.
    pub fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        if self.rest == 0 {
            return Ok(None);
        }
        let length = usize::try_from(self.rest).unwrap_or(CHUNK).min(CHUNK);
        let mut chunk = vec![0; length];
        self.file.read_exact(&mut chunk)?;
        self.rest -= length as u64;
        Ok(Some(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Table;

    fn header() -> Header {
        Header {
            table: Table::Coverage,
            columns: vec!["interval".into(), "frames".into()],
            sensor: "s".into(),
            run: "r".into(),
            sequence: 7,
            rows: 3,
            queries: 0,
            responses: 0,
            from: 0,
            to: 60,
            schema_version: 1,
        }
    }

    fn written(dir: &Path, block: &[u8]) -> PathBuf {
        let draft = Draft::write(dir, &header(), block).unwrap();
        let (path, octets) = (dir.join(&draft.name), draft.octets);
        draft.publish(dir).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), octets);
        path
    }

    /// Octets that do not shrink, so that every one of the file matters.
    fn noise(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(1);
        (0..length).map(|_| random.u8(..)).collect()
    }

    #[test]
    fn gives_back_what_went_in() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 1, 65_536, 1_000_000] {
            let block = noise(length);
            let path = written(dir.path(), &block);
            let verified = Segment::open(&path).unwrap().verify().unwrap();
            assert_eq!(*verified.header(), header());
            let mut payload = verified.into_payload().unwrap();
            let mut zstd = Vec::new();
            while let Some(chunk) = payload.chunk().unwrap() {
                assert!(chunk.len() <= CHUNK);
                zstd.extend_from_slice(&chunk);
            }
            assert_eq!(zstd::stream::decode_all(&zstd[..]).unwrap(), block);
        }
    }

    #[test]
    fn the_same_rows_give_the_same_octets() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let block = noise(300_000);
        let read = |dir: &Path| fs::read(written(dir, &block)).unwrap();
        assert_eq!(read(one.path()), read(other.path()));
    }

    #[test]
    fn nothing_is_left_of_a_draft_that_was_given_up() {
        let dir = tempfile::tempdir().unwrap();
        drop(Draft::write(dir.path(), &header(), b"block").unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_cut_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), &noise(300));
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(Segment::open(&path).is_err(), "cut to {length}");
        }
        fs::write(&path, [&whole[..], b"x"].concat()).unwrap();
        assert!(Segment::open(&path).is_err());
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path(), &noise(300));
        let mut octets = fs::read(&path).unwrap();
        for at in 0..octets.len() {
            octets[at] ^= 1 << (at % 8);
            fs::write(&path, &octets).unwrap();
            let verified = Segment::open(&path).and_then(Segment::verify);
            // Another version may be a later lowtide's: such a segment is not sent, and stays where it is.
            let is_version = (8..12).contains(&at);
            assert!(verified.is_err_and(|error| error.is_damage() != is_version), "octet {at}");
            octets[at] ^= 1 << (at % 8);
        }
    }

    #[test]
    fn a_header_that_says_to_be_huge_is_refused_unread() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.segment");
        let mut octets = b"lowtide\0\x01\0\0\0\xff\xff\xff\xff".to_vec();
        octets.resize(100_000, b' ');
        fs::write(&path, octets).unwrap();
        assert!(matches!(Segment::open(&path), Err(SegmentError::Header(_))));
    }
}
