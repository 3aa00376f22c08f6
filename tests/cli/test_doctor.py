"""`skypostal doctor`: each cause that it finds, with what to do."""

from __future__ import annotations

import contextlib
import datetime
import json
import socket
import sys
import time
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme
from command_line import COMMAND, Terminal, at_terminal, environment, run, serving
from fault_cases import ok, status
from fault_server import Script, close, hang, read, send
from proxy_server import PASSWORD, Proxy
from tls_server import Server, accept_updates

from skypostal import __version__
from skypostal.sandbox import APP_KEY, CUSTOMER_KEY, Sandbox


def doctor(*arguments: str, url: str = "", **changes: str | None) -> tuple[int, dict[str, Any]]:
    done = run("doctor", "--json", *arguments, url=url, **changes)
    assert done.stderr == ""
    diagnosis = json.loads(done.stdout)
    assert diagnosis["ok"] is (done.returncode == 0)
    checks = {check.pop("check"): check for check in diagnosis["checks"]}
    for check in checks.values():
        assert check["state"] in ("ok", "warning", "problem")
        assert bool(check["advice"]) is (check["state"] != "ok")
    return done.returncode, checks


def assert_problem(diagnosis: tuple[int, dict[str, Any]], check: str, text: str, hint: str) -> None:
    """That is the last problem, with that advice."""
    code, checks = diagnosis
    assert code == 1
    problems = [name for name, each in checks.items() if each["state"] == "problem"]
    assert problems == [check], checks
    assert text in checks[check]["text"] and hint in checks[check]["advice"], checks[check]


def test_the_doctor_finds_nothing_where_all_is_well(sandbox: Sandbox) -> None:
    code, checks = doctor(url=sandbox.url)
    assert code == 0 and {check["state"] for check in checks.values()} == {"ok"}
    assert list(checks) == [
        "version", "credentials", "address", "proxy", "name", "connection", "tls", "service",
        "clock",
    ]  # fmt: skip
    assert checks["address"]["text"] == f"{sandbox.url} (from SKYPOSTAL_BASE_URL)"
    (request,) = sandbox.requests
    assert (request.method, request.body, request.status) == ("GET", b"", 405)
    heads = str(request.headers)
    assert not any(secret in heads for secret in (APP_KEY, CUSTOMER_KEY))


def test_the_doctor_writes_the_same_lines_into_a_file(sandbox: Sandbox) -> None:
    done = run("doctor", url=sandbox.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"ok       version      skypostal {__version__}, Python ")
    assert "Only an update shows" in done.stdout


def test_the_doctor_at_a_terminal_writes_lines_of_80_columns(sandbox: Sandbox) -> None:
    code, seen = at_terminal("doctor", url=sandbox.url, SKYPOSTAL_APP_KEY=None)
    assert code == 0 and max(map(len, seen.splitlines())) <= 80
    assert seen.startswith(f"ok       version      skypostal {__version__}, Python ")
    assert "\nwarning  credentials  SKYPOSTAL_APP_KEY is not set\n" in seen
    assert "\n                      -> set what SkyPostal gave you" in seen
    assert "Only an update shows" in seen


@pytest.mark.parametrize(
    ("changes", "state", "text"),
    [
        ({"SKYPOSTAL_USER_CODE": None, "SKYPOSTAL_APP_KEY": None}, "warning", "are not set"),
        ({"SKYPOSTAL_USER_CODE": "12x"}, "problem", "SKYPOSTAL_USER_CODE"),
        ({"SKYPOSTAL_APP_KEY": " "}, "problem", "SKYPOSTAL_APP_KEY"),
        ({"SKYPOSTAL_APP_KEY": f"'{APP_KEY}'"}, "warning", "a quotation mark"),
        ({"SKYPOSTAL_APP_KEY": f"{APP_KEY} "}, "warning", "a space"),
    ],
)
def test_the_doctor_looks_at_the_credentials(
    sandbox: Sandbox, changes: dict[str, str | None], state: str, text: str
) -> None:
    code, checks = doctor(url=sandbox.url, **changes)
    assert code == (1 if state == "problem" else 0)
    assert checks["credentials"]["state"] == state and text in checks["credentials"]["text"]
    assert checks["service"]["state"] == "ok"  # the rest is looked at all the same


