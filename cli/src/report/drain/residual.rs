//! Who still asks, and for what.

use std::collections::{BTreeMap, BTreeSet};

use lowtide_aggregate::drain::report::{MigrationReport, ResidualReport, ServerReport};

use super::moment;
use crate::report::more;
use crate::report::number::{self, NONE, count, counted};
use crate::report::page::{DIM, PLAIN, Page, Piece, piece};
use crate::report::table::{Table, plain};
use crate::report::text::printable;

/// Clients since the cutover by class, network, system and country, those with the most queries, and the names they ask for.
pub fn residual(page: &mut Page, migration: &MigrationReport, top: usize) {
    let residual = &migration.residual;
    if residual.clients == 0 {
        return;
    }
    page.subheading("Who asked the old servers since the cutover");
    let mut pieces = vec![plain(counted(residual.clients, "client", "clients"))];
    let classes = residual.classes.iter().map(|(class, number)| plain(format!("{} {class}", count(*number))));
    pieces.extend(classes);
    if residual.other_queries > 0 {
        let others = format!(
            "and about {} more, with {}",
            count(residual.other_clients),
            counted(residual.other_queries, "query", "queries")
        );
        pieces.push(piece(others, DIM));
    }
    page.flow(piece("  ", PLAIN), 4, " · ", pieces);
    if !residual.countries.is_empty() {
        let countries = residual
            .countries
            .iter()
            .take(top)
            .map(|of| plain(format!("{} {}", of.country, counted(of.clients, "client", "clients"))));
        page.flow(piece("  countries: ", DIM), 4, " · ", countries.collect());
    }
    page.blank();
    networks(page, residual, top);
    systems(page, residual, top);
    clients(page, &migration.servers, top);
    page.paragraph(
        piece("  ", DIM),
        2,
        "queries of clients are all that were seen, also before the cutover",
        DIM,
    );
    names(page, &migration.servers, top);
}

fn networks(page: &mut Page, residual: &ResidualReport, top: usize) {
    let is_known = residual.prefixes.iter().any(|of| of.asn.is_some() || of.country.is_some());
    let mut table =
        Table::new("network").narrowest(18).figures("clients", 0).figures("queries", 0).text("last query", 1);
    if is_known {
        table = table.text("country", 2).text("autonomous system", 0);
    }
    for of in residual.prefixes.iter().take(top) {
        let mut cells =
            vec![plain(count(of.clients)), plain(count(of.queries)), plain(moment(&of.last_seen))];
        if is_known {
            cells.push(plain(of.country.as_deref().unwrap_or(NONE)));
            cells.push(system(of.asn, of.as_org.as_deref()));
        }
        table.row(plain(of.prefix.as_str()), cells);
    }
    table.draw(page);
    more(page, residual.prefixes.len() + usize::try_from(residual.other_prefixes).unwrap_or(usize::MAX), top);
}

fn systems(page: &mut Page, residual: &ResidualReport, top: usize) {
    if residual.autonomous_systems.is_empty() {
        return;
    }
    page.blank();
    let mut table =
        Table::new("autonomous system").figures("clients", 0).figures("queries", 0).text("last query", 0);
    for of in residual.autonomous_systems.iter().take(top) {
        table.row(
            system(Some(of.asn), of.as_org.as_deref()),
            vec![plain(count(of.clients)), plain(count(of.queries)), plain(moment(&of.last_seen))],
        );
    }
    table.draw(page);
    more(page, residual.autonomous_systems.len(), top);
}

/// What a database says may be anything.
fn system(asn: Option<u32>, org: Option<&str>) -> Piece {
    match (asn, org) {
        (Some(asn), Some(org)) => {
            plain(format!("AS{asn} {}", crate::report::text::shorten(&printable(org), 28)))
        }
        (Some(asn), None) => plain(format!("AS{asn}")),
        _ => piece(NONE, DIM),
    }
}

/// Those with the most queries.
fn clients(page: &mut Page, servers: &[ServerReport], top: usize) {
    #[derive(Default)]
    struct Of<'a> {
        class: &'a str,
        queries: u64,
        last: &'a str,
        period: Option<f64>,
        wants: Option<(&'a str, &'a str)>,
        servers: BTreeSet<&'a str>,
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
                of.wants = client.last_qname.as_deref().zip(client.last_qtype.as_deref());
            }
        }
    }
    let mut rows: Vec<_> = clients.into_iter().collect();
    rows.sort_by_key(|(_, of)| std::cmp::Reverse(of.queries));
    page.blank();
    let mut table = Table::new("client")
        .narrowest(16)
        .text("class", 0)
        .figures("queries", 0)
        .text("last query", 0)
        .figures("period", 1)
        .figures("servers", 3);
    // Rows of ClickHouse do not tell.
    let is_told = rows.iter().any(|(_, of)| of.wants.is_some());
    if is_told {
        table = table.text("asked last for", 2);
    }
    for (address, of) in rows.iter().take(top) {
        let wants = of
            .wants
            .map(|(qname, qtype)| format!("{} {qtype}", crate::report::text::shorten(&printable(qname), 32)));
        let mut cells = vec![
            plain(of.class),
            plain(count(of.queries)),
            plain(moment(of.last)),
            plain(of.period.map_or(NONE.to_owned(), number::span)),
            plain(count(of.servers.len() as u64)),
        ];
        cells.extend(is_told.then(|| wants.map_or(piece(NONE, DIM), plain)));
        table.row(plain(*address), cells);
    }
    table.draw(page);
    more(page, rows.len(), top);
}

/// What they ask for, of all old servers together.
fn names(page: &mut Page, servers: &[ServerReport], top: usize) {
    let mut names: BTreeMap<(&str, &str), (u64, &str, u64)> = BTreeMap::new();
    let (mut all, mut told) = (0, 0);
    for wanted in servers.iter().filter_map(|server| server.wanted.as_ref()) {
        all += wanted.queries;
        for name in &wanted.names {
            let (queries, last, servers) = names.entry((&name.qname, &name.qtype)).or_default();
            *queries += name.queries;
            *servers += 1;
            *last = (*last).max(&name.last_seen);
        }
    }
    if names.is_empty() {
        return;
    }
    let mut rows: Vec<_> = names.into_iter().collect();
    rows.sort_by_key(|(_, (queries, ..))| std::cmp::Reverse(*queries));
    page.blank();
    let mut table = Table::new("still asked for")
        .text("type", 0)
        .figures("queries", 0)
        .figures("share", 1)
        .text("last query", 0)
        .figures("servers", 2);
    for ((qname, qtype), (queries, last, servers)) in rows.iter().take(top) {
        told += queries;
        table.row(
            plain(&*printable(qname)),
            vec![
                plain(*qtype),
                plain(count(*queries)),
                plain(number::percent(*queries, all)),
                plain(moment(last)),
                plain(count(*servers)),
            ],
        );
    }
    if all > told {
        let cells = vec![
            piece("", DIM),
            piece(count(all - told), DIM),
            piece(number::percent(all - told, all), DIM),
            piece("", DIM),
            piece("", DIM),
        ];
        table.row(piece("(others)", DIM), cells);
    }
    table.draw(page);
}
