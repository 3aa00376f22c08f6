//! The Python module `skypostal._native`.
//!
//! Each function turns Python values into the core's and the outcome into Python's; what can be
//! said in Python (the exception classes, numbers of any length) is in `python/skypostal`.

use std::env;
use std::ffi::OsString;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, SystemTimeError, UNIX_EPOCH};

use chrono::Datelike;
use pyo3::exceptions::{PyKeyboardInterrupt, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDate, PyDateTime, PyDict, PyInt, PyMapping, PyString, PyTuple};

use self::bulk::{BulkUpdate, Outcome};
use self::event_queue::{EventQueue, QueuedEvent};
use self::observer::{Attempt, Observer};
use crate::{
    BulkOptions, CallOptions, ENVIRONMENT_VARIABLES, Error, Field, Kind, Options, Update, Value,
};

mod bulk;
mod event_queue;
mod observer;

/// How many clients the functions of the module keep, one for each configuration they met.
const CLIENTS_KEPT: usize = 16;

/// Where Python programs that use requests name the certificates of their company.
const CA_BUNDLE: &str = "REQUESTS_CA_BUNDLE";

#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{
        Attempt, BulkUpdate, Client, EventQueue, Outcome, PersonalInfo, update_batch,
        update_batch_schema, update_personal_info,
    };
    use super::{Bound, PyModule, PyResult, event_queue};

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        event_queue::end_with_the_interpreter(module)
    }
}

/// The customer's personal information after an update, as the service reports it.
#[pyclass(frozen, eq, module = "skypostal")]
#[derive(PartialEq)]
struct PersonalInfo(crate::PersonalInfo);

#[pymethods]
impl PersonalInfo {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, FIELDS_OF_INFO)
    }

    /// The service's own number of the customer.
    #[getter]
    fn cust_id(&self) -> Option<i64> {
        self.0.cust_id
    }

    /// The first name.
    #[getter]
    fn customer_first_name(&self) -> Option<&str> {
        self.0.customer_first_name.as_deref()
    }

    /// The last name.
    #[getter]
    fn customer_last_name(&self) -> Option<&str> {
        self.0.customer_last_name.as_deref()
    }

    /// The identity number.
    #[getter]
    fn customer_identity_number(&self) -> Option<&str> {
        self.0.customer_identity_number.as_deref()
    }

    /// The tax number, an int or a Decimal with every digit that the service sent.
    #[getter]
    fn customer_tax_number<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Some(text) = &self.0.customer_tax_number else { return Ok(None) };
        match text.parse::<i64>() {
            Ok(number) => Ok(Some(number.into_pyobject(py)?.into_any())),
            Err(_) => convert(py, "number", text).map(Some),
        }
    }

    /// The birth date, a day of the service's calendar.
    #[getter]
    fn customer_birth_date<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDate>>> {
        let date = self.0.customer_birth_date;
        date.map(|day| PyDate::new(py, day.year(), day.month() as u8, day.day() as u8)).transpose()
    }

    /// The gender, "M" or "F" as documented.
    #[getter]
    fn customer_gender(&self) -> Option<&str> {
        self.0.customer_gender.as_deref()
    }

    /// The whole JSON object that the service sent, as a new dict.
    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in self.0.members() {
            dict.set_item(name, convert(py, "json_value", value)?)?;
        }
        Ok(dict)
    }

    /// The seven attributes by name, without raw.
    fn to_dict<'py>(this: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(this.py());
        for name in FIELDS_OF_INFO {
            dict.set_item(name, this.getattr(name)?)?;
        }
        Ok(dict)
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyString::new(py, &self.0.raw).hash()
    }

    /// As repr, but with all seven attributes: personal data.
    fn show(this: &Bound<'_, Self>) -> PyResult<String> {
        let show = |name| Ok(format!("{name}={}", this.getattr(name)?.repr()?));
        let shown = FIELDS_OF_INFO.into_iter().map(show).collect::<PyResult<Vec<_>>>()?;
        Ok(format!("PersonalInfo({})", shown.join(", ")))
    }

    fn __repr__(&self) -> String {
        match self.0.cust_id {
            Some(id) => format!("PersonalInfo(cust_id={id}, ...)"),
            None => "PersonalInfo(...)".to_owned(),
        }
    }

    fn __reduce__<'py>(this: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((this.get_type().getattr("_from_raw")?, (this.get().0.raw.clone(),)))
    }

    #[staticmethod]
    fn _from_raw(py: Python<'_>, raw: &str) -> PyResult<Self> {
        crate::PersonalInfo::from_raw(raw).map(PersonalInfo).map_err(|e| exception(py, &e))
    }
}

