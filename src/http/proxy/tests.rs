use crate::error::{Error, Kind};
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
