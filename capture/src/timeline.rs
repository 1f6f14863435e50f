//! Several files as one timeline.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::{Path, PathBuf};

use lowtide_proto::Timestamp;

use crate::file::READ_SIZE;
use crate::{CaptureFile, Damage, DamageReason, OpenError, OpenErrorKind, Record, Summary};

/// Files merged by time, whatever the order they are given in: rotated captures become one again, and captures of
/// several sensors run side by side.
///
/// A file is opened once to learn its first time, and again when the merge has come to it; so only files that overlap
/// in time are open together. Pipes are opened once and stay open. Each file's own order is kept as it is, as writers
/// themselves are out of order a little.
pub struct Timeline {
    slots: Vec<Slot>,
    /// Files that were looked at and wait for their time; the earliest is the last.
    waiting: Vec<(Timestamp, usize)>,
    /// Open files whose next frame is found, by its time.
    heads: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The file that gave the last record.
    front: usize,
    /// Up to here no other file has a say: the earliest time of `waiting` and `heads`.
    limit: Timestamp,
    total_bytes: Option<u64>,
}

struct Slot {
    path: PathBuf,
    file: Option<CaptureFile>,
    /// What is known when it is not open.
    summary: Summary,
}

/// One input and what is known of it so far.
#[derive(Clone, Debug)]
pub struct Input {
    /// The path as given; `-` is standard input.
    pub path: PathBuf,
    /// What is known of it; final once [`Timeline::next`] gave `None`.
    pub summary: Summary,
}

/// What is read of a file to learn its first time.
const PEEK_SIZE: usize = 16 * 1024;

impl Timeline {
    /// Opens all files; `-` is standard input, at most once.
    ///
    /// # Errors
    /// The first of them that cannot be read, or is of no known format.
    pub fn open(paths: &[PathBuf]) -> Result<Self, OpenError> {
        let mut timeline = Self {
            slots: Vec::with_capacity(paths.len()),
            waiting: Vec::new(),
            heads: BinaryHeap::new(),
            front: usize::MAX,
            limit: Timestamp(0),
            total_bytes: Some(0),
        };
        for path in paths {
            if is_stdin(path) && timeline.slots.iter().any(|slot| is_stdin(&slot.path)) {
                return Err(OpenError { path: path.clone(), kind: OpenErrorKind::StdinTwice });
            }
            let len = regular_len(path);
            timeline.total_bytes = timeline.total_bytes.zip(len).map(|(total, len)| total + len);
            // One file needs no look ahead, and a pipe allows none.
            if paths.len() == 1 || len.is_none() {
                timeline.keep(path)?;
            } else {
                timeline.peek(path)?;
            }
        }
        timeline.waiting.sort_by_key(|&waiting| Reverse(waiting));
        Ok(timeline)
    }

    fn keep(&mut self, path: &Path) -> Result<(), OpenError> {
        let file = CaptureFile::open(path)?;
        let index = self.slots.len();
        self.slots.push(Slot { path: path.to_owned(), summary: file.summary(), file: Some(file) });
        self.advance(index);
        Ok(())
    }

    fn peek(&mut self, path: &Path) -> Result<(), OpenError> {
        let mut file = CaptureFile::open_sized(path, PEEK_SIZE)?;
        let index = self.slots.len();
        let unread = file.summary();
        let summary = match file.advance() {
            Ok(Some(time)) => {
                self.waiting.push((time, index));
                // Its octets are counted when it is read.
                Summary { bytes: 0, ..unread }
            }
            // That was all there is in it.
            Ok(None) | Err(_) => file.summary(),
        };
        self.slots.push(Slot { path: path.to_owned(), file: None, summary });
        Ok(())
    }

    /// The next frame in time and the index of its input; `None` when all inputs are at their end. An input that is
    /// damaged ends there; [`inputs`](Self::inputs) says so.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "an Iterator cannot lend its items")]
    pub fn next(&mut self) -> Option<(usize, Record<'_>)> {
        let index = self.turn()?;
        let file = self.slots.get(index)?.file.as_ref()?;
        Some((index, file.record()))
    }

    /// Finds the next frame and says which file has it.
    #[inline]
    fn turn(&mut self) -> Option<usize> {
        let front = self.front;
        if let Some(file) = self.slots.get_mut(front).and_then(|slot| slot.file.as_mut()) {
            match file.advance() {
                Ok(Some(time)) if time <= self.limit => return Some(front),
                Ok(Some(time)) => self.heads.push(Reverse((time, front))),
                Ok(None) | Err(_) => self.close(front),
            }
        }
        self.change_front()
    }

    #[cold]
    fn change_front(&mut self) -> Option<usize> {
        while let Some(&(first, index)) = self.waiting.last() {
            if self.heads.peek().is_some_and(|&Reverse((time, _))| time < first) {
                break;
            }
            self.waiting.pop();
            self.reopen(index);
        }
        let Reverse((_, index)) = self.heads.pop()?;
        self.front = index;
        let head = self.heads.peek().map(|&Reverse((time, _))| time);
        let waiting = self.waiting.last().map(|&(time, _)| time);
        self.limit = head.into_iter().chain(waiting).min().unwrap_or(Timestamp(u64::MAX));
        Some(index)
    }

    /// Opens a file whose time has come.
    fn reopen(&mut self, index: usize) {
        let Some(slot) = self.slots.get_mut(index) else { return };
        match CaptureFile::open_sized(&slot.path, READ_SIZE) {
            Ok(file) => {
                slot.file = Some(file);
                self.advance(index);
            }
            // It was there a moment ago: removed, or too many files are open.
            Err(error) => slot.summary.damaged = Some(Damage { offset: 0, reason: reason(&error.kind) }),
        }
    }

    /// Finds the first frame of a file that was just opened.
    fn advance(&mut self, index: usize) {
        match self.slots.get_mut(index).and_then(|slot| slot.file.as_mut()).map(CaptureFile::advance) {
            Some(Ok(Some(time))) => self.heads.push(Reverse((time, index))),
            _ => self.close(index),
        }
    }

    fn close(&mut self, index: usize) {
        if let Some(slot) = self.slots.get_mut(index)
            && let Some(file) = slot.file.take()
        {
            slot.summary = file.summary();
        }
    }

    /// The inputs in the order given.
    pub fn inputs(&self) -> Vec<Input> {
        let input = |slot: &Slot| Input {
            path: slot.path.clone(),
            summary: slot.file.as_ref().map_or_else(|| slot.summary.clone(), CaptureFile::summary),
        };
        self.slots.iter().map(input).collect()
    }

    /// Octets read of all inputs, as stored.
    pub fn bytes_read(&self) -> u64 {
        let bytes = |slot: &Slot| slot.file.as_ref().map_or(slot.summary.bytes, CaptureFile::bytes_read);
        self.slots.iter().map(bytes).sum()
    }

    /// Octets of all inputs, as stored; `None` when one of them is a pipe.
    pub const fn total_bytes(&self) -> Option<u64> {
        self.total_bytes
    }

    /// How many files are open.
    pub fn open_files(&self) -> usize {
        self.slots.iter().filter(|slot| slot.file.is_some()).count()
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The length of a file that can be opened again; `None` for pipes and what is not there.
fn regular_len(path: &Path) -> Option<u64> {
    if is_stdin(path) {
        return None;
    }
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

fn reason(kind: &OpenErrorKind) -> DamageReason {
    match kind {
        OpenErrorKind::Io(error) => {
            error.raw_os_error().map_or(DamageReason::Read(error.kind()), DamageReason::Os)
        }
        _ => DamageReason::Read(std::io::ErrorKind::InvalidData),
    }
}
