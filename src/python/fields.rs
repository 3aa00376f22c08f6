//! Fields of an update: keyword arguments and rows.

use std::str;

use pyo3::exceptions::{PyTypeError, PyUnicodeEncodeError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDate, PyDateTime, PyDict, PyInt, PyMapping, PyNone, PyString,
};

use super::errors::{exception, says_unfit};
use super::interpreter::{convert, may_run_python};
use crate::{Error, Field, Update, Value, field};

/// Why a value was not taken: the core refuses it, or Python raised another exception.
pub(super) enum Rejected {
    Error(Error),
    Raised(PyErr),
}

impl From<Error> for Rejected {
    fn from(error: Error) -> Self {
        Rejected::Error(error)
    }
}

impl From<PyErr> for Rejected {
    fn from(raised: PyErr) -> Self {
        Rejected::Raised(raised)
    }
}

impl Rejected {
    pub(super) fn exception(self, py: Python<'_>) -> PyErr {
        match self {
            Rejected::Error(error) => exception(py, &error),
            Rejected::Raised(raised) => raised,
        }
    }
}

/// The function that makes a call, which has a timeout too.
pub(super) const UPDATE: &str = "update_personal_info";

/// Returns the update of a function's keyword arguments. The core reports a bad value when the update
/// is used.
pub(super) fn read_fields(function: &str, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Update> {
    may_run_python(|| fields_of_call(function, fields))
}

fn fields_of_call(function: &str, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Update> {
    let mut update = Update::new();
    for (name, value) in fields.into_iter().flatten() {
        let name = name.cast::<PyString>()?.to_string_lossy().into_owned();
        let Some(field) = Field::from_name(&name) else {
            let near = field::nearest(&name, ["timeout"]).filter(|_| function == UPDATE);
            let hint = match near {
                Some(timeout) => format!(". Did you mean '{timeout}'?"),
                None => Field::hint(&name),
            };
            return Err(PyTypeError::new_err(format!(
                "{function}() got an unexpected keyword argument '{name}'{hint}"
            )));
        };
        set_field(&mut update, field, &value)?;
    }
    Ok(update)
}

/// Returns the update of a row. The core reports a bad value, or an unknown name, as the outcome of
/// the row. `skip_empty` leaves out empty texts and the missing values of pandas.
pub(super) fn read_row(row: &Bound<'_, PyAny>, number: u64, skip_empty: bool) -> PyResult<Update> {
    may_run_python(|| fields_of_row(row, number, skip_empty))
}

fn fields_of_row(row: &Bound<'_, PyAny>, number: u64, skip_empty: bool) -> PyResult<Update> {
    let mut update = Update::new();
    let mut set = |name: Bound<'_, PyAny>, value: Bound<'_, PyAny>| -> PyResult<()> {
        let Ok(text) = name.cast::<PyString>() else {
            return refuse_name(&mut update, &name);
        };
        let text = text.to_string_lossy();
        let Some(field) = Field::from_name(&text) else {
            update.refuse_unknown(&text);
            return Ok(());
        };
        if skip_empty && is_empty(&value)? {
            return Ok(());
        }
        set_field(&mut update, field, &value)
    };
    if let Ok(row) = row.cast::<PyDict>() {
        // What converts a value may change the row.
        for (name, value) in row.copy()? {
            set(name, value)?;
        }
    } else if let Ok(row) = row.cast::<PyMapping>() {
        for item in row.items()? {
            let (name, value) = item.extract()?;
            set(name, value)?;
        }
    } else {
        let kind = row.get_type().name()?;
        let problem = format!("row {number} is no mapping of field names to values but {kind}");
        return Err(PyTypeError::new_err(problem));
    }
    Ok(update)
}

/// Refuses a name that is no str.
fn refuse_name(update: &mut Update, name: &Bound<'_, PyAny>) -> PyResult<()> {
    let shown = name.repr()?;
    let shown = shown.to_string_lossy();
    if name.is_instance_of::<PyNone>() {
        update.refuse(
            &shown,
            "has the cells beyond the last column, as csv.DictReader keeps them; put quotation \
             marks around a cell that holds the delimiter",
        );
    } else {
        let kind = name.get_type().name()?;
        update.refuse(&shown, format_args!("is no field, as its name is no str but {kind}"));
    }
    Ok(())
}

/// Returns whether a value stands for an empty cell.
fn is_empty(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    match value.cast::<PyString>() {
        Ok(text) => text.is_empty(),
        Err(_) => Ok(unfit_kind(value)?.as_deref() == Some(MISSING)),
    }
}

/// Sets a field; None counts as not given. The update remembers a bad value.
fn set_field(update: &mut Update, field: Field, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let set = |value: Value<'_>| drop(update.set(field, value));
    match field {
        _ if value.is_none() => Ok(()),
        Field::UserCode | Field::CustomerBoxId => integer(value).map(set),
        Field::CustomerTaxNumber => with_number(value, set),
        Field::CustomerBirthDate => with_date(value, set),
        _ => with_text(value, set),
    }
}

pub(super) fn integer<'a>(value: &Bound<'_, PyAny>) -> PyResult<Value<'a>> {
    if value.is_instance_of::<PyBool>() {
        return Ok(Value::Invalid("is not an integer"));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(Value::from_digits(&text.to_string_lossy()));
    }
    match value.extract() {
        Ok(integer) => return Ok(Value::Integer(integer)),
        Err(error) if !says_unfit(value.py(), &error) => return Err(error),
        Err(_) if value.is_instance_of::<PyInt>() => return Ok(Value::Invalid("is out of range")),
        Err(_) => {}
    }
    // A Decimal, as databases have for whole numbers.
    let digits = convert(value.py(), "plain_number", value)?;
    if let Ok(digits) = digits.cast::<PyString>() {
        return Ok(Value::from_digits(&digits.to_string_lossy()));
    }
    unfit(
        value,
        "is not an integer",
        "is a float, which pandas makes of integers where a column has a missing value; convert \
         the column with astype(\"Int64\")",
    )
}

