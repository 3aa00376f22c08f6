//! The fields of an update: their names, and the check that each value passes.

use std::fmt;

use chrono::{Duration, NaiveDate, Utc};
use icu_properties::props::GeneralCategory;
use icu_properties::props::{BinaryProperty, DefaultIgnorableCodePoint, EnumeratedProperty};
use zeroize::Zeroizing;

use crate::environment;
use crate::error::Error;
use crate::secret::Secret;

/// A string longer than this is refused by the service (observed), counted in UTF-16 units.
const MAX_TEXT_UTF16: usize = 8192;
/// A tax number is a .NET decimal, which holds this many digits whatever they are.
const MAX_TAX_NUMBER_DIGITS: usize = 28;

/// A text with more digits is no integer, although the first of them may be zeros.
#[cfg(feature = "python")]
const MAX_INTEGER_DIGITS: usize = 19;

/// The least number of characters of a name that is compared by edits.
const MIN_COMPARED_CHARS: usize = 3;

/// A field of the update, named as the service names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // Each is documented at the method of `Update` of the same name.
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

    /// Returns the service's name, such as `customer_first_name`.
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

    /// Returns the field of that name; case matters, because it does to the service.
    pub fn from_name(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Returns the field whose name is nearest to a misspelt one, if one is near: an edit or two,
    /// another case or punctuation (`customerFirstName`), or no `customer_` before it.
    pub fn nearest(name: &str) -> Option<Field> {
        nearest(name, Field::ALL.map(Field::name)).and_then(Field::from_name)
    }

    /// Returns the end of a message about a name that is no field's.
    pub(crate) fn hint(name: &str) -> String {
        match Field::nearest(name) {
            Some(field) => format!(". Did you mean '{}'?", field.name()),
            None => format!("; the fields are {}", Field::ALL.map(Field::name).join(", ")),
        }
    }

    /// Returns the form of a good value.
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

    /// Returns the error that says what the value must be and what it is, without the value itself.
    pub(crate) fn invalid(self, problem: impl fmt::Display) -> Error {
        Error::invalid_field(
            self.name(),
            format_args!("must be {}; this {problem}", self.expected()),
        )
    }

    /// Returns the error of a required field that has no value.
    pub(crate) fn missing(self) -> Error {
        if matches!(self, UserCode | AppKey) {
            let variable = match self {
                UserCode => environment::USER_CODE,
                _ => environment::APP_KEY,
            };
            let problem =
                format!("is missing; give it to the client or to the call, or set {variable}");
            return Error::configuration(self.name(), problem);
        }
        Error::invalid_field(
            self.name(),
            "is required; the customer has it from registration or login",
        )
    }

    /// Checks a value: `None` is one that is not set.
    pub(crate) fn check(self, value: Value<'_>) -> Result<Option<FieldValue>, Error> {
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
            CustomerGender if text != "M" && text != "F" => {
                let problem = format!("must be {}", self.expected());
                Err(Error::invalid_field(self.name(), problem))
            }
            _ => Ok(FieldValue::Text(Secret::new(text))),
        }
    }

    fn check_characters(self, text: &str) -> Result<(), Error> {
        // Nearly every text has a visible character of ASCII. Unicode's tables are slow.
        let has_visible_ascii = text.bytes().any(|byte| byte.is_ascii_graphic());
        if !has_visible_ascii && text.chars().all(is_invisible) {
            let hint = match self {
                AppKey => "; SkyPostal gave it with the user code",
                CustomerKey => "; the customer has it from registration or login",
                _ => "; leave it out to keep the current value",
            };
            let problem = match text.trim() {
                "" if text.is_empty() => "is empty",
                "" => "is only white space",
                _ => "has only invisible characters",
            };
            return Err(Error::invalid_field(self.name(), format_args!("{problem}{hint}")));
        }
        if text.starts_with('\u{FEFF}') {
            let problem = "begins with an invisible byte-order mark (U+FEFF); remove it";
            return Err(Error::invalid_field(self.name(), problem));
        }
        // In UTF-8 each control character is one of ASCII or begins with 0xC2.
        let may_have_control = text.bytes().any(|byte| byte.is_ascii_control() || byte == 0xC2);
        let control = may_have_control.then(|| text.chars().position(char::is_control)).flatten();
        if let Some(at) = control {
            let problem = format!("has a control character (character {}); remove it", at + 1);
            return Err(Error::invalid_field(self.name(), problem));
        }
        // A text has no more UTF-16 units than bytes of UTF-8.
        let length = if text.len() > MAX_TEXT_UTF16 { text.encode_utf16().count() } else { 0 };
        if length > MAX_TEXT_UTF16 {
            let problem = format!("is {length} UTF-16 units long; at most {MAX_TEXT_UTF16} fit");
            return Err(Error::invalid_field(self.name(), problem));
        }
        Ok(())
    }

    /// Drops leading zeros: the service's type is numeric, and JSON has none.
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
        let form = text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        if !form || text.len() != 10 {
            return Err(self.invalid("is not in the form YYYY-MM-DD"));
        }
        let number = |digits: &str| digits.bytes().fold(0, |n, d| 10 * n + u32::from(d - b'0'));
        let year = number(&text[..4]) as i32;
        let day = NaiveDate::from_ymd_opt(year, number(&text[5..7]), number(&text[8..]));
        let Some(day) = day else {
            return Err(self.invalid("is not a day of the calendar"));
        };
        // The first day is that of SQL Server's datetime, the last is today in the latest time zone.
        let first = NaiveDate::from_ymd_opt(1753, 1, 1).expect("a day of the calendar");
        let last = (Utc::now().naive_utc() + Duration::hours(14)).date();
        if day < first || day > last {
            return Err(self.invalid("is out of range"));
        }
        Ok(FieldValue::Text(Secret::new(text)))
    }
}

