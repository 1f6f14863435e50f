//! Sockets: files that are there already, owners and modes, ports.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;

use lowtide_capture::tap::{Listen, Tap, TapError, TapErrorKind, TapLimits, TcpListen, UnixListen};
use tempfile::TempDir;

use crate::support::{Client, LONG, control, data, start, unix, until};

fn bind(path: &Path) -> Result<Tap, TapError> {
    Tap::bind(&[Listen::Unix(unix(path))], TapLimits::default())
}

fn refusal(path: &Path) -> TapErrorKind {
    let error = bind(path).expect_err("cannot be bound");
    assert!(error.to_string().starts_with(&format!("unix:{}: ", path.display())), "{error}");
    error.kind
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "as a killed process leaves it");
    let first = bind(&path).unwrap();
    UnixStream::connect(&path).unwrap();
    assert!(matches!(refusal(&path), TapErrorKind::InUse));
    UnixStream::connect(&path).expect("the refused one did no harm");
    drop(first);
    assert!(!path.exists());
    let other = UnixDatagram::bind(&path).unwrap();
    assert!(matches!(refusal(&path), TapErrorKind::InUse));
    drop(other);
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(refusal(&path), TapErrorKind::NotSocket));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let link = directory.path().join("link");
    symlink(directory.path().join("nowhere"), &link).unwrap();
    assert!(matches!(refusal(&link), TapErrorKind::NotSocket));
    assert!(matches!(refusal(directory.path()), TapErrorKind::NotSocket));
    match refusal(&directory.path().join("missing/tap")) {
        TapErrorKind::NoDirectory(missing) => assert_eq!(missing, directory.path().join("missing")),
        other => panic!("{other:?}"),
    }
    assert!(matches!(refusal(&directory.path().join("x".repeat(108))), TapErrorKind::PathLength));
}

#[test]
fn owner_group_and_mode() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap");
    let me = fs::metadata(directory.path()).unwrap();
    let with = |owner, group| {
        let listen =
            UnixListen { path: path.clone(), mode: Some(0o620), owner: Some(owner), group: Some(group) };
        Tap::bind(&[Listen::Unix(listen)], TapLimits::default())
    };
    let tap = with(me.uid(), me.gid()).unwrap();
    let file = fs::symlink_metadata(&path).unwrap();
    assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o620, me.uid(), me.gid()));
    drop(tap);
    let foreign = with(12_345, 12_346);
    if me.uid() == 0 {
        let file = fs::symlink_metadata(&path).unwrap();
        assert_eq!((file.mode() & 0o7777, file.uid(), file.gid()), (0o620, 12_345, 12_346));
    } else {
        assert!(matches!(foreign.unwrap_err().kind, TapErrorKind::Permissions(_)));
        // Nobody listens there, so it is stale.
        assert!(UnixStream::connect(&path).is_err());
        drop(with(me.uid(), me.gid()).unwrap());
    }
}

#[test]
fn the_file_goes_only_while_it_is_ours() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap");
    let handle = bind(&path).unwrap().start().unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    handle.stop();
    UnixStream::connect(&path).expect("the other one's is still there");
    drop(other);
}

#[test]
fn all_or_none() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let listen = [Listen::Unix(unix(&path)), Listen::Tcp(TcpListen { address, tls: None })];
    assert_eq!(listen[0].to_string(), format!("unix:{}", path.display()));
    let error = Tap::bind(&listen, TapLimits::default()).unwrap_err();
    assert!(matches!(&error.kind, TapErrorKind::Io(error) if error.kind() == std::io::ErrorKind::AddrInUse));
    assert!(error.to_string().starts_with(&format!("tcp:{address}: ")), "{error}");
    assert!(!path.exists());
}

#[test]
fn several_listeners() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("tap");
    let port = |address: &str| Listen::Tcp(TcpListen { address: address.parse().unwrap(), tls: None });
    let listen = [port("127.0.0.1:0"), Listen::Unix(unix(&path)), port("[::1]:0")];
    let tap = Tap::bind(&listen, TapLimits::default()).unwrap();
    let addresses = tap.addresses();
    assert_eq!(addresses[1], None);
    let handle = tap.start().unwrap();
    let octets = [start(), data(&["x"])].concat();
    let mut first = TcpStream::connect(addresses[0].unwrap()).unwrap();
    first.write_all(&octets).unwrap();
    let second = handle.chunks().recv_timeout(LONG).unwrap();
    assert_eq!((second.sender.listener(), second.len()), (0, 1));
    assert_eq!(second.sender.peer(), first.local_addr().unwrap().to_string());
    UnixStream::connect(&path).unwrap().write_all(&octets).unwrap();
    assert_eq!(handle.chunks().recv_timeout(LONG).unwrap().sender.listener(), 1);
    TcpStream::connect(addresses[2].unwrap()).unwrap().write_all(&octets).unwrap();
    let chunk = handle.chunks().recv_timeout(LONG).unwrap();
    assert_eq!(chunk.sender.listener(), 2);
    assert!(chunk.sender.peer().starts_with("[::1]:"));
    until("the ends", || (handle.counters().closed("end") == 2).then_some(()));
}

#[test]
fn a_port_is_spoken_to_both_ways() {
    let listen = Listen::Tcp(TcpListen { address: "127.0.0.1:0".parse().unwrap(), tls: None });
    let tap = Tap::bind(&[listen], TapLimits::default()).unwrap();
    let address = tap.addresses()[0].unwrap();
    let handle = tap.start().unwrap();
    let mut client = Client::new(TcpStream::connect(address).unwrap());
    client.begin();
    client.send(&[data(&["x"]), control(lowtide_proto::frame_streams::Control::Stop, &[])].concat());
    client.expect(lowtide_proto::frame_streams::Control::Finish);
    client.expect_end();
    assert_eq!(handle.chunks().recv_timeout(LONG).unwrap().frames().collect::<Vec<_>>(), [b"x"]);
}
