//! The options of a client, checked as they are set.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::environment::{self, Source, Sources, variable};
use crate::error::{DeferredErrors, Error};
use crate::field::{Field, Value};
use crate::http::Url;
use crate::http::address::{self, is_loopback};
use crate::http::proxy::{ProxyUrl, UsedProxy};
use crate::timeout::check_time;
use crate::update::Update;

/// The service's two environments; each has credentials of its own.
const TEST_URL: &str = "https://api-box-test.skypostal.com";
const PRODUCTION_URL: &str = "https://api-box.skypostal.com";
/// The path of the only call of this library (documented).
const PATH: &str = "/wcf-services/service-customer.svc/customer/customer-update-personal-info";

/// The options of a [`Client`](crate::Client).
///
/// A value is checked when it is set. A bad one is remembered until the option gets a good one, and
/// named by [`Client::new`](crate::Client::new). The methods named `set_…` also return the error at
/// once; their `None` sets an option back to its default.
///
/// ```
/// # use std::time::Duration;
/// let options = skypostal::Options::new()
///     .user_code(396)
///     .app_key("a key")
///     .timeout(Duration::from_secs(5));
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    set: Target,
    read: Target,
    pub(crate) timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_retries: u32,
    proxy: Option<ProxyUrl>,
    ca_file: Option<PathBuf>,
    /// The variable that may name the CA file.
    ca_file_variable: Option<&'static str>,
    trust_env: bool,
    allow_http: bool,
    pub(crate) user_agent: Option<String>,
    /// The errors of what was set; those of the environment are in `read`.
    deferred_errors: DeferredErrors,
}

/// The service to call and the credentials for it, set by the program or read from the environment.
#[derive(Clone, Debug, Default)]
struct Target {
    /// Holds `user_code` and `app_key`.
    credentials: Update,
    /// The variable that gave `app_key`, if one did.
    app_key_variable: &'static str,
    environment: Option<&'static str>,
    base_url: Option<Url>,
    deferred_errors: DeferredErrors,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            set: Target::default(),
            read: Target::default(),
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            max_retries: 2,
            proxy: None,
            ca_file: None,
            ca_file_variable: None,
            trust_env: true,
            allow_http: false,
            user_agent: None,
            deferred_errors: DeferredErrors::default(),
        }
    }
}

impl Options {
    /// Returns the defaults: the test environment, 30 s for a call, 2 retries.
    pub fn new() -> Self {
        Options::default()
    }

    /// Returns the defaults with what [`read_environment`](Options::read_environment) reads. The
    /// error of a variable is remembered, and named by [`Client::new`](crate::Client::new).
    pub fn from_environment() -> Self {
        Options::new().with(Options::read_environment)
    }

    /// Sets the user code given by SkyPostal. Positive; a call may bring its own.
    pub fn user_code(self, value: i64) -> Self {
        self.with(|options| options.set_user_code(value))
    }

    /// Sets the application key given by SkyPostal. Secret; a call may bring its own.
    pub fn app_key(self, value: &str) -> Self {
        self.with(|options| options.set_app_key(value))
    }

    /// Sets the service's environment: `test` (the default) or `production`.
    pub fn environment(self, value: &str) -> Self {
        self.with(|options| options.set_environment(Some(value)))
    }

    /// Sets the address of the service, without the path of the call. Wins over
    /// [`environment`](Options::environment).
    ///
    /// `https://`, or `http://` to this machine. A path is kept, and the call's is added to it.
    pub fn base_url(self, value: &str) -> Self {
        self.with(|options| options.set_base_url(Some(value)))
    }

    /// Sets the time that a whole call may take, retries and waits included: 30 s unless set, more
    /// than 0 and at most 49 days.
    pub fn timeout(self, value: Duration) -> Self {
        self.with(|options| options.set_timeout(Some(value)))
    }

    /// Sets the time that one connection may take, from the name look-up to TLS: 10 s unless set,
    /// more than 0 and at most 49 days.
    pub fn connect_timeout(self, value: Duration) -> Self {
        self.with(|options| options.set_connect_timeout(Some(value)))
    }

    /// Sets the number of retries of a call: 2 unless set. With 0 an update is sent at most once.
    pub fn max_retries(self, value: u32) -> Self {
        self.with(|options| options.set_max_retries(value.into()))
    }

    /// Sets the proxy: `http://[user:password@]host:port` or `https://…`.
    pub fn proxy(self, value: &str) -> Self {
        self.with(|options| options.set_proxy(Some(value)))
    }

