//! Sets any values: an update is refused with the name of a field, or becomes a JSON object.
#![no_main]

use skypostal::{Field, Update};

libfuzzer_sys::fuzz_target!(|values: Vec<(u8, String)>| {
    let mut update = Update::new().user_code(1).app_key("k").customer_box_id(1).customer_key("k");
    for (field, value) in &values {
        let _ = update.set(Field::ALL[usize::from(*field) % 10], value.as_str());
    }
    match skypostal::fuzzing::request(&update) {
        Ok(body) => assert!(body.starts_with('{') && body.ends_with('}') && body.len() <= 65_536),
        Err(error) => assert!(error.field().is_some() && error.attempts() == 0),
    }
});
