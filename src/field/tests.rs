use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::value::RawValue;

use super::*;
use crate::error::{Delivery, Kind};
use crate::update::Update;

pub(crate) const TEXTS: [Field; 3] = [CustomerFirstName, CustomerLastName, CustomerIdentityNumber];

pub(crate) fn update() -> Update {
    Update::new().user_code(396).app_key("app").customer_box_id(811111).customer_key("key")
}

pub(crate) fn body(update: &Update) -> Result<String, Error> {
    let request = update.request(&Update::new())?;
    Ok(String::from_utf8(request.body.to_vec()).expect("UTF-8"))
}

/// The JSON of one member of the request, as it is written.
pub(crate) fn sent<'a>(field: Field, value: impl Into<Value<'a>>) -> Result<String, Error> {
    let mut update = update();
    update.set(field, value)?;
    let body = body(&update)?;
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(&body).expect("JSON");
    assert_eq!(members.len(), if field as usize > 3 { 5 } else { 4 }, "{body}");
    Ok(members[field.name()].get().to_owned())
}

/// The value is refused before anything is sent, the field is named, the value is not.
pub(crate) fn assert_refused<'a>(field: Field, value: impl Into<Value<'a>>) -> Error {
    let value = value.into();
    let mut update = update();
    let Err(error) = update.set(field, value) else {
        panic!("{} took a bad value", field.name());
    };
    assert_eq!(error.kind(), Kind::InvalidField);
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(error.attempts(), 0);
    assert_eq!(error.field(), Some(field.name()));
    assert!(error.to_string().starts_with(field.name()), "{error}");
    assert_eq!(body(&update).as_ref(), Err(&error), "it is remembered");
    error
}

#[test]
fn every_field_has_its_own_name_and_only_that() {
    for (at, field) in Field::ALL.into_iter().enumerate() {
        assert_eq!(field as usize, at);
        assert_eq!(Field::from_name(field.name()), Some(field));
        assert_eq!(Field::from_name(&field.name().to_uppercase()), None);
    }
}

#[test]
fn a_misspelt_name_suggests_the_nearest_one() {
    for (name, nearest) in [
        ("customer_frist_name", Some(CustomerFirstName)),
        ("Customer_Birthdate", Some(CustomerBirthDate)),
        ("customer_taxnumber", Some(CustomerTaxNumber)),
        ("appkey", Some(AppKey)),
        ("customerFirstName", Some(CustomerFirstName)),
        ("UserCode", Some(UserCode)),
        ("First Name", Some(CustomerFirstName)),
        ("customers.customer_key", Some(CustomerKey)),
        ("customer_kex", Some(CustomerKey)),
        ("gender", Some(CustomerGender)),
        ("customer_box", Some(CustomerBoxId)),
        ("customer_birth", Some(CustomerBirthDate)),
        ("app", None),
        ("custmer_gender", Some(CustomerGender)),
        ("costumer_birthdate", Some(CustomerBirthDate)),
        ("custmer_first_nam", Some(CustomerFirstName)),
        ("custmer_sex", None),
        ("customer_sex", None),
        ("customer_id", None),
        ("customer_name", None),
        ("customer_email", None),
        ("customer", None),
        ("zzz", None),
        ("", None),
    ] {
        assert_eq!(Field::nearest(name), nearest, "{name}");
    }
}

#[test]
fn a_text_has_at_most_8192_utf_16_units() {
    for field in TEXTS.into_iter().chain([AppKey, CustomerKey]) {
        for fits in ["a".repeat(8192), "é".repeat(8192), "😀".repeat(4096)] {
            assert_eq!(sent(field, &*fits).unwrap(), format!("\"{fits}\""));
        }
        for too_long in ["a".repeat(8193), "é".repeat(8193), "😀".repeat(4096) + "a"] {
            assert_refused(field, &*too_long);
        }
    }
}

#[test]
fn control_characters_are_refused_everywhere_in_a_text() {
    let controls = (0..=0x1F).chain(0x7F..=0x9F).map(|c| char::from_u32(c).unwrap());
    for c in controls {
        for text in [format!("{c}a"), format!("a{c}b"), format!("ab{c}")] {
            assert_refused(CustomerFirstName, &*text);
            assert_refused(CustomerKey, &*text);
        }
    }
    for c in ['\u{20}', '\u{7E}', '\u{A0}', '\u{2028}', '\u{200B}', '\u{202E}'] {
        assert!(sent(CustomerFirstName, &*format!("a{c}b")).is_ok(), "{c:?}");
    }
}

