//! The service's response, decoded.
//!
//! An update that the service accepted is never reported as failed because something it echoes
//! is malformed: what cannot be read is absent here, and kept in [`PersonalInfo::raw`].

use std::borrow::Cow;
use std::fmt;
use std::str;

use chrono::NaiveDate;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::Error;
use crate::unexpected_body::describe;
use crate::wcf_date;

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
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(malformed("it is empty"));
        }
        let text = lossy(body);
        // The error's own words repeat what was sent.
        let array = serde_json::from_str::<Array>(&text)
            .map_err(|_| malformed(describe_array(&text).unwrap_or_else(|| describe(body))))?;
        let raw = array.first_item_of(&text).ok_or_else(|| malformed(NO_OBJECT))?;
        PersonalInfo::from_item(array.first, raw)
    }

    /// Decodes a text that [`PersonalInfo::raw`] held, such as one from a file.
    ///
    /// # Errors
    /// [`Kind::Response`](crate::Kind::Response) for anything but the object of an accepted update.
    pub fn from_raw(raw: &str) -> Result<Self, Error> {
        let item = serde_json::from_str::<Members>(raw).map_err(|_| malformed(NO_OBJECT));
        item.and_then(|item| PersonalInfo::from_item(item, raw))
            .map_err(|_| Error::response("not the object of an accepted update", String::new()))
    }

    /// Returns the members of [`PersonalInfo::raw`], each with its value as JSON.
    pub fn members(&self) -> impl Iterator<Item = (String, &str)> {
        let AllMembers(members) = serde_json::from_str(&self.raw).unwrap_or_default();
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

    /// Reads an item whose JSON is `raw`.
    fn from_item(item: Members<'_>, raw: &str) -> Result<Self, NotAccepted> {
        let verified = match item.get("_verify") {
            Some("true") => true,
            Some("false") => false,
            _ => return Err(malformed("_verify is neither true nor false")),
        };
        let reported = item.get("error").unwrap_or("null");
        let members_of_error = serde_json::from_str::<Members>(reported).unwrap_or_default();
        // `error` may be the text itself.
        let description = match reported.starts_with('{') {
            true => members_of_error.get("error_description").map(words).unwrap_or_default(),
            false => words(reported),
        };
        // Of another type than documented, it is taken for true unless it says no: then the update may
        // have been made.
        let system_error = members_of_error.get("system_error").is_some_and(|it| !says_no(it));
        if !verified || system_error || !description.trim().is_empty() {
            let location = members_of_error.text("error_location").unwrap_or_default();
            let (description, location) = (description.into_owned(), location.into_owned());
            return Err(NotAccepted::Refused { verified, description, location, system_error });
        }

        let text = |name| item.get(name).and_then(text);
        let number = |name| item.get(name).and_then(number);
        Ok(PersonalInfo {
            cust_id: number("cust_id").and_then(|id| id.parse().ok()),
            customer_first_name: text("customer_first_name").map(Cow::into_owned),
            customer_last_name: text("customer_last_name").map(Cow::into_owned),
            customer_identity_number: text("customer_identity_number").map(Cow::into_owned),
            customer_tax_number: number("customer_tax_number").map(str::to_owned),
            customer_birth_date: text("customer_birth_date")
                .and_then(|date| wcf_date::parse(&date)),
            customer_gender: text("customer_gender").map(Cow::into_owned),
            raw: raw.to_owned(),
        })
    }
}

impl fmt::Debug for PersonalInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PersonalInfo").field("cust_id", &self.cust_id).finish_non_exhaustive()
    }
}

const NO_OBJECT: &str = "the first item of the array is not an object";

fn malformed(problem: &str) -> NotAccepted {
    NotAccepted::Malformed(problem.to_owned())
}

/// Returns what is wrong with an array that has no object to read; `None` for what is no array.
fn describe_array(text: &str) -> Option<&'static str> {
    let items: Vec<IgnoredAny> = serde_json::from_str(text).ok()?;
    Some(if items.is_empty() { "the array is empty" } else { NO_OBJECT })
}

