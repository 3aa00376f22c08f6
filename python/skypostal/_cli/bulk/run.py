"""One run of `skypostal bulk`: open, check, send, report."""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import skypostal

from ..common import (
    cause,
    connection,
    is_final_refusal,
    printable,
    say_error,
    to_json,
    wants_json,
    write,
)
from .check import FIELDS, UPDATED, Check, Columns, blocks
from .disk import try_to_write
from .journal import Journal, JournalError, Known
from .progress import Progress, State
from .report import Rehearsal, Report, part_of
from .table import REPORTED, Row, Table, TableError, import_parquet, open_table

# Is every customer updated, and if not, what is to do? Never renumbered.
ALL_UPDATED, CORRECT_IT, REFUSED, UNREACHABLE, TRY_AGAIN, UNWRITTEN = 0, 2, 3, 4, 5, 6

SHOWN_PROBLEMS = 100
REFUSED_ROW, FAILED, BAD = "refused", "failed", "bad"  # as a row may be, beside updated


class _Ended(Exception):
    """The run is over before its end: the status, what happened, and what to do."""

    def __init__(self, status: int, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.status, self.advice = status, advice


class _Signals:
    """Ctrl-C and SIGTERM end the run in order; a second one ends the program on the spot."""

    number = signal.SIGINT

    def __enter__(self) -> _Signals:
        self._before: dict[signal.Signals, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for each in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(each) is not signal.SIG_IGN:
                    self._before[each] = signal.signal(each, self._end)
        return self

    def _end(self, number: int, _: object) -> None:
        self.number = signal.Signals(number)
        for each in self._before:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)


def run(args: argparse.Namespace) -> int:
    this = _Run(args)
    with _Signals() as signals:
        try:
            with this.cleanup:
                try:
                    return this.check_only() if args.check_only else this.all()
                except (skypostal.ConfigurationError, skypostal.ValidationError) as error:
                    raise _Ended(CORRECT_IT, str(error)) from None
                except skypostal.ConnectError as error:
                    raise _Ended(UNREACHABLE, cause(error)) from None
                except (TableError, JournalError) as error:
                    raise _Ended(UNWRITTEN if this.has_begun else CORRECT_IT, str(error)) from None
                except sqlite3.Error as error:
                    message = f"the check's temporary database: {error}; see TMPDIR"
                    raise _Ended(UNWRITTEN if this.has_begun else CORRECT_IT, message) from None
                except KeyboardInterrupt:
                    raise _Ended(128 + signals.number, "interrupted") from None
        except _Ended as ended:
            return this.tell_end(ended)


class _Run:
    """One run of the command."""

    table: Table
    columns: Columns
    check: Check
    journal: Journal | None = None

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.cleanup = args, contextlib.ExitStack()
        self.has_begun = self.is_complete = False

    def check_only(self) -> int:
        self._open()
        self._check()
        if self.args.out is not None:
            self._write_report()
        self._tell_summary()
        return CORRECT_IT if self.check.bad else ALL_UPDATED

    def all(self) -> int:
        self._open()
        journal = self._open_journal()
        self._check()
        if self.check.bad and not self.args.skip_bad:
            advice = "--skip-bad sends the others; --check-only --out FILE tells all of each row."
            raise _Ended(CORRECT_IT, f"{self._of_rows(self.check.bad)} are bad", advice)
        settings = self._settings()
        if journal.settings not in (None, settings):
            raise _Ended(CORRECT_IT, self._difference(journal, settings))
        journal.start(settings)
        self.has_begun = True
        self._send(journal)
        self._write_report()
        self.is_complete = True
        self._tell_summary()
        counts = self._counts()
        return TRY_AGAIN if counts[FAILED] else REFUSED if counts[REFUSED_ROW] + counts[BAD] else 0

    # Before anything is sent

    def _open(self) -> None:
        args = self.args
        if args.out is not None:
            self._look_at_place()
        self.client = skypostal.Client(user_code=args.user_code, **connection(args))
        self.cleanup.callback(self.client.close)
        theirs = [text.rpartition("=")[0] for text in args.map]
        self.table = open_table(args.table, encoding=args.encoding, delimiter=args.delimiter,
                                known={*FIELDS, *REPORTED, *theirs})  # fmt: skip
        self.cleanup.callback(self.table.close)
        self.columns = Columns(self.table.columns, args.map, args.ignore)
        if self.columns.problems:
            raise _Ended(CORRECT_IT, "\n".join(self.columns.problems))
        if self.columns.carried:
            self._remark(f"not sent, but kept in the report: {', '.join(self.columns.carried)}")
        # What is missing of every row alike is told once.
        given: dict[str, Any] = {"user_code": 1, "app_key": "-"}
        given = {name: value for name, value in given.items() if name in self.columns.at}
        self.client._preview(customer_box_id=1, customer_key="-", **given)

    def _look_at_place(self) -> None:
        """What would keep the report from being written is told before anything is sent."""
        out = self.args.out
        folder = os.path.dirname(out) or "."
        if os.path.lexists(out) and not self.args.resume:
            raise _Ended(CORRECT_IT, f"{out}: is there already; give another name, or remove it")
        if not os.path.isdir(folder):
            raise _Ended(CORRECT_IT, f"{out}: there is no folder {folder}")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise _Ended(CORRECT_IT, f"{out}: this folder cannot be written to")
        if os.path.isdir(out):
            raise _Ended(CORRECT_IT, f"{out}: is a folder; give the name of a file in it")
        if os.path.realpath(part_of(out)) == os.path.realpath(self.args.table):
            raise _Ended(CORRECT_IT, f"{out}: would be written over the table; give another name")
        try:
            try_to_write(part_of(out))
        except OSError as problem:
            message = f"{part_of(out)}: cannot be written: {problem.strerror}"
            raise _Ended(CORRECT_IT, message) from None
        if out.endswith(".parquet"):
            import_parquet(out)

    def _open_journal(self) -> Journal:
        path = self.args.journal or f"{self.args.out}.journal"
        taken = [os.path.realpath(each) for each in (self.args.out, part_of(self.args.out))]
        if os.path.realpath(path) in taken:
            raise _Ended(CORRECT_IT, f"{path}: cannot be both the report and the journal")
        journal = self.journal = Journal(path)
        self.cleanup.callback(self._close_journal)
        if self.args.resume and journal.settings is None:
            done = f"; {self.args.out} is there, so it was completed"
            raise _Ended(
                CORRECT_IT,
                f"{path}: there is no run to go on with"
                f"{done if os.path.exists(self.args.out) else ''}",
                "Leave out --resume to begin one.",
            )
        if journal.settings is not None and not self.args.resume:
            advice = "Go on with --resume, or remove the journal to begin from the start."
            raise _Ended(CORRECT_IT, f"{path}: is of a run that was broken off", advice)
        return journal

    def _close_journal(self) -> None:
        if self.journal is not None:
            self.journal.close(remove=self.is_complete or self.journal.settings is None)

    def _check(self) -> None:
        rehearsal = None
        if self.args.out is not None:
            rehearsal = Rehearsal(self.args.out, self.table, self.columns.at.values())
        check = self.check = Check(self.client, self.table, self.columns, rehearsal)
        self.cleanup.callback(check.close)

        def state() -> State:
            return State(check.rows, self.table.fraction, f"{check.bad:,} bad" if check.bad else "")

        with Progress("checking", None, state, quiet=self.args.quiet):
            check.run()
        for line, problem in check.first_problems(SHOWN_PROBLEMS):
            place = line if self.table.place == "line" else f"{self.table.place} {line}"
            say_error(f"{printable(self.args.table)}:{place}: {printable(problem)}")
        more = check.count_problems() - SHOWN_PROBLEMS
        if more > 0:
            say_error(f"and {more:,} more")
        if check.rows > check.bad + check.updated and not check.has_changes:
            raise _Ended(CORRECT_IT, "no row changes anything: all cells of its fields are empty")
        if check.idle:
            self._remark(f"{self._of_rows(check.idle)} change nothing")

    def _settings(self) -> dict[str, Any]:
        """What must be the same for --resume."""
        columns = {name: self.table.columns[at] for name, at in self.columns.at.items()}
        form = [getattr(self.table, name, None) for name in ("encoding", "delimiter")]
        return {
            "table": self.check.digest,
            "columns": columns,
            "form": form,
            "service": self.client._way()[0],
        }

    def _difference(self, journal: Journal, settings: dict[str, Any]) -> str:
        was = journal.settings or {}
        if was.get("service") != settings["service"]:
            why = f"it went to {was.get('service')}, and this is {settings['service']}"
        elif was.get("table") != settings["table"]:
            why = f"{self.args.table} is not what it was"
        else:
            why = "its columns were other fields, or read in another way"
        return f"{journal.path}: is of another run: {why}"

    # Sending

    def _send(self, journal: Journal) -> None:
        sender = _Sender(self, journal)
        final = journal.counts.get(UPDATED, 0) + journal.counts.get(REFUSED_ROW, 0)
        if self.args.resume:
            self._remark(f"going on: {self._of_rows(final)} are done")
        total = self.check.rows - self.check.bad - self.check.updated

        def state() -> State:
            done = final + journal.written
            notes = [f"{journal.counts[each]:,} {each}" for each in (REFUSED_ROW, FAILED)
                     if journal.counts.get(each)]  # fmt: skip
            return State(done, done / total if total else 1.0, ", ".join(notes))

        with Progress("sending", total, state, quiet=self.args.quiet):
            try:
                sender.run(self.client, self.args.concurrency, self.args.rate)
            finally:
                journal.begin(sender.handed_over)
        self._look_for_change()

    def _look_for_change(self) -> None:
        if self.table.digest != self.check.digest:
            raise _changed(self.table)

    # Afterwards

    def _write_report(self) -> None:
        try:
            report = Report(self.args.out, self.table, self.columns.at.values())
            try:
                for first, rows in blocks(self.columns.rows(self.table), 1000):
                    self._write_rows(report, first, rows)
                self._look_for_change()
                report.finish()
            except BaseException:
                report.discard()
                raise
        except OSError as problem:
            message = f"{self.args.out}: cannot be written: {problem.strerror or problem}"
            raise _Ended(UNWRITTEN, message) from None

    def _write_rows(self, report: Any, first: int, rows: list[Row]) -> None:
        last = first + len(rows) - 1
        problems = self.check.problems(first, last)
        known = self.journal.known(first, last) if self.journal is not None else {}
        for number, row in enumerate(rows, first):
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

    def _counts(self) -> dict[str, int]:
        known = self.journal.counts if self.journal is not None else {}
        counts = {each: known.get(each, 0) for each in (UPDATED, REFUSED_ROW, FAILED, BAD)}
        counts[UPDATED] += self.check.updated
        counts[BAD] += self.check.bad
        return {"rows": self.check.rows, **counts, "left": self.check.rows - sum(counts.values())}

    def _tell_summary(self) -> None:
        counts = self._counts()
        if wants_json(self.args):
            write(to_json({**counts, "report": self.args.out, "error": None}) + "\n")
            return
        words = {"left": "can be sent" if self.args.check_only else "left"}
        said = [f"{count:,} {words.get(name, name)}" for name, count in counts.items()
                if count and name != "rows"]  # fmt: skip
        write(f"{self._of_rows()}{': ' if said else ''}{', '.join(said)}.\n")
        if self.args.out is not None:
            again = counts[REFUSED_ROW] + counts[FAILED] + counts[BAD]
            how = " Given as the table, with the same options, it tries the others again."
            write(f"The report is in {printable(self.args.out)}.{how if again else ''}\n")

    def tell_end(self, ended: _Ended) -> int:
        """Says why the run is over before its end, what of it is done, and how to go on."""
        lines = [f"{self.args.parser.prog}: {printable(line)}" for line in str(ended).split("\n")]
        if not self.has_begun:
            nothing = "This run sent nothing." if self.args.resume else "Nothing was sent."
            lines.append(f"{nothing} {ended.advice}".strip())
        else:
            counts = self._counts()
            lines.append(
                f"Done: {counts[UPDATED]:,} of {self._of_rows()}. Go on by the same command with"
                " --resume."
            )
        say_error("\n".join(lines))
        if wants_json(self.args):
            counts = self._counts() if self.has_begun else {}
            error = {"message": str(ended), "status": ended.status}
            write(to_json({**counts, "report": None, "error": error}) + "\n")
        return ended.status

    def _of_rows(self, count: int | None = None) -> str:
        rows = f"{self.check.rows:,} row{'' if self.check.rows == 1 else 's'}"
        return rows if count is None else f"{count:,} of {rows}"

    def _remark(self, text: str) -> None:
        if not self.args.quiet:
            say_error(f"{self.args.parser.prog}: {printable(text)}")


def _changed(table: Table) -> TableError:
    return TableError(f"{table.path}: was changed during the run; put it back as it was")


class _Sender:
    """Hands the rows that are to be sent to the library, and its outcomes to the journal."""

    def __init__(self, run: _Run, journal: Journal) -> None:
        self._check, self._columns, self._journal = run.check, run.columns, journal
        self._table = run.table
        self._waiting: collections.deque[tuple[int, bool, dict[str, Any]]] = collections.deque()
        self._handed: dict[int, tuple[int, bool]] = {}
        """Of each position among what was handed over: the row, and whether it may be updated."""
        self._begun_before = journal.begun
        self.handed_over = journal.begun
        """Rows from this on were not handed over."""

    def run(self, client: skypostal.Client, concurrency: int, rate: float | None) -> None:
        # As many as the library holds: so many may be sent twice after a crash.
        self._blocks = blocks(self._columns.rows(self._table), 2 * concurrency)
        with client.update_many(self._rows(), concurrency=concurrency, rate=rate) as many:
            try:
                for outcome in many:
                    self._note(outcome)
            except BaseException as end:
                for outcome in getattr(end, "outcomes", None) or many.close():
                    with contextlib.suppress(JournalError):
                        self._note(outcome)
                raise

    def _rows(self) -> Iterator[dict[str, Any]]:
        position = 0
        while self._waiting or self._take():
            number, may_be_updated, fields = self._waiting.popleft()
            self._handed[position] = number, may_be_updated
            self.handed_over = max(self.handed_over, number + 1)
            position += 1
            yield fields

    def _take(self) -> bool:
        """Reads on, and has it on the disk that what was read may be sent."""
        for first, rows in self._blocks:
            last = first + len(rows) - 1
            if last >= self._check.rows:  # what was not checked
                raise _changed(self._table)
            problems = self._check.problems(first, last)
            known = self._journal.known(first, last)
            for number, row in enumerate(rows, first):
                if number in problems or self._columns.is_updated(row):
                    continue
                may_be_updated = self._columns.is_unknown(row)
                if number in known:
                    if known[number].status != FAILED:
                        continue
                    may_be_updated |= known[number].delivery == "unknown"
                else:
                    may_be_updated |= number < self._begun_before
                fields = self._columns.fields(row.cells)
                self._waiting.append((number, may_be_updated, fields))
            if self._waiting:
                self._journal.begin(max(self._begun_before, self._waiting[-1][0] + 1))
                return True
        return False

    def _note(self, outcome: skypostal.Outcome) -> None:
        number, may_be_updated = self._handed.pop(outcome.index)
        self._journal.note(number, _known(outcome, may_be_updated))


def _known(outcome: skypostal.Outcome, may_be_updated: bool) -> Known:
    """What the journal and the report say of it. An open answer of an earlier run stays open."""
    error: Any = outcome.error
    if error is None:
        return Known(UPDATED, "", outcome.attempts, "", "")
    kind = getattr(error, "kind", "internal")
    message = "interrupted" if kind == "cancelled" else printable(cause(error))
    delivery = "unknown" if may_be_updated else error.delivery
    return Known(_status(error, kind), delivery, outcome.attempts, kind, message)


def _status(error: Any, kind: str) -> str:
    """Whether the same would come of it again, as far as can be told."""
    if kind == "invalid_field":
        return BAD
    return REFUSED_ROW if is_final_refusal(error, kind) else FAILED