pub(super) fn with_text<T>(
    value: &Bound<'_, PyAny>,
    take: impl FnOnce(Value<'_>) -> T,
) -> PyResult<T> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(take(Value::Invalid(match str::from_utf8(bytes.as_bytes()) {
            Ok(_) => "is bytes, not a str; decode it",
            Err(_) => "is not UTF-8",
        })));
    }
    let Ok(text) = value.cast::<PyString>() else {
        return Ok(take(unfit(value, "is not a str", "is a float, not a str; read it as text")?));
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
        let float = "is a float, which may have lost digits; read the column as text";
        return Ok(take(unfit(value, "is not a str, int or Decimal", float)?));
    }
    with_text(&text, take)
}

fn with_date<T>(value: &Bound<'_, PyAny>, take: impl FnOnce(Value<'_>) -> T) -> PyResult<T> {
    if value.is_instance_of::<PyString>() {
        with_text(value, take)
    } else if value.is_instance_of::<PyDateTime>() {
        let problem = "is a datetime, whose day depends on a time zone; give a date";
        Ok(take(unfit(value, problem, problem)?))
    } else if value.is_instance_of::<PyDate>() {
        with_text(&value.call_method0("isoformat")?, take)
    } else {
        let problem = "is neither a str nor a datetime.date";
        Ok(take(unfit(value, problem, problem)?))
    }
}

/// The kinds of values that `unfit_kind` names.
const MISSING: &str = "missing";
const FLOAT: &str = "float";

/// Returns the kind of a value that no field takes, if it is one that data frames have.
fn unfit_kind(value: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    convert(value.py(), "unfit_kind", value)?.extract()
}

/// Returns the problem with a value of a type that its field does not take.
fn unfit(
    value: &Bound<'_, PyAny>,
    problem: &'static str,
    float: &'static str,
) -> PyResult<Value<'static>> {
    Ok(Value::Invalid(match unfit_kind(value)?.as_deref() {
        Some(MISSING) => {
            "is a missing value of pandas (NaN, NA or NaT): leave it out, or give update_many \
             skip_empty=True"
        }
        Some(FLOAT) => float,
        _ => problem,
    }))
}

/// Returns the name that a misspelt word is nearest to, if one is near.
#[pyfunction]
#[pyo3(name = "_nearest")]
pub(super) fn nearest(
    word: &Bound<'_, PyString>,
    names: &Bound<'_, PyAny>,
) -> PyResult<Option<String>> {
    let names = names.try_iter()?.map(|name| name?.extract());
    let names = names.collect::<PyResult<Vec<String>>>()?;
    let nearest = field::nearest(&word.to_string_lossy(), names.iter().map(String::as_str));
    Ok(nearest.map(str::to_owned))
}

/// Returns the error of a column whose name is no field's.
#[pyfunction]
#[pyo3(name = "_unknown_field")]
pub(super) fn unknown_field(py: Python<'_>, name: &Bound<'_, PyString>) -> Py<PyAny> {
    let error = Update::new().refuse_unknown(&name.to_string_lossy());
    exception(py, &error).into_value(py).into_any()
}
