//! Result codes, errors and the boundary that no panic crosses.

use std::ffi::{CString, c_char, c_int};
use std::ptr;
use std::time::Duration;

use super::handle::{Handle, Out, free, get};
use super::{borrowed, c_text};
use crate::{Delivery, Error, Kind};

/// Success.
pub const SKYPOSTAL_OK: c_int = 0;
/// A field of the update is missing, malformed or out of range; `skypostal_error_field` names it.
/// Found before anything is sent.
pub const SKYPOSTAL_INVALID_FIELD: c_int = 1;
/// An option is missing or unusable: credentials, URL, timeout, CA file, proxy;
/// `skypostal_error_field` names it. Found before anything is sent.
pub const SKYPOSTAL_CONFIGURATION: c_int = 2;
/// No connection: name look-up, refusal, connect timeout, or the proxy.
pub const SKYPOSTAL_CONNECT: c_int = 3;
/// No secure connection: the handshake failed, or the certificate is not trusted.
pub const SKYPOSTAL_TLS: c_int = 4;
/// The connection ended before a whole response had come.
pub const SKYPOSTAL_LOST: c_int = 5;
/// The deadline of the whole call passed.
pub const SKYPOSTAL_TIMEOUT: c_int = 6;
/// The HTTP status was not 2xx; see `skypostal_error_http_status` and `skypostal_error_body`.
pub const SKYPOSTAL_STATUS: c_int = 7;
/// The service said no: wrong credentials, an unknown customer, a value it does not take (observed:
/// with HTTP status 200); see `skypostal_error_description`. Or it reported an error of its own, and
/// may have made the change all the same: `skypostal_error_delivery` says.
pub const SKYPOSTAL_REFUSED: c_int = 8;
/// A 2xx response that is not in the documented form, or is compressed although no request accepts
/// that; see `skypostal_error_body`.
pub const SKYPOSTAL_RESPONSE: c_int = 9;
/// The call was ended by `skypostal_client_cancel`.
pub const SKYPOSTAL_CANCELLED: c_int = 10;
/// A bug of this library; please report it. Nothing else is affected.
pub const SKYPOSTAL_INTERNAL: c_int = 11;
/// NULL, a freed handle or a handle of another type was passed where a handle is needed. Nothing
/// was done.
pub const SKYPOSTAL_MISUSE: c_int = 12;

/// Nothing of the update reached the service: the customer is as before.
pub const SKYPOSTAL_DELIVERY_NOT_SENT: c_int = 1;
/// The service responded that it did not make the change: the customer is as before.
pub const SKYPOSTAL_DELIVERY_REJECTED: c_int = 2;
/// The customer may have been changed. Sending the same update again is harmless: it leaves the
/// same record.
pub const SKYPOSTAL_DELIVERY_UNKNOWN: c_int = 3;

/// Why a function or a row of a bulk failed. Given through `**error`, freed by
/// `skypostal_error_free`, and independent of all other handles; but that of a row belongs to its
/// `skypostal_outcome` and dies with it. Never changes: any thread may read it.
///
/// The texts are UTF-8, borrowed: they live as long as this handle.
pub struct skypostal_error {
    _opaque: [u8; 0],
}

impl Handle for skypostal_error {
    type Content = ErrorTexts;
    const TAG: u64 = 0x736b_7970_6f73_0005;
    const NAME: &'static str = "error";
}

/// An error with its texts, ended by NUL as C wants them.
pub struct ErrorTexts {
    kind: c_int,
    delivery: c_int,
    attempts: c_int,
    http_status: c_int,
    retry_after_ms: i64,
    system_error: c_int,
    message: Option<CString>,
    field: Option<CString>,
    description: Option<CString>,
    location: Option<CString>,
    body: Option<CString>,
    response_headers: Option<CString>,
}

impl From<Error> for ErrorTexts {
    fn from(error: Error) -> Self {
        let owned = |text: Option<&str>| c_text(text.map(str::to_owned));
        let milliseconds = |wait: Duration| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        ErrorTexts {
            kind: result_of(error.kind()),
            delivery: match error.delivery() {
                Delivery::NotSent => SKYPOSTAL_DELIVERY_NOT_SENT,
                Delivery::Rejected => SKYPOSTAL_DELIVERY_REJECTED,
                Delivery::Unknown => SKYPOSTAL_DELIVERY_UNKNOWN,
            },
            attempts: c_int::try_from(error.attempts()).unwrap_or(c_int::MAX),
            http_status: error.http_status().map_or(0, c_int::from),
            retry_after_ms: error.retry_after().map_or(-1, milliseconds),
            system_error: c_int::from(error.system_error()),
            message: c_text(Some(error.to_string())),
            field: owned(error.field()),
            description: owned(error.description()),
            location: owned(error.location()),
            body: owned(error.body()),
            response_headers: c_text(header_lines(error.response_headers())),
        }
    }
}

