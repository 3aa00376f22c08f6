"""The output of the commands: text for people, JSON for programs."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Mapping


def add_json(group: argparse._ArgumentGroup) -> None:
    """Adds the choice between output for people and for programs."""
    group.add_argument(
        "--json",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="write one JSON object, or not; without either: if standard output is no terminal",
    )


def add_verbose(group: argparse._ArgumentGroup) -> None:
    """Adds the option that shows the log."""
    group.add_argument("-v", "--verbose", action="store_true",
                       help="log each attempt to standard error (SKYPOSTAL_LOG wins)")  # fmt: skip


def log_if_verbose(args: argparse.Namespace) -> None:
    if args.verbose and not os.environ.get("SKYPOSTAL_LOG"):
        from .. import _logging

        _logging.turn_on("debug")


def wants_json(args: argparse.Namespace) -> bool:
    return bool(args.json if args.json is not None else not sys.stdout.isatty())


def to_json(value: object) -> str:
    """Returns JSON in ASCII, which every locale can write, with every digit of a Decimal."""
    import json
    from decimal import Decimal

    if isinstance(value, Mapping):
        members = (f"{json.dumps(name)}: {to_json(each)}" for name, each in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(to_json, value)) + "]"
    if isinstance(value, Decimal):
        return format(value, "f")
    return json.dumps(value, default=str)


def printable(value: object) -> str:
    """Returns the text on one line, without what would steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value))


def write(text: str) -> bool:
    """Writes to standard output; False if that failed. A reader that has left is no failure."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as problem:
        # At the end, Python would try to write what is left in the buffer, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not (isinstance(problem, BrokenPipeError) or _left_on_windows(problem)):
            say_error(f"skypostal: cannot write to standard output: {problem.strerror}")
            return False
    return True


def _left_on_windows(problem: OSError) -> bool:
    # Windows' C library says so of a pipe whose reader has left.
    return sys.platform == "win32" and problem.errno == errno.EINVAL


def say_error(text: str) -> None:
    """Writes a line to standard error, if that has a reader."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        pass