@pytest.mark.parametrize(
    ("text", "state", "says"),
    [
        ("{}\n", "ok", "SKYPOSTAL_APP_KEY_FILE are set and well-formed"),
        ("'{}'\n", "warning", "SKYPOSTAL_APP_KEY_FILE: the key begins or ends with a space or"),
        ("", "problem", "is empty"),
    ],
)
def test_the_doctor_looks_at_the_file_of_the_key(
    sandbox: Sandbox, tmp_path: Path, text: str, state: str, says: str
) -> None:
    file = tmp_path / "key"
    file.write_text(text.format(APP_KEY))
    for arguments, variable in [((), str(file)), (("--app-key-file", str(file)), None)]:
        given = {"SKYPOSTAL_APP_KEY": None, "SKYPOSTAL_APP_KEY_FILE": variable}
        _, checks = doctor(*arguments, url=sandbox.url, **given)
        assert checks["credentials"]["state"] == state
        assert says in checks["credentials"]["text"]


def test_the_doctor_asks_about_a_misspelt_variable(sandbox: Sandbox) -> None:
    _, checks = doctor(url=sandbox.url, SKYPOSTAL_APP_KEY=None, SKYPOSTAL_APPKEY="k")
    assert checks["credentials"]["text"].endswith("not set; did you mean SKYPOSTAL_APPKEY?")
    _, checks = doctor(url=sandbox.url, SKYPOSTAL_APP_KEY=None)
    assert checks["credentials"]["text"] == "SKYPOSTAL_APP_KEY is not set"


def test_the_doctor_knows_the_keys_of_the_documentation() -> None:
    # Through a proxy that is not there, so that nothing leaves this machine.
    code, checks = doctor(SKYPOSTAL_BASE_URL=None, ALL_PROXY="http://127.0.0.1:9")
    assert code == 1
    assert "example of the public documentation" in checks["credentials"]["text"]


@pytest.mark.parametrize(
    ("arguments", "changes", "source"),
    [
        ((), {}, "https://api-box-test.skypostal.com (environment test, the default)"),
        ((), {"SKYPOSTAL_ENVIRONMENT": "production"},
         "https://api-box.skypostal.com (environment production, from SKYPOSTAL_ENVIRONMENT)"),
        (("--environment", "production"), {"SKYPOSTAL_BASE_URL": "http://127.0.0.1:9"},
         "https://api-box.skypostal.com (environment production, from --environment)"),
        (("--base-url", "http://localhost:9"), {}, "http://localhost:9 (from --base-url)"),
    ],
)  # fmt: skip
def test_the_doctor_says_where_the_address_comes_from(
    arguments: Sequence[str], changes: dict[str, str | None], source: str
) -> None:
    # Through a proxy that is not there, so that nothing leaves this machine.
    proxy = {"ALL_PROXY": "http://127.0.0.1:9"}
    _, checks = doctor(*arguments, url="", **{**proxy, **changes})
    assert checks["address"]["text"] == source


@pytest.mark.parametrize(
    ("arguments", "changes", "text"),
    [
        (("--base-url", "http://example.org"), {}, "base_url: plain http://"),
        ((), {"SKYPOSTAL_BASE_URL": "ftp://x"}, "SKYPOSTAL_BASE_URL"),
        ((), {"SKYPOSTAL_BASE_URL": None, "HTTPS_PROXY": f"socks5://u:{PASSWORD}@h:1"},
         "HTTPS_PROXY: "),
        (("--ca-file", "/none.pem"), {}, "ca_file: /none.pem"),
        ((), {"SKYPOSTAL_BASE_URL": None, "REQUESTS_CA_BUNDLE": "/none.pem"},
         "(read from REQUESTS_CA_BUNDLE)"),
        ((), {"SKYPOSTAL_BASE_URL": None, "SSL_CERT_FILE": "/none.pem"},
         "SSL_CERT_FILE: /none.pem"),
        ((), {"SKYPOSTAL_BASE_URL": None, "HTTPS_PROXY": f"http://u:{PASSWORD}/x@h:1"},
         "percent-encoded"),
    ],
)  # fmt: skip
def test_the_doctor_names_an_unusable_setting(
    arguments: Sequence[str], changes: dict[str, str | None], text: str
) -> None:
    diagnosis = doctor(*arguments, **{"url": "http://127.0.0.1:9", **changes})  # type: ignore[arg-type]
    assert_problem(diagnosis, "settings", text, "correct the option or the variable")


