//! Taking connections in, as many as may be.
//!
//! A connection that has not begun its stream is displaced by the next one when all places are taken: clients that connect
//! and say nothing, however many and however fast, cannot keep a server out. Only where all are sending is one refused.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use super::listen::{Bound, SocketFile};
use super::{CloseReason, Shared};

/// A listening socket inside the runtime.
pub(super) struct Listener {
    socket: Socket,
    /// A unix socket's file goes when nobody listens any more.
    _file: Option<SocketFile>,
    index: usize,
    shared: Arc<Shared>,
    places: Arc<Places>,
}

enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener, Option<Arc<ServerConfig>>),
}

/// How long after a failure the next connection is accepted: more descriptors will not be there at once.
const BACK_OFF: Duration = Duration::from_millis(100);

impl Listener {
    /// Hands a socket over to the runtime whose context this is.
    pub(super) fn new(bound: Bound, index: usize, shared: Arc<Shared>) -> io::Result<Self> {
        let (socket, file) = match bound {
            Bound::Unix(listener, file) => (Socket::Unix(UnixListener::from_std(listener)?), Some(file)),
            Bound::Tcp(listener, tls) => (Socket::Tcp(TcpListener::from_std(listener)?, tls), None),
        };
        let places = Arc::new(Places {
            free: Arc::new(Semaphore::new(shared.limits.senders.min(Semaphore::MAX_PERMITS))),
            waiting: Mutex::default(),
        });
        Ok(Self { socket, _file: file, index, shared, places })
    }

    /// Accepts until the stop. `alive` lives as long as the last connection.
    pub(super) async fn run(self, alive: mpsc::Sender<()>) {
        let mut stop = self.shared.published.stop.subscribe();
        loop {
            let accepted = tokio::select! {
                biased;
                _ = stop.wait_for(Option::is_some) => return,
                accepted = self.accept(&alive) => accepted,
            };
            if accepted.is_err() {
                self.shared.published.counting.accept_errors.add(1);
                tokio::select! {
                    _ = stop.wait_for(Option::is_some) => return,
                    () = sleep(BACK_OFF) => {}
                }
            }
        }
    }

    async fn accept(&self, alive: &mpsc::Sender<()>) -> io::Result<()> {
        match &self.socket {
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let peer = unix_peer(&stream);
                self.take_in(peer, alive, |connection| connection.serve(stream));
            }
            Socket::Tcp(listener, tls) => {
                let (stream, address) = listener.accept().await?;
                // Without it a sender whose machine is gone would be waited for for ever.
                let _ = keep_alive(&stream);
                let peer = address.to_string();
                match tls.clone() {
                    None => self.take_in(peer, alive, |connection| connection.serve(stream)),
                    Some(config) => {
                        self.take_in(peer, alive, |connection| serve_tls(connection, stream, config));
                    }
                }
            }
        }
        Ok(())
    }

    fn take_in<F>(&self, peer: String, alive: &mpsc::Sender<()>, serve: impl FnOnce(Connection) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let counting = &self.shared.published.counting;
        counting.accepted.add(1);
        let mut place = Arc::clone(&self.places.free).try_acquire_owned().ok();
        if place.is_none() && !self.places.displace() {
            counting.refused.add(1);
            return;
        }
        let number = counting.accepted.get();
        let waiting = Waiting { places: Arc::clone(&self.places), number };
        let connection = Connection::new(Arc::clone(&self.shared), self.index, peer, waiting);
        let free = Arc::clone(&self.places.free);
        let (serving, alive) = (serve(connection), alive.clone());
        let task = tokio::spawn(async move {
            if place.is_none() {
                // The displaced connection gives its place back as soon as it has a turn.
                place = free.acquire_owned().await.ok();
            }
            serving.await;
            drop((place, alive));
        });
        self.places.lock().push_back((number, task.abort_handle()));
    }
}

async fn serve_tls(connection: Connection, stream: TcpStream, config: Arc<ServerConfig>) {
    match timeout_at(connection.handshake_deadline(), TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => connection.serve(stream).await,
        Ok(Err(_)) => connection.fail(CloseReason::Tls),
        Err(_) => connection.fail(CloseReason::HandshakeTimeout),
    }
}

/// The places of a listener's connections.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    /// The connections whose stream has not begun, oldest first.
    waiting: Mutex<VecDeque<(u64, AbortHandle)>>,
}

impl Places {
    /// Ends the connection that has waited longest; whether there is one.
    fn displace(&self) -> bool {
        let oldest = self.lock().pop_front();
        oldest.inspect(|(_, task)| task.abort()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, AbortHandle)>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives, its connection may be displaced.
#[derive(Debug)]
pub(super) struct Waiting {
    places: Arc<Places>,
    number: u64,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.places.lock().retain(|(number, _)| *number != self.number);
    }
}

fn unix_peer(stream: &UnixStream) -> String {
    match stream.peer_cred() {
        Ok(peer) => match peer.pid() {
            Some(pid) => format!("uid {} pid {pid}", peer.uid()),
            None => format!("uid {}", peer.uid()),
        },
        Err(_) => "unknown".to_owned(),
    }
}

/// Asks a silent peer after a minute whether it is still there, and gives it up after another.
fn keep_alive(stream: &TcpStream) -> rustix::io::Result<()> {
    set_socket_keepalive(stream, true)?;
    set_tcp_keepidle(stream, Duration::from_secs(60))?;
    set_tcp_keepintvl(stream, Duration::from_secs(10))?;
    set_tcp_keepcnt(stream, 6)
}