    /// Sets a PEM file of certificates, or a folder of them, to trust beside the operating system's.
    /// `Client::new` reads it.
    pub fn ca_file(self, value: impl AsRef<Path>) -> Self {
        self.with(|options| options.set_ca_file(Some(value.as_ref())))
    }

    /// Sets whether `HTTPS_PROXY`, `NO_PROXY` and the other proxy variables are read, and the proxy of
    /// the system's settings; true unless set. In a program with raised privileges they never are.
    pub fn trust_env(mut self, value: bool) -> Self {
        self.set_trust_env(value);
        self
    }

    /// Sets whether plain `http://` may leave this machine, which lets every host on the way read
    /// the keys; false unless set.
    pub fn allow_http(mut self, value: bool) -> Self {
        self.set_allow_http(value);
        self
    }

    /// Sets the name of the program, such as `shop/1.2`, which follows this library's in the header
    /// `User-Agent`: so SkyPostal can tell its calls from those of others. 1 to 256 characters of
    /// printable ASCII.
    pub fn user_agent(self, value: &str) -> Self {
        self.with(|options| options.set_user_agent(Some(value)))
    }

    fn with(mut self, set: impl FnOnce(&mut Self) -> Result<(), Error>) -> Self {
        // The error is remembered, and returned by Client::new.
        let _ = set(&mut self);
        self
    }

    /// Reads `SKYPOSTAL_USER_CODE`, `SKYPOSTAL_APP_KEY` or the file that `SKYPOSTAL_APP_KEY_FILE`
    /// names, `SKYPOSTAL_ENVIRONMENT` and `SKYPOSTAL_BASE_URL`. What is set by a method wins; an empty
    /// variable counts as absent. Of the file, one line break at its end is no part of the key.
    ///
    /// In a program with raised privileges, such as a set-user-ID one, the last three are refused:
    /// its caller must not choose where the keys go, nor which file is read.
    ///
    /// # Errors
    /// Names the first variable that is unusable.
    pub fn read_environment(&mut self) -> Result<(), Error> {
        let mut target = Target::default();
        let mut record = |option, name, outcome: Result<(), Error>| {
            let outcome = outcome.map_err(|error| error.read_from(Source::Variable(name)));
            let _ = target.deferred_errors.record(option, outcome);
        };
        if let Some(text) = variable(environment::USER_CODE) {
            let value = text.parse().map_or(Value::Invalid("is not an integer"), Value::Integer);
            let outcome = target.credentials.set(Field::UserCode, value);
            record("user_code", environment::USER_CODE, outcome);
        }
        if let Some((variable, key)) = environment::app_key() {
            target.app_key_variable = variable;
            let outcome = key.and_then(|key| target.credentials.set(Field::AppKey, key.as_str()));
            record("app_key", variable, outcome);
        }
        if let Some(text) = variable(environment::ENVIRONMENT) {
            let trusted = environment::check_trusted("environment");
            let parsed = trusted.and_then(|()| parse_environment(&text));
            let outcome = parsed.map(|url| target.environment = Some(url));
            record("environment", environment::ENVIRONMENT, outcome);
        }
        if let Some(text) = variable(environment::BASE_URL) {
            let trusted = environment::check_trusted("base_url");
            let parsed = trusted.and_then(|()| parse_base_url(&text));
            let outcome = parsed.map(|url| target.base_url = Some(url));
            record("base_url", environment::BASE_URL, outcome);
        }
        self.read = target;
        self.read.deferred_errors.check()
    }

