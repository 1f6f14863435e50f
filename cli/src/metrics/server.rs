//! The page on a socket: `/metrics` for Prometheus, `/healthz` for whoever restarts what is ill.
//!
//! The socket is bound while the process still may, and served later by one thread of its own. Whoever can connect can ask, but not
//! harm: 32 connections at a time, ten seconds and one answer each, five of them for the request, 16 KiB of it at most. Further ones wait
//! in the kernel's backlog. Nothing that is sent changes anything; a body is not read.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::error::{Error, said};
use crate::report::text::printable;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 32;

/// A request's first line and headers must be there by then.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection is over by then, even if its peer does not take the answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Octets of a request's first line and headers.
const MAX_REQUEST: usize = 16 * 1024;

/// Headers of a request.
const MAX_HEADERS: usize = 64;

/// Before the next try when no connection can be accepted: most likely there is no file descriptor left.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Makes the page of metrics.
pub type PageSource = Arc<dyn Fn() -> String + Send + Sync>;

/// Says that all is well, or what is not.
pub type Health = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// A bound socket that is not served yet.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds the socket.
    ///
    /// # Errors
    /// When the address is in use, is none of this host, or needs a privilege.
    pub fn bind(address: SocketAddr) -> Result<Self, Error> {
        let bound = || {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let address = socket.local_addr()?;
            Ok(Self { socket, address })
        };
        bound().map_err(|error| failed(address, &error))
    }

    /// Serves it in a thread of its own, until the server is stopped or dropped. Both functions are called in that thread, one at a
    /// time; while one of them takes its time, all wait.
    ///
    /// # Errors
    /// When the system gives no thread or nothing to wait with.
    pub fn start(self, page: PageSource, health: Health) -> Result<Server, Error> {
        let Self { socket, address } = self;
        let started = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let socket = {
                let _inside = runtime.enter();
                tokio::net::TcpListener::from_std(socket)?
            };
            let (stop, stopped) = oneshot::channel();
            let serve = move || runtime.block_on(serve(socket, Answers { page, health }, stopped));
            let thread = thread::Builder::new().name("metrics".into()).spawn(serve)?;
            Ok(Server { address, running: Some((stop, thread)) })
        };
        started().map_err(|error| failed(address, &error))
    }
}

fn failed(address: SocketAddr, error: &io::Error) -> Error {
    Error::Failed(format!("cannot serve metrics at {address}: {}", said(error)))
}

/// The server at work. It stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    running: Option<(oneshot::Sender<Infallible>, JoinHandle<()>)>,
}

impl Server {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the socket and all connections, and waits until that is done.
    pub fn stop(self) {}
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            drop(stop);
            // A panic in the thread has been reported where it arose.
            let _ = thread.join();
        }
    }
}

/// Accepts and answers until the other end of `stopped` is gone.
async fn serve(listener: tokio::net::TcpListener, answers: Answers, stopped: oneshot::Receiver<Infallible>) {
    let mut stopped = pin!(stopped);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, answers.clone()));
                }
                Err(_) => sleep(ACCEPT_AGAIN).await,
            },
        }
    }
}

/// One request and its answer. What goes wrong is the peer's: it broke off, sent what is no request, or took too long.
async fn converse(stream: TcpStream, answers: Answers) {
    let service = service_fn(move |request| {
        let response = answers.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .max_buf_size(MAX_REQUEST)
        .max_headers(MAX_HEADERS)
        .keep_alive(false);
    let _ = timeout(CONNECTION_TIMEOUT, http.serve_connection(TokioIo::new(stream), service)).await;
}

#[derive(Clone)]
struct Answers {
    page: PageSource,
    health: Health,
}

impl Answers {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => response(StatusCode::OK, OPEN_METRICS, (self.page)()),
            "/healthz" => match (self.health)() {
                Ok(well) => plain(StatusCode::OK, &well),
                Err(ill) => plain(StatusCode::SERVICE_UNAVAILABLE, &ill),
            },
            "/" => plain(StatusCode::OK, "lowtide: /metrics for Prometheus, /healthz for its health"),
            _ => plain(StatusCode::NOT_FOUND, "not found; there are /metrics and /healthz"),
        }
    }
}

/// One line of text.
fn plain(status: StatusCode, line: &str) -> Response<Full<Bytes>> {
    response(status, PLAIN, format!("{}\n", printable(line)))
}

fn response(status: StatusCode, content: HeaderValue, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
