//! Files that are wrong, each with the lines that are said of it; and what is made of those that are right.

mod migrations;
mod wrong;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::config::file;
use crate::config::options::{DnstapListen, Listen, TlsFiles};

/// A source, so that nothing but the rest is wrong.
const SOURCE: &str = "[[interface]]\nname = 'eth0'\n";

fn world(purpose: Purpose) -> World {
    World { purpose, root: true, host: "host".to_owned(), state_directory: None, cores: 8 }
}

fn settled(text: &str, world: &World) -> Result<Settled, Vec<Fault>> {
    let read = file::read(Arc::from("l.toml"), text).map_err(|fault| vec![fault])?;
    settle(read.draft, world, read.faults)
}

fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

/// The lines that are said of a file which is wrong.
#[track_caller]
fn check(text: &str, expect: &[&str]) {
    let faults = settled(text, &world(Purpose::Run)).map(|settled| format!("{settled:?}")).unwrap_err();
    assert_eq!(lines(&faults), expect, "{text}");
}

/// The same for the file's second section: lines count from 1 there, and the source before it is right.
#[track_caller]
fn check_section(text: &str, expect: &[&str]) {
    check(&format!("{text}\n{SOURCE}"), expect);
}

/// What is warned of in a file which is right.
#[track_caller]
fn warns(text: &str, expect: &[&str]) {
    let settled = settled(&format!("{text}\n{SOURCE}"), &world(Purpose::Run)).unwrap();
    assert_eq!(lines(&settled.warnings), expect, "{text}");
}

#[track_caller]
fn right(text: &str) -> RunOptions {
    settled(text, &world(Purpose::Run)).unwrap().options
}

#[test]
fn what_may_not_be_meant_is_warned_of() {
    warns("", &[]);
    warns(
        "[clickhouse]\nurl = 'http://me:hunter2@h'",
        &[
            "l.toml:2:7: clickhouse.url: the password is seen by everybody who reads this file; LOWTIDE_CLICKHOUSE_PASSWORD and \
             clickhouse.password_file hide it",
        ],
    );
    warns(
        "[metrics]\nlisten = '[::]:9353'",
        &[
            "l.toml:2:10: metrics.listen: everybody who reaches [::]:9353 can read the metrics: there is no password",
        ],
    );
    warns(
        "[[dnstap]]\nlisten = 'tcp:192.0.2.1:6000'",
        &[
            "l.toml:2:10: dnstap[0].listen: whoever reaches 192.0.2.1:6000 can send frames, and read them on their way: no tls_cert",
        ],
    );
    warns(
        "[[interface]]\nname = 'any'",
        &[
            "l.toml:2:8: interface[0].name: 'any' is every interface: the packets of the others are counted twice",
        ],
    );
    warns(
        "[privacy]\nipv4_prefix = 16\nkey_file = '/no/such/file'",
        &[
            "l.toml:2:15: privacy.ipv4_prefix: has an effect only with clients = \"truncate\"",
            "l.toml:3:12: privacy.key_file: has an effect only with clients = \"crypto-pan\"",
        ],
    );
}

fn write(path: &Path, contents: impl AsRef<[u8]>, mode: u32) {
    fs::write(path, contents).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn keys_are_read_and_should_be_secret() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    let text = format!("[privacy]\nclients = 'crypto-pan'\nkey_file = '{}'", key.display());
    write(&key, "0f".repeat(32), 0o600);
    warns(&text, &[]);
    let Privacy::CryptoPan(read) = right(&format!("{text}\n{SOURCE}")).privacy else { panic!() };
    assert_eq!(read.0, [0x0f; 32]);
    assert_eq!(format!("{read:?}"), "AddressKey(hidden)");

    write(&key, "0f".repeat(32), 0o644);
    let open = format!("{} is open to all users (mode 0644); 0640 or 0600 is right for it", key.display());
    warns(&text, &[&format!("l.toml:3:12: privacy.key_file: {open}")]);

    write(&key, "secret", 0o600);
    let none = "is no key: 32 octets, raw or as 64 hexadecimal digits ('openssl rand -hex 32' makes one)";
    check_section(&text, &[&format!("l.toml:3:12: privacy.key_file: {} {none}", key.display())]);

    let directory = format!("[privacy]\nclients = 'crypto-pan'\nkey_file = '{}'", dir.path().display());
    let faults = settled(&format!("{directory}\n{SOURCE}"), &world(Purpose::Run)).unwrap_err();
    assert!(lines(&faults)[0].contains("is a directory"), "{faults:?}");
}

