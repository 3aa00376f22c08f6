use proptest::prelude::*;

use super::*;
use crate::error::Kind;

const DOCUMENTED: &str = include_str!("../../tests/data/response.json");

/// Decodes the response whose item has these members.
fn decode(members: &str) -> Result<PersonalInfo, NotAccepted> {
    PersonalInfo::decode(format!("[{{{members}}}]").as_bytes())
}

fn accepted(members: &str) -> PersonalInfo {
    decode(&format!("\"_verify\":true,{members}"))
        .unwrap_or_else(|problem| panic!("{members}: {problem:?}"))
}

fn is_malformed(body: &[u8]) -> bool {
    matches!(PersonalInfo::decode(body), Err(NotAccepted::Malformed(_)))
}

#[test]
fn the_documented_response_is_read() {
    for body in [DOCUMENTED.to_owned(), DOCUMENTED.replace('/', "\\/")] {
        let info = PersonalInfo::decode(body.as_bytes()).unwrap();
        assert_eq!(info.cust_id, Some(51_736_835));
        assert_eq!(info.customer_first_name.as_deref(), Some("New Name"));
        assert_eq!(info.customer_last_name.as_deref(), Some("New Last"));
        assert_eq!(info.customer_identity_number.as_deref(), Some("123456789"));
        assert_eq!(info.customer_tax_number.as_deref(), Some("0"));
        assert_eq!(info.customer_birth_date, NaiveDate::from_ymd_opt(1980, 8, 19));
        assert_eq!(info.customer_gender.as_deref(), Some("M"));
        assert!(body.contains(&info.raw) && info.raw.starts_with('{'), "{}", info.raw);
        assert!(info.raw.ends_with('}'), "{}", info.raw);
    }
}

