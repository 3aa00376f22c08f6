use std::{fs, process};

use super::*;
use crate::Client;
use crate::error::Kind;

pub(crate) fn with_base_url(url: &str) -> Options {
    Options::new().base_url(url).trust_env(false)
}

/// The error of a configuration, naming the option.
pub(crate) fn assert_refused<T>(outcome: Result<T, Error>, option: &str) -> Error {
    let error = outcome.err().unwrap_or_else(|| panic!("{option} took a bad value"));
    assert_eq!((error.kind(), error.field()), (Kind::Configuration, Some(option)), "{error}");
    assert_eq!((error.delivery().as_str(), error.attempts()), ("not_sent", 0));
    error
}

/// The body that a client with these options would send.
pub(crate) fn body(options: &Options) -> Result<String, Error> {
    let update = Update::new().customer_box_id(1).customer_key("k");
    let request = update.request(&options.credentials())?;
    Ok(String::from_utf8_lossy(&request.body).into_owned())
}

#[test]
fn a_base_url_that_holds_the_path_of_the_call_is_refused() {
    for path in [PATH, &PATH[..13], "/wcf-services/", "/gateway/WCF-services/service-customer.svc"]
    {
        let error = assert_refused(
            Options::new().set_base_url(Some(&format!("https://h.example{path}"))),
            "base_url",
        );
        assert!(error.message().contains("end it before /wcf-services"), "{error}");
    }
    for path in ["", "/", "/gateway", "/wcf-services-2", "/customer"] {
        let url = with_base_url(&format!("https://h.example{path}")).url().unwrap();
        assert_eq!(url.as_str().matches(PATH).count(), 1, "{url}");
    }
}

#[test]
fn an_address_in_quotation_marks_says_so() {
    for address in ["\"https://h.example\"", "'https://h.example'", "https://h.example\""] {
        let mut options = Options::new();
        for error in [
            assert_refused(options.set_base_url(Some(address)), "base_url"),
            assert_refused(options.set_proxy(Some(address)), "proxy"),
        ] {
            assert!(error.message().ends_with("a quotation mark; remove it"), "{error}");
        }
    }
}

#[test]
fn plain_http_does_not_leave_this_machine_unless_allowed() {
    for host in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "x.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        let options = with_base_url(&format!("http://{host}:8080"));
        assert!(options.url().is_ok(), "{host}");
    }
    for host in [
        "0.0.0.0",
        "[::]",
        "10.0.0.1",
        "128.0.0.1",
        "[::ffff:10.0.0.1]",
        "[::127.0.0.1]",
        "localhost.example.com",
        "notlocalhost",
        "127.0.0.1.example.com",
        "example.com",
    ] {
        let mut options = with_base_url(&format!("http://{host}"));
        assert_refused(options.url(), "base_url");
        options.set_allow_http(true);
        assert!(options.url().is_ok(), "{host}");
        assert!(with_base_url(&format!("https://{host}")).url().is_ok(), "{host}");
    }
}

