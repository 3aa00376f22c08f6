"""The command `skypostal update` for tests, and what its exit status and its output say."""

from __future__ import annotations

import json

from command_line import Done

from skypostal.sandbox import BOX_ID

UPDATE = ("update", "--customer_box_id", str(BOX_ID))
ONCE = (*UPDATE, "--max-retries", "0")
BEFORE = "The customer is as before"
PERHAPS = "The customer may have been changed"


def outcome_of(done: Done[str]) -> tuple[int, str, str]:
    """The exit status, the kind and the delivery; standard error must say the same."""
    error = json.loads(done.stdout)["error"]
    assert {"kind", "message", "delivery", "attempts"} <= set(error)
    first, _, second = done.stderr.partition("\n")
    assert first.startswith(f"skypostal update: {error['message']}")
    if error["kind"] != "usage":
        assert second.startswith(PERHAPS if error["delivery"] == "unknown" else BEFORE)
    return done.returncode, error["kind"], error["delivery"]
