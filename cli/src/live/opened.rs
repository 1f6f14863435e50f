//! What a run opens while it may: sockets, interfaces, keys, directories. Afterwards it gives its privileges away.

use std::path::{Path, PathBuf};

use lowtide_aggregate::anonymise::Anonymisation;
use lowtide_capture::live::{LiveCapture, LiveOptions};
use lowtide_capture::tap::{Listen as TapListen, Tap, TapLimits, TcpListen, UnixListen};
use lowtide_store::server::Server;
use lowtide_store::spool::SpoolOptions;
use tracing::{info, warn};

use super::rows::SpoolSettings;
use super::tls;
use crate::config::options::{DnstapListen, InterfaceOptions, Listen, Privacy, RunOptions};
use crate::error::{Error, said};
use crate::{connection, guard, metrics};

/// What was opened.
pub struct Opened {
    /// Sockets that take dnstap.
    pub taps: Vec<Tap>,
    /// Handles of interfaces, each with the name of who reads it.
    pub captures: Vec<(String, LiveCapture)>,
    /// Where metrics are served.
    pub metrics: Option<metrics::server::Listener>,
    /// ClickHouse, its certificates read.
    pub server: Option<Server>,
}

impl Opened {
    /// Opens everything.
    ///
    /// # Errors
    /// The first that cannot be opened, and why.
    pub fn open(options: &RunOptions) -> Result<Self, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Failed(error.to_string());
        let mut captures = Vec::new();
        for interface in &options.interfaces {
            let handles = LiveCapture::open(&live(options, interface)).map_err(|error| failed(&error))?;
            for warning in handles.iter().flat_map(LiveCapture::warnings) {
                warn!("{}: {warning}", interface.name);
            }
            captures.extend(readers(&interface.name, handles));
        }
        let mut taps = Vec::new();
        for dnstap in &options.dnstap {
            let tap = Tap::bind(&[listen(&dnstap.listen)?], limits(options, dnstap));
            taps.push(tap.map_err(|error| failed(&error))?);
        }
        let metrics = options.metrics.map(metrics::server::Listener::bind).transpose()?;
        let server = options.connection.as_ref().map(connection::server).transpose()?;
        if server.is_none() {
            info!("no ClickHouse is named: rows stay in {}", options.spool.dir.display());
        }
        Ok(Self { taps, captures, metrics, server })
    }

    /// Gives away what is no longer needed, while there is one thread. `config` will be read again.
    ///
    /// # Errors
    /// What was asked for and cannot be done.
    pub fn drop_privileges(&self, options: &RunOptions, config: Option<&Path>) -> Result<(), Error> {
        prepare_spool(options)?;
        for measure in guard::apply(&plan(options, config))?.measures {
            if measure.holds { info!("{measure}") } else { warn!("{measure}") }
        }
        Ok(())
    }
}

/// Names who reads each handle: of several, each is told apart, or their metrics would be one's.
fn readers<T>(interface: &str, handles: Vec<T>) -> impl Iterator<Item = (String, T)> {
    let several = handles.len() > 1;
    handles.into_iter().enumerate().map(move |(number, handle)| match several {
        true => (format!("{interface}#{number}"), handle),
        false => (interface.to_owned(), handle),
    })
}

/// The sources as the operator gave them.
pub fn inputs(options: &RunOptions) -> Vec<String> {
    let interfaces = options.interfaces.iter().map(|interface| interface.name.clone());
    sockets(options).into_iter().chain(interfaces).collect()
}

/// The sockets, as sources.
pub fn sockets(options: &RunOptions) -> Vec<String> {
    options.dnstap.iter().map(|dnstap| dnstap.listen.to_string()).collect()
}

/// What becomes of clients' addresses.
pub const fn anonymisation(privacy: &Privacy) -> Anonymisation {
    match privacy {
        Privacy::Keep => Anonymisation::Keep,
        Privacy::Truncate { ipv4, ipv6 } => Anonymisation::Truncate { ipv4: *ipv4, ipv6: *ipv6 },
        Privacy::CryptoPan(key) => Anonymisation::CryptoPan(key.0),
    }
}

