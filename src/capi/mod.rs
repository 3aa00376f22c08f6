//! The C ABI. Its manual is the header that cbindgen writes from the comments here.
//!
//! Each function checks its pointers, hands over to the core, and turns the outcome into a status.
//! Beside `src/sys/` this is the only unsafe code of the library; [`get`], [`get_mut`], [`text`] and
//! [`give`] hold it.

#![allow(unsafe_code, non_camel_case_types, clippy::missing_safety_doc)]

use std::convert::Infallible;
use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use crate::{
    Bulk, BulkOptions, Client, Delivery, Error, Field, Kind, Options, PersonalInfo, Update, Value,
};

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
/// The connection ended before a whole answer had come.
pub const SKYPOSTAL_LOST: c_int = 5;
/// The deadline of the whole call passed.
pub const SKYPOSTAL_TIMEOUT: c_int = 6;
/// The HTTP status was not 2xx; see `skypostal_error_http_status` and `skypostal_error_body`.
pub const SKYPOSTAL_STATUS: c_int = 7;
/// The service said no: wrong credentials, an unknown customer, a value it does not take (observed:
/// with HTTP 200 too); see `skypostal_error_description`. Or it reported an error of its own, and
/// may have made the change all the same: `skypostal_error_delivery` tells.
pub const SKYPOSTAL_REFUSED: c_int = 8;
/// A 2xx answer that is not in the documented form, or is compressed although no request accepts
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
/// The service answered that it did not make the change: the customer is as before.
pub const SKYPOSTAL_DELIVERY_REJECTED: c_int = 2;
/// The customer may have been changed. Sending the same update again is harmless: it leaves the
/// same record.
pub const SKYPOSTAL_DELIVERY_UNKNOWN: c_int = 3;

/// How a client is set up. Made by `skypostal_options_new`, freed by `skypostal_options_free`,
/// which may come as soon as the clients are made: they copy it. To be used by one thread at a
/// time.
///
/// A setter checks its value and copies it. It returns `SKYPOSTAL_OK`, `SKYPOSTAL_MISUSE`, or
/// `SKYPOSTAL_CONFIGURATION` (for the two credentials `SKYPOSTAL_INVALID_FIELD`) for a bad value,
/// which is remembered until the same setter gets a good one: `skypostal_client_new` names the
/// first. NULL sets a text back to its default.
pub struct skypostal_options {
    _opaque: [u8; 0],
}

/// A client with its connections. Made by `skypostal_client_new`, freed by `skypostal_client_free`.
/// Made once, used for every call, by any number of threads at once, each on a connection of its
/// own; connections are kept and used again. Works on both sides of a fork.
pub struct skypostal_client {
    _opaque: [u8; 0],
}

/// Which customer to change, and what. Made by `skypostal_update_new`, freed by
/// `skypostal_update_free`. To be used by one thread at a time; may be changed and sent again.
///
/// An update keeps its fields from call to call. WARNING: a loop that uses one update for many
/// customers must call `skypostal_update_clear` first for each of them. A field that it does not
/// set for a customer would otherwise be sent with the value of the customer before.
///
/// What is not set is not sent, and keeps its value at the service (documented); one, some or all
/// fields may change in one call (documented). A setter checks its value and copies it. It returns
/// `SKYPOSTAL_OK`, `SKYPOSTAL_MISUSE`, or `SKYPOSTAL_INVALID_FIELD` for a bad value, which is
/// remembered until the same setter gets a good one: the call that sends the update names the
/// first. NULL unsets a text, `skypostal_update_unset` any field, `skypostal_update_clear` all.
///
/// A text is UTF-8, not empty and not only white space, without control characters and of at most
/// 8192 UTF-16 units (observed: longer ones are refused); all other Unicode arrives unchanged.
/// Whether an empty text would clear a field is documented nowhere. A whole request has at most
/// 65536 bytes (observed); the call's error names its longest text.
pub struct skypostal_update {
    _opaque: [u8; 0],
}

/// A run of many updates, several of which are under way at once. Made by
/// `skypostal_bulk_new`, freed by `skypostal_bulk_free`. To be used by one thread at a
/// time, from its first row to its last outcome:
///
/// ```c
/// while (1) {
///     while (more && skypostal_bulk_capacity(many) > 0) {
///         skypostal_update_clear(update);
///         more = read_row(file, update);
///         if (more)
///             skypostal_bulk_submit(many, update);
///     }
///     status = skypostal_bulk_next(many, &index, &info, &error);
///     if (index < 0)
///         break;
///     report(index, status, info, error);
///     skypostal_personal_info_free(info);
///     skypostal_error_free(error);
/// }
/// ```
///
/// The rows are sent by a thread of the library, which the first row of a process starts and which
/// blocks all signals. Each row has the client's timeout, from its first attempt on, and its
/// retries. Where the service answers 429 or 503 the whole run pauses, for as long as it asks but
/// at most 300 s, and goes on slower, by and by up to its old rate; such a row is tried again until
/// its timeout, unless the client's retries are 0. After 10 rows in a row that found no connection
/// the run stops: no more are sent.
///
/// In a forked child a run of the parent has nothing to tell; a new one can be made there.
pub struct skypostal_bulk {
    _opaque: [u8; 0],
}

