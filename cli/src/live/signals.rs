//! Signals: SIGTERM and SIGINT end the run, SIGHUP reads the configuration again.

use std::thread;
use std::time::{Duration, Instant};

use crossbeam::channel::Sender;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;
use tracing::error;

use super::shared::Happening;
use super::stop::GRACE;
use crate::error::Error;

/// Watches for signals in a thread of its own. A run that was told to end and has not after `limit` and a grace, or that is told
/// twice, ends at once, with what it holds lost: but for the spool, which is on the disk.
///
/// # Errors
/// When the system gives no thread or takes no handler.
pub fn watch(happen: Sender<Happening>, limit: Duration) -> Result<(), Error> {
    let cannot = |error| Error::Failed(format!("cannot watch for signals: {error}"));
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(cannot)?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            let mut ending = false;
            for signal in signals.forever() {
                if ending && signal != SIGHUP {
                    error!("told to end twice: ending at once");
                    exit(1);
                }
                let _ = happen.send(Happening::Signal(signal));
                if signal != SIGHUP && !ending {
                    ending = true;
                    end_by(Instant::now() + limit + GRACE);
                }
            }
        })
        .map_err(cannot)?;
    Ok(())
}

/// Ends the process at `deadline`, if it still runs.
fn end_by(deadline: Instant) {
    let wait = move || {
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            thread::park_timeout(left);
        }
        error!("it takes too long to end: ending at once");
        exit(1);
    };
    // Without a thread there is no deadline.
    let _ = thread::Builder::new().name("deadline".to_owned()).spawn(wait);
}
