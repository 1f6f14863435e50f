//! A sender of dnstap: Frame Streams over a unix socket, with its handshake, as fast as the receiver reads or at a rate.
//!
//! It waits for its receiver, as a DNS server must not: what it has sent is then known to the frame.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE, MAX_CONTROL_FRAME, put_control};

use crate::clock;
use crate::frames::Endless;

/// How long a receiver may take with its part of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(60);

/// How late a paced sender makes up for; what is later it never sends.
const LATE: Duration = Duration::from_secs(1);

/// A connection whose stream has begun.
#[derive(Debug)]
pub struct Sender(UnixStream);

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Frames that the socket took whole.
    pub frames: u64,
    /// Their octets, lengths included.
    pub octets: u64,
    /// Frames that were not sent, because the receiver had kept the sender waiting.
    pub held_back: u64,
}

impl Sent {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            frames: self.frames + other.frames,
            octets: self.octets + other.octets,
            held_back: self.held_back + other.held_back,
        }
    }
}

impl Sender {
    /// Connects, and shakes hands.
    ///
    /// # Errors
    /// Nobody listens, or nobody agrees.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket)?;
        say(&mut stream, Control::Ready)?;
        hear(&mut stream, Control::Accept)?;
        say(&mut stream, Control::Start)?;
        Ok(Self(stream))
    }

    /// Sends at least so many frames, as fast as they are read.
    ///
    /// # Errors
    /// The receiver has gone.
    pub fn flood(&mut self, frames: &mut Endless<'_>, least: u64) -> io::Result<Sent> {
        let mut sent = Sent::default();
        while sent.frames < least {
            let (octets, count) = frames.next_block();
            self.0.write_all(octets)?;
            sent.frames += count;
            sent.octets += octets.len() as u64;
        }
        Ok(sent)
    }

    /// Sends at `rate` frames a second, until the time has come or `goes_on` says no. Stops between two frames.
    ///
    /// # Errors
    /// The receiver has gone, with what was sent until then: what of the last block was taken is not known.
    pub fn pace(
        &mut self,
        frames: &mut Endless<'_>,
        rate: u64,
        time: Duration,
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<Sent, (Sent, io::Error)> {
        let (begin, mut sent) = (Instant::now(), Sent::default());
        let due = |frames: u64| Duration::from_secs_f64(frames as f64 / rate as f64);
        while begin.elapsed() < time && goes_on() {
            let (octets, count) = frames.next_block();
            clock::wait_until(begin + due(sent.frames + sent.held_back));
            self.0.write_all(octets).map_err(|error| (sent, error))?;
            sent.frames += count;
            sent.octets += octets.len() as u64;
            let late = begin.elapsed().saturating_sub(due(sent.frames + sent.held_back));
            if late > LATE {
                sent.held_back += (late.as_secs_f64() * rate as f64) as u64;
            }
        }
        Ok(sent)
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// The receiver has gone.
    pub fn raw(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.write_all(octets)
    }

    /// Ends the stream, and waits until the receiver has read it.
    ///
    /// # Errors
    /// It does not say so.
    pub fn finish(mut self) -> io::Result<()> {
        put(&mut self.0, Control::Stop, &[])?;
        hear(&mut self.0, Control::Finish)
    }

    /// Ends as a sender ends that is killed: inside a frame, which is `octets` of `claimed` long.
    pub fn break_off(mut self, claimed: u32, octets: &[u8]) {
        // It makes no difference any more whether anybody reads it.
        let _ = self.0.write_all(&[&claimed.to_be_bytes()[..], octets].concat());
    }
}

fn say(stream: &mut UnixStream, control: Control) -> io::Result<()> {
    put(stream, control, &[DNSTAP_CONTENT_TYPE])
}

fn put(stream: &mut UnixStream, control: Control, content_types: &[&[u8]]) -> io::Result<()> {
    let mut octets = Vec::new();
    put_control(&mut octets, control, content_types);
    stream.write_all(&octets)
}

fn hear(stream: &mut UnixStream, awaited: Control) -> io::Result<()> {
    stream.set_read_timeout(Some(HANDSHAKE))?;
    let mut number = || -> io::Result<u32> {
        let mut octets = [0; 4];
        stream.read_exact(&mut octets)?;
        Ok(u32::from_be_bytes(octets))
    };
    let (escape, len, control) = (number()?, number()? as usize, number()?);
    if escape != 0 || !(4..=MAX_CONTROL_FRAME).contains(&len) {
        return Err(io::Error::other("the receiver does not speak Frame Streams"));
    }
    io::copy(&mut stream.take(len as u64 - 4), &mut io::sink())?;
    match Control::from_number(control) {
        Some(control) if control == awaited => Ok(()),
        other => Err(io::Error::other(format!("the receiver says {other:?} instead of {awaited:?}"))),
    }
}
