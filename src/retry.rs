//! Decides whether a failed attempt is retried, and after which delay.
//!
//! The same update sent twice leaves the same record, so an attempt whose outcome is unknown may be
//! repeated. Bad input, a refusal and a malformed response are not retried: they would not change.

use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::error::{Error, Kind};

/// The bound of the first delay. It doubles with each retry, up to `MAX_BACKOFF`.
const INITIAL_BACKOFF: Duration = Duration::from_millis(250);
const MAX_BACKOFF: Duration = Duration::from_secs(8);

/// The attempts of one call.
pub(crate) struct Retries<'a> {
    pub(crate) max_retries: u32,
    pub(crate) budget: &'a RetryBudget,
    pub(crate) deadline: Instant,
    /// The retries that were started. One after a pause of the whole bulk does not count.
    pub(crate) retries: u32,
}

impl Retries<'_> {
    /// The delay before the next attempt, or `None` if this outcome is final.
    ///
    /// A delay that would pass the deadline is not started, and costs no retry.
    pub(crate) fn next_delay<T>(&mut self, outcome: &Result<T, Error>) -> Option<Duration> {
        let error = match outcome {
            Ok(_) => {
                self.budget.deposit();
                return None;
            }
            Err(error) => error,
        };
        let delay = delay_before_retry(error, self.retries + 1);
        let delay = delay.filter(|delay| self.fits_deadline(*delay))?;
        if self.retries == self.max_retries || !self.budget.withdraw() {
            return None;
        }
        self.retries += 1;
        Some(delay)
    }

    /// Returns the delay after a pause of the whole bulk. It costs no retry, because the bulk itself
    /// slows down. `None` if the client has no retries at all.
    pub(crate) fn next_delay_after_pause(&self, pause: Duration) -> Option<Duration> {
        (self.max_retries > 0 && self.fits_deadline(pause)).then_some(pause)
    }

    fn fits_deadline(&self, delay: Duration) -> bool {
        delay < self.deadline.saturating_duration_since(Instant::now())
    }
}

/// The delay after `attempts` attempts, or `None` if another one would not help.
pub(crate) fn delay_before_retry(error: &Error, attempts: u32) -> Option<Duration> {
    let may_get_better = match error.kind() {
        Kind::Connect => !error.is_about_login(),
        Kind::Lost => true,
        Kind::Tls => !error.has_bad_certificate(),
        Kind::Status => matches!(error.http_status(), Some(408 | 429 | 502 | 503 | 504)),
        _ => false,
    };
    if !may_get_better {
        return None;
    }
    Some(error.retry_after().unwrap_or_else(|| backoff(attempts)))
}

/// A random delay whose upper bound doubles with each failure in a row.
pub(crate) fn backoff(failures: u32) -> Duration {
    let longest = INITIAL_BACKOFF * 2u32.pow(failures.saturating_sub(1).min(10));
    // Full jitter: clients that failed together do not return together. Forked processes inherit
    // the generator, and may have the same number in their namespaces: the clock tells them apart.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let salt = (u64::from(process::id()) << 32) | u64::from(now.subsec_nanos());
    let mut random = fastrand::Rng::with_seed(fastrand::u64(..) ^ salt);
    longest.min(MAX_BACKOFF).mul_f64(random.f64())
}

/// Reads a `Retry-After` header: seconds, or a date.
pub(crate) fn parse_retry_after(value: &str) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// The retries of a client: 50, and ten accepted updates give one back. So retries do not multiply
/// an outage.
pub(crate) struct RetryBudget {
    /// In tenths of a retry.
    left: AtomicU32,
}

impl RetryBudget {
    const FULL: u32 = 500;
    const RETRY: u32 = 10;

    pub(crate) fn new() -> Self {
        RetryBudget { left: AtomicU32::new(RetryBudget::FULL) }
    }

    /// Takes a retry; false if none is left.
    pub(crate) fn withdraw(&self) -> bool {
        let take = |left: u32| left.checked_sub(RetryBudget::RETRY);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }

    /// Records an accepted update.
    pub(crate) fn deposit(&self) {
        let add = |left| (left < RetryBudget::FULL).then_some(left + 1);
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ConnectCause, Delivery};

    fn error(kind: Kind) -> Error {
        Error::new(kind, Delivery::Unknown, "")
    }