/// How the spool is kept.
pub fn spool(options: &RunOptions) -> SpoolSettings<'_> {
    let spool = &options.spool;
    #[expect(clippy::disallowed_methods, reason = "segments are as old as the clock says")]
    let clock: lowtide_store::spool::Clock = std::time::SystemTime::now;
    SpoolSettings {
        dir: &spool.dir,
        options: SpoolOptions {
            max_octets: spool.max_size,
            max_age: spool.max_age.map(|age| (age, clock)),
            when_full: spool.when_full,
            ..SpoolOptions::default()
        },
    }
}

fn live(options: &RunOptions, interface: &InterfaceOptions) -> LiveOptions {
    LiveOptions {
        promiscuous: interface.promiscuous,
        snap_length: interface.snap_length,
        buffer_octets: usize::try_from(interface.buffer).unwrap_or(usize::MAX),
        filter: interface.filter.clone(),
        ports: options.ports.clone(),
        threads: interface.threads,
        allow_xdp: interface.allow_xdp,
        ..LiveOptions::new(&interface.name)
    }
}

fn listen(listen: &Listen) -> Result<TapListen, Error> {
    Ok(match listen {
        Listen::Unix { path, mode, owner, group } => {
            TapListen::Unix(UnixListen { path: path.clone(), mode: *mode, owner: *owner, group: *group })
        }
        Listen::Tcp { address, tls } => {
            let tls = tls.as_ref().map(tls::server).transpose()?;
            TapListen::Tcp(TcpListen { address: *address, tls })
        }
    })
}

fn limits(options: &RunOptions, dnstap: &DnstapListen) -> TapLimits {
    TapLimits {
        senders: dnstap.max_senders,
        frame_octets: options.limits.max_frame,
        handshake_timeout: dnstap.handshake_timeout,
        idle_timeout: dnstap.idle_timeout,
        queue_octets: usize::try_from(options.limits.dnstap_queue).unwrap_or(usize::MAX),
    }
}

fn plan(options: &RunOptions, config: Option<&Path>) -> guard::Plan {
    let process = &options.process;
    let sockets = options.dnstap.iter().filter_map(|dnstap| match &dnstap.listen {
        // A socket that is removed at the end is removed out of its directory.
        Listen::Unix { path, .. } => Some(directory(path)),
        Listen::Tcp { .. } => None,
    });
    guard::Plan {
        user: process.user.as_ref().map(|user| user.name.clone()),
        group: process.group.as_ref().map(|group| group.name.clone()),
        keep_net_raw: !options.interfaces.is_empty(),
        keep_net_admin: false,
        writable: sockets.chain([options.spool.dir.clone()]).collect(),
        // Editors put another file in the place of the old one: its directory is what stays.
        readable: config.map(directory).into_iter().collect(),
        seccomp: process.seccomp,
        landlock: process.landlock,
    }
}

/// Makes the spool's directory where it is missing, for the user who will write to it.
fn prepare_spool(options: &RunOptions) -> Result<(), Error> {
    let dir = &options.spool.dir;
    if dir.is_dir() {
        return Ok(());
    }
    let failed = |error: std::io::Error| {
        Error::Failed(format!(
            "cannot make the spool {}: {}; --spool names another directory",
            dir.display(),
            said(&error)
        ))
    };
    lowtide_store::spool::make_dir(dir).map_err(failed)?;
    let process = &options.process;
    let owner = process.user.as_ref().map(|user| user.id);
    let group = process.group.as_ref().map(|group| group.id);
    let group = group.or_else(|| process.user.as_ref().and_then(|user| user.group));
    std::os::unix::fs::chown(dir, owner, group).map_err(failed)
}

fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_of_one_interface_are_told_apart() {
        let names = |handles| readers("eth0", handles).map(|(name, ())| name).collect::<Vec<_>>();
        assert_eq!(names(vec![()]), ["eth0"]);
        assert_eq!(names(vec![(), ()]), ["eth0#0", "eth0#1"]);
    }
}
