use std::thread;

use super::*;
use crate::environment::Source;
use crate::http::tls::Tls;
use crate::http::{Url, headers};

fn endpoint() -> Endpoint {
    let url = Url::parse("http://127.0.0.1:9").unwrap();
    Endpoint {
        connect_timeout: Duration::from_secs(1),
        proxy: None,
        tls: Tls::new((None, Source::Default), false).unwrap(),
        headers: headers(&url, None),
        url,
    }
}

fn pool(idle_timeout: Duration) -> Arc<ConnectionPool> {
    Arc::new(ConnectionPool { idle_timeout, ..ConnectionPool::default() })
}

/// Connections that are in use at the same time.
fn in_use(pool: &ConnectionPool, count: usize, driver: Driver) -> Vec<Connection> {
    (0..count).map(|_| pool.connection(&endpoint(), driver).unwrap()).collect()
}

fn idle(pool: &ConnectionPool) -> usize {
    pool.lock().len()
}

#[test]
fn a_client_keeps_a_bounded_number_of_idle_connections() {
    let pool = pool(IDLE_TIMEOUT);
    in_use(&pool, MAX_IDLE + 3, Driver::Caller).into_iter().for_each(|it| pool.put_back(it));
    assert_eq!(idle(&pool), MAX_IDLE);
    // Those of the background thread are bounded by its calls, and take one descriptor each.
    in_use(&pool, MAX_IDLE + 3, Driver::BackgroundThread)
        .into_iter()
        .for_each(|it| pool.put_back(it));
    assert_eq!(idle(&pool), 2 * MAX_IDLE + 3);
    assert!(pool.clear());
    assert!(!pool.clear());
}

#[test]
fn the_next_use_closes_every_connection_that_timed_out() {
    let timeout = Duration::from_millis(300);
    for driver in [Driver::Caller, Driver::BackgroundThread] {
        let pool = pool(timeout);
        let mut connections = in_use(&pool, 6, driver);
        let late = connections.pop().unwrap();
        pool.lock().is_watched = true; // The background thread leaves them alone.
        connections.into_iter().for_each(|it| pool.put_back(it));
        assert_eq!(idle(&pool), 5);
        thread::sleep(timeout * 3 / 2);
        pool.put_back(late);
        assert_eq!(idle(&pool), 1);
        thread::sleep(timeout * 3 / 2);
        // The newest one is still of use, if only for its event loop.
        let taken = pool.take(driver);
        assert!(taken.is_some());
        assert_eq!(idle(&pool), 0);
    }
}

#[test]
fn a_client_that_is_not_used_again_closes_its_connections_too() {
    let timeout = Duration::from_millis(300);
    for driver in [Driver::Caller, Driver::BackgroundThread] {
        let pool = pool(timeout);
        for round in 0..2 {
            in_use(&pool, 3, driver).into_iter().for_each(|it| pool.put_back(it));
            assert_eq!(idle(&pool), 3, "{round}");
            let start = Instant::now();
            while idle(&pool) > 0 {
                assert!(start.elapsed() < Duration::from_secs(5), "they are still there");
                thread::sleep(Duration::from_millis(5));
            }
            assert!(start.elapsed() >= timeout, "{:?}", start.elapsed());
        }
    }
}
