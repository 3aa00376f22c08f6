"""`skypostal sandbox`: a local stand-in for the service."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .output import printable, say_error

if TYPE_CHECKING:
    from .parser import Commands


def add_command(commands: Commands) -> None:
    summary = "run a local stand-in for the service"
    parser = commands.add_parser(
        "sandbox",
        help=summary,
        description=f"{summary.capitalize()}, to try a program against. Ctrl-C ends it.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=0, help="default: 0, a free one")
    parser.add_argument(
        "--db",
        metavar="FILE",
        default=":memory:",
        help="an SQLite file to keep the customers (default: in memory)",
    )
    parser.add_argument(
        "--customers",
        metavar="FILE",
        help="a table as `skypostal bulk` takes it, whose customers are there from the start",
    )
    parser.add_argument(
        "--idle-timeout",
        metavar="S",
        type=float,
        default=15.0,
        help="seconds until a silent connection is closed (default: 15)",
    )
    parser.add_argument(
        "--tls",
        action="store_true",
        help="speak TLS, with an authority of its own; needs the extra `testing`",
    )
    parser.add_argument("--quiet", action="store_true", help="no line per request")
    parser.set_defaults(run=_run, parser=parser)


def _run(args: argparse.Namespace) -> int:
    import signal
    import sqlite3

    from skypostal import sandbox

    from .bulk.table import TableError
    from .sandbox_customers import add_customers

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        running = sandbox.Sandbox(
            host=args.host,
            port=args.port,
            db=args.db,
            idle_timeout=args.idle_timeout,
            tls=args.tls,
            log=None if args.quiet else _say,
        )
        with contextlib.closing(running):
            added = ""
            if args.customers is not None:
                count = add_customers(running, args.customers)
                customers = f"{count:,} customer{'' if count == 1 else 's'}"
                added = f"It knows the {customers} of {printable(args.customers)} too.\n"
            running.start()
            variables = {"SKYPOSTAL_BASE_URL": running.url}
            if running.ca_file is not None:
                # The second is for programs in C.
                ca_file = str(running.ca_file)
                variables.update(REQUESTS_CA_BUNDLE=ca_file, SSL_CERT_FILE=ca_file)
            variables.update(
                SKYPOSTAL_USER_CODE=str(sandbox.USER_CODE),
                SKYPOSTAL_APP_KEY=sandbox.APP_KEY,
            )
            # The table may have this customer with a key of its own, which is not shown.
            if running.customers[sandbox.BOX_ID]["customer_key"] == sandbox.CUSTOMER_KEY:
                variables.update(
                    SKYPOSTAL_CUSTOMER_BOX_ID=str(sandbox.BOX_ID),
                    SKYPOSTAL_CUSTOMER_KEY=sandbox.CUSTOMER_KEY,
                )
            assumptions = "\n".join(f"  - {line}" for line in sandbox.ASSUMPTIONS)
            _say(
                f"skypostal sandbox: listening on {running.url}\n"
                "This is a local stand-in, not the service. Point programs at it with\n"
                f"{_assignments(variables, for_windows=os.name == 'nt')}"
                "These are the user code, the customer and the keys that the public documentation"
                f" prints.\n{added}"
                f"Neither documented nor observed, so assumed here:\n{assumptions}\n"
                "Ctrl-C ends it."
            )
            while True:
                time.sleep(3600)
    except KeyboardInterrupt:
        _say("skypostal sandbox: stopped")
        return 0
    except sqlite3.Error as error:
        problem = f"cannot use the database {args.db}: {error}"
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        problem = f"cannot listen on {args.host}:{args.port}: {reason}"
    except (ValueError, ImportError, TableError) as error:
        problem = printable(error)
    say_error(f"skypostal sandbox: {problem}")
    return 2


def _assignments(variables: Mapping[str, str], *, for_windows: bool) -> str:
    """Returns the commands that set the variables, in the words of each shell of the system."""
    if not for_windows:
        return "".join(f"    export {name}={value}\n" for name, value in variables.items())
    in_cmd = "".join(f"    set {name}={value}\n" for name, value in variables.items())
    in_powershell = "".join(f"    $env:{name} = '{value}'\n" for name, value in variables.items())
    return f"{in_cmd}or in PowerShell with\n{in_powershell}"


def _say(line: str) -> None:
    """Writes a line whole, because lines come from several threads."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        pass  # the reader has left; the sandbox continues