    /// Sets the user code, or unsets it with [`Value::Unset`].
    ///
    /// # Errors
    /// [`Kind::InvalidField`](crate::Kind::InvalidField) if it is not positive.
    pub fn set_user_code<'a>(&mut self, value: impl Into<Value<'a>>) -> Result<(), Error> {
        let outcome = self.set.credentials.set(Field::UserCode, value);
        self.deferred_errors.record("user_code", outcome)
    }

    /// Sets the application key, or unsets it with [`Value::Unset`].
    ///
    /// # Errors
    /// [`Kind::InvalidField`](crate::Kind::InvalidField) if it is empty, only white space or too
    /// long, or has a control character.
    pub fn set_app_key<'a>(&mut self, value: impl Into<Value<'a>>) -> Result<(), Error> {
        let outcome = self.set.credentials.set(Field::AppKey, value);
        self.deferred_errors.record("app_key", outcome)
    }

    /// Sets the [`environment`](Options::environment).
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) unless it is `test` or `production`.
    pub fn set_environment(&mut self, value: Option<&str>) -> Result<(), Error> {
        let parsed = value.map(parse_environment).transpose();
        self.set.environment = self.deferred_errors.record("environment", parsed)?;
        Ok(())
    }

    /// Sets the [`base_url`](Options::base_url).
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for anything but an address.
    pub fn set_base_url(&mut self, value: Option<&str>) -> Result<(), Error> {
        let parsed = value.map(parse_base_url).transpose();
        self.set.base_url = self.deferred_errors.record("base_url", parsed)?;
        Ok(())
    }

    /// Sets the [`timeout`](Options::timeout).
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for zero or more than 49 days.
    pub fn set_timeout(&mut self, value: Option<Duration>) -> Result<(), Error> {
        let value = value.unwrap_or(Options::default().timeout);
        self.timeout = self.deferred_errors.record("timeout", check_time("timeout", value))?;
        Ok(())
    }

    /// Sets the [`connect_timeout`](Options::connect_timeout).
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for zero or more than 49 days.
    pub fn set_connect_timeout(&mut self, value: Option<Duration>) -> Result<(), Error> {
        let value = value.unwrap_or(Options::default().connect_timeout);
        let checked = check_time("connect_timeout", value);
        self.connect_timeout = self.deferred_errors.record("connect_timeout", checked)?;
        Ok(())
    }

    /// Sets [`max_retries`](Options::max_retries).
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for a negative number or one over 2³¹-1.
    pub fn set_max_retries(&mut self, value: i64) -> Result<(), Error> {
        let value = u32::try_from(value).ok().filter(|retries| *retries <= i32::MAX as u32);
        let checked = value
            .ok_or_else(|| Error::configuration("max_retries", "must be 0 or a greater integer"));
        self.max_retries = self.deferred_errors.record("max_retries", checked)?;
        Ok(())
    }

    /// Sets the [`proxy`](Options::proxy).
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for anything but an `http://` or
    /// `https://` address.
    pub fn set_proxy(&mut self, value: Option<&str>) -> Result<(), Error> {
        let parsed = value.map(|text| ProxyUrl::parse(text, Source::Option)).transpose();
        self.proxy = self.deferred_errors.record("proxy", parsed)?;
        Ok(())
    }

    /// Sets the [`ca_file`](Options::ca_file).
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

    /// Sets [`trust_env`](Options::trust_env).
    pub fn set_trust_env(&mut self, value: bool) {
        let _ = self.deferred_errors.record("trust_env", Ok(()));
        self.trust_env = value;
    }

    /// Sets [`allow_http`](Options::allow_http).
    pub fn set_allow_http(&mut self, value: bool) {
        let _ = self.deferred_errors.record("allow_http", Ok(()));
        self.allow_http = value;
    }

    /// Sets the [`user_agent`](Options::user_agent).
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for anything else than its 1 to 256
    /// characters.
    pub fn set_user_agent(&mut self, value: Option<&str>) -> Result<(), Error> {
        let checked = value.map(check_user_agent).transpose();
        self.user_agent = self.deferred_errors.record("user_agent", checked)?;
        Ok(())
    }

    /// Remembers, as a setter does, that a value could not be converted.
    pub fn refuse(&mut self, option: &'static str, problem: &str) -> Error {
        let error = Error::configuration(option, problem);
        let _ = self.deferred_errors.record::<()>(option, Err(error.clone()));
        error
    }

    /// Returns the first remembered error that no set value overrides.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.deferred_errors.check()?;
        let set = &self.set;
        self.read.deferred_errors.first_except(|option| match option {
            "user_code" => set.credentials.is_set(Field::UserCode),
            "app_key" => set.credentials.is_set(Field::AppKey),
            _ => set.base_url.is_some() || set.environment.is_some(),
        })
    }

    /// Has this variable name the CA file if the option is not set, and variables are read.
    #[cfg(any(test, feature = "python"))]
    pub(crate) fn read_ca_file_from(&mut self, variable: &'static str) {
        self.ca_file_variable = Some(variable);
    }

    /// Returns the path of the CA file and where it came from.
    pub(crate) fn find_ca_file(&self) -> (Option<PathBuf>, Source) {
        if let Some(path) = &self.ca_file {
            return (Some(path.clone()), Source::Option);
        }
        let read = self.trust_env && environment::is_trusted();
        let name = self.ca_file_variable.filter(|_| read);
        let found = name.and_then(|name| Some((name, env::var_os(name)?)));
        match found.filter(|(_, path)| !path.is_empty()) {
            Some((name, path)) => (Some(path.into()), Source::Variable(name)),
            None => (None, Source::Default),
        }
    }

    /// Returns the user code and the application key; what was set wins over what was read.
    pub(crate) fn credentials(&self) -> Update {
        let mut credentials = self.read.credentials.clone();
        credentials.override_with(&self.set.credentials);
        credentials
    }

    /// Returns the address of the call.
    pub(crate) fn url(&self) -> Result<Url, Error> {
        let (base, _, source) = self.base();
        if base.scheme() == "http" && !self.allow_http && !is_loopback(&base) {
            let problem = "plain http:// would send the keys readable by anyone on the way; use \
                           https://, or set allow_http";
            return Err(Error::configuration("base_url", problem).read_from(source));
        }
        let url = format!("{}{PATH}", base.as_str().trim_end_matches('/'));
        Ok(Url::parse(&url).expect("a URL with a longer path is a URL"))
    }

    /// Returns the address without the call's path, the option that decides it, and that option's
    /// source.
    fn base(&self) -> (Url, &'static str, Source) {
        let parse = |url| Url::parse(url).expect("a URL");
        let given = |target: &Target| match (&target.base_url, target.environment) {
            (Some(url), _) => Some((url.clone(), "base_url", environment::BASE_URL)),
            (None, Some(url)) => Some((parse(url), "environment", environment::ENVIRONMENT)),
            (None, None) => None,
        };
        if let Some((url, option, _)) = given(&self.set) {
            return (url, option, Source::Option);
        }
        match given(&self.read) {
            Some((url, option, variable)) => (url, option, Source::Variable(variable)),
            None => (parse(TEST_URL), "environment", Source::Default),
        }
    }

    /// Returns the proxy for calls to `url`, if there is one.
    pub(crate) fn find_proxy(&self, url: &Url) -> Result<Option<UsedProxy>, Error> {
        UsedProxy::find(url, self.proxy.as_ref(), self.trust_env, self.allow_http)
    }

    /// Returns where each value came from, given the proxy that was found.
    pub(crate) fn sources(&self, proxy: Option<&UsedProxy>) -> Sources {
        let credential = |field, variable| {
            if self.set.credentials.is_set(field) {
                Source::Option
            } else if self.read.credentials.is_set(field) {
                Source::Variable(variable)
            } else {
                Source::Default
            }
        };
        let (_, decisive, source) = self.base();
        let of_base = |option| if decisive == option { source } else { Source::Default };
        Sources {
            user_code: credential(Field::UserCode, environment::USER_CODE),
            app_key: credential(Field::AppKey, self.read.app_key_variable),
            environment: of_base("environment"),
            base_url: of_base("base_url"),
            proxy: proxy.map_or(Source::Default, |used| used.source),
            ca_file: self.find_ca_file().1,
        }
    }
}

