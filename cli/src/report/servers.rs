//! Are the servers answering?

use lowtide_aggregate::report::{Report, Server};

use super::number::count;
use super::page::{BAD, BOLD, DIM, Page, piece};
use super::table::{Table, plain, styled};
use super::{Layout, failure_share, latency_cell, more, number, role_is_one_way};

/// Columns of the longest IPv6 address. A shortened address could be another server's.
const LONGEST_ADDRESS: usize = 39;

/// The table of the servers.
pub fn reachable(page: &mut Page, report: &Report, layout: &Layout) {
    if report.servers.is_empty() {
        return;
    }
    let one_way = |server: &Server| role_is_one_way(report, server.role);
    let silent = report.servers.iter().filter(|server| is_silent(server) && !one_way(server)).count();
    let remark = match (report.servers.len(), silent) {
        _ if report.servers.iter().all(one_way) => "not told by a one-way capture".to_owned(),
        (all, 0) => format!("{} answering", number::counted(all as u64, "server", "servers")),
        (all, silent) => {
            format!("{silent} of {} never answered", number::counted(all as u64, "server", "servers"))
        }
    };
    page.heading("Reachable?", &remark);

    let roles = report.roles.len() > 1;
    let mut table = Table::new("server").narrowest(LONGEST_ADDRESS);
    if roles {
        table = table.text("role", 0);
    }
    let mut table = table
        .figures("queries", 0)
        .figures("unanswered", 2)
        .figures("rate", 0)
        .figures("responses", 6)
        .figures("SERVFAIL", 3)
        .figures("REFUSED", 5)
        .figures("p50", 4)
        .figures("p99", 1);
    for server in report.servers.iter().take(layout.top) {
        let code = |name: &str| server.rcodes.get(name).copied().unwrap_or(0);
        let mut cells = Vec::with_capacity(9);
        if roles {
            cells.push(plain(server.role));
        }
        cells.push(plain(count(server.queries)));
        if one_way(server) {
            cells.extend([styled(number::NONE, DIM), styled(number::NONE, DIM)]);
        } else {
            cells.extend([plain(count(server.unanswered)), failure_share(server.unanswered, server.queries)]);
        }
        cells.extend([
            plain(count(server.responses)),
            failure_share(code("SERVFAIL"), server.responses),
            failure_share(code("REFUSED"), server.responses),
            latency_cell(server.latency_us.p50),
            latency_cell(server.latency_us.p99),
        ]);
        table.row(
            piece(server.address.as_str(), if is_silent(server) && !one_way(server) { BAD } else { BOLD }),
            cells,
        );
    }
    table.draw(page);
    page.line(&[piece("  rate is unanswered of queries; SERVFAIL and REFUSED are of responses", DIM)]);
    more(page, report.servers.len(), layout.top);
}

fn is_silent(server: &Server) -> bool {
    server.responses == 0 && server.unanswered > 0
}
