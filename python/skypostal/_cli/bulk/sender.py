"""Sends the rows of a table, and has the journal record their outcomes."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterator
from typing import Any

import skypostal

from ..exit_status import is_final_refusal
from ..output import printable
from .check import Check, blocks
from .columns import Columns
from .journal import Journal, JournalError, Known
from .status import BAD, FAILED, REFUSED, UPDATED
from .table import Table, TableError


class Sender:
    """Submits the rows of a table that are to be sent, and notes their outcomes in the journal."""

    def __init__(self, table: Table, columns: Columns, check: Check, journal: Journal) -> None:
        self._table, self._columns, self._check, self._journal = table, columns, check, journal
        self._waiting: collections.deque[tuple[int, bool, dict[str, Any]]] = collections.deque()
        self._submitted: dict[int, tuple[int, bool]] = {}
        """For each outcome index, the number of the row, and whether it may be updated already."""
        self.unsent: dict[int, str] = {}
        """The delivery of each row that failed in an earlier run and has no outcome in this one."""
        self._begun_before = journal.begun
        self.submitted = journal.begun
        """Rows from this number on were not submitted."""

    def run(self, client: skypostal.Client, concurrency: int, rate: float | None) -> None:
        # As many rows as the library holds: these may be sent twice after a crash.
        self._blocks = blocks(self._columns.rows(self._table), 2 * concurrency)
        with client.update_many(self._rows(), concurrency=concurrency, rate=rate) as bulk:
            try:
                for outcome in bulk:
                    self._note(outcome)
            except BaseException as end:
                for outcome in getattr(end, "outcomes", None) or bulk.close():
                    with contextlib.suppress(JournalError):
                        self._note(outcome)
                self._take_back(has_stopped=isinstance(end, skypostal.SkyPostalError))
                raise

    def _take_back(self, has_stopped: bool) -> None:
        """Counts as not submitted the rows that the bulk refused because it had stopped.

        After another end, a signal may have come between an outcome and its record: then a row
        without one may have been sent.
        """
        refused = {number for number, _ in self._submitted.values()} if has_stopped else set()
        known = refused | {number for number, _, _ in self._waiting}
        self.unsent = {row: self.unsent[row] for row in self.unsent if row in known}
        self.submitted = max(self._begun_before, min(refused, default=self.submitted))

    def _rows(self) -> Iterator[dict[str, Any]]:
        position = 0
        while self._waiting or self._take():
            number, may_be_updated, fields = self._waiting.popleft()
            self._submitted[position] = number, may_be_updated
            self.submitted = max(self.submitted, number + 1)
            position += 1
            yield fields

    def _take(self) -> bool:
        """Reads the next rows, and has the journal keep on the disk that they may be sent."""
        for first, rows in self._blocks:
            last = first + len(rows) - 1
            if last >= self._check.rows:  # it was not checked
                raise changed(self._table)
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
                    self.unsent[number] = known[number].delivery
                else:
                    may_be_updated |= number < self._begun_before
                fields = self._columns.fields(row.cells)
                self._waiting.append((number, may_be_updated, fields))
            if self._waiting:
                begun = max(self._begun_before, self._waiting[-1][0] + 1)
                # A run that dies now may have sent these again.
                self._journal.begin(begun, dict.fromkeys(self.unsent, "unknown"))
                return True
        return False

    def _note(self, outcome: skypostal.Outcome) -> None:
        number, may_be_updated = self._submitted.pop(outcome.index)
        self.unsent.pop(number, None)
        self._journal.record(number, _known(outcome, may_be_updated))


def changed(table: Table) -> TableError:
    """Returns the error for a table that is not the one that was checked."""
    return TableError(f"{table.path}: was changed during the run; put it back as it was")


def _known(outcome: skypostal.Outcome, may_be_updated: bool) -> Known:
    """Returns what the journal keeps of an outcome.

    The delivery stays unknown if an earlier run left it so.
    """
    error = outcome.error
    if error is None:
        return Known(UPDATED, "", outcome.attempts, "", "")
    delivery = "unknown" if may_be_updated else outcome.delivery or "unknown"
    if isinstance(error, KeyboardInterrupt):
        return Known(FAILED, delivery, outcome.attempts, "cancelled", "interrupted")
    message = printable(error.message)
    return Known(_status(error), delivery, outcome.attempts, error.kind, message)


def _status(error: skypostal.SkyPostalError) -> str:
    """Returns whether the same update would end like this again, as far as that is known."""
    if isinstance(error, skypostal.ValidationError):
        return BAD
    return REFUSED if is_final_refusal(error) else FAILED
