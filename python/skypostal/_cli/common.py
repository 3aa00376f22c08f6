"""What the commands share: options, how they speak, and what they say when something is wrong."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]

INTERRUPTED = 130

_NO_KEYS = (
    "keys are not taken as arguments, which everyone on this machine can read: set"
    " SKYPOSTAL_APP_KEY and SKYPOSTAL_CUSTOMER_KEY, or use --key-file FILE for the customer's key;"
    " and remove this key from your shell's history"
)


class UsageError(Exception):
    """The command cannot be run as it was given. The text never repeats what may be a key."""

    def __init__(self, program: str, message: str) -> None:
        super().__init__(message)
        self.program = program


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations, and says what is nearest to a misspelt option."""

    def __init__(self, **arguments: Any) -> None:
        arguments.setdefault("formatter_class", _formatter)
        super().__init__(allow_abbrev=False, **arguments)

    def option(self, name: str, *, group: Any = None, **arguments: Any) -> None:
        """Adds an option, and silently its other spelling: `_` for `-`, or `-` for `_`."""
        (group or self).add_argument(name, **arguments)
        stem = name[2:]
        other = "--" + (stem.replace("_", "-") if "_" in stem else stem.replace("-", "_"))
        if other != name:
            dest = arguments.pop("dest", stem.replace("-", "_"))
            arguments.update(dest=dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
            self.add_argument(other, **arguments)

    def print_help(self, file: Any = None) -> None:
        # argparse of Python 3.9 minds if nobody reads any more.
        if file is None:
            write(self.format_help())
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        if "expected one argument" in message:
            message += "; write --option=VALUE for a value that begins with a dash"
        raise UsageError(self.prog, message)

    def refuse(self, arguments: list[str]) -> NoReturn:
        """For what was given and is unknown."""
        option = next((a.partition("=")[0] for a in arguments if a.startswith("-")), None)
        if option is None:
            self.error("a value stands without an option; put quotes around a value with spaces")
        if not re.fullmatch("--?[A-Za-z_-]+", option):
            self.error("unknown option")  # it may be a key that begins with a dash
        name = option.lstrip("-").replace("-", "_").lower()
        if name.endswith(("key", "password", "secret", "token")):
            self.error(f"{option}: {_NO_KEYS}")
        shown = {action.dest: action.option_strings[0] for action in self._actions
                 if action.help != argparse.SUPPRESS and action.option_strings}  # fmt: skip
        self.error(f"unknown option {option}{nearest(name, shown)}")


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=34)


def nearest(word: str, names: Mapping[str, str]) -> str:
    """A question to put behind "unknown …", if a name is near; each stands with how it is shown."""
    import difflib

    for spelling in (word, f"customer_{word}"):
        for near in difflib.get_close_matches(spelling, names, 1, 0.75):
            return f"; did you mean {names[near]}?"
    return ""


def integer(text: str) -> int | str:
    """A number, or the text as it is, for the library to refuse."""
    return int(text) if re.fullmatch("-?[0-9]{1,30}", text) else text


def count(text: str) -> int:
    """A number of retries."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError("is not 0 or a greater integer")
    return int(text)


def add_connection(parser: Parser) -> None:
    """The options that say where the service is and how it is reached."""
    group = parser.add_argument_group("the service")

    def add(name: str, **arguments: Any) -> None:
        parser.option(name, group=group, **arguments)

    add(
        "--environment",
        choices=("test", "production"),
        help="default: SKYPOSTAL_ENVIRONMENT, else test",
    )
    add(
        "--base-url",
        metavar="URL",
        help="where the service is, in place of the environment's"
        " address (default: SKYPOSTAL_BASE_URL)",
    )
    add(
        "--timeout",
        metavar="S",
        type=float,
        default=30.0,
        help="seconds for all, retries included (default: 30)",
    )
    add(
        "--connect-timeout",
        metavar="S",
        type=float,
        default=10.0,
        help="seconds for a connection (default: 10)",
    )
    add(
        "--max-retries",
        metavar="N",
        type=count,
        default=2,
        help="how often to try again (default: 2)",
    )
    add(
        "--proxy",
        metavar="URL",
        help="http://host:port; one that wants a password goes into"
        " HTTPS_PROXY (default: HTTPS_PROXY, unless NO_PROXY exempts the host)",
    )
    add(
        "--ca-file",
        metavar="FILE",
        help="PEM file of certificates to trust beside the system's (default: REQUESTS_CA_BUNDLE)",
    )
    add(
        "--no-trust-env",
        dest="trust_env",
        action="store_false",
        help="do not read the proxy variables and REQUESTS_CA_BUNDLE",
    )
    add("--allow-http", action="store_true",
        help="let plain http:// leave this machine, keys readable")  # fmt: skip


def connection(args: argparse.Namespace) -> dict[str, Any]:
    """What those options say, for `skypostal.Client`."""
    if "@" in (args.proxy or ""):
        raise UsageError(args.parser.prog, "--proxy: a password is not taken as an argument, which"
                         " everyone on this machine can read: set HTTPS_PROXY")  # fmt: skip
    names = ("environment", "base_url", "timeout", "connect_timeout", "max_retries", "proxy",
             "ca_file", "trust_env", "allow_http")  # fmt: skip
    return {name: getattr(args, name) for name in names}


def cause(error: BaseException) -> str:
    """The message without what it says of delivery and attempts."""
    return str(error).rpartition(" (delivery ")[0] or str(error)


def is_final_refusal(error: Any, kind: str) -> bool:
    """Whether the service, or what stands before it, did not make the change and would refuse the
    same update again. A 429 asks for another attempt."""
    return (
        error.delivery == "rejected"
        and kind in ("refused", "status")
        and getattr(error, "status", None) != 429
    )


def add_json(group: argparse._ArgumentGroup) -> None:
    """The choice between output for people and for programs."""
    group.add_argument(
        "--json",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="write one JSON object, or not; without either: if standard output is no terminal",
    )


def wants_json(args: argparse.Namespace) -> bool:
    return bool(args.json if args.json is not None else not sys.stdout.isatty())


def report_usage(problem: UsageError, arguments: list[str]) -> int:
    """Says what is wrong with the arguments, which could not be read."""
    say_error(f"{problem.program}: {problem} (see {problem.program} --help)")
    speaks_json = problem.program.rpartition(" ")[2] in ("update", "bulk", "doctor")
    asked = "--json" in arguments or ("--no-json" not in arguments and not sys.stdout.isatty())
    if speaks_json and asked:
        details = {"kind": "usage", "message": str(problem), "delivery": "not_sent", "attempts": 0}
        write(to_json({"error": details}) + "\n")
    return 2


def to_json(value: object) -> str:
    """JSON in ASCII, which every locale can write, and with every digit of a Decimal."""
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
    """On one line, and nothing that would steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in str(value))


def write(text: str) -> bool:
    """Writes to standard output; False if that failed, other than by nobody reading any more."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as problem:
        # What is left in the buffer would be tried again, and complained about, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(problem, BrokenPipeError):
            say_error(f"skypostal: cannot write to standard output: {problem.strerror}")
            return False
    return True


def say_error(text: str) -> None:
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody listens