/// A customer's personal information after an update, as the service reported it. Given by
/// `skypostal_client_update_personal_info` and `skypostal_bulk_next`, freed by
/// `skypostal_personal_info_free`; independent of the client and the update. Never changes: any
/// thread may read it.
///
/// The texts are UTF-8, borrowed: they live as long as this handle. NULL where the service told
/// nothing, or what cannot be read; `skypostal_personal_info_raw` has that too. Of a foreign handle
/// all is absent.
pub struct skypostal_personal_info {
    _opaque: [u8; 0],
}

/// Why a function failed. Given through `**error`, freed by `skypostal_error_free`; independent of
/// all other handles. Never changes: any thread may read it.
///
/// The texts are UTF-8, borrowed: they live as long as this handle.
pub struct skypostal_error {
    _opaque: [u8; 0],
}

/// What stands behind a handle: a tag that tells handles of different types and freed ones apart,
/// then the content.
#[repr(C)]
struct HandleBox<T> {
    tag: u64,
    content: T,
}

trait Handle {
    type Content;
    const TAG: u64;
    /// What the functions call it.
    const NAME: &'static str;
}

impl Handle for skypostal_options {
    type Content = Options;
    const TAG: u64 = 0x736b_7970_6f73_0001;
    const NAME: &'static str = "options";
}

impl Handle for skypostal_client {
    /// A call in flight owns a share: a host that frees the client too early does no harm.
    type Content = Arc<Client>;
    const TAG: u64 = 0x736b_7970_6f73_0002;
    const NAME: &'static str = "client";
}

impl Handle for skypostal_update {
    type Content = Update;
    const TAG: u64 = 0x736b_7970_6f73_0003;
    const NAME: &'static str = "update";
}

impl Handle for skypostal_personal_info {
    type Content = InfoTexts;
    const TAG: u64 = 0x736b_7970_6f73_0004;
    const NAME: &'static str = "info";
}

impl Handle for skypostal_error {
    type Content = ErrorTexts;
    const TAG: u64 = 0x736b_7970_6f73_0005;
    const NAME: &'static str = "error";
}

impl Handle for skypostal_bulk {
    type Content = Bulk;
    const TAG: u64 = 0x736b_7970_6f73_0006;
    const NAME: &'static str = "bulk";
}

/// The texts of an answer, ended by NUL as C wants them.
struct InfoTexts {
    cust_id: i64,
    first_name: Option<CString>,
    last_name: Option<CString>,
    identity_number: Option<CString>,
    tax_number: Option<CString>,
    birth_date: Option<CString>,
    gender: Option<CString>,
    raw: Option<CString>,
}

impl From<PersonalInfo> for InfoTexts {
    fn from(info: PersonalInfo) -> Self {
        InfoTexts {
            cust_id: info.cust_id.unwrap_or(0),
            first_name: c_text(info.customer_first_name),
            last_name: c_text(info.customer_last_name),
            identity_number: c_text(info.customer_identity_number),
            tax_number: c_text(info.customer_tax_number),
            birth_date: c_text(info.customer_birth_date.map(|day| day.to_string())),
            gender: c_text(info.customer_gender),
            raw: c_text(Some(info.raw)),
        }
    }
}

/// An error with its texts, ended by NUL as C wants them.
struct ErrorTexts {
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
}

impl From<&Error> for ErrorTexts {
    fn from(error: &Error) -> Self {
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
        }
    }
}

fn c_text(text: Option<String>) -> Option<CString> {
    // A NUL inside would end the text early without a trace.
    let without_nul = |text: String| match text.contains('\0') {
        true => text.replace('\0', "\u{fffd}"),
        false => text,
    };
    text.map(|text| CString::new(without_nul(text)).expect("no NUL is left"))
}

