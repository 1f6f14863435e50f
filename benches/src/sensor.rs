//! `lowtide run` as a process: started, watched through its metrics, ended by a signal.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::netns::Namespace;
use crate::{clock, http, program};

/// How long it may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running sensor; killed with its owner.
#[derive(Debug)]
pub struct Sensor<'n> {
    child: Child,
    metrics: SocketAddr,
    log: PathBuf,
    namespace: Option<&'n Namespace>,
}

/// What it said at its end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything that it logged.
    pub log: String,
}

impl Ended {
    /// Whether it says that its accounts balance, and that nothing went wrong.
    pub fn balances(&self) -> bool {
        self.status.success()
            && self.log.contains("accounts balance")
            && !self.log.contains("ACCOUNTS DO NOT BALANCE")
    }

    /// How many there were, as its accounts say: of `frames`, `queries`, `responses`.
    pub fn account(&self, what: &str) -> Option<u64> {
        let balances = self.log.lines().filter_map(|line| line.split_once("accounts balance: "));
        let whole = balances.filter_map(|(_, account)| account.split_once(" = ")).map(|(whole, _)| whole);
        whole.filter_map(|whole| whole.strip_suffix(what)).find_map(|number| number.trim_end().parse().ok())
    }
}

/// A directory and what a sensor is to do with it.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The program.
    pub lowtide: &'a Path,
    /// Where its spool and its log are.
    pub dir: &'a Path,
    /// What it reads and everything else.
    pub arguments: Vec<String>,
    /// The core it has to do with, if it is one.
    pub core: Option<usize>,
}

impl<'n> Sensor<'n> {
    /// Starts it, and waits until it watches.
    ///
    /// # Errors
    /// It does not run, and what it says.
    pub fn start(setup: &Setup<'_>, namespace: Option<&'n Namespace>) -> io::Result<Self> {
        let log = setup.dir.join("log");
        let metrics = inside(namespace, free_port)??;
        let mut command = Command::new(setup.lowtide);
        command
            .args(["run", "--sensor", "bench", "--metrics", &metrics.to_string(), "--spool"])
            .arg(setup.dir.join("spool"))
            .args(&setup.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let child = inside(namespace, || program::spawn_on(&mut command, setup.core))??;
        let mut sensor = Self { child, metrics, log, namespace };
        let ready = clock::await_some(PATIENCE, Duration::from_millis(20), || {
            let ended = sensor.child.try_wait().ok().flatten().is_some();
            (ended || sensor.scrape().is_ok()).then_some(!ended)
        });
        if ready == Some(true) { Ok(sensor) } else { Err(sensor.failed("is not ready")) }
    }

    fn failed(&self, what: &str) -> io::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        io::Error::other(format!("lowtide run {what}; it said:\n{log}"))
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where its metrics are.
    pub const fn metrics(&self) -> SocketAddr {
        self.metrics
    }

    /// Its metrics now.
    ///
    /// # Errors
    /// It does not answer.
    pub fn scrape(&self) -> io::Result<Metrics> {
        Ok(Metrics(inside(self.namespace, || http::get(self.metrics, "/metrics"))??))
    }

    /// Waits until its metrics say what is asked for; they are published once a second.
    ///
    /// # Errors
    /// They do not, for a minute.
    pub fn await_metrics(&self, what: &str, mut said: impl FnMut(&Metrics) -> bool) -> io::Result<Metrics> {
        clock::await_some(PATIENCE, Duration::from_millis(50), || self.scrape().ok().filter(&mut said))
            .ok_or_else(|| self.failed(&format!("does not show {what}")))
    }

    /// Seconds of CPU time that it has had so far.
    pub fn cpu_seconds(&self) -> f64 {
        program::cpu_seconds(self.child.id()).unwrap_or(f64::NAN)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        program::signal(self.child.id(), signal)
    }

    /// Ends it as an operator does, and waits for that.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> io::Result<Ended> {
        self.signal(Signal::TERM)?;
        let child = &mut self.child;
        let status =
            clock::await_some(PATIENCE, Duration::from_millis(20), || child.try_wait().ok().flatten());
        let status = status.ok_or_else(|| self.failed("does not end"))?;
        Ok(Ended { status, log: fs::read_to_string(&self.log)? })
    }
}

impl Drop for Sensor<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn inside<T: Send>(namespace: Option<&Namespace>, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    match namespace {
        Some(namespace) => namespace.inside(work),
        None => Ok(work()),
    }
}

/// A port of the loopback interface where nobody listens.
///
/// # Errors
/// There is none.
pub fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A scrape.
#[derive(Clone, Debug)]
pub struct Metrics(String);

impl Metrics {
    /// The sum over all labels of a metric; 0 when it is not there.
    pub fn sum(&self, name: &str) -> u64 {
        self.sum_where(name, "")
    }

    /// The sum over those whose labels contain a text, such as `reason="kernel_drop"`.
    pub fn sum_where(&self, name: &str, label: &str) -> u64 {
        let values = self.series(name).filter(|(labels, _)| labels.contains(label)).map(|(_, value)| value);
        values.sum::<f64>() as u64
    }

    /// The labels and the value of each series of a metric.
    pub fn series(&self, name: &str) -> impl Iterator<Item = (&str, f64)> {
        self.0.lines().filter_map(move |line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.split_once('{').unwrap_or((series, ""));
            (found == name).then_some((labels.trim_end_matches('}'), value.parse().ok()?))
        })
    }

    /// Frames that ended in a fate.
    pub fn counted(&self) -> u64 {
        self.sum("lowtide_frames_total")
    }

    /// Frames that were read from sockets and discarded.
    pub fn discarded(&self) -> u64 {
        self.sum("lowtide_dnstap_frames_discarded_total")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;

    #[test]
    fn metrics_add_up_by_label() {
        let metrics = Metrics(
            "# TYPE lowtide_source_lost counter\n\
             lowtide_source_lost_total{source=\"a b\",reason=\"queue_full\"} 3\n\
             lowtide_source_lost_total{source=\"b\",reason=\"kernel_drop\"} 4.0\n\
             lowtide_source_lost_total_more 9\nlowtide_dnstap_frames_discarded_total 5\n# EOF\n"
                .to_owned(),
        );
        assert_eq!(metrics.sum("lowtide_source_lost_total"), 7);
        assert_eq!(metrics.sum_where("lowtide_source_lost_total", "reason=\"kernel_drop\""), 4);
        assert_eq!((metrics.discarded(), metrics.counted()), (5, 0));
    }

    #[test]
    fn an_account_is_read_out_of_the_log() {
        let log = "INFO accounts balance: 12 frames = 12 dnstap_message\n\
                   INFO accounts balance: 7 queries = 6 answered + 1 pending\n"
            .to_owned();
        let ended = Ended { status: ExitStatus::from_raw(0), log };
        assert!(ended.balances());
        assert_eq!(ended.account("queries"), Some(7));
        assert_eq!(ended.account("frames"), Some(12));
        assert_eq!(ended.account("responses"), None);
    }
}
