//! The update of one customer, checked as it is set, and the request that it becomes.

use std::fmt;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use serde::ser::Serialize;
use serde_json::ser::Formatter;
use zeroize::Zeroizing;

use crate::error::{DeferredErrors, Error};
use crate::field::Field::{self, *};
use crate::field::{FieldValue, Value};
use crate::secret::Secret;
use crate::timeout::check_time;

/// A request longer than this is refused by the service (observed), in bytes.
const MAX_REQUEST_BYTES: usize = 65_536;

/// A change of one customer's personal information.
///
/// What is not set is not sent, and keeps its value at the service. A value is checked when it is
/// set; a bad one is remembered until the field gets a good one, and named when the update is sent.
///
/// An update keeps its fields from call to call. One that is changed with [`set`](Update::set) and
/// sent again, for the next customer, needs [`clear`](Update::clear) first: a field that is not set
/// anew would be that of the customer before.
///
/// ```
/// let update = skypostal::Update::new()
///     .customer_box_id(811111)
///     .customer_key("a key")
///     .customer_first_name("New Name");
/// ```
#[derive(Clone, Default)]
pub struct Update {
    values: [Option<FieldValue>; 10],
    timeout: Option<Duration>,
    deferred_errors: DeferredErrors,
}

impl Update {
    /// Returns an update that changes nothing yet.
    pub fn new() -> Self {
        Update::default()
    }

