//! Attempts, as they are reported to the caller's hook and to `logging`.

use pyo3::exceptions::PyException;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::arguments::unix_time;
use super::headers::headers_dict;
use super::interpreter::{call_python, may_run_python};
use crate::ReportedAttempts;

/// One attempt of a call that has ended.
#[pyclass(frozen, eq, module = "skypostal")]
#[derive(PartialEq)]
pub(super) struct Attempt(crate::Attempt);

#[pymethods]
impl Attempt {
    /// Its number within the call, from 1.
    #[getter]
    fn number(&self) -> u32 {
        self.0.number
    }

    /// The HTTP method.
    #[getter]
    fn method(&self) -> &'static str {
        self.0.method
    }

    /// The address, which holds no secret.
    #[getter]
    fn url(&self) -> &str {
        &self.0.url
    }

    /// The host and the port of the address.
    #[getter]
    fn host(&self) -> &str {
        self.0.host()
    }

    /// The HTTP status, if a response came.
    #[getter]
    fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The headers of the response that help to find the call in the logs of others.
    #[getter]
    fn response_headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        headers_dict(py, &self.0.response_headers)
    }

    /// The start, as time.time() counts.
    #[getter]
    fn started(&self) -> f64 {
        unix_time(self.0.started)
    }

    /// The seconds that it took.
    #[getter]
    fn elapsed(&self) -> f64 {
        self.0.elapsed.as_secs_f64()
    }

    /// The length of the request's body.
    #[getter]
    fn request_bytes(&self) -> usize {
        self.0.request_bytes
    }

    /// The bytes of the response's body that came.
    #[getter]
    fn response_bytes(&self) -> usize {
        self.0.response_bytes
    }

    /// The kind of error, or None.
    #[getter]
    fn error(&self) -> Option<&'static str> {
        self.0.error.map(crate::Kind::as_str)
    }

    /// The error in one line, without the service's own words.
    #[getter]
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// The seconds until the next attempt, or None if none follows.
    #[getter]
    fn retry_in(&self) -> Option<f64> {
        self.0.retry_in.map(|delay| delay.as_secs_f64())
    }

    /// Returns the log line of the attempt.
    fn _log_line(&self) -> String {
        self.0.log_line()
    }

    /// Returns the log line of the retry that follows, if one does.
    fn _retry_log_line(&self) -> Option<String> {
        self.0.retry_log_line()
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<String> {
        let names = ["number", "method", "host", "status", "elapsed", "error", "retry_in"];
        repr_of(this, "Attempt", &names)
    }
}

/// Returns a repr with these attributes.
pub(super) fn repr_of(of: &Bound<'_, PyAny>, class: &str, names: &[&str]) -> PyResult<String> {
    let show = |name: &&str| Ok(format!("{name}={}", of.getattr(*name)?.repr()?));
    let shown = may_run_python(|| names.iter().map(show).collect::<PyResult<Vec<_>>>())?;
    Ok(format!("{class}({})", shown.join(", ")))
}

/// The receivers of the attempts of one call.
pub(super) struct Observer {
    hook: Option<Py<PyAny>>,
    /// True if each attempt is logged, and not only one that another follows; `None` if the
    /// application did not import `logging`, because then there is no handler.
    logs_all: Option<bool>,
    /// The context variables of the call, for the hook.
    context: Option<Py<PyAny>>,
    /// The future of an awaited call.
    future: Option<Py<PyAny>>,
}

impl Observer {
    /// Returns `None` if there is no receiver.
    pub(super) fn new(
        py: Python<'_>,
        hook: Option<&Py<PyAny>>,
        logs_all: Option<bool>,
    ) -> Option<Self> {
        let hook = hook.map(|hook| hook.clone_ref(py));
        let has_receiver = logs_all.is_some() || hook.is_some();
        has_receiver.then_some(Observer { hook, logs_all, context: None, future: None })
    }

    /// Keeps the context variables of the caller, for a hook that runs later.
    pub(super) fn in_this_context(mut self, py: Python<'_>) -> PyResult<Self> {
        let module = py.import(intern!(py, "contextvars"))?;
        self.context = Some(module.call_method0(intern!(py, "copy_context"))?.unbind());
        Ok(self)
    }