def test_the_doctor_without_a_network() -> None:
    diagnosis = doctor(url="https://nonexistent.invalid")
    assert_problem(diagnosis, "name", "nonexistent.invalid is not found", "online?")
    diagnosis = doctor(url="http://127.0.0.1:9")
    assert_problem(diagnosis, "connection", "refused", "is the server running?")
    with serving(start="full") as server:
        diagnosis = doctor("--connect-timeout", "0.3", url=server.url)
    assert_problem(diagnosis, "connection", "within 0.3 s", "a firewall may be in between")


def test_the_doctor_says_which_proxy_and_why(sandbox: Sandbox) -> None:
    proxy = Proxy()
    _, checks = doctor(url=sandbox.url, http_proxy=proxy.url)
    name = "HTTP_PROXY" if sys.platform == "win32" else "http_proxy"
    assert checks["proxy"]["text"] == f"{proxy.url[7:]} (from {name})"
    assert checks["service"]["state"] == "ok" and len(proxy.heads) == 1
    _, checks = doctor("--proxy", proxy.url, url=sandbox.url)
    assert checks["proxy"]["text"] == f"{proxy.url[7:]} (from --proxy)"
    for changes, why in [
        ({"NO_PROXY": "127.0.0.1", "HTTP_PROXY": proxy.url}, "NO_PROXY exempts 127.0.0.1"),
        ({"HTTPS_PROXY": proxy.url}, "it is for the other of http and https"),
        ({"HTTPS_PROXY": proxy.url, "NO_PROXY": "x"}, "it is for the other of http and https"),
    ]:
        _, checks = doctor(url=sandbox.url, **changes)
        assert checks["proxy"]["text"].startswith("none: ") and why in checks["proxy"]["text"]
    _, checks = doctor("--no-trust-env", url=sandbox.url, HTTP_PROXY=proxy.url)
    assert checks["proxy"]["text"] == "none: --no-trust-env; HTTP_PROXY is not read"
    proxy.close()


def test_the_doctor_on_a_proxy_that_does_not_serve(sandbox: Sandbox) -> None:
    locked = Proxy(f"user:{PASSWORD}")
    https = {"SKYPOSTAL_BASE_URL": "https://localhost:9"}
    for url in ("https://localhost:9", sandbox.url):
        diagnosis = doctor(url=url, ALL_PROXY=f"http://user:wrong@{locked.url[7:]}")
        assert_problem(diagnosis, "connection", "", "HTTPS_PROXY=http://user:password@host:port")
    diagnosis = doctor(**https, HTTPS_PROXY=f"http://user:{PASSWORD}@127.0.0.1:9")
    assert_problem(diagnosis, "connection", "refused", "is the proxy right")
    diagnosis = doctor(**https, HTTPS_PROXY="http://nonexistent.invalid:3128")
    assert_problem(diagnosis, "name", "nonexistent.invalid is not found (the proxy", "online?")
    locked.close()


