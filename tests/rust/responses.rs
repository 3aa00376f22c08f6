//! Responses and the errors that they become.

use std::sync::Mutex;

use skypostal::{Attempt, CallOptions, Delivery, Kind};

use crate::support::{
    APP_KEY, CUSTOMER_KEY, Reply, Server, accepted, end, failure, http, refused, update,
};

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Server::new(|_, _| Reply::Keep(accepted(1)));
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: http://127.0.0.1:{}/\r\n", elsewhere.port);
        let server = Server::closing(http(status, &location, ""));
        let error = failure(&server.client());
        assert_eq!(end(&error), (Kind::Status, Delivery::Rejected, 1));
        assert_eq!(error.http_status(), Some(status));
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn a_status_says_whether_the_update_may_have_been_made() {
    for (delivery, statuses) in [
        (Delivery::Rejected, &[401, 403, 404, 405, 411, 413, 415, 429][..]),
        (Delivery::Unknown, &[400, 402, 408, 409, 500, 502, 503, 504, 599][..]),
    ] {
        for status in statuses {
            let server = Server::closing(http(*status, "", "\u{FEFF}<html>Request Error</html>"));
            let error = failure(&server.client_without_retries());
            assert_eq!(end(&error), (Kind::Status, delivery, 1), "{status}");
            assert_eq!(error.http_status(), Some(*status));
            assert_eq!(error.body(), Some("<html>Request Error</html>"));
            assert_eq!(error.retry_after(), None);
        }
    }
}

#[test]
fn a_refusal_is_not_repeated_and_says_why() {
    let server = Server::closing(refused("The box\\/key is wrong\\r\\nsee \\u00e9"));
    let error = failure(&server.client());
    assert_eq!(end(&error), (Kind::Refused, Delivery::Rejected, 1));
    let description = error.description().unwrap();
    assert!(description.starts_with("The box/key is wrong"), "{description}");
    assert!(!error.to_string().contains(['\r', '\n']), "one line: {error}");
    assert!(!error.system_error());
    assert_eq!(error.http_status(), None);
}

