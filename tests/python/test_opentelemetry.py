"""Attempts as OpenTelemetry spans."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import pytest
from fault_server import FaultServer, close, read, response, send
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import skypostal
from skypostal.opentelemetry import trace_attempts
from skypostal.sandbox import APP_KEY, CUSTOMER_KEY

WHO: Any = {"customer_box_id": 811111, "customer_key": CUSTOMER_KEY}
BUSY = [read, send(response(b"", "503 Busy", "Retry-After: 0"))]
REFUSED = [read, send(response(b'[{"_verify":false,"error":{"error_description":"Jane"}}]'))]


@pytest.mark.parametrize("kind", [skypostal.Client, skypostal.AsyncClient])
def test_each_attempt_is_a_span_under_the_current_one(kind: Any) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    before = time.time_ns()

    with FaultServer([BUSY, [read, close], REFUSED]) as server:
        options: Any = {"user_code": 396, "app_key": APP_KEY, "base_url": server.url}
        client = kind(**options, on_attempt=trace_attempts(provider))

        async def update() -> None:
            with tracer.start_as_current_span("parent"):
                await client.update_personal_info(**WHO)

        with pytest.raises(skypostal.RefusedError):
            if kind is skypostal.AsyncClient:
                asyncio.run(update())
            else:
                with tracer.start_as_current_span("parent"):
                    client.update_personal_info(**WHO)

    spans: Sequence[ReadableSpan] = exporter.get_finished_spans()
    *attempts, parent = spans
    assert [span.name for span in spans] == ["POST", "POST", "POST", "parent"]
    url = urlsplit(server.url)
    every = {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": url.port,
        "url.full": server.url
        + "/wcf-services/service-customer.svc/customer/customer-update-personal-info",
    }
    responded = {**every, "network.protocol.version": "1.1"}
    assert [dict(span.attributes or {}) for span in attempts] == [
        {**responded, "http.response.status_code": 503, "error.type": "503"},
        {**every, "http.request.resend_count": 1, "error.type": "lost"},
        {
            **responded,
            "http.response.status_code": 200,
            "http.request.resend_count": 2,
            "error.type": "refused",
        },
    ]
    moments = [before]
    for span in attempts:
        assert span.kind is SpanKind.CLIENT and span.status.status_code is StatusCode.ERROR
        assert span.parent is not None and span.parent.span_id == parent.context.span_id
        assert span.start_time is not None and span.end_time is not None
        moments += [span.start_time, span.end_time]
    moments.append(time.time_ns())
    # The clock of the day may be set while it runs, by a little.
    assert all(earlier - 5_000_000 <= later for earlier, later in zip(moments, moments[1:]))
    assert "Jane" not in repr([span.to_json() for span in attempts])


def test_an_accepted_update_is_no_error() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with FaultServer([]) as server:
        client = skypostal.Client(
            user_code=396,
            app_key=APP_KEY,
            base_url=server.url,
            on_attempt=trace_attempts(provider),
        )
        client.update_personal_info(**WHO)
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.UNSET and span.parent is None
    assert "error.type" not in (span.attributes or {})


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import skypostal.opentelemetry"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.endswith("needs: pip install 'skypostal[opentelemetry]'\n")
