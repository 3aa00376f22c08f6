//! The meaning of a failure below HTTP.

use std::error::Error as StdError;
use std::io;
use std::iter;

use crate::call::CallState;
use crate::error::{ConnectCause, Delivery, Error, Kind};
use crate::http::proxy::UsedProxy;
use crate::http::{Endpoint, tls};
use crate::redact::redacted_line;
use crate::sys::descriptors;
use crate::sys::threads::NoThread;

const MORE_DESCRIPTORS: &str =
    "; raise this process's limit of open files, or make fewer calls at once";
const MORE_THREADS: &str = "; raise the limit of threads of this user or container";

impl Endpoint {
    /// Returns the error of an attempt that failed without a whole response.
    pub(super) fn transport_error(&self, error: &reqwest::Error, state: &CallState<'_>) -> Error {
        if error.is_connect() {
            return self.connect_error(error, state);
        }
        let causes = chain(error);
        let host = self.url.authority();
        // An alert, or bytes that do not decrypt, come as an InvalidData too.
        let tls_error = find::<rustls::Error>(error);
        // On a reused connection such bytes may belong to the response before.
        let unsolicited = !state.reused_connection && is_unexpected_message(error);
        let breaks_http = unsolicited
            || find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse)
            || find::<io::Error>(error).is_some_and(|e| {
                matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
            });
        if breaks_http && tls_error.is_none() {
            let advice = match (self.is_https(), &self.proxy) {
                (true, _) => String::new(),
                (false, None) => "; if this port speaks TLS, give an https:// base_url".to_owned(),
                (false, Some(used)) => format!("; check {}", used.name()),
            };
            return Error::response(
                format_args!("it is not HTTP/1.1 ({causes}){advice}"),
                String::new(),
            );
        }
        let advice = if tls_error.is_some_and(tls::wants_client_certificate) {
            "; the server asks for a client's certificate, which this library does not send"
        } else {
            ""
        };
        let message = format!(
            "the connection to {host} was lost before the whole response: {causes}{advice}"
        );
        Error::new(Kind::Lost, state.current_delivery(), message)
    }

    fn connect_error(&self, error: &reqwest::Error, state: &CallState<'_>) -> Error {
        let host = self.url.authority();
        // With a proxy, the last handshake is that with the service. A plain call has none with it.
        let secured = [self.proxy.as_ref().is_some_and(|used| used.is_https), self.is_https()];
        let all_handshakes = secured.iter().filter(|it| **it).count();
        let handshakes = usize::from(state.handshakes());
        let with_service = self.is_https() && handshakes == all_handshakes;
        let failed_proxy = self.proxy.as_ref().filter(|_| !with_service);
        let tls_error = find::<rustls::Error>(error);
        let at = |error: Error| if failed_proxy.is_some() { error.at_proxy() } else { error };
        let address = failed_proxy.map_or("base_url", UsedProxy::named_by);
        let bad_certificate = tls_error.and_then(|error| tls::bad_certificate(error, address));
        if let Some((cause, advice, problem)) = bad_certificate {
            let server = failed_proxy.map_or_else(|| host.to_owned(), UsedProxy::name);
            let message =
                format!("the certificate of {server} was not accepted, {advice} ({problem})");
            let error = Error::new(Kind::Tls, Delivery::NotSent, message);
            return at(error.with_connect_cause(Some(cause)));
        }
        let proxy = self.proxy.as_ref().map(|used| format!(" through {}", used.name()));
        let proxy = proxy.unwrap_or_default();
        let (kind, what) = if with_service || tls_error.is_some() {
            (Kind::Tls, "no secure connection to")
        } else {
            (Kind::Connect, "no connection to")
        };
        let problem = if error.is_timeout() {
            format!(" within {} s", self.connect_timeout.as_secs_f64())
        } else {
            format!(": {}", chain(error))
        };
        let cause = connect_cause(error);
        let advice = match (cause, tls_error.is_some_and(tls::is_not_tls), failed_proxy) {
            (Some(ConnectCause::NoDescriptor), ..) => MORE_DESCRIPTORS,
            (Some(ConnectCause::NoThread), ..) => MORE_THREADS,
            (_, true, None) => {
                "; the server there does not speak TLS: check the port of base_url, or whether it is http://"
            }
            (_, true, Some(_)) => "; the proxy does not speak TLS: its address begins with http://",
            (_, false, _) => "; check that this machine is online, the proxy and base_url",
        };
        let message = format!("{what} {host}{proxy}{problem}{advice}");
        at(Error::new(kind, Delivery::NotSent, message).with_connect_cause(cause))
    }
}

/// Returns whether bytes came before the request was sent. hyper has no method for this kind of
/// error; it is the only one of HTTP/1.1 that has neither a method nor a source.
fn is_unexpected_message(error: &reqwest::Error) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(|error| {
        let is_other_kind = error.is_parse()
            || error.is_user()
            || error.is_canceled()
            || error.is_closed()
            || error.is_incomplete_message()
            || error.is_shutdown()
            || error.is_timeout();
        !is_other_kind && error.source().is_none()
    })
}

fn connect_cause(error: &reqwest::Error) -> Option<ConnectCause> {
    if find(error).is_some_and(tls::is_not_tls) {
        return Some(ConnectCause::NotTls);
    }
    if find::<NoThread>(error).is_some() {
        return Some(ConnectCause::NoThread);
    }
    let io_errors = || causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    if io_errors().any(descriptors::is_lack) {
        return Some(ConnectCause::NoDescriptor);
    }
    let refused = io_errors().any(|io| io.kind() == io::ErrorKind::ConnectionRefused);
    refused.then_some(ConnectCause::Refused)
}

/// Returns the error of a call for which this machine lacks something, such as a file descriptor.
pub(crate) fn could_not_prepare(problem: impl StdError + 'static) -> Error {
    let as_error: &(dyn StdError + 'static) = &problem;
    let (cause, advice) = match as_error.downcast_ref::<io::Error>() {
        Some(io) if descriptors::is_lack(io) => {
            (Some(ConnectCause::NoDescriptor), MORE_DESCRIPTORS)
        }
        Some(io) if io.get_ref().is_some_and(|wrapped| wrapped.is::<NoThread>()) => {
            (Some(ConnectCause::NoThread), MORE_THREADS)
        }
        _ => (None, ""),
    };
    let message = format!("could not prepare a connection: {problem}{advice}");
    Error::new(Kind::Connect, Delivery::NotSent, message).with_connect_cause(cause)
}

/// Returns an error and its causes, outermost first.
pub(super) fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    iter::successors(Some(error as &(dyn StdError + 'static)), |&error| {
        // As a source, an io::Error skips the error that it wraps.
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        }
    })
}

fn find<E: StdError + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Returns the causes on one line, without the outermost, which only say that a request failed.
fn chain(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
    texts.dedup();
    texts.retain(|text| !text.starts_with("client error ("));
    redacted_line(&texts.join(": "), &[])
}
