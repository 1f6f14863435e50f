//! Options of `lowtide run` and `lowtide check-config`.
//!
//! None has a default here: what is not given comes from the file, and only then from `config::settle`.

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use lowtide_proto::NameBuf;
use tracing::level_filters::LevelFilter;

use crate::config::draft::{
    ClickHouseDraft, DnstapDraft, Draft, InterfaceDraft, ListenAt, LogDraft, MetricsDraft, Off, ProcessDraft,
    SensorDraft, SpoolDraft,
};
use crate::config::options::LogFormat;
use crate::config::place::{Given, Place};
use crate::config::value;

const RUN_EXAMPLES: &str = "\
Examples:
  Beside a server that sends dnstap (--help shows how it is told to):
    lowtide run --dnstap unix:/run/lowtide/dnstap.sock --clickhouse http://127.0.0.1:8123/lowtide

  Beside any server, by its packets; root is given up as soon as the interface is open:
    lowtide run --interface eth0 --user lowtide --clickhouse https://lowtide@ch.example:8443/lowtide

  As a service, with everything in a file, which may be checked before:
    lowtide check-config /etc/lowtide/lowtide.toml && lowtide run --config /etc/lowtide/lowtide.toml

  The same for once with lines that programs read, and another sensor's name:
    lowtide run --config /etc/lowtide/lowtide.toml --log-format json --sensor ns1-test

  dnstap of other machines, and the zones that matter, each with its exact account:
    lowtide run --dnstap tcp:192.0.2.1:6000 --zone example.org --zone example.net";

