"""The forms of WCF: how it reads JSON, and how it writes JSON, dates and error pages."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

# The name of the one field that is a number.
TAX_NUMBER = "customer_tax_number"
MAX_STRING = 8_192  # UTF-16 units
MAX_DEPTH = 200
INTEGER = re.compile(r"-?[0-9]{1,19}")
DECIMAL = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class Number(str):
    """A JSON number as it was written, so that no digit and no scale is lost."""


def check_depth(text: str) -> None:
    """Refuses a nesting too deep. Where json itself gives up depends on the version of Python."""
    depth = 0
    for bracket in re.findall(r"[][{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def read_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a duplicate member")
    for text in (value for value in members.values() if isinstance(value, str)):
        if len(text.encode("utf-16-le", "surrogatepass")) > 2 * MAX_STRING:
            raise ValueError("a string too long")
    return members


def read_string(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and type(value) is not str:
        raise ValueError(f"{name}: must be a string")
    return value or None


def read_number(members: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ValueError(f"{name}: must be a plain number")
    return value


def plain_decimal(number: int | Decimal | str | None) -> str | None:
    if number is None:
        return None
    if isinstance(number, str) and not DECIMAL.fullmatch(number):
        raise ValueError(f"{TAX_NUMBER}: must be digits with an optional fraction")
    decimal = Decimal(number)
    if not decimal.is_finite():
        raise ValueError(f"{TAX_NUMBER}: must be a number")
    # Not str(): that refuses an int of more than 4,300 digits and writes exponents.
    return format(decimal, "f")


def write_response(
    record: Mapping[str, Any],
    description: str = "",
    location: str = "",
    system_error: bool = False,
) -> bytes:
    """Returns the response as DataContractJsonSerializer writes it: no spaces, ordinal order."""
    birth = record.get("customer_birth_date")
    members = {
        "_verify": bool(record),
        "cust_id": record.get("cust_id", 0),
        "customer_birth_date": birth and wcf_date(datetime.date.fromisoformat(birth)),
        "customer_first_name": record.get("customer_first_name"),
        "customer_gender": record.get("customer_gender"),
        "customer_identity_number": record.get("customer_identity_number"),
        "customer_last_name": record.get("customer_last_name"),
    }
    error = {
        "error_description": description,
        "error_location": location,
        "system_error": system_error,
    }
    # json cannot write a Decimal.
    tax = plain_decimal(record.get(TAX_NUMBER)) or "null"
    echoed = write_json(members)[:-1]
    return f'[{echoed},"{TAX_NUMBER}":{tax},"error":{write_json(error)}}}]'.encode()


def write_json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/")
    return re.sub("[\ud800-\udfff\ufffe\uffff\U00010000-\U0010ffff]", escape, text)


def escape(match: re.Match[str]) -> str:
    return re.sub("....", r"\\u\g<0>", match[0].encode("utf-16-be", "surrogatepass").hex())


def wcf_date(day: datetime.date) -> str:
    """Midnight of the day where the server is, as milliseconds since 1970 UTC and the offset there.

    The zone is a stand-in: US Eastern time by today's rule, second Sunday of March to first Sunday
    of November, for every year. Clocks change at two in the morning, so after that midnight.
    """
    march, november = day.replace(month=3, day=8), day.replace(month=11, day=1)
    begin, end = (first + datetime.timedelta(6 - first.weekday()) for first in (march, november))
    hours = 4 if begin < day <= end else 5
    days = (day - datetime.date(1970, 1, 1)).days
    return f"/Date({(days * 24 + hours) * 3_600_000}-0{hours}00)/"


def error_page(title: str, text: str) -> bytes:
    page = (
        '<?xml version="1.0" encoding="utf-8"?>\n<html xmlns="http://www.w3.org/1999/xhtml">\n'
        f"  <head><title>{title}</title></head>\n"
        f'  <body><p class="heading1">{title}</p><p>{text}</p></body>\n</html>'
    )
    return page.encode("utf-8-sig")


def is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


REQUEST_ERROR = error_page(
    "Request Error",
    "The server encountered an error processing the request. See server logs for more details.",
)
