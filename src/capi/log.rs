//! The log callback.

use std::cell::Cell;
use std::ffi::{c_char, c_void};

use super::c_text;
use crate::Attempt;

/// Receives a line of the log. See `skypostal_options_set_log`.
pub type skypostal_log_callback =
    Option<unsafe extern "C" fn(user_data: *mut c_void, line: *const c_char)>;

thread_local! {
    /// True while the callback runs on this thread.
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// A callback of the host, with the pointer that it gets back.
#[derive(Clone, Copy)]
pub struct Log {
    callback: unsafe extern "C" fn(*mut c_void, *const c_char),
    user_data: *mut c_void,
}

// The host allows calls on several threads at once: the header says so of `skypostal_options_set_log`.
unsafe impl Send for Log {}
unsafe impl Sync for Log {}

impl Log {
    pub fn new(callback: skypostal_log_callback, user_data: *mut c_void) -> Option<Self> {
        callback.map(|callback| Log { callback, user_data })
    }

    pub fn write(&self, attempt: &Attempt) {
        let line = c_text(Some(attempt.summary()));
        IN_CALLBACK.set(true);
        unsafe { (self.callback)(self.user_data, super::borrowed(&line)) };
        IN_CALLBACK.set(false);
    }
}

/// Returns the log of a call that begins now: a call that the callback makes is not logged, or the
/// two would call each other without end.
pub fn log_of_call(log: Option<Log>) -> Option<Log> {
    log.filter(|_| !IN_CALLBACK.get())
}
