//! The reason why a proxy refused a tunnel to the service.

use reqwest::Method;
use reqwest::header::{HeaderMap, PROXY_AUTHENTICATE};
use tokio::time::timeout;

use super::proxy::UsedProxy;
use super::transport_error::causes;
use super::{Endpoint, HttpClient, Url};
use crate::error::{ConnectCause, Delivery, Error, Kind};

/// A proxy's refusal. hyper-util gives one of the texts of `TunnelError`, a type that it does not
/// export.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Status 407.
    LoginWanted,
    /// Another status than 200, or what is not HTTP.
    Other,
}

/// Returns the proxy's refusal, if the error is one.
pub(super) fn refusal(error: &reqwest::Error) -> Option<Refusal> {
    causes(error).find_map(|cause| match cause.to_string().as_str() {
        "tunnel error: proxy authorization required" => Some(Refusal::LoginWanted),
        "tunnel error: unsuccessful" => Some(Refusal::Other),
        _ => None,
    })
}

impl Endpoint {
    /// Returns the error of a refused tunnel. Sends CONNECT once more, because hyper-util hides the
    /// status; nothing of a call is in this request. A login that failed is not sent again: a few more
    /// would lock the account.
    pub(super) async fn refused_tunnel(&self, refusal: Refusal, http: &HttpClient) -> Error {
        let Some(used) = &self.proxy else { return Error::internal("a tunnel without a proxy") };
        if refusal == Refusal::LoginWanted && used.has_login {
            return self.login_wanted(&HeaderMap::new());
        }
        let host = self.url.host_str().unwrap_or_default();
        let port = self.url.port_or_known_default().unwrap_or_default();
        let target = Url::parse(&format!("http://{host}:{port}/")).expect("the host of a URL");
        let asking = http.request(Method::CONNECT, target).send();
        let problem = match timeout(self.connect_timeout, asking).await {
            Ok(Ok(response)) if response.status() == 407 => {
                return self.login_wanted(response.headers());
            }
            Ok(Ok(response)) if !response.status().is_success() => {
                let status = response.status().as_u16();
                let advice = match status {
                    300..=399 => "it may want a sign-in first",
                    500..=599 => {
                        "it found no way to the host: check base_url, or ask its administrator"
                    }
                    _ => "ask its administrator to allow this host",
                };
                format!("it refused the tunnel with HTTP {status}; {advice}")
            }
            Ok(Err(error)) if error.is_request() && !error.is_connect() => {
                "its response is not HTTP; check its host and port, and whether it is https://"
                    .to_owned()
            }
            _ => "it refused the tunnel; ask its administrator to allow this host".to_owned(),
        };
        let host = self.url.authority();
        let message = format!("no connection to {host} through {}: {problem}", used.name());
        Error::new(Kind::Connect, Delivery::NotSent, message).at_proxy()
    }

    /// Returns the error of a response with status 407.
    pub(super) fn login_wanted(&self, headers: &HeaderMap) -> Error {
        let name = self.proxy.as_ref().map_or_else(|| "the proxy".to_owned(), UsedProxy::name);
        let has_login = self.proxy.as_ref().is_some_and(|used| used.has_login);
        let schemes = schemes(headers);
        let problem = if !schemes.is_empty() && !schemes.iter().any(|it| it == "basic") {
            format!(
                "asks for a login by {} (HTTP 407), and only Basic is supported; use a proxy on \
                 this machine that adds the login",
                schemes.join(" or ")
            )
        } else if has_login {
            "does not accept this user name and password, or not by Basic (HTTP 407)".to_owned()
        } else {
            "asks for a user name and a password (HTTP 407); give http://user:password@host:port"
                .to_owned()
        };
        let error = Error::new(Kind::Connect, Delivery::NotSent, format!("{name} {problem}"));
        error.with_connect_cause(Some(ConnectCause::LoginWanted)).at_proxy()
    }

    /// Returns whether a response with this status is that of the proxy, which passed nothing on. What
    /// comes through a tunnel does not come from the proxy.
    pub(super) fn is_login_wanted(&self, status: u16) -> bool {
        status == 407 && self.proxy.is_some() && !self.is_https()
    }
}

/// Returns the names of the ways to log in that a proxy offers, in lower case.
fn schemes(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(PROXY_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let names = values.filter_map(|value| value.split_whitespace().next());
    let is_name =
        |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    names.filter(is_name).map(str::to_ascii_lowercase).collect()
}
