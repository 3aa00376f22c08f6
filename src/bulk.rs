//! Many updates at once.
//!
//! A bulk takes rows from its caller, runs a bounded number of them on the background thread, and
//! gives an outcome for each, in the order in which they end. A caller that checks `capacity`
//! before it produces the next row holds at most `2 * concurrency` rows in memory.

mod state;

use std::convert::Infallible;
use std::fmt;
use std::iter::Fuse;
use std::mem;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::select;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::attempt::{Attempt, ReportedAttempts};
use crate::background;
use crate::bulk::state::State;
use crate::call::CallState;
use crate::client::Client;
use crate::error::{Delivery, Error, Kind};
use crate::http::pool::MAX_BACKGROUND_CALLS;
use crate::http::transport_error::could_not_prepare;
use crate::per_process::OfProcess;
use crate::personal_info::PersonalInfo;
use crate::rate_limiter::RateLimiter;
use crate::update::{Request, Update};

/// The range of `rate`, in attempts a second.
const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;

/// The options of a bulk.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkOptions {
    /// The number of rows in flight at once, each on a connection of its own: 1 to 100; 8 unless set.
    pub concurrency: usize,
    /// The highest number of attempts a second, retries included, and a tenth more after a delay:
    /// 0.001 to 1,000,000. Without it, as many as the service takes.
    pub rate: Option<f64>,
    /// The timeout of each row, in place of the client's; that of a row's update wins. Counts from
    /// its first attempt.
    pub timeout: Option<Duration>,
    /// The bulk stops after so many consecutive rows that found no connection: 1 or more; 10 unless
    /// set.
    pub max_connect_failures: u32,
}

impl Default for BulkOptions {
    fn default() -> Self {
        BulkOptions { concurrency: 8, rate: None, timeout: None, max_connect_failures: 10 }
    }
}

impl BulkOptions {
    fn check(&self) -> Result<(), Error> {
        if !(1..=MAX_BACKGROUND_CALLS).contains(&self.concurrency) {
            let problem = format!("must be from 1 to {MAX_BACKGROUND_CALLS}");
            return Err(Error::configuration("concurrency", problem));
        }
        if self.rate.is_some_and(|rate| !RATES.contains(&rate)) {
            let problem = "must be attempts a second, from 0.001 to 1000000";
            return Err(Error::configuration("rate", problem));
        }
        if self.max_connect_failures == 0 {
            let problem = "must be 1 or more";
            return Err(Error::configuration("max_connect_failures", problem));
        }
        Ok(())
    }
}

/// The outcome of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The index of the row in the bulk, from 0.
    pub index: u64,
    /// The customer's record after the update, or the reason why there is none.
    pub result: Result<PersonalInfo, Error>,
    /// The number of attempts that were started.
    pub attempts: u32,
}

/// An event of a bulk.
#[derive(Clone, Debug, PartialEq)]
pub enum BulkEvent {
    /// An attempt of the row with this index has ended; if attempts are reported.
    Attempt(u64, Attempt),
    /// A row has ended.
    Outcome(Outcome),
}

/// Called on the background thread when there are events.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// Many updates in one go, for any thread. Dropping it cancels the rows that have not ended.
///
/// After a fork, the child cannot use its parent's bulk.
pub struct Bulk {
    /// A forked child does not drop it: a thread that it does not have may hold its lock.
    shared: OfProcess<Arc<Shared>>,
}

struct Shared {
    client: Arc<Client>,
    timeout: Duration,
    concurrency: usize,
    max_connect_failures: u32,
    reported_attempts: Option<ReportedAttempts>,
    limiter: RateLimiter,
    /// Cancels the rows in flight.
    cancel: Notify,
    state: Mutex<State>,
    changed: Condvar,
    wake: Option<Wake>,
}

impl Client {
    /// Updates many customers, several at once, on the background thread. Takes rows from `updates`
    /// as earlier ones end, and returns outcomes in the order in which rows end.
    ///
    /// # Errors
    /// For options out of range. The last item of the iterator is an error if the bulk stopped
    /// early: because the service cannot be reached, or the client was closed or its calls cancelled.
    pub fn update_many<I: IntoIterator<Item = Update>>(
        self: &Arc<Self>,
        updates: I,
        options: &BulkOptions,
    ) -> Result<BulkUpdate<I::IntoIter>, Error> {
        let bulk = self.start_bulk(options, None, None)?;
        Ok(BulkUpdate { updates: updates.into_iter().fuse(), bulk, ended: false })
    }

