//! HTTPS: an own authority, a client certificate, and what is wrong with certificates.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lowtide_store::deliver::{DeliveryOptions, GiveUp};
use lowtide_store::server::{Connection, ErrorKind, Server, ServerError, TlsFiles};
use lowtide_store::spool::Put;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use support::proxy::{Accept, Proxy, Weather};
use support::{connection, filled, options};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for a name, and its key.
fn certificate(authority: &Authority, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, authority).unwrap(), key)
}

/// A server with a certificate for `name`; it asks its clients for one of `clients`.
fn server(authority: &Authority, name: &str, clients: Option<&Authority>) -> Proxy {
    let (certificate, key) = certificate(authority, name);
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap());
    let accept: Accept = Box::new(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(std::io::Error::other)?;
        Ok(Box::new(StreamOwned::new(connection, stream)))
    });
    Proxy::start_with(None, accept)
}

fn write(dir: &Path, name: &str, pem: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, pem).unwrap();
    path
}

fn at(server: &Proxy, tls: TlsFiles) -> Connection {
    let url = format!("https://ann:secret@localhost:{}", server.address().port());
    Connection { tls, ..connection(&url) }
}

fn ask(at: Connection) -> Result<Vec<u8>, ServerError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { Ok(Server::new(at)?.query("SELECT 1", &[]).await?.to_vec()) })
}

#[test]
fn delivers_over_https_with_certificates_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority(), authority());
    let authorities = Some(write(dir.path(), "ca.pem", &ours.pem()));
    let server = server(&ours, "localhost", Some(&theirs));
    let (client, key) = certificate(&theirs, "sensor");
    let client = Some((
        write(dir.path(), "client.pem", &client.pem()),
        write(dir.path(), "client.key", &key.serialize_pem()),
    ));
    let with = TlsFiles { authorities: authorities.clone(), client };
    assert_eq!(ask(at(&server, with.clone())).unwrap(), b"1\n");

    let spool = filled(&dir.path().join("spool"), 5, 300_000);
    server.next([Weather::LoseReply, Weather::CutRequest]);
    let to = Server::new(at(&server, with)).unwrap();
    let outcome =
        lowtide_store::deliver::Delivery::start(Arc::clone(&spool), to, options(), None).unwrap().finish();
    assert!(outcome.is_complete(), "{outcome}");
    assert_eq!(outcome.retries, 2);
    assert_eq!(server.inserts()[0].header("x-clickhouse-key"), Some("secret"));

    // Without its certificate the client is turned away, and says so at once.
    let without = TlsFiles { authorities, client: None };
    let error = ask(at(&server, without.clone())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert_eq!(support::put(&spool, 9, 100), Put::Stored);
    let give_up = GiveUp { after: None, on_permanent_errors: true };
    let to = Server::new(at(&server, without)).unwrap();
    let options = DeliveryOptions { give_up, ..options() };
    let outcome = lowtide_store::deliver::Delivery::start(spool, to, options, None).unwrap().finish();
    assert!(outcome.gave_up);
    assert_eq!(outcome.undelivered.segments, 1);
}

#[test]
fn refuses_a_server_that_it_cannot_trust() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (authority(), authority());
    let trusted = TlsFiles { authorities: Some(write(dir.path(), "ca.pem", &ours.pem())), client: None };
    for (authority, name) in [(&other, "localhost"), (&ours, "db.example")] {
        let server = server(authority, name, None);
        let error = ask(at(&server, trusted.clone())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert!(error.is_permanent() && error.to_string().contains("certificate"), "{error}");
        assert!(server.seen().is_empty(), "no password to whom is not trusted");
    }
    // By the system's own authorities neither.
    let server = server(&ours, "localhost", None);
    assert_eq!(ask(at(&server, TlsFiles::default())).unwrap_err().kind(), ErrorKind::Tls);
}

#[test]
fn tells_http_from_https() {
    let dir = tempfile::tempdir().unwrap();
    let ours = authority();
    let trusted = TlsFiles { authorities: Some(write(dir.path(), "ca.pem", &ours.pem())), client: None };
    let plain = Proxy::start(None);
    plain.set(Weather::NotHttp);
    let error = ask(at(&plain, trusted)).unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Tls | ErrorKind::Unreachable | ErrorKind::TimedOut),
        "{error:?}"
    );
    let encrypted = server(&ours, "localhost", None);
    let error = ask(connection(&encrypted.url())).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotClickHouse | ErrorKind::Interrupted), "{error:?}");
}

#[test]
fn says_which_file_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let ours = authority();
    let server = server(&ours, "localhost", None);
    let good = write(dir.path(), "ca.pem", &ours.pem());
    let key = write(dir.path(), "key.pem", &KeyPair::generate().unwrap().serialize_pem());
    let text = write(dir.path(), "text", "hello");
    let missing = dir.path().join("missing");
    for (authorities, client, named) in [
        (&missing, None, "missing"),
        (&text, None, "text"),
        (&key, None, "key.pem"),
        (&good, Some((missing.clone(), key.clone())), "missing"),
        (&good, Some((good.clone(), text.clone())), "text"),
        // The key of another certificate.
        (&good, Some((good.clone(), key.clone())), "key.pem"),
    ] {
        let tls = TlsFiles { authorities: Some(authorities.clone()), client };
        let error = Server::new(at(&server, tls)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Options);
        assert!(error.to_string().contains(named), "{error}");
    }
}
