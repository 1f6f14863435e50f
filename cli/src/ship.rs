//! `lowtide ship`: delivers a spool.

use std::sync::Arc;

use lowtide_store::deliver::{self, start_with};
use lowtide_store::prepare;
use lowtide_store::spool::{Condition, Report};

use crate::args::clickhouse::ShipArgs;
use crate::complaint::complain;
use crate::error::Error;
use crate::recording::delivery_options;
use crate::{connection, progress};

/// Delivers everything; a line about it.
///
/// # Errors
/// When something was not delivered: it says what, and where it is.
pub fn run(args: &ShipArgs) -> Result<String, Error> {
    let connection = connection::of(&args.connection)?;
    if let Some(warning) = connection::warning(&args.connection) {
        complain(&warning);
    }
    let url = connection.url.to_string();
    let told: Report = Arc::new(|condition: &Condition| complain(&condition.to_string()));
    let start = start_with(|server| async move { prepare::schema(&server).await });
    let mut bar = None;
    let options = delivery_options(&args.delivery, told);
    let outcome = deliver::ship(&args.dir, connection, options, Some(start), |counts, all| {
        let bar = bar.get_or_insert_with(|| progress::delivery(args.quiet, all.segments));
        bar.set(counts.segments(), counts.is_failing());
    });
    if let Some(bar) = bar {
        bar.finish();
    }
    let outcome = outcome.map_err(|error| Error::Failed(error.to_string()))?;
    let text = format!("{url}: {outcome}");
    let quarantine = args.dir.join("quarantine");
    let damaged = std::fs::read_dir(&quarantine).map_or(0, Iterator::count);
    if damaged > 0 && outcome.is_complete() {
        let quarantine = quarantine.display();
        return Err(Error::Failed(format!(
            "{text}; not delivered: {damaged} damaged segments in {quarantine}"
        )));
    }
    if outcome.is_complete() { Ok(text) } else { Err(Error::Failed(text)) }
}
