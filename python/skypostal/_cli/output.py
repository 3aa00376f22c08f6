"""The output of the commands: text for people, JSON for programs."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Mapping
from typing import TextIO

_COLORS = {"ok": 32, "warning": 33, "problem": 31}
_color = "auto"


def add_json(group: argparse._ArgumentGroup) -> None:
    """Adds the choice between output for people and for programs."""
    group.add_argument(
        "--json",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="write one JSON object, or not; without either: if standard output is no terminal",
    )


def add_verbose(group: argparse._ArgumentGroup) -> None:
    """Adds the option for the log."""
    group.add_argument("-v", "--verbose", action="store_true",
                       help="log each attempt to standard error (SKYPOSTAL_LOG wins)")  # fmt: skip


def add_color(group: argparse._ArgumentGroup) -> None:
    """Adds the option for the colours."""
    group.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="default: auto, which is at a terminal, unless NO_COLOR is set",
    )


def apply_display_options(args: argparse.Namespace) -> None:
    """Does as these options say, from here on."""
    global _color
    _color = args.color
    if getattr(args, "verbose", False) and not os.environ.get("SKYPOSTAL_LOG"):
        from .. import _logging

        _logging.turn_on("debug")


def colored(text: str, state: str, stream: TextIO) -> str:
    """Returns the text in the colour of a state: ok, warning or problem."""
    return f"\x1b[{_COLORS[state]}m{text}\x1b[0m" if state and _has_color(stream) else text


def _has_color(stream: TextIO) -> bool:
    if _color != "auto":
        return _color == "always"
    given = os.environ
    # The old console of Windows shows escape sequences as they are, and sets neither.
    knows = "TERM" in given or "WT_SESSION" in given if sys.platform == "win32" else True
    return stream.isatty() and knows and given.get("TERM") != "dumb" and not given.get("NO_COLOR")


def wants_json(args: argparse.Namespace) -> bool:
    return bool(args.json if args.json is not None else not sys.stdout.isatty())


def to_json(value: object) -> str:
    """Returns JSON in ASCII, which every locale can write, with every digit of a Decimal."""
    import json
    from decimal import Decimal

    from .._convert import plain_decimal

    if isinstance(value, Mapping):
        members = (f"{json.dumps(name)}: {to_json(each)}" for name, each in value.items())
        return "{" + ", ".join(members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(to_json, value)) + "]"
    if isinstance(value, Decimal):
        return plain_decimal(value)
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
    # On Windows a pipe whose reader has left gives this error.
    return sys.platform == "win32" and problem.errno == errno.EINVAL


def say_error(text: str, state: str = "") -> None:
    """Writes a line to standard error, if that has a reader."""
    try:
        sys.stderr.write(colored(text, state, sys.stderr) + "\n")
        sys.stderr.flush()
    except OSError:
        pass
