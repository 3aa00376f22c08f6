//! Many updates at once.
//!
//! A run takes rows as its caller has them, keeps a bounded number of them under way on the
//! background thread, and gives an outcome for each, in the order in which they end. It is the caller
//! who pulls: who asks how much room there is before he makes the next row never has more than
//! twice as many rows in memory as may be under way.

use std::collections::VecDeque;
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

use crate::attempt::Attempt;
use crate::background;
use crate::call::CallState;
use crate::client::Client;
use crate::error::{Delivery, Error, Kind};
use crate::http::pool::MAX_BACKGROUND_CALLS;
use crate::http::transport_error::could_not_prepare;
use crate::per_process::OfProcess;
use crate::personal_info::PersonalInfo;
use crate::rate_limiter::RateLimiter;
use crate::update::{Request, Update};

/// In attempts a second.
const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;

/// How a run goes about its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkOptions {
    /// How many rows are under way at once, each on a connection of its own: 1 to 100, else 8.
    pub concurrency: usize,
    /// How many attempts a second there are at most, retries included: 0.001 to 1,000,000. Without,
    /// as many as the service takes.
    pub rate: Option<f64>,
    /// The deadline of each row, in place of the client's. Counts from its first attempt.
    pub timeout: Option<Duration>,
    /// After so many rows in a row that found no connection the run takes no more: 1 or more, else
    /// 10.
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
            let problem = format!("is out of range; expected 1 to {MAX_BACKGROUND_CALLS}");
            return Err(Error::configuration("concurrency", problem));
        }
        if self.rate.is_some_and(|rate| !RATES.contains(&rate)) {
            let problem = "is out of range; expected attempts a second, 0.001 to 1000000";
            return Err(Error::configuration("rate", problem));
        }
        if self.max_connect_failures == 0 {
            let problem = "is out of range; expected 1 or more";
            return Err(Error::configuration("max_connect_failures", problem));
        }
        Ok(())
    }
}

/// How one row ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its number in the run, from 0.
    pub index: u64,
    /// The customer's record after the update, or why there is none.
    pub result: Result<PersonalInfo, Error>,
    /// How many attempts were begun.
    pub attempts: u32,
}

/// What a run has to tell.
#[derive(Clone, Debug, PartialEq)]
pub enum BulkEvent {
    /// An attempt of this row is over; told only where somebody wanted to know.
    Attempt(u64, Attempt),
    /// A row has ended.
    Outcome(Outcome),
}

/// Who is told that there is news, on the background thread.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// A run of many updates, which its caller feeds. For any thread. Dropping it ends it.
///
/// Of a run that a fork leaves behind in the child nothing more is heard there.
pub struct Bulk {
    /// A forked child does not drop it: a thread that it does not have may hold its lock.
    shared: OfProcess<Arc<Shared>>,
}

struct Shared {
    client: Arc<Client>,
    timeout: Duration,
    concurrency: usize,
    max_connect_failures: u32,
    observe: bool,
    limiter: RateLimiter,
    /// Ends the rows in flight.
    stop: Notify,
    state: Mutex<State>,
    changed: Condvar,
    wake: Option<Wake>,
}

#[derive(Default)]
struct State {
    submitted: u64,
    waiting: VecDeque<(u64, Request)>,
    /// Tasks on the background thread, each with a row in flight.
    workers: usize,
    events: VecDeque<BulkEvent>,
    /// Rows whose outcome was not yet taken.
    undelivered: usize,
    /// Rows that have none yet.
    unfinished: usize,
    connect_failures: u32,
    /// Whether somebody waits for news.
    has_waiter: bool,
    /// Whether he will be told when the tasks that are ready have had their turn.
    notify_scheduled: bool,
    /// Why no more rows are begun.
    stop_reason: Option<Error>,
}

