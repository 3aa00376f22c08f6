//! From the background thread to the event loop of a program.
//!
//! No line of Python runs on that thread, and it never has the GIL. Else the garbage collector could
//! run a finalizer there, and a call that it makes would wait for the thread that it is on.

use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use super::observer::Observer;
use super::{PersonalInfo, call_python, exception, set_delivery};
use crate::http::transport_error::could_not_prepare;
use crate::per_process::OfProcess;
use crate::{Delivery, Error};

/// What happened, for one event loop to hear.
pub(super) enum QueuedEvent {
    Attempt(Arc<Observer>, crate::Attempt),
    /// To be called.
    Wake(Arc<Py<PyAny>>),
    /// To be given to this callable.
    Outcome(Py<PyAny>, Result<crate::PersonalInfo, Error>),
}

/// What the calls of one event loop have to tell it. However many end at once, it is woken once.
#[pyclass(frozen, weakref, module = "skypostal._native", name = "_EventQueue")]
pub(super) struct EventQueue(OfProcess<Arc<Inbox>>);

/// The part of an event queue that the background thread knows. It lives until the last call has ended,
/// though its event loop may be closed before.
pub(super) struct Inbox {
    events: Mutex<Vec<QueuedEvent>>,
    /// Has a byte to read when there are events, for which the event loop waits.
    arrived: UnixStream,
    announce: UnixStream,
}

#[pymethods]
impl EventQueue {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let inbox = Inbox::new().map_err(|problem| exception(py, &could_not_prepare(problem)))?;
        Ok(EventQueue(OfProcess::new(Arc::new(inbox))))
    }

    /// Whether it is this process's, and not the parent's.
    fn is_here(&self) -> bool {
        self.0.get().is_some()
    }

    /// Can be read when `drain` has something to tell.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        self.inbox(py).map(|inbox| inbox.arrived.as_raw_fd())
    }

    /// Tells all that has come. One event's exception does not keep the next from being read.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        let events = self.0.get().map(|inbox| inbox.take()).unwrap_or_default();
        let mut outcome = Ok(());
        for event in events {
            let told = match event {
                QueuedEvent::Attempt(observer, attempt) => observer
                    .tell(py, &attempt)
                    .map_err(|raised| set_delivery(py, raised, Delivery::Unknown, attempt.number)),
                QueuedEvent::Wake(wake) => call_python(wake.bind(py), (), None).map(drop),
                QueuedEvent::Outcome(settle, result) => {
                    let info = result.map_err(|error| exception(py, &error));
                    let (info, error) = match info.and_then(|it| Py::new(py, PersonalInfo(it))) {
                        Ok(info) => (Some(info), None),
                        Err(error) => (None, Some(error)),
                    };
                    call_python(settle.bind(py), (info, error), None).map(drop)
                }
            };
            outcome = outcome.and(told);
        }
        outcome
    }
}

impl EventQueue {
    /// Where the background thread leaves events.
    pub(super) fn inbox(&self, py: Python<'_>) -> PyResult<Arc<Inbox>> {
        let problem = || Error::configuration("queue", "belongs to the parent process");
        self.0.get().cloned().ok_or_else(|| exception(py, &problem()))
    }
}

impl Inbox {
    fn new() -> io::Result<Self> {
        let (arrived, announce) = UnixStream::pair()?;
        arrived.set_nonblocking(true)?;
        announce.set_nonblocking(true)?;
        Ok(Inbox { events: Mutex::default(), arrived, announce })
    }

    /// Leaves an event, from the background thread.
    pub(super) fn push(&self, event: QueuedEvent) {
        let first = {
            let mut events = self.lock();
            events.push(event);
            events.len() == 1
        };
        if first {
            // It fails if there is no room, when there are bytes enough to read.
            let _ = (&self.announce).write(&[1]);
        }
    }

    fn take(&self) -> Vec<QueuedEvent> {
        // Before the events: whichever comes later is announced anew.
        let _ = (&self.arrived).read(&mut [0; 64]);
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<QueuedEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
