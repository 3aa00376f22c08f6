"""The response as Python sees it: each value whole, and an object that cannot be changed."""

from __future__ import annotations

import copy
import datetime
import json
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext
from typing import Any

import pytest
from clients import info_of
from documented import CUSTOMER, UPDATE

from skypostal import Client, PersonalInfo


def test_digits_come_back_as_they_went(client: Client) -> None:
    for number in (Decimal("123.450"), 10**27, 0):
        with localcontext() as context:
            context.prec = 2
            info = client.update_personal_info(**CUSTOMER, customer_tax_number=number)
        assert repr(info.customer_tax_number) == repr(number)
        assert repr(info.raw["customer_tax_number"]) == repr(number)


@pytest.mark.parametrize(
    ("members", "name", "value"),
    [
        (b'"customer_tax_number":' + b"1" * 5000, "customer_tax_number", Decimal("1" * 5000)),
        (b'"customer_tax_number":"12.50"', "customer_tax_number", Decimal("12.50")),
        (b'"customer_tax_number":true', "customer_tax_number", None),
        (b'"customer_tax_number":1e999999999999999999999', "customer_tax_number", None),
        (b'"customer_birth_date":"\\/Date(-62135580780000-0427)\\/"', "customer_birth_date", None),
        (b'"customer_first_name":"a\\ud83d"', "customer_first_name", None),
        (b'"customer_first_name":"\\ud83d\\ude00 \xc3\xa9"', "customer_first_name", "😀 é"),
        (b'"cust_id":' + b"9" * 30, "cust_id", None),
        (b'"new":' + b"[" * 5000 + b"]" * 5000, "cust_id", None),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_an_accepted_update_succeeds_whatever_it_echoes(
    members: bytes, name: str, value: object
) -> None:
    info = info_of(members)
    assert info.to_dict()[name] == value
    assert pickle.loads(pickle.dumps(info)) == info
    assert info.raw["_verify"] is True


def test_a_lower_limit_of_digits_makes_no_attribute_raise() -> None:
    info = info_of(b'"customer_tax_number":' + b"1" * 700)
    before = sys.get_int_max_str_digits() if sys.version_info >= (3, 11) else 0
    if sys.version_info >= (3, 11):
        sys.set_int_max_str_digits(640)
    try:
        assert info.to_dict()["customer_tax_number"] == Decimal("1" * 700)
    finally:
        if sys.version_info >= (3, 11):
            sys.set_int_max_str_digits(before)


@pytest.mark.parametrize(
    ("levels", "kept"),
    [(200, list), (201, str), (1000, str), (100_000, str)],
)
def test_a_value_that_is_nested_too_deeply_stays_a_text(levels: int, kept: type) -> None:
    value = b"[" * levels + b"]" * levels
    info = info_of(b'"new":' + value + b',"brackets":["' + b"[" * 300 + b'\\"{"]')
    # A thread has the smallest stack.
    with ThreadPoolExecutor() as threads:
        raw = threads.submit(lambda: info.raw).result()
    assert type(raw["new"]) is kept
    assert raw["brackets"] == ["[" * 300 + '"{']


def test_a_response_is_immutable_and_comparable(client: Client) -> None:
    info = client.update_personal_info(**UPDATE)
    assert info == client.update_personal_info(**CUSTOMER) != object()
    assert hash(info) == hash(client.update_personal_info(**CUSTOMER))
    assert info != client.update_personal_info(**CUSTOMER, customer_first_name="Other")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        twin = pickle.loads(pickle.dumps(info, protocol))
        assert twin == copy.copy(info) == copy.deepcopy(info) == info and hash(twin) == hash(info)
    for name in (*info.__match_args__, "raw", "other"):
        with pytest.raises(AttributeError):
            setattr(info, name, 1)
        with pytest.raises(AttributeError):
            delattr(info, name)
    with pytest.raises(TypeError):
        PersonalInfo()


def test_a_response_tells_what_it_holds_when_asked(client: Client) -> None:
    info = client.update_personal_info(**CUSTOMER, customer_first_name="Zoë 😀")
    assert info.customer_first_name == info.raw["customer_first_name"] == "Zoë 😀"
    assert tuple(info.to_dict()) == info.__match_args__
    assert all(getattr(info, name) == value for name, value in info.to_dict().items())
    assert info.raw == info.raw is not info.raw
    info.raw["cust_id"] = info.to_dict()["cust_id"] = 0
    assert info.raw["cust_id"] == info.cust_id == 51736835
    assert repr(info) == str(info) == "PersonalInfo(cust_id=51736835, ...)"
    assert info.to_dict() == {
        "cust_id": 51736835,
        "customer_first_name": "Zoë 😀",
        "customer_last_name": "Old Last",
        "customer_identity_number": "123456789",
        "customer_tax_number": 0,
        "customer_birth_date": datetime.date(1975, 2, 1),
        "customer_gender": "F",
    }


@pytest.mark.skipif(sys.version_info < (3, 10), reason="has no match statement")
def test_a_response_matches_by_position_and_by_name(client: Client) -> None:
    found: dict[str, Any] = {"info": client.update_personal_info(**CUSTOMER), "Info": PersonalInfo}
    exec("match info:\n case Info(number, customer_gender=gender): pass", found)
    assert (found["number"], found["gender"]) == (51736835, "F")


def test_json_has_every_digit_and_letter(client: Client) -> None:
    info = client.update_personal_info(**{**UPDATE, "customer_first_name": 'Zoë "Z"\u2028'})
    values = json.loads(info.to_json(), parse_float=Decimal)
    day = info.customer_birth_date
    assert day is not None and values == {**info.to_dict(), "customer_birth_date": day.isoformat()}
    absent = json.loads(info_of(b'"customer_tax_number":"12.50"').to_json(), parse_float=str)
    assert absent.pop("customer_tax_number") == "12.50"
    assert list(absent) == [n for n in info.__match_args__ if n != "customer_tax_number"]
    assert set(absent.values()) == {None}
