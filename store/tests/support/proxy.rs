//! A peer that behaves as badly as it is told, in the place of ClickHouse or in front of a real one.
//!
//! It speaks as much HTTP as lowtide's inserts and queries need: requests with a length, connections kept open.
#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How a request is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Forwarded and answered; without a server behind it, acknowledged as ClickHouse does.
    Fair,
    /// The connection is closed as soon as it is there.
    Closes,
    /// Everything is read, nothing answered.
    Hangs,
    /// `200 OK` from something that is not ClickHouse.
    Garbage,
    /// Not even HTTP.
    NotHttp,
    /// A status from something that stands before ClickHouse.
    Status(u16),
    /// An error, as ClickHouse says it: HTTP status and code.
    Exception(u16, u32),
    /// `200 OK` from ClickHouse with an error in its body.
    ExceptionInBody(u32),
    /// `200 OK` from ClickHouse, which says that it read no row.
    NoRows,
    /// Half of the body is read, then the connection is closed.
    CutRequest,
    /// The request is done; of the answer only the beginning arrives.
    CutReply,
    /// The request is done; of the answer nothing arrives.
    LoseReply,
    /// The body is read in small pieces with this pause after each, then it is as [`Weather::Fair`].
    Slow(Duration),
}

/// A request that was read as a whole.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `POST /?... HTTP/1.1` and the headers.
    pub head: String,
    pub body: Vec<u8>,
    /// Whether it was done: rows were taken.
    pub done: bool,
}

impl Seen {
    /// The deduplication token, as the URL has it; `None` for what is not an insert.
    pub fn token(&self) -> Option<&str> {
        Some(
            self.head
                .split_once("insert_deduplication_token=")?
                .1
                .split(['&', ' '])
                .next()
                .unwrap_or_default(),
        )
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

#[derive(Debug)]
struct State {
    weather: Weather,
    /// For the next inserts, one each.
    next: VecDeque<Weather>,
    seen: Vec<Seen>,
    ended: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    upstream: Mutex<Option<SocketAddr>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A listening peer; dropped, it closes.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// Something to read from and to write to: a TCP or a TLS stream.
pub trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// Makes a stream of an accepted connection.
pub type Accept = Box<dyn Fn(TcpStream) -> io::Result<Box<dyn Stream>> + Send + Sync>;

impl Proxy {
    /// In front of a server, or in the place of one.
    pub fn start(upstream: Option<SocketAddr>) -> Self {
        Self::start_with(upstream, Box::new(|stream| Ok(Box::new(stream))))
    }

    /// The same, over what `accept` makes of a connection.
    pub fn start_with(upstream: Option<SocketAddr>, accept: Accept) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { weather: Weather::Fair, next: VecDeque::new(), seen: Vec::new(), ended: false };
        let upstream = Mutex::new(upstream);
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), upstream });
        let accept = Arc::new(accept);
        let listening = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if listening.state().ended {
                    return;
                }
                let (shared, accept) = (Arc::clone(&listening), Arc::clone(&accept));
                thread::spawn(move || {
                    if shared.state().weather == Weather::Closes {
                        return;
                    }
                    // Errors are the weather that is asked for.
                    let _ = accept(stream).and_then(|mut stream| shared.serve(&mut *stream));
                });
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How all requests are treated from now on.
    pub fn set(&self, weather: Weather) {
        self.shared.state().weather = weather;
        self.shared.changed.notify_all();
    }

    /// How the next inserts are treated, one each.
    pub fn next(&self, weather: impl IntoIterator<Item = Weather>) {
        self.shared.state().next.extend(weather);
    }

    /// The server behind, when it has moved.
    pub fn set_upstream(&self, upstream: Option<SocketAddr>) {
        *self.shared.upstream.lock().unwrap() = upstream;
    }

    /// All requests that were read as a whole.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// The inserts among them.
    pub fn inserts(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.token().is_some()).collect()
    }

    /// Waits until so many requests were read, 10 s at most.
    pub fn wait_for(&self, count: usize) {
        let state = self.shared.state();
        let waited =
            self.shared.changed.wait_timeout_while(state, Duration::from_secs(10), |s| s.seen.len() < count);
        let (state, _) = waited.unwrap();
        assert!(state.seen.len() >= count, "{} requests instead of {count}", state.seen.len());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// Reads a head: everything up to the empty line.
fn read_head(stream: &mut dyn Stream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet)?;
        head.push(octet[0]);
        if head.len() > 100_000 {
            return Err(io::Error::other("a head without end"));
        }
    }
    String::from_utf8(head).map_err(io::Error::other)
}

/// For answers after which the connection is closed, so that no other request is lost with it.
const CLOSE: &str = "Connection: close\r\n";