    /// Sets a field, or unsets it with [`Value::Unset`].
    ///
    /// # Errors
    /// [`Kind::InvalidField`](crate::Kind::InvalidField) if the value fails its check; the field is
    /// unset then.
    pub fn set<'a>(&mut self, field: Field, value: impl Into<Value<'a>>) -> Result<(), Error> {
        let slot = &mut self.values[field as usize];
        *slot = None;
        *slot = self.deferred_errors.record(field.name(), field.check(value.into()))?;
        Ok(())
    }

    /// Sets the timeout of the call or bulk row that sends the update, in place of the client's or
    /// the bulk's, or unsets it with `None`. The timeout of [`CallOptions`](crate::CallOptions) wins.
    ///
    /// # Errors
    /// [`Kind::Configuration`](crate::Kind::Configuration) for zero or more than 49 days.
    pub fn set_timeout(&mut self, value: Option<Duration>) -> Result<(), Error> {
        let checked = value.map(|value| check_time("timeout", value)).transpose();
        self.timeout = self.deferred_errors.record("timeout", checked)?;
        Ok(())
    }

    /// Unsets the field of this name.
    ///
    /// # Errors
    /// [`Kind::InvalidField`](crate::Kind::InvalidField) if no field has that name. It is
    /// remembered until the update is cleared, because the field that was meant is still set.
    pub fn unset(&mut self, name: &str) -> Result<(), Error> {
        match Field::from_name(name) {
            Some(field) => self.set(field, Value::Unset),
            None => Err(self.refuse_unknown(name)),
        }
    }

    /// Unsets every field and the timeout, and forgets every bad value, as in a new update.
    pub fn clear(&mut self) {
        *self = Update::new();
    }

    /// Refuses a value under a name that is no field's, such as a misspelt one: the service would
    /// ignore it in silence (observed). Sending the update gives the same error.
    pub fn refuse_unknown(&mut self, name: &str) -> Error {
        self.refuse(name, format_args!("is no field{}", Field::hint(name)))
    }

    /// Refuses what the caller gives under a name that is no field's, for this reason.
    pub(crate) fn refuse(&mut self, name: &str, problem: impl fmt::Display) -> Error {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        let error = Error::invalid_field(shown, problem);
        let _ = self.deferred_errors.record::<()>(name, Err(error.clone()));
        error
    }

    fn with<'a>(mut self, field: Field, value: impl Into<Value<'a>>) -> Self {
        // An error is remembered, and returned when the update is sent.
        let _ = self.set(field, value);
        self
    }

    /// Sets the user code given by SkyPostal, in place of the client's. Positive.
    pub fn user_code(self, value: i64) -> Self {
        self.with(UserCode, value)
    }

    /// Sets the application key given by SkyPostal, in place of the client's. Secret.
    pub fn app_key(self, value: &str) -> Self {
        self.with(AppKey, value)
    }

    /// Sets the customer's box, obtained by registration or login. Positive; required.
    pub fn customer_box_id(self, value: i64) -> Self {
        self.with(CustomerBoxId, value)
    }

    /// Sets the customer's key, obtained by registration or login. Secret; required.
    pub fn customer_key(self, value: &str) -> Self {
        self.with(CustomerKey, value)
    }

    /// Sets the new first name: at most 8,192 UTF-16 units without control characters.
    pub fn customer_first_name(self, value: &str) -> Self {
        self.with(CustomerFirstName, value)
    }

    /// Sets the new last name, with the limits of the first name.
    pub fn customer_last_name(self, value: &str) -> Self {
        self.with(CustomerLastName, value)
    }

    /// Sets the new identity number, with the limits of the first name.
    pub fn customer_identity_number(self, value: &str) -> Self {
        self.with(CustomerIdentityNumber, value)
    }

    /// Sets the new tax number: at most 28 digits with an optional fraction, no sign, no exponent.
    /// Every digit is sent, leading zeros aside.
    pub fn customer_tax_number(self, value: &str) -> Self {
        self.with(CustomerTaxNumber, value)
    }

    /// Sets the new birth date, `YYYY-MM-DD`, from 1753-01-01 to today at UTC+14.
    pub fn customer_birth_date(self, value: &str) -> Self {
        self.with(CustomerBirthDate, value)
    }

    /// Sets the new gender, `M` or `F`.
    pub fn customer_gender(self, value: &str) -> Self {
        self.with(CustomerGender, value)
    }

    pub(crate) fn is_set(&self, field: Field) -> bool {
        self.values[field as usize].is_some()
    }

    /// Takes over what `other` sets.
    pub(crate) fn override_with(&mut self, other: &Update) {
        for (value, other) in self.values.iter_mut().zip(&other.values) {
            if other.is_some() {
                value.clone_from(other);
            }
        }
    }

    /// Returns every problem that keeps the update from being sent, the first one first. Builds no
    /// request.
    pub(crate) fn validate(&self, defaults: &Update) -> Vec<Error> {
        let mut problems: Vec<Error> = self.problems(defaults).collect();
        if problems.is_empty() {
            let mut length = Length(0);
            let written = write_json(&mut length, |field| self.value(field, defaults));
            let checked = written
                .map_err(Error::internal)
                .and_then(|()| self.check_length(length.0, defaults));
            problems.extend(checked.err());
        }
        problems
    }

    fn value<'a>(&'a self, field: Field, defaults: &'a Update) -> Option<&'a FieldValue> {
        self.values[field as usize].as_ref().or(defaults.values[field as usize].as_ref())
    }

    /// Returns the bad values, then the required ones that are missing.
    fn problems<'a>(&'a self, defaults: &'a Update) -> impl Iterator<Item = Error> + 'a {
        let required = [UserCode, AppKey, CustomerBoxId, CustomerKey].into_iter();
        let missing = required.filter(|field| {
            self.value(*field, defaults).is_none() && !self.deferred_errors.has(field.name())
        });
        self.deferred_errors.iter().cloned().chain(missing.map(Field::missing))
    }

    fn check_length(&self, length: usize, defaults: &Update) -> Result<(), Error> {
        if length <= MAX_REQUEST_BYTES {
            return Ok(());
        }
        let bytes = |field: &Field| self.value(*field, defaults).map_or(0, FieldValue::len);
        let longest = Field::ALL.into_iter().max_by_key(bytes).map_or("", Field::name);
        let problem =
            format!("makes the request {length} bytes long; at most {MAX_REQUEST_BYTES} fit");
        Err(Error::invalid_field(longest, problem))
    }

    /// Returns the request; `user_code` and `app_key` come from `defaults` where not set here.
    pub(crate) fn request(&self, defaults: &Update) -> Result<Request, Error> {
        if let Some(problem) = self.problems(defaults).next() {
            return Err(problem);
        }
        let value = |field| self.value(field, defaults);
        // Room for any update without growing: a vector that grows leaves copies behind.
        let capacity = Field::ALL.into_iter().filter_map(value).map(|v| 32 + 6 * v.len()).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(capacity));
        write_json(&mut *body, value).map_err(Error::internal)?;
        self.check_length(body.len(), defaults)?;
        let key = |field| match value(field) {
            Some(FieldValue::Text(key)) => key.clone(),
            _ => Secret::new(""),
        };
        Ok(Request {
            body: Bytes::from_owner(body),
            keys: [key(AppKey), key(CustomerKey)],
            timeout: self.timeout,
        })
    }

    /// Returns the body with `***` in place of the keys, to be shown.
    pub(crate) fn preview_body(&self, defaults: &Update) -> Result<String, Error> {
        // Values alone are copied: a bad default does not matter where a field of this update wins.
        let mut shown = Update::new();
        shown.override_with(defaults);
        shown.override_with(self);
        shown.set(AppKey, "***")?;
        shown.set(CustomerKey, "***")?;
        let request = shown.request(&Update::new())?;
        String::from_utf8(request.body.to_vec()).map_err(Error::internal)
    }
}

