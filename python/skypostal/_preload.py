"""Imports every module that a call needs. ``Client`` imports this module when it is made.

Later a module may be out of reach: after ``chroot``, or in a process that gave up the right to read
it. The native module imports some of these by name, which a tool that freezes programs cannot see.
It sees them here.
"""

from __future__ import annotations

import collections.abc  # noqa: F401  row mappings of update_many
import contextvars  # noqa: F401  the context of on_attempt
import datetime  # noqa: F401  birth dates
import signal  # noqa: F401  whether an exception came from a signal handler
import sys
import threading  # noqa: F401  whether a call is on the main thread

from . import _arrow, _convert, _logging, errors  # noqa: F401
from ._native import PersonalInfo

if sys.platform == "win32":
    from . import _proactor  # noqa: F401


def personal_info(raw: str) -> PersonalInfo:
    """Makes a record from its pickle, which names this function: so this module comes with it."""
    return PersonalInfo._from_raw(raw)
