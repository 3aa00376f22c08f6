//! What to change, checked as it is set, and the request that says so.

use std::fmt;
use std::io;

use bytes::Bytes;
use chrono::{Duration, NaiveDate, Utc};
use serde::ser::{SerializeMap, Serializer};
use serde_json::ser::Formatter;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use crate::credentials::Secret;
use crate::error::{Error, Faults};

/// A string longer than this is refused by the service (observed), counted in UTF-16 units.
const LONGEST_TEXT: usize = 8192;
/// A request longer than this is refused by the service (observed), in bytes.
const LONGEST_REQUEST: usize = 65_536;
/// A tax number is a .NET decimal, which holds this many digits whatever they are.
const MOST_DIGITS: usize = 28;

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
        let likeness = |field: &Field| strsim::jaro_winkler(field.name(), &name.to_lowercase());
        let nearest = Field::ALL.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
        (likeness(&nearest) > 0.8).then_some(nearest)
    }

    /// What a good value looks like.
    fn expected(self) -> String {
        match self {
            UserCode | CustomerBoxId => "a positive integer of at most 64 bits".to_owned(),
            AppKey | CustomerKey => "a text that is not empty".to_owned(),
            CustomerFirstName | CustomerLastName | CustomerIdentityNumber => {
                format!("a text of at most {LONGEST_TEXT} UTF-16 units without control characters")
            }
            CustomerTaxNumber => format!(
                "digits with an optional fraction, no sign, no exponent, at most {MOST_DIGITS} digits"
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

    fn check(self, value: Value<'_>) -> Result<Option<Checked>, Error> {
        match (self, value) {
            (_, Value::Unset) => Ok(None),
            (_, Value::Unusable(problem)) => Err(self.invalid(problem)),
            (UserCode | CustomerBoxId, Value::Integer(id)) if id > 0 => {
                Ok(Some(Checked::Integer(id)))
            }
            (UserCode | CustomerBoxId, Value::Integer(_)) => Err(self.invalid("is not positive")),
            (UserCode | CustomerBoxId, Value::Text(_)) => Err(self.invalid("is not an integer")),
            (_, Value::Integer(_)) => Err(self.invalid("is not a text")),
            (_, Value::Text(text)) => self.check_text(text).map(Some),
        }
    }

    fn check_text(self, text: &str) -> Result<Checked, Error> {
        self.check_characters(text)?;
        match self {
            CustomerTaxNumber => self.check_tax_number(text),
            CustomerBirthDate => self.check_birth_date(text),
            CustomerGender if text != "M" && text != "F" => Err(self.invalid("is neither")),
            _ => Ok(Checked::Text(Secret::new(text))),
        }
    }

    fn check_characters(self, text: &str) -> Result<(), Error> {
        if text.trim().is_empty() {
            let hint = match self {
                AppKey | CustomerKey => "",
                _ => "; leave it out to keep the current value",
            };
            let problem = if text.is_empty() { "is empty" } else { "is only white space" };
            return Err(Error::invalid_field(self.name(), format_args!("{problem}{hint}")));
        }
        if let Some(at) = text.chars().position(char::is_control) {
            let problem = format_args!("has a control character (the {}. character)", at + 1);
            return Err(Error::invalid_field(self.name(), problem));
        }
        let length = text.encode_utf16().count();
        if length > LONGEST_TEXT {
            let problem = format_args!("is {length} UTF-16 units long; at most {LONGEST_TEXT} fit");
            return Err(Error::invalid_field(self.name(), problem));
        }
        Ok(())
    }

    /// Leading zeros are dropped: the service's type is numeric, and JSON has none.
    fn check_tax_number(self, text: &str) -> Result<Checked, Error> {
        let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !fraction.is_none_or(digits) {
            return Err(self.invalid("is not a plain decimal number"));
        }
        let whole = whole.trim_start_matches('0');
        let fraction_digits = fraction.map_or(0, str::len);
        if whole.len() + fraction_digits > MOST_DIGITS {
            return Err(self.invalid("has too many digits"));
        }
        let whole = if whole.is_empty() { "0" } else { whole };
        let number = Zeroizing::new(match fraction {
            Some(fraction) => format!("{whole}.{fraction}"),
            None => whole.to_owned(),
        });
        Ok(Checked::Number(Secret::new(&number)))
    }

    fn check_birth_date(self, text: &str) -> Result<Checked, Error> {
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
        Ok(Checked::Text(Secret::new(text)))
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
    Unusable(&'a str),
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
enum Checked {
    Integer(i64),
    Text(Secret),
    /// A JSON number, digit by digit.
    Number(Secret),
}

impl Checked {
    fn len(&self) -> usize {
        match self {
            Checked::Integer(_) => 0,
            Checked::Text(text) | Checked::Number(text) => text.expose().len(),
        }
    }
}

/// Which customer to change, and what.
///
/// What is not set is not sent, and keeps its value at the service. A value is checked when it is
/// set; a bad one is remembered until the field gets a good one, and named when the update is sent.
///
/// ```
/// let update = skypostal::Update::new()
///     .customer_box_id(811111)
///     .customer_key("a key")
///     .customer_first_name("New Name");
/// ```
#[derive(Clone, Default)]
pub struct Update {
    values: [Option<Checked>; 10],
    faults: Faults,
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
        *slot = self.faults.note(field.name(), field.check(value.into()))?;
        Ok(())
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

    /// Takes over what `other` sets.
    pub(crate) fn override_with(&mut self, other: &Update) {
        for (value, other) in self.values.iter_mut().zip(&other.values) {
            if other.is_some() {
                value.clone_from(other);
            }
        }
    }

    /// The request body; `user_code` and `app_key` come from `defaults` where not set here.
    pub(crate) fn request(&self, defaults: &Update) -> Result<Request, Error> {
        self.faults.check()?;
        let value = |field: Field| {
            self.values[field as usize].as_ref().or(defaults.values[field as usize].as_ref())
        };
        for field in [UserCode, AppKey] {
            if value(field).is_none() {
                let problem =
                    "is missing; give it to the client, to the call, or in the environment";
                return Err(Error::configuration(field.name(), problem));
            }
        }
        for field in [CustomerBoxId, CustomerKey] {
            if value(field).is_none() {
                return Err(Error::invalid_field(field.name(), "is required"));
            }
        }
        // Room for any update without growing: a vector that grows leaves copies behind.
        let room = Field::ALL.into_iter().filter_map(value).map(|v| 64 + 6 * v.len()).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(room));
        write_json(&mut body, value).map_err(Error::internal)?;
        if body.len() > LONGEST_REQUEST {
            let longest = Field::ALL.into_iter().max_by_key(|f| value(*f).map_or(0, Checked::len));
            let problem = format_args!(
                "makes the request {} bytes long; at most {LONGEST_REQUEST} fit",
                body.len()
            );
            return Err(Error::invalid_field(longest.map_or("", Field::name), problem));
        }
        let key = |field| match value(field) {
            Some(Checked::Text(key)) => key.clone(),
            _ => Secret::new(""),
        };
        Ok(Request { body: Bytes::from_owner(body), keys: [key(AppKey), key(CustomerKey)] })
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

fn write_json<'a>(
    body: &mut Vec<u8>,
    value: impl Fn(Field) -> Option<&'a Checked>,
) -> serde_json::Result<()> {
    let mut json = serde_json::Serializer::with_formatter(body, EscapeNoncharacters);
    let mut object = json.serialize_map(None)?;
    for field in Field::ALL {
        match value(field) {
            None => {}
            Some(Checked::Integer(id)) => object.serialize_entry(field.name(), id)?,
            Some(Checked::Text(text)) => object.serialize_entry(field.name(), text.expose())?,
            Some(Checked::Number(number)) => {
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
