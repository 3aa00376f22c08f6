//! What to change, checked as it is set, and the request that says so.

use std::fmt;
use std::io;

use bytes::Bytes;
use chrono::{Duration, NaiveDate, Utc};
use serde::ser::{SerializeMap, Serializer};
use serde_json::ser::Formatter;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::error::{DeferredErrors, Error};
use crate::secret::Secret;

/// A string longer than this is refused by the service (observed), counted in UTF-16 units.
const MAX_TEXT_UTF16: usize = 8192;
/// A request longer than this is refused by the service (observed), in bytes.
const MAX_REQUEST_BYTES: usize = 65_536;
/// A tax number is a .NET decimal, which holds this many digits whatever they are.
const MAX_TAX_NUMBER_DIGITS: usize = 28;

/// A field of the update, named as the service names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Each is documented at the method of `Update` that bears its name.
pub enum Field {
    UserCode,
    AppKey,
    CustomerBoxId,
    CustomerKey,
    CustomerFirstName,
    CustomerLastName,
    CustomerIdentityNumber,
    CustomerTaxNumber,
    CustomerBirthDate,
    CustomerGender,
}

use Field::*;

impl Field {
    /// Every field, in the order of the service's documentation.
    pub const ALL: [Field; 10] = [
        UserCode,
        AppKey,
        CustomerBoxId,
        CustomerKey,
        CustomerFirstName,
        CustomerLastName,
        CustomerIdentityNumber,
        CustomerTaxNumber,
        CustomerBirthDate,
        CustomerGender,
    ];

