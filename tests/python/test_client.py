"""The Python face, against the sandbox."""

from __future__ import annotations

import copy
import datetime
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from conftest import ROOT

import skypostal
from skypostal import Client, ConfigurationError, PersonalInfo, ValidationError
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

WHO: Any = {"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}
DOCUMENTED: Any = {
    **WHO,
    "customer_first_name": "New Name",
    "customer_last_name": "New Last",
    "customer_identity_number": None,
    "customer_tax_number": None,
    "customer_birth_date": "1980-08-19",
    "customer_gender": "M",
}


@pytest.fixture
def environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", sandbox.url)
    monkeypatch.setenv("SKYPOSTAL_USER_CODE", str(USER_CODE))
    monkeypatch.setenv("SKYPOSTAL_APP_KEY", APP_KEY)


def assert_documented(info: PersonalInfo) -> None:
    assert info.to_dict() == {
        "cust_id": 51736835,
        "customer_first_name": "New Name",
        "customer_last_name": "New Last",
        "customer_identity_number": "123456789",
        "customer_tax_number": 0,
        "customer_birth_date": datetime.date(1980, 8, 19),
        "customer_gender": "M",
    }
    assert info.raw["_verify"] is True
    assert info.raw["customer_birth_date"] == "/Date(335505600000-0400)/"


def test_the_documented_update(client: Client, sandbox: Sandbox) -> None:
    assert_documented(client.update_personal_info(**DOCUMENTED))
    (request,) = sandbox.requests
    assert json.loads(request.body) == {
        "user_code": USER_CODE,
        "app_key": APP_KEY,
        **{name: value for name, value in DOCUMENTED.items() if value is not None},
    }
    assert request.method == "POST"
    assert request.headers["content-type"] == request.headers["accept"] == "application/json"
    assert request.headers["user-agent"] == f"skypostal/{skypostal.__version__}"


def test_the_function_reads_the_environment_and_keeps_its_client(
    environment: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(50):
        assert_documented(skypostal.update_personal_info(**DOCUMENTED))
    assert sandbox.connections == 1
    with Sandbox() as other:
        monkeypatch.setenv("SKYPOSTAL_BASE_URL", other.url)
        skypostal.update_personal_info(**DOCUMENTED)
        assert other.connections == 1
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", sandbox.url)
    skypostal.update_personal_info(**DOCUMENTED)
    assert sandbox.connections == 1


INTEGERS = ["user_code", "customer_box_id"]
KEYS = ["app_key", "customer_key"]
NAMES = ["customer_first_name", "customer_last_name", "customer_identity_number"]
TAX, BIRTH, GENDER = "customer_tax_number", "customer_birth_date", "customer_gender"

tomorrow_everywhere = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=38.1)

BAD_VALUES: list[tuple[str, Any]] = [
    *[(f, v) for f in INTEGERS for v in (0, -1, 2**63, -(2**70), True, 1.0, "396", b"1")],
    *[(f, v) for f in KEYS for v in ("", "  ", 5, b"k", "a\n", "a\ud83d")],
    *[(f, v) for f in NAMES for v in ("", " ", "\u3000", 5, True, b"A", ["A"])],
    *[(f, v) for f in NAMES for v in ("a\x00", "a\x1f", "a\x7f", "a\x85", "\ud83d", "a" * 8193)],
    *[(NAMES[0], "😀" * 4097)],
    *[(TAX, v) for v in ("", ".5", "1.", "-1", "+1", "1e3", " 1", "1_0", "١", "0x1", "1,5")],
    *[(TAX, v) for v in (1.5, True, -1, 10**28, 10**400, "1" * 29, b"1", None.__class__)],
    *[(TAX, Decimal(v)) for v in ("NaN", "Infinity", "-1", "1E+28", "1E+999999", "1E-999999")],
    *[(BIRTH, v) for v in ("1980-8-19", "1980-02-30", "19800819", "1980-08-19T00:00", "x")],
    *[(BIRTH, v) for v in ("1752-12-31", "1900-02-29", "9999-12-31", "+1980-08-1", 19800819)],
    *[(BIRTH, v) for v in (datetime.datetime(1980, 8, 19), datetime.date(1700, 1, 1))],
    *[(BIRTH, tomorrow_everywhere.date())],
    *[(GENDER, v) for v in ("", "m", "X", "MF", "M ", 1)],
]


@pytest.mark.parametrize(("field", "value"), BAD_VALUES, ids=lambda value: repr(value)[:30])
def test_a_bad_value_is_refused_before_anything_is_sent(
    client: Client, sandbox: Sandbox, field: str, value: Any
) -> None:
    with pytest.raises(ValidationError, match=f"^{field}: ") as caught:
        client.update_personal_info(**{**DOCUMENTED, field: value})
    error = caught.value
    assert (error.field, error.delivery, error.attempts) == (field, "not_sent", 0)
    assert sandbox.connections == 0


def test_no_message_repeats_a_value(client: Client) -> None:
    for field, value in [("customer_key", "se\x00cret"), (GENDER, "Secret"), (TAX, "secret")]:
        with pytest.raises(ValidationError) as caught:
            client.update_personal_info(**{**DOCUMENTED, field: value})
        assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        (TAX, "007", b"7"),
        (TAX, "000", b"0"),
        (TAX, "123.450", b"123.450"),
        (TAX, "00.50", b"0.50"),
        (TAX, "1" * 28, b"1" * 28),
        (TAX, 0, b"0"),
        (TAX, 10**27, b"1" + b"0" * 27),
        (TAX, Decimal("123.450"), b"123.450"),
        (TAX, Decimal("1E+3"), b"1000"),
        (TAX, Decimal("0.1"), b"0.1"),
        (BIRTH, "1753-01-01", b'"1753-01-01"'),
        (BIRTH, datetime.date(2000, 2, 29), b'"2000-02-29"'),
        ("customer_first_name", "a" * 8192, b'"' + b"a" * 8192 + b'"'),
        ("customer_first_name", "Zoë 😀", '"Zoë 😀"'.encode()),
        ("customer_first_name", 'a"/\\b', rb'"a\"/\\b"'),
        ("customer_first_name", "a\ufffe\U0001ffff", rb'"a\ufffe\ud83f\udfff"'),
    ],
)
def test_a_good_value_is_sent_as_it_is(
    client: Client, sandbox: Sandbox, field: str, value: Any, sent: bytes
) -> None:
    client.update_personal_info(**WHO, **{field: value})
    assert b'"%s":%s' % (field.encode(), sent) in sandbox.requests[0].body