fn borrowed(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

fn result_of(kind: Kind) -> c_int {
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
enum Failure {
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

    fn texts(&self) -> ErrorTexts {
        match self {
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
            },
        }
    }
}

/// The content of a live handle of this type: a release build goes by the tag, which may be read
/// from memory that was freed, and a debug build by the list of the live ones.
unsafe fn get<'a, H: Handle>(handle: *const H) -> Result<&'a H::Content, Failure> {
    let handle_box = handle.cast::<HandleBox<H::Content>>();
    if handle_box.is_null() {
        return Err(Failure::Misuse(H::NAME, "is NULL"));
    }
    let has_tag = || unsafe { (*handle_box).tag == H::TAG };
    let is_live = || if cfg!(debug_assertions) { registry::holds(handle) } else { has_tag() };
    if !handle_box.is_aligned() || !is_live() {
        let problem = "was freed, or is a handle of another type";
        // The functions that return no status have no other way to tell a developer.
        if cfg!(all(debug_assertions, not(fuzzing))) {
            let _ = writeln!(io::stderr(), "skypostal: {} {problem}", H::NAME);
        }
        return Err(Failure::Misuse(H::NAME, problem));
    }
    Ok(unsafe { &(*handle_box).content })
}

unsafe fn get_mut<'a, H: Handle>(handle: *mut H) -> Result<&'a mut H::Content, Failure> {
    unsafe { get(handle.cast_const()) }?;
    Ok(unsafe { &mut (*handle.cast::<HandleBox<H::Content>>()).content })
}

/// A new handle, which its receiver frees.
fn into_handle<H: Handle>(content: H::Content) -> *mut H {
    let handle = Box::into_raw(Box::new(HandleBox { tag: H::TAG, content })).cast();
    if cfg!(debug_assertions) {
        registry::add::<H>(handle);
    }
    handle
}

unsafe fn free<H: Handle>(handle: *mut H) {
    let _ = panic::catch_unwind(AssertUnwindSafe(|| {
        if handle.is_null() || unsafe { get(handle.cast_const()) }.is_err() {
            return;
        }
        if cfg!(debug_assertions) && !registry::remove(handle) {
            return;
        }
        let handle_box = handle.cast::<HandleBox<H::Content>>();
        // Seen by a second free as long as the memory is not used again.
        unsafe { ptr::write_volatile(&raw mut (*handle_box).tag, 0) };
        drop(unsafe { Box::from_raw(handle_box) });
    }));
}

/// The handles that are live, kept in debug builds alone: there a stale or foreign one is told for
/// certain, without a look at memory that may be anybody's by now.
///
/// A list without a lock, since one that another thread holds at a fork would stay locked in the
/// child. Its slots are used again, and never freed.
mod registry {
    use std::iter;
    use std::ptr;
    use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};

    use super::Handle;

    struct Slot {
        /// 0 when it is free.
        entry: AtomicUsize,
        next: Option<&'static Slot>,
    }

    static FIRST: [AtomicPtr<Slot>; 256] = [const { AtomicPtr::new(ptr::null_mut()) }; 256];

    /// The address, and in its lowest bits, which alignment leaves free, the type.
    fn entry<H: Handle>(handle: *const H) -> usize {
        handle.addr() | (H::TAG & 7) as usize
    }

    fn first(entry: usize) -> &'static AtomicPtr<Slot> {
        &FIRST[entry / 16 % FIRST.len()]
    }

    fn change(entry: usize, from: usize, to: usize) -> bool {
        let mut slots = iter::successors(
            unsafe { first(entry).load(SeqCst).as_ref() },
            |slot: &&'static Slot| slot.next,
        );
        slots.any(|slot| slot.entry.compare_exchange(from, to, SeqCst, SeqCst).is_ok())
    }

    pub fn add<H: Handle>(handle: *const H) {
        let entry = entry(handle);
        if change(entry, 0, entry) {
            return;
        }
        let slot = Box::leak(Box::new(Slot { entry: entry.into(), next: None }));
        let _ = first(entry).fetch_update(SeqCst, SeqCst, |next| {
            slot.next = unsafe { next.as_ref() };
            Some(slot)
        });
    }

    pub fn holds<H: Handle>(handle: *const H) -> bool {
        let entry = entry(handle);
        change(entry, entry, entry)
    }

    /// Whether it was there: of two threads that free one handle, one is told.
    pub fn remove<H: Handle>(handle: *const H) -> bool {
        let entry = entry(handle);
        change(entry, entry, 0)
    }
}

/// A text from C: NULL means none.
unsafe fn text<'a>(text: *const c_char) -> Value<'a> {
    if text.is_null() {
        return Value::Unset;
    }
    let text = unsafe { CStr::from_ptr(text) }.to_str();
    text.map_or(Value::Invalid("is not valid UTF-8"), Value::Text)
}

/// Runs `work`; no panic crosses into C, and `*error` says why it failed.
unsafe fn guard(
    error: *mut *mut skypostal_error,
    work: impl FnOnce() -> Result<(), Failure>,
) -> c_int {
    if !error.is_null() {
        unsafe { *error = ptr::null_mut() };
    }
    match Error::catch_panic(work) {
        Ok(()) => SKYPOSTAL_OK,
        Err(failure) => {
            if !error.is_null() {
                unsafe { *error = into_handle(failure.texts()) };
            }
            failure.result()
        }
    }
}

/// The version of the library that is loaded, such as `"0.1.0"`. Static, never NULL. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The version of the library that is loaded: major * 1000000 + minor * 1000 + patch. Any thread.
///
/// It may be greater than `SKYPOSTAL_VERSION_NUMBER`, the version of the header that a program was
/// compiled with: functions and numbers are only added as long as the library's file is named
/// `libskypostal.so.0`. A smaller one may lack a function.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_version_number() -> c_int {
    let part = |text: &str| text.parse::<c_int>().unwrap_or(0);
    part(env!("CARGO_PKG_VERSION_MAJOR")) * 1_000_000
        + part(env!("CARGO_PKG_VERSION_MINOR")) * 1_000
        + part(env!("CARGO_PKG_VERSION_PATCH"))
}

/// What a status means, in a few words of English. Static, never NULL, for any number. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_strerror(status: c_int) -> *const c_char {
    let text = match status {
        SKYPOSTAL_OK => c"success",
        SKYPOSTAL_INVALID_FIELD => c"a field is missing, malformed or out of range",
        SKYPOSTAL_CONFIGURATION => c"an option is missing or unusable",
        SKYPOSTAL_CONNECT => c"no connection to the service",
        SKYPOSTAL_TLS => c"no secure connection to the service",
        SKYPOSTAL_LOST => c"the connection ended before a whole answer",
        SKYPOSTAL_TIMEOUT => c"the deadline passed",
        SKYPOSTAL_STATUS => c"the service answered an HTTP status that is not 2xx",
        SKYPOSTAL_REFUSED => c"the service refused the update, or reported an error",
        SKYPOSTAL_RESPONSE => c"the answer is not in the documented form",
        SKYPOSTAL_CANCELLED => c"the call was cancelled",
        SKYPOSTAL_INTERNAL => c"an internal error of the library",
        SKYPOSTAL_MISUSE => c"NULL, or a handle of another kind, where a handle is needed",
        _ => c"not a status of this library",
    };
    text.as_ptr()
}

