//! The probe.

use std::time::{Duration, UNIX_EPOCH};

use skypostal::{CallOptions, Client, Delivery, Kind, Options};

use crate::support::{PortWithoutListener, Reply, Server, end, http, options};

#[test]
fn a_probe_sends_one_request_without_data() {
    let server = Server::new(|_, _| {
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        Reply::Keep(http(405, &format!("Allow: POST\r\n{date}"), "<html>"))
    });
    let url = format!("http://127.0.0.1:{}", server.port);
    let options = Options::new().base_url(&url).trust_env(false);
    let probe = Client::new(&options).unwrap().probe(CallOptions::default()).unwrap();
    assert_eq!((probe.status, probe.proxy, probe.tls), (405, None, false));
    assert_eq!(probe.date, Some(UNIX_EPOCH + Duration::from_secs(784_111_777)));
    assert!(probe.elapsed < Duration::from_secs(5));
    let requests = server.requests.lock().unwrap();
    assert!(requests.len() == 1 && requests[0].starts_with("GET /wcf-services/"), "{requests:?}");
    assert!(requests[0].ends_with("\r\n\r\n"), "no body: {requests:?}");
    assert!(requests[0].contains("accept-encoding: identity\r\n"), "{requests:?}");
}

#[test]
fn a_probe_without_a_response_says_why_and_that_nothing_was_sent() {
    let refused = PortWithoutListener::new();
    let probe = |port, timeout| {
        let call = CallOptions { timeout, ..CallOptions::default() };
        Client::new(&options(port)).unwrap().probe(call).unwrap_err()
    };
    let server = |response: &'static str| Server::closing(response).port;
    let soon = Some(Duration::from_millis(100));
    let silent = Server::new(|_, _| Reply::Hold(Vec::new()));
    for (error, kind) in [
        (probe(refused.port, None), Kind::Connect),
        (probe(server(""), None), Kind::Lost),
        (probe(server("SSH-2.0\r\n\r\n"), None), Kind::Response),
        (probe(silent.port, soon), Kind::Timeout),
    ] {
        assert_eq!(end(&error), (kind, Delivery::NotSent, 1), "{error}");
    }
}
