"""The command `skypostal`, which is `python -m skypostal` too."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from skypostal import __version__
from skypostal._cli import bulk, common, completion, doctor, sandbox, update


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status; each command's help says what they mean."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_output()
    try:
        status = _run(arguments)
    except SystemExit as end:  # after --help or --version
        status = end.code if isinstance(end.code, int) else 2
    except common.UsageError as problem:
        status = common.report_usage(problem, arguments)
    except KeyboardInterrupt:
        common.say_error("skypostal: interrupted")
        status = common.INTERRUPTED
    common.write("")
    return status


def _run(arguments: list[str]) -> int:
    parser = common.Parser(
        prog="skypostal",
        description="Update a customer's personal information at SkyPostal.",
        epilog="`skypostal COMMAND --help` tells more. Not affiliated with SkyPostal.",
    )
    version = f"skypostal {__version__}"
    parser.add_argument("-V", "--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in (update, bulk, doctor, sandbox, completion):
        module.add_command(commands)
    completion.of(parser, commands)

    # Before argparse, whose message would repeat the word: it may be a key.
    if not arguments:
        parser.print_help(sys.stderr)
        return 2
    if not arguments[0].startswith("-") and arguments[0] not in commands.choices:
        names = {name: name for name in commands.choices}
        hint = common.nearest(arguments[0], names) or f"; there are {', '.join(names)}"
        parser.error(f"no such command{hint}")
    if arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "-V", "--version"):
        parser.refuse(arguments[:1])
    args, rest = parser.parse_known_args(arguments)
    if rest:
        args.parser.refuse(rest)
    status: int = args.run(args)
    return status


def _prepare_output() -> None:
    """What the terminal's encoding lacks is escaped; a stream that was closed stays silent."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    sys.exit(main())
