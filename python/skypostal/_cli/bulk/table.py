"""Tables of customers, read row by row.

CSV by the standard library, Parquet by pyarrow. What is read may be larger than memory.
"""

from __future__ import annotations

import codecs
import csv
import functools
import hashlib
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from ..._columns import squeezed

# What a report says of each row, before the row's own cells: one that has too many or too few of
# them is then as it was, and is refused again.
REPORTED = (
    "skypostal_status",
    "skypostal_delivery",
    "skypostal_attempts",
    "skypostal_error",
    "skypostal_message",
)
LONGEST_ROW = 1 << 20  # bytes
# A report has rows that are longer than those of its table, and must be readable again.
LONGEST_REPORTED = 64 << 20  # bytes
ROWS_AT_ONCE = 10_000  # of Parquet

csv.field_size_limit(LONGEST_REPORTED)


class TableError(Exception):
    """The file as a whole cannot be read. The text is one line, and begins with where."""


class Row(NamedTuple):
    line: int
    """Where it begins, as an editor counts; of Parquet, which row it is."""
    cells: list[Any]
    """One for each column, unless there is a problem. Of CSV each is a str."""
    problem: str = ""
    """Why they cannot be told apart."""
    width: int = 0
    """How many cells of CSV it has in the file."""
    is_short: bool = False
    """Whether the last cells of CSV are missing, and nothing else is wrong."""
    loose: Sequence[Any] = ()
    """The cells of CSV that breaks its rules, as far as they can be told apart."""
    batch: Any = None
    """Of Parquet: the Arrow batch that it is from."""


class Unreadable(NamedTuple):
    """A cell of Parquet that Python has no value for. It makes no other cell unreadable."""

    text: str
    """What a report in CSV has in its place. U+FFFD stands for bytes that are no UTF-8."""
    problem: str