    /// Starts a bulk that has no rows yet. It has events of the reported attempts too. `wake` is
    /// called on the background thread when an attempt or a row has ended there, and must not block.
    /// It is not called for rows that end in `submit` or `cancel`.
    ///
    /// # Errors
    /// For options out of range.
    pub fn start_bulk(
        self: &Arc<Self>,
        options: &BulkOptions,
        reported_attempts: Option<ReportedAttempts>,
        wake: Option<Wake>,
    ) -> Result<Bulk, Error> {
        options.check()?;
        let shared = Shared {
            client: self.clone(),
            timeout: self.timeout_of_call(options.timeout)?,
            concurrency: options.concurrency,
            max_connect_failures: options.max_connect_failures,
            reported_attempts,
            limiter: RateLimiter::new(options.rate),
            cancel: Notify::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
            wake,
        };
        Ok(Bulk { shared: OfProcess::new(Arc::new(shared)) })
    }
}

impl Bulk {
    /// Returns the number of rows to submit now; 0 once the bulk has stopped. If no more are submitted,
    /// at most `2 * concurrency` rows have an outcome that was not taken, or none yet.
    pub fn capacity(&self) -> usize {
        self.shared().map_or(0, |shared| {
            let state = shared.lock();
            if state.stop_reason.is_some() {
                0
            } else {
                (2 * shared.concurrency).saturating_sub(state.undelivered)
            }
        })
    }

    /// Returns the number of rows that were submitted.
    pub fn submitted(&self) -> u64 {
        self.shared().map_or(0, |shared| shared.lock().submitted)
    }

    /// Submits a row, even beyond `capacity`, and returns its index. A row that is not valid ends with
    /// that error as its outcome.
    ///
    /// # Errors
    /// If the bulk has stopped; then the row is not taken.
    pub fn submit(&self, update: &Update) -> Result<u64, Error> {
        let shared = self.shared().ok_or_else(wrong_process)?;
        let request = update.request(shared.client.credentials());
        let mut state = shared.lock();
        if let Some(stop_reason) = &state.stop_reason {
            return Err(stop_reason.clone());
        }
        let index = state.add_row();
        match request {
            Ok(request) => state.waiting.push_back((index, request)),
            Err(error) => {
                state.end_row(index, Err(error), 0);
                shared.changed.notify_all();
                return Ok(index);
            }
        }
        if state.workers < shared.concurrency {
            state.workers += 1;
            drop(state);
            if let Err(problem) =
                background::spawn(shared.clone().run_worker(shared.client.cancelled()))
            {
                let mut state = shared.lock();
                state.workers -= 1;
                state.stop(could_not_prepare(problem));
                shared.changed.notify_all();
            }
        }
        Ok(index)
    }

    /// Takes the next event, if there is one.
    pub fn next_event(&self) -> Option<BulkEvent> {
        self.shared()?.lock().pop_event()
    }

    /// Takes the next outcome without waiting. `Pending` while rows are in flight; `Ready(None)` once
    /// every outcome was taken. `on_attempt` receives the attempts that ended before it.
    ///
    /// # Errors
    /// The errors of `on_attempt`.
    pub fn poll_outcome<E>(
        &self,
        mut on_attempt: impl FnMut(u64, &Attempt) -> Result<(), E>,
    ) -> Result<Poll<Option<Outcome>>, E> {
        loop {
            match self.next_event() {
                Some(BulkEvent::Outcome(outcome)) => return Ok(Poll::Ready(Some(outcome))),
                Some(BulkEvent::Attempt(index, attempt)) => on_attempt(index, &attempt)?,
                None if self.is_drained() => return Ok(Poll::Ready(None)),
                None => return Ok(Poll::Pending),
            }
        }
    }

    /// Takes the next outcome; `None` once every outcome was taken. Before each look, `fill` may
    /// submit rows; while rows are in flight, `wait` waits for an event.
    ///
    /// # Errors
    /// The errors of `fill`, `on_attempt` and `wait`.
    pub fn next_outcome<E>(
        &self,
        mut fill: impl FnMut() -> Result<(), E>,
        mut on_attempt: impl FnMut(u64, &Attempt) -> Result<(), E>,
        mut wait: impl FnMut() -> Result<(), E>,
    ) -> Result<Option<Outcome>, E> {
        loop {
            fill()?;
            match self.poll_outcome(&mut on_attempt)? {
                Poll::Ready(outcome) => return Ok(outcome),
                Poll::Pending => wait()?,
            }
        }
    }

    /// Waits until there is an event, or no row without an outcome, but at most this long.
    ///
    /// # Panics
    /// On the background thread, where `wake` runs: the rows would wait for the wait to end.
    pub fn wait_for_event(&self, timeout: Duration) {
        self.wait_while(timeout, |state| state.events.is_empty() && state.undelivered > 0);
    }

    /// Waits until every row has ended, but at most this long. Returns true if every row has ended.
    ///
    /// # Panics
    /// As [`wait_for_event`](Bulk::wait_for_event).
    pub fn wait_for_all(&self, timeout: Duration) -> bool {
        self.wait_while(timeout, |state| state.unfinished > 0)
    }

