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
        // Who asks the servers of a migration is counted of those that were said at the start: no other one's may pass for watched.
        let watched = Draft { migrations: self.draft.migrations.clone(), ..draft.clone() };
        let world = World::here(Purpose::Reload);
        let settle::Settled { options, mut warnings } =
            settle::settle(draft, &world, faults).map_err(Error::Config)?;
        let watched = settle::settle(watched, &world, Vec::new()).map_err(Error::Config)?.options;
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
                servers: watched.servers,
                max_rows: options.max_rows,
                outstanding: options.limits.outstanding,
                level: options.log.level,
            },
            warnings,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};
    use crate::config;

    fn run(words: &[&str]) -> RunArgs {
        match Cli::try_parse_from(["lowtide", "run"].iter().chain(words)).unwrap().command {
            Command::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_change_does_and_the_rest_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l.toml");
        let file = path.display().to_string();
        let source = "[[dnstap]]\nlisten = 'unix:/x'\n";
        let before =
            format!("{source}[sensor]\nports = [5353]\nzones = ['a.example']\n[log]\nlevel = 'info'\n");
        fs::write(&path, &before).unwrap();
        let reloader = config::load(&run(&["--config", &file, "--max-rows", "7"])).unwrap().reloader;
        assert_eq!(reloader.file(), Some(path.as_path()));

        // Nothing changed, but for where it stands.
        fs::write(&path, format!("# A comment.\n\n{before}")).unwrap();
        let Reloaded { now, warnings } = reloader.reload().unwrap();
        assert_eq!(warnings, []);
        assert_eq!((now.zones.len(), now.max_rows, now.level), (1, 7, LevelFilter::INFO));

        // Everything that may: the command line still has precedence.
        let after = format!(
            "{source}[sensor]\nports = [5353]\nzones = ['a.example', 'b.example']\nservers = ['192.0.2.1']\nmax_rows = 8\n\
             [log]\nlevel = 'debug'\n[limits]\noutstanding = 9\n"
        );
        fs::write(&path, after).unwrap();
        let Reloaded { now, warnings } = reloader.reload().unwrap();
        assert_eq!(warnings, []);
        assert_eq!((now.zones.len(), now.servers.len(), now.max_rows), (2, 1, 7));
        assert_eq!((now.outstanding, now.level), (9, LevelFilter::DEBUG));

        // What needs a restart, and files that the process may not see any more.
        let after = format!(
            "{source}mode = '0600'\n[[interface]]\nname = 'eth0'\n[sensor]\nports = [54]\n[process]\nuser = 'no-such-user'\n\
             [privacy]\nclients = 'crypto-pan'\nkey_file = '/no/such/file'\n"
        );
        fs::write(&path, after).unwrap();
        let lines: Vec<String> =
            reloader.reload().unwrap().warnings.iter().map(ToString::to_string).collect();
        let expect: Vec<String> = [
            "sensor.ports",
            "privacy.clients",
            "privacy.key_file",
            "process.user",
            "dnstap[0].mode",
            "the number of [[interface]]",
        ]
        .iter()
        .map(|key| format!("{file}: {key} has changed, which needs a restart"))
        .collect();
        assert_eq!(lines, expect);

        // What is wrong changes nothing.
        fs::write(&path, "[sensor]\nzones = ['a..b']\n").unwrap();
        let error = reloader.reload().unwrap_err().to_string();
        assert_eq!(error, format!("{file}:2:10: sensor.zones[0]: 'a..b': not a domain name: empty label"));
    }

    #[test]
    fn only_servers_of_migrations_that_are_watched_have_heartbeats() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l.toml");
        let write = |servers: &str, old: &str| {
            let text = format!(
                "[[dnstap]]\nlisten = 'unix:/x'\n[sensor]\nservers = [{servers}]\n[[migration]]\nname = 'm'\n\
                 zones = ['a.example']\nold = ['{old}']\nnew = ['198.51.100.53']\nparent_ns_ttl = '1d'\n"
            );
            fs::write(&path, text).unwrap();
        };
        write("", "192.0.2.53");
        let reloader = config::load(&run(&["--config", path.to_str().unwrap()])).unwrap().reloader;
        // Another old server: until a restart nobody counts what it is asked, so nobody may say that it was watched.
        write("'192.0.2.1'", "192.0.2.54");
        let Reloaded { now, warnings } = reloader.reload().unwrap();
        assert!(warnings.iter().any(|fault| fault.text.ends_with("needs a restart")), "{warnings:?}");
        let servers: Vec<String> = now.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["192.0.2.1", "192.0.2.53", "198.51.100.53"]);
        // What is wrong in a migration is told all the same.
        write("", "no address");
        assert!(reloader.reload().is_err());
    }
}
