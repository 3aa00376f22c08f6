//! Whom to trust: the operating system's roots, and a CA file beside them.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::Error;

/// The TLS settings of a client, made once and shared by its lanes.
pub(crate) fn configure(ca_file: Option<&Path>, secure: bool) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        add_file(&mut roots, path)?;
    }
    // A plain call needs no roots, and loading them takes longer than the call.
    if secure {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            let causes: Vec<_> = system.errors.iter().map(ToString::to_string).collect();
            let problem = format!(
                "no root certificates on this system; install its ca-certificates, or give a \
                 ca_file ({})",
                causes.join("; ")
            );
            return Err(Error::configuration("ca_file", problem));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let shown = path.display();
    let bad = |problem: String| Error::configuration("ca_file", format!("{shown}{problem}"));
    let pem = std::fs::read(path).map_err(|e| bad(format!(": {e}")))?;
    let before = roots.len();
    for (at, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let line = line_of_certificate(&pem, at);
        let certificate = certificate.map_err(|e| bad(format!(", line {line}: {e}")))?;
        roots.add(certificate).map_err(|e| bad(format!(", line {line}: {e}")))?;
    }
    if roots.len() == before {
        return Err(bad(", line 1: holds no certificate in PEM form".to_owned()));
    }
    Ok(())
}

/// The line on which the certificate of that number begins, counted from 1.
fn line_of_certificate(pem: &[u8], number: usize) -> usize {
    let begins = |line: &&[u8]| line.starts_with(b"-----BEGIN CERTIFICATE");
    let mut lines = pem.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| begins(line));
    lines.nth(number).map_or(1, |(line, _)| line + 1)
}
