use super::*;

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Fixture {
    server: Server,
    ill: Arc<AtomicBool>,
}

fn start() -> Fixture {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let ill = Arc::new(AtomicBool::new(false));
    let health = {
        let ill = Arc::clone(&ill);
        move || if ill.load(Ordering::SeqCst) { Err("spool\nfull".to_string()) } else { Ok("ok".to_string()) }
    };
    let server = listener.start(Arc::new(|| "lowtide_x 1\n# EOF\n".into()), Arc::new(health)).unwrap();
    Fixture { server, ill }
}

impl Fixture {
    fn connect(&self) -> std::net::TcpStream {
        let stream = std::net::TcpStream::connect(self.server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends that and reads to the end.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // It may have answered and closed before it was told everything.
        let _ = stream.write_all(request);
        read_to_close(&mut stream)
    }

    fn get(&self, path: &str) -> String {
        self.ask(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
    }
}

/// All that comes until the connection is closed, in order or by reset; anything else is a failure.
fn read_to_close(stream: &mut std::net::TcpStream) -> String {
    let mut text = Vec::new();
    match stream.read_to_end(&mut text) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    String::from_utf8(text).unwrap()
}

fn parts(response: &str) -> (&str, &str, &str) {
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {response:?}"));
    let (status, headers) = head.split_once("\r\n").unwrap();
    (status, headers, body)
}

#[test]
fn it_answers_what_it_knows() {
    let fixture = start();
    let response = fixture.get("/metrics?x=1");
    let (status, headers, body) = parts(&response);
    assert_eq!((status, body), ("HTTP/1.1 200 OK", "lowtide_x 1\n# EOF\n"));
    assert!(headers.contains("content-type: application/openmetrics-text; version=1.0.0"), "{headers}");
    assert!(headers.contains("content-length: 18"), "{headers}");

    let response = fixture.get("/");
    assert_eq!(parts(&response).2, "lowtide: /metrics for Prometheus, /healthz for its health\n");
    assert_eq!(parts(&fixture.get("/metrics/")).0, "HTTP/1.1 404 Not Found");
    assert_eq!(parts(&fixture.get("/../etc/passwd")).0, "HTTP/1.1 404 Not Found");

    let response = fixture.ask(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (status, headers, body) = parts(&response);
    assert_eq!((status, body), ("HTTP/1.1 200 OK", ""));
    assert!(headers.contains("content-length: 18"), "{headers}");

    for method in ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT"] {
        let request = format!("{method} /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello");
        let response = fixture.ask(request.as_bytes());
        let (status, headers, _) = parts(&response);
        assert_eq!(status, "HTTP/1.1 405 Method Not Allowed", "{method}");
        assert!(headers.contains("allow: GET, HEAD"), "{headers}");
    }
}

#[test]
fn health_is_a_status_and_a_line() {
    let fixture = start();
    let response = fixture.get("/healthz");
    assert_eq!((parts(&response).0, parts(&response).2), ("HTTP/1.1 200 OK", "ok\n"));
    fixture.ill.store(true, Ordering::SeqCst);
    let response = fixture.get("/healthz");
    assert_eq!(
        (parts(&response).0, parts(&response).2),
        ("HTTP/1.1 503 Service Unavailable", "spool\\nfull\n")
    );
}

#[test]
fn garbage_gets_an_error_or_nothing() {
    let fixture = start();
    let garbage: Vec<u8> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let endless = format!("GET /{} HTTP/1.1\r\n", "a".repeat(100_000));
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(1000));
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for request in [&garbage, endless.as_bytes(), headers.as_bytes(), tls, b"\r\n\r\n\r\n", b"GET\r\n\r\n"] {
        let mut stream = fixture.connect();
        let _ = stream.write_all(request);
        let _ = stream.shutdown(Shutdown::Write);
        let response = read_to_close(&mut stream);
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 4"), "{response}");
    }
    assert!(fixture.get("/healthz").ends_with("ok\n"));
}

#[test]
fn whoever_sends_a_request_drop_by_drop_is_cut_off() {
    let fixture = start();
    let mut slow = fixture.connect();
    slow.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    loop {
        assert!(begun.elapsed() < PATIENCE, "still connected");
        // Each drop comes in time, but there is never an end to them.
        let sent = slow.write_all(b"X: y\r\n");
        match slow.read_to_end(&mut answer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(_) | Err(_) => break,
        }
        if sent.is_err() {
            break;
        }
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(!answer.contains("200 OK"), "{answer}");
    assert!(fixture.get("/healthz").ends_with("ok\n"));
}

#[test]
fn silent_connections_are_bounded_and_give_way() {
    let fixture = start();
    let mut silent: Vec<_> = (0..MAX_CONNECTIONS + 8).map(|_| fixture.connect()).collect();
    // It waits behind all of them, and is answered when they have been cut off.
    assert!(fixture.get("/healthz").ends_with("ok\n"));
    for stream in silent.iter_mut().take(MAX_CONNECTIONS) {
        assert_eq!(read_to_close(stream), "");
    }
}

#[test]
fn a_peer_that_takes_no_answer_is_cut_off() {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let ill = Arc::default();
    let large = || "# ".repeat(32 << 20);
    let server = listener.start(Arc::new(large), Arc::new(|| Ok("ok".into()))).unwrap();
    let fixture = Fixture { server, ill };
    let mut silent = fixture.connect();
    silent.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let begun = Instant::now();
    // Writing to a connection that was reset fails; until then the octets stay in the kernel.
    silent.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    while !matches!(silent.write(b"x"), Err(error) if error.kind() != ErrorKind::WouldBlock) {
        assert!(begun.elapsed() < PATIENCE, "still connected");
        thread::park_timeout(Duration::from_millis(50));
    }
    assert!(fixture.get("/healthz").ends_with("ok\n"));
}

#[test]
fn stopping_closes_the_socket_and_what_is_connected() {
    let Fixture { server, .. } = start();
    let address = server.address();
    let mut open = std::net::TcpStream::connect(address).unwrap();
    open.set_read_timeout(Some(PATIENCE)).unwrap();
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < REQUEST_TIMEOUT, "it waits for nobody");
    assert_eq!(read_to_close(&mut open), "");
    assert_eq!(std::net::TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // The port is free again.
    Listener::bind(address).unwrap();
}

#[test]
fn an_address_in_use_is_said() {
    let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let error = Listener::bind(listener.address).unwrap_err();
    let address = listener.address;
    assert_eq!(error.to_string(), format!("cannot serve metrics at {address}: Address already in use"));
}