def test_the_doctor_on_a_proxy_that_refuses(sandbox: Sandbox) -> None:
    proxy = Proxy(refusal=b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    diagnosis = doctor(url="https://localhost:9", HTTPS_PROXY=proxy.url)
    assert_problem(diagnosis, "connection", "HTTP 403", "may it reach localhost?")
    proxy.close()


def test_the_doctor_on_a_proxy_that_speaks_tls(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    trusted = {"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}
    for certificate, changes, hint in [
        (ca.issue_cert("localhost"), {}, "--ca-file FILE or REQUESTS_CA_BUNDLE"),
        (ca.issue_cert("other.example"), trusted, "that its certificate has: HTTPS_PROXY"),
    ]:
        proxy = Proxy(certificate=certificate)
        diagnosis = doctor(url="https://localhost:9", HTTPS_PROXY=proxy.url, **changes)
        named = f"the certificate of the proxy localhost:{proxy.port} (HTTPS_PROXY)"
        assert_problem(diagnosis, "tls", named, hint)
        proxy.close()
    plain = Server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    diagnosis = doctor(url="https://localhost:9", HTTPS_PROXY=f"https://localhost:{plain.port}")
    assert_problem(diagnosis, "tls", "does not speak TLS", "begins with http://, in HTTPS_PROXY")
    plain.close()


def test_the_doctor_on_plain_http_to_a_tls_port() -> None:
    server = Server(accept_updates(trustme.CA().issue_cert("localhost")))
    diagnosis = doctor(url=f"http://localhost:{server.port}")
    assert_problem(diagnosis, "service", "", "speaks TLS: give an https:// address")
    server.close()


def test_the_doctor_on_certificates(tmp_path: Path) -> None:
    ca, now = trustme.CA(), datetime.datetime.now(datetime.timezone.utc)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    day = datetime.timedelta(days=1)
    cases = [
        (ca.issue_cert("localhost"), {}, "issuer is not trusted", "--ca-file FILE or REQUESTS_CA"),
        (ca.issue_cert("localhost"), {"CURL_CA_BUNDLE": "/c.pem"}, "issuer", "names /c.pem, try"),
        (ca.issue_cert("other.example"), {"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")},
         "another host", "is the address right?"),
        (ca.issue_cert("localhost", not_after=now - day),
         {"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}, "expired", f"it is {now:%Y-%m-}"),
        (ca.issue_cert("localhost", not_before=now + day, not_after=now + 2 * day),
         {"REQUESTS_CA_BUNDLE": str(tmp_path / "ca.pem")}, "not valid yet", "set its clock"),
    ]  # fmt: skip
    for certificate, changes, text, hint in cases:
        server = Server(accept_updates(certificate))
        diagnosis = doctor(url=f"https://localhost:{server.port}", **changes)
        assert_problem(diagnosis, "tls", text, hint)
        server.close()
    server = Server(lambda connection: None)
    diagnosis = doctor(url=f"https://localhost:{server.port}")
    assert_problem(diagnosis, "tls", "", "ends the handshake")
    server.close()
    server = Server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
    diagnosis = doctor(url=f"https://localhost:{server.port}")
    assert_problem(diagnosis, "tls", "", "does not speak TLS")
    server.close()


def test_the_doctor_accepts_a_ca_file(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = Server(accept_updates(ca.issue_cert("localhost")))
    _, checks = doctor("--ca-file", f"{tmp_path}/ca.pem", url=f"https://localhost:{server.port}")
    assert checks["tls"]["state"] == "ok" and f"{tmp_path}/ca.pem" in checks["tls"]["text"]
    server.close()


@pytest.mark.parametrize(
    ("script", "text", "hint"),
    [
        (status("404 Not Found"), "HTTP 404", "check --base-url"),
        (status("302 Found", b"", "Location: http://login.example/"), "HTTP 302", "sign-in"),
        (status("403 Forbidden"), "HTTP 403", "keeps this machine out"),
        (status("503 Service Unavailable"), "HTTP 503", "try again later"),
        (ok(b"<html>Welcome to our hotel"), "HTTP 200", "another server responds"),
        ([read, close], "was lost", "does not respond"),
        ([read, hang], "no response within 1 s", "does not respond"),
        ([read, send(b"SSH-2.0-OpenSSH\r\n\r\n"), close], "not HTTP", "does not respond"),
    ],
)
def test_the_doctor_on_what_responds(script: Script, text: str, hint: str) -> None:
    with serving(script) as server:
        assert_problem(doctor("--timeout", "1", url=server.url), "service", text, hint)
        assert server.requests <= 1


def test_a_connection_that_does_not_come_within_the_timeout_is_not_open() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with contextlib.ExitStack() as waiting:
            for _ in range(3):  # nothing more fits into its queue
                connection = waiting.enter_context(socket.socket())
                connection.setblocking(False)
                connection.connect_ex(listener.getsockname())
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            assert_problem(doctor("--timeout", "0.5", url=url), "connection", "0.5", "a firewall")


@pytest.mark.parametrize(
    ("seconds", "state", "text"),
    [
        (-60, "ok", "s from the service's"),
        (-3600, "warning", "ahead of the service's"),
        (9e7, "warning", "days, "),
        (None, "ok", "has no date"),
    ],
)
def test_the_doctor_compares_the_clocks(seconds: float | None, state: str, text: str) -> None:
    date = [] if seconds is None else [f"Date: {formatdate(time.time() + seconds, usegmt=True)}"]
    script = status("405 Method Not Allowed", b"", *date)
    with serving(script) as server:
        code, checks = doctor(url=server.url)
    assert code == 0
    assert checks["clock"]["state"] == state and text in checks["clock"]["text"]


def test_the_doctor_can_be_interrupted() -> None:
    with serving([read, hang]) as server:
        terminal = Terminal(*COMMAND, "doctor", **environment(server.url))
        terminal.wait_for(" name ")
        while not server.requests:
            time.sleep(0.01)
        terminal.type("\x03")
        code, seen = terminal.end()
    assert code == 130 and "skypostal doctor: interrupted" in seen
