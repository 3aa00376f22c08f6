//! Many updates in one bulk.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{iter, thread};

use skypostal::{
    Bulk, BulkEvent, BulkOptions, Client, Delivery, Error, Kind, Outcome, ReportedAttempts, Update,
};

use crate::support::{
    PortWithoutListener, Reply, Server, accepted, end, http, options, refused, update, wait_until,
};

/// An update whose number the server reads back from the request.
fn numbered(number: u64) -> Update {
    update().customer_first_name(&format!("N{number}."))
}

fn number_in(request: &str) -> u64 {
    let rest = request.split("\"N").nth(1).unwrap_or_default();
    rest.split('.').next().unwrap_or_default().parse().expect("a number")
}

fn update_all(
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
fn many_updates_share_a_few_connections_and_each_gets_its_own_response() {
    let server =
        Server::new(|_, request| Reply::Keep(accepted(number_in(request) as usize + 1_000)));
    let client = Arc::new(server.client());
    let (outcomes, stopped) = update_all(&client, (0..500).map(numbered), |_| {});
    assert_eq!(stopped, None);
    assert_eq!(outcomes.len(), 500);
    for (number, outcome) in (0..).zip(&outcomes) {
        assert_eq!((outcome.index, outcome.attempts), (number, 1));
        assert_eq!(outcome.result.as_ref().unwrap().cust_id, Some(number as i64 + 1_000));
    }
    assert!((1..=8).contains(&server.connections()), "{}", server.connections());
}

#[test]
fn rows_are_pulled_as_others_end_and_no_more_are_in_flight_than_asked_for() {
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
    for reported in 1..=100 {
        outcomes.next().unwrap().unwrap().result.unwrap();
        let pulled = pulled.load(Ordering::SeqCst);
        assert!(pulled <= reported + 6, "{pulled} pulled, {reported} reported");
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
    let (outcomes, stopped) = update_all(&client, rows, |_| {});
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
fn an_unreachable_service_stops_a_bulk_after_a_stated_number_of_rows() {
    let refused = PortWithoutListener::new();
    let client = Arc::new(Client::new(&options(refused.port).max_retries(0)).unwrap());
    for most in [1, 7] {
        let pulled = AtomicUsize::new(0);
        let rows = (0..1_000_000).map(numbered).inspect(|_| {
            pulled.fetch_add(1, Ordering::SeqCst);
        });
        let (outcomes, stopped) = update_all(&client, rows, |options| {
            options.concurrency = 2;
            options.max_connect_failures = most;
        });
        let stopped = stopped.expect("it stopped");
        assert_eq!(end(&stopped), (Kind::Connect, Delivery::NotSent, 0));
        assert!(stopped.to_string().starts_with(&format!("stopped after {most} consecutive rows")));
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
fn so_does_one_that_takes_connections_and_is_silent_until_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap(); // speaks no TLS
    let url = format!("https://{}", listener.local_addr().unwrap());
    let options = options(0).base_url(&url).max_retries(0).timeout(Duration::from_millis(100));
    let client = Arc::new(Client::new(&options).unwrap());
    let (outcomes, stopped) =
        update_all(&client, (0..30).map(numbered), |options| options.max_connect_failures = 3);
    let first = outcomes[0].result.as_ref().unwrap_err();
    assert_eq!(end(first), (Kind::Timeout, Delivery::NotSent, 1));
    assert_eq!(end(&stopped.expect("it stopped")), (Kind::Connect, Delivery::NotSent, 0));
}

#[test]
fn a_pause_of_the_whole_bulk_costs_no_retry() {
    let responses = [429, 503, 429, 502, 502, 200];
    let server = Server::new(move |number, _| {
        Reply::Keep(match responses[number] {
            200 => accepted(1),
            status => http(status, "", ""),
        })
    });
    let client = Arc::new(server.client()); // with two retries
    let (outcomes, _) = update_all(&client, (0..1).map(numbered), |_| {});
    assert!(outcomes[0].result.is_ok(), "{outcomes:?}");
    assert_eq!(outcomes[0].attempts, 6);
}

#[test]
fn a_thread_that_waits_sees_a_row_that_is_not_valid_and_a_cancel() {
    let server = Server::new(|_, _| Reply::Hold(Vec::new()));
    let client = Arc::new(server.client());
    let submit_invalid = |bulk: &Bulk| assert_eq!(bulk.submit(&Update::new()), Ok(1));
    for finish in [submit_invalid, Bulk::cancel] {
        let bulk = client.start_bulk(&BulkOptions::default(), None, None).unwrap();
        bulk.submit(&numbered(0)).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                finish(&bulk);
            });
            let began = Instant::now();
            bulk.wait_for_event(Duration::from_secs(10));
            assert!(began.elapsed() < Duration::from_secs(5));
        });
    }
}

