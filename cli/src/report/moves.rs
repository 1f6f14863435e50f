//! Migrations in the report of a replay: the verdict of each, and what stands against it.

use lowtide_aggregate::drain::report::MigrationReport;

use super::drain::{gravest, style};
use super::page::{DIM, PLAIN, Page, piece};
use super::text::printable;

/// Reasons that are told of a migration.
const TOLD: usize = 3;

/// The section on migrations.
pub fn drained(page: &mut Page, migrations: &[MigrationReport]) {
    page.heading("Drained?", "");
    if migrations.is_empty() {
        let text = "  not asked: 'lowtide drain' says whether old servers can be switched off";
        page.line(&[piece(text, DIM)]);
        return;
    }
    for migration in migrations {
        let style = style(migration.verdict);
        page.line(&[
            piece(format!("  {}: ", printable(&migration.name)), PLAIN),
            piece(migration.verdict, style.bold()),
        ]);
        for text in gravest(&migration.reasons).into_iter().take(TOLD) {
            page.paragraph(piece("    · ", DIM), 6, &printable(&text), PLAIN);
        }
        if let Some(rest @ 1..) = migration.reasons.len().checked_sub(TOLD) {
            page.line(&[piece(format!("      … and {rest} more"), DIM)]);
        }
    }
    page.line(&[piece("  'lowtide drain' tells more: servers, who still asks, until when", DIM)]);
}
