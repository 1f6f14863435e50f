//! What the service manager is told: ready, reloading, stopping, a line of status, and that the process still works.
//!
//! systemd names a datagram socket in `NOTIFY_SOCKET` (sd_notify(3)). Without one nothing happens, so that nobody has to ask whether
//! there is a service manager. What cannot be sent is returned for the log, and is never a reason to stop: the capture is worth
//! more than what is told about it.
//!
//! The socket is opened anew for each message. That works behind the guard as well: Landlock as it is used there does not restrict
//! connecting, and any user may send to systemd's socket.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::report::text::printable;

/// Start is over: sockets are open, and what arrives is read.
pub fn ready(status: &str) -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&line(status))])
}

/// A reload begins; [`ready`] ends it. The time has to be with it, as the manager counts it (CLOCK_MONOTONIC), else a service of
/// `Type=notify-reload` fails.
pub fn reloading() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
}

/// The end has begun, which may take until `TimeoutStopSec`.
pub fn stopping(status: &str) -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Stopping, NotifyState::Status(&line(status))])
}

/// What `systemctl status` shows.
pub fn status(text: &str) -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Status(&line(text))])
}

/// The process works. To be said by what does the work, when it has done some: a thread that only says so proves nothing.
pub fn alive() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Watchdog])
}

/// How often to say [`alive`]: half of the time after which the manager would kill the process (`WatchdogSec`), if it watches it.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()).map(|limit| limit / 2)
}

/// In one line: a second one would be another message.
fn line(text: &str) -> String {
    printable(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::net::UnixDatagram;
    use std::process::Command;

    const SAY: &str = "LOWTIDE_NOTIFY_TEST";

    /// Runs [`says_everything`] in a process that has these variables, since they cannot be set in one that has threads.
    fn say(variables: &[(&str, &str)]) -> String {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "notify::tests::says_everything", "--nocapture"])
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .env(SAY, "1")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("1 passed"), "{text}");
        text
    }

    /// The child's part; nothing by itself, but that all of it can be called.
    #[test]
    fn says_everything() {
        if std::env::var_os(SAY).is_none() {
            return;
        }
        let interval = watchdog_interval();
        let all = [ready("two\nlines"), reloading(), status("at work"), alive(), stopping("last rows")];
        let failures = all.iter().filter(|result| result.is_err()).count();
        assert_eq!(failures, if std::env::var_os("BROKEN").is_some() { all.len() } else { 0 }, "{all:?}");
        // Seen by the parent.
        assert_eq!(format!("{interval:?}"), std::env::var("INTERVAL").unwrap_or("None".into()));
    }

    #[test]
    fn a_service_manager_hears_everything() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        say(&[
            ("NOTIFY_SOCKET", path.to_str().unwrap()),
            ("WATCHDOG_USEC", "30000000"),
            ("INTERVAL", "Some(15s)"),
        ]);
        let mut buffer = [0; 512];
        let mut heard = Vec::new();
        while let Ok(len) = socket.recv(&mut buffer) {
            heard.push(String::from_utf8(buffer[..len].to_vec()).unwrap());
        }
        let (before, time) = heard[1].split_once("MONOTONIC_USEC=").unwrap();
        assert_eq!(before, "RELOADING=1\n");
        assert!(time.trim_end().parse::<u64>().unwrap() > 0);
        heard.remove(1);
        assert_eq!(
            heard,
            [
                "READY=1\nSTATUS=two\\nlines\n",
                "STATUS=at work\n",
                "WATCHDOG=1\n",
                "STOPPING=1\nSTATUS=last rows\n",
            ]
        );
    }

    #[test]
    fn without_a_service_manager_nothing_happens() {
        say(&[]);
        say(&[("WATCHDOG_USEC", "0")]);
        say(&[("WATCHDOG_USEC", "30000000"), ("WATCHDOG_PID", "1")]);
    }

    #[test]
    fn a_socket_that_is_gone_is_an_error_and_no_end() {
        say(&[("NOTIFY_SOCKET", "/no/such/socket"), ("BROKEN", "1")]);
    }
}
