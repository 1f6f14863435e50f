//! Values as people write them, for the file and for the command line alike. A reader says what is wrong and what is allowed; who
//! calls it says where, and repeats the value.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use lowtide_aggregate::drain::{Prefix, Server};
use lowtide_proto::frame_streams::MAX_FRAME;
use lowtide_proto::{NameBuf, Timestamp};
use lowtide_store::spool::WhenFull;
use tracing::level_filters::LevelFilter;

use super::draft::{Clients, ListenAt, Off};
use super::options::LogFormat;
use crate::{duration, size};

/// The longest path of a unix socket, without the final zero (`sun_path`).
const LONGEST_SOCKET: usize = 107;
/// The longest name of an interface, without the final zero (`IFNAMSIZ`).
const LONGEST_INTERFACE: usize = 15;

fn within(text: &str, least: &str, most: &str) -> Result<Duration, String> {
    let value = duration::parse(text)?;
    let bound = |text| duration::parse(text).unwrap_or_default();
    if (bound(least)..=bound(most)).contains(&value) {
        Ok(value)
    } else {
        Err(format!("must be from {least} to {most}"))
    }
}

fn octets(text: &str, least: &str, most: &str) -> Result<u64, String> {
    let value = size::parse(text)?;
    let bound = |text| size::parse(text).unwrap_or_default();
    if (bound(least)..=bound(most)).contains(&value) {
        Ok(value)
    } else {
        Err(format!("must be from {least} to {most}"))
    }
}

fn or_off<T>(text: &str, read: fn(&str) -> Result<T, String>) -> Result<Off<T>, String> {
    if text == "off" { Ok(None) } else { read(text).map(Some).map_err(|reason| format!("{reason} (or off)")) }
}

/// The length of an interval. Rows hold whole seconds, and the rollups' hours must not be shorter than it.
pub fn interval(text: &str) -> Result<Duration, String> {
    let value = within(text, "1s", "1h")?;
    if value.subsec_nanos() == 0 {
        Ok(value)
    } else {
        Err("must be whole seconds, as in 10s or 1m".to_owned())
    }
}

/// How long a query waits.
pub fn query_timeout(text: &str) -> Result<Duration, String> {
    within(text, "10ms", "10m")
}

/// How long an interval stays open: never less than the second by which servers' dnstap is out of order.
pub fn lateness(text: &str) -> Result<Duration, String> {
    within(text, "1s", "1h")
}

/// How long a handshake may take.
pub fn handshake_timeout(text: &str) -> Result<Duration, String> {
    within(text, "100ms", "10m")
}

/// How long a sender may be silent.
pub fn idle_timeout(text: &str) -> Result<Off<Duration>, String> {
    or_off(text, |text| within(text, "1s", "366d"))
}

/// How long one request may take.
pub fn request_timeout(text: &str) -> Result<Duration, String> {
    within(text, "1s", "1h")
}

/// How long a stop may take.
pub fn stop_timeout(text: &str) -> Result<Duration, String> {
    within(text, "1s", "10m")
}

/// How old a segment may become.
pub fn max_age(text: &str) -> Result<Off<Duration>, String> {
    or_off(text, |text| within(text, "1m", "366d"))
}

/// The size of the queue of dnstap frames.
pub fn dnstap_queue(text: &str) -> Result<u64, String> {
    octets(text, "1MiB", "16GiB")
}

/// The size of one dnstap frame; what reads them takes no larger ones.
pub fn max_frame(text: &str) -> Result<u64, String> {
    octets(text, "4KiB", &format!("{}KiB", MAX_FRAME / 1024))
}

/// The size of the kernel's ring; libpcap takes no larger number.
pub fn ring(text: &str) -> Result<u64, String> {
    octets(text, "1MiB", "2047MiB")
}

/// The size of the spool.
pub fn spool_size(text: &str) -> Result<u64, String> {
    octets(text, "1MiB", "1024TiB")
}

