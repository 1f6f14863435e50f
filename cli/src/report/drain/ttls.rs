//! TTLs of what leads to the old servers: when the cutover is safe.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lowtide_aggregate::drain::report::{MigrationReport, RrsetTtl};

use super::{moment, parsed};
use crate::report::more;
use crate::report::number::{self, NONE, count};
use crate::report::page::{BAD, DIM, GOOD, PLAIN, Page, Piece, WARNING, piece};
use crate::report::table::{Table, plain};
use crate::report::text::printable;

/// Before the cutover, which TTLs it has to wait for; afterwards they are in the cache horizon.
pub fn before_cutover(page: &mut Page, migration: &MigrationReport, at: Option<Timestamp>, top: usize) {
    let is_past = parsed(migration.cutover.as_deref()).zip(at).is_some_and(|(cutover, at)| cutover <= at);
    if is_past || at.is_none() {
        return;
    }
    page.blank();
    let (sign, style, text) = advice(migration, at);
    page.paragraph(piece(sign, style), 4, &printable(&text), style);
    if let Some(ttl) = of_parent(migration) {
        let text = format!(
            "The parent's records are replaced in caches within {} of the change, as is configured; nobody but the parent can lower that.",
            number::span(f64::from(ttl))
        );
        page.paragraph(piece("  · ", PLAIN), 4, &text, PLAIN);
    }
    table(page, migration, top);
}

/// The longest TTLs that lead to the old servers, at these and at the parent.
pub fn now(migration: &MigrationReport) -> Vec<Piece> {
    let served = migration.ttl_lowering.rrsets.iter().filter(|rrset| rrset.server.is_some());
    let seconds = |ttl: u32| number::span(f64::from(ttl));
    let old = match served.max_by_key(|rrset| rrset.ttl_s) {
        Some(of) => {
            let text = format!("old servers up to {} ({} {})", seconds(of.ttl_s), of.owner, of.rrtype);
            plain(printable(&text).into_owned())
        }
        None => piece("old servers were not seen to serve any that leads to them", DIM),
    };
    let parent = migration.cutover.as_ref().and(of_parent(migration));
    let parent = parent.map(|ttl| piece(format!("parent {}, as configured", seconds(ttl)), DIM));
    [Some(old), parent].into_iter().flatten().collect()
}

/// What can be said of the moment of the cutover.
fn advice(migration: &MigrationReport, at: Option<Timestamp>) -> (&'static str, anstyle::Style, String) {
    let lowering = &migration.ttl_lowering;
    let served = || lowering.rrsets.iter().filter(|rrset| rrset.server.is_some());
    let named = |rrset: &RrsetTtl| {
        format!("{} {} of {}", rrset.owner, rrset.rrtype, rrset.server.as_deref().unwrap_or_default())
    };
    let seconds = |ttl: u32| number::span(f64::from(ttl));
    let Some(highest) = served().max_by_key(|rrset| rrset.ttl_s) else {
        let text = "No old server was seen to serve what leads to it: which TTLs caches hold is not known. Ask each: dig +norecurse NS ZONE \
                    @SERVER."
            .to_owned();
        return ("  ▲ ", WARNING, text);
    };
    let first =
        served().filter_map(|rrset| rrset.first_seen.as_deref()).min().map_or(NONE.to_owned(), moment);
    if let (true, Some(target)) = (highest.above_target, lowering.target_ttl_s) {
        let text = format!(
            "The cutover is not safe: {} still has TTL {}, the plan says {}. Lower it, and wait for as long as it was.",
            named(highest),
            seconds(highest.ttl_s),
            seconds(target)
        );
        return ("  ✗ ", BAD, text);
    }
    let longest =
        served().filter(|rrset| rrset.safe_at.is_some()).max_by(|one, other| one.safe_at.cmp(&other.safe_at));
    let (Some(longest), Some(safe)) = (longest, lowering.earliest_safe_change.as_deref()) else {
        let text = format!(
            "No TTL was seen to be lowered since {first}: a change takes up to {} to take effect everywhere ({}), unless it is lowered \
             before. What was served before that time is not known.",
            seconds(highest.ttl_s),
            named(highest)
        );
        return ("  · ", PLAIN, text);
    };
    let (when, low) = (moment(safe), seconds(highest.ttl_s));
    let (held, lowered) = (
        seconds(longest.higher_ttl_s.unwrap_or(longest.ttl_max_s)),
        longest.lowered_at.as_deref().map_or(NONE.to_owned(), moment),
    );
    let wait = parsed(Some(safe)).zip(at).map_or(0.0, |(safe, at)| {
        at.until(safe).map_or(0.0, |span| span.total(jiff::Unit::Second).unwrap_or_default())
    });
    if wait > 0.0 {
        let text = format!(
            "The cutover is safe from {when} on (in {}): until then caches may hold {} with TTL {held}, served until {lowered}. Then a \
             change takes effect within {low}.",
            number::span(wait.ceil()),
            named(longest)
        );
        ("  ▲ ", WARNING, text)
    } else {
        let text = format!(
            "The cutover is safe since {when}: no cache holds {} with TTL {held} any more, served until {lowered}. A change takes effect \
             within {low}.",
            named(longest)
        );
        ("  ✓ ", GOOD, text)
    }
}

