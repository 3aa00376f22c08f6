"""The fields: a bad value is refused before anything is sent, a good one arrives as it is."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pytest
from documented import CUSTOMER, UPDATE

import skypostal
from skypostal import Client, ValidationError
from skypostal.sandbox import Sandbox


def test_none_of_the_changes_may_be_given(client: Client, sandbox: Sandbox) -> None:
    nothing: Any = {name: None for name in ("user_code", "app_key", *NAMES, TAX, BIRTH, GENDER)}
    assert client.update_personal_info(**CUSTOMER, **nothing).customer_first_name == "Old Name"
    assert json.loads(sandbox.requests[0].body).keys() == {*CUSTOMER, "user_code", "app_key"}


INTEGERS = ["user_code", "customer_box_id"]


KEYS = ["app_key", "customer_key"]


NAMES = ["customer_first_name", "customer_last_name", "customer_identity_number"]


TAX, BIRTH, GENDER = "customer_tax_number", "customer_birth_date", "customer_gender"


INVISIBLE = ["\u200b", "\ufeff", "\u2060\u200d", "\u00ad", "\u3164", "\u2800", " \u200e ", "\ufe0f"]


tomorrow_everywhere = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=38.1)


BAD_VALUES: list[tuple[str, Any]] = [
    *[(f, v) for f in INTEGERS for v in (0, -1, 2**63, -(2**70), True, 1.0, b"1")],
    *[(f, v) for f in INTEGERS for v in ("", "0", " 1", "1 ", "+1", "-1", "1.0", "1e3", "\u0661")],
    *[(f, v) for f in INTEGERS for v in ("9" * 19, "0" * 19 + "1", Decimal("1.5"), Decimal(-1))],
    *[(f, v) for f in KEYS for v in ("", "  ", 5, b"k", "a\n", "a\ud83d")],
    *[(f, v) for f in NAMES for v in ("", " ", "\u3000", 5, True, b"A", b"\xff", ["A"])],
    *[(f, v) for f in (*KEYS, *NAMES, TAX, BIRTH, GENDER) for v in INVISIBLE],
    *[(f, v) for f in NAMES + [TAX, GENDER] for v in ("\ufeffAna", "\ufeff1", "\ufeffM")],
    *[(f, v) for f in NAMES for v in ("a\x00", "a\x1f", "a\x7f", "a\x85", "\ud83d", "a" * 8193)],
    *[(NAMES[0], "😀" * 4097)],
    *[(TAX, v) for v in ("", ".5", "1.", "-1", "+1", "1e3", " 1", "1_0", "١", "0x1", "1,5")],
    *[(TAX, v) for v in (1.5, True, -1, 10**28, 10**400, "1" * 29, b"1", None.__class__)],
    *[
        (TAX, Decimal(v))
        for v in ("NaN", "Infinity", "-1", "1E+28", "1E+999999", "1E-999999", "sNaN")
    ],
    *[(BIRTH, v) for v in ("1980-8-19", "1980-02-30", "19800819", "1980-08-19T00:00", "x")],
    *[(BIRTH, v) for v in ("1752-12-31", "1900-02-29", "9999-12-31", "+1980-08-1", 19800819)],
    *[(BIRTH, v) for v in (datetime.datetime(1980, 8, 19), datetime.date(1700, 1, 1))],
    *[(BIRTH, tomorrow_everywhere.date())],
    *[(GENDER, v) for v in ("", "m", "X", "MF", "M ", 1, b"M")],
]


@pytest.mark.parametrize(("field", "value"), BAD_VALUES, ids=lambda value: repr(value)[:30])
def test_a_bad_value_is_refused_before_anything_is_sent(
    client: Client, sandbox: Sandbox, field: str, value: Any
) -> None:
    with pytest.raises(ValidationError, match=f"^{field}: ") as caught:
        client.update_personal_info(**{**UPDATE, field: value})
    error = caught.value
    assert (error.field, error.delivery, error.attempts) == (field, "not_sent", 0)
    assert sandbox.connections == 0


def test_no_message_repeats_a_value(client: Client) -> None:
    for field, value in [("customer_key", "se\x00cret"), (GENDER, "Secret"), (TAX, "secret")]:
        with pytest.raises(ValidationError) as caught:
            client.update_personal_info(**{**UPDATE, field: value})
        assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        (TAX, "007", b"7"),
        (TAX, "000", b"0"),
        (TAX, "123.450", b"123.450"),
        (TAX, "00.50", b"0.50"),
        (TAX, "1" * 28, b"1" * 28),
        (TAX, 0, b"0"),
        (TAX, 10**27, b"1" + b"0" * 27),
        (TAX, Decimal("123.450"), b"123.450"),
        (TAX, Decimal("1E+3"), b"1000"),
        (TAX, Decimal("0.1"), b"0.1"),
        (BIRTH, "1753-01-01", b'"1753-01-01"'),
        (BIRTH, datetime.date(2000, 2, 29), b'"2000-02-29"'),
        ("user_code", "000396", b"396"),
        ("user_code", Decimal(396), b"396"),
        ("customer_box_id", "0000000000000811111", b"811111"),
        ("customer_first_name", "نمی\u200cخواهم", '"نمی\u200cخواهم"'.encode()),
        ("customer_first_name", "\u200fא", '"\u200fא"'.encode()),
        ("customer_first_name", "👩\u200d🚀", '"👩\u200d🚀"'.encode()),
        ("customer_first_name", "a" * 8192, b'"' + b"a" * 8192 + b'"'),
        ("customer_first_name", "Zoë 😀", '"Zoë 😀"'.encode()),
        ("customer_first_name", 'a"/\\b', rb'"a\"/\\b"'),
        ("customer_first_name", "a\ufffe\U0001ffff", rb'"a\ufffe\ud83f\udfff"'),
    ],
)
def test_a_good_value_is_sent_as_it_is(
    client: Client, sandbox: Sandbox, field: str, value: Any, sent: bytes
) -> None:
    client.update_personal_info(**{**CUSTOMER, field: value})
    assert b'"%s":%s' % (field.encode(), sent) in sandbox.requests[0].body


def test_a_request_that_is_too_long_names_its_longest_field(
    client: Client, sandbox: Sandbox
) -> None:
    texts: Any = {name: "語" * 8000 for name in NAMES}
    texts["customer_last_name"] += "語"
    with pytest.raises(ValidationError, match="^customer_last_name: .* 65536"):
        client.update_personal_info(**CUSTOMER, **texts)
    assert sandbox.connections == 0


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("customer_frist_name", "customer_first_name"),
        ("Customer_Gender", "customer_gender"),
        ("appkey", "app_key"),
        ("zzz", None),
        ("", None),
    ],
)
def test_an_unknown_name_is_a_type_error(
    client: Client, sandbox: Sandbox, environment: None, name: str, nearest: str | None
) -> None:
    known = "user_code, app_key, customer_box_id, customer_key, customer_first_name, "
    known += "customer_last_name, customer_identity_number, customer_tax_number, "
    known += "customer_birth_date, customer_gender"
    hint = f". Did you mean '{nearest}'?" if nearest else f"; the fields are {known}"
    message = f"update_personal_info() got an unexpected keyword argument '{name}'{hint}"
    for update in (client.update_personal_info, skypostal.update_personal_info):
        with pytest.raises(TypeError) as caught:
            update(**CUSTOMER, **{name: "x"})  # type: ignore[arg-type]
        assert str(caught.value) == message
        with pytest.raises(TypeError):
            update("positional")  # type: ignore[misc, arg-type]
    assert sandbox.connections == 0
