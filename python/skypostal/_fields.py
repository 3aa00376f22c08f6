"""The fields of an update: one table, for the Arrow tables and for the command line.

The core checks the values (`src/update.rs`); the stubs document them for programs.
"""

from __future__ import annotations

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    _FieldType = Literal["integer", "text", "number", "day", "gender"]


class Field:
    """One field of an update."""

    __slots__ = ("help", "is_change", "name", "secret", "type")

    def __init__(
        self, name: str, type: _FieldType, help: str, *, secret: bool = False, change: bool = True
    ) -> None:
        self.name = name
        """The service's own name."""
        self.type = type
        """The form of its values: ``"number"`` is digits that no float may touch, ``"day"`` is
        ``YYYY-MM-DD``, ``"gender"`` is ``M`` or ``F``."""
        self.help = help
        """The meaning, in a few words."""
        self.secret = secret
        """True for a key."""
        self.is_change = change
        """True for what is changed; false for the credentials and the customer's box."""

    def __repr__(self) -> str:
        return f"Field({self.name!r})"


FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("user_code", "integer", "the user code given by SkyPostal", change=False),
        Field("app_key", "text", "the key given by SkyPostal", secret=True, change=False),
        Field("customer_box_id", "integer", "the customer's box", change=False),
        Field("customer_key", "text", "the customer's key", secret=True, change=False),
        Field("customer_first_name", "text", "the new first name"),
        Field("customer_last_name", "text", "the new last name"),
        Field("customer_identity_number", "text", "the new identity number"),
        Field(
            "customer_tax_number", "number", "the new tax number: digits, with a fraction or not"
        ),
        Field("customer_birth_date", "day", "the new birth date, YYYY-MM-DD"),
        Field("customer_gender", "gender", "the new gender"),
    )
}
"""Every field by its name, in the order of the service's documentation."""

REQUIRED = ("customer_box_id", "customer_key")
"""The fields that each update needs."""
SECRETS = tuple(name for name, field in FIELDS.items() if field.secret)
"""The fields that hold a key."""
CHANGES = tuple(name for name, field in FIELDS.items() if field.is_change)
"""The fields that an update changes."""
