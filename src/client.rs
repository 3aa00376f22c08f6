//! The client: the public API, and the retry loop of a call.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};
use std::{mem, ptr};

use futures_util::future::{Either, select};
use tokio::sync::SemaphorePermit;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, sleep, timeout_at};

use crate::attempt::{Attempt, AttemptCallback, OnAttempt, ReportedAttempts};
use crate::background::{self, PendingCall};
use crate::call::{CallState, SharedCallState};
use crate::environment::Sources;
use crate::error::Error;
use crate::http::connection::{CallerHook, Connection, Driver};
use crate::http::pool::ConnectionPool;
use crate::http::tls::Tls;
use crate::http::transport_error::could_not_prepare;
use crate::http::{Endpoint, HttpClient, headers};
use crate::options::{Options, environment_of};
use crate::per_process::PerProcess;
use crate::personal_info::PersonalInfo;
use crate::rate_limiter::RateLimiter;
use crate::retry::{Retries, RetryBudget};
use crate::sys::threads::on_lasting_thread;
use crate::timeout::check_time;
use crate::update::{Request, Update};

/// Updates customers. Made once and used for every call, by any number of threads at once.
///
/// A call blocks the thread that makes it, and that thread does the work itself. Connections are
/// kept alive between calls. After a fork the child may use the client too: it opens connections of
/// its own and leaves the parent's alone.
pub struct Client {
    endpoint: Endpoint,
    /// The URL of the endpoint, for reports of attempts.
    url: Arc<str>,
    credentials: Update,
    timeout: Duration,
    max_retries: u32,
    sources: Sources,
    budget: RetryBudget,
    pool: PerProcess<Arc<ConnectionPool>>,
    closed: AtomicBool,
}

/// The options of one call.
#[derive(Clone, Copy, Default)]
pub struct CallOptions<'a> {
    /// The timeout of this call, in place of the update's and the client's.
    pub timeout: Option<Duration>,
    /// Called every 50 ms while the call waits, on the calling thread; `true` ends the call.
    pub interrupted: Option<&'a (dyn Fn() -> bool + Sync)>,
    /// Receives an attempt that has ended, before the delay that may follow, on the calling
    /// thread. It may make a call of its own; the deadline does not wait for it.
    pub on_attempt: Option<&'a (dyn Fn(&Attempt) + Sync)>,
    /// The attempts that `on_attempt` receives.
    pub reported_attempts: ReportedAttempts,
    /// Set to the number of attempts that were started, when a call ends that has tried to send.
    pub attempts: Option<&'a AtomicU32>,
}

/// The response to a request that sends no update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The HTTP status; the service responds with 405 to anything but an update (observed).
    pub status: u16,
    /// The clock of the server that responded, to the second, if the response has a date.
    pub date: Option<SystemTime>,
    /// The time from the start of the request, with its connection, to the head of the response.
    pub elapsed: Duration,
    /// The host and the port of the proxy that was used, if one was.
    pub proxy: Option<String>,
    /// True if the connection was secured by TLS.
    pub tls: bool,
}

