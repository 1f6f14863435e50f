//! A local ClickHouse that can be killed and comes back where it was.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use lowtide_benches::http;
use lowtide_benches::sensor::free_port;

use super::Outcome;

/// The database of the soak.
pub const DATABASE: &str = "soak";

/// Ends with its owner.
pub struct ClickHouse {
    lowtide: PathBuf,
    data: PathBuf,
    address: SocketAddr,
    child: Child,
}

impl ClickHouse {
    /// Starts it in a directory.
    pub fn start(lowtide: &Path, dir: &Path) -> Outcome<Self> {
        let (data, address) = (dir.join("clickhouse"), free_port()?);
        let child = start(lowtide, &data, address)?;
        Ok(Self { lowtide: lowtide.to_owned(), data, address, child })
    }

    /// The URL of the database.
    pub fn url(&self) -> String {
        format!("http://{}/{DATABASE}", self.address)
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) -> Outcome<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Starts it again, where it was.
    pub fn restart(&mut self) -> Outcome<()> {
        self.child = start(&self.lowtide, &self.data, self.address)?;
        Ok(())
    }

    /// What a statement answers.
    pub fn query(&self, sql: &str) -> Outcome<String> {
        Ok(http::post(self.address, "/", sql)?.trim_end().to_owned())
    }
}

fn start(lowtide: &Path, data: &Path, address: SocketAddr) -> Outcome<Child> {
    let mut child = Command::new(lowtide)
        .args(["clickhouse", "--http-port", &address.port().to_string(), "--path"])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    // It says where it listens, and nothing else.
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line)?;
    }
    if line.contains("http://") {
        Ok(child)
    } else {
        Err(format!("lowtide clickhouse: {}", child.wait()?).into())
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