#[test]
fn a_text_of_nothing_but_white_space_is_refused() {
    for field in Field::ALL.into_iter().filter(|f| !matches!(f, UserCode | CustomerBoxId)) {
        for empty in ["", " ", "\t", "\r\n", "\u{A0}", "\u{2003}", "\u{3000}", " \u{2029} "] {
            let hint = assert_refused(field, empty).to_string().contains("leave it out");
            assert_eq!(hint, !matches!(field, AppKey | CustomerKey), "{field:?} {empty:?}");
        }
    }
    assert_eq!(sent(CustomerLastName, "\u{3000}a ").unwrap(), "\"\u{3000}a \"");
}

#[test]
fn a_text_of_nothing_visible_is_refused() {
    // Each of these was seen as a name that is none, or is one to Unicode: the soft hyphen, joiners,
    // marks of direction, Hangul fillers, a variation selector, a tag, a Braille pattern.
    for invisible in [
        "\u{AD}",
        "\u{34F}",
        "\u{61C}",
        "\u{115F}",
        "\u{17B4}",
        "\u{180E}",
        "\u{200B}",
        "\u{2060}\u{200D}",
        "\u{202E}",
        "\u{2066}",
        "\u{2800}",
        "\u{3164}",
        "\u{FE0F}",
        "\u{FEFF}",
        "\u{FFA0}",
        "\u{FFF9}",
        "\u{1D173}",
        "\u{E0020}",
        " \u{200E}\t",
    ] {
        for field in Field::ALL.into_iter().filter(|f| !matches!(f, UserCode | CustomerBoxId)) {
            let error = assert_refused(field, invisible).to_string();
            assert!(error.contains("has only invisible characters"), "{error} {invisible:?}");
        }
    }
    // Beside what is seen they have a meaning.
    for name in
        ["نمی\u{200C}خواهم", "ක්\u{200D}ර", "\u{200F}א", "a\u{AD}b", "❤\u{FE0F}", "A\u{FEFF}"]
    {
        for field in TEXTS {
            assert_eq!(sent(field, name).unwrap(), format!("\"{name}\""));
        }
    }
}

#[test]
fn a_byte_order_mark_before_a_text_is_refused() {
    for field in TEXTS.into_iter().chain([AppKey, CustomerKey]) {
        let error = assert_refused(field, "\u{FEFF}Ana").to_string();
        assert!(error.contains("begins with an invisible byte-order mark (U+FEFF)"), "{error}");
    }
}

#[cfg(feature = "python")]
#[test]
fn a_text_of_1_to_19_digits_is_an_integer() {
    for (text, integer) in [("1", 1), ("0000000000000000007", 7), ("9223372036854775807", i64::MAX)]
    {
        assert!(matches!(Value::from_digits(text), Value::Integer(read) if read == integer));
    }
    let too_long = "0".repeat(19) + "1";
    for bad in ["", " 1", "1 ", "+1", "-1", "1.0", "1e3", "١", "9223372036854775808", &too_long] {
        assert!(matches!(Value::from_digits(bad), Value::Invalid(_)), "{bad}");
    }
    assert!(matches!(Value::from_digits("-5"), Value::Invalid("is not positive")));
}

#[test]
fn a_gender_is_m_or_f() {
    assert_eq!(sent(CustomerGender, "M").unwrap(), "\"M\"");
    assert_eq!(sent(CustomerGender, "F").unwrap(), "\"F\"");
    for bad in ["m", "f", "X", "MF", "M ", " F", "Male", "Μ"] {
        assert_refused(CustomerGender, bad);
    }
}

#[test]
fn a_tax_number_keeps_every_digit_but_leading_zeros() {
    let digits = "1234567890123456789012345678";
    assert_eq!(digits.len(), 28);
    for (text, number) in [
        ("0", "0"),
        ("000", "0"),
        ("007", "7"),
        ("00.5", "0.5"),
        ("0.0", "0.0"),
        ("123.450", "123.450"),
        ("123456789", "123456789"),
        (digits, digits),
        (&format!("000{digits}"), digits),
        (&format!("{}.{}", &digits[..14], &digits[14..]), "12345678901234.56789012345678"),
        ("0.1234567890123456789012345678", "0.1234567890123456789012345678"),
    ] {
        assert_eq!(sent(CustomerTaxNumber, text).unwrap(), number, "{text}");
    }
    for bad in [
        &format!("{digits}9"),
        &format!("{digits}.0"),
        "0.12345678901234567890123456789",
        ".5",
        "1.",
        ".",
        "1.2.3",
        "-1",
        "+1",
        "1e3",
        "1E3",
        "0x1",
        " 1",
        "1 ",
        "1,5",
        "١",
        "１",
        "1_0",
        "NaN",
        "\"1\"",
    ] {
        assert_refused(CustomerTaxNumber, bad);
    }
}

