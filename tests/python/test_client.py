"""The Python face, against the sandbox."""

from __future__ import annotations

import gc
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import time
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from clients import assert_documented, client_of, info_of
from documented import CUSTOMER, UPDATE
from project import ROOT

import skypostal
from skypostal import Client, ConfigurationError
from skypostal.sandbox import APP_KEY, CUSTOMER_KEY, USER_CODE, Sandbox


def test_the_documented_update(client: Client, sandbox: Sandbox) -> None:
    assert_documented(client.update_personal_info(**UPDATE))
    (request,) = sandbox.requests
    assert json.loads(request.body) == {
        "user_code": USER_CODE,
        "app_key": APP_KEY,
        **{name: value for name, value in UPDATE.items() if value is not None},
    }
    assert request.method == "POST"
    assert request.headers["content-type"] == request.headers["accept"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["user-agent"] == f"skypostal/{skypostal.__version__}"


def test_the_function_reads_the_environment_and_keeps_its_client(
    environment: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(50):
        assert_documented(skypostal.update_personal_info(**UPDATE))
    assert sandbox.connections == 1
    with Sandbox() as other:
        monkeypatch.setenv("SKYPOSTAL_BASE_URL", other.url)
        skypostal.update_personal_info(**UPDATE)
        assert other.connections == 1
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", sandbox.url)
    skypostal.update_personal_info(**UPDATE)
    assert sandbox.connections == 1


def test_a_refusal(client: Client) -> None:
    with pytest.raises(skypostal.RefusedError) as caught:
        client.update_personal_info(**CUSTOMER, app_key="wrong")
    error = caught.value
    assert (error.delivery, error.attempts, error.system_error) == ("rejected", 1, False)
    assert error.description == "user_code and app_key do not match"
    assert error.description in str(error) and error.location == "app_key"


def test_a_status(sandbox: Sandbox) -> None:
    client = client_of(f"{sandbox.url}/elsewhere/")
    with pytest.raises(skypostal.StatusError) as caught:
        client.update_personal_info(**CUSTOMER)
    error = caught.value
    assert (error.status, error.delivery, error.attempts) == (404, "rejected", 1)
    assert "<" in error.body and error.retry_after is None


def test_a_connection_that_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(skypostal.ConnectError, match=f"{address}.*refused") as caught:
        client_of(f"http://{address}").update_personal_info(**CUSTOMER)
    assert isinstance(caught.value, ConnectionError)
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 3)


@pytest.mark.parametrize(("of_client", "of_call"), [(0.1, None), (30, 0.1), (0.01, 0.1)])
def test_the_timeout_of_the_call_wins_over_the_clients(
    silent: str, of_client: float, of_call: float | None
) -> None:
    started = time.monotonic()
    with pytest.raises(skypostal.RequestTimeoutError, match=r"within 0\.1 s") as caught:
        client_of(silent, timeout=of_client).update_personal_info(**CUSTOMER, timeout=of_call)
    assert 0.1 <= time.monotonic() - started < 1
    assert isinstance(caught.value, TimeoutError)
    assert (caught.value.delivery, caught.value.attempts) == ("unknown", 1)


KEY_BYTES = (APP_KEY.encode(), CUSTOMER_KEY.encode())


def test_no_key_shows_anywhere(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = client_of(sandbox.url)
    shown = [repr(client), str(client)]
    shown.append(repr(client.update_personal_info(**UPDATE)))
    bad: list[Any] = [
        {"customer_key": "not " + CUSTOMER_KEY},
        {"customer_gender": "X"},
        {"app_key": "wrong"},
    ]
    for changes in bad:
        with pytest.raises(skypostal.SkyPostalError) as caught:
            client.update_personal_info(**{**UPDATE, **changes})
        error = caught.value
        shown += [repr(error), str(error), repr(pickle.dumps(error)), repr(vars(error))]
        shown += traceback.format_exception(type(error), error, error.__traceback__)
    with pytest.raises(skypostal.RefusedError) as refused:
        info_of(b'"error":{"error_description":"%s","error_location":"%s"}' % KEY_BYTES)
    with pytest.raises(skypostal.ResponseError) as odd:
        info_of(b'"_verify":"%s %s"' % KEY_BYTES)
    for caught_with_keys in (refused.value, odd.value):
        shown += [repr(caught_with_keys), repr(vars(caught_with_keys))]
    shown += [caplog.text, *capfd.readouterr()]
    for text in shown:
        assert APP_KEY not in text and CUSTOMER_KEY not in text


def test_a_client_is_not_pickled(client: Client) -> None:
    with pytest.raises(TypeError, match="make one in the process that uses it"):
        pickle.dumps(client)


def test_a_closed_client_says_so(client: Client, sandbox: Sandbox) -> None:
    with client as same:
        assert same is client
        same.update_personal_info(**CUSTOMER)
    client.close()
    with pytest.raises(ConfigurationError, match="client: is closed"):
        client.update_personal_info(**CUSTOMER)
    assert len(sandbox.requests) == 1


def test_a_call_in_flight_survives_close_and_its_connection_does_not(sandbox: Sandbox) -> None:
    client, descriptors = client_of(sandbox.url), len(os.listdir("/proc/self/fd"))
    sandbox.delay(0.3)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.update_personal_info, **CUSTOMER)
        while not sandbox.requests:
            time.sleep(0.01)
        client.close()
        assert not call.done() and call.result().cust_id
    deadline = time.monotonic() + 5
    while len(os.listdir("/proc/self/fd")) > descriptors:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_hook_that_belongs_to_the_clients_owner_leaks_neither() -> None:
    class Owner:
        def __init__(self, kind: Any) -> None:
            self.client = kind(on_attempt=self.hear)

        def hear(self, attempt: skypostal.Attempt) -> None: ...

    for kind in (Client, skypostal.AsyncClient):
        owner = weakref.ref(Owner(kind))
        gc.collect()
        assert owner() is None


def test_a_thousand_calls_open_one_connection() -> None:
    with Sandbox(max_requests=2000) as sandbox:
        client = client_of(sandbox.url)
        for _ in range(1000):
            client.update_personal_info(**CUSTOMER)
        assert sandbox.connections == 1


@pytest.mark.parametrize(
    ("options", "pause"),
    # Well after the server closed: as it closes, a call may be lost indeed.
    [({"max_requests": 1}, 0), ({"idle_timeout": 0.01}, 0.1)],
)
def test_a_server_that_closes_between_calls_is_no_error(options: Any, pause: float) -> None:
    with Sandbox(**options) as sandbox:
        client = client_of(sandbox.url, max_retries=0)
        for _ in range(12):
            client.update_personal_info(**CUSTOMER)
            time.sleep(pause)
        assert sandbox.connections == 12


def test_each_thread_of_a_client_gets_its_own_responses(client: Client, sandbox: Sandbox) -> None:
    for number in range(8):
        sandbox.customers.add(customer_box_id=number + 1, customer_key=f"key {number}")

    def update(number: int) -> None:
        for turn in range(25):
            name = f"thread {number}, turn {turn}"
            info = client.update_personal_info(
                customer_box_id=number + 1, customer_key=f"key {number}", customer_first_name=name
            )
            assert info.customer_first_name == name

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(update, range(8)))
    assert len(sandbox.requests) == 200