#[test]
fn a_retry_after_that_asks_for_no_wait_starts_no_storm() {
    for asked in ["0", "Wed, 21 Oct 2015 07:28:00 GMT"] {
        let header = format!("Retry-After: {asked}\r\n");
        let server = Server::new(move |_, _| Reply::Keep(http(429, &header, "")));
        let client = Arc::new(server.client());
        update_all(&client, [numbered(1)], |options| {
            options.timeout = Some(Duration::from_millis(800));
        });
        assert!(server.requests() < 30, "{asked}: {}", server.requests());
    }
}

#[test]
fn the_timeout_of_a_row_does_not_count_its_wait_for_other_calls() {
    let server = Server::new(|_, request| match request.contains("\"N7.") {
        true => Reply::Keep(accepted(1)),
        false => Reply::Hold(Vec::new()),
    });
    let client = Arc::new(server.client_without_retries());
    let timeout = Some(Duration::from_millis(600));
    let calls: Vec<_> =
        (0..100).map(|_| client.start_update(&update(), timeout, None, |_| {}).unwrap()).collect();
    wait_until(|| server.requests() == 100);
    let (outcomes, _) = update_all(&client, [numbered(7)], |options| {
        options.timeout = Some(Duration::from_millis(300));
    });
    assert!(outcomes[0].result.is_ok(), "{outcomes:?}");
    drop(calls);
}

#[test]
fn a_bulk_continues_as_long_as_the_service_responds() {
    let server = Server::new(|_, _| Reply::Close(http(200, "connection: close\r\n", "[]")));
    let client = Arc::new(server.client_without_retries());
    let (outcomes, stopped) =
        update_all(&client, (0..30).map(numbered), |options| options.max_connect_failures = 1);
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
    let (outcomes, _) = update_all(&client, (0..40).map(numbered), |options| {
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
fn a_busy_service_slows_the_whole_bulk_and_costs_no_row() {
    // The first second of requests is turned away, more often than a row has retries.
    let began = Instant::now();
    let server = Server::new(move |_, _| {
        let busy = began.elapsed() < Duration::from_millis(800);
        Reply::Keep(if busy { http(429, "", "") } else { accepted(1) })
    });
    let client = Arc::new(server.client());
    let (outcomes, stopped) = update_all(&client, (0..100).map(numbered), |_| {});
    assert_eq!(stopped, None);
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    assert!(outcomes.iter().any(|outcome| outcome.attempts > 1));
    // Not each for itself: after each pause eight at most come back.
    assert!(server.requests() < 100 + 12 * 8, "{}", server.requests());
}

#[test]
fn retry_after_is_kept_by_the_whole_bulk_and_max_retries_of_0_too() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = times.clone();
    let server = Server::new(move |number, _| {
        seen.lock().unwrap().push(Instant::now());
        Reply::Keep(if number == 0 { http(503, "retry-after: 1\r\n", "") } else { accepted(1) })
    });
    let client = Arc::new(server.client_without_retries());
    let (outcomes, _) =
        update_all(&client, (0..10).map(numbered), |options| options.concurrency = 1);
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
    let (outcomes, _) = update_all(&client, (0..8).map(numbered), |options| {
        options.rate = Some(10.0);
        options.timeout = Some(Duration::from_millis(300));
    });
    assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()), "{outcomes:?}");
    assert!(started.elapsed() >= Duration::from_millis(690));

    let silent = Server::new(|_, _| Reply::Hold(Vec::new()));
    let client = Arc::new(silent.client());
    let (outcomes, stopped) = update_all(&client, (0..10).map(numbered), |options| {
        options.timeout = Some(Duration::from_millis(100));
    });
    let ends: Vec<_> = outcomes.iter().map(|it| end(it.result.as_ref().unwrap_err())).collect();
    assert_eq!(ends, [(Kind::Timeout, Delivery::Unknown, 1); 10]);
    assert_eq!(stopped, None);
}

#[test]
fn a_bulk_that_is_cancelled_says_which_rows_were_in_flight() {
    for by_client in [false, true] {
        let server = Server::new(|_, _| Reply::Hold(Vec::new()));
        let client = Arc::new(server.client());
        let bulk = client.start_bulk(&BulkOptions::default(), None, None).unwrap();
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
                BulkEvent::Attempt(..) => panic!("attempts were not asked for"),
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
fn a_bulk_ends_with_its_client_and_with_its_handle() {
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
    let bulk = client.start_bulk(&BulkOptions::default(), None, None).unwrap();
    bulk.submit(&numbered(0)).unwrap();
    wait_until(|| server.requests() == 1);
    drop(bulk);
    wait_until(|| server.hung_up.load(Ordering::SeqCst));
}

#[test]
fn attempts_of_a_bulk_are_reported_with_their_row_if_asked_for() {
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
    let bulk = client
        .start_bulk(&BulkOptions::default(), Some(ReportedAttempts::All), Some(wake))
        .unwrap();
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
fn options_of_a_bulk_are_checked() {
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
        let error = client.start_bulk(&options, None, None).unwrap_err();
        assert_eq!((error.kind(), error.field()), (Kind::Configuration, Some(named)), "{error}");
    }
    let (outcomes, stopped) = update_all(&client, [], |options| options.concurrency = 100);
    assert_eq!((outcomes.len(), stopped), (0, None));
}
