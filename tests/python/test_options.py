"""Options and credentials, from arguments and from the environment."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from clients import client_of
from documented import CUSTOMER

import skypostal
from skypostal import Client, ConfigurationError, ValidationError
from skypostal.sandbox import APP_KEY, PATH, USER_CODE, Sandbox


def test_missing_credentials_are_named(sandbox: Sandbox) -> None:
    client = Client(base_url=sandbox.url)
    with pytest.raises(ConfigurationError, match="^user_code: is missing"):
        client.update_personal_info(**CUSTOMER)
    with pytest.raises(ConfigurationError, match="^app_key: is missing"):
        client.update_personal_info(**CUSTOMER, user_code=USER_CODE)
    for name in CUSTOMER:
        with pytest.raises(ValidationError, match=f"^{name}: is required") as caught:
            client.update_personal_info(
                user_code=USER_CODE, app_key=APP_KEY, **{**CUSTOMER, name: None}
            )
        assert caught.value.field == name
    assert sandbox.connections == 0
    client.update_personal_info(user_code=USER_CODE, app_key=APP_KEY, **CUSTOMER)


def test_the_calls_credentials_win_over_the_clients(sandbox: Sandbox) -> None:
    client = Client(base_url=sandbox.url, user_code=1, app_key="wrong")
    client.update_personal_info(user_code=USER_CODE, app_key=APP_KEY, **CUSTOMER)
    with pytest.raises(skypostal.RefusedError):
        client.update_personal_info(**CUSTOMER)


def test_arguments_win_over_the_environment(
    environment: None, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sandbox.url in repr(Client())
    assert "api-box.skypostal.com" in repr(Client(environment="production"))
    assert "api-box-test.skypostal.com" in repr(Client(environment="test"))
    assert "//elsewhere.example/" in repr(Client(base_url="https://elsewhere.example"))
    with pytest.raises(skypostal.RefusedError):
        Client(app_key="wrong").update_personal_info(**CUSTOMER)
    monkeypatch.setenv("SKYPOSTAL_USER_CODE", "x")
    Client(user_code=USER_CODE).update_personal_info(**CUSTOMER)


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
        skypostal.update_personal_info(**CUSTOMER)
    assert error is ConfigurationError or caught.value.__dict__["field"] == field
    monkeypatch.setenv(name, "")
    with pytest.raises(ConfigurationError, match="^user_code: is missing"):
        skypostal.update_personal_info(**CUSTOMER)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"environment": "live"}, "environment"),
        ({"base_url": "http://example.com"}, "base_url"),
        ({"base_url": "http://0.0.0.0"}, "base_url"),
        ({"base_url": "https://user:secret@example.com"}, "base_url"),
        ({"base_url": "https://example.com/?q"}, "base_url"),
        ({"base_url": "https://example.com\r\nX-Header: 1"}, "base_url"),
        ({"base_url": "https://example.com/wcf-services/service-customer.svc"}, "base_url"),
        ({"base_url": "'https://example.com'"}, "base_url"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"max_retries": -1}, "max_retries"),
        ({"environment": "test\ud83d"}, "environment"),
        ({"base_url": "https://example.com/\ud83d"}, "base_url"),
        ({"proxy": "http://user:secret\ud83d@example.com"}, "proxy"),
        ({"user_agent": ""}, "user_agent"),
        ({"user_agent": " "}, "user_agent"),
        ({"user_agent": "shop\r\nX-Header: 1"}, "user_agent"),
        ({"user_agent": "café"}, "user_agent"),
        ({"user_agent": "a" * 257}, "user_agent"),
        ({"user_agent": 1.2}, "user_agent"),
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


def test_the_programs_name_follows_the_librarys(sandbox: Sandbox) -> None:
    client = client_of(sandbox.url, user_agent=" shop/1.2 (legacy) ")
    client.update_personal_info(**CUSTOMER)
    agent = f"skypostal/{skypostal.__version__} shop/1.2 (legacy)"
    assert sandbox.requests[-1].headers["user-agent"] == agent
    assert client.preview(**CUSTOMER).headers["user-agent"] == agent


def test_help_explains_every_option() -> None:
    shown = inspect.getdoc(Client) or ""
    *options, _ = inspect.signature(skypostal.AsyncClient).parameters
    explained = re.findall(r"^([a-z_, ]+): ", shown, re.MULTILINE)
    assert [name for names in explained for name in names.split(", ")] == options
    stub = ast.parse((Path(skypostal.__file__).parent / "_native.pyi").read_text("utf-8"))
    (documented,) = (node for node in stub.body if getattr(node, "name", "") == "Client")
    assert isinstance(documented, ast.ClassDef) and ast.get_docstring(documented) == shown.strip()


@pytest.mark.parametrize("kind", [Client, skypostal.AsyncClient])
def test_a_misspelt_option_suggests_the_nearest(kind: Any) -> None:
    # Python 3.9 tells no signature of Client, which is native.
    *options, last = inspect.signature(skypostal.AsyncClient).parameters
    assert last == "unknown" and "timeout" in options
    for name in options:
        misspelt = name[:2] + name[3:]
        message = f"unexpected keyword argument '{misspelt}'. Did you mean '{name}'?"
        with pytest.raises(TypeError) as caught:
            kind(**{misspelt: 3})
        assert message in str(caught.value)
    with pytest.raises(TypeError, match=r"argument 'maxRetries'\. Did you mean 'max_retries'\?"):
        kind(maxRetries=3)
    with pytest.raises(TypeError, match="argument 'verify'; the options are user_code, app_key, "):
        kind(verify=False)


def test_a_misspelt_timeout_of_a_call_suggests_it(client: Client) -> None:
    with pytest.raises(TypeError, match=r"'timout'\. Did you mean 'timeout'\?"):
        client.update_personal_info(timout=3, **CUSTOMER)  # type: ignore[call-arg]


def test_a_birth_date_in_another_form_says_so(client: Client) -> None:
    for date, problem in [("1980-8-19", "not in the form YYYY-MM-DD"),
                          ("19/08/1980", "not in the form YYYY-MM-DD"),
                          ("1980-02-30", "not a day of the calendar")]:  # fmt: skip
        with pytest.raises(
            ValidationError,
            match=f"^customer_birth_date: must be a calendar day .*; this is {problem}",
        ):
            client.update_personal_info(customer_birth_date=date, **CUSTOMER)


def test_a_base_url_with_the_path_of_the_call_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"https://example.com{PATH}"
    words = r"^base_url: holds the path of the call, .* end it before /wcf-services"
    with pytest.raises(ConfigurationError, match=words):
        Client(base_url=url)
    monkeypatch.setenv("SKYPOSTAL_BASE_URL", url)
    with pytest.raises(ConfigurationError, match=rf"{words} \(read from SKYPOSTAL_BASE_URL\)"):
        Client()


def test_a_timeout_of_the_wrong_type_is_named(client: Client, environment: None) -> None:
    wrong: Any = "5"
    for update in (client.update_personal_info, skypostal.update_personal_info):
        with pytest.raises(TypeError, match="^timeout: "):
            update(timeout=wrong, **CUSTOMER)
    with pytest.raises(ConfigurationError, match="^max_retries: "):
        Client(max_retries=10**30)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]", "a.localhost"])
def test_plain_http_to_this_machine_is_allowed(host: str) -> None:
    Client(base_url=f"http://{host}:8080")
    Client(base_url="http://example.com", allow_http=True)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), 1e300])
def test_a_bad_timeout_of_a_call_is_refused(client: Client, timeout: float) -> None:
    with pytest.raises(ConfigurationError, match="^timeout: "):
        client.update_personal_info(timeout=timeout, **CUSTOMER)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["socks5://user:secret@host", "http://user:secret@host:99999"])
def test_an_unusable_proxy_variable_is_named_unless_it_does_not_count(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    monkeypatch.setenv(variable, proxy)
    name = variable.upper() if sys.platform == "win32" else variable
    with pytest.raises(ConfigurationError, match=f"^{name}: ") as caught:
        client_of(sandbox.url)
    assert "secret" not in repr(caught.value)
    client_of(sandbox.url, trust_env=False).update_personal_info(**CUSTOMER)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    client_of(sandbox.url).update_personal_info(**CUSTOMER)
