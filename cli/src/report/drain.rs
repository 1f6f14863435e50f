//! The verdicts on migrations as a person reads them: verdict and reasons first, then what they stand on.

mod residual;
#[cfg(test)]
mod tests;
mod ttls;

use std::collections::BTreeMap;

use anstyle::Style;
use jiff::Timestamp;
use lowtide_aggregate::drain::DrainReport;
use lowtide_aggregate::drain::report::{MigrationReport, Reason, ServerReport};
use lowtide_capture::Input;

use super::chart;
use super::number::{self, NONE, count, counted};
use super::page::{BAD, BOLD, CHART, DIM, GOOD, HEADING, PLAIN, Page, Piece, WARNING, piece};
use super::table::{Table, plain};
use super::text::printable;

/// Reasons of one kind that are told.
const TOLD: usize = 4;

/// Columns of a sparkline.
const STEPS: usize = 60;

/// The whole page, with escape sequences for its colours; `top` clients of each migration.
pub fn drain(report: &DrainReport, inputs: &[Input], width: usize, top: usize) -> String {
    let mut page = Page::new(width);
    let frames = inputs.iter().map(|input| input.summary.frames).sum();
    let at = parsed(report.evaluated_at.as_deref());
    let moment = report.evaluated_at.as_deref().map_or("no moment".to_owned(), moment);
    let mut pieces = vec![piece(format!("as of {moment}"), BOLD)];
    if inputs.is_empty() {
        pieces.push(piece("by what the sensors delivered", PLAIN));
    } else {
        pieces.push(piece(counted(inputs.len() as u64, "input", "inputs"), PLAIN));
        pieces.push(piece(counted(frames, "frame", "frames"), PLAIN));
    }
    page.flow(piece("lowtide  ", HEADING), 9, " · ", pieces);
    for migration in &report.migrations {
        one(&mut page, migration, at, top);
    }
    page.into_text()
}

fn one(page: &mut Page, migration: &MigrationReport, at: Option<Timestamp>, top: usize) {
    let zones: Vec<_> = migration.zones.iter().map(|zone| printable(zone)).collect();
    page.heading(&printable(&migration.name), &zones.join(", "));
    let style = style(migration.verdict);
    page.line(&[
        piece("  ", PLAIN),
        piece(migration.verdict, style.bold()),
        piece(format!("  {}", meaning(migration.verdict)), DIM),
    ]);
    reasons(page, &migration.reasons);
    ttls::before_cutover(page, migration, at, top);
    page.blank();
    times(page, migration, at);
    split(page, migration, at);
    servers(page, &migration.servers);
    residual::residual(page, migration, top);
}

/// Where a reason stands among others: the gravest first, so that what has to be done is not below what has to be waited for.
fn rank(reason: &Reason) -> u8 {
    match reason.code {
        "still-served" => 0,
        "never-asked" | "no-frame" | "nothing-to-watch" => 1,
        "hole" => 2,
        "queries" | "ttl-above-plan" | "cutover-before-ttl" => 3,
        _ => 4,
    }
}

/// The texts of reasons, the gravest first.
pub(super) fn gravest(reasons: &[Reason]) -> Vec<String> {
    let mut reasons: Vec<&Reason> = reasons.iter().collect();
    reasons.sort_by_key(|reason| (rank(reason), reason.code));
    reasons.into_iter().map(|reason| short_times(&reason.text)).collect()
}

fn reasons(page: &mut Page, reasons: &[Reason]) {
    let mut reasons: Vec<&Reason> = reasons.iter().collect();
    reasons.sort_by_key(|reason| (rank(reason), reason.code));
    for of_kind in reasons.chunk_by(|one, other| one.code == other.code) {
        for reason in of_kind.iter().take(TOLD) {
            let (sign, style) = match rank(reason) {
                0 => ("  ✗ ", BAD),
                1..=3 => ("  ▲ ", WARNING),
                _ if reason.code == "quiet" => ("  ✓ ", GOOD),
                _ => ("  · ", PLAIN),
            };
            page.paragraph(piece(sign, style), 4, &printable(&short_times(&reason.text)), style);
        }
        if of_kind.len() > TOLD {
            let rest = count((of_kind.len() - TOLD) as u64);
            page.line(&[piece(format!("    … and {rest} more like these; --json shows them"), DIM)]);
        }
    }
}

