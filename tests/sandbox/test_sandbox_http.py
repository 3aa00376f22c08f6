"""The sandbox as an HTTP server: methods, lengths, connections, TLS."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import sys
import threading
import time
from pathlib import Path

import documented
import pytest
from sandbox_requests import (
    DOCUMENTED_RESPONSE,
    JSON,
    body_of,
    dial,
    read_all,
    request_bytes,
    send,
    update,
)

from skypostal.sandbox import PATH, Sandbox


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_405(sandbox: Sandbox, method: str) -> None:
    response, page = send(sandbox, None, method=method)
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert page.startswith(b"\xef\xbb\xbf") is (method != "HEAD")


def test_head_has_no_body(sandbox: Sandbox) -> None:
    with dial(sandbox) as connection:
        connection.sendall(f"HEAD {PATH} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        content = read_all(connection)
    assert b"\r\nContent-Length: " in content and b"\r\nContent-Length: 0" not in content
    assert content.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", ["/", PATH + "/", PATH + "?x=1", PATH.upper(), PATH[:-1]])
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_an_unknown_path_is_an_html_404(sandbox: Sandbox, method: str, path: str) -> None:
    response, page = send(sandbox, body_of(), method=method, path=path)
    assert response.status == 404
    assert page.startswith(b"\xef\xbb\xbf") and b"Endpoint not found" in page


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 411),
        (["Content-Length:"], 411),
        (["Transfer-Encoding: chunked"], 411),
        (["Transfer-Encoding: chunked", "Content-Length: 5"], 411),
        (["Content-Length: -1"], 400),
        (["Content-Length: +5"], 400),
        (["Content-Length: 5x"], 400),
        (["Content-Length: 5", "Content-Length: 6"], 400),
        (["Content-Length: " + "9" * 5000], 400),
        (["Content-Length: 999999999"], 413),
    ],
)
def test_a_bad_length_gets_a_response_and_the_connection_closed(
    sandbox: Sandbox, headers: list[str], status: int
) -> None:
    with dial(sandbox) as connection:
        connection.sendall(request_bytes(b"5\r\nhello\r\n0\r\n\r\n", *headers))
        head, _, page = read_all(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nConnection: close" in head
    assert (page == b"") is (status == 413)


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413)])
def test_a_body_holds_64_kib(sandbox: Sandbox, size: int, status: int) -> None:
    body = body_of()
    response, content = send(sandbox, body + b" " * (size - len(body)))
    assert response.status == status
    if status == 413:
        assert content == b"" and response.headers["Content-Type"] is None
        assert sandbox.requests[-1].body == b""


def test_a_response_survives_a_body_that_is_still_coming(sandbox: Sandbox) -> None:
    with dial(sandbox) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.sendall(request_bytes(b" " * 1_000_000, "Content-Length: 1000000"))
        assert read_all(connection).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("length", [None, 70_000])
def test_expect_100_continue(sandbox: Sandbox, length: int | None) -> None:
    body = body_of()
    with dial(sandbox) as connection:
        size = length or len(body)
        connection.sendall(request_bytes(b"", f"Content-Length: {size}", "Expect: 100-continue"))
        first = connection.recv(65536)
        if length:
            assert first.startswith(b"HTTP/1.1 413 ")
        else:
            assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(body)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_response_leaves_in_one_send(sandbox: Sandbox) -> None:
    body = body_of()
    with dial(sandbox) as connection:
        for _ in range(20):
            connection.sendall(request_bytes(body, f"Content-Length: {len(body)}"))
            content = connection.recv(65536)
            assert content.startswith(b"HTTP/1.1 200 OK\r\n") and content.endswith(b"}}]")


def test_a_connection_closes_after_max_requests() -> None:
    body = body_of()
    with Sandbox(max_requests=3) as sandbox, dial(sandbox) as connection:
        for turn in (1, 2, 3):
            connection.sendall(request_bytes(body, f"Content-Length: {len(body)}"))
            assert (b"\r\nConnection: close" in connection.recv(65536)) is (turn == 3)
        assert connection.recv(1) == b""


def test_a_connection_closes_when_asked(sandbox: Sandbox) -> None:
    body = body_of()
    with dial(sandbox) as connection:
        connection.sendall(request_bytes(body, f"Content-Length: {len(body)}", "Connection: close"))
        assert b"\r\nConnection: close" in read_all(connection)


@pytest.mark.parametrize("sent", [b"", b"POST ", b"whole"])
def test_a_silent_connection_closes(sent: bytes) -> None:
    body = body_of()
    if sent == b"whole":
        sent = request_bytes(body, f"Content-Length: {len(body)}")
    with Sandbox(idle_timeout=0.2) as sandbox, dial(sandbox) as connection:
        begin = time.monotonic()
        connection.sendall(sent)
        read_all(connection)
        assert 0.15 < time.monotonic() - begin < 5


@pytest.mark.parametrize("part", [b"", b"garbage\r\n\r\n", b"POST ", b"head", b"reset"])
def test_a_client_that_goes_away_leaves_no_trace(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str], part: bytes
) -> None:
    body = body_of(customer_first_name="X")
    whole = request_bytes(body, f"Content-Length: {len(body)}")
    with dial(sandbox) as connection:
        if part == b"reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(whole[:-5] if part in (b"head", b"reset") else part)
    assert update(sandbox, body_of())["customer_first_name"] == "Old Name"
    sandbox.close()
    assert [request.status for request in sandbox.requests] == [200]
    assert capfd.readouterr() == ("", "")


def test_tls_with_an_authority_of_its_own() -> None:
    with Sandbox(tls=True) as sandbox:
        assert sandbox.url.startswith("https://127.0.0.1:") and sandbox.ca_file is not None
        folder = sandbox.ca_file.parent
        port = int(sandbox.url.rpartition(":")[2])
        context = ssl.create_default_context(cafile=str(sandbox.ca_file))
        for host in ("127.0.0.1", "localhost"):
            secure = http.client.HTTPSConnection(host, port, timeout=10, context=context)
            with contextlib.closing(secure) as connection:
                connection.request("POST", PATH, documented.REQUEST_BYTES, JSON)
                assert connection.getresponse().read() == DOCUMENTED_RESPONSE
                connection.request("POST", PATH, b" " * 65_537, JSON)
                assert connection.getresponse().status == 413
        with pytest.raises(ssl.SSLCertVerificationError):
            http.client.HTTPSConnection("127.0.0.1", port, timeout=10).request("GET", "/")
        assert [request.connection for request in sandbox.requests] == [1, 1, 2, 2]
    assert not folder.exists()
    with Sandbox() as plain:
        assert plain.ca_file is None


def test_who_does_not_speak_tls_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    with Sandbox(tls=True, idle_timeout=0.2) as sandbox:
        context = ssl.create_default_context(cafile=str(sandbox.ca_file))
        with dial(sandbox) as silent, dial(sandbox) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            host, _, port = sandbox.url.partition("//")[2].partition(":")
            secure = http.client.HTTPSConnection(host, int(port), timeout=10, context=context)
            with contextlib.closing(secure) as connection:
                connection.request("POST", PATH, body_of(), JSON)
                assert connection.getresponse().status == 200
            assert silent.recv(1) == b""  # after the idle timeout
    assert capfd.readouterr() == ("", "")


def test_close_ends_tls_connections_too(capfd: pytest.CaptureFixture[str]) -> None:
    threads = threading.active_count()
    with Sandbox(tls=True) as sandbox:
        context = ssl.create_default_context(cafile=str(sandbox.ca_file))
        host = sandbox.url.partition("//")[2].partition(":")[0]
        with context.wrap_socket(dial(sandbox), server_hostname=host) as idle:
            begin = time.monotonic()
            sandbox.close()
            assert time.monotonic() - begin < 2
            with contextlib.suppress(ssl.SSLEOFError):
                assert idle.recv(1) == b""
    assert threading.active_count() <= threads
    assert capfd.readouterr() == ("", "")


def test_tls_without_trustme_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ImportError, match=r"pip install 'skypostal\[testing\]'"):
        Sandbox(tls=True)
    assert list(tmp_path.iterdir()) == []