    fn status(status: u16, retry_after: Option<Duration>) -> Error {
        Error::status(status, Delivery::Unknown, retry_after, String::new())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (value, seconds) in [
            ("0", Some(0)),
            ("5", Some(5)),
            ("007", Some(7)),
            ("86400", Some(86_400)),
            ("18446744073709551615", Some(u64::MAX)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Wed, 21 Oct 2015 07:28:00 GMT", Some(0)),
            ("Wednesday, 21-Oct-15 07:28:00 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1e3", None),
            ("5s", None),
            (" 5", None),
            ("5 5", None),
            ("soon", None),
            ("٥", None),
            ("2015-10-21T07:28:00Z", None),
        ] {
            assert_eq!(parse_retry_after(value), seconds.map(Duration::from_secs), "{value}");
        }
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
        let seconds = parse_retry_after(&date).unwrap().as_secs_f64();
        assert!((98.0..=100.0).contains(&seconds), "{seconds}");
    }

    #[test]
    fn only_what_may_get_better_is_tried_again() {
        for kind in [Kind::Connect, Kind::Lost, Kind::Tls] {
            assert!(delay_before_retry(&error(kind), 1).is_some(), "{kind:?}");
        }
        for kind in [
            Kind::InvalidField,
            Kind::Configuration,
            Kind::Timeout,
            Kind::Refused,
            Kind::Response,
            Kind::Cancelled,
            Kind::Internal,
        ] {
            assert!(delay_before_retry(&error(kind), 1).is_none(), "{kind:?}");
        }
        assert!(
            delay_before_retry(
                &error(Kind::Tls).with_connect_cause(Some(ConnectCause::OtherHost)),
                1
            )
            .is_none()
        );
        let tried: Vec<u16> =
            (300..600).filter(|s| delay_before_retry(&status(*s, None), 1).is_some()).collect();
        assert_eq!(tried, [408, 429, 502, 503, 504]);
    }

    #[test]
    fn a_delay_is_random_up_to_a_bound_that_doubles_to_eight_seconds() {
        let bounds = [
            (1, 250),
            (2, 500),
            (3, 1000),
            (4, 2000),
            (5, 4000),
            (6, 8000),
            (7, 8000),
            (u32::MAX, 8000),
        ];
        for (attempts, millis) in bounds {
            let bound = Duration::from_millis(millis);
            let waits: Vec<_> = (0..1000)
                .map(|_| delay_before_retry(&error(Kind::Lost), attempts).unwrap())
                .collect();
            assert!(waits.iter().all(|wait| *wait <= bound), "after {attempts} attempts");
            // Full jitter: each of these fails once in 10^45 runs.
            assert!(waits.iter().any(|wait| *wait > bound.mul_f64(0.9)), "after {attempts}");
            assert!(waits.iter().any(|wait| *wait < bound.mul_f64(0.1)), "after {attempts}");
        }
    }

    #[test]
    fn what_the_service_asks_for_is_waited() {
        for seconds in [0, 1, 3600, u64::MAX] {
            let asked = Duration::from_secs(seconds);
            assert_eq!(delay_before_retry(&status(503, Some(asked)), 1), Some(asked));
        }
        let asked = Duration::from_secs(1);
        assert_eq!(
            delay_before_retry(&status(500, Some(asked)), 1),
            None,
            "but only if it is worth it"
        );
    }

    #[test]
    fn a_budget_is_fifty_retries_and_ten_accepted_updates_earn_one() {
        let withdraw_all =
            |budget: &RetryBudget| (0..1000).take_while(|_| budget.withdraw()).count();
        let budget = RetryBudget::new();
        (0..100).for_each(|_| budget.deposit());
        assert_eq!(withdraw_all(&budget), 50, "never more");
        (0..9).for_each(|_| budget.deposit());
        assert_eq!(withdraw_all(&budget), 0);
        budget.deposit();
        assert_eq!(withdraw_all(&budget), 1);
        (0..10_000).for_each(|_| budget.deposit());
        assert_eq!(withdraw_all(&budget), 50, "never above");
    }

    /// Repeats an attempt that always fails so, on a clock that jumps over the waits; gives how
    /// many attempts there were, and how long it all took.
    fn repeat_failing(max_retries: u32, timeout: Duration, error: &Error) -> (u32, Duration) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let started = Instant::now();
            let (budget, deadline) = (&RetryBudget::new(), started + timeout);
            let mut retries = Retries { max_retries, budget, deadline, retries: 0 };
            while let Some(wait) = retries.next_delay(&Err::<(), _>(error.clone())) {
                tokio::time::sleep(wait).await;
            }
            (retries.retries + 1, started.elapsed())
        })
    }

    #[test]
    fn waits_end_within_the_deadline_and_what_the_service_asks_for_is_kept() {
        let day = Duration::from_secs(86_400);
        let asks = |seconds| status(503, Some(Duration::from_secs(seconds)));
        assert_eq!(repeat_failing(2, day, &asks(60)), (3, Duration::from_secs(120)));
        assert_eq!(repeat_failing(0, day, &asks(60)), (1, Duration::ZERO));
        assert_eq!(repeat_failing(9, Duration::from_secs(150), &asks(60)).0, 3);
        assert_eq!(repeat_failing(9, Duration::from_secs(60), &asks(60)), (1, Duration::ZERO));
        assert_eq!(repeat_failing(9, day, &asks(u64::MAX)), (1, Duration::ZERO));
        assert_eq!(repeat_failing(u32::MAX, day * 7, &asks(1)).0, 51, "the budget is 50");
        assert_eq!(repeat_failing(9, day, &error(Kind::Response)), (1, Duration::ZERO));

        for _ in 0..100 {
            let (attempts, took) = repeat_failing(20, Duration::from_secs(3), &error(Kind::Lost));
            assert!(attempts > 1 && took <= Duration::from_secs(3), "{attempts} in {took:?}");
        }
    }
}
