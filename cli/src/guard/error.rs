//! Why the process is not guarded as it was asked to be.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the process is not guarded as it was asked to be. After an error it may be guarded in part, and must end.
#[derive(Debug)]
pub enum Error {
    /// There is no such user.
    UnknownUser(String),
    /// There is no such group.
    UnknownGroup(String),
    /// The user is known by a number alone, and no group was named.
    NoGroup(String),
    /// A group without a user: root in another group is still root.
    GroupAlone(String),
    /// Only root can become another user.
    NotRoot(String),
    /// The system calls by which a user is left behind did not do so.
    User(String, io::Error),
    /// Root could be had back.
    StillRoot,
    /// The capabilities cannot be given up.
    Capabilities(String),
    /// There are threads already, which would be left out.
    Threads(usize),
    /// A directory that is to be written cannot be reached.
    Writable(PathBuf, String),
    /// A flag of the process cannot be set.
    Process(&'static str, io::Error),
}

impl Error {
    /// Whether the configuration names what cannot be, rather than the system failing.
    pub fn is_configuration(&self) -> bool {
        matches!(
            self,
            Error::UnknownUser(_)
                | Error::UnknownGroup(_)
                | Error::NoGroup(_)
                | Error::GroupAlone(_)
                | Error::NotRoot(_)
                | Error::Writable(..)
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::UnknownUser(name) => write!(f, "there is no user '{name}' to run as"),
            Error::UnknownGroup(name) => write!(f, "there is no group '{name}' to run as"),
            Error::NoGroup(name) => {
                write!(f, "user '{name}' has no entry in the system's list of users: name a group too")
            }
            Error::GroupAlone(name) => write!(f, "group '{name}' is named without a user to run as"),
            Error::NotRoot(name) => {
                write!(
                    f,
                    "only root can change to user '{name}': start as root or as that user, or name none"
                )
            }
            Error::User(name, source) => write!(f, "cannot change to user '{name}': {source}"),
            Error::StillRoot => f.write_str("could become root again after changing the user"),
            Error::Capabilities(text) => write!(f, "cannot give up capabilities: {text}"),
            Error::Threads(count) => write!(f, "{count} threads run before the process is guarded"),
            Error::Writable(path, source) => write!(f, "cannot write in {}: {source}", path.display()),
            Error::Process(what, source) => write!(f, "cannot set {what}: {source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::User(_, source) | Error::Process(_, source) => Some(source),
            _ => None,
        }
    }
}
