//! The proxy of the operating system's settings, which Windows and macOS have.

use super::Url;
#[cfg(any(windows, test))]
use super::{address, no_proxy};

/// Returns the proxy that Windows' settings name for `url`. A PAC file is not read.
#[cfg(windows)]
pub(super) fn find(url: &Url) -> Option<String> {
    let path = r"Software\Microsoft\Windows\CurrentVersion\Internet Settings";
    let settings = windows_registry::CURRENT_USER.open(path).ok()?;
    if settings.get_u32("ProxyEnable").ok()? == 0 {
        return None;
    }
    let exempt = settings.get_string("ProxyOverride").unwrap_or_default();
    in_windows_settings(&settings.get_string("ProxyServer").ok()?, &exempt, url)
}

/// Returns the proxy that macOS' settings name for `url`. Neither a PAC file nor the list of
/// exceptions is read.
#[cfg(target_os = "macos")]
pub(super) fn find(url: &Url) -> Option<String> {
    if super::address::is_loopback(url) {
        return None;
    }
    // No variable names a proxy for this URL, so this is the system's.
    let settings = hyper_util::client::proxy::matcher::Matcher::from_system();
    Some(settings.intercept(&url.as_str().parse().ok()?)?.uri().to_string())
}

#[cfg(not(any(windows, target_os = "macos")))]
pub(super) fn find(_: &Url) -> Option<String> {
    None
}

/// Returns the proxy of `ProxyServer`, which is `host:port` or `http=host:port;https=host:port`, unless
/// `ProxyOverride` exempts the host. As in Windows itself, this machine is exempt.
///
/// hyper-util reads neither the second form nor `<local>`, a host name without a dot.
#[cfg(any(windows, test))]
fn in_windows_settings(servers: &str, exempt: &str, url: &Url) -> Option<String> {
    let is_local = url.domain().is_some_and(|host| !host.contains('.'))
        && no_proxy::entries(exempt).any(|entry| entry.eq_ignore_ascii_case("<local>"));
    if address::is_loopback(url) || is_local || no_proxy::exempts(exempt, url) {
        return None;
    }
    let servers = servers.split(|c: char| c == ';' || c.is_whitespace());
    let for_url = |server: &str| match server.split_once('=') {
        Some((scheme, server)) => {
            scheme.eq_ignore_ascii_case(url.scheme()).then(|| server.to_owned())
        }
        None => Some(server.to_owned()),
    };
    servers
        .filter(|server| !server.is_empty())
        .find_map(for_url)
        .filter(|server| !server.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(servers: &str, exempt: &str, url: &str) -> Option<String> {
        in_windows_settings(servers, exempt, &Url::parse(url).unwrap())
    }

    #[test]
    fn the_settings_of_windows_name_one_proxy_or_one_for_each_scheme() {
        let (https, http) = ("https://service.example", "http://service.example");
        let each = "http=one:80;https=two:81;ftp=three:82;socks=four:83";
        for (servers, url, expected) in [
            ("proxy:3128", https, Some("proxy:3128")),
            ("http://proxy:3128", http, Some("http://proxy:3128")),
            (each, https, Some("two:81")),
            (each, http, Some("one:80")),
            ("HTTPS=two:81", https, Some("two:81")),
            ("http=one:80 https=two:81", https, Some("two:81")),
            ("http=one:80", https, None),
            ("socks=four:83", https, None),
            ("https=", https, None),
            ("", https, None),
            (" ; ", https, None),
        ] {
            assert_eq!(proxy(servers, "", url).as_deref(), expected, "{servers} for {url}");
        }
    }

    #[test]
    fn the_settings_of_windows_exempt_hosts() {
        let url = "https://box.service.example";
        for (exempt, url, is_exempt) in [
            ("", url, false),
            ("*.service.example", url, true),
            ("intranet;*.service.example;<local>", url, true),
            ("*", url, true),
            ("<local>", url, false),
            ("<local>", "https://intranet", true),
            ("", "https://intranet", false),
            ("10.*;192.168.*", "https://192.168.7.7", true),
            ("10.*;192.168.*", "https://192.169.7.7", false),
            ("<local>", "https://10.1.1.1", false),
            ("", "https://localhost:8443", true),
            ("", "http://127.0.0.1:8080", true),
            ("", "http://[::1]:8080", true),
        ] {
            assert_eq!(proxy("proxy:1", exempt, url).is_none(), is_exempt, "{exempt} for {url}");
        }
    }
}
