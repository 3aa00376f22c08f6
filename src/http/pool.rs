//! The connections of a client between its calls.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use crate::http::connection::{Connection, Driver};
use crate::http::tls::Sessions;

/// A connection that was idle for longer is closed when another one becomes idle.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The calls of one client that the background thread runs at once. Each has a connection of its
/// own, and so a file descriptor.
pub(crate) const MAX_BACKGROUND_CALLS: usize = 100;

/// The idle connections of a client in one process, and the things that its calls there share.
///
/// Invariants:
/// - A connection is either here or in exactly one call. A call returns it only after a complete
///   response, so no late byte of one response can become part of the next one.
/// - A connection is used by the same driver for its whole life: the calling threads, each with the
///   connection's own event loop, or the background thread.
/// - The connection that became idle last is taken first, so the oldest are the ones that time out.
/// - A forked child has a pool of its own. It never touches this one (see `PerProcess`).
/// - No connection is opened or closed while a lock is held.
pub(crate) struct ConnectionPool {
    caller_connections: IdleConnections,
    background_connections: IdleConnections,
    /// The permits of the calls on the background thread.
    pub(crate) background_calls: Semaphore,
    /// Ends the calls in flight.
    pub(crate) cancel: Arc<Notify>,
    /// The TLS sessions that a new connection may resume.
    pub(crate) sessions: Sessions,
}

impl Default for ConnectionPool {
    fn default() -> Self {
        ConnectionPool {
            caller_connections: IdleConnections::default(),
            background_connections: IdleConnections::default(),
            background_calls: Semaphore::new(MAX_BACKGROUND_CALLS),
            cancel: Arc::default(),
            sessions: Sessions::new(),
        }
    }
}

impl ConnectionPool {
    /// Takes the idle connection that was used last: it is the likeliest to be still open.
    pub(crate) fn take(&self, driver: Driver) -> Option<Connection> {
        self.idle(driver).lock().pop_back()
    }

    /// Returns a connection after a complete response.
    pub(crate) fn put(&self, mut connection: Connection) {
        let now = connection.set_idle();
        let mut idle = self.idle(connection.driver()).lock();
        idle.push_back(connection);
        let stale = idle.front().is_some_and(|oldest| now - oldest.idle_since() > IDLE_TIMEOUT);
        let stale = if stale { idle.pop_front() } else { None };
        drop(idle);
        drop(stale);
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        for idle in [&self.caller_connections, &self.background_connections] {
            let connections = mem::take(&mut *idle.lock());
            drop(connections);
        }
    }

    fn idle(&self, driver: Driver) -> &IdleConnections {
        match driver {
            Driver::Caller => &self.caller_connections,
            Driver::BackgroundThread => &self.background_connections,
        }
    }
}

/// Idle connections, the one that became idle last at the back.
#[derive(Default)]
struct IdleConnections(Mutex<VecDeque<Connection>>);

impl IdleConnections {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        // Nothing that panics runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
