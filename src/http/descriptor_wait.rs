//! Calls that find no free descriptor: they close idle connections, and wait for other calls to end.
//!
//! The wait is a part of the time that a connection may take. A call makes an event loop only if a
//! descriptor is left for its socket. So of many calls that wait, at least one can always go on.

use std::thread;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::call::{CallState, INTERRUPT_POLL_INTERVAL};
use crate::error::Error;
use crate::http::connection::{Connection, Driver};
use crate::http::pool::{ConnectionPool, close_all_idle};
use crate::http::{Endpoint, HttpClient};
use crate::personal_info::PersonalInfo;
use crate::update::Request;

impl ConnectionPool {
    /// Returns a connection for the calling thread, waiting if need be; `None` if the call is cancelled
    /// meanwhile.
    pub(crate) fn wait_for_connection(
        &self,
        endpoint: &Endpoint,
        deadline: Instant,
        mut is_cancelled: impl FnMut() -> bool,
    ) -> Option<Result<Connection, Error>> {
        let mut wait = Wait::of(endpoint);
        loop {
            match self.connection(endpoint, Driver::Caller) {
                Err(error)
                    if error.lacks_descriptor() && wait.goes_on() && Instant::now() < deadline =>
                {
                    thread::sleep(INTERRUPT_POLL_INTERVAL);
                    if is_cancelled() {
                        return None;
                    }
                }
                outcome => return Some(outcome),
            }
        }
    }
}

impl Endpoint {
    /// Sends an update and reads the response. Waits for a descriptor if need be.
    pub(crate) async fn send_update_when_possible(
        &self,
        http: &HttpClient,
        request: &Request,
        state: &mut CallState<'_>,
    ) -> Result<PersonalInfo, Error> {
        let mut wait = Wait::of(self);
        loop {
            let outcome = self.send_update(http, request, state).await;
            let lacks_descriptor = outcome.as_ref().is_err_and(Error::lacks_descriptor);
            if !lacks_descriptor || !wait.goes_on() {
                return outcome;
            }
            if !close_all_idle() {
                sleep(INTERRUPT_POLL_INTERVAL).await;
            }
        }
    }
}

/// A wait for a descriptor, which begins when none is found.
struct Wait {
    length: Duration,
    end: Option<Instant>,
}

impl Wait {
    fn of(endpoint: &Endpoint) -> Self {
        let length = endpoint.connect_timeout.saturating_sub(INTERRUPT_POLL_INTERVAL);
        Wait { length, end: None }
    }

    /// Returns whether to try once more.
    fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        now < *self.end.get_or_insert(now + self.length)
    }
}
