//! A real ClickHouse for tests: `lowtide clickhouse` in a directory and on a port of its own.
//!
//! Without libchdb.so the tests fail and say what to do. A test that begins with `if skipped() { return; }` is skipped
//! with LOWTIDE_TEST_CLICKHOUSE=skip, and says so.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests state their expectations by failing")]

mod http;

use std::env;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write, stderr};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use http::{Failure, Request};

/// The users of [`Setup::users`] and their passwords: one who may do everything, one who may only read.
pub const WRITER: (&str, &str) = ("writer", "correct horse");
/// See [`WRITER`].
pub const READER: (&str, &str) = ("reader", "battery staple");

const CONFIGURATION: &str = "<clickhouse><users_config>users.xml</users_config></clickhouse>";
const USERS: &str = "
<clickhouse>
  <profiles><default/><looks><readonly>1</readonly></looks></profiles>
  <quotas><default/></quotas>
  <users>
    <default><password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota></default>
    <writer>
      <password>correct horse</password><networks><ip>::/0</ip></networks>
      <profile>default</profile><quota>default</quota>
    </writer>
    <reader>
      <password>battery staple</password><networks><ip>::/0</ip></networks>
      <profile>looks</profile><quota>default</quota>
    </reader>
  </users>
</clickhouse>";

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Whether [`WRITER`] and [`READER`] exist, beside `default`, who needs no password.
    pub users: bool,
    /// Whether the native protocol is spoken, too: [`Server::tcp_port`].
    pub tcp: bool,
}

/// A server that ends with its owner.
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    child: Option<Child>,
    setup: Setup,
    http_port: u16,
    tcp_port: Option<u16>,
    /// What it said on standard output when it was ready.
    pub ready: String,
    databases: AtomicU32,
}

impl Server {
    /// A server with an empty directory.
    pub fn start() -> Self {
        Self::with(Setup::default())
    }

    /// The same with a setup.
    pub fn with(setup: Setup) -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("config.xml"), CONFIGURATION).unwrap();
        fs::write(directory.path().join("users.xml"), USERS).unwrap();
        let tcp_port = setup.tcp.then_some(0);
        let databases = AtomicU32::new(0);
        let mut server =
            Self { directory, child: None, setup, http_port: 0, tcp_port, ready: String::new(), databases };
        server.run();
        server
    }

    /// A database of one's own on the server that tests of this binary share while any of them holds it.
    pub fn shared() -> Database {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let server = match shared.upgrade() {
            Some(server) => server,
            None => Arc::new(Self::start()),
        };
        *shared = Arc::downgrade(&server);
        drop(shared);
        Database { name: server.create_database(), server }
    }

    /// A new database; its name.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.query(&format!("CREATE DATABASE {name}"));
        name
    }

    fn run(&mut self) {
        let log = self.directory.path().join("stderr");
        let mut command = lowtide_clickhouse(&self.path());
        command.arg("--http-port").arg(self.http_port.to_string());
        if let Some(port) = self.tcp_port {
            command.arg("--tcp-port").arg(port.to_string());
        }
        if self.setup.users {
            command.arg("--config-file").arg(self.directory.path().join("config.xml"));
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        self.ready.clear();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut self.ready).unwrap();
        if self.ready.is_empty() {
            let status = child.wait().unwrap();
            panic!(
                "{status}: {}(LOWTIDE_TEST_CLICKHOUSE=skip leaves such tests out)",
                fs::read_to_string(log).unwrap()
            );
        }
        self.child = Some(child);
        self.http_port = self.port_after("http://127.0.0.1:").unwrap();
        self.tcp_port = self.port_after("native protocol on 127.0.0.1:");
    }

    fn port_after(&self, words: &str) -> Option<u16> {
        let (_, rest) = self.ready.split_once(words)?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// Kills it as by kill -9.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends a signal, e.g. `TERM`, waits for the end, and says how long that took.
    pub fn stop(&mut self, signal: &str) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        self.signal(signal);
        let status = self.child.take().unwrap().wait().unwrap();
        (status, begin.elapsed())
    }

    /// Sends a signal, e.g. `STOP` and `CONT` for a server that hangs.
    pub fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.pid());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// Starts it again, on the same directory and port.
    pub fn restart(&mut self) {
        self.kill();
        self.run();
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Its data directory.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What it wrote to standard error since it was started.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.directory.path().join("stderr")).unwrap()
    }

    /// The address of the HTTP interface.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.http_port).into()
    }

    /// The port of the HTTP interface.
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The port of the native protocol.
    pub fn tcp_port(&self) -> Option<u16> {
        self.tcp_port
    }

    /// The URL of a database, as `--clickhouse` takes it.
    pub fn url(&self, database: &str) -> String {
        format!("http://127.0.0.1:{}/{database}", self.http_port)
    }

    /// The same for a user.
    pub fn url_as(&self, (user, password): (&str, &str), database: &str) -> String {
        let (user, password) = (http::escape(user), http::escape(password));
        format!("http://{user}:{password}@127.0.0.1:{}/{database}", self.http_port)
    }

    /// A request for more than the methods below offer.
    pub fn request<'a>(&self, sql: &'a str) -> Request<'a> {
        Request::new(self.http_port, sql)
    }

    /// What a statement answers, in format `TSVRaw` if it names none, without the last line's end.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|failure| panic!("{failure:?}\n{sql}"))
    }

    /// The same, as rows of fields.
    #[track_caller]
    pub fn query_rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.query(sql).lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// What a statement answers, or why it fails.
    pub fn try_query(&self, sql: &str) -> Result<String, Failure> {
        self.request(sql).send()
    }

    /// The same as another user.
    pub fn try_query_as(&self, user: (&str, &str), sql: &str) -> Result<String, Failure> {
        self.request(sql).user(user).send()
    }

    /// `INSERT INTO … FORMAT …` with its data.
    pub fn insert(&self, sql: &str, data: &[u8]) -> Result<String, Failure> {
        self.request(sql).data(data).send()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A database of one's own on a server that others use, too: it must not be stopped.
#[derive(Debug)]
pub struct Database {
    server: Arc<Server>,
    /// Its name.
    pub name: String,
}

impl Database {
    /// The server it is on.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Its URL, as `--clickhouse` takes it.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// [`Server::query`] with this as the database.
    #[track_caller]
    pub fn query(&self, sql: &str) -> String {
        self.try_query(sql).unwrap_or_else(|failure| panic!("{failure:?}\n{sql}"))
    }

    /// [`Server::query_rows`] with this as the database.
    #[track_caller]
    pub fn query_rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.query(sql).lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
    }

    /// [`Server::try_query`] with this as the database.
    pub fn try_query(&self, sql: &str) -> Result<String, Failure> {
        self.server.request(sql).database(&self.name).send()
    }
}

/// Whether tests with ClickHouse are to be skipped, which it says.
pub fn skipped() -> bool {
    let skip = env::var_os("LOWTIDE_TEST_CLICKHOUSE").is_some_and(|value| value == "skip");
    if skip {
        // Not by eprintln!, which the test harness would keep to itself.
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let _ = stderr()
            .write_all(format!("SKIPPED, because of LOWTIDE_TEST_CLICKHOUSE=skip: {test}\n").as_bytes());
    }
    skip
}

/// `lowtide clickhouse --path PATH`, to be given more arguments.
pub fn lowtide_clickhouse(path: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
    command.arg("clickhouse").arg("--path").arg(path);
    command
}
