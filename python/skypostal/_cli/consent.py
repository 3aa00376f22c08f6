"""The question before production is changed from a terminal."""

from __future__ import annotations

import argparse
import sys
from typing import NamedTuple

import skypostal

from .output import colored


class Service(NamedTuple):
    """The service that a client calls."""

    host: str
    environment: str
    """test or production; empty for another address."""

    @staticmethod
    def of(client: skypostal.Client) -> Service:
        return Service(client._route()[0].split("/")[2], client._environment() or "")

    def __str__(self) -> str:
        return f"{self.host}, {self.environment}" if self.environment else self.host


def add_yes(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--yes", action="store_true",
                       help="do not ask at a terminal before production is changed")  # fmt: skip


def at_a_terminal() -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    # To Windows, NUL is a terminal too. Python reads a console by another class than a file.
    reader = type(getattr(sys.stdin.buffer, "raw", None)).__name__
    return sys.platform != "win32" or reader == "_WindowsConsoleIO"


def has_consent(args: argparse.Namespace, service: Service, what: str) -> bool:
    """Returns whether this may be sent: it is not for production, no user can be asked, or the
    user has typed yes."""
    if args.yes or service.environment != "production":
        return True
    if not (at_a_terminal() and sys.stderr.isatty()):
        return True
    sys.stderr.write(colored(f"This {what} at {service}.", "warning", sys.stderr))
    sys.stderr.write(" Type yes to go on: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == "yes"
