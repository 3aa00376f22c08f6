//! One call, from start to end.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, HeaderMap, HeaderValue,
    RETRY_AFTER, TRANSFER_ENCODING, USER_AGENT,
};
use reqwest::redirect;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Instant, sleep, timeout_at};

use crate::attempt::{Attempt, AttemptCallback};
use crate::background::{self, PendingCall};
use crate::call::{CallState, SharedCallState};
use crate::environment::Sources;
use crate::error::{Delivery, Error, Kind, causes, find};
use crate::http::Url;
use crate::http::connection::{CallerHook, Connection, ConnectionPool, Driver, IDLE_TIMEOUT};
use crate::http::lookup::Lookup;
use crate::http::proxy::UsedProxy;
use crate::http::tls::{self, Tls};
use crate::options::{Options, check_time};
use crate::per_process::PerProcess;
use crate::personal_info::{NotAccepted, PersonalInfo};
use crate::rate_limiter::RateLimiter;
use crate::redact::{redacted_excerpt, redacted_line};
use crate::retry::{self, Retries, RetryBudget};
use crate::update::{Request, Update};

/// An answer that is longer is not read to its end, in bytes.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

/// Updates customers. Made once and used for every call, by any number of threads at once.
///
/// A call blocks the thread that makes it, and that thread does the work itself. Connections are
/// kept alive between calls. After a fork the child may use the client too: it makes connections of
/// its own and leaves the parent's alone.
pub struct Client {
    url: Url,
    /// The same, to be handed out.
    address: Arc<str>,
    credentials: Update,
    timeout: Duration,
    connect_timeout: Duration,
    max_retries: u32,
    proxy: Option<UsedProxy>,
    sources: Sources,
    tls: Tls,
    budget: RetryBudget,
    pool: PerProcess<ConnectionPool>,
    closed: AtomicBool,
}

/// What one call may have of its own.
#[derive(Clone, Copy, Default)]
pub struct CallOptions<'a> {
    /// The deadline of this call, in place of the client's.
    pub timeout: Option<Duration>,
    /// Asked every 50 ms while the call waits, on the thread that calls; `true` ends the call.
    pub interrupted: Option<&'a (dyn Fn() -> bool + Sync)>,
    /// Told of each attempt when it is over, before the wait that may follow, on the thread that
    /// calls. It may make a call of its own; the deadline does not wait for it.
    pub on_attempt: Option<&'a (dyn Fn(&Attempt) + Sync)>,
    /// Set to how many attempts were begun, when the call ends.
    pub attempts: Option<&'a AtomicU32>,
}

/// What asking the service, without telling it anything, brought to light.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// The HTTP status; the service answers 405 to anything but an update (observed).
    pub status: u16,
    /// The clock of whoever answered, to the second, if the answer tells it.
    pub date: Option<SystemTime>,
    /// From the name look-up to the head of the answer.
    pub elapsed: Duration,
    /// The host and the port of the proxy that was used, if one was.
    pub proxy: Option<String>,
    /// Whether the connection was secured by TLS.
    pub tls: bool,
}

