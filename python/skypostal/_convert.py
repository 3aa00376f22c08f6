"""Numbers and JSON between Python and the core, without losing a digit."""

from __future__ import annotations

import json
import operator
import re
from decimal import Decimal, DecimalException

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Python refuses to turn longer texts into an int, because it takes quadratic time.
_LONGEST_INT = 4000
# json's own limit follows the stack of the main thread. A thread under musl has a smaller one, on
# which 1,000 levels ended the process.
_MAX_DEPTH = 200


def number(text: str) -> int | Decimal | None:
    """A JSON number as an ``int`` where it is one, else as a ``Decimal``; None if neither can."""
    try:
        if len(text) <= _LONGEST_INT and text.lstrip("-").isdigit():
            return int(text)
    except ValueError:
        pass  # the program has set a lower limit
    try:
        decimal = Decimal(text)
    except DecimalException:
        return None
    return decimal if decimal.is_finite() else None


def json_value(text: str) -> Any:
    """A JSON value; what Python cannot hold, such as a nesting too deep, is left as its text."""
    if _is_too_deep(text):
        return text
    try:
        return json.loads(text, parse_int=_number_or_text, parse_float=_number_or_text)
    except ValueError:
        return text


def _is_too_deep(text: str) -> bool:
    if text.count("[") + text.count("{") <= _MAX_DEPTH:
        return False
    depth = 0
    for bracket in re.findall(r"[][{}]", re.sub(r'"(?:[^"\\]|\\.)*"', "", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > _MAX_DEPTH:
            return True
    return False


def _number_or_text(text: str) -> int | Decimal | str:
    value = number(text)
    return text if value is None else value


def plain_decimal(value: Decimal) -> str:
    """Returns the digits without an exponent, unless that would write a huge one as zeros."""
    return format(value, "f") if -100 < value.adjusted() < 100 else str(value)


def plain_number(value: object) -> str | None:
    """Returns an int or a Decimal in plain decimal notation, None for another type.

    The core checks the result.
    """
    if isinstance(value, Decimal):
        return None if value.is_nan() else plain_decimal(value)
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        return None
    try:
        integer = operator.index(value)  # type: ignore[arg-type]  # of numpy, too
    except TypeError:  # a numpy.bool
        return None
    return str(integer) if integer.bit_length() < 1000 else "a longer number"


def unfit_kind(value: object) -> str | None:
    """Returns "missing" for the values that pandas has in place of a missing one, "float" for any
    other float, and None for the rest.

    Neither pandas nor numpy is imported for it.
    """
    kind = type(value)
    if isinstance(value, Decimal):
        return "missing" if value.is_nan() else None
    if kind.__name__ in ("NAType", "NaTType"):
        return "missing"
    is_float = isinstance(value, float)
    if kind.__module__ == "numpy":
        is_float = kind.__name__.startswith(("float", "longdouble"))
        if not is_float and kind.__name__ not in ("datetime64", "timedelta64"):
            return None
    elif not is_float:
        return None
    if value != value:
        return "missing"
    return "float" if is_float else None