const FIELDS_OF_INFO: [&str; 7] = [
    "cust_id",
    "customer_first_name",
    "customer_last_name",
    "customer_identity_number",
    "customer_tax_number",
    "customer_birth_date",
    "customer_gender",
];

/// Updates customers; to be made once and used for every call, by any number of threads at once.
#[pyclass(frozen, module = "skypostal")]
struct Client {
    client: Arc<crate::Client>,
    on_attempt: Option<Py<PyAny>>,
    /// The options that its repr shows; none is secret.
    shown: String,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (
        *, user_code=None, app_key=None, environment=None, base_url=None, timeout=30.0,
        connect_timeout=10.0, max_retries=2, proxy=None, ca_file=None, trust_env=true,
        allow_http=false, on_attempt=None
    ))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        user_code: Option<Bound<'_, PyAny>>,
        app_key: Option<Bound<'_, PyAny>>,
        environment: Option<Bound<'_, PyAny>>,
        base_url: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = argument::timeout)] timeout: f64,
        #[pyo3(from_py_with = argument::connect_timeout)] connect_timeout: f64,
        #[pyo3(from_py_with = argument::max_retries)] max_retries: i64,
        proxy: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = argument::ca_file)] ca_file: Option<PathBuf>,
        #[pyo3(from_py_with = argument::trust_env)] trust_env: bool,
        #[pyo3(from_py_with = argument::allow_http)] allow_http: bool,
        on_attempt: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if on_attempt.as_ref().is_some_and(|hook| !hook.is_callable()) {
            return Err(PyTypeError::new_err("on_attempt must be callable"));
        }
        let mut options = Options::new();
        let client = (|| {
            // A fault in the environment is remembered, and does not matter where an argument is.
            let _ = options.read_environment();
            if let Some(user_code) = &user_code {
                options.set_user_code(integer(user_code))?;
            }
            if let Some(app_key) = &app_key {
                with_text(app_key, |value| options.set_app_key(value))?;
            }
            set_text(&mut options, "environment", environment, Options::set_environment)?;
            set_text(&mut options, "base_url", base_url, Options::set_base_url)?;
            options.set_timeout(Some(seconds(timeout)))?;
            options.set_connect_timeout(Some(seconds(connect_timeout)))?;
            options.set_max_retries(max_retries)?;
            set_text(&mut options, "proxy", proxy, Options::set_proxy)?;
            let bundle = || env::var_os(CA_BUNDLE).filter(|path| trust_env && !path.is_empty());
            options.set_ca_file(ca_file.or_else(|| bundle().map(PathBuf::from)).as_deref())?;
            options.set_trust_env(trust_env);
            options.set_allow_http(allow_http);
            crate::Client::new(&options)
        })()
        .map_err(|error| exception(py, &error))?;
        let mut shown = format!(
            "url={:?}, timeout={timeout:?}, connect_timeout={connect_timeout:?}, \
             max_retries={max_retries}",
            client.url(),
        );
        if let Some(proxy) = client.proxy() {
            shown.push_str(&format!(", proxy={proxy:?}"));
        }
        let on_attempt = on_attempt.map(Bound::unbind);
        Ok(Client { client: Arc::new(client), on_attempt, shown })
    }

    /// As skypostal.update_personal_info, with this client's options.
    #[pyo3(signature = (*, timeout=None, **fields))]
    fn update_personal_info(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::timeout)] timeout: Option<f64>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PersonalInfo> {
        let update = read_fields(fields)?;

        let observer = Observer::new(py, self.on_attempt.as_ref())?;
        self.drive(py, timeout, observer, |options| {
            self.client.update_personal_info_with(&update, options).map(PersonalInfo)
        })
    }

    /// Updates many customers, several at once.
    #[pyo3(signature = (
        rows, *, concurrency=8, rate=None, timeout=None, max_connect_failures=10
    ))]
    #[allow(clippy::too_many_arguments)]
    fn update_many(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = argument::concurrency)] concurrency: i64,
        #[pyo3(from_py_with = argument::rate)] rate: Option<f64>,
        #[pyo3(from_py_with = argument::timeout)] timeout: Option<f64>,
        #[pyo3(from_py_with = argument::max_connect_failures)] max_connect_failures: i64,
    ) -> PyResult<BulkUpdate> {
        let options = bulk_options(concurrency, rate, timeout, max_connect_failures);
        let observer = Observer::new(py, self.on_attempt.as_ref())?;
        BulkUpdate::new(py, &self.client, observer, &options, Some(rows), None)
    }

    /// Updates the customers of an Arrow table, and gives a table of what became of them.
    #[pyo3(signature = (
        batch, *, keep=None, concurrency=8, rate=None, timeout=None, max_connect_failures=10
    ))]
    #[allow(clippy::too_many_arguments)]
    fn update_batch<'py>(
        this: &Bound<'py, Self>,
        batch: &Bound<'py, PyAny>,
        keep: Option<&Bound<'py, PyAny>>,
        #[pyo3(from_py_with = argument::concurrency)] concurrency: i64,
        #[pyo3(from_py_with = argument::rate)] rate: Option<f64>,
        #[pyo3(from_py_with = argument::timeout)] timeout: Option<f64>,
        #[pyo3(from_py_with = argument::max_connect_failures)] max_connect_failures: i64,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = (concurrency, rate, timeout, max_connect_failures);
        arrow(this.py(), "update_batch", (this, batch, keep, options))
    }

    /// The same for an event loop, which puts the rows: `wake` is called on it when there is news.
    #[allow(clippy::too_many_arguments)]
    fn _start_bulk(
        &self,
        py: Python<'_>,
        queue: Py<EventQueue>,
        wake: Py<PyAny>,
        #[pyo3(from_py_with = argument::concurrency)] concurrency: i64,
        #[pyo3(from_py_with = argument::rate)] rate: Option<f64>,
        #[pyo3(from_py_with = argument::timeout)] timeout: Option<f64>,
        #[pyo3(from_py_with = argument::max_connect_failures)] max_connect_failures: i64,
    ) -> PyResult<BulkUpdate> {
        event_queue::check_not_ending(py)?;
        let options = bulk_options(concurrency, rate, timeout, max_connect_failures);
        let observer = Observer::new(py, self.on_attempt.as_ref())?;
        let waker = Some((queue, wake));
        BulkUpdate::new(py, &self.client, observer, &options, None, waker)
    }

    /// For the command line: what this update would POST, with the keys hidden: the address, the
    /// headers and the body.
    #[pyo3(signature = (**fields))]
    #[allow(clippy::type_complexity)]
    fn _preview(
        &self,
        py: Python<'_>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<(&str, Vec<(String, String)>, String)> {
        let shown = self.client.preview(&read_fields(fields)?);
        let shown = shown.map_err(|error| exception(py, &error))?;
        Ok((self.client.url(), shown.headers, shown.body))
    }

    /// For `skypostal doctor`: the address of the call, and the proxy with what names it.
    fn _way(&self) -> (&str, Option<(&str, &str)>) {
        (self.client.url(), self.client.proxy().zip(self.client.proxy_named_by()))
    }

    /// The same for an event loop: what happens is left in its event queue, and the outcome goes to
    /// `settle`.
    fn _start_update(
        &self,
        py: Python<'_>,
        queue: Py<EventQueue>,
        settle: Py<PyAny>,
        #[pyo3(from_py_with = argument::timeout)] timeout: Option<f64>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PendingCall> {
        event_queue::check_not_ending(py)?;
        let update = read_fields(fields)?;
        let observer = Observer::new(py, self.on_attempt.as_ref())?;
        let observer = observer.map(|observer| observer.in_this_context(py)).transpose()?;
        let for_attempts = queue.clone_ref(py);
        let on_attempt = observer.map(Arc::new).map(|observer| {
            Box::new(move |attempt: crate::Attempt| {
                if observer.wants(&attempt) {
                    EventQueue::push(
                        &for_attempts,
                        QueuedEvent::Attempt(observer.clone(), attempt),
                    );
                }
            }) as _
        });
        let done = move |outcome| EventQueue::push(&queue, QueuedEvent::Outcome(settle, outcome));
        let begin = || self.client.start_update(&update, timeout.map(seconds), on_attempt, done);
        let begun = py.detach(|| Error::catch_panic(begin));
        begun
            .map(|begun| PendingCall(Mutex::new(Some(begun))))
            .map_err(|error| exception(py, &error))
    }

    /// What `skypostal doctor` asks: whether the service answers, without telling it anything.
    #[pyo3(signature = (*, timeout=None))]
    fn _probe<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyDict>> {
        let probe = self.drive(py, timeout, None, |options| self.client.probe(options))?;
        let dict = PyDict::new(py);
        dict.set_item("status", probe.status)?;
        dict.set_item("date", probe.date.map(since_1970))?;
        dict.set_item("elapsed", probe.elapsed.as_secs_f64())?;
        dict.set_item("proxy", probe.proxy)?;
        dict.set_item("tls", probe.tls)?;
        Ok(dict)
    }

    /// Closes the connections. Calls in flight end as they would, later ones fail.
    fn close(&self) {
        self.client.close();
    }

    fn __enter__(this: Py<Self>) -> Py<Self> {
        this
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, PyTuple>) {
        self.close();
    }

    fn __repr__(&self) -> String {
        format!("skypostal.Client({})", self.shown)
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err(
            "a skypostal.Client holds connections and cannot be pickled; make one in the process \
             that uses it, or use a client made before a fork",
        ))
    }

    // A hook is often a method of the object that holds the client.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.on_attempt)
    }
}

