//! `lowtide clickhouse`: a local single-node ClickHouse server, in this process, out of libchdb.
//!
//! libchdb is clickhouse-local as a C library. It runs a script ([`script`]) that starts the listeners, waits, and at the
//! end stops them in order; what it tells and what it complains of is read here, line by line.

mod args;
mod engine;
mod script;
mod streams;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;

pub use args::ClickHouseArgs;

use crate::complaint::complain;
use crate::error::{Error, said};
use engine::Engine;
use script::{Told, told};
use streams::{Source, Streams};

/// How long running inserts may take to end after the first signal.
const DRAIN: Duration = Duration::from_secs(4);
/// How long a listener that ClickHouse has started may take to answer.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

/// What ClickHouse is told where the user gives no configuration of his own. The defaults are those of a server that has
/// the machine to itself: caches of up to half the memory, and 90 % of it for queries. The two threads that
/// clickhouse-local has for the tables' small chores are too few for a server: they fill the log with warnings.
const CONFIGURATION: &str = "\
<!-- Written by 'lowtide clickhouse' at each start. To change it, name a copy of it to 'lowtide clickhouse' as its configuration file. -->
<clickhouse>
    <max_server_memory_usage_to_ram_ratio>0.5</max_server_memory_usage_to_ram_ratio>
    <cache_size_to_ram_max_ratio>0.05</cache_size_to_ram_max_ratio>
    <background_schedule_pool_size>16</background_schedule_pool_size>
    <background_streaming_schedule_pool_size>16</background_streaming_schedule_pool_size>
    <logger><size>10M</size><count>1</count></logger>
</clickhouse>
";

/// What the threads around ClickHouse have to tell.
enum Event {
    /// SIGINT, SIGTERM or SIGHUP.
    Signal,
    /// A line on one of ClickHouse's streams.
    Line(Source, String),
    /// ClickHouse came back, with what it complains of.
    Ended(String),
}

/// Where it listens and where its data is.
struct Place {
    directory: PathBuf,
    config_file: PathBuf,
    http: SocketAddr,
    tcp: Option<SocketAddr>,
}

/// Serves until a signal comes.
///
/// # Errors
/// A library, directory, configuration or port that cannot be used, or a ClickHouse that fails. Once ClickHouse runs,
/// the process ends in here: its threads cannot be stopped, and must not see `exit` take the library apart below them.
pub fn run(args: &ClickHouseArgs) -> Result<ExitCode, Error> {
    let library = args.library()?;
    let place = Place::prepare(args)?;
    let (sender, events) = channel();
    watch_signals(sender.clone())?;
    let engine =
        Engine::open(&library).map_err(|error| Error::Failed(format!("cannot use libchdb: {error}")))?;
    let (mut streams, mut script) =
        Streams::take(&sender).map_err(|error| Error::Failed(format!("cannot start ClickHouse: {error}")))?;
    let arguments = place.arguments(&script::text(script.waits_on(), script.tells_on(), place.tcp.is_some()));
    thread::Builder::new()
        .name("clickhouse".to_owned())
        .stack_size(16 << 20)
        .spawn(move || {
            let complaint = engine.run(&arguments);
            let _ = sender.send(Event::Ended(complaint));
        })
        .map_err(|error| Error::Failed(format!("cannot start ClickHouse: {error}")))?;

    let served = start(&events, &place).and_then(|version| {
        let Some(version) = version else { return Ok(()) };
        let _ = streams.out.write_all(place.ready(&version).as_bytes());
        serve(&events, &mut streams)?;
        script.stop();
        drain(&events, &mut streams);
        Ok(())
    });
    streams.give_back();
    match served {
        Ok(()) => exit(0),
        Err(error) => {
            complain(&error.to_string());
            exit(1)
        }
    }
}