#[test]
fn a_birth_date_is_a_day_of_the_calendar_from_1753_to_today() {
    // Today where it is latest.
    let today = (Utc::now() + Duration::hours(14)).date_naive();
    for good in ["1753-01-01", "1980-08-19", "2000-02-29", "1904-02-29", &today.to_string()] {
        assert_eq!(sent(CustomerBirthDate, good).unwrap(), format!("\"{good}\""));
    }
    for bad in [
        "1752-12-31",
        "0001-01-01",
        "9999-12-31",
        &today.succ_opt().unwrap().to_string(),
        "1900-02-29",
        "1981-02-29",
        "1980-04-31",
        "1980-13-01",
        "1980-00-10",
        "1980-01-00",
        "1980-8-19",
        "80-08-19",
        "+1980-08-19",
        "-1980-08-19",
        "1980-08-19T",
        "1980-08-19T00:00:00",
        "1980/08/19",
        "19-08-1980",
        "19800819",
        "1980-08-1９",
        " 1980-08-19",
        "1980-08-19 ",
        "1980- 8-19",
        "/Date(335505600000-0400)/",
    ] {
        assert_refused(CustomerBirthDate, bad);
    }
    let form = "; this is not in the form YYYY-MM-DD";
    let day = "; this is not a day of the calendar";
    let range = "; this is out of range";
    for (bad, problem) in [
        ("1980-8-19", form),
        ("19-08-1980", form),
        ("1980/08/19", form),
        ("1980-08-19T00:00:00", form),
        ("yesterday", form),
        ("1980-02-30", day),
        ("1980-13-01", day),
        ("0000-00-00", day),
        ("1752-12-31", range),
    ] {
        let error = CustomerBirthDate.check(Value::Text(bad)).err().expect(bad);
        let expected = "a calendar day as YYYY-MM-DD, from 1753-01-01 to today";
        let message = format!("customer_birth_date: must be {expected}{problem}");
        assert_eq!(error.message(), message, "{bad}");
    }
}

#[test]
fn an_id_is_a_positive_64_bit_integer() {
    for field in [UserCode, CustomerBoxId] {
        for good in [1, 811_111, i64::MAX] {
            assert_eq!(sent(field, good).unwrap(), good.to_string());
        }
        for bad in [0, -1, i64::MIN] {
            assert_refused(field, bad);
        }
        assert_refused(field, "396");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused() {
    for field in Field::ALL.into_iter().filter(|f| !matches!(f, UserCode | CustomerBoxId)) {
        assert_refused(field, 1);
    }
    for field in Field::ALL {
        let error = assert_refused(field, Value::Invalid("is not valid UTF-8"));
        assert!(error.to_string().contains("is not valid UTF-8"), "{error}");
    }
}

#[test]
fn the_nearest_of_any_names_is_found_and_an_exact_one_wins() {
    for (word, names, nearest_name) in [
        ("updaet", &["bulk", "update", "doctor"][..], Some("update")),
        ("dryrun", &["timeout", "dry-run"], Some("dry-run")),
        ("first-name", &["customer_first_name"], Some("customer_first_name")),
        ("time_out", &["timeouts", "timeout"], Some("timeout")),
        ("new_timeout", &["time", "timeout"], Some("timeout")),
        ("id", &["ip", "", "x"], None),
        ("--", &["update"], None),
        ("anything", &[], None),
    ] {
        assert_eq!(nearest(word, names.iter().copied()), nearest_name, "{word}");
    }
}

proptest! {
    #[test]
    fn any_allowed_tax_number_is_that_number(
        zeros in 0usize..4, whole in "[1-9][0-9]{0,13}", fraction in "[0-9]{1,14}",
    ) {
        let text = format!("{}{whole}.{fraction}", "0".repeat(zeros));
        prop_assert_eq!(
            sent(CustomerTaxNumber, &*text).unwrap(), format!("{whole}.{fraction}")
        );
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        for field in Field::ALL {
            let _ = Update::new().set(field, text.as_str());
        }
        let _ = Field::nearest(&text);
    }
}
