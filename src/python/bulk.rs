//! Bulk updates: an iterator of outcomes, and the same for an event loop.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::Poll;

use pyo3::exceptions::{PyException, PyStopIteration, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyTuple};

use super::errors::{exception, set_delivery};
use super::event_queue::{QueuedEvent, SharedQueue};
use super::fields::read_row;
use super::interpreter::may_run_python;
use super::observer::Observer;
use super::observer::repr_of;
use super::personal_info::PersonalInfo;
use crate::call::INTERRUPT_POLL_INTERVAL;
use crate::{Attempt, Bulk, BulkEvent, BulkOptions, Client, Delivery, Error, Kind};

/// The outcome of one row of a bulk.
#[pyclass(frozen, get_all, module = "skypostal")]
pub(super) struct Outcome {
    /// The row's position in rows, from 0.
    index: u64,
    /// The customer's record after the update, or None.
    result: Option<Py<PersonalInfo>>,
    /// The error, or None.
    error: Option<Py<PyAny>>,
    /// The number of attempts that were started.
    attempts: u32,
    /// The delivery of the error; None if the update was accepted.
    delivery: Option<&'static str>,
}

impl Outcome {
    fn new(py: Python<'_>, outcome: crate::Outcome) -> Self {
        let mut delivery = outcome.result.as_ref().err().map(|error| error.delivery().as_str());
        let (result, error) = match outcome.result.map(|info| Py::new(py, PersonalInfo(info))) {
            Ok(Ok(info)) => (Some(info), None),
            // A MemoryError, for example: the row was accepted, but there is no record of it.
            Ok(Err(raised)) => {
                delivery = Some(Delivery::Unknown.as_str());
                let raised = set_delivery(py, raised, Delivery::Unknown, outcome.attempts);
                let raised = raised.into_value(py).into_any();
                let _ = raised.setattr(py, "kind", Kind::Internal.as_str());
                (None, Some(raised))
            }
            Err(error) => (None, Some(exception(py, &error).into_value(py).into_any())),
        };
        Outcome { index: outcome.index, result, error, attempts: outcome.attempts, delivery }
    }
}

#[pymethods]
impl Outcome {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["index", "result", "error", "attempts"])
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<String> {
        repr_of(this, "Outcome", &["index", "result", "error", "attempts"])
    }
}

/// The outcomes of a bulk, each as its row ends.
#[pyclass(frozen, module = "skypostal")]
pub(super) struct BulkUpdate {
    bulk: Bulk,
    observer: Option<Observer>,
    /// True while the event loop waits for `wake`.
    is_waiting: Arc<AtomicBool>,
    /// Locked by the thread that iterates.
    rows: Mutex<Rows>,
    /// True if an empty value is left out.
    skip_empty: bool,
}

/// The caller's rows.
enum Rows {
    /// There may be more rows.
    Source(Py<PyIterator>),
    /// There are no more. An error is raised after the outcomes of the rows that came.
    Ended(Option<PyErr>),
    /// The iteration ends without an error.
    Closed,
}

impl BulkUpdate {
    /// Starts a bulk. Its rows come from an iterator; without one, an event loop submits them and is
    /// woken through `waker`.
    pub(super) fn new(
        py: Python<'_>,
        client: &Arc<Client>,
        observer: Option<Observer>,
        options: &BulkOptions,
        skip_empty: bool,
        rows: Option<&Bound<'_, PyAny>>,
        waker: Option<(Arc<SharedQueue>, Py<PyAny>)>,
    ) -> PyResult<Self> {
        let rows = match rows {
            Some(rows) => Rows::Source(may_run_python(|| rows.try_iter())?.unbind()),
            None => Rows::Closed,
        };
        let is_waiting = Arc::new(AtomicBool::new(false));
        let wake = waker.map(|(queue, wake)| {
            let (is_waiting, wake) = (is_waiting.clone(), Arc::new(wake));
            Box::new(move || {
                if is_waiting.swap(false, Ordering::AcqRel) {
                    queue.push(QueuedEvent::Wake(wake.clone()));
                }
            }) as _
        });
        let reported = observer.as_ref().map(Observer::reported_attempts);
        let start = || client.start_bulk(options, reported, wake);
        let bulk = Error::catch_panic(start).map_err(|error| exception(py, &error))?;
        Ok(BulkUpdate { bulk, observer, is_waiting, rows: Mutex::new(rows), skip_empty })
    }

    /// Submits rows while there is capacity. An exception that is no `Exception`, such as a Ctrl-C
    /// while the next row is made, is returned at once.
    fn fill(&self, py: Python<'_>, rows: &mut Rows) -> PyResult<()> {
        while self.bulk.capacity() > 0 {
            let Rows::Source(source) = rows else { break };
            let mut source = source.bind(py).clone();
            let end = match source.next() {
                Some(row) => match row.and_then(|row| self.submit(&row)) {
                    Ok(()) => continue,
                    Err(error) if error.is_instance_of::<PyException>(py) => Some(error),
                    Err(error) => return Err(error),
                },
                None => None,
            };
            *rows = Rows::Ended(end);
        }
        Ok(())
    }

