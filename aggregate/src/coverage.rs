//! What each source showed in each interval of traffic time: the evidence that silence was watched.

use std::collections::BTreeMap;

use lowtide_proto::Timestamp;

/// What one source showed in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoverageRow {
    /// Start of the interval.
    pub start: Timestamp,
    /// Number of the source.
    pub source: usize,
    /// Packets or dnstap frames.
    pub frames: u64,
    /// Octets of those frames as captured.
    pub octets: u64,
    /// DNS messages that they completed.
    pub messages: u64,
    /// The earliest time of a frame.
    pub first: Timestamp,
    /// The latest time of a frame.
    pub last: Timestamp,
}

/// Counts frames by interval and source.
#[derive(Debug)]
pub struct Coverage {
    /// Nanoseconds of an interval.
    width: u64,
    rows: BTreeMap<(u64, usize), CoverageRow>,
    /// The row last counted in: the next frame most likely belongs to it too.
    current: CoverageRow,
    /// DNS messages before the next frame.
    messages: u64,
}

impl Coverage {
    /// Nothing seen yet; intervals of `width` nanoseconds.
    pub fn new(width: u64) -> Self {
        Self { width: width.max(1), rows: BTreeMap::new(), current: CoverageRow::default(), messages: 0 }
    }

    /// Counts a frame of `source`; `messages` is how many DNS messages there were in all up to this frame.
    #[inline]
    pub fn frame(&mut self, source: usize, time: Timestamp, octets: usize, messages: u64) {
        let start = self.current.start.0;
        let is_current = self.current.frames > 0
            && self.current.source == source
            && (start..start.saturating_add(self.width)).contains(&time.0);
        if !is_current {
            self.turn_to(source, time);
        }
        let row = &mut self.current;
        row.frames += 1;
        row.octets += octets as u64;
        row.messages += messages - self.messages;
        row.first = row.first.min(time);
        row.last = row.last.max(time);
        self.messages = messages;
    }

    #[cold]
    fn turn_to(&mut self, source: usize, time: Timestamp) {
        self.keep_current();
        let number = time.0 / self.width;
        let new = CoverageRow {
            start: Timestamp(number * self.width),
            source,
            first: time,
            last: time,
            ..CoverageRow::default()
        };
        self.current = self.rows.remove(&(number, source)).unwrap_or(new);
    }

    fn keep_current(&mut self) {
        if self.current.frames > 0 {
            let row = std::mem::take(&mut self.current);
            self.rows.insert((row.start.0 / self.width, row.source), row);
        }
    }

    /// Rows that wait to be handed out.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Hands out the rows of intervals that began before `moment`, in order of time and source. A later frame of such an
    /// interval makes another row of it: rows of one interval and source add up.
    pub fn close(&mut self, moment: Timestamp) -> Vec<CoverageRow> {
        self.keep_current();
        let open = self.rows.split_off(&(moment.0 / self.width, 0));
        std::mem::replace(&mut self.rows, open).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_where_they_belong() {
        let mut coverage = Coverage::new(60);
        let frames = [(0, 61), (1, 62), (0, 119), (0, 120), (0, 61), (1, 5), (0, 200)];
        for (at, (source, time)) in frames.into_iter().enumerate() {
            coverage.frame(source, Timestamp(time), 100, at as u64 * 2);
        }
        let rows = |rows: Vec<CoverageRow>| -> Vec<_> {
            rows.iter().map(|row| (row.start.0, row.source, row.frames, row.first.0, row.last.0)).collect()
        };
        let closed = coverage.close(Timestamp(125));
        assert_eq!(closed.iter().map(|row| row.messages).sum::<u64>(), 2 * 4);
        assert_eq!(rows(closed), [(0, 1, 1, 5, 5), (60, 0, 3, 61, 119), (60, 1, 1, 62, 62)]);
        coverage.frame(0, Timestamp(100), 1, 12);
        assert_eq!(
            rows(coverage.close(Timestamp(u64::MAX))),
            [(60, 0, 1, 100, 100), (120, 0, 1, 120, 120), (180, 0, 1, 200, 200)]
        );
    }
}
