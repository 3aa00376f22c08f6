//! Addresses of the service and of proxies.

use std::net::IpAddr;

use super::Url;

/// Parses an `http://` or `https://` address. The problem does not repeat the address, which may
/// hold a password.
pub(crate) fn parse(text: &str) -> Result<Url, String> {
    refuse_quotation_marks(text)?;
    // The parser would drop line breaks and trim spaces in silence.
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must not hold white space or control characters".to_owned());
    }
    let url = Url::parse(text)
        .map_err(|e| format!("must be https://host[:port]; this is not a URL ({e})"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.port() == Some(0) {
        return Err("must be https://host[:port] or http://host[:port]".to_owned());
    }
    Ok(url)
}

/// Refuses an address in quotation marks, as `set NAME="…"` of Windows' shell leaves them.
pub(crate) fn refuse_quotation_marks(text: &str) -> Result<(), String> {
    if text.starts_with(['"', '\'']) || text.ends_with(['"', '\'']) {
        return Err("begins or ends with a quotation mark; remove it".to_owned());
    }
    Ok(())
}

/// Returns whether the host is this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}
