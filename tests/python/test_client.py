"""The Python face, against the sandbox."""

from __future__ import annotations

import copy
import datetime
import gc
import json
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from typing import Any

import pytest
from project import ROOT

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


def client_of(url: str, **options: Any) -> Client:
    return Client(**{"user_code": USER_CODE, "app_key": APP_KEY, "base_url": url, **options})


def answered(members: bytes) -> PersonalInfo:
    """What becomes of an answer with these members."""
    with Sandbox() as sandbox:
        sandbox.answer_next(b'[{"_verify":true,%s}]' % members)
        return client_of(sandbox.url, max_retries=0).update_personal_info(**WHO)


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
    assert request.headers["accept-encoding"] == "identity"
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


def test_none_of_the_changes_may_be_given(client: Client, sandbox: Sandbox) -> None:
    nothing: Any = {name: None for name in ("user_code", "app_key", *NAMES, TAX, BIRTH, GENDER)}
    assert client.update_personal_info(**WHO, **nothing).customer_first_name == "Old Name"
    assert json.loads(sandbox.requests[0].body).keys() == {*WHO, "user_code", "app_key"}


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
    *[
        (TAX, Decimal(v))
        for v in ("NaN", "Infinity", "-1", "1E+28", "1E+999999", "1E-999999", "sNaN")
    ],
    *[(BIRTH, v) for v in ("1980-8-19", "1980-02-30", "19800819", "1980-08-19T00:00", "x")],
    *[(BIRTH, v) for v in ("1752-12-31", "1900-02-29", "9999-12-31", "+1980-08-1", 19800819)],
    *[(BIRTH, v) for v in (datetime.datetime(1980, 8, 19), datetime.date(1700, 1, 1))],
    *[(BIRTH, tomorrow_everywhere.date())],
    *[(GENDER, v) for v in ("", "m", "X", "MF", "M ", 1, b"M")],
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
        with localcontext() as context:
            context.prec = 2
            info = client.update_personal_info(**WHO, customer_tax_number=number)
        assert repr(info.customer_tax_number) == repr(number)
        assert repr(info.raw["customer_tax_number"]) == repr(number)


@pytest.mark.parametrize(
    ("members", "name", "value"),
    [
        (b'"customer_tax_number":' + b"1" * 5000, TAX, Decimal("1" * 5000)),
        (b'"customer_tax_number":"12.50"', TAX, Decimal("12.50")),
        (b'"customer_tax_number":true', TAX, None),
        (b'"customer_tax_number":1e999999999999999999999', TAX, None),
        (b'"customer_birth_date":"\\/Date(-62135580780000-0427)\\/"', BIRTH, None),
        (b'"customer_first_name":"a\\ud83d"', "customer_first_name", None),
        (b'"customer_first_name":"\\ud83d\\ude00 \xc3\xa9"', "customer_first_name", "😀 é"),
        (b'"cust_id":' + b"9" * 30, "cust_id", None),
        (b'"new":' + b"[" * 5000 + b"]" * 5000, "cust_id", None),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_an_accepted_update_succeeds_whatever_it_echoes(
    members: bytes, name: str, value: object
) -> None:
    info = answered(members)
    assert info.to_dict()[name] == value
    assert pickle.loads(pickle.dumps(info)) == info
    assert info.raw["_verify"] is True


def test_a_request_that_is_too_long_names_its_longest_field(
    client: Client, sandbox: Sandbox
) -> None:
    texts: Any = {name: "語" * 8000 for name in NAMES}
    texts["customer_last_name"] += "語"
    with pytest.raises(ValidationError, match="^customer_last_name: .* 65536"):
        client.update_personal_info(**WHO, **texts)
    assert sandbox.connections == 0


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("customer_frist_name", "customer_first_name"),
        ("Customer_Gender", "customer_gender"),
        ("appkey", "app_key"),
        ("zzz", None),
        ("", None),
    ],
)
def test_an_unknown_name_is_a_type_error(
    client: Client, sandbox: Sandbox, environment: None, name: str, nearest: str | None
) -> None:
    known = "user_code, app_key, customer_box_id, customer_key, customer_first_name, "
    known += "customer_last_name, customer_identity_number, customer_tax_number, "
    known += "customer_birth_date, customer_gender"
    hint = f". Did you mean '{nearest}'?" if nearest else f"; the fields are {known}"
    message = f"update_personal_info() got an unexpected keyword argument '{name}'{hint}"
    for update in (client.update_personal_info, skypostal.update_personal_info):
        with pytest.raises(TypeError) as caught:
            update(**WHO, **{name: "x"})  # type: ignore[arg-type]
        assert str(caught.value) == message
        with pytest.raises(TypeError):
            update("positional")  # type: ignore[misc, arg-type]
    assert sandbox.connections == 0


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
    ("name", "value", "argument"),
    [
        ("SKYPOSTAL_USER_CODE", "abc", {"user_code": USER_CODE}),
        ("SKYPOSTAL_APP_KEY", " ", {"app_key": APP_KEY}),
        ("SKYPOSTAL_ENVIRONMENT", "live", {"environment": "test"}),
        ("SKYPOSTAL_ENVIRONMENT", "live", {"base_url": "https://example.com"}),
        ("SKYPOSTAL_BASE_URL", "nowhere", {"base_url": "https://example.com"}),
        ("SKYPOSTAL_BASE_URL", "nowhere", {"environment": "test"}),
    ],
)
def test_an_unusable_variable_does_not_matter_where_an_argument_wins(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, argument: Any
) -> None:
    monkeypatch.setenv(name, value)
    Client(**argument)


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
    field = name.lower()[10:]
    with pytest.raises(error, match=field if error is ValidationError else name) as caught:
        skypostal.update_personal_info(**WHO)
    assert error is ConfigurationError or caught.value.__dict__["field"] == field
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
        ({"environment": "test\ud83d"}, "environment"),
        ({"base_url": "https://example.com/\ud83d"}, "base_url"),
        ({"proxy": "http://user:secret\ud83d@example.com"}, "proxy"),
    ],
)
def test_a_bad_option_is_named(options: Any, name: str) -> None:
    with pytest.raises(ValueError) as caught:
        Client(**options)
    assert "secret" not in repr(caught.value)
    assert isinstance(caught.value, ConfigurationError) and str(caught.value).startswith(f"{name}:")
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", "5"),
        ("timeout", None),
        ("connect_timeout", None),
        ("max_retries", "2"),
        ("max_retries", 2.5),
        ("ca_file", 3),
        ("trust_env", "no"),
        ("allow_http", "yes"),
        ("on_attempt", "print"),
    ],
)
def test_an_option_of_the_wrong_type_is_named(name: str, value: Any) -> None:
    for kind in (Client, skypostal.AsyncClient):
        with pytest.raises(TypeError, match=f"^{name}\\b"):
            kind(**{name: value})


