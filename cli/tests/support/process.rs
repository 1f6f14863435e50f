//! Programs that tests run beside themselves, and what is needed to wait for them.
//!
//! A program ends with its owner, also when the test panics, and also when the test's process is killed: it is started by
//! way of `setpriv --pdeathsig`, because no destructor runs then. What it writes goes to a file, which a test that fails shows.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::env;
use std::fs::{self, File};
use std::io::{Write, stderr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

/// How long anything here may take before it counts as broken: machines that run tests are busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so, which is asked often; whether that came about in time.
pub fn wait_until(patience: Duration, mut so: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if so() {
            return true;
        }
        if begin.elapsed() > patience {
            return false;
        }
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// Where a program is; servers lie where a user's PATH does not lead.
#[track_caller]
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "there is no {name}: apt-get install {package} \
                 (LOWTIDE_TEST_SERVERS=skip leaves the tests with DNS servers out)"
            )
        })
}

/// Whether tests with DNS servers are to be skipped, which it says.
pub fn skipped() -> bool {
    let skip = env::var_os("LOWTIDE_TEST_SERVERS").is_some_and(|value| value == "skip");
    if skip {
        let test = thread::current().name().unwrap_or("a test").to_owned();
        let _ =
            stderr().write_all(format!("SKIPPED, because of LOWTIDE_TEST_SERVERS=skip: {test}\n").as_bytes());
    }
    skip
}

/// A program that runs beside the test.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts a program; what it writes to standard output and error goes to a new file.
    #[track_caller]
    pub fn start(command: &Command, log: &Path) -> Self {
        let name = Path::new(command.get_program()).file_name().unwrap().to_string_lossy().into_owned();
        let output = File::create(log).unwrap();
        let mut guarded = Command::new(program("setpriv", "util-linux"));
        guarded
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            // A group of its own: with NSD, the processes that answer are the children of the one that was started.
            .process_group(0);
        for (key, value) in command.get_envs() {
            if let Some(value) = value {
                guarded.env(key, value);
            }
        }
        if let Some(folder) = command.get_current_dir() {
            guarded.current_dir(folder);
        }
        let child = guarded.spawn().unwrap();
        Self { name, child, log: log.to_owned(), ended: None }
    }

    /// Waits until it is ready, which is asked often, and fails with its log if it ends or does not become so.
    #[track_caller]
    pub fn ready(&mut self, mut so: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !so() {
            let late = begin.elapsed() > PATIENCE;
            if late || self.poll().is_some() {
                let how = self.ended.map_or("is not ready".to_owned(), |status| format!("ended: {status}"));
                panic!("{} {how}", self.name);
            }
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it and its children a signal.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            signal::killpg(self.group(), signal).unwrap();
        }
    }

    fn group(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// How it ended, if it did.
    pub fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }

    /// Waits for its end; `None` when it goes on.
    pub fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        wait_until(patience, || self.poll().is_some());
        self.ended
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The group also when its leader ended: children may be left. Then there may be none, which is no error.
        let _ = signal::killpg(self.group(), Signal::SIGKILL);
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(40).collect::<Vec<_>>();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            let _ = stderr().write_all(format!("---- {} said\n{tail}\n", self.name).as_bytes());
        }
    }
}