/// Returns a line for each header, with a line break between two; `None` if there is none.
fn header_lines(headers: &[(String, String)]) -> Option<String> {
    let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

pub fn result_of(kind: Kind) -> c_int {
    match kind {
        Kind::InvalidField => SKYPOSTAL_INVALID_FIELD,
        Kind::Configuration => SKYPOSTAL_CONFIGURATION,
        Kind::Connect => SKYPOSTAL_CONNECT,
        Kind::Tls => SKYPOSTAL_TLS,
        Kind::Lost => SKYPOSTAL_LOST,
        Kind::Timeout => SKYPOSTAL_TIMEOUT,
        Kind::Status => SKYPOSTAL_STATUS,
        Kind::Refused => SKYPOSTAL_REFUSED,
        Kind::Response => SKYPOSTAL_RESPONSE,
        Kind::Cancelled => SKYPOSTAL_CANCELLED,
        Kind::Internal => SKYPOSTAL_INTERNAL,
    }
}

/// Why a function did not do what it was asked.
pub enum Failure {
    Error(Error),
    /// The argument, and what is wrong with it.
    Misuse(&'static str, &'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

impl Failure {
    fn result(&self) -> c_int {
        match self {
            Failure::Error(error) => result_of(error.kind()),
            Failure::Misuse(..) => SKYPOSTAL_MISUSE,
        }
    }
}

impl From<Failure> for ErrorTexts {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Error(error) => error.into(),
            Failure::Misuse(argument, problem) => ErrorTexts {
                kind: SKYPOSTAL_MISUSE,
                delivery: SKYPOSTAL_DELIVERY_NOT_SENT,
                attempts: 0,
                http_status: 0,
                retry_after_ms: -1,
                system_error: 0,
                message: c_text(Some(format!("{argument} {problem}"))),
                field: None,
                description: None,
                location: None,
                body: None,
                response_headers: None,
            },
        }
    }
}

/// For [`guard`], in a function without `**error`.
pub const NO_ERROR: *mut *mut skypostal_error = ptr::null_mut();

/// Runs `work` and returns its result code. No panic crosses into C, and `*error` says why it failed.
pub unsafe fn guard(
    error: *mut *mut skypostal_error,
    work: impl FnOnce() -> Result<(), Failure>,
) -> c_int {
    let error = Out::new(error);
    match Error::catch_panic(work) {
        Ok(()) => SKYPOSTAL_OK,
        Err(failure) => {
            let result = failure.result();
            error.give(failure);
            result
        }
    }
}

/// Returns the meaning of a result code, in a few words of English. Static, never NULL, for any
/// number. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_strerror(result: c_int) -> *const c_char {
    let text = match result {
        SKYPOSTAL_OK => c"success",
        SKYPOSTAL_INVALID_FIELD => c"a field is missing, malformed or out of range",
        SKYPOSTAL_CONFIGURATION => c"an option is missing or unusable",
        SKYPOSTAL_CONNECT => c"no connection to the service",
        SKYPOSTAL_TLS => c"no secure connection to the service",
        SKYPOSTAL_LOST => c"the connection ended before a whole response",
        SKYPOSTAL_TIMEOUT => c"the deadline passed",
        SKYPOSTAL_STATUS => c"the service responded with an HTTP status that is not 2xx",
        SKYPOSTAL_REFUSED => c"the service refused the update, or reported an error",
        SKYPOSTAL_RESPONSE => c"the response is not in the documented form",
        SKYPOSTAL_CANCELLED => c"the call was cancelled",
        SKYPOSTAL_INTERNAL => c"an internal error of the library",
        SKYPOSTAL_MISUSE => c"NULL, or a handle of another kind, where a handle is needed",
        _ => c"not a result code of this library",
    };
    text.as_ptr()
}