/// New options with the defaults: the test environment, 30 s for a call, 10 s for a connection, 2
/// retries. Never NULL. Yours: free them with `skypostal_options_free`.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_options_new() -> *mut skypostal_options {
    into_handle(Options::new())
}

/// Frees options; a client made of them is not affected. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_free(options: *mut skypostal_options) {
    unsafe { free(options) }
}

/// Reads `SKYPOSTAL_USER_CODE`, `SKYPOSTAL_APP_KEY`, `SKYPOSTAL_ENVIRONMENT` and
/// `SKYPOSTAL_BASE_URL` from the environment, which no other thread may change meanwhile. What a
/// setter sets wins, before or after. An empty variable counts as absent. Without this call they
/// are not read. In a program with raised privileges (`AT_SECURE`: set-user-ID and its like) the
/// last two are refused as unusable, so that its caller does not choose where the keys go; the
/// first two are read, since a wrong one only makes the service refuse.
///
/// Returns `SKYPOSTAL_OK`, `SKYPOSTAL_MISUSE`, or for the first variable that is unusable
/// `SKYPOSTAL_INVALID_FIELD` (the two credentials) or `SKYPOSTAL_CONFIGURATION`; it is remembered
/// as a setter's bad value is, until that variable is read again or a setter wins over it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_read_environment(
    options: *mut skypostal_options,
) -> c_int {
    unsafe { guard(ptr::null_mut(), || Ok(get_mut(options)?.read_environment()?)) }
}

/// The user code given by SkyPostal for one environment (documented): positive. An update may bring
/// its own. Required somewhere: a call without one fails with `SKYPOSTAL_CONFIGURATION`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_user_code(
    options: *mut skypostal_options,
    value: i64,
) -> c_int {
    unsafe { guard(ptr::null_mut(), || Ok(get_mut(options)?.set_user_code(value)?)) }
}

/// The application key given by SkyPostal for one environment (documented): a text as the fields of
/// an update are. Secret. An update may bring its own. Required somewhere, as the user code is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_app_key(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    unsafe { guard(ptr::null_mut(), || Ok(get_mut(options)?.set_app_key(text(value))?)) }
}

/// `"test"` (the default) or `"production"`. Each has credentials of its own (documented). Test's
/// address is documented, production's was seen in use elsewhere.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_environment(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    unsafe { set_option(options, "environment", value, Options::set_environment) }
}

/// Where the service is, such as `"https://host:port"`, without the path of the call; wins over the
/// environment's address. Plain `http://` only to this machine, unless allowed by
/// `skypostal_options_set_allow_http`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_base_url(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    unsafe { set_option(options, "base_url", value, Options::set_base_url) }
}

/// How long a whole call may take, retries and waits included, in milliseconds: from 1 on; 30000
/// unless set. Then the call fails with `SKYPOSTAL_TIMEOUT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_timeout_ms(
    options: *mut skypostal_options,
    value: u32,
) -> c_int {
    let value = Some(Duration::from_millis(value.into()));
    unsafe { guard(ptr::null_mut(), || Ok(get_mut(options)?.set_timeout(value)?)) }
}

/// How long one connection may take, from the look-up of the name to TLS, in milliseconds: from 1
/// on; 10000 unless set. Then the attempt fails with `SKYPOSTAL_CONNECT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_connect_timeout_ms(
    options: *mut skypostal_options,
    value: u32,
) -> c_int {
    let value = Some(Duration::from_millis(value.into()));
    unsafe { guard(ptr::null_mut(), || Ok(get_mut(options)?.set_connect_timeout(value)?)) }
}

/// How often a call may be tried again, after a failed or lost connection or a status 408, 429,
/// 502, 503 or 504; not negative; 2 unless set. The same update sent twice leaves the same record
/// (documented: it sets fields to values). With 0 an update is sent at most once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_max_retries(
    options: *mut skypostal_options,
    value: c_int,
) -> c_int {
    unsafe { guard(ptr::null_mut(), || Ok(get_mut(options)?.set_max_retries(value.into())?)) }
}

/// The proxy to use, `"http://[user:password@]host:port"` or `"https://..."`; wins over the
/// environment's. NULL, the default: none but the environment's, see
/// `skypostal_options_set_trust_env`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_proxy(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    unsafe { set_option(options, "proxy", value, Options::set_proxy) }
}

/// The path of a PEM file of certificates to trust beside the operating system's, which the
/// variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace, but not in a program with raised
/// privileges. In the encoding of the file system. It is read by `skypostal_client_new`, which
/// tells what is wrong with it. NULL, the default: none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_ca_file(
    options: *mut skypostal_options,
    value: *const c_char,
) -> c_int {
    let set = || {
        let options = unsafe { get_mut(options) }?;
        let path = (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) }.to_bytes());
        Ok(options.set_ca_file(path.map(|path| Path::new(OsStr::from_bytes(path))))?)
    };
    unsafe { guard(ptr::null_mut(), set) }
}

/// Whether the proxy variables `HTTPS_PROXY`, `NO_PROXY` and their like are read, by
/// `skypostal_client_new`: 0, or 1 (the default). In a program with raised privileges they never
/// are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_trust_env(
    options: *mut skypostal_options,
    value: c_int,
) -> c_int {
    unsafe { set_flag(options, "trust_env", value, Options::set_trust_env) }
}

/// Whether plain `http://` may leave this machine, with the keys readable on the way: 0 (the
/// default) or 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_options_set_allow_http(
    options: *mut skypostal_options,
    value: c_int,
) -> c_int {
    unsafe { set_flag(options, "allow_http", value, Options::set_allow_http) }
}

