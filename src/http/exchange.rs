//! One request and its response.

use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderValue,
    RETRY_AFTER, TRANSFER_ENCODING, USER_AGENT,
};
use reqwest::{Method, Response};

use crate::call::{CallState, SharedCallState};
use crate::error::{Delivery, Error};
use crate::http::{Endpoint, HttpClient, Url, response_headers, tunnel};
use crate::personal_info::{NotAccepted, PersonalInfo};
use crate::redact::{redacted_excerpt, redacted_line};
use crate::retry;
use crate::sys::descriptors;
use crate::update::Request;

/// The body of a longer response is not read to its end.
const MAX_RESPONSE_BYTES: usize = 1024 * 1024;

impl Endpoint {
    /// Sends an update and reads the response.
    pub(crate) async fn send_update(
        &self,
        http: &HttpClient,
        request: &Request,
        state: &mut CallState<'_>,
    ) -> Result<PersonalInfo, Error> {
        let body = Body { bytes: Some(request.body.clone()), call: state.shared.clone() };
        let mut response = self.send(http, Method::POST, Some(body), state).await?;
        let head = Head::new(&response);
        let keys = request.keys();
        let for_support =
            |response: &Response| response_headers::for_support(response.headers(), &keys);
        state.record_head(head.status, || for_support(&response));
        if self.is_login_wanted(head.status) {
            let error = self.login_wanted(response.headers());
            return Err(error.with_response_headers(for_support(&response)));
        }
        if head.is_success() && response.content_length() > Some(MAX_RESPONSE_BYTES as u64) {
            return Err(too_long().with_response_headers(for_support(&response)));
        }
        let mut body = Bytes::new();
        let end = self.read_body(&mut response, &mut body, state).await;
        state.response_complete = end.is_ok();
        state.record_bytes(body.len());
        let outcome = head.into_outcome(&body, end, &keys);
        outcome.map_err(|error| error.with_response_headers(for_support(&response)))
    }

    /// Sends a request. Returns the head of the response.
    async fn send(
        &self,
        http: &HttpClient,
        method: Method,
        body: Option<Body>,
        state: &CallState<'_>,
    ) -> Result<Response, Error> {
        // It may open a connection. For a host with a name the look-up sees to this.
        if self.connects_to_ip_address() {
            descriptors::hold_standard_streams();
        }
        let mut request = reqwest::Request::new(method, self.url.clone());
        // As the client's default headers, each would be hashed and added anew.
        request.headers_mut().clone_from(&self.headers);
        *request.body_mut() = body.map(reqwest::Body::wrap);
        match http.execute(request).await {
            Ok(response) => Ok(response),
            Err(error) => Err(match tunnel::refusal(&error) {
                Some(refusal) => self.refused_tunnel(refusal, http).await,
                None => self.transport_error(&error, state),
            }),
        }
    }

    /// Reads the rest of the body into `body`, which keeps what came before an error.
    async fn read_body(
        &self,
        response: &mut Response,
        body: &mut Bytes,
        state: &CallState<'_>,
    ) -> Result<(), Error> {
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > MAX_RESPONSE_BYTES => {
                    return Err(too_long());
                }
                Ok(Some(chunk)) if body.is_empty() => *body = chunk,
                Ok(Some(chunk)) => {
                    let so_far = mem::take(body).try_into_mut();
                    let mut longer = so_far.unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                    longer.extend_from_slice(&chunk);
                    *body = longer.freeze();
                }
                Ok(None) => return Ok(()),
                Err(e) => return Err(self.transport_error(&e, state)),
            }
        }
    }

    /// Sends a GET request. Returns the status of the response and its `Date`.
    pub(crate) async fn get(
        &self,
        http: &HttpClient,
        state: &CallState<'_>,
    ) -> Result<(u16, Option<SystemTime>), Error> {
        let response = self.send(http, Method::GET, None, state).await?;
        if self.is_login_wanted(response.status().as_u16()) {
            return Err(self.login_wanted(response.headers()));
        }
        let date = response.headers().get(DATE).and_then(|date| date.to_str().ok());
        let date = date.and_then(|date| httpdate::parse_http_date(date).ok());
        Ok((response.status().as_u16(), date))
    }
}

