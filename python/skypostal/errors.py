"""The exceptions. Every error is a ``SkyPostalError`` and says if the customer was changed."""

from __future__ import annotations

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar

    from ._types import _Delivery, _Kind


class SkyPostalError(Exception):
    """An update did not succeed.

    Its text is one line with the chain of causes. It holds no key, and no personal data but what
    may be in the service's own words for a refusal. No program needs to read that text: each
    fact in it is an attribute too.
    """

    kind: ClassVar[_Kind] = "internal"
    """The kind of error, one word for each class, which is never renamed. ``Attempt.error`` has the
    same words."""
    message: str
    """The text without the delivery and the attempts that ``str(error)`` ends with."""
    delivery: _Delivery
    """Was the customer changed?

    - ``"not_sent"``: nothing of the update reached the service.
    - ``"rejected"``: the service responded that it did not make the change.
    - ``"unknown"``: it may have been made; sending the same update again is harmless.
    """
    attempts: int
    """The number of attempts that were started; 0 if nothing was tried."""
    response_headers: dict[str, str]
    """The headers of the response that help SkyPostal to find the call in its logs: ``date``,
    ``server``, ``via`` and the IDs that gateways give to a request, such as ``x-request-id``.
    By their lower-case names; keys are redacted. Empty if no response came."""

    def __init__(
        self, message: str = "", *, delivery: _Delivery = "unknown", attempts: int = 0
    ) -> None:
        super().__init__(message)
        self.message = message
        self.delivery = delivery
        self.attempts = attempts
        self.response_headers = {}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SkyPostalError) or type(other) is not type(self):
            return NotImplemented
        return (self.args, self.__dict__) == (other.args, other.__dict__)

    def __hash__(self) -> int:
        return hash((type(self), self.args))


class ValidationError(SkyPostalError, ValueError):
    """A field of the update is missing, malformed or out of range. Nothing was sent."""

    kind: ClassVar[_Kind] = "invalid_field"
    field: str | None
    """The field's name, as the service names it."""

    def __init__(
        self,
        message: str = "",
        *,
        field: str | None = None,
        delivery: _Delivery = "not_sent",
        attempts: int = 0,
    ) -> None:
        super().__init__(message, delivery=delivery, attempts=attempts)
        self.field = field


class ConfigurationError(SkyPostalError, ValueError):
    """An option is missing or unusable: credentials, URL, timeout, CA file, proxy."""

    kind: ClassVar[_Kind] = "configuration"
    option: str | None
    """The name of the option, as ``Client`` names it. Of a credential it is the field's name, and
    of a proxy or certificates that a variable names it is the variable. It may also be an argument
    that is out of range, or ``"client"`` if that is closed."""

    def __init__(
        self,
        message: str = "",
        *,
        option: str | None = None,
        delivery: _Delivery = "unknown",
        attempts: int = 0,
    ) -> None:
        super().__init__(message, delivery=delivery, attempts=attempts)
        self.option = option


class ConnectError(SkyPostalError, ConnectionError):
    """No connection: name look-up, refusal, ``connect_timeout``, or the proxy."""

    kind: ClassVar[_Kind] = "connect"


class TlsError(ConnectError):
    """No secure connection: the handshake failed, or the certificate is not trusted."""

    kind: ClassVar[_Kind] = "tls"


class ConnectionLostError(SkyPostalError, ConnectionError):
    """The connection ended before a whole response had come."""

    kind: ClassVar[_Kind] = "lost"


class RequestTimeoutError(SkyPostalError, TimeoutError):
    """The deadline of the whole call passed."""

    kind: ClassVar[_Kind] = "timeout"


class StatusError(SkyPostalError):
    """The HTTP status was not 2xx."""

    kind: ClassVar[_Kind] = "status"
    status: int
    """The HTTP status."""
    body: str
    """An excerpt of the response; keys are redacted, personal data is not."""
    retry_after: float | None
    """The seconds that the service asked to wait, if it did."""

    def __init__(
        self,
        message: str = "",
        *,
        status: int = 0,
        body: str = "",
        retry_after: float | None = None,
        delivery: _Delivery = "unknown",
        attempts: int = 0,
    ) -> None:
        super().__init__(message, delivery=delivery, attempts=attempts)
        self.status = status
        self.body = body
        self.retry_after = retry_after


class RefusedError(SkyPostalError):
    """The service said no: wrong credentials, an unknown customer, a value it does not take.

    Or it reported an error of its own, and may have made the change all the same: ``delivery`` is
    ``"unknown"`` then.
    """

    kind: ClassVar[_Kind] = "refused"
    description: str
    """The service's own words; keys are redacted."""
    location: str
    """Where in the service, in its own words."""
    system_error: bool
    """True if the service calls it an error of its own system; ``delivery`` is then
    ``"unknown"``."""

    def __init__(
        self,
        message: str = "",
        *,
        description: str = "",
        location: str = "",
        system_error: bool = False,
        delivery: _Delivery | None = None,
        attempts: int = 0,
    ) -> None:
        if delivery is None:
            delivery = "unknown" if system_error else "rejected"
        super().__init__(message, delivery=delivery, attempts=attempts)
        self.description = description
        self.location = location
        self.system_error = system_error


class ResponseError(SkyPostalError):
    """A 2xx response that is not in the documented form, or is compressed although no request
    accepts that."""

    kind: ClassVar[_Kind] = "response"
    body: str
    """An excerpt of the response; keys are redacted, personal data is not."""

    def __init__(
        self,
        message: str = "",
        *,
        body: str = "",
        delivery: _Delivery = "unknown",
        attempts: int = 0,
    ) -> None:
        super().__init__(message, delivery=delivery, attempts=attempts)
        self.body = body


class InternalError(SkyPostalError):
    """A bug of this library; please report it."""

    kind: ClassVar[_Kind] = "internal"
