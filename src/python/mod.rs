//! The Python module `skypostal._native`.
//!
//! Each function turns Python values into the core's and the outcome into Python's; what can be
//! said in Python (the exception classes, numbers of any length) is in `python/skypostal`.

use std::env;
use std::ffi::OsString;
use std::mem;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, SystemTimeError, UNIX_EPOCH};

use chrono::Datelike;
use pyo3::exceptions::{
    PyImportError, PyKeyboardInterrupt, PyMemoryError, PyOverflowError, PyTypeError,
    PyUnicodeEncodeError, PyValueError,
};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDate, PyDateTime, PyDict, PyInt, PyMapping, PyString, PyTuple};

use self::bulk::{BulkUpdate, Outcome};
use self::event_queue::{EventQueue, QueuedEvent};
use self::observer::{Attempt, Observer};
use crate::sys::privileges;
use crate::{
    BulkOptions, CallOptions, Delivery, ENVIRONMENT_VARIABLES, Error, Field, Kind, Options, Update,
    Value,
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

    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
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
        preload(py)?;
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
    /// `sys.modules`, which tells whether the application has imported `logging`.
    modules: Py<PyDict>,
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
        preload(py)?;
        let mut options = Options::new();
        let user_code = user_code.as_ref().map(integer).transpose()?;
        // A fault in the environment is remembered, and does not matter where an argument is.
        let _ = options.read_environment();
        let client = (|| {
            if let Some(user_code) = user_code {
                options.set_user_code(user_code)?;
            }
            if let Some(app_key) = &app_key {
                with_text(app_key, |value| options.set_app_key(value))??;
            }
            set_text(&mut options, "environment", environment, Options::set_environment)?;
            set_text(&mut options, "base_url", base_url, Options::set_base_url)?;
            options.set_timeout(Some(seconds(timeout)))?;
            options.set_connect_timeout(Some(seconds(connect_timeout)))?;
            options.set_max_retries(max_retries)?;
            set_text(&mut options, "proxy", proxy, Options::set_proxy)?;
            let trusted = trust_env && !privileges::raised();
            let bundle = || env::var_os(CA_BUNDLE).filter(|path| trusted && !path.is_empty());
            options.set_ca_file(ca_file.or_else(|| bundle().map(PathBuf::from)).as_deref())?;
            options.set_trust_env(trust_env);
            options.set_allow_http(allow_http);
            crate::Client::new(&options).map_err(Ended::Error)
        })()
        .map_err(|ended| ended.exception(py))?;
        let mut shown = format!(
            "url={:?}, timeout={timeout:?}, connect_timeout={connect_timeout:?}, \
             max_retries={max_retries}",
            client.url(),
        );
        if let Some(proxy) = client.proxy() {
            shown.push_str(&format!(", proxy={proxy:?}"));
        }
        let on_attempt = on_attempt.map(Bound::unbind);
        let modules = py.import("sys")?.getattr("modules")?.cast_into()?.unbind();
        Ok(Client { client: Arc::new(client), on_attempt, modules, shown })
    }

    /// As skypostal.update_personal_info, with this client's options.
    #[pyo3(signature = (*, timeout=None, **fields))]
    fn update_personal_info(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = argument::timeout)] timeout: Option<f64>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PersonalInfo>> {
        let prepare = || Ok((read_fields(fields)?, self.observer(py)?));
        let (update, observer) = memory_error(prepare).map_err(|raised| not_sent(py, raised))?;
        let attempts = AtomicU32::new(0);
        let info = self.drive(py, timeout, observer, &attempts, |options| {
            self.client.update_personal_info_with(&update, options)
        })?;
        Py::new(py, PersonalInfo(info)).map_err(|raised| {
            set_delivery(py, raised, Delivery::Unknown, attempts.load(Ordering::Relaxed))
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
        let observer = self.observer(py);
        let bulk = observer.and_then(|observer| {
            BulkUpdate::new(py, &self.client, observer, &options, Some(rows), None)
        });
        bulk.map_err(|raised| not_sent(py, raised))
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
        let options = bulk_options(concurrency, rate, timeout, max_connect_failures);
        let observer = self.observer(py)?;
        let waker = Some((queue.get().inbox(py)?, wake));
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
        let prepare = || {
            let observer = self.observer(py)?;
            let observer = observer.map(|observer| observer.in_this_context(py)).transpose()?;
            Ok((read_fields(fields)?, observer))
        };
        let (update, observer) = memory_error(prepare).map_err(|raised| not_sent(py, raised))?;
        let inbox = queue.get().inbox(py)?;
        let for_attempts = inbox.clone();
        let on_attempt = observer.map(Arc::new).map(|observer| {
            Box::new(move |attempt: crate::Attempt| {
                if observer.wants(&attempt) {
                    for_attempts.push(QueuedEvent::Attempt(observer.clone(), attempt));
                }
            }) as _
        });
        let done = move |outcome| inbox.push(QueuedEvent::Outcome(settle, outcome));
        let begin = || self.client.start_update(&update, timeout.map(seconds), on_attempt, done);
        let begun = py.detach(|| Error::catch_panic(begin));
        begun
            .map(|begun| PendingCall(Mutex::new(Some(begun))))
            .map_err(|error| exception(py, &error))
    }

    /// What `skypostal doctor` asks: whether the service answers, without telling it anything.
    #[pyo3(signature = (*, timeout=None))]
    fn _probe<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyDict>> {
        let attempts = AtomicU32::new(0);
        let probe =
            self.drive(py, timeout, None, &attempts, |options| self.client.probe(options))?;
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
    fn observer(&self, py: Python<'_>) -> PyResult<Option<Observer>> {
        Observer::new(py, self.on_attempt.as_ref(), self.modules.bind(py))
    }

    /// Makes a call without the GIL, asking every now and then whether a signal has come.
    fn drive<T: Send>(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        observer: Option<Observer>,
        attempts: &AtomicU32,
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
            attempts: Some(attempts),
        };
        let outcome = py.detach(|| Error::catch_panic(|| call(options)));
        match raised.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(raised) => Err(match &outcome {
                // It was accepted, and the caller gets no record that says so.
                Ok(_) => {
                    let attempts = attempts.load(Ordering::Relaxed);
                    set_delivery(py, raised, Delivery::Unknown, attempts)
                }
                Err(error) => set_delivery(py, raised, error.delivery(), error.attempts()),
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
    /// Ends it, and with it its connection. Returns the delivery and the number of attempts.
    fn cancel(&self) -> (&'static str, u32) {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (delivery, attempts) = begun.map_or((Delivery::Unknown, 0), crate::PendingCall::cancel);
        (delivery.as_str(), attempts)
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
) -> PyResult<Py<PersonalInfo>> {
    let client = client_of_environment(py).map_err(|raised| not_sent(py, raised))?;
    client.get().update_personal_info(py, timeout, fields)
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
            let error = if super::says_unfit(py, &error) {
                PyErr::from_type(error.get_type(py), format!("{name}: {}", error.value(py)))
            } else {
                error
            };
            super::not_sent(py, error)
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
) -> Result<(), Ended> {
    let Some(value) = value else { return Ok(()) };
    with_text(&value, |value| match value {
        Value::Text(text) => set(options, Some(text)),
        Value::Invalid(problem) => Err(options.refuse(name, problem)),
        _ => Ok(()),
    })??;
    Ok(())
}

/// Why values of Python were not taken: the core refuses one, or Python raised something else.
enum Ended {
    Error(Error),
    Raised(PyErr),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Ended::Error(error)
    }
}

impl From<PyErr> for Ended {
    fn from(raised: PyErr) -> Self {
        Ended::Raised(raised)
    }
}

impl Ended {
    fn exception(self, py: Python<'_>) -> PyErr {
        match self {
            Ended::Error(error) => exception(py, &error),
            Ended::Raised(raised) => raised,
        }
    }
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
        set_field(&mut update, field, &value).map_err(|ended| ended.exception(value.py()))?;
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
        let Some(field) = Field::from_name(&name) else {
            update.refuse_unknown(&name);
            return Ok(());
        };
        match set_field(&mut update, field, &value) {
            Err(Ended::Raised(raised)) => Err(raised),
            Err(Ended::Error(_)) | Ok(()) => Ok(()),
        }
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
fn set_field(update: &mut Update, field: Field, value: &Bound<'_, PyAny>) -> Result<(), Ended> {
    match field {
        _ if value.is_none() => {}
        Field::UserCode | Field::CustomerBoxId => update.set(field, integer(value)?)?,
        Field::CustomerTaxNumber => with_number(value, |value| update.set(field, value))??,
        Field::CustomerBirthDate => with_date(value, |value| update.set(field, value))??,
        _ => with_text(value, |value| update.set(field, value))??,
    }
    Ok(())
}

/// Whether Python's own conversion raised `error` because a value does not fit. Any other exception
/// is about something else than the value, and comes out as it is.
fn says_unfit(py: Python<'_>, error: &PyErr) -> bool {
    let class = error.get_type(py);
    [py.get_type::<PyTypeError>(), py.get_type::<PyValueError>(), py.get_type::<PyOverflowError>()]
        .iter()
        .any(|unfit| class.is(unfit))
}

fn integer<'a>(value: &Bound<'_, PyAny>) -> PyResult<Value<'a>> {
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Invalid("is not an integer"));
    }
    match value.extract() {
        Ok(integer) => Ok(Value::Integer(integer)),
        Err(error) if !says_unfit(value.py(), &error) => Err(error),
        Err(_) if value.is_instance_of::<PyInt>() => Ok(Value::Invalid("is out of range")),
        Err(_) => Ok(Value::Invalid("is not an integer")),
    }
}

fn with_text<T>(value: &Bound<'_, PyAny>, take: impl FnOnce(Value<'_>) -> T) -> PyResult<T> {
    let Ok(text) = value.cast::<PyString>() else {
        return Ok(take(Value::Invalid("is not a str")));
    };
    match text.to_cow() {
        Ok(text) => Ok(take(Value::Text(&text))),
        Err(error) if error.is_instance_of::<PyUnicodeEncodeError>(value.py()) => {
            Ok(take(Value::Invalid("has half of a surrogate pair")))
        }
        Err(error) => Err(error),
    }
}

