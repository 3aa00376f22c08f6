"""One run of `skypostal bulk`: open, check, send, report."""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from typing import Any

import skypostal

from ..._fields import FIELDS
from ..connection import connection_arguments
from ..consent import Service, has_consent
from ..output import colored, printable, say_error, to_json, wants_json, write
from .check import Check, blocks
from .columns import Columns
from .disk import try_to_write
from .journal import Journal, JournalError
from .progress import Progress, State
from .report import Rehearsal, Report, part_of
from .sender import Sender, changed
from .signals import Signals
from .status import BAD, FAILED, REFUSED, UPDATED
from .table import (
    REPORTED,
    Row,
    Table,
    TableError,
    has_parquet_name,
    import_parquet,
    open_table,
)

# The exit statuses, which are never renumbered: is every customer updated, and what is to do?
ALL_UPDATED, CORRECT_IT, SOME_REFUSED, UNREACHABLE, SOME_FAILED, UNWRITTEN = 0, 2, 3, 4, 5, 6

SHOWN_PROBLEMS = 100
_STATES = {UPDATED: "ok", REFUSED: "problem", FAILED: "problem", BAD: "problem"}
_RETRY = " To retry the rows that were not updated, give it as the table, with the same options."
# The variable that names the folder of temporary files.
TEMPORARY = "TEMP" if sys.platform == "win32" else "TMPDIR"