/// A name in every row.
pub fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > 255 || text.chars().any(char::is_control) {
        return Err("a name has 1 to 255 octets and no control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// A zone's name.
pub fn zone(text: &str) -> Result<NameBuf, String> {
    if text.is_empty() {
        return Err("a zone has a name, as in example.org; the root is '.'".to_owned());
    }
    NameBuf::parse(text).map_err(|reason| format!("not a domain name: {reason}"))
}

/// A server's address. IPv4 in IPv6 is IPv4, as frames say it.
pub fn server(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map(|address: IpAddr| address.to_canonical())
        .map_err(|_| "not an IP address, such as 192.0.2.53 or 2001:db8::53".to_owned())
}

/// A server of a migration, with the name that NS records call it if that is said.
pub fn named_server(text: &str) -> Result<Server, String> {
    let (name, address) = match text.split_once('=') {
        Some((name, address)) => (Some(zone(name.trim())?), address.trim()),
        None => (None, text),
    };
    Ok(Server { name, address: mapped(server(address)?) })
}

/// An address as traffic has it: IPv4 in IPv6.
fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// A moment. With an offset from UTC: half a day more or less would make a wrong verdict.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp =
        text.parse().map_err(|_| "not an RFC 3339 time, such as 2026-03-01T09:30:00Z".to_owned())?;
    match u64::try_from(time.as_nanosecond()) {
        Ok(nanos) => Ok(Timestamp(nanos)),
        Err(_) => Err("must be from 1970 to 2554".to_owned()),
    }
}

/// How long a cache may keep a record, or how long nobody may ask.
pub fn ttl(text: &str) -> Result<Duration, String> {
    within(text, "1s", "366d")
}

/// The same of a DS set, of which there may be none.
pub fn ds_ttl(text: &str) -> Result<Off<Duration>, String> {
    if text == "0s" { Ok(None) } else { or_off(text, ttl) }
}

/// An address, or a network as ADDRESS/BITS. One that holds about everybody would set all clients apart.
pub fn prefix(text: &str) -> Result<Prefix, String> {
    const FORM: &str = "not an address or network, such as 192.0.2.7 or 2001:db8::/32";
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let written: IpAddr = address.parse().map_err(|_| FORM.to_owned())?;
    let (width, more) = if written.is_ipv4() { (32, 96) } else { (128, 0) };
    let bits: u8 = match bits {
        None => width,
        Some(bits) => bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(|| FORM.to_owned())?,
    };
    let (address, bits) = (mapped(written), bits + more);
    let network = Prefix::new(address, bits);
    let holds_ipv4 =
        address.to_ipv4_mapped().is_some() || network.contains(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped());
    if bits < if holds_ipv4 { 96 + 8 } else { 16 } {
        return Err(
            "sets nearly everybody apart: IPv4 networks have at least /8, those of IPv6 /16".to_owned()
        );
    }
    let behind = u128::MAX.checked_shr(u32::from(bits)).unwrap_or(0);
    if address.to_bits() & behind != 0 {
        let network = Ipv6Addr::from_bits(address.to_bits() & !behind).to_canonical();
        let bits = if network.is_ipv4() { bits - 96 } else { bits };
        return Err(format!("the network is {network}/{bits}"));
    }
    Ok(network)
}

/// Where dnstap is taken.
pub fn listen(text: &str) -> Result<ListenAt, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path.len() {
            0 => Err("the socket's path is missing, as in unix:/run/lowtide/dnstap.sock".to_owned()),
            1..=LONGEST_SOCKET => Ok(ListenAt::Unix(PathBuf::from(path))),
            _ => Err(format!("a socket's path has at most {LONGEST_SOCKET} octets")),
        };
    }
    match text.strip_prefix("tcp:") {
        Some(address) => socket_address(address).map(ListenAt::Tcp),
        None => Err("must be unix:PATH or tcp:ADDRESS:PORT".to_owned()),
    }
}

fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| {
        "not an IP address with a port, such as 127.0.0.1:6000 or [2001:db8::1]:6000".to_owned()
    })?;
    if address.port() == 0 { Err("port 0 cannot be listened on".to_owned()) } else { Ok(address) }
}

/// Where metrics are served.
pub fn metrics(text: &str) -> Result<Off<SocketAddr>, String> {
    or_off(text, socket_address)
}

/// A file's permissions.
pub fn mode(text: &str) -> Result<u32, String> {
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|digit| digit.is_ascii_digit());
    match u32::from_str_radix(text, 8) {
        Ok(mode) if digits && mode <= 0o777 => Ok(mode),
        _ => Err("not an octal file mode, such as 0660".to_owned()),
    }
}

/// A user's or a group's name or number.
pub fn identity(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|letter| letter.is_control() || letter == ':') {
        return Err("not the name or number of a user or group".to_owned());
    }
    Ok(text.to_owned())
}

/// A file or directory.
pub fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("not a path".to_owned());
    }
    Ok(PathBuf::from(text))
}

/// An interface's name.
pub fn interface(text: &str) -> Result<String, String> {
    let right = (1..=LONGEST_INTERFACE).contains(&text.len())
        && !text.contains(|letter: char| letter == '/' || letter.is_whitespace() || letter.is_control());
    if right {
        Ok(text.to_owned())
    } else {
        Err(format!("not an interface's name: 1 to {LONGEST_INTERFACE} octets, no '/' and no space"))
    }
}

/// A filter of libpcap.
pub fn filter(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.contains('\0') {
        return Err("not a filter, such as 'host 192.0.2.53'; leave it away to read all DNS".to_owned());
    }
    lowtide_capture::live::filter::syntax(text).map_err(|error| error.to_string())?;
    Ok(text.to_owned())
}

/// ClickHouse's address. It may hold a password: whoever tells of it does not repeat it.
pub fn url(text: &str) -> Result<String, String> {
    crate::connection::url(text).map(|_| text.to_owned())
}

/// What happens when the spool is full.
pub fn when_full(text: &str) -> Result<WhenFull, String> {
    match text {
        "drop-oldest" => Ok(WhenFull::DropOldest),
        "drop-newest" => Ok(WhenFull::DropNewest),
        "wait" => Err("a live run cannot wait, as traffic does not: drop-oldest or drop-newest".to_owned()),
        _ => Err("must be drop-oldest or drop-newest".to_owned()),
    }
}

/// What becomes of clients' addresses.
pub fn clients(text: &str) -> Result<Clients, String> {
    match text {
        "keep" => Ok(Clients::Keep),
        "truncate" => Ok(Clients::Truncate),
        "crypto-pan" => Ok(Clients::CryptoPan),
        _ => Err("must be keep, truncate or crypto-pan".to_owned()),
    }
}

/// How log lines look.
pub fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

/// What is logged.
pub fn log_level(text: &str) -> Result<LevelFilter, String> {
    match text {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err("must be error, warn, info, debug or trace".to_owned()),
    }
}
