//! Calls from this library into Python.

use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::sys::threads;

/// Does work that may run code of Python, and so may give up the GIL and ask for it again. CPython
/// before 3.14 ends a thread that does so when the interpreter ends, by unwinding it: no frame of this
/// library can drop its references then, and none can catch it.
///
/// Such work is a call, an operation on an object of the caller, the end of an object's life, and, up
/// to Python 3.11, making any object, at which the garbage collector may run.
pub(super) fn may_run_python<T>(work: impl FnOnce() -> T) -> T {
    threads::without_exit(work)
}

/// Calls a function that may be written in Python.
pub(super) fn call_python<'py>(
    function: &Bound<'py, PyAny>,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    may_run_python(|| {
        let arguments = arguments.into_pyobject(function.py()).map_err(Into::into)?;
        function.call(arguments, keywords)
    })
}

/// Returns whether this thread is the one that handles signals.
pub(super) fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = match py.import(intern!(py, "threading")) {
        // When the interpreter ends, there is no other thread and no module left.
        Err(error) if error.is_instance_of::<PyImportError>(py) => return Ok(true),
        threading => threading?,
    };
    let call = |name| call_python(&threading.getattr(name)?, (), None);
    Ok(call("current_thread")?.is(&call("main_thread")?))
}

/// Imports every module that a call needs. An interpreter that begins again needs them anew.
pub(super) fn preload(py: Python<'_>) -> PyResult<()> {
    may_run_python(|| py.import(intern!(py, "skypostal._preload")).map(drop))
}

/// Calls a function of `skypostal._arrow`.
pub(super) fn call_arrow<'py>(
    py: Python<'py>,
    function: &str,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    call_python(&py.import("skypostal._arrow")?.getattr(function)?, arguments, None)
}

/// Calls a function of `skypostal._convert`.
pub(super) fn convert<'py>(
    py: Python<'py>,
    function: &str,
    value: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    call_python(&py.import("skypostal._convert")?.getattr(function)?, (value,), None)
}