def test_digits_come_back_as_they_went(client: Client) -> None:
    for number in (Decimal("123.450"), 10**27, 0):
        info = client.update_personal_info(**WHO, customer_tax_number=number)
        assert repr(info.customer_tax_number) == repr(number)
        assert repr(info.raw["customer_tax_number"]) == repr(number)


def test_a_request_that_is_too_long_names_its_longest_field(
    client: Client, sandbox: Sandbox
) -> None:
    texts: Any = {name: "語" * 8000 for name in NAMES}
    texts["customer_last_name"] += "語"
    with pytest.raises(ValidationError, match="^customer_last_name: .* 65536"):
        client.update_personal_info(**WHO, **texts)
    assert sandbox.connections == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("customer_frist_name", "Did you mean 'customer_first_name'?"),
        ("first_name", None),
        ("Customer_Gender", "Did you mean 'customer_gender'?"),
        ("zzz", None),
    ],
)
def test_an_unknown_name_is_a_type_error(client: Client, name: str, hint: str | None) -> None:
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'") as caught:
        client.update_personal_info(**WHO, **{name: "x"})  # type: ignore[arg-type]
    assert hint is None or hint in str(caught.value)
    with pytest.raises(TypeError):
        client.update_personal_info("positional")  # type: ignore[misc, arg-type]


def test_missing_credentials_are_named(sandbox: Sandbox) -> None:
    client = Client(base_url=sandbox.url)
    with pytest.raises(ConfigurationError, match="^user_code: is missing"):
        client.update_personal_info(**WHO)
    with pytest.raises(ConfigurationError, match="^app_key: is missing"):
        client.update_personal_info(**WHO, user_code=USER_CODE)
    for name in WHO:
        with pytest.raises(ValidationError, match=f"^{name}: is required") as caught:
            client.update_personal_info(user_code=USER_CODE, app_key=APP_KEY, **{**WHO, name: None})
        assert caught.value.field == name
    assert sandbox.connections == 0
    client.update_personal_info(user_code=USER_CODE, app_key=APP_KEY, **WHO)


def test_the_calls_credentials_win_over_the_clients(sandbox: Sandbox) -> None:
    client = Client(base_url=sandbox.url, user_code=1, app_key="wrong")
    client.update_personal_info(user_code=USER_CODE, app_key=APP_KEY, **WHO)
    with pytest.raises(skypostal.RefusedError):
        client.update_personal_info(**WHO)


