"""The options for the service and the way to it, the same for three commands."""

from __future__ import annotations

import argparse
import os
from typing import Any

from .parser import Parser, UsageError, count


def add_connection(parser: Parser) -> None:
    """Adds these options to the parser of a command."""
    group = parser.add_argument_group("the service")

    def add(name: str, **arguments: Any) -> None:
        parser.option(name, group=group, **arguments)

    add(
        "--app-key-file",
        metavar="FILE",
        help="a file with the application key and nothing else, in place of SKYPOSTAL_APP_KEY"
        " (default: SKYPOSTAL_APP_KEY_FILE)",
    )
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


def connection_arguments(args: argparse.Namespace) -> dict[str, Any]:
    """Returns what these options say, as arguments of `skypostal.Client`. The file of the
    application key is named in the environment, where the library looks for it."""
    if "@" in (args.proxy or ""):
        raise UsageError(args.parser.prog, "--proxy: a password is not taken as an argument, which"
                         " everyone on this machine can read: set HTTPS_PROXY")  # fmt: skip
    if args.app_key_file is not None:
        os.environ.pop("SKYPOSTAL_APP_KEY", None)
        os.environ["SKYPOSTAL_APP_KEY_FILE"] = args.app_key_file
    names = ("environment", "base_url", "timeout", "connect_timeout", "max_retries", "proxy",
             "ca_file", "trust_env", "allow_http")  # fmt: skip
    return {name: getattr(args, name) for name in names}
