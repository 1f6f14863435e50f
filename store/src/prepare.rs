//! What must be so before a run's rows are sent: the schema is there and known, and the run's name is free or its own. And behind it:
//! whether all its rows are there.

use serde::Deserialize;

use crate::run::RunKey;
use crate::schema::{self, Options, SchemaError};
use crate::server::{ErrorKind, Server, ServerError};

/// What ClickHouse knows of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing.
    New,
    /// It was begun with the same inputs and options, and did not come to its end.
    CutOff,
    /// All of it is there.
    Complete,
}

/// Makes the schema, or brings it up to date.
///
/// # Errors
/// As a server's; [`ErrorKind::Schema`] when the database is of a newer lowtide.
pub async fn schema(server: &Server) -> Result<(), ServerError> {
    let database = server.url().database().to_owned();
    // Looked up first, because a user who may only insert may not make anything.
    match schema::check(server, &database).await {
        Ok(()) => {}
        Err(SchemaError::Older { .. }) => {
            schema::apply(server, &Options::single(&database))
                .await
                .map_err(|error| server_error(server, error))?;
        }
        Err(error) => return Err(server_error(server, error)),
    }
    deduplication(server).await
}

/// A table that does not remember tokens would take a segment twice. Whoever made it by hand must know.
async fn deduplication(server: &Server) -> Result<(), ServerError> {
    let sql = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'traffic' \
               AND engine LIKE '%MergeTree' AND engine NOT LIKE 'Replicated%' \
               AND engine_full NOT LIKE '%non_replicated_deduplication_window%'";
    let answer = server.query(sql, &[]).await?;
    if answer.trim_ascii() == b"0" {
        return Ok(());
    }
    let what = "table traffic remembers no deduplication tokens, so that rows could be doubled: set its non_replicated_deduplication_window";
    Err(ServerError::new(ErrorKind::Schema, server.url(), what))
}

/// What ClickHouse knows of a run under this name.
///
/// # Errors
/// As a server's; [`ErrorKind::Options`] when the name belongs to other inputs or options.
pub async fn run(server: &Server, run: &RunKey, fingerprint: &str) -> Result<Known, ServerError> {
    #[derive(Deserialize)]
    struct Row {
        fingerprint: String,
        state: String,
    }
    let sql = "SELECT fingerprint, state FROM sensor_run FINAL WHERE sensor = {sensor:String} AND run = {run:String} FORMAT JSONEachRow";
    let parameters = [("param_sensor", escaped(&run.sensor)), ("param_run", escaped(&run.run))];
    let parameters: Vec<_> = parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = server.query(sql, &parameters).await?;
    let mut known = Known::New;
    for line in answer.split(|&octet| octet == b'\n').filter(|line| !line.is_empty()) {
        let row: Row = serde_json::from_slice(line)
            .map_err(|error| ServerError::new(ErrorKind::NotClickHouse, server.url(), error))?;
        if row.fingerprint != fingerprint {
            let what = format!(
                "run '{}' of sensor '{}' is there already, of other files or made with other options: give this one another --run",
                run.run, run.sensor
            );
            return Err(ServerError::new(ErrorKind::Options, server.url(), what));
        }
        known = if row.state == "finished" { Known::Complete } else { Known::CutOff };
    }
    Ok(known)
}

/// The queries and responses that ClickHouse has of a run.
///
/// # Errors
/// As a server's.
pub async fn counted(server: &Server, run: &RunKey) -> Result<(u64, u64), ServerError> {
    let sql = "SELECT sum(queries), sum(responses) FROM traffic \
               WHERE sensor = {sensor:String} AND run = {run:String} FORMAT JSONCompactEachRow";
    let (sensor, name) = (escaped(&run.sensor), escaped(&run.run));
    let settings = [
        ("param_sensor", sensor.as_str()),
        ("param_run", name.as_str()),
        ("output_format_json_quote_64bit_integers", "0"),
    ];
    let answer = server.query(sql, &settings).await?;
    serde_json::from_slice(&answer)
        .map_err(|error| ServerError::new(ErrorKind::NotClickHouse, server.url(), error))
}

/// A query parameter's value as ClickHouse reads it: like a field of TabSeparated.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n")
}

fn server_error(server: &Server, error: SchemaError<ServerError>) -> ServerError {
    match error {
        SchemaError::Statement { source, .. } => source,
        error @ SchemaError::Newer { .. } => ServerError::new(ErrorKind::Schema, server.url(), error),
        error => ServerError::new(ErrorKind::Other, server.url(), error),
    }
}
