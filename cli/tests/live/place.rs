//! Where a run lives: its directory with socket, spool and configuration; and what it shows of itself.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::lowtide::Lowtide;
use crate::process::{PATIENCE, wait_until};
use crate::sender::Sender;

/// The sensor's name in all rows.
pub const SENSOR: &str = "live";

/// A directory for runs, one at a time.
pub struct Place {
    pub folder: TempDir,
    metrics: u16,
    /// Of each run.
    pub arguments: Vec<String>,
}

impl Place {
    /// For runs that send rows to this database, if to any.
    pub fn new(url: Option<&str>) -> Self {
        let folder = TempDir::new().unwrap();
        // Another user may have to find his way in.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mut place = Self { folder, metrics: free_port(), arguments: Vec::new() };
        let (socket, spool) = (place.socket(), place.spool());
        place.with(&["--sensor", SENSOR, "--interval", "1s", "--query-timeout", "1s", "--lateness", "1s"]);
        place.with(&["--dnstap", &format!("unix:{}", socket.display())]);
        place.with(&["--spool", spool.to_str().unwrap(), "--threads", "1"]);
        place.with(&["--metrics", &format!("127.0.0.1:{}", place.metrics)]);
        if let Some(url) = url {
            place.with(&["--clickhouse", url]);
        }
        place
    }

    /// Adds arguments, each a name and a value; what was said under the name before is forgotten.
    pub fn with(&mut self, arguments: &[&str]) {
        for pair in arguments.chunks(2) {
            if let Some(at) = self.arguments.iter().position(|argument| argument == pair[0]) {
                self.arguments.drain(at..at + 2);
            }
        }
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    /// Writes the configuration that runs read, too.
    pub fn configure(&mut self, text: &str) {
        let path = self.configuration();
        fs::write(&path, text).unwrap();
        self.with(&["--config", path.to_str().unwrap()]);
    }

    /// The path of the configuration.
    pub fn configuration(&self) -> PathBuf {
        self.folder.path().join("lowtide.toml")
    }

    /// The socket's path.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("the tap.sock")
    }

    /// The spool's path.
    pub fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Segments in the spool.
    pub fn segments(&self) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(self.spool()) else { return Vec::new() };
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut paths: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
        paths.sort();
        paths
    }

    /// A sender on the socket.
    #[track_caller]
    pub fn sender(&self) -> Sender {
        Sender::connect(&self.socket())
    }

    /// Starts a run.
    #[track_caller]
    pub fn start(&self) -> Run {
        Run { process: Lowtide::start(self.folder.path(), &self.arguments), metrics: self.metrics }
    }

    /// A run that is expected to end by itself.
    #[track_caller]
    pub fn try_run(&self) -> Output {
        let mut command = Command::new("timeout");
        command.arg("60").arg(env!("CARGO_BIN_EXE_lowtide")).arg("run").args(&self.arguments);
        command.output().unwrap()
    }

    /// `lowtide ship` of the spool.
    #[track_caller]
    pub fn ship(&self, url: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lowtide"));
        command.args(["ship", "--clickhouse", url]).arg(self.spool()).output().unwrap()
    }
}

/// A run that goes on.
pub struct Run {
    pub process: Lowtide,
    metrics: u16,
}

impl Run {
    /// What it wrote to its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until its log has these words.
    #[track_caller]
    pub fn said(&self, words: &str) {
        self.said_times(words, 1);
    }

    /// Waits until its log has these words so often.
    #[track_caller]
    pub fn said_times(&self, words: &str, times: usize) {
        let said = wait_until(PATIENCE, || self.log().matches(words).count() >= times);
        assert!(said, "it does not say '{words}' {times} times:\n{}", self.log());
    }

    /// Ends it, which must go well; its log.
    #[track_caller]
    pub fn stop(&mut self) -> String {
        let (status, _, log) = self.process.stop();
        assert!(status.success(), "{status}\n{log}");
        assert_eq!(log.matches("accounts balance").count(), 3, "{log}");
        assert!(!log.contains("DO NOT BALANCE") && !log.contains("panicked"), "{log}");
        log
    }

    /// Kills it as by kill -9.
    #[track_caller]
    pub fn kill(&mut self) {
        self.process.signal(Signal::SIGKILL);
        assert!(wait_until(PATIENCE, || self.process.poll().is_some()), "it lives on");
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub fn end(&mut self) -> ExitStatus {
        assert!(wait_until(PATIENCE, || self.process.poll().is_some()), "it goes on:\n{}", self.log());
        self.process.poll().unwrap()
    }

    /// Status and body of a page.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.metrics)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: lowtide\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Its metrics.
    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200, "{body}");
        Metrics::read(&body)
    }

    /// Waits until its metrics show something.
    #[track_caller]
    pub fn shows(&self, what: &str, mut so: impl FnMut(&Metrics) -> bool) {
        let shown = wait_until(PATIENCE, || so(&self.metrics()));
        assert!(shown, "{what}:\n{}\n{}", self.get("/metrics").1, self.log());
    }

    /// Waits until so many frames have been counted.
    #[track_caller]
    pub fn counted(&self, frames: u64) {
        self.shows(&format!("{frames} frames"), |metrics| metrics.sum("lowtide_frames_total", &[]) >= frames);
        assert_eq!(self.metrics().sum("lowtide_frames_total", &[]), frames);
    }

    /// A field of its /proc/PID/status, in KiB.
    pub fn memory(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

/// A scrape.
#[derive(Debug)]
pub struct Metrics(Vec<(String, BTreeMap<String, String>, f64)>);

impl Metrics {
    fn read(text: &str) -> Self {
        let line = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels =
                labels.trim_end_matches('}').split("\",").filter_map(|label| label.split_once("=\""));
            let labels = labels.map(|(key, value)| (key.to_owned(), value.trim_end_matches('"').to_owned()));
            (name.to_owned(), labels.collect(), value.parse().unwrap())
        };
        Self(text.lines().filter(|line| !line.starts_with('#')).map(line).collect())
    }

    /// The sum of a metric over all series with these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let has = |its: &BTreeMap<String, String>| {
            labels.iter().all(|&(key, value)| its.get(key).is_some_and(|its| its == value))
        };
        let all = self.0.iter().filter(|(its, labels, _)| its == name && has(labels));
        all.map(|(.., value)| *value as u64).sum()
    }
}

/// A port that nobody has: below those that the system gives to whoever connects.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Waits for something that takes its time.
#[track_caller]
pub fn until(what: &str, so: impl FnMut() -> bool) {
    assert!(wait_until(PATIENCE, so), "{what} did not come about");
}

/// Lets time go by, where a test is about time itself.
pub fn pause(time: Duration) {
    let begin = std::time::Instant::now();
    while let Some(left) = time.checked_sub(begin.elapsed()) {
        std::thread::park_timeout(left);
    }
}