def test_a_timeout_of_the_wrong_type_is_named(client: Client, environment: None) -> None:
    wrong: Any = "5"
    for update in (client.update_personal_info, skypostal.update_personal_info):
        with pytest.raises(TypeError, match="^timeout: "):
            update(timeout=wrong, **WHO)
    with pytest.raises(OverflowError, match="^max_retries: "):
        Client(max_retries=10**30)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "a.localhost"])
def test_plain_http_to_this_machine_is_allowed(host: str) -> None:
    Client(base_url=f"http://{host}:8080")
    Client(base_url="http://example.com", allow_http=True)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_bad_timeout_of_a_call_is_refused(client: Client, timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="^timeout: "):
        client.update_personal_info(timeout=timeout, **WHO)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["socks5://user:secret@host", "http://user:secret@host:99999"])
def test_an_unusable_proxy_variable_is_named_unless_it_does_not_count(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    with pytest.raises(ConfigurationError, match=f"^{variable}: ") as caught:
        client_of(sandbox.url)
    assert "secret" not in repr(caught.value)
    client_of(sandbox.url, trust_env=False).update_personal_info(**WHO)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client_of(sandbox.url).update_personal_info(**WHO)


def test_a_refusal(client: Client) -> None:
    with pytest.raises(skypostal.RefusedError) as caught:
        client.update_personal_info(**WHO, app_key="wrong")
    error = caught.value
    assert (error.delivery, error.attempts, error.system_error) == ("rejected", 1, False)
    assert error.description == "user_code and app_key do not match"
    assert error.description in str(error) and error.location == "app_key"


def test_a_status(sandbox: Sandbox) -> None:
    client = client_of(f"{sandbox.url}/elsewhere/")
    with pytest.raises(skypostal.StatusError) as caught:
        client.update_personal_info(**WHO)
    error = caught.value
    assert (error.status, error.delivery, error.attempts) == (404, "rejected", 1)
    assert "<" in error.body and error.retry_after is None


def test_a_connection_that_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(skypostal.ConnectError, match=f"{address}.*refused") as caught:
        client_of(f"http://{address}").update_personal_info(**WHO)
    assert isinstance(caught.value, ConnectionError)
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 3)


