//! Keys never show in an error or in a log.

use skypostal::Kind;

use crate::support::{APP_KEY, CUSTOMER_KEY, Server, failure, http, update};

#[test]
fn keys_that_the_service_echoes_are_redacted() {
    let escaped = CUSTOMER_KEY.replace('/', "\\/");
    let echo = format!("{APP_KEY} and {escaped} and {APP_KEY}");
    let location = format!(r#""error_location":"at {escaped}""#);
    let refusal =
        format!(r#"[{{"_verify":false,"error":{{"error_description":"{echo}",{location}}}}}]"#);
    for response in [
        http(500, "", &echo),
        http(400, "", &format!("<b>{APP_KEY}</b> and {CUSTOMER_KEY}")),
        http(200, "", &refusal),
        http(200, "", &format!("not JSON: {echo}")),
    ] {
        let server = Server::closing(response);
        let error = failure(&server.client());
        let texts = format!("{error} {error:?} {:?} {:?}", error.body(), error.description());
        assert!(texts.contains("*** and ***") || texts.contains("<b>***</b> and ***"), "{texts}");
        for key in [APP_KEY, CUSTOMER_KEY, &escaped] {
            assert!(!texts.contains(key), "{texts}");
        }
    }
}

#[test]
fn a_key_in_a_response_that_is_a_json_string_is_redacted_too() {
    let server = Server::closing(http(200, "", &format!("\"{APP_KEY} {CUSTOMER_KEY}\"")));
    let error = failure(&server.client());
    assert_eq!(error.body(), Some("\"*** ***\""));
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(APP_KEY) && !shown.contains(CUSTOMER_KEY), "{shown}");
}

#[test]
fn a_key_that_looks_like_an_escape_is_redacted_too() {
    for key in ["S3CRET", "50%25x", "a&amp;b", "a&#65;b", r"a\\b", r"a\u0041b", "é😀ßñ"] {
        let server = Server::closing(http(500, "", &format!("<{key}> and <{key}")));
        let error = server.client().update_personal_info(&update().app_key(key)).unwrap_err();
        assert_eq!(error.body(), Some("<***> and <***"), "{key}");
    }
}

#[test]
fn a_key_cut_by_the_end_of_a_lost_response_does_not_show() {
    let start = &APP_KEY[..20];
    let server = Server::closing(format!("HTTP/1.1 500 \r\nContent-Length: 999\r\n\r\nno {start}"));
    let error = failure(&server.client());
    assert_eq!((error.kind(), error.body()), (Kind::Status, Some("no ***")));
}

#[test]
fn no_debug_output_holds_a_key() {
    let server = Server::closing(http(404, "", "nothing here"));
    let client = server.client();
    let error = failure(&client);
    let shown = format!("{client:?} {:?} {:?} {error:?} {error}", server.options(), update());
    assert!(!shown.contains(APP_KEY) && !shown.contains(CUSTOMER_KEY), "{shown}");
    assert!(!shown.contains("New Name"), "{shown}");
    assert!(shown.contains(client.url()), "{shown}");
}
