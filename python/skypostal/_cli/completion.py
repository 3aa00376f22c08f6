"""`skypostal completion`: a script that teaches a shell the options, made by shtab."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING, Any

from .._fields import FIELDS
from .output import write
from .parser import Parser, UsageError

if TYPE_CHECKING:
    from .parser import Commands

_EPILOG = """\
It needs the extra: pip install 'skypostal[completion]'. Write the script to
  bash   ~/.local/share/bash-completion/completions/skypostal
  zsh    _skypostal, in a folder of $fpath
  fish   ~/.config/fish/completions/skypostal.fish
"""


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "completion",
        help="write a script for completion in a shell",
        description="Writes a script by which a shell completes commands and options.",
        epilog=_EPILOG,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.set_defaults(run=_run, parser=parser)


def set_parsers(parser: Parser, commands: Commands) -> None:
    """Gives this command the parsers whose options it completes."""
    commands.choices["completion"].set_defaults(root=parser, commands=commands)


def _run(args: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError:
        problem = "shtab is missing: pip install 'skypostal[completion]'"
        raise UsageError(args.parser.prog, problem) from None

    if sys.platform == "win32" and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(newline="\n")  # these shells take a carriage return for a command
    for command in args.commands.choices.values():
        for action in command._actions:
            _give_values(action, shtab.FILE)
    return 0 if write(shtab.complete(args.root, args.shell) + "\n") else 1


def _give_values(action: Any, file: object) -> None:
    if action.metavar == "FILE":
        action.complete = file
    if action.dest in FIELDS and FIELDS[action.dest].type == "gender":
        # Not in the parser, so that the library checks the value.
        action.choices = ("M", "F")
