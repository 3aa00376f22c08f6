//! The reports of attempts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use std::{mem, thread};

use skypostal::{Attempt, CallOptions, Kind, ReportedAttempts};

use crate::support::{Reply, Server, accepted, http, update};

#[test]
fn each_attempt_is_reported_on_the_calling_thread_before_the_wait() {
    let server = Server::new(|number, _| match number {
        0 => Reply::Keep(http(503, "Retry-After: 0\r\n", "busy, Jane")),
        1 => Reply::Close(Vec::new()),
        number => Reply::Keep(accepted(number)),
    });
    let client = server.client();
    let reported = Mutex::new(Vec::<(Attempt, usize)>::new());
    let caller = thread::current().id();
    let report = |attempt: &Attempt| {
        assert_eq!(thread::current().id(), caller);
        // It runs outside of the event loop, where another call may be made.
        let nested = Server::closing(accepted(1));
        assert!(nested.client().update_personal_info(&update()).is_ok());
        reported.lock().unwrap().push((attempt.clone(), server.requests()));
    };
    let options = CallOptions { on_attempt: Some(&report), ..CallOptions::default() };
    client.update_personal_info_with(&update(), options).unwrap();

    let reported = reported.into_inner().unwrap();
    let seen: Vec<_> =
        reported.iter().map(|(attempt, requests)| (attempt.number, *requests)).collect();
    assert_eq!(seen, [(1, 1), (2, 2), (3, 3)], "before the next one begins");
    let host = format!("127.0.0.1:{}", server.port);
    let sent = server.requests.lock().unwrap()[0].split_once("\r\n\r\n").unwrap().1.len();
    for (attempt, _) in &reported {
        assert_eq!((attempt.method, attempt.host(), &*attempt.url), ("POST", &*host, client.url()));
        assert_eq!(attempt.request_bytes, sent);
        assert!(attempt.elapsed < Duration::from_secs(5) && attempt.started > UNIX_EPOCH);
    }
    let [(busy, _), (lost, _), (good, _)] = &reported[..] else { panic!("{reported:?}") };
    assert_eq!((busy.status, busy.error, busy.response_bytes), (Some(503), Some(Kind::Status), 10));
    assert_eq!(busy.retry_in, Some(Duration::ZERO));
    assert_eq!((lost.status, lost.error, lost.response_bytes), (None, Some(Kind::Lost), 0));
    assert!(lost.retry_in.is_some());
    assert_eq!((good.status, good.error, good.retry_in), (Some(200), None, None));
    assert!(!format!("{reported:?}").contains("Jane"), "no word of the service");
}

#[test]
fn a_caller_may_ask_for_retried_attempts_alone() {
    let busy = http(503, "Retry-After: 0\r\nX-Request-Id: 17\r\n", "");
    let server = Server::new(move |number, _| match number {
        0 => Reply::Keep(busy.clone()),
        number => Reply::Keep(accepted(number)),
    });
    let client = server.client();
    let reported = Mutex::new(Vec::<Attempt>::new());
    let report = |attempt: &Attempt| reported.lock().unwrap().push(attempt.clone());
    let options = CallOptions {
        on_attempt: Some(&report),
        reported_attempts: ReportedAttempts::Retried,
        ..CallOptions::default()
    };
    client.update_personal_info_with(&update(), options).unwrap();
    client.update_personal_info_with(&update(), options).unwrap();
    let reported = reported.into_inner().unwrap();
    let [retried] = &reported[..] else { panic!("{reported:?}") };
    assert_eq!((retried.number, retried.status), (1, Some(503)));
    assert_eq!(retried.response_headers, [("x-request-id".to_owned(), "17".to_owned())]);
}

#[test]
fn an_attempt_that_is_aborted_is_reported_once_and_a_wait_not_again() {
    let reported = Mutex::new(Vec::new());
    let report = |attempt: &Attempt| {
        reported.lock().unwrap().push((attempt.number, attempt.error, attempt.retry_in.is_some()));
    };
    let silent = Server::new(|_, _| Reply::Hold(Vec::new()));
    let timeout = Some(Duration::from_millis(100));
    let options = CallOptions { timeout, on_attempt: Some(&report), ..CallOptions::default() };
    assert!(silent.client().update_personal_info_with(&update(), options).is_err());
    assert_eq!(mem::take(&mut *reported.lock().unwrap()), [(1, Some(Kind::Timeout), false)]);

    let busy = Server::closing(http(503, "Retry-After: 4\r\n", ""));
    let asked = AtomicUsize::new(0);
    let interrupted = || asked.fetch_add(1, Ordering::SeqCst) == 2;
    let options = CallOptions { interrupted: Some(&interrupted), timeout: None, ..options };
    assert!(busy.client().update_personal_info_with(&update(), options).is_err());
    assert_eq!(*reported.lock().unwrap(), [(1, Some(Kind::Status), true)]);
}