#[test]
fn only_a_plain_no_says_that_the_change_was_not_made() {
    let system_error = r#""error":{"error_description":"down","system_error":true}"#;
    let error_text = r#""error":{"error_description":"down","system_error":false}"#;
    for (verify, error, delivery, reason) in [
        (false, error_text, Delivery::Rejected, "the service refused the update"),
        (false, r#""error":null"#, Delivery::Rejected, "the service refused the update"),
        (false, system_error, Delivery::Unknown, "the service reported a system error"),
        (true, system_error, Delivery::Unknown, "the service reported a system error"),
        (true, error_text, Delivery::Unknown, "the service reported an error"),
        (true, r#""error":"down""#, Delivery::Unknown, "the service reported an error"),
    ] {
        let server =
            Server::closing(http(200, "", &format!(r#"[{{"_verify":{verify},{error}}}]"#)));
        let reported = Mutex::new(Vec::new());
        let report = |attempt: &Attempt| reported.lock().unwrap().push(attempt.clone());
        let options = CallOptions { on_attempt: Some(&report), ..CallOptions::default() };
        let failed = server.client().update_personal_info_with(&update(), options).unwrap_err();
        assert_eq!(end(&failed), (Kind::Refused, delivery, 1), "{verify} {error}");
        assert_eq!(failed.system_error(), error == system_error);
        let advises_credentials = failed.to_string().contains("check the credentials");
        assert_eq!(advises_credentials, delivery == Delivery::Rejected, "{failed}");
        let reported = reported.into_inner().unwrap();
        assert_eq!(reported[0].reason.as_deref(), Some(reason), "without the service's words");
        assert!(failed.to_string().starts_with(reason), "{failed}");
    }
}

#[test]
fn a_compressed_response_names_its_encoding_and_shows_no_bytes() {
    let gzip = "\u{1F}\u{8B}binary";
    for (headers, encoding) in [
        ("Content-Encoding: gzip\r\n", "gzip"),
        ("content-encoding: Br\r\n", "Br"),
        ("Content-Encoding: deflate\r\n", "deflate"),
        ("Content-Encoding: zstd\r\n", "zstd"),
        ("Content-Encoding: identity, gzip\r\n", "identity, gzip"),
        ("Content-Encoding: gzip\r\nContent-Encoding: br\r\n", "gzip, br"),
        (&format!("Content-Encoding: {APP_KEY} {CUSTOMER_KEY}\r\n"), "*** ***"),
    ] {
        let server = Server::closing(http(200, headers, gzip));
        let error = failure(&server.client());
        assert_eq!(end(&error), (Kind::Response, Delivery::Unknown, 1));
        let says = format!("it is compressed with {encoding}, although");
        assert!(error.to_string().contains(&says), "{error}");
        assert_eq!(error.body(), Some(&*format!("(9 bytes, compressed with {encoding})")));

        let server = Server::closing(http(404, headers, gzip));
        let error = failure(&server.client());
        assert_eq!(end(&error), (Kind::Status, Delivery::Rejected, 1));
        assert_eq!(error.body(), Some(&*format!("(9 bytes, compressed with {encoding})")));
    }
    // Compressed for this connection alone, which no request of ours allows either.
    let chunks = "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n\u{1F}x\r\n0\r\n\r\n";
    let server = Server::closing(format!("HTTP/1.1 200 OK\r\n{chunks}"));
    assert!(failure(&server.client()).to_string().contains("compressed with gzip"));
    // Nothing is compressed here.
    for headers in ["Content-Encoding: Identity\r\n", "Content-Encoding: \r\n"] {
        let accepted = http(200, headers, r#"[{"_verify":true}]"#);
        assert!(Server::closing(accepted).client().update_personal_info(&update()).is_ok());
    }
    let error = failure(&Server::closing(http(200, "Content-Encoding: gzip\r\n", "")).client());
    assert!(error.to_string().contains("it is empty"), "{error}");
}

#[test]
fn a_response_has_at_most_one_mebibyte() {
    let response = |length: usize| {
        let json = r#"[{"_verify":true,"cust_id":1}]"#;
        json.to_owned() + &" ".repeat(length - json.len())
    };
    let whole = http(200, "", &response(1 << 20));
    assert!(Server::closing(whole).client().update_personal_info(&update()).is_ok());
    let body = response((1 << 20) + 1);
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for too_long in [http(200, "", &body), chunked.into_bytes()] {
        let server = Server::closing(too_long);
        assert_eq!(end(&failure(&server.client())), (Kind::Response, Delivery::Unknown, 1));
    }
}

#[test]
fn a_response_may_come_in_any_form_that_http_allows() {
    for response in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[{\"_v\r\n7;x=y\r\nerify\":\r\n6\r\ntrue}]\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 18\r\nConnection: close\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.1 200 OK\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.0 200 OK\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.1 201 Created\r\nContent-Length: 18\r\nContent-Type: text/html\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n\u{FEFF}[{\"_verify\":true}]",
    ] {
        let outcome =
            Server::closing(response).client_without_retries().update_personal_info(&update());
        assert!(outcome.is_ok(), "{response}: {outcome:?}");
    }
}

#[test]
fn a_response_that_is_not_in_the_documented_form_is_named() {
    for (response, kind, delivery) in [
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(), Kind::Response, Delivery::Unknown),
        ("<html></html>\r\n\r\n".to_owned(), Kind::Response, Delivery::Unknown),
        ("HTTP/1.1 abc\r\n\r\n".to_owned(), Kind::Response, Delivery::Unknown),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n[]".to_owned(),
            Kind::Response,
            Delivery::Unknown,
        ),
        (
            format!("HTTP/1.1 200 OK\r\n{}", "X-A: aaaaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(40_000)),
            Kind::Response,
            Delivery::Unknown,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            Kind::Response,
            Delivery::Unknown,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), Kind::Response, Delivery::Unknown),
        ("HTTP/1.1 200 OK\r\n\r\nnull".to_owned(), Kind::Response, Delivery::Unknown),
        ("HTTP/1.1 407 \r\nContent-Length: 0\r\n\r\n".to_owned(), Kind::Status, Delivery::Unknown),
    ] {
        let server = Server::closing(response.clone());
        let error = failure(&server.client_without_retries());
        let start = &response[..response.len().min(60)];
        assert_eq!(end(&error), (kind, delivery, 1), "{start}: {error}");
    }
}

#[test]
fn a_malformed_response_is_not_retried() {
    let server = Server::closing(http(200, "", "<html>Welcome"));
    let error = failure(&server.client());
    assert_eq!(end(&error), (Kind::Response, Delivery::Unknown, 1));
    assert_eq!(error.body(), Some("<html>Welcome"));
    assert_eq!(server.requests(), 1);
}
