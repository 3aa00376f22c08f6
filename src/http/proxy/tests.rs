use super::*;
use crate::error::Kind;
use crate::{Client, Options};

fn with_base_url(url: &str) -> Options {
    Options::new().base_url(url).trust_env(false)
}

/// The error of a configuration, naming the option.
fn assert_refused<T>(outcome: Result<T, Error>, option: &str) -> Error {
    let error = outcome.err().unwrap_or_else(|| panic!("{option} took a bad value"));
    assert_eq!((error.kind(), error.field()), (Kind::Configuration, Some(option)), "{error}");
    assert_eq!((error.delivery().as_str(), error.attempts()), ("not_sent", 0));
    error
}

#[test]
fn a_proxy_is_an_http_address_and_its_password_stays_hidden() {
    let mut options = with_base_url("https://example.com");
    let url = options.url().unwrap();
    assert!(options.find_proxy(&url).unwrap().is_none());
    for good in [
        "http://proxy.example:8080",
        "https://proxy.example",
        "proxy.example:8080",
        "10.0.0.1:3128",
        "http://user:S3CRET@proxy.example:8080",
    ] {
        options.set_proxy(Some(good)).unwrap();
        assert!(options.find_proxy(&url).unwrap().is_some(), "{good}");
        assert!(!format!("{options:?}").contains("S3CRET"));
    }
    for bad in
        ["", "socks5://user:S3CRET@proxy.example", "http://", "http://S3CRET@a b", "a:S3CRET@:"]
    {
        let error = assert_refused(options.set_proxy(Some(bad)), "proxy");
        assert!(!format!("{error} {error:?} {options:?}").contains("S3CRET"), "{bad}");
    }
    options.set_proxy(None).unwrap();
    assert_eq!(options.check(), Ok(()));
}

#[test]
fn a_login_that_must_be_percent_encoded_is_refused_without_being_shown() {
    let mut options = with_base_url("https://example.com");
    for login in [
        "S3CRET#x",
        "S3CRET/x",
        "S3CRET?x",
        "S3CRET\\user:pw",
        "user:4711/S3CRET",
        "user:4711?S3CRET",
        "user:4711#S3CRET",
        "user:S3 CRET",
        "user:S3CRET\u{a0}",
        "user:S3CRET://x",
        "user:S3\tCRET",
    ] {
        for text in
            [format!("http://{login}@h:1"), format!("{login}@h:1"), format!("https://{login}@h")]
        {
            let error = assert_refused(options.set_proxy(Some(&text)), "proxy");
            assert!(error.message().contains("percent-encoded"), "{error}");
            let shown = format!("{error} {error:?} {options:?}");
            assert!(!shown.contains("CRET") && !shown.contains("4711"), "{shown}");
        }
    }
    for login in
        ["user:p%2Fss", "user:p@ss", "user:p:ss", "user:p%ss", "CORP%5Cuser:pw", "üser:pw", "user"]
    {
        let url = Url::parse("https://example.com").unwrap();
        options.set_proxy(Some(&format!("http://{login}@h.example:1"))).unwrap();
        let used = options.find_proxy(&url).unwrap().unwrap();
        assert_eq!((&*used.shown, used.has_login), ("h.example:1", true), "{login}");
    }
}

#[test]
fn what_is_no_http_proxy_is_told() {
    for (text, words) in [
        ("socks5://h:1080", "SOCKS is not supported"),
        ("socks5h://user:S3CRET@h:1080", "SOCKS is not supported"),
        ("socks4://h:1080", "SOCKS is not supported"),
        ("SOCKS://h", "SOCKS is not supported"),
        ("http://h/proxy.pac", "PAC file"),
        ("http://wpad/wpad.dat", "PAC file"),
        ("\"http://h:1\"", "quotation mark"),
        ("http://h:1 ", "white space"),
        ("ftp://h:1", "must be https://host[:port] or http://host[:port]"),
    ] {
        let error = assert_refused(Options::new().set_proxy(Some(text)), "proxy");
        assert!(error.message().contains(words) && !error.message().contains("S3CRET"), "{error}");
    }
}

#[test]
fn an_unusable_proxy_of_the_systems_settings_says_so() {
    let error = ProxyUrl::parse("socks5://h:1", Source::System).err().unwrap();
    assert!(error.message().ends_with("(read from the system's settings)"), "{error}");
    assert_eq!((error.option(), error.variable()), (Some("proxy"), None));
}

#[test]
fn a_proxy_elsewhere_does_not_read_a_plain_call_unless_allowed() {
    let mut options = with_base_url("http://localhost:1");
    let url = options.url().unwrap();
    options.set_proxy(Some("http://127.0.0.1:3128")).unwrap();
    assert!(options.find_proxy(&url).unwrap().is_some());
    options.set_proxy(Some("http://proxy.example:3128")).unwrap();
    assert_refused(options.find_proxy(&url), "proxy");
    assert_refused(Client::new(&options), "proxy");
    options.set_allow_http(true);
    assert!(options.find_proxy(&url).unwrap().is_some());
}
