//! Many updates, as an iterator of outcomes.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use pyo3::exceptions::{PyException, PyStopIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyTuple};

use super::event_queue::{Inbox, QueuedEvent};
use super::observer::Observer;
use super::{PersonalInfo, exception, read_row, set_delivery};
use crate::call::INTERRUPT_POLL_INTERVAL;
use crate::{Bulk, BulkEvent, BulkOptions, Client, Delivery, Error, Kind};

/// How one row of many ended.
#[pyclass(frozen, get_all, module = "skypostal")]
pub(super) struct Outcome {
    /// The row's position in rows, from 0.
    index: u64,
    /// The customer's record after the update, or None.
    result: Option<Py<PersonalInfo>>,
    /// Why there is none, or None.
    error: Option<Py<PyAny>>,
    /// How many attempts were begun.
    attempts: u32,
    /// Whether the customer may have been changed; None if the update was accepted.
    delivery: Option<&'static str>,
}

impl Outcome {
    fn new(py: Python<'_>, outcome: crate::Outcome) -> Self {
        let mut delivery = outcome.result.as_ref().err().map(|error| error.delivery().as_str());
        let (result, error) = match outcome.result.map(|info| Py::new(py, PersonalInfo(info))) {
            Ok(Ok(info)) => (Some(info), None),
            // Such as a MemoryError: its row was accepted, and has no record that says so.
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
        let show = |name| Ok(format!("{name}={}", this.getattr(name)?.repr()?));
        let names = ["index", "result", "error", "attempts"];
        let shown = names.into_iter().map(show).collect::<PyResult<Vec<_>>>()?;
        Ok(format!("Outcome({})", shown.join(", ")))
    }
}

/// The outcomes of many updates, each as its row ends.
#[pyclass(frozen, module = "skypostal")]
pub(super) struct BulkUpdate {
    bulk: Bulk,
    observer: Option<Observer>,
    /// Set while an event loop waits to be woken.
    asleep: Arc<AtomicBool>,
    /// Locked by whoever is iterating.
    rows: Mutex<Rows>,
}

enum Rows {
    /// More may come.
    Left(Py<PyIterator>),
    /// No more will; this is raised after the outcomes of those that came.
    Gone(Option<PyErr>),
    /// Nothing more is said.
    Over,
}

impl BulkUpdate {
    /// Begins a run. Its rows come from an iterator, or one by one with `put`.
    pub(super) fn new(
        py: Python<'_>,
        client: &Arc<Client>,
        observer: Option<Observer>,
        options: &BulkOptions,
        rows: Option<&Bound<'_, PyAny>>,
        waker: Option<(Arc<Inbox>, Py<PyAny>)>,
    ) -> PyResult<Self> {
        let rows = match rows {
            Some(rows) => Rows::Left(rows.try_iter()?.unbind()),
            None => Rows::Over,
        };
        let asleep = Arc::new(AtomicBool::new(false));
        let wake = waker.map(|(inbox, wake)| {
            let (asleep, wake) = (asleep.clone(), Arc::new(wake));
            Box::new(move || {
                if asleep.swap(false, Ordering::AcqRel) {
                    inbox.push(QueuedEvent::Wake(wake.clone()));
                }
            }) as _
        });
        let observe = observer.is_some();
        let begin = || client.start_bulk(options, observe, wake);
        let bulk = Error::catch_panic(begin).map_err(|error| exception(py, &error))?;
        Ok(BulkUpdate { bulk, observer, asleep, rows: Mutex::new(rows) })
    }

    /// Puts rows as long as there is room. What is no `Exception`, such as a Ctrl-C while the next
    /// row is made, ends the run at once.
    fn fill(&self, py: Python<'_>, rows: &mut Rows) -> PyResult<()> {
        while self.bulk.capacity() > 0 {
            let Rows::Left(left) = rows else { break };
            let mut left = left.bind(py).clone();
            let end = match left.next() {
                Some(row) => match row.and_then(|row| self.put(&row)) {
                    Ok(()) => continue,
                    Err(error) if error.is_instance_of::<PyException>(py) => Some(error),
                    Err(error) => return Err(error),
                },
                None => None,
            };
            *rows = Rows::Gone(end);
        }
        Ok(())
    }

