//! `fstrm_capture`, what servers' dnstap is received with elsewhere, which writes it as it is: here to nowhere.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lowtide_benches::{clock, machine, program};

use super::Outcome;

/// Ends with its owner.
pub struct Fstrm(Child);

impl Fstrm {
    /// Listens on a socket.
    pub fn start(socket: &Path, core: Option<usize>) -> Outcome<Self> {
        let mut command = Command::new("fstrm_capture");
        command
            .args(["-t", "protobuf:dnstap.Dnstap", "-w", "/dev/null", "-u"])
            .arg(socket)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let started = program::spawn_on(&mut command, core);
        let mut started = Self(started.map_err(|error| format!("{error} (Debian: fstrm-bin)"))?);
        let ready = clock::await_some(Duration::from_secs(10), Duration::from_millis(10), || {
            let ended = started.0.try_wait().ok().flatten().is_some();
            (ended || is_listening(socket)).then_some(!ended)
        });
        if ready == Some(true) { Ok(started) } else { Err("fstrm_capture does not listen".into()) }
    }

    /// Seconds of CPU time that it has had so far.
    pub fn cpu_seconds(&self) -> f64 {
        program::cpu_seconds(self.0.id()).unwrap_or(f64::NAN)
    }

    /// Octets of memory that it had at most.
    pub fn memory(&self) -> u64 {
        machine::peak_resident_of(self.0.id()).unwrap_or_default()
    }
}

/// Whether the kernel knows of a socket there.
fn is_listening(socket: &Path) -> bool {
    let name = socket.display().to_string();
    fs::read_to_string("/proc/net/unix")
        .is_ok_and(|sockets| sockets.lines().any(|line| line.ends_with(&name)))
}

impl Drop for Fstrm {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