    /// Keeps the future of an awaited call, which an exception of the hook ends.
    pub(super) fn with_future(mut self, future: &Py<PyAny>, py: Python<'_>) -> Self {
        self.future = Some(future.clone_ref(py));
        self
    }

    /// Returns the future of an awaited call.
    pub(super) fn future<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.future.as_ref().expect("an awaited call has one").bind(py)
    }

    /// Visits what the receivers refer to, for the collector of garbage.
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.hook)?;
        visit.call(&self.context)?;
        visit.call(&self.future)
    }

    /// Returns the attempts that have a receiver.
    pub(super) fn reported_attempts(&self) -> ReportedAttempts {
        if self.hook.is_some() || self.logs_all == Some(true) {
            ReportedAttempts::All
        } else {
            ReportedAttempts::Retried
        }
    }

    /// Logs the attempt and calls the hook.
    ///
    /// An `Exception` of theirs must not change the outcome of the update: it goes to
    /// `sys.unraisablehook`. Any other exception, such as `KeyboardInterrupt`, is returned, and so is
    /// an exception of a signal handler that ran meanwhile.
    pub(super) fn notify(&self, py: Python<'_>, attempt: &crate::Attempt) -> PyResult<()> {
        may_run_python(|| {
            let attempt = Py::new(py, Attempt(attempt.clone()))?;
            if self.logs_all.is_some() {
                self.call(py, &log(py)?.getattr("log_attempt")?.unbind(), &attempt)?;
            }
            self.hook.as_ref().map_or(Ok(()), |hook| self.call(py, hook, &attempt))
        })
    }

    fn call(&self, py: Python<'_>, hook: &Py<PyAny>, attempt: &Py<Attempt>) -> PyResult<()> {
        let outcome = match &self.context {
            Some(context) => call_python(&context.bind(py).getattr("run")?, (hook, attempt), None),
            None => call_python(hook.bind(py), (attempt,), None),
        };
        let Err(error) = outcome else { return Ok(()) };
        if !error.is_instance_of::<PyException>(py) || is_from_signal_handler(py, &error) {
            return Err(error);
        }
        error.write_unraisable(py, Some(hook.bind(py)));
        Ok(())
    }
}

/// Returns whether a signal handler raised the error. Python runs one in the middle of other code, and
/// passes it the frame of that code: so a frame of the traceback has the one before as an argument.
fn is_from_signal_handler(py: Python<'_>, error: &PyErr) -> bool {
    let look = || -> PyResult<bool> {
        let mut before = None;
        let mut traceback = error.traceback(py).map(Bound::into_any);
        while let Some(at) = traceback.filter(|at| !at.is_none()) {
            let frame = at.getattr("tb_frame")?;
            if let Some(before) = before {
                if arguments_of(&frame)?.iter().any(|it| it.is(&before)) {
                    return Ok(true);
                }
            }
            before = Some(frame);
            traceback = Some(at.getattr("tb_next")?);
        }
        Ok(false)
    };
    look().unwrap_or(false)
}

/// Returns the arguments of the function that runs in a frame.
fn arguments_of<'py>(frame: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    const VARARGS: usize = 4; // inspect.CO_VARARGS
    let (code, locals) = (frame.getattr("f_code")?, frame.getattr("f_locals")?);
    let number = |name: &str| code.getattr(name)?.extract::<usize>();
    let named = number("co_argcount")? + number("co_kwonlyargcount")?;
    let has_more = number("co_flags")? & VARARGS != 0;
    let mut arguments = Vec::new();
    let names = code.getattr("co_varnames")?.cast_into::<PyTuple>()?;
    for (at, name) in names.iter().enumerate().take(named + usize::from(has_more)) {
        match locals.get_item(name) {
            Ok(value) if at == named => arguments.extend(value.cast_into::<PyTuple>()?),
            Ok(value) => arguments.push(value),
            Err(_) => {} // It was deleted.
        }
    }
    Ok(arguments)
}

fn log(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "skypostal._logging"))
}
