//! From what was said to what is done: defaults, and what no option is wrong in by itself but all together are.

mod files;
mod migrations;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use lowtide_proto::NameBuf;
use lowtide_store::spool::WhenFull;
use tracing::level_filters::LevelFilter;

use super::draft::{
    ClickHouseDraft, Clients, Draft, LimitsDraft, LogDraft, MetricsDraft, PrivacyDraft, ProcessDraft,
    SensorDraft, SpoolDraft,
};
use super::options::{
    DrainSettings, Identity, Limits, LogFormat, LogOptions, Privacy, ProcessOptions, ReplaySettings,
    RunOptions, SpoolSettings,
};
use super::place::{Fault, Given, Place};
use super::world::{self, Purpose, World};
use crate::args::clickhouse::ConnectionArgs;
use crate::connection;

/// Intervals that may be open at the same time; each holds its rows.
const OPEN_INTERVALS: u32 = 64;

/// Where the spool is when it is not said and systemd has no directory for it.
const SPOOL: &str = "/var/spool/lowtide";
/// Where metrics are served.
const METRICS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9353);

/// Options, and what is odd in them.
#[derive(Debug)]
pub struct Settled<T = RunOptions> {
    /// The options.
    pub options: T,
    /// What is not wrong, but may not be meant.
    pub warnings: Vec<Fault>,
}

/// Fills in defaults and checks everything. `faults` were found before.
///
/// # Errors
/// All that is wrong, in the order of the file.
pub fn settle(draft: Draft, world: &World, faults: Vec<Fault>) -> Result<Settled, Vec<Fault>> {
    let mut settling = Settling { world, faults, warnings: Vec::new() };
    let options = settling.options(draft);
    settling.settled(options)
}

/// The same for `lowtide drain`, which needs migrations and no source.
///
/// # Errors
/// All that is wrong, in the order of the file.
pub fn settle_drain(
    draft: Draft,
    world: &World,
    faults: Vec<Fault>,
) -> Result<Settled<DrainSettings>, Vec<Fault>> {
    let mut settling = Settling { world, faults, warnings: Vec::new() };
    if draft.migrations.is_empty() && settling.faults.is_empty() {
        let text = "there is no migration: [[migration]] says which zones move from where to where";
        settling.fault(&draft.file.map_or(Place::Nowhere, Place::File), text.to_owned());
    }
    let ports = settling.sensor(draft.sensor).ports;
    let migrations = settling.migrations(draft.migrations);
    let mmdb = given_list(draft.drain.mmdb);
    settling.settled(DrainSettings { migrations, ports, mmdb })
}

/// The same for a replay, which needs nothing of a file.
///
/// # Errors
/// All that is wrong, in the order of the file.
pub fn settle_replay(
    draft: Draft,
    world: &World,
    faults: Vec<Fault>,
) -> Result<Settled<ReplaySettings>, Vec<Fault>> {
    let mut settling = Settling { world, faults, warnings: Vec::new() };
    let sensor = settling.sensor(draft.sensor);
    let migrations = settling.migrations(draft.migrations);
    settling.settled(ReplaySettings { migrations, ports: sensor.ports, zones: sensor.zones })
}

struct Settling<'w> {
    world: &'w World,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

fn value<T>(given: Option<Given<T>>, default: T) -> T {
    given.map_or(default, |given| given.value)
}

fn plain<T>(given: Option<Given<T>>) -> Option<T> {
    given.map(|given| given.value)
}

