//! Idle connections, in the order in which they became idle.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::connection::{Connection, Driver};

/// The idle connections of a client, those that became idle last at the back.
#[derive(Default)]
pub(super) struct Idle {
    of_callers: VecDeque<Connection>,
    of_background_thread: VecDeque<Connection>,
    /// True if the background thread closes those that time out.
    pub(super) is_watched: bool,
    /// True once the pool is among the pools of its process.
    pub(super) is_known: bool,
}

impl Idle {
    pub(super) fn of(&mut self, driver: Driver) -> &mut VecDeque<Connection> {
        match driver {
            Driver::Caller => &mut self.of_callers,
            Driver::BackgroundThread => &mut self.of_background_thread,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.of_callers.len() + self.of_background_thread.len()
    }

    /// Takes out the connections that are idle for longer than `timeout`.
    pub(super) fn take_stale(&mut self, timeout: Duration) -> Vec<Connection> {
        let mut stale = Vec::new();
        if self.len() == 0 {
            return stale; // Most often there was one, and a call has it: no clock is read.
        }
        let now = Instant::now();
        for idle in [&mut self.of_callers, &mut self.of_background_thread] {
            while idle.front().is_some_and(|oldest| now - oldest.idle_since() > timeout) {
                stale.extend(idle.pop_front());
            }
        }
        stale
    }

    /// Takes out the oldest connection of the calling threads, if there are more than `limit`.
    pub(super) fn take_surplus(&mut self, limit: usize) -> Option<Connection> {
        if self.of_callers.len() > limit { self.of_callers.pop_front() } else { None }
    }

    pub(super) fn take_all(&mut self) -> Vec<Connection> {
        let callers = mem::take(&mut self.of_callers);
        callers.into_iter().chain(mem::take(&mut self.of_background_thread)).collect()
    }

    /// Returns the time since which the oldest connection is idle.
    pub(super) fn oldest(&self) -> Option<Instant> {
        let oldest = [&self.of_callers, &self.of_background_thread].map(VecDeque::front);
        oldest.into_iter().flatten().map(Connection::idle_since).min()
    }
}
