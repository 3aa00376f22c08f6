"""What every Python peer sends and what it makes of the response: the values that ours gives."""

from __future__ import annotations

import datetime
import json
import re
from decimal import Decimal
from typing import Any

HEADERS = {"Content-Type": "application/json", "Accept": "application/json"}


# Made once: json.dumps and json.loads would make them for each call, as they are not the defaults.
# Decimal keeps every digit of a tax number.
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder(parse_float=Decimal).decode
_date = re.compile(r"/Date\((-?\d+)(?:([+-])(\d\d)(\d\d))?\)/").fullmatch
_EPOCH = datetime.date(1970, 1, 1).toordinal()


def encode(fields: dict[str, Any]) -> bytes:
    return _encode(fields).encode()


def decode(response: str) -> tuple[Any, ...]:
    info = _decode(response)[0]
    error = info["error"]
    if info["_verify"] is not True or error["system_error"] or error["error_description"]:
        raise RuntimeError(error)
    return (
        info["cust_id"],
        info["customer_first_name"],
        info["customer_last_name"],
        info["customer_identity_number"],
        info["customer_tax_number"],
        day(info["customer_birth_date"]),
        info["customer_gender"],
    )


def day(text: str) -> datetime.date | None:
    """The day of the server's calendar: milliseconds since 1970 in UTC, and the server's offset."""
    match = _date(text)
    if match is None:
        return None
    milliseconds, sign, hours, minutes = match.groups()
    seconds = int(milliseconds) // 1000
    if sign is not None:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += offset if sign == "+" else -offset
    date = datetime.date.fromordinal(_EPOCH + seconds // 86400)
    return date if date.year > 1 else None
