//! The options of a live run: a file (TOML), the command line over it, and what both leave open filled in.
//!
//! The way: [`document`] reads keys and knows their places, [`mod@file`] says which there are, [`draft`] is what was said, by the file or
//! by the command line; [`settle`] makes [`RunOptions`] of the two together. Everything that is wrong is told at once, each with
//! file, line, column and key, or with the option's name.

mod document;
pub mod draft;
mod file;
mod nearest;
pub mod options;
pub mod place;
pub mod reload;
mod settle;
#[cfg(test)]
mod shipped;
mod summary;
pub mod value;
mod world;

use std::path::Path;
use std::sync::Arc;

use draft::Draft;
use options::{DrainSettings, ReplaySettings, RunOptions};
use place::{Fault, Place};
use reload::Reloader;
use world::{Purpose, World};

use crate::args::run::RunArgs;
use crate::error::{Error, said};

pub use settle::Settled;
pub use summary::summary;

/// The options of a run, and how to read them again.
#[derive(Debug)]
pub struct Loaded {
    /// The options.
    pub options: RunOptions,
    /// What is not wrong, but may not be meant.
    pub warnings: Vec<Fault>,
    /// Reads them again.
    pub reloader: Reloader,
}

/// The options of a run.
///
/// # Errors
/// [`Error::Config`] with all that is wrong.
pub fn load(args: &RunArgs) -> Result<Loaded, Error> {
    let (draft, faults) = merged(args).map_err(Error::Config)?;
    let reloader = Reloader::new(args.clone(), draft.clone());
    let Settled { options, warnings } =
        settle::settle(draft, &World::here(Purpose::Run), faults).map_err(Error::Config)?;
    Ok(Loaded { options, warnings, reloader })
}

/// Reads a file alone. Who checks it may not be the one who will run lowtide.
///
/// # Errors
/// [`Error::Config`] with all that is wrong.
pub fn check(path: &Path) -> Result<Settled, Error> {
    let (draft, faults) = read(path).map_err(Error::Config)?;
    settle::settle(draft, &World::here(Purpose::Check), faults).map_err(Error::Config)
}

/// The migrations of a file. Sources, spool and users are not looked at: they are another machine's.
///
/// # Errors
/// [`Error::Config`] with all that is wrong.
pub fn drain(path: &Path) -> Result<Settled<DrainSettings>, Error> {
    let (draft, faults) = read(path).map_err(Error::Config)?;
    settle::settle_drain(draft, &World::here(Purpose::Reload), faults).map_err(Error::Config)
}

/// What a replay takes of a file; it need have no migration.
///
/// # Errors
/// [`Error::Config`] with all that is wrong.
pub fn replay(path: &Path) -> Result<Settled<ReplaySettings>, Error> {
    let (draft, faults) = read(path).map_err(Error::Config)?;
    settle::settle_replay(draft, &World::here(Purpose::Reload), faults).map_err(Error::Config)
}

/// What file and command line say, and what is wrong in the file; or why it cannot be read at all.
fn merged(args: &RunArgs) -> Result<(Draft, Vec<Fault>), Vec<Fault>> {
    let (draft, faults) = match &args.config {
        None => (Draft::default(), Vec::new()),
        Some(path) => read(path)?,
    };
    Ok((args.draft().or(draft), faults))
}

fn read(path: &Path) -> Result<(Draft, Vec<Fault>), Vec<Fault>> {
    let name: Arc<str> = Arc::from(path.to_string_lossy().as_ref());
    let fault = |text: String| vec![Fault { place: Place::File(Arc::clone(&name)), text }];
    let octets = std::fs::read(path).map_err(|error| fault(format!("cannot read it: {}", said(&error))))?;
    let text = String::from_utf8(octets)
        .map_err(|error| fault(format!("not UTF-8 at octet {}", error.utf8_error().valid_up_to())))?;
    let file::Read { draft, faults, .. } =
        file::read(Arc::clone(&name), &text).map_err(|fault| vec![fault])?;
    Ok((draft, faults))
}
