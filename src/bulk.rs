//! Many updates at once.
//!
//! A run takes rows as its caller has them, keeps a bounded number of them under way on the
//! engine's thread, and gives an outcome for each, in the order in which they end. It is the caller
//! who pulls: who asks how much room there is before he makes the next row never has more than
//! twice as many rows in memory as may be under way.

use std::collections::VecDeque;
use std::fmt;
use std::iter::Fuse;
use std::mem;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::attempt::{Attempt, Progress};
use crate::client::{Client, either, not_prepared};
use crate::engine;
use crate::error::{Delivery, Error, Kind};
use crate::lane::MOST_ON_ENGINE;
use crate::pace::Pace;
use crate::per_process::OfProcess;
use crate::personal_info::PersonalInfo;
use crate::update::{Request, Update};

/// In attempts a second.
const RATES: RangeInclusive<f64> = 0.001..=1_000_000.0;

/// How a run goes about its rows.
#[derive(Clone, Debug, PartialEq)]
pub struct ManyOptions {
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

impl Default for ManyOptions {
    fn default() -> Self {
        ManyOptions { concurrency: 8, rate: None, timeout: None, max_connect_failures: 10 }
    }
}

impl ManyOptions {
    fn check(&self) -> Result<(), Error> {
        if !(1..=MOST_ON_ENGINE).contains(&self.concurrency) {
            let problem = format!("is out of range; expected 1 to {MOST_ON_ENGINE}");
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
pub enum News {
    /// An attempt of this row is over; told only where somebody wanted to know.
    Attempt(u64, Attempt),
    /// A row has ended.
    Outcome(Outcome),
}

/// Who is told that there is news, on the engine's thread.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

/// A run of many updates, which its caller feeds. For any thread. Dropping it ends it.
///
/// Of a run that a fork leaves behind in the child nothing more is heard there.
pub struct Many {
    /// A forked child does not drop it: a thread that it does not have may hold its lock.
    run: OfProcess<Arc<Run>>,
}

struct Run {
    client: Arc<Client>,
    timeout: Duration,
    concurrency: usize,
    max_connect_failures: u32,
    observe: bool,
    pace: Pace,
    /// Ends the rows in flight.
    stop: Notify,
    state: Mutex<State>,
    heard: Condvar,
    wake: Option<Wake>,
}

#[derive(Default)]
struct State {
    rows: u64,
    waiting: VecDeque<(u64, Request)>,
    /// Tasks on the engine, each with a row in flight.
    workers: usize,
    news: VecDeque<News>,
    /// Rows whose outcome was not yet taken.
    open: usize,
    /// Rows that have none yet.
    unfinished: usize,
    connect_failures: u32,
    /// Whether somebody waits for news.
    awaited: bool,
    /// Whether he will be told when the tasks that are ready have had their turn.
    to_be_told: bool,
    /// Why no more rows are begun.
    stopped: Option<Error>,
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
        options: &ManyOptions,
    ) -> Result<UpdateMany<I::IntoIter>, Error> {
        let many = self.begin_many(options, false, None)?;
        Ok(UpdateMany { updates: updates.into_iter().fuse(), many, ended: false })
    }

    /// Begins a run that has no rows yet. With `observe` it tells of attempts too; `wake` is called
    /// on the engine's thread whenever there is news, and must not block.
    ///
    /// # Errors
    /// For options out of range.
    pub fn begin_many(
        self: &Arc<Self>,
        options: &ManyOptions,
        observe: bool,
        wake: Option<Wake>,
    ) -> Result<Many, Error> {
        options.check()?;
        let run = Run {
            client: self.clone(),
            timeout: self.check(options.timeout)?,
            concurrency: options.concurrency,
            max_connect_failures: options.max_connect_failures,
            observe,
            pace: Pace::new(options.rate),
            stop: Notify::new(),
            state: Mutex::default(),
            heard: Condvar::new(),
            wake,
        };
        Ok(Many { run: OfProcess::new(Arc::new(run)) })
    }
}

impl Many {
    /// How many more rows it takes at the moment: as many as keep it busy, and no more than fit
    /// twice the rows that may be under way. None once it has stopped.
    pub fn room(&self) -> usize {
        self.here().map_or(0, |run| {
            let state = run.lock();
            if state.stopped.is_some() {
                0
            } else {
                (2 * run.concurrency).saturating_sub(state.open)
            }
        })
    }

    /// How many rows it took.
    pub fn rows(&self) -> u64 {
        self.here().map_or(0, |run| run.lock().rows)
    }

    /// Takes a row, whether there is room or not, and gives its number. Whatever is wrong with it is
    /// its outcome.
    ///
    /// # Errors
    /// If the run has stopped; the row is not taken then.
    pub fn put(&self, update: &Update) -> Result<u64, Error> {
        let run = self.here().ok_or_else(of_the_parent)?;
        let request = update.request(run.client.credentials());
        let mut state = run.lock();
        if let Some(stopped) = &state.stopped {
            return Err(stopped.clone());
        }
        let index = state.rows;
        state.rows += 1;
        state.open += 1;
        state.unfinished += 1;
        match request {
            Ok(request) => state.waiting.push_back((index, request)),
            Err(error) => {
                state.end(index, Err(error), 0);
                return Ok(index);
            }
        }
        if state.workers < run.concurrency {
            state.workers += 1;
            drop(state);
            if let Err(problem) = engine::spawn(run.clone().work(run.client.cancelled())) {
                let mut state = run.lock();
                state.workers -= 1;
                state.stop(not_prepared(problem));
            }
        }
        Ok(index)
    }

    /// Takes what there is to tell.
    pub fn take(&self) -> Option<News> {
        let mut state = self.here()?.lock();
        let news = state.news.pop_front()?;
        state.open -= usize::from(matches!(news, News::Outcome(_)));
        Some(news)
    }

    /// Waits until there is news, or nothing is under way, but no longer than this.
    pub fn wait(&self, longest: Duration) {
        self.wait_while(longest, |state| state.news.is_empty() && state.open > 0);
    }

    /// Waits until every row has ended, but no longer than this. Whether they have.
    pub fn wait_for_all(&self, longest: Duration) -> bool {
        self.wait_while(longest, |state| state.unfinished > 0)
    }

    fn wait_while(&self, longest: Duration, wait: impl Fn(&State) -> bool) -> bool {
        let Some(run) = self.here() else { return true };
        let still = |state: &mut State| {
            let still = wait(state);
            state.awaited |= still;
            still
        };
        let state = run.heard.wait_timeout_while(run.lock(), longest, still);
        let (state, _) = state.unwrap_or_else(PoisonError::into_inner);
        !wait(&state)
    }

    /// Whether every row that it took has ended and was told of.
    pub fn is_empty(&self) -> bool {
        self.here().is_none_or(|run| run.lock().open == 0)
    }

    /// Why it takes no more rows, if it does not: [`Kind::Connect`] where the service cannot be
    /// reached, [`Kind::Configuration`] where the client is closed, [`Kind::Cancelled`].
    pub fn stopped(&self) -> Option<Error> {
        let Some(run) = self.here() else { return Some(of_the_parent()) };
        run.lock().stopped.clone()
    }

    /// Ends it. Each row that has not ended does so at once, as [`Kind::Cancelled`].
    pub fn cancel(&self) {
        if let Some(run) = self.here() {
            run.cancel();
        }
    }

    /// The run, in the process that began it.
    fn here(&self) -> Option<&Arc<Run>> {
        self.run.here()
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl fmt::Debug for Many {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Many").finish_non_exhaustive()
    }
}

fn of_the_parent() -> Error {
    Error::configuration("run", "belongs to the process that began it; begin another one")
}

impl Run {
    /// Rows, one after the other, until none waits.
    async fn work(self: Arc<Self>, cancelled: OwnedNotified) {
        let mut stop = pin!(either(self.stop.notified(), cancelled));
        while let Some((index, request)) = self.next() {
            let mut progress = Progress::new();
            let tell =
                |attempt| self.tell(|state| state.news.push_back(News::Attempt(index, attempt)));
            if self.observe {
                self.client.observe(&mut progress, &tell, &request);
            }
            let (timeout, pace, stop) = (self.timeout, &self.pace, stop.as_mut());
            let row = self.client.call_of_run(&request, timeout, pace, &mut progress, stop);
            let outcome = engine::without_panic(row).await;
            let attempts = progress.attempts();
            self.tell(|state| {
                let stop = state.judge(&outcome, self.max_connect_failures);
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
        self.heard.notify_all();
        self.stop.notify_waiters();
    }

    /// Changes the state on the engine's thread, and says that there is news: once for all rows that
    /// end together, as to wake a thread takes long.
    fn tell(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        if !mem::replace(&mut state.to_be_told, true) {
            let run = self.clone();
            tokio::spawn(async move {
                let mut state = run.lock();
                state.to_be_told = false;
                if mem::take(&mut state.awaited) {
                    run.heard.notify_all();
                }
                drop(state);
                run.wake.iter().for_each(|wake| wake());
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
        self.news.push_back(News::Outcome(Outcome { index, result, attempts }));
    }

    /// Why no more rows are to be begun after one with this outcome, if so.
    fn judge(
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
        (rows >= max_connect_failures).then(|| unconnected.ending_run(rows))
    }

    /// Begins no more rows. Those that wait end as not tried.
    fn stop(&mut self, why: Error) {
        if self.stopped.is_none() {
            for (index, _) in mem::take(&mut self.waiting) {
                self.end(index, Err(why.clone()), 0);
            }
            self.stopped = Some(why);
        }
    }
}

/// The outcomes of many updates, as they come.
#[derive(Debug)]
pub struct UpdateMany<I> {
    updates: Fuse<I>,
    many: Many,
    ended: bool,
}

impl<I: Iterator<Item = Update>> Iterator for UpdateMany<I> {
    type Item = Result<Outcome, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.many.room() > 0 {
                let Some(update) = self.updates.next() else { break };
                if self.many.put(&update).is_err() {
                    break; // It stopped at this moment, and says so in the end.
                }
            }
            match self.many.take() {
                Some(News::Outcome(outcome)) => return Some(Ok(outcome)),
                Some(News::Attempt(..)) => {}
                None if !self.many.is_empty() => {
                    self.many.wait(Duration::MAX);
                }
                None if mem::replace(&mut self.ended, true) => return None,
                None => return self.many.stopped().map(Err),
            }
        }
    }
}
