//! Landlock: which files are still there for the process.
//!
//! To read: where any program's libraries, settings, certificates, time zones and name resolution are, and the kernel's own files, in
//! which interfaces and the process itself are described. To write: what the plan names, and `/dev/null`. To execute: nothing. Sockets,
//! pipes and files that are open already are not touched.
//!
//! The fifth version of the interface is asked for, and what the kernel has of it is done: the first (Linux 5.13) cannot forbid to
//! truncate, which 6.2 can. Of the sixth, signals to other processes are forbidden.

use std::path::{Path, PathBuf};

use ::landlock::{
    ABI, Access, AccessFs, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::{Error, Measure, Plan};

const VERSION: ABI = ABI::V5;

/// What programs read: libraries that the resolver loads, settings, certificates, and what the kernel tells. Not all systems have all.
const SYSTEM: [&str; 12] = [
    "/etc",
    "/usr",
    "/lib",
    "/lib64",
    "/proc",
    "/sys",
    "/dev/urandom",
    "/dev/random",
    "/run/systemd",
    "/run/nscd",
    "/var/lib/ca-certificates",
    "/var/lib/sss",
];

/// Restricts the process to the plan's files.
///
/// # Errors
/// When a directory to be written cannot be reached.
pub fn restrict(plan: &Plan) -> Result<Measure, Error> {
    let name = "files";
    let mut writable = Vec::new();
    for path in &plan.writable {
        let opened = PathFd::new(path).map_err(|error| Error::Writable(path.clone(), cause(&error)))?;
        writable.push((path.as_path(), opened));
    }
    let mut unreachable = Vec::new();
    let mut readable = Vec::new();
    for path in &plan.readable {
        match PathFd::new(path) {
            Ok(opened) => readable.push((path.as_path(), opened)),
            Err(error) => unreachable.push(format!("{}: {}", path.display(), cause(&error))),
        }
    }
    let status = ruleset(writable, readable).and_then(RulesetCreated::restrict_self);
    let text = match status {
        Err(error) => return Ok(Measure::fails(name, format!("not restricted: {error}"))),
        Ok(status) => match (status.ruleset, status.landlock) {
            (RulesetStatus::FullyEnforced, _) => restricted(plan),
            (RulesetStatus::PartiallyEnforced, LandlockStatus::Available { effective_abi, .. }) => {
                format!("{} as far as version {} of Landlock goes", restricted(plan), effective_abi as i32)
            }
            (_, LandlockStatus::NotEnabled) => {
                return Ok(Measure::fails(name, "not restricted: Landlock is not enabled in the kernel"));
            }
            _ => return Ok(Measure::fails(name, "not restricted: the kernel has no Landlock")),
        },
    };
    if unreachable.is_empty() {
        return Ok(Measure::holds(name, text));
    }
    Ok(Measure::fails(name, format!("{text}; to be read but out of reach: {}", unreachable.join(", "))))
}

fn restricted(plan: &Plan) -> String {
    let paths: Vec<_> = plan.writable.iter().map(|path| path.display().to_string()).collect();
    match paths.as_slice() {
        [] => "none can be written or executed".into(),
        paths => format!("none can be executed, and written only in {}", paths.join(", ")),
    }
}

type Opened<'a> = Vec<(&'a Path, PathFd)>;

fn ruleset(writable: Opened<'_>, readable: Opened<'_>) -> Result<RulesetCreated, RulesetError> {
    let all = AccessFs::from_all(VERSION);
    let to_read = AccessFs::ReadFile | AccessFs::ReadDir;
    // What a sensor has no use for: devices.
    let to_write = all & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let mut rules =
        Ruleset::default().handle_access(all)?.scope(Scope::Signal)?.create()?.no_new_privs(false);
    for (path, opened) in writable {
        rules = rules.add_rule(beneath(path, opened, to_write))?;
    }
    for (path, opened) in readable {
        rules = rules.add_rule(beneath(path, opened, to_read))?;
    }
    let null = Path::new("/dev/null");
    if let Ok(opened) = PathFd::new(null) {
        rules = rules.add_rule(beneath(null, opened, to_read | AccessFs::WriteFile))?;
    }
    for path in SYSTEM.iter().map(PathBuf::from).chain(resolver_settings()) {
        if let Ok(opened) = PathFd::new(&path) {
            rules = rules.add_rule(beneath(&path, opened, to_read))?;
        }
    }
    Ok(rules)
}

/// A rule for a path. The rights of directories mean nothing for a file, and the kernel refuses them.
fn beneath(path: &Path, opened: PathFd, access: BitFlags<AccessFs>) -> PathBeneath<PathFd> {
    let access = if path.is_dir() { access } else { access & AccessFs::from_file(VERSION) };
    PathBeneath::new(opened, access)
}

/// Where the resolver's settings really are. Most systems have a link there, to a file that is replaced when the network changes: so its
/// directory is allowed, but for one in which more than that is kept.
fn resolver_settings() -> Option<PathBuf> {
    let file = std::fs::canonicalize("/etc/resolv.conf").ok()?;
    let directory = file.parent()?;
    let is_own = directory.components().count() > 2;
    Some(if is_own { directory.to_path_buf() } else { file })
}

/// What the system said.
fn cause(error: &::landlock::PathFdError) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