impl Client {
    /// A client with these options. Reads certificates, connects to nothing.
    ///
    /// # Errors
    /// Names the first option that is unusable.
    pub fn new(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let url = options.url()?;
        let proxy = options.find_proxy(&url)?;
        let (ca_file, ca_source) = options.find_ca_file();
        let tls = Tls::new(ca_file.as_deref(), url.scheme() == "https");
        Ok(Client {
            credentials: options.credentials(),
            timeout: options.timeout,
            connect_timeout: options.connect_timeout,
            max_retries: options.max_retries,
            sources: options.sources(proxy.as_ref()),
            proxy,
            tls: tls.map_err(|error| error.read_from(ca_source))?,
            address: url.as_str().into(),
            url,
            budget: RetryBudget::new(),
            pool: PerProcess::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Sends the update and waits for the answer.
    ///
    /// # Errors
    /// The [`Kind`] tells what went wrong, [`Error::delivery`] whether the customer may have been
    /// changed.
    ///
    /// # Panics
    /// In an async task, which must not block; call it through `spawn_blocking` there.
    pub fn update_personal_info(&self, update: &Update) -> Result<PersonalInfo, Error> {
        self.update_personal_info_with(update, CallOptions::default())
    }

    /// The same, with a deadline of its own or a way to end it early.
    ///
    /// # Errors
    /// As [`update_personal_info`](Client::update_personal_info).
    pub fn update_personal_info_with(
        &self,
        update: &Update,
        options: CallOptions<'_>,
    ) -> Result<PersonalInfo, Error> {
        let request = update.request(&self.credentials)?;
        // Inside of the event loop attempts are only collected.
        let ended = Mutex::new(Vec::new());
        let lock = || ended.lock().unwrap_or_else(PoisonError::into_inner);
        let collect = |attempt: Attempt| lock().push(attempt);
        let mut state = CallState::new();
        if options.on_attempt.is_some() {
            self.record_attempts(&mut state, &collect, &request);
        }
        let tell = || {
            let ended = mem::take(&mut *lock());
            ended.iter().for_each(|attempt| options.on_attempt.iter().for_each(|f| f(attempt)));
        };
        let is_due = || options.on_attempt.is_some() && !lock().is_empty();
        let run = || {
            tell();
            !options.interrupted.is_some_and(|interrupted| interrupted())
        };
        let has_hook = options.on_attempt.is_some() || options.interrupted.is_some();
        let hook = has_hook.then_some(CallerHook { is_due: &is_due, run: &run });
        let outcome =
            self.drive(options.timeout, hook, &mut state, async |http, deadline, state| {
                self.call(http, &request, deadline, None, state).await
            });
        if let Some(attempts) = options.attempts {
            attempts.store(state.attempts(), Ordering::Relaxed);
        }
        tell();
        outcome
    }

    /// Begins an update and leaves it to a thread that drives all such calls of the process, which
    /// the first one starts. At most 100 calls of one client are under way at once, each on a
    /// connection of its own; the others wait for their turn, within their deadline.
    ///
    /// `on_attempt` and `done` run on that thread and must not block it: they may begin other calls,
    /// but a call that waits is refused there as [`Kind::Configuration`]. `done` is called exactly
    /// once, unless the process ends or an error is returned here.
    ///
    /// # Errors
    /// For what is found before anything is sent: an invalid field, an unusable option.
    pub fn start_update(
        self: &Arc<Self>,
        update: &Update,
        timeout: Option<Duration>,
        on_attempt: Option<Box<dyn Fn(Attempt) + Send + Sync>>,
        done: impl FnOnce(Result<PersonalInfo, Error>) + Send + 'static,
    ) -> Result<PendingCall, Error> {
        let request = update.request(&self.credentials)?;
        let timeout = self.check(timeout)?;
        let deadline = Instant::now() + timeout;
        let cancelled = self.cancelled();
        let shared = Arc::<SharedCallState>::default();
        let (begun, dropped) = PendingCall::new(shared.clone());
        let client = self.clone();
        let work = async move {
            let mut state = CallState::with_shared(shared);
            if let Some(tell) = &on_attempt {
                client.record_attempts(&mut state, &**tell, &request);
            }
            let stop = either(cancelled, async { drop(dropped.await) });
            let call = client.call_in_background(&request, deadline, None, &mut state);
            let outcome = unless(timeout_at(deadline, call), stop).await;
            ended(outcome, timeout, &mut state)
        };
        background::spawn(async { done(background::without_panic(work).await) })
            .map_err(could_not_prepare)?;
        Ok(begun)
    }

    /// One row of a run, from its turn on, unless `stop` ends first.
    pub(crate) async fn call_in_bulk(
        &self,
        request: &Request,
        timeout: Duration,
        limiter: &RateLimiter,
        state: &mut CallState<'_>,
        stop: impl Future<Output = ()>,
    ) -> Result<PersonalInfo, Error> {
        let outcome = unless(
            async {
                // The wait for its turn is not the row's time.
                limiter.acquire().await;
                let deadline = Instant::now() + self.check(Some(timeout))?;
                let call = self.call_in_background(request, deadline, Some(limiter), state);
                Ok(timeout_at(deadline, call).await)
            },
            stop,
        );
        let outcome = outcome.await.transpose()?;
        ended(outcome, timeout, state)
    }

    async fn call_in_background(
        &self,
        request: &Request,
        deadline: Instant,
        limiter: Option<&RateLimiter>,
        state: &mut CallState<'_>,
    ) -> Result<PersonalInfo, Error> {
        let pool = self.pool.get();
        let _permit = pool.background_calls.acquire().await.map_err(Error::internal)?;
        let connection = self.connection(pool, Driver::BackgroundThread)?;
        state.use_connection(&connection);
        let http = connection.http().await;
        let outcome = self.call(http, request, deadline, limiter, state).await;
        self.keep(connection, pool, Driver::BackgroundThread, state);
        outcome
    }

    /// Asks the service for a page in place of sending an update, to learn whether it can be
    /// reached: by the same way, with the same errors, once. Sends no credentials and changes
    /// nothing.
    ///
    /// # Errors
    /// As [`update_personal_info`](Client::update_personal_info), for what keeps an answer from
    /// coming; any status is an answer.
    pub fn probe(&self, options: CallOptions<'_>) -> Result<Probe, Error> {
        let run = || !options.interrupted.is_some_and(|interrupted| interrupted());
        let hook = options.interrupted.map(|_| CallerHook { is_due: &|| false, run: &run });
        let mut state = CallState::new();
        let outcome = self.drive(options.timeout, hook, &mut state, async |http, _, state| {
            state.begin_attempt();
            let started = Instant::now();
            let answer = http.get(self.url.clone()).send().await;
            let answer =
                answer.map_err(|error| state.end_attempt(self.transport_error(&error, state)))?;
            if answer.status() == 407 {
                return Err(state.end_attempt(asks_for_a_password()));
            }
            let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
            Ok(Probe {
                status: answer.status().as_u16(),
                date: date.and_then(|date| httpdate::parse_http_date(date).ok()),
                elapsed: started.elapsed(),
                proxy: self.proxy().map(str::to_owned),
                tls: self.url.scheme() == "https",
            })
        });
        outcome.map_err(Error::of_no_update)
    }

    /// Drives `work` on this thread, within a deadline, until it ends or is ended.
    fn drive<'a, T>(
        &self,
        timeout: Option<Duration>,
        hook: Option<CallerHook<'_>>,
        state: &mut CallState<'a>,
        work: impl AsyncFnOnce(&reqwest::Client, Instant, &mut CallState<'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        background::refuse_to_wait()?;
        let timeout = self.check(timeout)?;
        let pool = self.pool.get();
        // Made here, it hears every cancel from here on.
        let cancelled = pool.cancel.notified();
        let mut connection = self.connection(pool, Driver::Caller)?;
        state.use_connection(&connection);
        let deadline = Instant::now() + timeout;
        let outcome = connection
            .run(deadline, hook, async |http| unless(work(http, deadline, state), cancelled).await);
        let outcome = outcome.and_then(Result::transpose);
        if let Some(Ok(_)) = &outcome {
            self.keep(connection, pool, Driver::Caller, state);
        }
        ended(outcome, timeout, state)
    }

    /// Tells of every attempt from here on.
    pub(crate) fn record_attempts<'a>(
        &self,
        state: &mut CallState<'a>,
        tell: AttemptCallback<'a>,
        request: &Request,
    ) {
        state.record_attempts(tell, &self.address, request.body.len());
    }

    /// What an update is sent with where it does not say so itself.
    pub(crate) fn credentials(&self) -> &Update {
        &self.credentials
    }

    /// Ends when the calls in flight shall.
    pub(crate) fn cancelled(&self) -> OwnedNotified {
        self.pool.get().cancel.clone().notified_owned()
    }

    /// Whether a call may begin, and how long it may take.
    pub(crate) fn check(&self, timeout: Option<Duration>) -> Result<Duration, Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::configuration("client", "is closed; make a new one"));
        }
        timeout.map_or(Ok(self.timeout), |timeout| check_time("timeout", timeout))
    }

    fn connection(&self, pool: &ConnectionPool, driver: Driver) -> Result<Connection, Error> {
        pool.idle(driver).take().map_or_else(|| self.new_connection(pool, driver), Ok)
    }

    /// Keeps a connection for the next call. A connection in the middle of an exchange goes at once, and
    /// with it the connection.
    fn keep(
        &self,
        connection: Connection,
        pool: &ConnectionPool,
        driver: Driver,
        state: &CallState<'_>,
    ) {
        if state.response_complete {
            pool.idle(driver).put(connection);
            // Asked afterwards, so that none stays behind if the client is closed at this moment.
            if self.closed.load(Ordering::Relaxed) {
                pool.clear();
            }
        }
    }

    /// Ends the calls that are in flight in this process as [`Kind::Cancelled`], from any thread.
    pub fn cancel(&self) {
        self.pool.get().cancel.notify_waiters();
    }

    /// Closes the idle connections, and each other one when its call ends. Calls fail from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.pool.get().clear();
    }

    /// The address that is called.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The host and the port of the proxy on the way, if there is one.
    pub fn proxy(&self) -> Option<&str> {
        self.proxy.as_ref().map(|used| used.shown.as_str())
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

    /// What an update would send, checked as if it were sent: each header, and the body with `***`
    /// in place of the keys. The method is POST, the address [`url`](Client::url).
    #[cfg(feature = "python")]
    pub(crate) fn preview(&self, update: &Update) -> Result<Preview, Error> {
        let length = update.request(&self.credentials)?.body.len();
        let body = update.preview_body(&self.credentials)?;
        let mut headers: Vec<(String, String)> = headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect();
        headers.push(("host".to_owned(), self.url.authority().to_owned()));
        headers.push(("content-length".to_owned(), length.to_string()));
        Ok(Preview { headers, body })
    }

    fn new_connection(&self, pool: &ConnectionPool, driver: Driver) -> Result<Connection, Error> {
        let handshaking = Arc::<AtomicBool>::default();
        let mut http = reqwest::Client::builder()
            .default_headers(headers())
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            // Another crate of the program may have switched these on for all.
            .no_gzip()
            .no_brotli()
            .no_deflate()
            .no_zstd()
            .no_proxy()
            .dns_resolver(Lookup)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1);
        http = self.tls.set_up(http, &pool.sessions, handshaking.clone());
        if let Some(used) = &self.proxy {
            http = http.proxy(used.proxy.clone());
        }
        Connection::new(http, handshaking, driver).map_err(could_not_prepare)
    }

    /// Attempts, and the waits between them.
    async fn call(
        &self,
        http: &reqwest::Client,
        request: &Request,
        deadline: Instant,
        limiter: Option<&RateLimiter>,
        state: &mut CallState<'_>,
    ) -> Result<PersonalInfo, Error> {
        let (max_retries, budget) = (self.max_retries, &self.budget);
        let mut retries = Retries { max_retries, budget, deadline, attempts: 0 };
        loop {
            state.begin_attempt();
            let began = Instant::now();
            let outcome = self.attempt(http, request, state).await;
            let outcome = outcome.map_err(|error| state.end_attempt(error));
            let pause = limiter.and_then(|limiter| limiter.record(began, &outcome));
            let wait = match pause {
                Some(pause) => retries.next_delay_after_pause(pause),
                None => retries.next_delay(&outcome),
            };
            state.report_attempt(outcome.as_ref().err(), wait);
            let Some(wait) = wait else { return outcome };
            match limiter {
                Some(limiter) => {
                    let turn = async {
                        sleep(wait).await;
                        limiter.acquire().await;
                    };
                    if timeout_at(deadline, turn).await.is_err() {
                        return outcome;
                    }
                }
                None => sleep(wait).await,
            }
        }
    }

    /// One request and its answer.
    async fn attempt(
        &self,
        http: &reqwest::Client,
        request: &Request,
        state: &mut CallState<'_>,
    ) -> Result<PersonalInfo, Error> {
        let body = Body { bytes: Some(request.body.clone()), call: state.shared.clone() };
        let sending = http.post(self.url.clone()).body(reqwest::Body::wrap(body)).send();
        let mut answer = sending.await.map_err(|e| self.transport_error(&e, state))?;
        let status = answer.status();
        state.record_status(status.as_u16());
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        let retry_after = retry_after.and_then(retry::parse_retry_after);
        let compression = compression(answer.headers());

        let too_long = || Error::response("it is longer than 1 MiB", String::new());
        if status.is_success() && answer.content_length() > Some(MAX_RESPONSE_BYTES as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        let ending = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > MAX_RESPONSE_BYTES => {
                    break Err(too_long());
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break Ok(()),
                Err(e) => break Err(self.transport_error(&e, state)),
            }
        };
        state.response_complete = ending.is_ok();
        state.record_bytes(body.len());

        let keys = request.keys();
        let compression = compression.filter(|_| !body.is_empty());
        let compression = compression.map(|coding| redacted_line(&coding, &keys));
        let shown = || match &compression {
            Some(coding) => format!("({} bytes, compressed with {coding})", body.len()),
            None => redacted_excerpt(&body, state.response_complete, &keys),
        };
        match status.as_u16() {
            200..300 => {}
            407 => return Err(asks_for_a_password()),
            status => return Err(Error::status(status, delivery(status), retry_after, shown())),
        }
        ending?;
        if let Some(coding) = &compression {
            let problem = format!(
                "it is compressed with {coding}, although the request accepts no compression; \
                 look for a proxy or gateway that compresses"
            );
            return Err(Error::response(problem, shown()));
        }
        PersonalInfo::decode(&body).map_err(|answer| match answer {
            NotAccepted::Malformed(problem) => Error::response(problem, shown()),
            NotAccepted::Refused { verified, description, location, system_error } => {
                Error::refused(
                    verified,
                    redacted_line(&description, &keys),
                    redacted_line(&location, &keys),
                    system_error,
                )
            }
        })
    }

    /// What a failure below HTTP means.
    fn transport_error(&self, error: &reqwest::Error, state: &CallState<'_>) -> Error {
        let host = self.url.authority();
        let causes = chain(error);
        if error.is_connect() {
            if let Some((advice, problem)) = tls::bad_certificate(error) {
                let message =
                    format!("the certificate of {host} was not accepted, {advice} ({problem})");
                return Error::new(Kind::Tls, Delivery::NotSent, message).with_bad_certificate();
            }
            let (kind, what) = if state.is_handshaking() && self.url.scheme() == "https" {
                (Kind::Tls, "no secure connection to")
            } else {
                (Kind::Connect, "no connection to")
            };
            let way = self.proxy.as_ref().map_or_else(String::new, |used| {
                format!(" through the proxy {} ({})", used.shown, used.named_by())
            });
            let message = if error.is_timeout() {
                format!("{what} {host}{way} within {} s", self.connect_timeout.as_secs_f64())
            } else {
                format!("{what} {host}{way}: {causes}")
            };
            let advice = "check that this machine is online, the proxy and base_url";
            let message = format!("{message}; {advice}");
            return Error::new(kind, Delivery::NotSent, message);
        }
        // On an old connection it may be what followed the last answer.
        let unasked = causes.contains("unexpected message") && !state.reused_connection;
        let breaks_http = unasked
            || find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse)
            || find::<io::Error>(error).is_some_and(|e| {
                matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData)
            });
        if breaks_http {
            return Error::response(format_args!("it is not HTTP/1.1 ({causes})"), String::new());
        }
        let message =
            format!("the connection to {host} was lost before the whole answer: {causes}");
        Error::new(Kind::Lost, state.current_delivery(), message)
    }
}

