//! Calls on the background thread.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{panic, thread};

use skypostal::{
    Attempt, BulkOptions, CallOptions, Client, Delivery, Error, Kind, OnAttempt, PendingCall,
    PersonalInfo, ReportedAttempts, Update,
};

use crate::support::{Reply, Server, accepted, end, http, update, wait_until};

/// Starts a call, and sends its outcome to a channel.
fn start(client: &Arc<Client>) -> (PendingCall, mpsc::Receiver<Result<PersonalInfo, Error>>) {
    let (send, receive) = mpsc::channel();
    let done = move |outcome| send.send(outcome).unwrap();
    (client.start_update(&update(), None, None, done).unwrap(), receive)
}

#[test]
fn started_calls_share_one_thread_and_at_most_a_hundred_connections() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let server = Server::new(|number, _| {
        thread::sleep(Duration::from_millis(5));
        Reply::Keep(accepted(number))
    });
    let client = Arc::new(server.client());
    let (send, receive) = mpsc::channel();
    let call: Vec<_> = (0..300)
        .map(|_| {
            let (send, threads) = (send.clone(), threads.clone());
            let done = move |outcome: Result<PersonalInfo, Error>| {
                threads.lock().unwrap().insert(thread::current().id());
                send.send(outcome.unwrap().cust_id.unwrap()).unwrap();
            };
            client.start_update(&update(), None, None, done).unwrap()
        })
        .collect();
    let mut cust_ids: Vec<_> = call.iter().map(|_| receive.recv().unwrap()).collect();
    cust_ids.sort_unstable();
    assert_eq!(cust_ids, (0..300).collect::<Vec<_>>(), "each its own");
    assert_eq!((threads.lock().unwrap().len(), server.requests()), (1, 300));
    assert!(server.connections() <= 100, "{}", server.connections());
}

#[test]
fn a_started_call_ends_with_its_handle_or_by_cancel_and_the_service_sees_it() {
    for by_cancel in [false, true] {
        let server = Server::new(|_, _| Reply::Hold(Vec::new()));
        let client = Arc::new(server.client());
        let (call, outcome) = start(&client);
        wait_until(|| server.requests() == 1);
        let start = Instant::now();
        let mut call = Some(call);
        if by_cancel {
            client.cancel();
        } else {
            call.take();
        }
        let error = outcome.recv().unwrap().unwrap_err();
        assert_eq!(end(&error), (Kind::Cancelled, Delivery::Unknown, 1));
        wait_until(|| server.hung_up.load(Ordering::SeqCst));
        assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
        assert!(outcome.recv().is_err(), "it is done once");
    }
}

#[test]
fn a_started_call_has_the_same_checks_deadline_retries_and_attempts() {
    let server = Server::new(|number, _| match number {
        0 => Reply::Keep(http(503, "Retry-After: 0\r\n", "")),
        1 => Reply::Keep(accepted(7)),
        _ => Reply::Hold(Vec::new()),
    });
    let client = Arc::new(server.client());
    let never = |_| panic!("it was never started");
    let error = client.start_update(&Update::new(), None, None, never).unwrap_err();
    assert_eq!(end(&error), (Kind::InvalidField, Delivery::NotSent, 0));
    let zero = Some(Duration::ZERO);
    assert_eq!(
        client.start_update(&update(), zero, None, never).unwrap_err().field(),
        Some("timeout")
    );

    let (send, attempts) = mpsc::channel();
    let send = move |attempt: Attempt| send.send((attempt.number, attempt.error)).unwrap();
    let report = (ReportedAttempts::All, Box::new(send) as _);
    let (send, outcome) = mpsc::channel();
    let done = move |outcome| send.send(outcome).unwrap();
    let call = client.start_update(&update(), None, Some(report), done).unwrap();
    assert_eq!(outcome.recv().unwrap().unwrap().cust_id, Some(7));
    let attempts: Vec<_> = attempts.iter().collect();
    assert_eq!(attempts, [(1, Some(Kind::Status)), (2, None)]);
    drop(call);

    let (send, outcome) = mpsc::channel();
    let done = move |outcome| send.send(outcome).unwrap();
    let soon = Some(Duration::from_millis(50));
    let _call = client.start_update(&update(), soon, None, done).unwrap();
    let error: Result<PersonalInfo, Error> = outcome.recv().unwrap();
    assert_eq!(end(&error.unwrap_err()), (Kind::Timeout, Delivery::Unknown, 1));
    assert_eq!(server.connections(), 1, "kept and used again");

    client.close();
    let closed = client.start_update(&update(), None, None, never).unwrap_err();
    assert_eq!(closed.kind(), Kind::Configuration);
}

#[test]
fn a_callback_on_the_background_thread_starts_calls_and_waits_for_none() {
    let server = Server::new(|number, _| Reply::Keep(accepted(number)));
    // With an idle connection of a caller's, which the callback closes.
    let (client, other) = (Arc::new(server.client()), Arc::new(server.client()));
    other.update_personal_info(&update()).unwrap();
    let (send, receive) = mpsc::channel();
    let (send_call, receive_call) = mpsc::channel();
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
        let bulk = other.start_bulk(&BulkOptions::default(), None, None).unwrap();
        bulk.submit(&update()).unwrap();
        let wait =
            panic::catch_unwind(panic::AssertUnwindSafe(|| bulk.wait_for_event(Duration::MAX)));
        drop(bulk);
        drop(other);
        send_call.send(start(&again)).unwrap();
        send.send((refusals, wait.is_err())).unwrap();
    };
    let _call = client.start_update(&update(), None, None, move |_| in_callback()).unwrap();
    let (refusals, wait_panicked) = receive.recv_timeout(Duration::from_secs(5)).unwrap();
    for refusal in refusals {
        assert_eq!(end(&refusal), (Kind::Configuration, Delivery::NotSent, 0));
        assert!(refusal.to_string().contains("background thread"), "{refusal}");
    }
    assert!(wait_panicked);
    let (_call, outcome) = receive_call.recv().unwrap();
    assert!(outcome.recv_timeout(Duration::from_secs(5)).unwrap().is_ok());
}

#[test]
fn a_panic_on_the_background_thread_is_an_internal_error_and_the_next_call_works() {
    let server = Server::new(|number, _| Reply::Keep(accepted(number)));
    let client = Arc::new(server.client());
    let (send, outcome) = mpsc::channel();
    let done = move |outcome: Result<PersonalInfo, Error>| send.send(outcome).unwrap();
    let report: OnAttempt = Box::new(|_| panic!("of a test"));
    let report = (ReportedAttempts::All, report);
    let _call = client.start_update(&update(), None, Some(report), done).unwrap();
    assert_eq!(outcome.recv().unwrap().unwrap_err().kind(), Kind::Internal);
    let (_call, outcome) = start(&client);
    assert_eq!(outcome.recv().unwrap().unwrap().cust_id, Some(1));
}
