//! Opening a spool: taking the lock, finishing what a killed process left, listing what waits.

use std::fs::{self, DirBuilder, DirEntry, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex};

use tokio::sync::Notify;

use super::{Condition, LossKey, Reason, Record, Spool, SpoolError, SpoolOptions, State};
use crate::segment::{self, Segment, SegmentError};

/// The file whose lock says that the directory is taken.
const LOCK: &str = "lock";
/// The file in which a live sensor says when it was alive last.
pub const ALIVE: &str = "alive.json";
/// The extension of [`ALIVE`] while it is written.
pub const ASIDE: &str = "aside";
/// Where damaged segments go.
const QUARANTINE: &str = "quarantine";
/// Foreign files that are named one by one.
const NAMED: u64 = 10;

/// What a file's name says that it is.
enum Named {
    /// A segment.
    Segment,
    /// A segment whose writing was cut off.
    Temporary,
    /// The spool's own.
    Own,
    /// Somebody else's.
    Foreign,
}

impl Named {
    fn of(name: &str, is_file: bool) -> Self {
        let ends = |extension: &str| {
            name.strip_suffix(extension)
                .and_then(|name| name.strip_suffix('.'))
                .is_some_and(|n| !n.is_empty())
        };
        match name {
            LOCK | ALIVE | "alive.aside" if is_file => Self::Own,
            QUARANTINE if !is_file => Self::Own,
            _ if is_file && ends(segment::EXTENSION) => Self::Segment,
            _ if is_file && ends(segment::TEMPORARY) => Self::Temporary,
            _ => Self::Foreign,
        }
    }
}

impl Spool {
    /// Takes a directory as spool; it is made if it is not there.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] when another lowtide has it, [`SpoolError::Directory`] when it cannot be used.
    pub fn open(dir: &Path, options: SpoolOptions) -> Result<Self, SpoolError> {
        let trouble = |error| SpoolError::Directory(dir.to_owned(), error);
        make_dir(dir).map_err(trouble)?;
        // Open for reading only, so that a spool on a read-only medium can be delivered too.
        let path = dir.join(LOCK);
        if !path.exists() {
            File::create(&path).map_err(trouble)?;
        }
        let lock = File::open(&path).map_err(trouble)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse(dir.to_owned())),
            Err(TryLockError::Error(error)) => return Err(trouble(error)),
        }
        let spool = Self {
            dir: dir.to_owned(),
            options,
            state: Mutex::new(State::default()),
            room: Condvar::new(),
            arrived: Notify::new(),
            stopped: AtomicBool::new(false),
            _lock: lock,
        };
        spool.scan().map_err(trouble)?;
        Ok(spool)
    }

    fn scan(&self) -> io::Result<()> {
        let mut state = self.state();
        let mut foreign = 0_u64;
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let is_file = entry.file_type()?.is_file();
            let file_name = entry.file_name();
            match file_name.to_str().map_or(Named::Foreign, |name| Named::of(name, is_file)) {
                Named::Own => {}
                Named::Segment => self.list(&mut state, &entry),
                Named::Temporary => self.finish(&mut state, &entry.path()),
                Named::Foreign => {
                    foreign += 1;
                    if foreign <= NAMED {
                        self.report(&Condition::ForeignFile { path: entry.path() });
                    }
                }
            }
        }
        if foreign > NAMED {
            let error = format!("{} more files that are not lowtide's and are left alone", foreign - NAMED);
            self.report(&Condition::FileTrouble { path: self.dir.clone(), error });
        }
        Ok(())
    }

    /// Takes a segment into the index, or away when it is damaged.
    fn list(&self, state: &mut State, entry: &DirEntry) {
        let path = entry.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
        match Segment::open(&path) {
            Ok(segment) => {
                let written = entry.metadata().and_then(|metadata| metadata.modified()).ok();
                let record = Record::new(segment.header(), segment.octets(), written);
                state.index.insert_left(Arc::from(name), record);
            }
            // A file that is only named like a segment is not ours to move.
            Err(SegmentError::NotASegment) if !is_ours(name) => {
                self.report(&Condition::ForeignFile { path });
            }
            Err(error) if error.is_damage() => self.set_aside(state, name, &error),
            Err(error) => self.unreadable(state, path, error.to_string()),
        }
    }

    fn unreadable(&self, state: &mut State, path: PathBuf, error: String) {
        state.index.add_unreadable(fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len()));
        self.report(&Condition::FileTrouble { path, error });
    }

    /// A segment that was written but not renamed is taken if it is whole. The rest of one was never promised to
    /// anybody, so it is removed.
    fn finish(&self, state: &mut State, path: &Path) {
        let verified = Segment::open(path).and_then(Segment::verify);
        let renamed = match verified {
            Ok(segment) => {
                let name = segment.header().file_name();
                let record = Record::new(segment.header(), segment.octets(), self.now());
                fs::rename(path, self.dir.join(&name))
                    .and_then(|()| segment::sync_dir(&self.dir))
                    .map(|()| state.index.insert_left(Arc::from(name), record))
            }
            Err(error) if error.is_damage() && !matches!(error, SegmentError::Version(_)) => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                if is_ours(name.trim_end_matches(".tmp")) {
                    fs::remove_file(path)
                } else {
                    self.report(&Condition::ForeignFile { path: path.to_owned() });
                    Ok(())
                }
            }
            Err(error) => Err(io::Error::other(error)),
        };
        if let Err(error) = renamed {
            self.report(&Condition::FileTrouble { path: path.to_owned(), error: error.to_string() });
        }
    }

    /// Moves a damaged segment into `quarantine/` and counts it.
    pub(super) fn set_aside(&self, state: &mut State, name: &str, reason: &SegmentError) {
        let path = self.dir.join(name);
        let header = Segment::header_of(&path).ok();
        match self.move_aside(&path, name) {
            Ok(path) => {
                let loss = state.lose(LossKey::of(Reason::Damaged, header.as_ref()), header.as_ref());
                self.report(&Condition::Quarantined { path, reason: reason.to_string(), loss });
            }
            Err(error) => {
                let error = format!("{reason}; cannot be moved to {QUARANTINE}/: {error}");
                self.unreadable(state, path, error);
            }
        }
    }

    /// Where the file is then. An earlier one of the same name there is kept.
    fn move_aside(&self, path: &Path, name: &str) -> io::Result<PathBuf> {
        let quarantine = self.dir.join(QUARANTINE);
        fs::create_dir_all(&quarantine)?;
        let mut target = quarantine.join(name);
        let mut copies = 1_u32;
        while target.try_exists()? {
            copies += 1;
            target = quarantine.join(format!("{name}.{copies}"));
        }
        fs::rename(path, &target)?;
        Ok(target)
    }
}

/// Makes a spool's directory and, where it is missing, what leads there. Rows hold addresses of clients: it is for nobody else.
///
/// # Errors
/// The file system's.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Whether a name has the form of [`file_name`](segment::Header::file_name): it begins with a time and ends with a digest.
fn is_ours(name: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|c| c.is_ascii_digit());
    let Some(stem) = name.strip_suffix(".segment") else { return false };
    let (time, digest) = (stem.split('-').next().unwrap_or(""), stem.rsplit('-').next().unwrap_or(""));
    let timed = time
        .strip_suffix('Z')
        .and_then(|time| time.split_once('T'))
        .is_some_and(|(date, time)| digits(date, 8) && digits(time, 6));
    timed && digest.len() == 16 && digest.bytes().all(|c| c.is_ascii_hexdigit())
}
