//! A request as a person may see it.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::headers::headers_dict;
use super::observer::repr_of;

/// The request that an update would send, with *** in place of the keys.
#[pyclass(frozen, eq, module = "skypostal")]
#[derive(PartialEq)]
pub(super) struct Preview {
    pub(super) url: String,
    pub(super) request: crate::Preview,
}

#[pymethods]
impl Preview {
    /// The HTTP method.
    #[getter]
    fn method(&self) -> &'static str {
        "POST"
    }

    /// The address of the call.
    #[getter]
    fn url(&self) -> &str {
        &self.url
    }

    /// The headers, by their lower-case names.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        headers_dict(py, &self.request.headers)
    }

    /// The body, which is JSON.
    #[getter]
    fn body(&self) -> &str {
        &self.request.body
    }

    fn __repr__(this: &Bound<'_, Self>) -> PyResult<String> {
        repr_of(this, "Preview", &["method", "url"])
    }
}
