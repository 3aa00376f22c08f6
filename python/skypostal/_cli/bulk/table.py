"""Tables of customers: read row by row, and written again with what became of each row.

CSV by the standard library, Parquet by pyarrow. What is read may be larger than memory.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import datetime
import functools
import hashlib
import io
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any, NamedTuple

# What a report says of each row, before the row's own cells: one that has too many or too few of
# them is then as it was, and is refused again.
REPORTED = (
    "skypostal_status",
    "skypostal_delivery",
    "skypostal_attempts",
    "skypostal_error",
    "skypostal_message",
)
LONGEST_LINE = 1 << 20  # bytes
ROWS_AT_ONCE = 10_000  # of Parquet


class TableError(Exception):
    """The file as a whole cannot be read. The text is one line, and begins with where."""


class Row(NamedTuple):
    line: int
    """Where it begins, as an editor counts; of Parquet, which row it is."""
    cells: list[Any]
    """One for each column, unless there is a problem. Of CSV each is a str."""
    problem: str = ""
    """Why they cannot be told apart."""


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
        self.delimiter = delimiter or self._found_delimiter(known)
        self.columns = self._header(self.delimiter)
        self._file.seek(0)
        self.newline = "\r\n" if self._file.readline(LONGEST_LINE).endswith(b"\r\n") else "\n"

    def rows(self) -> Iterator[Row]:
        taken: list[str] = []  # the lines of the row at hand
        digest = hashlib.sha256()
        reader = csv.reader(self._lines(taken, digest), delimiter=self.delimiter, strict=True)
        next(reader)
        while True:
            taken.clear()
            line, problem = reader.line_num + 1, ""
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
                yield Row(line, ["".join(taken).rstrip("\r\n").replace("\0", "\ufffd")], problem)
            elif any(cells):
                if len(cells) != len(self.columns):
                    problem = f"has {_cells(len(cells))}, where the header has {len(self.columns)}"
                yield Row(line, cells, problem)
        self.digest = digest.hexdigest()

    def close(self) -> None:
        self._file.close()

    def _found_delimiter(self, known: Collection[str]) -> str:
        """The one by which most columns have a name that is looked for."""

        def recognised(delimiter: str) -> int:
            try:
                return len(set(self._header(delimiter)) & set(known))
            except TableError:
                return 0

        return max(",;\t|", key=recognised)

    def _header(self, delimiter: str) -> list[str]:
        lines = self._lines([], hashlib.sha256())
        try:
            return next(csv.reader(lines, delimiter=delimiter, strict=True))
        except StopIteration:
            raise TableError(f"{self.path}: is empty; its first line names the columns") from None
        except csv.Error as error:
            raise TableError(f"{self.path}:1: {_said(error)}") from None

    def _lines(self, taken: list[str], digest: Any) -> Iterator[str]:
        encoding = self.encoding
        self._file.seek(0)
        size = 0
        for number, line in enumerate(
            iter(functools.partial(self._file.readline, LONGEST_LINE), b""), 1
        ):
            digest.update(line)
            size += len(line)
            if len(line) == LONGEST_LINE:
                hint = "; its lines end with carriage returns alone" if b"\r" in line else ""
                raise TableError(f"{self.path}:{number}: is longer than 1 MiB{hint}")
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:
                byte = line[error.start]
                name = encoding.upper().replace("-SIG", "")
                raise TableError(
                    f"{self.path}:{number}: is not {name} (byte 0x{byte:02X}); save the file as"
                    " UTF-8, or say --encoding, such as cp1252 for Excel of Western Europe"
                ) from None
            self.fraction = size / self._size
            taken.append(text)
            yield text
            encoding = "utf-8" if encoding == "utf-8-sig" else encoding


def _said(error: csv.Error) -> str:
    text = str(error)
    if "field larger than" in text or "unexpected end of data" in text:
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
        except Exception as error:
            raise TableError(f"{path}: {_first_line(error)}") from None
        self.schema = self._file.schema_arrow
        self.columns = self.schema.names

    def rows(self) -> Iterator[Row]:
        number, total = 0, self._file.metadata.num_rows or 1
        try:
            for batch in self._file.iter_batches(batch_size=ROWS_AT_ONCE):
                for cells in zip(*map(_values, batch.columns)):
                    number += 1
                    yield Row(number, list(cells))
                self.fraction = number / total
        except (OSError, ValueError) as error:  # pyarrow's own errors are among them
            raise TableError(f"{self.path}: {_first_line(error)}") from None
        self._bytes.seek(0)
        digest = hashlib.sha256()
        for piece in iter(functools.partial(self._bytes.read, 1 << 20), b""):
            digest.update(piece)
        self.digest = digest.hexdigest()

    def close(self) -> None:
        self._file.close()
        self._bytes.close()


def import_parquet(path: str) -> Any:
    try:
        return import_module("pyarrow.parquet")
    except ImportError:
        problem = f"{path}: Parquet needs pyarrow: pip install 'skypostal[parquet]'"
        raise TableError(problem) from None


def _values(column: Any) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
        return values
    except ValueError:  # such as nanoseconds, which Python's own times have no room for
        return list(column)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")


class Report:
    """The rows of a table again, each behind what became of it.

    Written beside its place, and moved there when it is whole and on the disk; nobody else may read
    it. Of CSV it is written as the table was: encoding, delimiter, ends of lines.
    """

    def __init__(self, path: str, table: Table) -> None:
        self.path, self._part = path, f"{path}.part"
        self._width = len(table.columns)
        self._left = [at for at, name in enumerate(table.columns) if name not in REPORTED]
        names = [*REPORTED, *(table.columns[at] for at in self._left)]
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        self._file = open(os.open(self._part, flags, 0o600), "wb")  # noqa: SIM115
        try:
            os.fchmod(self._file.fileno(), 0o600)
            kind = _ParquetWriter if path.endswith(".parquet") else _CsvWriter
            self._writer: Any = kind(self._file, table, names)
        except BaseException:
            self.discard()
            raise

    def write(self, reported: Sequence[Any], row: Row, blank: Collection[int] = ()) -> None:
        """blank: the columns whose cells are left empty."""
        cells = row.cells
        if len(cells) > 1:
            kept = [None if at in blank else cells[at] for at in self._left if at < len(cells)]
            cells = kept + cells[self._width :]
        self._writer.write(reported, cells, bool(row.problem))

    def finish(self) -> None:
        """Puts it in its place."""
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self.path)
        sync_folder(self.path)

    def discard(self) -> None:
        """Leaves nothing behind."""
        # What is left in the buffers may not fit on the disk.
        with contextlib.suppress(Exception):
            self._writer.abandon()
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._part)


class _CsvWriter:
    def __init__(self, file: Any, table: Table, names: list[str]) -> None:
        encoding = getattr(table, "encoding", "utf-8")
        # Of the service's words, what the encoding lacks is escaped.
        self._text = io.TextIOWrapper(file, encoding, errors="backslashreplace", newline="")
        self._csv = csv.writer(
            self._text,
            delimiter=getattr(table, "delimiter", ","),
            lineterminator=getattr(table, "newline", "\n"),
        )
        self._csv.writerow(names)

    def write(self, reported: Sequence[Any], cells: list[Any], _: bool) -> None:
        self._csv.writerow([*reported, *map(_text, cells)])

    def close(self) -> None:
        self._text.detach()

    abandon = close


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Decimal):
        return format(cell, "f")
    if isinstance(cell, datetime.date):
        return cell.isoformat()
    if hasattr(cell, "as_py"):  # what Python has no room for: see _values
        return str(cell.cast("string"))
    return str(cell)


class _ParquetWriter:
    def __init__(self, file: Any, table: Table, names: list[str]) -> None:
        parquet, pyarrow = import_parquet(table.path), import_module("pyarrow")
        self._pyarrow, self._path = pyarrow, table.path
        types = {name: pyarrow.string() for name in names}
        types["skypostal_attempts"] = pyarrow.int32()
        if isinstance(table, ParquetTable):
            types.update((field.name, field.type) for field in table.schema)
        self._schema = pyarrow.schema([(name, types[name]) for name in names])
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._rows: list[list[Any]] = []

    def write(self, reported: Sequence[Any], cells: list[Any], is_odd: bool) -> None:
        status, delivery, attempts, *rest = reported
        if isinstance(attempts, str):  # as a report in CSV has it
            attempts = int(attempts) if re.fullmatch("[0-9]{1,9}", attempts) else None
        width = len(self._schema) - len(reported)
        # Cells that belong to no column are left out, so that the row stays refused.
        known = [status, delivery, attempts, *rest]
        self._rows.append([*known, *([None] * width if is_odd else cells)])
        if len(self._rows) == ROWS_AT_ONCE:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        self._writer.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        try:
            arrays = [
                self._pyarrow.array(values, type=field.type)
                for values, field in zip(zip(*self._rows), self._schema)
            ]
            self._writer.write_table(self._pyarrow.table(arrays, schema=self._schema))
        except (ValueError, TypeError, NotImplementedError) as error:
            problem = f"cannot be written as Parquet: {_first_line(error)}"
            raise TableError(f"{self._path}: {problem}; give a report that is CSV") from None
        self._rows.clear()


def sync_folder(path: str) -> None:
    """Has it on the disk that there is a file of this name, or none."""
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
