//! Whom to trust: the operating system's roots, and a CA file beside them; and what a handshake
//! that failed means. With rustls, or with the system's own TLS under the feature `native-tls`.

#[cfg(target_vendor = "apple")]
use std::env;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_native_certs::CertificateResult;

use crate::error::Error;
use crate::sys::privileges;

#[cfg(feature = "native-tls")]
pub(crate) use native::*;
#[cfg(not(feature = "native-tls"))]
pub(crate) use with_rustls::*;

/// The certificates of a PEM file, at least one.
fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let shown = path.display();
    let bad = |problem: String| Error::configuration("ca_file", format!("{shown}{problem}"));
    let pem = std::fs::read(path).map_err(|e| bad(format!(": {e}")))?;
    let mut certificates = Vec::new();
    for (at, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
        let usable = |der: &CertificateDer| RootCertStore::empty().add(der.clone()).is_ok();
        match certificate.ok().filter(usable) {
            Some(certificate) => certificates.push(certificate),
            None => {
                let line = line_of_certificate(&pem, at);
                return Err(bad(format!(", line {line}: this is not a whole certificate")));
            }
        }
    }
    if certificates.is_empty() {
        return Err(bad(", line 1: holds no certificate in PEM form".to_owned()));
    }
    Ok(certificates)
}

/// The line on which the certificate of that number begins, counted from 1.
fn line_of_certificate(pem: &[u8], number: usize) -> usize {
    let begins = |line: &&[u8]| line.starts_with(b"-----BEGIN CERTIFICATE");
    let mut lines = pem.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| begins(line));
    lines.nth(number).map_or(1, |(line, _)| line + 1)
}

/// The system's certificates where a variable must not replace them, as the caller of a program with
/// raised privileges could do; nothing in an ordinary program.
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

/// None at all if a variable would replace them: nothing reads the keychain without it.
#[cfg(target_vendor = "apple")]
fn roots_despite_environment() -> Option<CertificateResult> {
    let replaced = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| env::var_os(name).is_some());
    (privileges::raised() && replaced).then(CertificateResult::default)
}

#[cfg(not(unix))]
fn roots_despite_environment() -> Option<CertificateResult> {
    None
}

const UNKNOWN_ISSUER: &str =
    "its issuer is not trusted: if you trust it, give the issuer's certificate as ca_file";
const OTHER_HOST: &str = "it belongs to another host: check base_url";
const EXPIRED: &str =
    "it has expired: the server needs a new one, or this machine's clock is wrong";
const NOT_YET_VALID: &str =
    "it is not valid yet: the server needs another one, or this machine's clock is wrong";
const NOT_ACCEPTABLE: &str = "it is not acceptable: the server needs another one";

#[cfg(not(feature = "native-tls"))]
mod with_rustls {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use reqwest::ClientBuilder;
    use rustls::client::{
        ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
        Tls13ClientSessionValue,
    };
    use rustls::pki_types::ServerName;
    use rustls::{CertificateError, ClientConfig, NamedGroup, RootCertStore};

    use crate::error::{Error, find};

    /// TLS sessions kept for resumption; all are with one server, or with it and a proxy.
    const SESSIONS_KEPT: usize = 8;

    /// The TLS settings of a client, made once and shared by its connections.
    pub(crate) struct Tls(ClientConfig);