    /// The service's name, such as `customer_first_name`.
    pub const fn name(self) -> &'static str {
        match self {
            UserCode => "user_code",
            AppKey => "app_key",
            CustomerBoxId => "customer_box_id",
            CustomerKey => "customer_key",
            CustomerFirstName => "customer_first_name",
            CustomerLastName => "customer_last_name",
            CustomerIdentityNumber => "customer_identity_number",
            CustomerTaxNumber => "customer_tax_number",
            CustomerBirthDate => "customer_birth_date",
            CustomerGender => "customer_gender",
        }
    }

    /// The field of that name; case matters, because it does to the service.
    pub fn from_name(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }

    /// The field whose name is nearest to a misspelt one, if any is near.
    pub fn nearest(name: &str) -> Option<Field> {
        let (name, full) = (name.to_lowercase(), format!("customer_{}", name.to_lowercase()));
        let like = |field: &Field, name| strsim::normalized_damerau_levenshtein(field.name(), name);
        let likeness = |field: &Field| like(field, &name).max(like(field, &full));
        let nearest = Field::ALL.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(&nearest) > 0.75).then_some(nearest)
    }

    /// What to say after a name that is no field's.
    pub(crate) fn hint(name: &str) -> String {
        match Field::nearest(name) {
            Some(field) => format!(". Did you mean '{}'?", field.name()),
            None => format!("; the fields are {}", Field::ALL.map(Field::name).join(", ")),
        }
    }

    /// What a good value looks like.
    fn expected(self) -> String {
        match self {
            UserCode | CustomerBoxId => "a positive integer of at most 64 bits".to_owned(),
            AppKey | CustomerKey => "a text that is not empty".to_owned(),
            CustomerFirstName | CustomerLastName | CustomerIdentityNumber => {
                format!(
                    "a text of at most {MAX_TEXT_UTF16} UTF-16 units without control characters"
                )
            }
            CustomerTaxNumber => format!(
                "digits with an optional fraction, no sign, no exponent, at most {MAX_TAX_NUMBER_DIGITS} digits"
            ),
            CustomerBirthDate => {
                "a calendar day as YYYY-MM-DD, from 1753-01-01 to today".to_owned()
            }
            CustomerGender => "\"M\" or \"F\"".to_owned(),
        }
    }

    /// The error that says what is wrong with this field and what is expected, and not its value.
    pub(crate) fn invalid(self, problem: impl fmt::Display) -> Error {
        Error::invalid_field(self.name(), format_args!("{problem}; expected {}", self.expected()))
    }

    /// The error of a required field without a value.
    fn missing(self) -> Error {
        if matches!(self, UserCode | AppKey) {
            let variable = format!("SKYPOSTAL_{}", self.name().to_uppercase());
            let problem =
                format!("is missing; give it to the client or to the call, or set {variable}");
            return Error::configuration(self.name(), problem);
        }
        Error::invalid_field(
            self.name(),
            "is required; the customer has it from registration or login",
        )
    }

    fn check(self, value: Value<'_>) -> Result<Option<FieldValue>, Error> {
        match (self, value) {
            (_, Value::Unset) => Ok(None),
            (_, Value::Invalid(problem)) => Err(self.invalid(problem)),
            (UserCode | CustomerBoxId, Value::Integer(id)) if id > 0 => {
                Ok(Some(FieldValue::Integer(id)))
            }
            (UserCode | CustomerBoxId, Value::Integer(_)) => Err(self.invalid("is not positive")),
            (UserCode | CustomerBoxId, Value::Text(_)) => Err(self.invalid("is not an integer")),
            (_, Value::Integer(_)) => Err(self.invalid("is not a text")),
            (_, Value::Text(text)) => self.check_text(text).map(Some),
        }
    }

    fn check_text(self, text: &str) -> Result<FieldValue, Error> {
        self.check_characters(text)?;
        match self {
            CustomerTaxNumber => self.check_tax_number(text),
            CustomerBirthDate => self.check_birth_date(text),
            CustomerGender if text != "M" && text != "F" => Err(self.invalid("is another text")),
            _ => Ok(FieldValue::Text(Secret::new(text))),
        }
    }

    fn check_characters(self, text: &str) -> Result<(), Error> {
        if text.trim().is_empty() {
            let hint = match self {
                AppKey => "; SkyPostal gave it with the user code",
                CustomerKey => "; the customer has it from registration or login",
                _ => "; leave it out to keep the current value",
            };
            let problem = if text.is_empty() { "is empty" } else { "is only white space" };
            return Err(Error::invalid_field(self.name(), format_args!("{problem}{hint}")));
        }
        if let Some(at) = text.chars().position(char::is_control) {
            let problem = format!("has a control character (character {}); remove it", at + 1);
            return Err(Error::invalid_field(self.name(), problem));
        }
        // A text has at least as many bytes.
        let length = if text.len() > MAX_TEXT_UTF16 { text.encode_utf16().count() } else { 0 };
        if length > MAX_TEXT_UTF16 {
            let problem = format!("is {length} UTF-16 units long; at most {MAX_TEXT_UTF16} fit");
            return Err(Error::invalid_field(self.name(), problem));
        }
        Ok(())
    }

    /// Leading zeros are dropped: the service's type is numeric, and JSON has none.
    fn check_tax_number(self, text: &str) -> Result<FieldValue, Error> {
        let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !fraction.is_none_or(digits) {
            return Err(self.invalid("is not a plain decimal number"));
        }
        let whole = whole.trim_start_matches('0');
        let fraction_digits = fraction.map_or(0, str::len);
        if whole.len() + fraction_digits > MAX_TAX_NUMBER_DIGITS {
            return Err(self.invalid("has too many digits"));
        }
        let whole = if whole.is_empty() { "0" } else { whole };
        let number = Zeroizing::new(match fraction {
            Some(fraction) => format!("{whole}.{fraction}"),
            None => whole.to_owned(),
        });
        Ok(FieldValue::Number(Secret::new(&number)))
    }

    fn check_birth_date(self, text: &str) -> Result<FieldValue, Error> {
        // The form is checked apart: the parser also takes signs and single digits.
        let form = text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let Some(day) = day.filter(|_| form && text.len() == 10) else {
            return Err(self.invalid("is not a day of the calendar"));
        };
        // SQL Server's first datetime; and somewhere on Earth it is already tomorrow.
        let first = NaiveDate::from_ymd_opt(1753, 1, 1).expect("a day of the calendar");
        let last = (Utc::now().naive_utc() + Duration::hours(14)).date();
        if day < first || day > last {
            return Err(self.invalid("is out of range"));
        }
        Ok(FieldValue::Text(Secret::new(text)))
    }
}

/// A value for a field, before it is checked.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// Leaves the field out: it keeps its value at the service.
    Unset,
    /// For `user_code` and `customer_box_id`.
    Integer(i64),
    /// For all other fields; a tax number is text too, so that every digit arrives.
    Text(&'a str),
    /// What is wrong with a value that is neither, such as "is not valid UTF-8".
    Invalid(&'a str),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Integer(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Value::Text(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Unset, Into::into)
    }
}

/// A value that may be sent.
#[derive(Clone)]
enum FieldValue {
    Integer(i64),
    Text(Secret),
    /// A JSON number, digit by digit.
    Number(Secret),
}

impl FieldValue {
    fn len(&self) -> usize {
        match self {
            FieldValue::Integer(_) => 0,
            FieldValue::Text(text) | FieldValue::Number(text) => text.expose().len(),
        }
    }
}

/// Which customer to change, and what.
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
    deferred_errors: DeferredErrors,
}

impl Update {
    /// An update that changes nothing yet.
    pub fn new() -> Self {
        Update::default()
    }