impl Client {
    /// Updates many customers, several at once, on the thread that drives all such calls of the
    /// process. Rows are pulled from `updates` as others end, and outcomes come as rows end.
    ///
    /// # Errors
    /// For options out of range. Of the iterator's items the last is an error if the run stopped
    /// early, because the service cannot be reached or the client was closed.
    pub fn update_many<I: IntoIterator<Item = Update>>(
        self: &Arc<Self>,
        updates: I,
        options: &BulkOptions,
    ) -> Result<BulkUpdate<I::IntoIter>, Error> {
        let bulk = self.start_bulk(options, false, None)?;
        Ok(BulkUpdate { updates: updates.into_iter().fuse(), bulk, ended: false })
    }

    /// Begins a run that has no rows yet. With `observe` it tells of attempts too; `wake` is called
    /// on the background thread whenever there is news, and must not block.
    ///
    /// # Errors
    /// For options out of range.
    pub fn start_bulk(
        self: &Arc<Self>,
        options: &BulkOptions,
        observe: bool,
        wake: Option<Wake>,
    ) -> Result<Bulk, Error> {
        options.check()?;
        let shared = Shared {
            client: self.clone(),
            timeout: self.timeout_of_call(options.timeout)?,
            concurrency: options.concurrency,
            max_connect_failures: options.max_connect_failures,
            observe,
            limiter: RateLimiter::new(options.rate),
            stop: Notify::new(),
            state: Mutex::default(),
            changed: Condvar::new(),
            wake,
        };
        Ok(Bulk { shared: OfProcess::new(Arc::new(shared)) })
    }
}

impl Bulk {
    /// How many more rows it takes at the moment: as many as keep it busy, and no more than fit
    /// twice the rows that may be under way. None once it has stopped.
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

    /// How many rows it took.
    pub fn submitted(&self) -> u64 {
        self.shared().map_or(0, |shared| shared.lock().submitted)
    }

    /// Takes a row, whether there is room or not, and gives its number. Whatever is wrong with it is
    /// its outcome.
    ///
    /// # Errors
    /// If the run has stopped; the row is not taken then.
    pub fn submit(&self, update: &Update) -> Result<u64, Error> {
        let shared = self.shared().ok_or_else(wrong_process)?;
        let request = update.request(shared.client.credentials());
        let mut state = shared.lock();
        if let Some(stop_reason) = &state.stop_reason {
            return Err(stop_reason.clone());
        }
        let index = state.submitted;
        state.submitted += 1;
        state.undelivered += 1;
        state.unfinished += 1;
        match request {
            Ok(request) => state.waiting.push_back((index, request)),
            Err(error) => {
                state.end(index, Err(error), 0);
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
            }
        }
        Ok(index)
    }

    /// Takes what there is to tell.
    pub fn next_event(&self) -> Option<BulkEvent> {
        let mut state = self.shared()?.lock();
        let event = state.events.pop_front()?;
        state.undelivered -= usize::from(matches!(event, BulkEvent::Outcome(_)));
        Some(event)
    }

    /// Takes the next outcome without waiting. `Pending` while rows are in flight; `Ready(None)` once
    /// every outcome was taken. `on_attempt` receives the attempts that ended before it.
    ///
    /// # Errors
    /// What `on_attempt` returns.
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
    /// What `fill`, `on_attempt` or `wait` returns.
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

    /// Waits until there is news, or nothing is under way, but no longer than this.
    ///
    /// # Panics
    /// On the background thread, where `wake` runs: the rows would wait for the wait to end.
    pub fn wait_for_event(&self, longest: Duration) {
        self.wait_while(longest, |state| state.events.is_empty() && state.undelivered > 0);
    }

    /// Waits until every row has ended, but no longer than this. Whether they have.
    ///
    /// # Panics
    /// As [`wait`](Many::wait).
    pub fn wait_for_all(&self, longest: Duration) -> bool {
        self.wait_while(longest, |state| state.unfinished > 0)
    }

    fn wait_while(&self, longest: Duration, wait: impl Fn(&State) -> bool) -> bool {
        assert!(
            !background::is_this_thread(),
            "the background thread cannot wait for its own rows"
        );
        let Some(shared) = self.shared() else { return true };
        let still = |state: &mut State| {
            let still = wait(state);
            state.has_waiter |= still;
            still
        };
        let state = shared.changed.wait_timeout_while(shared.lock(), longest, still);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        !wait(&state)
    }

