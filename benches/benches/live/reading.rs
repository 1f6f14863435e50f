//! A receiver that only reads: what the socket alone takes of a core.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lowtide_benches::{figures, program};
use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE, put_control};

use super::Outcome;

/// Octets of a read, as `fstrm_capture` and lowtide read at most.
const READ: usize = 256 << 10;

/// Listens for one sender; the CPU time that reading it took.
pub fn start(socket: &Path, core: Option<usize>) -> Outcome<JoinHandle<io::Result<Duration>>> {
    let listener = UnixListener::bind(socket)?;
    let receive = move || {
        core.map_or(Ok(()), program::pin)?;
        let (mut stream, _) = listener.accept()?;
        let mut buffer = vec![0; READ];
        // READY comes alone: the sender waits for its answer.
        let _ = stream.read(&mut buffer)?;
        stream.write_all(&control(Control::Accept, &[DNSTAP_CONTENT_TYPE]))?;
        let stop = control(Control::Stop, &[]);
        let (cpu, read) = figures::cpu_time(|| -> io::Result<()> {
            let mut last = Vec::new();
            // Nothing is sent behind STOP before there is an answer to it.
            while !last.ends_with(&stop) {
                let len = stream.read(&mut buffer)?;
                if len == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let end = buffer.get(len.saturating_sub(stop.len())..len).unwrap_or_default();
                last.extend_from_slice(end);
                last.drain(..last.len().saturating_sub(stop.len()));
            }
            Ok(())
        });
        read?;
        stream.write_all(&control(Control::Finish, &[]))?;
        Ok(cpu)
    };
    Ok(thread::Builder::new().name("reading".to_owned()).spawn(receive)?)
}

fn control(control: Control, content_types: &[&[u8]]) -> Vec<u8> {
    let mut octets = Vec::new();
    put_control(&mut octets, control, content_types);
    octets
}
