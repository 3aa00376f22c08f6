"""Updates one customer: update.py FIRST_NAME LAST_NAME BIRTH_DATE GENDER

An empty argument leaves its field as it is. From the environment come SKYPOSTAL_USER_CODE,
SKYPOSTAL_APP_KEY, SKYPOSTAL_CUSTOMER_BOX_ID and SKYPOSTAL_CUSTOMER_KEY: keys do not belong into
arguments, where everyone on the machine can read them.
"""

from __future__ import annotations

import os
import re
import sys
from decimal import Decimal
from typing import Any

import skypostal

NAMES = ("customer_first_name", "customer_last_name", "customer_birth_date", "customer_gender")

ADVICE = {
    "not_sent": "nothing was sent: the customer is as before",
    "rejected": "the service did not make the change: the customer is as before",
    "unknown": "the customer may have been changed: run this again, which does no harm",
}


def main(arguments: list[str]) -> int:
    if len(arguments) != len(NAMES):
        print("usage: update FIRST_NAME LAST_NAME BIRTH_DATE GENDER", file=sys.stderr)
        return 2
    box_id = os.environ.get("SKYPOSTAL_CUSTOMER_BOX_ID", "")
    fields: dict[str, Any] = {
        # 0, which no box has, for what is not a number.
        "customer_box_id": int(box_id) if re.fullmatch("[0-9]{1,18}", box_id) else 0,
        "customer_key": os.environ.get("SKYPOSTAL_CUSTOMER_KEY"),
    }
    fields.update({name: value for name, value in zip(NAMES, arguments) if value})
    try:
        info = skypostal.update_personal_info(**fields)
    except skypostal.SkyPostalError as error:
        print(f"{error}\n{ADVICE[error.delivery]}", file=sys.stderr)
        return 1
    for name, value in info.to_dict().items():
        if isinstance(value, Decimal):
            value = format(value, "f")  # str() would print some as 1E-7
        print(f"{name}: {'-' if value is None else value}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