impl Client {
    /// Makes a call without the GIL, asking every now and then whether a signal has come.
    fn drive<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        observer: Option<Observer>,
        call: impl FnOnce(CallOptions<'_>) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let raised = Mutex::new(None);
        let raise = |error| {
            raised.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        };
        let on_main_thread = Mutex::new(None);
        let interrupted = || {
            if raised.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
                return true;
            }
            let mut on_main_thread = on_main_thread.lock().unwrap_or_else(PoisonError::into_inner);
            if *on_main_thread == Some(false) {
                return false; // Signals are handled by the main thread alone.
            }
            let outcome = Python::try_attach(|py| {
                *on_main_thread = Some(is_main_thread(py)?);
                py.check_signals()
            });
            match outcome {
                Some(Ok(())) => false,
                Some(Err(error)) => {
                    raise(error);
                    true
                }
                None => true, // The interpreter is shutting down.
            }
        };
        let on_attempt = |attempt: &crate::Attempt| {
            let Some(observer) = observer.as_ref().filter(|it| it.wants(attempt)) else { return };
            if let Some(Err(error)) = Python::try_attach(|py| observer.tell(py, attempt)) {
                raise(error);
            }
        };
        let options = CallOptions {
            timeout: timeout.map(seconds),
            interrupted: Some(&interrupted),
            on_attempt: observer.as_ref().map(|_| &on_attempt as _),
        };
        let outcome = py.detach(|| Error::catch_panic(|| call(options)));
        match raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(raised) => Err(match &outcome {
                Ok(_) => raised,
                Err(error) => set_delivery(py, raised, error),
            }),
            None => outcome.map_err(|error| exception(py, &error)),
        }
    }
}

