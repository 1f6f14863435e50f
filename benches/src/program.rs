//! Programs as processes of their own: lowtide as users build it, and what a run of it took.

use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use wait4::Wait4;

/// What a run took, and what it wrote to standard output.
#[derive(Clone, Debug)]
pub struct Used {
    /// Seconds from its start to its end.
    pub wall: f64,
    /// Seconds of CPU time.
    pub cpu: f64,
    /// Octets of memory that it had at most; the kernel lets it begin at the peak of the process that started it.
    pub memory: u64,
    /// Whether its exit code says that all went well.
    pub success: bool,
    /// Standard output.
    pub output: Vec<u8>,
}

/// Runs a program to its end.
///
/// # Errors
/// It cannot be run.
pub fn run(program: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> io::Result<Used> {
    let begin = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", program.display())))?;
    let mut output = Vec::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_end(&mut output)?;
    }
    let used = child.wait4()?;
    let wall = begin.elapsed().as_secs_f64();
    let cpu = (used.rusage.utime + used.rusage.stime).as_secs_f64();
    Ok(Used { wall, cpu, memory: used.rusage.maxrss, success: used.status.success(), output })
}

/// Seconds of CPU time that a process has had so far, in steps of some milliseconds; `None` where /proc does not tell.
pub fn cpu_seconds(process: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which may itself hold blanks and parentheses: utime and stime are fields 14 and 15 of proc_pid_stat(5).
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    Some(ticks.sum::<Result<u64, _>>().ok()? as f64 / clock_ticks_per_second() as f64)
}

/// The cores that this process may use.
///
/// # Errors
/// The kernel does not say.
pub fn cores() -> io::Result<Vec<usize>> {
    let all = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)).collect())
}

/// From now on this thread, and what it starts, has this core alone.
///
/// # Errors
/// There is no such core, or it may not be used.
pub fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// Starts a program, on one core if that is said.
///
/// # Errors
/// It cannot be started, or the core may not be used.
pub fn spawn_on(command: &mut Command, core: Option<usize>) -> io::Result<Child> {
    let program = command.get_program().display().to_string();
    // A thread of its own, which passes its cores on and is gone.
    let start = || {
        core.map_or(Ok(()), pin)?;
        command.spawn().map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))
    };
    thread::scope(|scope| scope.spawn(start).join())
        .unwrap_or_else(|_| Err(io::Error::other("a thread failed")))
}

/// Sends a process a signal.
///
/// # Errors
/// It is gone, or may not be sent one.
pub fn signal(process: u32, signal: Signal) -> io::Result<()> {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    Ok(kill_process(process.ok_or(io::ErrorKind::NotFound)?, signal)?)
}

/// Builds lowtide as users do, and says where it is.
///
/// # Errors
/// It cannot be built.
pub fn build() -> Result<PathBuf, Box<dyn Error>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "lowtide", "--message-format=json-render-diagnostics"])
        .args(["--manifest-path", manifest])
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err("lowtide could not be built".into());
    }
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message.pointer("/target/name").is_some_and(|name| name == "lowtide"))
        .find_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .ok_or_else(|| "cargo does not say where lowtide is".into())
}
