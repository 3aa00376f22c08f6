"""What is logged. Imported when the application has imported ``logging``, and not before."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._native import Attempt

logger = logging.getLogger("skypostal")
# Where an application sets up nothing, a library says nothing.
logger.addHandler(logging.NullHandler())


def attempt(attempt: Attempt) -> None:
    """One line for an attempt, and another one if a retry follows."""
    outcome = attempt.status if attempt.error in (None, "status") else f"{attempt.error} error"
    logger.debug(
        "%s %s: %s in %.1f ms (attempt %d, request %d bytes, answer %d)",
        attempt.method,
        attempt.host,
        outcome,
        attempt.elapsed * 1000,
        attempt.number,
        attempt.request_bytes,
        attempt.response_bytes,
    )
    if attempt.retry_in is not None:
        logger.warning(
            "%s %s: attempt %d failed, another follows in %.2f s: %s",
            attempt.method,
            attempt.host,
            attempt.number,
            attempt.retry_in,
            attempt.reason,
        )


def turn_on(level: str) -> None:
    """What ``SKYPOSTAL_LOG`` asks for: a handler to stderr, unless the application has its own."""
    if level.lower() not in ("debug", "info", "warning"):
        import warnings

        problem = 'SKYPOSTAL_LOG: must be "debug", "info" or "warning"; nothing is logged by it'
        warnings.warn(problem, RuntimeWarning, stacklevel=3)
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    handler.addFilter(lambda record: not logging.getLogger().handlers)
    logger.addHandler(handler)
    logger.setLevel(level.upper())
