"""The columns of a table: which of them is which field."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from ... import _native
from ..._columns import squeezed
from ..._fields import CHANGES, FIELDS, REQUIRED, SECRETS
from ..output import printable
from ..parser import did_you_mean, integer
from .status import BAD, FAILED, REFUSED, UPDATED
from .table import REPORTED, Row, Table, Unreadable, is_whole

_STATUSES = ("", UPDATED, REFUSED, FAILED, BAD)


class Columns:
    """The fields in the columns of a table. `problems` says which columns are not clear."""

    def __init__(self, names: Sequence[str], maps: Sequence[str], ignored: Sequence[str]) -> None:
        self.problems: list[str] = []
        self._named: set[str | None] = set()  # the fields that a problem is about
        self.at: dict[str, int] = {}
        """The column of each field that the table has."""
        self.reported = [names.index(name) for name in REPORTED if name in names]
        """The columns of a report, if the table is one."""
        twice = {name for name in names if name and names.count(name) > 1}
        self.problems += [f"column {name!r}: is there twice" for name in sorted(twice)]
        self._named |= twice
        ignored = [_found(name, names) for name in ignored]
        if len(self.reported) not in (0, len(REPORTED)):
            self.problems.append("some columns of a report are there, and some are not")
        mapped = self._mapped(names, maps)
        for name in ignored:
            if name not in names:
                self.problems.append(
                    f"--ignore {name}: there is no such column{did_you_mean(name, names)}"
                )
        for name in mapped:
            if name in ignored:
                self.problems.append(f"--ignore {name}: the column is given to a field by --map")
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
            if field not in self.at and field not in self._named:
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
                self.problems.append(f"--map {text}: must be COLUMN=FIELD")
            elif field not in FIELDS:
                self._named.add(looks_like(field))
                self.problems.append(
                    f"--map {text}: {field} is no field{did_you_mean(field, FIELDS)}"
                )
            elif name not in names:
                self._named.add(field)
                self.problems.append(
                    f"--map {text}: there is no such column{did_you_mean(name, names)}"
                )
            elif mapped.setdefault(name, field) != field:
                self._named.add(field)
                self.problems.append(
                    f"--map {text}: the column is {mapped[name]} already; give one field for it"
                )
        return mapped

    def _look_at(self, name: str) -> None:
        """Reports a column that is no field, if it looks like one, or like a column of a report."""
        field, shown = looks_like(name), printable(name)
        if field is not None:
            self._named.add(field)
            if name.strip(" \t") != name:
                self.problems.append(
                    f"column {name!r}: has a space at its start or end, which each cell may have"
                    " too; remove the spaces around the delimiters"
                )
                return
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
        """Returns the row, with empty cells in place of the last ones if CSV leaves these out.

        Excel leaves out the delimiters of empty cells at the end of a row. A field that is missing
        may have been cut off, so it is not completed; an updated row needs no field.
        """
        if not row.problem:
            return row
        is_updated = self.is_updated(row)
        if is_updated or (row.is_short and len(row.cells) >= self._needed):
            cells = list(row.loose or row.cells)
            return row._replace(cells=cells + [""] * (self._width - len(cells)), problem="")
        return row

    def fields(self, cells: Sequence[Any]) -> dict[str, Any]:
        """Returns the fields that a row sends; an empty cell is left out."""
        fields = {name: cells[at] for name, at in self.at.items() if cells[at] not in ("", None)}
        for name, cell in fields.items():
            if isinstance(cell, float) and cell != cell:
                problem = "is NaN, as pandas writes a missing value; write null in its place"
                fields[name] = Unreadable("nan", problem)
        for name in ("user_code", "customer_box_id"):
            cell = fields.get(name)
            if isinstance(cell, str):
                fields[name] = integer(cell)
            elif cell is not None and is_whole(cell):
                fields[name] = int(cell)
        return fields

    def report(self, row: Row) -> list[Any]:
        """Returns the cells of the row that a report has, if the table is one."""
        if not self.reported:
            return []
        cells = row.loose or row.cells
        # A missing cell is empty. In a row that cannot be split into cells it is not known.
        missing = "" if row.is_short or not row.problem else "?"
        texts = [_text(cells[at]) if at < len(cells) else missing for at in self.reported]
        # Software that lacks empty integers makes them floats.
        attempts = re.fullmatch("([0-9]{1,9})([.]0*)?", texts[2])
        return [*texts[:2], int(attempts[1]) if attempts else None, *texts[3:]]

    def is_updated(self, row: Row) -> bool:
        return self.report(row)[:1] == [UPDATED]

    def is_unknown(self, row: Row) -> bool:
        """Returns whether an earlier run may have changed the customer."""
        report = self.report(row)
        return bool(report) and (
            report[1] == "unknown"
            # A status that cannot be read may have been that of such a row.
            or (bool(row.problem) and report[0] not in _STATUSES)
        )


def looks_like(name: str) -> str | None:
    """Returns the field that a column of this name may be meant to be."""
    return _native._nearest(squeezed(name), list(FIELDS))


def _found(name: str, names: Sequence[str]) -> str:
    """Returns the column of this name, which may be given as messages show it."""
    shown = [each for each in names if printable(each) == name]
    return shown[0] if name not in names and len(shown) == 1 else name


def _text(cell: Any) -> str:
    return "" if cell is None or isinstance(cell, Unreadable) else str(cell)
