//! The opening of the report: what was read, what the reader must know, and that the accounts balance.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lowtide_aggregate::report::{Input, Report};

use super::View;
use super::dropped::words;
use super::number::{self, count, counted};
use super::page::{BAD, BOLD, DIM, GOOD, HEADING, PLAIN, Page, Piece, WARNING, piece};
use super::text::{input_name, printable, shorten, width};

/// Inputs shown by name, besides those that lack something.
const NAMED: usize = 8;

/// What was read.
pub fn inputs(page: &mut Page, report: &Report) {
    let inputs = &report.inputs;
    let frames = inputs.iter().map(|input| input.frames).sum();
    let bytes = inputs.iter().map(|input| input.bytes).sum();
    page.flow(
        piece("lowtide  ", HEADING),
        9,
        " · ",
        vec![
            piece(counted(inputs.len() as u64, "input", "inputs"), BOLD),
            piece(counted(frames, "frame", "frames"), BOLD),
            piece(number::bytes(bytes), BOLD),
        ],
    );
    if let Some((first, last)) = time_span(report) {
        let seconds = last.duration_since(first).as_secs_f64();
        page.line(&[
            piece(format!("  {} to {}", number::moment(first), number::moment(last)), PLAIN),
            piece(format!("  ({})", number::span(seconds)), DIM),
        ]);
    }
    for (place, input) in inputs.iter().enumerate() {
        if place < NAMED || is_deficient(input) {
            file(page, input);
        }
    }
    let unnamed = inputs.iter().skip(NAMED).filter(|input| !is_deficient(input)).count();
    if unnamed > 0 {
        page.line(&[piece(format!("  … and {}", counted(unnamed as u64, "more input", "more inputs")), DIM)]);
    }
}

/// Whether the reader must know of it, however many inputs there are.
const fn is_deficient(input: &Input) -> bool {
    input.damaged.is_some() || !input.dropped.is_empty()
}

fn file(page: &mut Page, input: &Input) {
    let kind = match input.link_type.as_str() {
        "" => printable(&input.format).into_owned(),
        link_type => format!("{} ({})", printable(&input.format), printable(link_type)),
    };
    let name = input_name(&input.path);
    let figures = [kind, counted(input.frames, "frame", "frames"), number::bytes(input.bytes)].join(" · ");
    let room = page.width().saturating_sub(width(&figures) + 4).max(20);
    page.line(&[
        piece("  ", PLAIN),
        piece(shorten(&name, room), BOLD),
        piece("  ", PLAIN),
        piece(figures, DIM),
    ]);
    if let Some(damaged) = &input.damaged {
        let text = format!(
            "damaged at offset {}: {}; everything before it is counted",
            count(damaged.offset),
            printable(&damaged.reason)
        );
        page.paragraph(piece("    ✗ ", BAD), 6, &text, BAD);
    }
    for dropped in &input.dropped {
        let moment = |text: &Option<String>| text.as_deref()?.parse().ok().map(number::moment);
        let since = moment(&dropped.from).map(|from| format!(", since {from}"));
        let until = moment(&dropped.to).map(|to| format!(", until {to}"));
        let text =
            [Some(words(dropped.by, dropped.count)), since, until].into_iter().flatten().collect::<String>();
        page.paragraph(piece("    ✗ ", BAD), 6, &text, BAD);
    }
}

/// The earliest and the latest time in all inputs, or of what sensors covered.
pub fn time_span(report: &Report) -> Option<(Timestamp, Timestamp)> {
    let inputs = report.inputs.iter().map(|input| (&input.first, &input.last));
    let covered = report.coverage.iter().map(|coverage| (&coverage.first, &coverage.last));
    let spans = || inputs.clone().chain(covered.clone());
    let time = |text: &Option<String>| text.as_deref()?.parse().ok();
    let first = spans().filter_map(|(first, _)| time(first)).min()?;
    Some((first, spans().filter_map(|(_, last)| time(last)).max()?))
}