    fn wait_while(&self, timeout: Duration, wait: impl Fn(&State) -> bool) -> bool {
        assert!(
            !background::is_current_thread(),
            "the background thread cannot wait for its own rows"
        );
        let Some(shared) = self.shared() else { return true };
        let still = |state: &mut State| {
            let still = wait(state);
            state.has_waiter |= still;
            still
        };
        let state = shared.changed.wait_timeout_while(shared.lock(), timeout, still);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        !wait(&state)
    }

    /// Returns true if the outcome of every submitted row was taken.
    pub fn is_drained(&self) -> bool {
        self.shared().is_none_or(|shared| shared.lock().undelivered == 0)
    }

    /// Returns the reason why the bulk takes no more rows, if it has stopped: [`Kind::Connect`] or
    /// [`Kind::Tls`] where the service cannot be reached, [`Kind::Configuration`] where the client is
    /// closed, [`Kind::Cancelled`].
    pub fn stop_reason(&self) -> Option<Error> {
        let Some(shared) = self.shared() else { return Some(wrong_process()) };
        shared.lock().stop_reason.clone()
    }

    /// Stops the bulk. Each row that has not ended does so at once, as [`Kind::Cancelled`].
    pub fn cancel(&self) {
        if let Some(shared) = self.shared() {
            shared.cancel();
        }
    }

    /// Returns `None` in a forked child of the process that started the bulk.
    fn shared(&self) -> Option<&Arc<Shared>> {
        self.shared.get()
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Bulk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulk").finish_non_exhaustive()
    }
}

fn wrong_process() -> Error {
    Error::configuration("bulk", "belongs to the process that started it; start another one")
}

impl Shared {
    /// Runs waiting rows, one after the other, until none is left.
    async fn run_worker(self: Arc<Self>, client_cancelled: OwnedNotified) {
        let (bulk_cancelled, client_cancelled) =
            (pin!(self.cancel.notified()), pin!(client_cancelled));
        let mut cancelled = select(bulk_cancelled, client_cancelled);
        while let Some((index, request)) = self.next_row() {
            let mut state = CallState::new();
            let on_attempt = |attempt| {
                self.publish(|state| state.events.push_back(BulkEvent::Attempt(index, attempt)))
            };
            if let Some(reported) = self.reported_attempts {
                self.client.record_attempts(&mut state, &on_attempt, reported, &request);
            }
            let timeout = request.timeout.unwrap_or(self.timeout);
            let limiter = &self.limiter;
            let call =
                self.client.call_in_bulk(&request, timeout, limiter, &mut state, &mut cancelled);
            let outcome = background::without_panic(pin!(call)).await;
            let attempts = state.attempts();
            self.publish(|state| {
                let stop_reason = state.stop_reason_after(&outcome, self.max_connect_failures);
                state.end_row(index, outcome, attempts);
                // The rows that are not tried come after the one that is the reason.
                if let Some(reason) = stop_reason {
                    state.stop(reason);
                }
            });
        }
    }

    /// Takes the next row for a worker. The worker ends if there is none.
    fn next_row(&self) -> Option<(u64, Request)> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        state.workers -= usize::from(next.is_none());
        next
    }

    fn cancel(&self) {
        self.lock().stop(cancelled());
        self.changed.notify_all();
        self.cancel.notify_waiters();
    }

    /// Changes the state on the background thread, and notifies the caller once for all rows that end
    /// together: to wake a thread is slow.
    fn publish(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        if !mem::replace(&mut state.notify_scheduled, true) {
            let shared = self.clone();
            tokio::spawn(async move {
                let mut state = shared.lock();
                state.notify_scheduled = false;
                if mem::take(&mut state.has_waiter) {
                    shared.changed.notify_all();
                }
                drop(state);
                shared.wake.iter().for_each(|wake| wake());
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that panics runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn cancelled() -> Error {
    Error::new(Kind::Cancelled, Delivery::NotSent, "the caller ended the bulk")
}

/// An iterator over the outcomes of many updates, in the order in which their rows end.
#[derive(Debug)]
pub struct BulkUpdate<I> {
    updates: Fuse<I>,
    bulk: Bulk,
    ended: bool,
}

impl<I: Iterator<Item = Update>> Iterator for BulkUpdate<I> {
    type Item = Result<Outcome, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let BulkUpdate { updates, bulk, ended } = self;
        if let Err(refused) = background::refuse_to_wait() {
            return (!mem::replace(ended, true)).then_some(Err(refused));
        }
        let fill = || {
            while bulk.capacity() > 0 {
                let Some(update) = updates.next() else { break };
                if bulk.submit(&update).is_err() {
                    break; // It has stopped just now; `stop_reason` becomes the last item.
                }
            }
            Ok(())
        };
        let wait = || {
            bulk.wait_for_event(Duration::MAX);
            Ok(())
        };
        let Ok(outcome) = bulk.next_outcome::<Infallible>(fill, |_, _| Ok(()), wait);
        match outcome {
            Some(outcome) => Some(Ok(outcome)),
            None if mem::replace(ended, true) => None,
            None => bulk.stop_reason().map(Err),
        }
    }
}
