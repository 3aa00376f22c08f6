//! What can go wrong, in one vocabulary for all languages.

use std::borrow::Cow;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

/// What kind of thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A field of the update is missing, malformed or out of range. Found before anything is sent.
    InvalidField,
    /// An option is missing or unusable: credentials, URL, timeout, CA file, proxy.
    Configuration,
    /// No connection: name look-up, refusal, `connect_timeout`, the proxy.
    Connect,
    /// No secure connection: the handshake failed or the certificate is not trusted.
    Tls,
    /// The connection ended before a whole answer had come.
    Lost,
    /// The deadline of the whole call passed.
    Timeout,
    /// The HTTP status was not 2xx.
    Status,
    /// The service said no, or reported an error. [`Error::delivery`] tells whether the change may
    /// have been made all the same.
    Refused,
    /// An answer that is not in the documented form.
    Response,
    /// The caller ended the call.
    Cancelled,
    /// A bug of this library: please report it.
    Internal,
}

impl Kind {
    /// `"invalid_field"`, `"configuration"`, `"connect"` and so on.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::InvalidField => "invalid_field",
            Kind::Configuration => "configuration",
            Kind::Connect => "connect",
            Kind::Tls => "tls",
            Kind::Lost => "lost",
            Kind::Timeout => "timeout",
            Kind::Status => "status",
            Kind::Refused => "refused",
            Kind::Response => "response",
            Kind::Cancelled => "cancelled",
            Kind::Internal => "internal",
        }
    }
}

/// Was the customer changed?
///
/// Ordered by how much is left open: over several attempts the greatest one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// Nothing of the update reached the service.
    NotSent = 1,
    /// The service answered that it did not make the change.
    Rejected = 2,
    /// The update may have been applied. Sending it again is harmless: it leaves the same record.
    Unknown = 3,
}

impl Delivery {
    /// `"not_sent"`, `"rejected"` or `"unknown"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Delivery::NotSent => "not_sent",
            Delivery::Rejected => "rejected",
            Delivery::Unknown => "unknown",
        }
    }
}

/// Why an update did not succeed, and whether it may have reached the service.
///
/// Its text is one line with the chain of causes. It never holds a key, nor the value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Detail>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Detail {
    kind: Kind,
    delivery: Delivery,
    attempts: u32,
    message: String,
    /// The message without the service's own words, where it has some.
    reason: Option<&'static str>,
    field: Option<Cow<'static, str>>,
    status: Option<u16>,
    retry_after: Option<Duration>,
    body: Option<String>,
    description: Option<String>,
    location: Option<String>,
    system_error: bool,
    bad_certificate: bool,
}

impl Error {
    pub(crate) fn new(kind: Kind, delivery: Delivery, message: impl Into<String>) -> Self {
        Error(Box::new(Detail {
            kind,
            delivery,
            attempts: 0,
            message: message.into(),
            reason: None,
            field: None,
            status: None,
            retry_after: None,
            body: None,
            description: None,
            location: None,
            system_error: false,
            bad_certificate: false,
        }))
    }

    pub(crate) fn invalid_field(
        field: impl Into<Cow<'static, str>>,
        problem: impl fmt::Display,
    ) -> Self {
        let field = field.into();
        Error::new(Kind::InvalidField, Delivery::NotSent, format!("{field}: {problem}"))
            .with_field(field)
    }

    pub(crate) fn configuration(option: &'static str, problem: impl fmt::Display) -> Self {
        Error::new(Kind::Configuration, Delivery::NotSent, format!("{option}: {problem}"))
            .with_field(option)
    }

