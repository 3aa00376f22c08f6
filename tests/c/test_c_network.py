"""Proxies and certificates in C: the same rules, and the same words, as in Python."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from c_library import CLibrary
from project import TESTS, environment_of
from proxy_server import LOGIN, PASSWORD, Proxy

from skypostal.sandbox import Sandbox

# Makes one call with these variables and returns what it printed.
Call = Callable[..., str]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.close()


@pytest.fixture
def secure() -> Iterator[Sandbox]:
    with Sandbox(tls=True, host="localhost") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def call(c_library: CLibrary) -> Call:
    program = c_library.compile(TESTS / "c" / "fault_driver.c", "-std=c89")

    def call(sandbox: Sandbox, **variables: str) -> str:
        command = [str(program), sandbox.url, "5000", "2000", "0"]
        done = subprocess.run(
            command,
            env={**environment_of(sandbox), **variables},
            input="\n",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert PASSWORD not in done.stdout + done.stderr
        return done.stdout + done.stderr

    return call


def test_a_variable_names_the_proxy_and_no_proxy_exempts(
    call: Call, sandbox: Sandbox, proxy: Proxy
) -> None:
    port = sandbox.url.rpartition(":")[2]
    assert call(sandbox, http_proxy=proxy.url).startswith("ok ")
    seen = len(proxy.heads)
    assert seen > 0
    for exempt in (f"127.0.0.1:{port}", "127.0.0.0/8", "x 127.*"):
        assert call(sandbox, http_proxy=proxy.url, NO_PROXY=exempt).startswith("ok ")
        assert len(proxy.heads) == seen, exempt


def test_a_refused_tunnel_tells_its_status(call: Call, secure: Sandbox) -> None:
    proxy = Proxy(refusal=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    said = call(secure, HTTPS_PROXY=f"http://{LOGIN}@127.0.0.1:{proxy.port}")
    assert said.startswith("connect not_sent 1 ")
    assert f"through the proxy 127.0.0.1:{proxy.port} (HTTPS_PROXY): it refused" in said
    assert "HTTP 403" in said
    proxy.close()


@pytest.mark.parametrize(
    ("proxy_url", "words"),
    [
        (f"http://user:{PASSWORD}/x@h:1", "HTTPS_PROXY: the user name or the password"),
        (f"socks5://user:{PASSWORD}@h:1", "HTTPS_PROXY: SOCKS is not supported"),
        ("http://h:1/proxy.pac", "HTTPS_PROXY: is the address of a PAC file"),
    ],
)
def test_an_unusable_proxy_is_named(
    call: Call, secure: Sandbox, proxy_url: str, words: str
) -> None:
    assert call(secure, HTTPS_PROXY=proxy_url).startswith(words)


def test_an_unusable_certificate_file_is_named_and_stops_no_plain_call(
    call: Call, sandbox: Sandbox, secure: Sandbox
) -> None:
    none = {"SSL_CERT_FILE": "/no/such.pem", "SSL_CERT_DIR": ""}
    assert call(secure, **none).startswith("SSL_CERT_FILE: /no/such.pem: No such file")
    assert call(sandbox, **none).startswith("ok ")
