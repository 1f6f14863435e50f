//! One connection, from its handshake to its end.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::accept::Waiting;
use super::reading::{Action, Reading};
use super::{CloseReason, SenderStatus, Shared};

/// How long a sender that said STOP may take to make room for FINISH.
const FINISH_TIME: Duration = Duration::from_secs(1);

/// How long few frames wait for more, while the pipeline has enough to do: a chunk costs its whole buffer, and nobody
/// waits for this one.
const HOLD: Duration = Duration::from_millis(50);

/// A connection. When it is dropped, its frames are handed over and its end is counted, however it came.
pub(super) struct Connection {
    shared: Arc<Shared>,
    reading: Reading,
    listener: usize,
    peer: String,
    accepted: Instant,
    sender: Option<Arc<SenderStatus>>,
    /// Frames and octets of the chunk at hand that were counted.
    counted: (usize, usize),
    reason: Option<CloseReason>,
    /// Its place among those that another connection may displace.
    waiting: Option<Waiting>,
    /// When it was first waited after octets had come.
    heard: Option<Instant>,
    /// When it was first waited inside the frame at hand.
    in_frame: Option<Instant>,
}

/// Why a connection has to do something without octets having come.
enum Wake {
    Read(io::Result<usize>),
    Deadline,
    Stop,
}

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, listener: usize, peer: String, waiting: Waiting) -> Self {
        let reading = Reading::new(Arc::clone(&shared.pool), shared.limits.frame_octets);
        Self {
            shared,
            reading,
            listener,
            peer,
            accepted: Instant::now(),
            sender: None,
            counted: (0, 0),
            reason: None,
            waiting: Some(waiting),
            heard: None,
            in_frame: None,
        }
    }

    /// When START has to be there.
    pub(super) fn handshake_deadline(&self) -> Instant {
        self.accepted + self.shared.limits.handshake_timeout
    }

    /// Ends it before there was anything to read.
    pub(super) fn fail(mut self, reason: CloseReason) {
        self.reason = Some(reason);
    }

    /// Reads it to its end.
    pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut self, mut stream: S) {
        let mut stop = self.shared.published.stop.subscribe();
        let reason = self.read(&mut stream, &mut stop).await;
        self.reason = Some(reason);
    }

    async fn read<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        stop: &mut watch::Receiver<Option<Instant>>,
    ) -> CloseReason {
        loop {
            let read = match self.read_now(stream).await {
                Poll::Ready(read) => read,
                Poll::Pending if stop.borrow().is_some() => return CloseReason::Shutdown,
                Poll::Pending => {
                    let (deadline, reason) = self.prepare_wait();
                    match self.wait(stream, stop, deadline).await {
                        Wake::Read(read) => read,
                        Wake::Deadline => {
                            let Some(reason) = reason else {
                                self.flush();
                                continue;
                            };
                            // The process may have been stopped for a while: the deadline is over, and the octets that came
                            // in time are seen when the kernel has been asked once more.
                            tokio::task::yield_now().await;
                            match self.read_now(stream).await {
                                Poll::Ready(read) => read,
                                Poll::Pending => return reason,
                            }
                        }
                        Wake::Stop => continue,
                    }
                }
            };
            match read {
                Ok(0) => return self.ended(),
                Ok(octets) => self.reading.came(octets),
                Err(error) => match error.kind() {
                    // A peer that died, or closed with octets of ours unread, or without TLS's own goodbye.
                    io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::UnexpectedEof => return self.ended(),
                    kind => return CloseReason::Failed(kind),
                },
            }
            self.heard = None;
            if let Some(reason) = self.cut(stream).await {
                return reason;
            }
            if self.reading.is_used() {
                self.flush();
                // Others have a turn, however fast this one sends.
                tokio::task::yield_now().await;
                if stop.borrow().is_some_and(|by| by <= Instant::now()) {
                    return CloseReason::Shutdown;
                }
            }
        }
    }

    /// Reads without waiting.
    async fn read_now<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> Poll<io::Result<usize>> {
        poll_fn(|context| Poll::Ready(self.poll_read(stream, context))).await
    }

    /// Reads what there is room for; while there is nothing, no buffer is held.
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(self.reading.room());
        match Pin::new(stream).poll_read(context, &mut room) {
            Poll::Ready(read) => Poll::Ready(read.map(|()| room.filled().len())),
            Poll::Pending => {
                self.reading.rest();
                Poll::Pending
            }
        }
    }

    /// Cuts what came and does what it says; the reason when that was the end.
    async fn cut<S: AsyncWrite + Unpin>(&mut self, stream: &mut S) -> Option<CloseReason> {
        loop {
            let action = self.reading.cut();
            self.count();
            match action {
                Ok(Action::Read) => return None,
                Ok(Action::Accept) => {
                    let mut answer = Vec::new();
                    self.reading.receiver().put_accept(&mut answer);
                    match timeout_at(self.handshake_deadline(), send(stream, &answer)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => return Some(CloseReason::Ended),
                        Err(_) => return Some(CloseReason::HandshakeTimeout),
                    }
                }
                Ok(Action::Begin) => self.begin(),
                Ok(Action::Stop { finish }) => {
                    self.flush();
                    if finish {
                        let mut answer = Vec::new();
                        self.reading.receiver().put_finish(&mut answer);
                        let _ = timeout_at(Instant::now() + FINISH_TIME, async {
                            send(stream, &answer).await?;
                            stream.shutdown().await
                        })
                        .await;
                    }
                    return Some(CloseReason::Stopped);
                }
                Err(error) => return Some(CloseReason::Protocol(error)),
            }
        }
    }

    /// Takes the sender in.
    fn begin(&mut self) {
        let is_bidirectional = self.reading.receiver().is_bidirectional();
        let sender = self.shared.begin(self.listener, &self.peer, is_bidirectional);
        self.sender = Some(sender);
        self.waiting = None;
    }

    /// Counts what was cut since this was last called.
    fn count(&mut self) {
        let (frames, octets) = self.reading.pending();
        let new = ((frames - self.counted.0) as u64, (octets - self.counted.1) as u64);
        self.counted = (frames, octets);
        if new.0 > 0
            && let Some(sender) = &self.sender
        {
            sender.frames.add(new.0);
            sender.octets.add(new.1);
            self.shared.published.counting.frames.add(new.0);
            self.shared.published.counting.octets.add(new.1);
        }
    }

    /// Hands over what was cut.
    fn flush(&mut self) {
        if let Some(sender) = &self.sender
            && let Some(chunk) = self.reading.take_chunk(sender)
        {
            self.counted = (0, 0);
            self.in_frame = None;
            self.shared.queue.offer(chunk, &self.shared.published.counting);
        }
    }

    /// Nothing is there to be read: hands over what was, and says until when to wait and what it means when nothing comes;
    /// without a reason, that frames were held back long enough.
    fn prepare_wait(&mut self) -> (Option<Instant>, Option<CloseReason>) {
        if !self.reading.receiver().has_started() {
            return (Some(self.handshake_deadline()), Some(CloseReason::HandshakeTimeout));
        }
        let now = Instant::now();
        if self.reading.pending().0 > 0 {
            if self.shared.queue.is_behind() {
                return (Some(now + HOLD), None);
            }
            self.flush();
        }
        let heard = *self.heard.get_or_insert(now);
        let idle = self.shared.limits.idle_timeout.map(|time| (heard + time, CloseReason::IdleTimeout));
        self.in_frame = self.reading.is_inside_frame().then(|| self.in_frame.unwrap_or(now));
        let frame = self
            .in_frame
            .map(|since| (since + self.shared.limits.handshake_timeout, CloseReason::FrameTimeout));
        match idle.into_iter().chain(frame).min_by_key(|(deadline, _)| *deadline) {
            Some((deadline, reason)) => (Some(deadline), Some(reason)),
            None => (None, None),
        }
    }

    async fn wait<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        stop: &mut watch::Receiver<Option<Instant>>,
        deadline: Option<Instant>,
    ) -> Wake {
        let elapsed = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Octets first, when the deadline is over, too.
            biased;
            read = poll_fn(|context| self.poll_read(stream, context)) => Wake::Read(read),
            _ = stop.changed() => Wake::Stop,
            () = elapsed => Wake::Deadline,
        }
    }

    const fn ended(&self) -> CloseReason {
        if self.reading.is_inside_frame() { CloseReason::Cut } else { CloseReason::Ended }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.count();
        self.flush();
        let is_stopping = self.shared.published.stop.borrow().is_some();
        let reason = self.reason.unwrap_or(match self.sender {
            None if !is_stopping => CloseReason::Displaced,
            _ => CloseReason::Shutdown,
        });
        if let Some(sender) = &self.sender {
            sender.close(reason);
        }
        self.shared.published.counting.close(reason);
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, octets: &[u8]) -> io::Result<()> {
    stream.write_all(octets).await?;
    stream.flush().await
}
