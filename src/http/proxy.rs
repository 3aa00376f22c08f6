//! The proxy between this machine and the service.

use std::fmt;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Proxy;

use super::Url;
use super::address;
use crate::environment::{self, Source};
use crate::error::Error;

/// A proxy's address, which may hold a password.
#[derive(Clone)]
pub(crate) struct ProxyUrl(Url);

/// The proxy that calls go through.
pub(crate) struct UsedProxy {
    pub(crate) proxy: Proxy,
    /// Its host and port, which may be shown.
    pub(crate) shown: String,
    pub(crate) source: Source,
}

impl ProxyUrl {
    /// Parses `http://[user:password@]host:port` or `https://…`; without a scheme it is `http://`.
    pub(crate) fn parse(text: &str, source: Source) -> Result<Self, Error> {
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        address::parse(&text).map(ProxyUrl).map_err(|problem| unusable(source, problem))
    }
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl UsedProxy {
    /// Returns the proxy for calls to `url`: the one that is set, else the one of a variable.
    pub(crate) fn find(
        url: &Url,
        set: Option<&ProxyUrl>,
        trust_env: bool,
        allow_http: bool,
    ) -> Result<Option<Self>, Error> {
        let (ProxyUrl(proxy), source) = match set {
            Some(proxy) => (proxy.clone(), Source::Option),
            None if !trust_env || !environment::is_trusted() => return Ok(None),
            None => match variable_for(url) {
                Some((name, text)) => {
                    let source = Source::Variable(name);
                    (ProxyUrl::parse(&text, source)?, source)
                }
                None => return Ok(None),
            },
        };
        if url.scheme() == "http" && !allow_http && !address::is_loopback(&proxy) {
            let problem = "this proxy would read the keys of a plain http:// call; exempt the host \
                           by NO_PROXY, or set allow_http";
            return Err(unusable(source, problem));
        }
        let port = proxy.port_or_known_default().unwrap_or_default();
        let shown = format!("{}:{port}", proxy.host_str().unwrap_or_default());
        let proxy = Proxy::all(proxy).map_err(|_| unusable(source, "is not usable as a proxy"))?;
        Ok(Some(UsedProxy { proxy, shown, source }))
    }

    /// Returns the option or the variable that names the proxy.
    pub(crate) fn named_by(&self) -> &'static str {
        self.source.variable().unwrap_or("proxy")
    }
}

/// Returns the variable that names the proxy for `url`, unless `NO_PROXY` exempts its host.
fn variable_for(url: &Url) -> Option<(&'static str, String)> {
    let found = environment::proxy_variable(url.scheme())?;
    let any = Matcher::builder().all("http://localhost").no(environment::no_proxy()).build();
    any.intercept(&url.as_str().parse().ok()?)?;
    Some(found)
}

fn unusable(source: Source, problem: impl fmt::Display) -> Error {
    match source {
        Source::Variable(name) => Error::unusable_variable(name, "proxy", problem),
        Source::Default | Source::Option => Error::configuration("proxy", problem),
    }
}

#[cfg(test)]
mod tests;