impl fmt::Debug for Update {
    /// Names the fields that are set, and no value: they are keys and personal data.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut update = f.debug_struct("Update");
        for field in Field::ALL.into_iter().filter(|f| self.values[*f as usize].is_some()) {
            update.field(field.name(), &"***");
        }
        update.finish_non_exhaustive()
    }
}

/// A checked update, as it is sent.
pub(crate) struct Request {
    /// The JSON object; wiped when the last owner drops it.
    pub(crate) body: Bytes,
    keys: [Secret; 2],
    /// The timeout that the update asks for.
    pub(crate) timeout: Option<Duration>,
}

impl Request {
    /// Returns the keys, which are redacted in every text from the service.
    pub(crate) fn keys(&self) -> [&str; 2] {
        [self.keys[0].expose(), self.keys[1].expose()]
    }
}

/// Counts the bytes that are written to it.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_json<'a>(
    body: &mut impl io::Write,
    value: impl Fn(Field) -> Option<&'a FieldValue>,
) -> io::Result<()> {
    body.write_all(b"{")?;
    let mut before_name: &[u8] = b"\"";
    for field in Field::ALL {
        let Some(value) = value(field) else { continue };
        body.write_all(before_name)?;
        body.write_all(field.name().as_bytes())?;
        body.write_all(b"\":")?;
        let json = &mut serde_json::Serializer::with_formatter(&mut *body, EscapeNoncharacters);
        match value {
            FieldValue::Integer(id) => id.serialize(json)?,
            FieldValue::Text(text) => text.expose().serialize(json)?,
            FieldValue::Number(number) => body.write_all(number.expose().as_bytes())?,
        }
        before_name = b",\"";
    }
    body.write_all(b"}")
}

/// The service refuses a raw noncharacter such as U+FFFE, and takes it escaped (observed).
struct EscapeNoncharacters;

impl Formatter for EscapeNoncharacters {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let noncharacter = |c: char| {
            let c = u32::from(c);
            c & 0xFFFE == 0xFFFE || (0xFDD0..=0xFDEF).contains(&c)
        };
        if fragment.is_ascii() {
            return writer.write_all(fragment.as_bytes());
        }
        let mut plain = 0;
        for (at, c) in fragment.char_indices().filter(|(_, c)| noncharacter(*c)) {
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}

#[cfg(test)]
mod tests;