    /// Runs `work` for another language or thread, into which no panic must cross.
    pub(crate) fn catch_panic<T, E: From<Error>>(
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<&str>().copied();
            let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(Error::internal(message.unwrap_or("a panic")).into())
        })
    }

    /// What cannot happen, and did.
    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        let message = format!("internal error, please report it: {message}");
        Error::new(Kind::Internal, Delivery::Unknown, message)
    }

    pub(crate) fn status(
        status: u16,
        delivery: Delivery,
        retry_after: Option<Duration>,
        body: String,
    ) -> Self {
        let advice = match status {
            300..=399 | 404 | 405 => "; check base_url",
            401 | 403 => "; check the credentials, and what stands between here and the service",
            _ => "",
        };
        let message = format!("the service answered HTTP {status}{advice}");
        let mut error = Error::new(Kind::Status, delivery, message);
        error.0.status = Some(status);
        error.0.retry_after = retry_after;
        error.0.body = Some(body);
        error
    }

    /// `verified`: the service's `_verify`. Only a plain no, without `system_error`, says that the
    /// change was not made: any other error may have come after it.
    pub(crate) fn refused(
        verified: bool,
        description: String,
        location: String,
        system_error: bool,
    ) -> Self {
        let reason = match (system_error, verified) {
            (true, _) => "the service reported a system error",
            (_, true) => "the service reported an error",
            _ => "the service refused the update",
        };
        let (delivery, advice) = if verified || system_error {
            (Delivery::Unknown, "the change may have been made; send the same update again")
        } else {
            let advice =
                "check the credentials (test and production have their own) and the fields";
            (Delivery::Rejected, advice)
        };
        let because = if description.is_empty() { "it gave no reason" } else { &description };
        let at = if location.is_empty() { String::new() } else { format!(" (at {location})") };
        let message = format!("{reason}: {because}{at}; {advice}");
        let mut error = Error::new(Kind::Refused, delivery, message);
        error.0.reason = Some(reason);
        error.0.description = Some(description);
        error.0.location = Some(location);
        error.0.system_error = system_error;
        error
    }

    pub(crate) fn response(problem: impl fmt::Display, body: String) -> Self {
        let mut error = Error::new(
            Kind::Response,
            Delivery::Unknown,
            format!("the answer is not in the documented form: {problem}"),
        );
        error.0.body = Some(body);
        error
    }

    /// Says that this ends a run, after so many rows that ended like this one.
    pub(crate) fn stopping_bulk(&self, rows: u32) -> Self {
        let mut error = self.clone();
        error.0.attempts = 0;
        error.0.message =
            format!("stopped after {rows} rows in a row that found no connection: {self}");
        error
    }

    fn with_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    pub(crate) fn read_from(mut self, variable: &str) -> Self {
        self.0.message = format!("{} (read from {variable})", self.0.message);
        self
    }

    pub(crate) fn with_bad_certificate(mut self) -> Self {
        self.0.bad_certificate = true;
        self
    }

    /// The answer to "was the customer changed?" after `attempts`, of which the earlier ones left
    /// `delivery` open.
    pub(crate) fn after(mut self, attempts: u32, delivery: Delivery) -> Self {
        self.0.attempts = attempts;
        self.0.delivery = self.0.delivery.max(delivery);
        self
    }

    /// The same of an exchange in which no update is sent.
    pub(crate) fn of_no_update(mut self) -> Self {
        self.0.delivery = Delivery::NotSent;
        self
    }

    pub(crate) fn has_bad_certificate(&self) -> bool {
        self.0.bad_certificate
    }

    /// What went wrong, without the service's own words.
    pub(crate) fn reason(&self) -> &str {
        self.0.reason.unwrap_or(&self.0.message)
    }

    /// What went wrong, in one line, without the delivery and the attempts that its text ends with.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Was the customer changed?
    pub fn delivery(&self) -> Delivery {
        self.0.delivery
    }

    /// How many attempts were begun; 0 when nothing was tried.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The field that is invalid, or the option that is unusable, under its own name.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// The HTTP status, for [`Kind::Status`].
    pub fn http_status(&self) -> Option<u16> {
        self.0.status
    }

    /// How long the service asked to wait, for [`Kind::Status`].
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// An excerpt of the answer, for [`Kind::Status`] and [`Kind::Response`]; keys are redacted.
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// The service's own words, for [`Kind::Refused`]; keys are redacted.
    pub fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// Where in the service, in its own words, for [`Kind::Refused`].
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }

    /// Whether the service called the refusal a system error.
    pub fn system_error(&self) -> bool {
        self.0.system_error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match (self.attempts(), self.delivery()) {
            (0, _) => Ok(()),
            (1, delivery) => write!(f, " (delivery {}, 1 attempt)", delivery.as_str()),
            (n, delivery) => write!(f, " (delivery {}, {n} attempts)", delivery.as_str()),
        }
    }
}

impl std::error::Error for Error {}

/// The faults of a set of named values, remembered until the same name gets a good value, so that a
/// caller who ignores a setter's answer is told all the same before anything is sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeferredErrors(Vec<Error>);

impl DeferredErrors {
    pub(crate) fn record<T>(&mut self, name: &str, outcome: Result<T, Error>) -> Result<T, Error> {
        self.0.retain(|fault| fault.field() != Some(name));
        if let Err(error) = &outcome {
            self.0.push(error.clone());
        }
        outcome
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Error> {
        self.0.iter()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|error| error.field() == Some(name))
    }

    /// The first fault, if there is one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.first_except(|_| false)
    }

    /// The first fault that does not matter any less for another value that is set.
    pub(crate) fn first_except(&self, overridden: impl Fn(&str) -> bool) -> Result<(), Error> {
        let matters = |fault: &&Error| !fault.field().is_some_and(&overridden);
        self.0.iter().find(matters).cloned().map_or(Ok(()), Err)
    }
}
