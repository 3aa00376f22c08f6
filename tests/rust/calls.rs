//! Calls: the documented one, shared connections, and calls from unusual places.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{panic, thread};

use skypostal::{CallOptions, Delivery, Field, Kind, Update, Value};

use crate::support::{Reply, Server, accepted, end, http, update};

#[test]
fn the_documented_request_gets_the_documented_response() {
    let documented = include_str!("../data/request.json");
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
    let server = Server::new(|_, _| {
        // As observed: each slash is escaped.
        let body = include_str!("../data/response.json").replace('/', "\\/");
        Reply::Keep(http(200, "Content-Type: application/json; charset=utf-8\r\n", &body))
    });
    let info = server.client().update_personal_info(&update).unwrap();

    assert_eq!(info.cust_id, Some(51_736_835));
    assert_eq!(info.customer_first_name.as_deref(), Some("New Name"));
    assert_eq!(info.customer_last_name.as_deref(), Some("New Last"));
    assert_eq!(info.customer_identity_number.as_deref(), Some("123456789"));
    assert_eq!(info.customer_tax_number.as_deref(), Some("0"));
    assert_eq!(info.customer_birth_date.unwrap().to_string(), "1980-08-19");
    assert_eq!(info.customer_gender.as_deref(), Some("M"));

    let request = server.requests.lock().unwrap()[0].clone();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let (line, headers) = head.split_once("\r\n").unwrap();
    let path = "/wcf-services/service-customer.svc/customer/customer-update-personal-info";
    assert_eq!(line, format!("POST {path} HTTP/1.1"));
    let headers = headers.to_ascii_lowercase();
    let mut headers: Vec<_> = headers.split("\r\n").collect();
    headers.sort_unstable();
    let mut expected = [
        "accept-encoding: identity".to_owned(),
        "accept: application/json".to_owned(),
        format!("content-length: {}", body.len()),
        "content-type: application/json".to_owned(),
        format!("host: 127.0.0.1:{}", server.port),
        format!("user-agent: skypostal/{}", env!("CARGO_PKG_VERSION")),
    ];
    expected.sort_unstable();
    assert_eq!(headers, expected, "each once, and no other");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(json, serde_json::Value::Object(documented));
}

#[test]
fn a_hundred_calls_share_one_connection() {
    let server = Server::new(|number, _| Reply::Keep(accepted(number + 1)));
    let client = server.client();
    assert_eq!(server.connections(), 0, "making a client connects to nothing");
    for call in 1..=100 {
        assert_eq!(client.update_personal_info(&update()).unwrap().cust_id, Some(call));
    }
    assert_eq!((server.requests(), server.connections()), (100, 1));
}

#[test]
fn eight_threads_at_once_get_eight_right_responses() {
    let busy = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (busy.clone(), most.clone());
    let server = Server::new(move |_, request| {
        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(30));
        now.fetch_sub(1, Ordering::SeqCst);
        let name = request.split_once("customer_first_name\":\"thread ").unwrap().1;
        Reply::Keep(accepted(name.split_once('"').unwrap().0.parse().unwrap()))
    });
    let client = server.client();
    thread::scope(|scope| {
        for thread in 1..=8 {
            let client = &client;
            scope.spawn(move || {
                let update = update().customer_first_name(&format!("thread {thread}"));
                for _ in 0..5 {
                    assert_eq!(client.update_personal_info(&update).unwrap().cust_id, Some(thread));
                }
            });
        }
    });
    assert_eq!(server.requests(), 40);
    assert_eq!(server.connections(), 8, "one per call in flight, and used again");
    assert!(most.load(Ordering::SeqCst) > 4, "calls wait for each other");
}

#[test]
fn a_connection_closed_in_silence_between_two_calls_harms_neither() {
    let server = Server::new(|number, _| Reply::Close(accepted(number)));
    let client = server.client_without_retries();
    for call in 0..10 {
        assert_eq!(client.update_personal_info(&update()).unwrap().cust_id, Some(call));
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(server.connections(), 10);
}

#[test]
fn a_connection_that_the_service_says_it_closes_is_not_used_again() {
    let server = Server::new(|_, _| {
        Reply::Close(http(200, "Connection: close\r\n", r#"[{"_verify":true}]"#))
    });
    let client = server.client_without_retries();
    for _ in 0..10 {
        client.update_personal_info(&update()).unwrap();
    }
    assert_eq!((server.requests(), server.connections()), (10, 10));
}

#[test]
fn what_follows_a_response_never_becomes_the_next_one() {
    for pause in [0, 20] {
        let server = Server::new(|number, _| {
            Reply::Keep([accepted(number), accepted(666), b"garbage".to_vec()].concat())
        });
        let client = server.client();
        for _ in 0..10 {
            let cust_id = client.update_personal_info(&update()).unwrap().cust_id.unwrap();
            assert_eq!(cust_id, server.requests() as i64 - 1, "the response to this very request");
            thread::sleep(Duration::from_millis(pause));
        }
    }
}

#[test]
fn a_call_in_an_async_task_panics_and_one_in_spawn_blocking_works() {
    let server = Server::new(|_, _| Reply::Keep(accepted(1)));
    let client = server.client();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let call = panic::AssertUnwindSafe(|| client.update_personal_info(&update()));
    assert!(runtime.block_on(async { panic::catch_unwind(call) }).is_err());
    assert_eq!(server.connections(), 0);
    let call = runtime.spawn_blocking(move || client.update_personal_info(&update()));
    assert!(runtime.block_on(call).unwrap().is_ok());
}

#[test]
fn a_panic_in_mid_call_leaves_the_client_usable() {
    let server = Server::new(|number, _| match number {
        0 => Reply::Hold(Vec::new()),
        _ => Reply::Keep(accepted(1)),
    });
    let client = server.client();
    let options = CallOptions { interrupted: Some(&|| panic!("of a test")), ..Default::default() };
    let call = || client.update_personal_info_with(&update(), options);
    assert!(panic::catch_unwind(panic::AssertUnwindSafe(call)).is_err());
    assert!(client.update_personal_info(&update()).is_ok());
}

#[test]
fn a_call_may_be_made_while_another_one_asks_whether_to_end() {
    let server = Server::new(|number, _| match number {
        0 => Reply::Hold(Vec::new()),
        _ => Reply::Keep(accepted(1)),
    });
    let client = server.client();
    let nested = || client.update_personal_info(&update()).is_ok();
    let options = CallOptions { interrupted: Some(&nested), ..Default::default() };
    let error = client.update_personal_info_with(&update(), options).unwrap_err();
    assert_eq!(end(&error), (Kind::Cancelled, Delivery::Unknown, 1));
}

#[test]
fn a_bad_update_is_refused_before_anything_is_sent() {
    let server = Server::new(|_, _| Reply::Keep(accepted(1)));
    let client = server.client();
    let error = client.update_personal_info(&update().customer_gender("X")).unwrap_err();
    assert_eq!(end(&error), (Kind::InvalidField, Delivery::NotSent, 0));
    assert_eq!(error.field(), Some("customer_gender"));
    assert_eq!(server.connections(), 0);
}
