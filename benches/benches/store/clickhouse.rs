//! A local ClickHouse as users start it: `lowtide clickhouse`.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use lowtide_benches::program;
use lowtide_store::server::{Connection, Server};
use lowtide_store::{prepare, schema};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::Outcome;
use super::spooling::{Filled, directory};

/// Ends with its owner.
pub struct ClickHouse {
    child: Child,
    origin: String,
    runtime: Runtime,
    _output: BufReader<ChildStdout>,
    _data: TempDir,
}

impl ClickHouse {
    /// Starts it in an empty directory, on a free port.
    pub fn start(lowtide: &Path) -> Outcome<Self> {
        let data = directory()?;
        let mut child = Command::new(lowtide)
            .args(["clickhouse", "--http-port", "0", "--path"])
            .arg(data.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        let origin = line.split_whitespace().find(|word| word.starts_with("http://"));
        let Some(origin) = origin.map(|url| url.trim_end_matches('/').to_owned()) else {
            return Err(format!("lowtide clickhouse: {}", child.wait()?).into());
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { child, origin, runtime, _output: output, _data: data })
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.origin)
    }

    /// A client for a database.
    pub fn server(&self, database: &str) -> Outcome<Server> {
        Ok(Server::new(Connection::new(self.url(database).parse()?))?)
    }

    /// What a statement answers.
    pub fn query(&self, sql: &str) -> Outcome<String> {
        let server = self.server("default")?;
        let answer = self.runtime.block_on(server.query(sql, &[]))?;
        Ok(String::from_utf8(answer.to_vec())?.trim_end().to_owned())
    }

    /// A database with the whole schema.
    pub fn create_schema(&self, database: &str) -> Outcome<()> {
        let (server, options) = (self.server(database)?, schema::Options::single(database));
        self.runtime.block_on(schema::apply(&server, &options))?;
        Ok(())
    }

    /// Removes a database, and what is still to be merged of it.
    pub fn drop_database(&self, database: &str) -> Outcome<()> {
        self.query(&format!("DROP DATABASE {database} SYNC")).map(drop)
    }

    /// That every query and response of a spool is there, once.
    pub fn check(&self, database: &str, filled: &Filled) -> Outcome<()> {
        let counted = self.runtime.block_on(prepare::counted(&self.server(database)?, &filled.run))?;
        let spooled = (filled.contents.queries, filled.contents.responses);
        if counted != spooled {
            return Err(format!("spooled {spooled:?}, but {database}.traffic has {counted:?}").into());
        }
        Ok(())
    }

    /// The same of a table that a view fills.
    pub fn check_rollup(&self, table: &str, filled: &Filled) -> Outcome<()> {
        let counted = self.query(&format!("SELECT sum(queries), sum(responses) FROM {table}"))?;
        let spooled = format!("{}\t{}", filled.contents.queries, filled.contents.responses);
        if counted != spooled {
            return Err(format!("spooled {spooled:?}, but {table} has {counted:?}").into());
        }
        Ok(())
    }

    /// Seconds of CPU time that it has had so far.
    pub fn cpu_seconds(&self) -> f64 {
        program::cpu_seconds(self.child.id()).unwrap_or(f64::NAN)
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