    impl Tls {
        pub(crate) fn new(ca_file: Option<&Path>, secure: bool) -> Result<Self, Error> {
            let mut roots = RootCertStore::empty();
            if let Some(path) = ca_file {
                roots.add_parsable_certificates(super::read_ca_file(path)?);
            }
            // A plain call needs no roots, and loading them takes longer than the call.
            if secure {
                let system = super::roots_despite_environment()
                    .unwrap_or_else(rustls_native_certs::load_native_certs);
                roots.add_parsable_certificates(system.certs);
                if roots.is_empty() {
                    let causes: Vec<_> = system.errors.iter().map(ToString::to_string).collect();
                    let problem = format!(
                        "no root certificates on this system; install its ca-certificates, or \
                         give a ca_file ({})",
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

        /// Sets `handshaking` when a handshake begins.
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

    /// What to do about a certificate that was not accepted, and which check failed.
    pub(crate) fn bad_certificate(error: &reqwest::Error) -> Option<(&'static str, String)> {
        use CertificateError::*;
        let Some(rustls::Error::InvalidCertificate(problem)) = find(error) else { return None };
        let advice = match problem {
            UnknownIssuer => super::UNKNOWN_ISSUER,
            NotValidForName | NotValidForNameContext { .. } => super::OTHER_HOST,
            Expired | ExpiredContext { .. } => super::EXPIRED,
            NotValidYet | NotValidYetContext { .. } => super::NOT_YET_VALID,
            _ => super::NOT_ACCEPTABLE,
        };
        Some((advice, problem.to_string()))
    }

    /// Whether a connection failed in TLS.
    pub(crate) fn is_tls(_: &reqwest::Error, handshaking: bool) -> bool {
        handshaking
    }

    /// The TLS sessions that the connections of a process may resume.
    pub(crate) struct Sessions(Arc<ClientSessionMemoryCache>);

    impl Sessions {
        pub(crate) fn new() -> Self {
            Sessions(Arc::new(ClientSessionMemoryCache::new(SESSIONS_KEPT)))
        }
    }

    /// Those sessions, seen from one connection. Asking for one is the first thing that a handshake does,
    /// so this is also where its beginning is seen: a connection that fails after that, even in
    /// silence, failed in TLS.
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

        fn take_tls13_ticket(
            &self,
            server: &ServerName<'static>,
        ) -> Option<Tls13ClientSessionValue> {
            self.shared.take_tls13_ticket(server)
        }
    }
}

#[cfg(feature = "native-tls")]
mod native {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use reqwest::{Certificate, ClientBuilder};

    use crate::error::{Error, causes};

    /// What a client trusts beside the system's roots, which the system's own TLS knows, or in place of
    /// what that would find.
    pub(crate) struct Tls {
        certificates: Vec<Certificate>,
        alone: bool,
    }

    impl Tls {
        pub(crate) fn new(ca_file: Option<&Path>, _: bool) -> Result<Self, Error> {
            let mut certificates =
                ca_file.map(super::read_ca_file).transpose()?.unwrap_or_default();
            let roots = super::roots_despite_environment();
            let alone = roots.is_some();
            certificates.extend(roots.unwrap_or_default().certs);
            let usable = certificates.iter().map(|der| Certificate::from_der(der));
            let certificates = usable.collect::<Result<_, _>>().map_err(Error::internal)?;
            Ok(Tls { certificates, alone })
        }

        pub(crate) fn set_up(
            &self,
            http: ClientBuilder,
            _: &Sessions,
            _: Arc<AtomicBool>,
        ) -> ClientBuilder {
            let (http, certificates) =
                (http.tls_backend_native(), self.certificates.iter().cloned());
            match self.alone {
                true => http.tls_certs_only(certificates),
                false => http.tls_certs_merge(certificates),
            }
        }
    }

    /// What to do about a certificate that was not accepted, and which check failed.
    pub(crate) fn bad_certificate(error: &reqwest::Error) -> Option<(&'static str, String)> {
        let mut texts = causes(error).map(ToString::to_string);
        let problem = texts.find(|text| text.contains("certificate verify failed"))?;
        let advice = match &*problem {
            text if text.contains("issuer") || text.contains("self") => super::UNKNOWN_ISSUER,
            text if text.contains("mismatch") => super::OTHER_HOST,
            text if text.contains("has expired") => super::EXPIRED,
            text if text.contains("not yet valid") => super::NOT_YET_VALID,
            _ => super::NOT_ACCEPTABLE,
        };
        Some((advice, problem))
    }

    /// Whether a connection failed in TLS: what fails earlier says where. A handshake that stalls
    /// cannot be told from a connection that does.
    pub(crate) fn is_tls(error: &reqwest::Error, _: bool) -> bool {
        let earlier = |text: &str| text.ends_with("connect error") || text.contains("dns error");
        let timeout = error.is_timeout();
        !timeout
            && !causes(error).any(|e| earlier(&e.to_string()) || e.to_string().contains("tunnel"))
    }

    /// The system's TLS keeps its sessions itself.
    pub(crate) struct Sessions;

    impl Sessions {
        pub(crate) fn new() -> Self {
            Sessions
        }
    }
}
