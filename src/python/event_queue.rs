//! From the background thread to the event loop of a program.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use once_cell::race::OnceBox;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::observer::Observer;
use super::{PersonalInfo, call_python, exception, set_delivery};
use crate::per_process::PerProcess;
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
#[pyclass(frozen, module = "skypostal._native", name = "_EventQueue")]
pub(super) struct EventQueue {
    /// Has a function called on the event loop's thread, from any thread.
    call_soon: Py<PyAny>,
    events: Mutex<Vec<QueuedEvent>>,
}

#[pymethods]
impl EventQueue {
    #[new]
    fn new(call_soon: Py<PyAny>) -> Self {
        EventQueue { call_soon, events: Mutex::default() }
    }

    /// Tells all that has come. One letter's exception does not keep the next from being read.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        let events = mem::take(&mut *self.lock());
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
    /// Leaves a letter, from the background thread.
    pub(super) fn push(this: &Py<Self>, event: QueuedEvent) {
        let queue = this.get();
        let first = {
            let mut events = queue.lock();
            events.push(event);
            events.len() == 1
        };
        if first {
            enter_python(|py| {
                let wake = || queue.call_soon.call1(py, (this.getattr(py, "drain")?,));
                if wake().is_err() {
                    // The event loop is closed, and with it all that waited for these.
                    let unread = mem::take(&mut *queue.lock());
                    drop(unread);
                }
            });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<QueuedEvent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the interpreter is about to end. Locked while the background thread is in Python.
static ENDING: OnceBox<PerProcess<Mutex<bool>>> = OnceBox::new();

fn ending() -> &'static Mutex<bool> {
    ENDING.get_or_init(Box::default).get()
}

/// Sees or sets whether the interpreter is about to end. The GIL is let go only where the background thread's
/// thread may need it: in an interpreter that ends already it would not be given back.
fn with_ending<T: Send>(py: Python<'_>, look: impl FnOnce(&mut bool) -> T + Send) -> T {
    match ending().try_lock() {
        Ok(mut ending) => look(&mut ending),
        Err(_) => py.detach(|| look(&mut ending().lock().unwrap_or_else(PoisonError::into_inner))),
    }
}

/// Before it ends, CPython ends each thread of another language that is in it, or blocks it, which
/// such a thread need not survive. So this waits for the background thread's to be out, and keeps it out.
pub(super) fn end_with_the_interpreter(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let end = wrap_pyfunction!(_at_exit, py)?;
    py.import("atexit")?.call_method1("register", (end,)).map(drop)
}

#[pyfunction]
fn _at_exit(py: Python<'_>) {
    with_ending(py, |ending| *ending = true);
}

/// Refuses to begin a call when it is too late.
pub(super) fn check_not_ending(py: Python<'_>) -> PyResult<()> {
    if with_ending(py, |ending| *ending) {
        let problem = "a call cannot be begun while the interpreter shuts down";
        return Err(PyRuntimeError::new_err(problem));
    }
    Ok(())
}

fn enter_python(work: impl FnOnce(Python<'_>)) {
    let ending = ending().lock().unwrap_or_else(PoisonError::into_inner);
    if !*ending {
        Python::try_attach(work);
    }
}
