"""The sandbox, spoken to as any HTTP client would: without our own client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import ssl
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import documented
import pytest

from skypostal import Client
from skypostal import sandbox as module
from skypostal.sandbox import APP_KEY, BOX_ID, CUSTOMER_KEY, PATH, USER_CODE, Sandbox

JSON = {"Content-Type": "application/json"}
WHO = {
    "user_code": USER_CODE,
    "app_key": APP_KEY,
    "customer_box_id": BOX_ID,
    "customer_key": CUSTOMER_KEY,
}
# As the service writes it: without white space, and each slash with a backslash.
DOCUMENTED_RESPONSE = (
    json.dumps([documented.RESPONSE], separators=(",", ":")).replace("/", r"\/").encode()
)


def connect(url: str, timeout: float = 10) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(url.partition("//")[2], timeout=timeout)


def send(
    sandbox: Sandbox,
    body: bytes | None,
    *,
    method: str = "POST",
    path: str = PATH,
    headers: dict[str, str] = JSON,
) -> tuple[http.client.HTTPResponse, bytes]:
    with contextlib.closing(connect(sandbox.url)) as connection:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response, response.read()


def body_of(**members: Any) -> bytes:
    return json.dumps({**WHO, **members}).encode()


def raw_body(members: str) -> bytes:
    """The credentials and then members as they are, valid JSON or not."""
    return (json.dumps(WHO)[:-1] + "," + members + "}").encode("utf-8", "surrogatepass")


def update(sandbox: Sandbox, body: bytes) -> dict[str, Any]:
    response, answer = send(sandbox, body)
    assert response.status == 200, answer
    (item,) = json.loads(answer, parse_float=Decimal)
    assert isinstance(item, dict)
    return item


def dial(sandbox: Sandbox, timeout: float = 10) -> socket.socket:
    host, _, port = sandbox.url.partition("//")[2].partition(":")
    return socket.create_connection((host, int(port)), timeout)


def request_bytes(body: bytes, *headers: str) -> bytes:
    head = [f"POST {PATH} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while chunk := connection.recv(65536):
        received += chunk
    return received


# The documented call


def test_the_documented_request_gets_the_documented_answer(sandbox: Sandbox) -> None:
    before = sandbox.customers[BOX_ID]
    assert (before["customer_first_name"], before["customer_gender"]) == ("Old Name", "F")
    response, answer = send(sandbox, documented.REQUEST_BYTES)
    assert (response.status, answer) == (200, DOCUMENTED_RESPONSE)
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert response.headers["Server"] == "skypostal-sandbox"
    assert response.headers["Connection"] is None
    assert sandbox.customers[BOX_ID] == {
        "customer_box_id": BOX_ID,
        "cust_id": 51736835,
        "customer_key": CUSTOMER_KEY,
        "customer_first_name": "New Name",
        "customer_last_name": "New Last",
        "customer_identity_number": "123456789",
        "customer_tax_number": 0,
        "customer_birth_date": "1980-08-19",
        "customer_gender": "M",
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("customer_first_name", "Ana"),
        ("customer_last_name", "Lima"),
        ("customer_identity_number", "A-1"),
        ("customer_tax_number", 7),
        ("customer_birth_date", "2001-02-03"),
        ("customer_gender", "M"),
    ],
)
def test_only_what_is_sent_changes(sandbox: Sandbox, name: str, value: object) -> None:
    before = sandbox.customers[BOX_ID]
    assert update(sandbox, body_of(**{name: value}))["_verify"] is True
    assert sandbox.customers[BOX_ID] == {**before, name: value}


@pytest.mark.parametrize("value", [None, ""])
def test_null_and_the_empty_string_keep_the_value(sandbox: Sandbox, value: str | None) -> None:
    before = sandbox.customers[BOX_ID]
    texts = [name for name in before if name.startswith("customer_")]
    names = set(texts) - set(WHO) - ({"customer_tax_number"} if value == "" else set())
    assert update(sandbox, body_of(**dict.fromkeys(names, value)))["_verify"] is True
    assert sandbox.customers[BOX_ID] == before


def test_unknown_and_misspelt_members_are_ignored(sandbox: Sandbox) -> None:
    before = sandbox.customers[BOX_ID]
    body = body_of(Customer_first_name="X", customer_name=[1, {"a": 2.5e9}], first=None)
    assert update(sandbox, body)["customer_first_name"] == "Old Name"
    assert sandbox.customers[BOX_ID] == before


# Values


@pytest.mark.parametrize(
    ("literal", "digits", "kind"),
    [
        ("123.450", "123.450", Decimal),
        ('"123.450"', "123.450", Decimal),
        ('"00042"', "42", int),
        ("0.0000001", "0.0000001", Decimal),
        ("9" * 28, "9" * 28, int),
        ("1" * 5000, "1" * 5000, int),
    ],
)
def test_a_tax_number_keeps_every_digit(
    sandbox: Sandbox, literal: str, digits: str, kind: type[object]
) -> None:
    response, answer = send(sandbox, raw_body(f'"customer_tax_number":{literal}'))
    assert response.status == 200
    assert f'"customer_tax_number":{digits},'.encode() in answer
    stored: Any = sandbox.customers[BOX_ID]["customer_tax_number"]
    assert (type(stored), format(Decimal(stored), "f")) == (kind, digits)


@pytest.mark.parametrize(
    ("day", "echoed"),
    [
        ("1980-08-19", "335505600000-0400"),
        ("1969-12-31", "-68400000-0500"),
        ("1970-01-01", "18000000-0500"),
        ("2024-03-10", "1710046800000-0500"),  # clocks change after this midnight
        ("2024-03-11", "1710129600000-0400"),
        ("2024-11-03", "1730606400000-0400"),
        ("2024-11-04", "1730696400000-0500"),
        ("0001-01-01", "-62135578800000-0500"),
        ("9999-12-31", "253402232400000-0500"),
        ("2000-02-29", "951800400000-0500"),
    ],
)
def test_a_date_is_midnight_at_the_server(sandbox: Sandbox, day: str, echoed: str) -> None:
    response, answer = send(sandbox, body_of(customer_birth_date=day))
    assert response.status == 200
    assert rf'"customer_birth_date":"\/Date({echoed})\/"'.encode() in answer
    assert sandbox.customers[BOX_ID]["customer_birth_date"] == day


@pytest.mark.parametrize(
    ("literal", "echoed", "value"),
    [
        ('"a/b"', r'"a\/b"', "a/b"),
        ('"José"', '"José"', "José"),
        ('"😀"', r'"\ud83d\ude00"', "😀"),
        (r'"\ud83d\ude00"', r'"\ud83d\ude00"', "😀"),
        (r'"x\ud83d"', r'"x\ud83d"', "x\ud83d"),
        (r'"\ude00\ud83d"', r'"\ude00\ud83d"', "\ude00\ud83d"),
        (r'"\ufffe\uffff"', r'"\ufffe\uffff"', "\ufffe\uffff"),
        (r'"\"\\"', r'"\"\\"', '"\\'),
        (r'"a\u0001\nb"', r'"a\u0001\nb"', "a\u0001\nb"),
        (r'"a\u0000b"', r'"a\u0000b"', "a\0b"),
    ],
)
def test_strings_come_back_as_wcf_writes_them(
    sandbox: Sandbox, literal: str, echoed: str, value: str
) -> None:
    response, answer = send(sandbox, raw_body(f'"customer_last_name":{literal}'))
    assert response.status == 200
    assert f'"customer_last_name":{echoed},'.encode() in answer
    assert sandbox.customers[BOX_ID]["customer_last_name"] == value


def test_numbers_may_be_numeric_strings(sandbox: Sandbox) -> None:
    answer = update(sandbox, body_of(user_code="396", customer_box_id="811111"))
    assert answer["_verify"] is True


@pytest.mark.parametrize("extra", [0, 1])
def test_a_string_holds_8192_utf_16_units(sandbox: Sandbox, extra: int) -> None:
    text = "😀" * 4096 + "a" * extra
    for literal in (text, r"\ud83d\ude00" * 4096 + "a" * extra):
        response, _ = send(sandbox, raw_body(f'"customer_first_name":"{literal}"'))
        assert response.status == (400 if extra else 200)
    assert (sandbox.customers[BOX_ID]["customer_first_name"] == text) is not bool(extra)


# Refusals


@pytest.mark.parametrize(
    ("members", "location"),
    [
        ({"user_code": 397}, "app_key"),
        ({"user_code": None}, "app_key"),
        ({"app_key": "wrong-secret"}, "app_key"),
        ({"app_key": ""}, "app_key"),
        ({"customer_box_id": 811112}, "customer_box_id"),
        ({"customer_box_id": 2**63 - 1}, "customer_box_id"),
        ({"customer_box_id": None}, "customer_box_id"),
        ({"customer_key": "wrong-secret"}, "customer_key"),
        ({"customer_key": None}, "customer_key"),
        ({"customer_birth_date": "19800819"}, "customer_birth_date"),
        ({"customer_birth_date": "1980-8-19"}, "customer_birth_date"),
        ({"customer_birth_date": "1981-02-29"}, "customer_birth_date"),
        ({"customer_gender": "m"}, "customer_gender"),
        ({"customer_gender": "Male"}, "customer_gender"),
    ],
)
def test_a_refusal_is_200_and_changes_nothing(
    sandbox: Sandbox, members: dict[str, object], location: str
) -> None:
    before = sandbox.customers[BOX_ID]
    response, answer = send(sandbox, body_of(**{"customer_first_name": "X", **members}))
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    (item,) = json.loads(answer)
    error = item.pop("error")
    assert item.pop("_verify") is False
    assert item.pop("cust_id") == 0
    assert set(item.values()) == {None} and len(item) == 6
    assert error.pop("error_description")
    assert error == {"error_location": location, "system_error": False}
    assert b"wrong-secret" not in answer
    assert sandbox.customers[BOX_ID] == before


def test_a_database_failure_is_a_system_error(tmp_path: Path) -> None:
    db = tmp_path / "customers.db"
    with Sandbox(db=db) as sandbox:
        with contextlib.closing(sqlite3.connect(db)) as other:
            other.execute("DROP TABLE customers")
        answer = update(sandbox, body_of())
    assert (answer["_verify"], answer["error"]["system_error"]) == (False, True)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"[" + body_of() + b"]",
        b"{",
        body_of() + b"x",
        b"\xef\xbb\xbf" + body_of(),
        body_of().decode().encode("utf-16"),
        raw_body('"customer_first_name":"X","customer_first_name":"X"'),
        raw_body('"other":{"a":1,"a":1}'),
        raw_body('"customer_first_name":"a\x01"'),
        raw_body('"customer_first_name":"a\n"'),
        raw_body('"other":NaN'),
        raw_body('"customer_tax_number":-Infinity'),
        raw_body('"customer_first_name":"X').replace(b"X", b'\xff"'),
        raw_body('"customer_first_name":"\ud83d"'),
        raw_body('"customer_first_name":"\ufffe"'),
        raw_body('"customer_first_name":"\uffff"'),
        raw_body('"customer_first_name":5'),
        raw_body('"customer_first_name":{}'),
        raw_body('"customer_first_name":["X"]'),
        raw_body('"customer_birth_date":19800819'),
        raw_body('"customer_tax_number":1e3'),
        raw_body('"customer_tax_number":"1e3"'),
        raw_body('"customer_tax_number":""'),
        raw_body('"customer_tax_number":"abc"'),
        raw_body('"customer_tax_number":true'),
        raw_body('"customer_tax_number":{}'),
        body_of(user_code="abc"),
        body_of(user_code=396.0),
        body_of(customer_box_id=2**63),
        body_of(app_key=5),
        raw_body('"other":' + "[" * 30000 + "]" * 30000),
    ],
)
def test_what_wcf_refuses_is_an_html_400(sandbox: Sandbox, body: bytes) -> None:
    before = sandbox.customers[BOX_ID]
    response, page = send(sandbox, body)
    assert response.status == 400
    assert response.headers["Content-Type"].startswith("text/html")
    assert page.startswith(b"\xef\xbb\xbf")
    assert b"Request Error" in page and b"See server logs for more details." in page
    assert sandbox.customers[BOX_ID] == before


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ('Application/JSON;charset="UTF-8"', 200),
        ("application/json; charset=utf-16", 400),
        ("application/jsonx", 400),
        ("text/json", 400),
        ("application/x-www-form-urlencoded", 400),
        (None, 400),
    ],
)
def test_content_type(sandbox: Sandbox, content_type: str | None, status: int) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    assert send(sandbox, body_of(), headers=headers)[0].status == status


# HTTP


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_405(sandbox: Sandbox, method: str) -> None:
    response, page = send(sandbox, None, method=method)
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert page.startswith(b"\xef\xbb\xbf") is (method != "HEAD")


def test_head_has_no_body(sandbox: Sandbox) -> None:
    with dial(sandbox) as connection:
        connection.sendall(f"HEAD {PATH} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
        answer = read_all(connection)
    assert b"\r\nContent-Length: " in answer and b"\r\nContent-Length: 0" not in answer
    assert answer.endswith(b"\r\n\r\n")


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
def test_a_bad_length_is_answered_and_the_connection_closed(
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
    response, answer = send(sandbox, body + b" " * (size - len(body)))
    assert response.status == status
    if status == 413:
        assert answer == b"" and response.headers["Content-Type"] is None
        assert sandbox.requests[-1].body == b""


def test_an_answer_survives_a_body_that_is_still_coming(sandbox: Sandbox) -> None:
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


def test_an_answer_leaves_in_one_send(sandbox: Sandbox) -> None:
    body = body_of()
    with dial(sandbox) as connection:
        for _ in range(20):
            connection.sendall(request_bytes(body, f"Content-Length: {len(body)}"))
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"}}]")


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


# The object


def test_requests_and_connections(sandbox: Sandbox) -> None:
    with contextlib.closing(connect(sandbox.url)) as connection:
        for _ in range(2):
            connection.request("POST", PATH, body_of(), {**JSON, "X-One": "1"})
            connection.getresponse().read()
    send(sandbox, None, method="GET", path="/x")
    assert sandbox.connections == 2
    assert [(r.method, r.path, r.connection, r.status) for r in sandbox.requests] == [
        ("POST", PATH, 1, 200),
        ("POST", PATH, 1, 200),
        ("GET", "/x", 2, 404),
    ]
    first = sandbox.requests[0]
    assert (first.body, first.headers["x-oNE"]) == (body_of(), "1")
    assert APP_KEY not in repr(sandbox.requests) and CUSTOMER_KEY not in repr(sandbox.requests)
    sandbox.requests.clear()
    assert len(sandbox.requests) == 3


def test_only_the_last_requests_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skypostal.sandbox._sandbox.KEPT_REQUESTS", 2)
    with Sandbox() as sandbox:
        for path in ("/1", "/2", "/3"):
            send(sandbox, None, method="GET", path=path)
        assert [r.path for r in sandbox.requests] == ["/2", "/3"]


def test_customers_is_a_mapping_to_add_to(sandbox: Sandbox) -> None:
    customers = sandbox.customers
    customers.add(customer_box_id=5, customer_key="k", customer_tax_number=Decimal("1.50"))
    assert (list(customers), len(customers)) == ([5, BOX_ID], 2)
    assert 5 in customers and 6 not in customers
    with pytest.raises(KeyError):
        customers[6]
    assert customers[5]["cust_id"] == 51736836
    answer = update(sandbox, body_of(customer_box_id=5, customer_key="k"))
    assert (answer["_verify"], answer["cust_id"]) == (True, 51736836)
    assert str(answer["customer_tax_number"]) == "1.50"
    assert answer["customer_birth_date"] is answer["customer_first_name"] is None
    with pytest.raises(ValueError, match="taken"):
        customers.add(customer_box_id=5, customer_key="other")
    with pytest.raises(ValueError, match="customer_birth_date"):
        customers.add(customer_box_id=7, customer_key="k", customer_birth_date="x")
    assert customers[5]["customer_key"] == "k" and 7 not in customers
    customers[5]["customer_key"] = "changed"
    assert customers[5]["customer_key"] == "k"


def test_a_file_keeps_customers(tmp_path: Path) -> None:
    db = tmp_path / "customers.db"
    with Sandbox(db=db) as sandbox:
        update(sandbox, raw_body(r'"customer_first_name":"\ud83d","customer_tax_number":1.50'))
        sandbox.customers.add(customer_box_id=5, customer_key="k")
        kept = dict(sandbox.customers)
    with Sandbox(db=str(db)) as sandbox:
        assert dict(sandbox.customers) == kept
        assert update(sandbox, body_of())["customer_first_name"] == "\ud83d"
    with Sandbox() as sandbox:
        assert list(sandbox.customers) == [BOX_ID]


def test_eight_threads(sandbox: Sandbox) -> None:
    """Each answer shows what its own request set: an update and its echo are one transaction."""
    barrier = threading.Barrier(8)

    def run(worker: int) -> None:
        barrier.wait()
        with contextlib.closing(connect(sandbox.url)) as connection:
            for turn in range(50):
                name = f"{worker}-{turn}"
                body = body_of(customer_first_name=name, customer_last_name=name)
                connection.request("POST", PATH, body, JSON)
                (item,) = json.loads(connection.getresponse().read())
                assert item["customer_first_name"] == item["customer_last_name"] == name

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert (len(sandbox.requests), sandbox.connections) == (400, 8)
    record = sandbox.customers[BOX_ID]
    assert record["customer_first_name"] == record["customer_last_name"]


def test_a_thousand_calls_take_well_under_two_seconds(sandbox: Sandbox) -> None:
    """Of work, both ends counted, so that a busy machine fails nothing; and without waits."""
    body = body_of(customer_first_name="X")
    begin, begin_of_work = time.monotonic(), time.process_time()
    with contextlib.closing(connect(sandbox.url)) as connection:
        for _ in range(1000):
            connection.request("POST", PATH, body, JSON)
            assert connection.getresponse().read().startswith(b'[{"_verify":true')
    assert time.process_time() - begin_of_work < 2
    assert time.monotonic() - begin < 20
    assert sandbox.connections == 10


def test_close_ends_everything() -> None:
    threads = threading.active_count()
    sandbox = Sandbox()
    sandbox.start()
    with pytest.raises(RuntimeError):
        sandbox.start()
    with dial(sandbox) as idle, dial(sandbox) as half:
        half.sendall(b"POST ")
        while sandbox.connections < 2:
            time.sleep(0.01)
        begin = time.monotonic()
        sandbox.close()
        assert time.monotonic() - begin < 2
        assert idle.recv(1) == half.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        dial(sandbox)
    with pytest.raises(sqlite3.ProgrammingError):
        len(sandbox.customers)
    sandbox.close()
    assert threading.active_count() <= threads


def test_each_test_can_have_its_own() -> None:
    """It takes well under a millisecond on an idle machine; half of them may be disturbed here."""
    times = []
    for _ in range(20):
        begin = time.monotonic()
        with Sandbox():
            pass
        times.append(time.monotonic() - begin)
    assert statistics.median(times) < 0.01


def test_close_without_start() -> None:
    Sandbox().close()


@pytest.mark.parametrize(
    "options", [{"idle_timeout": 0}, {"idle_timeout": float("nan")}, {"max_requests": 0}]
)
def test_impossible_options(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Sandbox(**options)


def test_log_lines_hold_no_secrets() -> None:
    lines: list[str] = []
    with Sandbox(log=lines.append) as sandbox:
        send(sandbox, body_of(customer_first_name="Ana"))
        send(sandbox, body_of(customer_key="wrong-secret"))
        send(sandbox, raw_body('"Ana":1,"Ana":2'))
        send(sandbox, None, method="GET", path="/x?app_key=" + APP_KEY)
    assert [line.partition(" ")[2] for line in lines] == [
        f"POST {PATH} 200 accepted",
        f"POST {PATH} 200 refused: customer_box_id and customer_key do not match",
        f"POST {PATH} 400 malformed: a duplicate member",
        "GET /x 404 unknown path",
    ]


# Faults


NEW: Any = {"customer_first_name": "New Name"}


def first_name(sandbox: Sandbox) -> object:
    return sandbox.customers[BOX_ID]["customer_first_name"]


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize(
    ("script", "answered"),
    [
        (lambda sandbox, **options: sandbox.fail_next(**options), 503),
        (lambda sandbox, **options: sandbox.fail_next(status=500, **options), 500),
        (lambda sandbox, **options: sandbox.answer_next("[]", **options), 200),
        (lambda sandbox, **options: sandbox.drop_connection(**options), None),
    ],
    ids=["fail", "500", "answer", "drop"],
)
def test_a_fault_says_whether_the_update_is_made(
    sandbox: Sandbox, script: Any, answered: int | None, applied: bool
) -> None:
    script(sandbox, applied=applied)
    assert len(sandbox.pending_faults) == 1
    if answered is None:
        with pytest.raises(http.client.RemoteDisconnected):
            send(sandbox, body_of(**NEW))
    else:
        assert send(sandbox, body_of(**NEW))[0].status == answered
    (request,) = sandbox.requests
    assert (request.status, request.applied) == (answered, applied)
    assert first_name(sandbox) == ("New Name" if applied else "Old Name")
    assert sandbox.pending_faults == []
    assert update(sandbox, body_of())["_verify"] is True


def test_what_would_be_refused_is_not_applied(sandbox: Sandbox) -> None:
    for body in (body_of(**NEW, customer_key="wrong-secret"), raw_body('"a":1,"a":2')):
        sandbox.fail_next(applied=True)
        assert send(sandbox, body)[0].status == 503
    assert [request.applied for request in sandbox.requests] == [False, False]
    assert first_name(sandbox) == "Old Name"


def test_a_failure_is_as_scripted(sandbox: Sandbox) -> None:
    sandbox.fail_next()
    response, page = send(sandbox, body_of())
    assert (response.status, response.reason) == (503, "Service Unavailable")
    assert response.headers["Retry-After"] is None and b"See server logs" in page
    sandbox.fail_next(status=429, retry_after=0, body="naïve")
    response, page = send(sandbox, body_of())
    assert (response.status, response.headers["Retry-After"]) == (429, "0")
    assert page == "naïve".encode()
    sandbox.fail_next(status=499, body=b"")
    response, page = send(sandbox, body_of())
    assert (response.status, page, response.headers["Content-Type"]) == (499, b"", None)


def test_a_refusal_is_as_scripted(sandbox: Sandbox) -> None:
    sandbox.refuse_next()
    answer = update(sandbox, body_of(**NEW))
    assert answer["_verify"] is False and answer["error"]["error_description"]
    sandbox.refuse_next(description="No, ñ", location="here", system_error=True)
    response, body = send(sandbox, body_of(**NEW))
    assert (response.status, json.loads(body)[0]["error"]) == (
        200,
        {"error_description": "No, ñ", "error_location": "here", "system_error": True},
    )
    assert first_name(sandbox) == "Old Name"
    sandbox.refuse_next(system_error=True, applied=True)
    assert update(sandbox, body_of(**NEW))["_verify"] is False
    assert first_name(sandbox) == "New Name" and sandbox.requests[-1].applied


@pytest.mark.parametrize("body", ["", "null", "[{\ud83d", b"\xff\x00"])
def test_an_answer_is_as_scripted(sandbox: Sandbox, body: str | bytes) -> None:
    sandbox.answer_next(body)
    response, answer = send(sandbox, body_of())
    expected = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    assert (response.status, answer) == (200, expected)


def test_a_delay_comes_after_the_update(sandbox: Sandbox) -> None:
    sandbox.delay(0.2)
    sandbox.fail_next(delay=0.2)
    with ThreadPoolExecutor(1) as thread:
        begin = time.monotonic()
        answer = thread.submit(update, sandbox, body_of(**NEW))
        while not sandbox.requests:
            time.sleep(0.001)
        assert first_name(sandbox) == "New Name" and not answer.done()
        assert answer.result()["_verify"] is True
        assert 0.2 <= time.monotonic() - begin < 5
    begin = time.monotonic()
    assert send(sandbox, body_of())[0].status == 503
    assert 0.2 <= time.monotonic() - begin < 5


def test_close_does_not_wait_for_a_delay() -> None:
    with Sandbox() as sandbox, dial(sandbox) as connection:
        sandbox.delay(60)
        body = body_of(**NEW)
        connection.sendall(request_bytes(body, f"Content-Length: {len(body)}"))
        while not sandbox.requests:
            time.sleep(0.001)
        begin = time.monotonic()
        sandbox.close()
        assert time.monotonic() - begin < 2


def test_faults_queue_up_and_what_is_no_update_takes_none(sandbox: Sandbox) -> None:
    sandbox.fail_next(status=502, times=2)
    sandbox.refuse_next()
    sandbox.drop_connection()
    sandbox.delay(0)
    sandbox.answer_next("x")
    assert sandbox.pending_faults == [
        "fail_next(status=502)",
        "fail_next(status=502)",
        "refuse_next()",
        "drop_connection()",
        "delay(0)",
        "answer_next()",
    ]
    send(sandbox, None, method="GET")
    send(sandbox, body_of(), path="/x")
    send(sandbox, b" " * 65_537)
    assert len(sandbox.pending_faults) == 6
    assert [send(sandbox, body_of())[0].status for _ in range(3)] == [502, 502, 200]
    with pytest.raises(http.client.RemoteDisconnected):
        send(sandbox, body_of())
    assert sandbox.pending_faults == ["delay(0)", "answer_next()"]
    sandbox.clear_faults()
    assert sandbox.pending_faults == []
    assert update(sandbox, body_of())["_verify"] is True


def test_each_of_many_threads_takes_its_own_fault(sandbox: Sandbox) -> None:
    sandbox.fail_next(times=40)
    with ThreadPoolExecutor(8) as threads:
        answers = threads.map(lambda _: send(sandbox, body_of())[0].status, range(60))
        assert sorted(answers) == [200] * 20 + [503] * 40


@pytest.mark.parametrize(
    ("method", "options", "name"),
    [
        ("fail_next", {"status": 200}, "status"),
        ("fail_next", {"status": 600}, "status"),
        ("fail_next", {"status": "503"}, "status"),
        ("fail_next", {"status": True}, "status"),
        ("fail_next", {"retry_after": -1}, "retry_after"),
        ("fail_next", {"retry_after": 0.5}, "retry_after"),
        ("fail_next", {"body": {}}, "body"),
        ("fail_next", {"times": 0}, "times"),
        ("refuse_next", {"times": 1.0}, "times"),
        ("refuse_next", {"applied": True}, "applied"),
        ("answer_next", {"body": None}, "body"),
        ("drop_connection", {"delay": -1}, "delay"),
        ("drop_connection", {"delay": float("nan")}, "delay"),
        ("delay", {"seconds": float("inf")}, "seconds"),
        ("delay", {"seconds": "1"}, "seconds"),
    ],
)
def test_an_impossible_fault_is_named(
    sandbox: Sandbox, method: str, options: dict[str, Any], name: str
) -> None:
    with pytest.raises(ValueError, match=f"^{name}: "):
        getattr(sandbox, method)(**options)
    assert sandbox.pending_faults == []


def test_a_request_tells_what_was_to_change(sandbox: Sandbox) -> None:
    send(sandbox, raw_body('"customer_first_name":"Ana","customer_tax_number":1.50'))
    send(sandbox, b"[]")
    first, second = sandbox.requests
    assert first.json() == {**WHO, **first.changes}
    assert first.changes == {"customer_first_name": "Ana", "customer_tax_number": Decimal("1.50")}
    assert str(first.changes["customer_tax_number"]) == "1.50"
    assert not any(secret in repr(first) for secret in (APP_KEY, CUSTOMER_KEY, "Ana"))
    with pytest.raises(ValueError, match="body: a JSON object expected"):
        second.json()


def test_the_log_tells_of_faults() -> None:
    lines: list[str] = []
    with Sandbox(log=lines.append) as sandbox:
        sandbox.fail_next(applied=True)
        send(sandbox, body_of(**NEW))
        sandbox.drop_connection()
        with pytest.raises(http.client.RemoteDisconnected):
            send(sandbox, body_of(**NEW))
    assert [line.partition(" ")[2] for line in lines] == [
        f"POST {PATH} 503 accepted, fail_next(status=503)",
        f"POST {PATH} - not applied, drop_connection()",
    ]


# TLS


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


# The command


COMMAND = [sys.executable, "-m", "skypostal", "sandbox"]


@contextlib.contextmanager
def command(*args: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [*COMMAND, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().split()[-1]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("quiet", [False, True])
def test_the_command_serves_until_a_signal(
    tmp_path: Path, number: signal.Signals, quiet: bool
) -> None:
    args = ["--db", str(tmp_path / "db"), "--idle-timeout", "5", *["--quiet"][: int(quiet)]]
    with command(*args) as (process, url), contextlib.closing(connect(url)) as connection:
        connection.request("POST", PATH, documented.REQUEST_BYTES, JSON)
        assert connection.getresponse().read() == DOCUMENTED_RESPONSE
        process.send_signal(number)
        process.wait(timeout=10)
        assert process.stdout is not None and process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read()
    assert (process.returncode, err) == (0, "")
    assert f"export SKYPOSTAL_BASE_URL={url}\n" in out
    assert "not the service" in out and "811111" in out and "396" in out
    assert all(assumption in out for assumption in module.ASSUMPTIONS)
    assert (f" POST {PATH} 200 accepted\n" in out) is not quiet
    assert out.endswith("stopped\n")
    assert not any(secret in out for secret in (APP_KEY, CUSTOMER_KEY, "New Name", "New Last"))
    with Sandbox(db=tmp_path / "db") as sandbox:
        assert sandbox.customers[BOX_ID]["customer_first_name"] == "New Name"


def test_the_command_speaks_tls() -> None:
    with command("--tls") as (process, url):
        assert process.stdout is not None and url.startswith("https://")
        lines = [process.stdout.readline() for _ in range(3)]
        (ca_file,) = re.findall(r"export REQUESTS_CA_BUNDLE=(\S+)", lines[-1])
        with Client(base_url=url, ca_file=ca_file, user_code=USER_CODE, app_key=APP_KEY) as client:
            info = client.update_personal_info(customer_box_id=BOX_ID, customer_key=CUSTOMER_KEY)
            assert info.cust_id == 51736835
        process.terminate()
        process.wait(timeout=10)
    assert not os.path.exists(ca_file)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--port", "TAKEN"], "cannot listen on 127.0.0.1:"),
        (["--port", "65536"], "cannot listen on 127.0.0.1:65536"),
        (["--port", "x"], "invalid int value"),
        (["--host", "no-such-host.invalid"], "cannot listen on no-such-host.invalid:0"),
        (["--db", "FOLDER/none/db"], "cannot use the database"),
        (["--db", "FOLDER/text"], "cannot use the database"),
        (["--idle-timeout", "0"], "idle_timeout"),
    ],
)
def test_the_command_says_what_is_wrong(
    sandbox: Sandbox, tmp_path: Path, args: list[str], problem: str
) -> None:
    (tmp_path / "text").write_text("this is not a database" * 100)
    taken = sandbox.url.rpartition(":")[2]
    args = [arg.replace("TAKEN", taken).replace("FOLDER", str(tmp_path)) for arg in args]
    done = subprocess.run([*COMMAND, *args], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("skypostal sandbox: ") and problem in last
    assert "Traceback" not in done.stderr


def test_help() -> None:
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    for option in ("--host", "--port", "--db FILE", "--idle-timeout", "--tls", "--quiet"):
        assert option in done.stdout
