//! Delivering a spool as it lies there, perhaps one of another machine.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Delivery, DeliveryOptions, Outcome, Progress, Start};
use crate::server::{Connection, Server, ServerError};
use crate::spool::{Backlog, Spool, SpoolError, SpoolOptions};

/// How often progress is told.
const TOLD_EVERY: Duration = Duration::from_millis(200);

/// Why nothing could be delivered.
#[derive(Debug)]
pub enum ShipError {
    /// The directory cannot be used as a spool.
    Spool(SpoolError),
    /// The connection's options cannot be used.
    Server(ServerError),
    /// No thread could be had.
    Thread(io::Error),
}

impl fmt::Display for ShipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spool(error) => error.fmt(f),
            Self::Server(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "cannot start delivery: {error}"),
        }
    }
}

impl std::error::Error for ShipError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Spool(error) => Some(error),
            Self::Server(error) => Some(error),
            Self::Thread(error) => Some(error),
        }
    }
}

/// Delivers all segments of a spool and waits for the last acknowledgement. `progress` is called now and then with
/// what was delivered and what the spool held at first.
///
/// # Errors
/// When it cannot begin. How it ended, and what was not delivered, is in the outcome.
pub fn ship(
    dir: &Path,
    connection: Connection,
    options: DeliveryOptions,
    start: Option<Start>,
    mut progress: impl FnMut(&Progress, Backlog),
) -> Result<Outcome, ShipError> {
    if !dir.is_dir() {
        let error = io::Error::new(io::ErrorKind::NotFound, "no such directory");
        return Err(ShipError::Spool(SpoolError::Directory(dir.to_owned(), error)));
    }
    let server = Server::new(connection).map_err(ShipError::Server)?;
    let spool_options = SpoolOptions { report: Arc::clone(&options.report), ..SpoolOptions::default() };
    let spool = Arc::new(Spool::open(dir, spool_options).map_err(ShipError::Spool)?);
    let all = spool.backlog();
    let delivery = Delivery::start(spool, server, options, start).map_err(ShipError::Thread)?;
    let counts = delivery.progress();
    loop {
        let outcome = delivery.finished_within(TOLD_EVERY);
        progress(&counts, all);
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
    }
}
