//! One call, from start to end.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Proxy, Url, redirect};
use tokio::time::{Instant, timeout_at};

use crate::credentials::{excerpt, excerpt_line};
use crate::error::{Delivery, Error, Kind, causes, find};
use crate::lane::{LONGEST_IDLE, Lane, Pool};
use crate::options::{Options, check_time};
use crate::personal_info::{NotAccepted, PersonalInfo};
use crate::retry::{self, Budget};
use crate::tls::{self, Tls};
use crate::update::{Request, Update};

/// An answer that is longer is not read to its end, in bytes.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// Updates customers. Made once and used for every call, by any number of threads at once.
///
/// A call blocks the thread that makes it, and that thread does the work itself. Connections are
/// kept alive between calls. After a fork the child may use the client too: it makes connections of
/// its own and leaves the parent's alone.
pub struct Client {
    url: Url,
    credentials: Update,
    timeout: Duration,
    connect_timeout: Duration,
    max_retries: u32,
    proxy: Option<Proxy>,
    tls: Tls,
    budget: Budget,
    pool: Pool,
    closed: AtomicBool,
}

/// What one call may have of its own.
#[derive(Clone, Copy, Default)]
pub struct CallOptions<'a> {
    /// The deadline of this call, in place of the client's.
    pub timeout: Option<Duration>,
    /// Asked every 50 ms while the call waits, on the thread that calls; `true` ends the call.
    pub interrupted: Option<&'a (dyn Fn() -> bool + Sync)>,
}

impl Client {
    /// A client with these options. Reads certificates, connects to nothing.
    ///
    /// # Errors
    /// Names the first option that is unusable.
    pub fn new(options: &Options) -> Result<Self, Error> {
        options.check()?;
        let url = options.url()?;
        Ok(Client {
            credentials: options.credentials(),
            timeout: options.timeout(),
            connect_timeout: options.connect_timeout(),
            max_retries: options.max_retries(),
            proxy: options.proxy(&url)?,
            tls: Tls::new(options.ca_file(), url.scheme() == "https")?,
            url,
            budget: Budget::new(),
            pool: Pool::new(),
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
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::configuration("client", "is closed; make a new one"));
        }
        let timeout = match options.timeout {
            Some(timeout) => check_time("timeout", timeout)?,
            None => self.timeout,
        };
        let pool = self.pool.here();
        // Made here, it hears every cancel from here on.
        let cancelled = pool.cancel.notified();
        let lane = pool.take().map_or_else(|| self.new_lane(pool), Ok)?;
        let mut progress = Progress::new(&lane);
        let outcome = lane.run(options.interrupted.map(|f| f as _), async |http| {
            let deadline = Instant::now() + timeout;
            let call = self.call(http, &request, deadline, &mut progress);
            unless(timeout_at(deadline, call), cancelled).await
        });
        match outcome.flatten() {
            Some(Ok(outcome)) => {
                // A connection in the middle of an exchange goes at once, and with it the lane.
                if progress.answered && !self.closed.load(Ordering::Relaxed) {
                    pool.put(lane);
                }
                outcome
            }
            Some(Err(_)) => {
                let message = format!("no answer within {} s", timeout.as_secs_f64());
                Err(progress.broken_off(Kind::Timeout, message))
            }
            None => Err(progress.broken_off(Kind::Cancelled, "the caller ended the call")),
        }
    }

    /// Ends the calls that are in flight in this process as [`Kind::Cancelled`], from any thread.
    pub fn cancel(&self) {
        self.pool.here().cancel.notify_waiters();
    }

