//! What the sensors could see, so that missing data never looks like silence.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lowtide_aggregate::report::{Coverage, Gap, Report, Run, Source};

use super::number::{self, count, counted};
use super::page::{BAD, BOLD, DIM, GOOD, HEADING, PLAIN, Page, WARNING, piece};
use super::table::{Table, plain};
use super::text::printable;
use super::{Layout, more};

/// Gaps and runs with undelivered rows that are told one by one.
const TOLD: usize = 8;

/// Which rows were read.
pub fn source(page: &mut Page, source: &Source) {
    page.flow(piece("lowtide  ", HEADING), 9, " · ", vec![piece(printable(&source.url), BOLD)]);
    if let (Ok(from), Ok(to)) = (source.from.parse::<Timestamp>(), source.to.parse::<Timestamp>()) {
        let seconds = to.duration_since(from).as_secs_f64();
        page.line(&[
            piece(format!("  {} to {}", number::moment(from), number::moment(to)), PLAIN),
            piece(format!("  ({})", number::span(seconds)), DIM),
        ]);
    }
    let filters = [
        ("zone", &source.zones),
        ("name", &source.names),
        ("sensor", &source.sensors),
        ("run", &source.runs),
    ];
    let filters: Vec<_> = filters
        .into_iter()
        .flat_map(|(what, values)| values.iter().map(move |value| format!("{what} {}", printable(value))))
        .map(|text| piece(text, BOLD))
        .collect();
    if !filters.is_empty() {
        page.flow(piece("  only  ", DIM), 8, " · ", filters);
    }
}

/// What each source showed, what was lost, and when nobody looked.
pub fn coverage(page: &mut Page, report: &Report, source: &Source, layout: &Layout) {
    let sensors: BTreeSet<&str> = source.seen.iter().map(|run| run.sensor.as_str()).collect();
    let remark = format!(
        "{} · {}; frames and messages of all zones and names",
        counted(sensors.len() as u64, "sensor", "sensors"),
        counted(source.seen.len() as u64, "run", "runs")
    );
    page.heading("Coverage", &remark);
    if report.coverage.is_empty() {
        page.line(&[piece(
            "  no sensor covered any of this range: that nothing was seen says nothing",
            WARNING,
        )]);
    } else {
        table(page, &report.coverage, layout);
    }
    let lost = sum(report.coverage.iter().map(|coverage| &coverage.lost));
    let unknown = report.coverage.iter().filter(|coverage| coverage.unknown).count();
    if !lost.is_empty() {
        let pieces = lost.iter().map(|(reason, number)| piece(loss(reason, *number), BAD));
        page.flow(piece("  ✗ lost: ", BAD), 10, " · ", pieces.collect());
    }
    if unknown > 0 {
        let text =
            format!("{}: how much was lost cannot be known", counted(unknown as u64, "source", "sources"));
        page.paragraph(piece("  ▲ ", WARNING), 4, &text, WARNING);
    }
    let undelivered: Vec<&Run> = source.seen.iter().filter(|run| !run.dropped.is_empty()).collect();
    for run in undelivered.iter().take(TOLD) {
        let what: Vec<_> =
            run.dropped.iter().map(|(what, number)| format!("{} {what}", count(*number))).collect();
        let text = format!("run {} of {} could not deliver {}", run.run, run.sensor, what.join(", "));
        page.paragraph(piece("  ✗ ", BAD), 4, &printable(&text), BAD);
    }
    for gap in source.gaps.iter().take(TOLD) {
        page.paragraph(piece("  ▲ ", WARNING), 4, &printable(&told(gap)), WARNING);
    }
    let rest = source.gaps.len().saturating_sub(TOLD) + undelivered.len().saturating_sub(TOLD);
    if rest > 0 {
        page.line(&[piece(format!("  … and {} more; --json shows them", count(rest as u64)), DIM)]);
    }
    let whole = lost.is_empty() && unknown == 0 && undelivered.is_empty() && source.gaps.is_empty();
    if whole && !report.coverage.is_empty() {
        page.line(&[piece("  no loss was counted, and no live sensor has a gap", GOOD)]);
    }
}

fn table(page: &mut Page, rows: &[Coverage], layout: &Layout) {
    let mut table = Table::new("source")
        .text("sensor", 0)
        .text("run", 2)
        .text("", 3)
        .figures("frames", 1)
        .figures("messages", 0)
        .figures("lost", 0)
        .figures("blind", 2);
    for row in rows.iter().take(layout.top.max(1)) {
        let is_time = |(reason, _): &(&String, &u64)| blind(reason).is_some();
        let lost: u64 = row.lost.iter().filter(|loss| !is_time(loss)).map(|(_, count)| count).sum();
        let millis: u64 = row.lost.iter().filter(is_time).map(|(_, millis)| millis).sum();
        table.row(
            plain(&*printable(&row.source)),
            vec![
                plain(&*printable(&row.sensor)),
                plain(&*printable(&row.run)),
                piece(&*printable(&row.kind), DIM),
                plain(count(row.frames)),
                plain(count(row.messages)),
                match (lost, row.unknown) {
                    (0, true) => piece("unknown", WARNING),
                    (0, false) => piece("0", DIM),
                    _ => piece(count(lost), BAD),
                },
                if millis == 0 { piece("0", DIM) } else { piece(number::span(millis as f64 / 1e3), BAD) },
            ],
        );
    }
    table.draw(page);
    more(page, rows.len(), layout.top.max(1));
}

/// Why nobody saw through a source, when a loss is the time for which that was so.
fn blind(reason: &str) -> Option<&str> {
    reason.strip_suffix("_ms")
}

/// `12 kernel_drop`, `43 s disconnected`
fn loss(reason: &str, number: u64) -> String {
    match blind(reason) {
        Some(why) => format!("{} {}", number::span(number as f64 / 1e3), why.replace('_', " ")),
        None => format!("{} {reason}", count(number)),
    }
}

/// `ns1 eth0: nothing from … to … (5 min)`
fn told(gap: &Gap) -> String {
    let whose = [gap.sensor.as_str(), gap.source.as_str()].join(" ");
    match (gap.from.parse::<Timestamp>(), gap.to.parse::<Timestamp>()) {
        (Ok(from), Ok(to)) => format!(
            "{}: nobody looked from {} to {} ({})",
            whose.trim_end(),
            number::moment(from),
            number::moment(to),
            number::span(to.duration_since(from).as_secs_f64())
        ),
        _ => whose,
    }
}

fn sum<'a>(maps: impl Iterator<Item = &'a BTreeMap<String, u64>>) -> BTreeMap<&'a str, u64> {
    let mut sums = BTreeMap::new();
    for (reason, number) in maps.flatten().filter(|(_, number)| **number > 0) {
        *sums.entry(reason.as_str()).or_default() += number;
    }
    sums
}