@pytest.mark.parametrize(("of_client", "of_call"), [(0.1, None), (30, 0.1), (0.01, 0.1)])
def test_the_timeout_of_the_call_wins_over_the_clients(
    silent: str, of_client: float, of_call: float | None
) -> None:
    started = time.monotonic()
    with pytest.raises(skypostal.RequestTimeoutError, match=r"within 0\.1 s") as caught:
        client_of(silent, timeout=of_client).update_personal_info(**WHO, timeout=of_call)
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
    shown.append(repr(client.update_personal_info(**DOCUMENTED)))
    bad: list[Any] = [{"customer_key": "not " + CUSTOMER_KEY}, {GENDER: "X"}, {"app_key": "wrong"}]
    for changes in bad:
        with pytest.raises(skypostal.SkyPostalError) as caught:
            client.update_personal_info(**{**DOCUMENTED, **changes})
        error = caught.value
        shown += [repr(error), str(error), repr(pickle.dumps(error)), repr(vars(error))]
        shown += traceback.format_exception(type(error), error, error.__traceback__)
    with pytest.raises(skypostal.RefusedError) as refused:
        answered(b'"error":{"error_description":"%s","error_location":"%s"}' % KEY_BYTES)
    with pytest.raises(skypostal.ResponseError) as odd:
        answered(b'"_verify":"%s %s"' % KEY_BYTES)
    for caught_with_keys in (refused.value, odd.value):
        shown += [repr(caught_with_keys), repr(vars(caught_with_keys))]
    shown += [caplog.text, *capfd.readouterr()]
    for text in shown:
        assert APP_KEY not in text and CUSTOMER_KEY not in text


def test_an_answer_is_immutable_and_comparable(client: Client) -> None:
    info = client.update_personal_info(**DOCUMENTED)
    assert info == client.update_personal_info(**WHO) != object()
    assert hash(info) == hash(client.update_personal_info(**WHO))
    assert info != client.update_personal_info(**WHO, customer_first_name="Other")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(info, protocol))
        assert twin == copy.copy(info) == copy.deepcopy(info) == info and hash(twin) == hash(info)
    for name in (*info.__match_args__, "raw", "other"):
        with pytest.raises(AttributeError):
            setattr(info, name, 1)
        with pytest.raises(AttributeError):
            delattr(info, name)
    with pytest.raises(TypeError):
        PersonalInfo()


def test_an_answer_tells_what_it_holds_when_asked(client: Client) -> None:
    info = client.update_personal_info(**WHO, customer_first_name="Zoë 😀")
    assert info.customer_first_name == info.raw["customer_first_name"] == "Zoë 😀"
    assert tuple(info.to_dict()) == info.__match_args__
    assert all(getattr(info, name) == value for name, value in info.to_dict().items())
    assert info.raw == info.raw is not info.raw
    info.raw["cust_id"] = info.to_dict()["cust_id"] = 0
    assert info.raw["cust_id"] == info.cust_id == 51736835
    assert repr(info) == str(info) == "PersonalInfo(cust_id=51736835, ...)"
    assert info.to_dict() == {
        "cust_id": 51736835,
        "customer_first_name": "Zoë 😀",
        "customer_last_name": "Old Last",
        "customer_identity_number": "123456789",
        "customer_tax_number": 0,
        "customer_birth_date": datetime.date(1975, 2, 1),
        "customer_gender": "F",
    }


@pytest.mark.skipif(sys.version_info < (3, 10), reason="has no match statement")
def test_an_answer_matches_by_position_and_by_name(client: Client) -> None:
    found: dict[str, Any] = {"info": client.update_personal_info(**WHO), "Info": PersonalInfo}
    exec("match info:\n case Info(number, customer_gender=gender): pass", found)
    assert (found["number"], found["gender"]) == (51736835, "F")


def test_a_client_is_not_pickled(client: Client) -> None:
    with pytest.raises(TypeError, match="make one in the process that uses it"):
        pickle.dumps(client)


def test_a_closed_client_says_so(client: Client, sandbox: Sandbox) -> None:
    with client as same:
        assert same is client
        same.update_personal_info(**WHO)
    client.close()
    with pytest.raises(ConfigurationError, match="client: is closed"):
        client.update_personal_info(**WHO)
    assert len(sandbox.requests) == 1