def test_arguments_win_over_the_environment(
    environment: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sandbox.url in repr(Client())
    assert "api-box.skypostal.com" in repr(Client(environment="production"))
    assert "api-box-test.skypostal.com" in repr(Client(environment="test"))
    assert "//elsewhere.example/" in repr(Client(base_url="https://elsewhere.example"))
    with pytest.raises(skypostal.RefusedError):
        Client(app_key="wrong").update_personal_info(**WHO)
    monkeypatch.setenv("SKYPOSTAL_USER_CODE", "x")
    Client(user_code=USER_CODE).update_personal_info(**WHO)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("SKYPOSTAL_USER_CODE", "abc", ValidationError),
        ("SKYPOSTAL_USER_CODE", "-5", ValidationError),
        ("SKYPOSTAL_APP_KEY", " ", ValidationError),
        ("SKYPOSTAL_ENVIRONMENT", "live", ConfigurationError),
        ("SKYPOSTAL_BASE_URL", "nowhere", ConfigurationError),
    ],
)
def test_an_unusable_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, error: type[Exception]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(error, match=name.lower()[10:] if error is ValidationError else name):
        skypostal.update_personal_info(**WHO)
    monkeypatch.setenv(name, "")
    with pytest.raises(ConfigurationError, match="^user_code: is missing"):
        skypostal.update_personal_info(**WHO)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"environment": "live"}, "environment"),
        ({"base_url": "http://example.com"}, "base_url"),
        ({"base_url": "http://0.0.0.0"}, "base_url"),
        ({"base_url": "https://user:secret@example.com"}, "base_url"),
        ({"base_url": "https://example.com/?q"}, "base_url"),
        ({"base_url": "https://example.com\r\nX-Header: 1"}, "base_url"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"max_retries": -1}, "max_retries"),
    ],
)
def test_a_bad_option_is_named(options: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name}: ") as caught:
        Client(**options)
    assert "secret" not in str(caught.value)
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "a.localhost"])
def test_plain_http_to_this_machine_is_allowed(host: str) -> None:
    Client(base_url=f"http://{host}:8080")
    Client(base_url="http://example.com", allow_http=True)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_bad_timeout_of_a_call_is_refused(client: Client, timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="^timeout: "):
        client.update_personal_info(timeout=timeout, **WHO)


def test_a_refusal(client: Client) -> None:
    with pytest.raises(skypostal.RefusedError) as caught:
        client.update_personal_info(**WHO, app_key="wrong")
    error = caught.value
    assert (error.delivery, error.attempts, error.system_error) == ("rejected", 1, False)
    assert error.description in str(error) and error.location == "app_key"


def test_a_status(sandbox: Sandbox) -> None:
    client = Client(base_url=f"{sandbox.url}/elsewhere/", user_code=USER_CODE, app_key=APP_KEY)
    with pytest.raises(skypostal.StatusError) as caught:
        client.update_personal_info(**WHO)
    error = caught.value
    assert (error.status, error.delivery, error.attempts) == (404, "rejected", 1)
    assert "<" in error.body and error.retry_after is None


def test_a_connection_that_is_refused() -> None:
    client = Client(base_url="http://127.0.0.1:9", user_code=USER_CODE, app_key=APP_KEY)
    with pytest.raises(skypostal.ConnectError, match="127.0.0.1:9.*refused") as caught:
        client.update_personal_info(**WHO)
    assert isinstance(caught.value, ConnectionError)
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 3)