/// Waits until ClickHouse listens and answers; its version, or nothing when a signal came before that.
fn start(events: &Receiver<Event>, place: &Place) -> Result<Option<String>, Error> {
    let mut heard = String::new();
    while let Ok(event) = events.recv() {
        match event {
            Event::Signal => return Ok(None),
            Event::Line(Source::Script, line) => {
                if let Some(Told::Ready(version)) = told(&line) {
                    return answers(place.http).map(|()| Some(version));
                }
            }
            Event::Line(Source::Err, line) if line.contains("Exception: ") => {
                return Err(place.failure(&line));
            }
            Event::Line(Source::Err, line) => heard = line,
            Event::Ended(complaint) if complaint.is_empty() => {
                // What it says and that it ended come by different ways.
                while let Ok(Event::Line(_, line)) = events.recv_timeout(Duration::from_millis(300)) {
                    heard = line;
                    if heard.contains("Exception: ") {
                        break;
                    }
                }
                return Err(place.failure(&heard));
            }
            Event::Ended(complaint) => return Err(place.failure(&complaint)),
        }
    }
    Err(place.failure(&heard))
}

/// Passes on what ClickHouse complains of, until a signal comes.
fn serve(events: &Receiver<Event>, streams: &mut Streams) -> Result<(), Error> {
    while let Ok(event) = events.recv() {
        match event {
            Event::Signal => return Ok(()),
            Event::Line(Source::Script, _) => {}
            Event::Line(Source::Err, line) => streams.complain(&line),
            Event::Ended(complaint) => {
                return Err(Error::Failed(format!("ClickHouse ended: {}", one_line(&complaint))));
            }
        }
    }
    Err(Error::Failed("ClickHouse ended".to_owned()))
}

/// Waits until nothing runs any more, until [`DRAIN`] has passed, or until a second signal.
fn drain(events: &Receiver<Event>, streams: &mut Streams) {
    let deadline = Instant::now() + DRAIN;
    let (mut running, mut idle) = (0, 0);
    while idle < 2 {
        match events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Event::Line(Source::Script, line)) => {
                if let Some(Told::Running(queries)) = told(&line) {
                    running = queries;
                    // An answer may still be on its way when its query is no longer listed.
                    idle = if queries == 0 { idle + 1 } else { 0 };
                }
            }
            Ok(Event::Line(Source::Err, line)) => streams.complain(&line),
            Ok(Event::Signal | Event::Ended(_))
            | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    if running > 0 {
        streams.complain(&format!(
            "lowtide: stopped while queries were running, which must be sent again: {running}"
        ));
    }
}

fn watch_signals(sender: Sender<Event>) -> Result<(), Error> {
    let watched = Signals::new([SIGINT, SIGTERM, SIGHUP]).and_then(|mut signals| {
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for _ in &mut signals {
                if sender.send(Event::Signal).is_err() {
                    break;
                }
            }
        })
    });
    watched.map(drop).map_err(|error| Error::Failed(format!("cannot watch for signals: {error}")))
}

impl Place {
    /// Creates the directory and sees that the ports are free, because ClickHouse says it later and less plainly.
    fn prepare(args: &ClickHouseArgs) -> Result<Self, Error> {
        let (http, _http) = free(SocketAddr::new(args.listen, args.http_port), "--http-port")?;
        let tcp =
            args.tcp_port.map(|port| free(SocketAddr::new(args.listen, port), "--tcp-port")).transpose()?;
        let tcp = tcp.map(|(address, _tcp)| address);
        let cannot = |what: &str, path: &Path, error: &io::Error| {
            Error::Failed(format!("cannot {what} '{}': {}", path.display(), said(error)))
        };
        fs::create_dir_all(&args.path).map_err(|error| cannot("create the directory", &args.path, &error))?;
        let directory = fs::canonicalize(&args.path).map_err(|error| cannot("use", &args.path, &error))?;
        let config_file = match &args.config_file {
            // ClickHouse would go on without a configuration that it does not find.
            Some(path) => {
                fs::File::open(path).map_err(|error| cannot("open", path, &error))?;
                fs::canonicalize(path).map_err(|error| cannot("open", path, &error))?
            }
            None => {
                let path = directory.join("lowtide.xml");
                fs::write(&path, CONFIGURATION).map_err(|error| cannot("write", &path, &error))?;
                path
            }
        };
        Ok(Self { directory, config_file, http, tcp })
    }

