//! HTTP by reqwest. No module outside of this folder names reqwest.

pub(crate) mod address;
mod certificates;
pub(crate) mod connection;
mod descriptor_wait;
mod exchange;
mod lookup;
mod no_proxy;
pub(crate) mod pool;
pub(crate) mod proxy;
mod response_headers;
mod system_proxy;
pub(crate) mod tls;
pub(crate) mod transport_error;
mod tunnel;

use std::time::Duration;

pub(crate) use exchange::headers;
pub(crate) use reqwest::{Client as HttpClient, Url};

use reqwest::header::HeaderMap;

use crate::http::proxy::UsedProxy;
use crate::http::tls::Tls;

/// The service's URL, and the settings of each connection to it.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    pub(crate) connect_timeout: Duration,
    pub(crate) proxy: Option<UsedProxy>,
    pub(crate) tls: Tls,
    /// The headers of each request, beside the length of its body.
    pub(crate) headers: HeaderMap,
}

impl Endpoint {
    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Returns whether the host that connections lead to, the proxy or the service, is named by its IP
    /// address.
    fn connects_to_ip_address(&self) -> bool {
        self.proxy.as_ref().map_or(self.url.domain().is_none(), |used| used.is_ip_address)
    }
}