def test_no_key_shows_anywhere(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    client = Client(base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY)
    shown = [repr(client), str(client)]
    shown.append(repr(client.update_personal_info(**DOCUMENTED)))
    bad: list[Any] = [{"customer_key": "not " + CUSTOMER_KEY}, {GENDER: "X"}, {"app_key": "wrong"}]
    for changes in bad:
        with pytest.raises(skypostal.SkyPostalError) as caught:
            client.update_personal_info(**{**DOCUMENTED, **changes})
        error = caught.value
        shown += [repr(error), str(error), repr(pickle.dumps(error)), repr(vars(error))]
        shown += traceback.format_exception(type(error), error, error.__traceback__)
    shown += [caplog.text, *capfd.readouterr()]
    for text in shown:
        assert APP_KEY not in text and CUSTOMER_KEY not in text


def test_an_answer_is_immutable_and_comparable(client: Client) -> None:
    info = client.update_personal_info(**DOCUMENTED)
    assert info == client.update_personal_info(**WHO) != object()
    assert hash(info) == hash(client.update_personal_info(**WHO))
    assert info != client.update_personal_info(**WHO, customer_first_name="Other")
    assert pickle.loads(pickle.dumps(info)) == copy.deepcopy(info) == info
    with pytest.raises(AttributeError):
        info.cust_id = 1  # type: ignore[misc]
    info.raw["cust_id"] = 0
    assert info.raw["cust_id"] == info.cust_id == 51736835
    assert repr(info) == "PersonalInfo(cust_id=51736835, ...)"
    assert info.__match_args__[:2] == ("cust_id", "customer_first_name")


def test_a_client_is_not_pickled(client: Client) -> None:
    with pytest.raises(TypeError, match="make one in the process that uses it"):
        pickle.dumps(client)


def test_a_closed_client_says_so(client: Client, sandbox: Sandbox) -> None:
    with client as same:
        same.update_personal_info(**WHO)
    with pytest.raises(ConfigurationError, match="client: is closed"):
        client.update_personal_info(**WHO)


def test_a_thousand_calls_open_one_connection() -> None:
    with Sandbox(max_requests=2000) as sandbox:
        client = Client(base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY)
        for _ in range(1000):
            client.update_personal_info(**WHO)
        assert sandbox.connections == 1


@pytest.mark.parametrize("options", [{"max_requests": 1}, {"idle_timeout": 0.01}])
def test_a_server_that_closes_between_calls_is_no_error(options: Any) -> None:
    with Sandbox(**options) as sandbox:
        client = Client(base_url=sandbox.url, user_code=USER_CODE, app_key=APP_KEY, max_retries=0)
        for _ in range(30):
            client.update_personal_info(**WHO)
            time.sleep(0.012)
        assert sandbox.connections > 20


def test_threads_share_a_client_and_get_their_own_answers(client: Client, sandbox: Sandbox) -> None:
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


@pytest.fixture
def silent() -> Any:
    """The address of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_other_threads_go_on_while_a_call_waits(silent: str) -> None:
    client = Client(base_url=silent, user_code=USER_CODE, app_key=APP_KEY)
    counted = 0

    def call() -> None:
        with pytest.raises(skypostal.RequestTimeoutError, match="0.3 s") as caught:
            client.update_personal_info(timeout=0.3, **WHO)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.delivery == "unknown"

    thread = threading.Thread(target=call)
    thread.start()
    while thread.is_alive():
        counted += 1
    assert counted > 10_000


class Alarm(Exception):
    pass


@pytest.mark.parametrize("raises", [KeyboardInterrupt, Alarm])
def test_a_signal_ends_a_call_and_the_next_one_works(
    silent: str, sandbox: Sandbox, raises: type[BaseException]
) -> None:
    def handler(number: int, frame: object) -> None:
        raise raises

    client = Client(base_url=silent, user_code=USER_CODE, app_key=APP_KEY)
    before = signal.signal(signal.SIGALRM, handler)
    try:
        for _ in range(3):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            started = time.monotonic()
            with pytest.raises(raises):
                client.update_personal_info(**WHO)
            assert time.monotonic() - started < 0.3
    finally:
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(skypostal.RequestTimeoutError):
        client.update_personal_info(timeout=0.1, **WHO)


def test_a_signal_that_is_handled_does_not_end_a_call(silent: str) -> None:
    client = Client(base_url=silent, user_code=USER_CODE, app_key=APP_KEY)
    calls: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(skypostal.RequestTimeoutError):
            client.update_personal_info(timeout=0.3, **WHO)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert calls == [signal.SIGALRM]


def test_a_forked_child_has_connections_of_its_own(client: Client, sandbox: Sandbox) -> None:
    client.update_personal_info(**WHO)
    child = os.fork()
    if child == 0:
        try:
            client.update_personal_info(**WHO)
            client.update_personal_info(**WHO)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    client.update_personal_info(**WHO)
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


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Caracas", "Etc/GMT+12"])
def test_a_date_does_not_depend_on_the_time_zone(sandbox: Sandbox, zone: str) -> None:
    code = f"import skypostal; print(skypostal.update_personal_info(**{DOCUMENTED!r}).to_dict())"
    shown = python(
        code,
        TZ=zone,
        SKYPOSTAL_BASE_URL=sandbox.url,
        SKYPOSTAL_USER_CODE=str(USER_CODE),
        SKYPOSTAL_APP_KEY=APP_KEY,
    )
    assert "datetime.date(1980, 8, 19)" in shown
