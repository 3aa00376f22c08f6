"""Proxies: given, from the environment, exempted, unusable, and their secrets."""

from __future__ import annotations

import base64
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from proxy_server import LOGIN, PASSWORD, Proxy
from tls_server import SelfSigned

from skypostal import Client, ConfigurationError, ConnectError, TlsError
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


@pytest.mark.parametrize(
    ("exempt", "is_exempt"),
    [
        ("127.0.0.1:{port}", True),
        ("127.0.0.1:1", False),
        ("127.0.0.0/8", True),
        ("128.0.0.0/8", False),
        ("127.*", True),
        ("example.org 127.0.0.1", True),
        ("example.org;127.0.0.1", True),
        ("localhost", False),
    ],
)
def test_no_proxy_takes_ports_networks_and_spaces(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, exempt: str, is_exempt: bool
) -> None:
    # A proxy elsewhere is refused for a plain call, so that nothing leaves this machine.
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exempt.format(port=sandbox.url.rpartition(":")[2]))
    if is_exempt:
        assert "proxy=" not in repr(Client(base_url=sandbox.url))
    else:
        with pytest.raises(ConfigurationError, match=r"HTTP_PROXY: .*NO_PROXY"):
            Client(base_url=sandbox.url)


@pytest.mark.parametrize(
    ("exempt", "is_exempt"),
    [
        (".service.example", True),
        ("*.service.example", True),
        ("service.example.", True),
        ("box.service.example:443", True),
        ("box.service.example:8443", False),
        ("ervice.example", False),
    ],
)
def test_no_proxy_takes_the_names_of_a_domain(
    monkeypatch: pytest.MonkeyPatch, exempt: str, is_exempt: bool
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert ("proxy=" in repr(Client(base_url="https://box.service.example"))) is not is_exempt


@pytest.mark.parametrize("exempt", ["::1", "[::1]", "[::1]:8080", "::1/128"])
def test_no_proxy_takes_addresses_of_ipv6(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert "proxy=" not in repr(Client(base_url="http://[::1]:8080"))


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


@pytest.mark.parametrize(
    ("offers", "words"),
    [
        (["Basic realm=x"], "asks for a user name and a password"),
        (["NTLM", "Basic realm=x"], "asks for a user name and a password"),
        (["Negotiate", "NTLM"], "a login by negotiate or ntlm .* only Basic is supported"),
    ],
)
def test_a_proxy_says_which_login_it_takes(
    secure: Any, sandbox: Sandbox, offers: list[str], words: str
) -> None:
    headers = "".join(f"Proxy-Authenticate: {offer}\r\n" for offer in offers)
    proxy = Proxy(refusal=f"HTTP/1.1 407 No\r\n{headers}Content-Length: 0\r\n\r\n".encode())
    for service in (secure, {"base_url": sandbox.url}):
        with pytest.raises(ConnectError, match=words) as caught:
            update(**service, proxy=proxy.url, max_retries=0)
        assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 1)
        assert f"the proxy 127.0.0.1:{proxy.port} (proxy)" in str(caught.value)
    proxy.close()


@pytest.mark.parametrize("login", ["user:wrong-7fz", ":wrong-7fz"])
def test_a_login_that_a_proxy_refuses_is_sent_once(
    secure: Any, sandbox: Sandbox, login: str
) -> None:
    # A few more would lock the account.
    proxy = Proxy(LOGIN)
    url = f"http://{login}@127.0.0.1:{proxy.port}"
    for number, service in enumerate((secure, {"base_url": sandbox.url}), 1):
        with pytest.raises(ConnectError, match=r"does not accept this user name and password"):
            update(**service, proxy=url)
        assert len(proxy.heads) == number
    client = Client(**secure, user_code=USER_CODE, app_key=APP_KEY, proxy=url)
    rows = [{"customer_box_id": BOX_ID, "customer_key": CUSTOMER_KEY}] * 30
    with pytest.raises(ConnectError, match="stopped after 1 consecutive rows"):
        list(client.update_many(rows, concurrency=1))
    assert len(proxy.heads) == 3
    with pytest.raises(ConnectError, match="stopped after [1-8] consecutive rows"):
        list(client.update_many(rows))
    assert len(proxy.heads) <= 3 + 8
    proxy.close()


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\n\r\nnope!", "HTTP 403; ask its admin"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n<html>x</html>", "HTTP 502; it found no way"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\n\r\n", "HTTP 302; it may want"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "its response is not HTTP"),
    ],
)
def test_a_refused_tunnel_tells_its_status(
    secure: Any, monkeypatch: pytest.MonkeyPatch, refusal: bytes, words: str
) -> None:
    proxy = Proxy(refusal=refusal)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{LOGIN}@127.0.0.1:{proxy.port}")
    through = rf"no connection to localhost:\d+ through the proxy 127.0.0.1:{proxy.port} \(HTTPS_PR"
    with pytest.raises(ConnectError, match=f"{through}.*: .*{words}") as caught:
        update(**secure, max_retries=0)
    assert type(caught.value) is ConnectError
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 1)
    assert PASSWORD not in str(caught.value)
    # Neither request holds anything of the call.
    assert len(proxy.heads) == 2
    assert not [head for head in proxy.heads if APP_KEY.encode() in head or b"customer" in head]
    proxy.close()


