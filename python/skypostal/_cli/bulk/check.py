"""What is wrong with a table of customers, found before anything is sent."""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import skypostal

from ..._columns import squeezed
from ..common import integer, printable
from ..update import CHANGES
from .report import Rehearsal
from .table import REPORTED, Row, Table, Unreadable

REQUIRED = ("customer_box_id", "customer_key")
FIELDS = ("user_code", "app_key", *REQUIRED, *CHANGES)
SECRETS = ("app_key", "customer_key")
UPDATED = "updated"
_STATUSES = ("", UPDATED, "refused", "failed", "bad")


class Columns:
    """Which column of a table is which field. `problems` says why that cannot be told."""

    def __init__(self, names: Sequence[str], maps: Sequence[str], ignored: Sequence[str]) -> None:
        self.problems: list[str] = []
        self.at: dict[str, int] = {}
        """Of each field that there is, the column."""
        self.reported = [names.index(name) for name in REPORTED if name in names]
        """The columns of a report, if the table is one."""
        twice = {name for name in names if name and names.count(name) > 1}
        self.problems += [f"column {name!r}: is there twice" for name in sorted(twice)]
        ignored = [_found(name, names) for name in ignored]
        if len(self.reported) not in (0, len(REPORTED)):
            self.problems.append("some columns of a report are there, and some are not")
        mapped = self._mapped(names, maps)
        for name in ignored:
            if name not in names:
                self.problems.append(
                    f"--ignore {name}: there is no such column{_near(name, names)}"
                )
        for at, name in enumerate(names):
            field = mapped.get(name, name)
            if name in ignored or name in REPORTED:
                continue
            if field not in FIELDS:
                self._look_at(name)
            elif field in self.at:
                other = names[self.at[field]]
                self.problems.append(
                    f"columns {other!r} and {name!r}: both are {field}; --ignore one of them"
                )
            else:
                self.at[field] = at
        for field in REQUIRED:
            if field not in self.at and not any(field in problem for problem in self.problems):
                self.problems.append(f"no column {field}; say which it is: --map COLUMN={field}")
        if not any(field in self.at for field in CHANGES) and not self.problems:
            self.problems.append(
                f"no column changes anything; --map COLUMN=FIELD says which is {', '.join(CHANGES)}"
            )
        self._needed = max(self.at.values(), default=-1) + 1
        self._width = len(names)
        self.secrets = [self.at[field] for field in SECRETS if field in self.at]
        self.carried = [
            name
            for at, name in enumerate(names)
            if at not in self.at.values() and at not in self.reported
        ]

    def _mapped(self, names: Sequence[str], maps: Sequence[str]) -> dict[str, str]:
        mapped: dict[str, str] = {}
        for text in maps:
            name, equals, field = text.rpartition("=")
            name = _found(name, names)
            if not equals:
                self.problems.append(f"--map {text}: is not COLUMN=FIELD")
            elif field not in FIELDS:
                self.problems.append(f"--map {text}: {field} is no field{_near(field, FIELDS)}")
            elif name not in names:
                self.problems.append(f"--map {text}: there is no such column{_near(name, names)}")
            else:
                mapped[name] = field
        return mapped

    def _look_at(self, name: str) -> None:
        """A column that is no field, and may be meant to be one, or one of a report."""
        field, shown = looks_like(name), printable(name)
        if field is not None:
            self.problems.append(
                f"column {name!r}: is no field; say --map {shlex.quote(f'{shown}={field}')}"
                f" or --ignore {shlex.quote(shown)}"
            )
        for reported in REPORTED:
            if squeezed(name) == squeezed(reported):
                self.problems.append(
                    f"column {name!r}: looks like {reported} of a report; give it this name, or"
                    f" say --ignore {shlex.quote(shown)}"
                )

    def rows(self, table: Table) -> Iterator[Row]:
        return map(self._completed, table.rows())

    def _completed(self, row: Row) -> Row:
        """A row of CSV whose last cells are missing, with empty ones in their place.

        Excel leaves out the delimiters of empty cells at the end of a row. A field that is missing
        may as well have been cut off, but of an updated row nothing is needed any more.
        """
        if not row.problem:
            return row
        is_updated = self.is_updated(row)
        if is_updated or (row.is_short and len(row.cells) >= self._needed):
            cells = list(row.loose or row.cells)
            return row._replace(cells=cells + [""] * (self._width - len(cells)), problem="")
        return row

    def fields(self, cells: Sequence[Any]) -> dict[str, Any]:
        """What a row asks for; an empty cell is not given."""
        fields = {name: cells[at] for name, at in self.at.items() if cells[at] not in ("", None)}
        for name in ("user_code", "customer_box_id"):
            if isinstance(fields.get(name), str):
                fields[name] = integer(fields[name])
        return fields

    def report(self, row: Row) -> list[Any]:
        """What a report, which the table may be, said of the row, even if it fits no column."""
        if not self.reported:
            return []
        cells = row.loose or row.cells
        # A cell that is missing is an empty one, unless it is not known which are there.
        missing = "" if row.is_short or not row.problem else "?"
        texts = [_text(cells[at]) if at < len(cells) else missing for at in self.reported]
        # Software that lacks empty integers makes them floats.
        attempts = re.fullmatch("([0-9]{1,9})([.]0*)?", texts[2])
        return [*texts[:2], int(attempts[1]) if attempts else None, *texts[3:]]

    def is_updated(self, row: Row) -> bool:
        return self.report(row)[:1] == [UPDATED]

    def is_unknown(self, row: Row) -> bool:
        """Whether an earlier run left open if the customer was changed."""
        report = self.report(row)
        return bool(report) and (
            report[1] == "unknown"
            # What cannot be read may be just that.
            or (bool(row.problem) and report[0] not in _STATUSES)
        )


