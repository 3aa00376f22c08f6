"""The rules of the service: which updates it makes, and what it says of the others."""

from __future__ import annotations

import json
import re
import sqlite3

from ._customers import APP_KEY, TEXTS, USER_CODE, Customers
from ._wcf import (
    DECIMAL,
    INTEGER,
    TAX_NUMBER,
    Number,
    check_depth,
    is_day,
    plain_decimal,
    read_members,
    read_number,
    read_string,
    refuse_constant,
    write_response,
)

ASSUMPTIONS = (
    "the texts of refusals, and their place in error_location",
    "an empty string keeps the current value",
    "a birth date that is no YYYY-MM-DD day and a gender other than M or F are refusals (200)",
    "a number or a boolean where a string belongs is an HTML 400",
    "a birth date that was never set is null in a response",
    "dates carry the offset of US Eastern time by today's rule, for every year",
    "the response to a chunked request is 411",
    "Content-Type may carry charset=utf-8 and no other charset",
)

ACCEPTED = "accepted"  # the one outcome with which a customer was changed


class Refused(Exception):
    """The service says no: the text, and the field it is about."""


def update(customers: Customers, body: bytes) -> tuple[str, bytes]:
    """Returns what became of it, in words, and the response. ValueError for what WCF refuses."""
    if re.search(b"\xef\xbf[\xbe\xbf]", body):
        raise ValueError("a raw U+FFFE or U+FFFF")
    text = body.decode()
    check_depth(text)
    members = json.loads(
        text,
        parse_int=Number,
        parse_float=Number,
        parse_constant=refuse_constant,
        object_pairs_hook=read_members,
    )
    if not isinstance(members, dict):
        raise ValueError("not an object")
    user_code, box_id = (
        int(read_number(members, name, INTEGER) or 0) for name in ("user_code", "customer_box_id")
    )
    app_key, customer_key = read_string(members, "app_key"), read_string(members, "customer_key")
    changes = {name: read_string(members, name) for name in TEXTS[1:] if name != TAX_NUMBER}
    changes[TAX_NUMBER] = plain_decimal(read_number(members, TAX_NUMBER, DECIMAL))
    try:
        if user_code != USER_CODE or app_key != APP_KEY:
            raise Refused("user_code and app_key do not match", "app_key")
        if box_id not in customers:
            raise Refused("No customer has this box", "customer_box_id")
        if customer_key != customers[box_id]["customer_key"]:
            raise Refused("customer_box_id and customer_key do not match", "customer_key")
        if not is_day(changes["customer_birth_date"] or "1980-08-19"):
            raise Refused("The birth date is not a day in YYYY-MM-DD form", "customer_birth_date")
        if changes["customer_gender"] not in (None, "M", "F"):
            raise Refused("The gender is neither M nor F", "customer_gender")
        return ACCEPTED, write_response(customers._update(box_id, changes))
    except Refused as refusal:
        description, location = refusal.args
        return f"refused: {description}", write_response({}, description, location)
    except sqlite3.Error as error:
        return f"failed: {error}", write_response({}, str(error), "database", True)
