//! A bulk, and the outcomes of its rows.

use std::convert::Infallible;
use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

use super::client::{ClientAndLog, skypostal_client};
use super::error::{NO_ERROR, SKYPOSTAL_MISUSE, SKYPOSTAL_OK, guard, result_of, skypostal_error};
use super::handle::{BorrowedHandle, Handle, Out, free, get};
use super::log::{Log, log_of_call};
use super::personal_info::{InfoTexts, skypostal_personal_info};
use super::update::skypostal_update;
use crate::{Attempt, Bulk, BulkOptions, Outcome, ReportedAttempts};

/// Many updates in one go, several of which are in flight at once. Made by `skypostal_bulk_new`,
/// freed by `skypostal_bulk_free`. To be used by one thread at a time, from its first row to its
/// last outcome:
///
/// ```c
/// for (;;) {
///     while (more && skypostal_bulk_capacity(bulk) > 0) {
///         skypostal_update_clear(update);
///         more = read_row(file, update);
///         if (more)
///             skypostal_bulk_submit(bulk, update);
///     }
///     result = skypostal_bulk_next(bulk, &outcome, &error);
///     if (outcome == NULL)
///         break;
///     report(outcome);
///     skypostal_outcome_free(outcome);
/// }
/// ```
///
/// Afterwards `result` and `error` say whether the bulk stopped early, and why.
///
/// A background thread of the library sends the rows. The first row of a process starts it, and it
/// blocks all signals. Each row has the client's timeout, from its first attempt on, and its
/// retries. Where the service responds with 429 or 503 the whole bulk pauses, for as long as the
/// service asks but at most 300 s. Then it continues at a lower rate, which climbs back. Such a row
/// is tried again until its timeout, unless the client's retries are 0. After 10 consecutive rows
/// that found no connection the bulk stops: no more are sent.
///
/// A forked child cannot use its parent's bulk; it can make a new one.
pub struct skypostal_bulk {
    _opaque: [u8; 0],
}

impl Handle for skypostal_bulk {
    type Content = BulkAndLog;
    const TAG: u64 = 0x736b_7970_6f73_0006;
    const NAME: &'static str = "bulk";
}

/// The bulk of the core, and the log, which is C's own.
pub struct BulkAndLog {
    bulk: Bulk,
    log: Option<Log>,
}

/// The outcome of one row of a bulk. Given by `skypostal_bulk_next`, freed by
/// `skypostal_outcome_free`; independent of the bulk. Never changes: any thread may read it.
///
/// It owns the information or the error of its row. Both are borrowed, with their texts: they live
/// as long as this handle. `skypostal_personal_info_free` and `skypostal_error_free` do nothing for
/// them.
pub struct skypostal_outcome {
    _opaque: [u8; 0],
}

impl Handle for skypostal_outcome {
    type Content = OutcomeParts;
    const TAG: u64 = 0x736b_7970_6f73_0007;
    const NAME: &'static str = "outcome";
}

/// An outcome, with its information or error as a handle.
pub struct OutcomeParts {
    index: i64,
    result: c_int,
    attempts: c_int,
    info: Option<BorrowedHandle<skypostal_personal_info>>,
    error: Option<BorrowedHandle<skypostal_error>>,
}

impl From<Outcome> for OutcomeParts {
    fn from(outcome: Outcome) -> Self {
        let (result, info, error) = match outcome.result {
            Ok(info) => {
                let info = InfoTexts::new(&info, outcome.attempts);
                (SKYPOSTAL_OK, Some(BorrowedHandle::new(info)), None)
            }
            Err(error) => (result_of(error.kind()), None, Some(BorrowedHandle::new(error.into()))),
        };
        OutcomeParts {
            index: i64::try_from(outcome.index).unwrap_or(i64::MAX),
            result,
            attempts: c_int::try_from(outcome.attempts).unwrap_or(c_int::MAX),
            info,
            error,
        }
    }
}

/// Makes a bulk, which has no rows yet.
///
/// `concurrency`: how many rows are in flight at once, each on a connection of its own: 1 to 100,
/// or 0 for 8. `rate`: how many attempts a second there are at most, retries included, and a tenth
/// more after a delay: 0.001 to 1000000, or 0 for as many as the service takes.
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
        let out = Out::required(out)?;
        let ClientAndLog { client, log } = get(client)?;
        let mut options = BulkOptions::default();
        if concurrency != 0 {
            options.concurrency = concurrency.try_into().unwrap_or(0);
        }
        options.rate = (rate != 0.0).then_some(rate);
        let bulk =
            client.start_bulk(&options, log.as_ref().map(|_| ReportedAttempts::All), None)?;
        out.give(BulkAndLog { bulk, log: *log });
        Ok(())
    };
    guard(error, work)
}

/// Frees a bulk and cancels its rows in flight, whose updates may have been made or not. Where that
/// matters, submit no more rows and take every outcome before. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_bulk_free(bulk: *mut skypostal_bulk) {
    free(bulk)
}

