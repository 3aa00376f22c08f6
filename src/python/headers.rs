//! The headers of a request or a response, as Python has them.

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Returns headers as a dict. The values of a repeated header are joined by commas.
pub(super) fn headers_dict<'py>(
    py: Python<'py>,
    headers: &[(String, String)],
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in headers {
        let earlier: Option<String> = dict.get_item(name)?.map(|it| it.extract()).transpose()?;
        let value = earlier.map_or(value.clone(), |earlier| format!("{earlier}, {value}"));
        dict.set_item(name, value)?;
    }
    Ok(dict)
}
