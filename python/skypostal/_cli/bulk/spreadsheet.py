"""Tables in the sheets of .xlsx files, read row by row by openpyxl.

A cell becomes the text that a CSV file would have, or says why it has none.
"""

from __future__ import annotations

import datetime
import functools
import os
import re
import warnings
import zipfile
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any

from ..._columns import squeezed
from .table import Row, Table, TableError, Unreadable, digest_of, first_line

MAX_ROWS = 1 << 20  # of Excel's own sheets
# The sizes that the parts of a file may unpack to. A sheet is read piece by piece; the part that
# all sheets share is held in memory.
MAX_SHEET_BYTES = 1 << 30
MAX_SHARED_BYTES = 256 << 20
_TITLE_ROWS = 20
# Numbers beyond it have lost digits: a spreadsheet holds 15.
_MAX_WHOLE = 10**15
# Before it, Excel and others count the days in different ways.
_FIRST_DAY = datetime.date(1900, 3, 1)

_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")
_NUMBER = re.compile(r"[#,]*(0+)")
# Parts of a number format that are shown as they stand: "text", \x, _x, [Red], and plain signs.
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\[[^]]*\]|[-+() $€£]')


def spreadsheet_problem(path: str) -> str | None:
    """Returns why a zip archive is no spreadsheet that can be read; None if it is one."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = {part.filename: part.file_size for part in archive.infolist()}
            if "xl/workbook.xml" in parts:
                return _problem_of_sizes(parts)
            if "xl/workbook.bin" in parts:
                return "is an Excel binary workbook (.xlsb); save it as .xlsx"
            if "mimetype" in parts and b"spreadsheet" in archive.open("mimetype").read(200):
                return "is an OpenDocument spreadsheet (.ods); save it as .xlsx"
    except (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, OSError):
        return "is a damaged archive, or one that was cut off"
    return "is an archive and no spreadsheet; unpack it first"


def _problem_of_sizes(parts: dict[str, int]) -> str | None:
    sheets = {name for name in parts if name.startswith("xl/worksheets/")}
    shared = sum(size for name, size in parts.items() if name not in sheets)
    if shared > MAX_SHARED_BYTES or any(parts[name] > MAX_SHEET_BYTES for name in sheets):
        return (
            f"takes more than {MAX_SHEET_BYTES >> 30} GiB for a sheet, or more than"
            f" {MAX_SHARED_BYTES >> 20} MiB for the rest, when it is unpacked; save it as CSV in"
            " UTF-8"
        )
    return None


class SpreadsheetTable(Table):
    """One sheet. Its reports are CSV, which a spreadsheet opens."""

    place = "row"
    encoding = "utf-8-sig"
    """The encoding of a report, so that Excel reads its letters."""

    def __init__(self, path: str, file: Any, sheet: str | None, known: Collection[str]) -> None:
        self.path, self._bytes = path, file
        openpyxl = _import_openpyxl(path)
        load = functools.partial(openpyxl.load_workbook, file, read_only=True, keep_links=False)
        try:
            values = load(data_only=True)
            self.sheet = self._chosen(values, sheet)
            self._values = values[self.sheet]
            # Only a second reading tells a formula without a value from an empty cell.
            self._formulas = load()[self.sheet] if _has_formulas(path) else None
        except TableError:
            raise
        except Exception as error:  # openpyxl raises many kinds
            raise self._unreadable(error) from None
        self._last_row = self._values.max_row or 1
        # The size that a file gives may be wrong.
        for each in (self._values, self._formulas):
            if each is not None:
                each.reset_dimensions()
        self._known = set(map(squeezed, known)) - {""}
        self._header_row = 0
        self.columns = self._header()

    def _chosen(self, workbook: Any, sheet: str | None) -> str:
        """Returns the name of the sheet that is given, or that is the only one to be seen."""
        names: list[str] = [each.title for each in workbook.worksheets]
        if sheet is not None:
            if sheet in names:
                return sheet
            raise TableError(f"{self.path}: has no sheet {sheet!r}; there are {_listed(names)}")
        shown: list[str] = [
            each.title for each in workbook.worksheets if each.sheet_state == "visible"
        ]
        if len(shown) != 1:
            listed = _listed(shown or names)
            raise TableError(f"{self.path}: has the sheets {listed}; say which: --sheet NAME")
        (only,) = shown
        return only

    def _rows(self) -> Iterator[Row]:
        width = len(self.columns)
        for number, cells in self._cells():
            self.fraction = min(number / self._last_row, 1.0)
            if number <= self._header_row or not cells:
                continue
            problem = ""
            if len(cells) > width:
                problem = f"has {len(cells)} cells, where the header has {width}"
            yield Row(number, cells + [""] * (width - len(cells)), problem, len(cells))

    def _digest_of_read(self) -> str:
        return f"{digest_of(self._bytes)} {self.sheet}"

    def close(self) -> None:
        self._bytes.close()

    def _header(self) -> list[str]:
        """Returns the names in the first row that has cells, and refuses one that is no header."""
        first: list[str] | None = None
        for number, cells in self._cells():
            names = [cell.text if isinstance(cell, Unreadable) else cell for cell in cells]
            if not any(names):
                continue
            recognised = len(set(map(squeezed, names)) & self._known)
            if first is None:
                first, self._header_row = names, number
                if recognised:
                    break
            elif recognised > 1:
                raise TableError(
                    f"{self.path}:row {self._header_row}: names no field, and row {number} does;"
                    " remove what stands before the header"
                )
            if number > self._header_row + _TITLE_ROWS:
                break
        if first is None:
            raise TableError(f"{self.path}: the sheet {self.sheet!r} is empty")
        return first

    def _cells(self) -> Iterator[tuple[int, list[Any]]]:
        """Yields the cells of each row, up to the last that is not empty."""
        sheets = [each.rows for each in (self._values, self._formulas) if each is not None]
        rows = enumerate(zip(*sheets), 1)
        while True:
            try:
                # It warns of what is no matter here, such as a date that cannot be.
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    number, both = next(rows)
                cells = [_value(*each) for each in zip(*both)]
            except StopIteration:
                return
            except Exception as error:
                raise self._unreadable(error) from None
            if number > MAX_ROWS:
                raise TableError(f"{self.path}: has more than {MAX_ROWS:,} rows, as no sheet has")
            while cells and cells[-1] == "":
                del cells[-1]
            yield number, cells

    def _unreadable(self, error: Exception) -> TableError:
        reason = first_line(error) or type(error).__name__
        return TableError(f"{self.path}: cannot be read as a spreadsheet: {reason}")


def _import_openpyxl(path: str) -> Any:
    # The standard library's reader of XML opens no other file, as lxml may.
    os.environ["OPENPYXL_LXML"] = "False"
    try:
        return import_module("openpyxl")
    except ImportError:
        problem = f"{path}: a spreadsheet needs openpyxl: pip install 'skypostal[excel]'"
        raise TableError(f"{problem}; or save it as CSV in UTF-8") from None


def _has_formulas(path: str) -> bool:
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                with archive.open(name) as sheet:
                    before = b""
                    for piece in iter(functools.partial(sheet.read, 1 << 20), b""):
                        if re.search(rb"<(\w+:)?f[\s>/]", before + piece):
                            return True
                        before = piece[-16:]
    return False


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _value(cell: Any, formula: Any = None) -> Any:
    """Returns the text of a cell, or why it has none."""
    value = cell.value
    if value is None:
        if formula is not None and formula.data_type == "f":
            problem = "is a formula without a stored value; open the file in Excel and save it"
            return Unreadable("", problem)
        return ""
    if cell.data_type == "e":
        return Unreadable(str(value), f"is the error {value}; correct it")
    if isinstance(value, bool):
        shown = str(value).upper()
        return Unreadable(shown, f"is the truth value {shown}; write a text or a number")
    if isinstance(value, (int, float)):
        return _text_of_number(value, cell.number_format or "General")
    if isinstance(value, (datetime.date, datetime.time, datetime.timedelta)):
        return _text_of_day(value)
    # A carriage return, for example, stands in the file as _x000D_.
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), str(value))


def _text_of_number(value: int | float, number_format: str) -> Any:
    """Returns the digits of a number: a whole one padded as its format shows it."""
    if not abs(value) < _MAX_WHOLE:
        problem = "is a number of more than 15 digits, of which a spreadsheet loses the rest; write"
        return Unreadable(str(value), f"{problem} it as text")
    if value != int(value):
        return format(Decimal(f"{value:.15g}"), "f")
    return f"{'-' * (value < 0)}{abs(int(value)):0{_shown_digits(number_format)}}"


@functools.lru_cache(maxsize=256)
def _shown_digits(number_format: str) -> int:
    """Returns how many digits a format such as 00000 shows at least."""
    digits = _NUMBER.fullmatch(_LITERAL.sub("", number_format.split(";")[0]))
    return len(digits[1]) if digits else 1


def _text_of_day(value: datetime.date | datetime.time | datetime.timedelta) -> Any:
    if isinstance(value, datetime.datetime):
        if value.time() != datetime.time():
            problem = f"is a day with the time {value.time()}; remove the time"
            return Unreadable(value.isoformat(" "), problem)
        value = value.date()
    if not isinstance(value, datetime.date):
        return Unreadable(str(value), f"is the time {value}, and no day")
    if value < _FIRST_DAY:
        problem = "is a day before 1900-03-01, which spreadsheets count in different ways; write it"
        return Unreadable(value.isoformat(), f"{problem} as text, YYYY-MM-DD")
    return value.isoformat()