impl Client {
    /// Makes a client with these options. Reads certificates, connects to nothing.
    ///
    /// # Errors
    /// Names the first option that is unusable.
    pub fn new(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let url = options.url()?;
        let proxy = options.find_proxy(&url)?;
        let secured = url.scheme() == "https" || proxy.as_ref().is_some_and(|used| used.is_https);
        let (ca_file, ca_source) = options.find_ca_file();
        let tls = Tls::new((ca_file.as_deref(), ca_source), secured)?;
        Ok(Client {
            credentials: options.credentials(),
            timeout: options.timeout,
            max_retries: options.max_retries,
            sources: options.sources(proxy.as_ref()),
            url: url.as_str().into(),
            endpoint: Endpoint {
                connect_timeout: options.connect_timeout,
                proxy,
                tls,
                headers: headers(&url, options.user_agent.as_deref()),
                url,
            },
            budget: RetryBudget::new(),
            pool: PerProcess::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Sends the update and waits for the response.
    ///
    /// # Errors
    /// The [`Kind`](crate::Kind) says what went wrong, [`Error::delivery`] whether the customer may
    /// have been changed.
    ///
    /// # Panics
    /// In an async task, which must not block; call it through `spawn_blocking` there.
    pub fn update_personal_info(&self, update: &Update) -> Result<PersonalInfo, Error> {
        self.update_personal_info_with(update, CallOptions::default())
    }

    /// Sends the update and waits for the response, with options of this call alone.
    ///
    /// # Errors
    /// As [`update_personal_info`](Client::update_personal_info).
    pub fn update_personal_info_with(
        &self,
        update: &Update,
        options: CallOptions<'_>,
    ) -> Result<PersonalInfo, Error> {
        let send = || self.send_and_wait(update, options);
        on_lasting_thread(send).map_err(could_not_prepare)?
    }

    fn send_and_wait(
        &self,
        update: &Update,
        options: CallOptions<'_>,
    ) -> Result<PersonalInfo, Error> {
        let request = update.request(&self.credentials)?;
        // The event loop only collects attempts. They are reported while it pauses.
        let unreported = Mutex::new(Vec::new());
        let lock = || unreported.lock().unwrap_or_else(PoisonError::into_inner);
        let collect = |attempt: Attempt| lock().push(attempt);
        let mut state = CallState::new();
        if options.on_attempt.is_some() {
            let reported = options.reported_attempts;
            self.record_attempts(&mut state, &collect, reported, &request);
        }
        let report = || {
            let attempts = mem::take(&mut *lock());
            attempts.iter().for_each(|attempt| options.on_attempt.iter().for_each(|f| f(attempt)));
        };
        let is_due = || options.on_attempt.is_some() && !lock().is_empty();
        let run = || {
            report();
            !options.interrupted.is_some_and(|interrupted| interrupted())
        };
        let has_hook = options.on_attempt.is_some() || options.interrupted.is_some();
        let hook = has_hook.then_some(CallerHook { is_due: &is_due, run: &run });
        let timeout = options.timeout.or(request.timeout);
        let outcome = self.drive(timeout, hook, &mut state, async |http, deadline, state| {
            self.call(http, &request, deadline, None, state).await
        });
        if let Some(attempts) = options.attempts {
            attempts.store(state.attempts(), Ordering::Relaxed);
        }
        report();
        outcome
    }

    /// Starts an update on the background thread, which runs all such calls of the process. The
    /// first one starts that thread. At most 100 calls of one client are in flight at once, each on
    /// a connection of its own; the others wait for their turn, within their deadline.
    ///
    /// `on_attempt` and `done` run on that thread and must not block it: they may start other calls,
    /// but a call that waits is refused there as `Kind::Configuration`. `done` is called exactly
    /// once, unless the process ends or an error is returned here.
    ///
    /// # Errors
    /// For what is found before anything is sent: an invalid field, an unusable option.
    pub fn start_update(
        self: &Arc<Self>,
        update: &Update,
        timeout: Option<Duration>,
        on_attempt: Option<(ReportedAttempts, OnAttempt)>,
        done: impl FnOnce(Result<PersonalInfo, Error>) + Send + 'static,
    ) -> Result<PendingCall, Error> {
        let request = update.request(&self.credentials)?;
        let timeout = self.timeout_of_call(timeout.or(request.timeout))?;
        let deadline = Instant::now() + timeout;
        let all_cancelled = self.cancelled();
        let shared = Arc::<SharedCallState>::default();
        let (pending, dropped) = PendingCall::new(shared.clone());
        let client = self.clone();
        let run = async move {
            let work = async {
                let mut state = CallState::with_shared(shared);
                if let Some((reported, on_attempt)) = &on_attempt {
                    client.record_attempts(&mut state, &**on_attempt, *reported, &request);
                }
                let all_cancelled = pin!(all_cancelled);
                let cancelled = select(all_cancelled, dropped);
                let call = async {
                    let _permit = client.background_permit().await?;
                    // In a box, so that a call that waits for its permit does not hold this.
                    Box::pin(client.call_in_background(&request, deadline, None, &mut state)).await
                };
                let outcome = until_cancelled(pin!(timeout_at(deadline, call)), cancelled).await;
                state.end_call(outcome, timeout)
            };
            done(background::without_panic(pin!(work)).await);
        };
        background::spawn(run).map_err(could_not_prepare)?;
        Ok(pending)
    }

    /// Sends one row of a bulk when the rate limiter lets it, unless `cancelled` completes first.
    pub(crate) async fn call_in_bulk(
        &self,
        request: &Request,
        timeout: Duration,
        limiter: &RateLimiter,
        state: &mut CallState<'_>,
        cancelled: impl Future + Unpin,
    ) -> Result<PersonalInfo, Error> {
        let work = async {
            // The deadline counts from the first attempt, not from the waits before it.
            limiter.acquire().await;
            let _permit = self.background_permit().await?;
            let deadline = Instant::now() + self.timeout_of_call(Some(timeout))?;
            let call = self.call_in_background(request, deadline, Some(limiter), state);
            Ok(timeout_at(deadline, call).await)
        };
        let outcome = until_cancelled(pin!(work), cancelled).await.transpose()?;
        state.end_call(outcome, timeout)
    }

    /// Waits until fewer than 100 calls of this client are in flight on the background thread.
    async fn background_permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.pool.get().background_calls.acquire().await.map_err(Error::internal)
    }

    async fn call_in_background(
        &self,
        request: &Request,
        deadline: Instant,
        limiter: Option<&RateLimiter>,
        state: &mut CallState<'_>,
    ) -> Result<PersonalInfo, Error> {
        let pool = self.pool.get();
        let connection = pool.connection(&self.endpoint, Driver::BackgroundThread)?;
        state.use_connection(&connection);
        let http = connection.http().await;
        let outcome = self.call(http, request, deadline, limiter, state).await;
        self.put_back(connection, pool, state);
        outcome
    }

    /// Sends one GET request in place of an update, to learn whether the service can be reached. It
    /// takes the same route and gives the same errors, holds no credentials and changes nothing.
    ///
    /// # Errors
    /// As [`update_personal_info`](Client::update_personal_info) if no response comes. A response
    /// of any status is no error. Of the options, `timeout` and `interrupted` count.
    pub fn probe(&self, options: CallOptions<'_>) -> Result<Probe, Error> {
        on_lasting_thread(|| self.probe_and_wait(options)).map_err(could_not_prepare)?
    }

    fn probe_and_wait(&self, options: CallOptions<'_>) -> Result<Probe, Error> {
        let run = || !options.interrupted.is_some_and(|interrupted| interrupted());
        let hook = options.interrupted.map(|_| CallerHook { is_due: &|| false, run: &run });
        let mut state = CallState::new();
        let outcome = self.drive(options.timeout, hook, &mut state, async |http, _, state| {
            state.start_attempt();
            let started = Instant::now();
            let response = self.endpoint.get(http, state).await;
            let (status, date) = response.map_err(|error| state.end_attempt(error))?;
            Ok(Probe {
                status,
                date,
                elapsed: started.elapsed(),
                proxy: self.proxy().map(str::to_owned),
                tls: self.endpoint.is_https(),
            })
        });
        outcome.map_err(Error::of_no_update)
    }

    /// Drives `work` on this thread until it ends, its deadline passes or the call is cancelled.
    fn drive<'a, T>(
        &self,
        timeout: Option<Duration>,
        hook: Option<CallerHook<'_>>,
        state: &mut CallState<'a>,
        work: impl AsyncFnOnce(&HttpClient, Instant, &mut CallState<'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        background::refuse_to_wait()?;
        let timeout = self.timeout_of_call(timeout)?;
        let pool = self.pool.get();
        // From here on every `cancel` ends this call.
        let mut cancelled = pin!(pool.cancel.notified());
        let deadline = Instant::now() + timeout;
        let is_cancelled = || {
            let hook_ended_it = hook.as_ref().is_some_and(|hook| !(hook.run)());
            // The hook may also fork, and the pool is the parent's then.
            hook_ended_it || !ptr::eq(pool, self.pool.get()) || is_ready(cancelled.as_mut())
        };
        let connection = pool.wait_for_connection(&self.endpoint, deadline, is_cancelled);
        let Some(connection) = connection else {
            return state.end_call::<_, Infallible>(None, timeout);
        };
        let mut connection = connection?;
        state.use_connection(&connection);
        let outcome = connection.run(deadline, hook, async |http| {
            until_cancelled(pin!(work(http, deadline, state)), cancelled).await
        });
        let outcome = outcome.and_then(Result::transpose);
        if let Some(Ok(_)) = &outcome {
            self.put_back(connection, pool, state);
        }
        state.end_call(outcome, timeout)
    }

    /// From now on calls `callback` with the `reported` attempts of the call.
    pub(crate) fn record_attempts<'a>(
        &self,
        state: &mut CallState<'a>,
        callback: AttemptCallback<'a>,
        reported: ReportedAttempts,
        request: &Request,
    ) {
        state.record_attempts(callback, reported, &self.url, request.body.len());
    }

    /// The credentials of an update that has none of its own.
    pub(crate) fn credentials(&self) -> &Update {
        &self.credentials
    }

    /// Returns a future that completes when `cancel` is called from now on.
    pub(crate) fn cancelled(&self) -> OwnedNotified {
        self.pool.get().cancel.clone().notified_owned()
    }

    /// Returns the timeout of a call that gives this one, or an error if the client is closed.
    pub(crate) fn timeout_of_call(&self, timeout: Option<Duration>) -> Result<Duration, Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::configuration("client", "is closed; make a new one"));
        }
        timeout.map_or(Ok(self.timeout), |timeout| check_time("timeout", timeout))
    }

    /// Returns a connection to the pool. Closes it if its last response is not complete.
    fn put_back(&self, connection: Connection, pool: &Arc<ConnectionPool>, state: &CallState<'_>) {
        if state.response_complete {
            pool.put_back(connection);
            // Checked afterwards, so that no connection stays if the client is closed at this moment.
            if self.closed.load(Ordering::Relaxed) {
                pool.clear();
            }
        }
    }

    /// Ends the calls that are in flight in this process as `Kind::Cancelled`, from any thread.
    pub fn cancel(&self) {
        self.pool.get().cancel.notify_waiters();
    }

    /// Closes the idle connections, and each other one when its call ends. Calls fail from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.pool.get().clear();
    }

    /// The URL of the service.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The environment that is called: `test` or `production`, or nothing for another address.
    pub fn environment(&self) -> Option<&'static str> {
        environment_of(&self.url)
    }

    /// The host and the port of the proxy, if the client uses one.
    pub fn proxy(&self) -> Option<&str> {
        self.endpoint.proxy.as_ref().map(|used| used.shown.as_str())
    }

    /// Returns where the options came from.
    pub fn sources(&self) -> Sources {
        self.sources
    }

    /// Checks an update as a call would, and sends nothing. Returns every problem, the first one
    /// first: bad values, and required fields that are missing.
    pub fn validate(&self, update: &Update) -> Vec<Error> {
        update.validate(&self.credentials)
    }

    /// Returns the request that an update would send, and sends nothing. The method is POST, the URL
    /// [`url`](Client::url).
    ///
    /// # Errors
    /// As a call, for what is found before anything is sent.
    pub fn preview(&self, update: &Update) -> Result<Preview, Error> {
        let length = update.request(&self.credentials)?.body.len();
        let body = update.preview_body(&self.credentials)?;
        let headers = &self.endpoint.headers;
        let mut headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        headers.push(("content-length".to_owned(), length.to_string()));
        Ok(Preview { headers, body })
    }

    /// Makes attempts until one is final, with the delays between them.
    async fn call(
        &self,
        http: &HttpClient,
        request: &Request,
        deadline: Instant,
        limiter: Option<&RateLimiter>,
        state: &mut CallState<'_>,
    ) -> Result<PersonalInfo, Error> {
        let (max_retries, budget) = (self.max_retries, &self.budget);
        let mut retries = Retries { max_retries, budget, deadline, retries: 0 };
        loop {
            state.start_attempt();
            let started = limiter.map(|_| Instant::now());
            let outcome = self.endpoint.send_update_when_possible(http, request, state).await;
            let outcome = outcome.map_err(|error| state.end_attempt(error));
            let pause = limiter.zip(started);
            let pause = pause.and_then(|(limiter, started)| limiter.record(started, &outcome));
            let delay = match pause {
                Some(pause) => retries.next_delay_after_pause(pause),
                None => retries.next_delay(&outcome),
            };
            state.report_attempt(outcome.as_ref().err(), delay);
            let Some(delay) = delay else { return outcome };
            match limiter {
                Some(limiter) => {
                    let wait = async {
                        sleep(delay).await;
                        limiter.acquire().await;
                    };
                    if timeout_at(deadline, wait).await.is_err() {
                        return outcome;
                    }
                }
                None => sleep(delay).await,
            }
        }
    }
}

/// A request as a person may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The headers, by their lower-case names.
    pub headers: Vec<(String, String)>,
    /// The body, which is JSON, with `***` in place of the keys. Holds personal data.
    pub body: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// Returns whether a future has completed, without waiting for it.
fn is_ready(future: Pin<&mut impl Future>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Returns the output of `work`, or `None` if `cancelled` completes first.
///
/// The caller pins the work: an async function that takes it by value stores it twice, and each one
/// around that doubles it again.
async fn until_cancelled<T>(
    work: Pin<&mut impl Future<Output = T>>,
    cancelled: impl Future + Unpin,
) -> Option<T> {
    match select(work, cancelled).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}
