use proptest::prelude::*;

use super::*;
use crate::error::{Delivery, Kind};
use crate::field::tests::{TEXTS, assert_refused, body, sent, update};

#[test]
fn validate_gives_every_problem_and_agrees_with_the_request() {
    let names = |update: &Update| -> Vec<String> {
        let problems = update.validate(&Update::new());
        assert_eq!(problems.first(), update.request(&Update::new()).err().as_ref());
        problems.iter().map(|problem| problem.field().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&update()), [""; 0]);
    assert_eq!(names(&Update::new()), ["user_code", "app_key", "customer_box_id", "customer_key"]);
    let bad = Update::new().user_code(0).customer_key(" ").customer_gender("x");
    assert_eq!(
        names(&bad),
        ["user_code", "customer_key", "customer_gender", "app_key", "customer_box_id"]
    );
    let mut misspelt = update();
    misspelt.refuse_unknown("customer_frist_name");
    assert_eq!(names(&misspelt), ["customer_frist_name"]);
    let long = "\u{fffe}".repeat(8192);
    let long = update().customer_first_name(&long).customer_last_name(&long[3..]);
    assert_eq!(names(&long), ["customer_first_name"]);
}

#[test]
fn the_documented_request_is_sent_without_its_nulls() {
    let documented = include_str!("../../tests/data/request.json");
    let mut documented: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(documented).unwrap();
    documented.retain(|_, value| !value.is_null());
    let mut update = Update::new();
    for (name, value) in &documented {
        let field = Field::from_name(name).unwrap();
        let integer = value.as_i64().map(Value::Integer);
        let value = integer.or_else(|| value.as_str().map(Value::Text)).unwrap();
        update.set(field, value).unwrap();
    }
    let body = body(&update).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&body).unwrap(),
        serde_json::Value::Object(documented)
    );
    let in_order: Vec<_> = Field::ALL.iter().filter_map(|f| body.find(f.name())).collect();
    assert_eq!(in_order.len(), 8);
    assert!(in_order.is_sorted(), "{body}");
}

#[test]
fn a_whole_request_has_at_most_65536_bytes() {
    let wide = "中".repeat(8192);
    let with = |padding: usize| {
        let identity = "中".repeat(5000) + &"a".repeat(padding);
        body(
            &update()
                .customer_first_name(&wide)
                .customer_last_name(&wide[3..])
                .customer_identity_number(&identity),
        )
    };
    let padding = 65_536 - with(0).unwrap().len();
    assert!(padding < 3000, "the third text stays the shortest, and below its own limit");
    assert_eq!(with(padding).unwrap().len(), 65_536);
    let error = with(padding + 1).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidField);
    assert_eq!(error.field(), Some("customer_first_name"), "the longest");
    assert!(error.to_string().contains("65537 bytes"), "{error}");
}

