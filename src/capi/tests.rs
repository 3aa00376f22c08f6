use std::ffi::{CStr, CString};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::{env, fs, ptr, thread};

use super::client::*;
use super::error::*;
use super::handle::{BorrowedHandle, registry};
use super::options::*;
use super::update::*;
use crate::Error;

#[test]
fn a_panic_is_an_internal_error_and_does_not_cross() {
    let mut error = ptr::null_mut();
    let result = unsafe { guard(&mut error, || panic!("of a test")) };
    assert_eq!(result, SKYPOSTAL_INTERNAL);
    assert_eq!(unsafe { skypostal_error_kind(error) }, SKYPOSTAL_INTERNAL);
    let message = unsafe { CStr::from_ptr(skypostal_error_message(error)) };
    assert!(message.to_str().unwrap().contains("of a test"));
    unsafe { skypostal_error_free(error) };
}

#[test]
fn handles_that_come_and_go_on_many_threads_are_told_apart() {
    let come_and_go = || {
        for _ in 0..500 {
            let handles = [skypostal_update_new(), skypostal_update_new()];
            for update in handles {
                let set = |value| unsafe { skypostal_update_set_user_code(update, value) };
                assert_eq!([set(396), set(0)], [SKYPOSTAL_OK, SKYPOSTAL_INVALID_FIELD]);
                assert!(!registry::holds(update.cast::<skypostal_options>()));
                unsafe { skypostal_update_free(update) };
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(come_and_go);
        }
    });
}

#[test]
fn a_borrowed_handle_lives_until_its_owner_is_freed() {
    let owner = BorrowedHandle::<skypostal_error>::new(Error::configuration("rate", "").into());
    let error = owner.as_ptr().cast_mut();
    for _ in 0..2 {
        assert_eq!(unsafe { skypostal_error_kind(error) }, SKYPOSTAL_CONFIGURATION);
        unsafe { skypostal_error_free(error) };
    }
    assert!(registry::holds(error));
    drop(owner);
    assert!(!registry::holds(error));
    assert_eq!(unsafe { skypostal_error_kind(error) }, SKYPOSTAL_MISUSE);
}

#[test]
fn a_client_that_is_freed_during_a_call_stays_until_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = CString::new(format!("http://{}", listener.local_addr().unwrap())).unwrap();
    unsafe {
        let (options, update) = (skypostal_options_new(), skypostal_update_new());
        skypostal_options_set_base_url(options, url.as_ptr());
        skypostal_options_set_max_retries(options, 0);
        skypostal_update_set_user_code(update, 396);
        skypostal_update_set_app_key(update, c"a key".as_ptr());
        skypostal_update_set_customer_box_id(update, 811111);
        skypostal_update_set_customer_key(update, c"a key".as_ptr());
        let mut client = ptr::null_mut();
        assert_eq!(skypostal_client_new(options, &mut client, ptr::null_mut()), SKYPOSTAL_OK);

        let (client, shared) = (client.expose_provenance(), update.expose_provenance());
        let call = thread::spawn(move || {
            let (client, update) =
                (ptr::with_exposed_provenance(client), ptr::with_exposed_provenance(shared));
            let none = ptr::null_mut();
            skypostal_client_update_personal_info(client, update, none, ptr::null_mut())
        });
        let (mut connection, _) = listener.accept().unwrap();
        assert!(connection.read(&mut [0; 4096]).unwrap() > 0);
        skypostal_client_free(ptr::with_exposed_provenance_mut(client));
        let response = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[{\"_verify\":true}]";
        connection.write_all(response).unwrap();
        connection.shutdown(Shutdown::Write).unwrap();
        assert_eq!(call.join().unwrap(), SKYPOSTAL_OK);
        skypostal_update_free(update);
        skypostal_options_free(options);
    }
}

/// `make header` sets SKYPOSTAL_WRITE_HEADER to write it.
#[test]
fn the_committed_header_is_the_one_that_cbindgen_writes() {
    let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/include/skypostal.h");
    let written = include_str!(concat!(env!("OUT_DIR"), "/skypostal.h"));
    if env::var_os("SKYPOSTAL_WRITE_HEADER").is_some() {
        fs::write(committed, written).unwrap();
    }
    let stale = fs::read_to_string(committed).unwrap() != written;
    assert!(!stale, "include/skypostal.h is stale: run make header");
}
