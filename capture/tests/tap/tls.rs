//! TLS with a certificate made for the test.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use lowtide_capture::tap::{CloseReason, Listen, Tap, TapHandle, TapLimits, TcpListen};
use lowtide_proto::frame_streams::Control;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use crate::support::{Client, LONG, data, stop, until};

/// A tap that speaks TLS, and the configuration of clients that trust it.
fn tap(limits: TapLimits) -> (TapHandle, SocketAddr, Arc<ClientConfig>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = certified.cert.der().clone();
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let address = "127.0.0.1:0".parse().unwrap();
    let listen = Listen::Tcp(TcpListen { address, tls: Some(Arc::new(server)) });
    assert_eq!(listen.to_string(), "tls:127.0.0.1:0");
    let tap = Tap::bind(&[listen], limits).unwrap();
    let address = tap.addresses()[0].unwrap();
    (tap.start().unwrap(), address, Arc::new(client))
}

fn connect(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
) -> Client<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    Client::new(StreamOwned::new(connection, TcpStream::connect(address).unwrap()))
}

#[test]
fn a_stream_over_tls() {
    let (handle, address, config) = tap(TapLimits::default());
    let frames: Vec<Vec<u8>> = (0..1_000_u32).map(|at| at.to_be_bytes().repeat(100)).collect();
    let mut client = connect(address, &config);
    client.begin();
    client.send(&data(&frames));
    client.send(&stop());
    client.expect(Control::Finish);
    client.expect_end();
    let mut received: Vec<Vec<u8>> = Vec::new();
    while received.len() < frames.len() {
        let chunk = handle.chunks().recv_timeout(LONG).unwrap();
        received.extend(chunk.frames().map(<[u8]>::to_vec));
    }
    assert!(received == frames);
    until("the end", || (handle.counters().closed("stop") == 1).then_some(()));
    // A sender that dies says no goodbye; that is no error.
    let mut client = connect(address, &config);
    client.begin();
    client.send(&data(&["last"]));
    assert_eq!(handle.chunks().recv_timeout(LONG).unwrap().frames().collect::<Vec<_>>(), [b"last"]);
    drop(client);
    let sender = handle.senders().pop().unwrap();
    until("the end", || sender.is_closed().then_some(()));
    assert_eq!(sender.close_reason(), Some(CloseReason::Ended));
}

#[test]
fn what_is_no_tls() {
    let limits =
        TapLimits { handshake_timeout: std::time::Duration::from_millis(200), ..TapLimits::default() };
    let (handle, address, _) = tap(limits);
    let mut plain = TcpStream::connect(address).unwrap();
    plain.write_all(&crate::support::start()).unwrap();
    until("the refusal", || (handle.counters().closed("tls") == 1).then_some(()));
    let mut silent = Client::new(TcpStream::connect(address).unwrap());
    silent.expect_end();
    until("the timeout", || (handle.counters().closed("handshake-timeout") == 1).then_some(()));
    assert_eq!(handle.counters().begun, 0);
}