/// Returns the name of the environment that an address of the service belongs to.
pub(crate) fn environment_of(url: &str) -> Option<&'static str> {
    [(TEST_URL, "test"), (PRODUCTION_URL, "production")]
        .into_iter()
        .find(|(base, _)| url.strip_prefix(base).is_some_and(|path| path.starts_with('/')))
        .map(|(_, name)| name)
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
    let url = address::parse(text).map_err(|problem| Error::configuration(name, problem))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::configuration(name, "must not hold a user name or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(Error::configuration(name, "must end with the host or a path"));
    }
    let service = PATH.split('/').nth(1).unwrap_or_default();
    if url.path().split('/').any(|segment| segment.eq_ignore_ascii_case(service)) {
        let problem =
            format!("holds the path of the call, which is added to it; end it before /{service}");
        return Err(Error::configuration(name, problem));
    }
    Ok(url)
}

fn check_user_agent(text: &str) -> Result<String, Error> {
    let is_printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let is_name = is_printable && !text.trim().is_empty() && text.len() <= 256;
    let problem = "must be 1 to 256 characters of printable ASCII, such as shop/1.2";
    is_name
        .then(|| text.trim().to_owned())
        .ok_or_else(|| Error::configuration("user_agent", problem))
}

#[cfg(test)]
pub(crate) mod tests;