/// Returns the meaning of a delivery, in a few words of English. Static, never NULL, for any
/// number. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_delivery_text(delivery: c_int) -> *const c_char {
    let text = match delivery {
        SKYPOSTAL_DELIVERY_NOT_SENT => c"not sent: the customer is as before",
        SKYPOSTAL_DELIVERY_REJECTED => c"rejected by the service: the customer is as before",
        SKYPOSTAL_DELIVERY_UNKNOWN => c"unknown: the customer may have been changed",
        _ => c"not a delivery of this library",
    };
    text.as_ptr()
}

/// Frees an error, and the texts that were borrowed from it. NULL is ignored, and so is an error that
/// an outcome owns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_free(error: *mut skypostal_error) {
    free(error)
}

/// Returns the result code of the function or row that failed. `SKYPOSTAL_MISUSE` for NULL or a
/// foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_kind(error: *const skypostal_error) -> c_int {
    get(error).map_or(SKYPOSTAL_MISUSE, |error| error.kind)
}

/// Returns whether the customer was changed: `SKYPOSTAL_DELIVERY_NOT_SENT`,
/// `SKYPOSTAL_DELIVERY_REJECTED` or `SKYPOSTAL_DELIVERY_UNKNOWN`. The kind of error does not say
/// this. Of several attempts the greatest of the three counts: if the first one may have reached the
/// service, the update is unknown, even if the last one found no connection or was refused. 0 for
/// NULL or a foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_delivery(error: *const skypostal_error) -> c_int {
    get(error).map_or(0, |error| error.delivery)
}

/// Returns the number of attempts that were started; 0 when nothing was tried, and for NULL or a
/// foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_attempts(error: *const skypostal_error) -> c_int {
    get(error).map_or(0, |error| error.attempts)
}

/// Returns the HTTP status, for `SKYPOSTAL_STATUS`; 0 for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_http_status(error: *const skypostal_error) -> c_int {
    get(error).map_or(0, |error| error.http_status)
}

/// Returns 1 when the service called the error one of its own system (documented as
/// `system_error`), else 0. The service may have made the change before that error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_system_error(error: *const skypostal_error) -> c_int {
    get(error).map_or(0, |error| error.system_error)
}

/// Returns the time that the service asked to wait, in milliseconds; -1 if it did not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_retry_after_ms(error: *const skypostal_error) -> i64 {
    get(error).map_or(-1, |error| error.retry_after_ms)
}

/// Returns the message, one line of English with the chain of causes. It holds no key and no
/// personal data, except the service's own words in a refusal. Borrowed; never NULL for an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_message(error: *const skypostal_error) -> *const c_char {
    get(error).map_or(ptr::null(), |error| borrowed(&error.message))
}

/// Returns the name of the field that is invalid or of the option that is unusable, such as
/// `"customer_gender"` or `"timeout"`. Of a proxy or certificates that a variable names it is the
/// variable. Borrowed; NULL for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_field(error: *const skypostal_error) -> *const c_char {
    get(error).map_or(ptr::null(), |error| borrowed(&error.field))
}

/// Returns the service's own words for a refusal (documented as `error_description`), perhaps
/// empty; keys are redacted. Borrowed; NULL for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_description(
    error: *const skypostal_error,
) -> *const c_char {
    get(error).map_or(ptr::null(), |error| borrowed(&error.description))
}

/// Returns the place in the service where a refusal arose, in the service's words (documented as
/// `error_location`), perhaps empty. Borrowed; NULL for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_location(error: *const skypostal_error) -> *const c_char {
    get(error).map_or(ptr::null(), |error| borrowed(&error.location))
}

/// Returns an excerpt of the response, at most about 1 KiB, for `SKYPOSTAL_STATUS` and
/// `SKYPOSTAL_RESPONSE`; keys are redacted, personal data is not. Borrowed; NULL for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_body(error: *const skypostal_error) -> *const c_char {
    get(error).map_or(ptr::null(), |error| borrowed(&error.body))
}

/// Returns the headers of the response that help SkyPostal or a proxy's operator to find the call:
/// `date`, `server`, `via` and the IDs that gateways give to a request, such as `x-request-id`.
/// One line each, `"name: value"`, with a line break between two; at most 16, of 256 characters
/// each; keys are redacted. Borrowed; NULL if no response came, or if it has none of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_response_headers(
    error: *const skypostal_error,
) -> *const c_char {
    get(error).map_or(ptr::null(), |error| borrowed(&error.response_headers))
}
