//! Events, from the background thread to an event loop of Python.
//!
//! The background thread runs no Python and never has the GIL. Otherwise the garbage collector could
//! run a finalizer there, and a call of that finalizer would wait for the thread that it is on.

use std::io::{self, Read, Write};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;

use super::errors::exception;
use super::interpreter::{call_python, may_run_python};
use super::observer::Observer;
use super::personal_info::PersonalInfo;
use super::socket_pair::{self, Socket};
use crate::Error;
use crate::http::pool::with_descriptors;
use crate::http::transport_error::could_not_prepare;
use crate::per_process::OfProcess;
use crate::sys::descriptors;

/// An event for one event loop.
pub(super) enum QueuedEvent {
    /// An attempt has ended.
    Attempt(Arc<Observer>, crate::Attempt),
    /// A callable to call.
    Wake(Arc<Py<PyAny>>),
    /// A future, and the outcome that becomes its result.
    Outcome(Py<PyAny>, Result<crate::PersonalInfo, Error>),
}

/// The events of one event loop. However many calls end at once, the event loop is woken once.
#[pyclass(frozen, weakref, module = "skypostal._native", name = "_EventQueue")]
pub(super) struct EventQueue(OfProcess<Arc<SharedQueue>>);

/// The part of an event queue that the background thread uses. It lives until the last call has
/// ended, because the event loop may be closed before.
pub(super) struct SharedQueue {
    events: Mutex<Vec<QueuedEvent>>,
    /// The event loop waits until this has a byte to read.
    readable: Socket,
    writable: Socket,
}

#[pymethods]
impl EventQueue {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let queue =
            SharedQueue::new().map_err(|problem| exception(py, &could_not_prepare(problem)))?;
        Ok(EventQueue(OfProcess::new(Arc::new(queue))))
    }

    /// Returns whether this process made the queue, and not its parent.
    fn is_of_this_process(&self) -> bool {
        self.0.get().is_some()
    }

    /// Returns the descriptor of a socket that can be read when there are events.
    fn fileno(&self, py: Python<'_>) -> PyResult<socket_pair::Descriptor> {
        self.shared(py).map(|queue| socket_pair::descriptor(&queue.readable))
    }

    /// Delivers every event. An exception of one does not keep the next one from being delivered.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        may_run_python(|| self.deliver(py))
    }
}

impl EventQueue {
    fn deliver(&self, py: Python<'_>) -> PyResult<()> {
        let events = self.0.get().map(|queue| queue.take()).unwrap_or_default();
        let mut outcome = Ok(());
        for event in events {
            let delivered = match event {
                QueuedEvent::Attempt(observer, attempt) => match observer.notify(py, &attempt) {
                    Ok(()) => Ok(()),
                    // The task that awaits the call raises it, unless the task has ended.
                    Err(raised) => {
                        let error = (py.None(), raised.clone_ref(py));
                        set_result(observer.future(py), error)
                            .and_then(|is_set| if is_set { Ok(()) } else { Err(raised) })
                    }
                },
                QueuedEvent::Wake(wake) => call_python(wake.bind(py), (), None).map(drop),
                QueuedEvent::Outcome(future, result) => {
                    let info = result.map_err(|error| exception(py, &error));
                    let (info, error) = match info.and_then(|it| Py::new(py, PersonalInfo(it))) {
                        Ok(info) => (Some(info), None),
                        Err(error) => (None, Some(error)),
                    };
                    set_result(future.bind(py), (info, error)).map(drop)
                }
            };
            outcome = outcome.and(delivered);
        }
        outcome
    }

    /// Returns the part for the background thread.
    pub(super) fn shared(&self, py: Python<'_>) -> PyResult<Arc<SharedQueue>> {
        let problem = || Error::configuration("queue", "belongs to the parent process");
        self.0.get().cloned().ok_or_else(|| exception(py, &problem()))
    }
}

/// Sets the result of a future. Returns false if it has one, or its task was cancelled.
fn set_result<'py>(future: &Bound<'py, PyAny>, result: impl IntoPyObject<'py>) -> PyResult<bool> {
    let py = future.py();
    may_run_python(|| {
        let is_done = future.call_method0(intern!(py, "done"))?.is_truthy()?;
        if !is_done {
            future.call_method1(intern!(py, "set_result"), (result,))?;
        }
        Ok(!is_done)
    })
}

impl SharedQueue {
    fn new() -> io::Result<Self> {
        descriptors::hold_standard_streams();
        let (readable, writable) = with_descriptors(socket_pair::pair)?;
        Ok(SharedQueue { events: Mutex::default(), readable, writable })
    }

    /// Adds an event, and wakes the event loop if it is the first one.
    pub(super) fn push(&self, event: QueuedEvent) {
        let first = {
            let mut events = self.lock();
            events.push(event);
            events.len() == 1
        };
        if first {
            // This fails only if the socket is full, and then there are bytes to read.
            let _ = (&self.writable).write(&[1]);
        }
    }

    fn take(&self) -> Vec<QueuedEvent> {
        // Before the events are taken: a later event then writes a byte again.
        let _ = (&self.readable).read(&mut [0; 64]);
        mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<QueuedEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
