"""TLS: whom the client trusts, and what it says when a handshake fails."""

from __future__ import annotations

import datetime
import os
import re
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
import trustme
from clients import NO_SUCH_FILE
from tls_server import SelfSigned, Serve, Server, accept_updates

from skypostal import (
    Client,
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    ResponseError,
    SkyPostalError,
    TlsError,
)

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
    none = tmp_path / "none"
    monkeypatch.setenv("SSL_CERT_DIR", str(none))
    with pytest.raises(
        ConfigurationError, match=f"^SSL_CERT_DIR: {re.escape(str(none))}: {NO_SUCH_FILE}"
    ):
        update(server.port)
    monkeypatch.setenv("SSL_CERT_DIR", f"{none}{os.pathsep}{tmp_path}")
    assert update(server.port).cust_id == 51736835


def test_requests_ca_bundle_adds_too_where_the_environment_is_trusted(
    start: Any, ca: trustme.CA, ca_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(accept_updates(ca.issue_cert("localhost")))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca_file))
    assert update(server.port).cust_id == 51736835
    with pytest.raises(TlsError):
        update(server.port, trust_env=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such.pem")
    words = rf"^ca_file: /no/such.pem: {NO_SUCH_FILE}.* \(read from REQUESTS_CA_BUNDLE\)$"
    with pytest.raises(ConfigurationError, match=words):
        Client()


@pytest.mark.parametrize("name", ["0123abcd.0", "company.pem", "company.crt"])
@pytest.mark.parametrize("by_variable", [True, False])
def test_a_folder_of_certificates_is_trusted(
    start: Any,
    ca: trustme.CA,
    ca_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    by_variable: bool,
) -> None:
    server = start(accept_updates(ca.issue_cert("localhost")))
    (tmp_path / "README").write_text("our certificates")
    (tmp_path / "inner").mkdir()
    if by_variable:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path))
    options: Any = {} if by_variable else {"ca_file": tmp_path}
    source = r" \(read from REQUESTS_CA_BUNDLE\)" if by_variable else ""
    folder = re.escape(str(tmp_path))
    words = f"^ca_file: {folder}: no file of this folder holds a PEM certificate{source}$"
    with pytest.raises(ConfigurationError, match=words):
        update(server.port, **options)
    (tmp_path / name).write_bytes(ca_file.read_bytes())
    assert update(server.port, **options).cust_id == 51736835


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"])
def test_a_variable_with_an_unusable_path_is_named_and_an_empty_one_is_absent(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "/no/such")
    with pytest.raises(ConfigurationError, match=f"/no/such: {NO_SUCH_FILE}") as caught:
        Client()
    assert variable in str(caught.value) and caught.value.delivery == "not_sent"
    # A plain call to this machine needs no certificate.
    Client(base_url="http://127.0.0.1:8080")
    monkeypatch.setenv(variable, "")
    Client()


def test_an_unusable_ssl_cert_file_is_named_beside_a_good_ssl_cert_dir(
    ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(ca_file.parent))
    (tmp_path / "ca.der").write_bytes(ssl.PEM_cert_to_DER_cert(ca_file.read_text()))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.der"))
    with pytest.raises(
        ConfigurationError, match=r"^SSL_CERT_FILE: .*ca.der: is a certificate in DER"
    ):
        Client()
    Client(ca_file=ca_file)


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


def test_plain_http_that_gets_an_alert_asks_whether_the_port_speaks_tls(start: Any) -> None:
    server = start(say(b"\x15\x03\x03\x00\x02\x02\x46"))
    with pytest.raises(ResponseError, match=r"if this port speaks TLS, give an https:// base_url"):
        update(server.port, scheme="http", max_retries=0)


