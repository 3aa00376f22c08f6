//! Arguments of Python's functions, as the core takes them.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, SystemTimeError, UNIX_EPOCH};

use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::errors::{exception, not_sent, says_unfit};
use super::fields::{Rejected, with_text};
use super::interpreter::may_run_python;
use crate::{BulkOptions, Error, Options, Value, field};

/// Extracts an argument; the error names it. pyo3's own names one in a note alone, from Python 3.11
/// on.
fn named<'py, T>(name: &'static str, value: &Bound<'py, PyAny>) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    let py = value.py();
    may_run_python(|| value.extract()).map_err(|error: PyErr| {
        let error = if error.is_instance_of::<PyOverflowError>(py) {
            exception(py, &Error::configuration(name, "must be a number of at most 64 bits"))
        } else if says_unfit(py, &error) {
            PyErr::from_type(error.get_type(py), format!("{name}: {}", error.value(py)))
        } else {
            error
        };
        not_sent(py, error)
    })
}

pub(super) fn timeout<'py, T>(value: &Bound<'py, PyAny>) -> PyResult<T>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    named("timeout", value)
}

/// Defines a function that extracts each argument.
macro_rules! arguments {
    ($($name:ident: $type:ty,)*) => {$(
        pub(super) fn $name(value: &Bound<'_, PyAny>) -> PyResult<$type> {
            named(stringify!($name), value)
        }
    )*};
}

arguments! {
    connect_timeout: f64,
    max_retries: i64,
    concurrency: i64,
    rate: Option<f64>,
    max_connect_failures: i64,
    skip_empty: bool,
    ca_file: Option<PathBuf>,
    trust_env: bool,
    allow_http: bool,
}

/// The keyword arguments of `Client`.
const CLIENT_OPTIONS: [&str; 13] = [
    "user_code",
    "app_key",
    "environment",
    "base_url",
    "timeout",
    "connect_timeout",
    "max_retries",
    "proxy",
    "ca_file",
    "trust_env",
    "allow_http",
    "user_agent",
    "on_attempt",
];

/// Refuses keyword arguments that `Client` does not have, and suggests the nearest one.
pub(super) fn refuse_unknown_options(unknown: Option<&Bound<'_, PyDict>>) -> PyResult<()> {
    let Some((name, _)) = unknown.and_then(|unknown| unknown.iter().next()) else { return Ok(()) };
    let name = name.cast::<PyString>()?.to_string_lossy().into_owned();
    let hint = match field::nearest(&name, CLIENT_OPTIONS) {
        Some(near) => format!(". Did you mean '{near}'?"),
        None => format!("; the options are {}", CLIENT_OPTIONS.join(", ")),
    };
    let message = format!("Client() got an unexpected keyword argument '{name}'{hint}");
    Err(PyTypeError::new_err(message))
}

/// Returns the options of a bulk. A number out of range becomes 0, which the core refuses.
pub(super) fn bulk_options(
    concurrency: i64,
    rate: Option<f64>,
    timeout: Option<f64>,
    max_connect_failures: i64,
) -> BulkOptions {
    BulkOptions {
        concurrency: concurrency.try_into().unwrap_or_default(),
        rate,
        timeout: timeout.map(seconds),
        max_connect_failures: max_connect_failures.try_into().unwrap_or_default(),
    }
}

/// Sets an option that takes a text.
pub(super) fn set_text(
    options: &mut Options,
    name: &'static str,
    value: Option<Bound<'_, PyAny>>,
    set: impl FnOnce(&mut Options, Option<&str>) -> Result<(), Error>,
) -> Result<(), Rejected> {
    let Some(value) = value else { return Ok(()) };
    with_text(&value, |value| match value {
        Value::Text(text) => set(options, Some(text)),
        Value::Invalid(problem) => Err(options.refuse(name, problem)),
        _ => Ok(()),
    })??;
    Ok(())
}

/// Returns seconds as a duration. A number that is none becomes 0, which the core refuses.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// Returns a time as `time.time()` counts.
pub(super) fn unix_time(time: SystemTime) -> f64 {
    let before = |e: SystemTimeError| -e.duration().as_secs_f64();
    time.duration_since(UNIX_EPOCH).map_or_else(before, |since| since.as_secs_f64())
}
