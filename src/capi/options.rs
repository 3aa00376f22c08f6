//! The setters of options.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::Path;
use std::time::Duration;

use super::error::{NO_ERROR, guard};
use super::handle::{Handle, free, get_mut, into_handle};
use super::log::{Log, skypostal_log_callback};
use super::{c_str, text_value};
use crate::{Error, Options, Value};

/// The options of a client. Made by `skypostal_options_new`, freed by `skypostal_options_free`,
/// also before the clients that were made of them: these have copies. To be used by one thread at a
/// time.
///
/// A setter checks its value and copies it. It returns `SKYPOSTAL_OK`, `SKYPOSTAL_MISUSE`, or
/// `SKYPOSTAL_CONFIGURATION` (`SKYPOSTAL_INVALID_FIELD` for the user code and the application key)
/// for a bad value, which is remembered until the same setter gets a good one:
/// `skypostal_client_new` names the first. NULL sets a text back to its default.
pub struct skypostal_options {
    _opaque: [u8; 0],
}

impl Handle for skypostal_options {
    type Content = OptionsAndLog;
    const TAG: u64 = 0x736b_7970_6f73_0001;
    const NAME: &'static str = "options";
}

/// The options of the core, and the log, which is C's own.
pub struct OptionsAndLog {
    pub options: Options,
    pub log: Option<Log>,
}

/// Returns new options with the defaults: the test environment, 30 s for a call, 10 s for a
/// connection, 2 retries. Never NULL. Yours: free them with `skypostal_options_free`.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_options_new() -> *mut skypostal_options {
    into_handle(OptionsAndLog { options: Options::new(), log: None })
}

/// Frees options; a client made of them is not affected. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_free(options: *mut skypostal_options) {
    free(options)
}

/// Reads `SKYPOSTAL_USER_CODE`, `SKYPOSTAL_APP_KEY` or the file that `SKYPOSTAL_APP_KEY_FILE` names,
/// `SKYPOSTAL_ENVIRONMENT` and `SKYPOSTAL_BASE_URL` from the environment, which no other thread may
/// change meanwhile. What a setter sets wins, before or after. An empty variable counts as absent.
/// Without this call they are not read. Of the file, one line break at its end is no part of the key.
///
/// In a program with raised privileges (`AT_SECURE`, such as a set-user-ID one) the last three are
/// refused as unusable, so that its caller does not choose where the keys go, nor which file is read;
/// the first two are read, since a wrong one only makes the service refuse.
///
/// Returns `SKYPOSTAL_OK`; `SKYPOSTAL_MISUSE`; or for the first variable that is unusable
/// `SKYPOSTAL_INVALID_FIELD` (user code and key) or `SKYPOSTAL_CONFIGURATION` (the others). An
/// unusable variable is remembered as a setter's bad value is. Another call of this function, or a
/// setter that wins over the variable, replaces it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_read_environment(
    options: *mut skypostal_options,
) -> c_int {
    guard(NO_ERROR, || Ok(get_mut(options)?.options.read_environment()?))
}

/// Sets the user code given by SkyPostal for one environment (documented): positive. An update may
/// bring its own. A call that has one from neither fails with `SKYPOSTAL_CONFIGURATION`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_user_code(
    options: *mut skypostal_options,
    value: i64,
) -> c_int {
    guard(NO_ERROR, || Ok(get_mut(options)?.options.set_user_code(value)?))
}

/// Sets the application key given by SkyPostal for one environment (documented): a text as the
/// fields of an update are. Secret. An update may bring its own. A call that has one from neither
/// fails with `SKYPOSTAL_CONFIGURATION`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_app_key(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    guard(NO_ERROR, || Ok(get_mut(options)?.options.set_app_key(text_value(value))?))
}

/// Sets the environment: `"test"` (the default) or `"production"`. Each has credentials of its own
/// (documented). Test's address is documented, production's was seen in use elsewhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_environment(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    set_option(options, "environment", value, Options::set_environment)
}

/// Sets the address of the service, such as `"https://host:port"`, without the path of the call. It
/// wins over the environment's address. Plain `http://` only to this machine, unless allowed by
/// `skypostal_options_set_allow_http`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_base_url(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    set_option(options, "base_url", value, Options::set_base_url)
}

/// Sets the timeout of a whole call, retries and waits included, in milliseconds: from 1 on; 30000
/// unless set. Then the call fails with `SKYPOSTAL_TIMEOUT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_timeout_ms(
    options: *mut skypostal_options,
    value: u32,
) -> c_int {
    let value = Some(Duration::from_millis(value.into()));
    guard(NO_ERROR, || Ok(get_mut(options)?.options.set_timeout(value)?))
}

/// Sets the timeout of one connection, from the look-up of the name to TLS, in milliseconds: from 1
/// on; 10000 unless set. Then the attempt fails with `SKYPOSTAL_CONNECT`, or with `SKYPOSTAL_TLS` if
/// it waited for TLS.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_connect_timeout_ms(
    options: *mut skypostal_options,
    value: u32,
) -> c_int {
    let value = Some(Duration::from_millis(value.into()));
    guard(NO_ERROR, || Ok(get_mut(options)?.options.set_connect_timeout(value)?))
}