/// A call that was begun for an event loop.
#[pyclass(frozen, module = "skypostal._native", name = "_PendingCall")]
struct PendingCall(Mutex<Option<crate::PendingCall>>);

#[pymethods]
impl PendingCall {
    /// Ends it, and with it its connection.
    fn cancel(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The clients that functions of the module share, each with the environment that it was made from.
/// Locked only by whoever holds the GIL, so that no fork leaves it locked.
type Environment = ([Option<OsString>; ENVIRONMENT_VARIABLES.len()], Option<OsString>);
static CLIENTS: Mutex<Vec<(Environment, Py<Client>)>> = Mutex::new(Vec::new());

/// Changes a customer's personal information and waits for the answer.
///
/// Fields: user_code, app_key, customer_box_id, customer_key, customer_first_name,
/// customer_last_name, customer_identity_number, customer_tax_number, customer_birth_date,
/// customer_gender. What is not given, or None, is not sent and keeps its value.
///
/// timeout: seconds for the whole call, 30 if not given. Raises a SkyPostalError, whose delivery
/// tells whether the customer may have been changed. The stubs of this module are the manual.
#[pyfunction]
#[pyo3(signature = (*, timeout=None, **fields))]
fn update_personal_info(
    py: Python<'_>,
    #[pyo3(from_py_with = argument::timeout)] timeout: Option<f64>,
    fields: Option<&Bound<'_, PyDict>>,
) -> PyResult<PersonalInfo> {
    client_of_environment(py)?.get().update_personal_info(py, timeout, fields)
}

/// Updates the customers of an Arrow table with a cached client, and gives a table of what became of
/// them.
#[pyfunction]
#[pyo3(signature = (
    batch, *, keep=None, concurrency=8, rate=None, timeout=None, max_connect_failures=10
))]
#[allow(clippy::too_many_arguments)]
fn update_batch<'py>(
    py: Python<'py>,
    batch: &Bound<'py, PyAny>,
    keep: Option<&Bound<'py, PyAny>>,
    #[pyo3(from_py_with = argument::concurrency)] concurrency: i64,
    #[pyo3(from_py_with = argument::rate)] rate: Option<f64>,
    #[pyo3(from_py_with = argument::timeout)] timeout: Option<f64>,
    #[pyo3(from_py_with = argument::max_connect_failures)] max_connect_failures: i64,
) -> PyResult<Bound<'py, PyAny>> {
    let client = client_of_environment(py)?;
    let client = client.bind(py);
    Client::update_batch(client, batch, keep, concurrency, rate, timeout, max_connect_failures)
}

