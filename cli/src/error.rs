//! Why a command failed: one line that says what, where and, where it is not plain, what to do. A configuration has a line for each of
//! its faults.

use std::fmt;
use std::io;
use std::process::ExitCode;

use lowtide_capture::{OpenError, OpenErrorKind};

use crate::config::place::Fault;
use crate::guard;
use crate::report::text::printable;

/// Why a command failed.
#[derive(Debug)]
pub enum Error {
    /// The command line or the configuration asks for something that cannot be.
    Usage(String),
    /// The configuration is wrong in these places; there is at least one.
    Config(Vec<Fault>),
    /// An input cannot be opened, or is no capture.
    Open(OpenError),
    /// Standard output cannot be written.
    Output(io::Error),
    /// Anything else that failed, in words.
    Failed(String),
}

impl Error {
    /// The exit code that CONTRACT.md gives it.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Usage(_) | Error::Config(_) => ExitCode::from(2),
            Error::Open(_) | Error::Output(_) | Error::Failed(_) => ExitCode::from(1),
        }
    }

    /// Whether the reader of standard output went away (`lowtide … | head`), which is no failure.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Error::Output(source) if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(text) | Error::Failed(text) => f.write_str(&printable(text)),
            Error::Config(faults) => {
                let lines: Vec<String> =
                    faults.iter().map(|fault| printable(&fault.to_string()).into_owned()).collect();
                f.write_str(&lines.join("\n"))
            }
            Error::Open(OpenError { path, kind: OpenErrorKind::Io(source) }) => {
                write!(f, "cannot open '{}': {}", printable(&path.to_string_lossy()), said(source))
            }
            Error::Open(error) => f.write_str(&printable(&error.to_string())),
            Error::Output(source) => write!(f, "cannot write to standard output: {}", said(source)),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Open(error) => std::error::Error::source(error),
            Error::Output(source) => Some(source),
            Error::Usage(_) | Error::Config(_) | Error::Failed(_) => None,
        }
    }
}

impl From<OpenError> for Error {
    fn from(source: OpenError) -> Self {
        Error::Open(source)
    }
}

impl From<guard::Error> for Error {
    fn from(error: guard::Error) -> Self {
        let text = error.to_string();
        if error.is_configuration() { Error::Usage(text) } else { Error::Failed(text) }
    }
}

impl From<serde_json::Error> for Error {
    /// A report always serializes, so what fails is the writing.
    fn from(source: serde_json::Error) -> Self {
        Error::Output(source.into())
    }
}

/// What the system said, without the number that Rust adds to it.
pub fn said(source: &io::Error) -> String {
    let text = source.to_string();
    let words = text.split_once(" (os error ").map_or(text.as_str(), |(words, _)| words);
    printable(words).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &str, kind: OpenErrorKind) -> Error {
        OpenError { path: path.into(), kind }.into()
    }

    #[test]
    fn one_line_says_what_and_where() {
        let error = open("x.pcap", OpenErrorKind::Io(io::Error::from_raw_os_error(2)));
        assert_eq!(error.to_string(), "cannot open 'x.pcap': No such file or directory");
        let error = open("a\n\x1b[31m", OpenErrorKind::Directory);
        assert_eq!(error.to_string(), r"a\n\u{1b}[31m: is a directory; name the files in it");
    }

    #[test]
    fn only_a_reader_that_went_away_is_quiet() {
        assert!(Error::Output(io::ErrorKind::BrokenPipe.into()).is_broken_pipe());
        assert!(!Error::Output(io::ErrorKind::StorageFull.into()).is_broken_pipe());
        assert!(!open("x", OpenErrorKind::Io(io::ErrorKind::BrokenPipe.into())).is_broken_pipe());
    }
}
