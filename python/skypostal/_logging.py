"""The log lines. Uses ``logging`` if the application has imported it, and never before."""

from __future__ import annotations

import sys

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging

    from ._native import Attempt

_logger: logging.Logger | None = None


def logs_all() -> bool | None:
    """Returns whether each attempt is logged, not retries alone; None without ``logging``."""
    if sys.modules.get("logging") is None:
        return None
    logger = _logger or _set_up()
    return logger.isEnabledFor(10)  # logging.DEBUG


def _set_up() -> logging.Logger:
    global _logger
    import logging

    _logger = logging.getLogger("skypostal")
    # Without a handler of the application, a library logs nothing.
    _logger.addHandler(logging.NullHandler())
    return _logger


def log_attempt(attempt: Attempt) -> None:
    """Logs a line for an attempt, and another one if a retry follows. The core writes the lines."""
    logger = _logger or _set_up()
    if logger.isEnabledFor(10):  # logging.DEBUG
        logger.debug(attempt._log_line())
    retry = attempt._retry_log_line()
    if retry is not None:
        logger.warning(retry)


def turn_on(level: str) -> None:
    """Adds the handler to stderr that ``SKYPOSTAL_LOG`` asks for.

    It logs nothing while the application has a handler of its own.
    """
    if level.lower() not in ("debug", "info", "warning"):
        import warnings

        problem = 'SKYPOSTAL_LOG: must be "debug", "info" or "warning"; nothing is logged by it'
        warnings.warn(problem, RuntimeWarning, stacklevel=3)
        return
    import logging

    logger = _set_up()
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    ours = {handler, *logger.handlers}
    handler.addFilter(
        lambda record: not logging.getLogger().handlers and ours.issuperset(logger.handlers)
    )
    logger.addHandler(handler)
    logger.setLevel(level.upper())
