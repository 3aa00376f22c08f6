//! Calls from this library into Python.

use std::mem;
use std::thread;

use pyo3::exceptions::PyImportError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

/// Calls a function that may be written in Python.
///
/// CPython before 3.14 ends a thread that is in such a call when the interpreter ends, by unwinding
/// it, and no frame of this library may drop its references then: as pyo3 does where it waits for
/// the GIL, the thread is stopped here instead.
pub(super) fn call_python<'py>(
    function: &Bound<'py, PyAny>,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    struct Unwound;
    impl Drop for Unwound {
        fn drop(&mut self) {
            loop {
                thread::park();
            }
        }
    }
    // Borrowed by the call, so that nothing further in is dropped before this is.
    let arguments = arguments.into_pyobject(function.py()).map_err(Into::into)?;
    let unwound = Unwound;
    let outcome = function.call(&arguments, keywords);
    mem::forget(unwound);
    outcome
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

/// Imports every module that a call needs, once.
pub(super) fn preload(py: Python<'_>) -> PyResult<()> {
    static PRELOADED: PyOnceLock<()> = PyOnceLock::new();
    let import = || py.import(intern!(py, "skypostal._preload")).map(drop);
    PRELOADED.get_or_try_init(py, import).copied()
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
