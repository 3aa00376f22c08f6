//! Limits the rate of a bulk to what its caller allows and what the service takes.
//!
//! It is a GCRA, a token bucket without a timer. A 429 or a 503 of the service lowers its rate. The
//! lowered rate recovers along a cubic curve, as TCP's CUBIC does.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::Error;
use crate::retry;

/// A bulk that was delayed makes up for at most this much time, so that no burst follows.
const BURST_TOLERANCE: Duration = Duration::from_millis(100);
/// The time over which the rate of accepted updates is measured.
const MEASUREMENT_WINDOW: Duration = Duration::from_secs(1);
/// The part of the rate that is kept when the service asks for less.
const BACKOFF_FACTOR: f64 = 0.85;
/// The lowest limit, in attempts a second.
const MIN_RATE: f64 = 1.0;
/// The time from the reduced rate back to the last maximum. It doubles each time that the same rate
/// is too high again, so that a bulk settles below it.
const RECOVERY_TIME: Duration = Duration::from_secs(2);
const MAX_RECOVERY_TIME: Duration = Duration::from_secs(30);
/// The limit is removed once it is so many times the last maximum.
const UNLIMITED_FACTOR: f64 = 20.0;
/// The longest pause, whatever `Retry-After` says: the service must not stop a bulk for good.
const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The rate limiter of a bulk, which all its attempts share, retries included.
pub(crate) struct RateLimiter {
    /// Held by the attempt that waits, so that the others queue behind it in order.
    queue: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// The caller's limit, in attempts a second.
    rate: Option<f64>,
    /// The service's limit, once it has asked for less.
    limit: Option<Limit>,
    /// The instant from which on the next attempt may start.
    next: Instant,
    paused_until: Option<Instant>,
    /// The instant of the last reduction. Attempts that started before it have no new information.
    reduced_at: Option<Instant>,
    /// Pauses in a row without an accepted update.
    pauses: u32,
    accepted: AcceptedRate,
}

/// A limit that recovers. From `since` on, the end of the pause, it grows from `BACKOFF_FACTOR` of
/// the last maximum to the whole of it in `recovery_time`, stays level there, and then grows ever
/// faster.
struct Limit {
    last_max_rate: f64,
    created: Instant,
    since: Instant,
    recovery_time: Duration,
}

impl Limit {
    /// The limit at this instant; `None` once it has grown far beyond the last maximum.
    fn at(&self, now: Instant) -> Option<f64> {
        let passed = now.saturating_duration_since(self.since).div_duration_f64(self.recovery_time);
        let grown = 1.0 + (1.0 - BACKOFF_FACTOR) * (passed - 1.0).powi(3);
        (grown < UNLIMITED_FACTOR).then_some((self.last_max_rate * grown).max(MIN_RATE))
    }
}

/// The number of accepted updates, of which each counts less as time passes.
struct AcceptedRate {
    count: f64,
    since: Instant,
    at: Instant,
}

impl AcceptedRate {
    fn decay(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.count *= (-passed.div_duration_f64(MEASUREMENT_WINDOW)).exp();
        self.at = now;
    }

    fn per_second(&mut self, now: Instant) -> f64 {
        self.decay(now);
        let whole = now.saturating_duration_since(self.since).max(Duration::from_millis(1));
        let weight = 1.0 - (-whole.div_duration_f64(MEASUREMENT_WINDOW)).exp();
        self.count / (weight * MEASUREMENT_WINDOW.as_secs_f64())
    }
}

