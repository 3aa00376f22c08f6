"""`skypostal bulk`: changes the customers of a table, and continues after a crash.

This module has its options. `run` has the steps: `table` reads, `columns` finds the fields, `check`
finds problems before anything is sent, `doubts` what may be damaged, `sender` submits the rows,
`journal` records the outcomes, `progress` shows them, and `report` writes them.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import TYPE_CHECKING, Callable

from ..connection import add_connection
from ..consent import add_yes
from ..output import add_color, add_json, add_verbose, apply_display_options
from ..parser import UsageError, integer

if TYPE_CHECKING:
    from ..parser import Commands

_EPILOG = """\
The first row names the columns, as the service names its fields;
customer_box_id and customer_key are needed. An empty cell is not sent. All is
checked before anything is sent. A journal has the outcome of each row before
anything reports it, so that --resume continues after a crash. The application
key comes from --app-key-file, SKYPOSTAL_APP_KEY or the file that
SKYPOSTAL_APP_KEY_FILE names, or from a column app_key.

exit status:
  0    every customer is updated; with --dry-run: every row could be sent
  1    a bug of skypostal
  2    nothing was sent: correct the command, the table or the configuration
  3    some rows are bad or were refused: correct them in the report, and give
       that as the table
  4    stopped, because there is no connection to the service: continue later
       with --resume
  5    some rows failed: give the report as the table, later
  6    stopped, because the journal or the report cannot be written, or the
       table was changed meanwhile: correct that, then continue with --resume
  130  ended by Ctrl-C, 143 by SIGTERM, 149 by Ctrl-Break: continue with
       --resume

example:
  skypostal bulk customers.csv --map first=customer_first_name --out report.csv
"""


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "bulk",
        help="change the customers of a table",
        description="Changes the customers of a table, CSV, .xlsx or Parquet, each row one update.",
        epilog=_EPILOG,
        usage="%(prog)s FILE --out REPORT [option ...]",
    )
    parser.set_defaults(run=_run, parser=parser)

    group = parser.add_argument_group("the table")
    group.add_argument("table", metavar="FILE", help="a table, or an earlier report")
    parser.option("--map", group=group, metavar="COLUMN=FIELD", action="append", default=[],
                  help="the column is that field; may be repeated")  # fmt: skip
    parser.option("--ignore", group=group, metavar="COLUMN", action="append", default=[],
                  help="the column is no field, though it looks like one")  # fmt: skip
    parser.option("--delimiter", group=group, metavar="C", type=_delimiter,
                  help="between cells; or tab (default: as the first line has it)")  # fmt: skip
    parser.option("--encoding", group=group, metavar="NAME", type=_encoding, action="append",
                  help="of the file, such as cp1252 (default: utf-8); given twice it is"
                  " taken even if the file looks like UTF-8")  # fmt: skip
    parser.option("--sheet", group=group, metavar="NAME",
                  help="of a spreadsheet (default: the only one)")  # fmt: skip
    parser.option("--user_code", group=group, metavar="N", type=integer,
                  help="given by SkyPostal (default: SKYPOSTAL_USER_CODE)")  # fmt: skip

    group = parser.add_argument_group("the run")
    parser.option("--out", group=group, metavar="FILE",
                  help="where the report goes, as CSV, or Parquet if the name ends so")  # fmt: skip
    parser.option("--dry-run", group=group, action="store_true",
                  help="check, send nothing; with --out, report every problem")  # fmt: skip
    parser.option("--skip-bad", group=group, action="store_true",
                  help="send the good rows though there are bad ones")  # fmt: skip
    parser.option("--resume", group=group, action="store_true",
                  help="continue a run that did not end")  # fmt: skip
    parser.option("--journal", group=group, metavar="FILE",
                  help="default: the report's name with .journal")  # fmt: skip
    parser.option("--concurrency", group=group, metavar="N", type=_up_to(100), default=8,
                  help="updates at once, up to 100 (default: 8)")  # fmt: skip
    parser.option("--rate", group=group, metavar="N", type=_rate,
                  help="the most requests a second (default: no limit)")  # fmt: skip
    parser.option("--limit", group=group, metavar="N", type=_up_to(1_000_000_000),
                  help="check, send and report the first rows alone")  # fmt: skip
    add_yes(group)

    add_connection(parser)
    group = parser.add_argument_group("output")
    parser.option("--quiet", group=group, action="store_true", help="no progress, no remarks")
    add_json(group)
    add_verbose(group)
    add_color(group)


def _delimiter(text: str) -> str:
    text = "\t" if text in ("tab", "\\t") else text
    if len(text) != 1 or text in '"\r\n\0' or text.isalnum():
        raise argparse.ArgumentTypeError("must be one character that can stand between cells")
    return text


def _encoding(text: str) -> str:
    from .decoder import is_usable, name_of

    if not is_usable(text):
        raise argparse.ArgumentTypeError(
            f"must be the name of an encoding that extends ASCII, not {text}"
        )
    return name_of(text)


def _up_to(most: int) -> Callable[[str], int]:
    """Returns the type of an option that is an integer from 1 to this one."""

    def integer_of(text: str) -> int:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"must be an integer from 1 to {most}")
        return int(text)

    return integer_of


def _rate(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.001 <= float(text) <= 1_000_000:
            return float(text)
    raise argparse.ArgumentTypeError("must be a number from 0.001 to 1000000")


def _run(args: argparse.Namespace) -> int:
    if not args.out and not args.dry_run:
        raise UsageError(args.parser.prog, "--out: must be given; it says where the report goes")
    if args.dry_run and (args.resume or args.journal):
        raise UsageError(args.parser.prog, "--dry-run has no journal: leave out the other option")
    if len(set(args.encoding or ())) > 1:
        raise UsageError(args.parser.prog, "--encoding: is given twice with different names")
    apply_display_options(args)
    from .run import run

    return run(args)
