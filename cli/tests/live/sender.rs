//! Senders of dnstap, good ones and others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;

use lowtide_capture::{CaptureFile, Record};
use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE, Piece, piece, put_control, put_data};

use crate::process::PATIENCE;

/// A sender over any stream.
pub struct Sender<S = UnixStream> {
    pub stream: S,
    received: Vec<u8>,
}

impl Sender {
    /// Connects to a socket and begins, as servers do.
    #[track_caller]
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::begin(stream)
    }
}

impl Sender<TcpStream> {
    /// The same over TCP.
    #[track_caller]
    pub fn connect_tcp(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self::begin(stream)
    }
}

impl<S: Read + Write> Sender<S> {
    /// READY, ACCEPT, START.
    #[track_caller]
    pub fn begin(stream: S) -> Self {
        let mut sender = Self { stream, received: Vec::new() };
        sender.write(&control(Control::Ready, &[DNSTAP_CONTENT_TYPE]));
        assert_eq!(sender.expect(Control::Accept), [DNSTAP_CONTENT_TYPE]);
        sender.write(&control(Control::Start, &[DNSTAP_CONTENT_TYPE]));
        sender
    }

    /// Sends octets as they are.
    #[track_caller]
    pub fn write(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).unwrap();
        self.stream.flush().unwrap();
    }

    /// Sends frames.
    #[track_caller]
    pub fn send<T: AsRef<[u8]>>(&mut self, frames: impl IntoIterator<Item = T>) {
        self.write(&stream_of(frames));
    }

    /// STOP, and waits for FINISH: then everything that was sent has been read.
    #[track_caller]
    pub fn finish(mut self) {
        self.write(&control(Control::Stop, &[]));
        self.expect(Control::Finish);
    }

    /// The content types of the next control frame from the other side.
    #[track_caller]
    fn expect(&mut self, control: Control) -> Vec<Vec<u8>> {
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
}

/// A control frame.
pub fn control(control: Control, content_types: &[&[u8]]) -> Vec<u8> {
    let mut octets = Vec::new();
    put_control(&mut octets, control, content_types);
    octets
}

/// Frames as a stream has them.
pub fn stream_of<T: AsRef<[u8]>>(frames: impl IntoIterator<Item = T>) -> Vec<u8> {
    let mut octets = Vec::new();
    for frame in frames {
        put_data(&mut octets, frame.as_ref());
    }
    octets
}

/// Where a recording of testdata is.
pub fn recording(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(format!("{name}.dnstap.zst"))
}

/// The frames of a recording of testdata.
pub fn recorded(name: &str) -> Vec<Vec<u8>> {
    let mut file = CaptureFile::open(&recording(name)).unwrap();
    let mut frames = Vec::new();
    while let Some(record) = file.next().unwrap() {
        let Record::Dnstap(frame) = record else { panic!("{name} is no dnstap") };
        frames.push(frame.octets.to_vec());
    }
    frames
}