/// What the reader of the figures must know.
pub fn notes(page: &mut Page, report: &Report) {
    if !report.notes.is_empty() {
        page.blank();
    }
    for note in &report.notes {
        page.paragraph(piece("▲ ", WARNING), 2, &printable(&note.text), WARNING);
    }
}

/// That every frame and every message is accounted for.
pub fn balance(page: &mut Page, report: &Report, views: &[View<'_>]) {
    if report.source.is_some() && report.roles.is_empty() {
        return;
    }
    page.blank();
    if report.source.is_none() {
        let frames = report.inputs.iter().map(|input| input.frames).sum();
        let mut fates = largest_first(&report.frame_fates);
        fates.retain(|(_, number)| *number > 0);
        sum(page, frames, "", ("frame", "frames"), &fates);
    }

    for view in views.iter().filter(|view| view.queries + view.responses > 0) {
        let paired = view.transactions;
        let role = view.role.map(|role| format!("{role} ")).unwrap_or_default();
        let of_queries = [
            ("answered", paired.answered),
            ("unanswered", paired.unanswered),
            ("pending", paired.pending),
            ("retransmissions", paired.retransmissions),
        ];
        let of_responses = [
            ("answered", paired.answered),
            ("duplicate", paired.duplicate_responses),
            ("orphan", paired.orphan_responses),
        ];
        if view.queries > 0 {
            sum(page, view.queries, &role, ("query", "queries"), &of_queries);
        }
        if view.responses > 0 {
            sum(page, view.responses, &role, ("response", "responses"), &of_responses);
        }
    }
    remark(page, "malformed frames", &report.frame_defects);
    let lost =
        |(name, number): (&String, &u64)| LOSSES.contains(&name.as_str()).then(|| (name.clone(), *number));
    remark(page, "reassembly", &report.reassembly.iter().filter_map(lost).collect());
}

/// `accounts balance: 3 frames = 2 udp_message + 1 malformed`
fn sum(page: &mut Page, whole: u64, role: &str, (one, many): (&str, &str), parts: &[(&str, u64)]) {
    let added: u64 = parts.iter().map(|(_, number)| number).sum();
    let shown = parts.iter().filter(|(_, number)| *number > 0);
    let mut pieces: Vec<Piece> = Vec::new();
    for (name, number) in shown {
        let sign = if pieces.is_empty() { "= " } else { "+ " };
        pieces.push(piece(format!("{sign}{} {name}", count(*number)), PLAIN));
    }
    let whole_text = format!("{} {role}{}", count(whole), if whole == 1 { one } else { many });
    let first = if added == whole {
        piece("accounts balance: ", GOOD)
    } else {
        pieces.push(piece(format!("({} accounted for; please report this)", count(added)), BAD));
        piece("accounts DO NOT balance: ", BAD)
    };
    pieces.insert(0, piece(whole_text, BOLD));
    page.flow(first, 18, " ", pieces);
}

/// The reassembly counters that tell of messages which could not be read, or not to their end.
const LOSSES: [&str; 11] = [
    "fragments_expired",
    "fragments_evicted",
    "fragments_conflicting",
    "fragments_incomplete",
    "tcp_messages_cut",
    "tcp_messages_short",
    "tcp_skipped_octets",
    "tcp_gaps",
    "tcp_lost_octets",
    "tcp_flows_evicted",
    "tcp_buffers_evicted",
];

fn remark<K: AsRef<str>>(page: &mut Page, label: &str, counts: &BTreeMap<K, u64>) {
    let counts = largest_first(counts);
    if counts.iter().any(|(_, number)| *number > 0) {
        let pieces = counts
            .iter()
            .filter(|(_, number)| *number > 0)
            .map(|(name, number)| piece(format!("{} {name}", count(*number)), WARNING))
            .collect();
        page.flow(piece(format!("{label}: "), DIM), 18, " · ", pieces);
    }
}

fn largest_first<K: AsRef<str>>(counts: &BTreeMap<K, u64>) -> Vec<(&str, u64)> {
    let mut counts: Vec<_> = counts.iter().map(|(name, number)| (name.as_ref(), *number)).collect();
    counts.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    counts
}
