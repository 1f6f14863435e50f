//! What can go wrong with a server: what, where, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

/// Characters of a server's own words that are repeated.
const MAX_WORDS: usize = 300;

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No connection: refused, no route, no such host.
    Unreachable,
    /// No progress for as long as is waited.
    TimedOut,
    /// The connection broke before the answer was there.
    Interrupted,
    /// A certificate is not accepted by one of both sides, or it is not TLS.
    Tls,
    /// User or password are wrong, or the user may not do it.
    Access,
    /// No such database.
    NoDatabase,
    /// No such table.
    NoTable,
    /// The table has other columns or types.
    Columns,
    /// The database's schema is older or newer than this lowtide works with.
    Schema,
    /// Merges do not keep up with inserts.
    TooManyParts,
    /// The server or the user may only read.
    ReadOnly,
    /// The server's disk is full.
    NoSpace,
    /// The server's memory is used up.
    NoMemory,
    /// The server has too much to do.
    Overloaded,
    /// The server does not know a setting, or does not let it be set.
    Setting,
    /// The server cannot read the rows.
    Data,
    /// Another error of ClickHouse's.
    Other,
    /// What stands before ClickHouse, such as a load balancer, says that it cannot answer.
    Gateway,
    /// What answers is not ClickHouse.
    NotClickHouse,
    /// ClickHouse acknowledges fewer rows than were sent.
    Incomplete,
    /// The answer is larger than is accepted.
    TooLarge,
    /// The options cannot be used: a certificate file, a header.
    Options,
    /// A segment's file could not be read.
    File,
}

impl ErrorKind {
    /// What ClickHouse's error codes mean for delivery.
    pub(super) const fn of_code(code: u32) -> Self {
        match code {
            192..=195 | 291 | 497 | 516 => Self::Access,
            81 => Self::NoDatabase,
            60 => Self::NoTable,
            8 | 10 | 16 | 20 | 44 | 47 | 53 | 62 => Self::Columns,
            252 => Self::TooManyParts,
            164 | 242 => Self::ReadOnly,
            243 => Self::NoSpace,
            173 | 241 => Self::NoMemory,
            159 | 160 | 201 | 202 | 209 | 439 | 745 => Self::Overloaded,
            115 | 452 => Self::Setting,
            6 | 27 | 32 | 33 | 41 | 72 | 117 | 128 | 131 | 349 | 561 => Self::Data,
            _ => Self::Other,
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => "is ClickHouse running there, and is it the HTTP port (8123, HTTPS 8443)?",
            Self::TimedOut => "the server is overloaded or the network loses packets",
            Self::Tls => "check the CA file and the client certificate, and that the port speaks HTTPS",
            Self::Access => "check user, password and grants",
            Self::NoDatabase | Self::NoTable => "run lowtide schema --apply",
            Self::Columns => "the schema is of another version: run lowtide schema --apply",
            Self::TooManyParts => "inserts are slowed down until merges have caught up",
            Self::ReadOnly => "let the user write, or wait until the table is writable again",
            Self::NoSpace => "free space on the server's disk",
            Self::Setting => "let the user change the settings of inserts",
            Self::NotClickHouse => "give the URL of ClickHouse's HTTP port (8123, HTTPS 8443)",
            _ => "",
        }
    }
}

/// Trouble with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    kind: ErrorKind,
    code: Option<u32>,
    /// Where: the URL without the password.
    place: String,
    what: String,
}

impl ServerError {
    /// Trouble of some kind at a place. Neither text may hold a password.
    pub fn new(kind: ErrorKind, place: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self { kind, code: None, place: place.to_string(), what: words(&what.to_string()) }
    }

    pub(super) fn of_code(code: u32, place: impl fmt::Display, body: &str) -> Self {
        Self { code: Some(code), ..Self::new(ErrorKind::of_code(code), place, body) }
    }

    pub(crate) fn timed_out(place: impl fmt::Display, after: Duration) -> Self {
        let what = format!("no answer and no progress for {:.1} s", after.as_secs_f64());
        Self::new(ErrorKind::TimedOut, place, what)
    }

