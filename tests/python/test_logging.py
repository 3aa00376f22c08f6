"""What is reported of each attempt: through ``logging``, and through the hook ``on_attempt``."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fault_server import GOOD, GOOD_BODY, FaultServer, Script, close, hang, read, response, send

import skypostal
from skypostal import Attempt, Client
from skypostal.sandbox import APP_KEY, CUSTOMER_KEY, USER_CODE

WHO: Any = {"customer_box_id": 811111, "customer_key": CUSTOMER_KEY}
WORDS = f"the service's words of Jane {APP_KEY}"
BUSY = [read, send(response(WORDS.encode(), "503 Busy", "Retry-After: 0"))]
LOST = [read, close]
REFUSED_BODY = b'[{"_verify":false,"error":{"error_description":"%s"}}]' % WORDS.encode()
REFUSED = [read, send(response(REFUSED_BODY))]


def client_of(server: FaultServer, **options: Any) -> Client:
    return Client(user_code=USER_CODE, app_key=APP_KEY, base_url=server.url, **options)


@pytest.fixture
def troubled() -> Iterator[FaultServer]:
    """A server that is busy, then loses the connection, then responds."""
    with FaultServer([BUSY, LOST, GOOD]) as server:
        yield server


def test_headers_that_find_a_call_are_reported() -> None:
    heads = [
        "Server: IIS",
        f"X-Request-Id: 7 {APP_KEY}",
        "Via: 1.1 a",
        "Via: 1.1 b",
        "Set-Cookie: c=d",
    ]
    shown = {"server": "IIS", "x-request-id": "7 ***", "via": "1.1 a, 1.1 b"}
    busy = [read, send(response(b"busy", "500 Oops", *heads))]
    refused = [read, send(response(REFUSED_BODY, "200 OK", *heads))]
    good = [read, send(response(GOOD_BODY, "200 OK", *heads))]
    login = [read, send(response(b"", "407 No", *heads))]
    endless = [read, send(response(b"x" * 2_000_000, "200 OK", *heads))]
    with FaultServer([busy, refused, LOST, login, endless, good]) as server:
        reported: list[Attempt] = []
        client = client_of(server, on_attempt=reported.append, max_retries=0)
        for found in (shown, shown, {}, shown, shown):
            with pytest.raises(skypostal.SkyPostalError) as caught:
                client.update_personal_info(**WHO)
            assert caught.value.response_headers == found
            assert APP_KEY not in repr(vars(caught.value))
        client.update_personal_info(**WHO)
    assert [attempt.response_headers for attempt in reported] == [
        *[shown, shown, {}, shown],
        *[shown, shown],
    ]
    assert skypostal.StatusError("made by a test").response_headers == {}


def test_each_attempt_is_reported_when_it_has_ended(troubled: FaultServer) -> None:
    reported: list[tuple[Attempt, float, int]] = []

    def hook(attempt: Attempt) -> None:
        reported.append((attempt, time.time(), threading.get_ident()))

    client = client_of(troubled, on_attempt=hook)
    before = time.time()
    client.update_personal_info(**WHO, customer_first_name="Jane")
    busy, lost, good = [attempt for attempt, _, _ in reported]
    host = troubled.url.removeprefix("http://")
    for number, attempt in enumerate((busy, lost, good), 1):
        assert (attempt.number, attempt.method, attempt.host) == (number, "POST", host)
        assert attempt.url.startswith(f"{troubled.url}/wcf-services/")
        assert attempt.request_bytes > 100
    assert (busy.status, busy.error, busy.response_bytes) == (503, "status", len(WORDS))
    assert (busy.reason, busy.retry_in) == ("the service responded with HTTP 503", 0)
    assert (lost.status, lost.error, lost.response_bytes) == (None, "lost", 0)
    assert "was lost" in str(lost.reason)
    assert (good.status, good.error, good.reason) == (200, None, None)
    assert (good.response_bytes, good.retry_in) == (len(GOOD_BODY), None)

    times = [before]
    for attempt, at, thread in reported:
        times += [attempt.started, attempt.started + attempt.elapsed, at]
        assert thread == threading.get_ident()
    assert all(earlier - 0.005 <= later for earlier, later in zip(times, times[1:]))
    # It is reported before the wait.
    assert lost.retry_in is not None and reported[1][1] + lost.retry_in <= good.started + 0.005


def test_an_attempt_is_immutable_and_shows_what_matters(troubled: FaultServer) -> None:
    reported: list[Attempt] = []
    client_of(troubled, on_attempt=reported.append).update_personal_info(**WHO)
    assert re.fullmatch(
        r"Attempt\(number=1, method='POST', host='127\.0\.0\.1:\d+', status=503, elapsed=0\.\d+, "
        r"error='status', retry_in=0\.0\)",
        repr(reported[0]),
    )
    assert reported[0] == reported[0] != reported[1] and reported[0] != object()
    with pytest.raises(AttributeError):
        reported[0].number = 5  # type: ignore[misc]
    with pytest.raises(TypeError):
        Attempt()


def test_every_end_of_a_call_is_reported() -> None:
    reported: list[Attempt] = []
    ends: list[tuple[Script, type[Exception], str, int | None]] = [
        ([read, hang], skypostal.RequestTimeoutError, "timeout", None),
        (REFUSED, skypostal.RefusedError, "refused", 200),
        ([read, send(response(b"[]"))], skypostal.ResponseError, "response", 200),
    ]
    for script, ending, error, status in ends:
        with FaultServer([script]) as server, pytest.raises(ending):
            client_of(server, on_attempt=reported.append).update_personal_info(**WHO, timeout=0.3)
        attempt = reported.pop()
        assert (attempt.number, attempt.error, attempt.status) == (1, error, status)
        assert attempt.retry_in is None and not reported
    with pytest.raises(skypostal.ValidationError):
        Client(on_attempt=reported.append, user_code=1, app_key="k").update_personal_info()
    assert not reported, "nothing was tried"


def test_a_hook_may_call_and_may_fail(
    troubled: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraisable: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    inner: list[object] = []

    def hook(attempt: Attempt) -> None:
        with FaultServer([]) as other:
            inner.append(client_of(other).update_personal_info(**WHO).cust_id)
        raise LookupError("of a test")

    info = client_of(troubled, on_attempt=hook).update_personal_info(**WHO)
    assert info.cust_id == 51736835 and inner == [51736835] * 3
    assert [str(one.exc_value) for one in unraisable] == ["of a test"] * 3


@pytest.mark.parametrize("ending", [KeyboardInterrupt, SystemExit])
def test_what_is_no_exception_ends_the_call(
    troubled: FaultServer, ending: type[BaseException]
) -> None:
    def hook(attempt: Attempt) -> None:
        raise ending

    with pytest.raises(ending):
        client_of(troubled, on_attempt=hook).update_personal_info(**WHO)
    assert troubled.requests == 1


def test_a_line_for_each_attempt_and_one_for_each_retry(
    troubled: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "skypostal")
    client_of(troubled).update_personal_info(**WHO, customer_first_name="Jane")
    lines = [(r.name, r.levelname, r.getMessage()) for r in caplog.records]
    host = re.escape(troubled.url[7:])
    expected = [
        (
            "DEBUG",
            rf"POST {host}: 503 in \d+\.\d ms \(attempt 1, request \d+ bytes, response \d+\)",
        ),
        (
            "WARNING",
            rf"POST {host}: attempt 1 failed, another follows in 0\.00 s: "
            "the service responded with HTTP 503",
        ),
        (
            "DEBUG",
            rf"POST {host}: lost error in \d+\.\d ms \(attempt 2, request \d+ .* response 0\)",
        ),
        (
            "WARNING",
            rf"POST {host}: attempt 2 failed, another follows in 0\.\d\d s: .* was lost .*",
        ),
        ("DEBUG", rf"POST {host}: 200 in \d+\.\d ms \(attempt 3, request .*, response \d+\)"),
    ]
    assert len(lines) == len(expected)
    for (name, level, message), (expected_level, form) in zip(lines, expected):
        assert (name, level) == ("skypostal", expected_level)
        assert re.fullmatch(form, message), message


def test_above_debug_retries_alone_are_logged(
    troubled: FaultServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "skypostal")
    client_of(troubled).update_personal_info(**WHO)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_no_key_no_body_and_no_personal_datum_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    reported: list[Attempt] = []
    with FaultServer([BUSY, LOST, REFUSED]) as server, pytest.raises(skypostal.RefusedError):
        client_of(server, on_attempt=reported.append).update_personal_info(
            **WHO, customer_first_name="Jane", customer_birth_date="1980-08-19"
        )
    names = [name for name in dir(Attempt) if not name.startswith("_")]
    shown = caplog.text + repr([[getattr(attempt, name) for name in names] for attempt in reported])
    assert len(reported) == 3 and "refused" in shown
    for secret in (APP_KEY, CUSTOMER_KEY, "Jane", "1980", "words", "811111"):
        assert secret not in shown


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )


CALL = """
import sys
{before}
import skypostal
client = skypostal.Client(user_code=1, app_key="k", base_url=sys.argv[1])
client.update_personal_info(customer_box_id=1, customer_key="k")
{after}
"""


def test_logging_is_not_imported_unless_the_application_does(troubled: FaultServer) -> None:
    done = python(CALL.format(before="", after="print('logging' in sys.modules)"), troubled.url)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_an_application_that_sets_up_no_logging_sees_none(troubled: FaultServer) -> None:
    done = python(CALL.format(before="import logging", after=""), troubled.url)
    assert (done.stdout, done.stderr, troubled.requests) == ("", "", 3)


@pytest.mark.parametrize(
    ("level", "levels"),
    [
        ("debug", ["DEBUG", "WARNING", "DEBUG", "WARNING", "DEBUG"]),
        ("INFO", ["WARNING", "WARNING"]),
        ("warning", ["WARNING", "WARNING"]),
        ("", []),
    ],
)
def test_a_variable_turns_it_on(troubled: FaultServer, level: str, levels: list[str]) -> None:
    done = python(CALL.format(before="", after=""), troubled.url, SKYPOSTAL_LOG=level)
    lines = done.stderr.splitlines()
    assert [line.split()[3] for line in lines] == levels and done.stdout == ""
    assert all(line.split()[2] == "skypostal" for line in lines)


def test_the_variable_leaves_an_applications_own_handlers_alone(troubled: FaultServer) -> None:
    before = "import logging; logging.basicConfig(format='own %(levelname)s')"
    done = python(CALL.format(before=before, after=""), troubled.url, SKYPOSTAL_LOG="warning")
    assert done.stderr == "own WARNING\nown WARNING\n"


def test_nor_does_it_repeat_what_a_handler_of_this_logger_shows(troubled: FaultServer) -> None:
    before = (
        "import logging, skypostal, sys;"
        "logging.getLogger('skypostal').addHandler(logging.StreamHandler(sys.stdout))"
    )
    done = python(CALL.format(before=before, after=""), troubled.url, SKYPOSTAL_LOG="warning")
    assert (done.stdout.count("another follows"), done.stderr) == (2, "")


def test_a_bad_level_is_reported_and_harms_nothing(troubled: FaultServer) -> None:
    done = python(CALL.format(before="", after="print(5)"), troubled.url, SKYPOSTAL_LOG="loud")
    assert 'SKYPOSTAL_LOG: must be "debug", "info" or "warning"' in done.stderr
    assert done.stdout == "5\n" and done.stderr.count("\n") <= 2
