//! The service's response, decoded.
//!
//! An update that the service accepted is never reported as failed because something it echoes
//! is malformed: what cannot be read is absent here, and kept in [`PersonalInfo::raw`].

use std::borrow::Cow;
use std::fmt;
use std::str;

use chrono::NaiveDate;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::Error;
use crate::{unexpected_body, wcf_date};

/// The customer's personal information after an update, as the service reports it.
///
/// Every field may be absent. Printing it shows no personal data.
#[derive(Clone, PartialEq, Eq)]
pub struct PersonalInfo {
    /// The service's own number of the customer.
    pub cust_id: Option<i64>,
    /// The first name.
    pub customer_first_name: Option<String>,
    /// The last name.
    pub customer_last_name: Option<String>,
    /// The identity number.
    pub customer_identity_number: Option<String>,
    /// The tax number, a decimal number with every digit that the service sent.
    pub customer_tax_number: Option<String>,
    /// The birth date, a day of the calendar; absent when the service has none (it says year 1).
    pub customer_birth_date: Option<NaiveDate>,
    /// The gender, `M` or `F` as documented.
    pub customer_gender: Option<String>,
    /// The JSON object that the service sent, whole and unchanged.
    pub raw: String,
}

/// A response that does not accept the update.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotAccepted {
    /// The service refused the update, or reported an error beside a `_verify` that is true.
    Refused { verified: bool, description: String, location: String, system_error: bool },
    /// The response is not in the documented form; holds the reason.
    Malformed(String),
}

impl PersonalInfo {
    /// Decodes the body of a 2xx response.
    pub(crate) fn decode(body: &[u8]) -> Result<Self, NotAccepted> {
        let malformed = |problem: &str| NotAccepted::Malformed(problem.to_owned());
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(malformed("it is empty"));
        }
        let text = lossy(body);
        let items: Vec<&RawValue> = serde_json::from_str(&text)
            // The error's own words repeat what was sent.
            .map_err(|_| malformed(unexpected_body::describe(body)))?;
        let item = items.first().ok_or_else(|| malformed("the array is empty"))?;
        PersonalInfo::from_item(item.get())
    }

    /// Decodes a text that [`PersonalInfo::raw`] held, such as one from a file.
    ///
    /// # Errors
    /// [`Kind::Response`](crate::Kind::Response) for anything but the object of an accepted update.
    pub fn from_raw(raw: &str) -> Result<Self, Error> {
        PersonalInfo::from_item(raw)
            .map_err(|_| Error::response("not the object of an accepted update", String::new()))
    }

    /// Returns the members of [`PersonalInfo::raw`], each with its value as JSON.
    pub fn members(&self) -> impl Iterator<Item = (String, &str)> {
        let Members(members) = serde_json::from_str(&self.raw).unwrap_or_default();
        members.into_iter().map(|(name, value)| (name.into_owned(), value.get()))
    }

    /// Returns the seven fields as one JSON object, `null` where one is absent: the date as
    /// `YYYY-MM-DD`, the tax number as a number with every digit that the service sent.
    pub fn to_json(&self) -> String {
        let json = |text: Option<&str>| {
            text.map_or("null".to_owned(), |text| serde_json::Value::from(text).to_string())
        };
        let date = self.customer_birth_date.map(|day| day.to_string());
        let members = [
            ("cust_id", self.cust_id.map_or("null".to_owned(), |id| id.to_string())),
            ("customer_first_name", json(self.customer_first_name.as_deref())),
            ("customer_last_name", json(self.customer_last_name.as_deref())),
            ("customer_identity_number", json(self.customer_identity_number.as_deref())),
            ("customer_tax_number", self.customer_tax_number.clone().unwrap_or("null".to_owned())),
            ("customer_birth_date", json(date.as_deref())),
            ("customer_gender", json(self.customer_gender.as_deref())),
        ];
        let members = members.map(|(name, value)| format!("\"{name}\": {value}"));
        format!("{{{}}}", members.join(", "))
    }

    fn from_item(raw: &str) -> Result<Self, NotAccepted> {
        let malformed = |problem: &str| NotAccepted::Malformed(problem.to_owned());
        let members: Members = serde_json::from_str(raw)
            .map_err(|_| malformed("the first item of the array is not an object"))?;

        let verified = match members.get("_verify") {
            Some("true") => true,
            Some("false") => false,
            _ => return Err(malformed("_verify is neither true nor false")),
        };
        let error = members.get("error").unwrap_or("null");
        let members_of_error = serde_json::from_str::<Members>(error).unwrap_or_default();
        // Some service's `error` may be the text itself.
        let description = members_of_error.text("error_description").or_else(|| text_lossy(error));
        let description = description.unwrap_or_default();
        let system_error = members_of_error.get("system_error") == Some("true");
        if !verified || system_error || !description.trim().is_empty() {
            let location = members_of_error.text("error_location").unwrap_or_default();
            return Err(NotAccepted::Refused { verified, description, location, system_error });
        }

        let text = |name| serde_json::from_str(members.get(name)?).ok();
        let date: Option<String> = text("customer_birth_date");
        Ok(PersonalInfo {
            cust_id: members.get("cust_id").and_then(number).and_then(|id| id.parse().ok()),
            customer_first_name: text("customer_first_name"),
            customer_last_name: text("customer_last_name"),
            customer_identity_number: text("customer_identity_number"),
            customer_tax_number: members.get("customer_tax_number").and_then(number),
            customer_birth_date: date.and_then(|date| wcf_date::parse(&date)),
            customer_gender: text("customer_gender"),
            raw: raw.to_owned(),
        })
    }
}

impl fmt::Debug for PersonalInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersonalInfo").field("cust_id", &self.cust_id).finish_non_exhaustive()
    }
}

/// Returns a JSON number as it is written. The service takes numbers as strings, so it may send one
/// as a string.
fn number(raw: &str) -> Option<String> {
    let quoted = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    let unquoted = quoted.unwrap_or(raw);
    let is_json = |text| serde_json::from_str::<&RawValue>(text).is_ok_and(|it| it.get() == text);
    let is_number = unquoted.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && quoted.is_none_or(is_json);
    is_number.then(|| unquoted.to_owned())
}

/// Returns a JSON string, with U+FFFD for what is not Unicode, such as half of a surrogate pair.
fn text_lossy(raw: &str) -> Option<String> {
    serde_json::from_str(raw).ok().map(|Text(text)| text.into_owned())
}

/// Does what [`String::from_utf8_lossy`] does, which is slow if there is nothing to replace.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The members of a JSON object, each value as it is written. The last of equal names counts.
#[derive(Default)]
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    fn text(&self, name: &str) -> Option<String> {
        text_lossy(self.get(name)?)
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        json.deserialize_map(Object)
    }
}

/// A JSON string read as bytes, which alone lets a lone surrogate through.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
                Ok(Text(lossy(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
                Ok(Text(lossy(bytes).into_owned().into()))
            }
        }
        json.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests;
