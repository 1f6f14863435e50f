//! In the place of ClickHouse: takes everything, keeps nothing, and acknowledges it.
//!
//! The tests' proxy keeps what it saw, which is no peer for gigabytes.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lowtide_store::schema;

use super::Outcome;

/// A listening peer; it stays until the process ends.
pub struct Peer {
    address: SocketAddr,
    inserts: Arc<AtomicU64>,
}

impl Peer {
    pub fn start() -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let inserts = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&inserts);
        thread::Builder::new().name("peer".to_owned()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let inserts = Arc::clone(&counted);
                // What goes wrong here, lowtide tells.
                thread::spawn(move || serve(stream, &inserts));
            }
        })?;
        Ok(Self { address, inserts })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Inserts since this was last called.
    pub fn take_inserts(&self) -> u64 {
        self.inserts.swap(0, Ordering::Relaxed)
    }
}

fn serve(stream: TcpStream, inserts: &AtomicU64) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::with_capacity(1 << 16, stream);
    let mut line = String::new();
    loop {
        let (mut length, mut is_insert) = (0, false);
        loop {
            line.clear();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim_end().is_empty() {
                break;
            }
            is_insert |= line.contains("insert_deduplication_token=");
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut body = (&mut requests).take(length);
        let answer = if is_insert {
            io::copy(&mut body, &mut io::sink())?;
            inserts.fetch_add(1, Ordering::Relaxed);
            String::new()
        } else {
            let mut sql = String::new();
            body.read_to_string(&mut sql)?;
            said(&sql)
        };
        // The head of ClickHouse 26.7 as far as lowtide looks at it.
        let summary = r#"{"read_rows":"1000000000","written_rows":"1000000000"}"#;
        let length = answer.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-ClickHouse-Summary: {summary}\r\n\r\n{answer}"
        );
        answers.write_all(answer.as_bytes())?;
    }
}

/// What a healthy server says: the schema is there, no table lacks deduplication, every setting is known.
fn said(sql: &str) -> String {
    if sql.contains("max(version)") {
        format!("{}\n", schema::VERSION)
    } else if sql.contains("system.tables") {
        "0\n".to_owned()
    } else {
        "1\n".to_owned()
    }
}
