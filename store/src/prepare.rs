//! What must be so before a run's rows are sent: the schema is there and known, and the run's name is free or its own. And behind it:
//! whether all its rows are there.

use lowtide_proto::time::NANOS_PER_SECOND;
use serde::Deserialize;
use serde_json::json;

use crate::run::RunKey;
use crate::schema::{self, Options, SchemaError};
use crate::sensor_run::{SensorRun, State};
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
        queries: u64,
        responses: u64,
    }
    let sql = "SELECT fingerprint, state, queries, responses FROM sensor_run FINAL \
               WHERE sensor = {sensor:String} AND run = {run:String} FORMAT JSONEachRow";
    let answer = server.query(sql, &parameters(run).each()).await?;
    let Some(line) = answer.split(|&octet| octet == b'\n').find(|line| !line.is_empty()) else {
        return Ok(Known::New);
    };
    let row: Row = serde_json::from_slice(line)
        .map_err(|error| ServerError::new(ErrorKind::NotClickHouse, server.url(), error))?;
    if row.fingerprint != fingerprint {
        let what = format!(
            "run '{}' of sensor '{}' is there already, of other files or made with other options: give this one another --run",
            run.run, run.sensor
        );
        return Err(ServerError::new(ErrorKind::Options, server.url(), what));
    }
    // Finished is what it said of itself; its rows may have been damaged or dropped on the way, or deleted.
    let is_whole = row.state == "finished" && counted(server, run).await? == (row.queries, row.responses);
    Ok(if is_whole { Known::Complete } else { Known::CutOff })
}

/// Writes what a run says of itself at its beginning, before any of its rows: its name is taken from then on.
///
/// # Errors
/// As a server's.
pub async fn begin(server: &Server, run: &SensorRun) -> Result<(), ServerError> {
    let seconds = |nanos: u64| format!("{}.{:09}", nanos / NANOS_PER_SECOND, nanos % NANOS_PER_SECOND);
    let row = json!({
        "sensor": run.key.sensor,
        "run": run.key.run,
        "kind": run.key.kind.as_str(),
        "version": run.version,
        "updated": seconds(run.updated),
        "started": seconds(run.started),
        "state": State::Running.as_str(),
        "fingerprint": run.fingerprint,
        "inputs": run.inputs,
        "interval_s": run.interval_s,
        "query_timeout_s": run.query_timeout_s,
    });
    let sql = format!("INSERT INTO sensor_run FORMAT JSONEachRow\n{row}");
    server.query(&sql, &[("async_insert", "0"), ("insert_deduplicate", "0")]).await.map(|_| ())
}

/// The queries and responses that ClickHouse has of a run.
///
/// # Errors
/// As a server's.
pub async fn counted(server: &Server, run: &RunKey) -> Result<(u64, u64), ServerError> {
    let sql = "SELECT sum(queries), sum(responses) FROM traffic \
               WHERE sensor = {sensor:String} AND run = {run:String} FORMAT JSONCompactEachRow";
    let answer = server.query(sql, &parameters(run).each()).await?;
    serde_json::from_slice(&answer)
        .map_err(|error| ServerError::new(ErrorKind::NotClickHouse, server.url(), error))
}

/// The run as parameters of a query, and a setting by which counts are read as numbers.
struct Parameters([(&'static str, String); 3]);

impl Parameters {
    fn each(&self) -> [(&str, &str); 3] {
        self.0.each_ref().map(|(name, value)| (*name, value.as_str()))
    }
}

fn parameters(run: &RunKey) -> Parameters {
    Parameters([
        ("param_sensor", escaped(&run.sensor)),
        ("param_run", escaped(&run.run)),
        ("output_format_json_quote_64bit_integers", "0".to_owned()),
    ])
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
