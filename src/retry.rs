//! When to try again, and how long to wait before.
//!
//! The same update sent twice leaves the same record, so an attempt whose outcome is unknown may be
//! repeated. What cannot get better by repeating is not: bad input, a refusal, an odd answer.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Kind};

/// The first wait is up to this, the next up to twice as much, and so on.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// How long to wait before the attempt after `attempts`, if the error is worth another one.
pub(crate) fn wait(error: &Error, attempts: u32) -> Option<Duration> {
    let worth_it = match error.kind() {
        Kind::Connect | Kind::Lost => true,
        Kind::Tls => !error.has_bad_certificate(),
        Kind::Status => matches!(error.http_status(), Some(408 | 429 | 502 | 503 | 504)),
        _ => false,
    };
    if !worth_it {
        return None;
    }
    error.retry_after().or_else(|| {
        let longest = FIRST_WAIT * 2u32.pow(attempts.saturating_sub(1).min(10));
        // Full jitter: clients that failed together do not come back together.
        Some(longest.min(LONGEST_WAIT).mul_f64(fastrand::f64()))
    })
}

/// A `Retry-After` header: seconds, or a date.
pub(crate) fn parse_retry_after(value: &str) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// Keeps an outage from being multiplied by retries: a client has 50, and every ten accepted
/// answers earn one back.
pub(crate) struct Budget {
    /// In tenths of a retry.
    left: AtomicU32,
}

impl Budget {
    const FULL: u32 = 500;
    const RETRY: u32 = 10;

    pub(crate) fn new() -> Self {
        Budget { left: AtomicU32::new(Budget::FULL) }
    }

    /// Takes a retry, if there is one.
    pub(crate) fn spend(&self) -> bool {
        let take = |left: u32| left.checked_sub(Budget::RETRY);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// An answer was accepted.
    pub(crate) fn earn(&self) {
        let add = |left| (left < Budget::FULL).then_some(left + 1);
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}
