"""OpenTelemetry spans for attempts. Needs ``pip install 'skypostal[opentelemetry]'``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

try:
    from opentelemetry import trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ModuleNotFoundError as _missing:
    raise ModuleNotFoundError(
        "skypostal.opentelemetry needs: pip install 'skypostal[opentelemetry]'", name=_missing.name
    ) from _missing

from . import Attempt, __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.util.types import AttributeValue

__all__ = ["trace_attempts"]


def trace_attempts(
    tracer_provider: trace.TracerProvider | None = None,
) -> Callable[[Attempt], None]:
    """A hook for ``on_attempt`` of either client: makes each attempt a span.

        client = skypostal.Client(on_attempt=trace_attempts())

    A span is an HTTP client's by OpenTelemetry's stable conventions, under the span that is current
    where the call is made. An attempt that the service refused with status 200 is an error too. No
    span holds a key, personal data or the service's words. Nothing is added to the request.

    tracer_provider: the global one unless given.
    """
    tracer = trace.get_tracer(
        "skypostal",
        __version__,
        tracer_provider,
        schema_url="https://opentelemetry.io/schemas/1.23.1",
    )

    def record(attempt: Attempt) -> None:
        started = round(attempt.started * 1e9)
        span = tracer.start_span(
            attempt.method,
            kind=SpanKind.CLIENT,
            attributes=_attributes(attempt),
            start_time=started,
        )
        if attempt.error is not None:
            span.set_status(Status(StatusCode.ERROR, attempt.reason))
        span.end(started + round(attempt.elapsed * 1e9))

    return record


def _attributes(attempt: Attempt) -> dict[str, AttributeValue]:
    url = urlsplit(attempt.url)
    attributes: dict[str, AttributeValue] = {
        "http.request.method": attempt.method,
        "server.address": url.hostname or "",
        "server.port": url.port or (443 if url.scheme == "https" else 80),
        "url.full": attempt.url,
    }
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
        attributes["network.protocol.version"] = "1.1"
    if attempt.number > 1:
        attributes["http.request.resend_count"] = attempt.number - 1
    if attempt.error is not None:
        error = attempt.status if attempt.error == "status" else attempt.error
        attributes["error.type"] = str(error)
    return attributes