impl RateLimiter {
    pub(crate) fn new(rate: Option<f64>) -> Self {
        let now = Instant::now();
        RateLimiter {
            queue: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                rate,
                limit: None,
                next: now,
                paused_until: None,
                reduced_at: None,
                pauses: 0,
                accepted: AcceptedRate { count: 0.0, since: now, at: now },
            }),
        }
    }

    /// Waits until another attempt may start.
    pub(crate) async fn acquire(&self) {
        if self.lock().is_unlimited() {
            return;
        }
        let _first = self.queue.lock().await;
        loop {
            // Asked again after each wait, because the service may have asked for less meanwhile.
            let due = self.lock().try_acquire(Instant::now());
            match due {
                Some(due) => sleep_until(due).await,
                None => return,
            }
        }
    }

    /// Records the outcome of an attempt that started at `started`. Returns how long the whole bulk
    /// pauses, if the service asked for a pause.
    pub(crate) fn record<T>(
        &self,
        started: Instant,
        outcome: &Result<T, Error>,
    ) -> Option<Duration> {
        let mut state = self.lock();
        let now = Instant::now();
        match outcome {
            Ok(_) => {
                state.accepted.decay(now);
                state.accepted.count += 1.0;
                state.pauses = 0;
                None
            }
            Err(error) if matches!(error.http_status(), Some(429 | 503)) => {
                state.reduce(started, now, error);
                let until = state.paused_until.unwrap_or(now);
                Some(until.saturating_duration_since(now))
            }
            Err(_) => None,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns true if neither the caller, the service nor a pause limits the rate.
    fn is_unlimited(&self) -> bool {
        self.rate.is_none() && self.limit.is_none() && self.paused_until.is_none()
    }

    /// Takes the next slot, or returns when to ask again.
    fn try_acquire(&mut self, now: Instant) -> Option<Instant> {
        self.paused_until = self.paused_until.filter(|until| now < *until);
        if self.paused_until.is_some() {
            return self.paused_until;
        }
        let limit = self.limit.as_ref().and_then(|limit| limit.at(now));
        if limit.is_none() {
            self.limit = None;
        }
        let rate = match (self.rate, limit) {
            (Some(rate), Some(limit)) => rate.min(limit),
            (rate, limit) => rate.or(limit)?,
        };
        if now < self.next {
            return Some(self.next);
        }
        let slot = now.checked_sub(BURST_TOLERANCE).map_or(now, |earliest| self.next.max(earliest));
        self.next = slot + Duration::from_secs_f64(1.0 / rate);
        None
    }

    fn reduce(&mut self, started: Instant, now: Instant, error: &Error) {
        // A `Retry-After` of 0, or of a date that has passed, asks for no pause: back off all the same.
        let requested_pause = error.retry_after().filter(|wait| !wait.is_zero());
        let requested_pause = requested_pause.map(|wait| wait.min(MAX_PAUSE));
        if self.reduced_at.is_none_or(|reduced_at| started > reduced_at) {
            let measured_rate = self.accepted.per_second(now);
            let current = self.limit.as_ref().and_then(|limit| limit.at(now));
            // Right after a reduction, or without an accepted update, the measured rate says nothing.
            let tried =
                |limit: &Limit| now.saturating_duration_since(limit.created) >= MEASUREMENT_WINDOW;
            let learned = self.pauses == 0 && self.limit.as_ref().is_some_and(tried);
            if measured_rate > 0.0 && (current.is_none() || learned) {
                let last_max_rate =
                    current.map_or(measured_rate, |current| current.min(measured_rate));
                let same = |old: &Limit| (0.7..1.3).contains(&(last_max_rate / old.last_max_rate));
                let again = self.limit.take().filter(same);
                let recovery_time = again
                    .map_or(RECOVERY_TIME, |old| (old.recovery_time * 2).min(MAX_RECOVERY_TIME));
                self.limit = Some(Limit { last_max_rate, created: now, since: now, recovery_time });
            }
            self.pauses += 1;
            let pause = requested_pause.unwrap_or_else(|| retry::backoff(self.pauses));
            self.paused_until = self.paused_until.max(Some(now + pause));
            self.reduced_at = Some(now);
        } else if let Some(requested_pause) = requested_pause {
            self.paused_until = self.paused_until.max(Some(now + requested_pause));
        }
        // The limit recovers after the pause.
        if let Some(limit) = &mut self.limit {
            limit.since = self.paused_until.unwrap_or(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::Delivery;

    /// A service that takes `rate` attempts a second, and up to a tenth of that at once.
    struct Service {
        rate: f64,
        tokens: f64,
        at: Instant,
        retry_after: Option<Duration>,
        /// When each attempt came, and whether it was accepted.
        log: Vec<(Instant, bool)>,
    }

    impl Service {
        fn respond(&mut self) -> Result<(), Error> {
            let now = Instant::now();
            self.tokens += (now - self.at).as_secs_f64() * self.rate;
            self.tokens = self.tokens.min((self.rate / 10.0).max(1.0));
            self.at = now;
            let accepted = self.tokens >= 1.0;
            self.tokens -= f64::from(u8::from(accepted));
            self.log.push((now, accepted));
            let error = || Error::status(429, Delivery::Rejected, self.retry_after, String::new());
            if accepted { Ok(()) } else { Err(error()) }
        }
    }

    /// Runs `workers` that take 5 ms for each attempt against a service whose rate changes: each of
    /// `rates` stands for a number of seconds. Returns accepted and refused attempts of each second.
    fn run(
        given: Option<f64>,
        workers: usize,
        retry_after: Option<Duration>,
        rates: &[(u64, f64)],
    ) -> Vec<(usize, usize)> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let started = Instant::now();
            let (rate, log) = (rates[0].1, Vec::new());
            let service = Service { rate, tokens: 0.0, at: started, retry_after, log };
            let service = Arc::new(Mutex::new(service));
            let limiter = Arc::new(RateLimiter::new(given));
            for _ in 0..workers {
                let (service, limiter) = (service.clone(), limiter.clone());
                tokio::spawn(async move {
                    loop {
                        limiter.acquire().await;
                        let started = Instant::now();
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        let outcome = service.lock().unwrap().respond();
                        limiter.record(started, &outcome);
                    }
                });
            }
            for (seconds, rate) in rates {
                service.lock().unwrap().rate = *rate;
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
            }
            let seconds = rates.iter().map(|(seconds, _)| *seconds as usize).sum();
            let mut counts = vec![(0, 0); seconds];
            for (at, accepted) in &service.lock().unwrap().log {
                let second = (*at - started).as_secs() as usize;
                let Some(count) = counts.get_mut(second) else { continue };
                if *accepted { count.0 += 1 } else { count.1 += 1 }
            }
            counts
        })
    }

    const FREE: f64 = 1e9;

    fn accepted(seconds: &[(usize, usize)]) -> usize {
        seconds.iter().map(|(accepted, _)| accepted).sum()
    }

    fn refused(seconds: &[(usize, usize)]) -> usize {
        seconds.iter().map(|(_, refused)| refused).sum()
    }

    #[test]
    fn a_given_rate_is_kept_by_all_workers_together_from_the_first_second_on() {
        for rate in [1.0, 7.0, 200.0, 1500.0] {
            for workers in [8, 100] {
                let seconds = run(Some(rate), workers, None, &[(10, FREE)]);
                let even = |(accepted, _): &(usize, usize)| (*accepted as f64 - rate).abs() < 2.0;
                // The response comes 5 ms after the start.
                assert!(seconds[1..].iter().all(even), "{rate}: {seconds:?}");
                let sum = accepted(&seconds) as f64;
                assert!((0.985..=1.005).contains(&(sum / rate / 10.0)), "{rate}: {sum}");
            }
        }
        let seconds = run(None, 8, None, &[(10, FREE)]);
        assert!(seconds[1..].iter().all(|count| *count == (1600, 0)), "as fast as it goes");
    }

    #[test]
    fn what_was_held_up_is_not_sent_in_one_burst() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let limiter = RateLimiter::new(Some(100.0));
            tokio::time::sleep(Duration::from_secs(60)).await;
            let started = Instant::now();
            for _ in 0..50 {
                limiter.acquire().await;
            }
            let passed = started.elapsed();
            assert!((380..=400).contains(&passed.as_millis()), "{passed:?}");
        });
    }

    #[test]
    fn a_bulk_settles_below_what_the_service_takes() {
        // The slower the service, the less there is to measure.
        for (rate, expected) in [(20.0, 0.7), (100.0, 0.9), (1000.0, 0.93)] {
            let seconds = run(None, 8, None, &[(120, rate)]);
            let settled = &seconds[20..];
            assert!(refused(settled) <= 40, "{rate}: {seconds:?}");
            let least = settled.iter().map(|(accepted, _)| *accepted).min().unwrap() as f64;
            assert!(least >= 0.3 * rate, "{rate}: {seconds:?}");
            let share = accepted(settled) as f64 / 100.0 / rate;
            assert!(share > expected, "{rate}: {share}");
        }
    }

    #[test]
    fn after_an_outage_a_bulk_is_soon_back_at_its_rate() {
        let seconds = run(None, 8, None, &[(5, FREE), (2, 0.0), (20, FREE)]);
        assert!(refused(&seconds) <= 8 * 8, "{seconds:?}");
        assert_eq!(refused(&seconds[15..]), 0, "{seconds:?}");
        assert!(seconds[15..].iter().all(|(accepted, _)| *accepted >= 1590), "{seconds:?}");
        // And never above the caller's own limit.
        let seconds = run(Some(50.0), 8, None, &[(5, FREE), (2, 0.0), (20, FREE)]);
        assert!(seconds.iter().all(|(accepted, _)| *accepted <= 56), "{seconds:?}");
        assert!(seconds[20..].iter().all(|(accepted, _)| *accepted >= 49), "{seconds:?}");
    }

    #[test]
    fn a_service_that_takes_less_and_then_more_is_followed() {
        let seconds = run(None, 8, None, &[(5, FREE), (30, 300.0), (200, FREE)]);
        assert!((240..=310).contains(&seconds[30].0), "{seconds:?}");
        assert_eq!(seconds.last().unwrap().0, 1600, "{seconds:?}");
    }

    #[test]
    fn retry_after_pauses_the_whole_bulk() {
        let requested_pause = Duration::from_secs(7);
        let seconds = run(None, 8, Some(requested_pause), &[(1, 0.0), (20, FREE)]);
        assert_eq!(refused(&seconds), 8, "those in flight: {seconds:?}");
        assert_eq!(accepted(&seconds[..7]), 0, "{seconds:?}");
        assert!(accepted(&seconds[7..9]) > 0, "{seconds:?}");
        // But not for good.
        let seconds = run(None, 8, Some(Duration::MAX), &[(1, 0.0), (310, FREE)]);
        assert!(accepted(&seconds[302..]) > 0, "{seconds:?}");
    }

    #[test]
    fn the_slowest_service_is_still_asked() {
        let seconds = run(None, 8, None, &[(100, 0.5)]);
        assert!((30..=50).contains(&accepted(&seconds)), "{seconds:?}");
    }
}