/// The columns of what `update_batch` gives.
#[pyfunction]
fn update_batch_schema(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    arrow(py, "update_batch_schema", ())
}

/// Calls a function of `skypostal._arrow`, which imports what few programs need.
fn arrow<'py>(
    py: Python<'py>,
    function: &str,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    call_python(&py.import("skypostal._arrow")?.getattr(function)?, arguments, None)
}

/// The client of this process that was made from the environment as it is.
fn client_of_environment(py: Python<'_>) -> PyResult<Py<Client>> {
    let environment = (ENVIRONMENT_VARIABLES.map(env::var_os), env::var_os(CA_BUNDLE));
    let known = {
        let clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = clients.iter().find(|(known, _)| *known == environment);
        known.map(|(_, client)| client.clone_ref(py))
    };
    if let Some(client) = known {
        return Ok(client);
    }
    let client: Py<Client> = py.get_type::<Client>().call0()?.cast_into()?.unbind();
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    clients.truncate(CLIENTS_KEPT - 1);
    clients.insert(0, (environment, client.clone_ref(py)));
    Ok(client)
}

/// Arguments by name, because an error of pyo3's names one in a note alone, from Python 3.11 on.
mod argument {
    use std::path::PathBuf;

    use pyo3::prelude::*;

    fn named<'py, T>(name: &str, value: &Bound<'py, PyAny>) -> PyResult<T>
    where
        T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
    {
        let py = value.py();
        value.extract().map_err(|error: PyErr| {
            PyErr::from_type(error.get_type(py), format!("{name}: {}", error.value(py)))
        })
    }

    pub(super) fn timeout<'py, T>(value: &Bound<'py, PyAny>) -> PyResult<T>
    where
        T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
    {
        named("timeout", value)
    }

    pub(super) fn connect_timeout(value: &Bound<'_, PyAny>) -> PyResult<f64> {
        named("connect_timeout", value)
    }

    pub(super) fn max_retries(value: &Bound<'_, PyAny>) -> PyResult<i64> {
        named("max_retries", value)
    }

    pub(super) fn concurrency(value: &Bound<'_, PyAny>) -> PyResult<i64> {
        named("concurrency", value)
    }

    pub(super) fn rate(value: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
        named("rate", value)
    }

    pub(super) fn max_connect_failures(value: &Bound<'_, PyAny>) -> PyResult<i64> {
        named("max_connect_failures", value)
    }

    pub(super) fn ca_file(value: &Bound<'_, PyAny>) -> PyResult<Option<PathBuf>> {
        named("ca_file", value)
    }

    pub(super) fn trust_env(value: &Bound<'_, PyAny>) -> PyResult<bool> {
        named("trust_env", value)
    }

    pub(super) fn allow_http(value: &Bound<'_, PyAny>) -> PyResult<bool> {
        named("allow_http", value)
    }
}

