//! How a client is set up, checked as it is set.

use std::env;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::{Proxy, Url};

use crate::error::{DeferredErrors, Error};
use crate::field::{Field, Value};
use crate::sys::privileges;
use crate::update::Update;

/// The service's two environments; each has credentials of its own.
const TEST_URL: &str = "https://api-box-test.skypostal.com";
const PRODUCTION_URL: &str = "https://api-box.skypostal.com";
/// Where the one call of this library lives (documented).
const PATH: &str = "/wcf-services/service-customer.svc/customer/customer-update-personal-info";
/// The longest time that can be given: what C's `uint32_t` holds in milliseconds, 49 days.
const LONGEST: Duration = Duration::from_millis(u32::MAX as u64);

/// Every environment variable that a [`Client`](crate::Client) may read.
pub const ENVIRONMENT_VARIABLES: [&str; 15] = [
    "SKYPOSTAL_USER_CODE",
    "SKYPOSTAL_APP_KEY",
    "SKYPOSTAL_ENVIRONMENT",
    "SKYPOSTAL_BASE_URL",
    "https_proxy",
    "HTTPS_PROXY",
    "http_proxy",
    "HTTP_PROXY",
    "REQUEST_METHOD",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// The options of a [`Client`](crate::Client).
///
/// A value is checked when it is set; a bad one is remembered until the option gets a good one, and
/// named by [`Client::new`](crate::Client::new). `None` sets an option back to its default.
#[derive(Clone, Debug)]
pub struct Options {
    set: Target,
    from_environment: Target,
    timeout: Duration,
    connect_timeout: Duration,
    max_retries: u32,
    proxy: Option<ProxyUrl>,
    ca_file: Option<PathBuf>,
    trust_env: bool,
    allow_http: bool,
    /// Of what was set; the environment has its own.
    deferred_errors: DeferredErrors,
}

/// Whom to call, and as whom: what the environment may tell too.
#[derive(Clone, Debug, Default)]
struct Target {
    /// Holds `user_code` and `app_key`.
    credentials: Update,
    environment: Option<&'static str>,
    base_url: Option<Url>,
    deferred_errors: DeferredErrors,
}

/// A proxy's address, which may hold a password.
#[derive(Clone)]
struct ProxyUrl(Url);

/// A proxy that is on the way.
pub(crate) struct UsedProxy {
    pub(crate) proxy: Proxy,
    /// Its host and port, which may be shown.
    pub(crate) shown: String,
    /// The option or the variable that names it.
    pub(crate) named_by: &'static str,
}

impl fmt::Debug for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())
    }
}

impl Default for Options {
    fn default() -> Self {
        Options {
            set: Target::default(),
            from_environment: Target::default(),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            max_retries: 2,
            proxy: None,
            ca_file: None,
            trust_env: true,
            allow_http: false,
            deferred_errors: DeferredErrors::default(),
        }
    }
}

impl Options {
    /// The defaults: the test environment, 30 seconds for a call, 2 retries.
    pub fn new() -> Self {
        Options::default()
    }

