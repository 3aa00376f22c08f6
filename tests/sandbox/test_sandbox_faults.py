"""Faults that a test asks the sandbox for."""

from __future__ import annotations

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from sandbox_requests import WHO, body_of, dial, raw_body, request_bytes, send, update

from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, PATH, Sandbox

NEW: Any = {"customer_first_name": "New Name"}


def first_name(sandbox: Sandbox) -> object:
    return sandbox.customers[BOX_ID]["customer_first_name"]


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    ("script", "status"),
    [
        (lambda sandbox, **options: sandbox.fail_next(**options), 503),
        (lambda sandbox, **options: sandbox.fail_next(status=500, **options), 500),
        (lambda sandbox, **options: sandbox.answer_next("[]", **options), 200),
        (lambda sandbox, **options: sandbox.drop_connection(**options), None),
    ],
    ids=["fail", "500", "response", "drop"],
)
def test_a_fault_says_whether_the_update_is_made(
    sandbox: Sandbox, script: Any, status: int | None, applied: bool
) -> None:
    script(sandbox, applied=applied)
    assert len(sandbox.pending_faults) == 1
    if status is None:
        with pytest.raises(http.client.RemoteDisconnected):
            send(sandbox, body_of(**NEW))
    else:
        assert send(sandbox, body_of(**NEW))[0].status == status
    (request,) = sandbox.requests
    assert (request.status, request.applied) == (status, applied)
    assert first_name(sandbox) == ("New Name" if applied else "Old Name")
    assert sandbox.pending_faults == []
    assert update(sandbox, body_of())["_verify"] is True


def test_what_would_be_refused_is_not_applied(sandbox: Sandbox) -> None:
    for body in (body_of(**NEW, customer_key="wrong-secret"), raw_body('"a":1,"a":2')):
        sandbox.fail_next(applied=True)
        assert send(sandbox, body)[0].status == 503
    assert [request.applied for request in sandbox.requests] == [False, False]
    assert first_name(sandbox) == "Old Name"


def test_a_failure_is_as_scripted(sandbox: Sandbox) -> None:
    sandbox.fail_next()
    response, page = send(sandbox, body_of())
    assert (response.status, response.reason) == (503, "Service Unavailable")
    assert response.headers["Retry-After"] is None and b"See server logs" in page
    sandbox.fail_next(status=429, retry_after=0, body="naïve")
    response, page = send(sandbox, body_of())
    assert (response.status, response.headers["Retry-After"]) == (429, "0")
    assert page == "naïve".encode()
    sandbox.fail_next(status=499, body=b"")
    response, page = send(sandbox, body_of())
    assert (response.status, page, response.headers["Content-Type"]) == (499, b"", None)


def test_a_refusal_is_as_scripted(sandbox: Sandbox) -> None:
    sandbox.refuse_next()
    refusal = update(sandbox, body_of(**NEW))
    assert refusal["_verify"] is False and refusal["error"]["error_description"]
    sandbox.refuse_next(description="No, ñ", location="here", system_error=True)
    response, body = send(sandbox, body_of(**NEW))
    assert (response.status, json.loads(body)[0]["error"]) == (
        200,
        {"error_description": "No, ñ", "error_location": "here", "system_error": True},
    )
    assert first_name(sandbox) == "Old Name"
    sandbox.refuse_next(system_error=True, applied=True)
    assert update(sandbox, body_of(**NEW))["_verify"] is False
    assert first_name(sandbox) == "New Name" and sandbox.requests[-1].applied


@pytest.mark.parametrize("body", ["", "null", "[{\ud83d", b"\xff\x00"])
def test_a_response_is_as_scripted(sandbox: Sandbox, body: str | bytes) -> None:
    sandbox.answer_next(body)
    response, content = send(sandbox, body_of())
    expected = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    assert (response.status, content) == (200, expected)


def test_a_delay_comes_after_the_update(sandbox: Sandbox) -> None:
    sandbox.delay(0.2)
    sandbox.fail_next(delay=0.2)
    with ThreadPoolExecutor(1) as thread:
        begin = time.monotonic()
        response = thread.submit(update, sandbox, body_of(**NEW))
        while not sandbox.requests:
            time.sleep(0.001)
        assert first_name(sandbox) == "New Name" and not response.done()
        assert response.result()["_verify"] is True
        assert 0.2 <= time.monotonic() - begin < 5
    begin = time.monotonic()
    assert send(sandbox, body_of())[0].status == 503
    assert 0.2 <= time.monotonic() - begin < 5


