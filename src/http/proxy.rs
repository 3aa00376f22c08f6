//! The proxy between this machine and the service.

use std::fmt;

use reqwest::Proxy;

use super::{Url, address, no_proxy, system_proxy};
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
    /// True if the connection to the proxy itself is secured by TLS.
    pub(crate) is_https: bool,
    /// True if its host is an IP address.
    pub(super) is_ip_address: bool,
    pub(crate) has_login: bool,
}

impl ProxyUrl {
    /// Parses `http://[user:password@]host:port` or `https://…`; without a scheme it is `http://`.
    pub(crate) fn parse(text: &str, source: Source) -> Result<Self, Error> {
        parse(text).map(ProxyUrl).map_err(|problem| unusable(source, problem))
    }
}

/// Parses a proxy's address. The problem does not repeat it.
fn parse(text: &str) -> Result<Url, String> {
    address::refuse_quotation_marks(text)?;
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            (scheme, rest)
        }
        _ => ("http", text),
    };
    // The parser would take the password before such a character for the host, and look it up.
    let login = rest.rsplit_once('@').map_or("", |(login, _)| login);
    if login.contains(|c: char| matches!(c, '/' | '#' | '?' | '\\') || c.is_whitespace()) {
        return Err("the user name or the password holds a character that must be \
                    percent-encoded: write / as %2F, # as %23, ? as %3F, \\ as %5C, a space as %20"
            .to_owned());
    }
    if scheme.to_ascii_lowercase().starts_with("socks") {
        return Err("SOCKS is not supported; give an HTTP proxy, http://host:port".to_owned());
    }
    let url = address::parse(&format!("{scheme}://{rest}"))?;
    if url.path().ends_with(".pac") || url.path().ends_with("/wpad.dat") {
        return Err("is the address of a PAC file, which is not read; give the proxy that it \
                    names, http://host:port"
            .to_owned());
    }
    Ok(url)
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl UsedProxy {
    /// Returns the proxy for calls to `url`: the one that is set, else the one of a
    /// variable, else the one of the system's settings.
    pub(crate) fn find(
        url: &Url,
        set: Option<&ProxyUrl>,
        trust_env: bool,
        allow_http: bool,
    ) -> Result<Option<Self>, Error> {
        let (ProxyUrl(proxy), source) = match set {
            Some(proxy) => (proxy.clone(), Source::Option),
            None if !trust_env || !environment::is_trusted() => return Ok(None),
            None => match named_for(url) {
                Some((text, source)) => (ProxyUrl::parse(&text, source)?, source),
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
        let is_https = proxy.scheme() == "https";
        let is_ip_address = proxy.domain().is_none();
        let has_login = !proxy.username().is_empty() || proxy.password().is_some();
        let proxy = Proxy::all(proxy).map_err(|_| unusable(source, "is not usable as a proxy"))?;
        Ok(Some(UsedProxy { proxy, shown, source, is_https, is_ip_address, has_login }))
    }

    /// Returns the option or the variable that names the proxy.
    pub(crate) fn named_by(&self) -> &'static str {
        match self.source {
            Source::Variable(name) => name,
            Source::System => "the system's settings",
            Source::Default | Source::Option => "proxy",
        }
    }

    /// Returns the name of the proxy in messages.
    pub(crate) fn name(&self) -> String {
        format!("the proxy {} ({})", self.shown, self.named_by())
    }
}

/// Returns the proxy for `url` that a variable or the system names, unless `NO_PROXY` exempts the host.
fn named_for(url: &Url) -> Option<(String, Source)> {
    if no_proxy::exempts(&environment::no_proxy(), url) {
        return None;
    }
    match environment::proxy_variable(url.scheme()) {
        Some((name, text)) => Some((text, Source::Variable(name))),
        None => system_proxy::find(url).map(|text| (text, Source::System)),
    }
}

fn unusable(source: Source, problem: impl fmt::Display) -> Error {
    match source {
        Source::Variable(name) => Error::unusable_variable(name, "proxy", problem),
        _ => Error::configuration("proxy", problem).read_from(source),
    }
}

#[cfg(test)]
mod tests;
