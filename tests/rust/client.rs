//! A client and a real socket: a small server in this file does what a script says.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::iter;
use std::mem;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, UNIX_EPOCH};

use skypostal::{
    Attempt, BulkEvent, BulkOptions, CallOptions, Client, Delivery, Error, Kind, Options, Outcome,
    PendingCall, PersonalInfo, Update,
};

const APP_KEY: &str = "1656d700707ad9a77f737e5df3db088a";
const CUSTOMER_KEY: &str = "YpbCNpzqxYqVWv/tzg4e4Ex6ALiT+DfKSYA3NY2dZcw=";

/// What the server does after it has read a request.
enum Reply {
    /// Sends these bytes and waits for the next request.
    Keep(Vec<u8>),
    /// Sends these bytes and closes the connection, without having announced it.
    Close(Vec<u8>),
    /// Sends these bytes and nothing more, until the client closes the connection.
    Hold(Vec<u8>),
}

struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    /// Set when the client closed a connection.
    hung_up: Arc<AtomicBool>,
}

impl Server {
    /// Serves with `script`, given the number of a request, from 0, and the request.
    fn new(script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            requests: Arc::default(),
            hung_up: Arc::default(),
        };
        let (connections, requests) = (server.connections.clone(), server.requests.clone());
        let (hung_up, script) = (server.hung_up.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (script, requests) = (script.clone(), requests.clone());
                let (stream, hung_up) = (stream.unwrap(), hung_up.clone());
                thread::spawn(move || serve(stream, &*script, &requests, &hung_up));
            }
        });
        server
    }

    /// Answers every request so, and closes the connection.
    fn closing(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Server::new(move |_, _| Reply::Close(answer.clone()))
    }

    fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn options(&self) -> Options {
        options(self.port)
    }

    fn client(&self) -> Client {
        Client::new(&self.options()).unwrap()
    }

    fn client_with(&self, set: impl FnOnce(&mut Options)) -> Client {
        let mut options = self.options();
        set(&mut options);
        Client::new(&options).unwrap()
    }

    fn client_without_retries(&self) -> Client {
        self.client_with(|options| options.set_max_retries(0).unwrap())
    }
}

fn options(port: u16) -> Options {
    let mut options = Options::new();
    options.set_base_url(Some(&format!("http://127.0.0.1:{port}"))).unwrap();
    options.set_user_code(396).unwrap();
    options.set_app_key(APP_KEY).unwrap();
    options.set_timeout(Some(Duration::from_secs(5))).unwrap();
    options.set_trust_env(false);
    options
}

fn serve(
    mut stream: TcpStream,
    script: &(dyn Fn(usize, &str) -> Reply + Send + Sync),
    requests: &Mutex<Vec<String>>,
    hung_up: &AtomicBool,
) {
    stream.set_nodelay(true).unwrap();
    while let Some(request) = read_request(&mut stream) {
        let number = {
            let mut requests = requests.lock().unwrap();
            requests.push(request.clone());
            requests.len() - 1
        };
        // The client may have gone: then there is nobody to answer.
        match script(number, &request) {
            Reply::Keep(bytes) => {
                let _ = stream.write_all(&bytes);
            }
            Reply::Close(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.shutdown(Shutdown::Both);
                return;
            }
            Reply::Hold(bytes) => {
                let _ = stream.write_all(&bytes);
                let _ = stream.read(&mut [0]);
                hung_up.store(true, Ordering::SeqCst);
                return;
            }
        }
    }
    hung_up.store(true, Ordering::SeqCst);
}

/// The head and the body of the next request, or nothing when the client closed the connection.
fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, &mut bytes)?;
    };
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let length = text.split_once("content-length: ").and_then(|(_, rest)| rest.split_once("\r\n"));
    let length: usize = length.map_or(0, |(length, _)| length.parse().unwrap());
    while bytes.len() < head + length {
        read_more(stream, &mut bytes)?;
    }
    assert_eq!(bytes.len(), head + length, "nothing is sent ahead of an answer");
    Some(String::from_utf8(bytes).unwrap())
}

fn read_more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    let mut some = [0; 4096];
    let count = stream.read(&mut some).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&some[..count]);
    Some(())
}

/// A whole answer; the extra headers end with a line break each.
fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status} \r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