    /// Reads `SKYPOSTAL_USER_CODE`, `SKYPOSTAL_APP_KEY`, `SKYPOSTAL_ENVIRONMENT` and
    /// `SKYPOSTAL_BASE_URL`. What is set by a method wins; an empty variable counts as absent.
    ///
    /// In a program with raised privileges, such as a set-user-ID one, the last two are refused: its
    /// caller must not choose where the keys go.
    ///
    /// # Errors
    /// Names the first variable that is unusable.
    pub fn read_environment(&mut self) -> Result<(), Error> {
        let mut target = Target::default();
        let mut note = |option, name: &str, outcome: Result<(), Error>| {
            let _ = target.deferred_errors.record(option, outcome.map_err(|e| e.read_from(name)));
        };
        if let Some(text) = variable("SKYPOSTAL_USER_CODE") {
            let value = text.parse().map_or(Value::Invalid("is not an integer"), Value::Integer);
            let outcome = target.credentials.set(Field::UserCode, value);
            note("user_code", "SKYPOSTAL_USER_CODE", outcome);
        }
        if let Some(key) = env::var_os("SKYPOSTAL_APP_KEY").filter(|key| !key.is_empty()) {
            let value = key.to_str().map_or(Value::Invalid("is not valid UTF-8"), Value::Text);
            let outcome = target.credentials.set(Field::AppKey, value);
            note("app_key", "SKYPOSTAL_APP_KEY", outcome);
        }
        if let Some(text) = variable("SKYPOSTAL_ENVIRONMENT") {
            let parsed = believed("environment").and_then(|()| parse_environment(&text));
            let outcome = parsed.map(|url| target.environment = Some(url));
            note("environment", "SKYPOSTAL_ENVIRONMENT", outcome);
        }
        if let Some(text) = variable("SKYPOSTAL_BASE_URL") {
            let parsed = believed("base_url").and_then(|()| parse_base_url(&text));
            let outcome = parsed.map(|url| target.base_url = Some(url));
            note("base_url", "SKYPOSTAL_BASE_URL", outcome);
        }
        self.from_environment = target;
        self.from_environment.deferred_errors.check()
    }

