"""Tables of customers, read row by row.

CSV by the standard library and Parquet by pyarrow; `spreadsheet` has the third kind. A table may be
larger than memory.
"""

from __future__ import annotations

import codecs
import csv
import functools
import hashlib
import itertools
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any, NamedTuple

from ..._columns import squeezed
from . import file_kinds
from .decoder import Decoder, problem_of

# The columns that a report adds. They come first, so that a row with too many or too few cells of
# its own stays as it was, and is refused again.
REPORTED = (
    "skypostal_status",
    "skypostal_delivery",
    "skypostal_attempts",
    "skypostal_error",
    "skypostal_message",
)
MAX_ROW_BYTES = 1 << 20
# The rows of a report are longer than those of its table, and must be readable again.
MAX_REPORT_ROW_BYTES = 64 << 20
PARQUET_BATCH_ROWS = 10_000
# The lines among which a header is looked for, if the first one is none.
_TITLE_LINES = 20
_DELIMITERS = ",;\t|"
_SEP_LINE = re.compile(r'"?sep=(.)?"?\s*', re.IGNORECASE)

csv.field_size_limit(MAX_REPORT_ROW_BYTES)


class TableError(Exception):
    """The file as a whole cannot be read. The text is one line, and begins with where."""


class Row(NamedTuple):
    line: int
    """The first line, as an editor counts; in Parquet, the number of the row."""
    cells: list[Any]
    """One cell for each column, unless there is a problem. In CSV each is a str."""
    problem: str = ""
    """The reason why the line cannot be split into cells."""
    width: int = 0
    """The number of cells in a CSV file."""
    is_short: bool = False
    """True if the last cells are missing in a CSV file, and nothing else is wrong."""
    loose: Sequence[Any] = ()
    """The cells of invalid CSV, as far as it can be split."""
    batch: Any = None
    """The Arrow batch of the row, in Parquet."""


class Unreadable(NamedTuple):
    """A cell of Parquet that Python has no value for. The other cells stay readable."""

    text: str
    """The text for a report in CSV. U+FFFD stands for bytes that are no UTF-8."""
    problem: str


