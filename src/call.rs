//! The state of one call over all its attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::attempt::{AttemptCallback, AttemptRecorder};
use crate::error::{Delivery, Error, Kind};
use crate::http::connection::Connection;

/// The state of one call. When the call ends early, it tells what became of the update.
pub(crate) struct CallState<'a> {
    attempts: u32,
    /// The delivery that the attempts so far leave: the greatest of theirs.
    worst_delivery: Delivery,
    /// Set when the current attempt handed its body to a connection.
    pub(crate) body_sent: Arc<AtomicBool>,
    /// Set when the current attempt started a TLS handshake.
    handshaking: Option<Arc<AtomicBool>>,
    /// True if the current attempt may use the connection of an earlier call.
    pub(crate) reused_connection: bool,
    /// True once the current attempt got a whole response.
    pub(crate) response_complete: bool,
    recorder: Option<AttemptRecorder<'a>>,
}

impl<'a> CallState<'a> {
    pub(crate) fn new() -> Self {
        CallState {
            attempts: 0,
            worst_delivery: Delivery::NotSent,
            body_sent: Arc::default(),
            handshaking: None,
            reused_connection: false,
            response_complete: false,
            recorder: None,
        }
    }

    /// Reports every attempt to `url` from now on.
    pub(crate) fn record_attempts(
        &mut self,
        callback: AttemptCallback<'a>,
        url: &Arc<str>,
        request_bytes: usize,
    ) {
        self.recorder = Some(AttemptRecorder::new(callback, url, request_bytes));
    }

    pub(crate) fn use_connection(&mut self, connection: &Connection) {
        self.handshaking = Some(connection.handshaking.clone());
        self.reused_connection = connection.used;
    }

    pub(crate) fn begin_attempt(&mut self) {
        self.attempts += 1;
        self.response_complete = false;
        self.handshaking.iter().for_each(|flag| flag.store(false, Ordering::Relaxed));
        if let Some(recorder) = &mut self.recorder {
            recorder.start(self.attempts);
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.handshaking.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    pub(crate) fn record_status(&mut self, status: u16) {
        self.recorder.iter_mut().for_each(|recorder| recorder.record_status(status));
    }

    pub(crate) fn record_bytes(&mut self, count: usize) {
        self.recorder.iter_mut().for_each(|recorder| recorder.record_bytes(count));
    }

    pub(crate) fn end_attempt(&mut self, error: Error) -> Error {
        let error = error.after(self.attempts, self.worst_delivery);
        self.worst_delivery = error.delivery();
        self.body_sent.store(false, Ordering::Relaxed);
        self.reused_connection = false;
        error
    }

    /// Reports the attempt that ended, and the delay before the next one.
    pub(crate) fn report_attempt(&mut self, error: Option<&Error>, retry_in: Option<Duration>) {
        self.recorder.iter_mut().for_each(|recorder| recorder.report(error, retry_in));
    }

    /// The delivery of the current attempt if it ends without a response.
    pub(crate) fn current_delivery(&self) -> Delivery {
        if self.body_sent.load(Ordering::Relaxed) { Delivery::Unknown } else { Delivery::NotSent }
    }

    /// The error of a call that ends early.
    pub(crate) fn abort(&mut self, kind: Kind, message: impl Into<String>) -> Error {
        let error = Error::new(kind, self.current_delivery(), message);
        let error = self.end_attempt(error);
        self.report_attempt(Some(&error), None);
        error
    }
}
