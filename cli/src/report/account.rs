//! The totals of the traffic, and what its responses say.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use lowtide_aggregate::report::Report;

use super::number::{self, count, percent, share};
use super::page::{BAD, BOLD, CHART, DIM, PLAIN, Page, Piece, WARNING, piece};
use super::table::Table;
use super::{View, chart, failure_style, opening};

/// Types and codes shown by name; the rest is one figure.
const NAMED: usize = 8;

/// How much traffic there was, of what kind, and how its queries ended.
pub fn traffic(page: &mut Page, report: &Report, views: &[View<'_>]) {
    let seconds =
        opening::time_span(report).map_or(0.0, |(first, last)| last.duration_since(first).as_secs_f64());
    let names = match (report.distinct_qnames, report.names_limited) {
        (0, _) => String::new(),
        (number, false) => number::counted(number, "distinct name", "distinct names"),
        (number, true) => {
            let limit = if report.source.is_some() { "--max-rows" } else { "--max-names" };
            format!("at least {} distinct names: {limit} was reached", count(number))
        }
    };
    page.heading("Traffic", &names);
    if views.iter().all(|view| view.queries + view.responses == 0) {
        let text = match report.source {
            None => "  no DNS message was seen; --port adds ports to look on",
            Some(_) => "  no DNS message of this was recorded in the range",
        };
        page.line(&[piece(text, WARNING)]);
        return;
    }
    for view in views {
        view.title(page);
        messages(page, "queries", view.queries, seconds);
        messages(page, "responses", view.responses, seconds);
        transactions(page, view);
        shares(page, "query types", view.qtypes, view.queries);
    }
    if views.len() == 1 {
        let all = report.messages.queries + report.messages.responses;
        shares(page, "transports", &report.transports, all);
        let families = [("IPv4", report.families.ipv4), ("IPv6", report.families.ipv6)].into_iter().collect();
        shares(page, "families", &families, all);
        let edns = [
            ("EDNS", report.messages.edns),
            ("DO bit", report.messages.dnssec_ok),
            ("client subnet", report.messages.client_subnet),
            ("cookie", report.messages.cookie),
        ];
        shares(page, "extensions", &edns.into_iter().collect(), all);
    }
}

fn messages(page: &mut Page, label: &str, number: u64, seconds: f64) {
    let mut pieces = vec![piece(count(number), BOLD)];
    if seconds >= 1.0 && number > 0 {
        pieces.push(piece(number::rate(number, seconds), PLAIN));
    }
    page.entry(label, "  ", pieces);
}

/// How the transactions ended: those that are pending have not, and are in no rate.
fn transactions(page: &mut Page, view: &View<'_>) {
    let paired = view.transactions;
    let ended = paired.answered + paired.unanswered;
    let mut pieces = Vec::new();
    if view.one_way {
        pieces.push(piece("not told by a one-way capture", WARNING));
    } else if ended > 0 {
        let (unanswered, style) = (paired.unanswered, failure_style(paired.unanswered, ended));
        let rate = format!("{} of {} transactions", percent(unanswered, ended), count(ended));
        pieces.push(piece(format!("{} answered", count(paired.answered)), BOLD));
        pieces.push(piece(format!("{} unanswered, {rate}", count(unanswered)), style));
    }
    for (number, what) in [
        (paired.pending - paired.evicted.min(paired.pending), "pending when the data ended"),
        (paired.evicted, "given up for want of memory"),
        (paired.retransmissions, "retransmissions"),
        (paired.duplicate_responses, "duplicate responses"),
        (paired.orphan_responses, "responses without a query"),
    ] {
        if number > 0 {
            pieces.push(piece(format!("{} {what}", count(number)), PLAIN));
        }
    }
    if !pieces.is_empty() {
        page.entry("transactions", " · ", pieces);
    }
}

/// The parts of a whole, largest first.
fn shares<K: AsRef<str>>(page: &mut Page, label: &str, parts: &BTreeMap<K, u64>, whole: u64) {
    let mut parts: Vec<(&str, u64)> = parts.iter().map(|(name, number)| (name.as_ref(), *number)).collect();
    parts.retain(|(_, number)| *number > 0);
    parts.sort_by_key(|(_, number)| Reverse(*number));
    let mut pieces: Vec<Piece> = parts
        .iter()
        .take(NAMED)
        .map(|(name, number)| piece(format!("{name} {}", percent(*number, whole)), PLAIN))
        .collect();
    if parts.len() > NAMED {
        let rest = parts.iter().skip(NAMED).map(|(_, number)| number).sum();
        pieces.push(piece(format!("{} others {}", parts.len() - NAMED, percent(rest, whole)), DIM));
    }
    if !pieces.is_empty() {
        page.entry(label, " · ", pieces);
    }
}

/// What the responses say, and what could not be read.
pub fn correct(page: &mut Page, report: &Report, views: &[View<'_>]) {
    page.heading("Correct?", "what the responses say");
    for view in views {
        view.title(page);
        if view.responses == 0 {
            page.line(&[piece("  no response was seen", DIM)]);
        } else {
            rcodes(page, view);
        }
    }
    let malformed: u64 = report.messages.malformed.values().sum();
    let mut pieces = Vec::new();
    if malformed > 0 {
        let all = report.messages.queries + report.messages.responses;
        let whole =
            format!("{} malformed, {} of {} messages", count(malformed), percent(malformed, all), count(all));
        pieces.push(piece(whole, BAD));
        pieces.extend(
            report
                .messages
                .malformed
                .iter()
                .map(|(reason, number)| piece(format!("{} {reason}", count(*number)), WARNING)),
        );
    }
    for (number, what) in [
        (report.messages.cut, "cut by the snap length"),
        (report.messages.no_question, "without a question"),
        (report.messages.many_questions, "with more than one question"),
        (report.messages.trailing_octets, "with octets behind the last record"),
    ] {
        if number > 0 {
            pieces.push(piece(format!("{} {what}", count(number)), PLAIN));
        }
    }
    if !pieces.is_empty() {
        page.entry("messages", " · ", pieces);
    }
    page.line(&[piece("  not compared: whether the servers of a zone give the same answers", DIM)]);
}

fn rcodes(page: &mut Page, view: &View<'_>) {
    let mut table = Table::new("response").figures("count", 0).figures("share", 0).text("", 1);
    let mut codes: Vec<_> = view.rcodes.iter().collect();
    codes.sort_by_key(|(_, number)| Reverse(**number));
    for (code, number) in codes {
        let style = match code.as_str() {
            _ if *number == 0 => DIM,
            "NOERROR" | "NXDOMAIN" => PLAIN,
            _ => WARNING,
        };
        table.row(piece(code.as_str(), style), part(*number, view.responses));
    }
    for (name, number) in
        [("· NODATA", view.nodata), ("· referral", view.referrals), ("· truncated", view.truncated)]
    {
        if number > 0 {
            table.row(piece(name, DIM), part(number, view.responses));
        }
    }
    table.draw(page);
    page.line(&[piece(
        format!("  shares are of {} responses; · are among those above", count(view.responses)),
        DIM,
    )]);
}

fn part(number: u64, whole: u64) -> Vec<Piece> {
    vec![
        piece(count(number), PLAIN),
        piece(percent(number, whole), PLAIN),
        piece(chart::bar(share(number, whole), 30), CHART),
    ]
}