class Table:
    """A file of rows under named columns. It can be read again and again, but once at a time."""

    path: str
    columns: list[str]
    place = "line"
    """The unit of a row's number."""
    digest = ""
    """The digest of the content, set when it was read to its end."""
    fraction = 0.0
    """The part that has been read, from 0 to 1."""
    decoder: Decoder | None = None
    """The decoder of the lines that were read; None if the table has no encoding."""
    limit: int | None = None
    """The number of rows after which the rest is left out."""

    def rows(self) -> Iterator[Row]:
        """Yields the rows from the first one on, and sets `digest` after the last."""
        yield from itertools.islice(self._rows(), self.limit)
        self.digest = self._digest_of_read()

    def _rows(self) -> Iterator[Row]:
        raise NotImplementedError

    def _digest_of_read(self) -> str:
        """Returns the digest of what was read, or of more."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def as_one_cell(self, row: Row, problem: str) -> Row:
        """Returns a row that was not split as its table means, with its line as the only cell."""
        raise NotImplementedError


def open_table(
    path: str,
    *,
    encoding: str,
    delimiter: str | None,
    known: Collection[str],
    sheet: str | None = None,
) -> Table:
    """Opens a table. The delimiter, if not given, is the one that gives most `known` names."""
    if path == "-":
        raise TableError("standard input: the table is read more than once; save it to a file")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise TableError(f"{path}: is not a regular file, and it is read more than once")
        file = open(path, "rb")  # noqa: SIM115
        try:
            start = file.read(file_kinds.LOOKED_AT)
            file.seek(0)
            if file_kinds.is_zip(start):
                from . import spreadsheet

                problem = spreadsheet.spreadsheet_problem(path)
                if problem is not None:
                    raise TableError(f"{path}: {problem}")
                return spreadsheet.SpreadsheetTable(path, file, sheet, known)
            problem = file_kinds.problem_of(start)
            if problem is not None:
                raise TableError(f"{path}: {problem}")
            if sheet is not None:
                raise TableError(f"{path}: is no spreadsheet, so it has no sheet {sheet!r}")
            if has_parquet_name(path) or file_kinds.is_parquet(start):
                return ParquetTable(path, file)
            return CsvTable(path, file, encoding, delimiter, known)
        except BaseException:
            file.close()
            raise
    except OSError as problem:
        raise TableError(f"{path}: {problem.strerror or problem}") from None


def is_whole(cell: Any) -> bool:
    """Returns whether a cell is a Decimal without a fraction, as databases write whole numbers."""
    return isinstance(cell, Decimal) and cell.is_finite() and cell == cell.to_integral_value()


def has_parquet_name(path: str) -> bool:
    return path.lower().endswith((".parquet", ".pq"))


class CsvTable(Table):
    def __init__(
        self,
        path: str,
        file: Any,
        encoding: str,
        delimiter: str | None,
        known: Collection[str],
    ) -> None:
        self.path, self._file, self.encoding = path, file, encoding
        self._size = os.fstat(file.fileno()).st_size or 1
        if file.read(3) == codecs.BOM_UTF8:
            self.encoding = "utf-8-sig"
        self._known = set(map(squeezed, known)) - {""}
        self._longest, self._row = MAX_ROW_BYTES, (1, 0)
        self.delimiter = delimiter or self._found_delimiter()
        self.columns = self._header(self.delimiter)
        self._check_header()
        if set(self.columns) & set(REPORTED):
            self._longest = MAX_REPORT_ROW_BYTES
        self._file.seek(0)
        self.newline = "\r\n" if self._file.readline(MAX_ROW_BYTES).endswith(b"\r\n") else "\n"

    def _rows(self) -> Iterator[Row]:
        taken: list[str] = []  # the lines of the current row
        digest = self._digest = hashlib.sha256()
        reader = csv.reader(self._lines(taken, digest), delimiter=self.delimiter, strict=True)
        next(reader)
        while True:
            taken.clear()
            line, problem, cells = reader.line_num + 1, "", []
            self._row = line, self._read
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error:
                problem = self._problem_of(taken, self.delimiter)
            if any("\0" in text for text in taken):
                problem = "holds a NUL byte"
            if problem:
                # One cell with all, so that a report given back is refused again.
                text = "".join(taken).rstrip("\r\n").replace("\0", "\ufffd")
                yield Row(line, [text], problem, loose=self._loose(text))
            elif any(cells):
                yield self._row_of(line, cells, taken)

    def _digest_of_read(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        self._file.close()

    def _row_of(self, line: int, cells: list[str], taken: list[str]) -> Row:
        width = len(cells)
        if width == len(self.columns):
            return Row(line, cells, width=width)
        problem = f"has {_cells(width)}, where the header has {len(self.columns)}"
        if width > len(self.columns):
            return Row(line, cells, problem, width)
        if not taken[-1].endswith("\n"):
            problem += "; the file ends in mid-line, so it may have been cut off"
            # In the report its line will have an end, and must be refused again.
            return self.as_one_cell(Row(line, cells, width=width), problem)
        problem += "; an empty cell at the end needs its delimiter too, which Excel leaves out"
        return Row(line, cells, problem, width, is_short=True)

    def _problem_of(self, taken: list[str], delimiter: str) -> str:
        """Returns why the csv module refuses the current row; its errors have no kinds."""
        if self._is_at_end:
            return "opens a quotation mark that is not closed"
        # With each carriage return as the end of a line, the row is good up to the first of them.
        lines = re.split(r"(?<=\r)(?!\n)", "".join(taken))
        try:
            next(csv.reader(lines, delimiter=delimiter, strict=True))
        except csv.Error:
            return "has a quotation mark in a cell that is not doubled"
        return "has a carriage return outside of quotation marks"

    def _loose(self, text: str) -> list[str]:
        """Returns the cells of the first line of invalid CSV, which a report may have filled."""
        line = text.partition("\n")[0].replace("\r", " ")
        return next(csv.reader([line], delimiter=self.delimiter))

    def _found_delimiter(self) -> str:
        """Returns the delimiter that gives most columns a known name."""

        def recognised(delimiter: str) -> int:
            try:
                return self._recognised(self._header(delimiter))
            except TableError:
                return 0

        return max(_DELIMITERS, key=recognised)

    def _recognised(self, names: list[str]) -> int:
        return len(set(map(squeezed, names)) & self._known)

    def _check_header(self) -> None:
        """Refuses a first line that is not the header, and says what it is."""
        place = f"{self.path}:1"
        if not any(name.strip() for name in self.columns):
            raise TableError(f"{place}: is empty; remove it, as the first line names the columns")
        if self.columns[0].startswith("\ufeff"):
            raise TableError(
                f"{place}: begins with a second byte-order mark; save the file anew as UTF-8"
            )
        first, *others = self._first_lines()
        if _SEP_LINE.fullmatch(first):
            raise TableError(f"{place}: is Excel's sep= line, and not the header; remove it")
        if self._recognised(self.columns):
            return
        for number, line in enumerate(others, 2):
            if any(
                self._recognised(line.split(each)) > 1 for each in (*_DELIMITERS, self.delimiter)
            ):
                raise TableError(
                    f"{place}: names no field, and line {number} does; remove what stands before"
                    " the header"
                )

    def _first_lines(self) -> list[str]:
        lines = self._lines([], hashlib.sha256())
        try:
            return [line for _, line in zip(range(_TITLE_LINES), lines)]
        except TableError:  # it is the error of a row, and reported as such
            return [""]

    def _header(self, delimiter: str) -> list[str]:
        taken: list[str] = []
        lines = self._lines(taken, hashlib.sha256())
        self._row = 1, 0
        try:
            names = next(csv.reader(lines, delimiter=delimiter, strict=True))
            if any("\0" in text for text in taken):
                raise TableError(f"{self.path}:1: holds a NUL byte; save the file as UTF-8")
            return names
        except StopIteration:
            raise TableError(f"{self.path}: is empty; its first line names the columns") from None
        except csv.Error:
            raise TableError(f"{self.path}:1: {self._problem_of(taken, delimiter)}") from None

    def _lines(self, taken: list[str], digest: Any) -> Iterator[str]:
        decoder, longest = Decoder(self.encoding), self._longest
        self.decoder = decoder
        self._file.seek(0)
        self._read, self._is_at_end = 0, False
        for number, line in enumerate(iter(functools.partial(self._read_line, longest), b""), 1):
            digest.update(line)
            self._read += len(line)
            begin, before = self._row
            if len(line) == longest:
                hint = "; its lines end with carriage returns alone" if b"\r" in line else ""
                raise TableError(
                    f"{self.path}:{number}: is longer than {longest >> 20} MiB, which no row may"
                    f" be{hint}"
                )
            if self._read - before > longest:
                raise TableError(
                    f"{self.path}:{begin}: is the first line of a row of more than"
                    f" {longest >> 20} MiB; close its quotation mark, or shorten its cells"
                )
            try:
                text = decoder.decode(number, line)
            except UnicodeDecodeError as error:
                problem = problem_of(error, self.encoding)
                raise TableError(f"{self.path}:{number}: {problem}") from None
            self.fraction = self._read / self._size
            taken.append(text)
            # Before Python 3.11, its parser stops at a NUL.
            yield text.replace("\0", "\ufffd")
        self._is_at_end = True

    def _read_line(self, longest: int) -> bytes:
        try:
            line: bytes = self._file.readline(longest)
        except OSError as problem:
            raise TableError(f"{self.path}: cannot be read: {problem.strerror}") from None
        return line

    def as_one_cell(self, row: Row, problem: str) -> Row:
        text = self.delimiter.join(row.cells[: row.width])
        return Row(row.line, [text], problem, row.width, loose=row.cells)


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


class ParquetTable(Table):
    place = "row"

    def __init__(self, path: str, file: Any) -> None:
        parquet = import_parquet(path)
        self.path, self._bytes = path, file
        try:
            self._file = parquet.ParquetFile(file)
            self.schema = self._file.schema_arrow
            self.columns = self.schema.names
        except Exception as error:
            problem = f"cannot be read as Parquet: {first_line(error)}"
            raise TableError(f"{path}: {problem}") from None

    def _rows(self) -> Iterator[Row]:
        number, total = 0, self._file.metadata.num_rows or 1
        for batch in self._batches():
            for cells in zip(*map(_values, batch.columns)):
                number += 1
                yield Row(number, list(cells), batch=batch)
            self.fraction = number / total

    def _digest_of_read(self) -> str:
        return digest_of(self._bytes)

    def _batches(self) -> Iterator[Any]:
        try:
            yield from self._file.iter_batches(batch_size=PARQUET_BATCH_ROWS)
        except Exception as error:  # pyarrow raises many kinds
            raise TableError(f"{self.path}: {first_line(error)}") from None

    def close(self) -> None:
        self._file.close()
        self._bytes.close()


def digest_of(file: Any) -> str:
    """Returns the digest of a whole file."""
    file.seek(0)
    digest = hashlib.sha256()
    try:
        for piece in iter(functools.partial(file.read, 1 << 20), b""):
            digest.update(piece)
    except OSError as problem:
        raise TableError(f"{file.name}: cannot be read: {problem.strerror}") from None
    return digest.hexdigest()


def import_parquet(path: str) -> Any:
    try:
        return import_module("pyarrow.parquet")
    except ImportError:
        problem = f"{path}: Parquet needs pyarrow: pip install 'skypostal[pyarrow]'"
        raise TableError(problem) from None


def _values(column: Any) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
        return values
    except Exception:  # for one cell or for all
        return [_value(column, at) for at in range(len(column))]


def _value(column: Any, at: int) -> Any:
    try:
        return column[at].as_py()
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 (byte 0x{error.object[error.start]:02X}); correct it"
    except Exception:  # such as a day before year 1, or a time zone that is not known here
        problem = f"is a {column.type} that Python has no value for; correct it"
    return Unreadable(_readable(column, at), problem)


def _readable(column: Any, at: int) -> str:
    """Returns the text of a cell by way of Arrow, piece by piece."""
    types, cell = import_module("pyarrow").types, column[at]
    if not cell.is_valid:
        return ""
    if hasattr(cell, "as_buffer"):
        text: str = cell.as_buffer().to_pybytes().decode("utf-8", "replace")
        return text
    if types.is_dictionary(column.type):
        return _readable(column.dictionary, column.indices[at].as_py())
    if types.is_struct(column.type):
        pieces = [_readable(column.field(n), at) for n in range(column.type.num_fields)]
        return f"{{{', '.join(pieces)}}}"
    if types.is_nested(column.type) and hasattr(cell, "values"):
        return f"[{', '.join(_readable(cell.values, n) for n in range(len(cell.values)))}]"
    shown: str = column.slice(at, 1).to_string(skip_new_lines=True)
    return " ".join(shown.strip("[]").split())


def first_line(error: Exception) -> str:
    """Returns what another library says, on one line."""
    return next(iter(str(error).splitlines()), "").rstrip(".")