    /// The user code given by SkyPostal, or what is wrong with it. A call may bring its own.
    ///
    /// # Errors
    /// [`Kind::InvalidField`](crate::Kind::InvalidField) when it is not positive.
    pub fn set_user_code<'a>(&mut self, value: impl Into<Value<'a>>) -> Result<(), Error> {
        let outcome = self.set.credentials.set(Field::UserCode, value);
        self.deferred_errors.record("user_code", outcome)
    }

    /// The application key given by SkyPostal, or what is wrong with it. A call may bring its own.
    ///
    /// # Errors
    /// [`Kind::InvalidField`](crate::Kind::InvalidField) when it is empty.
    pub fn set_app_key<'a>(&mut self, value: impl Into<Value<'a>>) -> Result<(), Error> {
        let outcome = self.set.credentials.set(Field::AppKey, value);
        self.deferred_errors.record("app_key", outcome)
    }

    /// `test` (the default) or `production`.
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for any other word.
    pub fn set_environment(&mut self, value: Option<&str>) -> Result<(), Error> {
        let parsed = value.map(parse_environment).transpose();
        self.set.environment = self.deferred_errors.record("environment", parsed)?;
        Ok(())
    }

    /// Where the service is, without the path of the call; wins over the environment.
    ///
    /// `https://`, or `http://` to this machine. A path is kept, and the call's is added to it.
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for anything else.
    pub fn set_base_url(&mut self, value: Option<&str>) -> Result<(), Error> {
        let parsed = value.map(parse_base_url).transpose();
        self.set.base_url = self.deferred_errors.record("base_url", parsed)?;
        Ok(())
    }

    /// How long a whole call may take, retries and waits included; 30 s unless set.
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for zero or more than 49 days.
    pub fn set_timeout(&mut self, value: Option<Duration>) -> Result<(), Error> {
        let value = value.unwrap_or(Options::default().timeout);
        self.timeout = self.deferred_errors.record("timeout", check_time("timeout", value))?;
        Ok(())
    }

    /// How long one connection may take, from the look-up of the name to TLS; 10 s unless set.
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for zero or more than 49 days.
    pub fn set_connect_timeout(&mut self, value: Option<Duration>) -> Result<(), Error> {
        let value = value.unwrap_or(Options::default().connect_timeout);
        let checked = check_time("connect_timeout", value);
        self.connect_timeout = self.deferred_errors.record("connect_timeout", checked)?;
        Ok(())
    }

    /// How often a call may be tried again; 2 unless set. With 0 an update is sent at most once.
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for a negative number.
    pub fn set_max_retries(&mut self, value: i64) -> Result<(), Error> {
        let value = u32::try_from(value).ok().filter(|retries| *retries <= i32::MAX as u32);
        let checked = value
            .ok_or_else(|| Error::configuration("max_retries", "must be 0 or a greater integer"));
        self.max_retries = self.deferred_errors.record("max_retries", checked)?;
        Ok(())
    }

    /// The proxy to use, `http://[user:password@]host:port` or `https://…`.
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for anything else.
    pub fn set_proxy(&mut self, value: Option<&str>) -> Result<(), Error> {
        let parsed = value.map(|text| parse_proxy("proxy", text)).transpose();
        self.proxy = self.deferred_errors.record("proxy", parsed)?;
        Ok(())
    }

    /// A PEM file of certificates to trust beside the operating system's. Read by `Client::new`.
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for an empty path.
    pub fn set_ca_file(&mut self, value: Option<&Path>) -> Result<(), Error> {
        let empty = value.is_some_and(|path| path.as_os_str().is_empty());
        let checked = if empty { Err(Error::configuration("ca_file", "is empty")) } else { Ok(()) };
        self.deferred_errors.record("ca_file", checked)?;
        self.ca_file = value.map(Path::to_owned);
        Ok(())
    }

    /// Whether `HTTPS_PROXY`, `NO_PROXY` and their like are read; true unless set. In a program with
    /// raised privileges they never are.
    pub fn set_trust_env(&mut self, value: bool) {
        let _ = self.deferred_errors.record("trust_env", Ok(()));
        self.trust_env = value;
    }

    /// Whether plain `http://` may leave this machine, with the keys readable on the way.
    pub fn set_allow_http(&mut self, value: bool) {
        let _ = self.deferred_errors.record("allow_http", Ok(()));
        self.allow_http = value;
    }

    /// Remembers, like a setter, that a value could not even be read.
    pub fn refuse(&mut self, option: &'static str, problem: &str) -> Error {
        let error = Error::configuration(option, problem);
        let _ = self.deferred_errors.record::<()>(option, Err(error.clone()));
        error
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        self.deferred_errors.check()?;
        let set = &self.set;
        self.from_environment.deferred_errors.first_except(|option| match option {
            "user_code" => set.credentials.is_set(Field::UserCode),
            "app_key" => set.credentials.is_set(Field::AppKey),
            _ => set.base_url.is_some() || set.environment.is_some(),
        })
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub(crate) fn max_retries(&self) -> u32 {
        self.max_retries
    }

    pub(crate) fn ca_file(&self) -> Option<&Path> {
        self.ca_file.as_deref()
    }

    pub(crate) fn credentials(&self) -> Update {
        let mut credentials = self.from_environment.credentials.clone();
        credentials.override_with(&self.set.credentials);
        credentials
    }

    /// The address of the call.
    pub(crate) fn url(&self) -> Result<Url, Error> {
        let (set, read) = (&self.set, &self.from_environment);
        let default = |url: Option<&'static str>| url.map(|url| Url::parse(url).expect("a URL"));
        let base = set
            .base_url
            .clone()
            .or_else(|| default(set.environment))
            .or_else(|| read.base_url.clone())
            .or_else(|| default(read.environment))
            .or_else(|| default(Some(TEST_URL)))
            .expect("the last one is a URL");
        if base.scheme() == "http" && !self.allow_http && !is_loopback(&base) {
            return Err(Error::configuration(
                "base_url",
                "plain http:// would send the keys readable by anyone on the way; use https://, \
                 or set allow_http",
            ));
        }
        let url = format!("{}{PATH}", base.as_str().trim_end_matches('/'));
        Ok(Url::parse(&url).expect("a URL with a longer path is a URL"))
    }

    /// The proxy on the way to `url`, if there is one.
    pub(crate) fn proxy(&self, url: &Url) -> Result<Option<UsedProxy>, Error> {
        let (name, ProxyUrl(proxy)) = match (&self.proxy, self.trust_env) {
            (Some(proxy), _) => ("proxy", proxy.clone()),
            (None, false) => return Ok(None),
            (None, true) if privileges::raised() => return Ok(None),
            (None, true) => match proxy_variable(url) {
                Some((name, text)) => (name, parse_proxy(name, &text)?),
                None => return Ok(None),
            },
        };
        if url.scheme() == "http" && !self.allow_http && !is_loopback(&proxy) {
            return Err(Error::configuration(
                name,
                "this proxy would read the keys of a plain http:// call; exempt the host by \
                 NO_PROXY, or set allow_http",
            ));
        }
        let unusable = |_| Error::configuration(name, "is not usable as a proxy");
        let port = proxy.port_or_known_default().unwrap_or_default();
        let shown = format!("{}:{port}", proxy.host_str().unwrap_or_default());
        let proxy = Proxy::all(proxy).map_err(unusable)?;
        Ok(Some(UsedProxy { proxy, shown, named_by: name }))
    }
}

