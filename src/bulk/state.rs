//! The rows of a bulk, from their submission to their outcomes.

use std::collections::VecDeque;
use std::mem;

use super::{BulkEvent, Outcome, cancelled};
use crate::error::{Delivery, Error, Kind};
use crate::personal_info::PersonalInfo;
use crate::update::Request;

#[derive(Default)]
pub(super) struct State {
    /// Rows that were submitted so far; the index of the next one.
    pub(super) submitted: u64,
    /// Rows that no worker has taken.
    pub(super) waiting: VecDeque<(u64, Request)>,
    /// Tasks on the background thread, each with a row in flight.
    pub(super) workers: usize,
    pub(super) events: VecDeque<BulkEvent>,
    /// Rows whose outcome the caller has not taken.
    pub(super) undelivered: usize,
    /// Rows that have no outcome yet.
    pub(super) unfinished: usize,
    /// Consecutive rows that found no connection.
    connect_failures: u32,
    /// True if a thread waits for an event.
    pub(super) has_waiter: bool,
    /// True if that thread is notified once the tasks that are ready have run.
    pub(super) notify_scheduled: bool,
    /// The reason why no more rows are started.
    pub(super) stop_reason: Option<Error>,
}

impl State {
    /// Counts a new row and returns its index.
    pub(super) fn add_row(&mut self) -> u64 {
        self.submitted += 1;
        self.undelivered += 1;
        self.unfinished += 1;
        self.submitted - 1
    }

    pub(super) fn end_row(
        &mut self,
        index: u64,
        result: Result<PersonalInfo, Error>,
        attempts: u32,
    ) {
        self.unfinished -= 1;
        self.events.push_back(BulkEvent::Outcome(Outcome { index, result, attempts }));
    }

    /// Takes the next event.
    pub(super) fn pop_event(&mut self) -> Option<BulkEvent> {
        let event = self.events.pop_front()?;
        self.undelivered -= usize::from(matches!(event, BulkEvent::Outcome(_)));
        Some(event)
    }

    /// Returns the reason to start no more rows after one with this outcome, if it is one.
    pub(super) fn stop_reason_after(
        &mut self,
        outcome: &Result<PersonalInfo, Error>,
        max_connect_failures: u32,
    ) -> Option<Error> {
        let unconnected = match outcome {
            // `Client::cancel` ends each row in flight with this kind.
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
        let is_last = rows >= max_connect_failures || unconnected.is_about_login();
        is_last.then(|| unconnected.stopping_bulk(rows))
    }

    /// Starts no more rows. Those that wait end without an attempt.
    pub(super) fn stop(&mut self, reason: Error) {
        if self.stop_reason.is_none() {
            for (index, _) in mem::take(&mut self.waiting) {
                self.end_row(index, Err(reason.clone()), 0);
            }
            self.stop_reason = Some(reason);
        }
    }
}
