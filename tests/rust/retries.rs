//! Retries, and the delivery of a call with several attempts.

use std::io::Write;
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use skypostal::{Client, Delivery, Kind};

use crate::support::{
    PortWithoutListener, Reply, Server, accepted, end, failure, http, options, read_request,
    refused, update,
};

#[test]
fn a_call_to_a_service_that_is_busy_once_is_retried() {
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
fn nothing_is_sent_to_a_port_without_a_listener() {
    let refused = PortWithoutListener::new();
    let (port, options) = (refused.port, options(refused.port));
    let error = failure(&Client::new(&options).unwrap());
    assert_eq!(end(&error), (Kind::Connect, Delivery::NotSent, 3));
    let error = failure(&Client::new(&options.max_retries(0)).unwrap());
    assert_eq!(end(&error), (Kind::Connect, Delivery::NotSent, 1));
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[test]
fn a_wait_beyond_the_deadline_does_not_begin() {
    let server = Server::closing(http(503, "Retry-After: 60\r\n", ""));
    let start = Instant::now();
    let error = failure(&server.client());
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(end(&error), (Kind::Status, Delivery::Unknown, 1));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    assert_eq!(server.requests(), 1);
}

#[test]
fn an_outage_is_not_multiplied_and_accepted_updates_earn_retries_back() {
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
fn a_response_to_a_second_attempt_does_not_undo_a_lost_first() {
    for (second, kind, attempts) in [
        (refused("no"), Kind::Refused, 2),
        (http(404, "", ""), Kind::Status, 2),
        (http(503, "Retry-After: 0\r\n", ""), Kind::Status, 3),
        (http(200, "", "[]"), Kind::Response, 2),
    ] {
        let server = Server::new(move |number, _| match number {
            0 => Reply::Close(Vec::new()),
            _ => Reply::Keep(second.clone()),
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
        let options = options(port).max_retries(1);
        let error = failure(&Client::new(&options).unwrap());
        server.join().unwrap();
        assert_eq!(end(&error), (kind, delivery, 2), "{error}");
    }
}
