//! `lowtide schema`: prints the schema's statements, or brings a database up to date.

use std::fmt::Write;

use lowtide_store::schema::{self, Options, Retention};
use lowtide_store::server::DEFAULT_DATABASE;

use crate::args::clickhouse::{Days, SchemaArgs};
use crate::connection;
use crate::error::Error;

/// Does what the arguments ask for; the text for standard output.
///
/// # Errors
/// A server that cannot be reached, refuses a statement, or has a newer schema.
pub fn run(args: &SchemaArgs) -> Result<String, Error> {
    let database = match &args.connection.clickhouse {
        Some(_) => connection::of(&args.connection)?.url.database().to_owned(),
        None => DEFAULT_DATABASE.to_owned(),
    };
    let options = Options { database, cluster: args.cluster.clone(), retention: retention(args) };
    if args.apply { apply(args, &options) } else { Ok(statements(&options)) }
}

fn statements(options: &Options) -> String {
    let mut text = String::new();
    let retention = options.retention_statements().into_iter().map(|(_, statement)| statement);
    for statement in options.statements(0).into_iter().chain(retention) {
        let _ = writeln!(text, "{statement};\n");
    }
    text
}

fn apply(args: &SchemaArgs, options: &Options) -> Result<String, Error> {
    let server = connection::server(&args.connection)?;
    let applied = connection::block_on(schema::apply(&server, options))?;
    let mut text = match (applied.from, applied.to) {
        (0, to) => format!("{}: schema version {to} created\n", server.url()),
        (from, to) if from == to => format!("{}: schema version {to} is there already\n", server.url()),
        (from, to) => format!("{}: schema version {from} brought to {to}\n", server.url()),
    };
    if !applied.retention.is_empty() {
        let _ = writeln!(text, "retention changed: {}", applied.retention.join(", "));
    }
    Ok(text)
}

/// Retention is set as a whole, and only when it is spoken of.
fn retention(args: &SchemaArgs) -> Option<Retention> {
    let named = [args.keep_intervals, args.keep_hours, args.keep_days];
    if named.iter().all(Option::is_none) && !args.expire_replays {
        return None;
    }
    let days = |days| match days {
        Some(Days::Days(days)) => Some(days),
        Some(Days::Forever) | None => None,
    };
    Some(Retention {
        intervals: days(args.keep_intervals),
        hours: days(args.keep_hours),
        days: days(args.keep_days),
        replays: args.expire_replays,
    })
}
