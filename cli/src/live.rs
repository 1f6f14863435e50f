//! The live run.

use std::process::ExitCode;

use crate::config::options::RunOptions;
use crate::config::reload::Reloader;
use crate::error::Error;

/// Runs until a signal says otherwise.
///
/// # Errors
/// Why it cannot.
pub fn run(options: &RunOptions, reloader: &Reloader) -> Result<ExitCode, Error> {
    let _ = (options, reloader);
    Err(Error::Failed("lowtide run is not built yet".to_owned()))
}