/// What is out of range is 0 here, which the core refuses.
fn bulk_options(
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

fn set_text(
    options: &mut Options,
    name: &'static str,
    value: Option<Bound<'_, PyAny>>,
    set: impl FnOnce(&mut Options, Option<&str>) -> Result<(), Error>,
) -> Result<(), Error> {
    let Some(value) = value else { return Ok(()) };
    with_text(&value, |value| match value {
        Value::Text(text) => set(options, Some(text)),
        Value::Invalid(problem) => Err(options.refuse(name, problem)),
        _ => Ok(()),
    })
}

/// The update that the keyword arguments ask for.
fn read_fields(fields: Option<&Bound<'_, PyDict>>) -> PyResult<Update> {
    let mut update = Update::new();
    for (name, value) in fields.into_iter().flatten() {
        let name = name.cast::<PyString>()?.to_string_lossy().into_owned();
        let Some(field) = Field::from_name(&name) else {
            let hint = Field::hint(&name);
            return Err(PyTypeError::new_err(format!(
                "update_personal_info() got an unexpected keyword argument '{name}'{hint}"
            )));
        };
        set_field(&mut update, field, &value).map_err(|error| exception(value.py(), &error))?;
    }
    Ok(update)
}

/// The update of a row of many, with whatever is wrong with its fields: the core tells it as the
/// outcome of the row.
fn read_row(row: &Bound<'_, PyAny>, number: u64) -> PyResult<Update> {
    let wrong = |problem| PyTypeError::new_err(format!("row {number} {problem}"));
    let mut update = Update::new();
    let mut set = |name: Bound<'_, PyAny>, value: Bound<'_, PyAny>| -> PyResult<()> {
        let Ok(name) = name.cast::<PyString>() else {
            let kind = name.get_type().name()?;
            return Err(wrong(format!("has a name that is no str but {kind}")));
        };
        let name = name.to_string_lossy();
        let _ = match Field::from_name(&name) {
            Some(field) => set_field(&mut update, field, &value),
            None => Err(update.refuse_unknown(&name)),
        };
        Ok(())
    };
    if let Ok(row) = row.cast::<PyDict>() {
        for (name, value) in row {
            set(name, value)?;
        }
    } else if let Ok(row) = row.cast::<PyMapping>() {
        for item in row.items()? {
            let (name, value) = item.extract()?;
            set(name, value)?;
        }
    } else {
        let kind = row.get_type().name()?;
        return Err(wrong(format!("is no mapping of field names to values but {kind}")));
    }
    Ok(update)
}

/// None counts as not given.
fn set_field(update: &mut Update, field: Field, value: &Bound<'_, PyAny>) -> Result<(), Error> {
    match field {
        _ if value.is_none() => Ok(()),
        Field::UserCode | Field::CustomerBoxId => update.set(field, integer(value)),
        Field::CustomerTaxNumber => with_number(value, |value| update.set(field, value)),
        Field::CustomerBirthDate => with_date(value, |value| update.set(field, value)),
        _ => with_text(value, |value| update.set(field, value)),
    }
}

fn integer<'a>(value: &Bound<'_, PyAny>) -> Value<'a> {
    if value.is_instance_of::<PyBool>() {
        return Value::Invalid("is not an integer");
    }
    match value.extract() {
        Ok(integer) => Value::Integer(integer),
        Err(_) if value.is_instance_of::<PyInt>() => Value::Invalid("is out of range"),
        Err(_) => Value::Invalid("is not an integer"),
    }
}