    /// What kind of trouble it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// ClickHouse's error code.
    pub const fn code(&self) -> Option<u32> {
        self.code
    }

    /// Whether somebody has to change something before it can work.
    pub const fn is_permanent(&self) -> bool {
        match self.kind {
            ErrorKind::Tls
            | ErrorKind::Access
            | ErrorKind::NoDatabase
            | ErrorKind::NoTable
            | ErrorKind::Columns
            | ErrorKind::Schema
            | ErrorKind::Setting
            | ErrorKind::NotClickHouse
            | ErrorKind::TooLarge
            | ErrorKind::Options => true,
            // 242 is a replica without its Keeper, which comes back; 164 is a right.
            ErrorKind::ReadOnly => matches!(self.code, Some(164)),
            _ => false,
        }
    }

    /// Whether it is about one segment, while others may well be taken.
    pub const fn concerns_segment(&self) -> bool {
        matches!(self.kind, ErrorKind::NoTable | ErrorKind::Columns | ErrorKind::Data | ErrorKind::File)
    }

    /// Whether the server certainly has not taken what was sent: nothing was.
    pub(crate) const fn is_before_sending(&self) -> bool {
        matches!(self.kind, ErrorKind::Unreachable | ErrorKind::File)
    }

    pub(super) fn of_http(error: &(dyn Error + 'static), connecting: bool, place: impl fmt::Display) -> Self {
        let mut kind = if connecting { ErrorKind::Unreachable } else { ErrorKind::Interrupted };
        let mut what = String::new();
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            if !what.contains(&text) {
                what = if what.is_empty() { text } else { format!("{what}: {text}") };
            }
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
                kind = ErrorKind::NotClickHouse;
            }
            let io = error.downcast_ref::<io::Error>();
            if io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut) {
                kind = ErrorKind::TimedOut;
            }
            let inner = io.and_then(io::Error::get_ref).map(|inner| inner as &(dyn Error + 'static));
            if [Some(error), inner].into_iter().flatten().any(<dyn Error>::is::<rustls::Error>) {
                kind = ErrorKind::Tls;
            }
            next = inner.or_else(|| error.source());
        }
        Self::new(kind, place, what)
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        match self.kind.advice() {
            "" => Ok(()),
            advice => write!(f, "; {advice}"),
        }
    }
}

impl Error for ServerError {}

/// The beginning of what a server says: its first paragraph, in one line, without what could steer a terminal.
fn words(text: &str) -> String {
    let paragraph = text.trim().split("\n\n").next().unwrap_or_default();
    let mut words = String::new();
    for word in paragraph.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty())
    {
        if !words.is_empty() {
            words.push(' ');
        }
        words.extend(word.chars().take(MAX_WORDS));
        if words.len() > MAX_WORDS {
            words = words.chars().take(MAX_WORDS).collect();
            words.push_str(" ...");
            break;
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_little_of_what_a_server_says() {
        assert_eq!(words("Code: 60.\r\n\x1b[31mred\x07\n\nmore"), "Code: 60. [31mred");
        assert!(words(&"long ".repeat(1000)).len() < MAX_WORDS + 10);
        assert!(words(&"é".repeat(1000)).chars().count() < MAX_WORDS + 10);
    }

    #[test]
    fn says_what_is_permanent() {
        let of = |code| ServerError::of_code(code, "http://h:8123/d", "Code: ...");
        for code in [16, 47, 53, 60, 81, 115, 164, 193, 194, 497, 516] {
            assert!(of(code).is_permanent(), "{code}");
        }
        for code in [33, 159, 202, 210, 241, 242, 243, 252, 319, 425, 999, 1001] {
            assert!(!of(code).is_permanent(), "{code}");
        }
        assert_eq!(of(252).kind(), ErrorKind::TooManyParts);
        assert_eq!(of(77_777).kind(), ErrorKind::Other);
    }
}
