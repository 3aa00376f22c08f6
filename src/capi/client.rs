//! The client and its call.

use std::ffi::c_int;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::error::{NO_ERROR, guard, skypostal_error};
use super::handle::{Handle, Out, free, get};
use super::log::{Log, log_of_call};
use super::options::skypostal_options;
use super::personal_info::{InfoTexts, skypostal_personal_info};
use super::update::skypostal_update;
use crate::{Attempt, CallOptions, Client};

/// A client with its connections. Made by `skypostal_client_new`, freed by `skypostal_client_free`.
/// Made once, used for every call, by any number of threads at once, each on a connection of its
/// own; connections are kept and used again. Works on both sides of a fork.
pub struct skypostal_client {
    _opaque: [u8; 0],
}

impl Handle for skypostal_client {
    type Content = ClientAndLog;
    const TAG: u64 = 0x736b_7970_6f73_0002;
    const NAME: &'static str = "client";
}

/// The client of the core, and the log, which is C's own.
pub struct ClientAndLog {
    /// A call in flight owns a share: a caller that frees the client too early does no harm.
    pub client: Arc<Client>,
    pub log: Option<Log>,
}

/// Makes a client. The options are copied. Reads certificates, connects to nothing.
///
/// Gives `*out`, yours to free with `skypostal_client_free`, or NULL and `*error`, yours to free
/// with `skypostal_error_free`. `out` is required, `error` may be NULL.
///
/// Returns `SKYPOSTAL_OK`; `SKYPOSTAL_CONFIGURATION` or `SKYPOSTAL_INVALID_FIELD` for the first
/// option that is unusable; `SKYPOSTAL_MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_new(
    options: *const skypostal_options,
    out: *mut *mut skypostal_client,
    error: *mut *mut skypostal_error,
) -> c_int {
    let work = || {
        let out = Out::required(out)?;
        let options = get(options)?;
        let client = Arc::new(Client::new(&options.options)?);
        out.give(ClientAndLog { client, log: options.log });
        Ok(())
    };
    guard(error, work)
}

/// Frees a client and closes its idle connections. No thread may use it any more. A call in flight
/// and a bulk of this client are not affected: they go on to their end. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_free(client: *mut skypostal_client) {
    free(client)
}

/// Changes a customer's personal information and waits for the response, the record as it then is,
/// for as long as the timeout at most. With no change at all the current record comes back. The
/// calling thread does the work; any number of threads may call at once with one client, each with
/// an update of its own. The update may be changed and used again afterwards.
///
/// Gives `*out`, yours to free with `skypostal_personal_info_free`, or NULL and `*error`, yours to
/// free with `skypostal_error_free`. Both `out` and `error` may be NULL.
///
/// Returns `SKYPOSTAL_OK` when the service accepted the update, else any other result code.
/// `skypostal_error_delivery` says whether the customer was changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_update_personal_info(
    client: *const skypostal_client,
    update: *const skypostal_update,
    out: *mut *mut skypostal_personal_info,
    error: *mut *mut skypostal_error,
) -> c_int {
    let work = || {
        let out = Out::new(out);
        let (client, log) = (Arc::clone(&get(client)?.client), log_of_call(get(client)?.log));
        let write = |attempt: &Attempt| log.iter().for_each(|log| log.write(attempt));
        let attempts = AtomicU32::new(0);
        let options = CallOptions {
            on_attempt: if log.is_some() { Some(&write) } else { None },
            attempts: Some(&attempts),
            ..CallOptions::default()
        };
        let info = client.update_personal_info_with(get(update)?, options)?;
        out.give(InfoTexts::new(&info, attempts.load(Ordering::Relaxed)));
        Ok(())
    };
    guard(error, work)
}

/// Checks an update as the call that sends it does, and sends nothing: each value that was set, and
/// that no required field is missing, the client's credentials included.
///
/// Gives `*error`, yours to free with `skypostal_error_free`, for the first problem; `error` may be
/// NULL. Any number of threads may check at once, each an update of its own.
///
/// Returns `SKYPOSTAL_OK`; `SKYPOSTAL_INVALID_FIELD`, or `SKYPOSTAL_CONFIGURATION` where the user
/// code or the application key is missing; `SKYPOSTAL_MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_check(
    client: *const skypostal_client,
    update: *const skypostal_update,
    error: *mut *mut skypostal_error,
) -> c_int {
    let work = || {
        let problems = get(client)?.client.validate(get(update)?);
        Ok(problems.into_iter().next().map_or(Ok(()), Err)?)
    };
    guard(error, work)
}

/// Ends the calls of this client that are in flight in this process, and the bulks with rows in
/// flight, from any thread: each returns `SKYPOSTAL_CANCELLED` soon. A call that begins later is not
/// affected, and where there is none nothing happens. Not for signal handlers. Returns
/// `SKYPOSTAL_OK` or `SKYPOSTAL_MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_cancel(client: *const skypostal_client) -> c_int {
    let work = || {
        get(client)?.client.cancel();
        Ok(())
    };
    guard(NO_ERROR, work)
}
