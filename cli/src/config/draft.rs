//! What a file or a command line says, each option read and none yet filled in: the two have the same form, so that merging them
//! is taking the first that is there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lowtide_aggregate::drain::{Prefix, Server};
use lowtide_proto::{NameBuf, Timestamp};
use lowtide_store::spool::WhenFull;
use tracing::level_filters::LevelFilter;

use super::options::LogFormat;
use super::place::{Given, Place};

/// Something that can be said to be off.
pub type Off<T> = Option<T>;

/// Declares a section: all its options may be missing.
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default)]
        pub struct $name {
            $(pub $field: Option<Given<$type>>,)*
        }

        impl $name {
            /// These options, and where they are missing the others.
            #[allow(dead_code, reason = "of sections that may be there several times, none is merged with another")]
            pub fn or(self, under: Self) -> Self {
                Self { $($field: self.$field.or(under.$field),)* }
            }

            /// The options that say something else than the others do.
            fn changed(&self, other: &Self) -> Vec<&'static str> {
                let all = [$((stringify!($field), same(&self.$field, &other.$field)),)*];
                all.into_iter().filter_map(|(field, same)| (!same).then_some(field)).collect()
            }
        }
    };
}

/// Whether two options say the same; they show all that they say, and not where.
fn same<T: fmt::Debug>(one: &Option<Given<T>>, other: &Option<Given<T>>) -> bool {
    format!("{one:?}") == format!("{other:?}")
}

section! {
    /// `[sensor]`
    SensorDraft {
        name: String,
        interval: Duration,
        query_timeout: Duration,
        lateness: Duration,
        ports: Vec<Given<u16>>,
        zones: Vec<Given<NameBuf>>,
        servers: Vec<Given<IpAddr>>,
        max_rows: usize,
        threads: usize,
    }
}

/// Where dnstap is to be taken.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAt {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
}

section! {
    /// `[[dnstap]]`
    DnstapDraft {
        listen: ListenAt,
        mode: u32,
        owner: String,
        group: String,
        tls_cert: PathBuf,
        tls_key: PathBuf,
        tls_client_ca: PathBuf,
        max_senders: usize,
        handshake_timeout: Duration,
        idle_timeout: Off<Duration>,
    }
}

section! {
    /// `[[interface]]`
    InterfaceDraft {
        name: String,
        promiscuous: bool,
        snap_length: u32,
        buffer: u64,
        filter: String,
        threads: usize,
        allow_xdp: bool,
    }
}

section! {
    /// `[[migration]]`
    MigrationDraft {
        name: String,
        zones: Vec<Given<NameBuf>>,
        old: Vec<Given<Server>>,
        new: Vec<Given<Server>>,
        cutover: Timestamp,
        parent_ns_ttl: Duration,
        ds_ttl: Off<Duration>,
        target_ttl: Duration,
        quiet_period: Duration,
        near_zero: u64,
        new_verified: bool,
        set_apart: Vec<Given<Prefix>>,
    }
}

section! {
    /// `[drain]`
    DrainDraft {
        mmdb: Vec<Given<PathBuf>>,
    }
}

section! {
    /// `[limits]`
    LimitsDraft {
        dnstap_queue: u64,
        max_frame: u64,
        outstanding: usize,
    }
}

section! {
    /// `[clickhouse]`
    ClickHouseDraft {
        url: String,
        password_file: PathBuf,
        ca: PathBuf,
        cert: PathBuf,
        key: PathBuf,
        timeout: Duration,
        in_flight: u16,
    }
}

section! {
    /// `[spool]`
    SpoolDraft {
        dir: PathBuf,
        max_size: u64,
        max_age: Off<Duration>,
        when_full: WhenFull,
    }
}

/// What becomes of clients' addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// `keep`
    Keep,
    /// `truncate`
    Truncate,
    /// `crypto-pan`
    CryptoPan,
}

section! {
    /// `[privacy]`
    PrivacyDraft {
        clients: Clients,
        ipv4_prefix: u8,
        ipv6_prefix: u8,
        key_file: PathBuf,
    }
}

