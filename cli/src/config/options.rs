//! What a live run does, as plain data: file and command line merged, defaults filled in, everything checked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lowtide_aggregate::drain::Migration;
use lowtide_proto::NameBuf;
use lowtide_store::spool::WhenFull;
use tracing::level_filters::LevelFilter;

use super::place::Given;
use crate::args::clickhouse::ConnectionArgs;

/// What `lowtide run` does.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The sensor's name in every row.
    pub sensor: String,
    /// The length of an interval, in whole seconds.
    pub interval: Duration,
    /// How long a query waits for its response.
    pub query_timeout: Duration,
    /// How long an interval stays open after its end.
    pub lateness: Duration,
    /// The ports of DNS, 53 among them; sorted, each once.
    pub ports: Vec<u16>,
    /// Zones with an account of their own.
    pub zones: Vec<NameBuf>,
    /// Servers with a coverage row of their own; those of migrations are among them.
    pub servers: Vec<IpAddr>,
    /// What moves from where to where.
    pub migrations: Vec<Migration>,
    /// Rows of the intervals at hand, about.
    pub max_rows: usize,
    /// Threads that count.
    pub threads: usize,
    /// Sockets that take dnstap.
    pub dnstap: Vec<DnstapListen>,
    /// Interfaces whose packets are read.
    pub interfaces: Vec<InterfaceOptions>,
    /// Bounds of memory.
    pub limits: Limits,
    /// ClickHouse, for [`crate::connection::of`]; without it rows stay in the spool.
    pub connection: Option<ConnectionArgs>,
    /// Segments on their way at the same time.
    pub in_flight: u16,
    /// Where rows wait.
    pub spool: SpoolSettings,
    /// What becomes of clients' addresses.
    pub privacy: Privacy,
    /// What the process may do.
    pub process: ProcessOptions,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// What is logged, and how.
    pub log: LogOptions,
}

/// What `lowtide drain` needs of the file.
#[derive(Clone, Debug)]
pub struct DrainSettings {
    /// What moves from where to where.
    pub migrations: Vec<Migration>,
    /// The ports of DNS, 53 among them.
    pub ports: Vec<u16>,
    /// Databases that say where clients are.
    pub mmdb: Vec<Given<PathBuf>>,
}

/// What `lowtide replay` takes of a file.
#[derive(Clone, Debug, Default)]
pub struct ReplaySettings {
    /// What moves from where to where.
    pub migrations: Vec<Migration>,
    /// The ports of DNS, 53 among them.
    pub ports: Vec<u16>,
    /// Zones with an account of their own.
    pub zones: Vec<NameBuf>,
}

/// A socket that takes dnstap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnstapListen {
    /// Where.
    pub listen: Listen,
    /// Senders at the same time.
    pub max_senders: usize,
    /// How long a sender may take until it has said what it sends.
    pub handshake_timeout: Duration,
    /// How long a sender may be silent.
    pub idle_timeout: Option<Duration>,
}

/// Where dnstap is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A unix socket.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Its permissions.
        mode: Option<u32>,
        /// Whom it belongs to, when that is not the user that lowtide is started as.
        owner: Option<u32>,
        /// Its group.
        group: Option<u32>,
    },
    /// A TCP port.
    Tcp {
        /// Address and port.
        address: SocketAddr,
        /// Certificates, when it is encrypted.
        tls: Option<TlsFiles>,
    },
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Unix { path, .. } => write!(f, "unix:{}", path.display()),
            Listen::Tcp { address, .. } => write!(f, "tcp:{address}"),
        }
    }
}

/// Files of certificates and keys (PEM) of a TLS server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority that senders' certificates must be of.
    pub client_ca: Option<PathBuf>,
}

/// An interface whose packets are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceOptions {
    /// Its name.
    pub name: String,
    /// Whether it takes packets that are for others.
    pub promiscuous: bool,
    /// Octets of each packet.
    pub snap_length: u32,
    /// Octets of the kernel's ring, of each thread.
    pub buffer: u64,
    /// A filter besides that for DNS.
    pub filter: Option<String>,
    /// Threads that read it, among which the kernel distributes packets.
    pub threads: usize,
    /// Whether to read it although an XDP program may take packets away.
    pub allow_xdp: bool,
}

/// Bounds of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of dnstap frames that wait to be read.
    pub dnstap_queue: u64,
    /// Octets of one dnstap frame.
    pub max_frame: usize,
    /// Queries that wait for a response.
    pub outstanding: usize,
}

/// Where rows wait for ClickHouse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolSettings {
    /// The directory.
    pub dir: PathBuf,
    /// Octets at most.
    pub max_size: u64,
    /// How old a segment may become.
    pub max_age: Option<Duration>,
    /// What happens when it is full; never [`WhenFull::Wait`].
    pub when_full: WhenFull,
}

/// What becomes of clients' addresses before anything is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Privacy {
    /// They stay as they are.
    Keep,
    /// All behind so many bits becomes zero.
    Truncate {
        /// Bits of an IPv4 address that stay.
        ipv4: u8,
        /// Bits of an IPv6 address that stay.
        ipv6: u8,
    },
    /// Each address becomes another, and networks become networks.
    CryptoPan(AddressKey),
}

/// The key of [`Privacy::CryptoPan`]. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AddressKey(pub [u8; 32]);

impl fmt::Debug for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AddressKey(hidden)")
    }
}

/// What the process may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessOptions {
    /// The user to become.
    pub user: Option<Identity>,
    /// The group to become, instead of the user's.
    pub group: Option<Identity>,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// Whether files and ports are restricted.
    pub landlock: bool,
    /// How long a stop may take.
    pub stop_timeout: Duration,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// As it was written.
    pub name: String,
    /// Its number.
    pub id: u32,
    /// A user's own group.
    pub group: Option<u32>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people and journals.
    Text,
    /// One object a line.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// How lines look.
    pub format: LogFormat,
    /// What is worth a line.
    pub level: LevelFilter,
}