def test_other_threads_go_on_while_a_call_waits(client: Client, sandbox: Sandbox) -> None:
    counted = 0
    sandbox.delay(0.3)
    with ThreadPoolExecutor(1) as thread:
        response = thread.submit(client.update_personal_info, **CUSTOMER)
        while not response.done():
            counted += 1
    assert response.result().cust_id == 51736835
    assert counted > 10_000


def test_a_forked_child_has_connections_of_its_own(sandbox: Sandbox) -> None:
    code = f"""
import os, skypostal
client = skypostal.Client(user_code={USER_CODE}, app_key="{APP_KEY}", base_url="{sandbox.url}")
update = lambda: client.update_personal_info(**{CUSTOMER!r})
update()
child = os.fork()
if child == 0:
    update()
    update()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
update()
"""
    python(code)
    assert [request.connection for request in sandbox.requests] == [1, 2, 2, 1]


def python(code: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT / "tests",
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_importing_starts_nothing() -> None:
    code = """
import os, sys, threading
before = set(os.listdir("/proc/self/fd"))
import skypostal
print(len(os.listdir("/proc/self/task")), set(os.listdir("/proc/self/fd")) - before)
print(sorted(m for m in ("asyncio", "json", "skypostal.sandbox", "socket") if m in sys.modules))
"""
    assert python(code) == "1 set()\n[]\n"


def test_importing_is_quick() -> None:
    # Of the processor, which does not count what else the machine does.
    code = "import time; t = time.process_time(); import skypostal; print(time.process_time() - t)"
    assert min(float(python(code)) for _ in range(5)) < 0.015


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Caracas", "<-12>12"])
def test_a_date_does_not_depend_on_the_time_zone(sandbox: Sandbox, zone: str) -> None:
    code = f"import skypostal; print(skypostal.update_personal_info(**{UPDATE!r}).to_dict())"
    shown = python(
        code,
        TZ=zone,
        SKYPOSTAL_BASE_URL=sandbox.url,
        SKYPOSTAL_USER_CODE=str(USER_CODE),
        SKYPOSTAL_APP_KEY=APP_KEY,
    )
    assert "datetime.date(1980, 8, 19)" in shown
