"""Update a customer's personal information at SkyPostal.

    import skypostal

    info = skypostal.update_personal_info(
        customer_box_id=811111, customer_key="...", customer_first_name="New Name"
    )

``user_code`` and ``app_key`` come from the variables ``SKYPOSTAL_USER_CODE`` and
``SKYPOSTAL_APP_KEY`` (or ``SKYPOSTAL_APP_KEY_FILE``), from a ``Client``, or from the call. Not
affiliated with SkyPostal.
"""

import os as _os

from ._async_client import AsyncBulkUpdate, AsyncClient
from ._native import (
    Attempt,
    BulkUpdate,
    Client,
    Outcome,
    PersonalInfo,
    Preview,
    __version__,
    update_batch,
    update_batch_schema,
    update_personal_info,
)
from .errors import (
    ConfigurationError,
    ConnectError,
    ConnectionLostError,
    InternalError,
    RefusedError,
    RequestTimeoutError,
    ResponseError,
    SkyPostalError,
    StatusError,
    TlsError,
    ValidationError,
)

__all__ = [
    "AsyncClient",
    "AsyncBulkUpdate",
    "Attempt",
    "Client",
    "Fields",
    "ConfigurationError",
    "ConnectError",
    "ConnectionLostError",
    "InternalError",
    "Outcome",
    "PersonalInfo",
    "Preview",
    "RefusedError",
    "RequestTimeoutError",
    "ResponseError",
    "SkyPostalError",
    "StatusError",
    "TlsError",
    "BulkUpdate",
    "ValidationError",
    "__version__",
    "update_batch_schema",
    "update_batch",
    "update_personal_info",
]

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._types import Fields
else:

    def __getattr__(name: str) -> object:
        if name == "Fields":
            from ._types import Fields

            return Fields
        raise AttributeError(f"module 'skypostal' has no attribute '{name}'")


if _level := _os.environ.get("SKYPOSTAL_LOG"):
    from . import _logging

    _logging.turn_on(_level)
