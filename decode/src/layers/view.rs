//! The part of a frame that a header's parser may see: captured octets, and how many more were on the wire.

use lowtide_proto::Cursor;

use super::Stop;
use crate::Defect;

/// Reads forward through a frame and knows why it ends: cut by the snap length, or by its own headers.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    captured: Cursor<'a>,
    /// Octets that followed on the wire and were not captured.
    missing: usize,
}

impl<'a> View<'a> {
    /// `wire_len` below `data.len()` counts as `data.len()`.
    pub(super) fn new(data: &'a [u8], wire_len: usize) -> Self {
        Self { captured: Cursor::new(data), missing: wire_len.saturating_sub(data.len()) }
    }

    /// The captured octets not yet taken.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.captured.rest()
    }

    /// Octets left on the wire, captured or not.
    pub(super) fn wire_len(&self) -> usize {
        self.captured.len() + self.missing
    }

    /// The next `N` octets, not taken.
    pub(super) fn peek<const N: usize>(&self) -> Option<[u8; N]> {
        self.captured.rest().first_chunk().copied()
    }

    /// The high half of the next octet, where the version of an IP header stands.
    pub(super) fn nibble(&self) -> Option<u8> {
        self.peek().map(|[octet]: [u8; 1]| octet >> 4)
    }

    /// Takes `N` octets; `defect` says whose they are should the frame end before them.
    pub(super) fn array<const N: usize>(&mut self, defect: Defect) -> Result<[u8; N], Stop> {
        self.captured.take_array().map_err(|short| self.ended(short.needed, defect))
    }

    /// Takes a 16-bit integer in network order.
    pub(super) fn u16_be(&mut self, defect: Defect) -> Result<u16, Stop> {
        self.array(defect).map(u16::from_be_bytes)
    }

    /// Passes over `n` octets.
    pub(super) fn skip(&mut self, n: usize, defect: Defect) -> Result<(), Stop> {
        self.captured.skip(n).map_err(|short| self.ended(short.needed, defect))
    }

    /// Passes over `n` octets whether or not they were captured.
    pub(super) fn skip_wire(&mut self, n: usize, defect: Defect) -> Result<(), Stop> {
        if n > self.wire_len() {
            return Err(Stop::malformed(defect));
        }
        if self.captured.skip(n).is_err() {
            self.missing = self.wire_len() - n;
            self.captured = Cursor::new(&[]);
        }
        Ok(())
    }

    /// Drops what lies behind the next `n` octets, and says whether those were all captured.
    pub(super) fn limit(&mut self, n: usize) -> bool {
        if let Ok(head) = self.captured.sub(n) {
            *self = Self { captured: head, missing: 0 };
            true
        } else {
            self.missing = self.missing.min(n - self.captured.len());
            false
        }
    }

    fn ended(&self, needed: usize, defect: Defect) -> Stop {
        if needed > self.wire_len() { Stop::malformed(defect) } else { Stop::TRUNCATED }
    }
}
