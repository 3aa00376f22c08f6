//! The errors, in one vocabulary for all languages.

use std::borrow::Cow;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use crate::environment::Source;

/// The kind of an error.
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
    /// The connection ended before the whole response was received.
    Lost,
    /// The deadline of the whole call passed.
    Timeout,
    /// The HTTP status was not 2xx.
    Status,
    /// The service refused the update, or reported an error. [`Error::delivery`] says whether the
    /// change may still have been made.
    Refused,
    /// The response is not in the documented form.
    Response,
    /// The caller ended the call.
    Cancelled,
    /// A bug of this library: please report it.
    Internal,
}

impl Kind {
    /// Returns the name: `"invalid_field"`, `"configuration"`, `"connect"` and so on.
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

/// The effect of a failed call on the customer.
///
/// Ordered by uncertainty: the greatest delivery of all attempts is the one of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// Nothing of the update reached the service.
    NotSent = 1,
    /// The service responded that it did not make the change.
    Rejected = 2,
    /// The update may have been applied. Sending it again is harmless: it leaves the same record.
    Unknown = 3,
}

impl Delivery {
    /// Returns the name: `"not_sent"`, `"rejected"` or `"unknown"`.
    pub fn as_str(self) -> &'static str {
        match self {
            Delivery::NotSent => "not_sent",
            Delivery::Rejected => "rejected",
            Delivery::Unknown => "unknown",
        }
    }
}

/// The cause of a failed connection, where it decides on a retry or on the advice of
/// `skypostal doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectCause {
    UnknownIssuer,
    OtherHost,
    OutsideValidity,
    OtherCertificateProblem,
    NotTls,
    Refused,
    NoDescriptor,
    NoThread,
    LoginWanted,
}

impl ConnectCause {
    #[cfg(feature = "python")]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            ConnectCause::UnknownIssuer => "unknown_issuer",
            ConnectCause::OtherHost => "other_host",
            ConnectCause::OutsideValidity => "outside_validity",
            ConnectCause::OtherCertificateProblem => "other_certificate_problem",
            ConnectCause::NotTls => "not_tls",
            ConnectCause::Refused => "refused",
            ConnectCause::NoDescriptor => "no_descriptor",
            ConnectCause::NoThread => "no_thread",
            ConnectCause::LoginWanted => "login_wanted",
        }
    }
}

