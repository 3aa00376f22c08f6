//! Calls the C functions with any bytes, ended by NUL, or with NULL: each returns a result code.
#![no_main]

use std::ffi::{CString, c_char, c_int};
use std::ptr;

use skypostal::fuzzing::capi::*;

libfuzzer_sys::fuzz_target!(|calls: Vec<(u8, i64, Option<Vec<u8>>)>| unsafe {
    let (options, update) = (skypostal_options_new(), skypostal_update_new());
    // Plain HTTP needs no certificates, whose loading takes far longer than all else.
    skypostal_options_set_base_url(options, c"http://localhost".as_ptr());
    for (function, number, text) in &calls {
        let text = text.clone().map(|mut bytes| {
            bytes.retain(|byte| *byte != 0);
            CString::new(bytes).unwrap()
        });
        let text = text.as_ref().map_or(ptr::null::<c_char>(), |text| text.as_ptr());
        let result = match function % 16 {
            0 => skypostal_options_set_user_code(options, *number),
            1 => skypostal_options_set_app_key(options, text),
            2 => skypostal_options_set_environment(options, text),
            3 => skypostal_options_set_base_url(options, text),
            4 => skypostal_options_set_timeout_ms(options, *number as u32),
            5 => skypostal_options_set_max_retries(options, *number as c_int),
            6 => skypostal_options_set_proxy(options, text),
            7 => skypostal_options_set_allow_http(options, *number as c_int),
            8 => skypostal_update_set_customer_box_id(update, *number),
            9 => skypostal_update_set_customer_key(update, text),
            10 => skypostal_update_set_customer_first_name(update, text),
            11 => skypostal_update_set_customer_tax_number(update, text),
            12 => skypostal_update_set_customer_birth_date(update, text),
            13 => skypostal_update_set_customer_gender(update, text),
            14 => skypostal_update_set_customer_first_name(options.cast(), text),
            _ => skypostal_options_set_app_key(ptr::null_mut(), text),
        };
        assert!((0..=12).contains(&result));
    }
    let (mut client, mut error) = (ptr::null_mut(), ptr::null_mut());
    skypostal_options_set_ca_file(options, ptr::null());
    let result = skypostal_client_new(options, &mut client, &mut error);
    assert_eq!(result == 0, error.is_null());
    assert_eq!(result == 0, !client.is_null());
    assert!(error.is_null() || !skypostal_error_message(error).is_null());
    skypostal_error_free(error);
    skypostal_client_free(client);
    skypostal_update_free(update);
    skypostal_options_free(options);
});
