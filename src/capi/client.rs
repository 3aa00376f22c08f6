//! The client and its call.

use std::ffi::c_int;
use std::sync::Arc;

use super::error::{NO_ERROR, guard, skypostal_error};
use super::handle::{Handle, Out, free, get};
use super::options::skypostal_options;
use super::personal_info::skypostal_personal_info;
use super::update::skypostal_update;
use crate::Client;

/// A client with its connections. Made by `skypostal_client_new`, freed by `skypostal_client_free`.
/// Made once, used for every call, by any number of threads at once, each on a connection of its
/// own; connections are kept and used again. Works on both sides of a fork.
pub struct skypostal_client {
    _opaque: [u8; 0],
}

impl Handle for skypostal_client {
    /// A call in flight owns a share: a caller that frees the client too early does no harm.
    type Content = Arc<Client>;
    const TAG: u64 = 0x736b_7970_6f73_0002;
    const NAME: &'static str = "client";
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
        let out = Out::required(out)?;
        out.give(Client::new(get(options)?)?);
        Ok(())
    };
    guard(error, work)
}

/// Frees a client and closes its connections. No other thread may use it any more; a call that is
/// already in flight ends as it would. NULL is ignored.
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
/// `skypostal_error_delivery` tells whether the customer was changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_client_update_personal_info(
    client: *const skypostal_client,
    update: *const skypostal_update,
    out: *mut *mut skypostal_personal_info,
    error: *mut *mut skypostal_error,
) -> c_int {
    let work = || {
        let out = Out::new(out);
        let client = Arc::clone(get(client)?);
        let update = get(update)?;
        out.give(client.update_personal_info(update)?);
        Ok(())
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
        get(client)?.cancel();
        Ok(())
    };
    guard(NO_ERROR, work)
}
