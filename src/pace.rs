//! How fast a run of many updates may go: as fast as its caller allows and the service takes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::error::Error;
use crate::retry;

/// A run that was held up catches up on this much and no more, so that no burst follows.
const CATCH_UP: Duration = Duration::from_millis(100);
/// What the service accepted is measured over about this long.
const MEMORY: Duration = Duration::from_secs(1);
/// What is left of the rate when the service asks for less.
const CUT: f64 = 0.85;
/// No limit is below this, in attempts a second.
const SLOWEST: f64 = 1.0;
/// The first return to the rate that was too much takes this long; it doubles each time that the
/// same rate is too much again, so that a run settles below it.
const RETURN: Duration = Duration::from_secs(2);
/// So many times the rate that was too much is no limit any more.
const NO_LIMIT: f64 = 20.0;
const LONGEST_RETURN: Duration = Duration::from_secs(30);
/// A pause is no longer, whatever `Retry-After` says: nobody may stop a run for good.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Whose turn it is. One for all the rows of a run, their retries included.
pub(crate) struct Pace {
    /// Held while the next one waits, so that all others queue behind in order.
    queue: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

struct State {
    /// What the caller allows, in attempts a second.
    rate: Option<f64>,
    /// What the service takes, once it has asked for less.
    limit: Option<Limit>,
    /// When the next attempt is due.
    next: Instant,
    paused_until: Option<Instant>,
    /// What was begun before then has nothing new to say.
    cut_at: Option<Instant>,
    /// Pauses in a row after which nothing was accepted.
    pauses: u32,
    accepted: Accepted,
}

/// A rate that was too much. From `since` on, when the pause is over, it goes from `CUT` of it back to it within `back_after`, level
/// there, and then ever faster beyond it, along a cubic curve as in TCP's CUBIC.
struct Limit {
    ceiling: f64,
    made: Instant,
    since: Instant,
    back_after: Duration,
}

impl Limit {
    /// Nothing where the curve has left the ceiling behind.
    fn at(&self, now: Instant) -> Option<f64> {
        let passed = now.saturating_duration_since(self.since).div_duration_f64(self.back_after);
        let grown = 1.0 + (1.0 - CUT) * (passed - 1.0).powi(3);
        (grown < NO_LIMIT).then_some((self.ceiling * grown).max(SLOWEST))
    }
}

/// How many answers were accepted of late, each one fading.
struct Accepted {
    count: f64,
    since: Instant,
    at: Instant,
}

impl Accepted {
    fn fade(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at);
        self.count *= (-passed.div_duration_f64(MEMORY)).exp();
        self.at = now;
    }

    fn per_second(&mut self, now: Instant) -> f64 {
        self.fade(now);
        let whole = now.saturating_duration_since(self.since).max(Duration::from_millis(1));
        let seen = 1.0 - (-whole.div_duration_f64(MEMORY)).exp();
        self.count / (seen * MEMORY.as_secs_f64())
    }
}