fn times(page: &mut Page, migration: &MigrationReport, at: Option<Timestamp>) {
    let time = |text: &Option<String>| text.as_deref().map_or(NONE.to_owned(), moment);
    let distance = |text: &Option<String>| {
        let seconds = parsed(text.as_deref())?.duration_since(at?).as_secs_f64().round();
        if seconds == 0.0 {
            return None;
        }
        let span = number::span(seconds.abs());
        Some(piece(if seconds > 0.0 { format!("in {span}") } else { format!("{span} ago") }, DIM))
    };
    let entry = |page: &mut Page, label: &str, text: &Option<String>, more: Option<Piece>| {
        let pieces = [Some(plain(time(text))), distance(text), more].into_iter().flatten();
        page.entry(label, " · ", pieces.collect());
    };
    entry(page, "cutover", &migration.cutover, None);
    let is_over =
        parsed(migration.cache_horizon.as_deref()).zip(at).is_some_and(|(horizon, at)| horizon <= at);
    let horizon = if is_over { "no cache leads back since then" } else { "caches may lead back until then" };
    let horizon = migration.cache_horizon.as_ref().map(|_| piece(horizon, DIM));
    entry(page, "cache horizon", &migration.cache_horizon, horizon);
    let needed = format!("quiet for {} is needed", number::span(migration.quiet_required_s));
    entry(page, "last query", &migration.quiet_since, Some(piece(needed, DIM)));
    page.entry("TTLs", " · ", ttls::now(migration));
    match &migration.decay {
        Some(decay) => {
            let (early, late) = &decay.expected_quiet_95;
            let until = late.as_deref().map_or("no end".to_owned(), moment);
            page.entry(
                "decay",
                " · ",
                vec![
                    plain(format!("halves every {}", number::span(decay.half_life_s))),
                    plain(format!("quiet expected {}", moment(&decay.expected_quiet))),
                    piece(format!("95 %: {} to {until}", moment(early)), DIM),
                ],
            );
        }
        None if migration.verdict == "draining" || migration.verdict == "not-closing" => {
            let text = "cannot be fitted: it takes 5 hours with queries that become fewer";
            page.entry("decay", "", vec![piece(text, DIM)]);
        }
        None => {}
    }
}

/// Queries to old and new servers over time, an hour or more each column.
fn split(page: &mut Page, migration: &MigrationReport, at: Option<Timestamp>) {
    let hour = |text: &str| Some(text.parse::<Timestamp>().ok()?.as_second().div_euclid(3_600));
    let hours: BTreeMap<i64, (u64, u64)> = migration
        .split
        .iter()
        .filter_map(|split| Some((hour(&split.start)?, (split.old, split.new))))
        .collect();
    let (Some((&first, _)), Some((&last, _))) = (hours.first_key_value(), hours.last_key_value()) else {
        return;
    };
    // Silence is part of it.
    let last = last.max(at.map_or(last, |at| (at.as_second() - 1).div_euclid(3_600)));
    let room = STEPS.min(page.width().saturating_sub(44));
    let wide = (last - first) / room as i64 + 1;
    let columns = usize::try_from((last - first) / wide + 1).unwrap_or(room);
    // What has no row was not asked.
    let mut steps = vec![(0, 0); columns];
    for (hour, (old, new)) in hours {
        let at = usize::try_from((hour - first) / wide).unwrap_or_default();
        if let Some((old_before, new_before)) = steps.get_mut(at) {
            (*old_before, *new_before) = (*old_before + old, *new_before + new);
        }
    }
    let (olds, news) = steps.iter().fold((0, 0), |(olds, news), (old, new)| (olds + old, news + new));
    let mut line = |label: &str, sum: u64, of: fn(&(u64, u64)) -> u64| {
        let values: Vec<_> = steps.iter().map(|step| Some(of(step) as f64)).collect();
        let mut pieces = vec![plain(counted(sum, "query", "queries"))];
        if steps.len() > 1 {
            pieces.insert(0, piece(chart::sparkline(&values), CHART));
            let most = steps.iter().map(of).max().unwrap_or(0);
            pieces.push(piece(format!("at most {}", count(most)), DIM));
        } else {
            pieces.push(piece(number::percent(sum, olds + news), DIM));
        }
        page.entry(label, "  ", pieces);
    };
    line("to old", olds, |(old, _)| *old);
    if news > 0 || migration.new_servers.is_empty() {
        line("to new", news, |(_, new)| *new);
    } else {
        page.entry(
            "to new",
            "",
            vec![piece("0 queries: nobody watches the new servers, or nobody asks them", DIM)],
        );
    }
    if steps.len() < 2 {
        return;
    }
    // Under the chart: where the cutover was, what a column is, and the last of them.
    let cutover =
        migration.cutover.as_deref().and_then(hour).filter(|cutover| (first..=last).contains(cutover));
    if let Some(at) = cutover.and_then(|cutover| usize::try_from((cutover - first) / wide).ok()) {
        page.entry("", "", vec![piece(format!("{}↑ cutover", " ".repeat(at)), DIM)]);
    }
    let begin = |hour: i64| Timestamp::from_second(hour * 3_600).map_or(NONE.to_owned(), number::moment);
    let pieces = vec![
        piece(format!("from {}", begin(first)), DIM),
        piece(format!("a column is {}", number::span(wide as f64 * 3_600.0)), DIM),
    ];
    page.entry("", " · ", pieces);
    if let Some((old, new)) = steps.last().filter(|_| news > 0) {
        let share = number::percent(*old, old + new);
        let text = format!(
            "{share} of the last column's queries go to old servers ({} of {})",
            count(*old),
            count(old + new)
        );
        page.entry("", "", vec![plain(text)]);
    }
}

