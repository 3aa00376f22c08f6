"""Clients of a sandbox, and what becomes of its responses."""

from __future__ import annotations

import datetime
from typing import Any

from documented import CUSTOMER, RESPONSE

from skypostal import Client, PersonalInfo
from skypostal.sandbox import APP_KEY, USER_CODE, Sandbox

# The systems' messages for a path that leads nowhere; the second is Wine's.
NO_SUCH_FILE = "(No such file|(File|Path) not found|The system cannot find)"


def client_of(url: str, **options: Any) -> Client:
    return Client(**{"user_code": USER_CODE, "app_key": APP_KEY, "base_url": url, **options})


def info_of(members: bytes) -> PersonalInfo:
    """The result of a response with these members."""
    with Sandbox() as sandbox:
        sandbox.answer_next(b'[{"_verify":true,%s}]' % members)
        return client_of(sandbox.url, max_retries=0).update_personal_info(**CUSTOMER)


def assert_documented(info: PersonalInfo) -> None:
    assert info.to_dict() == {
        **{name: value for name, value in RESPONSE.items() if name in info.__match_args__},
        "customer_birth_date": datetime.date(1980, 8, 19),
    }
    assert info.raw["_verify"] is True
    assert info.raw["customer_birth_date"] == RESPONSE["customer_birth_date"]