#[test]
fn noncharacters_are_sent_escaped() {
    for (text, json) in [
        ("a\u{FFFE}b", r#""a\ufffeb""#),
        ("\u{FFFF}", r#""\uffff""#),
        ("\u{FDD0}\u{FDEF}", r#""\ufdd0\ufdef""#),
        ("\u{1FFFE}é", r#""\ud83f\udffeé""#),
        ("\u{10FFFF}", r#""\udbff\udfff""#),
        ("\u{FFFD}\u{FDCF}\u{FDF0}", "\"\u{FFFD}\u{FDCF}\u{FDF0}\""),
        ("a\u{FEFF}", "\"a\u{FEFF}\""),
        (r#"a"\/b"#, r#""a\"\\/b""#),
    ] {
        assert_eq!(sent(CustomerFirstName, text).unwrap(), json, "{text:?}");
    }
}

#[test]
fn a_bad_value_is_remembered_until_the_field_gets_a_good_value() {
    let named = |update: &Update| body(update).err()?.field().map(str::to_owned);
    let mut update = update().customer_gender("X").customer_tax_number("-1");
    assert_eq!(named(&update).as_deref(), Some("customer_gender"), "the first of several");
    update.set(CustomerLastName, "fine").unwrap();
    assert_eq!(named(&update).as_deref(), Some("customer_gender"), "another field changes nothing");
    update.set(CustomerGender, "F").unwrap();
    assert_eq!(named(&update).as_deref(), Some("customer_tax_number"), "the second");
    update.set(CustomerTaxNumber, None::<&str>).unwrap();
    assert_eq!(named(&update).as_deref(), None, "unset is good");
    let body = body(&update).unwrap();
    assert!(body.contains("customer_gender") && !body.contains("customer_tax"), "{body}");
}

#[test]
fn a_cleared_update_is_as_new() {
    let mut update = update();
    update.set(CustomerGender, "X").unwrap_err();
    update.refuse_unknown("gender");
    update.clear();
    assert!(Field::ALL.into_iter().all(|field| !update.is_set(field)), "{update:?}");
    assert_eq!(body(&update), body(&Update::new()), "no error is left either");
}

#[test]
fn a_field_is_unset_by_its_name_and_another_name_is_remembered() {
    for field in Field::ALL {
        let mut update = update();
        let value = match field {
            UserCode | CustomerBoxId => Value::Integer(1),
            CustomerTaxNumber => Value::Text("1"),
            CustomerBirthDate => Value::Text("1980-08-19"),
            _ => Value::Text("M"),
        };
        update.set(field, value).unwrap();
        update.unset(field.name()).unwrap();
        assert!(!update.is_set(field), "{}", field.name());
    }
    let mut update = update();
    update.set(UserCode, 0).unwrap_err();
    update.unset("user_code").unwrap();
    update.set(UserCode, 396).unwrap();
    assert!(body(&update).is_ok());
    let error = update.unset("usercode").unwrap_err();
    assert_eq!((error.kind(), error.field()), (Kind::InvalidField, Some("usercode")));
    assert!(error.to_string().contains("Did you mean 'user_code'?"), "{error}");
    assert_eq!(body(&update), Err(error), "nothing is sent with what was to be unset");
}

#[test]
fn a_bad_value_does_not_leave_the_one_before_in_place() {
    let mut update = update().customer_first_name("Before");
    assert!(update.set(CustomerFirstName, "").is_err());
    update.set(CustomerFirstName, Value::Unset).unwrap();
    assert!(!body(&update).unwrap().contains("Before"));
}

#[test]
fn an_update_may_change_one_field_or_none() {
    let nothing =
        r#"{"user_code":396,"app_key":"app","customer_box_id":811111,"customer_key":"key"}"#;
    assert_eq!(body(&update()).unwrap(), nothing);
}

#[test]
fn the_credentials_of_the_call_win() {
    let client = Update::new().user_code(1).app_key("client's");
    let request = |update: Update| {
        let request = update.customer_box_id(2).customer_key("c").request(&client).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(json["app_key"], request.keys()[0], "what is sent is what is redacted");
        assert_eq!(json["customer_key"], request.keys()[1]);
        (json["user_code"].as_i64().unwrap(), request.keys()[0].to_owned())
    };
    assert_eq!(request(Update::new()), (1, "client's".to_owned()));
    assert_eq!(request(Update::new().user_code(9)), (9, "client's".to_owned()));
    assert_eq!(request(Update::new().app_key("call's")), (1, "call's".to_owned()));
}

#[test]
fn a_missing_credential_is_named() {
    for (field, kind) in [
        (UserCode, Kind::Configuration),
        (AppKey, Kind::Configuration),
        (CustomerBoxId, Kind::InvalidField),
        (CustomerKey, Kind::InvalidField),
    ] {
        let mut update = update();
        update.set(field, Value::Unset).unwrap();
        let error = body(&update).unwrap_err();
        assert_eq!((error.kind(), error.field()), (kind, Some(field.name())));
        assert_eq!((error.delivery(), error.attempts()), (Delivery::NotSent, 0));
    }
}

#[test]
fn no_error_and_no_debug_output_holds_a_value() {
    let secret = "S3CRET";
    for field in Field::ALL.into_iter().filter(|f| !matches!(f, UserCode | CustomerBoxId)) {
        let long = secret.repeat(2000);
        for bad in ["S3CRET\u{1}", "\u{7F}S3CRET", &long] {
            let error = assert_refused(field, bad);
            let texts = format!("{error} {error:?}");
            assert!(!texts.contains(secret), "{texts}");
        }
    }
    for field in [CustomerTaxNumber, CustomerBirthDate, CustomerGender] {
        let error = assert_refused(field, secret);
        assert!(!format!("{error} {error:?}").contains(secret));
    }
    for field in [UserCode, CustomerBoxId] {
        let error = assert_refused(field, -31337);
        assert!(!format!("{error} {error:?}").contains("31337"));
    }
    let update = Update::new()
        .user_code(31337)
        .app_key(secret)
        .customer_key(secret)
        .customer_first_name(secret)
        .customer_tax_number("31337")
        .customer_gender(secret);
    let shown = format!("{update:?} {update:#?}");
    assert!(!shown.contains(secret) && !shown.contains("31337"), "{shown}");
    assert!(shown.contains("customer_first_name"), "{shown}");
}

/// Characters that may be sent, the awkward ones often.
fn allowed() -> impl Strategy<Value = char> {
    let awkward = vec!['"', '\\', '/', '<', 'é', '中', '\u{2028}', '\u{D7FF}', '\u{E000}'];
    let noncharacters = vec!['\u{FFFE}', '\u{FFFF}', '\u{FDD0}', '\u{1FFFE}', '\u{10FFFF}'];
    prop_oneof![
        any::<char>().prop_filter("not a control character", |c| !c.is_control()),
        prop::sample::select(awkward),
        prop::sample::select(noncharacters),
    ]
}

proptest! {
    #[test]
    fn any_allowed_text_arrives_unchanged(
        texts in prop::array::uniform3(prop::collection::vec(allowed(), 1..80)),
    ) {
        // A first character that is no byte-order mark, and so one that is seen.
        let texts = texts.map(|text| format!(".{}", text.into_iter().collect::<String>()));
        let mut update = update();
        for (field, text) in TEXTS.into_iter().zip(&texts) {
            update.set(field, text.as_str()).unwrap();
        }
        let json: serde_json::Value = serde_json::from_str(&body(&update).unwrap()).unwrap();
        for (field, text) in TEXTS.into_iter().zip(&texts) {
            prop_assert_eq!(json[field.name()].as_str(), Some(text.as_str()));
        }
    }
}