unsafe fn set_flag(
    options: *mut skypostal_options,
    name: &'static str,
    value: c_int,
    set: impl FnOnce(&mut Options, bool),
) -> c_int {
    let work = || {
        let options = unsafe { get_mut(options) }?;
        match value {
            0 | 1 => set(options, value == 1),
            _ => Err(options.refuse(name, "must be 0 or 1"))?,
        }
        Ok(())
    };
    unsafe { guard(ptr::null_mut(), work) }
}

unsafe fn set_option(
    options: *mut skypostal_options,
    name: &'static str,
    value: *const c_char,
    set: impl FnOnce(&mut Options, Option<&str>) -> Result<(), Error>,
) -> c_int {
    let work = || {
        let options = unsafe { get_mut(options) }?;
        match unsafe { text(value) } {
            Value::Invalid(problem) => Err(options.refuse(name, problem))?,
            Value::Text(text) => set(options, Some(text))?,
            _ => set(options, None)?,
        }
        Ok(())
    };
    unsafe { guard(ptr::null_mut(), work) }
}

/// Makes a client. The options are copied. Reads certificates, connects to nothing.
///
/// Gives `*out`, yours to free with `skypostal_client_free`, or NULL and `*error`, yours to free
/// with `skypostal_error_free`. `out` is required, `error` may be NULL.
///
/// Returns `SKYPOSTAL_OK`; `SKYPOSTAL_CONFIGURATION` or `SKYPOSTAL_INVALID_FIELD` for the first
/// option that is unusable; `SKYPOSTAL_MISUSE`; `SKYPOSTAL_INTERNAL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_new(
    options: *const skypostal_options,
    out: *mut *mut skypostal_client,
    error: *mut *mut skypostal_error,
) -> c_int {
    let work = || {
        if out.is_null() {
            return Err(Failure::Misuse("out", "is NULL"));
        }
        unsafe { *out = ptr::null_mut() };
        let client = Client::new(unsafe { get(options) }?)?;
        unsafe { *out = into_handle(Arc::new(client)) };
        Ok(())
    };
    unsafe { guard(error, work) }
}

/// Frees a client and closes its connections. No other thread may use it any more; a call that is
/// already in flight ends as it would. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_free(client: *mut skypostal_client) {
    unsafe { free(client) }
}

/// Changes a customer's personal information and waits for the answer, the record as it then is,
/// for as long as the timeout at most. With no change at all the current record comes back. The
/// calling thread does the work; any number of threads may call at once with one client, each with
/// an update of its own. The update may be changed and used again afterwards.
///
/// Gives `*out`, yours to free with `skypostal_personal_info_free`, or NULL and `*error`, yours to
/// free with `skypostal_error_free`. Both `out` and `error` may be NULL.
///
/// Returns `SKYPOSTAL_OK` when the service accepted the update, else any other status.
/// `skypostal_error_delivery` tells whether the customer was changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_update_personal_info(
    client: *const skypostal_client,
    update: *const skypostal_update,
    out: *mut *mut skypostal_personal_info,
    error: *mut *mut skypostal_error,
) -> c_int {
    let work = || {
        if !out.is_null() {
            unsafe { *out = ptr::null_mut() };
        }
        let client = Arc::clone(unsafe { get(client) }?);
        let update = unsafe { get(update) }?;
        let info = client.update_personal_info(update)?;
        if !out.is_null() {
            unsafe { *out = into_handle(info.into()) };
        }
        Ok(())
    };
    unsafe { guard(error, work) }
}

/// Ends the calls of this client that are in flight in this process, and the runs that have rows in
/// flight, from any thread: each returns `SKYPOSTAL_CANCELLED` soon. A call that begins later is not
/// affected, and where there is none nothing happens. Not for signal handlers. Returns
/// `SKYPOSTAL_OK` or `SKYPOSTAL_MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_cancel(client: *const skypostal_client) -> c_int {
    let work = || {
        unsafe { get(client) }?.cancel();
        Ok(())
    };
    unsafe { guard(ptr::null_mut(), work) }
}

/// Begins a run of many updates, which has no rows yet.
///
/// `concurrency`: how many rows are under way at once, each on a connection of its own: 1 to 100,
/// or 0 for 8. `rate`: how many attempts a second there are at most, retries included: 0.001 to
/// 1000000, or 0 for as many as the service takes.
///
/// Gives `*out`, yours to free with `skypostal_bulk_free`, or NULL and `*error`, yours to free with
/// `skypostal_error_free`. `out` is required, `error` may be NULL.
///
/// Returns `SKYPOSTAL_OK`; `SKYPOSTAL_CONFIGURATION` for a number out of range; `SKYPOSTAL_MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_bulk_new(
    client: *const skypostal_client,
    concurrency: c_int,
    rate: f64,
    out: *mut *mut skypostal_bulk,
    error: *mut *mut skypostal_error,
) -> c_int {
    let work = || {
        if out.is_null() {
            return Err(Failure::Misuse("out", "is NULL"));
        }
        unsafe { *out = ptr::null_mut() };
        let client = unsafe { get(client) }?;
        let mut options = BulkOptions::default();
        if concurrency != 0 {
            options.concurrency = concurrency.try_into().unwrap_or(0);
        }
        options.rate = (rate != 0.0).then_some(rate);
        unsafe { *out = into_handle(client.start_bulk(&options, false, None)?) };
        Ok(())
    };
    unsafe { guard(error, work) }
}

