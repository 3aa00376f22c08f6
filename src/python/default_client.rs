//! The functions of the module, which share a client for each configuration.

use std::sync::{Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::arguments;
use super::client::{CA_BUNDLE, Client};
use super::errors::{exception, not_sent};
use super::interpreter::call_arrow;
use super::personal_info::PersonalInfo;
use crate::environment::{self, Snapshot};

/// The number of clients that are kept, one for each configuration.
const MAX_CLIENTS: usize = 16;

/// The shared clients, each with the variables that it was made from. Only a thread with the GIL locks
/// them, so that no fork leaves them locked.
static CLIENTS: Mutex<Vec<(Snapshot, Py<Client>)>> = Mutex::new(Vec::new());

/// Changes a customer's personal information and waits for the response.
///
/// Fields: user_code, app_key, customer_box_id, customer_key, customer_first_name,
/// customer_last_name, customer_identity_number, customer_tax_number, customer_birth_date,
/// customer_gender. What is not given, or None, is not sent and keeps its value.
///
/// timeout: seconds for the whole call, 30 if not given. Raises a SkyPostalError, whose delivery
/// says whether the customer may have been changed. The stubs of this module are the manual.
#[pyfunction]
#[pyo3(signature = (*, timeout=None, **fields))]
pub(super) fn update_personal_info(
    py: Python<'_>,
    #[pyo3(from_py_with = arguments::timeout)] timeout: Option<f64>,
    fields: Option<&Bound<'_, PyDict>>,
) -> PyResult<Py<PersonalInfo>> {
    let client = client_of_environment(py).map_err(|raised| not_sent(py, raised))?;
    client.get().update_personal_info(py, timeout, fields)
}

/// Updates the customers of an Arrow table with a shared client, and returns a table of the outcomes.
#[pyfunction]
#[pyo3(signature = (
    batch, *, keep=None, concurrency=8, rate=None, timeout=None, max_connect_failures=10,
    skip_empty=false
))]
#[allow(clippy::too_many_arguments)]
pub(super) fn update_batch<'py>(
    py: Python<'py>,
    batch: &Bound<'py, PyAny>,
    keep: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = arguments::concurrency)] concurrency: i64,
    #[pyo3(from_py_with = arguments::rate)] rate: Option<f64>,
    #[pyo3(from_py_with = arguments::timeout)] timeout: Option<f64>,
    #[pyo3(from_py_with = arguments::max_connect_failures)] max_connect_failures: i64,
    #[pyo3(from_py_with = arguments::skip_empty)] skip_empty: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let client = client_of_environment(py)?;
    let client = client.bind(py);
    Client::update_batch(
        client,
        batch,
        keep,
        concurrency,
        rate,
        timeout,
        max_connect_failures,
        skip_empty,
    )
}

/// Returns the columns of the table that `update_batch` returns.
#[pyfunction]
pub(super) fn update_batch_schema(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    call_arrow(py, "update_batch_schema", ())
}

/// Returns the application key that the environment gives. For `skypostal doctor`.
#[pyfunction]
#[pyo3(name = "_app_key")]
pub(super) fn app_key(py: Python<'_>) -> PyResult<Option<String>> {
    let key = environment::app_key().map(|(_, key)| key).transpose();
    Ok(key.map_err(|error| exception(py, &error))?.map(|key| key.to_string()))
}

/// Returns the client that was made from the environment as it is now.
fn client_of_environment(py: Python<'_>) -> PyResult<Py<Client>> {
    let environment = Snapshot::new(CA_BUNDLE);
    let modules = py.import(intern!(py, "sys"))?.getattr(intern!(py, "modules"))?;
    let known = {
        let clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        // An interpreter that ended may have left clients, which know the modules of its life alone.
        let mut of_this_life = clients.iter().filter(|(_, client)| client.get().knows(&modules));
        let known = of_this_life.find(|(known, _)| *known == environment);
        known.map(|(_, client)| client.clone_ref(py))
    };
    if let Some(client) = known {
        return Ok(client);
    }
    let client: Py<Client> = py.get_type::<Client>().call0()?.cast_into()?.unbind();
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    clients.truncate(MAX_CLIENTS - 1);
    clients.insert(0, (environment, client.clone_ref(py)));
    Ok(client)
}