/// A request as a person may see it.
#[cfg(feature = "python")]
pub(crate) struct Preview {
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// What the head of each request says, beside what HTTP itself needs.
fn headers() -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    let agent = HeaderValue::from_static(concat!("skypostal/", env!("CARGO_PKG_VERSION")));
    HeaderMap::from_iter([
        (USER_AGENT, agent),
        (CONTENT_TYPE, json.clone()),
        (ACCEPT, json),
        // Without it a server may compress (RFC 9110, 12.5.3).
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ])
}

/// What the body of a response is compressed with, in the words of its head.
fn compression(headers: &HeaderMap) -> Option<String> {
    let plain = |coding: &str| {
        ["", "identity", "chunked"].iter().any(|it| coding.trim().eq_ignore_ascii_case(it))
    };
    let values = [CONTENT_ENCODING, TRANSFER_ENCODING].map(|name| headers.get_all(name));
    let values = values.iter().flatten().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let values: Vec<_> = values.filter(|value| !value.split(',').all(plain)).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// The outcome of a call that may have been broken off, by its deadline or by its caller.
fn ended<T, Elapsed>(
    outcome: Option<Result<Result<T, Error>, Elapsed>>,
    timeout: Duration,
    state: &mut CallState<'_>,
) -> Result<T, Error> {
    match outcome {
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) => {
            let message = format!("no answer within {} s", timeout.as_secs_f64());
            Err(state.abort(Kind::Timeout, message))
        }
        None => Err(state.abort(Kind::Cancelled, "the caller ended the call")),
    }
}