/// Returns how many rows to submit now. If you submit no more, the bulk holds at most twice
/// `concurrency` rows in memory. 0 once it has stopped, and for NULL or a foreign handle. Never waits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_bulk_capacity(bulk: *const skypostal_bulk) -> c_int {
    get(bulk).map_or(0, |bulk| bulk.bulk.capacity().try_into().unwrap_or(c_int::MAX))
}

/// Submits a row. Rows are numbered from 0 on. The update is copied: it may be changed and submitted
/// again at once. If it is invalid, it is not sent, and the row's outcome has the error. The function
/// never waits, and takes the row also where there is no capacity.
///
/// Returns `SKYPOSTAL_OK`; `SKYPOSTAL_MISUSE`; or, when the bulk has stopped, the result code that
/// `skypostal_bulk_next` will end with: the row was not submitted then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_bulk_submit(
    bulk: *mut skypostal_bulk,
    update: *const skypostal_update,
) -> c_int {
    let work = || {
        get(bulk.cast_const())?.bulk.submit(get(update)?)?;
        Ok(())
    };
    guard(NO_ERROR, work)
}

/// Waits for the next row to end, and gives its outcome. Rows end in any order.
///
/// Gives `*out`, yours to free with `skypostal_outcome_free`, and returns `SKYPOSTAL_OK`, however
/// the row ended: the result code is the bulk's own.
///
/// After the last outcome `*out` is NULL. The result code is then `SKYPOSTAL_OK`, or it says why the
/// bulk stopped early:
///
/// - `SKYPOSTAL_CONNECT` or `SKYPOSTAL_TLS`: the service cannot be reached;
/// - `SKYPOSTAL_CANCELLED`: `skypostal_client_cancel` was called;
/// - `SKYPOSTAL_CONFIGURATION`: the bulk is another process's.
///
/// `*error` says the same, yours to free with `skypostal_error_free`. Each row that was not tried has
/// had an outcome before, with that result code and `SKYPOSTAL_DELIVERY_NOT_SENT`.
///
/// `out` is required, `error` may be NULL. Returns `SKYPOSTAL_MISUSE` where `out` is NULL or `bulk`
/// is no bulk.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_bulk_next(
    bulk: *mut skypostal_bulk,
    out: *mut *mut skypostal_outcome,
    error: *mut *mut skypostal_error,
) -> c_int {
    let work = || {
        let out = Out::required(out)?;
        let BulkAndLog { bulk, log } = get(bulk.cast_const())?;
        let log = log_of_call(*log);
        let write = |_, attempt: &Attempt| {
            log.iter().for_each(|log| log.write(attempt));
            Ok(())
        };
        let wait = || {
            bulk.wait_for_event(Duration::MAX);
            Ok(())
        };
        let Ok(outcome) = bulk.next_outcome::<Infallible>(|| Ok(()), write, wait);
        match outcome {
            Some(outcome) => out.give(outcome),
            None => bulk.stop_reason().map_or(Ok(()), Err)?,
        }
        Ok(())
    };
    guard(error, work)
}

/// Frees an outcome, with the information or the error that was borrowed from it. NULL is ignored.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_outcome_free(outcome: *mut skypostal_outcome) {
    free(outcome)
}

/// Returns the number of the row in its bulk, from 0 on; -1 for NULL or a foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_outcome_index(outcome: *const skypostal_outcome) -> i64 {
    get(outcome).map_or(-1, |outcome| outcome.index)
}

/// Returns the result code of the row, as `skypostal_client_update_personal_info` returns it for a
/// call. `SKYPOSTAL_MISUSE` for NULL or a foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_outcome_result(outcome: *const skypostal_outcome) -> c_int {
    get(outcome).map_or(SKYPOSTAL_MISUSE, |outcome| outcome.result)
}

/// Returns how many attempts were started; 0 when nothing was tried, and for NULL or a foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_outcome_attempts(outcome: *const skypostal_outcome) -> c_int {
    get(outcome).map_or(0, |outcome| outcome.attempts)
}

/// Returns the customer's personal information after the update. Borrowed; NULL if the row failed,
/// and for NULL or a foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_outcome_info(
    outcome: *const skypostal_outcome,
) -> *const skypostal_personal_info {
    let info = |outcome: &OutcomeParts| outcome.info.as_ref().map(BorrowedHandle::as_ptr);
    get(outcome).ok().and_then(info).unwrap_or(ptr::null())
}

/// Returns why the row failed. Borrowed; NULL if the service accepted the update, and for NULL or a
/// foreign handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn skypostal_outcome_error(
    outcome: *const skypostal_outcome,
) -> *const skypostal_error {
    let error = |outcome: &OutcomeParts| outcome.error.as_ref().map(BorrowedHandle::as_ptr);
    get(outcome).ok().and_then(error).unwrap_or(ptr::null())
}
