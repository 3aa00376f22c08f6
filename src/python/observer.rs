//! What a program is told of each attempt: through its hook, and through `logging`.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{call_python, since_1970};

/// One attempt of a call, when it is over.
#[pyclass(frozen, eq, get_all, module = "skypostal")]
#[derive(PartialEq)]
pub(super) struct Attempt {
    /// Its number within the call, from 1.
    number: u32,
    /// The HTTP method.
    method: &'static str,
    /// The address, which holds no secret.
    url: String,
    /// The host and the port of the address.
    host: String,
    /// The HTTP status, if one came.
    status: Option<u16>,
    /// When it began, as time.time() counts.
    started: f64,
    /// Seconds that it took.
    elapsed: f64,
    /// The length of the request's body.
    request_bytes: usize,
    /// How much of the answer's body came.
    response_bytes: usize,
    /// What kind of thing went wrong, or None.
    error: Option<&'static str>,
    /// The same in a line, without the service's own words.
    reason: Option<String>,
    /// Seconds until the next attempt, or None if none follows.
    retry_in: Option<f64>,
}

impl From<&crate::Attempt> for Attempt {
    fn from(attempt: &crate::Attempt) -> Self {
        Attempt {
            number: attempt.number,
            method: attempt.method,
            url: attempt.url.to_string(),
            host: attempt.host().to_owned(),
            status: attempt.status,
            started: since_1970(attempt.started),
            elapsed: attempt.elapsed.as_secs_f64(),
            request_bytes: attempt.request_bytes,
            response_bytes: attempt.response_bytes,
            error: attempt.error.map(crate::Kind::as_str),
            reason: attempt.reason.clone(),
            retry_in: attempt.retry_in.map(|wait| wait.as_secs_f64()),
        }
    }
}

#[pymethods]
impl Attempt {
    fn __repr__(this: &Bound<'_, Self>) -> PyResult<String> {
        let names = ["number", "method", "host", "status", "elapsed", "error", "retry_in"];
        let show = |name| Ok(format!("{name}={}", this.getattr(name)?.repr()?));
        let shown = names.into_iter().map(show).collect::<PyResult<Vec<_>>>()?;
        Ok(format!("Attempt({})", shown.join(", ")))
    }
}

/// Who is told of the attempts of one call.
pub(super) struct Observer {
    hook: Option<Py<PyAny>>,
    /// Whether each attempt is logged; else those alone that are followed by another.
    log_all: bool,
    /// The application imported `logging`: otherwise nobody can be listening.
    log: bool,
    /// Where the hook runs as if the call had waited for it.
    context: Option<Py<PyAny>>,
}

impl Observer {
    /// Nothing, if nobody wants to know.
    pub(super) fn new(
        py: Python<'_>,
        hook: Option<&Py<PyAny>>,
        modules: &Bound<'_, PyDict>,
    ) -> PyResult<Option<Self>> {
        let hook = hook.map(|hook| hook.clone_ref(py));
        let level = log_level(py, modules)?;
        if hook.is_none() && level.is_none() {
            return Ok(None);
        }
        let (log, log_all) = (level.is_some(), level == Some(true));
        Ok(Some(Observer { hook, log_all, log, context: None }))
    }

    /// Takes the context variables along to where it is told.
    pub(super) fn in_this_context(mut self, py: Python<'_>) -> PyResult<Self> {
        let context = py.import("contextvars")?.call_method0("copy_context")?;
        self.context = Some(context.unbind());
        Ok(self)
    }

    /// Whether this attempt matters; asked without the GIL.
    pub(super) fn wants(&self, attempt: &crate::Attempt) -> bool {
        self.hook.is_some() || self.log_all || (self.log && attempt.retry_in.is_some())
    }

    /// Logs the attempt and calls the hook.
    ///
    /// What goes wrong there must not change the outcome of the update: it goes to
    /// `sys.unraisablehook`. What is no `Exception`, such as `KeyboardInterrupt`, comes out, and so
    /// does what a signal's handler raises meanwhile.
    pub(super) fn tell(&self, py: Python<'_>, attempt: &crate::Attempt) -> PyResult<()> {
        let attempt = Py::new(py, Attempt::from(attempt))?;
        if self.log {
            self.call(py, &log(py)?.getattr("attempt")?.unbind(), &attempt)?;
        }
        self.hook.as_ref().map_or(Ok(()), |hook| self.call(py, hook, &attempt))
    }

    fn call(&self, py: Python<'_>, hook: &Py<PyAny>, attempt: &Py<Attempt>) -> PyResult<()> {
        let outcome = match &self.context {
            Some(context) => call_python(&context.bind(py).getattr("run")?, (hook, attempt), None),
            None => call_python(hook.bind(py), (attempt,), None),
        };
        let Err(error) = outcome else { return Ok(()) };
        if !error.is_instance_of::<PyException>(py) || is_of_a_signal(py, &error) {
            return Err(error);
        }
        error.write_unraisable(py, Some(hook.bind(py)));
        Ok(())
    }
}

/// Whether a signal's handler raised it, which Python runs in the midst of whatever is running.
fn is_of_a_signal(py: Python<'_>, error: &PyErr) -> bool {
    let look = || -> PyResult<bool> {
        let signal = py.import("signal")?;
        let mut handlers = Vec::new();
        for number in signal.call_method0("valid_signals")?.try_iter()? {
            let handler = signal.call_method1("getsignal", (number?,))?;
            handlers.extend(handler.getattr_opt("__code__")?);
        }
        let mut traceback = error.traceback(py).map(Bound::into_any);
        while let Some(at) = traceback.filter(|at| !at.is_none()) {
            let code = at.getattr("tb_frame")?.getattr("f_code")?;
            if handlers.iter().any(|handler| handler.is(&code)) {
                return Ok(true);
            }
            traceback = Some(at.getattr("tb_next")?);
        }
        Ok(false)
    };
    look().unwrap_or(false)
}

/// Whether `logging` hears of every attempt; nothing where it was never imported.
fn log_level(py: Python<'_>, modules: &Bound<'_, PyDict>) -> PyResult<Option<bool>> {
    if !modules.contains(intern!(py, "logging"))? {
        return Ok(None);
    }
    let logs_all = log(py)?.getattr(intern!(py, "logs_all"))?;
    call_python(&logs_all, (), None)?.extract()
}

fn log(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import(intern!(py, "skypostal._log"))
}
