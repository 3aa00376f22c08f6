"""The command `skypostal`: its parser, and what it does with the outcome of a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import __version__
from . import bulk, completion, doctor, sandbox, update
from .exit_status import INTERRUPTED
from .output import say_error, to_json, write
from .parser import Parser, UsageError, did_you_mean

if TYPE_CHECKING:
    from .parser import Commands


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; each command's help explains its own."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_output()
    try:
        status = _run(arguments)
    except SystemExit as end:  # after --help or --version
        status = end.code if isinstance(end.code, int) else 2
    except UsageError as problem:
        status = _report_usage(problem, arguments)
    except KeyboardInterrupt:
        say_error("skypostal: interrupted")
        status = INTERRUPTED
    write("")
    return status


def parsers() -> tuple[Parser, Commands]:
    """Returns the parser of the whole, and those of the commands."""
    parser = Parser(
        prog="skypostal",
        description="Update a customer's personal information at SkyPostal.",
        epilog="`skypostal COMMAND --help` explains a command. Not affiliated with SkyPostal.",
    )
    version = f"skypostal {__version__}"
    parser.add_argument("-V", "--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in (update, bulk, doctor, sandbox, completion):
        module.add_command(commands)
    completion.set_parsers(parser, commands)
    return parser, commands


def _run(arguments: list[str]) -> int:
    parser, commands = parsers()
    # Before argparse, whose message would repeat the word: it may be a key.
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    if not arguments[0].startswith("-") and arguments[0] not in commands.choices:
        names = list(commands.choices)
        hint = did_you_mean(arguments[0], names) or f"; there are {', '.join(names)}"
        parser.error(f"no such command{hint}")
    if arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "-V", "--version"):
        parser.refuse(arguments[:1], commands.choices)
    args, rest = parser.parse_known_args(arguments)
    if rest:
        args.parser.refuse(rest)
    status: int = args.run(args)
    return status


def _prepare_output() -> None:
    """Escapes characters that the terminal's encoding lacks, and keeps a closed stream silent."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _report_usage(problem: UsageError, arguments: list[str]) -> int:
    """Reports wrong arguments. The choice of --json was not parsed, so it is looked for here."""
    say_error(f"{problem.program}: {problem} (see {problem.program} --help)", "problem")
    command = problem.program.rpartition(" ")[2]
    piped = "--no-json" not in arguments and not sys.stdout.isatty()
    if (command in ("update", "bulk") and piped) or (
        command in ("update", "bulk", "doctor") and "--json" in arguments
    ):
        details = {"kind": "usage", "message": str(problem), "delivery": "not_sent", "attempts": 0}
        write(to_json({"error": details}) + "\n")
    return 2
