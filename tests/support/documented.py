"""The request and the response of the service's documentation, which stand once in tests/data."""

from __future__ import annotations

import json
from typing import Any

from project import TESTS

REQUEST_BYTES = (TESTS / "data" / "request.json").read_bytes()
RESPONSE_BYTES = (TESTS / "data" / "response.json").read_bytes()
# A member that is null keeps its value, and the library leaves it out.
REQUEST: dict[str, Any] = {
    name: value for name, value in json.loads(REQUEST_BYTES).items() if value is not None
}
RESPONSE: dict[str, Any] = json.loads(RESPONSE_BYTES)[0]

# The two parts of an update as a client takes it: which customer, and with the changes.
CUSTOMER: Any = {name: REQUEST[name] for name in ("customer_box_id", "customer_key")}
UPDATE: Any = {
    name: value
    for name, value in json.loads(REQUEST_BYTES).items()
    if name not in ("user_code", "app_key")
}