/// Returns a JSON number as it is written. The service takes numbers as strings, so it may send one
/// as a string.
fn number(raw: &str) -> Option<&str> {
    let quoted = raw.strip_prefix('"').and_then(|raw| raw.strip_suffix('"'));
    let unquoted = quoted.unwrap_or(raw);
    let is_json = |text| serde_json::from_str::<&RawValue>(text).is_ok_and(|it| it.get() == text);
    let is_number = unquoted.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && quoted.is_none_or(is_json);
    is_number.then_some(unquoted)
}

/// Decodes a JSON string. Returns `None` for other JSON, and for half of a surrogate pair.
fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    match inside.as_bytes().contains(&b'\\') {
        true => serde_json::from_str(raw).ok().map(Cow::Owned),
        false => Some(Cow::Borrowed(inside)),
    }
}

/// Returns the words of an error: those of a JSON string, else the JSON itself if it says anything.
fn words(raw: &str) -> Cow<'_, str> {
    text_lossy(raw).unwrap_or(Cow::Borrowed(if says_no(raw) { "" } else { raw }))
}

/// Returns whether a JSON value stands for no, or for nothing.
fn says_no(raw: &str) -> bool {
    let text = raw.trim_matches('"');
    matches!(raw, "null" | "[]" | "{}" | "0")
        || text.is_empty()
        || text.eq_ignore_ascii_case("false")
}

/// Decodes a JSON string, with U+FFFD for half of a surrogate pair.
fn text_lossy(raw: &str) -> Option<Cow<'_, str>> {
    text(raw).or_else(|| serde_json::from_str(raw).ok().map(|Text(text)| text))
}

/// Does what [`String::from_utf8_lossy`] does, which is slow if there is nothing to replace.
fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// A JSON array whose first item is an object.
struct Array<'a> {
    first: Members<'a>,
    /// True if further items follow.
    has_more: bool,
}

impl Array<'_> {
    /// Returns the first item as it is written in the array's JSON.
    fn first_item_of<'a>(&self, text: &'a str) -> Option<&'a str> {
        const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];
        if self.has_more {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            return items.first().map(|item| item.get());
        }
        let inside = text.trim_matches(SPACE).strip_prefix('[')?.strip_suffix(']')?;
        Some(inside.trim_matches(SPACE))
    }
}

impl<'de> Deserialize<'de> for Array<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Array<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array with an object")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let none = || A::Error::invalid_length(0, &self);
                let first = items.next_element()?.ok_or_else(none)?;
                let mut has_more = false;
                while items.next_element::<IgnoredAny>()?.is_some() {
                    has_more = true;
                }
                Ok(Array { first, has_more })
            }
        }
        json.deserialize_seq(Items)
    }
}

/// The members that are read, those of an item and those of its `error`.
const NAMES: [&str; 12] = [
    "_verify",
    "cust_id",
    "customer_birth_date",
    "customer_first_name",
    "customer_gender",
    "customer_identity_number",
    "customer_last_name",
    "customer_tax_number",
    "error",
    "error_description",
    "error_location",
    "system_error",
];

/// The members of a JSON object with these names, each as it is written. The last of equal names
/// counts.
#[derive(Default)]
struct Members<'a>([Option<&'a str>; NAMES.len()]);

impl<'a> Members<'a> {
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0[NAMES.iter().position(|known| *known == name)?]
    }

    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
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
                let mut members = Members::default();
                while let Some(MemberName(known)) = map.next_key()? {
                    match known {
                        Some(at) => members.0[at] = Some(map.next_value::<&RawValue>()?.get()),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(members)
            }
        }
        json.deserialize_map(Object)
    }
}

/// The place of a member's name in [`NAMES`], if it is there. Read as bytes, as a lone surrogate may be
/// in it.
struct MemberName(Option<usize>);

impl<'de> Deserialize<'de> for MemberName {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = MemberName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_bytes<E>(self, name: &[u8]) -> Result<MemberName, E> {
                Ok(MemberName(NAMES.iter().position(|known| known.as_bytes() == name)))
            }
        }
        json.deserialize_bytes(Bytes)
    }
}

/// All members of a JSON object, each value as it is written.
#[derive(Default)]
struct AllMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for AllMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = AllMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Text(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(AllMembers(members))
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