/// Sets how often a call is tried again: 0 or more; 2 unless set. A call is tried again after a failed
/// or lost connection, unless a certificate was not accepted, or a status 408, 429, 502, 503 or 504.
/// A client has 50 retries in all, and ten accepted updates give one back: while the service is down,
/// the calls after those are tried once.
/// A row of a bulk that got 429 or 503 is tried again until its timeout, unless this is 0. The same
/// update sent twice leaves the same record (documented: it sets fields to values). With 0 an update
/// is sent at most once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_max_retries(
    options: *mut skypostal_options,
    value: c_int,
) -> c_int {
    guard(NO_ERROR, || Ok(get_mut(options)?.options.set_max_retries(value.into())?))
}

/// Sets the proxy to use, `"http://[user:password@]host:port"` or `"https://..."`. It wins over the
/// environment's. NULL, the default: that of the environment or of the system's settings, see
/// `skypostal_options_set_trust_env`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_proxy(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    set_option(options, "proxy", value, Options::set_proxy)
}

/// Sets the path of a PEM file of certificates, or of a folder of them, to trust beside the
/// operating system's, which the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace, except in a
/// program with raised privileges. The path is in the encoding of the file system; on Windows in
/// UTF-8. `skypostal_client_new` reads it, and says what is wrong with it. NULL, the default: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_ca_file(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    let set = || {
        let options = &mut get_mut(options)?.options;
        match c_str(value).map(path_of).transpose() {
            Ok(path) => Ok(options.set_ca_file(path)?),
            Err(problem) => Err(options.refuse("ca_file", problem))?,
        }
    };
    guard(NO_ERROR, set)
}

#[cfg(unix)]
fn path_of(text: &CStr) -> Result<&Path, &'static str> {
    use std::os::unix::ffi::OsStrExt;
    Ok(Path::new(std::ffi::OsStr::from_bytes(text.to_bytes())))
}

/// On Windows a path has no bytes of its own that C could give.
#[cfg(not(unix))]
fn path_of(text: &CStr) -> Result<&Path, &'static str> {
    text.to_str().map(Path::new).map_err(|_| "is not valid UTF-8")
}

/// Sets whether `skypostal_client_new` reads the proxy variables, such as `HTTPS_PROXY` and
/// `NO_PROXY`, and on Windows and macOS the proxy of the system's settings: 0, or 1 (the default).
/// In a program with raised privileges it never does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_trust_env(
    options: *mut skypostal_options,
    value: c_int,
) -> c_int {
    set_flag(options, "trust_env", value, Options::set_trust_env)
}

/// Sets whether plain `http://` may leave this machine, with the keys readable on the way: 0 (the
/// default) or 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_allow_http(
    options: *mut skypostal_options,
    value: c_int,
) -> c_int {
    set_flag(options, "allow_http", value, Options::set_allow_http)
}

/// Sets the name of your program, such as `"shop/1.2"`, which follows this library's in the header
/// `User-Agent`: so SkyPostal can tell its calls from those of others. 1 to 256 characters of
/// printable ASCII. NULL, the default: the library's name alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_user_agent(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    set_option(options, "user_agent", value, Options::set_user_agent)
}

/// Sets the function that receives one line for each attempt of a call or a row when it has ended:
/// its outcome, the time that it took, the reason of a failure, and whether a retry follows. The
/// line holds no key and no personal data. It is borrowed, without a line break, and ends with the
/// callback. NULL, the default: no log. `user_data` is passed on, and must live until the clients
/// and their bulks are freed and every call has returned.
///
/// The callback runs on the thread that waits for the call, or that takes the outcome of a row by
/// `skypostal_bulk_next`: so perhaps on several threads at once. It must return: no longjmp, no
/// exception. The call waits for it, its deadline does not. It may make a call of its own, which is
/// not logged. It must not free the client, nor use the bulk whose outcome is being taken.
///
/// Returns `SKYPOSTAL_OK` or `SKYPOSTAL_MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_log(
    options: *mut skypostal_options,
    callback: skypostal_log_callback,
    user_data: *mut c_void,
) -> c_int {
    let work = || {
        get_mut(options)?.log = Log::new(callback, user_data);
        Ok(())
    };
    guard(NO_ERROR, work)
}

unsafe fn set_flag(
    options: *mut skypostal_options,
    name: &'static str,
    value: c_int,
    set: impl FnOnce(&mut Options, bool),
) -> c_int {
    let work = || {
        let options = &mut get_mut(options)?.options;
        match value {
            0 | 1 => set(options, value == 1),
            _ => Err(options.refuse(name, "must be 0 or 1"))?,
        }
        Ok(())
    };
    guard(NO_ERROR, work)
}

unsafe fn set_option(
    options: *mut skypostal_options,
    name: &'static str,
    value: *const c_char,
    set: impl FnOnce(&mut Options, Option<&str>) -> Result<(), Error>,
) -> c_int {
    let work = || {
        let options = &mut get_mut(options)?.options;
        match text_value(value) {
            Value::Invalid(problem) => Err(options.refuse(name, problem))?,
            Value::Text(text) => set(options, Some(text))?,
            _ => set(options, None)?,
        }
        Ok(())
    };
    guard(NO_ERROR, work)
}