#[test]
fn the_path_of_the_call_is_added_to_the_base_url() {
    for (base, start) in [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("HTTPS://Example.COM:443", "https://example.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("https://example.com/box", "https://example.com/box"),
        ("https://example.com/box/", "https://example.com/box"),
        ("https://example.com/a%20b/c//", "https://example.com/a%20b/c"),
        ("http://[::1]:80", "http://[::1]"),
    ] {
        let call = "/wcf-services/service-customer.svc/customer/customer-update-personal-info";
        let url = with_base_url(base).url().unwrap();
        assert_eq!(url.as_str(), format!("{start}{call}"), "{base}");
    }
    let client = Client::new(&with_base_url("http://127.0.0.1:1/box/")).unwrap();
    assert!(client.url().starts_with("http://127.0.0.1:1/box/wcf-services/"));
}

#[test]
fn a_base_url_that_is_more_or_less_than_an_address_is_refused() {
    for bad in [
        "",
        "example.com",
        "localhost:8080",
        "//example.com",
        "https://",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://example.com:99999",
        "https://example.com:0",
        "https://S3CRET@example.com",
        "https://user:S3CRET@example.com",
        "https://:S3CRET@example.com",
        "https://example.com?key=S3CRET",
        "https://example.com/?",
        "https://example.com/#S3CRET",
        "https://example.com#",
        "https://example.com/a b",
        " https://example.com",
        "https://example.com\r\n",
        "https://example.com\r\nHost: S3CRET",
        "https://exam\tple.com",
        "https://example.com/\u{3000}",
    ] {
        let mut options = Options::new();
        let outcome = options.set_base_url(Some(bad));
        assert!(outcome.is_err(), "{bad:?}");
        let error = assert_refused(outcome, "base_url");
        assert!(!format!("{error} {error:?}").contains("S3CRET"), "{error}");
        assert_eq!(options.check(), Err(error), "it is remembered: {bad}");
        options.set_base_url(None).unwrap();
        assert_eq!(options.check(), Ok(()));
    }
}

#[test]
fn the_environment_is_test_or_production() {
    let host = |options: &Options| options.url().unwrap().host_str().unwrap().to_owned();
    let mut options = Options::new();
    assert_eq!(host(&options), "api-box-test.skypostal.com");
    options.set_environment(Some("production")).unwrap();
    assert_eq!(host(&options), "api-box.skypostal.com");
    options.set_environment(Some("test")).unwrap();
    assert_eq!(host(&options), "api-box-test.skypostal.com");
    for bad in ["", "Test", "PRODUCTION", "prod", "test ", "staging"] {
        assert_refused(options.set_environment(Some(bad)), "environment");
        assert_refused(options.check(), "environment");
    }
    options.set_environment(None).unwrap();
    assert_eq!(options.check(), Ok(()));
    assert_eq!(host(&options), "api-box-test.skypostal.com");
}

#[test]
fn a_base_url_wins_over_an_environment_and_what_is_set_over_what_was_read() {
    let mut options = Options::new();
    let host = |options: &Options| options.url().unwrap().host_str().unwrap().to_owned();
    options.read.environment = Some(PRODUCTION_URL);
    assert_eq!(host(&options), "api-box.skypostal.com");
    options.read.base_url = Some(Url::parse("https://read.example").unwrap());
    assert_eq!(host(&options), "read.example");
    options.set_environment(Some("test")).unwrap();
    assert_eq!(host(&options), "api-box-test.skypostal.com");
    options.set_base_url(Some("https://set.example")).unwrap();
    assert_eq!(host(&options), "set.example");
    options.set_environment(Some("production")).unwrap();
    assert_eq!(host(&options), "set.example");
}

#[test]
fn times_and_retries_have_bounds() {
    let mut options = Options::new();
    let times = |options: &Options| (options.timeout, options.connect_timeout);
    assert_eq!(times(&options), (Duration::from_secs(30), Duration::from_secs(10)));
    for good in [Duration::from_nanos(1), Duration::from_millis(u32::MAX.into())] {
        options.set_timeout(Some(good)).unwrap();
        options.set_connect_timeout(Some(good)).unwrap();
        assert_eq!(times(&options), (good, good));
        assert_eq!(check_time("timeout", good), Ok(good));
    }
    for bad in [Duration::ZERO, Duration::from_millis(u64::from(u32::MAX) + 1), Duration::MAX] {
        assert_refused(options.set_timeout(Some(bad)), "timeout");
        assert_refused(check_time("timeout", bad), "timeout");
        assert_refused(options.check(), "timeout");
        options.set_timeout(None).unwrap();
        assert_refused(options.set_connect_timeout(Some(bad)), "connect_timeout");
        assert_refused(options.check(), "connect_timeout");
        options.set_connect_timeout(None).unwrap();
    }
    assert_eq!(times(&options), (Duration::from_secs(30), Duration::from_secs(10)));

    assert_eq!(options.max_retries, 2);
    for good in [0, 1, i32::MAX] {
        options.set_max_retries(good.into()).unwrap();
        assert_eq!(i64::from(options.max_retries), i64::from(good));
    }
    for bad in [-1, i64::MIN, i64::from(i32::MAX) + 1, i64::MAX] {
        assert_refused(options.set_max_retries(bad), "max_retries");
        assert_refused(options.check(), "max_retries");
    }
    options.set_max_retries(0).unwrap();
    assert_eq!(options.check(), Ok(()));
}

#[test]
fn a_client_is_not_made_while_an_error_is_left_and_names_the_first() {
    let mut options = with_base_url("http://127.0.0.1:1");
    assert!(options.set_user_code(0).is_err());
    assert!(options.set_app_key("").is_err());
    options.refuse("ca_file", "is not valid UTF-8");
    let named = |options: &Options| Client::new(options).err()?.field().map(str::to_owned);
    assert_eq!(named(&options).as_deref(), Some("user_code"));
    assert_eq!(Client::new(&options).unwrap_err().kind(), Kind::InvalidField);
    options.set_user_code(396).unwrap();
    assert_eq!(named(&options).as_deref(), Some("app_key"));
    options.set_app_key(None::<&str>).unwrap();
    assert_eq!(named(&options).as_deref(), Some("ca_file"));
}

#[test]
fn a_chain_sets_what_the_setters_set_and_remembers_bad_values() {
    let second = Duration::from_secs(1);
    let options = Options::new()
        .user_code(396)
        .app_key("app")
        .environment("production")
        .timeout(second)
        .connect_timeout(second / 2)
        .max_retries(7)
        .ca_file("/none.pem")
        .proxy("http://proxy.example:8080");
    assert!(body(&options).unwrap().starts_with(r#"{"user_code":396,"app_key":"app""#));
    assert_eq!((options.timeout, options.connect_timeout), (second, second / 2));
    assert_eq!(options.max_retries, 7);
    let url = options.url().unwrap();
    assert_eq!(url.host_str(), Some("api-box.skypostal.com"));
    assert_eq!(options.find_proxy(&url).unwrap().unwrap().shown, "proxy.example:8080");
    assert_eq!(options.find_ca_file(), (Some("/none.pem".into()), Source::Option));
    assert!(options.trust_env && !options.allow_http);
    let options = options.trust_env(false).allow_http(true).base_url("http://192.0.2.1");
    assert!(!options.trust_env && options.allow_http);
    assert_eq!(options.url().unwrap().host_str(), Some("192.0.2.1"));

    let with = |set: fn(Options) -> Options| set(Options::new().trust_env(false));
    for (name, options) in [
        ("user_code", with(|it| it.user_code(0))),
        ("app_key", with(|it| it.app_key(""))),
        ("environment", with(|it| it.environment("live"))),
        ("base_url", with(|it| it.base_url("ftp://x"))),
        ("timeout", with(|it| it.timeout(Duration::ZERO))),
        ("connect_timeout", with(|it| it.connect_timeout(Duration::MAX))),
        ("max_retries", with(|it| it.max_retries(u32::MAX))),
        ("proxy", with(|it| it.proxy("socks5://x"))),
        ("ca_file", with(|it| it.ca_file(""))),
        ("timeout", with(|it| it.timeout(Duration::ZERO).user_code(0))),
    ] {
        assert_eq!(Client::new(&options).unwrap_err().field(), Some(name), "the first");
    }
}

#[test]
fn an_unusable_ca_file_is_named_with_the_line() {
    let path = env::temp_dir().join(format!("skypostal-ca-{}.pem", process::id()));
    let mut options = with_base_url("http://127.0.0.1:1");
    options.set_ca_file(Some(&path)).unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (content, problem) in [
        (None, "No such file"),
        (Some(String::new()), "is empty"),
        (Some("not PEM".to_owned()), "is a text that holds no certificate"),
        (Some(format!("a comment\n\n{broken}")), "line 3"),
        (Some(broken[..40].to_owned()), "line 1"),
    ] {
        if let Some(content) = &content {
            fs::write(&path, content).unwrap();
        }
        let error = assert_refused(Client::new(&options), "ca_file").to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        assert!(error.contains(problem), "{content:?}: {error}");
    }
    fs::remove_file(&path).unwrap();
    assert_refused(options.set_ca_file(Some(Path::new(""))), "ca_file");
    options.set_ca_file(None).unwrap();
    assert!(Client::new(&options).is_ok());
}

#[test]
fn printing_shows_no_key() {
    let mut options = Options::new();
    options.set_app_key("S3CRET").unwrap();
    options.set_proxy(Some("http://u:S3CRET@proxy.example")).unwrap();
    let shown = format!("{options:?} {options:#?}");
    assert!(!shown.contains("S3CRET"), "{shown}");
}
