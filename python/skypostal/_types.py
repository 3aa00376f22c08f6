"""Types of arguments and results, for type checkers and for ``skypostal.Fields``."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, Protocol, TypedDict

if TYPE_CHECKING:  # stubtest takes no Literal of several words for what it is
    _Delivery = Literal["not_sent", "rejected", "unknown"]

    _Kind = Literal[
        "invalid_field",
        "configuration",
        "connect",
        "tls",
        "lost",
        "timeout",
        "status",
        "refused",
        "response",
        "internal",
    ]

    _AttemptError = Literal[
        "connect",
        "tls",
        "lost",
        "timeout",
        "status",
        "refused",
        "response",
        "cancelled",
        "internal",
    ]


class Fields(TypedDict, total=False):
    """The fields of an update, by their documented names, which the service reads case-sensitively
    (observed). None counts as not given. A rule that is marked neither documented nor observed is
    this library's own."""

    user_code: int | None
    """The user code given by SkyPostal for one environment (documented): an integer as the box is.
    Wins over the client's. Required somewhere."""
    app_key: str | None
    """The application key given by SkyPostal for one environment (documented). Secret; a text as
    the first name is. Wins over the client's. Required somewhere."""
    customer_box_id: int | None
    """The customer's box, obtained by registration or login (documented): from 1 to 2**63 - 1, no
    ``bool`` and no ``float``. A row of ``update_many`` may have it as a text of 1 to 19 ASCII
    digits, because rows of a CSV file are texts, and as a ``Decimal`` without a fraction; a call
    takes these too. Required."""
    customer_key: str | None
    """The customer's key, obtained by registration or login; another one after the customer's
    e-mail address was changed (documented). Secret; a text as the first name is. Required."""
    customer_first_name: str | None
    """The new first name: not empty and not only white space and invisible characters, no
    byte-order mark (U+FEFF) before it, no control character, no half of a surrogate pair, at most
    8192 UTF-16 units (observed: longer ones are refused). All other Unicode arrives unchanged.
    Whether an empty text would clear a field is documented nowhere.

    A whole request has at most 65536 bytes (observed); the error names its longest text."""
    customer_last_name: str | None
    """The new last name: as the first name."""
    customer_identity_number: str | None
    """The new identity number: as the first name."""
    customer_tax_number: str | int | Decimal | None
    """The new tax number, numeric (documented): digits with an optional fraction, no sign, at most
    28 digits; as a ``str`` no exponent. Every digit is sent, ``123.450`` too (observed: the
    decimals are kept); leading zeros are dropped. No ``float``, which would change digits."""
    customer_birth_date: str | datetime.date | None
    """The new birth date, a real day: ``YYYY-MM-DD`` (documented) or a ``date``, from 1753-01-01
    to today, wherever on Earth today is latest. No ``datetime``: its day depends on a time zone."""
    customer_gender: Literal["M", "F"] | None
    """The new gender: ``"M"`` or ``"F"`` (documented)."""


class Probe(TypedDict):
    """The response to a request in place of an update."""

    status: int
    """The HTTP status; the service responds with 405 to anything but an update (observed)."""
    date: float | None
    """The clock of the server, as ``time.time()`` counts, to the second; None if absent."""
    elapsed: float
    """Seconds from the name look-up to the head of the response."""
    proxy: str | None
    """The host and the port of the proxy that was used, if one was."""
    tls: bool
    """True if the connection was secured by TLS."""


class ArrowArray(Protocol):
    """A table in one piece, as Arrow's PyCapsule interface has it."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Returns the capsules of its schema and of its columns."""


class ArrowStream(Protocol):
    """A table in any number of pieces."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Returns the capsule of its stream."""
