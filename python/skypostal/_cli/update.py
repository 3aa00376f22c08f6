"""`skypostal update`: changes one customer."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

import skypostal

from .._fields import CHANGES, FIELDS
from .connection import add_connection, connection_arguments
from .consent import Service, add_yes, at_a_terminal, has_consent
from .exit_status import INTERRUPTED, is_final_refusal
from .output import (
    add_color,
    add_json,
    add_verbose,
    apply_display_options,
    colored,
    printable,
    say_error,
    to_json,
    wants_json,
    write,
)
from .parser import UsageError, integer

if TYPE_CHECKING:
    from .parser import Commands

# The exit statuses, which are never renumbered: was the customer changed, and is a retry of use?
UPDATED, BUG, CORRECT_IT, REFUSED, TRY_LATER, PERHAPS, UNWRITTEN = range(7)

_EPILOG = """\
Keys are never arguments, which everyone on the machine can read. The
application key comes from --app-key-file, else from SKYPOSTAL_APP_KEY or the
file that SKYPOSTAL_APP_KEY_FILE names. The customer's key comes from
--key-file, else from SKYPOSTAL_CUSTOMER_KEY; else a terminal is asked for it,
without an echo.

exit status:
  0    updated; with --dry-run: it could be sent
  1    a bug of skypostal: perhaps changed
  2    not changed: correct the command, a field or the configuration
  3    not changed: the service refuses it, and would again
  4    not changed: no connection, or too many requests; try again later
  5    perhaps changed, as after an error of the service: run the same command
       again, which does no harm
  6    updated, but the record could not be written to standard output
  130  ended by Ctrl-C; standard error says whether perhaps changed

example:
  skypostal update --customer_box_id 811111 --customer_first_name "New Name"
