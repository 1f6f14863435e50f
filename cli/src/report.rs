//! The report as a person reads it on a terminal.

mod account;
mod chart;
mod coverage;
pub mod drain;
pub mod dropped;
mod latency;
mod moves;
mod names;
pub mod number;
mod opening;
mod page;
#[cfg(test)]
mod sample;
mod servers;
mod table;
pub mod text;

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::Style;
use lowtide_aggregate::report::{Interval, Latency, Report, RoleReport, Transactions};

use page::{BAD, DIM, PLAIN, Page, Piece, WARNING, piece};

/// How the report is laid out.
pub struct Layout {
    /// Columns of a line.
    pub width: usize,
    /// Rows of a table.
    pub top: usize,
    /// The length of the report's intervals.
    pub interval: Duration,
}

/// The whole report, with escape sequences for its colours.
pub fn render(report: &Report, layout: &Layout) -> String {
    let mut page = Page::new(layout.width);
    let views = views(report);
    match &report.source {
        None => opening::inputs(&mut page, report),
        Some(source) => coverage::source(&mut page, source),
    }
    opening::notes(&mut page, report);
    opening::balance(&mut page, report, &views);
    if let Some(source) = &report.source {
        coverage::coverage(&mut page, report, source, layout);
    }
    account::traffic(&mut page, report, &views);
    if views.iter().any(|view| view.queries + view.responses > 0) {
        servers::reachable(&mut page, report, layout);
        account::correct(&mut page, report, &views);
        latency::slower(&mut page, &views, layout);
    }
    if !report.migrations.is_empty() || views.iter().any(|view| view.queries + view.responses > 0) {
        moves::drained(&mut page, &report.migrations);
    }
    names::most_asked(&mut page, report, layout);
    names::failing(&mut page, report, layout);
    names::slowest(&mut page, report, layout);
    names::zones(&mut page, report, layout);
    page.into_text()
}

/// The account of one role, or of all traffic when it has but one.
struct View<'a> {
    /// The role, when there are several.
    role: Option<&'static str>,
    queries: u64,
    responses: u64,
    transactions: &'a Transactions,
    qtypes: &'a BTreeMap<String, u64>,
    rcodes: &'a BTreeMap<String, u64>,
    nodata: u64,
    referrals: u64,
    truncated: u64,
    latency: &'a Latency,
    histogram: &'a [(u64, u64)],
    intervals: &'a [Interval],
    /// Whether queries or responses are missing because the capture has one direction only.
    one_way: bool,
}

impl<'a> View<'a> {
    fn of_role(role: &'a RoleReport) -> Self {
        View {
            role: Some(role.role),
            queries: role.queries,
            responses: role.responses,
            transactions: &role.transactions,
            qtypes: &role.qtypes,
            rcodes: &role.rcodes,
            nodata: role.nodata,
            referrals: role.referrals,
            truncated: role.truncated_responses,
            latency: &role.latency_us,
            histogram: &role.latency_histogram_us,
            intervals: &role.intervals,
            one_way: is_one_way(role.queries, role.responses),
        }
    }

    /// Says whose account follows, when there are several.
    fn title(&self, page: &mut Page) {
        if let Some(role) = self.role {
            page.subheading(&format!("role {role}"));
        }
    }
}

/// The accounts to show. Roles are different traffic and are never added together.
fn views(report: &Report) -> Vec<View<'_>> {
    if report.roles.len() < 2 {
        return vec![View {
            role: None,
            queries: report.messages.queries,
            responses: report.messages.responses,
            transactions: &report.transactions,
            qtypes: &report.qtypes,
            rcodes: &report.rcodes,
            nodata: report.nodata,
            referrals: report.referrals,
            truncated: report.truncated_responses,
            latency: &report.latency_us,
            histogram: &report.latency_histogram_us,
            intervals: &report.intervals,
            one_way: is_one_way(report.messages.queries, report.messages.responses),
        }];
    }
    report.roles.iter().map(View::of_role).collect()
}

/// Whether only one direction was captured, so that "unanswered" means nothing.
fn is_one_way(queries: u64, responses: u64) -> bool {
    (queries == 0) != (responses == 0)
}

/// Whether only one direction of a role's traffic was captured.
fn role_is_one_way(report: &Report, role: &str) -> bool {
    report.roles.iter().any(|account| account.role == role && is_one_way(account.queries, account.responses))
}

/// A name's figure of failures: what is there is seen, what is not recedes.
fn failures(number: u64) -> Piece {
    piece(number::count(number), if number == 0 { DIM } else { WARNING })
}

/// A share of failures.
fn failure_share(part: u64, whole: u64) -> Piece {
    piece(number::percent(part, whole), failure_style(part, whole))
}

/// How a share of failures looks.
fn failure_style(part: u64, whole: u64) -> Style {
    match number::share(part, whole) {
        _ if part == 0 => DIM,
        share if share >= 0.05 => BAD,
        share if share >= 0.01 => WARNING,
        _ => PLAIN,
    }
}

/// A latency in a column: the units stand below each other.
fn latency_cell(micros: Option<f64>) -> Piece {
    let mut text = number::latency(micros);
    if text.ends_with(" s") {
        text.push(' ');
    }
    piece(text, if micros.is_none() { DIM } else { PLAIN })
}

/// Says how many rows were left out.
fn more(page: &mut Page, all: usize, shown: usize) {
    if all > shown {
        page.line(&[piece(
            format!("  … and {} more; --top and --json show them", number::count((all - shown) as u64)),
            DIM,
        )]);
    }
}

#[cfg(test)]
mod tests;