def test_a_proxy_may_speak_tls(secure: Any, sandbox: Sandbox, tmp_path: Path) -> None:
    ca = trustme.CA()
    proxy = Proxy(certificate=ca.issue_cert("localhost"))
    both = tmp_path / "both.pem"
    both.write_bytes(Path(secure["ca_file"]).read_bytes() + ca.cert_pem.bytes())
    assert update(**{**secure, "ca_file": both}, proxy=proxy.url).cust_id == 51736835
    # The certificates are needed for a plain call too.
    assert update(base_url=sandbox.url, ca_file=both, proxy=proxy.url).cust_id == 51736835
    assert len(proxy.heads) == 2
    # Here it is the service's that is not trusted.
    ca.cert_pem.write_to_path(str(tmp_path / "proxy.pem"))
    with pytest.raises(TlsError, match=r"^the certificate of localhost:\d+ was not"):
        update(**{**secure, "ca_file": tmp_path / "proxy.pem"}, proxy=proxy.url)
    proxy.close()


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("certificate", ["unknown issuer", "self-signed", "other host"])
def test_a_proxy_with_a_bad_certificate_is_named_as_the_proxy(
    secure: Any, sandbox: Sandbox, tmp_path: Path, certificate: str, plain: bool
) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    of: dict[str, trustme.LeafCert | SelfSigned] = {
        "unknown issuer": trustme.CA().issue_cert("localhost"),
        "self-signed": SelfSigned(),
        "other host": ca.issue_cert("other.example"),
    }
    proxy = Proxy(certificate=of[certificate])
    base_url = sandbox.url if plain else secure["base_url"]
    whose = rf"^the certificate of the proxy localhost:{proxy.port} \(proxy\) was not accepted"
    with pytest.raises(TlsError, match=whose) as caught:
        update(base_url=base_url, ca_file=tmp_path / "ca.pem", proxy=proxy.url)
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 1)
    assert "base_url" not in str(caught.value) and sandbox.requests == []
    proxy.close()


def test_tls_to_a_plain_proxy_says_so(secure: Any, locked_proxy: Proxy) -> None:
    url = f"https://127.0.0.1:{locked_proxy.port}"
    locked_proxy.serve = lambda connection: connection.sendall(b"HTTP/1.1 400 No\r\n\r\n")
    with pytest.raises(TlsError, match=r"the proxy does not speak TLS: .* http://") as caught:
        update(**secure, proxy=url, max_retries=0)
    assert caught.value.delivery == "not_sent"


def test_a_refusal_of_a_proxy_that_speaks_tls_is_no_tls_error(secure: Any, tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    proxy = Proxy(
        certificate=ca.issue_cert("localhost"),
        refusal=b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
    )
    with pytest.raises(ConnectError, match="HTTP 403") as caught:
        update(**{**secure, "ca_file": tmp_path / "ca.pem"}, proxy=proxy.url, max_retries=0)
    assert type(caught.value) is ConnectError
    proxy.close()


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


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("socks5://127.0.0.1:1080", "SOCKS is not supported"),
        ("socks5h://127.0.0.1:1080", "SOCKS is not supported"),
        ("socks4://127.0.0.1:1080", "SOCKS is not supported"),
        ("http://127.0.0.1/proxy.pac", "PAC file, which is not read"),
        ("'http://127.0.0.1:1'", "quotation mark; remove it"),
        ("http://", ""),
        ("http://a b", "white space"),
        ("ftp://h:1", "must be https://host"),
    ],
)
def test_an_unusable_proxy_is_named(monkeypatch: pytest.MonkeyPatch, url: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^proxy: .*{words}"):
        Client(proxy=url)
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ConfigurationError, match=f"^HTTPS_PROXY: .*{words}"):
        Client()
    Client(trust_env=False)


@pytest.mark.parametrize(
    "login",
    ["S3CRET#x", "S3CRET/x", "S3CRET?x", "CORP\\user:S3CRET", "user:4711/S3CRET", "user:S3 CRET"],
)
def test_a_login_that_must_be_percent_encoded_is_refused(
    monkeypatch: pytest.MonkeyPatch, login: str
) -> None:
    for url in (f"http://{login}@127.0.0.1:9", f"{login}@127.0.0.1:9"):
        monkeypatch.setenv("HTTPS_PROXY", url)
        with pytest.raises(ConfigurationError, match=r"^HTTPS_PROXY: .*percent-encoded") as caught:
            Client()
        shown = f"{caught.value!r} {pickle.dumps(caught.value)!r}"
        assert "S3" not in shown and "4711" not in shown


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
