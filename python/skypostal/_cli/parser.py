"""The parser of the command line, the types of its options, and what it says of a wrong one."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from .. import _native
from .output import write

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]

_NO_KEYS = (
    "keys are not taken as arguments, which everyone on this machine can read: set"
    " SKYPOSTAL_APP_KEY and SKYPOSTAL_CUSTOMER_KEY, or use --app-key-file FILE and --key-file FILE;"
    " and remove this key from your shell's history"
)


class UsageError(Exception):
    """The command cannot be run as it was given. The text never repeats what may be a key."""

    def __init__(self, program: str, message: str) -> None:
        super().__init__(message)
        self.program = program


class Parser(argparse.ArgumentParser):
    """A parser that takes no abbreviations, and suggests the nearest option to a misspelt one."""

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
        # argparse of Python 3.9 fails if the reader of a pipe has left.
        if file is None:
            write(self.format_help())
        else:
            super().print_help(file)

    def error(self, message: str) -> NoReturn:
        raise UsageError(self.prog, message)

    def refuse(
        self, arguments: list[str], commands: Mapping[str, Parser] | None = None
    ) -> NoReturn:
        """Raises the error for arguments that this parser does not know. `commands` are those that
        may have the option, where it stands before the command."""
        option = next((a.partition("=")[0] for a in arguments if a.startswith("-")), None)
        if option is None:
            self.error("a value stands without an option; put quotes around a value with spaces")
        if not re.fullmatch("--?[A-Za-z_-]+", option):
            self.error("unknown option")  # it may be a key that begins with a dash
        if option.lower().endswith(("key", "password", "secret", "token")):
            self.error(f"{option}: {_NO_KEYS}")
        near = self._near(option)
        for command in (commands or {}).values():
            if not near and command._near(option):
                near = [f"{command.prog} {command._near(option)[0]}"]
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        self.error(f"unknown option {option}{hint}")

    def _near(self, option: str) -> list[str]:
        """Returns the options that the user may mean: those that start with it, else the nearest.
        An abbreviation is not taken: a later version may have another option that starts so."""
        shown = [
            action.option_strings[0]
            for action in self._actions
            if action.help != argparse.SUPPRESS and action.option_strings
        ]
        name = option.lstrip("-").replace("-", "_").lower()
        whole = [each for each in shown if name and each.replace("-", "_").startswith(f"__{name}")]
        near = _native._nearest(option, shown)
        return whole if 0 < len(whole) <= 3 else [near] if near is not None else []

    def _match_argument(self, action: argparse.Action, arg_strings_pattern: str) -> int:
        # argparse has no public place that knows of which option the value is missing.
        try:
            return super()._match_argument(action, arg_strings_pattern)
        except argparse.ArgumentError as error:
            advice = "write --option=VALUE for a value that begins with a dash"
            raise argparse.ArgumentError(action, f"{error.message}; {advice}") from None


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=34)


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """Returns the end of a message about an unknown name: a question, if a name is near."""
    near = _native._nearest(word, [name for name in names if name.isprintable()])
    return f"; did you mean {near}?" if near is not None else ""


def integer(text: str) -> int | str:
    """Returns a number, or the text as it is, which the library refuses."""
    return int(text) if re.fullmatch("-?[0-9]{1,30}", text) else text


def count(text: str) -> int:
    """Returns a number of retries."""
    if not re.fullmatch("[0-9]{1,9}", text):
        raise argparse.ArgumentTypeError("must be 0 or a greater integer")
    return int(text)
