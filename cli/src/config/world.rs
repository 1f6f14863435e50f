//! What options depend on besides file and command line.

use std::path::PathBuf;
use std::thread::available_parallelism;

use nix::unistd::{Group, User, geteuid};

use super::options::Identity;
use crate::recording::host_name;

/// What options are wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To run.
    Run,
    /// To be checked: who is not root may not be the one who will run lowtide, nor this machine the one where.
    Check,
    /// To be compared with those that are used: files and users are left alone.
    Reload,
}

/// The machine, the environment, and what the options are wanted for.
#[derive(Clone, Debug)]
pub struct World {
    /// What they are wanted for.
    pub purpose: Purpose,
    /// Whether the process is root.
    pub root: bool,
    /// The host's name.
    pub host: String,
    /// The directory that systemd keeps for the service.
    pub state_directory: Option<PathBuf>,
    /// Cores.
    pub cores: usize,
}

impl World {
    /// This machine.
    pub fn here(purpose: Purpose) -> Self {
        let directory = std::env::var_os("STATE_DIRECTORY").filter(|value| !value.is_empty());
        Self {
            purpose,
            root: geteuid().is_root(),
            host: host_name(),
            // systemd parts several by colons; the first is the service's own.
            state_directory: directory.map(|all| {
                PathBuf::from(all.to_string_lossy().split(':').next().unwrap_or_default().to_owned())
            }),
            cores: available_parallelism().map_or(1, usize::from),
        }
    }
}

/// A user by name or number.
///
/// # Errors
/// Why there is none.
pub fn user(name: &str) -> Result<Identity, String> {
    let found = match name.parse::<u32>() {
        // A number needs no entry: containers have users without.
        Ok(id) => {
            let group = User::from_uid(id.into()).ok().flatten().map(|user| user.gid.as_raw());
            return Ok(Identity { name: name.to_owned(), id, group });
        }
        Err(_) => User::from_name(name),
    };
    match found {
        Ok(Some(user)) => {
            Ok(Identity { name: name.to_owned(), id: user.uid.as_raw(), group: Some(user.gid.as_raw()) })
        }
        Ok(None) => Err(format!("there is no user '{name}' on this machine")),
        Err(error) => Err(format!("cannot look for user '{name}': {}", error.desc())),
    }
}

/// A group by name or number.
///
/// # Errors
/// Why there is none.
pub fn group(name: &str) -> Result<Identity, String> {
    if let Ok(id) = name.parse::<u32>() {
        return Ok(Identity { name: name.to_owned(), id, group: None });
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(Identity { name: name.to_owned(), id: group.gid.as_raw(), group: None }),
        Ok(None) => Err(format!("there is no group '{name}' on this machine")),
        Err(error) => Err(format!("cannot look for group '{name}': {}", error.desc())),
    }
}
