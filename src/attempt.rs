//! One attempt of a call, as it is reported when it has ended.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::error::{Error, Kind};

/// One attempt of a call that has ended. Holds no key and no personal data, and of the service's own
/// words the response headers alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// Its number within the call, from 1.
    pub number: u32,
    /// The HTTP method.
    pub method: &'static str,
    /// The address, which holds no user name, password or query.
    pub url: Arc<str>,
    /// The HTTP status, if a response came.
    pub status: Option<u16>,
    /// The headers of the response that help to find the call in the logs of others, as
    /// [`Error::response_headers`] has them.
    pub response_headers: Vec<(String, String)>,
    /// The start, by the clock of this machine.
    pub started: SystemTime,
    /// The time that it took.
    pub elapsed: Duration,
    /// The length of the request's body.
    pub request_bytes: usize,
    /// The bytes of the response's body that came.
    pub response_bytes: usize,
    /// The kind of error; `None` if the update was accepted.
    pub error: Option<Kind>,
    /// The error in one line of this library's own words, without those of the service.
    pub reason: Option<String>,
    /// The delay after which the next attempt follows; `None` if none does. In a bulk with a rate the
    /// attempt may wait longer, and the deadline may come first.
    pub retry_in: Option<Duration>,
}

impl Attempt {
    fn new(url: &Arc<str>, request_bytes: usize) -> Self {
        Attempt {
            number: 0,
            method: "POST",
            url: url.clone(),
            status: None,
            response_headers: Vec::new(),
            started: SystemTime::UNIX_EPOCH,
            elapsed: Duration::ZERO,
            request_bytes,
            response_bytes: 0,
            error: None,
            reason: None,
            retry_in: None,
        }
    }

    /// The host and the port of the address.
    pub fn host(&self) -> &str {
        self.url.split('/').nth(2).unwrap_or_default()
    }

    /// The log line of the attempt, the same in each language.
    pub fn log_line(&self) -> String {
        let outcome = match (self.status, self.error) {
            (Some(status), None | Some(Kind::Status)) => status.to_string(),
            (_, Some(kind)) => format!("{} error", kind.as_str()),
            (None, None) => "accepted".to_owned(),
        };
        format!(
            "{} {}: {outcome} in {:.1} ms (attempt {}, request {} bytes, response {})",
            self.method,
            self.host(),
            self.elapsed.as_secs_f64() * 1000.0,
            self.number,
            self.request_bytes,
            self.response_bytes,
        )
    }

    /// All of the attempt in one line, for a log that has one line for each: its log line, the reason
    /// of its error, and the delay before a retry.
    pub fn summary(&self) -> String {
        let mut line = self.log_line();
        if let Some(reason) = &self.reason {
            line += &format!(": {reason}");
        }
        if let Some(retry_in) = self.retry_in {
            line += &format!("; retry in {:.2} s", retry_in.as_secs_f64());
        }
        line
    }

    /// The log line of the retry that follows, if one does.
    pub fn retry_log_line(&self) -> Option<String> {
        let retry_in = self.retry_in?.as_secs_f64();
        Some(format!(
            "{} {}: attempt {} failed, another follows in {retry_in:.2} s: {}",
            self.method,
            self.host(),
            self.number,
            self.reason.as_deref().unwrap_or_default(),
        ))
    }
}

/// The attempts that a call reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportedAttempts {
    /// All of them.
    #[default]
    All,
    /// Those that are retried. A call without a retry records nothing.
    Retried,
}

/// Receives an attempt on the background thread, and must not block it.
pub type OnAttempt = Box<dyn Fn(Attempt) + Send + Sync>;

/// Receives each attempt, inside the event loop.
pub(crate) type AttemptCallback<'a> = &'a (dyn Fn(Attempt) + Send + Sync);

/// Collects what is known of the current attempt. Only calls with a callback have one.
pub(crate) struct AttemptRecorder<'a> {
    callback: AttemptCallback<'a>,
    reported: ReportedAttempts,
    attempt: Attempt,
    /// Set while an attempt is in flight.
    started: Option<Instant>,
}

impl<'a> AttemptRecorder<'a> {
    pub(crate) fn new(
        callback: AttemptCallback<'a>,
        reported: ReportedAttempts,
        url: &Arc<str>,
        request_bytes: usize,
    ) -> AttemptRecorder<'a> {
        let attempt = Attempt::new(url, request_bytes);
        AttemptRecorder { callback, reported, attempt, started: None }
    }

    pub(crate) fn start(&mut self, number: u32) {
        self.attempt = Attempt::new(&self.attempt.url, self.attempt.request_bytes);
        self.attempt.number = number;
        self.attempt.started = SystemTime::now();
        self.started = Some(Instant::now());
    }

    pub(crate) fn record_head(
        &mut self,
        status: u16,
        headers: impl FnOnce() -> Vec<(String, String)>,
    ) {
        self.attempt.status = Some(status);
        if self.reported == ReportedAttempts::All {
            self.attempt.response_headers = headers();
        }
    }

    pub(crate) fn record_bytes(&mut self, count: usize) {
        self.attempt.response_bytes += count;
    }

    /// Reports the attempt, once.
    pub(crate) fn report(&mut self, error: Option<&Error>, retry_in: Option<Duration>) {
        let Some(started) = self.started.take() else { return };
        if self.reported == ReportedAttempts::Retried {
            if retry_in.is_none() {
                return;
            }
            let headers = error.map(Error::response_headers).unwrap_or_default();
            self.attempt.response_headers = headers.to_vec();
        }
        self.attempt.elapsed = started.elapsed();
        self.attempt.error = error.map(Error::kind);
        self.attempt.reason = error.map(|error| error.reason().to_owned());
        self.attempt.retry_in = retry_in;
        (self.callback)(self.attempt.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_says_what_came_of_the_attempt() {
        let mut attempt = Attempt::new(&Arc::from("https://host:8443/path"), 120);
        attempt.number = 2;
        attempt.elapsed = Duration::from_micros(12_340);
        attempt.response_bytes = 7;
        let lines = [
            ((Some(200), None), "POST host:8443: 200 in 12.3 ms"),
            ((Some(503), Some(Kind::Status)), "POST host:8443: 503 in 12.3 ms"),
            ((Some(200), Some(Kind::Refused)), "POST host:8443: refused error in 12.3 ms"),
            ((None, Some(Kind::Lost)), "POST host:8443: lost error in 12.3 ms"),
        ];
        for ((status, error), start) in lines {
            (attempt.status, attempt.error) = (status, error);
            let line = format!("{start} (attempt 2, request 120 bytes, response 7)");
            assert_eq!(attempt.log_line(), line);
        }
        assert_eq!(attempt.retry_log_line(), None);
        attempt.reason = Some("the connection was lost".to_owned());
        attempt.retry_in = Some(Duration::from_millis(250));
        assert_eq!(
            attempt.retry_log_line().as_deref(),
            Some(
                "POST host:8443: attempt 2 failed, another follows in 0.25 s: the connection was lost"
            )
        );
    }
}
