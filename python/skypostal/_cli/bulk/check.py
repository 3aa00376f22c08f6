"""The check of a whole table, before anything is sent."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator
from typing import Any

import skypostal

from ..._fields import CHANGES, SECRETS
from .columns import Columns
from .doubts import Doubts, has_blank_edge
from .report import Rehearsal
from .table import Row, Table, Unreadable


class Check:
    """The check of a whole table. A temporary database keeps the problems, which may be many."""

    def __init__(
        self,
        client: skypostal.Client,
        table: Table,
        columns: Columns,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        self._client, self._table, self._columns = client, table, columns
        self._rehearsal = rehearsal
        self.doubts = Doubts(table, columns.at)
        self._short: tuple[int, int, int] | None = None
        self.rows = 0
        self.bad = 0
        """The number of rows that have a problem."""
        self.updated = 0
        """The number of rows that a report calls updated, so that they are not sent."""
        self.has_changes = False
        """True if any row changes anything."""
        self.idle = 0
        """The number of good rows that change nothing."""
        self.digest = ""
        self._found = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "CREATE TABLE problems (row INTEGER, line INTEGER, problem TEXT)",
            "CREATE TABLE boxes (box INTEGER, row INTEGER, line INTEGER)",
            "CREATE TABLE split (row INTEGER)",
            "BEGIN",
        ):
            self._found.execute(statement)

    def run(self) -> None:
        for first, rows in blocks(self._columns.rows(self._table), 1000):
            problems: list[tuple[int, int, str]] = []
            boxes: list[tuple[int, int, int]] = []
            for number, row in enumerate(rows, first):
                self._look_at(number, row, problems, boxes)
            self.rows = first + len(rows)
            self._found.executemany("INSERT INTO problems VALUES (?, ?, ?)", problems)
            self._found.executemany("INSERT INTO boxes VALUES (?, ?, ?)", boxes)
        if self._rehearsal is not None:
            self._rehearsal.close()
        self.digest = self._table.digest
        self._find_duplicates()
        self.bad = self._found.execute("SELECT count(DISTINCT row) FROM problems").fetchone()[0]

    def _look_at(self, number: int, row: Row, problems: list[Any], boxes: list[Any]) -> None:
        if self._rehearsal is not None:
            self._rehearsal.write(row)
        fields = {} if row.problem else self._columns.fields(row.cells)
        has_changes = any(name in fields for name in CHANGES)
        self.has_changes |= has_changes
        if self._columns.is_updated(row):
            self.updated += 1
            self._short = None
            return
        found = [row.problem] if row.problem else problems_of(self._client, fields)
        self.doubts.look_at(row, is_good=not found)
        box = fields.get("customer_box_id")
        if isinstance(box, int) and 0 < box < 1 << 63:
            boxes.append((box, number, row.line))
        problems += [(number, row.line, problem) for problem in found]
        self.bad += bool(found)
        self.idle += not found and not has_changes
        problems += self._broken_row(number, row)

    def _broken_row(self, number: int, row: Row) -> Iterator[tuple[int, int, str]]:
        """Finds a row that a line break in a cell has split over several lines."""
        at, cells = self._columns.at["customer_box_id"], row.loose or row.cells
        if at < len(cells) and str(cells[at]).isdigit():
            self._short = (number, row.line, row.width) if row.is_short else None
        elif self._short is not None:
            before, line, width = self._short
            width += row.width - 1
            self._short = before, line, width
            if width == len(self._table.columns):
                self._found.execute("INSERT INTO split VALUES (?)", (before,))
                yield (
                    before,
                    line,
                    "continues in the next line; put quotation marks around its cells",
                )

    def _find_duplicates(self) -> None:
        """Finds rows of the same customer: it would be random which one is sent last."""
        self._found.execute("CREATE INDEX of_box ON boxes (box, line, row)")
        self._found.execute(
            f"""
            INSERT INTO problems SELECT row, line,
                'customer_box_id: is that of {self._table.place} ' || (
                    SELECT line FROM boxes AS other
                    WHERE other.box = boxes.box AND other.row <> boxes.row
                    ORDER BY line LIMIT 1
                ) || ' too; make one row of them, because either may be sent last'
            FROM boxes WHERE box IN (SELECT box FROM boxes GROUP BY box HAVING count(*) > 1)
            """
        )
        self._found.execute("CREATE INDEX of_row ON problems (row)")
        self._found.execute("DROP TABLE boxes")

    def problems(self, first: int, last: int) -> dict[int, str]:
        """Returns the problems of each of these rows that has any."""
        query = "SELECT row, problem FROM problems WHERE row BETWEEN ? AND ? ORDER BY row, rowid"
        found = self._found.execute(query, (first, last)).fetchall()
        return {
            row: "; ".join(problem for _, problem in group)
            for row, group in itertools.groupby(found, lambda each: each[0])
        }

    def split(self, first: int, last: int) -> set[int]:
        """Returns those of these rows that a line break has split."""
        query = "SELECT row FROM split WHERE row BETWEEN ? AND ?"
        return {row for (row,) in self._found.execute(query, (first, last))}

    def first_problems(self, count: int) -> list[tuple[int, str]]:
        """Returns the first problems, each with the line of its row."""
        query = "SELECT line, problem FROM problems ORDER BY row, rowid LIMIT ?"
        return self._found.execute(query, (count,)).fetchall()

    def count_problems(self) -> int:
        count: int = self._found.execute("SELECT count(*) FROM problems").fetchone()[0]
        return count

    def close(self) -> None:
        self._found.close()


def blocks(rows: Iterator[Row], size: int) -> Iterator[tuple[int, list[Row]]]:
    """Returns the rows in blocks of this size, each with the number of its first row, from 0."""
    first = 0
    while block := list(itertools.islice(rows, size)):
        yield first, block
        first += len(block)


def problems_of(client: skypostal.Client, fields: dict[str, Any]) -> list[str]:
    """Returns every problem that keeps these fields from being sent."""
    unreadable = {name: cell for name, cell in fields.items() if isinstance(cell, Unreadable)}
    readable = {name: value for name, value in fields.items() if name not in unreadable}
    problems = [f"{name}: {cell.problem}" for name, cell in unreadable.items()]
    # A field that is unreadable is not missing.
    found = (error for error in client.validate(**readable) if _name_of(error) not in unreadable)
    problems += [error.message for error in found]
    edges = "has white space or an invisible character at its start or end; remove it"
    for name in SECRETS:
        key = readable.get(name)
        # An empty key, for example, is a problem already.
        if (
            isinstance(key, str)
            and has_blank_edge(key)
            and not any(problem.startswith(f"{name}: ") for problem in problems)
        ):
            problems.append(f"{name}: {edges}")
    return problems


def _name_of(error: skypostal.ValidationError | skypostal.ConfigurationError) -> str | None:
    """Returns the name of the field; a missing credential is an error of the configuration."""
    return error.field if isinstance(error, skypostal.ValidationError) else error.option
