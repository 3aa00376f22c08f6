//! Calls that a deadline, a cancellation or a closed client ends.

use std::cell::RefCell;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use skypostal::{CallOptions, Client, Delivery, Kind, PersonalInfo};

use crate::support::{Reply, Server, accepted, end, failure, http, options, update, wait_until};

#[test]
fn a_server_that_never_responds_is_left_at_the_deadline() {
    let parts =
        ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n["];
    for part in parts {
        let server = Server::new(move |_, _| Reply::Hold(part.into()));
        let client = server.client_with(|o| o.timeout(Duration::from_millis(200)));
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
    let client = server.client_with(|o| o.timeout(Duration::from_millis(200)));
    let start = Instant::now();
    assert_eq!(end(&failure(&client)), (Kind::Timeout, Delivery::Unknown, 2));
    assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());
}

#[test]
fn a_server_that_is_reached_but_never_accepts_is_not_waited_for_beyond_the_deadline() {
    // The kernel completes the connection; no thread reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = options(port).timeout(Duration::from_millis(100));
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

/// Calls when it is dropped.
struct Late<'a>(&'a Client, Sender<Result<PersonalInfo, skypostal::Error>>);

impl Drop for Late<'_> {
    fn drop(&mut self) {
        let Late(client, outcomes) = self;
        outcomes.send(client.update_personal_info(&update())).unwrap();
        let probe = client.probe(CallOptions::default());
        assert_eq!(probe.map(|probe| probe.status), Ok(200));
    }
}

thread_local! {
    static LATE: RefCell<Option<Late<'static>>> = const { RefCell::new(None) };
}

#[test]
fn a_thread_that_ends_may_still_call() {
    let server = Server::new(|number, _| Reply::Keep(accepted(number)));
    let client: &'static Client = Box::leak(Box::new(server.client()));
    // Thread-local values are dropped in the reverse order in which they were first used.
    for call_first in [false, true] {
        let (send, outcomes) = channel();
        let keep = move || LATE.set(Some(Late(client, send)));
        let call = move || client.update_personal_info(&update()).map(drop);
        let thread = thread::spawn(move || {
            if call_first {
                call().unwrap();
                keep();
            } else {
                keep();
                call().unwrap();
            }
        });
        thread.join().unwrap();
        assert!(outcomes.recv().unwrap().is_ok());
    }
    assert_eq!(server.requests(), 6);
}
