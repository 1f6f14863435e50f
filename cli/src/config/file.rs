//! The sections and keys of the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::document::{Document, Section};
use super::draft::{
    ClickHouseDraft, DnstapDraft, Draft, DrainDraft, InterfaceDraft, LimitsDraft, LogDraft, MetricsDraft,
    MigrationDraft, PrivacyDraft, ProcessDraft, SensorDraft, SpoolDraft,
};
use super::place::Fault;
use super::value;

/// What a file says, as far as it can be understood; what cannot; and the sections and keys that there are.
pub struct Read {
    /// The options.
    pub draft: Draft,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// Every section and key.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests compare them with what is documented"))]
    pub known: BTreeSet<(&'static str, &'static str)>,
}

/// Reads the text of a file.
///
/// # Errors
/// What is wrong, when it is not TOML at all.
pub fn read(file: Arc<str>, text: &str) -> Result<Read, Fault> {
    let mut document = Document::parse(Arc::clone(&file), text)?;
    let draft = Draft {
        file: Some(file),
        sensor: document.section("sensor", sensor),
        dnstap: document.sections("dnstap", dnstap),
        interfaces: document.sections("interface", interface),
        migrations: document.sections("migration", migration),
        drain: document.section("drain", |section| DrainDraft {
            mmdb: section.texts("mmdb", r#""/usr/share/GeoIP/GeoLite2-ASN.mmdb""#, value::path),
        }),
        every_interface: InterfaceDraft::default(),
        limits: document.section("limits", limits),
        clickhouse: document.section("clickhouse", clickhouse),
        spool: document.section("spool", spool),
        privacy: document.section("privacy", privacy),
        process: document.section("process", process),
        metrics: document.section("metrics", |section| MetricsDraft {
            listen: section.text("listen", r#""127.0.0.1:9353" or "off""#, value::metrics),
        }),
        log: document.section("log", |section| LogDraft {
            format: section.text("format", r#""json""#, value::log_format),
            level: section.text("level", r#""info""#, value::log_level),
        }),
    };
    let (faults, known) = document.finish();
    Ok(Read { draft, faults, known })
}

fn sensor(section: &mut Section<'_, '_>) -> SensorDraft {
    SensorDraft {
        name: section.text("name", r#""ns1""#, value::name),
        interval: section.text("interval", r#""60s""#, value::interval),
        query_timeout: section.text("query_timeout", r#""5s""#, value::query_timeout),
        lateness: section.text("lateness", r#""10s""#, value::lateness),
        ports: section.numbers("ports", 1..=65_535),
        zones: section.texts("zones", r#""example.org""#, value::zone),
        servers: section.texts("servers", r#""192.0.2.53""#, value::server),
        max_rows: section.number("max_rows", 1..=1_000_000_000),
        threads: section.number("threads", 1..=1024),
    }
}

fn dnstap(section: &mut Section<'_, '_>) -> DnstapDraft {
    section.require("listen", "where dnstap is taken, as unix:PATH or tcp:ADDRESS:PORT");
    DnstapDraft {
        listen: section.text("listen", r#""unix:/run/lowtide/dnstap.sock""#, value::listen),
        mode: section.text("mode", r#""0660""#, value::mode),
        owner: section.text("owner", r#""bind""#, value::identity),
        group: section.text("group", r#""bind""#, value::identity),
        tls_cert: section.text("tls_cert", r#""/etc/lowtide/tls.crt""#, value::path),
        tls_key: section.text("tls_key", r#""/etc/lowtide/tls.key""#, value::path),
        tls_client_ca: section.text("tls_client_ca", r#""/etc/lowtide/senders.crt""#, value::path),
        max_senders: section.number("max_senders", 1..=65_536),
        handshake_timeout: section.text("handshake_timeout", r#""10s""#, value::handshake_timeout),
        idle_timeout: section.text("idle_timeout", r#""10m" or "off""#, value::idle_timeout),
    }
}

fn interface(section: &mut Section<'_, '_>) -> InterfaceDraft {
    section.require("name", "the interface, such as eth0");
    InterfaceDraft {
        name: section.text("name", r#""eth0""#, value::interface),
        promiscuous: section.flag("promiscuous"),
        snap_length: section.number("snap_length", 64..=262_144),
        buffer: section.text("buffer", r#""64MiB""#, value::ring),
        filter: section.text("filter", r#""host 192.0.2.53""#, value::filter),
        threads: section.number("threads", 1..=64),
        allow_xdp: section.flag("allow_xdp"),
    }
}

fn migration(section: &mut Section<'_, '_>) -> MigrationDraft {
    section.require("name", "what rows and reports call it");
    section.require("zones", "the zones that move");
    section.require("old", "the servers that are to be switched off, as ADDRESS or NAME=ADDRESS");
    MigrationDraft {
        name: section.text("name", r#""provider-b""#, value::name),
        zones: section.texts("zones", r#""example.org""#, value::zone),
        old: section.texts("old", r#""ns1.old.example=192.0.2.53""#, value::named_server),
        new: section.texts("new", r#""ns1.new.example=198.51.100.53""#, value::named_server),
        cutover: section.text("cutover", r#""2026-03-01T09:30:00Z""#, value::instant),
        parent_ns_ttl: section.text("parent_ns_ttl", r#""2d""#, value::ttl),
        ds_ttl: section.text("ds_ttl", r#""1d" or "off""#, value::ds_ttl),
        target_ttl: section.text("target_ttl", r#""5m""#, value::ttl),
        quiet_period: section.text("quiet_period", r#""24h""#, value::ttl),
        near_zero: section.number("near_zero", 0..=1_000_000_000),
        new_verified: section.flag("new_verified"),
        set_apart: section.texts("set_apart", r#""198.51.100.0/24""#, value::prefix),
    }
}

fn limits(section: &mut Section<'_, '_>) -> LimitsDraft {
    LimitsDraft {
        dnstap_queue: section.text("dnstap_queue", r#""64MiB""#, value::dnstap_queue),
        max_frame: section.text("max_frame", r#""256KiB""#, value::max_frame),
        outstanding: section.number("outstanding", 1..=100_000_000),
    }
}

fn clickhouse(section: &mut Section<'_, '_>) -> ClickHouseDraft {
    ClickHouseDraft {
        url: section.secret("url", r#""http://127.0.0.1:8123/lowtide""#, value::url),
        password_file: section.text("password_file", r#""/etc/lowtide/password""#, value::path),
        ca: section.text("ca", r#""/etc/lowtide/ca.crt""#, value::path),
        cert: section.text("cert", r#""/etc/lowtide/client.crt""#, value::path),
        key: section.text("key", r#""/etc/lowtide/client.key""#, value::path),
        timeout: section.text("timeout", r#""60s""#, value::request_timeout),
        in_flight: section.number("in_flight", 1..=64),
    }
}

fn spool(section: &mut Section<'_, '_>) -> SpoolDraft {
    SpoolDraft {
        dir: section.text("dir", r#""/var/spool/lowtide""#, value::path),
        max_size: section.text("max_size", r#""10GiB""#, value::spool_size),
        max_age: section.text("max_age", r#""30d" or "off""#, value::max_age),
        when_full: section.text("when_full", r#""drop-oldest""#, value::when_full),
    }
}

fn privacy(section: &mut Section<'_, '_>) -> PrivacyDraft {
    PrivacyDraft {
        clients: section.text("clients", r#""truncate""#, value::clients),
        ipv4_prefix: section.number("ipv4_prefix", 0..=32),
        ipv6_prefix: section.number("ipv6_prefix", 0..=128),
        key_file: section.text("key_file", r#""/etc/lowtide/clients.key""#, value::path),
    }
}

fn process(section: &mut Section<'_, '_>) -> ProcessDraft {
    ProcessDraft {
        user: section.text("user", r#""lowtide""#, value::identity),
        group: section.text("group", r#""lowtide""#, value::identity),
        seccomp: section.flag("seccomp"),
        landlock: section.flag("landlock"),
        stop_timeout: section.text("stop_timeout", r#""10s""#, value::stop_timeout),
    }
}
