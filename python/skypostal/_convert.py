"""Numbers and JSON between Python and the core, without losing a digit."""

from __future__ import annotations

import json
from decimal import Decimal, DecimalException

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Python refuses to turn longer texts into an int, because it takes quadratic time.
_LONGEST_INT = 4000


def number(text: str) -> int | Decimal | None:
    """A JSON number as an ``int`` where it is one, else as a ``Decimal``; None if neither can."""
    if len(text) <= _LONGEST_INT and text.lstrip("-").isdigit():
        return int(text)
    try:
        decimal = Decimal(text)
    except DecimalException:
        return None
    return decimal if decimal.is_finite() else None


def json_value(text: str) -> Any:
    """A JSON value; what Python cannot hold, such as a nesting too deep, is left as its text."""
    try:
        return json.loads(text, parse_int=_number_or_text, parse_float=_number_or_text)
    except (RecursionError, ValueError):
        return text


def _number_or_text(text: str) -> int | Decimal | str:
    value = number(text)
    return text if value is None else value


def plain_number(value: object) -> str | None:
    """Returns the digits of a tax number, None if it is of another type.

    The core refuses what is not plain.
    """
    if isinstance(value, Decimal):
        # A huge exponent would be written out as that many zeros.
        return format(value, "f") if -100 < value.adjusted() < 100 else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if value.bit_length() < 1000 else "a longer number"
    return None