/// The reason why an update did not succeed, and whether it may have reached the service.
///
/// Its text is one line with the chain of causes. It holds no key and no value of a field, except
/// the service's own words in a refusal, where keys of four characters or more are redacted.
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
    option: Option<&'static str>,
    /// The environment variable that the value came from.
    variable: Option<&'static str>,
    status: Option<u16>,
    retry_after: Option<Duration>,
    response_headers: Vec<(String, String)>,
    body: Option<String>,
    description: Option<String>,
    location: Option<String>,
    system_error: bool,
    connect_cause: Option<ConnectCause>,
    /// True if the connection failed at the proxy.
    at_proxy: bool,
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
            option: None,
            variable: None,
            status: None,
            retry_after: None,
            response_headers: Vec::new(),
            body: None,
            description: None,
            location: None,
            system_error: false,
            connect_cause: None,
            at_proxy: false,
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
        Error::configuration_of(option, option, problem)
    }

    /// Returns the error of an option whose variable stands at the front of the message.
    pub(crate) fn unusable_variable(
        variable: &'static str,
        option: &'static str,
        problem: impl fmt::Display,
    ) -> Self {
        let mut error = Error::configuration_of(variable, option, problem);
        error.0.variable = Some(variable);
        error
    }

    fn configuration_of(
        name: &'static str,
        option: &'static str,
        problem: impl fmt::Display,
    ) -> Self {
        let message = format!("{name}: {problem}");
        let mut error =
            Error::new(Kind::Configuration, Delivery::NotSent, message).with_field(name);
        error.0.option = Some(option);
        error
    }

    /// Runs `work` for another language or thread, which no panic may enter: it becomes an error.
    pub(crate) fn catch_panic<T, E: From<Error>>(
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        panic::catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<&str>().copied();
            let message = message.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(Error::internal(message.unwrap_or("a panic")).into())
        })
    }

    /// An internal error (a bug).
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
            401 | 403 => "; check the credentials, and the proxies and firewalls on the way",
            _ => "",
        };
        let message = format!("the service responded with HTTP {status}{advice}");
        let mut error = Error::new(Kind::Status, delivery, message);
        error.0.status = Some(status);
        error.0.retry_after = retry_after;
        error.0.body = Some(body);
        error
    }

    /// `verified` is the service's `_verify`. Only a refusal without `system_error` says that the
    /// change was not made: any other error may have come after the change.
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
            format!("the response is not in the documented form: {problem}"),
        );
        error.0.body = Some(body);
        error
    }

    /// Returns this error as the reason to stop a bulk after so many rows. It is of the kind `Connect`
    /// or `Tls`, also where each row waited for its connection until its timeout.
    pub(crate) fn stopping_bulk(&self, rows: u32) -> Self {
        let mut error = self.clone();
        error.0.attempts = 0;
        if error.0.kind != Kind::Tls {
            error.0.kind = Kind::Connect;
        }
        error.0.message =
            format!("stopped after {rows} consecutive rows that found no connection: {self}");
        error
    }

    fn with_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Names the variable that the value came from, or the system's settings.
    pub(crate) fn read_from(mut self, source: Source) -> Self {
        if source == Source::System {
            self.0.message = format!("{} (read from the system's settings)", self.0.message);
        }
        if let Some(variable) = source.variable() {
            self.0.message = format!("{} (read from {variable})", self.0.message);
            self.0.variable = Some(variable);
        }
        self
    }

    pub(crate) fn with_connect_cause(mut self, cause: Option<ConnectCause>) -> Self {
        self.0.connect_cause = cause;
        self
    }

    pub(crate) fn with_response_headers(mut self, headers: Vec<(String, String)>) -> Self {
        self.0.response_headers = headers;
        self
    }

    /// Says that the connection failed at the proxy, not at the service.
    pub(crate) fn at_proxy(mut self) -> Self {
        self.0.at_proxy = true;
        self
    }

    /// Sets the number of attempts, and raises the delivery to that of the earlier ones.
    pub(crate) fn with_attempts(mut self, attempts: u32, delivery: Delivery) -> Self {
        self.0.attempts = attempts;
        self.0.delivery = self.0.delivery.max(delivery);
        self
    }

    /// Returns the error of an exchange that sends no update.
    pub(crate) fn of_no_update(mut self) -> Self {
        self.0.delivery = Delivery::NotSent;
        self
    }

    #[cfg(feature = "python")]
    pub(crate) fn connect_cause(&self) -> Option<ConnectCause> {
        self.0.connect_cause
    }

    #[cfg(feature = "python")]
    pub(crate) fn is_at_proxy(&self) -> bool {
        self.0.at_proxy
    }

    /// Returns whether the proxy wants another login. To send one again could lock the account.
    pub(crate) fn is_about_login(&self) -> bool {
        self.0.connect_cause == Some(ConnectCause::LoginWanted)
    }

    /// Returns whether the process had no descriptor left for a connection.
    pub(crate) fn lacks_descriptor(&self) -> bool {
        self.0.connect_cause == Some(ConnectCause::NoDescriptor)
    }

    /// Returns whether the check of the server's certificate failed, which it would again.
    pub(crate) fn has_bad_certificate(&self) -> bool {
        use ConnectCause::*;
        matches!(
            self.0.connect_cause,
            Some(UnknownIssuer | OtherHost | OutsideValidity | OtherCertificateProblem)
        )
    }

    /// Returns the message without the service's own words.
    pub(crate) fn reason(&self) -> &str {
        self.0.reason.unwrap_or(&self.0.message)
    }

    /// Returns the message on one line: the text without the delivery and the attempts at its end.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the kind.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Returns whether the customer may have been changed.
    pub fn delivery(&self) -> Delivery {
        self.0.delivery
    }

    /// Returns the number of attempts that began; 0 if nothing was tried.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Returns the name of the invalid field, for [`Kind::InvalidField`]; for
    /// [`Kind::Configuration`] the name at the front of the message, of the unusable option or
    /// proxy variable.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }

    /// Returns the name of the unusable option, for [`Kind::Configuration`].
    pub fn option(&self) -> Option<&str> {
        self.0.option
    }

    /// Returns the name of the environment variable that the bad value came from, if it came from
    /// one; for [`Kind::InvalidField`] and [`Kind::Configuration`].
    pub fn variable(&self) -> Option<&str> {
        self.0.variable
    }

    /// Returns the HTTP status, for [`Kind::Status`].
    pub fn http_status(&self) -> Option<u16> {
        self.0.status
    }

    /// Returns the time that the service asked to wait, for [`Kind::Status`].
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns the headers of the response that help to find the call in the logs of others, for a
    /// question to SkyPostal: `date`, `server`, `via` and the IDs that gateways give to a request,
    /// such as `x-request-id`. At most 16, of 256 characters each; keys are redacted. Empty if no
    /// response came.
    pub fn response_headers(&self) -> &[(String, String)] {
        &self.0.response_headers
    }

    /// Returns an excerpt of the response, of about 1 KiB at most, for [`Kind::Status`] and
    /// [`Kind::Response`]; keys are redacted.
    pub fn body(&self) -> Option<&str> {
        self.0.body.as_deref()
    }

    /// Returns the service's own words, for [`Kind::Refused`]; keys are redacted.
    pub fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// Returns the place in the service, in its own words, for [`Kind::Refused`].
    pub fn location(&self) -> Option<&str> {
        self.0.location.as_deref()
    }

    /// Returns whether the service called the refusal a system error.
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

/// The errors of setters, remembered until the same name gets a good value: a caller that ignores
/// what a setter returns still gets the error before anything is sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeferredErrors(Vec<Error>);

impl DeferredErrors {
    /// Remembers the error of this name, or forgets it if the outcome is good.
    pub(crate) fn record<T>(&mut self, name: &str, outcome: Result<T, Error>) -> Result<T, Error> {
        self.0.retain(|error| error.field() != Some(name));
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

    /// Returns the first error, if there is one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.first_except(|_| false)
    }

    /// Returns the first error of a name that is not overridden.
    pub(crate) fn first_except(&self, overridden: impl Fn(&str) -> bool) -> Result<(), Error> {
        let matters = |error: &&Error| !error.field().is_some_and(&overridden);
        self.0.iter().find(matters).cloned().map_or(Ok(()), Err)
    }
}
