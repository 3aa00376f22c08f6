//! How far a call has come, and what is told of each of its attempts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::error::{Delivery, Error, Kind};
use crate::lane::Lane;

/// One attempt of a call, when it is over. Holds no key and no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number within the call, from 1.
    pub number: u32,
    /// The HTTP method.
    pub method: &'static str,
    /// The address, which holds no user name, password or query.
    pub url: Arc<str>,
    /// The HTTP status, if one came.
    pub status: Option<u16>,
    /// When it began, by the clock of this machine.
    pub started: SystemTime,
    /// How long it took.
    pub elapsed: Duration,
    /// The length of the request's body.
    pub request_bytes: usize,
    /// How much of the answer's body came.
    pub response_bytes: usize,
    /// What kind of thing went wrong; `None` if the update was accepted.
    pub error: Option<Kind>,
    /// The same in a line of this library's own words, without those of the service.
    pub reason: Option<String>,
    /// The wait after which another attempt follows, if one does.
    pub wait: Option<Duration>,
}

impl Attempt {
    fn new(url: &Arc<str>, request_bytes: usize) -> Self {
        Attempt {
            number: 0,
            method: "POST",
            url: url.clone(),
            status: None,
            started: SystemTime::UNIX_EPOCH,
            elapsed: Duration::ZERO,
            request_bytes,
            response_bytes: 0,
            error: None,
            reason: None,
            wait: None,
        }
    }

    /// The host and the port of the address.
    pub fn host(&self) -> &str {
        self.url.split('/').nth(2).unwrap_or_default()
    }
}

/// Who is told of the attempts, from inside of the event loop.
pub(crate) type Tell<'a> = &'a (dyn Fn(Attempt) + Send + Sync);

/// How far a call has come, for whoever breaks it off.
pub(crate) struct Progress<'a> {
    attempts: u32,
    /// What the attempts that ended left open.
    before: Delivery,
    /// Whether the current attempt handed its body to a connection.
    pub(crate) sent: Arc<AtomicBool>,
    /// Whether the current attempt began a TLS handshake.
    handshaking: Option<Arc<AtomicBool>>,
    /// Whether the current attempt may use a connection of an earlier call.
    pub(crate) old_connection: bool,
    /// Whether the current attempt got a whole answer.
    pub(crate) answered: bool,
    observed: Option<Observed<'a>>,
}

/// What is kept only where somebody wants to know.
struct Observed<'a> {
    tell: Tell<'a>,
    /// The current attempt, as far as it is known.
    attempt: Attempt,
    /// Set while an attempt is under way.
    begun: Option<Instant>,
}

impl<'a> Progress<'a> {
    pub(crate) fn new() -> Self {
        Progress {
            attempts: 0,
            before: Delivery::NotSent,
            sent: Arc::default(),
            handshaking: None,
            old_connection: false,
            answered: false,
            observed: None,
        }
    }

    /// Tells of every attempt to `url` from here on.
    pub(crate) fn observe(&mut self, tell: Tell<'a>, url: &Arc<str>, request_bytes: usize) {
        let attempt = Attempt::new(url, request_bytes);
        self.observed = Some(Observed { tell, attempt, begun: None });
    }

    /// The call is given this lane.
    pub(crate) fn enter(&mut self, lane: &Lane) {
        self.handshaking = Some(lane.handshaking.clone());
        self.old_connection = lane.used;
    }

    pub(crate) fn begin_attempt(&mut self) {
        self.attempts += 1;
        self.answered = false;
        self.handshaking.iter().for_each(|flag| flag.store(false, Ordering::Relaxed));
        if let Some(Observed { attempt, begun, .. }) = &mut self.observed {
            *attempt = Attempt::new(&attempt.url, attempt.request_bytes);
            attempt.number = self.attempts;
            attempt.started = SystemTime::now();
            *begun = Some(Instant::now());
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        self.handshaking.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    pub(crate) fn got_status(&mut self, status: u16) {
        if let Some(observed) = &mut self.observed {
            observed.attempt.status = Some(status);
        }
    }

    pub(crate) fn got_bytes(&mut self, count: usize) {
        if let Some(observed) = &mut self.observed {
            observed.attempt.response_bytes += count;
        }
    }

    pub(crate) fn end_attempt(&mut self, error: Error) -> Error {
        let error = error.after(self.attempts, self.before);
        self.before = error.delivery();
        self.sent.store(false, Ordering::Relaxed);
        self.old_connection = false;
        error
    }

    /// Tells of the attempt that ended, and of the wait before another one.
    pub(crate) fn tell(&mut self, error: Option<&Error>, wait: Option<Duration>) {
        let Some(Observed { tell, attempt, begun }) = &mut self.observed else { return };
        let Some(begun) = begun.take() else { return };
        attempt.elapsed = begun.elapsed();
        attempt.error = error.map(Error::kind);
        attempt.reason = error.map(|error| error.reason().to_owned());
        attempt.wait = wait;
        tell(attempt.clone());
    }

    /// What the current attempt leaves open if it ends without an answer.
    pub(crate) fn open(&self) -> Delivery {
        if self.sent.load(Ordering::Relaxed) { Delivery::Unknown } else { Delivery::NotSent }
    }

    /// The error of a call that ends before its time.
    pub(crate) fn broken_off(&mut self, kind: Kind, message: impl Into<String>) -> Error {
        let error = Error::new(kind, self.open(), message);
        let error = self.end_attempt(error);
        self.tell(Some(&error), None);
        error
    }
}
