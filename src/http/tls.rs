//! TLS by rustls: which certificates are trusted, which sessions are resumed, and what to advise
//! after a certificate was not accepted.

#[cfg(target_vendor = "apple")]
use std::env;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::ClientBuilder;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, InvalidMessage, NamedGroup, RootCertStore};
use rustls_native_certs::CertificateResult;

use crate::error::{ConnectCause, Error};
#[cfg(unix)]
use crate::sys::privileges;

/// TLS sessions kept for resumption; all are with one server, or with it and a proxy.
const MAX_SESSIONS: usize = 8;

/// The TLS settings of a client, made once and shared by its connections.
pub(crate) struct Tls(ClientConfig);

impl Tls {
    /// Trusts the certificates of `ca_file` and, if the URL is `secure`, the operating system's.
    pub(crate) fn new(ca_file: Option<&Path>, secure: bool) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = ca_file {
            roots.add_parsable_certificates(read_ca_file(path)?);
        }
        // A plain call needs no roots, and loading them takes longer than the call.
        if secure {
            let system =
                roots_despite_environment().unwrap_or_else(rustls_native_certs::load_native_certs);
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
        Ok(Tls(config))
    }

    /// Adds the settings to a connection. It sets `handshaking` when a handshake starts.
    pub(crate) fn set_up(
        &self,
        http: ClientBuilder,
        sessions: &Sessions,
        handshaking: Arc<AtomicBool>,
    ) -> ClientBuilder {
        let mut config = self.0.clone();
        let sessions = ConnectionSessions { shared: sessions.0.clone(), handshaking };
        config.resumption = Resumption::store(Arc::new(sessions));
        http.tls_backend_preconfigured(config)
    }
}

/// Reads the certificates of a PEM file, at least one.
fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let shown = path.display();
    let bad = |problem: String| Error::configuration("ca_file", format!("{shown}{problem}"));
    let pem = std::fs::read(path).map_err(|e| bad(format!(": {e}")))?;
    let mut certificates = Vec::new();
    for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let usable = |der: &CertificateDer| RootCertStore::empty().add(der.clone()).is_ok();
        match certificate.ok().filter(usable) {
            Some(certificate) => certificates.push(certificate),
            None => {
                let line = line_of_certificate(&pem, index);
                return Err(bad(format!(", line {line}: this is not a whole certificate")));
            }
        }
    }
    if certificates.is_empty() {
        return Err(bad(", line 1: holds no certificate in PEM form".to_owned()));
    }
    Ok(certificates)
}

/// Returns the line, from 1, on which the certificate with this index starts.
fn line_of_certificate(pem: &[u8], index: usize) -> usize {
    let starts = |line: &&[u8]| line.starts_with(b"-----BEGIN CERTIFICATE");
    let mut lines = pem.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| starts(line));
    lines.nth(index).map_or(1, |(line, _)| line + 1)
}

/// Loads the system's certificates without SSL_CERT_FILE and SSL_CERT_DIR in a program with raised
/// privileges, whose caller sets the variables. Returns `None` in an ordinary program.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn roots_despite_environment() -> Option<CertificateResult> {
    if !privileges::raised() {
        return None;
    }
    let mut found = CertificateResult::default();
    for folder in openssl_probe::candidate_cert_dirs() {
        let CertificateResult { certs, errors, .. } =
            rustls_native_certs::load_certs_from_paths(None, Some(folder));
        found.certs.extend(certs);
        found.errors.extend(errors);
    }
    Some(found)
}

/// Returns no certificates at all if a variable would replace them: without the variables nothing
/// here reads the keychain.
#[cfg(target_vendor = "apple")]
fn roots_despite_environment() -> Option<CertificateResult> {
    let replaced = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| env::var_os(name).is_some());
    (privileges::raised() && replaced).then(CertificateResult::default)
}

#[cfg(not(unix))]
fn roots_despite_environment() -> Option<CertificateResult> {
    None
}

/// Returns why a certificate was not accepted, what to do, and the check that failed.
pub(crate) fn bad_certificate(
    error: &rustls::Error,
) -> Option<(ConnectCause, &'static str, String)> {
    use CertificateError::*;
    let rustls::Error::InvalidCertificate(problem) = error else { return None };
    let (cause, advice) = match problem {
        UnknownIssuer => (
            ConnectCause::UnknownIssuer,
            "its issuer is not trusted: if you trust it, give the issuer's certificate as ca_file",
        ),
        NotValidForName | NotValidForNameContext { .. } => {
            (ConnectCause::OtherHost, "it belongs to another host: check base_url")
        }
        Expired | ExpiredContext { .. } => (
            ConnectCause::OutsideValidity,
            "it has expired: the server needs a new one, or this machine's clock is wrong",
        ),
        NotValidYet | NotValidYetContext { .. } => (
            ConnectCause::OutsideValidity,
            "it is not valid yet: the server needs another one, or this machine's clock is wrong",
        ),
        _ => (
            ConnectCause::OtherCertificateProblem,
            "it is not acceptable: the server needs another one",
        ),
    };
    Some((cause, advice, problem.to_string()))
}

/// Returns whether the server responded with something other than TLS.
pub(crate) fn is_not_tls(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType))
}

/// The TLS sessions that the connections of a process may resume.
pub(crate) struct Sessions(Arc<ClientSessionMemoryCache>);

impl Sessions {
    pub(crate) fn new() -> Self {
        Sessions(Arc::new(ClientSessionMemoryCache::new(MAX_SESSIONS)))
    }
}

/// The sessions as one connection uses them. A handshake first asks for a session, so this also
/// sees its start: a connection that fails after that, even without a message, failed in TLS.
#[derive(Debug)]
struct ConnectionSessions {
    shared: Arc<ClientSessionMemoryCache>,
    handshaking: Arc<AtomicBool>,
}

impl ClientSessionStore for ConnectionSessions {
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
