use std::env;
use std::process::Command;

use super::*;
use crate::options::tests::{assert_refused, body, with_base_url};
use crate::{Client, Options};

/// The variables of a process, and the checks that it makes.
type Case = (&'static [(&'static str, &'static str)], fn());

const CASES: &[Case] = &[
    (&[], || {
        let mut options = Options::new();
        assert_eq!(options.read_environment(), Ok(()));
        assert_eq!(options.url().unwrap().host_str(), Some("api-box-test.skypostal.com"));
        assert_refused(body(&options), "user_code");
    }),
    (
        &[
            ("SKYPOSTAL_USER_CODE", "396"),
            ("SKYPOSTAL_APP_KEY", "read"),
            ("SKYPOSTAL_ENVIRONMENT", "production"),
        ],
        || {
            let mut options = Options::new();
            assert_refused(body(&options), "user_code");
            options.read_environment().unwrap();
            assert!(body(&options).unwrap().starts_with(r#"{"user_code":396,"app_key":"read""#));
            assert_eq!(options.url().unwrap().host_str(), Some("api-box.skypostal.com"));
        },
    ),
    (&[("SKYPOSTAL_USER_CODE", "396"), ("SKYPOSTAL_APP_KEY", "read")], || {
        let mut options = Options::new();
        options.set_user_code(7).unwrap();
        options.read_environment().unwrap();
        options.set_app_key("set").unwrap();
        assert!(body(&options).unwrap().starts_with(r#"{"user_code":7,"app_key":"set""#));
    }),
    (
        &[
            ("SKYPOSTAL_USER_CODE", ""),
            ("SKYPOSTAL_APP_KEY", ""),
            ("SKYPOSTAL_ENVIRONMENT", ""),
            ("SKYPOSTAL_BASE_URL", ""),
            ("HTTPS_PROXY", ""),
        ],
        || {
            let mut options = Options::new();
            assert_eq!(options.read_environment(), Ok(()), "empty counts as absent");
            let url = options.url().unwrap();
            assert_eq!(url.host_str(), Some("api-box-test.skypostal.com"));
            assert!(options.find_proxy(&url).unwrap().is_none());
        },
    ),
    (&[("SKYPOSTAL_BASE_URL", "https://read.example/box/")], || {
        let mut options = Options::new();
        options.read_environment().unwrap();
        assert!(options.url().unwrap().as_str().starts_with("https://read.example/box/wcf-"));
    }),
    (&[("SKYPOSTAL_ENVIRONMENT", "prod"), ("SKYPOSTAL_BASE_URL", "ftp://x")], || {
        let mut options = Options::new();
        let error = assert_refused(options.read_environment(), "environment");
        assert!(error.to_string().contains("SKYPOSTAL_ENVIRONMENT"), "{error}");
        assert_eq!(error.variable(), Some("SKYPOSTAL_ENVIRONMENT"));
        assert_eq!(Client::new(&Options::from_environment()).unwrap_err(), error);
        assert_eq!(options.check(), Err(error), "the first one is remembered");
        options.set_environment(Some("test")).unwrap();
        assert_eq!(options.check(), Ok(()), "what is set wins");
    }),
    (&[("SKYPOSTAL_BASE_URL", "https://a:S3CRET@x")], || {
        let error = assert_refused(Options::new().read_environment(), "base_url");
        assert!(!format!("{error:?}").contains("S3CRET"), "{error:?}");
    }),
    (&[("SKYPOSTAL_USER_CODE", "S3CRET")], || {
        let mut options = Options::new();
        let error = options.read_environment().unwrap_err();
        assert!(error.to_string().contains("SKYPOSTAL_USER_CODE"), "{error}");
        assert_eq!((error.option(), error.variable()), (None, Some("SKYPOSTAL_USER_CODE")));
        assert!(!format!("{error} {error:?}").contains("S3CRET"), "{error:?}");
        options.set_user_code(1).unwrap();
        assert_eq!(options.check(), Ok(()), "what is set wins");
        let mut options = Options::new();
        options.set_user_code(1).unwrap();
        assert!(options.read_environment().is_err());
        assert_eq!(options.check(), Ok(()), "before and after");
    }),
    (&[("SKYPOSTAL_USER_CODE", "396"), ("SKYPOSTAL_APP_KEY", "read")], || {
        let mut options = Options::new();
        assert!(options.set_user_code(-1).is_err());
        assert!(options.set_app_key("").is_err());
        let _ = options.read_environment();
        let named = options.check().err();
        let named = named.as_ref().and_then(Error::field);
        assert_eq!(named, Some("user_code"), "no variable stands in for a bad value");
    }),
    (&[("https_proxy", "proxy.example:1"), ("NO_PROXY", "exempt.example")], || {
        let proxied = |base: &str, trusted: bool| {
            let mut options = with_base_url(base);
            options.set_trust_env(trusted);
            options.find_proxy(&options.url().unwrap()).unwrap().is_some()
        };
        assert!(proxied("https://example.com", true));
        assert!(!proxied("https://example.com", false));
        assert!(!proxied("https://exempt.example", true));
        assert!(!proxied("https://sub.exempt.example", true));
        assert!(!proxied("http://localhost:1", true), "it is for https:// alone");
    }),
    (&[("HTTPS_PROXY", "socks5://u:S3CRET@proxy.example")], || {
        let mut options = Options::new();
        let error = assert_refused(options.find_proxy(&options.url().unwrap()), "HTTPS_PROXY");
        assert!(!format!("{error} {error:?}").contains("S3CRET"));
        assert_eq!((error.option(), error.variable()), (Some("proxy"), Some("HTTPS_PROXY")));
        options.set_proxy(Some("http://127.0.0.1:1")).unwrap();
        let proxy = options.find_proxy(&options.url().unwrap());
        assert!(proxy.unwrap().is_some(), "what is set wins");
    }),
    (
        &[
            ("SKYPOSTAL_USER_CODE", "396"),
            ("SKYPOSTAL_APP_KEY", "read"),
            ("SKYPOSTAL_ENVIRONMENT", "production"),
            ("SKYPOSTAL_BASE_URL", "https://elsewhere.example"),
            ("HTTPS_PROXY", "nonsense:"),
            ("ALL_PROXY", "http://elsewhere.example"),
            ("SSL_CERT_FILE", "/dev/null"),
            ("SSL_CERT_DIR", "/dev/null"),
        ],
        || {
            assert!(Client::new(&Options::new()).is_err(), "otherwise they are read");
            privileges::PRETENDED.set(true);
            let mut options = Options::new();
            let error = assert_refused(options.read_environment(), "environment");
            assert!(error.to_string().contains("raised privileges"), "{error}");
            assert!(error.to_string().contains("SKYPOSTAL_ENVIRONMENT"), "{error}");
            assert_refused(Client::new(&options), "environment");
            options.set_base_url(Some("https://set.example")).unwrap();
            assert_eq!(options.check(), Ok(()), "what is set wins");
            let client = Client::new(&options).expect("the system's certificates");
            assert_eq!(client.proxy(), None);
            assert!(client.url().starts_with("https://set.example/"));
            assert!(body(&options).unwrap().starts_with(r#"{"user_code":396,"app_key":"read""#));
            options.set_proxy(Some("http://127.0.0.1:1")).unwrap();
            assert!(Client::new(&options).unwrap().proxy().is_some(), "a given one is used");
        },
    ),
    (&[("SKYPOSTAL_BASE_URL", "http://192.0.2.1")], || {
        let error = assert_refused(Client::new(&Options::from_environment()), "base_url");
        assert_eq!(error.variable(), Some("SKYPOSTAL_BASE_URL"), "found after it was read");
        let error = assert_refused(Client::new(&with_base_url("http://192.0.2.1")), "base_url");
        assert_eq!((error.option(), error.variable()), (Some("base_url"), None));
    }),
    (&[("TEST_CA_FILE", "/none.pem"), ("HTTPS_PROXY", "http://user:S3CRET@proxy:1")], || {
        let mut options = Options::new();
        assert_eq!(options.find_ca_file().1, Source::Default, "only if a face asks for it");
        options.read_ca_file_from("TEST_CA_FILE");
        let error = assert_refused(Client::new(&options), "ca_file");
        assert!(error.to_string().starts_with("ca_file: /none.pem: No such file"), "{error}");
        assert_eq!(error.variable(), Some("TEST_CA_FILE"));
        let url = options.url().unwrap();
        let proxy = options.find_proxy(&url).unwrap();
        let sources = options.sources(proxy.as_ref());
        assert_eq!(sources.proxy, Source::Variable("HTTPS_PROXY"));
        assert_eq!(sources.ca_file, Source::Variable("TEST_CA_FILE"));
        let set = options.clone().ca_file("/set.pem");
        assert_eq!(set.find_ca_file(), (Some("/set.pem".into()), Source::Option));
        assert_eq!(options.clone().trust_env(false).find_ca_file(), (None, Source::Default));
        privileges::PRETENDED.set(true);
        assert_eq!(options.find_ca_file(), (None, Source::Default));
    }),
    (
        &[
            ("SKYPOSTAL_USER_CODE", "396"),
            ("SKYPOSTAL_APP_KEY", "read"),
            ("SKYPOSTAL_ENVIRONMENT", "production"),
        ],
        || {
            let read = |variable| Source::Variable(variable);
            let sources = |options: Options| Client::new(&options).unwrap().sources();
            let of = Options::from_environment;
            let found = sources(of());
            assert_eq!(found.user_code, read("SKYPOSTAL_USER_CODE"));
            assert_eq!(found.app_key, read("SKYPOSTAL_APP_KEY"));
            let address = |found: Sources| (found.environment, found.base_url);
            assert_eq!(address(found), (read("SKYPOSTAL_ENVIRONMENT"), Source::Default));
            assert_eq!((found.proxy, found.ca_file), (Source::Default, Source::Default));
            let found = sources(of().app_key("set").base_url("http://[::1]"));
            assert_eq!(found.user_code, read("SKYPOSTAL_USER_CODE"));
            assert_eq!(found.app_key, Source::Option);
            assert_eq!(address(found), (Source::Default, Source::Option), "it decides");
            assert_eq!(address(sources(of().environment("test"))).0, Source::Option);
            let found = sources(Options::new().proxy("http://127.0.0.1:1"));
            assert_eq!((found.user_code, found.app_key), (Source::Default, Source::Default));
            assert_eq!(address(found), (Source::Default, Source::Default));
            assert_eq!(found.proxy, Source::Option);
        },
    ),
    (&[("HTTP_PROXY", "127.0.0.1:1"), ("REQUEST_METHOD", "POST")], || {
        let mut options = with_base_url("http://localhost:1");
        options.set_trust_env(true);
        let proxy = options.find_proxy(&options.url().unwrap());
        assert!(proxy.unwrap().is_none(), "in a CGI program it may be the attacker's");
    }),
];

#[test]
fn no_header_of_a_request_names_the_proxy_of_a_cgi_program() {
    for (scheme, is_cgi, ignores_case, read) in [
        ("http", false, false, "http_proxy HTTP_PROXY all_proxy ALL_PROXY"),
        ("http", true, false, "http_proxy all_proxy ALL_PROXY"),
        ("http", false, true, "HTTP_PROXY ALL_PROXY"),
        // Either spelling reads what the header `Proxy` sets.
        ("http", true, true, "ALL_PROXY"),
        ("https", true, false, "https_proxy HTTPS_PROXY all_proxy ALL_PROXY"),
        ("https", true, true, "HTTPS_PROXY ALL_PROXY"),
    ] {
        let names = proxy_variables(scheme, is_cgi, ignores_case).join(" ");
        assert_eq!(names, read, "{scheme} {is_cgi} {ignores_case}");
    }
}

/// Variables cannot be changed safely in a process with threads: each case gets its own.
#[test]
fn what_is_not_set_is_read_from_the_environment() {
    const CASE: &str = "SKYPOSTAL_TEST_CASE";
    if let Some(case) = variable(CASE) {
        let (_, check) = CASES[case.parse::<usize>().unwrap()];
        return check();
    }
    let start = |(number, (variables, _)): (usize, &Case)| {
        let mut test = Command::new(env::current_exe().unwrap());
        test.args(["environment::tests::what_is_not_set_is_read_from_the_environment", "--exact"]);
        ENVIRONMENT_VARIABLES.iter().for_each(|name| {
            test.env_remove(name);
        });
        test.env(CASE, number.to_string()).envs(variables.iter().copied()).output().unwrap()
    };
    let outputs: Vec<_> = CASES.iter().enumerate().map(start).collect();
    let failed: Vec<_> = outputs
        .iter()
        .map(|output| String::from_utf8_lossy(&output.stdout))
        .filter(|text| !text.contains("1 passed"))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