fn with_text<T>(value: &Bound<'_, PyAny>, take: impl FnOnce(Value<'_>) -> T) -> T {
    let Ok(text) = value.cast::<PyString>() else {
        return take(Value::Invalid("is not a str"));
    };
    let text = text.to_cow();
    take(text.as_deref().map_or(Value::Invalid("has half of a surrogate pair"), Value::Text))
}

fn with_number<T>(value: &Bound<'_, PyAny>, take: impl FnOnce(Value<'_>) -> T) -> T {
    if value.is_instance_of::<PyString>() {
        return with_text(value, take);
    }
    match convert(value.py(), "plain_number", value) {
        Ok(text) => with_text(&text, take),
        Err(_) => take(Value::Invalid("is not a str, int or Decimal")),
    }
}

fn with_date<T>(value: &Bound<'_, PyAny>, take: impl FnOnce(Value<'_>) -> T) -> T {
    if value.is_instance_of::<PyDateTime>() {
        take(Value::Invalid("is a datetime, whose day depends on a time zone; give a date"))
    } else if value.is_instance_of::<PyDate>() {
        match value.call_method0("isoformat") {
            Ok(text) => with_text(&text, take),
            Err(_) => take(Value::Invalid("is not a date")),
        }
    } else if value.is_instance_of::<PyString>() {
        with_text(value, take)
    } else {
        take(Value::Invalid("is neither a str nor a datetime.date"))
    }
}

/// Seconds as a duration; the core refuses 0, which stands for what is none.
fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn since_1970(time: SystemTime) -> f64 {
    let before = |e: SystemTimeError| -e.duration().as_secs_f64();
    time.duration_since(UNIX_EPOCH).map_or_else(before, |since| since.as_secs_f64())
}

/// Calls what may be written in Python.
///
/// CPython before 3.14 ends a thread that is in such a call when the interpreter ends, by unwinding
/// it, and no frame of this library may drop its references then: as pyo3 does where it waits for
/// the GIL, the thread is stopped here instead.
fn call_python<'py>(
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

fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let call = |name| call_python(&threading.getattr(name)?, (), None);
    Ok(call("current_thread")?.is(&call("main_thread")?))
}

/// Calls a function of `skypostal._convert`.
fn convert<'py>(
    py: Python<'py>,
    function: &str,
    value: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    call_python(&py.import("skypostal._convert")?.getattr(function)?, (value,), None)
}

/// What ended a call early, with the answers that every error has; a class may have no room for
/// them.
fn set_delivery(py: Python<'_>, raised: PyErr, error: &Error) -> PyErr {
    let value = raised.value(py);
    let _ = value.setattr("delivery", error.delivery().as_str());
    let _ = value.setattr("attempts", error.attempts());
    raised
}

/// The exception of `skypostal.errors` for an error of the core.
fn exception(py: Python<'_>, error: &Error) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let details = PyDict::new(py);
        details.set_item("delivery", error.delivery().as_str())?;
        details.set_item("attempts", error.attempts())?;
        let class = match error.kind() {
            Kind::InvalidField => {
                details.set_item("field", error.field())?;
                "ValidationError"
            }
            Kind::Configuration => "ConfigurationError",
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
                return Ok(set_delivery(py, interrupt, error));
            }
            Kind::Internal => "InternalError",
        };
        let class = py.import("skypostal.errors")?.getattr(class)?;
        Ok(PyErr::from_value(call_python(&class, (error.to_string(),), Some(&details))?))
    };
    make().unwrap_or_else(|error| error)
}