#[test]
fn a_text_is_read_however_it_is_escaped() {
    for (json, text) in [
        (r#""a\/b""#, "a/b"),
        (r#""\ud83d\ude00""#, "😀"),
        (r#""é😀""#, "é😀"),
        (r#""\u00e9\"\\\n""#, "é\"\\\n"),
        (r#""\ufffe""#, "\u{FFFE}"),
        (r#""""#, ""),
    ] {
        let info = accepted(&format!("\"customer_first_name\":{json}"));
        assert_eq!(info.customer_first_name.as_deref(), Some(text), "{json}");
    }
}

#[test]
fn a_field_that_cannot_be_read_is_absent_and_the_update_a_success() {
    for value in [
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""a\ud83d b""#,
        r#""\ud83d\ud83d""#,
        "null",
        "5",
        "true",
        "{}",
        "[]",
    ] {
        for (name, read) in [
            ("customer_first_name", (|i| i.customer_first_name) as fn(PersonalInfo) -> _),
            ("customer_last_name", |i| i.customer_last_name),
            ("customer_identity_number", |i| i.customer_identity_number),
            ("customer_gender", |i| i.customer_gender),
        ] {
            let info = accepted(&format!("\"{name}\":{value},\"cust_id\":7"));
            assert_eq!(info.cust_id, Some(7));
            assert!(info.raw.contains(value), "raw keeps {value}: {}", info.raw);
            assert_eq!(read(info), None, "{name} {value}");
        }
    }
    for value in ["null", "\"x\"", "1.5", "1e3", "9223372036854775808", "[]", "true"] {
        assert_eq!(accepted(&format!("\"cust_id\":{value}")).cust_id, None, "{value}");
    }
    for value in ["null", "5", "\"\"", "\"1980-08-19\"", r#""/Date(\ud83d)/""#, "{}"] {
        let info = accepted(&format!("\"customer_birth_date\":{value}"));
        assert_eq!(info.customer_birth_date, None, "{value}");
    }
    let info = accepted("\"_\":0");
    assert_eq!((info.cust_id, &info.customer_first_name), (None, &None));
}

#[test]
fn a_lone_surrogate_in_a_name_or_an_unknown_member_does_no_harm() {
    let info = accepted(r#""\ud83d":"\ude00","new":"\ud83d","cust_id":1,"error":null"#);
    assert_eq!(info.cust_id, Some(1));
    assert!(info.raw.contains(r#""new":"\ud83d""#), "{}", info.raw);
}

#[test]
fn a_tax_number_keeps_every_digit() {
    let digits = "123456789012345678901234567890".repeat(2);
    for (json, number) in [
        ("0", Some("0")),
        ("123.450", Some("123.450")),
        ("-1.50", Some("-1.50")),
        ("1E+3", Some("1E+3")),
        (&digits, Some(&*digits)),
        (r#""123.450""#, Some("123.450")),
        (&format!("\"{digits}\""), Some(&*digits)),
        ("null", None),
        ("true", None),
        ("[1]", None),
        (r#""""#, None),
        (r#"" 1""#, None),
        (r#""1 ""#, None),
        (r#""twelve""#, None),
        (r#""null""#, None),
        (r#""-""#, None),
        (r#""1\/2""#, None),
        (r#""\ud83d""#, None),
    ] {
        let info = accepted(&format!("\"customer_tax_number\": {json} "));
        assert_eq!(info.customer_tax_number.as_deref(), number, "{json}");
    }
}

#[test]
fn a_birth_date_is_a_day_of_the_servers_calendar() {
    for (date, day) in [
        (r"\/Date(335505600000-0400)\/", Some("1980-08-19")),
        ("/Date(335505600000-0400)/", Some("1980-08-19")),
        (r"\/Date(-72000000-0400)\/", Some("1969-12-31")),
        (r"\/Date(335491200000)\/", Some("1980-08-19")),
        (r"\/Date(-62135580780000-0427)\/", None),
    ] {
        let info = accepted(&format!("\"customer_birth_date\":\"{date}\""));
        let found = info.customer_birth_date.map(|day| day.to_string());
        assert_eq!(found.as_deref(), day, "{date}");
    }
}

#[test]
fn newer_forms_of_the_response_are_accepted_and_kept() {
    for members in [
        r#""error":null"#,
        r#""error":{}"#,
        r#""error":{"error_description":null,"error_location":null,"system_error":null}"#,
        r#""error":{"error_code":0,"error_description":"","system_error":false}"#,
        r#""error":{"error_description":" ","error_location":"here","system_error":false}"#,
        r#""error":"""#,
        r#""other":{"deep":[1,{"x":"\ud83d"}]}"#,
    ] {
        assert!(accepted(members).raw.contains(members), "{members}");
    }
}

#[test]
fn a_refusal_says_why() {
    for (members, description, location, system_error) in [
        (
            r#""_verify":false,"error":{"error_description":"Wrong \/ key \ud83d\ude00","error_location":"at \/","system_error":false}"#,
            "Wrong / key 😀",
            "at /",
            false,
        ),
        (
            r#""_verify":false,"error":{"error_description":"cut \ud83d"}"#,
            "cut \u{FFFD}",
            "",
            false,
        ),
        (r#""_verify":false"#, "", "", false),
        (r#""_verify":false,"error":null"#, "", "", false),
        (r#""_verify":false,"error":{"error_description":""}"#, "", "", false),
        (r#""_verify":false,"error":{"system_error":true}"#, "", "", true),
        (r#""_verify":true,"error":{"error_description":"no"}"#, "no", "", false),
        (r#""_verify":true,"error":{"error_description":"\ud83d"}"#, "\u{FFFD}", "", false),
        (r#""_verify":true,"error":"plain text""#, "plain text", "", false),
        (
            r#""_verify":true,"error":{"error_description":"","error_location":"here","system_error":true}"#,
            "",
            "here",
            true,
        ),
    ] {
        // The description may hold U+FFFD in more than one place for one surrogate.
        let Err(NotAccepted::Refused {
            verified,
            description: found,
            location: at,
            system_error: system,
        }) = decode(members)
        else {
            panic!("{members}: not refused");
        };
        let found = found.split_inclusive('\u{FFFD}').filter(|part| *part != "\u{FFFD}");
        let wanted = description.split_inclusive('\u{FFFD}').filter(|part| *part != "\u{FFFD}");
        assert_eq!(found.collect::<String>(), wanted.collect::<String>(), "{members}");
        assert_eq!((&*at, system), (location, system_error), "{members}");
        assert_eq!(verified, members.starts_with(r#""_verify":true"#), "{members}");
    }
}

#[test]
fn a_response_without_a_boolean_verify_is_malformed() {
    for members in [
        "",
        r#""cust_id":1"#,
        r#""_verify":"true""#,
        r#""_verify":"false""#,
        r#""_verify":1"#,
        r#""_verify":null"#,
        r#""_verify":{}"#,
        r#""_Verify":true"#,
        r#""verify":true"#,
    ] {
        assert!(matches!(decode(members), Err(NotAccepted::Malformed(_))), "{members}");
    }
}

#[test]
fn anything_but_an_array_with_an_object_is_malformed() {
    for body in [
        "",
        " \r\n",
        "[]",
        "null",
        "{}",
        r#"{"_verify":true}"#,
        "true",
        "[1]",
        "[null]",
        "[[]]",
        r#"[[{"_verify":true}]]"#,
        r#"[1,{"_verify":true}]"#,
        "\"\"",
        "<html>Request Error</html>",
        "\u{FEFF}<html>",
        "\u{FEFF}",
        r#"[{"_verify":true}"#,
        r#"[{"_verify":true}] x"#,
        r#"[{"_verify":true},]"#,
        r#"[{"_verify":true,}]"#,
        r#"[{_verify:true}]"#,
        r#"[{"_verify":true}][{"_verify":true}]"#,
    ] {
        assert!(is_malformed(body.as_bytes()), "{body}");
    }
    assert!(is_malformed(b"\xff\xfe[\0"));
}

#[test]
fn an_array_without_an_object_is_named() {
    for (body, problem) in [
        ("[]", "the array is empty"),
        (" [ ] ", "the array is empty"),
        ("[1]", "the first item of the array is not an object"),
        (r#"["\ud83d"]"#, "the first item of the array is not an object"),
        (
            r#"[[{"_verify":true}],{"_verify":true}]"#,
            "the first item of the array is not an object",
        ),
    ] {
        let found = PersonalInfo::decode(body.as_bytes());
        assert_eq!(found, Err(NotAccepted::Malformed(problem.to_owned())), "{body}");
    }
}

#[test]
fn raw_is_the_first_item_as_it_came() {
    let item = r#"{ "_verify" : true , "new" : "] }" }"#;
    for body in
        [format!("[{item}]"), format!("\n[\t{item}\r\n] "), format!("[ {item} , [{item}] ]")]
    {
        assert_eq!(PersonalInfo::decode(body.as_bytes()).unwrap().raw, item, "{body}");
    }
}

#[test]
fn further_items_and_a_byte_order_mark_do_no_harm() {
    for body in [
        "\u{FEFF}[{\"_verify\":true,\"cust_id\":5}]",
        "\u{FEFF} [ {\"_verify\":true,\"cust_id\":5} ] \r\n",
        "[{\"_verify\":true,\"cust_id\":5},null]",
    ] {
        assert_eq!(PersonalInfo::decode(body.as_bytes()).unwrap().cust_id, Some(5), "{body}");
    }
}

#[test]
fn invalid_utf_8_in_an_echoed_field_is_a_success() {
    let body = b"[{\"customer_first_name\":\"Jos\xe9\",\"_verify\":true,\"cust_id\":5}]";
    let info = PersonalInfo::decode(body).unwrap();
    assert_eq!(info.cust_id, Some(5));
    assert_ne!(info.customer_first_name.as_deref(), Some("José"), "Latin-1 is not guessed");
}

#[test]
fn the_last_of_members_with_one_name_counts() {
    let info = accepted(r#""cust_id":1,"customer_gender":"M","cust_id":2,"customer_gender":"F""#);
    assert_eq!((info.cust_id, info.customer_gender.as_deref()), (Some(2), Some("F")));
    assert!(decode(r#""_verify":false,"_verify":true"#).is_ok());
    assert!(decode(r#""_verify":true,"_verify":false"#).is_err());
}

#[test]
fn an_error_of_another_type_than_documented_may_have_come_after_the_change() {
    let none = [
        "null",
        "false",
        "\"\"",
        "[]",
        "{}",
        "0",
        r#"{"error_description":null}"#,
        r#"{"system_error":0}"#,
        r#"{"system_error":"False"}"#,
    ];
    let some = [
        r#"{"system_error":"True"}"#,
        r#"{"system_error":1}"#,
        r#"{"error_description":["not saved"]}"#,
        r#"[{"error_description":"not saved"}]"#,
        "5",
        "true",
    ];
    for error in none {
        assert!(decode(&format!("\"_verify\":true,\"error\":{error}")).is_ok(), "{error}");
    }
    for error in some {
        let refused = decode(&format!("\"_verify\":true,\"error\":{error}"));
        assert!(matches!(refused, Err(NotAccepted::Refused { .. })), "{error}");
    }
    for error in &some[..2] {
        let refused = decode(&format!("\"_verify\":false,\"error\":{error}"));
        assert!(matches!(refused, Err(NotAccepted::Refused { system_error: true, .. })), "{error}");
    }
}

#[test]
fn deep_nesting_is_a_success_inside_and_malformed_outside() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    assert_eq!(accepted(&format!("\"new\":{deep},\"cust_id\":3")).cust_id, Some(3));
    let refused = decode(&format!("\"_verify\":true,\"error\":{deep}"));
    assert!(matches!(refused, Err(NotAccepted::Refused { verified: true, .. })));
    assert_eq!(accepted(&format!("\"customer_gender\":{deep}")).customer_gender, None);
    let objects = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    assert_eq!(accepted(&format!("\"new\":{objects},\"cust_id\":3")).cust_id, Some(3));
    assert!(is_malformed(deep.as_bytes()));
    assert!(is_malformed("[".repeat(100_000).as_bytes()));
    assert!(is_malformed(format!("[{objects}]").as_bytes()));
}

#[test]
fn raw_can_be_read_again() {
    let bodies = [
        DOCUMENTED,
        r#"[ {"_verify":true,"customer_first_name":"\ud83d","customer_tax_number":123.450} ]"#,
    ];
    for body in bodies {
        let info = PersonalInfo::decode(body.as_bytes()).unwrap();
        assert_eq!(PersonalInfo::from_raw(&info.raw).unwrap(), info);
    }
    for bad in ["", "[]", DOCUMENTED, "{}", r#"{"_verify":false}"#, "null"] {
        assert_eq!(PersonalInfo::from_raw(bad).unwrap_err().kind(), Kind::Response, "{bad}");
    }
}

#[test]
fn printing_shows_no_personal_data() {
    let info = PersonalInfo::decode(DOCUMENTED.as_bytes()).unwrap();
    let shown = format!("{info:?} {info:#?}");
    for data in ["New Name", "New Last", "123456789", "1980", "335505600000", "\"M\""] {
        assert!(!shown.contains(data), "{shown}");
    }
    assert!(shown.contains("51736835"), "{shown}");
    let error = PersonalInfo::from_raw(r#"{"customer_first_name":"Jane"}"#).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("Jane"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = PersonalInfo::decode(&bytes);
    }

    #[test]
    fn no_damage_to_a_response_panics(
        at in 0..DOCUMENTED.len(), bytes in prop::collection::vec(any::<u8>(), 0..6),
    ) {
        let mut body = DOCUMENTED.as_bytes().to_vec();
        let end = (at + bytes.len()).min(body.len());
        body.splice(at..end, bytes);
        let _ = PersonalInfo::decode(&body);
        let _ = PersonalInfo::decode(&body[..at]);
    }

    #[test]
    fn any_text_is_read_as_it_was_written(text in any::<String>()) {
        let json = serde_json::to_string(&text).unwrap();
        let info = accepted(&format!("\"customer_first_name\":{json}"));
        prop_assert_eq!(info.customer_first_name, Some(text));
    }
}
