//! The schema in ClickHouse: its statements, its versions, and how a database gets from one version to the next.
//!
//! The SQL lies in `schema/`, one folder a version, and is the same for a single server and for a cluster: `$words` in it
//! stand for what differs. On a cluster each table is two: a replicated one with the rows of a shard (`traffic_local`)
//! and a distributed one under the table's own name, through which all read and write.
//!
//! Every statement may run twice, and two lowtides may run them at once, without harm: `IF NOT EXISTS` or `OR REPLACE`.
//! The version is written last. A database half way up is brought the rest of the way by the next who tries.

mod statements;

use std::error::Error;
use std::fmt;

use statements::{literal, quoted, split};

/// The version that this lowtide writes and reads.
pub const VERSION: u32 = 2;

/// What leads from each version to the next, in order; the first creates.
const MIGRATIONS: [&[&str]; VERSION as usize] = [
    &[
        FUNCTIONS,
        include_str!("schema/v1/traffic.sql"),
        include_str!("schema/v1/rollups.sql"),
        include_str!("schema/v1/flows.sql"),
        include_str!("schema/v1/coverage.sql"),
        include_str!("schema/v1/sensor_run.sql"),
        include_str!("schema/v1/drain.sql"),
        include_str!("schema/v1/rrset.sql"),
        include_str!("schema/v1/finding.sql"),
        include_str!("schema/v1/views.sql"),
    ],
    &[
        include_str!("schema/v2/drain.sql"),
        // What is there already goes into the rollups before the views that fill them from then on; a token lets it through once,
        // whoever tries again. Whoever writes rows of migrations waits for this version.
        include_str!("schema/v2/filled.sql"),
        include_str!("schema/v2/views.sql"),
    ],
];

const FUNCTIONS: &str = include_str!("schema/v1/functions.sql");

const SCHEMA_VERSION: &str = include_str!("schema/v1/schema_version.sql");

/// What several statements share: columns of tables, and the sums of them that fill rollups.
const SHARED: [(&str, &str); 11] = [
    ("$dimensions", include_str!("schema/v1/columns/dimensions.sql")),
    ("$zone", include_str!("schema/v1/columns/zone.sql")),
    ("$name", include_str!("schema/v1/columns/name.sql")),
    ("$measures", include_str!("schema/v1/columns/measures.sql")),
    ("$minted", include_str!("schema/v1/columns/minted.sql")),
    ("$sums", include_str!("schema/v1/columns/sums.sql")),
    ("$whose", include_str!("schema/v2/columns/whose.sql")),
    ("$asked", include_str!("schema/v2/columns/asked.sql")),
    ("$by_day", include_str!("schema/v2/columns/by_day.sql")),
    ("$by_hour", include_str!("schema/v2/columns/by_hour.sql")),
    ("$qtype_bit", QTYPE_BIT),
];

/// The bit of the query type in a row `d` of `drain`.
pub(crate) const QTYPE_BIT: &str = include_str!("schema/v2/columns/qtype_bit.sql");

/// The tables whose rows grow old, finest first.
const AGEING: [(&str, Grain); 10] = [
    ("traffic", Grain::Interval),
    ("traffic_zone", Grain::Interval),
    ("coverage", Grain::Interval),
    ("drain", Grain::Interval),
    ("rrset", Grain::Interval),
    ("traffic_hour", Grain::Hour),
    ("traffic_server", Grain::Hour),
    ("drain_hour", Grain::Hour),
    ("traffic_day", Grain::Day),
    ("drain_day", Grain::Day),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grain {
    Interval,
    Hour,
    Day,
}

/// How long rows are kept, counted from their `interval`; `None` = for ever. ClickHouse drops whole parts, and a part is
/// of one month at the most: a row may outlive its time by up to a month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Days that `traffic`, `traffic_zone`, `coverage`, `drain` and `rrset` are kept.
    pub intervals: Option<u32>,
    /// Days that `traffic_hour`, `traffic_server` and `drain_hour` are kept.
    pub hours: Option<u32>,
    /// Days that `traffic_day` and `drain_day` are kept.
    pub days: Option<u32>,
    /// Whether rows of replayed files grow old too. Unasked they are kept: their data may be years old on arrival.
    pub replays: bool,
}

/// What the schema is to be like, and where.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The database.
    pub database: String,
    /// The name of the cluster, as in the servers' `remote_servers`; `None` = one server.
    pub cluster: Option<String>,
    /// How long rows are kept; `None` = leave that as it is.
    pub retention: Option<Retention>,
}

/// Runs one statement and gives its answer as text.
pub trait Execute {
    /// Why it did not.
    type Error: Error + Send + Sync + 'static;

    /// Runs `sql`; the answer is in `TabSeparated`, empty when the statement gives none.
    fn execute(&self, sql: &str) -> impl Future<Output = Result<String, Self::Error>> + Send;
}

/// What [`apply`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The version that was there; 0 = none.
    pub from: u32,
    /// The version that is there now.
    pub to: u32,
    /// The tables whose retention was changed.
    pub retention: Vec<&'static str>,
}

/// Why the schema is not as it should be.
#[derive(Debug)]
pub enum SchemaError<E> {
    /// The database is of a later lowtide.
    Newer {
        /// The database.
        database: String,
        /// Its version.
        found: u32,
    },
    /// The database has no schema, or an old one.
    Older {
        /// The database.
        database: String,
        /// Its version; 0 = none.
        found: u32,
    },
    /// A statement failed: no rights, no connection, ...
    Statement {
        /// The statement's first line.
        statement: String,
        /// What the server said.
        source: E,
    },
    /// The server gave something else than a version.
    Answer(String),
}