    /// The command line of clickhouse-local.
    fn arguments(&self, script: &str) -> Vec<Vec<u8>> {
        let path =
            |option: &str, path: &Path| [option.as_bytes(), b"=", path.as_os_str().as_bytes()].concat();
        let mut arguments: Vec<Vec<u8>> = [
            "clickhouse",
            // Off a terminal it would end itself at the first client that goes away (ClickHouse issue 115666).
            "--interactive",
            "--progress=off",
            "--progress-table=off",
            "--disable_suggestion",
            "--history_file=/dev/null",
            "--log-level=warning",
            "--logger.console=0",
        ]
        .map(|argument| argument.as_bytes().to_vec())
        .to_vec();
        arguments.push(path("--path", &self.directory));
        arguments.push(path("--config-file", &self.config_file));
        arguments.push(path("--logger.log", &self.directory.join("clickhouse.log")));
        arguments.push(format!("--listen_host={}", self.http.ip()).into_bytes());
        arguments.push(format!("--http_port={}", self.http.port()).into_bytes());
        arguments.extend(self.tcp.map(|tcp| format!("--tcp_port={}", tcp.port()).into_bytes()));
        arguments.push(format!("--query={script}").into_bytes());
        arguments
    }

    fn ready(&self, version: &str) -> String {
        let tcp = self.tcp.map(|tcp| format!(", native protocol on {}", reachable(tcp))).unwrap_or_default();
        format!(
            "ClickHouse {version} ready: http://{}/{tcp} (data in {})\n",
            reachable(self.http),
            self.directory.display()
        )
    }

    /// The one line for what ClickHouse said in many.
    fn failure(&self, heard: &str) -> Error {
        if heard.contains("Code: 76") && heard.contains("status") {
            return Error::Failed(format!("'{}' is in use by another ClickHouse", self.directory.display()));
        }
        Error::Failed(format!("ClickHouse does not start: {}", one_line(heard)))
    }
}

/// The address to listen on, with a free port in place of 0; and the port held, so that no two are the same.
fn free(address: SocketAddr, option: &str) -> Result<(SocketAddr, TcpListener), Error> {
    TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener))).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => format!("; choose another port with {option}, or 0 for a free one"),
            _ => String::new(),
        };
        Error::Failed(format!("cannot listen on {address}: {}{hint}", said(&error)))
    })
}

/// The address under which this machine reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// Sees that the HTTP interface answers.
fn answers(address: SocketAddr) -> Result<(), Error> {
    let address = reachable(address);
    match ping(address) {
        Ok(answer) if answer.ends_with("Ok.\n") => Ok(()),
        Ok(answer) => Err(Error::Failed(format!("http://{address}/ping answers '{}'", one_line(&answer)))),
        Err(error) => Err(Error::Failed(format!("http://{address}/ping: {}", said(&error)))),
    }
}

fn ping(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, FIRST_ANSWER)?;
    stream.set_read_timeout(Some(FIRST_ANSWER))?;
    stream.write_all(b"GET /ping HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// ClickHouse's complaint without the ornaments, in one line.
fn one_line(heard: &str) -> String {
    let text = heard.replace("DB::Exception: ", "");
    let ends = [", Stack trace", " (version "];
    let text = ends.iter().fold(text.as_str(), |text, end| text.split(end).next().unwrap_or(text));
    let text = text.strip_prefix("Poco::Exception. Code: 1000, e.code() = 0, ").unwrap_or(text);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { "it does not say why; see clickhouse.log in its directory".to_owned() } else { text }
}
