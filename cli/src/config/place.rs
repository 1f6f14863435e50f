//! Where an option was given, and what is wrong there.

use std::fmt;
use std::sync::Arc;

/// Where an option was given.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In no place: what is wrong is that something is missing everywhere.
    Nowhere,
    /// On the command line.
    Argument(&'static str),
    /// In a file, as a whole.
    File(Arc<str>),
    /// At a place in a file.
    Position(Arc<str>, Position),
    /// By a key in a file.
    Key(Arc<str>, Position, String),
}

/// Line and column, from 1; columns are characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Nowhere => f.write_str("the configuration"),
            Place::Argument(option) => f.write_str(option),
            Place::File(file) => f.write_str(file),
            Place::Position(file, at) => write!(f, "{file}:{}:{}", at.line, at.column),
            Place::Key(file, at, key) => write!(f, "{file}:{}:{}: {key}", at.line, at.column),
        }
    }
}

impl Place {
    /// How another fault points here: without the key, which it has named already.
    pub fn reference(&self) -> String {
        match self {
            Place::Key(_, at, _) | Place::Position(_, at) => format!("in line {}", at.line),
            other => format!("by {other}"),
        }
    }
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What is wrong, and what is allowed.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Nowhere => f.write_str(&self.text),
            place => write!(f, "{place}: {}", self.text),
        }
    }
}

/// A value, and where it was given. It shows the value alone.
#[derive(Clone)]
pub struct Given<T> {
    /// The value.
    pub value: T,
    /// Where it was given.
    pub place: Place,
}

impl<T> Given<T> {
    /// A value of the command line.
    pub const fn by(option: &'static str, value: T) -> Self {
        Self { value, place: Place::Argument(option) }
    }
}

impl<T: fmt::Debug> fmt::Debug for Given<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
