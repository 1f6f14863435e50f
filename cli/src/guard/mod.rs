//! Giving up what the process no longer needs, once everything is opened.
//!
//! A sensor reads what strangers send. Should one of them find a way to run code in it, that code is to find nothing worth having: not
//! root, no capability but the one by which interfaces are opened, no way to gain any, no file to write but the spool, no
//! program to start, and no system call that a sensor has no use for.
//!
//! | measure | what it takes away | where it is missing |
//! |---|---|---|
//! | user | root | not started as root |
//! | capabilities | all, but `CAP_NET_RAW` and `CAP_NET_ADMIN` where interfaces are opened again | |
//! | no new privileges | set-user-id programs, file capabilities | |
//! | core dumps | memory in a file, debuggers of the same user | |
//! | Landlock | files beyond those named, starting programs, signals to others | before Linux 5.13, or not enabled |
//! | seccomp | system calls that a sensor never makes | processors other than x86-64, AArch64 and RISC-V |
//!
//! All of it is inherited by threads and none of it reaches threads that run already, so it is done while there is one. The last two are
//! done as far as the kernel has them: they are a second wall, and a sensor without them is better than none. The first four are
//! what the operator asked for, so that they are done or the process ends.
//!
//! What stays in reach: sockets, of any kind and to anywhere. Landlock's rules for TCP are left out because ClickHouse may move to another
//! port by a reload, and those for connecting to Unix sockets because the service manager's must be reachable.

mod capabilities;
mod error;
mod landlock;
#[cfg(all(
    target_endian = "little",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
))]
mod seccomp;
mod user;

use std::fmt;
use std::io;
use std::path::PathBuf;

use nix::sys::prctl;

pub use error::Error;

/// What is to be given up, and what is not.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The user to run as from now on, by name or number.
    pub user: Option<String>,
    /// The group; the user's own where none is named.
    pub group: Option<String>,
    /// Interfaces may have to be opened again.
    pub keep_net_raw: bool,
    /// They are configured, too.
    pub keep_net_admin: bool,
    /// Directories in which anything may be made, written, renamed and removed. They must be there.
    pub writable: Vec<PathBuf>,
    /// Files and directories that are read later, beside what any program reads ([`landlock`]). A file that is replaced by
    /// another of its name is no longer the one that was allowed: name its directory.
    pub readable: Vec<PathBuf>,
    /// Whether to deny system calls.
    pub seccomp: bool,
    /// Whether to deny files.
    pub landlock: bool,
}

/// What was done about one measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its name.
    pub name: &'static str,
    /// Whether it protects; a warning if not.
    pub holds: bool,
    /// What was done, or why it was not.
    pub text: String,
}

impl Measure {
    fn holds(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, holds: true, text: text.into() }
    }

    fn fails(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, holds: false, text: text.into() }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

/// What was done, measure by measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The measures, in the order in which they were taken.
    pub measures: Vec<Measure>,
}

/// Does all of that. To be called by the only thread, after sockets, interfaces and files are opened.
///
/// # Errors
/// When the user cannot be changed, a capability cannot be given up, or a directory to be written is out of reach of the user. The
/// process must end then: it is guarded in part.
pub fn apply(plan: &Plan) -> Result<Report, Error> {
    let threads = threads().map_err(|source| Error::Process("the guard without /proc", source))?;
    if threads != 1 {
        return Err(Error::Threads(threads));
    }
    let target = user::target(plan)?;
    prctl::set_no_new_privs().map_err(|source| Error::Process("no_new_privs", source.into()))?;
    // In this order: to empty the bounding set takes a capability, which changing the user takes away.
    capabilities::empty_bounding_set()?;
    let user = user::change(target)?;
    let capabilities = capabilities::reduce(plan.keep_net_raw, plan.keep_net_admin)?;
    user::check()?;
    // Changing the user has it cleared, but not where there was none to change.
    prctl::set_dumpable(false).map_err(|source| Error::Process("dumpable", source.into()))?;
    let measures = vec![
        user,
        capabilities,
        Measure::holds("privileges", "none can be gained by starting a program"),
        Measure::holds("core dumps", "off, and no debugger of the same user can attach"),
        if plan.landlock { landlock::restrict(plan)? } else { not_asked("files") },
        if plan.seccomp { restrict_calls() } else { not_asked("system calls") },
    ];
    Ok(Report { measures })
}

#[cfg(all(
    target_endian = "little",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
))]
fn restrict_calls() -> Measure {
    seccomp::restrict()
}

#[cfg(not(all(
    target_endian = "little",
    any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")
)))]
fn restrict_calls() -> Measure {
    Measure::fails("system calls", format!("not restricted: no filter for {}", std::env::consts::ARCH))
}

fn not_asked(name: &'static str) -> Measure {
    Measure::fails(name, "not restricted, as configured")
}

/// Threads of this process.
fn threads() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}