    /// Closes the idle connections, and each other one when its call ends. Calls fail from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.pool.here().clear();
    }

    /// The address that is called.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    fn new_lane(&self, pool: &Pool) -> Result<Lane, Error> {
        let handshaking = Arc::<AtomicBool>::default();
        let json = HeaderValue::from_static("application/json");
        let mut http = reqwest::Client::builder()
            .user_agent(concat!("skypostal/", env!("CARGO_PKG_VERSION")))
            .default_headers(HeaderMap::from_iter([(CONTENT_TYPE, json.clone()), (ACCEPT, json)]))
            .http1_only()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(LONGEST_IDLE)
            .pool_max_idle_per_host(1);
        http = self.tls.set_up(http, &pool.sessions, handshaking.clone());
        if let Some(proxy) = &self.proxy {
            http = http.proxy(proxy.clone());
        }
        Lane::new(http, handshaking).map_err(|problem| {
            let message = format!("could not prepare a connection: {problem}");
            Error::new(Kind::Connect, Delivery::NotSent, message)
        })
    }

    /// Attempts, and the waits between them.
    async fn call(
        &self,
        http: &reqwest::Client,
        request: &Request,
        deadline: Instant,
        progress: &mut Progress,
    ) -> Result<PersonalInfo, Error> {
        retry::repeat(self.max_retries, &self.budget, deadline, async || {
            progress.begin_attempt();
            let outcome = self.attempt(http, request, progress).await;
            outcome.map_err(|error| progress.end_attempt(error))
        })
        .await
    }

    /// One request and its answer.
    async fn attempt(
        &self,
        http: &reqwest::Client,
        request: &Request,
        progress: &mut Progress,
    ) -> Result<PersonalInfo, Error> {
        let body = Body { bytes: Some(request.body.clone()), taken: progress.sent.clone() };
        let sending = http.post(self.url.clone()).body(reqwest::Body::wrap(body)).send();
        let mut answer = sending.await.map_err(|e| self.transport_error(&e, progress))?;
        let status = answer.status();
        let retry_after = answer.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        let retry_after = retry_after.and_then(retry::parse_retry_after);

        let too_long = || Error::response("it is longer than 1 MiB", String::new());
        if status.is_success() && answer.content_length() > Some(LONGEST_ANSWER as u64) {
            return Err(too_long());
        }
        let mut body = Vec::new();
        let ending = loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > LONGEST_ANSWER => {
                    break Err(too_long());
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break Ok(()),
                Err(e) => break Err(self.transport_error(&e, progress)),
            }
        };
        progress.answered = ending.is_ok();

        let keys = request.keys();
        let shown = || excerpt(&body, progress.answered, &keys);
        match status.as_u16() {
            200..300 => {}
            407 => {
                let message = "the proxy asks for a user name and a password (HTTP 407)";
                return Err(Error::new(Kind::Connect, Delivery::NotSent, message));
            }
            status => return Err(Error::status(status, delivery(status), retry_after, shown())),
        }
        ending?;
        PersonalInfo::decode(&body).map_err(|answer| match answer {
            NotAccepted::Odd(problem) => Error::response(problem, shown()),
            NotAccepted::Refused { description, location, system_error } => Error::refused(
                excerpt_line(&description, &keys),
                excerpt_line(&location, &keys),
                system_error,
            ),
        })
    }

    /// What a failure below HTTP means.
    fn transport_error(&self, error: &reqwest::Error, progress: &Progress) -> Error {
        let host = self.url.authority();
        let causes = chain(error);
        if error.is_connect() {
            if let Some((advice, problem)) = tls::bad_certificate(error) {
                let message =
                    format!("the certificate of {host} was not accepted, {advice} ({problem})");
                return Error::new(Kind::Tls, Delivery::NotSent, message).with_bad_certificate();
            }
            let handshaking = progress.handshaking.load(Ordering::Relaxed);
            let (kind, what) = if tls::is_tls(error, handshaking) && self.url.scheme() == "https" {
                (Kind::Tls, "no secure connection to")
            } else {
                (Kind::Connect, "no connection to")
            };
            let message = if error.is_timeout() {
                format!("{what} {host} within {} s", self.connect_timeout.as_secs_f64())
            } else {
                format!("{what} {host}: {causes}")
            };
            let advice = "check that this machine is online, the proxy and base_url";
            let message = format!("{message}; {advice}");
            return Error::new(kind, Delivery::NotSent, message);
        }
        // On an old connection it may be what followed the last answer.
        let unasked = causes.contains("unexpected message") && !progress.old_connection;
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
        Error::new(Kind::Lost, progress.open(), message)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// Whether a status says that the update was not made.
fn delivery(status: u16) -> Delivery {
    match status {
        300..=399 | 401 | 403 | 404 | 405 | 411 | 413 | 415 | 429 | 503 => Delivery::Rejected,
        _ => Delivery::Unknown,
    }
}

/// How far a call has come, for whoever breaks it off.
struct Progress {
    attempts: u32,
    /// What the attempts that ended left open.
    before: Delivery,
    /// Whether the current attempt handed its body to a connection.
    sent: Arc<AtomicBool>,
    /// Whether the current attempt began a TLS handshake.
    handshaking: Arc<AtomicBool>,
    /// Whether the current attempt may use a connection of an earlier call.
    old_connection: bool,
    /// Whether the current attempt got a whole answer.
    answered: bool,
}

impl Progress {
    fn new(lane: &Lane) -> Self {
        Progress {
            attempts: 0,
            before: Delivery::NotSent,
            sent: Arc::default(),
            handshaking: lane.handshaking.clone(),
            old_connection: lane.used,
            answered: false,
        }
    }

    fn begin_attempt(&mut self) {
        self.attempts += 1;
        self.answered = false;
        self.handshaking.store(false, Ordering::Relaxed);
    }

    fn end_attempt(&mut self, error: Error) -> Error {
        let error = error.after(self.attempts, self.before);
        self.before = error.delivery();
        self.sent.store(false, Ordering::Relaxed);
        self.old_connection = false;
        error
    }

    /// What the current attempt leaves open if it ends without an answer.
    fn open(&self) -> Delivery {
        if self.sent.load(Ordering::Relaxed) { Delivery::Unknown } else { Delivery::NotSent }
    }

    fn broken_off(mut self, kind: Kind, message: impl Into<String>) -> Error {
        let error = Error::new(kind, self.open(), message);
        self.end_attempt(error)
    }
}

/// The body of a request, which notes when the connection takes it. Before that the service cannot
/// have acted on it: the length that the head announces is still missing.
struct Body {
    bytes: Option<Bytes>,
    taken: Arc<AtomicBool>,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.taken.store(true, Ordering::Relaxed);
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

/// The causes on one line, without the outermost, which only say that a request failed.
fn chain(error: &reqwest::Error) -> String {
    let mut texts: Vec<String> = causes(error).skip(1).map(ToString::to_string).collect();
    texts.dedup();
    texts.retain(|text| !text.starts_with("client error ("));
    excerpt_line(&texts.join(": "), &[])
}
