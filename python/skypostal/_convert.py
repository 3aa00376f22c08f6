"""Numbers and JSON between Python and the core, without losing a digit."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

# Python refuses to turn longer texts into an int, because it takes quadratic time.
_LONGEST_INT = 4000


def number(text: str) -> int | Decimal:
    """A JSON number as an ``int`` where it is one, else as a ``Decimal``."""
    if len(text) <= _LONGEST_INT and text.lstrip("-").isdigit():
        return int(text)
    return Decimal(text)


def json_object(text: str) -> dict[str, Any]:
    """A JSON object, its numbers as ``number`` reads them."""
    loaded: dict[str, Any] = json.loads(text, parse_int=number, parse_float=number)
    return loaded


def plain_number(value: object) -> str:
    """The digits of a tax number; what is not plain is left for the core to refuse."""
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        # A huge exponent would be written out as that many zeros.
        return format(value, "f") if -100 < value.adjusted() < 100 else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() < 1000 else "a longer number"
    raise TypeError