    /// What there is to tell, or nothing at the moment. Tells of attempts on the way.
    fn take(&self, py: Python<'_>) -> PyResult<Option<Outcome>> {
        while let Some(event) = self.bulk.next_event() {
            match event {
                BulkEvent::Outcome(outcome) => return Ok(Some(Outcome::new(py, outcome))),
                BulkEvent::Attempt(_, attempt) => {
                    let mut observer = self.observer.iter().filter(|it| it.wants(&attempt));
                    observer.try_for_each(|it| it.tell(py, &attempt))?;
                }
            }
        }
        Ok(None)
    }

    /// What ends the iteration.
    fn end(&self, py: Python<'_>, rows: &mut Rows) -> PyErr {
        let raised = match mem::replace(rows, Rows::Over) {
            Rows::Over => None,
            Rows::Gone(Some(raised)) => Some(raised),
            Rows::Left(_) | Rows::Gone(None) => self.stopped(py),
        };
        raised.unwrap_or_else(|| PyStopIteration::new_err(()))
    }

    /// What ended the run early, if anything did but its own caller.
    fn stopped(&self, py: Python<'_>) -> Option<PyErr> {
        let stopped = self.bulk.stop_reason().filter(|error| error.kind() != Kind::Cancelled);
        stopped.map(|error| exception(py, &error))
    }

    /// Ends the run, and tells of all rows that were not told of yet, on what ends the iteration.
    fn break_off(&self, py: Python<'_>, rows: &mut Rows, raised: PyErr) -> PyErr {
        *rows = Rows::Over;
        let outcomes = self.cut_short(py);
        let value = raised.value(py);
        // A class may have no room for it.
        let _ = outcomes.and_then(|outcomes| value.setattr("outcomes", outcomes));
        raised
    }

    fn cut_short<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
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
        self.rows.try_lock().map_err(|_| PyValueError::new_err("update_many is already executing"))
    }
}

#[pymethods]
impl BulkUpdate {
    fn __iter__(this: Py<Self>) -> Py<Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Outcome> {
        let mut rows = self.lock()?;
        loop {
            let outcome = self.fill(py, &mut rows).and_then(|()| self.take(py));
            let outcome = outcome.and_then(|outcome| {
                if outcome.is_none() && !self.bulk.is_drained() {
                    py.detach(|| self.bulk.wait_for_event(INTERRUPT_POLL_INTERVAL));
                    py.check_signals()?;
                }
                Ok(outcome)
            });
            match outcome {
                Ok(Some(outcome)) => return Ok(outcome),
                Ok(None) if self.bulk.is_drained() => return Err(self.end(py, &mut rows)),
                Ok(None) => {}
                Err(raised) => return Err(self.break_off(py, &mut rows, raised)),
            }
        }
    }

    /// Ends the run. Gives the outcomes of the rows that were taken and not told of yet.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut rows = self.lock()?;
        *rows = Rows::Over;
        self.cut_short(py)
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py).map(drop)
    }

    /// For an event loop, which has the rows: how many more there is room for.
    fn _room(&self) -> usize {
        self.bulk.capacity()
    }

    /// Takes a row.
    #[pyo3(name = "_put")]
    fn put(&self, row: &Bound<'_, PyAny>) -> PyResult<()> {
        let update = read_row(row, self.bulk.submitted())?;
        // If it has stopped at this moment, the iteration says so in the end.
        let _ = self.bulk.submit(&update);
        Ok(())
    }

    /// An outcome, if there is one. If not, and if the run is not over, the event loop will be woken.
    fn _take(&self, py: Python<'_>) -> PyResult<Option<Outcome>> {
        self.asleep.store(true, Ordering::Release);
        self.take(py)
    }

    fn _is_empty(&self) -> bool {
        self.bulk.is_drained()
    }

    /// Raises what ended the run early, if anything did.
    fn _end(&self, py: Python<'_>) -> PyResult<()> {
        self.stopped(py).map_or(Ok(()), Err)
    }
}
