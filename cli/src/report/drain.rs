//! The verdicts on migrations as a person reads them: verdict and reasons first, then what they stand on.

use std::collections::BTreeMap;

use anstyle::Style;
use jiff::Timestamp;
use lowtide_aggregate::drain::DrainReport;
use lowtide_aggregate::drain::report::{MigrationReport, Reason, ServerReport, Split};
use lowtide_capture::Input;

use super::chart;
use super::more;
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
        one(&mut page, migration, top);
    }
    page.into_text()
}

fn one(page: &mut Page, migration: &MigrationReport, top: usize) {
    let zones: Vec<_> = migration.zones.iter().map(|zone| printable(zone)).collect();
    page.heading(&printable(&migration.name), &zones.join(", "));
    let style = style(migration.verdict);
    page.line(&[piece("  ", PLAIN), piece(migration.verdict, style.bold())]);
    reasons(page, &migration.reasons);
    page.blank();
    times(page, migration);
    split(page, &migration.split);
    servers(page, &migration.servers);
    clients(page, &migration.servers, top);
}

/// Where a reason stands among others: the gravest first, so that what has to be done is not below what has to be waited for.
fn rank(reason: &Reason) -> u8 {
    match reason.code {
        "still-served" => 0,
        "never-asked" | "no-frame" | "nothing-to-watch" => 1,
        "hole" => 2,
        "queries" => 3,
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

fn times(page: &mut Page, migration: &MigrationReport) {
    let time = |text: &Option<String>| text.as_deref().map_or(NONE.to_owned(), moment);
    page.entry("cutover", "", vec![plain(time(&migration.cutover))]);
    page.entry("cache horizon", "", vec![plain(time(&migration.cache_horizon))]);
    page.entry(
        "last query",
        " · ",
        vec![
            plain(time(&migration.quiet_since)),
            piece(format!("quiet for {} is needed", number::span(migration.quiet_required_s)), DIM),
        ],
    );
    if let Some(decay) = &migration.decay {
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
}

/// Queries to old and new servers over time, an hour or more each column.
fn split(page: &mut Page, split: &[Split]) {
    let hour = |split: &Split| Some(split.start.parse::<Timestamp>().ok()?.as_second() / 3_600);
    let hours: BTreeMap<i64, (u64, u64)> =
        split.iter().filter_map(|split| Some((hour(split)?, (split.old, split.new)))).collect();
    let (Some((&first, _)), Some((&last, _))) = (hours.first_key_value(), hours.last_key_value()) else {
        return;
    };
    let wide = (last - first) / STEPS as i64 + 1;
    let columns = usize::try_from((last - first) / wide + 1).unwrap_or(STEPS);
    let mut steps: Vec<Option<(u64, u64)>> = vec![None; columns];
    for (hour, (old, new)) in hours {
        let at = usize::try_from((hour - first) / wide).unwrap_or_default();
        if let Some(step) = steps.get_mut(at) {
            let (old_before, new_before) = step.unwrap_or_default();
            *step = Some((old_before + old, new_before + new));
        }
    }
    let mut line = |label: &str, of: fn((u64, u64)) -> u64| {
        let values: Vec<_> = steps.iter().map(|step| step.map(|step| of(step) as f64)).collect();
        let sum: u64 = steps.iter().flatten().map(|&step| of(step)).sum();
        let total = counted(sum, "query", "queries");
        let mut pieces = vec![plain(total)];
        if steps.len() > 1 {
            let step = format!("{} a column", number::span(wide as f64 * 3_600.0));
            pieces.insert(0, piece(chart::sparkline(&values), CHART));
            pieces.push(piece(step, DIM));
        }
        page.entry(label, "  ", pieces);
    };
    line("to old", |(old, _)| old);
    line("to new", |(_, new)| new);
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

/// Who asked since the cutover: in which classes, and those with the most queries.
fn clients(page: &mut Page, servers: &[ServerReport], top: usize) {
    #[derive(Default)]
    struct Of<'a> {
        class: &'a str,
        queries: u64,
        last: &'a str,
        period: Option<f64>,
        servers: std::collections::BTreeSet<&'a str>,
    }
    let mut clients: BTreeMap<&str, Of<'_>> = BTreeMap::new();
    for server in servers {
        for client in &server.residual_clients {
            let of = clients.entry(&client.address).or_default();
            of.queries += client.queries;
            of.servers.insert(&server.address);
            // RFC 3339 in UTC with all digits: the order of the texts is that of the times. What it did last tells what it is.
            if client.last_seen.as_str() > of.last {
                (of.last, of.class, of.period) = (&client.last_seen, client.class, client.period_s);
            }
        }
    }
    if clients.is_empty() {
        return;
    }
    let mut classes: BTreeMap<&str, u64> = BTreeMap::new();
    clients.values().for_each(|of| *classes.entry(of.class).or_default() += 1);
    page.blank();
    let classes = classes.into_iter().map(|(class, number)| plain(format!("{} {class}", count(number))));
    page.flow(piece("  asked since the cutover: ", DIM), 4, " · ", classes.collect());
    let mut rows: Vec<_> = clients.into_iter().collect();
    rows.sort_by_key(|(_, of)| std::cmp::Reverse(of.queries));
    let mut table = Table::new("client")
        .text("class", 0)
        .figures("queries", 0)
        .text("last query", 0)
        .figures("period", 1)
        .figures("servers", 2);
    for (address, of) in rows.iter().take(top) {
        table.row(
            plain(*address),
            vec![
                plain(of.class),
                plain(count(of.queries)),
                plain(moment(of.last)),
                plain(of.period.map_or(NONE.to_owned(), number::span)),
                plain(count(of.servers.len() as u64)),
            ],
        );
    }
    table.draw(page);
    more(page, rows.len(), top);
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
