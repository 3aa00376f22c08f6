//! The client, and the calls of an event loop.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::arguments::{self, bulk_options, seconds, set_text, unix_time};
use super::bulk::BulkUpdate;
use super::errors::{exception, memory_error, not_sent, set_delivery};
use super::event_queue::{EventQueue, QueuedEvent};
use super::fields::{Rejected, UPDATE, integer, read_fields, with_text};
use super::interpreter::{call_arrow, call_python, is_main_thread, preload};
use super::observer::Observer;
use super::personal_info::PersonalInfo;
use super::preview::Preview;
use crate::error::ConnectCause;
use crate::{CallOptions, Delivery, Error, Options};

/// The variable by which Python programs that use requests name the certificates of their company.
pub(super) const CA_BUNDLE: &str = "REQUESTS_CA_BUNDLE";

#[doc = include_str!("client_help.txt")]
#[pyclass(frozen, module = "skypostal")]
pub(super) struct Client {
    client: Arc<crate::Client>,
    on_attempt: Option<Py<PyAny>>,
    /// `sys.modules`, which says whether the application has imported `logging`.
    modules: Py<PyDict>,
    /// `skypostal._logging.logs_all`.
    logs_all: Py<PyAny>,
    /// The options that the repr shows; none is secret.
    shown: String,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (
        *, user_code=None, app_key=None, environment=None, base_url=None, timeout=30.0,
        connect_timeout=10.0, max_retries=2, proxy=None, ca_file=None, trust_env=true,
        allow_http=false, user_agent=None, on_attempt=None, **unknown
    ), text_signature = "(*, user_code=None, app_key=None, environment=None, base_url=None, \
        timeout=30.0, connect_timeout=10.0, max_retries=2, proxy=None, ca_file=None, \
        trust_env=True, allow_http=False, user_agent=None, on_attempt=None)")]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        user_code: Option<Bound<'_, PyAny>>,
        app_key: Option<Bound<'_, PyAny>>,
        environment: Option<Bound<'_, PyAny>>,
        base_url: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = arguments::timeout)] timeout: f64,
        #[pyo3(from_py_with = arguments::connect_timeout)] connect_timeout: f64,
        #[pyo3(from_py_with = arguments::max_retries)] max_retries: i64,
        proxy: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = arguments::ca_file)] ca_file: Option<PathBuf>,
        #[pyo3(from_py_with = arguments::trust_env)] trust_env: bool,
        #[pyo3(from_py_with = arguments::allow_http)] allow_http: bool,
        user_agent: Option<Bound<'_, PyAny>>,
        on_attempt: Option<Bound<'_, PyAny>>,
        unknown: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        arguments::refuse_unknown_options(unknown)?;
        if on_attempt.as_ref().is_some_and(|hook| !hook.is_callable()) {
            return Err(PyTypeError::new_err("on_attempt must be callable"));
        }
        preload(py)?;
        let mut options = Options::new();
        let user_code = user_code.as_ref().map(integer).transpose()?;
        // A bad variable is remembered, and does not matter where an argument replaces it. The file of
        // the key may be a pipe that is slow to fill.
        let _ = py.detach(|| options.read_environment());
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
            options.set_ca_file(ca_file.as_deref())?;
            options.read_ca_file_from(CA_BUNDLE);
            options.set_trust_env(trust_env);
            options.set_allow_http(allow_http);
            set_text(&mut options, "user_agent", user_agent, Options::set_user_agent)?;
            crate::Client::new(&options).map_err(Rejected::Error)
        })()
        .map_err(|rejected| rejected.exception(py))?;
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
        let logs_all = py.import("skypostal._logging")?.getattr("logs_all")?.unbind();
        Ok(Client { client: Arc::new(client), on_attempt, modules, logs_all, shown })
    }

    /// As skypostal.update_personal_info, with this client's options.
    #[pyo3(signature = (*, timeout=None, **fields))]
    pub(super) fn update_personal_info(
        &self,
        py: Python<'_>,
        #[pyo3(from_py_with = arguments::timeout)] timeout: Option<f64>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PersonalInfo>> {
        let prepare = || Ok((read_fields(UPDATE, fields)?, self.observer(py)?));
        let (update, observer) = memory_error(prepare).map_err(|raised| not_sent(py, raised))?;
        let attempts = AtomicU32::new(0);
        let info = self.drive(py, timeout, observer, &attempts, |options| {
            self.client.update_personal_info_with(&update, options)
        })?;
        Py::new(py, PersonalInfo(info)).map_err(|raised| {
            set_delivery(py, raised, Delivery::Unknown, attempts.load(Ordering::Relaxed))
        })
    }

    /// Returns every problem that would keep this update from being sent; sends nothing.
    #[pyo3(signature = (**fields))]
    fn validate(
        &self,
        py: Python<'_>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        let problems = self.client.validate(&read_fields("validate", fields)?);
        Ok(problems.iter().map(|it| exception(py, it).into_value(py).into_any()).collect())
    }

    /// Updates many customers, several at once.
    #[pyo3(signature = (
        rows, *, concurrency=8, rate=None, timeout=None, max_connect_failures=10, skip_empty=false
    ))]
    #[allow(clippy::too_many_arguments)]
    fn update_many(
        &self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        #[pyo3(from_py_with = arguments::concurrency)] concurrency: i64,
        #[pyo3(from_py_with = arguments::rate)] rate: Option<f64>,
        #[pyo3(from_py_with = arguments::timeout)] timeout: Option<f64>,
        #[pyo3(from_py_with = arguments::max_connect_failures)] max_connect_failures: i64,
        #[pyo3(from_py_with = arguments::skip_empty)] skip_empty: bool,
    ) -> PyResult<BulkUpdate> {
        let options = bulk_options(concurrency, rate, timeout, max_connect_failures);
        let observer = self.observer(py);
        let bulk = observer.and_then(|observer| {
            BulkUpdate::new(py, &self.client, observer, &options, skip_empty, Some(rows), None)
        });
        bulk.map_err(|raised| not_sent(py, raised))
    }

    /// Updates the customers of an Arrow table, and returns a table of the outcomes.
    #[pyo3(signature = (
        batch, *, keep=None, concurrency=8, rate=None, timeout=None, max_connect_failures=10,
        skip_empty=false
    ))]
    #[allow(clippy::too_many_arguments)]
    pub(super) fn update_batch<'py>(
        this: &Bound<'py, Self>,
        batch: &Bound<'py, PyAny>,
        keep: Option<&Bound<'py, PyAny>>,
        #[pyo3(from_py_with = arguments::concurrency)] concurrency: i64,
        #[pyo3(from_py_with = arguments::rate)] rate: Option<f64>,
        #[pyo3(from_py_with = arguments::timeout)] timeout: Option<f64>,
        #[pyo3(from_py_with = arguments::max_connect_failures)] max_connect_failures: i64,
        #[pyo3(from_py_with = arguments::skip_empty)] skip_empty: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = (concurrency, rate, timeout, max_connect_failures, skip_empty);
        call_arrow(this.py(), "update_batch", (this, batch, keep, options))
    }

    /// Starts a bulk for an event loop, which submits the rows. `wake` is called on that event loop
    /// when there is an event.
    #[allow(clippy::too_many_arguments)]
    fn _start_bulk(
        &self,
        py: Python<'_>,
        queue: Py<EventQueue>,
        wake: Py<PyAny>,
        #[pyo3(from_py_with = arguments::concurrency)] concurrency: i64,
        #[pyo3(from_py_with = arguments::rate)] rate: Option<f64>,
        #[pyo3(from_py_with = arguments::timeout)] timeout: Option<f64>,
        #[pyo3(from_py_with = arguments::max_connect_failures)] max_connect_failures: i64,
        #[pyo3(from_py_with = arguments::skip_empty)] skip_empty: bool,
    ) -> PyResult<BulkUpdate> {
        let options = bulk_options(concurrency, rate, timeout, max_connect_failures);
        let observer = self.observer(py)?;
        let waker = Some((queue.get().shared(py)?, wake));
        BulkUpdate::new(py, &self.client, observer, &options, skip_empty, None, waker)
    }

    /// Returns the request that this update would send, with the keys hidden; sends nothing.
    #[pyo3(signature = (**fields))]
    fn preview(&self, py: Python<'_>, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Preview> {
        let request = self.client.preview(&read_fields("preview", fields)?);
        let request = request.map_err(|error| exception(py, &error))?;
        Ok(Preview { url: self.client.url().to_owned(), request })
    }

    /// Returns the address of the call, the proxy, and where each option came from: `"default"`,
    /// `"option"` or the name of a variable. For `skypostal doctor`.
    fn _route(&self) -> (&str, Option<&str>, HashMap<&str, &str>) {
        let sources = self.client.sources();
        let sources = HashMap::from([
            ("environment", sources.environment.as_str()),
            ("base_url", sources.base_url.as_str()),
            ("proxy", sources.proxy.as_str()),
            ("ca_file", sources.ca_file.as_str()),
        ]);
        (self.client.url(), self.client.proxy(), sources)
    }

    /// Returns the environment that is called, or None for another address. For the command line.
    fn _environment(&self) -> Option<&'static str> {
        self.client.environment()
    }

    /// Starts a call for an event loop: its events go into the event queue, and its outcome becomes
    /// the result of `future`.
    fn _start_update(
        &self,
        py: Python<'_>,
        queue: Py<EventQueue>,
        future: Py<PyAny>,
        #[pyo3(from_py_with = arguments::timeout)] timeout: Option<f64>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PendingCall> {
        let prepare = || {
            let observer = self.observer(py)?;
            let observer = observer.map(|observer| observer.in_this_context(py)).transpose()?;
            let observer = observer.map(|observer| observer.with_future(&future, py));
            Ok((read_fields(UPDATE, fields)?, observer))
        };
        let (update, observer) = memory_error(prepare).map_err(|raised| not_sent(py, raised))?;
        let queue = queue.get().shared(py)?;
        let for_attempts = queue.clone();
        let on_attempt = observer.map(Arc::new).map(|observer| {
            let reported = observer.reported_attempts();
            let push = move |attempt: crate::Attempt| {
                for_attempts.push(QueuedEvent::Attempt(observer.clone(), attempt));
            };
            (reported, Box::new(push) as _)
        });
        let done = move |outcome| queue.push(QueuedEvent::Outcome(future, outcome));
        let start = || self.client.start_update(&update, timeout.map(seconds), on_attempt, done);
        let call = py.detach(|| Error::catch_panic(start));
        call.map(PendingCall::new).map_err(|error| exception(py, &error))
    }

    /// Asks whether the service responds, and sends no data. For `skypostal doctor`.
    #[pyo3(signature = (*, timeout=None))]
    fn _probe<'py>(&self, py: Python<'py>, timeout: Option<f64>) -> PyResult<Bound<'py, PyDict>> {
        let attempts = AtomicU32::new(0);
        let mut found = (None, false);
        let ask = |options: CallOptions<'_>| {
            let outcome = self.client.probe(options);
            outcome.inspect_err(|error| found = (error.connect_cause(), error.is_at_proxy()))
        };
        let probe = self.drive(py, timeout, None, &attempts, ask).or_else(|raised| {
            raised.value(py).setattr("_cause", found.0.map(ConnectCause::as_str))?;
            raised.value(py).setattr("_at_proxy", found.1)?;
            Err(raised)
        })?;
        let dict = PyDict::new(py);
        dict.set_item("status", probe.status)?;
        dict.set_item("date", probe.date.map(unix_time))?;
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
    /// Returns true if this is the `sys.modules` of the interpreter in which the client was made.
    pub(super) fn knows(&self, modules: &Bound<'_, PyAny>) -> bool {
        self.modules.is(modules)
    }

    fn observer(&self, py: Python<'_>) -> PyResult<Option<Observer>> {
        // Without `logging` there is no handler.
        let logs_all = match self.modules.bind(py).contains(intern!(py, "logging"))? {
            true => call_python(self.logs_all.bind(py), (), None)?.extract()?,
            false => None,
        };
        Ok(Observer::new(py, self.on_attempt.as_ref(), logs_all))
    }

    /// Makes a call without the GIL. While it waits, it handles signals.
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
                // The interpreter is ending. The call of a finalizer goes on until its deadline. Any
                // other thread stops when it asks for the GIL.
                None => false,
            }
        };
        let on_attempt = |attempt: &crate::Attempt| {
            let Some(observer) = &observer else { return };
            if let Some(Err(error)) = Python::try_attach(|py| observer.notify(py, attempt)) {
                raise(error);
            }
        };
        let options = CallOptions {
            timeout: timeout.map(seconds),
            interrupted: Some(&interrupted),
            on_attempt: observer.as_ref().map(|_| &on_attempt as _),
            reported_attempts: observer
                .as_ref()
                .map(Observer::reported_attempts)
                .unwrap_or_default(),
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

/// A call in flight for an event loop.
#[pyclass(frozen, module = "skypostal._native", name = "_PendingCall")]
struct PendingCall(Mutex<Option<crate::PendingCall>>);

#[pymethods]
impl PendingCall {
    /// Ends the call and its connection. Returns the delivery and the number of attempts.
    fn cancel(&self) -> (&'static str, u32) {
        let call = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (delivery, attempts) = call.map_or((Delivery::Unknown, 0), crate::PendingCall::cancel);
        (delivery.as_str(), attempts)
    }
}

impl PendingCall {
    fn new(call: crate::PendingCall) -> Self {
        PendingCall(Mutex::new(Some(call)))
    }
}