def say(response: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(response)

    return serve


@pytest.mark.parametrize(
    "response", [b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"]
)
def test_tls_to_a_plain_port_says_so(start: Any, response: bytes) -> None:
    server = start(say(response))
    with pytest.raises(TlsError, match=r"does not speak TLS: check the port .* http://") as caught:
        update(server.port, max_retries=0)
    assert caught.value.delivery == "not_sent"


def test_an_alert_in_mid_connection_is_a_lost_connection(
    start: Any, ca: trustme.CA, ca_file: Path
) -> None:
    # TLS 1.3: the client's handshake is over when the server finds no certificate of the client.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    ca.configure_trust(context)
    server = start(accept_updates(ca.issue_cert("localhost"), context))
    with pytest.raises(ConnectionLostError, match="asks for a client's certificate") as caught:
        update(server.port, ca_file=ca_file, max_retries=0)
    assert "not HTTP" not in str(caught.value)


def test_bytes_that_do_not_decrypt_are_a_lost_connection(
    start: Any, ca: trustme.CA, ca_file: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(context)

    def serve(connection: socket.socket) -> None:
        with connection.dup() as raw, context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65536)
            raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            time.sleep(0.5)

    server = start(serve)
    with pytest.raises(ConnectionLostError, match=r"was lost before the whole response") as caught:
        update(server.port, ca_file=ca_file, max_retries=0)
    assert (caught.value.delivery, "not HTTP" in str(caught.value)) == ("unknown", False)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# one\n-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "line 2: "),
        ("# one\n# two\n-----BEGIN CERTIFICATE-----\n!!!!\n", "line 3: "),
    ],
)
def test_a_bad_ca_file_is_named_with_the_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.pem"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=f"{re.escape(str(path))}, {words}"):
        Client(ca_file=path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty.pem", "is empty"),
        ("disk.img", "is longer than 16 MiB, which no file of certificates is"),
        ("ca.der", "is a certificate in DER form; turn it into PEM: openssl x509 -inform der"),
        ("utf16.pem", "is text in UTF-16, as PowerShell writes it; save it as UTF-8"),
        ("notes.txt", "is a text that holds no certificate in PEM form"),
        ("page.html", "is an HTML or XML page"),
        ("key.pem", "holds a PRIVATE KEY, and no CERTIFICATE"),
        ("indented.pem", "BEGIN line does not start its line"),
        ("bare.pem", "without its lines -----BEGIN CERTIFICATE-----"),
    ],
)
def test_a_ca_file_of_another_kind_says_what_it_is(
    ca_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    pem = ca_file.read_text()
    content = {
        "empty.pem": b"",
        "disk.img": bytes(16 * 1024 * 1024 + 1),
        "ca.der": ssl.PEM_cert_to_DER_cert(pem),
        "utf16.pem": pem.encode("utf-16"),
        "notes.txt": b"ask Ana for the certificate\n",
        "page.html": b"<!DOCTYPE html><title>Sign in</title>",
        "key.pem": b"-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
        "indented.pem": pem.replace("\n", "\n  ").encode().rjust(len(pem) * 2),
        "bare.pem": "".join(pem.strip().splitlines(keepends=True)[1:-1]).encode(),
    }[name]
    path = tmp_path / name
    path.write_bytes(content)
    for option in ({"ca_file": path}, {}):
        with pytest.raises(ConfigurationError) as caught:
            Client(**option)  # type: ignore[arg-type]
        assert f"{path}: " in str(caught.value) and words in str(caught.value)
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    Client(base_url="http://localhost:8080")


def test_a_path_is_shown_on_one_line() -> None:
    with pytest.raises(ConfigurationError, match="^ca_file: /no/such line�: ") as caught:
        Client(ca_file="/no/such\nline\x1b")
    assert "\n" not in str(caught.value)


def test_a_mark_at_the_start_of_a_ca_file_does_no_harm(
    start: Any, ca: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "notepad.pem"
    path.write_bytes(ca_file.read_text().replace("\n", "\r\n").encode("utf-8-sig"))
    server = start(accept_updates(ca.issue_cert("localhost")))
    assert update(server.port, ca_file=path).cust_id == 51736835


def test_a_ca_file_that_is_missing_is_named() -> None:
    with pytest.raises(ConfigurationError, match=f"ca_file: /no/such.pem: {NO_SUCH_FILE}"):
        Client(ca_file="/no/such.pem")
