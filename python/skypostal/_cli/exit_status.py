"""The exit statuses that the commands share."""

from __future__ import annotations

import skypostal

INTERRUPTED = 130


def is_final_refusal(error: skypostal.SkyPostalError) -> bool:
    """Returns whether the same update would be refused again, and did not change the customer.

    A 429 asks for another attempt.
    """
    if error.delivery != "rejected":
        return False
    if isinstance(error, skypostal.StatusError):
        return error.status != 429
    return isinstance(error, skypostal.RefusedError)
