//! TLS by rustls: which certificates are trusted, which sessions are resumed, and what to advise
//! after a certificate was not accepted.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use reqwest::ClientBuilder;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, InvalidMessage, NamedGroup, RootCertStore,
};

use crate::environment::Source;
use crate::error::{ConnectCause, Error};
use crate::http::certificates;

/// TLS sessions kept for resumption; all are with one server, or with it and a proxy.
const MAX_SESSIONS: usize = 8;

/// The TLS settings of a client, made once and shared by its connections.
pub(crate) struct Tls(ClientConfig);

impl Tls {
    /// Trusts the certificates of `ca_file` and the operating system's, if a connection is `secured`.
    ///
    /// A plain call needs none, and loading them takes longer than the call. A file that the program
    /// itself names must be usable all the same.
    pub(crate) fn new(ca_file: (Option<&Path>, Source), secured: bool) -> Result<Self, Error> {
        let roots = match ca_file {
            (path, source) if secured => certificates::trusted(path, source)?,
            (Some(path), Source::Option) => {
                certificates::of_ca_file(path, Source::Option)?;
                RootCertStore::empty()
            }
            _ => RootCertStore::empty(),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::internal)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Tls(config))
    }

    /// Adds the settings to a connection. It counts in `handshakes` each handshake that starts.
    pub(crate) fn set_up(
        &self,
        http: ClientBuilder,
        sessions: &Sessions,
        handshakes: Arc<AtomicU8>,
    ) -> ClientBuilder {
        let mut config = self.0.clone();
        let sessions = ConnectionSessions { shared: sessions.0.clone(), handshakes };
        config.resumption = Resumption::store(Arc::new(sessions));
        http.tls_backend_preconfigured(config)
    }
}

/// Returns why a certificate was not accepted, what to do, and the check that failed. `address` is the
/// option or the variable that names the server.
pub(crate) fn bad_certificate(
    error: &rustls::Error,
    address: &str,
) -> Option<(ConnectCause, String, String)> {
    use CertificateError::*;
    let rustls::Error::InvalidCertificate(problem) = error else { return None };
    // Some have their fields in braces, such as every algorithm that rustls knows.
    let shown = problem.to_string().split(" {").next().unwrap_or_default().to_owned();
    let (cause, advice) = match problem {
        UnknownIssuer => (
            ConnectCause::UnknownIssuer,
            "its issuer is not trusted: if you trust it, give the issuer's certificate as ca_file",
        ),
        NotValidForName | NotValidForNameContext { .. } => {
            let advice = format!("it belongs to another host: check {address}");
            return Some((ConnectCause::OtherHost, advice, shown));
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
    Some((cause, advice.to_owned(), shown))
}

/// Returns whether the server responded with something other than TLS.
pub(crate) fn is_not_tls(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType))
}

/// Returns whether the server ended the connection because it got no certificate from the client.
pub(crate) fn wants_client_certificate(error: &rustls::Error) -> bool {
    matches!(error, rustls::Error::AlertReceived(AlertDescription::CertificateRequired))
}

/// The TLS sessions that the connections of a process may resume.
pub(crate) struct Sessions(Arc<ClientSessionMemoryCache>);

impl Sessions {
    pub(crate) fn new() -> Self {
        Sessions(Arc::new(ClientSessionMemoryCache::new(MAX_SESSIONS)))
    }
}

/// The sessions as one connection uses them. rustls asks for a session when a handshake starts, so
/// this also counts handshakes: a connection that fails after that, even without a message, failed in
/// TLS. If the proxy speaks TLS too, its handshake is the first.
#[derive(Debug)]
struct ConnectionSessions {
    shared: Arc<ClientSessionMemoryCache>,
    handshakes: Arc<AtomicU8>,
}

impl ClientSessionStore for ConnectionSessions {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.shared.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
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
