//! What would run, for `lowtide check-config`.

use std::fmt::Write;
use std::path::Path;

use lowtide_aggregate::drain::Migration;
use lowtide_aggregate::summary::rfc3339;
use lowtide_store::spool::WhenFull;

use super::options::{DnstapListen, InterfaceOptions, Listen, LogFormat, Privacy, RunOptions};
use crate::connection;
use crate::report::number::{self, counted};
use crate::report::text::printable;
use crate::size;

/// One line for each part of the run, aligned. No password is in it, and no key.
pub fn summary(file: &Path, options: &RunOptions) -> String {
    let mut lines: Vec<(&str, String)> = vec![("sensor", sensor(options))];
    lines.extend(options.dnstap.iter().map(|listen| ("dnstap", dnstap(listen))));
    lines.extend(options.interfaces.iter().map(|interface| ("interface", interface_line(interface))));
    lines.extend(options.migrations.iter().map(|migration| ("migration", migration_line(migration))));
    lines.push(("clickhouse", clickhouse(options)));
    lines.push(("spool", spool(options)));
    lines.push(("clients", clients(&options.privacy)));
    lines.push(("process", process(options)));
    lines.push((
        "metrics",
        options.metrics.map_or("off".to_owned(), |address| format!("http://{address}/metrics")),
    ));
    let format = match options.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    lines.push(("log", format!("{format}, {}", options.log.level)));

    let mut text = format!("{} is right. What it runs:\n", printable(&file.to_string_lossy()));
    for (part, line) in lines {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {part:<10}  {}", printable(&line));
    }
    text
}

fn sensor(options: &RunOptions) -> String {
    let ports: Vec<String> = options.ports.iter().map(ToString::to_string).collect();
    format!(
        "{}: intervals of {:?}, {} late at most; {}, {}; {} {}; {}",
        options.sensor,
        options.interval,
        format_args!("{:?}", options.lateness),
        counted(options.zones.len() as u64, "zone", "zones"),
        counted(options.servers.len() as u64, "server", "servers"),
        if ports.len() == 1 { "port" } else { "ports" },
        ports.join(", "),
        counted(options.threads as u64, "thread", "threads"),
    )
}

fn dnstap(listen: &DnstapListen) -> String {
    let at = match &listen.listen {
        Listen::Unix { path, mode, owner, group } => {
            let mut text = format!("unix:{}", path.display());
            if let Some(mode) = mode {
                let _ = write!(text, ", mode {mode:04o}");
            }
            if let Some(owner) = owner {
                let _ = write!(text, ", owner {owner}");
            }
            if let Some(group) = group {
                let _ = write!(text, ", group {group}");
            }
            text
        }
        Listen::Tcp { address, tls: None } => format!("tcp:{address}, not encrypted"),
        Listen::Tcp { address, tls: Some(files) } => {
            let senders = if files.client_ca.is_some() { "with" } else { "without" };
            format!("tcp:{address}, TLS {senders} certificates of senders")
        }
    };
    format!("{at}; {}", counted(listen.max_senders as u64, "sender", "senders at most"))
}

fn interface_line(interface: &InterfaceOptions) -> String {
    let mut text = format!(
        "{}{}, {} octets of a packet, a ring of {}, {}",
        interface.name,
        if interface.promiscuous { ", promiscuous" } else { "" },
        interface.snap_length,
        size::shown(interface.buffer),
        counted(interface.threads as u64, "thread", "threads"),
    );
    if let Some(filter) = &interface.filter {
        let _ = write!(text, ", filter '{filter}'");
    }
    if interface.allow_xdp {
        text.push_str(", even beside XDP");
    }
    text
}

fn migration_line(migration: &Migration) -> String {
    let cutover = migration.cutover.map_or("not yet cut over".to_owned(), |time| {
        format!("cutover {}", rfc3339(time).replace(".000000000", ""))
    });
    format!(
        "{}: {}, {} to {}, {cutover}; quiet for {}",
        migration.name,
        counted(migration.zones.len() as u64, "zone", "zones"),
        counted(migration.old.len() as u64, "old server", "old servers"),
        migration.new.len(),
        number::span(migration.quiet_period as f64 / 1e9),
    )
}

fn clickhouse(options: &RunOptions) -> String {
    let url = options.connection.as_ref().and_then(|connection| connection.clickhouse.as_deref());
    match url.map(connection::url) {
        Some(Ok(url)) => format!("{url} as '{}'", url.user()),
        _ => "none: rows stay in the spool until 'lowtide ship' delivers them".to_owned(),
    }
}

fn spool(options: &RunOptions) -> String {
    let spool = &options.spool;
    let mut text = format!("{}, {} at most", spool.dir.display(), size::shown(spool.max_size));
    if let Some(age) = spool.max_age {
        let _ = write!(text, ", for {age:?} at most");
    }
    text.push_str(match spool.when_full {
        WhenFull::DropNewest => ", then the newest rows are dropped",
        WhenFull::DropOldest | WhenFull::Wait => ", then the oldest rows are dropped",
    });
    text
}

fn clients(privacy: &Privacy) -> String {
    match privacy {
        Privacy::Keep => "addresses as they are".to_owned(),
        Privacy::Truncate { ipv4, ipv6 } => format!("addresses cut to /{ipv4} and /{ipv6}"),
        Privacy::CryptoPan(_) => "addresses encrypted (Crypto-PAn)".to_owned(),
    }
}

fn process(options: &RunOptions) -> String {
    let process = &options.process;
    let mut text = match &process.user {
        Some(user) => format!("becomes user '{}'", user.name),
        None => "stays the user that it is started as".to_owned(),
    };
    if let Some(group) = &process.group {
        let _ = write!(text, " and group '{}'", group.name);
    }
    let guards: Vec<&str> = [("seccomp", process.seccomp), ("landlock", process.landlock)]
        .into_iter()
        .filter_map(|(name, on)| on.then_some(name))
        .collect();
    let guards = if guards.is_empty() { "unguarded".to_owned() } else { guards.join(" and ") };
    let _ = write!(text, "; {guards}; stops within {:?}", process.stop_timeout);
    text
}
