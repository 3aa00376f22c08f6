//! Measures this library from Rust, and each peer in its own best form.
//!
//!     skypostal-bench NAME BASE_URL PATH
//!
//! Makes one call and prints `ready`. Then it reads lines `CALLS THREADS`, makes that many calls and
//! prints a line of JSON for each, as the workers in Python and C do. One client serves all threads,
//! as each peer's documentation asks for; SSL_CERT_FILE names the certificates that each trusts.

use std::error::Error;
use std::io::{self, BufRead};
use std::sync::{Arc, Barrier, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const TIMEOUT: Duration = Duration::from_secs(30);

type Call = dyn Fn() -> Result<Info, Box<dyn Error>> + Send + Sync;

/// The fields of the documented request.
#[derive(Serialize, Deserialize)]
struct Request<'a> {
    user_code: i64,
    app_key: &'a str,
    customer_box_id: i64,
    customer_key: &'a str,
    customer_first_name: &'a str,
    customer_last_name: &'a str,
    customer_birth_date: &'a str,
    customer_gender: &'a str,
}

static REQUEST: LazyLock<Request> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../tests/data/request.json")).expect("a request")
});

/// The result of a call.
#[derive(Debug, PartialEq)]
struct Info {
    cust_id: Option<i64>,
    customer_first_name: Option<String>,
    customer_last_name: Option<String>,
    customer_identity_number: Option<String>,
    /// As it is written, so that no digit is lost.
    customer_tax_number: Option<String>,
    customer_birth_date: Option<NaiveDate>,
    customer_gender: Option<String>,
}

/// The response as the peers read it: straight into typed fields.
#[derive(Deserialize)]
struct Response<'a> {
    _verify: bool,
    cust_id: Option<i64>,
    customer_first_name: Option<String>,
    customer_last_name: Option<String>,
    customer_identity_number: Option<String>,
    #[serde(borrow)]
    customer_tax_number: Option<&'a RawValue>,
    customer_birth_date: Option<&'a str>,
    customer_gender: Option<String>,
    error: Failure,
}

#[derive(Deserialize)]
struct Failure {
    error_description: String,
    system_error: bool,
}

fn decode(status: u16, body: &[u8]) -> Result<Info, Box<dyn Error>> {
    let responses: Vec<Response> = serde_json::from_slice(body)?;
    let response = responses.into_iter().next().ok_or("no response")?;
    let error = response.error;
    if status != 200
        || !response._verify
        || error.system_error
        || !error.error_description.is_empty()
    {
        return Err(error.error_description.into());
    }
    Ok(Info {
        cust_id: response.cust_id,
        customer_first_name: response.customer_first_name,
        customer_last_name: response.customer_last_name,
        customer_identity_number: response.customer_identity_number,
        customer_tax_number: response.customer_tax_number.map(|number| number.get().to_owned()),
        customer_birth_date: response.customer_birth_date.and_then(day),
        customer_gender: response.customer_gender,
    })
}

/// The day of the server's calendar: milliseconds since 1970 in UTC, and the server's offset.
fn day(text: &str) -> Option<NaiveDate> {
    let inner = text.strip_prefix("/Date(")?.strip_suffix(")/")?;
    let at = inner.rfind(['+', '-']).filter(|at| *at > 0).unwrap_or(inner.len());
    let (milliseconds, offset) = inner.split_at(at);
    let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().ok()? };
    let instant = DateTime::from_timestamp_millis(milliseconds.parse().ok()?)?;
    let offset = TimeDelta::minutes(offset / 100 * 60 + offset % 100);
    let day = instant.naive_utc().checked_add_signed(offset)?.date();
    (day.year() > 1).then_some(day)
}

fn skypostal(base_url: &str) -> Result<Box<Call>, Box<dyn Error>> {
    let mut options = skypostal::Options::new();
    options.set_user_code(REQUEST.user_code)?;
    options.set_app_key(REQUEST.app_key)?;
    options.set_base_url(Some(base_url))?;
    options.set_timeout(Some(TIMEOUT))?;
    let client = skypostal::Client::new(&options)?;
    Ok(Box::new(move || {
        let update = skypostal::Update::new()
            .customer_box_id(REQUEST.customer_box_id)
            .customer_key(REQUEST.customer_key)
            .customer_first_name(REQUEST.customer_first_name)
            .customer_last_name(REQUEST.customer_last_name)
            .customer_birth_date(REQUEST.customer_birth_date)
            .customer_gender(REQUEST.customer_gender);
        let info = client.update_personal_info(&update)?;
        Ok(Info {
            cust_id: info.cust_id,
            customer_first_name: info.customer_first_name,
            customer_last_name: info.customer_last_name,
            customer_identity_number: info.customer_identity_number,
            customer_tax_number: info.customer_tax_number,
            customer_birth_date: info.customer_birth_date,
            customer_gender: info.customer_gender,
        })
    }))
}

