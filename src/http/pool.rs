//! The connections of a client between its calls.

mod idle;
#[cfg(test)]
mod tests;

use std::io;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use once_cell::race::OnceBox;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::background;
use crate::error::Error;
use crate::http::Endpoint;
use crate::http::connection::{Connection, Driver};
use crate::http::lookup::Lookup;
use crate::http::pool::idle::Idle;
use crate::http::tls::Sessions;
use crate::per_process::PerProcess;
use crate::sys::descriptors;

/// A connection that was idle for longer is closed.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The calls of one client that the background thread runs at once. Each has a connection of its
/// own, and so a file descriptor.
pub(crate) const MAX_BACKGROUND_CALLS: usize = 100;
/// The idle connections of calling threads that a client keeps. Each takes four descriptors, so they
/// take at most a quarter of the 1024 that a process usually has.
const MAX_IDLE: usize = 64;

/// The pools of a process, whose idle connections may hold the descriptors that a call needs.
type Pools = Mutex<Vec<Weak<ConnectionPool>>>;
static POOLS: OnceBox<PerProcess<Pools>> = OnceBox::new();

/// The idle connections of a client in one process, and the things that its calls there share.
///
/// Invariants:
/// - A connection is either here or in exactly one call. A call returns it only after a complete
///   response, so no late byte of one response can become part of the next one.
/// - A connection is driven by the same driver for its whole life: the calling threads, each with the
///   connection's own event loop, or the background thread.
/// - The connection that became idle last is taken first, so the oldest are the ones that time out.
/// - Every use of the pool closes the others that have timed out. So does the background thread, which is
///   started for it if two connections or more are idle: then the host itself has several threads.
///   One idle connection alone stays until the next use where that thread does not run.
/// - A forked child has a pool of its own. It never touches this one (see `PerProcess`).
/// - No connection is opened or closed while a lock is held.
pub(crate) struct ConnectionPool {
    idle: Mutex<Idle>,
    idle_timeout: Duration,
    /// The permits of the calls on the background thread.
    pub(crate) background_calls: Semaphore,
    /// The name look-ups of the connections of the background thread.
    background_lookup: Lookup,
    /// Ends the calls in flight.
    pub(crate) cancel: Arc<Notify>,
    /// The TLS sessions that a new connection may resume.
    pub(crate) sessions: Sessions,
}

impl Default for ConnectionPool {
    fn default() -> Self {
        ConnectionPool {
            idle: Mutex::default(),
            idle_timeout: IDLE_TIMEOUT,
            background_calls: Semaphore::new(MAX_BACKGROUND_CALLS),
            background_lookup: Lookup::default(),
            cancel: Arc::default(),
            sessions: Sessions::new(),
        }
    }
}

impl ConnectionPool {
    /// Returns the idle connection that was used last, which is the likeliest to be still open, or a
    /// new one.
    pub(crate) fn connection(
        &self,
        endpoint: &Endpoint,
        driver: Driver,
    ) -> Result<Connection, Error> {
        if let Some(connection) = self.take(driver) {
            return Ok(connection);
        }
        Connection::new(endpoint, self, driver)
    }

    fn take(&self, driver: Driver) -> Option<Connection> {
        let (taken, stale) = {
            let mut idle = self.lock();
            (idle.of(driver).pop_back(), idle.take_stale(self.idle_timeout))
        };
        drop(stale);
        taken
    }

    /// Returns a connection after a complete response.
    pub(crate) fn put_back(self: &Arc<Self>, mut connection: Connection) {
        connection.set_idle();
        let (surplus, stale, is_new, watch) = {
            let mut idle = self.lock();
            idle.of(connection.driver()).push_back(connection);
            let surplus = idle.take_surplus(MAX_IDLE);
            let stale = idle.take_stale(self.idle_timeout);
            let is_new = !mem::replace(&mut idle.is_known, true);
            let watch = !idle.is_watched && (idle.len() > 1 || background::is_running());
            idle.is_watched |= watch;
            (surplus, stale, is_new, watch)
        };
        drop((surplus, stale));
        if is_new {
            let mut pools = lock(POOLS.get_or_init(Box::default).get());
            pools.retain(|pool| pool.strong_count() > 0);
            pools.push(Arc::downgrade(self));
        }
        // Without a thread for it, a later use closes them.
        if watch && background::spawn(close_when_stale(Arc::downgrade(self))).is_err() {
            self.lock().is_watched = false;
        }
    }

    /// Closes all idle connections. Returns whether there was one.
    pub(crate) fn clear(&self) -> bool {
        let connections = self.lock().take_all();
        !connections.is_empty()
    }

    /// Returns the name look-up of a new connection.
    pub(super) fn lookup(&self, driver: Driver) -> Lookup {
        match driver {
            Driver::Caller => Lookup::default(),
            Driver::BackgroundThread => self.background_lookup.clone(),
        }
    }

    /// Closes the connections that have timed out. Returns the time at which the next one does.
    fn close_stale(&self) -> Option<Instant> {
        let (stale, next) = {
            let mut idle = self.lock();
            let stale = idle.take_stale(self.idle_timeout);
            let oldest = idle.oldest();
            idle.is_watched = oldest.is_some();
            (stale, oldest.map(|oldest| oldest + self.idle_timeout))
        };
        drop(stale);
        next
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        lock(&self.idle)
    }
}

/// Closes the idle connections of a pool as each one times out, until none is left.
async fn close_when_stale(pool: Weak<ConnectionPool>) {
    while let Some(next) = pool.upgrade().and_then(|pool| pool.close_stale()) {
        sleep_until(next).await;
    }
}

/// Opens something. Where no descriptor is left, closes idle connections and tries again.
pub(crate) fn with_descriptors<T>(open: impl Fn() -> io::Result<T>) -> io::Result<T> {
    match open() {
        Err(problem) if descriptors::is_lack(&problem) && close_all_idle() => open(),
        outcome => outcome,
    }
}

/// Closes the idle connections of all clients of this process. Returns whether there was one.
pub(crate) fn close_all_idle() -> bool {
    let pools: Vec<_> = match POOLS.get() {
        Some(pools) => lock(pools.get()).iter().filter_map(Weak::upgrade).collect(),
        None => Vec::new(),
    };
    pools.iter().filter(|pool| pool.clear()).count() > 0
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics runs under the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
