//! The environment variables: which are read, and which one a value came from.

use std::env;
use std::ffi::OsString;
#[cfg(feature = "python")]
use std::{fs, time::SystemTime};

use zeroize::Zeroizing;

use crate::error::Error;
use crate::field::Field;
use crate::key_file;
use crate::sys::privileges;

pub(crate) const USER_CODE: &str = "SKYPOSTAL_USER_CODE";
pub(crate) const APP_KEY: &str = "SKYPOSTAL_APP_KEY";
pub(crate) const APP_KEY_FILE: &str = "SKYPOSTAL_APP_KEY_FILE";
pub(crate) const ENVIRONMENT: &str = "SKYPOSTAL_ENVIRONMENT";
pub(crate) const BASE_URL: &str = "SKYPOSTAL_BASE_URL";

/// Every environment variable that a [`Client`](crate::Client) may read.
pub const ENVIRONMENT_VARIABLES: [&str; 16] = [
    USER_CODE,
    APP_KEY,
    APP_KEY_FILE,
    ENVIRONMENT,
    BASE_URL,
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

/// The origin of an option's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nothing was given: the default holds.
    Default,
    /// The program set the option.
    Option,
    /// The environment variable of this name.
    Variable(&'static str),
    /// The operating system's settings, which may name a proxy on Windows and macOS.
    System,
}

impl Source {
    /// `"default"`, `"option"`, `"system"`, or the name of the environment variable.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Default => "default",
            Source::Option => "option",
            Source::Variable(name) => name,
            Source::System => "system",
        }
    }

    /// Returns the name of the environment variable, if it is one.
    pub fn variable(self) -> Option<&'static str> {
        match self {
            Source::Variable(name) => Some(name),
            Source::Default | Source::Option | Source::System => None,
        }
    }
}

/// The origins of a client's options, of those that the environment may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sources {
    /// The origin of the user code.
    pub user_code: Source,
    /// The origin of the application key.
    pub app_key: Source,
    /// The origin of the environment; `Default` as well if the address follows from a base URL.
    pub environment: Source,
    /// The origin of the base URL; `Default` as well if the address follows from the environment.
    pub base_url: Source,
    /// The origin of the proxy; `Default` if the call goes through none.
    pub proxy: Source,
    /// The origin of the CA file; `Default` if there is none.
    pub ca_file: Source,
}

/// Returns a variable that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    os_variable(name).map(|value| value.to_string_lossy().into_owned())
}

/// Returns the same in the system's own encoding.
fn os_variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the name and the value of the variable that names a proxy for this scheme.
pub(crate) fn proxy_variable(scheme: &str) -> Option<(&'static str, String)> {
    let is_cgi = variable("REQUEST_METHOD").is_some();
    let names = proxy_variables(scheme, is_cgi, cfg!(windows));
    names.iter().find_map(|name| Some((*name, variable(name)?)))
}

/// Returns the variables that may name a proxy for this scheme, in the order in which they count. In a
/// CGI program the client's header `Proxy` sets `HTTP_PROXY` ("httpoxy"), which is `http_proxy` as well
/// if the system `ignores_case`.
fn proxy_variables(scheme: &str, is_cgi: bool, ignores_case: bool) -> &'static [&'static str] {
    match (scheme, ignores_case) {
        ("https", false) => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        ("https", true) => &["HTTPS_PROXY", "ALL_PROXY"],
        (_, false) if is_cgi => &["http_proxy", "all_proxy", "ALL_PROXY"],
        (_, true) if is_cgi => &["ALL_PROXY"],
        (_, false) => &["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"],
        (_, true) => &["HTTP_PROXY", "ALL_PROXY"],
    }
}

/// Returns the variable that gives the application key, and the key; `None` if none is set.
pub(crate) fn app_key() -> Option<(&'static str, Result<Zeroizing<String>, Error>)> {
    match (os_variable(APP_KEY), os_variable(APP_KEY_FILE)) {
        (None, None) => None,
        (Some(key), None) => {
            let key = key.into_string().map(Zeroizing::new);
            Some((APP_KEY, key.map_err(|_| Field::AppKey.invalid("is not valid UTF-8"))))
        }
        (None, Some(path)) => {
            let refuse = |problem| Error::configuration("app_key", problem);
            // The caller of a program with raised privileges would choose a file that it must not read.
            let checked = check_trusted("app_key");
            Some((APP_KEY_FILE, checked.and_then(|()| key_file::read(&path).map_err(refuse))))
        }
        (Some(_), Some(_)) => {
            let problem = "SKYPOSTAL_APP_KEY and SKYPOSTAL_APP_KEY_FILE are both set; unset one";
            Some((APP_KEY_FILE, Err(Error::configuration("app_key", problem))))
        }
    }
}

/// Returns the hosts that no proxy is used for.
pub(crate) fn no_proxy() -> String {
    variable("no_proxy").or_else(|| variable("NO_PROXY")).unwrap_or_default()
}

/// Returns whether variables that name proxies or certificates may be read: not in a program with
/// raised privileges, whose caller must not choose them.
pub(crate) fn is_trusted() -> bool {
    !privileges::raised()
}

/// Refuses a variable that decides where the keys go, unless the environment is trusted. To
/// ignore it in silence would send the keys to another of the service's environments.
pub(crate) fn check_trusted(option: &'static str) -> Result<(), Error> {
    if !is_trusted() {
        let problem = "must be set by a program with raised privileges itself, not by a variable";
        return Err(Error::configuration(option, problem));
    }
    Ok(())
}

/// The values of all variables that a client may read, at one moment.
#[cfg(feature = "python")]
#[derive(PartialEq, Eq)]
pub(crate) struct Snapshot {
    values: Vec<Option<OsString>>,
    /// What tells the file with the key from one that is put in its place.
    key_file: Option<(SystemTime, u64, FileIdentity)>,
}

#[cfg(feature = "python")]
impl Snapshot {
    /// Reads the variables, and the one that may name the CA file.
    pub(crate) fn new(ca_file_variable: &str) -> Self {
        let names = ENVIRONMENT_VARIABLES.into_iter().chain([ca_file_variable]);
        let written = |path| {
            let file = fs::metadata(path).ok()?;
            Some((file.modified().ok()?, file.len(), identity(&file)))
        };
        Snapshot {
            values: names.map(env::var_os).collect(),
            key_file: env::var_os(APP_KEY_FILE).and_then(written),
        }
    }
}

/// The inode, and the time of its last change. A copy may keep the time at which it was written.
#[cfg(all(feature = "python", unix))]
type FileIdentity = (u64, i64, i64);

#[cfg(all(feature = "python", unix))]
fn identity(file: &fs::Metadata) -> FileIdentity {
    use std::os::unix::fs::MetadataExt;
    (file.ino(), file.ctime(), file.ctime_nsec())
}

#[cfg(all(feature = "python", not(unix)))]
type FileIdentity = ();

#[cfg(all(feature = "python", not(unix)))]
fn identity(_: &fs::Metadata) -> FileIdentity {}

#[cfg(test)]
mod tests;
