//! What SIGHUP may change while everything goes on.
//!
//! What was said at the start is kept as it was said, and compared key by key with what is said now. Files and users are not looked
//! at again: the process is no longer root by then, and may see neither.

use std::net::IpAddr;
use std::path::Path;

use lowtide_proto::NameBuf;
use tracing::level_filters::LevelFilter;

use super::draft::Draft;
use super::place::{Fault, Place};
use super::world::{Purpose, World};
use super::{merged, settle};
use crate::args::run::RunArgs;
use crate::error::Error;

/// The keys that a reload changes; all others need a restart.
const RELOADABLE: [&str; 5] =
    ["sensor.zones", "sensor.servers", "sensor.max_rows", "limits.outstanding", "log.level"];

/// Reads the configuration again.
#[derive(Clone, Debug)]
pub struct Reloader {
    args: RunArgs,
    /// What was said at the start.
    draft: Draft,
}

/// What may change without a restart.
#[derive(Clone, Debug)]
pub struct Reloadable {
    /// Zones with an account of their own.
    pub zones: Vec<NameBuf>,
    /// Servers with a coverage row of their own.
    pub servers: Vec<IpAddr>,
    /// Rows of the intervals at hand, about.
    pub max_rows: usize,
    /// Queries that wait for a response.
    pub outstanding: usize,
    /// What is logged.
    pub level: LevelFilter,
}

/// What a reload gives.
#[derive(Clone, Debug)]
pub struct Reloaded {
    /// What holds from now on.
    pub now: Reloadable,
    /// What changed in the file but needs a restart, and what is odd in it.
    pub warnings: Vec<Fault>,
}

impl Reloader {
    pub(super) const fn new(args: RunArgs, draft: Draft) -> Self {
        Self { args, draft }
    }

    /// The file; without one there is nothing to reload.
    pub fn file(&self) -> Option<&Path> {
        self.args.config.as_deref()
    }

    /// Reads the file again, with the command line over it as at the start.
    ///
    /// # Errors
    /// [`Error::Config`] with all that is wrong; everything stays as it is then.
    pub fn reload(&self) -> Result<Reloaded, Error> {
        let (draft, faults) = merged(&self.args).map_err(Error::Config)?;
        let changed = self.draft.changed(&draft);
        let settle::Settled { options, mut warnings } =
            settle::settle(draft, &World::here(Purpose::Reload), faults).map_err(Error::Config)?;
        warnings.extend(changed.into_iter().filter(|key| !RELOADABLE.contains(&key.as_str())).map(|key| {
            Fault {
                place: self
                    .args
                    .config
                    .as_ref()
                    .map_or(Place::Nowhere, |file| Place::File(file.to_string_lossy().into())),
                text: format!("{key} has changed, which needs a restart"),
            }
        }));
        Ok(Reloaded {
            now: Reloadable {
                zones: options.zones,
                servers: options.servers,
                max_rows: options.max_rows,
                outstanding: options.limits.outstanding,
                level: options.log.level,
            },
            warnings,
        })
    }
}