pub(crate) fn could_not_prepare(problem: impl fmt::Display) -> Error {
    let message = format!("could not prepare a connection: {problem}");
    Error::new(Kind::Connect, Delivery::NotSent, message)
}

fn asks_for_a_password() -> Error {
    let message = "the proxy asks for a user name and a password (HTTP 407)";
    Error::new(Kind::Connect, Delivery::NotSent, message)
}

/// Whether a status says that the update was not made. A 503 does not: a gateway sends it as well
/// when its own connection to the service breaks after the request.
fn delivery(status: u16) -> Delivery {
    match status {
        300..=399 | 401 | 403 | 404 | 405 | 411 | 413 | 415 | 429 => Delivery::Rejected,
        _ => Delivery::Unknown,
    }
}

/// The body of a request, which notes when the connection takes it. Before that the service cannot
/// have acted on it: the length that the head announces is still missing.
struct Body {
    bytes: Option<Bytes>,
    call: Arc<SharedCallState>,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.call.hand_over_body() {
            return Poll::Pending; // Whoever cancelled the call wakes what drops this.
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}

/// The output of `work`, or nothing if `stop` ends first.
async fn unless<T>(work: impl Future<Output = T>, stop: impl Future<Output = ()>) -> Option<T> {
    let (mut work, mut stop) = (pin!(work), pin!(stop));
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => stop.as_mut().poll(context).map(|()| None),
    })
    .await
}

/// Ends with the first of the two.
pub(crate) async fn either(one: impl Future<Output = ()>, other: impl Future<Output = ()>) {
    unless(one, other).await;
}

/// The causes on one line, without the outermost, which only say that a request failed.
fn chain(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
    texts.dedup();
    texts.retain(|text| !text.starts_with("client error ("));
    redacted_line(&texts.join(": "), &[])
}