#[test]
fn files_of_tls_must_be_there_and_complete() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = (dir.path().join("cert"), dir.path().join("key"));
    write(&cert, "", 0o644);
    write(&key, "", 0o600);
    let listen = "[[dnstap]]\nlisten = 'tcp:192.0.2.1:6000'";
    let (cert_line, key_line) =
        (format!("tls_cert = '{}'", cert.display()), format!("tls_key = '{}'", key.display()));

    check(
        &format!("{listen}\n{cert_line}"),
        &["l.toml:3:12: dnstap[0].tls_cert: a certificate needs its key: tls_key"],
    );
    check(
        &format!("{listen}\n{key_line}"),
        &["l.toml:3:11: dnstap[0].tls_key: a key needs its certificate: tls_cert"],
    );
    check(
        &format!("{listen}\n{cert_line}\n{key_line}\ntls_client_ca = '/no/such/file'"),
        &["l.toml:5:17: dnstap[0].tls_client_ca: cannot read /no/such/file: No such file or directory"],
    );
    check(
        &format!("{listen}\ntls_client_ca = '{}'", cert.display()),
        &["l.toml:3:17: dnstap[0].tls_client_ca: an authority of senders needs tls_cert and tls_key, too"],
    );
    let text = format!("{listen}\n{cert_line}\n{key_line}");
    let Settled { options, warnings } = settled(&text, &world(Purpose::Run)).unwrap();
    assert_eq!(
        lines(&warnings),
        ["l.toml:2:10: dnstap[0].listen: whoever reaches 192.0.2.1:6000 can send frames: no tls_client_ca"]
    );
    assert_eq!(
        options.dnstap,
        [DnstapListen {
            listen: Listen::Tcp {
                address: "192.0.2.1:6000".parse().unwrap(),
                tls: Some(TlsFiles { cert, key, client_ca: None }),
            },
            max_senders: 64,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: None,
        }]
    );
}

#[test]
fn the_spool_needs_a_directory_or_room_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    write(&file, "", 0o644);
    for below in ["", "/a", "/a/b"] {
        check_section(
            &format!("[spool]\ndir = '{}{below}'", file.display()),
            &[&format!("l.toml:2:7: spool.dir: {} is in the way: it is no directory", file.display())],
        );
    }
    for right_one in [dir.path().to_owned(), dir.path().join("a/b"), PathBuf::from("spool")] {
        let options = right(&format!("[spool]\ndir = '{}'\n{SOURCE}", right_one.display()));
        assert_eq!(options.spool.dir, right_one);
    }
}

#[test]
fn systemd_says_where_the_spool_is_unless_the_file_does() {
    let state = tempfile::tempdir().unwrap();
    let world = World { state_directory: Some(state.path().to_owned()), ..world(Purpose::Run) };
    let dir = |text: &str| settled(&format!("{text}\n{SOURCE}"), &world).unwrap().options.spool.dir;
    assert_eq!(dir(""), state.path().join("spool"));
    assert_eq!(dir("[spool]\ndir = '/tmp'"), Path::new("/tmp"));
}

#[test]
fn who_is_not_root_may_check_a_file_for_another_machine() {
    let text = format!("[process]\nuser = 'no-such-user'\n{SOURCE}");
    let world = World { root: false, ..world(Purpose::Check) };
    let Settled { warnings, .. } = settled(&text, &world).unwrap();
    assert_eq!(
        lines(&warnings),
        ["l.toml:2:8: process.user: there is no user 'no-such-user' on this machine"]
    );
    assert!(settled(&text, &World { purpose: Purpose::Run, ..world }).is_err());
}