impl<E: fmt::Display> fmt::Display for SchemaError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newer { database, found } => write!(
                f,
                "database {database} has schema version {found}, this lowtide knows versions up to {VERSION}: use a newer lowtide"
            ),
            Self::Older { database, found: 0 } => {
                write!(f, "database {database} has no lowtide schema: run lowtide schema --apply")
            }
            Self::Older { database, found } => write!(
                f,
                "database {database} has schema version {found}, this lowtide needs {VERSION}: run lowtide schema --apply"
            ),
            Self::Statement { statement, source } => write!(f, "{statement}: {source}"),
            Self::Answer(answer) => write!(f, "not a schema version: {answer:?}"),
        }
    }
}

impl<E: Error + 'static> Error for SchemaError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Statement { source, .. } => Some(source),
            _ => None,
        }
    }
}

async fn run<E: Execute>(server: &E, sql: &str) -> Result<String, SchemaError<E::Error>> {
    server.execute(sql).await.map_err(|source| SchemaError::Statement {
        statement: sql.lines().next().unwrap_or_default().trim_end_matches([' ', '(']).to_owned(),
        source,
    })
}

/// The version of the schema in a database; 0 = none.
///
/// # Errors
///
/// When the server cannot be asked, or this user may not read `schema_version`.
pub async fn version<E: Execute>(server: &E, database: &str) -> Result<u32, SchemaError<E::Error>> {
    let table = format!("{}.schema_version", quoted(database));
    // An unknown database is no error here: its table does not exist.
    if run(server, &format!("EXISTS TABLE {table}")).await?.trim() != "1" {
        return Ok(0);
    }
    let answer = run(server, &format!("SELECT max(version) FROM {table}")).await?;
    answer.trim().parse().map_err(|_| SchemaError::Answer(answer))
}

/// That the schema of a database is the one this lowtide writes and reads.
///
/// # Errors
///
/// [`SchemaError::Older`] and [`SchemaError::Newer`] when it is another; else as [`version`].
pub async fn check<E: Execute>(server: &E, database: &str) -> Result<(), SchemaError<E::Error>> {
    let (found, database) = (version(server, database).await?, database.to_owned());
    match found {
        VERSION => Ok(()),
        ..VERSION => Err(SchemaError::Older { database, found }),
        _ => Err(SchemaError::Newer { database, found }),
    }
}

/// Creates the schema or brings it up to [`VERSION`], and sets the retention asked for. Does nothing where all is as it
/// should be.
///
/// # Errors
///
/// [`SchemaError::Newer`] before anything is touched; [`SchemaError::Statement`] when a statement fails: those before it
/// have taken effect, and a later apply goes on from there.
pub async fn apply<E: Execute>(server: &E, options: &Options) -> Result<Applied, SchemaError<E::Error>> {
    let from = version(server, &options.database).await?;
    if from > VERSION {
        return Err(SchemaError::Newer { database: options.database.clone(), found: from });
    }
    let mut statements = options.statements(from);
    if from == 0 && exists(server, &options.database).await? {
        // Whoever may use a database given to them need not be allowed to create one.
        let create = options.create_database();
        statements.retain(|statement| *statement != create);
    }
    if from == VERSION && !has_functions(server).await? {
        // They belong to the server, not to the database, and a restored database comes without them.
        options.render(FUNCTIONS, &mut statements);
    }
    for statement in statements {
        run(server, &statement).await?;
    }
    let mut changed = Vec::new();
    for (table, wanted) in options.ages() {
        if ttl(server, options, table).await? == wanted {
            continue;
        }
        let change = wanted.as_ref().map_or("REMOVE TTL".to_owned(), |ttl| format!("MODIFY TTL {ttl}"));
        match run(server, &format!("ALTER TABLE {} {change}", options.stored(table))).await {
            Ok(_) => changed.push(table),
            // Another lowtide may have been first.
            Err(_) if ttl(server, options, table).await? == wanted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Applied { from, to: VERSION, retention: changed })
}

async fn has_functions<E: Execute>(server: &E) -> Result<bool, SchemaError<E::Error>> {
    let found = run(server, "SELECT count() FROM system.functions WHERE name LIKE 'lowtide%'").await?;
    Ok(found.trim() == split(FUNCTIONS).count().to_string())
}

async fn exists<E: Execute>(server: &E, database: &str) -> Result<bool, SchemaError<E::Error>> {
    let answer = run(server, &format!("EXISTS DATABASE {}", quoted(database))).await?;
    Ok(answer.trim() == "1")
}

/// The TTL that a table has. It is set only where it differs: to set it goes over all parts.
async fn ttl<E: Execute>(
    server: &E,
    options: &Options,
    table: &str,
) -> Result<Option<String>, SchemaError<E::Error>> {
    let sql = format!(
        "SELECT engine_full FROM system.tables WHERE database = {} AND name = {} FORMAT TSVRaw",
        literal(&options.database),
        literal(&format!("{table}{}", options.local())),
    );
    let engine = run(server, &sql).await?;
    let ttl = engine.split_once(" TTL ").map(|(_, ttl)| ttl.split(" SETTINGS ").next().unwrap_or(ttl));
    Ok(ttl.map(|ttl| ttl.trim().to_owned()))
}

#[cfg(test)]
mod tests;