/// Redirects and proxies are off, as in ours; HTTP/2 is no part of the features that are built.
fn reqwest(url: &str) -> Result<Box<Call>, Box<dyn Error>> {
    use reqwest::blocking::Client;
    use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};

    let json = HeaderValue::from_static("application/json");
    let client = Client::builder()
        .timeout(TIMEOUT)
        .default_headers(HeaderMap::from_iter([(ACCEPT, json.clone()), (CONTENT_TYPE, json)]))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()?;
    let url = reqwest::Url::parse(url)?;
    Ok(Box::new(move || {
        let response = client.post(url.clone()).body(serde_json::to_vec(&*REQUEST)?).send()?;
        decode(response.status().as_u16(), &response.bytes()?)
    }))
}

fn ureq(url: &str) -> Result<Box<Call>, Box<dyn Error>> {
    use ureq::Agent;
    use ureq::tls::{RootCerts, TlsConfig};

    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .proxy(None)
        .accept("application/json")
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .build()
        .into();
    let url: ureq::http::Uri = url.parse()?;
    Ok(Box::new(move || {
        let body = serde_json::to_vec(&*REQUEST)?;
        let request = agent.post(url.clone()).content_type("application/json");
        let mut response = request.send(&body[..])?;
        decode(response.status().as_u16(), &response.body_mut().read_to_vec()?)
    }))
}

/// The nanoseconds of each call.
fn calls(call: &Call, count: usize) -> Vec<u128> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        let info = call().expect("an accepted update");
        times.push(started.elapsed().as_nanos());
        std::hint::black_box(info);
    }
    times
}

/// The seconds in user and in system mode of this process so far.
fn cpu() -> (f64, f64) {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: it has room for what is written, and zeros are a valid value of it.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (seconds(usage.ru_utime), seconds(usage.ru_stime))
}

#[derive(Serialize)]
struct Measured {
    wall_ns: u128,
    user_s: f64,
    system_s: f64,
    ns: Vec<u128>,
}

fn measure(call: &Call, count: usize, threads: usize) -> Measured {
    let start = Arc::new(Barrier::new(threads + 1));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let start = start.clone();
                scope.spawn(move || {
                    calls(call, 1); // connects
                    start.wait();
                    calls(call, count / threads)
                })
            })
            .collect();
        start.wait();
        let (before, started) = (cpu(), Instant::now());
        let ns = workers.into_iter().flat_map(|w| w.join().expect("no panic")).collect();
        let (wall_ns, after) = (started.elapsed().as_nanos(), cpu());
        Measured { wall_ns, user_s: after.0 - before.0, system_s: after.1 - before.1, ns }
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, name, base_url, path] = &arguments[..] else {
        return Err("usage: skypostal-bench NAME BASE_URL PATH".into());
    };
    let url = format!("{base_url}{path}");
    let call = match name.as_str() {
        "skypostal" => skypostal(base_url)?,
        "reqwest::blocking" => reqwest(&url)?,
        "ureq" => ureq(&url)?,
        _ => return Err("no such peer".into()),
    };
    let documented = Info {
        cust_id: Some(51736835),
        customer_first_name: Some("New Name".to_owned()),
        customer_last_name: Some("New Last".to_owned()),
        customer_identity_number: Some("123456789".to_owned()),
        customer_tax_number: Some("0".to_owned()),
        customer_birth_date: NaiveDate::from_ymd_opt(1980, 8, 19),
        customer_gender: Some("M".to_owned()),
    };
    assert_eq!(call()?, documented);
    println!("ready");
    for line in io::stdin().lock().lines() {
        let line = line?;
        let (count, threads) = line.split_once(' ').ok_or("no CALLS THREADS")?;
        let measured = measure(&*call, count.parse()?, threads.parse()?);
        println!("{}", serde_json::to_string(&measured)?);
    }
    Ok(())
}