def test_close_does_not_wait_for_a_delay() -> None:
    with Sandbox() as sandbox, dial(sandbox) as connection:
        sandbox.delay(60)
        body = body_of(**NEW)
        connection.sendall(request_bytes(body, f"Content-Length: {len(body)}"))
        while not sandbox.requests:
            time.sleep(0.001)
        begin = time.monotonic()
        sandbox.close()
        assert time.monotonic() - begin < 2


def test_faults_queue_up_and_what_is_no_update_takes_none(sandbox: Sandbox) -> None:
    sandbox.fail_next(status=502, times=2)
    sandbox.refuse_next()
    sandbox.drop_connection()
    sandbox.delay(0)
    sandbox.answer_next("x")
    assert sandbox.pending_faults == [
        "fail_next(status=502)",
        "fail_next(status=502)",
        "refuse_next()",
        "drop_connection()",
        "delay(0)",
        "answer_next()",
    ]
    send(sandbox, None, method="GET")
    send(sandbox, body_of(), path="/x")
    send(sandbox, b" " * 65_537)
    assert len(sandbox.pending_faults) == 6
    assert [send(sandbox, body_of())[0].status for _ in range(3)] == [502, 502, 200]
    with pytest.raises(http.client.RemoteDisconnected):
        send(sandbox, body_of())
    assert sandbox.pending_faults == ["delay(0)", "answer_next()"]
    sandbox.clear_faults()
    assert sandbox.pending_faults == []
    assert update(sandbox, body_of())["_verify"] is True


def test_each_of_many_threads_takes_its_own_fault(sandbox: Sandbox) -> None:
    sandbox.fail_next(times=40)
    with ThreadPoolExecutor(8) as threads:
        responses = threads.map(lambda _: send(sandbox, body_of())[0].status, range(60))
        assert sorted(responses) == [200] * 20 + [503] * 40


@pytest.mark.parametrize(
    ("method", "options", "name"),
    [
        ("fail_next", {"status": 200}, "status"),
        ("fail_next", {"status": 600}, "status"),
        ("fail_next", {"status": "503"}, "status"),
        ("fail_next", {"status": True}, "status"),
        ("fail_next", {"retry_after": -1}, "retry_after"),
        ("fail_next", {"retry_after": 0.5}, "retry_after"),
        ("fail_next", {"body": {}}, "body"),
        ("fail_next", {"times": 0}, "times"),
        ("refuse_next", {"times": 1.0}, "times"),
        ("refuse_next", {"applied": True}, "applied"),
        ("answer_next", {"body": None}, "body"),
        ("drop_connection", {"delay": -1}, "delay"),
        ("drop_connection", {"delay": float("nan")}, "delay"),
        ("delay", {"seconds": float("inf")}, "seconds"),
        ("delay", {"seconds": "1"}, "seconds"),
    ],
)
def test_an_impossible_fault_is_named(
    sandbox: Sandbox, method: str, options: dict[str, Any], name: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        getattr(sandbox, method)(**options)
    assert sandbox.pending_faults == []


def test_a_request_tells_what_was_to_change(sandbox: Sandbox) -> None:
    send(sandbox, raw_body('"customer_first_name":"Ana","customer_tax_number":1.50'))
    send(sandbox, b"[]")
    first, second = sandbox.requests
    assert first.json() == {**WHO, **first.changes}
    assert first.changes == {"customer_first_name": "Ana", "customer_tax_number": Decimal("1.50")}
    assert str(first.changes["customer_tax_number"]) == "1.50"
    assert not any(secret in repr(first) for secret in (APP_KEY, CUSTOMER_KEY, "Ana"))
    with pytest.raises(ValueError, match="body: must be a JSON object"):
        second.json()


def test_the_log_tells_of_faults() -> None:
    lines: list[str] = []
    with Sandbox(log=lines.append) as sandbox:
        sandbox.fail_next(applied=True)
        send(sandbox, body_of(**NEW))
        sandbox.drop_connection()
        with pytest.raises(http.client.RemoteDisconnected):
            send(sandbox, body_of(**NEW))
    assert [line.partition(" ")[2] for line in lines] == [
        f"POST {PATH} 503 accepted, fail_next(status=503)",
        f"POST {PATH} - not applied, drop_connection()",
    ]