/// Frees a run, and ends it: rows in flight are broken off, and may have been made or not. Where
/// that matters, put no more rows and take every outcome before. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_bulk_free(bulk: *mut skypostal_bulk) {
    unsafe { free(bulk) }
}

/// How many more rows keep the run busy: at most twice as many as may be under way are put and not
/// told of yet. 0 once it has stopped, and for NULL or a foreign handle. Never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_bulk_capacity(bulk: *const skypostal_bulk) -> c_int {
    unsafe { get(bulk) }.map_or(0, |bulk| bulk.capacity().try_into().unwrap_or(c_int::MAX))
}

/// Puts a row, the next number from 0 on, whether there is room or not, and never waits. The update
/// is copied: it may be changed and put again at once. What is wrong with it is told by
/// `skypostal_bulk_next`, and nothing of it is sent.
///
/// Returns `SKYPOSTAL_OK`; `SKYPOSTAL_MISUSE`; or, when the run has stopped, the status that
/// `skypostal_bulk_next` will end with: the row was not put then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_bulk_submit(
    bulk: *mut skypostal_bulk,
    update: *const skypostal_update,
) -> c_int {
    let work = || {
        let (bulk, update) = unsafe { (get(bulk.cast_const())?, get(update)?) };
        bulk.submit(update)?;
        Ok(())
    };
    unsafe { guard(ptr::null_mut(), work) }
}

/// Waits for the next row to end. Rows end in any order.
///
/// Gives its number in `*index`, and `*out` or `*error`, yours to free; returns the row's status.
/// When every row that was put has been told of, `*index` is -1, and the status is `SKYPOSTAL_OK`;
/// or it tells why the run stopped: `SKYPOSTAL_CONNECT`, `SKYPOSTAL_TLS` or `SKYPOSTAL_TIMEOUT`
/// where the service cannot be reached, `SKYPOSTAL_CONFIGURATION` where the client is closed or the
/// run is another process's, `SKYPOSTAL_CANCELLED` after `skypostal_client_cancel`. Then rows that
/// were not tried have ended with that status too, and with `SKYPOSTAL_DELIVERY_NOT_SENT`.
///
/// `index` is required, `out` and `error` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_bulk_next(
    bulk: *mut skypostal_bulk,
    index: *mut i64,
    out: *mut *mut skypostal_personal_info,
    error: *mut *mut skypostal_error,
) -> c_int {
    let work = || {
        if !out.is_null() {
            unsafe { *out = ptr::null_mut() };
        }
        if index.is_null() {
            return Err(Failure::Misuse("index", "is NULL"));
        }
        unsafe { *index = -1 };
        let bulk = unsafe { get(bulk.cast_const()) }?;
        let wait = || {
            bulk.wait_for_event(Duration::MAX);
            Ok(())
        };
        let Ok(outcome) = bulk.next_outcome::<Infallible>(|| Ok(()), |_, _| Ok(()), wait);
        let Some(outcome) = outcome else {
            return bulk.stop_reason().map_or(Ok(()), |reason| Err(reason.into()));
        };
        unsafe { *index = i64::try_from(outcome.index).unwrap_or(i64::MAX) };
        let info = outcome.result?;
        if !out.is_null() {
            unsafe { *out = into_handle(info.into()) };
        }
        Ok(())
    };
    unsafe { guard(error, work) }
}

/// A new update that changes nothing yet. Never NULL. Yours: free it with `skypostal_update_free`.
#[unsafe(no_mangle)]
pub extern "C" fn skypostal_update_new() -> *mut skypostal_update {
    into_handle(Update::new())
}

/// Frees an update. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_free(update: *mut skypostal_update) {
    unsafe { free(update) }
}

/// Unsets every field and forgets every bad value, so that the update is as new: nothing of the last
/// customer is left for the next one. Texts that it held are wiped. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_clear(update: *mut skypostal_update) {
    let work = || {
        if !update.is_null() {
            unsafe { get_mut(update) }?.clear();
        }
        Ok(())
    };
    unsafe { guard(ptr::null_mut(), work) };
}

/// Unsets one field by its name, such as `"user_code"`, an integer too, and forgets a bad value of
/// it. Returns `SKYPOSTAL_OK`; `SKYPOSTAL_INVALID_FIELD` if no field has that name, which is
/// remembered until `skypostal_update_clear`, as the field that was meant is still set;
/// `SKYPOSTAL_MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_unset(
    update: *mut skypostal_update,
    field: *const c_char,
) -> c_int {
    let work = || {
        let update = unsafe { get_mut(update) }?;
        if field.is_null() {
            return Err(Failure::Misuse("field", "is NULL"));
        }
        let name = unsafe { CStr::from_ptr(field) }.to_string_lossy();
        Ok(update.unset(&name)?)
    };
    unsafe { guard(ptr::null_mut(), work) }
}

/// The user code given by SkyPostal for one environment (documented), in place of the client's:
/// positive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_user_code(
    update: *mut skypostal_update,
    value: i64,
) -> c_int {
    unsafe { set_integer(update, Field::UserCode, value) }
}

/// The application key given by SkyPostal for one environment (documented), in place of the
/// client's: a text. Secret.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_app_key(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    unsafe { set_text(update, Field::AppKey, value) }
}

/// The customer's box, obtained by registration or login (documented): positive. Required.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_box_id(
    update: *mut skypostal_update,
    value: i64,
) -> c_int {
    unsafe { set_integer(update, Field::CustomerBoxId, value) }
}

