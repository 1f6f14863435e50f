//! Is anything slower or failing: how long answers took, and how that and the failures went over time.

use jiff::Timestamp;
use lowtide_aggregate::report::Interval;

use super::number::{self, bound, clock, count, percent, share};
use super::page::{CHART, DIM, PLAIN, Page, WARNING, piece};
use super::table::Table;
use super::{Layout, View, chart, latency_cell};

/// Columns left of the sparklines, and right of them for their figures.
const LABEL: usize = 16;
const FIGURES: usize = 46;
/// The longest bound of the histogram, in microseconds.
const LAST: u64 = 50_000_000;

/// The distribution of latency, and its course.
pub fn slower(page: &mut Page, views: &[View<'_>], layout: &Layout) {
    page.heading("Slower or failing?", "latency is response time − query time where it was captured");
    for view in views {
        view.title(page);
        quantiles(page, view);
        histogram(page, view.histogram);
        course(page, view, layout);
    }
}

fn quantiles(page: &mut Page, view: &View<'_>) {
    let latency = view.latency;
    let mut table = Table::new("answers");
    let figures = [
        ("min", latency.min),
        ("p50", latency.p50),
        ("p90", latency.p90),
        ("p95", latency.p95),
        ("p99", latency.p99),
        ("p99.9", latency.p999),
        ("max", latency.max),
        ("mean", latency.mean),
    ];
    for (name, _) in figures {
        table = table.figures(name, 0);
    }
    table.row(
        piece(count(latency.count), PLAIN),
        figures.into_iter().map(|(_, figure)| latency_cell(figure)).collect(),
    );
    table.draw(page);
    let unknown = view.transactions.unknown_latency;
    if unknown > 0 {
        let text = format!("  {} more answers have no known latency, for want of a time", count(unknown));
        page.line(&[piece(text, WARNING)]);
    }
}

/// The histogram in steps of 1, 2, 5, 10, …
fn histogram(page: &mut Page, buckets: &[(u64, u64)]) {
    let all: u64 = buckets.iter().map(|(_, number)| number).sum();
    let mut rows: Vec<(Option<u64>, u64)> = bounds().map(|bound| (bound, 0)).collect();
    for (upper, number) in buckets {
        if let Some((_, sum)) = rows.iter_mut().find(|(bound, _)| bound.is_none_or(|bound| *upper <= bound)) {
            *sum += number;
        }
    }
    let seen = |(_, number): &(Option<u64>, u64)| *number > 0;
    let Some((first, last)) = rows.iter().position(seen).zip(rows.iter().rposition(seen)) else { return };
    let most = rows.iter().map(|(_, number)| *number).max().unwrap_or(0);

    page.blank();
    let mut table =
        Table::new("latency").figures("answers", 0).figures("share", 0).figures("so far", 0).text("", 1);
    let mut so_far = 0;
    for (upper, number) in rows.into_iter().take(last + 1).skip(first) {
        so_far += number;
        let room = page.width().saturating_sub(50).min(50);
        let style = if number == 0 { DIM } else { PLAIN };
        table.row(
            piece(
                upper.map_or_else(
                    || format!("> {:>6}", bound(LAST)),
                    |upper| format!("≤ {:>6}", bound(upper)),
                ),
                style,
            ),
            vec![
                piece(count(number), style),
                piece(percent(number, all), style),
                piece(percent(so_far, all), DIM),
                piece(chart::bar(share(number, most), room), CHART),
            ],
        );
    }
    table.draw(page);
}

/// 1, 2, 5, 10, … µs up to [`LAST`], and none for what is longer still.
fn bounds() -> impl Iterator<Item = Option<u64>> {
    (0..8).flat_map(|power| [1, 2, 5].map(|step| Some(step * 10u64.pow(power)))).chain([None])
}

/// Several intervals that share a column.
#[derive(Clone, Copy, Default)]
struct Column {
    /// Of the first interval that is in it.
    start: Option<Timestamp>,
    queries: u64,
    responses: u64,
    nxdomain: u64,
    servfail: u64,
    unanswered: u64,
    /// The worst of the intervals: quantiles cannot be added.
    p99: Option<f64>,
}

impl Column {
    fn add(&mut self, start: Timestamp, interval: &Interval) {
        self.start = self.start.or(Some(start));
        self.queries += interval.queries;
        self.responses += interval.responses;
        self.nxdomain += interval.nxdomain;
        self.servfail += interval.servfail;
        self.unanswered += interval.unanswered;
        let p99 = interval.latency_us.p99;
        self.p99 = match (self.p99, p99) {
            (Some(worst), Some(p99)) => Some(worst.max(p99)),
            (worst, p99) => worst.or(p99),
        };
    }
}

/// How the traffic went from interval to interval.
fn course(page: &mut Page, view: &View<'_>, layout: &Layout) {
    let times = || view.intervals.iter().filter_map(|interval| interval.start.parse::<Timestamp>().ok());
    let (Some(start), Some(end)) = (times().min(), times().max()) else { return };
    let interval = layout.interval.as_secs_f64();
    let intervals = (end.duration_since(start).as_secs_f64() / interval).round() as usize + 1;
    if intervals < 2 {
        return;
    }
    let room = page.width().saturating_sub(LABEL + FIGURES).max(20);
    let folded = intervals.div_ceil(room);
    let mut columns = vec![Column::default(); intervals.div_ceil(folded)];
    for (at, account) in times().zip(view.intervals) {
        let place = (at.duration_since(start).as_secs_f64() / interval).round() as usize / folded;
        if let Some(column) = columns.get_mut(place) {
            column.add(at, account);
        }
    }

    let each = number::span(interval * folded as f64);
    let seconds = end.duration_since(start).as_secs_f64();
    let at = |place: usize| {
        columns.get(place).and_then(|column| column.start).map_or(String::new(), |time| clock(time, seconds))
    };
    page.blank();
    page.line(&[
        piece(format!("  {:<1$}", "over time", LABEL - 2), DIM),
        piece(format!("one column is {each}, from {} on", number::moment(start)), DIM),
    ]);

    let queries: Vec<_> = columns.iter().map(|column| column.start.map(|_| column.queries as f64)).collect();
    let counts = columns.iter().filter(|column| column.start.is_some()).map(|column| column.queries);
    let (least, most) = (counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0));
    row(page, "queries", &queries, &format!("{} to {} in {each}", count(least), count(most)));

    let p99: Vec<_> = columns.iter().map(|column| column.p99).collect();
    if let Some((place, worst)) = highest(&p99) {
        let least = p99.iter().flatten().copied().fold(worst, f64::min);
        let text =
            format!("{} to {} at {}", number::latency(Some(least)), number::latency(Some(worst)), at(place));
        row(page, if folded > 1 { "p99 (worst)" } else { "p99" }, &p99, &text);
    }

    type Part = fn(&Column) -> (u64, u64);
    let failures: [(&str, &str, Part); 3] = [
        ("NXDOMAIN", "responses", |column| (column.nxdomain, column.responses)),
        ("SERVFAIL", "responses", |column| (column.servfail, column.responses)),
        ("unanswered", "queries", |column| (column.unanswered, column.queries)),
    ];
    for (label, of, part) in failures {
        if view.one_way && label == "unanswered" {
            continue;
        }
        let values: Vec<_> = columns
            .iter()
            .map(|column| {
                let (part, whole) = part(column);
                (whole > 0).then(|| share(part, whole))
            })
            .collect();
        let Some((place, worst)) = highest(&values) else { continue };
        let (part, whole) = columns.get(place).map(part).unwrap_or_default();
        if worst > 0.0 {
            let text = format!("up to {} of {} {of} at {}", percent(part, whole), count(whole), at(place));
            row(page, label, &values, &text);
        }
    }
}

fn row(page: &mut Page, label: &str, values: &[Option<f64>], figures: &str) {
    page.line(&[
        piece(format!("  {label:<0$}", LABEL - 2), DIM),
        piece(chart::sparkline(values), CHART),
        piece("  ", PLAIN),
        piece(figures, PLAIN),
    ]);
}

/// The highest value and its place; the first of equals.
fn highest(values: &[Option<f64>]) -> Option<(usize, f64)> {
    let known = values.iter().enumerate().filter_map(|(place, value)| Some((place, (*value)?)));
    known.reduce(|highest, next| if next.1 > highest.1 { next } else { highest })
}