fn with_number<T>(value: &Bound<'_, PyAny>, take: impl FnOnce(Value<'_>) -> T) -> PyResult<T> {
    if value.is_instance_of::<PyString>() {
        return with_text(value, take);
    }
    let text = convert(value.py(), "plain_number", value)?;
    if text.is_none() {
        return Ok(take(Value::Invalid("is not a str, int or Decimal")));
    }
    with_text(&text, take)
}

fn with_date<T>(value: &Bound<'_, PyAny>, take: impl FnOnce(Value<'_>) -> T) -> PyResult<T> {
    if value.is_instance_of::<PyDateTime>() {
        let problem = "is a datetime, whose day depends on a time zone; give a date";
        Ok(take(Value::Invalid(problem)))
    } else if value.is_instance_of::<PyDate>() {
        with_text(&value.call_method0("isoformat")?, take)
    } else if value.is_instance_of::<PyString>() {
        with_text(value, take)
    } else {
        Ok(take(Value::Invalid("is neither a str nor a datetime.date")))
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
    let threading = match py.import(intern!(py, "threading")) {
        // When the interpreter ends, there is no other thread and no module left.
        Err(error) if error.is_instance_of::<PyImportError>(py) => return Ok(true),
        threading => threading?,
    };
    let call = |name| call_python(&threading.getattr(name)?, (), None);
    Ok(call("current_thread")?.is(&call("main_thread")?))
}

/// Imports what calls need.
fn preload(py: Python<'_>) -> PyResult<()> {
    py.import(intern!(py, "skypostal._preload")).map(drop)
}

/// Calls a function of `skypostal._convert`.
fn convert<'py>(
    py: Python<'py>,
    function: &str,
    value: impl IntoPyObject<'py>,
) -> PyResult<Bound<'py, PyAny>> {
    call_python(&py.import("skypostal._convert")?.getattr(function)?, (value,), None)
}

/// Runs what makes values of Python. Where Python has no memory for one, pyo3 panics; nothing else
/// there does.
fn memory_error<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(PyMemoryError::new_err("no memory for a value of Python")))
}

/// Puts onto an exception that is not ours what every error has, where its class has room.
fn set_delivery(py: Python<'_>, raised: PyErr, delivery: Delivery, attempts: u32) -> PyErr {
    let value = raised.value(py);
    // Known to Python already, as there may be no memory.
    let shown = match delivery {
        Delivery::NotSent => intern!(py, "not_sent"),
        Delivery::Rejected => intern!(py, "rejected"),
        Delivery::Unknown => intern!(py, "unknown"),
    };
    let _ = value.setattr(intern!(py, "delivery"), shown);
    let _ = value.setattr(intern!(py, "attempts"), attempts);
    raised
}

/// The same for what was raised before anything was sent.
fn not_sent(py: Python<'_>, raised: PyErr) -> PyErr {
    set_delivery(py, raised, Delivery::NotSent, 0)
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
        Ok(PyErr::from_value(raised))
    };
    // Such as a RecursionError, which then stands for the error.
    let made = memory_error(make);
    made.unwrap_or_else(|raised| set_delivery(py, raised, error.delivery(), error.attempts()))
}
