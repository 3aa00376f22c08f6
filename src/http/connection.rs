//! A connection, and the event loop that drives it on the calling thread.
//!
//! A call takes a connection from the pool, drives its event loop until the response is complete,
//! and returns it. No helper thread takes part, so a call pays for no switch between threads, and
//! its wait can end at any moment.
//!
//! A call on the background thread has a connection without an event loop of its own: that thread
//! has one for all of them.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::task::{Context, Poll};
use std::time::Duration;

use reqwest::redirect;
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::time::{Instant, Sleep, sleep};

use crate::call::INTERRUPT_POLL_INTERVAL;
use crate::error::Error;
use crate::http::pool::{ConnectionPool, with_descriptors};
use crate::http::transport_error::could_not_prepare;
use crate::http::{Endpoint, HttpClient};
use crate::sys::fork::generation;
use crate::sys::{descriptors, signals};

/// An HTTP client that keeps at most one connection alive, with the event loop that drives it.
pub(crate) struct Connection {
    /// Taken on drop only. The background thread has the event loop of its connections.
    parts: Option<(HttpClient, Option<EventLoop>)>,
    generation: usize,
    idle_since: Instant,
    /// True once it has served a call.
    pub(crate) reused: bool,
    /// Counts the TLS handshakes that start.
    pub(crate) handshakes: Arc<AtomicU8>,
}

/// The event loop of a connection, with the timer of its calls.
struct EventLoop {
    timer: DeadlineTimer,
    runtime: Runtime,
}

/// A timer that stays set from call to call. To set it takes a system call and a place in the event
/// loop's queue, and most calls end long before their deadline.
struct DeadlineTimer(Pin<Box<Sleep>>);

/// The deadline passed.
pub(crate) struct Elapsed;

/// The thread whose event loop drives a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    Caller,
    BackgroundThread,
}

/// Code of the caller that runs from time to time while its call waits. It runs outside of the
/// event loop, so it may make a call of its own.
pub(crate) struct CallerHook<'a> {
    /// Returns true if it has to run at once, without waiting for `INTERRUPT_POLL_INTERVAL`.
    pub(crate) is_due: &'a dyn Fn() -> bool,
    /// Runs it; `false` ends the call.
    pub(crate) run: &'a dyn Fn() -> bool,
}

impl Connection {
    /// Prepares a connection. The first request opens it.
    pub(crate) fn new(
        endpoint: &Endpoint,
        pool: &ConnectionPool,
        driver: Driver,
    ) -> Result<Self, Error> {
        let event_loop = match driver {
            Driver::Caller => Some(with_descriptors(EventLoop::new).map_err(could_not_prepare)?),
            Driver::BackgroundThread => None,
        };
        let handshakes = Arc::<AtomicU8>::default();
        let http = http_client(endpoint, pool, driver, &handshakes).map_err(could_not_prepare)?;
        Ok(Connection {
            parts: Some((http, event_loop)),
            generation: generation(),
            idle_since: Instant::now(),
            reused: false,
            handshakes,
        })
    }