class _Stopped(Exception):
    """The run ends early: the exit status, what happened, and what to do."""

    def __init__(self, status: int, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.status, self.lines, self.advice = status, message.split("\n"), advice


def run(args: argparse.Namespace) -> int:
    this = _Run(args)
    with Signals() as signals:
        try:
            with this.cleanup:
                try:
                    return this.dry_run() if args.dry_run else this.send_all()
                except (skypostal.ConfigurationError, skypostal.ValidationError) as error:
                    raise _Stopped(CORRECT_IT, str(error)) from None
                except skypostal.ConnectError as error:
                    raise _Stopped(UNREACHABLE, error.message) from None
                except (TableError, JournalError) as error:
                    raise _Stopped(
                        UNWRITTEN if this.has_begun else CORRECT_IT, str(error)
                    ) from None
                except sqlite3.Error as error:
                    message = f"the check's temporary database: {error}; see {TEMPORARY}"
                    raise _Stopped(UNWRITTEN if this.has_begun else CORRECT_IT, message) from None
                except KeyboardInterrupt:
                    raise _Stopped(128 + signals.number, "interrupted") from None
        except _Stopped as stopped:
            return this.report_stop(stopped)


class _Run:
    """One run of the command."""

    table: Table
    columns: Columns
    check: Check
    journal: Journal | None = None

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.cleanup = args, contextlib.ExitStack()
        self.has_begun = self.is_complete = False

    def dry_run(self) -> int:
        self._open()
        self._check()
        if self.args.out is not None:
            self._write_report()
        self._write_summary()
        return CORRECT_IT if self.check.bad else ALL_UPDATED

    def send_all(self) -> int:
        self._open()
        journal = self._open_journal()
        self._check()
        if self.check.bad and not self.args.skip_bad:
            advice = "--skip-bad sends the others; --dry-run --out FILE reports every problem."
            raise _Stopped(CORRECT_IT, f"{self._of_rows(self.check.bad)} are bad", advice)
        settings = self._settings()
        if journal.settings not in (None, settings):
            raise self._difference(journal, settings)
        self._ask()
        journal.start(settings)
        self.has_begun = True
        self._send(journal)
        self._write_report()
        self.is_complete = True
        self._write_summary()
        counts = self._counts()
        if counts[FAILED]:
            return SOME_FAILED
        return SOME_REFUSED if counts[REFUSED] + counts[BAD] else ALL_UPDATED

    # Before anything is sent

    def _open(self) -> None:
        args = self.args
        if args.out is not None:
            self._check_output_path()
        self.client = skypostal.Client(user_code=args.user_code, **connection_arguments(args))
        self.cleanup.callback(self.client.close)
        self.service = Service.of(self.client)
        theirs = [text.rpartition("=")[0] for text in args.map]
        encoding = args.encoding[0] if args.encoding else "utf-8"
        self.table = open_table(args.table, encoding=encoding, delimiter=args.delimiter,
                                known={*FIELDS, *REPORTED, *theirs}, sheet=args.sheet)  # fmt: skip
        self.cleanup.callback(self.table.close)
        self.table.limit = args.limit
        self.columns = Columns(self.table.columns, args.map, args.ignore)
        if self.columns.problems:
            header = [] if self.columns.at else self._unknown_header()
            raise _Stopped(CORRECT_IT, "\n".join(header + self.columns.problems))
        if self.columns.carried:
            self._remark(f"not sent, but kept in the report: {', '.join(self.columns.carried)}")
        # A credential that every row lacks is reported once.
        given: dict[str, Any] = {"user_code": 1, "app_key": "-"}
        given = {name: value for name, value in given.items() if name in self.columns.at}
        problems = self.client.validate(customer_box_id=1, customer_key="-", **given)
        if problems:
            raise _Stopped(CORRECT_IT, "\n".join(problem.message for problem in problems))

    def _unknown_header(self) -> list[str]:
        """Says how the first line was read, if no column of it is a field."""
        if self.table.place != "line":
            return []
        cells = f"{len(self.table.columns)} column{'s' * (len(self.table.columns) > 1)}"
        delimiter = getattr(self.table, "delimiter", ",")
        return [
            f"{self.args.table}:1: names no field; read as {cells} with {delimiter!r} between them"
        ]

    def _check_output_path(self) -> None:
        """Finds what would keep the report from being written, before anything is sent."""
        out = self.args.out
        folder = os.path.dirname(out) or "."
        if os.path.lexists(out) and not self.args.resume:
            raise _Stopped(CORRECT_IT, f"{out}: exists already; give another name, or remove it")
        if not os.path.isdir(folder):
            raise _Stopped(CORRECT_IT, f"{out}: there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _Stopped(CORRECT_IT, f"{out}: this folder cannot be written to")
        if os.path.isdir(out):
            raise _Stopped(CORRECT_IT, f"{out}: is a folder; give the name of a file in it")
        if os.path.realpath(self.args.table) in map(os.path.realpath, (out, part_of(out))):
            raise _Stopped(CORRECT_IT, f"{out}: would be written over the table; give another name")
        try:
            try_to_write(part_of(out))
        except OSError as problem:
            message = f"{part_of(out)}: cannot be written: {problem.strerror}"
            raise _Stopped(CORRECT_IT, message) from None
        if has_parquet_name(out):
            import_parquet(out)

    def _open_journal(self) -> Journal:
        path = self.args.journal or f"{self.args.out}.journal"
        taken = [os.path.realpath(each) for each in (self.args.out, part_of(self.args.out))]
        if os.path.realpath(path) in taken:
            raise _Stopped(CORRECT_IT, f"{path}: cannot be both the report and the journal")
        journal = self.journal = Journal(path)
        self.cleanup.callback(self._close_journal)
        if self.args.resume and journal.settings is None:
            done = f"; {self.args.out} is there, so it was completed"
            raise _Stopped(
                CORRECT_IT,
                f"{path}: there is no run to continue"
                f"{done if os.path.exists(self.args.out) else ''}",
                "Leave out --resume to begin one.",
            )
        if journal.settings is not None and not self.args.resume:
            advice = "Continue with --resume, or remove the journal to begin from the start."
            raise _Stopped(CORRECT_IT, f"{path}: belongs to a run that did not end", advice)
        return journal

    def _close_journal(self) -> None:
        if self.journal is not None:
            self.journal.close(remove=self.is_complete or self.journal.settings is None)

    def _check(self) -> None:
        rehearsal = None
        if self.args.out is not None:
            rehearsal = Rehearsal(self.args.out, self.table, self.columns.at)
        check = self.check = Check(self.client, self.table, self.columns, rehearsal)
        self.cleanup.callback(check.close)

        def state() -> State:
            return State(check.rows, self.table.fraction, f"{check.bad:,} bad" if check.bad else "")

        with Progress("checking", None, state, quiet=self._is_quiet()):
            check.run()
        decoder = self.table.decoder
        insists = len(self.args.encoding or ()) > 1
        wrong = None if decoder is None or insists else decoder.problem(self.args.table)
        wrong = wrong or check.doubts.problem()
        if wrong is not None:
            raise _Stopped(CORRECT_IT, wrong)
        for line, problem in check.first_problems(SHOWN_PROBLEMS):
            place = line if self.table.place == "line" else f"{self.table.place} {line}"
            say_error(f"{printable(self.args.table)}:{place}: {printable(problem)}", "problem")
        more = check.count_problems() - SHOWN_PROBLEMS
        if more > 0:
            say_error(f"and {more:,} more", "problem")
        if check.rows == self.args.limit:
            self._remark(f"what is after the first {self._of_rows()} is left out, as --limit says")
        if check.rows > check.bad + check.updated and not check.has_changes:
            raise _Stopped(CORRECT_IT, "no row changes anything: all cells of its fields are empty")
        if check.idle:
            self._remark(f"{self._of_rows(check.idle)} change nothing")
        letters = None if decoder is None else decoder.remark()
        for remark in [*([letters] if letters else []), *check.doubts.remarks()]:
            self._remark(remark)

    def _ask(self) -> None:
        what = f"changes {self._of_rows(self._total() - self._done())}"
        if self._total() > self._done() and not has_consent(self.args, self.service, what):
            raise _Stopped(CORRECT_IT, "yes was not typed")

    def _settings(self) -> dict[str, Any]:
        """Returns what must be the same for --resume."""
        columns = {name: self.table.columns[at] for name, at in self.columns.at.items()}
        form = [getattr(self.table, name, None) for name in ("encoding", "delimiter", "limit")]
        return {
            "table": self.check.digest,
            "columns": columns,
            "form": form,
            "service": self.client._route()[0],
        }

    def _difference(self, journal: Journal, settings: dict[str, Any]) -> _Stopped:
        was = journal.settings or {}
        if was.get("service") != settings["service"]:
            why = f"it went to {was.get('service')}, and this is {settings['service']}"
            back = "Name that service again"
        elif was.get("table") != settings["table"]:
            why = f"{self.args.table} is not what it was"
            back = "Put the table back as it was"
        else:
            why = "its columns were other fields, or read in another way"
            back = "Give the options of that run"
        return _Stopped(
            CORRECT_IT,
            f"{journal.path}: is of another run: {why}",
            f"{back}; or remove the journal and begin from the start without --resume, which sends"
            " every row again and does no harm.",
        )

    # Sending

    def _send(self, journal: Journal) -> None:
        sender = Sender(self.table, self.columns, self.check, journal)
        if self.args.resume:
            self._remark(f"continuing: {self._of_sent()} are done")
        total, ended = self._total(), self._done()

        def state() -> State:
            notes = [f"{journal.counts[each]:,} {each}" for each in (REFUSED, FAILED)
                     if journal.counts.get(each)]  # fmt: skip
            # A row that failed has ended too, but is not done.
            fraction = (ended + journal.written) / total if total else 1.0
            return State(self._done(), min(fraction, 1.0), ", ".join(notes))

        with Progress(
            "sending", total, state, quiet=self._is_quiet(), sent=lambda: journal.written
        ):
            try:
                sender.run(self.client, self.args.concurrency, self.args.rate)
            finally:
                journal.begin(sender.submitted, sender.unsent)
        self._check_unchanged()

    def _check_unchanged(self) -> None:
        if self.table.digest != self.check.digest:
            raise changed(self.table)

    # Afterwards

    def _write_report(self) -> None:
        try:
            report = Report(self.args.out, self.table, self.columns.at)
            try:
                for first, rows in blocks(self.columns.rows(self.table), 1000):
                    self._write_rows(report, first, rows)
                self._check_unchanged()
                report.finish()
            except BaseException:
                report.discard()
                raise
        except OSError as problem:
            message = f"{self.args.out}: cannot be written: {problem.strerror or problem}"
            raise _Stopped(UNWRITTEN, message) from None

    def _write_rows(self, report: Any, first: int, rows: list[Row]) -> None:
        last = first + len(rows) - 1
        problems = self.check.problems(first, last)
        known = self.journal.known(first, last) if self.journal is not None else {}
        split = self.check.split(first, last)
        for number, row in enumerate(rows, first):
            if number in split:
                # With its cells it would be a good row of the report.
                row = self.table.as_one_cell(row, problems[number])
            reported: Any
            if number in known:
                reported = known[number]
            elif number in problems:
                delivery = "unknown" if self.columns.is_unknown(row) else "not_sent"
                reported = (BAD, delivery, 0, "invalid_field", printable(problems[number]))
            elif self.columns.reported:
                reported = self.columns.report(row)
            else:
                reported = ("", "", None, "", "")
            blank = self.columns.secrets if reported[0] == UPDATED else ()
            report.write(reported, row, blank)

    def _total(self) -> int:
        """Returns the number of rows that this run and those that it continues are to send."""
        return self.check.rows - self.check.bad - self.check.updated

    def _done(self) -> int:
        """Returns the number of rows that --resume does not send again."""
        counts = self.journal.counts if self.journal is not None else {}
        return sum(counts.values()) - counts.get(FAILED, 0)

    def _of_sent(self) -> str:
        return f"{self._done():,} of {self._total():,} row{'' if self._total() == 1 else 's'}"

    def _counts(self) -> dict[str, int]:
        known = self.journal.counts if self.journal is not None else {}
        counts = {each: known.get(each, 0) for each in (UPDATED, REFUSED, FAILED, BAD)}
        counts[UPDATED] += self.check.updated
        counts[BAD] += self.check.bad
        return {"rows": self.check.rows, **counts, "left": self.check.rows - sum(counts.values())}

    def _write_summary(self) -> None:
        counts = self._counts()
        if wants_json(self.args):
            write(to_json({**counts, "report": self.args.out, "error": None}) + "\n")
            return
        words = {"left": "can be sent" if self.args.dry_run else "left"}
        parts = [
            colored(f"{count:,} {words.get(name, name)}", _STATES.get(name, ""), sys.stdout)
            for name, count in counts.items()
            if count and name != "rows"
        ]
        write(f"{self._of_rows()}{': ' if parts else ''}{', '.join(parts)}.\n")
        if self.args.out is not None:
            again = counts[REFUSED] + counts[FAILED] + counts[BAD]
            write(f"The report is in {printable(self.args.out)}.{_RETRY if again else ''}\n")

    def report_stop(self, stopped: _Stopped) -> int:
        """Says why the run ends early, how much of it is done, and how to continue."""
        lines = [
            f"{self.args.parser.prog}: {printable(line)}" for line in str(stopped).splitlines()
        ]
        if not self.has_begun:
            nothing = "This run sent nothing." if self.args.resume else "Nothing was sent."
            lines.append(f"{nothing} {stopped.advice}".strip())
        else:
            lines.append(f"Done: {self._of_sent()}. Run it again with --resume.")
        say_error("\n".join(lines), "problem")
        if wants_json(self.args):
            counts = self._counts() if self.has_begun else {}
            error = {"message": str(stopped), "status": stopped.status}
            write(to_json({**counts, "report": None, "error": error}) + "\n")
        return stopped.status

    def _of_rows(self, count: int | None = None) -> str:
        rows = f"{self.check.rows:,} row{'' if self.check.rows == 1 else 's'}"
        return rows if count is None else f"{count:,} of {rows}"

    def _is_quiet(self) -> bool:
        """Returns whether no progress is shown. A line that is redrawn would cut a log."""
        return bool(self.args.quiet or self.args.verbose)

    def _remark(self, text: str) -> None:
        if not self.args.quiet:
            say_error(f"{self.args.parser.prog}: {printable(text)}", "warning")
