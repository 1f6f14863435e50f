//! Names and zones: the most asked, those that fail, the slowest.

use lowtide_aggregate::report::{Qname, Report};

use super::number::count;
use super::page::{DIM, PLAIN, Page, Piece, piece};
use super::table::{Table, plain};
use super::{Layout, failure_share, failures, latency_cell, more, number, role_is_one_way};

/// The names asked most.
pub fn most_asked(page: &mut Page, report: &Report, layout: &Layout) {
    let mut table = of_names(report)
        .figures("queries", 0)
        .figures("responses", 1)
        .figures("NODATA", 4)
        .figures("NXDOMAIN", 0)
        .figures("SERVFAIL", 0)
        .figures("unanswered", 3)
        .figures("p50", 2)
        .figures("p99", 0);
    for name in report.qnames.iter().take(layout.top) {
        let cells = vec![
            plain(count(name.queries)),
            plain(count(name.responses)),
            quiet(name.nodata),
            quiet(name.nxdomain),
            failures(name.servfail),
            unanswered(report, name.role, name.unanswered),
            latency_cell(name.latency_us.p50),
            latency_cell(name.latency_us.p99),
        ];
        row(&mut table, report, name, cells);
    }
    draw(page, "Most asked names", "by queries", &table, report.qnames.len(), layout);
}

/// The names that failed most.
pub fn failing(page: &mut Page, report: &Report, layout: &Layout) {
    let mut table = of_names(report)
        .figures("queries", 0)
        .figures("responses", 0)
        .figures("SERVFAIL", 0)
        .figures("REFUSED", 0)
        .figures("unanswered", 0)
        .figures("NXDOMAIN", 0)
        .figures("p99", 1);
    let known: Vec<&Qname> =
        report.failing_qnames.iter().filter(|name| is_known_to_fail(report, name)).collect();
    for name in known.iter().take(layout.top) {
        let cells = vec![
            plain(count(name.queries)),
            plain(count(name.responses)),
            failures(name.servfail),
            failures(name.refused),
            unanswered(report, name.role, name.unanswered),
            quiet(name.nxdomain),
            latency_cell(name.latency_us.p99),
        ];
        row(&mut table, report, name, cells);
    }
    let remark = "by SERVFAIL, REFUSED and unanswered, then NXDOMAIN";
    draw(page, "Failing names", remark, &table, known.len(), layout);
}

/// Whether its failure is more than the want of responses in a one-way capture.
fn is_known_to_fail(report: &Report, name: &Qname) -> bool {
    name.servfail + name.refused + name.nxdomain > 0 || !role_is_one_way(report, name.role)
}

/// The names slowest to answer.
pub fn slowest(page: &mut Page, report: &Report, layout: &Layout) {
    let mut table = of_names(report)
        .figures("answers", 0)
        .figures("p50", 0)
        .figures("p90", 1)
        .figures("p99", 0)
        .figures("max", 0)
        .figures("SERVFAIL", 2);
    for name in report.slowest_qnames.iter().take(layout.top) {
        let latency = &name.latency_us;
        let cells = vec![
            plain(count(latency.count)),
            latency_cell(latency.p50),
            latency_cell(latency.p90),
            latency_cell(latency.p99),
            latency_cell(latency.max),
            failures(name.servfail),
        ];
        row(&mut table, report, name, cells);
    }
    let remark = "by p99, of the names with enough answers to tell";
    draw(page, "Slowest names", remark, &table, report.slowest_qnames.len(), layout);
}

/// The zones asked most.
pub fn zones(page: &mut Page, report: &Report, layout: &Layout) {
    let mut table = Table::new("zone");
    // Rows do not tell how a zone was known.
    let known = report.source.is_none();
    if known {
        table = table.text("known by", 3);
    }
    if report.roles.len() > 1 {
        table = table.text("role", 0);
    }
    let mut table = table
        .figures("queries", 0)
        .figures("unanswered", 1)
        .figures("responses", 1)
        .figures("NXDOMAIN", 0)
        .figures("SERVFAIL", 0)
        .figures("p50", 2)
        .figures("p99", 0);
    for zone in report.zones.iter().take(layout.top) {
        let mut cells = Vec::with_capacity(9);
        if known {
            cells.push(piece(zone.known_by, DIM));
        }
        if report.roles.len() > 1 {
            cells.push(plain(zone.role));
        }
        cells.extend([
            plain(count(zone.queries)),
            unanswered(report, zone.role, zone.unanswered),
            plain(count(zone.responses)),
            plain(number::percent(zone.nxdomain, zone.responses)),
            failure_share(zone.servfail, zone.responses),
            latency_cell(zone.latency_us.p50),
            latency_cell(zone.latency_us.p99),
        ]);
        table.row(plain(zone.zone.as_str()), cells);
    }
    let remark = "by queries; NXDOMAIN and SERVFAIL are shares of the zone's responses";
    draw(page, "Zones", remark, &table, report.zones.len(), layout);
}

/// A table whose rows are names; with a column for the role when there are several.
fn of_names(report: &Report) -> Table {
    let table = Table::new("name").text("type", 0);
    if report.roles.len() > 1 { table.text("role", 0) } else { table }
}

fn row(table: &mut Table, report: &Report, name: &Qname, figures: Vec<Piece>) {
    let mut cells = vec![piece(name.qtype.as_str(), DIM)];
    if report.roles.len() > 1 {
        cells.push(plain(name.role));
    }
    cells.extend(figures);
    table.row(plain(name.qname.as_str()), cells);
}

/// A section, when there is something in it.
fn draw(page: &mut Page, title: &str, remark: &str, table: &Table, rows: usize, layout: &Layout) {
    if rows > 0 && layout.top > 0 {
        page.heading(title, remark);
        table.draw(page);
        more(page, rows, layout.top);
    }
}

/// A figure that is no failure.
fn quiet(number: u64) -> Piece {
    piece(count(number), if number == 0 { DIM } else { PLAIN })
}

/// Queries without a response, which a one-way capture does not tell.
fn unanswered(report: &Report, role: &str, number: u64) -> Piece {
    if role_is_one_way(report, role) { piece(number::NONE, DIM) } else { failures(number) }
}
