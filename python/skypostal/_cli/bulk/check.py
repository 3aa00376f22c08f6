"""What is wrong with a table of customers, found before anything is sent."""

from __future__ import annotations

import difflib
import itertools
import shlex
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any

import skypostal

from ..common import integer
from ..update import CHANGES
from .table import REPORTED, Row, Table

REQUIRED = ("customer_box_id", "customer_key")
FIELDS = ("user_code", "app_key", *REQUIRED, *CHANGES)
SECRETS = ("app_key", "customer_key")
UPDATED = "updated"


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
        """A column that is no field, and may be meant to be one."""
        stems = {_stem(field): field for field in FIELDS}
        for near in difflib.get_close_matches(_stem(name), stems, 1, 0.75):
            self.problems.append(
                f"column {name!r}: is no field; say --map {shlex.quote(f'{name}={stems[near]}')}"
                f" or --ignore {shlex.quote(name)}"
            )

    def fields(self, cells: Sequence[Any]) -> dict[str, Any]:
        """What a row asks for; an empty cell is not given."""
        fields = {name: cells[at] for name, at in self.at.items() if cells[at] not in ("", None)}
        for name in ("user_code", "customer_box_id"):
            if isinstance(fields.get(name), str):
                fields[name] = integer(fields[name])
        return fields

    def report(self, row: Row) -> list[Any]:
        """What a report, which the table may be, said of the row."""
        return [] if row.problem else [row.cells[at] for at in self.reported]

    def is_updated(self, row: Row) -> bool:
        return self.report(row)[:1] == [UPDATED]

    def is_unknown(self, row: Row) -> bool:
        """Whether an earlier run left open if the customer was changed."""
        return self.report(row)[1:2] == ["unknown"]


def _stem(name: str) -> str:
    words = name.strip().lower().replace(" ", "_").replace("-", "_")
    return words[len("customer_") :] if words.startswith("customer_") else words


def _near(word: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, names, 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


class Check:
    """The check of a whole table. What it finds is kept in a temporary database: it may be much."""

    def __init__(self, client: skypostal.Client, table: Table, columns: Columns) -> None:
        self._client, self._table, self._columns = client, table, columns
        self.rows = 0
        self.bad = 0
        """How many rows have a problem."""
        self.updated = 0
        """How many rows need not be sent, as a report says."""
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
        for first, rows in blocks(self._table.rows(), 1000):
            problems, boxes = [], []
            for number, row in enumerate(rows, first):
                if self._columns.is_updated(row):
                    self.updated += 1
                    continue
                fields = {} if row.problem else self._columns.fields(row.cells)
                found = [row.problem] if row.problem else problems_of(self._client, fields)
                self.bad += bool(found)
                problems += [(number, row.line, problem) for problem in found]
                box = fields.get("customer_box_id")
                if isinstance(box, int) and 0 < box < 1 << 63:
                    boxes.append((box, number, row.line))
            self.rows = first + len(rows)
            self._found.executemany("INSERT INTO problems VALUES (?, ?, ?)", problems)
            self._found.executemany("INSERT INTO boxes VALUES (?, ?, ?)", boxes)
        self.digest = self._table.digest
        self._find_twins()
        self.bad = self._found.execute("SELECT count(DISTINCT row) FROM problems").fetchone()[0]

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
    problems: list[str] = []
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
                fields[field] = "-" if field in SECRETS else 1