class Table:
    """A file of rows under named columns. To be read any number of times, one at a time."""

    path: str
    columns: list[str]
    place = "line"
    """What the number of a row counts."""
    digest = ""
    """Of the content, when it was read to its end."""
    fraction = 0.0
    """How much of it has been read."""

    def rows(self) -> Iterator[Row]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def open_table(path: str, *, encoding: str, delimiter: str | None, known: Collection[str]) -> Table:
    """known: names that a column may have, by which the delimiter is found if it is not given."""
    if path == "-":
        raise TableError("standard input: the table is read more than once; save it to a file")
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise TableError(f"{path}: is not a regular file, and it is read more than once")
        file = open(path, "rb")  # noqa: SIM115
        try:
            if path.endswith(".parquet"):
                return ParquetTable(path, file)
            return CsvTable(path, file, encoding, delimiter, known)
        except BaseException:
            file.close()
            raise
    except OSError as problem:
        raise TableError(f"{path}: {problem.strerror or problem}") from None


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
        start = file.read(4)
        if start == b"PK\x03\x04":
            raise TableError(f"{path}: is a spreadsheet or another archive; save it as CSV")
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise TableError(f"{path}: is UTF-16; save it as UTF-8")
        if start[:3] == codecs.BOM_UTF8:
            self.encoding = "utf-8-sig"
        self._longest, self._row = LONGEST_ROW, (1, 0)
        self.delimiter = delimiter or self._found_delimiter(known)
        self.columns = self._header(self.delimiter)
        if set(self.columns) & set(REPORTED):
            self._longest = LONGEST_REPORTED
        self._file.seek(0)
        self.newline = "\r\n" if self._file.readline(LONGEST_ROW).endswith(b"\r\n") else "\n"

    def rows(self) -> Iterator[Row]:
        taken: list[str] = []  # the lines of the row at hand
        digest = hashlib.sha256()
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
            except csv.Error as error:
                problem = _said(error)
            if any("\0" in text for text in taken):
                problem = "holds a NUL byte"
            if problem:
                # As one cell, so that it stays refused wherever it goes from here.
                text = "".join(taken).rstrip("\r\n").replace("\0", "\ufffd")
                yield Row(line, [text], problem, loose=self._loose(text))
            elif any(cells):
                yield self._row_of(line, cells, taken)
        self.digest = digest.hexdigest()

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
            return Row(line, cells, problem, width)
        problem += "; an empty cell at the end needs its delimiter too"
        return Row(line, cells, problem, width, is_short=True)

    def _loose(self, text: str) -> list[str]:
        """The cells of the first line of what is no CSV, for what a report says of the row."""
        line = text.partition("\n")[0].replace("\r", " ")
        return next(csv.reader([line], delimiter=self.delimiter))

    def _found_delimiter(self, known: Collection[str]) -> str:
        """The one by which most columns have a name that is looked for."""

        looked_for = set(map(squeezed, known)) - {""}

        def recognised(delimiter: str) -> int:
            try:
                return len(set(map(squeezed, self._header(delimiter))) & looked_for)
            except TableError:
                return 0

        return max(",;\t|", key=recognised)

    def _header(self, delimiter: str) -> list[str]:
        taken: list[str] = []
        lines = self._lines(taken, hashlib.sha256())
        self._row = 1, 0
        try:
            names = next(csv.reader(lines, delimiter=delimiter, strict=True))
            if any("\0" in text for text in taken):
                raise TableError(f"{self.path}:1: holds a NUL byte; save UTF-16 as UTF-8")
            return names
        except StopIteration:
            raise TableError(f"{self.path}: is empty; its first line names the columns") from None
        except csv.Error as error:
            raise TableError(f"{self.path}:1: {_said(error)}") from None

    def _lines(self, taken: list[str], digest: Any) -> Iterator[str]:
        encoding, longest = self.encoding, self._longest
        self._file.seek(0)
        self._read = 0
        for number, line in enumerate(
            iter(functools.partial(self._file.readline, longest), b""), 1
        ):
            digest.update(line)
            self._read += len(line)
            begin, before = self._row
            if len(line) == longest:
                hint = "; its lines end with carriage returns alone" if b"\r" in line else ""
                raise TableError(f"{self.path}:{number}: is longer than {longest >> 20} MiB{hint}")
            if self._read - before > longest:
                raise TableError(
                    f"{self.path}:{begin}: is the first line of a row of more than"
                    f" {longest >> 20} MiB; close its quotation mark"
                )
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:
                byte = line[error.start]
                name = encoding.upper().replace("-SIG", "")
                raise TableError(
                    f"{self.path}:{number}: is not {name} (byte 0x{byte:02X}); save the file as"
                    " UTF-8, or say --encoding, such as cp1252 for Excel of Western Europe"
                ) from None
            self.fraction = self._read / self._size
            taken.append(text)
            # Before 3.11 the parser of Python stops at a NUL, in mid-row.
            yield text.replace("\0", "\ufffd")
            encoding = "utf-8" if encoding == "utf-8-sig" else encoding


def _said(error: csv.Error) -> str:
    text = str(error)
    if "unexpected end of data" in text:
        return "opens a quotation mark that is not closed"
    if "expected after" in text:
        return "has a quotation mark in a cell that is not doubled"
    if "new-line character" in text:
        return "has a carriage return outside of quotation marks"
    return text


def _cells(count: int) -> str:
    return "1 cell" if count == 1 else f"{count} cells"


def is_usable(encoding: str) -> bool:
    """Whether lines and their ends can be found before they are decoded."""
    try:
        return "\n,;".encode(encoding) == b"\n,;"
    except (LookupError, UnicodeError):
        return False


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
            raise TableError(f"{path}: {first_line(error)}") from None

    def rows(self) -> Iterator[Row]:
        number, total = 0, self._file.metadata.num_rows or 1
        for batch in self._batches():
            for cells in zip(*map(_values, batch.columns)):
                number += 1
                yield Row(number, list(cells), batch=batch)
            self.fraction = number / total
        self._bytes.seek(0)
        digest = hashlib.sha256()
        for piece in iter(functools.partial(self._bytes.read, 1 << 20), b""):
            digest.update(piece)
        self.digest = digest.hexdigest()

    def _batches(self) -> Iterator[Any]:
        try:
            yield from self._file.iter_batches(batch_size=ROWS_AT_ONCE)
        except Exception as error:  # pyarrow has many kinds
            raise TableError(f"{self.path}: {first_line(error)}") from None

    def close(self) -> None:
        self._file.close()
        self._bytes.close()


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
    except Exception:  # of one cell or of all
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
    """The text of a cell by way of Arrow, piece by piece."""
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
    return str(error).partition("\n")[0].rstrip(".")