section! {
    /// `[process]`
    ProcessDraft {
        user: String,
        group: String,
        seccomp: bool,
        landlock: bool,
        stop_timeout: Duration,
    }
}

section! {
    /// `[metrics]`
    MetricsDraft {
        listen: Off<SocketAddr>,
    }
}

section! {
    /// `[log]`
    LogDraft {
        format: LogFormat,
        level: LevelFilter,
    }
}

/// All sections.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The file, if there is one.
    pub file: Option<Arc<str>>,
    /// `[sensor]`
    pub sensor: SensorDraft,
    /// `[[dnstap]]`, each with the place of its heading.
    pub dnstap: Vec<(Place, DnstapDraft)>,
    /// `[[interface]]`, each with the place of its heading.
    pub interfaces: Vec<(Place, InterfaceDraft)>,
    /// `[[migration]]`, each with the place of its heading.
    pub migrations: Vec<(Place, MigrationDraft)>,
    /// `[drain]`
    pub drain: DrainDraft,
    /// What the command line says of all interfaces.
    pub every_interface: InterfaceDraft,
    /// `[limits]`
    pub limits: LimitsDraft,
    /// `[clickhouse]`
    pub clickhouse: ClickHouseDraft,
    /// `[spool]`
    pub spool: SpoolDraft,
    /// `[privacy]`
    pub privacy: PrivacyDraft,
    /// `[process]`
    pub process: ProcessDraft,
    /// `[metrics]`
    pub metrics: MetricsDraft,
    /// `[log]`
    pub log: LogDraft,
}

impl Draft {
    /// These options, and where they are missing the others; sources of both.
    pub fn or(self, under: Self) -> Self {
        let mut dnstap = under.dnstap;
        dnstap.extend(self.dnstap);
        let mut interfaces = under.interfaces;
        interfaces.extend(self.interfaces);
        let mut migrations = under.migrations;
        migrations.extend(self.migrations);
        Self {
            file: self.file.or(under.file),
            sensor: self.sensor.or(under.sensor),
            dnstap,
            interfaces,
            migrations,
            drain: self.drain.or(under.drain),
            every_interface: self.every_interface.or(under.every_interface),
            limits: self.limits.or(under.limits),
            clickhouse: self.clickhouse.or(under.clickhouse),
            spool: self.spool.or(under.spool),
            privacy: self.privacy.or(under.privacy),
            process: self.process.or(under.process),
            metrics: self.metrics.or(under.metrics),
            log: self.log.or(under.log),
        }
    }
    /// The keys, as `section.key`, that say something else than those of the other.
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let mut keys = Vec::new();
        let mut add = |section: &str, fields: Vec<&'static str>| {
            keys.extend(fields.into_iter().map(|field| format!("{section}.{field}")));
        };
        add("sensor", self.sensor.changed(&other.sensor));
        add("drain", self.drain.changed(&other.drain));
        add("limits", self.limits.changed(&other.limits));
        add("clickhouse", self.clickhouse.changed(&other.clickhouse));
        add("spool", self.spool.changed(&other.spool));
        add("privacy", self.privacy.changed(&other.privacy));
        add("process", self.process.changed(&other.process));
        add("metrics", self.metrics.changed(&other.metrics));
        add("log", self.log.changed(&other.log));
        for (index, ((_, one), (_, other))) in self.dnstap.iter().zip(&other.dnstap).enumerate() {
            add(&format!("dnstap[{index}]"), one.changed(other));
        }
        for (index, ((_, one), (_, other))) in self.interfaces.iter().zip(&other.interfaces).enumerate() {
            add(&format!("interface[{index}]"), one.changed(other));
        }
        for (index, ((_, one), (_, other))) in self.migrations.iter().zip(&other.migrations).enumerate() {
            add(&format!("migration[{index}]"), one.changed(other));
        }
        if self.dnstap.len() != other.dnstap.len() {
            keys.push("the number of [[dnstap]]".to_owned());
        }
        if self.interfaces.len() != other.interfaces.len() {
            keys.push("the number of [[interface]]".to_owned());
        }
        if self.migrations.len() != other.migrations.len() {
            keys.push("the number of [[migration]]".to_owned());
        }
        keys
    }
}