    /// Drives `work` on this thread until the deadline. Runs the hook in between. Returns `None` if the
    /// hook ended the work, or forked and this is the child.
    pub(crate) fn run<T>(
        &mut self,
        deadline: Instant,
        hook: Option<CallerHook<'_>>,
        work: impl AsyncFnOnce(&HttpClient) -> T,
    ) -> Option<Result<T, Elapsed>> {
        let (http, event_loop) = self.parts.as_mut().expect("taken on drop only");
        let EventLoop { timer, runtime } = event_loop.as_mut().expect("its caller drives it");
        let mut work = pin!(async { work(ready(http).await).await });
        loop {
            let next_poll = hook.as_ref().map(|_| Instant::now() + INTERRUPT_POLL_INTERVAL);
            let next_poll = next_poll.filter(|next_poll| *next_poll < deadline);
            let slice = poll_fn(|context| match work.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(Ok(output))),
                Poll::Pending if hook.as_ref().is_some_and(|hook| (hook.is_due)()) => {
                    Poll::Ready(None)
                }
                Poll::Pending => {
                    let elapsed = next_poll.is_none().then_some(Err(Elapsed));
                    timer.poll(context, next_poll.unwrap_or(deadline)).map(|()| elapsed)
                }
            });
            let ended = signals::without_sigpipe(|| runtime.block_on(slice));
            let Some(hook) = hook.as_ref().filter(|_| ended.is_none()) else { return ended };
            // The hook may also fork, and the child must leave this connection alone.
            if !(hook.run)() || self.generation != generation() {
                return None;
            }
        }
    }

    /// Returns the HTTP client. Must be awaited in the event loop that drives the connection.
    pub(crate) async fn http(&self) -> &HttpClient {
        ready(&self.parts.as_ref().expect("taken on drop only").0).await
    }

    pub(super) fn driver(&self) -> Driver {
        match &self.parts {
            Some((_, None)) => Driver::BackgroundThread,
            _ => Driver::Caller,
        }
    }

    /// Records that the connection has served a call and is idle from now on.
    pub(super) fn set_idle(&mut self) {
        self.reused = true;
        self.idle_since = Instant::now();
    }

    pub(super) fn idle_since(&self) -> Instant {
        self.idle_since
    }
}

fn http_client(
    endpoint: &Endpoint,
    pool: &ConnectionPool,
    driver: Driver,
    handshakes: &Arc<AtomicU8>,
) -> Result<HttpClient, reqwest::Error> {
    let mut http = HttpClient::builder()
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
        .dns_resolver(pool.lookup(driver))
        .connect_timeout(endpoint.connect_timeout)
        // The pool of connections sees to it.
        .pool_idle_timeout(None)
        .pool_max_idle_per_host(1);
    http = endpoint.tls.set_up(http, &pool.sessions, handshakes.clone());
    if let Some(used) = &endpoint.proxy {
        http = http.proxy(used.proxy.clone());
    }
    http.build()
}

/// Fails if no descriptor is left. An event loop holds descriptors itself. If it found none for its
/// connection, it would keep them from other calls that wait for one.
fn descriptor_for_connection() -> io::Result<()> {
    match TcpSocket::new_v4() {
        Err(error) if descriptors::is_lack(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Returns the client after the event loop has handled what arrived while the connection was idle.
/// Without this, half of the calls failed where the server had closed the connection (measured).
async fn ready(http: &HttpClient) -> &HttpClient {
    tokio::task::yield_now().await;
    http
}

impl EventLoop {
    fn new() -> io::Result<Self> {
        descriptors::hold_standard_streams();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // Timers are checked after every other step, so that a flood of bytes cannot hold up the
            // deadline. With 1, each wait would take one more system call.
            .event_interval(2)
            .build()?;
        descriptor_for_connection()?;
        let timer = {
            let _inside = runtime.enter();
            DeadlineTimer(Box::pin(sleep(Duration::MAX)))
        };
        Ok(EventLoop { timer, runtime })
    }
}

impl DeadlineTimer {
    /// Returns `Ready` once `time` has passed. The timer may be set to the earlier deadline of another
    /// call; then it is set again.
    fn poll(&mut self, context: &mut Context<'_>, time: Instant) -> Poll<()> {
        if self.0.deadline() > time {
            self.0.as_mut().reset(time);
        }
        while self.0.as_mut().poll(context).is_ready() {
            if Instant::now() >= time {
                return Poll::Ready(());
            }
            self.0.as_mut().reset(time);
        }
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some((http, event_loop)) = self.parts.take() else { return };
        if self.generation == generation() {
            drop(http);
            // A name look-up that hangs must not be waited for.
            if let Some(event_loop) = event_loop {
                event_loop.runtime.shutdown_background();
            }
        } else {
            // After a fork the sockets and the event queue are the parent's too: leave them alone.
            mem::forget((http, event_loop));
        }
    }
}