def test_a_call_in_flight_survives_close_and_its_connection_does_not(sandbox: Sandbox) -> None:
    client, descriptors = client_of(sandbox.url), len(os.listdir("/proc/self/fd"))
    sandbox.delay(0.3)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(client.update_personal_info, **WHO)
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
            client.update_personal_info(**WHO)
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
            client.update_personal_info(**WHO)
            time.sleep(pause)
        assert sandbox.connections == 12


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
def silent(sandbox: Sandbox) -> str:
    """The address of a server that never answers its first request."""
    sandbox.delay(60)
    return sandbox.url


def test_other_threads_go_on_while_a_call_waits(client: Client, sandbox: Sandbox) -> None:
    counted = 0
    sandbox.delay(0.3)
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(client.update_personal_info, **WHO)
        while not answer.done():
            counted += 1
    assert answer.result().cust_id == 51736835
    assert counted > 10_000


def test_ctrl_c_ends_a_call_at_once_and_the_next_one_works(environment: None, silent: str) -> None:
    code = f"""
import signal, time, skypostal
signal.signal(signal.SIGINT, signal.default_int_handler)
client = skypostal.Client()
for _ in range(2):
    try:
        print("calling", flush=True)
        print(client.update_personal_info(**{WHO!r}).cust_id)
    except KeyboardInterrupt:
        print(time.monotonic(), flush=True)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "calling\n"
        time.sleep(0.15)
        interrupted = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert 0 <= float(child.stdout.readline()) - interrupted < 0.3
        assert child.stdout.read() == "calling\n51736835\n"
    assert child.returncode == 0


class Alarm(Exception):
    pass


def test_whatever_a_signal_handler_raises_ends_the_call(silent: str) -> None:
    def handler(number: int, frame: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, handler)
    # Waiting for an answer, and waiting to try again.
    try:
        for client in (client_of(silent), client_of("http://127.0.0.1:9", max_retries=1000)):
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            started = time.monotonic()
            with pytest.raises(Alarm):
                client.update_personal_info(**WHO)
            assert 0.2 <= time.monotonic() - started < 0.5
    finally:
        signal.signal(signal.SIGALRM, before)


def test_it_does_so_in_the_midst_of_a_hook_and_of_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def handler(number: int, frame: object) -> None:
        raise Alarm

    class Signals(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            signal.raise_signal(signal.SIGALRM)
            return True

    logger, signals = logging.getLogger("skypostal"), Signals()
    before = signal.signal(signal.SIGALRM, handler)
    try:
        for hook in (lambda _: signal.raise_signal(signal.SIGALRM), None):
            if hook is None:
                logger.addFilter(signals)
            client = client_of("http://127.0.0.1:9", max_retries=1000, on_attempt=hook)
            with pytest.raises(Alarm):
                client.update_personal_info(**WHO)
    finally:
        logger.removeFilter(signals)
        signal.signal(signal.SIGALRM, before)


def test_a_signal_that_is_handled_does_not_end_a_call(client: Client, sandbox: Sandbox) -> None:
    calls: list[int] = []
    sandbox.delay(0.3)
    before = signal.signal(signal.SIGALRM, lambda number, frame: calls.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert client.update_personal_info(**WHO).cust_id == 51736835
    finally:
        signal.signal(signal.SIGALRM, before)
    assert calls == [signal.SIGALRM]


def test_a_call_from_a_signal_handler_breaks_nothing(client: Client, sandbox: Sandbox) -> None:
    inner: list[object] = []
    sandbox.delay(0.3)

    def handler(number: int, frame: object) -> None:
        try:
            inner.append(client.update_personal_info(**WHO))
        except BaseException as error:
            inner.append(error)

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert client_of(sandbox.url).update_personal_info(**WHO).cust_id == 51736835
    finally:
        signal.signal(signal.SIGALRM, before)
    # Whether it works or says that it cannot; but no panic.
    assert len(inner) == 1 and isinstance(inner[0], (PersonalInfo, skypostal.SkyPostalError))
    client.update_personal_info(**WHO)


def test_a_forked_child_has_connections_of_its_own(sandbox: Sandbox) -> None:
    code = f"""
import os, skypostal
client = skypostal.Client(user_code={USER_CODE}, app_key="{APP_KEY}", base_url="{sandbox.url}")
update = lambda: client.update_personal_info(**{WHO!r})
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
    code = f"import skypostal; print(skypostal.update_personal_info(**{DOCUMENTED!r}).to_dict())"
    shown = python(
        code,
        TZ=zone,
        SKYPOSTAL_BASE_URL=sandbox.url,
        SKYPOSTAL_USER_CODE=str(USER_CODE),
        SKYPOSTAL_APP_KEY=APP_KEY,
    )
    assert "datetime.date(1980, 8, 19)" in shown
