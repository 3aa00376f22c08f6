//! The state of one call over all its attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use crate::attempt::{AttemptCallback, AttemptRecorder, ReportedAttempts};
use crate::error::{Delivery, Error, Kind};
use crate::http::connection::Connection;

/// The interval at which a call that waits asks its caller whether to go on.
pub(crate) const INTERRUPT_POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The part of a call's state that a thread which cancels the call reads.
#[derive(Debug, Default)]
pub(crate) struct SharedCallState {
    attempts: AtomicU32,
    /// The delivery that the ended attempts leave, as a number; 0 while none has ended.
    worst_delivery: AtomicU8,
    /// The state of the current attempt's body: `NOT_TAKEN`, `TAKEN` or `CANCELLED`.
    body: AtomicU8,
}

/// No connection has the body yet.
const NOT_TAKEN: u8 = 0;
/// A connection took the body.
const TAKEN: u8 = 1;
/// The call is cancelled, and no connection gets the body any more.
const CANCELLED: u8 = 2;

impl SharedCallState {
    /// Hands the body to a connection; false if the call is cancelled.
    pub(crate) fn hand_over_body(&self) -> bool {
        let (set, get) = (Ordering::AcqRel, Ordering::Acquire);
        self.body.compare_exchange(NOT_TAKEN, TAKEN, set, get) != Err(CANCELLED)
    }

    /// Cancels the call, from any thread. Returns its final delivery, and the number of attempts that
    /// were started.
    pub(crate) fn cancel(&self) -> (Delivery, u32) {
        let (set, get) = (Ordering::AcqRel, Ordering::Acquire);
        let sent = self.body.compare_exchange(NOT_TAKEN, CANCELLED, set, get) == Err(TAKEN);
        let worst = self.worst_delivery.load(Ordering::Relaxed);
        let delivery = if sent || worst == Delivery::Unknown as u8 {
            Delivery::Unknown
        } else if worst == Delivery::Rejected as u8 {
            Delivery::Rejected
        } else {
            Delivery::NotSent
        };
        (delivery, self.attempts.load(Ordering::Relaxed))
    }

    /// Records the delivery that the current attempt leaves, and is ready for the next one's body.
    fn end_attempt(&self, delivery: Delivery) {
        self.worst_delivery.store(delivery as u8, Ordering::Relaxed);
        let (set, get) = (Ordering::AcqRel, Ordering::Acquire);
        let _ = self.body.compare_exchange(TAKEN, NOT_TAKEN, set, get);
    }
}

/// The state of one call. When the call ends early, it says what became of the update.
pub(crate) struct CallState<'a> {
    attempts: u32,
    /// The delivery that the attempts so far leave: the greatest of theirs.
    worst_delivery: Delivery,
    pub(crate) shared: Arc<SharedCallState>,
    /// Counts the TLS handshakes that the current attempt starts.
    handshakes: Option<Arc<AtomicU8>>,
    /// True if the current attempt may use the connection of an earlier call.
    pub(crate) reused_connection: bool,
    /// True once the current attempt got a whole response.
    pub(crate) response_complete: bool,
    recorder: Option<AttemptRecorder<'a>>,
}

impl<'a> CallState<'a> {
    pub(crate) fn new() -> Self {
        CallState::with_shared(Arc::default())
    }

    /// The state of a call that another thread may cancel.
    pub(crate) fn with_shared(shared: Arc<SharedCallState>) -> Self {
        CallState {
            attempts: 0,
            worst_delivery: Delivery::NotSent,
            shared,
            handshakes: None,
            reused_connection: false,
            response_complete: false,
            recorder: None,
        }
    }

    /// From now on calls `callback` with the `reported` attempts, which have the URL and the length.
    pub(crate) fn record_attempts(
        &mut self,
        callback: AttemptCallback<'a>,
        reported: ReportedAttempts,
        url: &Arc<str>,
        request_bytes: usize,
    ) {
        self.recorder = Some(AttemptRecorder::new(callback, reported, url, request_bytes));
    }