fn servers(page: &mut Page, servers: &[ServerReport]) {
    page.blank();
    let mut table = Table::new("zone")
        .text("old server", 0)
        .text("verdict", 0)
        .text("last query", 1)
        .figures("queries", 0)
        .figures("rate", 2)
        .figures("clients", 3)
        .figures("watched", 0);
    for server in servers {
        let clients = server.classes.values().sum::<u64>() + server.other_clients;
        table.row(
            plain(&*printable(&server.zone)),
            vec![
                plain(server.address.as_str()),
                piece(server.verdict, style(server.verdict)),
                plain(server.last_query.as_deref().map_or(NONE.to_owned(), moment)),
                plain(count(server.queries)),
                rate(server),
                plain(count(clients)),
                watched(server.coverage.fraction),
            ],
        );
    }
    table.draw(page);
    let apart: u64 = servers.iter().map(|server| server.queries_set_apart).sum();
    let mut text =
        "watched is of the quiet period, as is the rate, or its 95 % bound where nobody asked; clients are of the time since the cutover"
            .to_owned();
    if apart > 0 {
        text.push_str(&format!("; {} set apart", counted(apart, "query is", "queries are")));
    }
    page.paragraph(piece("  ", DIM), 2, &text, DIM);
}

fn rate(server: &ServerReport) -> Piece {
    match server.rate_upper_bound_95 {
        Some(bound) => piece(format!("< {}/h", figure(bound)), DIM),
        None if server.rate_per_hour > 0.0 => plain(format!("{}/h", figure(server.rate_per_hour))),
        None => piece(NONE, DIM),
    }
}

fn figure(value: f64) -> String {
    match value {
        _ if value < 1.0 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => count(value.round() as u64),
    }
}

/// A share that is less than whole never looks whole.
fn watched(fraction: f64) -> Piece {
    let parts = (fraction.clamp(0.0, 1.0) * 1e6).floor() as u64;
    piece(number::percent(parts, 1_000_000), if parts == 1_000_000 { PLAIN } else { WARNING })
}

/// What to do.
fn meaning(verdict: &str) -> &'static str {
    match verdict {
        "drained" => "the old servers can be switched off",
        "draining" => "the old servers are still needed, or may be: wait",
        "not-closing" => "waiting does not help: what is named below has to be changed",
        "active" => "the old servers are in use: there was no cutover yet",
        "unknown" => "nobody was seen to ask, but that proves nothing: the holes are named below",
        _ => "",
    }
}

pub(super) fn style(verdict: &str) -> Style {
    match verdict {
        "drained" => GOOD,
        "not-closing" => BAD,
        "draining" | "unknown" => WARNING,
        _ => PLAIN,
    }
}

/// A time of the report as people read it.
fn moment(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), number::moment)
}

/// A sentence with its times as people read them.
fn short_times(text: &str) -> String {
    let short = |word: &str| {
        let bare = word.trim_end_matches([':', ',', ';']);
        match bare.parse::<Timestamp>() {
            Ok(time) if bare.len() > 20 => word.replace(bare, &number::moment(time)),
            _ => word.to_owned(),
        }
    };
    text.split(' ').map(short).collect::<Vec<_>>().join(" ")
}

fn parsed(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}