impl Settling<'_> {
    fn settled<T>(self, options: T) -> Result<Settled<T>, Vec<Fault>> {
        let Settling { mut faults, mut warnings, .. } = self;
        warnings.sort();
        if faults.is_empty() {
            return Ok(Settled { options, warnings });
        }
        faults.sort();
        faults.dedup();
        Err(faults)
    }

    fn fault(&mut self, place: &Place, text: String) {
        self.faults.push(Fault { place: place.clone(), text });
    }

    fn warn(&mut self, place: &Place, text: String) {
        self.warnings.push(Fault { place: place.clone(), text });
    }

    fn options(&mut self, draft: Draft) -> RunOptions {
        let Draft { dnstap, interfaces, migrations, every_interface, process, .. } = draft;
        // Where sources are wrong, they were meant.
        if dnstap.is_empty() && interfaces.is_empty() && self.faults.is_empty() {
            match draft.file {
                // A file that is for `lowtide drain` alone.
                Some(file) if !migrations.is_empty() && self.world.purpose == Purpose::Check => {
                    let text = "there is no source: it is for 'lowtide drain', 'lowtide run' needs [[dnstap]] or [[interface]]";
                    self.warn(&Place::File(file), text.to_owned());
                }
                Some(file) => {
                    let text = "there is no source: [[dnstap]] or [[interface]] says what to read".to_owned();
                    self.fault(&Place::File(file), text);
                }
                None => {
                    let text =
                        "there is no source: --dnstap, --interface or --config says what to read".to_owned();
                    self.fault(&Place::Nowhere, text);
                }
            }
        }
        self.databases(draft.drain);
        let limits = self.limits(draft.limits);
        let metrics_place = draft.metrics.listen.as_ref().map(|given| given.place.clone());
        let metrics = self.metrics(draft.metrics);
        let dnstap = self.dnstap(dnstap, metrics.zip(Some(metrics_place)));
        let (connection, in_flight) = self.clickhouse(draft.clickhouse);
        let mut sensor = self.sensor(draft.sensor);
        let migrations = self.migrations(migrations);
        for server in migrations.iter().flat_map(|migration| migration.old.iter().chain(&migration.new)) {
            let address = server.address.to_canonical();
            if !sensor.servers.contains(&address) {
                sensor.servers.push(address);
            }
        }
        RunOptions {
            sensor: sensor.name,
            interval: sensor.interval,
            query_timeout: sensor.query_timeout,
            lateness: sensor.lateness,
            ports: sensor.ports,
            zones: sensor.zones,
            servers: sensor.servers,
            migrations,
            max_rows: sensor.max_rows,
            threads: sensor.threads,
            dnstap,
            interfaces: self.interfaces(interfaces, &every_interface),
            limits,
            connection,
            in_flight,
            spool: self.spool(draft.spool),
            privacy: self.privacy(draft.privacy),
            process: self.process(process),
            metrics,
            log: log(draft.log),
        }
    }

    fn sensor(&mut self, draft: SensorDraft) -> Sensor {
        let SensorDraft { name, interval, query_timeout, lateness, ports, zones, servers, max_rows, threads } =
            draft;
        let length = interval.as_ref().map_or(Duration::from_secs(60), |given| given.value);
        let wait = query_timeout.as_ref().map_or(Duration::from_secs(5), |given| given.value);
        let late = lateness.as_ref().map_or(Duration::from_secs(10), |given| given.value);
        // An interval is open while it lasts, while queries of it wait, and while frames of it may come.
        if (wait + late).as_nanos() > length.as_nanos() * u128::from(OPEN_INTERVALS) {
            let longer = if late >= wait { lateness.as_ref() } else { query_timeout.as_ref() };
            let places = [longer.map(|given| &given.place), interval.as_ref().map(|given| &given.place)];
            let place = places.into_iter().flatten().next().cloned().unwrap_or(Place::Nowhere);
            let text = format!(
                "intervals of {length:?} would stay open for {:?} (lateness and query_timeout); at most {OPEN_INTERVALS} can be open, which is {:?}",
                wait + late,
                length * OPEN_INTERVALS,
            );
            self.fault(&place, text);
        }
        let mut ports: Vec<u16> = given_list(ports).into_iter().map(|port| port.value).collect();
        ports.push(53);
        ports.sort_unstable();
        ports.dedup();
        let servers = given_list(servers);
        self.twice(&servers, "address", |server| *server, ToString::to_string);
        let zones = given_list(zones);
        self.twice(&zones, "zone", |zone| zone.as_name().to_string(), |zone| zone.as_name().to_string());
        Sensor {
            name: match name {
                Some(given) => given.value,
                None => self.world.host.clone(),
            },
            interval: length,
            query_timeout: wait,
            lateness: late,
            ports,
            zones: zones.into_iter().map(|zone| zone.value).collect(),
            servers: servers.into_iter().map(|server| server.value).collect(),
            max_rows: value(max_rows, 500_000),
            threads: value(threads, (self.world.cores / 2).max(1)),
        }
    }

    /// Says which of the values were there before.
    fn twice<T, K: Eq + std::hash::Hash>(
        &mut self,
        all: &[Given<T>],
        what: &str,
        key: impl Fn(&T) -> K,
        show: impl Fn(&T) -> String,
    ) {
        let mut first: HashMap<K, &Place> = HashMap::new();
        for given in all {
            if let Some(before) = first.get(&key(&given.value)) {
                let text = format!(
                    "the {what} '{}' is listed twice, first {}",
                    show(&given.value),
                    before.reference()
                );
                self.faults.push(Fault { place: given.place.clone(), text });
            } else {
                first.insert(key(&given.value), &given.place);
            }
        }
    }

    fn limits(&mut self, draft: LimitsDraft) -> Limits {
        let LimitsDraft { dnstap_queue, max_frame, outstanding } = draft;
        Limits {
            dnstap_queue: value(dnstap_queue, 64 << 20),
            max_frame: usize::try_from(value(max_frame, 256 << 10)).unwrap_or(usize::MAX),
            outstanding: value(outstanding, 524_288),
        }
    }

    fn metrics(&mut self, draft: MetricsDraft) -> Option<SocketAddr> {
        if let Some(Given { value: Some(address), place }) = &draft.listen
            && !address.ip().is_loopback()
        {
            self.warn(
                place,
                format!("everybody who reaches {address} can read the metrics: there is no password"),
            );
        }
        value(draft.listen, Some(METRICS))
    }

    fn clickhouse(&mut self, draft: ClickHouseDraft) -> (Option<ConnectionArgs>, u16) {
        let ClickHouseDraft { url, password_file, ca, cert, key, timeout, in_flight } = draft;
        let request_timeout = value(timeout, Duration::from_secs(60));
        let in_flight = value(in_flight, 4);
        let Some(url) = url else {
            let others = [&password_file, &ca, &cert, &key];
            for given in others.into_iter().flatten() {
                self.faults.push(Fault {
                    place: given.place.clone(),
                    text: "ClickHouse's url is not said: clickhouse.url or --clickhouse".to_owned(),
                });
            }
            return (None, in_flight);
        };
        if let Ok(parsed) = connection::url(&url.value) {
            if parsed.password().is_some() {
                self.warn(&url.place, connection::seen(matches!(url.place, Place::Argument(_))));
            }
            if !parsed.tls() {
                for given in [&ca, &cert].into_iter().flatten() {
                    self.fault(&given.place, "certificates are for https:// only".to_owned());
                }
            }
        }
        self.pair(cert.as_ref(), key.as_ref(), "cert", "key");
        self.readable(ca.as_ref());
        self.readable(cert.as_ref());
        self.secret_file(key.as_ref());
        self.secret_file(password_file.as_ref());
        let connection = ConnectionArgs {
            clickhouse: Some(url.value),
            clickhouse_password_file: plain(password_file),
            clickhouse_ca: plain(ca),
            clickhouse_cert: plain(cert),
            clickhouse_key: plain(key),
            clickhouse_timeout: request_timeout,
        };
        (Some(connection), in_flight)
    }

    fn spool(&mut self, draft: SpoolDraft) -> SpoolSettings {
        let SpoolDraft { dir, max_size, max_age, when_full } = draft;
        let place = dir.as_ref().map_or(Place::Nowhere, |given| given.place.clone());
        let dir = dir.map(|given| given.value).unwrap_or_else(|| match &self.world.state_directory {
            Some(state) => state.join("spool"),
            None => PathBuf::from(SPOOL),
        });
        self.directory(&place, &dir);
        SpoolSettings {
            dir,
            max_size: value(max_size, 10 << 30),
            max_age: value(max_age, None),
            when_full: value(when_full, WhenFull::DropOldest),
        }
    }

    fn privacy(&mut self, draft: PrivacyDraft) -> Privacy {
        let PrivacyDraft { clients, ipv4_prefix, ipv6_prefix, key_file } = draft;
        let kind = clients.as_ref().map_or(Clients::Keep, |given| given.value);
        if kind != Clients::Truncate {
            for given in [&ipv4_prefix, &ipv6_prefix].into_iter().flatten() {
                self.warn(&given.place, "has an effect only with clients = \"truncate\"".to_owned());
            }
        }
        if kind != Clients::CryptoPan
            && let Some(given) = &key_file
        {
            self.warn(&given.place, "has an effect only with clients = \"crypto-pan\"".to_owned());
        }
        match (kind, key_file) {
            (Clients::Keep, _) => Privacy::Keep,
            (Clients::Truncate, _) => {
                Privacy::Truncate { ipv4: value(ipv4_prefix, 24), ipv6: value(ipv6_prefix, 48) }
            }
            // Without its key there is a fault, and so no run; or this is a reload, which does not touch it.
            (Clients::CryptoPan, Some(file)) => {
                self.address_key(&file).map_or(Privacy::Keep, Privacy::CryptoPan)
            }
            (Clients::CryptoPan, None) => {
                let place = clients.map_or(Place::Nowhere, |given| given.place);
                self.fault(&place, "crypto-pan needs privacy.key_file".to_owned());
                Privacy::Keep
            }
        }
    }

    fn process(&mut self, draft: ProcessDraft) -> ProcessOptions {
        let ProcessDraft { user, group, seccomp, landlock, stop_timeout } = draft;
        if let (None, Some(group)) = (&user, &group) {
            self.fault(&group.place, "a group without a user: process.user says whom to become".to_owned());
        }
        ProcessOptions {
            user: user.and_then(|user| self.identity(&user, world::user)),
            group: group.and_then(|group| self.identity(&group, world::group)),
            seccomp: value(seccomp, true),
            landlock: value(landlock, true),
            stop_timeout: value(stop_timeout, Duration::from_secs(10)),
        }
    }

    /// A user or group. The machine on which somebody who is not root checks a file may not be the one that it is for.
    fn identity(
        &mut self,
        name: &Given<String>,
        find: fn(&str) -> Result<Identity, String>,
    ) -> Option<Identity> {
        if self.world.purpose == Purpose::Reload {
            return None;
        }
        match find(&name.value) {
            Ok(identity) => Some(identity),
            Err(text) if self.world.purpose == Purpose::Check && !self.world.root => {
                self.warn(&name.place, text);
                None
            }
            Err(text) => {
                self.fault(&name.place, text);
                None
            }
        }
    }

    /// Of a certificate and its key, there are both or none.
    fn pair(
        &mut self,
        cert: Option<&Given<PathBuf>>,
        key: Option<&Given<PathBuf>>,
        cert_name: &str,
        key_name: &str,
    ) {
        match (cert, key) {
            (Some(cert), None) => self.fault(&cert.place, format!("a certificate needs its key: {key_name}")),
            (None, Some(key)) => self.fault(&key.place, format!("a key needs its certificate: {cert_name}")),
            _ => {}
        }
    }
}

struct Sensor {
    name: String,
    interval: Duration,
    query_timeout: Duration,
    lateness: Duration,
    ports: Vec<u16>,
    zones: Vec<NameBuf>,
    servers: Vec<std::net::IpAddr>,
    max_rows: usize,
    threads: usize,
}

fn given_list<T>(list: Option<Given<Vec<Given<T>>>>) -> Vec<Given<T>> {
    list.map(|given| given.value).unwrap_or_default()
}

fn log(draft: LogDraft) -> LogOptions {
    let LogDraft { format, level } = draft;
    LogOptions { format: value(format, LogFormat::Text), level: value(level, LevelFilter::INFO) }
}