/// The customer's key, obtained by registration or login; another one after the customer's e-mail
/// address was changed (documented). A text. Required. Secret.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_key(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    unsafe { set_text(update, Field::CustomerKey, value) }
}

/// The new first name: a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_first_name(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    unsafe { set_text(update, Field::CustomerFirstName, value) }
}

/// The new last name: a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_last_name(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    unsafe { set_text(update, Field::CustomerLastName, value) }
}

/// The new identity number: a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_identity_number(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    unsafe { set_text(update, Field::CustomerIdentityNumber, value) }
}

/// The new tax number, numeric (documented): digits with an optional fraction, `"1234.50"`, at most
/// 28 digits, no sign, no exponent. Every digit is sent (observed: decimals are kept); leading
/// zeros are dropped.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_tax_number(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    unsafe { set_text(update, Field::CustomerTaxNumber, value) }
}

/// The new birth date, a real day: `"YYYY-MM-DD"` (documented), from 1753-01-01 to today, wherever
/// on Earth today is latest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_birth_date(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    unsafe { set_text(update, Field::CustomerBirthDate, value) }
}

/// The new gender: `"M"` or `"F"` (documented).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_update_set_customer_gender(
    update: *mut skypostal_update,
    value: *const c_char,
) -> c_int {
    unsafe { set_text(update, Field::CustomerGender, value) }
}

unsafe fn set_text(update: *mut skypostal_update, field: Field, value: *const c_char) -> c_int {
    unsafe { guard(ptr::null_mut(), || Ok(get_mut(update)?.set(field, text(value))?)) }
}

unsafe fn set_integer(update: *mut skypostal_update, field: Field, value: i64) -> c_int {
    unsafe { guard(ptr::null_mut(), || Ok(get_mut(update)?.set(field, value)?)) }
}

/// Frees an answer, and the texts that were borrowed from it. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_free(info: *mut skypostal_personal_info) {
    unsafe { free(info) }
}

/// The service's own number of the customer; 0 if the service did not tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_cust_id(
    info: *const skypostal_personal_info,
) -> i64 {
    unsafe { get(info) }.map_or(0, |info| info.cust_id)
}

/// The first name. Borrowed; NULL if the service did not tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_first_name(
    info: *const skypostal_personal_info,
) -> *const c_char {
    unsafe { get(info) }.map_or(ptr::null(), |info| borrowed(&info.first_name))
}

/// The last name. Borrowed; NULL if the service did not tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_last_name(
    info: *const skypostal_personal_info,
) -> *const c_char {
    unsafe { get(info) }.map_or(ptr::null(), |info| borrowed(&info.last_name))
}

/// The identity number. Borrowed; NULL if the service did not tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_identity_number(
    info: *const skypostal_personal_info,
) -> *const c_char {
    unsafe { get(info) }.map_or(ptr::null(), |info| borrowed(&info.identity_number))
}

/// The tax number in decimal, with every digit the service sent (observed: `"123.450"`). Borrowed;
/// NULL if it sent none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_tax_number(
    info: *const skypostal_personal_info,
) -> *const c_char {
    unsafe { get(info) }.map_or(ptr::null(), |info| borrowed(&info.tax_number))
}

/// The birth date, `"YYYY-MM-DD"`, a day of the service's calendar whatever the time zone of the
/// reader. Borrowed; NULL if the service has none, and for its year 1, which stands for "not set"
/// (observed).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_birth_date(
    info: *const skypostal_personal_info,
) -> *const c_char {
    unsafe { get(info) }.map_or(ptr::null(), |info| borrowed(&info.birth_date))
}

/// The gender, `"M"` or `"F"` as documented. Borrowed; NULL if the service did not tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_customer_gender(
    info: *const skypostal_personal_info,
) -> *const c_char {
    unsafe { get(info) }.map_or(ptr::null(), |info| borrowed(&info.gender))
}

/// The whole JSON object that the service sent, with the members that are not documented. Borrowed;
/// never NULL for an answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_personal_info_raw(
    info: *const skypostal_personal_info,
) -> *const c_char {
    unsafe { get(info) }.map_or(ptr::null(), |info| borrowed(&info.raw))
}

/// Frees an error, and the texts that were borrowed from it. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_free(error: *mut skypostal_error) {
    unsafe { free(error) }
}

/// What went wrong: the status that the failed function returned. `SKYPOSTAL_MISUSE` for NULL or a
/// foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_kind(error: *const skypostal_error) -> c_int {
    unsafe { get(error) }.map_or(SKYPOSTAL_MISUSE, |error| error.kind)
}

/// Was the customer changed? `SKYPOSTAL_DELIVERY_NOT_SENT`, `SKYPOSTAL_DELIVERY_REJECTED` or
/// `SKYPOSTAL_DELIVERY_UNKNOWN`. The kind of error does not answer this: over several attempts the
/// greatest of the three stands, so that an update whose first attempt was lost is unknown even if
/// the last one found no connection or was refused. 0 for NULL or a foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_delivery(error: *const skypostal_error) -> c_int {
    unsafe { get(error) }.map_or(0, |error| error.delivery)
}

/// How many attempts were begun; 0 when nothing was tried, and for NULL or a foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_attempts(error: *const skypostal_error) -> c_int {
    unsafe { get(error) }.map_or(0, |error| error.attempts)
}

/// The HTTP status, for `SKYPOSTAL_STATUS`; 0 for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_http_status(error: *const skypostal_error) -> c_int {
    unsafe { get(error) }.map_or(0, |error| error.http_status)
}

