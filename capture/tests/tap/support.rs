//! A tap on a socket in a directory of its own, and senders.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lowtide_capture::tap::{Chunk, Listen, SenderStatus, Tap, TapHandle, TapLimits, UnixListen};
use lowtide_proto::dnstap::{Dnstap, Message};
use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE, Piece, piece, put_control, put_data};
use prost::Message as _;
use tempfile::TempDir;

/// Longer than anything takes on the busiest machine.
pub const LONG: Duration = Duration::from_secs(60);

/// A tap on one unix socket.
pub struct Tapped {
    pub directory: TempDir,
    pub handle: TapHandle,
}

pub fn unix(path: impl Into<PathBuf>) -> UnixListen {
    UnixListen { path: path.into(), mode: None, owner: None, group: None }
}

impl Tapped {
    pub fn new(limits: TapLimits) -> Self {
        let directory = TempDir::new().unwrap();
        let listen = Listen::Unix(unix(directory.path().join("tap")));
        let handle = Tap::bind(&[listen], limits).unwrap().start().unwrap();
        Self { directory, handle }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("tap")
    }

    pub fn connect(&self) -> Client {
        Client::new(UnixStream::connect(self.path()).unwrap())
    }

    /// The next chunk.
    #[track_caller]
    pub fn chunk(&self) -> Chunk {
        self.handle.chunks().recv_timeout(LONG).expect("a chunk")
    }

    /// The next frames of one sender, as many as asked for.
    #[track_caller]
    pub fn frames(&self, count: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while frames.len() < count {
            let chunk = self.chunk();
            let before = frames.len();
            frames.extend(chunk.frames().map(<[u8]>::to_vec));
            assert_eq!(frames.len() - before, chunk.len());
            assert_eq!(frames[before..].iter().map(Vec::len).sum::<usize>(), chunk.octets());
        }
        assert_eq!(frames.len(), count);
        frames
    }

    /// The only sender so far.
    #[track_caller]
    pub fn sender(&self) -> Arc<SenderStatus> {
        until("a sender", || self.handle.senders().first().cloned())
    }

    /// Waits until so many connections were closed for a reason.
    #[track_caller]
    pub fn closed(&self, label: &str, count: u64) {
        until(label, || (self.handle.counters().closed(label) >= count).then_some(()));
        assert_eq!(self.handle.counters().closed(label), count);
    }
}

/// Waits for what comes.
#[track_caller]
pub fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    let (_never, pause) = crossbeam::channel::bounded::<()>(0);
    while begin.elapsed() < LONG {
        if let Some(there) = there() {
            return there;
        }
        let _ = pause.recv_timeout(Duration::from_millis(2));
    }
    panic!("{what} did not come");
}

/// A sender over any stream.
pub struct Client<S = UnixStream> {
    pub stream: S,
    received: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    pub const fn new(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    #[track_caller]
    pub fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
    }

    /// The content types of the next control frame from the other side.
    #[track_caller]
    pub fn expect(&mut self, control: Control) -> Vec<Vec<u8>> {
        loop {
            match piece(&self.received, 0).unwrap() {
                Piece::Control(frame, len) => {
                    assert_eq!(frame.control, control);
                    let names = frame.content_types().map(<[u8]>::to_vec).collect();
                    self.received.drain(..len);
                    return names;
                }
                Piece::Data(_) => panic!("a receiver sends no data"),
                Piece::Incomplete(_) => {
                    let mut octets = [0; 100];
                    let count = self.stream.read(&mut octets).unwrap();
                    assert!(count > 0, "closed instead of {control:?}");
                    self.received.extend(&octets[..count]);
                }
            }
        }
    }

    /// The other side closes, and says nothing before.
    #[track_caller]
    pub fn expect_end(&mut self) {
        assert!(self.received.is_empty());
        let mut octets = [0; 100];
        match self.stream.read(&mut octets) {
            Ok(0) => {}
            Ok(count) => panic!("{:?}", &octets[..count]),
            Err(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
                    "{error}"
                );
            }
        }
    }

    /// READY, ACCEPT, START.
    #[track_caller]
    pub fn begin(&mut self) {
        self.send(&control(Control::Ready, &[DNSTAP_CONTENT_TYPE]));
        assert_eq!(self.expect(Control::Accept), [DNSTAP_CONTENT_TYPE]);
        self.send(&start());
    }
}

pub fn control(control: Control, content_types: &[&[u8]]) -> Vec<u8> {
    let mut octets = Vec::new();
    put_control(&mut octets, control, content_types);
    octets
}

pub fn start() -> Vec<u8> {
    control(Control::Start, &[DNSTAP_CONTENT_TYPE])
}

pub fn stop() -> Vec<u8> {
    control(Control::Stop, &[])
}

pub fn data<T: AsRef<[u8]>>(frames: &[T]) -> Vec<u8> {
    let mut octets = Vec::new();
    for frame in frames {
        put_data(&mut octets, frame.as_ref());
    }
    octets
}

/// A client's query of this second, and of this many octets.
pub fn query(second: u64, octets: usize) -> Vec<u8> {
    let message = Message {
        r#type: 5,
        query_time_sec: Some(second),
        query_message: Some(vec![1; octets]),
        ..Message::default()
    };
    Dnstap { r#type: 1, message: Some(message), ..Dnstap::default() }.encode_to_vec()
}
