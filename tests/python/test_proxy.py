"""Proxies: given, from the environment, exempted, unusable, and their secrets."""

from __future__ import annotations

import base64
import pickle
import traceback
from collections.abc import Iterator
from typing import Any

import pytest
from proxy_server import LOGIN, PASSWORD, Proxy

from skypostal import Client, ConfigurationError, ConnectError
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, USER_CODE, Sandbox

UPDATE: Any = {
    "user_code": USER_CODE,
    "app_key": APP_KEY,
    "customer_box_id": BOX_ID,
    "customer_key": CUSTOMER_KEY,
}


@pytest.fixture
def secure() -> Iterator[Any]:
    """The options that reach a TLS server."""
    with Sandbox(tls=True, host="localhost") as sandbox:
        yield {"base_url": sandbox.url, "ca_file": sandbox.ca_file}


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture
def locked_proxy() -> Iterator[Proxy]:
    proxy = Proxy(LOGIN)
    yield proxy
    proxy.close()


def update(**options: Any) -> Any:
    with Client(**options) as client:
        return client.update_personal_info(**UPDATE)


def test_a_given_proxy_tunnels_and_sees_no_key(secure: Any, proxy: Proxy) -> None:
    assert update(**secure, proxy=proxy.url).cust_id == 51736835
    (head,) = proxy.heads
    assert head.startswith(b"CONNECT localhost:")
    assert b"customer_key" not in head


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_environment_names_a_proxy(
    secure: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, proxy.url)
    update(**secure)
    assert len(proxy.heads) == 1
    update(**secure, trust_env=False)
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
@pytest.mark.parametrize("exempt", ["localhost", "example.org, localhost", "*"])
def test_no_proxy_exempts(
    secure: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, variable: str, exempt: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.setenv(variable, exempt)
    update(**secure)
    assert proxy.heads == []


def test_a_proxy_without_a_scheme_is_http(
    secure: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
    update(**secure)
    assert len(proxy.heads) == 1


def test_a_login_is_sent_to_the_proxy(secure: Any, locked_proxy: Proxy) -> None:
    assert update(**secure, proxy=f"http://{LOGIN}@127.0.0.1:{locked_proxy.port}").cust_id


@pytest.mark.parametrize("login", ["", "user:wrong-7fz@"])
def test_a_proxy_that_asks_for_a_login_is_a_connect_error(
    secure: Any, locked_proxy: Proxy, login: str
) -> None:
    with pytest.raises(ConnectError, match=r"(?i)proxy") as caught:
        update(**secure, proxy=f"http://{login}127.0.0.1:{locked_proxy.port}", max_retries=0)
    assert caught.value.delivery == "not_sent"


def test_a_proxy_that_dies_is_a_connect_error(secure: Any) -> None:
    proxy = Proxy(dies=True)
    with pytest.raises(ConnectError, match=r"(?i)tunnel") as caught:
        update(**secure, proxy=proxy.url)
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 3)
    proxy.close()


def test_a_proxy_that_is_not_there_is_a_connect_error_that_names_it(
    secure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConnectError, match=r"through the proxy 127.0.0.1:9 \(proxy\)") as caught:
        update(**secure, proxy="http://127.0.0.1:9", max_retries=0)
    assert caught.value.delivery == "not_sent"
    monkeypatch.setenv("HTTPS_PROXY", f"http://{LOGIN}@127.0.0.1:9")
    with pytest.raises(ConnectError, match=r"through the proxy 127.0.0.1:9 \(HTTPS_PROXY\)"):
        update(**secure, max_retries=0)


def test_plain_http_goes_through_a_proxy_on_this_machine_only(
    sandbox: Sandbox, proxy: Proxy, locked_proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert update(base_url=sandbox.url, proxy=proxy.url).cust_id == 51736835
    assert proxy.heads[0].startswith(b"POST http://127.0.0.1:")
    with pytest.raises(ConnectError, match="407") as caught:
        update(base_url=sandbox.url, proxy=locked_proxy.url, max_retries=0)
    assert caught.value.delivery == "not_sent"
    with pytest.raises(ConfigurationError, match="proxy: .*allow_http"):
        Client(base_url=sandbox.url, proxy="http://proxy.example:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    with pytest.raises(ConfigurationError, match="HTTP_PROXY: .*NO_PROXY"):
        Client(base_url=sandbox.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Client(base_url=sandbox.url)


def test_http_proxy_is_not_read_in_a_cgi_program(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://the.header.named.proxy")
    monkeypatch.setenv("REQUEST_METHOD", "POST")
    Client(base_url=sandbox.url)


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1080", "http://", "http://a b", "ftp://h:1"])
def test_an_unusable_proxy_is_named(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(ConfigurationError, match="^proxy: "):
        Client(proxy=url)
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigurationError, match="^HTTPS_PROXY: "):
        Client()
    Client(trust_env=False)


@pytest.mark.parametrize("host", ["127.0.0.1:9", "127.0.0.1:99999", "[::"])
def test_no_text_holds_the_login_of_a_proxy(secure: Any, host: str) -> None:
    proxy = f"http://{LOGIN}@{host}"
    try:
        client = Client(**secure, proxy=proxy, max_retries=0)
        shown = repr(client)
        client.update_personal_info(**UPDATE)
    except (ConfigurationError, ConnectError) as error:
        shown = f"{error!r} {traceback.format_exc()} {pickle.dumps(error)!r}"
    assert PASSWORD not in shown.replace(f'LOGIN = f"user:{PASSWORD}"', "")
    encoded = base64.b64encode(LOGIN.encode()).decode()
    assert encoded not in shown