impl Pace {
    pub(crate) fn new(rate: Option<f64>) -> Self {
        let now = Instant::now();
        Pace {
            queue: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                rate,
                limit: None,
                next: now,
                paused_until: None,
                cut_at: None,
                pauses: 0,
                accepted: Accepted { count: 0.0, since: now, at: now },
            }),
        }
    }

    /// Waits until another attempt may begin.
    pub(crate) async fn turn(&self) {
        if self.lock().is_free() {
            return;
        }
        let _first = self.queue.lock().await;
        loop {
            // Looked at anew after each wait: meanwhile the service may have asked for less.
            let due = self.lock().take(Instant::now());
            match due {
                Some(due) => sleep_until(due).await,
                None => return,
            }
        }
    }

    /// Learns from an attempt that began then. Gives how long the whole run pauses, if the service
    /// asked for that.
    pub(crate) fn heard<T>(&self, began: Instant, outcome: &Result<T, Error>) -> Option<Duration> {
        let mut state = self.lock();
        let now = Instant::now();
        match outcome {
            Ok(_) => {
                state.accepted.fade(now);
                state.accepted.count += 1.0;
                state.pauses = 0;
                None
            }
            Err(error) if matches!(error.http_status(), Some(429 | 503)) => {
                state.slow_down(began, now, error);
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
    /// Whether nobody has to wait, or count.
    fn is_free(&self) -> bool {
        self.rate.is_none() && self.limit.is_none() && self.paused_until.is_none()
    }

    /// Takes the next turn, or says when to ask again.
    fn take(&mut self, now: Instant) -> Option<Instant> {
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
        let late = now.checked_sub(CATCH_UP).map_or(now, |earliest| self.next.max(earliest));
        self.next = late + Duration::from_secs_f64(1.0 / rate);
        None
    }

    fn slow_down(&mut self, began: Instant, now: Instant, error: &Error) {
        let asked = error.retry_after().map(|wait| wait.min(LONGEST_PAUSE));
        if self.cut_at.is_none_or(|cut_at| began > cut_at) {
            let seen = self.accepted.per_second(now);
            let current = self.limit.as_ref().and_then(|limit| limit.at(now));
            // Right after a cut there is nothing to learn, nor where nothing was accepted since.
            let tried = |limit: &Limit| now.saturating_duration_since(limit.made) >= MEMORY;
            let learned = self.pauses == 0 && self.limit.as_ref().is_some_and(tried);
            if seen > 0.0 && (current.is_none() || learned) {
                let ceiling = current.map_or(seen, |current| current.min(seen));
                let same = |old: &Limit| (0.7..1.3).contains(&(ceiling / old.ceiling));
                let again = self.limit.take().filter(same);
                let back_after =
                    again.map_or(RETURN, |old| (old.back_after * 2).min(LONGEST_RETURN));
                self.limit = Some(Limit { ceiling, made: now, since: now, back_after });
            }
            self.pauses += 1;
            let pause = asked.unwrap_or_else(|| retry::backoff(self.pauses));
            self.paused_until = self.paused_until.max(Some(now + pause));
            self.cut_at = Some(now);
        } else if let Some(asked) = asked {
            self.paused_until = self.paused_until.max(Some(now + asked));
        }
        // A pause is no time of recovery.
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
        fn answer(&mut self) -> Result<(), Error> {
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
    /// `rates` stands for a number of seconds. Gives accepted and refused attempts of each second.
    fn run(
        given: Option<f64>,
        workers: usize,
        retry_after: Option<Duration>,
        rates: &[(u64, f64)],
    ) -> Vec<(usize, usize)> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let began = Instant::now();
            let (rate, log) = (rates[0].1, Vec::new());
            let service = Service { rate, tokens: 0.0, at: began, retry_after, log };
            let service = Arc::new(Mutex::new(service));
            let pace = Arc::new(Pace::new(given));
            for _ in 0..workers {
                let (service, pace) = (service.clone(), pace.clone());
                tokio::spawn(async move {
                    loop {
                        pace.turn().await;
                        let began = Instant::now();
                        tokio::time::sleep(Duration::from_millis(5)).await;
                        let answer = service.lock().unwrap().answer();
                        pace.heard(began, &answer);
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
                let second = (*at - began).as_secs() as usize;
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
                // What was begun in the first second is heard 5 ms later.
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
            let pace = Pace::new(Some(100.0));
            tokio::time::sleep(Duration::from_secs(60)).await;
            let began = Instant::now();
            for _ in 0..50 {
                pace.turn().await;
            }
            let passed = began.elapsed();
            assert!((380..=400).contains(&passed.as_millis()), "{passed:?}");
        });
    }

    #[test]
    fn a_run_settles_below_what_the_service_takes() {
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
    fn after_an_outage_a_run_is_soon_back_at_its_rate() {
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
    fn retry_after_pauses_everybody() {
        let asked = Duration::from_secs(7);
        let seconds = run(None, 8, Some(asked), &[(1, 0.0), (20, FREE)]);
        assert_eq!(refused(&seconds), 8, "those that were under way: {seconds:?}");
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
