//! As much HTTP as a test needs.

use std::io::{self, Read, Write};
use std::net::TcpStream;

/// Why a statement failed.
#[derive(Debug)]
pub struct Failure {
    /// The HTTP status; 0 when there was no answer.
    pub status: u16,
    /// ClickHouse's error code.
    pub code: Option<u32>,
    /// What it or the system said.
    pub message: String,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self { status: 0, code: None, message: error.to_string() }
    }
}

/// A statement that is to be sent.
#[derive(Debug)]
pub struct Request<'a> {
    port: u16,
    sql: &'a str,
    data: Option<&'a [u8]>,
    parameters: String,
    headers: String,
}

impl<'a> Request<'a> {
    /// A statement for the server on a port.
    pub fn new(port: u16, sql: &'a str) -> Self {
        // Without waiting for the end, an error could come in the middle of an answer that began as a good one.
        let parameters = "?wait_end_of_query=1&default_format=TSVRaw".to_owned();
        Self { port, sql, data: None, parameters, headers: String::new() }
    }

    /// The data of an INSERT.
    pub fn data(mut self, data: &'a [u8]) -> Self {
        self.data = Some(data);
        self
    }

    /// A user with a password.
    pub fn user(mut self, (user, password): (&str, &str)) -> Self {
        self.headers += &format!("X-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\n");
        self
    }

    /// The database that tables without one are in.
    pub fn database(self, database: &str) -> Self {
        self.setting("database", database)
    }

    /// A setting, or another parameter of the URL.
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.parameters += &format!("&{}={}", escape(name), escape(value));
        self
    }

    /// A header, e.g. `Content-Encoding`.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    /// Sends it and waits for the answer.
    pub fn send(self) -> Result<String, Failure> {
        let (parameters, body) = match self.data {
            Some(data) => (format!("{}&query={}", self.parameters, escape(self.sql)), data),
            None => (self.parameters, self.sql.as_bytes()),
        };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let length = body.len();
        // HTTP/1.0, so that the answer ends where the connection does.
        write!(stream, "POST /{parameters} HTTP/1.0\r\nContent-Length: {length}\r\n{}\r\n", self.headers)?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, format!("half an answer: {answer}"));
        let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
        let field = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        let code = field("X-ClickHouse-Exception-Code").and_then(|(_, code)| code.parse().ok());
        let body = body.strip_suffix('\n').unwrap_or(body).to_owned();
        if status == 200 && code.is_none() { Ok(body) } else { Err(Failure { status, code, message: body }) }
    }
}

/// Percent-encodes what is not plain.
pub fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