/// The parts of a response's head that decide what the response means.
struct Head {
    status: u16,
    retry_after: Option<Duration>,
    compression: Option<String>,
}

impl Head {
    fn new(response: &Response) -> Self {
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok());
        Head {
            status: response.status().as_u16(),
            retry_after: retry_after.and_then(retry::parse_retry_after),
            compression: compression(response.headers()),
        }
    }

    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the customer's record if the service accepted the update. `end` is an error if the
    /// body did not come whole.
    fn into_outcome(
        self,
        body: &[u8],
        end: Result<(), Error>,
        keys: &[&str],
    ) -> Result<PersonalInfo, Error> {
        let whole = end.is_ok();
        let compression = self.compression.as_ref().filter(|_| !body.is_empty());
        let compression = compression.map(|coding| redacted_line(coding, keys));
        let excerpt = || match &compression {
            Some(coding) => format!("({} bytes, compressed with {coding})", body.len()),
            None => redacted_excerpt(body, whole, keys),
        };
        if !self.is_success() {
            let delivery = delivery(self.status);
            return Err(Error::status(self.status, delivery, self.retry_after, excerpt()));
        }
        end?;
        if let Some(coding) = &compression {
            let problem = format!(
                "it is compressed with {coding}, although the request accepts no compression; \
                 look for a proxy or gateway that compresses"
            );
            return Err(Error::response(problem, excerpt()));
        }
        PersonalInfo::decode(body).map_err(|error| match error {
            NotAccepted::Malformed(problem) => Error::response(problem, excerpt()),
            NotAccepted::Refused { verified, description, location, system_error } => {
                Error::refused(
                    verified,
                    redacted_line(&description, keys),
                    redacted_line(&location, keys),
                    system_error,
                )
            }
        })
    }
}

fn too_long() -> Error {
    Error::response("it is longer than 1 MiB", String::new())
}

/// Returns what a status says of the update. A 503 leaves it open: a gateway sends it as well when
/// its own connection to the service breaks after the request.
fn delivery(status: u16) -> Delivery {
    match status {
        300..=399 | 401 | 403 | 404 | 405 | 411 | 413 | 415 | 429 => Delivery::Rejected,
        _ => Delivery::Unknown,
    }
}

/// Returns the headers of each request to `url`, beside the length of its body. `program` is the
/// printable name that follows this library's.
pub(crate) fn headers(url: &Url, program: Option<&str>) -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    let library = concat!("skypostal/", env!("CARGO_PKG_VERSION"));
    let agent = match program {
        Some(program) => HeaderValue::try_from(format!("{library} {program}")).expect("printable"),
        None => HeaderValue::from_static(library),
    };
    let host = HeaderValue::from_str(url.authority()).expect("a URL is printable ASCII");
    HeaderMap::from_iter([
        // hyper would write it anew for each request.
        (HOST, host),
        (USER_AGENT, agent),
        (CONTENT_TYPE, json.clone()),
        (ACCEPT, json),
        // Without it a server may compress (RFC 9110, 12.5.3).
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ])
}

/// Returns the encodings that compress the body of a response, as its head names them.
fn compression(headers: &HeaderMap) -> Option<String> {
    let plain = |coding: &str| {
        ["", "identity", "chunked"].iter().any(|it| coding.trim().eq_ignore_ascii_case(it))
    };
    let values = [CONTENT_ENCODING, TRANSFER_ENCODING].map(|name| headers.get_all(name));
    let values = values.iter().flatten().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let values: Vec<_> = values.filter(|value| !value.split(',').all(plain)).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// The body of a request. It records when the connection takes it. Before that the service cannot
/// have acted on the request: the bytes that `Content-Length` announces are still missing.
struct Body {
    bytes: Option<Bytes>,
    call: Arc<SharedCallState>,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.call.hand_over_body() {
            return Poll::Pending; // The thread that cancelled the call wakes the task that drops this.
        }
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}
