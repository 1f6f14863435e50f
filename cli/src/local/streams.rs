//! The ways between ClickHouse and lowtide: two pipes for the script, and the process's standard streams, which are kept
//! from ClickHouse's chatter.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::Sender;
use std::thread;

use super::Event;
use super::engine::replace;

/// Where ClickHouse wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Where the script tells it to.
    Script,
    /// On standard error.
    Err,
}

/// The streams that the user gave.
pub struct Streams {
    /// His standard output.
    pub out: File,
    err: File,
}

/// The script's ends of its two pipes.
pub struct Script {
    reader: PipeReader,
    writer: PipeWriter,
    stop: Option<PipeWriter>,
}

impl Script {
    /// The file descriptor whose end it waits for.
    pub fn waits_on(&self) -> i32 {
        self.reader.as_raw_fd()
    }

    /// The file descriptor on which it tells how it goes.
    pub fn tells_on(&self) -> i32 {
        self.writer.as_raw_fd()
    }

    /// Ends the wait.
    pub fn stop(&mut self) {
        self.stop = None;
    }
}

impl Streams {
    /// Opens the pipes. ClickHouse's standard error becomes [`Event::Line`] as what it tells does, its standard output is
    /// dropped, and its standard input is a terminal.
    ///
    /// Nothing is ever typed on that terminal, the outer end of a pair whose inner end nobody opens. ClickHouse wants one
    /// because it takes itself for a batch job otherwise, whose process any error in a connection ends.
    ///
    /// # Errors
    /// There is no /dev/ptmx, or no more file descriptors.
    pub fn take(events: &Sender<Event>) -> io::Result<(Self, Script)> {
        let streams = Self {
            out: File::from(io::stdout().as_fd().try_clone_to_owned()?),
            err: File::from(io::stderr().as_fd().try_clone_to_owned()?),
        };
        let (reader, stop) = pipe()?;
        let script = Script { reader, writer: listen(Source::Script, events.clone())?, stop: Some(stop) };
        let both = |path| {
            let opened = OpenOptions::new().read(true).write(true).open(path);
            opened.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
        };
        replace(0, both("/dev/ptmx")?.as_fd())?;
        replace(1, both("/dev/null")?.as_fd())?;
        replace(2, listen(Source::Err, events.clone())?.as_fd())?;
        Ok((streams, script))
    }

    /// A line on the user's standard error. When that cannot be written there is nobody left to tell.
    pub fn complain(&mut self, line: &str) {
        let _ = self.err.write_all(format!("{line}\n").as_bytes());
    }

    /// Gives the process its streams back.
    pub fn give_back(&self) {
        let _ = replace(1, self.out.as_fd());
        let _ = replace(2, self.err.as_fd());
    }
}

/// A pipe whose lines become events.
fn listen(source: Source, events: Sender<Event>) -> io::Result<PipeWriter> {
    let (reader, writer) = pipe()?;
    thread::Builder::new().name("chatter".to_owned()).spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            if events.send(Event::Line(source, String::from_utf8_lossy(&line).into_owned())).is_err() {
                break;
            }
        }
    })?;
    Ok(writer)
}
