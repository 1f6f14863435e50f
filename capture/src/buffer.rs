//! The read buffer that records are slices of.

use std::io::{self, Read};
use std::ops::Range;

use crate::{Compression, Damage, DamageReason};

/// Reads large pieces of a source and shows what is not yet consumed as one slice.
///
/// A record is asked for by its size: it is there, or [`fill`](Self::fill) moves the rest to the front and reads on.
/// The buffer grows to the largest record that is asked for, so its callers bound it.
pub(crate) struct Buffer {
    source: Box<dyn Read + Send>,
    compression: Option<Compression>,
    octets: Vec<u8>,
    start: usize,
    end: usize,
    /// Where in the uncompressed file `octets` begins.
    base: u64,
    ending: Ending,
}

#[derive(Clone, Copy)]
enum Ending {
    Ahead,
    Reached,
    Failed(DamageReason),
}

impl Buffer {
    pub(crate) fn new(
        source: Box<dyn Read + Send>,
        compression: Option<Compression>,
        capacity: usize,
    ) -> Self {
        Self {
            source,
            compression,
            octets: vec![0; capacity],
            start: 0,
            end: 0,
            base: 0,
            ending: Ending::Ahead,
        }
    }

    /// What was read and not yet consumed.
    #[inline]
    pub(crate) fn rest(&self) -> &[u8] {
        self.octets.get(self.start..self.end).unwrap_or_default()
    }

    /// Takes `n` octets of [`rest`](Self::rest) and says where they stand until the next fill.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) -> Range<usize> {
        let from = self.start;
        self.start = (from + n).min(self.end);
        from..self.start
    }

    /// Octets that were consumed since the last fill.
    #[inline]
    pub(crate) fn consumed(&self, range: Range<usize>) -> &[u8] {
        self.octets.get(range).unwrap_or_default()
    }

    /// Where in the uncompressed file [`rest`](Self::rest) begins.
    pub(crate) fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// Damage of the record that begins here.
    #[cold]
    pub(crate) fn damage(&self, reason: DamageReason) -> Damage {
        Damage { offset: self.offset(), reason }
    }

    /// Whether nothing can be read beyond [`rest`](Self::rest).
    pub(crate) fn is_last(&self) -> bool {
        !matches!(self.ending, Ending::Ahead)
    }

    /// Reads on until [`rest`](Self::rest) has `needed` octets, if the source has.
    #[cold]
    pub(crate) fn fill(&mut self, needed: usize) -> bool {
        self.octets.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        if self.octets.len() < needed {
            self.octets.resize(needed, 0);
        }
        while self.end < needed && !self.is_last() {
            let space = self.octets.get_mut(self.end..).unwrap_or_default();
            match self.source.read(space) {
                Ok(0) => self.ending = Ending::Reached,
                Ok(read) => self.end = (self.end + read).min(self.octets.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.ending = Ending::Failed(self.reason(&error)),
            }
        }
        self.end >= needed
    }

    /// Passes over `n` octets, however many.
    pub(crate) fn skip(&mut self, n: u64) -> bool {
        let mut left = n;
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.end - self.start);
            self.consume(here);
            left -= here as u64;
            if left == 0 || !self.fill(1) {
                return left == 0;
            }
        }
    }

    /// What it means that no complete record begins at `offset`, after a fill that failed: the end of the file, or
    /// damage of it.
    #[cold]
    pub(crate) fn end_of(&self, offset: u64) -> Result<(), Damage> {
        match self.ending {
            Ending::Failed(reason) => Err(Damage { offset, reason }),
            _ if self.rest().is_empty() && offset == self.offset() => Ok(()),
            _ => Err(Damage { offset, reason: DamageReason::Cut }),
        }
    }

    fn reason(&self, error: &io::Error) -> DamageReason {
        match (error.raw_os_error(), self.compression) {
            (Some(number), _) => DamageReason::Os(number),
            (None, None) => DamageReason::Read(error.kind()),
            (None, Some(by)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                DamageReason::CompressionCut(by)
            }
            (None, Some(by)) => DamageReason::CompressionCorrupt(by),
        }
    }
}