/// Returns true for white space and for characters that are not drawn.
fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || DefaultIgnorableCodePoint::for_char(c)
        || GeneralCategory::for_char(c) == GeneralCategory::Format
        || c == '\u{2800}' // a Braille pattern without a dot
}

/// A value for a field, before it is checked.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// Leaves the field out: it keeps its value at the service.
    Unset,
    /// An integer, for `user_code` and `customer_box_id`.
    Integer(i64),
    /// A text, for all other fields: a tax number too, so that every digit arrives.
    Text(&'a str),
    /// The problem with a value that is neither, such as "is not valid UTF-8".
    Invalid(&'a str),
}

impl Value<'_> {
    /// Returns the integer of a text of digits, because the cells of a CSV file are texts.
    #[cfg(feature = "python")]
    pub(crate) fn from_digits(text: &str) -> Self {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        match text.split_once('.') {
            None if text.is_empty() => Value::Invalid("is empty"),
            None if digits(text) && text.len() > MAX_INTEGER_DIGITS => {
                Value::Invalid("has more than 19 digits")
            }
            None if digits(text) => {
                text.parse().map_or(Value::Invalid("is out of range"), Value::Integer)
            }
            Some((whole, fraction)) if digits(whole) && digits(fraction) => {
                Value::Invalid("is a decimal number, not an integer; remove its fraction")
            }
            _ if text.strip_prefix('-').is_some_and(digits) => Value::Invalid("is not positive"),
            _ => Value::Invalid("is not an integer"),
        }
    }
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

/// A value that passed its check.
#[derive(Clone)]
pub(crate) enum FieldValue {
    Integer(i64),
    Text(Secret),
    /// A JSON number, digit by digit.
    Number(Secret),
}

impl FieldValue {
    /// Returns the bytes of a text or a number; an integer counts as none.
    pub(crate) fn len(&self) -> usize {
        match self {
            FieldValue::Integer(_) => 0,
            FieldValue::Text(text) | FieldValue::Number(text) => text.expose().len(),
        }
    }
}

/// Returns the candidate that `word` most probably stands for, if one is near.
///
/// Case, punctuation and a leading `customer` are ignored. Near means one edit, or one in four
/// characters, and one more if `customer` is misspelt. A candidate at the end of the word is near too,
/// as in `customers.customer_key`. So is one that starts with the word, as with `customer_box`, if the
/// word is more than half of it.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let word = squeezed(word);
    let distance = |candidate: &str| {
        let candidate = squeezed(candidate);
        let (one, other) = (stem(&word), stem(&candidate));
        let length = one.chars().count().max(other.chars().count());
        let allowed = if length < MIN_COMPARED_CHARS { 0 } else { (length / 4).max(1) };
        let edits = strsim::damerau_levenshtein(one, other);
        let is_end = candidate.len() >= MIN_COMPARED_CHARS && word.ends_with(&candidate);
        let is_start = one.len() * 2 > other.len() && other.starts_with(one);
        // `customer` itself may be misspelt.
        let whole = strsim::damerau_levenshtein(&word, &candidate);
        let is_whole = one == word && other != candidate && whole <= other.chars().count() / 4 + 1;
        (edits <= allowed || is_end || is_start || is_whole).then_some(edits.min(whole))
    };
    let near = candidates.into_iter().filter_map(|name| Some((distance(name)?, name)));
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Returns the name in lower case, without punctuation and white space.
fn squeezed(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn stem(squeezed: &str) -> &str {
    squeezed.strip_prefix("customer").unwrap_or(squeezed)
}

#[cfg(test)]
pub(crate) mod tests;