/// 1 when the service called the error one of its own system (documented as `system_error`), else
/// 0. Whether it made the change before that error is unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_system_error(error: *const skypostal_error) -> c_int {
    unsafe { get(error) }.map_or(0, |error| error.system_error)
}

/// How long the service asked to wait, in milliseconds; -1 if it did not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_retry_after_ms(error: *const skypostal_error) -> i64 {
    unsafe { get(error) }.map_or(-1, |error| error.retry_after_ms)
}

/// What went wrong, on one line of English with the chain of causes. Holds no key and no personal
/// data, but for the service's own words in a refusal. Borrowed; never NULL for an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_message(error: *const skypostal_error) -> *const c_char {
    unsafe { get(error) }.map_or(ptr::null(), |error| borrowed(&error.message))
}

/// The field that is invalid or the option that is unusable, under its own name, such as
/// `"customer_gender"` or `"timeout"`. Borrowed; NULL for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_field(error: *const skypostal_error) -> *const c_char {
    unsafe { get(error) }.map_or(ptr::null(), |error| borrowed(&error.field))
}

/// The service's own words for a refusal (documented as `error_description`), perhaps empty; keys
/// are redacted. Borrowed; NULL for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_description(
    error: *const skypostal_error,
) -> *const c_char {
    unsafe { get(error) }.map_or(ptr::null(), |error| borrowed(&error.description))
}

/// Where in the service, in its own words, for a refusal (documented as `error_location`), perhaps
/// empty. Borrowed; NULL for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_location(error: *const skypostal_error) -> *const c_char {
    unsafe { get(error) }.map_or(ptr::null(), |error| borrowed(&error.location))
}

/// An excerpt of the answer, at most about 1 KiB, for `SKYPOSTAL_STATUS` and `SKYPOSTAL_RESPONSE`;
/// keys are redacted, personal data is not. Borrowed; NULL for other errors.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_error_body(error: *const skypostal_error) -> *const c_char {
    unsafe { get(error) }.map_or(ptr::null(), |error| borrowed(&error.body))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{Shutdown, TcpListener};
    use std::{env, fs, thread};

    use super::*;

    #[test]
    fn a_panic_is_an_internal_error_and_does_not_cross() {
        let mut error = ptr::null_mut();
        let status = unsafe { guard(&mut error, || panic!("of a test")) };
        assert_eq!(status, SKYPOSTAL_INTERNAL);
        assert_eq!(unsafe { skypostal_error_kind(error) }, SKYPOSTAL_INTERNAL);
        let message = unsafe { CStr::from_ptr(skypostal_error_message(error)) };
        assert!(message.to_str().unwrap().contains("of a test"));
        unsafe { skypostal_error_free(error) };
    }

    #[test]
    fn handles_that_come_and_go_on_many_threads_are_told_apart() {
        let come_and_go = || {
            for _ in 0..500 {
                let handles = [skypostal_update_new(), skypostal_update_new()];
                for update in handles {
                    let set = |value| unsafe { skypostal_update_set_user_code(update, value) };
                    assert_eq!([set(396), set(0)], [SKYPOSTAL_OK, SKYPOSTAL_INVALID_FIELD]);
                    assert!(!registry::holds(update.cast::<skypostal_options>()));
                    unsafe { skypostal_update_free(update) };
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(come_and_go);
            }
        });
    }

    #[test]
    fn a_client_that_is_freed_during_a_call_stays_until_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = CString::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
        unsafe {
            let (options, update) = (skypostal_options_new(), skypostal_update_new());
            skypostal_options_set_base_url(options, url.as_ptr());
            skypostal_options_set_max_retries(options, 0);
            skypostal_update_set_user_code(update, 396);
            skypostal_update_set_app_key(update, c"a key".as_ptr());
            skypostal_update_set_customer_box_id(update, 811111);
            skypostal_update_set_customer_key(update, c"a key".as_ptr());
            let mut client = ptr::null_mut();
            assert_eq!(skypostal_client_new(options, &mut client, ptr::null_mut()), SKYPOSTAL_OK);

            let (client, shared) = (client.expose_provenance(), update.expose_provenance());
            let call = thread::spawn(move || {
                let (client, update) =
                    (ptr::with_exposed_provenance(client), ptr::with_exposed_provenance(shared));
                let none = ptr::null_mut();
                skypostal_client_update_personal_info(client, update, none, ptr::null_mut())
            });
            let (mut connection, _) = listener.accept().unwrap();
            assert!(connection.read(&mut [0; 4096]).unwrap() > 0);
            skypostal_client_free(ptr::with_exposed_provenance_mut(client));
            let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"_verify\":true}]";
            connection.write_all(answer).unwrap();
            connection.shutdown(Shutdown::Write).unwrap();
            assert_eq!(call.join().unwrap(), SKYPOSTAL_OK);
            skypostal_update_free(update);
            skypostal_options_free(options);
        }
    }

    /// `make header` sets SKYPOSTAL_WRITE_HEADER to write it.
    #[test]
    fn the_committed_header_is_the_one_that_cbindgen_writes() {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/include/skypostal.h");
        let written = include_str!(concat!(env!("OUT_DIR"), "/skypostal.h"));
        if env::var_os("SKYPOSTAL_WRITE_HEADER").is_some() {
            fs::write(committed, written).unwrap();
        }
        let stale = fs::read_to_string(committed).unwrap() != written;
        assert!(!stale, "include/skypostal.h is stale: run make header");
    }
}
