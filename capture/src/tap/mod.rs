//! dnstap over sockets: what DNS servers send while they run.
//!
//! One thread reads all connections: it asks the kernel for as much as there is, cuts frames in place, and hands
//! over whole buffers ([`Chunk`]) through a bounded queue. **It never waits for whoever takes them**: when the queue is full,
//! it goes on reading, discards and counts, for a DNS server must not be held up, neither its answers nor its stopping. Who
//! sent what, and what was discarded of it, is in a [`SenderStatus`] for each stream.
//!
//! Whatever a peer does is bounded: connections for each listener (those that are silent give way), the time for a handshake and
//! for a frame, the length of frames, the memory of a buffer by the octets that really came.
//!
//! Nothing is printed; all conditions are counts ([`TapCounters`]).

mod accept;
mod chunk;
mod connection;
mod counters;
mod listen;
mod reading;
mod sender;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam::channel::{Receiver, bounded};
use lowtide_proto::frame_streams::MAX_FRAME;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use accept::Listener;
use chunk::{Pool, Queue};
use counters::Counting;
use listen::Bound;
use sender::Senders;

pub use chunk::Chunk;
pub use counters::TapCounters;
pub use listen::{Listen, TapError, TapErrorKind, TcpListen, UnixListen};
pub use sender::{CloseReason, SenderStatus};

/// What senders may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TapLimits {
    /// Connections at once for each listener.
    pub senders: usize,
    /// Octets in a data frame.
    pub frame_octets: usize,
    /// How long after a connection its START has to be there, and later how long a frame may take to come whole.
    pub handshake_timeout: Duration,
    /// How long a stream may be silent; for ever by default, as a server's traffic may be.
    pub idle_timeout: Option<Duration>,
    /// Octets of buffers in the queue and in the hands of whoever takes chunks.
    pub queue_octets: usize,
}

impl Default for TapLimits {
    fn default() -> Self {
        Self {
            senders: 64,
            frame_octets: MAX_FRAME,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: None,
            queue_octets: 64 << 20,
        }
    }
}

/// Sockets that are listened on and not read yet. Unix sockets' files go with it.
#[derive(Debug)]
pub struct Tap {
    listeners: Vec<Bound>,
    limits: TapLimits,
}

impl Tap {
    /// Opens every socket. No thread is started, so that privileges can be dropped behind it.
    ///
    /// # Errors
    /// [`TapError`] for the first socket that cannot be opened; none is open then.
    pub fn bind(listen: &[Listen], limits: TapLimits) -> Result<Self, TapError> {
        let listeners = listen.iter().map(Bound::new).collect::<Result<_, _>>()?;
        Ok(Self { listeners, limits })
    }

    /// The address of each TCP listener, with the port that was free where 0 was asked for.
    pub fn addresses(&self) -> Vec<Option<SocketAddr>> {
        let address = |bound: &Bound| match bound {
            Bound::Unix(..) => None,
            Bound::Tcp(listener, _) => listener.local_addr().ok(),
        };
        self.listeners.iter().map(address).collect()
    }

    /// Reads, in a thread of its own.
    ///
    /// # Errors
    /// When the operating system gives no thread or no event queue.
    pub fn start(self) -> io::Result<TapHandle> {
        /// The read that is large enough for more of it not to matter.
        const LARGE: usize = 256 << 10;
        /// Room beside the longest frame.
        const BESIDE: usize = 4 << 10;
        let limits = self.limits;
        let (sender, chunks) = bounded(Queue::slots(limits.queue_octets));
        let published = Arc::new(Published {
            counting: Counting::default(),
            senders: Senders::default(),
            stop: watch::Sender::new(None),
        });
        let shared = Arc::new(Shared {
            limits,
            pool: Arc::new(Pool::new(limits.frame_octets.max(LARGE).saturating_add(BESIDE))),
            queue: Queue::new(sender, limits.queue_octets),
            published: Arc::clone(&published),
        });
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let listeners = {
            let _context = runtime.enter();
            let listener = |(index, bound)| Listener::new(bound, index, Arc::clone(&shared));
            self.listeners.into_iter().enumerate().map(listener).collect::<io::Result<Vec<_>>>()?
        };
        drop(shared);
        let for_thread = Arc::clone(&published);
        let thread = thread::Builder::new()
            .name("dnstap".to_owned())
            .spawn(move || run(&runtime, listeners, &for_thread))?;
        Ok(TapHandle { chunks, published, thread: Mutex::new(Some(thread)) })
    }
}

/// The thread: until the stop, and then until the last connection has ended, but not long.
fn run(runtime: &Runtime, listeners: Vec<Listener>, published: &Published) {
    /// Beyond the time for reading what is there: that of a FINISH on its way.
    const GRACE: Duration = Duration::from_millis(1_200);
    let (alive, mut ended) = mpsc::channel(1);
    runtime.block_on(async {
        for listener in listeners {
            tokio::spawn(listener.run(alive.clone()));
        }
        drop(alive);
        let mut stop = published.stop.subscribe();
        if let Ok(by) = stop.wait_for(Option::is_some).await.map(|by| by.unwrap_or_else(Instant::now)) {
            // What is not ended by then ends with the runtime.
            let _ = timeout_at(by + GRACE, ended.recv()).await;
        }
    });
}

/// What the thread shares with the handle.
#[derive(Debug)]
struct Published {
    counting: Counting,
    senders: Senders,
    /// Set when it shall stop: until when what is there is read.
    stop: watch::Sender<Option<Instant>>,
}

/// What the connections share. The queue's entrance is closed when the last of them is gone.
#[derive(Debug)]
struct Shared {
    limits: TapLimits,
    pool: Arc<Pool>,
    queue: Queue,
    published: Arc<Published>,
}

impl Shared {
    /// Takes a sender in.
    fn begin(&self, listener: usize, peer: &str, is_bidirectional: bool) -> Arc<SenderStatus> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let sender = Arc::new(SenderStatus::new(id, listener, peer, is_bidirectional));
        self.published.counting.begun.add(1);
        if self.published.senders.add(Arc::clone(&sender)) {
            self.published.counting.dropped_senders.add(1);
        }
        sender
    }
}

/// Sockets that are read. Dropping it stops.
#[derive(Debug)]
pub struct TapHandle {
    chunks: Receiver<Chunk>,
    published: Arc<Published>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

impl TapHandle {
    /// The queue's exit. It is disconnected when the sockets are closed and the last chunk was taken.
    pub const fn chunks(&self) -> &Receiver<Chunk> {
        &self.chunks
    }

    /// Gives a chunk's buffer back, to be read into again; dropping the chunk does the same.
    pub fn recycle(&self, chunk: Chunk) {
        drop(chunk);
    }

    /// The connections whose stream began, in that order. Those that ended stay until they are forgotten, the latest 4,096
    /// of them.
    pub fn senders(&self) -> Vec<Arc<SenderStatus>> {
        self.published.senders.all()
    }

    /// Lets go of a sender that ended; one that did not stays.
    pub fn forget(&self, id: u64) {
        self.published.senders.forget(id);
    }

    /// What was counted so far.
    pub fn counters(&self) -> TapCounters {
        self.published.counting.snapshot()
    }

    /// Stops: accepts no more, reads what is there for half a second at most, closes, and returns when the thread ended, in
    /// two seconds at most. What was handed over can still be taken; the counters are final.
    pub fn stop(&self) {
        const READING: Duration = Duration::from_millis(500);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            self.published.stop.send_replace(Some(Instant::now() + READING));
            // A panic of the thread would have been printed by it; there is nothing to add.
            let _ = thread.join();
        }
    }
}

impl Drop for TapHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
