//! What files say of packets that were dropped before they were written: as holes, as rows of coverage, and in the report.

use lowtide_aggregate::summary::rfc3339;
use lowtide_aggregate::{Coverage, report};
use lowtide_capture::{Dropped, DroppedBy, Input};
use lowtide_proto::Timestamp;

use super::sight;
use crate::report::dropped::words;

/// Rows of coverage that say of one file that nobody knows, about. Where its losses are longer, they say it of every other interval, or of fewer.
const MAX_ROWS: u64 = 32_768;

/// In the report.
const fn name(by: DroppedBy) -> &'static str {
    match by {
        DroppedBy::Interface => "interface",
        DroppedBy::System => "system",
        DroppedBy::Unsaid => "interface-or-system",
        DroppedBy::Unreadable => "unreadable",
    }
}

/// In coverage: as a live run counts it, where it does. What may count the same packets once more has a reason of its own.
const fn reason(by: DroppedBy) -> Option<&'static str> {
    match by {
        DroppedBy::Interface => Some("interface_drop"),
        DroppedBy::System => Some("kernel_drop"),
        DroppedBy::Unsaid => Some("capture_drop"),
        DroppedBy::Unreadable => None,
    }
}

/// As holes.
pub fn told(dropped: &[Dropped]) -> Vec<sight::Dropped> {
    let told = |of: &Dropped| sight::Dropped { from: of.from, to: of.to, text: words(name(of.by), of.count) };
    dropped.iter().map(told).collect()
}

/// For the report: what was dropped by each.
pub fn summed(dropped: &[Dropped]) -> Vec<report::Dropped> {
    let sum = |by: DroppedBy| {
        let mut of = dropped.iter().filter(|of| of.by == by);
        let first = *of.next()?;
        let all = of.fold(first, |all, of| Dropped {
            by,
            count: all.count.saturating_add(of.count),
            from: all.from.min(of.from),
            to: all.to.zip(of.to).map(|(one, other)| one.max(other)),
        });
        let (from, to) = (all.from.map(rfc3339), all.to.map(rfc3339));
        Some(report::Dropped { by: name(by), count: all.count, from, to })
    };
    DroppedBy::ALL.into_iter().filter_map(sum).collect()
}

/// As losses in coverage. A file says how many, but not when: they are counted at the end of the time that they are of, and in all of that
/// time nobody knows. Files say so at their end, so that all of them have been read.
pub fn record(coverage: &mut Coverage, inputs: &[Input]) {
    let first = inputs.iter().filter_map(|input| input.summary.first).min();
    let last = inputs.iter().filter_map(|input| input.summary.last).max();
    let Some((first, last)) = first.zip(last) else { return };
    for (number, Input { summary, .. }) in inputs.iter().enumerate() {
        let begins = summary.first.unwrap_or(first);
        let ends = summary.last.unwrap_or(last);
        let span = |of: &Dropped| {
            // What is of no time that anybody saw has no use for rows.
            let within = |moment: Timestamp| moment.clamp(first, last);
            (within(of.from.unwrap_or(begins)), within(of.to.unwrap_or(ends)))
        };
        let mut spans: Vec<(Timestamp, Timestamp)> = summary.dropped.iter().map(span).collect();
        for (of, &(_, to)) in summary.dropped.iter().zip(&spans) {
            if let Some(reason) = reason(of.by) {
                coverage.lost(number, to, reason, of.count);
            }
        }
        spans.sort_unstable();
        let spans = joined(&spans);
        let length: u64 = spans.iter().map(|(from, to)| to.0.saturating_sub(from.0)).sum();
        let every = (length / coverage.width()).div_ceil(MAX_ROWS);
        for (from, to) in spans {
            coverage.unknown_between(number, from, to, every);
        }
    }
}

/// What touches is one, of spans in order.
fn joined(spans: &[(Timestamp, Timestamp)]) -> Vec<(Timestamp, Timestamp)> {
    let mut all: Vec<(Timestamp, Timestamp)> = Vec::new();
    for &(from, to) in spans {
        match all.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => all.push((from, to)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use lowtide_capture::{Format, Summary};

    use super::*;

    const fn loss(by: DroppedBy, count: u64, from: Option<u64>, to: Option<u64>) -> Dropped {
        const fn at(seconds: Option<u64>) -> Option<Timestamp> {
            match seconds {
                Some(seconds) => Some(Timestamp(seconds)),
                None => None,
            }
        }
        Dropped { by, count, from: at(from), to: at(to) }
    }

    fn input(span: Option<(u64, u64)>, dropped: Vec<Dropped>) -> Input {
        let summary = Summary {
            format: Format::Pcapng,
            compression: None,
            link_types: Vec::new(),
            frames: 1,
            bytes: 1,
            first: span.map(|(first, _)| Timestamp(first)),
            last: span.map(|(_, last)| Timestamp(last)),
            damaged: None,
            dropped,
        };
        Input { path: PathBuf::from("a"), summary }
    }

    /// Start, source, losses.
    type Row = (u64, usize, Vec<(&'static str, u64)>);

    /// All of them unknown.
    fn rows(inputs: &[Input]) -> Vec<Row> {
        let mut coverage = Coverage::new(10);
        record(&mut coverage, inputs);
        let rows = coverage.close(Timestamp(u64::MAX));
        assert!(rows.iter().all(|row| row.unknown));
        rows.into_iter().map(|row| (row.start.0, row.source, row.lost.into_iter().collect())).collect()
    }

    #[test]
    fn losses_are_counted_at_their_end_and_unknown_before() {
        let said = vec![
            loss(DroppedBy::Interface, 7, Some(15), Some(32)),
            loss(DroppedBy::System, 3, Some(25), None),
            loss(DroppedBy::Unreadable, 1, Some(90), Some(99)),
        ];
        assert_eq!(
            rows(&[input(Some((10, 70)), Vec::new()), input(Some((5, 45)), said)]),
            [
                (10, 1, vec![]),
                (20, 1, vec![]),
                (30, 1, vec![("interface_drop", 7)]),
                (40, 1, vec![("kernel_drop", 3)]),
                (70, 1, vec![]),
            ]
        );
        // A file without frames says it of the time that others show.
        let empty = input(None, vec![loss(DroppedBy::Unsaid, 2, None, None)]);
        assert_eq!(rows(std::slice::from_ref(&empty)), []);
        let others = rows(&[empty, input(Some((10, 29)), Vec::new())]);
        assert_eq!(others, [(10, 0, vec![]), (20, 0, vec![("capture_drop", 2)])]);
    }

    #[test]
    fn rows_are_bounded_however_long_a_file_is() {
        let said = vec![loss(DroppedBy::Interface, 7, None, None); 9];
        let rows = rows(&[input(Some((0, u64::MAX / 2)), said)]);
        assert!((10_000..100_000).contains(&rows.len()), "{}", rows.len());
        assert_eq!(rows.last().map(|row| row.2.clone()), Some(vec![("interface_drop", 63)]));
    }

    #[test]
    fn the_report_has_each_once() {
        let said = [
            loss(DroppedBy::System, 3, Some(25), Some(30)),
            loss(DroppedBy::Interface, u64::MAX, Some(15), Some(32)),
            loss(DroppedBy::Interface, 1, Some(40), None),
            loss(DroppedBy::System, 4, None, Some(20)),
        ];
        let all = summed(&said);
        let told: Vec<_> =
            all.iter().map(|of| (of.by, of.count, of.from.is_some(), of.to.is_some())).collect();
        assert_eq!(told, [("interface", u64::MAX, true, false), ("system", 7, false, true)]);
    }
}