def looks_like(name: str) -> str | None:
    """Returns the field that a column of this name may be meant to be."""
    word = squeezed(name)
    known = {squeezed(field): field for field in FIELDS}
    for whole, field in known.items():
        if word.endswith(whole):  # such as customers.customer_first_name
            return field
    stems = {_stem(whole): field for whole, field in known.items()}
    near = difflib.get_close_matches(_stem(word), stems, 1, 0.75)
    return stems[near[0]] if near else None


def _stem(word: str) -> str:
    return word[len("customer") :] if word.startswith("customer") else word


def _found(name: str, names: Sequence[str]) -> str:
    """The column of this name, which may be given as messages show it."""
    shown = [each for each in names if printable(each) == name]
    return shown[0] if name not in names and len(shown) == 1 else name


def _text(cell: Any) -> str:
    return "" if cell is None or isinstance(cell, Unreadable) else str(cell)


def _near(word: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, names, 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


class Check:
    """The check of a whole table. What it finds is kept in a temporary database: it may be much."""

    def __init__(
        self,
        client: skypostal.Client,
        table: Table,
        columns: Columns,
        rehearsal: Rehearsal | None = None,
    ) -> None:
        self._client, self._table, self._columns = client, table, columns
        self._rehearsal = rehearsal
        self._short: tuple[int, int, int] | None = None
        self.rows = 0
        self.bad = 0
        """How many rows have a problem."""
        self.updated = 0
        """How many rows need not be sent, as a report says."""
        self.has_changes = False
        """Whether any row changes anything."""
        self.idle = 0
        """How many rows to send do not."""
        self.digest = ""
        self._found = sqlite3.connect("", isolation_level=None)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "CREATE TABLE problems (row INTEGER, line INTEGER, problem TEXT)",
            "CREATE TABLE boxes (box INTEGER, row INTEGER, line INTEGER)",
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
        self._find_twins()
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
        box = fields.get("customer_box_id")
        if isinstance(box, int) and 0 < box < 1 << 63:
            boxes.append((box, number, row.line))
        problems += [(number, row.line, problem) for problem in found]
        self.bad += bool(found)
        self.idle += not found and not has_changes
        problems += self._broken_row(number, row)

    def _broken_row(self, number: int, row: Row) -> Iterator[tuple[int, int, str]]:
        """A short row that was taken as whole, but goes on in lines that are no rows."""
        at = self._columns.at["customer_box_id"]
        if at < len(row.cells) and str(row.cells[at]).isdigit():
            self._short = (number, row.line, row.width) if row.is_short else None
        elif self._short is not None:
            before, line, width = self._short
            width += row.width - 1
            self._short = before, line, width
            if width == len(self._table.columns):
                yield before, line, "goes on in the next line; put quotation marks around its cells"

    def _find_twins(self) -> None:
        """Which of two updates of one customer came last would be a matter of luck."""
        self._found.execute("CREATE INDEX of_box ON boxes (box)")
        self._found.execute(
            f"""
            INSERT INTO problems SELECT row, line,
                'customer_box_id: is that of {self._table.place} ' || (
                    SELECT min(line) FROM boxes AS other
                    WHERE other.box = boxes.box AND other.row <> boxes.row
                ) || ' too; make one row of them, as it is open which is sent last'
            FROM boxes WHERE box IN (SELECT box FROM boxes GROUP BY box HAVING count(*) > 1)
            """
        )
        self._found.execute("CREATE INDEX of_row ON problems (row)")
        self._found.execute("DROP TABLE boxes")

    def problems(self, first: int, last: int) -> dict[int, str]:
        """What is wrong with which of these rows."""
        query = "SELECT row, problem FROM problems WHERE row BETWEEN ? AND ? ORDER BY row, rowid"
        found = self._found.execute(query, (first, last)).fetchall()
        return {
            row: "; ".join(problem for _, problem in group)
            for row, group in itertools.groupby(found, lambda each: each[0])
        }

    def first_problems(self, count: int) -> list[tuple[int, str]]:
        """Lines, and what is wrong with them."""
        query = "SELECT line, problem FROM problems ORDER BY row, rowid LIMIT ?"
        return self._found.execute(query, (count,)).fetchall()

    def count_problems(self) -> int:
        count: int = self._found.execute("SELECT count(*) FROM problems").fetchone()[0]
        return count

    def close(self) -> None:
        self._found.close()


def blocks(rows: Iterator[Row], size: int) -> Iterator[tuple[int, list[Row]]]:
    """So many rows at a time, with the number of the first, from 0."""
    first = 0
    while block := list(itertools.islice(rows, size)):
        yield first, block
        first += len(block)


def problems_of(client: skypostal.Client, fields: dict[str, Any]) -> list[str]:
    """Whatever the library finds wrong, which tells one thing at a time."""
    unreadable = {name: cell for name, cell in fields.items() if isinstance(cell, Unreadable)}
    problems = [f"{name}: {cell.problem}" for name, cell in unreadable.items()]
    fields = {**fields, **{name: _stand_in(name) for name in unreadable}}
    told: set[str] = set()
    while True:
        try:
            client._preview(**fields)
            return problems
        except (skypostal.ValidationError, skypostal.ConfigurationError) as error:
            field = str(error).partition(":")[0]
            problems.append(str(error))
            if field in told:
                return problems
            told.add(field)
            fields = {name: value for name, value in fields.items() if name != field}
            if field in FIELDS and field not in CHANGES:
                fields[field] = _stand_in(field)


def _stand_in(field: str) -> Any:
    """A value in place of one that is told already."""
    return {"user_code": 1, "customer_box_id": 1}.get(field, "-" if field in SECRETS else None)