    pub(crate) fn use_connection(&mut self, connection: &Connection) {
        self.handshakes = Some(connection.handshakes.clone());
        self.reused_connection = connection.reused;
    }

    pub(crate) fn start_attempt(&mut self) {
        self.attempts += 1;
        self.shared.attempts.store(self.attempts, Ordering::Relaxed);
        self.response_complete = false;
        self.handshakes.iter().for_each(|count| count.store(0, Ordering::Relaxed));
        if let Some(recorder) = &mut self.recorder {
            recorder.start(self.attempts);
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The TLS handshakes that the current attempt started, with the proxy and with the service.
    pub(crate) fn handshakes(&self) -> u8 {
        self.handshakes.as_ref().map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Records the status and the headers of a response.
    pub(crate) fn record_head(
        &mut self,
        status: u16,
        headers: impl FnOnce() -> Vec<(String, String)>,
    ) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record_head(status, headers);
        }
    }

    pub(crate) fn record_bytes(&mut self, count: usize) {
        self.recorder.iter_mut().for_each(|recorder| recorder.record_bytes(count));
    }

    pub(crate) fn end_attempt(&mut self, error: Error) -> Error {
        let error = error.with_attempts(self.attempts, self.worst_delivery);
        self.worst_delivery = error.delivery();
        self.shared.end_attempt(self.worst_delivery);
        self.reused_connection = false;
        error
    }

    /// Reports the attempt that ended, and the delay before the next one.
    pub(crate) fn report_attempt(&mut self, error: Option<&Error>, retry_in: Option<Duration>) {
        self.recorder.iter_mut().for_each(|recorder| recorder.report(error, retry_in));
    }

    /// The delivery of the current attempt if it ends without a response.
    pub(crate) fn current_delivery(&self) -> Delivery {
        match self.shared.body.load(Ordering::Acquire) {
            TAKEN => Delivery::Unknown,
            _ => Delivery::NotSent,
        }
    }

    /// Returns the outcome of a call that was cancelled (`None`), passed its deadline (`Some(Err)`) or
    /// ended by itself.
    pub(crate) fn end_call<T, Elapsed>(
        &mut self,
        outcome: Option<Result<Result<T, Error>, Elapsed>>,
        timeout: Duration,
    ) -> Result<T, Error> {
        match outcome {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => {
                let message = format!("no response within {} s", timeout.as_secs_f64());
                Err(self.abort(Kind::Timeout, message))
            }
            None => Err(self.abort(Kind::Cancelled, "the caller ended the call")),
        }
    }

    /// The error of a call that ends early.
    fn abort(&mut self, kind: Kind, message: impl Into<String>) -> Error {
        let error = Error::new(kind, self.current_delivery(), message);
        let error = self.end_attempt(error);
        self.report_attempt(Some(&error), None);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cancelled_call_leaves_stays_true() {
        let cancelled = |before: &[Delivery], sent: bool| {
            let state = &mut CallState::new();
            for delivery in before {
                state.start_attempt();
                assert!(state.shared.hand_over_body());
                state.end_attempt(Error::new(Kind::Lost, *delivery, ""));
            }
            state.start_attempt();
            assert!(!sent || state.shared.hand_over_body());
            let left = state.shared.cancel();
            // No connection gets a body that none had, nor a later attempt's.
            assert_eq!(state.shared.hand_over_body(), sent);
            assert_eq!(state.shared.cancel(), left);
            left
        };
        use Delivery::{NotSent, Rejected, Unknown};
        assert_eq!(SharedCallState::default().cancel(), (NotSent, 0));
        assert_eq!(cancelled(&[], false), (NotSent, 1));
        assert_eq!(cancelled(&[], true), (Unknown, 1));
        assert_eq!(cancelled(&[NotSent], false), (NotSent, 2));
        assert_eq!(cancelled(&[Rejected], false), (Rejected, 2));
        assert_eq!(cancelled(&[Rejected, Unknown, Rejected], false), (Unknown, 4));
        assert_eq!(cancelled(&[Rejected], true), (Unknown, 2));
    }
}