const RUN_NOTES: &str = "\
How a server is told to send dnstap:
  BIND      options { dnstap { auth; client; resolver; forwarder; update; };
                      dnstap-output unix \"/run/lowtide/dnstap.sock\"; };
  Knot DNS  mod-dnstap: [{ id: lowtide, sink: 'unix:/run/lowtide/dnstap.sock' }]
            template: [{ id: default, global-module: mod-dnstap/lowtide }]
  NSD       dnstap: dnstap-enable: yes
                    dnstap-socket-path: \"/run/lowtide/dnstap.sock\"
                    dnstap-log-auth-query-messages: yes
                    dnstap-log-auth-response-messages: yes
                    dnstap-send-identity: yes
  Unbound   the same with dnstap-log-client-... and dnstap-log-resolver-...
  dnsdist   fs = newFrameStreamUnixLogger('/run/lowtide/dnstap.sock')
            addAction(AllRule(), DnstapLogAction('ns1', fs))
            addResponseAction(AllRule(), DnstapLogResponseAction('ns1', fs))
  PowerDNS  dnstapFrameStreamServer({'/run/lowtide/dnstap.sock'})   (Recursor, in Lua)
  The server must be able to write to the socket: owner, group and mode in the file say who can.

Signals:
  SIGTERM, SIGINT  intervals are closed, rows delivered or spooled, within process.stop_timeout
  SIGHUP           zones, servers and limits of the file are read again; nothing counted is lost

Environment:
  LOWTIDE_CLICKHOUSE_USER, LOWTIDE_CLICKHOUSE_PASSWORD  as in the URL, but unseen by others
  STATE_DIRECTORY  set by systemd; the spool is in it, unless it is said where

Exit codes:
  0  stopped by a signal; every row is in ClickHouse or in the spool
  1  failed: a source cannot be opened, the spool is in use, a thread ended; standard error says what
  2  the command line or the configuration is wrong: each line says file, line, column and key";

/// What `lowtide run` takes.
#[derive(Args, Clone, Debug)]
#[command(after_help = RUN_EXAMPLES)]
#[command(after_long_help = format!("{RUN_EXAMPLES}\n\n{RUN_NOTES}"))]
pub struct RunArgs {
    /// The configuration (TOML); what the command line says has precedence
    ///
    /// deploy/lowtide.toml shows every option and its default. --interface and --dnstap are added to the sources of the file.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// An interface whose packets are read; may be given more than once
    #[arg(long = "interface", short = 'i', value_name = "IF", value_parser = value::interface)]
    #[arg(help_heading = "Sources")]
    interfaces: Vec<String>,

    /// A socket to take dnstap on, as unix:PATH or tcp:ADDRESS:PORT; may be given more than once
    ///
    /// Who may write to a unix socket, TLS, and limits are said in the file.
    #[arg(long, value_name = "WHERE", value_parser = value::listen, help_heading = "Sources")]
    dnstap: Vec<ListenAt>,

    /// Which packets to read besides the choice of DNS, in libpcap's language [e.g. 'host 192.0.2.53']
    #[arg(long, value_name = "FILTER", value_parser = value::filter, help_heading = "Packets")]
    filter: Option<String>,

    /// Threads that read each interface, among which the kernel distributes its packets [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64), help_heading = "Packets")]
    capture_threads: Option<u16>,

    /// Take only packets that are for this machine
    #[arg(long, help_heading = "Packets")]
    no_promiscuous: bool,

    /// The kernel's ring of packets that wait to be read, for each thread [default: 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = value::ring, help_heading = "Packets")]
    buffer: Option<u64>,

    /// Octets of each packet that are read [default: 262144]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(64..=262_144))]
    #[arg(help_heading = "Packets")]
    snap_length: Option<u32>,

    /// Read an interface although an XDP program may take packets away; what was missed cannot be known then
    #[arg(long, help_heading = "Packets")]
    allow_xdp: bool,

    /// The name of this sensor in every row [default: the host's name]
    #[arg(long, value_name = "NAME", value_parser = value::name)]
    sensor: Option<String>,

    /// The length of the intervals that traffic time is divided into, in whole seconds [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = value::interval)]
    interval: Option<Duration>,

    /// How long a query waits for its response until it counts as unanswered, in traffic time [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = value::query_timeout)]
    query_timeout: Option<Duration>,

    /// How long after its end an interval stays open for frames that come late [default: 10s]
    #[arg(long, value_name = "DURATION", value_parser = value::lateness)]
    lateness: Option<Duration>,

    /// A port to look for DNS on, besides 53; may be given more than once, and replaces those of the file
    #[arg(long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,

    /// A zone to keep an exact account of; may be given more than once, and replaces those of the file
    #[arg(long = "zone", value_name = "NAME", value_parser = value::zone)]
    zones: Vec<NameBuf>,

    /// Rows of the intervals at hand, about; the names asked least beyond go into one row for each server and zone [default: 500000]
    ///
    /// A million take about 350 MB.
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    max_rows: Option<usize>,

    /// Threads that count [default: half of the cores]
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    threads: Option<usize>,

    #[command(flatten)]
    connection: LiveConnectionArgs,

    /// The directory where rows wait for ClickHouse [default: /var/spool/lowtide, or in systemd's state directory]
    #[arg(long, value_name = "DIR", help_heading = "Spool")]
    spool: Option<PathBuf>,

    /// How large the spool may become; then the oldest rows are dropped, and counted [default: 10GiB]
    #[arg(long, value_name = "SIZE", value_parser = value::spool_size, help_heading = "Spool")]
    spool_max_size: Option<u64>,

    /// The user to become when everything is open [default: none]
    #[arg(long, value_name = "USER", value_parser = value::identity, help_heading = "Operation")]
    user: Option<String>,

    /// Where Prometheus metrics and /healthz are served, or 'off' [default: 127.0.0.1:9353]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = metrics, help_heading = "Operation")]
    metrics: Option<Metrics>,

    /// How log lines look: text or json [default: text]
    #[arg(long, value_name = "FORMAT", value_parser = value::log_format, help_heading = "Operation")]
    log_format: Option<LogFormat>,

    /// What is logged: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", value_parser = value::log_level, help_heading = "Operation")]
    log_level: Option<LevelFilter>,
}

/// How to reach ClickHouse. Not [`super::clickhouse::ConnectionArgs`]: there an option that is not given has its default, here it is
/// that of the file, which may also name the server that these options are for.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "ClickHouse")]
struct LiveConnectionArgs {
    /// Where ClickHouse is, as http://user@host:8123/database; without it rows stay in the spool
    ///
    /// The database is `lowtide` where the URL names none. A password does not belong here: everybody on this machine sees it in
    /// the list of processes. LOWTIDE_CLICKHOUSE_PASSWORD or --clickhouse-password-file say it unseen.
    #[arg(long, value_name = "URL", value_parser = value::url)]
    clickhouse: Option<String>,

    /// The file whose first line is the password; else LOWTIDE_CLICKHOUSE_PASSWORD
    #[arg(long, value_name = "FILE")]
    clickhouse_password_file: Option<PathBuf>,

    /// The certificate authority (PEM) that the server's certificate must be of, instead of the system's
    #[arg(long, value_name = "FILE")]
    clickhouse_ca: Option<PathBuf>,

    /// The certificate (PEM) to show the server
    #[arg(long, value_name = "FILE", requires = "clickhouse_key")]
    clickhouse_cert: Option<PathBuf>,

    /// The private key (PEM) of --clickhouse-cert
    #[arg(long, value_name = "FILE", requires = "clickhouse_cert")]
    clickhouse_key: Option<PathBuf>,

    /// How long one request may take [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = value::request_timeout)]
    clickhouse_timeout: Option<Duration>,

    /// Segments to send at the same time [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    in_flight: Option<u16>,
}

/// Where metrics are served; clap takes an `Option` in an option for something else.
#[derive(Clone, Copy, Debug)]
struct Metrics(Off<SocketAddr>);

fn metrics(text: &str) -> Result<Metrics, String> {
    value::metrics(text).map(Metrics)
}

/// What `lowtide check-config` takes.
#[derive(Args, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckConfigArgs {
    /// The configuration (TOML) of `lowtide run`
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  Before a service is told to read its configuration again:
    lowtide check-config /etc/lowtide/lowtide.toml && systemctl reload lowtide

Exit codes:
  0  nothing is wrong; warnings, if any, are on standard error
  2  something is wrong: each line says file, line, column and key, what is wrong and what is allowed";

impl RunArgs {
    /// The options that are given.
    pub fn draft(&self) -> Draft {
        let Self { connection, .. } = self;
        Draft {
            sensor: SensorDraft {
                name: given("--sensor", &self.sensor),
                interval: given("--interval", &self.interval),
                query_timeout: given("--query-timeout", &self.query_timeout),
                lateness: given("--lateness", &self.lateness),
                ports: all("--port", &self.ports),
                zones: all("--zone", &self.zones),
                servers: None,
                max_rows: given("--max-rows", &self.max_rows),
                threads: given("--threads", &self.threads),
            },
            dnstap: self.dnstap.iter().map(listen).collect(),
            interfaces: self.interfaces.iter().map(|name| interface(name)).collect(),
            every_interface: InterfaceDraft {
                name: None,
                promiscuous: self.no_promiscuous.then_some(Given::by("--no-promiscuous", false)),
                snap_length: given("--snap-length", &self.snap_length),
                buffer: given("--buffer", &self.buffer),
                filter: given("--filter", &self.filter),
                threads: given("--capture-threads", &self.capture_threads.map(usize::from)),
                allow_xdp: self.allow_xdp.then_some(Given::by("--allow-xdp", true)),
            },
            clickhouse: ClickHouseDraft {
                url: given("--clickhouse", &connection.clickhouse),
                password_file: given("--clickhouse-password-file", &connection.clickhouse_password_file),
                ca: given("--clickhouse-ca", &connection.clickhouse_ca),
                cert: given("--clickhouse-cert", &connection.clickhouse_cert),
                key: given("--clickhouse-key", &connection.clickhouse_key),
                timeout: given("--clickhouse-timeout", &connection.clickhouse_timeout),
                in_flight: given("--in-flight", &connection.in_flight),
            },
            spool: SpoolDraft {
                dir: given("--spool", &self.spool),
                max_size: given("--spool-max-size", &self.spool_max_size),
                ..SpoolDraft::default()
            },
            process: ProcessDraft { user: given("--user", &self.user), ..ProcessDraft::default() },
            metrics: MetricsDraft { listen: given("--metrics", &self.metrics.map(|Metrics(listen)| listen)) },
            log: LogDraft {
                format: given("--log-format", &self.log_format),
                level: given("--log-level", &self.log_level),
            },
            ..Draft::default()
        }
    }
}

fn given<T: Clone>(option: &'static str, value: &Option<T>) -> Option<Given<T>> {
    value.clone().map(|value| Given::by(option, value))
}

fn all<T: Clone>(option: &'static str, values: &[T]) -> Option<Given<Vec<Given<T>>>> {
    let each = values.iter().map(|value| Given::by(option, value.clone())).collect();
    (!values.is_empty()).then_some(Given::by(option, each))
}

fn listen(at: &ListenAt) -> (Place, DnstapDraft) {
    let draft = DnstapDraft { listen: Some(Given::by("--dnstap", at.clone())), ..DnstapDraft::default() };
    (Place::Argument("--dnstap"), draft)
}

fn interface(name: &str) -> (Place, InterfaceDraft) {
    let name = Some(Given::by("--interface", name.to_owned()));
    (Place::Argument("--interface"), InterfaceDraft { name, ..InterfaceDraft::default() })
}
