//! Whom to trust: the operating system's roots, and a CA file beside them; and what a handshake
//! that failed means.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, NamedGroup, RootCertStore};

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
        let broken = || bad(format!(", line {line}: this is not a whole certificate"));
        roots.add(certificate.map_err(|_| broken())?).map_err(|_| broken())?;
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

/// Which check of a certificate failed, and what to do about it.
pub(crate) fn advice(error: &CertificateError) -> &'static str {
    use CertificateError::*;
    match error {
        UnknownIssuer => {
            "its issuer is not trusted: if you trust it, give the issuer's certificate as ca_file"
        }
        NotValidForName | NotValidForNameContext { .. } => {
            "it belongs to another host: check base_url"
        }
        Expired | ExpiredContext { .. } => {
            "it has expired: the server needs a new one, or this machine's clock is wrong"
        }
        NotValidYet | NotValidYetContext { .. } => {
            "it is not valid yet: the server needs another one, or this machine's clock is wrong"
        }
        _ => "it is not acceptable: the server needs another one",
    }
}

/// The TLS sessions that a lane may resume, shared with other lanes. Asking for one is the first
/// thing that a handshake does, so this is also where its beginning is seen: a connection that
/// fails after that, even in silence, failed in TLS.
#[derive(Debug)]
struct Sessions {
    shared: Arc<dyn ClientSessionStore>,
    handshaking: Arc<AtomicBool>,
}

/// Resumes what `shared` holds, and sets `handshaking` when a handshake begins.
pub(crate) fn resume(
    shared: Arc<dyn ClientSessionStore>,
    handshaking: Arc<AtomicBool>,
) -> Resumption {
    Resumption::store(Arc::new(Sessions { shared, handshaking }))
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.shared.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.handshaking.store(true, Ordering::Relaxed);
        self.shared.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.shared.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.shared.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.shared.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.shared.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.shared.take_tls13_ticket(server)
    }
}
