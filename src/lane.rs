//! reqwest on the thread that calls.
//!
//! A lane is one event loop with one HTTP client and its connections. A call checks one out, drives
//! it itself until the answer is there, and hands it back: no helper thread, nothing to pass
//! between threads, and a wait that can be ended at any moment.

use std::collections::VecDeque;
use std::mem;
use std::pin::pin;
use std::process;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::tls::Sessions;

/// A lane idle for longer is closed when another one is handed back.
pub(crate) const LONGEST_IDLE: Duration = Duration::from_secs(60);
/// How often a caller is asked whether its call shall end.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(50);
/// Threads of one lane that may hang in a name look-up.
const LOOKUP_THREADS: usize = 4;

/// One event loop, one HTTP client, its connections.
pub(crate) struct Lane {
    /// Taken on drop only.
    parts: Option<(reqwest::Client, Runtime)>,
    process: u32,
    idle_since: Instant,
    /// Whether it served a call before, so that its connection may be an old one.
    pub(crate) used: bool,
    /// Set when a TLS handshake begins.
    pub(crate) handshaking: Arc<AtomicBool>,
}

impl Lane {
    pub(crate) fn new(
        builder: reqwest::ClientBuilder,
        handshaking: Arc<AtomicBool>,
    ) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // Timers are looked at after every step, so that a flood of bytes cannot hold up the
            // deadline. An ordinary call waits after every step anyway.
            .event_interval(1)
            .max_blocking_threads(LOOKUP_THREADS)
            .build()
            .map_err(|e| e.to_string())?;
        let http = builder.build().map_err(|e| e.to_string())?;
        Ok(Lane {
            parts: Some((http, runtime)),
            process: process::id(),
            idle_since: Instant::now(),
            used: false,
            handshaking,
        })
    }

    /// Drives `work` on this thread. Every now and then `interrupted` is asked, outside of the
    /// event loop, so that it may even make a call of its own; `None` if it ended the work.
    pub(crate) fn run<T>(
        &self,
        interrupted: Option<&dyn Fn() -> bool>,
        work: impl AsyncFnOnce(&reqwest::Client) -> T,
    ) -> Option<T> {
        let (http, runtime) = self.parts.as_ref().expect("taken on drop only");
        let mut work = pin!(async {
            // What arrived while the lane slept, such as the end of a connection, is noticed before
            // anything is sent.
            tokio::task::yield_now().await;
            work(http).await
        });
        let Some(interrupted) = interrupted else { return Some(runtime.block_on(work)) };
        loop {
            let slice = async { timeout(BETWEEN_QUESTIONS, work.as_mut()).await };
            match runtime.block_on(slice) {
                Ok(output) => return Some(output),
                // Who asks may also fork, and the child must leave this lane alone.
                Err(_) if interrupted() || self.process != process::id() => return None,
                Err(_) => {}
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let Some((http, runtime)) = self.parts.take() else { return };
        if self.process == process::id() {
            drop(http);
            // A name look-up that hangs must not be waited for.
            runtime.shutdown_background();
        } else {
            // After a fork the sockets and the event queue are the parent's too: leave them alone.
            mem::forget((http, runtime));
        }
    }
}

/// The idle lanes of one process, and what its calls share.
///
/// A forked child gets a pool of its own behind the parent's, because a lock of the parent's may be
/// held by a thread that the child does not have.
pub(crate) struct Pool {
    process: u32,
    idle: Mutex<VecDeque<Lane>>,
    /// Ends the calls in flight.
    pub(crate) cancel: Notify,
    /// TLS sessions to resume.
    pub(crate) sessions: Sessions,
    of_child: OnceLock<Box<Pool>>,
}

impl Pool {
    pub(crate) fn new() -> Self {
        Pool {
            process: process::id(),
            idle: Mutex::default(),
            cancel: Notify::new(),
            sessions: Sessions::new(),
            of_child: OnceLock::new(),
        }
    }

    /// The pool of the process that asks.
    pub(crate) fn here(&self) -> &Pool {
        let process = process::id();
        let mut pool = self;
        while pool.process != process {
            pool = pool.of_child.get_or_init(|| Box::new(Pool::new()));
        }
        pool
    }

    /// The lane that was used last: its connection is the likeliest to be alive.
    pub(crate) fn take(&self) -> Option<Lane> {
        self.lock().pop_back()
    }

    pub(crate) fn put(&self, mut lane: Lane) {
        lane.idle_since = Instant::now();
        lane.used = true;
        let mut idle = self.lock();
        idle.push_back(lane);
        let stale = idle.front().is_some_and(|lane| lane.idle_since.elapsed() > LONGEST_IDLE);
        let stale = if stale { idle.pop_front() } else { None };
        drop(idle);
        drop(stale);
    }

    pub(crate) fn clear(&self) {
        let idle = mem::take(&mut *self.lock());
        drop(idle);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Lane>> {
        // Nothing that panics runs under the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