    /// Sets a field, or unsets it with [`Value::Unset`].
    ///
    /// # Errors
    /// [`Kind::InvalidField`](crate::Kind::InvalidField) when the value fails its check; the field is unset then.
    pub fn set<'a>(&mut self, field: Field, value: impl Into<Value<'a>>) -> Result<(), Error> {
        let slot = &mut self.values[field as usize];
        *slot = None;
        *slot = self.deferred_errors.record(field.name(), field.check(value.into()))?;
        Ok(())
    }

    /// Unsets the field of this name.
    ///
    /// # Errors
    /// [`Kind::InvalidField`](crate::Kind::InvalidField) when no field has that name. It is
    /// remembered until the update is cleared, as the field that was meant is still set.
    pub fn unset(&mut self, name: &str) -> Result<(), Error> {
        match Field::from_name(name) {
            Some(field) => self.set(field, Value::Unset),
            None => Err(self.refuse_unknown(name)),
        }
    }

    /// Unsets every field and forgets every bad value, as in a new update.
    pub fn clear(&mut self) {
        *self = Update::new();
    }

    /// Refuses a value under a name that is no field's, such as a misspelt one: the service would
    /// ignore it in silence (observed). Sending the update gives the same error.
    pub fn refuse_unknown(&mut self, name: &str) -> Error {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        let error = Error::invalid_field(shown, format_args!("is no field{}", Field::hint(name)));
        let _ = self.deferred_errors.record::<()>(name, Err(error.clone()));
        error
    }

    fn with<'a>(mut self, field: Field, value: impl Into<Value<'a>>) -> Self {
        // A fault is remembered, and told when the update is sent.
        let _ = self.set(field, value);
        self
    }

    /// The user code given by SkyPostal, in place of the client's. Positive.
    pub fn user_code(self, value: i64) -> Self {
        self.with(UserCode, value)
    }

    /// The application key given by SkyPostal, in place of the client's. Secret.
    pub fn app_key(self, value: &str) -> Self {
        self.with(AppKey, value)
    }

    /// The customer's box, obtained by registration or login. Positive; required.
    pub fn customer_box_id(self, value: i64) -> Self {
        self.with(CustomerBoxId, value)
    }

    /// The customer's key, obtained by registration or login. Secret; required.
    pub fn customer_key(self, value: &str) -> Self {
        self.with(CustomerKey, value)
    }

    /// The new first name.
    pub fn customer_first_name(self, value: &str) -> Self {
        self.with(CustomerFirstName, value)
    }

    /// The new last name.
    pub fn customer_last_name(self, value: &str) -> Self {
        self.with(CustomerLastName, value)
    }

    /// The new identity number.
    pub fn customer_identity_number(self, value: &str) -> Self {
        self.with(CustomerIdentityNumber, value)
    }

    /// The new tax number: digits with an optional fraction; every digit is kept.
    pub fn customer_tax_number(self, value: &str) -> Self {
        self.with(CustomerTaxNumber, value)
    }

    /// The new birth date, `YYYY-MM-DD`, from 1753-01-01 to today.
    pub fn customer_birth_date(self, value: &str) -> Self {
        self.with(CustomerBirthDate, value)
    }

    /// The new gender, `M` or `F`.
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

    /// Every problem that keeps the update from being sent, the first one first. Builds no request.
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

    /// The bad values, and the required ones that are missing.
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

    /// The request body; `user_code` and `app_key` come from `defaults` where not set here.
    pub(crate) fn request(&self, defaults: &Update) -> Result<Request, Error> {
        if let Some(problem) = self.problems(defaults).next() {
            return Err(problem);
        }
        let value = |field| self.value(field, defaults);
        // Room for any update without growing: a vector that grows leaves copies behind.
        let room = Field::ALL.into_iter().filter_map(value).map(|v| 64 + 6 * v.len()).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        write_json(&mut *body, value).map_err(Error::internal)?;
        self.check_length(body.len(), defaults)?;
        let key = |field| match value(field) {
            Some(FieldValue::Text(key)) => key.clone(),
            _ => Secret::new(""),
        };
        Ok(Request { body: Bytes::from_owner(body), keys: [key(AppKey), key(CustomerKey)] })
    }

    /// The same body with `***` in place of the keys, for people to see.
    #[cfg(feature = "python")]
    pub(crate) fn preview_body(&self, defaults: &Update) -> Result<String, Error> {
        // A fault of the defaults does not matter where a field of this update wins.
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

/// A checked update, as it goes over the wire.
pub(crate) struct Request {
    /// The JSON object; wiped when the last owner drops it.
    pub(crate) body: Bytes,
    keys: [Secret; 2],
}

impl Request {
    /// What must not be seen in anything that the service answers.
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
) -> serde_json::Result<()> {
    let mut json = serde_json::Serializer::with_formatter(body, EscapeNoncharacters);
    let mut object = json.serialize_map(None)?;
    for field in Field::ALL {
        match value(field) {
            None => {}
            Some(FieldValue::Integer(id)) => object.serialize_entry(field.name(), id)?,
            Some(FieldValue::Text(text)) => object.serialize_entry(field.name(), text.expose())?,
            Some(FieldValue::Number(number)) => {
                let number = RawValue::from_string(number.expose().to_owned())?;
                object.serialize_entry(field.name(), &number)?;
            }
        }
    }
    object.end()
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