    fn notify(&self, py: Python<'_>, attempt: &Attempt) -> PyResult<()> {
        self.observer.iter().try_for_each(|observer| observer.notify(py, attempt))
    }

    /// Returns the exception that ends the iteration.
    fn end(&self, py: Python<'_>, rows: &mut Rows) -> PyErr {
        let raised = match mem::replace(rows, Rows::Closed) {
            Rows::Closed => None,
            Rows::Ended(Some(raised)) => Some(raised),
            Rows::Source(_) | Rows::Ended(None) => self.stop_reason(py),
        };
        raised.unwrap_or_else(|| PyStopIteration::new_err(()))
    }

    /// Returns the error that stopped the bulk, unless its caller cancelled it.
    fn stop_reason(&self, py: Python<'_>) -> Option<PyErr> {
        let stopped = self.bulk.stop_reason().filter(|error| error.kind() != Kind::Cancelled);
        stopped.map(|error| exception(py, &error))
    }

    /// Cancels the bulk because of an exception, which gets the outcomes that were not taken yet.
    fn interrupt(&self, py: Python<'_>, rows: &mut Rows, raised: PyErr) -> PyErr {
        *rows = Rows::Closed;
        let outcomes = self.cancel(py);
        let value = raised.value(py);
        // Its class may have no room for the attribute.
        let _ = outcomes.and_then(|outcomes| value.setattr("outcomes", outcomes));
        raised
    }

    /// Cancels the rows in flight. Returns the outcomes that were not taken yet.
    fn cancel<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        py.detach(|| {
            self.bulk.cancel();
            while !self.bulk.wait_for_all(INTERRUPT_POLL_INTERVAL) {}
        });
        let outcomes = PyList::empty(py);
        while let Some(event) = self.bulk.next_event() {
            if let BulkEvent::Outcome(outcome) = event {
                outcomes.append(Outcome::new(py, outcome))?;
            }
        }
        Ok(outcomes)
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, Rows>> {
        match self.rows.try_lock() {
            Ok(rows) => Ok(rows),
            Err(TryLockError::Poisoned(rows)) => Ok(rows.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(PyValueError::new_err("update_many is already executing"))
            }
        }
    }
}

impl Drop for BulkUpdate {
    fn drop(&mut self) {
        // The end of a generator runs its own code.
        let rows = self.rows.get_mut().unwrap_or_else(PoisonError::into_inner);
        may_run_python(|| *rows = Rows::Closed);
    }
}

#[pymethods]
impl BulkUpdate {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Outcome> {
        let mut rows = self.lock()?;
        may_run_python(|| {
            let outcome = self.bulk.next_outcome(
                || self.fill(py, &mut rows),
                |_, attempt| self.notify(py, attempt),
                || {
                    py.detach(|| self.bulk.wait_for_event(INTERRUPT_POLL_INTERVAL));
                    py.check_signals()
                },
            );
            match outcome {
                Ok(Some(outcome)) => Ok(Outcome::new(py, outcome)),
                Ok(None) => Err(self.end(py, &mut rows)),
                Err(raised) => Err(self.interrupt(py, &mut rows, raised)),
            }
        })
    }

    /// Cancels the rows in flight. Returns the outcomes that were not taken yet.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut rows = self.lock()?;
        may_run_python(|| *rows = Rows::Closed);
        self.cancel(py)
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py).map(drop)
    }

    /// Returns how many more rows the bulk takes. For an event loop, as all that follow.
    #[pyo3(name = "_capacity")]
    fn capacity(&self) -> usize {
        self.bulk.capacity()
    }

    /// Submits a row.
    #[pyo3(name = "_submit")]
    fn submit(&self, row: &Bound<'_, PyAny>) -> PyResult<()> {
        let update = read_row(row, self.bulk.submitted(), self.skip_empty)?;
        // If the bulk has just stopped, the end of the iteration says so.
        let _ = self.bulk.submit(&update);
        Ok(())
    }

    /// Returns an outcome, if there is one. If not, and rows are in flight, `wake` will be called.
    fn _poll(&self, py: Python<'_>) -> PyResult<Option<Outcome>> {
        self.is_waiting.store(true, Ordering::Release);
        Ok(match self.bulk.poll_outcome(|_, attempt| self.notify(py, attempt))? {
            Poll::Ready(outcome) => outcome.map(|outcome| Outcome::new(py, outcome)),
            Poll::Pending => None,
        })
    }

    /// Returns whether every outcome was taken.
    fn _is_drained(&self) -> bool {
        self.bulk.is_drained()
    }

    // The rows and the hook are often methods of the object that holds the bulk.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(observer) = &self.observer {
            observer.traverse(&visit)?;
        }
        match self.rows.try_lock().as_deref() {
            Ok(Rows::Source(source)) => visit.call(source),
            _ => Ok(()),
        }
    }

    /// Raises the error that stopped the bulk, if there is one.
    fn _raise_stop_reason(&self, py: Python<'_>) -> PyResult<()> {
        self.stop_reason(py).map_or(Ok(()), Err)
    }
}
