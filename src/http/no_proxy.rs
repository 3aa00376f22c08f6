//! The list of hosts that no proxy is used for, as `NO_PROXY` and Windows' settings hold it.

use std::net::IpAddr;

use hyper_util::client::proxy::matcher::Matcher;

use super::Url;

/// Returns the entries of a list, which commas, semicolons or white space separate.
pub(super) fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(|c: char| c == ',' || c == ';' || c.is_whitespace()).filter(|it| !it.is_empty())
}

/// Returns whether an entry of the list exempts the host of `url`.
///
/// A host name also exempts its subdomains. An address may be a network,
/// `10.0.0.0/8` or `10.*`, and each entry may have a port.
pub(super) fn exempts(list: &str, url: &Url) -> bool {
    let entries: Vec<_> = entries(list).filter_map(|entry| without_port(entry, url)).collect();
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    let Ok(target) = format!("{}://{host}/", url.scheme()).parse() else { return false };
    let matcher = Matcher::builder().all("http://localhost").no(entries.join(",")).build();
    matcher.intercept(&target).is_none()
}

/// Returns the entry as hyper-util's matcher takes it; `None` if it is for another port.
fn without_port(entry: &str, url: &Url) -> Option<String> {
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if is_port(port) && (!host.contains(':') || host.ends_with(']')) => {
            (host, Some(port))
        }
        _ => (entry, None),
    };
    if port.is_some_and(|port| port.parse().ok() != url.port_or_known_default()) {
        return None;
    }
    // An address of IPv6 may be in brackets.
    let host = host.replace(['[', ']'], "");
    let host = host.trim_end_matches('.');
    Some(match (host, host.strip_prefix('*')) {
        (_, Some(rest)) if !rest.is_empty() => rest.to_owned(),
        _ => network(host).unwrap_or_else(|| host.to_owned()),
    })
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns `10.*` as `10.0.0.0/8`.
fn network(host: &str) -> Option<String> {
    let stem = host.trim_end_matches(".*");
    let parts = stem.split('.').count();
    let address = format!("{stem}{}", ".0".repeat(4_usize.checked_sub(parts)?));
    let is_pattern = stem.len() < host.len() && address.parse::<IpAddr>().is_ok();
    is_pattern.then(|| format!("{address}/{}", parts * 8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_an_entry_exempts_its_hosts_and_no_other() {
        let name = "https://box.service.example";
        for (list, url, is_exempt) in [
            ("box.service.example", name, true),
            ("BOX.Service.Example", name, true),
            ("service.example", name, true),
            (".service.example", name, true),
            ("*.service.example", name, true),
            ("*service.example", name, true),
            ("service.example.", name, true),
            ("service.example", "https://box.service.example.", true),
            ("service.example:443", name, true),
            ("*.service.example:443", name, true),
            ("service.example:8443", name, false),
            ("service.example:8443", "https://service.example:8443", true),
            ("a.example service.example", name, true),
            ("a.example,,\tservice.example\n", name, true),
            ("a.example;service.example", name, true),
            ("*", name, true),
            ("", name, false),
            (",", name, false),
            (".", name, false),
            ("ervice.example", name, false),
            ("example.org", name, false),
            ("box", name, false),
            ("10.0.0.0/8", "https://10.1.2.3", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.*", "https://10.1.2.3", true),
            ("10.1.*.*", "https://10.1.2.3:8443", true),
            ("10.2.*", "https://10.1.2.3", false),
            ("10.1.2.3", "https://10.1.2.3", true),
            ("10.1.2.3:443", "https://10.1.2.3", true),
            ("10.1.2.3:80", "https://10.1.2.3", false),
            ("300.*", "https://10.1.2.3", false),
            ("::1", "https://[::1]:8443", true),
            ("[::1]", "https://[::1]:8443", true),
            ("[::1]:8443", "https://[::1]:8443", true),
            ("[::1]:8444", "https://[::1]:8443", false),
            ("::1/128", "https://[::1]", true),
            ("[fd00::]/8", "https://[fd12::1]", true),
            ("fd00::/8", "https://[fe12::1]", false),
        ] {
            assert_eq!(exempts(list, &Url::parse(url).unwrap()), is_exempt, "{list:?} for {url}");
        }
    }
}
