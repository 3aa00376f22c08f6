//! reqwest on the thread that calls.
//!
//! A connection is one event loop with one HTTP client and its connections. A call checks one out, drives
//! it itself until the answer is there, and hands it back: no helper thread, nothing to pass
//! between threads, and a wait that can be ended at any moment.
//!
//! A call that nobody waits for gets a connection too: one without an event loop, on the background thread's.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::mem;
use std::pin::{Pin, pin};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

use crate::http::tls::Sessions;
use crate::sys::fork::generation;
use crate::sys::signals;

/// A connection idle for longer is closed when another one is handed back.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a caller is asked whether its call shall end.
pub(crate) const INTERRUPT_POLL_INTERVAL: Duration = Duration::from_millis(50);
/// Calls of one client that the background thread drives at once; each has a connection, and so a descriptor.
pub(crate) const MAX_BACKGROUND_CALLS: usize = 100;
/// Threads of one event loop that may hang in a name look-up.
pub(crate) const MAX_LOOKUP_THREADS: usize = 4;

/// One event loop, one HTTP client, its connections.
pub(crate) struct Connection {
    /// Taken on drop only. On the background thread's loop it has no loop of its own.
    parts: Option<(reqwest::Client, Option<EventLoop>)>,
    generation: usize,
    idle_since: Instant,
    /// Whether it served a call before, so that its connection may be an old one.
    pub(crate) used: bool,
    /// Set when a TLS handshake begins.
    pub(crate) handshaking: Arc<AtomicBool>,
}

/// The event loop of a connection, with the timer of its calls.
struct EventLoop {
    timer: DeadlineTimer,
    runtime: Runtime,
}

/// A timer that stays set from call to call: to set one anew takes a system call and a place in the
/// loop's queue, and calls are over long before it goes off.
struct DeadlineTimer(Pin<Box<Sleep>>);

/// The time was over first.
pub(crate) struct Elapsed;

/// Whose event loop drives a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    Caller,
    BackgroundThread,
}

/// What a caller does between two slices of the event loop, outside of it, so that it may even make
/// a call of its own.
pub(crate) struct CallerHook<'a> {
    /// Whether it has something to do at once.
    pub(crate) is_due: &'a dyn Fn() -> bool,
    /// Does it; `false` ends the work.
    pub(crate) run: &'a dyn Fn() -> bool,
}

impl Connection {
    pub(crate) fn new(
        builder: reqwest::ClientBuilder,
        handshaking: Arc<AtomicBool>,
        driver: Driver,
    ) -> Result<Self, String> {
        let new_loop = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                // Timers are looked at after every step, so that a flood of bytes cannot hold up
                // the deadline. An ordinary call waits after every step anyway.
                .event_interval(1)
                .max_blocking_threads(MAX_LOOKUP_THREADS)
                .build()
                .map_err(|e| e.to_string())?;
            let timer = {
                let _inside = runtime.enter();
                DeadlineTimer(Box::pin(sleep(Duration::MAX)))
            };
            Ok::<_, String>(EventLoop { timer, runtime })
        };
        let event_loop = (driver == Driver::Caller).then(new_loop).transpose()?;
        let http = builder.build().map_err(|e| e.to_string())?;
        Ok(Connection {
            parts: Some((http, event_loop)),
            generation: generation(),
            idle_since: Instant::now(),
            used: false,
            handshaking,
        })
    }

    /// Drives `work` on this thread until the deadline, with a pause every now and then; `None` if
    /// one ended the work.
    pub(crate) fn run<T>(
        &mut self,
        deadline: Instant,
        hook: Option<CallerHook<'_>>,
        work: impl AsyncFnOnce(&reqwest::Client) -> T,
    ) -> Option<Result<T, Elapsed>> {
        let (http, event_loop) = self.parts.as_mut().expect("taken on drop only");
        let EventLoop { timer, runtime } = event_loop.as_mut().expect("its caller drives it");
        let mut work = pin!(async { work(woken(http).await).await });
        loop {
            let next_poll = hook.as_ref().map(|_| Instant::now() + INTERRUPT_POLL_INTERVAL);
            let next_poll = next_poll.filter(|next_poll| *next_poll < deadline);
            let slice = poll_fn(|context| match work.as_mut().poll(context) {
                Poll::Ready(output) => Poll::Ready(Some(Ok(output))),
                Poll::Pending if hook.as_ref().is_some_and(|hook| (hook.is_due)()) => {
                    Poll::Ready(None)
                }
                Poll::Pending => {
                    let late = next_poll.is_none().then_some(Err(Elapsed));
                    timer.poll(context, next_poll.unwrap_or(deadline)).map(|()| late)
                }
            });
            let ended = signals::without_sigpipe(|| runtime.block_on(slice));
            let Some(hook) = hook.as_ref().filter(|_| ended.is_none()) else { return ended };
            // Who pauses may also fork, and the child must leave this connection alone.
            if !(hook.run)() || self.generation != generation() {
                return None;
            }
        }
    }

    /// The client, to be asked for within the event loop that drives it.
    pub(crate) async fn http(&self) -> &reqwest::Client {
        woken(&self.parts.as_ref().expect("taken on drop only").0).await
    }
}

/// The client, after what arrived while it slept, such as the end of a connection, was noticed.
async fn woken(http: &reqwest::Client) -> &reqwest::Client {
    tokio::task::yield_now().await;
    http
}

impl DeadlineTimer {
    /// Ready from `time` on. An earlier time, which another call left, does no harm.
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

/// The idle connections of one process, and what its calls share.
pub(crate) struct ConnectionPool {
    of_callers: IdleConnections,
    of_background_thread: IdleConnections,
    /// Waited for by the calls on the background thread.
    pub(crate) background_calls: Semaphore,
    /// Ends the calls in flight.
    pub(crate) cancel: Arc<Notify>,
    /// TLS sessions to resume.
    pub(crate) sessions: Sessions,
}

impl Default for ConnectionPool {
    fn default() -> Self {
        ConnectionPool {
            of_callers: IdleConnections::default(),
            of_background_thread: IdleConnections::default(),
            background_calls: Semaphore::new(MAX_BACKGROUND_CALLS),
            cancel: Arc::default(),
            sessions: Sessions::new(),
        }
    }
}

impl ConnectionPool {
    pub(crate) fn idle(&self, driver: Driver) -> &IdleConnections {
        match driver {
            Driver::Caller => &self.of_callers,
            Driver::BackgroundThread => &self.of_background_thread,
        }
    }

    pub(crate) fn clear(&self) {
        self.of_callers.clear();
        self.of_background_thread.clear();
    }
}

/// Connections that wait for a call.
#[derive(Default)]
pub(crate) struct IdleConnections(Mutex<VecDeque<Connection>>);

impl IdleConnections {
    /// The connection that was used last: its connection is the likeliest to be alive.
    pub(crate) fn take(&self) -> Option<Connection> {
        self.lock().pop_back()
    }

    pub(crate) fn put(&self, mut connection: Connection) {
        connection.idle_since = Instant::now();
        connection.used = true;
        let mut idle = self.lock();
        idle.push_back(connection);
        let stale =
            idle.front().is_some_and(|connection| connection.idle_since.elapsed() > IDLE_TIMEOUT);
        let stale = if stale { idle.pop_front() } else { None };
        drop(idle);
        drop(stale);
    }

    fn clear(&self) {
        let idle = mem::take(&mut *self.lock());
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        // Nothing that panics runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