#[test]
fn defaults_are_filled_in() {
    let options = right(SOURCE);
    assert_eq!(options.sensor, "host");
    assert_eq!(options.interval, Duration::from_secs(60));
    assert_eq!(options.query_timeout, Duration::from_secs(5));
    assert_eq!(options.lateness, Duration::from_secs(10));
    assert_eq!((options.ports, options.max_rows, options.threads), (vec![53], 500_000, 4));
    assert_eq!(options.connection, None);
    assert_eq!(options.spool.dir, Path::new("/var/spool/lowtide"));
    assert_eq!((options.spool.max_size, options.spool.max_age), (10 << 30, None));
    assert_eq!(options.spool.when_full, WhenFull::DropOldest);
    assert_eq!(options.privacy, Privacy::Keep);
    assert_eq!(options.metrics, Some("127.0.0.1:9353".parse().unwrap()));
    assert_eq!(options.log, LogOptions { format: LogFormat::Text, level: LevelFilter::INFO });
    assert_eq!(options.limits, Limits { dnstap_queue: 64 << 20, max_frame: 256 << 10, outstanding: 524_288 });
    let one = World { cores: 1, ..world(Purpose::Run) };
    assert_eq!(settled(SOURCE, &one).unwrap().options.threads, 1);
}

#[test]
fn what_is_said_reaches_the_options() {
    let options = right(
        "[sensor]\nname = 'ns1'\nports = [5353, 53, 5353]\nzones = ['Example.ORG', '.']\nservers = ['192.0.2.1', '2001:db8::1']\n\
         [[dnstap]]\nlisten = 'unix:/x'\nmode = '660'\nowner = '0'\ngroup = '7'\nidle_timeout = '10m'\n\
         [[interface]]\nname = 'eth0'\npromiscuous = false\nfilter = 'ip'\nthreads = 2\nbuffer = '8MiB'\n\
         [clickhouse]\nurl = 'http://me@h:1/db'\nin_flight = 9\n[spool]\nmax_age = '30d'\nwhen_full = 'drop-newest'\n\
         [privacy]\nclients = 'truncate'\nipv6_prefix = 56\n[process]\nuser = '4242'\nseccomp = false\n\
         [metrics]\nlisten = 'off'\n[log]\nformat = 'json'\nlevel = 'debug'\n",
    );
    assert_eq!((options.sensor.as_str(), options.ports), ("ns1", vec![53, 5353]));
    let zones: Vec<String> = options.zones.iter().map(|zone| zone.as_name().to_string()).collect();
    assert_eq!(zones, ["example.org.", "."]);
    assert_eq!(options.servers.len(), 2);
    let socket = Listen::Unix { path: "/x".into(), mode: Some(0o660), owner: Some(0), group: Some(7) };
    assert_eq!(options.dnstap[0].listen, socket);
    assert_eq!(options.dnstap[0].idle_timeout, Some(Duration::from_secs(600)));
    let interface = &options.interfaces[0];
    assert_eq!((interface.promiscuous, interface.threads, interface.buffer), (false, 2, 8 << 20));
    assert_eq!(interface.filter.as_deref(), Some("ip"));
    let connection = options.connection.unwrap();
    assert_eq!(connection.clickhouse.as_deref(), Some("http://me@h:1/db"));
    assert_eq!(connection.clickhouse_timeout, Duration::from_secs(60));
    assert_eq!(options.in_flight, 9);
    assert_eq!(options.spool.max_age, Some(Duration::from_hours(24 * 30)));
    assert_eq!(options.spool.when_full, WhenFull::DropNewest);
    assert_eq!(options.privacy, Privacy::Truncate { ipv4: 24, ipv6: 56 });
    assert_eq!(options.process.user.unwrap().id, 4242);
    assert!(!options.process.seccomp && options.process.landlock);
    assert_eq!(options.metrics, None);
    assert_eq!(options.log, LogOptions { format: LogFormat::Json, level: LevelFilter::DEBUG });
}