    /// Whether every row that it took has ended and was told of.
    pub fn is_drained(&self) -> bool {
        self.shared().is_none_or(|shared| shared.lock().undelivered == 0)
    }

    /// Why it takes no more rows, if it does not: [`Kind::Connect`] where the service cannot be
    /// reached, [`Kind::Configuration`] where the client is closed, [`Kind::Cancelled`].
    pub fn stop_reason(&self) -> Option<Error> {
        let Some(shared) = self.shared() else { return Some(wrong_process()) };
        shared.lock().stop_reason.clone()
    }

    /// Ends it. Each row that has not ended does so at once, as [`Kind::Cancelled`].
    pub fn cancel(&self) {
        if let Some(shared) = self.shared() {
            shared.cancel();
        }
    }

    /// The run, in the process that began it.
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
    Error::configuration("run", "belongs to the process that began it; begin another one")
}

impl Shared {
    /// Rows, one after the other, until none waits.
    async fn run_worker(self: Arc<Self>, cancelled: OwnedNotified) {
        let (stopped, cancelled) = (pin!(self.stop.notified()), pin!(cancelled));
        let mut stop = select(stopped, cancelled);
        while let Some((index, request)) = self.next() {
            let mut state = CallState::new();
            let tell = |attempt| {
                self.publish(|state| state.events.push_back(BulkEvent::Attempt(index, attempt)))
            };
            if self.observe {
                self.client.record_attempts(&mut state, &tell, &request);
            }
            let (timeout, limiter, stop) = (self.timeout, &self.limiter, &mut stop);
            let row = self.client.call_in_bulk(&request, timeout, limiter, &mut state, stop);
            let outcome = background::without_panic(row).await;
            let attempts = state.attempts();
            self.publish(|state| {
                let stop = state.stop_reason_after(&outcome, self.max_connect_failures);
                state.end(index, outcome, attempts);
                // The rows that are not tried are told of after the one that is why.
                if let Some(why) = stop {
                    state.stop(why);
                }
            });
        }
    }

    /// The next row for a worker, who goes if there is none.
    fn next(&self) -> Option<(u64, Request)> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        state.workers -= usize::from(next.is_none());
        next
    }

    fn cancel(&self) {
        self.lock().stop(cancelled());
        self.changed.notify_all();
        self.stop.notify_waiters();
    }

    /// Changes the state on the background thread, and says that there is news: once for all rows that
    /// end together, as to wake a thread takes long.
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
    Error::new(Kind::Cancelled, Delivery::NotSent, "the caller ended the run")
}

impl State {
    fn end(&mut self, index: u64, result: Result<PersonalInfo, Error>, attempts: u32) {
        self.unfinished -= 1;
        self.events.push_back(BulkEvent::Outcome(Outcome { index, result, attempts }));
    }

    /// Why no more rows are to be begun after one with this outcome, if so.
    fn stop_reason_after(
        &mut self,
        outcome: &Result<PersonalInfo, Error>,
        max_connect_failures: u32,
    ) -> Option<Error> {
        let unconnected = match outcome {
            // Of one row, or of all.
            Err(error) if error.kind() == Kind::Cancelled => return Some(cancelled()),
            Err(error) if error.kind() == Kind::Configuration => return Some(error.clone()),
            Err(error) if error.delivery() == Delivery::NotSent => error,
            _ => {
                self.connect_failures = 0;
                return None;
            }
        };
        self.connect_failures += u32::from(unconnected.attempts() > 0);
        let rows = self.connect_failures;
        (rows >= max_connect_failures).then(|| unconnected.stopping_bulk(rows))
    }

    /// Begins no more rows. Those that wait end as not tried.
    fn stop(&mut self, why: Error) {
        if self.stop_reason.is_none() {
            for (index, _) in mem::take(&mut self.waiting) {
                self.end(index, Err(why.clone()), 0);
            }
            self.stop_reason = Some(why);
        }
    }
}

/// The outcomes of many updates, as they come.
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
                    break; // It stopped at this moment, and `stop_reason` says so in the end.
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