"""

_METAVARS = {"integer": "N", "text": "TEXT", "number": "NUMBER", "day": "DAY", "gender": "M|F"}

_CHANGED = {
    "not_sent": "The customer is as before: nothing was sent.",
    "rejected": "The customer is as before: the service did not make the change.",
    "unknown": "The customer may have been changed. Run the same command again: it does no harm.",
}

_DOCTOR = "`skypostal doctor` looks for the cause, changing nothing."
_PLACES = {
    "user_code": "Give --user_code, or set SKYPOSTAL_USER_CODE.",
    "app_key": "Set SKYPOSTAL_APP_KEY."
    if sys.platform == "win32"
    else "Set SKYPOSTAL_APP_KEY; `read -rs SKYPOSTAL_APP_KEY; export SKYPOSTAL_APP_KEY` asks"
    " for it without an echo.",
    "customer_key": "Set SKYPOSTAL_CUSTOMER_KEY, give --key-file FILE, or run this in a terminal,"
    " which asks for it.",
}


def add_command(commands: Commands) -> None:
    parser = commands.add_parser(
        "update",
        help="change a customer's personal information",
        description="Changes a customer's personal information. What is not given keeps its value.",
        epilog=_EPILOG,
        usage="%(prog)s --customer_box_id N [--FIELD VALUE ...] [option ...]",
    )
    parser.set_defaults(run=_run, parser=parser)

    def add_field(name: str, about: str = "") -> None:
        field = FIELDS[name]
        parser.option(f"--{name}", group=group, metavar=_METAVARS[field.type],
                      type=integer if field.type == "integer" else None,
                      help=field.help + about)  # fmt: skip

    title = "the customer and the fields to change, by the service's names"
    group = parser.add_argument_group(title)
    add_field("customer_box_id", " (required)")
    for name in CHANGES:
        add_field(name)

    group = parser.add_argument_group("credentials")
    add_field("user_code", " (default: SKYPOSTAL_USER_CODE)")
    parser.option("--key-file", group=group, metavar="FILE",
                  help="a file with the customer's key and nothing else; - for standard input"
                  " (default: SKYPOSTAL_CUSTOMER_KEY)")  # fmt: skip

    add_connection(parser)
    group = parser.add_argument_group("output")
    parser.option("--dry-run", group=group, action="store_true",
                  help="check and show the request with keys hidden, send nothing")  # fmt: skip
    add_yes(group)
    add_json(group)
    add_verbose(group)
    add_color(group)


def _run(args: argparse.Namespace) -> int:
    apply_display_options(args)
    fields: dict[str, Any] = {name: getattr(args, name) for name in ("customer_box_id", *CHANGES)}
    sending = False
    try:
        with skypostal.Client(user_code=args.user_code, **connection_arguments(args)) as client:
            box, service = f"box {args.customer_box_id}", Service.of(client)
            fields["customer_key"] = _given_key(args)
            if fields["customer_key"] is None and at_a_terminal():
                # The user types no key for an update that cannot be sent.
                problems = client.validate(**{**fields, "customer_key": "-"})
                if problems:
                    raise problems[0]
                fields["customer_key"] = _ask(f"{box} at {service}")
            given = [name for name in CHANGES if fields[name] is not None]
            if args.dry_run:
                preview = client.preview(**fields)
                _say_if_nothing(args, given)
                return _show_request(args, preview)
            if not client.validate(**fields) and not has_consent(args, service, f"changes {box}"):
                raise UsageError(args.parser.prog, f"{box} is as before: yes was not typed")
            sending = True
            info = client.update_personal_info(**fields)
    except (skypostal.SkyPostalError, KeyboardInterrupt) as error:
        # A Ctrl-C outside the call, perhaps right after it, does not know these.
        vars(error).setdefault("delivery", "unknown" if sending else "not_sent")
        vars(error).setdefault("attempts", int(sending))
        return _report(args, error)
    _say_if_nothing(args, given)
    try:
        return UPDATED if _show_record(args, service, info, given) else UNWRITTEN
    except KeyboardInterrupt:  # while a pipe is full
        say_error(f"{args.parser.prog}: interrupted; the customer was updated")
        return INTERRUPTED


def _say_if_nothing(args: argparse.Namespace, given: list[str]) -> None:
    """Says that an update changes nothing, which is no error: the record as it is comes back."""
    if not given:
        say_error(f"{args.parser.prog}: nothing was given to change", "warning")


def _given_key(args: argparse.Namespace) -> str | None:
    """Returns the customer's key from a file or the environment; None to ask at the terminal."""
    if args.key_file is None:
        return os.environ.get("SKYPOSTAL_CUSTOMER_KEY") or None
    if args.key_file == "-" and at_a_terminal():
        return None
    import stat

    shown = "standard input" if args.key_file == "-" else printable(args.key_file)
    try:
        with open(0 if args.key_file == "-" else args.key_file, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            # Windows has access lists in place of modes, which Python does not read.
            if stat.S_ISREG(mode) and mode & 0o077 and sys.platform != "win32":
                warning = f"skypostal update: warning: others can read {shown}; chmod 600 it"
                say_error(warning, "warning")
            key = file.read(65_537).decode("utf-8-sig").strip()
    except OSError as problem:
        raise UsageError(args.parser.prog, f"--key-file {shown}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(args.parser.prog, f"--key-file {shown}: is not UTF-8") from None
    if len(key.split()) != 1:
        wrong = "is empty" if not key else "holds more than a key"
        raise UsageError(args.parser.prog, f"--key-file {shown}: {wrong}")
    return key


def _ask(whose: str) -> str | None:
    import getpass

    try:
        return getpass.getpass(f"customer_key of {whose} (not shown): ").strip() or None
    except EOFError:
        return None


def _show_request(args: argparse.Namespace, request: skypostal.Preview) -> int:
    headers = request.headers
    if wants_json(args):
        shown = {"method": request.method, "url": request.url}
        text = to_json({**shown, "headers": headers, "body": request.body})
    else:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        text = "\n".join([f"{request.method} {request.url}", *lines, "", request.body])
    written = write(text + "\n")
    say_error("This was a dry run: nothing was sent.")
    return UPDATED if written else UNWRITTEN


def _show_record(
    args: argparse.Namespace, service: Service, info: skypostal.PersonalInfo, given: list[str]
) -> bool:
    record = info.to_dict()
    if wants_json(args):
        return write(to_json(record) + "\n")
    updated = colored(f"Updated at {service.host}.", "ok", sys.stdout)
    what = f"{updated} The record now, with * at what was given:"
    lines = [what if given else f"The record at {service.host}:", ""]
    for name, value in record.items():
        mark = "*" if name in given else " "
        lines.append(f"{mark} {name:<25} {'-' if value is None else _plain(value)}")
    return write("\n".join(lines) + "\n")


def _plain(value: object) -> str:
    # A Decimal's str() may be 1E-7; its JSON is plain.
    return printable(value if isinstance(value, str) else to_json(value).strip('"'))


def _report(args: argparse.Namespace, error: Any) -> int:
    """Says what went wrong, whether the customer was changed, and what to do."""
    is_interrupt = isinstance(error, KeyboardInterrupt)
    if is_interrupt and sys.stderr.isatty():
        say_error("")  # leave the line on which the terminal shows ^C
    advice = "" if is_interrupt else _advice(error)
    say_error(f"{args.parser.prog}: {'interrupted' if is_interrupt else error}", "problem")
    say_error(f"{_CHANGED[error.delivery]}{' ' if advice else ''}{advice}")
    if wants_json(args):
        kind = "cancelled" if is_interrupt else error.kind
        details = {"kind": kind, "message": "interrupted", **vars(error)}
        write(to_json({"error": details}) + "\n")
    return INTERRUPTED if is_interrupt else _status(error)


def _status(error: skypostal.SkyPostalError) -> int:
    if isinstance(error, skypostal.InternalError):
        return BUG
    if error.delivery == "unknown":
        return PERHAPS
    if isinstance(error, (skypostal.ValidationError, skypostal.ConfigurationError)):
        return CORRECT_IT
    return REFUSED if is_final_refusal(error) else TRY_LATER


def _advice(error: skypostal.SkyPostalError) -> str:
    """Returns what to do next, beside what the message says."""
    named = getattr(error, "field", None) or getattr(error, "option", None)
    if named == "app_key" and os.environ.get("SKYPOSTAL_APP_KEY_FILE"):
        return "Correct the file with the application key, or what names it."
    if isinstance(error, skypostal.ValidationError):
        return _PLACES.get(error.field or "", f"Correct --{error.field}.")
    if isinstance(error, skypostal.ConfigurationError):
        return _PLACES.get(error.option or "", f"Correct {error.option}; {_DOCTOR}")
    if isinstance(error, skypostal.RefusedError):
        if error.delivery == "unknown":
            return "If it lasts, ask SkyPostal."
        return "A customer's key changes with the e-mail address."
    if isinstance(error, skypostal.StatusError) and error.retry_after is not None:
        return f"The service asks to wait {error.retry_after:g} s."
    if isinstance(error, skypostal.InternalError):
        return "This is a bug: please report it."
    return _DOCTOR
