//! dnstap of other machines: over TCP as it is, and encrypted, with and without a certificate of the sender.

use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use lowtide_proto::frame_streams::{Control, DNSTAP_CONTENT_TYPE};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::message::{SECOND, now, pairs};
use crate::place::{Place, free_port};
use crate::process::PATIENCE;
use crate::rows::Rows;
use crate::sender::{Sender, control};
use crate::support::{Server, skipped};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// An authority.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of an authority, and its key.
fn certificate(of: &CertifiedIssuer<'static, KeyPair>) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (parameters.signed_by(&key, of).unwrap(), key)
}

/// A sender that trusts an authority, and may have a certificate.
fn connect(
    port: u16,
    trusts: &CertificateDer<'static>,
    shows: Option<&(rcgen::Certificate, KeyPair)>,
) -> Tls {
    let mut roots = RootCertStore::empty();
    roots.add(trusts.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match shows {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            builder.with_client_auth_cert(vec![certificate.der().clone()], key).unwrap()
        }
    };
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// Whether a stream is refused before it has begun.
fn is_refused(mut stream: impl Read + Write) -> bool {
    let ready = control(Control::Ready, &[DNSTAP_CONTENT_TYPE]);
    let begun = |stream: &mut (dyn ReadWrite + '_)| -> io::Result<usize> {
        stream.write_all(&ready)?;
        stream.flush()?;
        stream.read(&mut [0])
    };
    begun(&mut stream).unwrap_or(0) == 0
}

trait ReadWrite: Read + Write {}
impl<S: Read + Write> ReadWrite for S {}

#[test]
fn in_the_clear_and_encrypted() {
    if skipped() {
        return;
    }
    let server = Server::start();
    let mut place = Place::new(Some(&server.url("tcp")));
    let (of_server, of_senders, of_nobody) = (authority(), authority(), authority());
    let write = |name: &str, pem: &str| {
        let path = place.folder.path().join(name);
        fs::write(&path, pem).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    let (certificate_of_server, key) = certificate(&of_server);
    let cert = write("server.crt", &certificate_of_server.pem());
    let key = write("server.key", &key.serialize_pem());
    let ca = write("senders.crt", &of_senders.pem());
    let [plain, open, closed] = [free_port(), free_port(), free_port()];
    place.configure(&format!(
        "[[dnstap]]\nlisten = 'tcp:127.0.0.1:{plain}'\n\
         [[dnstap]]\nlisten = 'tcp:127.0.0.1:{open}'\ntls_cert = '{cert}'\ntls_key = '{key}'\n\
         [[dnstap]]\nlisten = 'tcp:127.0.0.1:{closed}'\ntls_cert = '{cert}'\ntls_key = '{key}'\ntls_client_ca = '{ca}'\n"
    ));
    let mut run = place.start();
    let time = now() - 20 * SECOND;
    let trusted = of_server.der().clone();

    let mut sender = Sender::connect_tcp(plain);
    sender.send(pairs("in the clear", time, 100));
    sender.finish();
    let mut sender = Sender::begin(connect(open, &trusted, None));
    sender.send(pairs("encrypted", time, 200));
    sender.finish();
    let mut sender = Sender::begin(connect(closed, &trusted, Some(&certificate(&of_senders))));
    sender.send(pairs("certified", time, 300));
    sender.finish();

    // Who shows none, or one of somebody else's, and who does not encrypt.
    assert!(is_refused(connect(closed, &trusted, None)));
    assert!(is_refused(connect(closed, &trusted, Some(&certificate(&of_nobody)))));
    let stream = TcpStream::connect(("127.0.0.1", open)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut octets = Vec::new();
    let _ = (&stream).write_all(&control(Control::Ready, &[DNSTAP_CONTENT_TYPE]));
    let _ = (&stream).read_to_end(&mut octets);
    assert!(!octets.windows(10).any(|part| DNSTAP_CONTENT_TYPE.starts_with(part)), "{octets:?}");
    // And a sender that trusts somebody else lets nothing be taken from it.
    assert!(is_refused(connect(open, of_nobody.der(), None)));

    run.counted(1_200);
    run.shows("four refusals", |metrics| {
        metrics.sum("lowtide_dnstap_closed_total", &[("reason", "tls")]) == 4
    });
    run.stop();
    let rows = Rows { server: &server, database: "tcp" };
    let sources = rows.query(
        "SELECT source, sum(frames) FROM coverage WHERE server = '' AND frames > 0 GROUP BY source ORDER BY sum(frames)",
    );
    let expected = [(plain, "in the clear", 200), (open, "encrypted", 400), (closed, "certified", 600)];
    let expected = expected.map(|(port, name, frames)| format!("tcp:127.0.0.1:{port} {name}\t{frames}"));
    assert_eq!(sources.lines().collect::<Vec<_>>(), expected);
    assert_eq!(rows.account("1"), [600, 600, 600, 0, 0, 0, 0, 0]);
}
