//! Exceptions for the core's errors, and attributes of those errors on other exceptions.

use std::panic::{self, AssertUnwindSafe};

use pyo3::exceptions::{
    PyKeyboardInterrupt, PyMemoryError, PyOverflowError, PyTypeError, PyValueError,
};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::headers::headers_dict;
use super::interpreter::{call_python, may_run_python};
use crate::{Delivery, Error, Kind};

/// Runs work that makes values of Python. If Python has no memory for one, pyo3 panics; this returns
/// a `MemoryError` then.
pub(super) fn memory_error<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| may_run_python(work)));
    outcome.unwrap_or_else(|_| Err(PyMemoryError::new_err("no memory for a value of Python")))
}

/// Sets `delivery` and `attempts` on an exception of another class, if that class has room for them.
pub(super) fn set_delivery(
    py: Python<'_>,
    raised: PyErr,
    delivery: Delivery,
    attempts: u32,
) -> PyErr {
    let value = raised.value(py);
    // Interned, because there may be no memory for a new text.
    let word = match delivery {
        Delivery::NotSent => intern!(py, "not_sent"),
        Delivery::Rejected => intern!(py, "rejected"),
        Delivery::Unknown => intern!(py, "unknown"),
    };
    let _ = value.setattr(intern!(py, "delivery"), word);
    let _ = value.setattr(intern!(py, "attempts"), attempts);
    raised
}

/// Sets the attributes of an exception that was raised before anything was sent.
pub(super) fn not_sent(py: Python<'_>, raised: PyErr) -> PyErr {
    set_delivery(py, raised, Delivery::NotSent, 0)
}

/// Returns the exception of `skypostal.errors` for an error of the core.
pub(super) fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let details = PyDict::new(py);
        details.set_item("delivery", error.delivery().as_str())?;
        details.set_item("attempts", error.attempts())?;
        let class = match error.kind() {
            Kind::InvalidField => {
                details.set_item("field", error.field())?;
                "ValidationError"
            }
            Kind::Configuration => {
                details.set_item("option", error.field())?;
                "ConfigurationError"
            }
            Kind::Connect => "ConnectError",
            Kind::Tls => "TlsError",
            Kind::Lost => "ConnectionLostError",
            Kind::Timeout => "RequestTimeoutError",
            Kind::Status => {
                details.set_item("status", error.http_status())?;
                details.set_item("body", error.body())?;
                details.set_item("retry_after", error.retry_after().map(|w| w.as_secs_f64()))?;
                "StatusError"
            }
            Kind::Refused => {
                details.set_item("description", error.description())?;
                details.set_item("location", error.location())?;
                details.set_item("system_error", error.system_error())?;
                "RefusedError"
            }
            Kind::Response => {
                details.set_item("body", error.body())?;
                "ResponseError"
            }
            Kind::Cancelled => {
                let interrupt = PyKeyboardInterrupt::new_err(error.to_string());
                interrupt.value(py).setattr("kind", error.kind().as_str())?;
                return Ok(set_delivery(py, interrupt, error.delivery(), error.attempts()));
            }
            Kind::Internal => "InternalError",
        };
        let class = py.import("skypostal.errors")?.getattr(class)?;
        let raised = call_python(&class, (error.to_string(),), Some(&details))?;
        raised.setattr("message", error.message())?;
        raised.setattr("response_headers", headers_dict(py, error.response_headers())?)?;
        Ok(PyErr::from_value(raised))
    };
    // A RecursionError, for example, is then raised in place of the error.
    let made = memory_error(make);
    made.unwrap_or_else(|raised| set_delivery(py, raised, error.delivery(), error.attempts()))
}

/// Returns whether Python's own conversion raised `error` because a value does not fit. Any other
/// exception has another cause and is raised as it is.
pub(super) fn says_unfit(py: Python<'_>, error: &PyErr) -> bool {
    let class = error.get_type(py);
    [py.get_type::<PyTypeError>(), py.get_type::<PyValueError>(), py.get_type::<PyOverflowError>()]
        .iter()
        .any(|unfit| class.is(unfit))
}