fn answer(status: u16, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

/// As ClickHouse 26.7 answers.
fn clickhouse(status: u16, rows: u64, more: &str, body: &str) -> String {
    let headers = format!(
        "X-ClickHouse-Summary: {{\"read_rows\":\"{rows}\",\"written_rows\":\"{rows}\"}}\r\n\
         X-ClickHouse-Server-Display-Name: fake\r\n{more}"
    );
    answer(status, &headers, body)
}

impl Shared {
    fn serve(&self, stream: &mut dyn Stream) -> io::Result<()> {
        loop {
            let head = read_head(stream)?;
            let mut seen = Seen { head, body: Vec::new(), done: false };
            let length: usize =
                seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let weather = {
                let mut state = self.state();
                let next = if seen.token().is_some() { state.next.pop_front() } else { None };
                next.unwrap_or(state.weather)
            };
            match weather {
                Weather::Closes => return Ok(()),
                Weather::CutRequest => {
                    seen.body.resize(length / 2, 0);
                    return stream.read_exact(&mut seen.body);
                }
                Weather::Slow(pause) => {
                    while seen.body.len() < length {
                        let start = seen.body.len();
                        seen.body.resize(length.min(start + 64 * 1024), 0);
                        stream.read_exact(&mut seen.body[start..])?;
                        thread::park_timeout(pause);
                    }
                }
                _ => {
                    seen.body.resize(length, 0);
                    stream.read_exact(&mut seen.body)?;
                }
            }
            seen.done =
                matches!(weather, Weather::Fair | Weather::Slow(_) | Weather::CutReply | Weather::LoseReply);
            let reply = if seen.done { self.reply(&seen)? } else { Vec::new() };
            let hangs = weather == Weather::Hangs;
            self.state().seen.push(seen);
            self.changed.notify_all();
            let said = match weather {
                Weather::Fair | Weather::Slow(_) => reply,
                Weather::CutReply => reply[..reply.len().min(20)].to_vec(),
                Weather::Garbage => {
                    answer(200, "Content-Type: text/html\r\nConnection: close\r\n", "<h1>Welcome</h1>")
                        .into_bytes()
                }
                Weather::NotHttp => b"\x15\x03\x01\x00\x02\x02\x50 hello\r\n\r\n".to_vec(),
                Weather::Status(status) => answer(status, CLOSE, "try again later").into_bytes(),
                Weather::Exception(status, code) => {
                    let header = format!("X-ClickHouse-Exception-Code: {code}\r\n");
                    let body =
                        format!("Code: {code}. DB::Exception: As it was told. (TOLD) (version 26.7.2.1)\n");
                    clickhouse(status, 0, &header, &body).into_bytes()
                }
                Weather::ExceptionInBody(code) => {
                    let body =
                        format!("Code: {code}. DB::Exception: As it was told. (TOLD) (version 26.7.2.1)\n");
                    clickhouse(200, 1_000_000_000, CLOSE, &body).into_bytes()
                }
                Weather::NoRows => clickhouse(200, 0, CLOSE, "").into_bytes(),
                Weather::Closes | Weather::CutRequest | Weather::Hangs | Weather::LoseReply => Vec::new(),
            };
            if hangs {
                let unchanged = |state: &mut State| state.weather == Weather::Hangs && !state.ended;
                let hour = Duration::from_secs(3600);
                drop(self.changed.wait_timeout_while(self.state(), hour, unchanged));
                return Ok(());
            }
            stream.write_all(&said)?;
            stream.flush()?;
            if !matches!(weather, Weather::Fair | Weather::Slow(_) | Weather::Exception(..))
                || self.is_forwarding()
            {
                return Ok(());
            }
        }
    }

    fn is_forwarding(&self) -> bool {
        self.upstream.lock().unwrap().is_some()
    }

    /// The server's answer, or one like it. To have its end, the server is told to close.
    fn reply(&self, seen: &Seen) -> io::Result<Vec<u8>> {
        let Some(upstream) = *self.upstream.lock().unwrap() else {
            let is_insert = seen.token().is_some();
            let reply = clickhouse(200, 1_000_000_000, "", if is_insert { "" } else { "1\n" });
            return Ok(reply.into_bytes());
        };
        let mut server = TcpStream::connect(upstream)?;
        let lines =
            seen.head.trim_end().lines().filter(|line| !line.to_lowercase().starts_with("connection:"));
        let head = lines.collect::<Vec<_>>().join("\r\n");
        server.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes())?;
        server.write_all(&seen.body)?;
        let mut reply = Vec::new();
        server.read_to_end(&mut reply)?;
        Ok(reply)
    }
}