/// A variable of the environment that is set and not empty.
fn variable(name: &str) -> Option<String> {
    let value = env::var_os(name)?.to_string_lossy().into_owned();
    (!value.is_empty()).then_some(value)
}

/// Refuses a variable that says where the keys go, if the program has privileges that the caller
/// lacks. To leave it out in silence would send the keys to another of the service's environments.
fn believed(option: &'static str) -> Result<(), Error> {
    if privileges::raised() {
        let problem = "must be set by a program with raised privileges itself, not by a variable";
        return Err(Error::configuration(option, problem));
    }
    Ok(())
}

/// The variable that names the proxy for `url`, unless `NO_PROXY` exempts its host.
fn proxy_variable(url: &Url) -> Option<(&'static str, String)> {
    let names: &[&str] = match url.scheme() {
        "https" => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        // In a CGI program HTTP_PROXY is whatever the client's header `Proxy` said.
        _ if variable("REQUEST_METHOD").is_some() => &["http_proxy", "all_proxy", "ALL_PROXY"],
        _ => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
    };
    let (name, text) = names.iter().find_map(|name| Some((*name, variable(name)?)))?;
    let exempt = variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default();
    let any = Matcher::builder().all("http://localhost").no(exempt).build();
    any.intercept(&url.as_str().parse().ok()?)?;
    Some((name, text))
}

fn parse_environment(text: &str) -> Result<&'static str, Error> {
    match text {
        "test" => Ok(TEST_URL),
        "production" => Ok(PRODUCTION_URL),
        _ => Err(Error::configuration("environment", "must be \"test\" or \"production\"")),
    }
}

fn parse_base_url(text: &str) -> Result<Url, Error> {
    let name = "base_url";
    let url = parse_url(name, text)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::configuration(name, "must not hold a user name or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::configuration(name, "must end with the host or a path"));
    }
    Ok(url)
}

fn parse_proxy(name: &'static str, text: &str) -> Result<ProxyUrl, Error> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    parse_url(name, &text).map(ProxyUrl)
}

/// An `http://` or `https://` address; the error does not repeat it, as it may hold a password.
fn parse_url(name: &'static str, text: &str) -> Result<Url, Error> {
    let bad = |problem: &str| Error::configuration(name, problem);
    // The parser would drop line breaks and trim spaces in silence.
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(bad("must not hold white space or control characters"));
    }
    let url = Url::parse(text)
        .map_err(|e| bad(&format!("is not a URL ({e}); expected https://host[:port]")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.port() == Some(0) {
        return Err(bad("must be https://host[:port] or http://host[:port]"));
    }
    Ok(url)
}

pub(crate) fn check_time(name: &'static str, value: Duration) -> Result<Duration, Error> {
    if value.is_zero() || value > LONGEST {
        return Err(Error::configuration(name, "must be more than 0 and at most 49 days"));
    }
    Ok(value)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_end_matches('.');
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests;
