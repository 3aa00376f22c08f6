"""TLS: whom the client trusts, and what it says when a handshake fails."""

from __future__ import annotations

import datetime
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import trustme
from tls_server import SelfSigned, Serve, Server, accept_updates

from skypostal import Client, ConfigurationError, ConnectError, SkyPostalError, TlsError

UPDATE: Any = {"user_code": 396, "app_key": "k", "customer_box_id": 811111, "customer_key": "k"}


@pytest.fixture
def start() -> Iterator[Callable[[Serve], Server]]:
    servers: list[Server] = []

    def start(serve: Serve) -> Server:
        servers.append(Server(serve))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(ca: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    ca.cert_pem.write_to_path(str(path))
    return path


def update(port: int, host: str = "localhost", scheme: str = "https", **options: Any) -> Any:
    with Client(base_url=f"{scheme}://{host}:{port}", **options) as client:
        return client.update_personal_info(**UPDATE)


def test_a_ca_file_is_trusted(start: Any, ca: trustme.CA, ca_file: Path) -> None:
    server = start(accept_updates(ca.issue_cert("localhost", "127.0.0.1")))
    assert update(server.port, ca_file=ca_file).cust_id == 51736835
    assert update(server.port, "127.0.0.1", ca_file=str(ca_file)).cust_id == 51736835


def test_a_ca_file_adds_to_the_systems_roots(
    start: Any, ca: trustme.CA, tmp_path: Path, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = trustme.CA()
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    for issuer in (ca, other):
        server = start(accept_updates(issuer.issue_cert("localhost")))
        assert update(server.port, ca_file=tmp_path / "other.pem").cust_id == 51736835


def test_ssl_cert_file_and_ssl_cert_dir_replace_the_systems_roots(
    start: Any, ca: trustme.CA, ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(accept_updates(ca.issue_cert("localhost")))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(ca_file))
    assert update(server.port).cust_id == 51736835
    monkeypatch.delenv("SSL_CERT_FILE")
    # The name that c_rehash gives: a hash and a number.
    (tmp_path / "0123abcd.0").write_bytes(ca_file.read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert update(server.port).cust_id == 51736835
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match="no root certificates"):
        update(server.port)


def test_requests_ca_bundle_adds_too_where_the_environment_is_trusted(
    start: Any, ca: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(accept_updates(ca.issue_cert("localhost")))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    assert update(server.port).cust_id == 51736835
    with pytest.raises(TlsError):
        update(server.port, trust_env=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such.pem")
    with pytest.raises(ConfigurationError, match="ca_file: /no/such.pem: No such file"):
        Client()


def year(number: int) -> datetime.datetime:
    return datetime.datetime(number, 1, 1)


@pytest.mark.parametrize(
    ("certificate", "trusted", "words"),
    [
        (lambda ca: ca.issue_cert("localhost"), False, "issuer is not trusted.* ca_file"),
        (lambda ca: trustme.CA().issue_cert("localhost"), True, "issuer is not trusted.* ca_file"),
        (lambda ca: SelfSigned(), True, "was not accepted"),
        (lambda ca: ca.issue_cert("example.org"), True, "another host: check base_url"),
        (
            lambda ca: ca.issue_cert("localhost", not_before=year(2019), not_after=year(2020)),
            True,
            "expired.*clock",
        ),
        (
            lambda ca: ca.issue_cert("localhost", not_before=year(2090), not_after=year(2091)),
            True,
            "not valid yet.*clock",
        ),
    ],
    ids=["no ca_file", "unknown issuer", "self-signed", "wrong host", "expired", "not yet valid"],
)
def test_a_bad_certificate_is_told_and_not_tried_again(
    start: Any, ca: trustme.CA, ca_file: Path, certificate: Any, trusted: bool, words: str
) -> None:
    server = start(accept_updates(certificate(ca)))
    with pytest.raises(TlsError, match=words) as caught:
        update(server.port, ca_file=ca_file if trusted else None)
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 1)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_server_that_is_too_old_is_told(start: Any, ca: trustme.CA, ca_file: Path) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    server = start(accept_updates(ca.issue_cert("localhost"), old))
    with pytest.raises(TlsError, match="(?i)protocol ?version") as caught:
        update(server.port, ca_file=ca_file)
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 3)


def stall(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def hang_up(connection: socket.socket) -> None:
    connection.recv(1)


def reset(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def speak_plainly(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("serve", [stall, hang_up, reset, speak_plainly])
def test_a_handshake_that_fails_is_a_tls_error(start: Any, serve: Serve) -> None:
    server = start(serve)
    started = time.monotonic()
    with pytest.raises(TlsError, match="connection to localhost") as caught:
        update(server.port, connect_timeout=0.2, max_retries=1)
    assert (caught.value.delivery, caught.value.attempts) == ("not_sent", 2)
    assert time.monotonic() - started < 1


def test_a_refused_connection_is_no_tls_error() -> None:
    with pytest.raises(ConnectError) as caught:
        update(9, max_retries=0)
    assert type(caught.value) is ConnectError


def test_plain_http_to_a_tls_port_ends_in_an_error(start: Any, ca: trustme.CA) -> None:
    server = start(accept_updates(ca.issue_cert("localhost")))
    with pytest.raises(SkyPostalError) as caught:
        update(server.port, scheme="http", max_retries=0)
    assert caught.value.delivery == "unknown"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: holds no certificate"),
        ("no PEM at all\n", "line 1: holds no certificate"),
        ("# one\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "line 2: "),
        ("# one\n# two\n-----BEGIN CERTIFICATE-----\n!!!!\n", "line 3: "),
    ],
)
def test_a_bad_ca_file_is_named_with_the_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.pem"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=f"{path}, {words}"):
        Client(ca_file=path)


def test_a_ca_file_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError, match="ca_file: /no/such.pem: No such file"):
        Client(ca_file="/no/such.pem")