fn accepted(cust_id: usize) -> Vec<u8> {
    http(200, "", &format!(r#"[{{"_verify":true,"cust_id":{cust_id},"error":null}}]"#))
}

fn refused(description: &str) -> Vec<u8> {
    let error = format!(r#"{{"error_description":"{description}","system_error":false}}"#);
    http(200, "", &format!(r#"[{{"_verify":false,"error":{error}}}]"#))
}

fn update() -> Update {
    Update::new().customer_box_id(811111).customer_key(CUSTOMER_KEY).customer_first_name("New Name")
}

fn failure(client: &Client) -> Error {
    client.update_personal_info(&update()).expect_err("this cannot succeed")
}

fn end(error: &Error) -> (Kind, Delivery, u32) {
    (error.kind(), error.delivery(), error.attempts())
}

/// Waits until something on another thread has happened.
fn wait_until(happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(5), "it did not happen");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_documented_request_gets_the_documented_answer() {
    let server = Server::new(|_, _| {
        let body = r#"[{"_verify":true,"cust_id":51736835,"customer_birth_date":"\/Date(335505600000-0400)\/","customer_first_name":"New Name","customer_gender":"M","customer_identity_number":"123456789","customer_last_name":"New Last","customer_tax_number":0,"error":{"error_description":"","error_location":"","system_error":false}}]"#;
        Reply::Keep(http(200, "Content-Type: application/json; charset=utf-8\r\n", body))
    });
    let update = Update::new()
        .customer_box_id(811111)
        .customer_key("YpbCNpzqxYqVWv+tzg4e4Ex6ALiT+DfKSYA3NY2dZcw=")
        .customer_first_name("New Name")
        .customer_last_name("New Last")
        .customer_birth_date("1980-08-19")
        .customer_gender("M");
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
    let documented = serde_json::json!({
        "user_code": 396,
        "app_key": APP_KEY,
        "customer_box_id": 811111,
        "customer_key": "YpbCNpzqxYqVWv+tzg4e4Ex6ALiT+DfKSYA3NY2dZcw=",
        "customer_first_name": "New Name",
        "customer_last_name": "New Last",
        "customer_birth_date": "1980-08-19",
        "customer_gender": "M",
    });
    assert_eq!(json, documented);
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
fn a_probe_asks_once_and_tells_nothing() {
    let server = Server::new(|_, _| {
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        Reply::Keep(http(405, &format!("Allow: POST\r\n{date}"), "<html>"))
    });
    let mut options = Options::new();
    options.set_base_url(Some(&format!("http://127.0.0.1:{}", server.port))).unwrap();
    options.set_trust_env(false);
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
fn a_probe_that_gets_no_answer_says_why_and_that_nothing_was_sent() {
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let probe = |port, timeout| {
        let call = CallOptions { timeout, ..CallOptions::default() };
        Client::new(&options(port)).unwrap().probe(call).unwrap_err()
    };
    let server = |answer: &'static str| Server::closing(answer).port;
    let soon = Some(Duration::from_millis(100));
    let silent = Server::new(|_, _| Reply::Hold(Vec::new()));
    for (error, kind) in [
        (probe(refused, None), Kind::Connect),
        (probe(server(""), None), Kind::Lost),
        (probe(server("SSH-2.0\r\n\r\n"), None), Kind::Response),
        (probe(server("HTTP/1.1 407 \r\nContent-Length: 0\r\n\r\n"), None), Kind::Connect),
        (probe(silent.port, soon), Kind::Timeout),
    ] {
        assert_eq!(end(&error), (kind, Delivery::NotSent, 1), "{error}");
    }
}

#[test]
fn eight_threads_at_once_get_eight_right_answers() {
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
fn a_service_that_is_busy_once_is_asked_again() {
    for status in [408, 429, 502, 503, 504] {
        let server = Server::new(move |number, _| match number {
            0 => Reply::Keep(http(status, "Retry-After: 0\r\n", "busy")),
            number => Reply::Keep(accepted(number)),
        });
        assert_eq!(server.client().update_personal_info(&update()).unwrap().cust_id, Some(1));
        assert_eq!((server.requests(), server.connections()), (2, 1), "{status}");
        let requests = server.requests.lock().unwrap();
        assert_eq!(requests[0], requests[1], "the same update");
    }
}

#[test]
fn a_connection_lost_is_tried_again_and_its_outcome_unknown() {
    let server = Server::closing("");
    assert_eq!(end(&failure(&server.client())), (Kind::Lost, Delivery::Unknown, 3));
    assert_eq!(server.requests(), 3);
    for part in
        ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{"]
    {
        let server = Server::closing(part);
        let error = failure(&server.client_without_retries());
        assert_eq!(end(&error), (Kind::Lost, Delivery::Unknown, 1), "{part}: {error}");
        assert_eq!(server.requests(), 1, "at most once");
    }
}

#[test]
fn nothing_is_sent_where_nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut options = options(port);
    let error = failure(&Client::new(&options).unwrap());
    assert_eq!(end(&error), (Kind::Connect, Delivery::NotSent, 3));
    options.set_max_retries(0).unwrap();
    let error = failure(&Client::new(&options).unwrap());
    assert_eq!(end(&error), (Kind::Connect, Delivery::NotSent, 1));
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}

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
fn a_status_tells_whether_the_update_may_have_been_made() {
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
fn a_wait_beyond_the_deadline_is_not_begun() {
    let server = Server::closing(http(503, "Retry-After: 60\r\n", ""));
    let start = Instant::now();
    let error = failure(&server.client());
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(end(&error), (Kind::Status, Delivery::Unknown, 1));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    assert_eq!(server.requests(), 1);
}

#[test]
fn an_outage_is_not_multiplied_and_accepted_answers_earn_retries_back() {
    let server = Server::new(|number, _| match number {
        80..90 => Reply::Keep(accepted(number)),
        _ => Reply::Keep(http(503, "Retry-After: 0\r\n", "")),
    });
    let client = server.client();
    let attempts: u32 = (0..30).map(|_| failure(&client).attempts()).sum();
    assert_eq!((attempts, server.requests()), (80, 80), "30 calls and 50 retries");
    for _ in 0..10 {
        client.update_personal_info(&update()).unwrap();
    }
    assert_eq!(failure(&client).attempts(), 2);
    assert_eq!(failure(&client).attempts(), 1);
}

#[test]
fn the_time_that_the_service_asks_for_is_waited() {
    let server = Server::new(|number, _| match number {
        0 => Reply::Keep(http(429, "Retry-After: 1\r\n", "")),
        number => Reply::Keep(accepted(number)),
    });
    let start = Instant::now();
    server.client().update_personal_info(&update()).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn an_answer_to_a_second_attempt_does_not_undo_a_lost_first() {
    for (second, kind, attempts) in [
        (refused("no"), Kind::Refused, 2),
        (http(404, "", ""), Kind::Status, 2),
        (http(503, "Retry-After: 0\r\n", ""), Kind::Status, 3),
        (http(200, "", "[]"), Kind::Response, 2),
    ] {
        let server = Server::new(move |number, _| match number {
            0 => Reply::Close(Vec::new()),
            _ => Reply::Close(second.clone()),
        });
        assert_eq!(end(&failure(&server.client())), (kind, Delivery::Unknown, attempts));
    }
    let server = Server::new(|number, _| match number {
        0 => Reply::Close(Vec::new()),
        number => Reply::Keep(accepted(number)),
    });
    assert!(server.client().update_personal_info(&update()).is_ok());
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
        let told = Mutex::new(Vec::new());
        let tell = |attempt: &Attempt| told.lock().unwrap().push(attempt.clone());
        let options = CallOptions { on_attempt: Some(&tell), ..CallOptions::default() };
        let failed = server.client().update_personal_info_with(&update(), options).unwrap_err();
        assert_eq!(end(&failed), (Kind::Refused, delivery, 1), "{verify} {error}");
        assert_eq!(failed.system_error(), error == system_error);
        let advises_credentials = failed.to_string().contains("check the credentials");
        assert_eq!(advises_credentials, delivery == Delivery::Rejected, "{failed}");
        let told = told.into_inner().unwrap();
        assert_eq!(told[0].reason.as_deref(), Some(reason), "without the service's words");
        assert!(failed.to_string().starts_with(reason), "{failed}");
    }
}

#[test]
fn an_earlier_attempt_leaves_open_what_a_later_one_cannot_close() {
    // The server is gone after its first reply.
    for (first, kind, delivery) in [
        (Vec::new(), Kind::Connect, Delivery::Unknown),
        (http(503, "Connection: close\r\n", ""), Kind::Connect, Delivery::Unknown),
        (http(429, "Connection: close\r\n", ""), Kind::Connect, Delivery::Rejected),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            drop(listener);
            read_request(&mut connection);
            connection.write_all(&first).unwrap();
        });
        let mut options = options(port);
        options.set_max_retries(1).unwrap();
        let error = failure(&Client::new(&options).unwrap());
        server.join().unwrap();
        assert_eq!(end(&error), (kind, delivery, 2), "{error}");
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
fn a_server_that_never_answers_is_left_at_the_deadline() {
    let parts =
        ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["];
    for part in parts {
        let server = Server::new(move |_, _| Reply::Hold(part.into()));
        let client =
            server.client_with(|o| o.set_timeout(Some(Duration::from_millis(200))).unwrap());
        let start = Instant::now();
        let error = failure(&client);
        let took = start.elapsed();
        assert_eq!(end(&error), (Kind::Timeout, Delivery::Unknown, 1), "{error}");
        assert!((200..300).contains(&took.as_millis()), "{took:?}");
        assert!(error.to_string().contains("0.2 s"), "{error}");
        wait_until(|| server.hung_up.load(Ordering::SeqCst));
    }
}

#[test]
fn a_deadline_of_the_call_wins_over_the_clients() {
    let server = Server::new(|_, _| Reply::Hold(Vec::new()));
    let timeout = Some(Duration::from_millis(100));
    let start = Instant::now();
    let call = CallOptions { timeout, ..CallOptions::default() };
    let error = server.client().update_personal_info_with(&update(), call).unwrap_err();
    assert_eq!(error.kind(), Kind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_deadline_of_the_call_is_checked_as_the_clients_is() {
    let server = Server::new(|_, _| Reply::Keep(accepted(1)));
    let client = server.client();
    for bad in [Duration::MAX, Duration::from_secs(50 * 24 * 3600), Duration::ZERO] {
        let call = CallOptions { timeout: Some(bad), ..CallOptions::default() };
        let error = client.update_personal_info_with(&update(), call).unwrap_err();
        assert_eq!(end(&error), (Kind::Configuration, Delivery::NotSent, 0));
        assert_eq!(error.field(), Some("timeout"));
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_deadline_bounds_all_attempts_together() {
    let server = Server::new(|number, _| match number {
        0 => Reply::Keep(http(503, "Retry-After: 0\r\n", "")),
        _ => Reply::Hold(Vec::new()),
    });
    let client = server.client_with(|o| o.set_timeout(Some(Duration::from_millis(200))).unwrap());
    let start = Instant::now();
    assert_eq!(end(&failure(&client)), (Kind::Timeout, Delivery::Unknown, 2));
    assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_is_reached_but_never_accepts_is_not_waited_for_beyond_the_deadline() {
    // The kernel completes the connection; nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = options(listener.local_addr().unwrap().port());
    options.set_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = failure(&Client::new(&options).unwrap());
    assert_eq!(end(&error), (Kind::Timeout, Delivery::Unknown, 1));
}

#[test]
fn cancel_ends_the_calls_in_flight_at_once_and_no_later_one() {
    let server = Server::new(|number, _| match number {
        0..3 => Reply::Hold(Vec::new()),
        number => Reply::Keep(accepted(number)),
    });
    let client = server.client();
    client.cancel(); // Before any call: it does nothing.
    thread::scope(|scope| {
        let calls: Vec<_> =
            (0..3).map(|_| scope.spawn(|| (failure(&client), Instant::now()))).collect();
        wait_until(|| server.requests() == 3);
        let start = Instant::now();
        client.cancel();
        for call in calls {
            let (error, at) = call.join().unwrap();
            let took = at - start;
            assert!(took < Duration::from_millis(50), "{took:?}");
            assert_eq!(end(&error), (Kind::Cancelled, Delivery::Unknown, 1));
        }
    });
    assert_eq!(client.update_personal_info(&update()).unwrap().cust_id, Some(3));
}

#[test]
fn cancel_ends_a_wait_between_two_attempts_too() {
    let server = Server::closing(http(429, "Retry-After: 4\r\n", ""));
    let client = server.client();
    thread::scope(|scope| {
        let call = scope.spawn(|| failure(&client));
        wait_until(|| server.requests() == 1);
        thread::sleep(Duration::from_millis(20));
        let start = Instant::now();
        client.cancel();
        let error = call.join().unwrap();
        assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
        assert_eq!((error.kind(), error.attempts()), (Kind::Cancelled, 1));
        assert_eq!(error.delivery(), Delivery::Rejected, "the only attempt was");
    });
}

#[test]
fn a_call_ends_when_its_caller_says_so() {
    let server = Server::new(|_, _| Reply::Hold(Vec::new()));
    let asked = AtomicUsize::new(0);
    let interrupted = || asked.fetch_add(1, Ordering::SeqCst) == 2;
    let call = CallOptions { interrupted: Some(&interrupted), ..CallOptions::default() };
    let start = Instant::now();
    let error = server.client().update_personal_info_with(&update(), call).unwrap_err();
    assert_eq!(end(&error), (Kind::Cancelled, Delivery::Unknown, 1));
    assert!(start.elapsed() < Duration::from_secs(1));
    wait_until(|| server.hung_up.load(Ordering::SeqCst));
}

#[test]
fn a_closed_client_is_of_no_use() {
    let server = Server::new(|_, _| Reply::Keep(accepted(1)));
    let client = server.client();
    client.update_personal_info(&update()).unwrap();
    client.close();
    wait_until(|| server.hung_up.load(Ordering::SeqCst));
    client.close();
    assert_eq!(end(&failure(&client)), (Kind::Configuration, Delivery::NotSent, 0));
    assert_eq!(server.requests(), 1);
}

#[test]
fn closing_lets_a_call_in_flight_end_and_then_closes_its_connection() {
    let server = Server::new(|_, _| {
        thread::sleep(Duration::from_millis(100));
        Reply::Keep(accepted(7))
    });
    let client = server.client();
    thread::scope(|scope| {
        let call = scope.spawn(|| client.update_personal_info(&update()));
        wait_until(|| server.requests() == 1);
        client.close();
        assert_eq!(call.join().unwrap().unwrap().cust_id, Some(7));
    });
    wait_until(|| server.hung_up.load(Ordering::SeqCst));
}

#[test]
fn an_answer_has_at_most_one_mebibyte() {
    let answer = |length: usize| {
        let json = r#"[{"_verify":true,"cust_id":1}]"#;
        json.to_owned() + &" ".repeat(length - json.len())
    };
    let whole = http(200, "", &answer(1 << 20));
    assert!(Server::closing(whole).client().update_personal_info(&update()).is_ok());
    let body = answer((1 << 20) + 1);
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
fn an_answer_may_come_in_any_form_that_http_allows() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[{\"_v\r\n7;x=y\r\nerify\":\r\n6\r\ntrue}]\r\n0\r\nTrailer: x\r\n\r\n",
        "HTTP/1.1 200\r\nContent-Length: 18\r\nConnection: close\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.1 200 OK\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.0 200 OK\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.1 201 Created\r\nContent-Length: 18\r\nContent-Type: text/html\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n[{\"_verify\":true}]",
        "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n\u{FEFF}[{\"_verify\":true}]",
    ] {
        let outcome =
            Server::closing(answer).client_without_retries().update_personal_info(&update());
        assert!(outcome.is_ok(), "{answer}: {outcome:?}");
    }
}

#[test]
fn an_answer_that_is_not_in_the_documented_form_is_told_apart() {
    for (answer, kind, delivery) in [
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
        ("HTTP/1.1 407 \r\nContent-Length: 0\r\n\r\n".to_owned(), Kind::Connect, Delivery::NotSent),
    ] {
        let server = Server::closing(answer.clone());
        let error = failure(&server.client_without_retries());
        let start = &answer[..answer.len().min(60)];
        assert_eq!(end(&error), (kind, delivery, 1), "{start}: {error}");
    }
}

#[test]
fn an_odd_answer_is_not_asked_for_again() {
    let server = Server::closing(http(200, "", "<html>Welcome"));
    let error = failure(&server.client());
    assert_eq!(end(&error), (Kind::Response, Delivery::Unknown, 1));
    assert_eq!(error.body(), Some("<html>Welcome"));
    assert_eq!(server.requests(), 1);
}

#[test]
fn what_follows_an_answer_never_becomes_the_next_one() {
    for pause in [0, 20] {
        let server = Server::new(|number, _| {
            Reply::Keep([accepted(number), accepted(666), b"garbage".to_vec()].concat())
        });
        let client = server.client();
        for _ in 0..10 {
            let cust_id = client.update_personal_info(&update()).unwrap().cust_id.unwrap();
            assert_eq!(cust_id, server.requests() as i64 - 1, "the answer to this very request");
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
fn a_bad_update_is_told_before_anything_is_sent() {
    let server = Server::new(|_, _| Reply::Keep(accepted(1)));
    let client = server.client();
    let error = client.update_personal_info(&update().customer_gender("X")).unwrap_err();
    assert_eq!(end(&error), (Kind::InvalidField, Delivery::NotSent, 0));
    assert_eq!(error.field(), Some("customer_gender"));
    assert_eq!(server.connections(), 0);
}

#[test]
fn keys_that_the_service_echoes_are_blotted_out() {
    let escaped = CUSTOMER_KEY.replace('/', "\\/");
    let echo = format!("{APP_KEY} and {escaped} and {APP_KEY}");
    let location = format!(r#""error_location":"at {escaped}""#);
    let refusal =
        format!(r#"[{{"_verify":false,"error":{{"error_description":"{echo}",{location}}}}}]"#);
    for answer in [
        http(500, "", &echo),
        http(400, "", &format!("<b>{APP_KEY}</b> and {CUSTOMER_KEY}")),
        http(200, "", &refusal),
        http(200, "", &format!("not JSON: {echo}")),
    ] {
        let server = Server::closing(answer);
        let error = failure(&server.client());
        let texts = format!("{error} {error:?} {:?} {:?}", error.body(), error.description());
        assert!(texts.contains("*** and ***") || texts.contains("<b>***</b> and ***"), "{texts}");
        for key in [APP_KEY, CUSTOMER_KEY, &escaped] {
            assert!(!texts.contains(key), "{texts}");
        }
    }
}

#[test]
fn a_key_in_an_answer_that_is_a_json_string_is_blotted_out_too() {
    let server = Server::closing(http(200, "", &format!("\"{APP_KEY} {CUSTOMER_KEY}\"")));
    let error = failure(&server.client());
    assert_eq!(error.body(), Some("\"*** ***\""));
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(APP_KEY) && !shown.contains(CUSTOMER_KEY), "{shown}");
}

#[test]
fn a_key_that_looks_like_an_escape_is_blotted_out_too() {
    for key in ["S3CRET", "50%25x", "a&amp;b", "a&#65;b", r"a\\b", r"a\u0041b", "é😀ß"] {
        let server = Server::closing(http(500, "", &format!("<{key}> and <{key}")));
        let error = server.client().update_personal_info(&update().app_key(key)).unwrap_err();
        assert_eq!(error.body(), Some("<***> and <***"), "{key}");
    }
}

#[test]
fn a_key_cut_by_the_end_of_a_lost_answer_does_not_show() {
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

#[test]
fn each_attempt_is_told_on_the_thread_that_calls_before_the_wait() {
    let server = Server::new(|number, _| match number {
        0 => Reply::Keep(http(503, "Retry-After: 0\r\n", "busy, Jane")),
        1 => Reply::Close(Vec::new()),
        number => Reply::Keep(accepted(number)),
    });
    let client = server.client();
    let told = Mutex::new(Vec::<(Attempt, usize)>::new());
    let caller = thread::current().id();
    let tell = |attempt: &Attempt| {
        assert_eq!(thread::current().id(), caller);
        // It runs outside of the event loop, where another call may be made.
        let nested = Server::closing(accepted(1));
        assert!(nested.client().update_personal_info(&update()).is_ok());
        told.lock().unwrap().push((attempt.clone(), server.requests()));
    };
    let options = CallOptions { on_attempt: Some(&tell), ..CallOptions::default() };
    client.update_personal_info_with(&update(), options).unwrap();

    let told = told.into_inner().unwrap();
    let seen: Vec<_> = told.iter().map(|(attempt, requests)| (attempt.number, *requests)).collect();
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3)], "before the next one begins");
    let host = format!("127.0.0.1:{}", server.port);
    let sent = server.requests.lock().unwrap()[0].split_once("\r\n\r\n").unwrap().1.len();
    for (attempt, _) in &told {
        assert_eq!((attempt.method, attempt.host(), &*attempt.url), ("POST", &*host, client.url()));
        assert_eq!(attempt.request_bytes, sent);
        assert!(attempt.elapsed < Duration::from_secs(5) && attempt.started > UNIX_EPOCH);
    }
    let [(busy, _), (lost, _), (good, _)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((busy.status, busy.error, busy.response_bytes), (Some(503), Some(Kind::Status), 10));
    assert_eq!(busy.retry_in, Some(Duration::ZERO));
    assert_eq!((lost.status, lost.error, lost.response_bytes), (None, Some(Kind::Lost), 0));
    assert!(lost.retry_in.is_some());
    assert_eq!((good.status, good.error, good.retry_in), (Some(200), None, None));
    assert!(!format!("{told:?}").contains("Jane"), "no word of the service");
}

#[test]
fn an_attempt_that_is_broken_off_is_told_once_and_a_wait_not_again() {
    let told = Mutex::new(Vec::new());
    let tell = |attempt: &Attempt| {
        told.lock().unwrap().push((attempt.number, attempt.error, attempt.retry_in.is_some()));
    };
    let silent = Server::new(|_, _| Reply::Hold(Vec::new()));
    let timeout = Some(Duration::from_millis(100));
    let options = CallOptions { timeout, on_attempt: Some(&tell), ..CallOptions::default() };
    assert!(silent.client().update_personal_info_with(&update(), options).is_err());
    assert_eq!(mem::take(&mut *told.lock().unwrap()), [(1, Some(Kind::Timeout), false)]);

    let busy = Server::closing(http(503, "Retry-After: 4\r\n", ""));
    let asked = AtomicUsize::new(0);
    let interrupted = || asked.fetch_add(1, Ordering::SeqCst) == 2;
    let options = CallOptions { interrupted: Some(&interrupted), timeout: None, ..options };
    assert!(busy.client().update_personal_info_with(&update(), options).is_err());
    assert_eq!(*told.lock().unwrap(), [(1, Some(Kind::Status), true)]);
}

/// Begins a call, and gives what it ends with to a channel.
fn begin(client: &Arc<Client>) -> (PendingCall, mpsc::Receiver<Result<PersonalInfo, Error>>) {
    let (send, receive) = mpsc::channel();
    let done = move |outcome| send.send(outcome).unwrap();
    (client.start_update(&update(), None, None, done).unwrap(), receive)
}

#[test]
fn calls_that_are_begun_share_one_thread_and_at_most_a_hundred_connections() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let server = Server::new(|number, _| {
        thread::sleep(Duration::from_millis(5));
        Reply::Keep(accepted(number))
    });
    let client = Arc::new(server.client());
    let (send, receive) = mpsc::channel();
    let begun: Vec<_> = (0..300)
        .map(|_| {
            let (send, threads) = (send.clone(), threads.clone());
            let done = move |outcome: Result<PersonalInfo, Error>| {
                threads.lock().unwrap().insert(thread::current().id());
                send.send(outcome.unwrap().cust_id.unwrap()).unwrap();
            };
            client.start_update(&update(), None, None, done).unwrap()
        })
        .collect();
    let mut answers: Vec<_> = begun.iter().map(|_| receive.recv().unwrap()).collect();
    answers.sort_unstable();
    assert_eq!(answers, (0..300).collect::<Vec<_>>(), "each its own");
    assert_eq!((threads.lock().unwrap().len(), server.requests()), (1, 300));
    assert!(server.connections() <= 100, "{}", server.connections());
}

#[test]
fn a_call_that_is_begun_ends_with_its_handle_or_by_cancel_and_the_service_sees_it() {
    for by_cancel in [false, true] {
        let server = Server::new(|_, _| Reply::Hold(Vec::new()));
        let client = Arc::new(server.client());
        let (begun, outcome) = begin(&client);
        wait_until(|| server.requests() == 1);
        let start = Instant::now();
        let mut begun = Some(begun);
        if by_cancel {
            client.cancel();
        } else {
            begun.take();
        }
        let error = outcome.recv().unwrap().unwrap_err();
        assert_eq!(end(&error), (Kind::Cancelled, Delivery::Unknown, 1));
        wait_until(|| server.hung_up.load(Ordering::SeqCst));
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
        assert!(outcome.recv().is_err(), "it is done once");
    }
}

#[test]
fn a_call_that_is_begun_has_the_same_checks_deadline_retries_and_attempts() {
    let server = Server::new(|number, _| match number {
        0 => Reply::Keep(http(503, "Retry-After: 0\r\n", "")),
        1 => Reply::Keep(accepted(7)),
        _ => Reply::Hold(Vec::new()),
    });
    let client = Arc::new(server.client());
    let never = |_| panic!("it was never begun");
    let error = client.start_update(&Update::new(), None, None, never).unwrap_err();
    assert_eq!(end(&error), (Kind::InvalidField, Delivery::NotSent, 0));
    let zero = Some(Duration::ZERO);
    assert_eq!(
        client.start_update(&update(), zero, None, never).unwrap_err().field(),
        Some("timeout")
    );

    let (send, attempts) = mpsc::channel();
    let tell =
        Box::new(move |attempt: Attempt| send.send((attempt.number, attempt.error)).unwrap());
    let (send, outcome) = mpsc::channel();
    let done = move |outcome| send.send(outcome).unwrap();
    let begun = client.start_update(&update(), None, Some(tell), done).unwrap();
    assert_eq!(outcome.recv().unwrap().unwrap().cust_id, Some(7));
    let attempts: Vec<_> = attempts.iter().collect();
    assert_eq!(attempts, [(1, Some(Kind::Status)), (2, None)]);
    drop(begun);

    let (send, outcome) = mpsc::channel();
    let done = move |outcome| send.send(outcome).unwrap();
    let soon = Some(Duration::from_millis(50));
    let _begun = client.start_update(&update(), soon, None, done).unwrap();
    let error: Result<PersonalInfo, Error> = outcome.recv().unwrap();
    assert_eq!(end(&error.unwrap_err()), (Kind::Timeout, Delivery::Unknown, 1));
    assert_eq!(server.connections(), 1, "kept and used again");

    client.close();
    let closed = client.start_update(&update(), None, None, never).unwrap_err();
    assert_eq!(closed.kind(), Kind::Configuration);
}

#[test]
fn a_callback_on_the_background_thread_begins_calls_and_waits_for_none() {
    let server = Server::new(|number, _| Reply::Keep(accepted(number)));
    // With an idle connection of a caller's, which the callback closes.
    let (client, other) = (Arc::new(server.client()), Arc::new(server.client()));
    other.update_personal_info(&update()).unwrap();
    let (send, receive) = mpsc::channel();
    let (send_begun, receive_begun) = mpsc::channel();
    let again = client.clone();
    let in_callback = move || {
        let refusals = [
            other.update_personal_info(&update()).unwrap_err(),
            other.probe(CallOptions::default()).unwrap_err(),
            other
                .update_many([update()], &BulkOptions::default())
                .unwrap()
                .next()
                .unwrap()
                .unwrap_err(),
        ];
        let bulk = other.start_bulk(&BulkOptions::default(), false, None).unwrap();
        bulk.submit(&update()).unwrap();
        let wait =
            panic::catch_unwind(panic::AssertUnwindSafe(|| bulk.wait_for_event(Duration::MAX)));
        drop(bulk);
        drop(other);
        send_begun.send(begin(&again)).unwrap();
        send.send((refusals, wait.is_err())).unwrap();
    };
    let _begun = client.start_update(&update(), None, None, move |_| in_callback()).unwrap();
    let (refusals, wait_panicked) = receive.recv_timeout(Duration::from_secs(5)).unwrap();
    for refusal in refusals {
        assert_eq!(end(&refusal), (Kind::Configuration, Delivery::NotSent, 0));
        assert!(refusal.to_string().contains("background thread"), "{refusal}");
    }
    assert!(wait_panicked);
    let (_begun, outcome) = receive_begun.recv().unwrap();
    assert!(outcome.recv_timeout(Duration::from_secs(5)).unwrap().is_ok());
}

#[test]
fn a_panic_on_the_engine_is_an_internal_error_and_the_next_call_works() {
    let server = Server::new(|number, _| Reply::Keep(accepted(number)));
    let client = Arc::new(server.client());
    let (send, outcome) = mpsc::channel();
    let done = move |outcome: Result<PersonalInfo, Error>| send.send(outcome).unwrap();
    let tell = Box::new(|_: Attempt| panic!("of a test"));
    let _begun = client.start_update(&update(), None, Some(tell), done).unwrap();
    assert_eq!(outcome.recv().unwrap().unwrap_err().kind(), Kind::Internal);
    let (_begun, outcome) = begin(&client);
    assert_eq!(outcome.recv().unwrap().unwrap().cust_id, Some(1));
}

/// An update whose number the server reads back from the request.
fn numbered(number: u64) -> Update {
    update().customer_first_name(&format!("N{number}."))
}

fn number_in(request: &str) -> u64 {
    let rest = request.split("\"N").nth(1).unwrap_or_default();
    rest.split('.').next().unwrap_or_default().parse().expect("a number")
}

fn run(
    client: &Arc<Client>,
    rows: impl IntoIterator<Item = Update>,
    set: impl FnOnce(&mut BulkOptions),
) -> (Vec<Outcome>, Option<Error>) {
    let mut options = BulkOptions::default();
    set(&mut options);
    let (mut outcomes, mut stopped) = (Vec::new(), None);
    for outcome in client.update_many(rows, &options).unwrap() {
        assert!(stopped.is_none(), "it is the last");
        match outcome {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => stopped = Some(error),
        }
    }
    outcomes.sort_by_key(|outcome| outcome.index);
    (outcomes, stopped)
}

#[test]
fn many_updates_share_a_few_connections_and_each_gets_its_own_answer() {
    let server =
        Server::new(|_, request| Reply::Keep(accepted(number_in(request) as usize + 1_000)));
    let client = Arc::new(server.client());
    let (outcomes, stopped) = run(&client, (0..500).map(numbered), |_| {});
    assert_eq!(stopped, None);
    assert_eq!(outcomes.len(), 500);
    for (number, outcome) in (0..).zip(&outcomes) {
        assert_eq!((outcome.index, outcome.attempts), (number, 1));
        assert_eq!(outcome.result.as_ref().unwrap().cust_id, Some(number as i64 + 1_000));
    }
    assert!((1..=8).contains(&server.connections()), "{}", server.connections());
}

#[test]
fn rows_are_pulled_as_others_end_and_no_more_run_at_once_than_asked_for() {
    let (at_once, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, seen) = (at_once.clone(), most.clone());
    let server = Server::new(move |_, _| {
        seen.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(5));
        counted.fetch_sub(1, Ordering::SeqCst);
        Reply::Keep(accepted(1))
    });
    let client = Arc::new(server.client());
    let pulled = Arc::new(AtomicUsize::new(0));
    let rows = (0..u64::MAX).map(numbered).inspect(|_| {
        pulled.fetch_add(1, Ordering::SeqCst);
    });
    let options = BulkOptions { concurrency: 3, ..BulkOptions::default() };
    let mut outcomes = client.update_many(rows, &options).unwrap();
    for told in 1..=100 {
        outcomes.next().unwrap().unwrap().result.unwrap();
        let pulled = pulled.load(Ordering::SeqCst);
        assert!(pulled <= told + 6, "{pulled} pulled, {told} told");
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
    drop(outcomes);
    wait_until(|| at_once.load(Ordering::SeqCst) == 0);
    assert!(server.requests() <= 106);
}

#[test]
fn a_row_that_fails_stops_no_other() {
    let server = Server::new(|_, request| match number_in(request) % 5 {
        0 => Reply::Keep(refused("no such customer")),
        1 => Reply::Keep(http(500, "", "")),
        2 => Reply::Close(Vec::new()),
        _ => Reply::Keep(accepted(1)),
    });
    let client = Arc::new(server.client_without_retries());
    let rows =
        (0..50).map(|n| if n % 10 == 9 { update().customer_gender("X") } else { numbered(n) });
    let (outcomes, stopped) = run(&client, rows, |_| {});
    assert_eq!(stopped, None);
    for outcome in &outcomes {
        let expected = match outcome.index % 10 {
            9 => Some((Kind::InvalidField, Delivery::NotSent, 0)),
            0 | 5 => Some((Kind::Refused, Delivery::Rejected, 1)),
            1 | 6 => Some((Kind::Status, Delivery::Unknown, 1)),
            2 | 7 => Some((Kind::Lost, Delivery::Unknown, 1)),
            _ => None,
        };
        assert_eq!(outcome.result.as_ref().err().map(end), expected, "{outcome:?}");
    }
    assert_eq!(outcomes.len(), 50);
}

#[test]
fn an_unreachable_service_stops_a_run_after_a_stated_number_of_rows() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = options(listener.local_addr().unwrap().port());
    options.set_max_retries(0).unwrap();
    drop(listener);
    let client = Arc::new(Client::new(&options).unwrap());
    for most in [1, 7] {
        let pulled = AtomicUsize::new(0);
        let rows = (0..1_000_000).map(numbered).inspect(|_| {
            pulled.fetch_add(1, Ordering::SeqCst);
        });
        let (outcomes, stopped) = run(&client, rows, |options| {
            options.concurrency = 2;
            options.max_connect_failures = most;
        });
        let stopped = stopped.expect("it stopped");
        assert_eq!(end(&stopped), (Kind::Connect, Delivery::NotSent, 0));
        assert!(stopped.to_string().starts_with(&format!("stopped after {most} rows in a row")));
        // None is lost: what was pulled has an outcome, and was tried or says that it was not.
        assert_eq!(outcomes.len(), pulled.load(Ordering::SeqCst));
        let tried = outcomes.iter().filter(|outcome| outcome.attempts > 0).count();
        assert!((most as usize..most as usize + 2).contains(&tried), "{tried}");
        let not_sent = |outcome: &Outcome| {
            outcome.result.as_ref().is_err_and(|error| error.delivery() == Delivery::NotSent)
        };
        assert!(outcomes.iter().all(not_sent));
    }
}

#[test]
fn a_run_goes_on_as_long_as_the_service_answers_anything() {
    let server = Server::new(|_, _| Reply::Close(http(200, "connection: close\r\n", "[]")));
    let client = Arc::new(server.client_without_retries());
    let (outcomes, stopped) =
        run(&client, (0..30).map(numbered), |options| options.max_connect_failures = 1);
    assert_eq!(stopped, None);
    assert_eq!(outcomes.len(), 30);
}

#[test]
fn a_rate_holds_across_retries() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    let server = Server::new(move |number, _| {
        seen.lock().unwrap().push(Instant::now());
        if number % 2 == 0 { Reply::Close(Vec::new()) } else { Reply::Keep(accepted(1)) }
    });
    let client = Arc::new(server.client());
    let (outcomes, _) = run(&client, (0..40).map(numbered), |options| {
        options.rate = Some(100.0);
        options.concurrency = 20;
    });
    assert!(outcomes.iter().filter(|outcome| outcome.attempts > 1).count() >= 10);
    let mut times = times.lock().unwrap().clone();
    times.sort();
    let took = (times[times.len() - 1] - times[0]).as_secs_f64();
    let rate = (times.len() - 1) as f64 / took;
    assert!(rate <= 103.0, "{} attempts in {took} s", times.len());
}

#[test]
fn a_busy_service_slows_the_whole_run_and_costs_no_row() {
    // The first second of requests is turned away, more often than a row has retries.
    let began = Instant::now();
    let server = Server::new(move |_, _| {
        let busy = began.elapsed() < Duration::from_millis(800);
        Reply::Keep(if busy { http(429, "", "") } else { accepted(1) })
    });
    let client = Arc::new(server.client());
    let (outcomes, stopped) = run(&client, (0..100).map(numbered), |_| {});
    assert_eq!(stopped, None);
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    assert!(outcomes.iter().any(|outcome| outcome.attempts > 1));
    // Not each for itself: after each pause eight at most come back.
    assert!(server.requests() < 100 + 12 * 8, "{}", server.requests());
}

#[test]
fn retry_after_is_kept_by_the_whole_run_and_max_retries_of_0_too() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    let server = Server::new(move |number, _| {
        seen.lock().unwrap().push(Instant::now());
        Reply::Keep(if number == 0 { http(503, "retry-after: 1\r\n", "") } else { accepted(1) })
    });
    let client = Arc::new(server.client_without_retries());
    let (outcomes, _) = run(&client, (0..10).map(numbered), |options| options.concurrency = 1);
    let failed: Vec<_> = outcomes.iter().filter_map(|it| it.result.as_ref().err()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(end(failed[0]), (Kind::Status, Delivery::Unknown, 1));
    let times = times.lock().unwrap();
    assert!(times[1] - times[0] >= Duration::from_millis(990), "{:?}", times[1] - times[0]);
}

#[test]
fn each_row_has_a_deadline_of_its_own_which_the_wait_for_its_turn_does_not_use_up() {
    let server = Server::new(|_, _| Reply::Keep(accepted(1)));
    let client = Arc::new(server.client());
    let started = Instant::now();
    let (outcomes, _) = run(&client, (0..8).map(numbered), |options| {
        options.rate = Some(10.0);
        options.timeout = Some(Duration::from_millis(300));
    });
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    assert!(started.elapsed() >= Duration::from_millis(690));

    let silent = Server::new(|_, _| Reply::Hold(Vec::new()));
    let client = Arc::new(silent.client());
    let (outcomes, stopped) = run(&client, (0..10).map(numbered), |options| {
        options.timeout = Some(Duration::from_millis(100));
    });
    let ends: Vec<_> = outcomes.iter().map(|it| end(it.result.as_ref().unwrap_err())).collect();
    assert_eq!(ends, [(Kind::Timeout, Delivery::Unknown, 1); 10]);
    assert_eq!(stopped, None);
}

#[test]
fn a_run_that_is_cancelled_tells_what_was_in_flight() {
    for by_client in [false, true] {
        let server = Server::new(|_, _| Reply::Hold(Vec::new()));
        let client = Arc::new(server.client());
        let bulk = client.start_bulk(&BulkOptions::default(), false, None).unwrap();
        for number in 0..12 {
            assert_eq!(bulk.submit(&numbered(number)).unwrap(), number);
        }
        assert_eq!(bulk.capacity(), 4);
        wait_until(|| server.requests() == 8);
        assert!(!bulk.wait_for_all(Duration::from_millis(1)));
        if by_client {
            client.cancel()
        } else {
            bulk.cancel()
        }
        assert!(bulk.wait_for_all(Duration::from_secs(1)));
        let mut ends: Vec<_> = iter::from_fn(|| bulk.next_event())
            .map(|event| match event {
                BulkEvent::Outcome(outcome) => (outcome.index, end(&outcome.result.unwrap_err())),
                BulkEvent::Attempt(..) => panic!("nobody asked"),
            })
            .collect();
        ends.sort_by_key(|(index, _)| *index);
        for (index, end) in ends {
            let unknown = (Kind::Cancelled, Delivery::Unknown, 1);
            let not_sent = (Kind::Cancelled, Delivery::NotSent, 0);
            assert_eq!(end, if index < 8 { unknown } else { not_sent }, "{index}");
        }
        assert!(bulk.is_drained());
        assert_eq!((bulk.capacity(), bulk.submitted()), (0, 12));
        assert_eq!(bulk.submit(&update()).unwrap_err().kind(), Kind::Cancelled);
        assert_eq!(bulk.stop_reason().unwrap().kind(), Kind::Cancelled);
    }
}

#[test]
fn a_run_ends_with_its_client_and_with_its_handle() {
    let server = Server::new(|_, _| Reply::Keep(accepted(1)));
    let client = Arc::new(server.client());
    let mut outcomes =
        client.update_many((0..u64::MAX).map(numbered), &BulkOptions::default()).unwrap();
    outcomes.next().unwrap().unwrap();
    client.close();
    let last = outcomes.find_map(Result::err).unwrap();
    assert_eq!((last.kind(), last.field()), (Kind::Configuration, Some("client")));
    assert!(outcomes.next().is_none());

    let server = Server::new(|_, _| Reply::Hold(Vec::new()));
    let client = Arc::new(server.client());
    let bulk = client.start_bulk(&BulkOptions::default(), false, None).unwrap();
    bulk.submit(&numbered(0)).unwrap();
    wait_until(|| server.requests() == 1);
    drop(bulk);
    wait_until(|| server.hung_up.load(Ordering::SeqCst));
}

#[test]
fn attempts_of_a_run_are_told_with_their_row_to_whoever_asked() {
    let server =
        Server::new(
            |number, _| {
                if number == 0 { Reply::Close(Vec::new()) } else { Reply::Keep(accepted(1)) }
            },
        );
    let client = Arc::new(server.client());
    let woken = Arc::new(AtomicUsize::new(0));
    let counted = woken.clone();
    let wake = Box::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let bulk = client.start_bulk(&BulkOptions::default(), true, Some(wake)).unwrap();
    bulk.submit(&numbered(0)).unwrap();
    assert!(bulk.wait_for_all(Duration::from_secs(5)));
    let events: Vec<_> = iter::from_fn(|| bulk.next_event()).collect();
    let [BulkEvent::Attempt(0, first), BulkEvent::Attempt(0, second), BulkEvent::Outcome(outcome)] =
        &events[..]
    else {
        panic!("{events:?}");
    };
    assert_eq!((first.number, first.error), (1, Some(Kind::Lost)));
    assert_eq!((second.number, second.error, outcome.attempts), (2, None, 2));
    // The last attempt and the outcome come together.
    wait_until(|| woken.load(Ordering::SeqCst) == 2);
}

#[test]
fn options_of_a_run_are_checked() {
    let client = Arc::new(Client::new(&options(9)).unwrap());
    let usual = BulkOptions::default;
    for (options, named) in [
        (BulkOptions { concurrency: 0, ..usual() }, "concurrency"),
        (BulkOptions { concurrency: 101, ..usual() }, "concurrency"),
        (BulkOptions { rate: Some(0.0), ..usual() }, "rate"),
        (BulkOptions { rate: Some(-1.0), ..usual() }, "rate"),
        (BulkOptions { rate: Some(f64::NAN), ..usual() }, "rate"),
        (BulkOptions { rate: Some(f64::INFINITY), ..usual() }, "rate"),
        (BulkOptions { rate: Some(1e-300), ..usual() }, "rate"),
        (BulkOptions { timeout: Some(Duration::ZERO), ..usual() }, "timeout"),
        (BulkOptions { max_connect_failures: 0, ..usual() }, "max_connect_failures"),
    ] {
        let error = client.start_bulk(&options, false, None).unwrap_err();
        assert_eq!((error.kind(), error.field()), (Kind::Configuration, Some(named)), "{error}");
    }
    let (outcomes, stopped) = run(&client, [], |options| options.concurrency = 100);
    assert_eq!((outcomes.len(), stopped), (0, None));
}
