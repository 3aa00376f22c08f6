"""The rules of the service in the sandbox: what changes, what comes back, and what is refused."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import documented
import pytest
from sandbox_requests import DOCUMENTED_RESPONSE, WHO, body_of, raw_body, send, update

from skypostal.sandbox import BOX_ID, CUSTOMER_KEY, Sandbox


def test_the_documented_request_gets_the_documented_response(sandbox: Sandbox) -> None:
    before = sandbox.customers[BOX_ID]
    assert (before["customer_first_name"], before["customer_gender"]) == ("Old Name", "F")
    response, content = send(sandbox, documented.REQUEST_BYTES)
    assert (response.status, content) == (200, DOCUMENTED_RESPONSE)
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


def test_brackets_in_a_text_are_no_nesting(sandbox: Sandbox) -> None:
    name = '\\"[{' * 300
    body = body_of(customer_first_name=name)
    assert update(sandbox, body)["customer_first_name"] == name


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
    response, content = send(sandbox, raw_body(f'"customer_tax_number":{literal}'))
    assert response.status == 200
    assert f'"customer_tax_number":{digits},'.encode() in content
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
    response, content = send(sandbox, body_of(customer_birth_date=day))
    assert response.status == 200
    assert rf'"customer_birth_date":"\/Date({echoed})\/"'.encode() in content
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
    response, content = send(sandbox, raw_body(f'"customer_last_name":{literal}'))
    assert response.status == 200
    assert f'"customer_last_name":{echoed},'.encode() in content
    assert sandbox.customers[BOX_ID]["customer_last_name"] == value


def test_numbers_may_be_numeric_strings(sandbox: Sandbox) -> None:
    content = update(sandbox, body_of(user_code="396", customer_box_id="811111"))
    assert content["_verify"] is True


@pytest.mark.parametrize("extra", [0, 1])
def test_a_string_holds_8192_utf_16_units(sandbox: Sandbox, extra: int) -> None:
    text = "😀" * 4096 + "a" * extra
    for literal in (text, r"\ud83d\ude00" * 4096 + "a" * extra):
        response, _ = send(sandbox, raw_body(f'"customer_first_name":"{literal}"'))
        assert response.status == (400 if extra else 200)
    assert (sandbox.customers[BOX_ID]["customer_first_name"] == text) is not bool(extra)


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
    response, content = send(sandbox, body_of(**{"customer_first_name": "X", **members}))
    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    (item,) = json.loads(content)
    error = item.pop("error")
    assert item.pop("_verify") is False
    assert item.pop("cust_id") == 0
    assert set(item.values()) == {None} and len(item) == 6
    assert error.pop("error_description")
    assert error == {"error_location": location, "system_error": False}
    assert b"wrong-secret" not in content
    assert sandbox.customers[BOX_ID] == before


def test_a_database_failure_is_a_system_error(tmp_path: Path) -> None:
    db = tmp_path / "customers.db"
    with Sandbox(db=db) as sandbox:
        with contextlib.closing(sqlite3.connect(db)) as other:
            other.execute("DROP TABLE customers")
        content = update(sandbox, body_of())
    assert (content["_verify"], content["error"]["system_error"]) == (False, True)


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
        raw_body('"other":' + "[" * 300 + "]" * 300),
        raw_body('"other":' + '{"a":' * 300 + "1" + "}" * 300),
        raw_body('"other":' + "[" * 30000 + "]" * 30000),
    ],
    ids=itertools.count(),
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
