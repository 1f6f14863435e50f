//! Certificates of a socket that takes dnstap over TLS.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::{RootCertStore, crypto::ring};

use crate::config::options::TlsFiles;
use crate::error::Error;

/// Reads the certificates. With an authority of senders only those are let in whose certificates are of it.
///
/// # Errors
/// The file that is wrong, and why.
pub fn server(files: &TlsFiles) -> Result<Arc<ServerConfig>, Error> {
    let wrong = |path: &Path, why: &dyn std::fmt::Display| Error::Usage(format!("{}: {why}", path.display()));
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Failed(error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| wrong(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| wrong(path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    // The parser's error could repeat a piece of the key.
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|_| wrong(&files.key, &"no private key in PEM form"))?;
    let config = builder
        .with_single_cert(certificates(&files.cert)?, key)
        .map_err(|error| wrong(&files.cert, &format!("with {}: {error}", files.key.display())))?;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |why: String| Error::Usage(format!("{}: {why}", path.display()));
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(error.to_string()))?;
    if certificates.is_empty() {
        return Err(wrong("no certificate in PEM form".to_owned()));
    }
    Ok(certificates)
}
