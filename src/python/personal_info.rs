//! The customer's record.

use chrono::Datelike;
use pyo3::prelude::*;
use pyo3::types::{PyDate, PyDict, PyString, PyTuple};

use super::errors::exception;
use super::interpreter::convert;

const ATTRIBUTES: [&str; 7] = [
    "cust_id",
    "customer_first_name",
    "customer_last_name",
    "customer_identity_number",
    "customer_tax_number",
    "customer_birth_date",
    "customer_gender",
];

/// The customer's personal information after an update, as the service reports it.
#[pyclass(frozen, eq, module = "skypostal")]
#[derive(PartialEq)]
pub(super) struct PersonalInfo(pub(super) crate::PersonalInfo);

#[pymethods]
impl PersonalInfo {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ATTRIBUTES)
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
        for name in ATTRIBUTES {
            dict.set_item(name, this.getattr(name)?)?;
        }
        Ok(dict)
    }

    /// The seven attributes as JSON.
    fn to_json(&self) -> String {
        self.0.to_json()
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        PyString::new(py, &self.0.raw).hash()
    }

    fn __repr__(&self) -> String {
        match self.0.cust_id {
            Some(id) => format!("PersonalInfo(cust_id={id}, ...)"),
            None => "PersonalInfo(...)".to_owned(),
        }
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (String,))> {
        Ok((py.import("skypostal._preload")?.getattr("personal_info")?, (self.0.raw.clone(),)))
    }

    #[staticmethod]
    fn _from_raw(py: Python<'_>, raw: &str) -> PyResult<Self> {
        crate::PersonalInfo::from_raw(raw).map(PersonalInfo).map_err(|e| exception(py, &e))
    }
}