/// The longest TTL of the parent's records.
fn of_parent(migration: &MigrationReport) -> Option<u32> {
    let parents = migration.ttl_lowering.rrsets.iter().filter(|rrset| rrset.server.is_none());
    parents.map(|rrset| rrset.ttl_s).max()
}

/// Each RRset and server, whatever sections it stood in; those that hold the cutover back the longest first.
fn table(page: &mut Page, migration: &MigrationReport, top: usize) {
    let mut rrsets: BTreeMap<(String, &str), RrsetTtl> = BTreeMap::new();
    for rrset in &migration.ttl_lowering.rrsets {
        let Some(server) = rrset.server.as_deref() else { continue };
        rrsets
            .entry((format!("{} {}", rrset.owner, rrset.rrtype), server))
            .and_modify(|known| {
                known.ttl_s = known.ttl_s.max(rrset.ttl_s);
                known.ttl_max_s = known.ttl_max_s.max(rrset.ttl_max_s);
                known.above_target |= rrset.above_target;
                known.counts_down |= rrset.counts_down;
                if rrset.safe_at > known.safe_at {
                    known.safe_at.clone_from(&rrset.safe_at);
                    known.lowered_at.clone_from(&rrset.lowered_at);
                }
            })
            .or_insert_with(|| rrset.clone());
    }
    if rrsets.is_empty() {
        return;
    }
    let mut rows: Vec<_> = rrsets.into_iter().collect();
    rows.sort_by(|(_, one), (_, other)| {
        (other.above_target, &other.safe_at, other.ttl_s).cmp(&(one.above_target, &one.safe_at, one.ttl_s))
    });
    page.blank();
    let mut table = Table::new("leads to the old servers")
        .text("served by", 0)
        .figures("TTL", 0)
        .figures("highest", 1)
        .text("higher until", 2)
        .text("safe from", 0);
    let ttl = |ttl: u32| format!("{} s", count(u64::from(ttl)));
    let time = |time: &Option<String>| time.as_deref().map_or(NONE.to_owned(), moment);
    let mut counts_down = false;
    for ((rrset, server), of) in rows.iter().take(top) {
        let style = if of.above_target { BAD } else { PLAIN };
        let mark = if of.counts_down { "~" } else { "" };
        counts_down |= of.counts_down;
        table.row(
            plain(&*printable(rrset)),
            vec![
                plain(*server),
                piece(format!("{mark}{}", ttl(of.ttl_s)), style),
                plain(ttl(of.ttl_max_s)),
                plain(time(&of.lowered_at)),
                plain(time(&of.safe_at)),
            ],
        );
    }
    table.draw(page);
    more(page, rows.len(), top);
    if counts_down {
        page.paragraph(piece("  ", DIM), 2, "~ goes up and down, as in a cache before the server", DIM);
    }
}
