"""Reports: the rows of a table again, each with its outcome."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import os
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from ..._fields import FIELDS
from .disk import NO_FOLLOW, sync, sync_folder
from .table import (
    MAX_REPORT_ROW_BYTES,
    PARQUET_BATCH_ROWS,
    REPORTED,
    ParquetTable,
    Row,
    Table,
    TableError,
    Unreadable,
    first_line,
    has_parquet_name,
    import_parquet,
    is_whole,
)

# They replace what a text file cannot hold. A field with a control character is refused again, so
# that a bad cell is still bad when the report is given as the table. The second one also follows a
# bad cell whose text would be good.
_MARK, _MARK_OF_FIELD = "\ufffd", "\x7f"
# The types of cells, beside text, that a field of each type takes.
_TAKEN = {"integer": (int,), "number": (int, Decimal), "day": (datetime.date,)}
_UNSOUND = re.compile("[\0\ud800-\udfff]")


def part_of(path: str) -> str:
    """Returns the path of a report that is not complete yet."""
    return f"{path}.part"


class Report:
    """The rows of a table again, each after its outcome.

    It is written to another path, and moved when it is complete and on the disk. Only its owner may
    read it. A report of CSV has the encoding, the delimiter and the line ends of the table.
    """

    def __init__(self, path: str, table: Table, fields: Mapping[str, int]) -> None:
        self.path, self._part = path, part_of(path)
        self._file = self._open()
        try:
            self._writer = writer(path, self._file, table, fields)
        except BaseException:
            self.discard()
            raise

    def _open(self) -> Any:
        # Not chmod, which some file systems lack: the file is new, and private from the start.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._part)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW
        return open(os.open(self._part, flags, 0o600), "wb")

    def write(self, reported: Sequence[Any], row: Row, blank: Collection[int] = ()) -> None:
        """Writes a row; the cells of the columns `blank` are left empty."""
        self._writer.write(reported, row, blank)

    def finish(self) -> None:
        """Completes the report, and moves it to its path."""
        self._writer.close()
        self._file.flush()
        sync(self._file.fileno())
        self._file.close()
        os.replace(self._part, self.path)
        sync_folder(self.path)

    def discard(self) -> None:
        """Removes what was written."""
        # The rest of the buffers may not fit on the disk.
        with contextlib.suppress(Exception):
            self._writer.abandon()
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.unlink(self._part)


class Rehearsal:
    """A report that is written to nowhere, to find out whether it can be written."""

    def __init__(self, path: str, table: Table, fields: Mapping[str, int]) -> None:
        self._writer = writer(path, io.BufferedWriter(_Nowhere()), table, fields)

    def write(self, row: Row) -> None:
        self._writer.write(("", "", None, "", ""), row, ())

    def close(self) -> None:
        self._writer.close()


class _Nowhere(io.RawIOBase):
    _size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size


def writer(path: str, file: Any, table: Table, fields: Mapping[str, int]) -> Any:
    """Returns the writer for the format of `path`; `fields` has the column of each field."""
    if has_parquet_name(path):
        return _ParquetWriter(file, table, fields)
    return _CsvWriter(file, table, fields)


class _Writer:
    def __init__(self, table: Table, fields: Mapping[str, int]) -> None:
        self.table = table
        self.left = [at for at, name in enumerate(table.columns) if name not in REPORTED]
        self.names = [*REPORTED, *(table.columns[at] for at in self.left)]
        self._types: list[str] = [""] * len(table.columns)
        """The type of the field in each column; empty for a column that is no field."""
        for name, at in fields.items():
            self._types[at] = FIELDS[name].type

    def texts(self, row: Row, blank: Collection[int]) -> list[str]:
        """Returns the cells of the row, and after them those of no column."""
        if row.loose and row.problem:
            return [_text(cell, _MARK) for cell in row.cells]
        cells = row.cells
        own = [
            "" if at in blank else _text_of_column(cells[at], self._types[at])
            for at in self.left
            if at < len(cells)
        ]
        return own + [_text(cell, _MARK) for cell in cells[len(self._types) :]]


class _CsvWriter(_Writer):
    def __init__(self, file: Any, table: Table, fields: Mapping[str, int]) -> None:
        super().__init__(table, fields)
        encoding = getattr(table, "encoding", "utf-8")
        self._newline = getattr(table, "newline", "\n")
        # Characters of the service's words that the encoding lacks are escaped.
        self._text = io.TextIOWrapper(file, encoding, errors="backslashreplace", newline="")
        # Python before 3.11.9 puts a cell with a carriage return into quotation marks only if
        # lines end with one.
        self._csv = csv.writer(
            SimpleNamespace(write=self._write_line),
            delimiter=getattr(table, "delimiter", ","),
            lineterminator="\r\n",
        )
        self._csv.writerow(_text(name, _MARK) for name in self.names)

    def write(self, reported: Sequence[Any], row: Row, blank: Collection[int]) -> None:
        self._line = row.line
        self._csv.writerow([*reported, *self.texts(row, blank)])

    def _write_line(self, line: str) -> None:
        if len(line) > MAX_REPORT_ROW_BYTES // 4:  # a character has up to four bytes
            place = f"{self.table.path}:{self.table.place} {self._line}"
            raise TableError(f"{place}: is too long for CSV; give a report that is .parquet")
        self._text.write(line[:-2] + self._newline)

    def close(self) -> None:
        self._text.detach()

    abandon = close


def _text_of_column(cell: Any, type: str) -> str:
    if not type:
        return _text(cell, _MARK)
    if type == "integer" and is_whole(cell):
        return str(int(cell))  # a text must have no fraction
    text = _text(cell, _MARK_OF_FIELD)
    if _is_taken(cell, type) or _MARK_OF_FIELD in text:
        return text
    return text + _MARK_OF_FIELD


def _is_taken(cell: Any, type: str) -> bool:
    """Returns whether a field of this type takes such a cell, and its text as well."""
    if isinstance(cell, (bool, datetime.datetime)):  # which are an int and a date, too
        return False
    return cell is None or isinstance(cell, (str, *_TAKEN.get(type, ())))


def _text(cell: Any, mark: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Unreadable):
        return _UNSOUND.sub(mark, cell.text.replace(_MARK, mark))
    if isinstance(cell, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            if (text := cell.decode()).isprintable():
                return text
        return str(cell) if mark == _MARK else cell.decode("utf-8", "replace").replace(_MARK, mark)
    if isinstance(cell, Decimal):
        return format(cell, "f")
    if isinstance(cell, datetime.date):
        return cell.isoformat()
    return _UNSOUND.sub(mark, str(cell))


class _ParquetWriter(_Writer):
    def __init__(self, file: Any, table: Table, fields: Mapping[str, int]) -> None:
        super().__init__(table, fields)
        parquet, self._pyarrow = import_parquet(table.path), import_module("pyarrow")
        types = {name: self._pyarrow.string() for name in self.names}
        types["skypostal_attempts"] = self._pyarrow.int32()
        if isinstance(table, ParquetTable):
            types.update((field.name, field.type) for field in table.schema
                         if field.name not in REPORTED)  # fmt: skip
        self._schema = self._pyarrow.schema([(name, types[name]) for name in self.names])
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._reported: list[Sequence[Any]] = []
        self._rows: list[tuple[Row, Collection[int]]] = []

    def write(self, reported: Sequence[Any], row: Row, blank: Collection[int]) -> None:
        # The batches of a table come whole and in order.
        if self._rows and (
            len(self._rows) == PARQUET_BATCH_ROWS or row.batch is not self._rows[-1][0].batch
        ):
            self._flush()
        self._reported.append(reported)
        self._rows.append((row, blank))

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def abandon(self) -> None:
        self._writer.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        try:
            columns = list(zip(*self._reported))
            columns += self._own_columns()
            arrays = [
                column
                if isinstance(column, self._pyarrow.Array)
                else self._pyarrow.array(column, type=field.type)
                for column, field in zip(columns, self._schema)
            ]
            self._writer.write_table(self._pyarrow.table(arrays, schema=self._schema))
        except (ValueError, TypeError, NotImplementedError) as error:
            problem = f"cannot be written as Parquet: {first_line(error)}"
            raise TableError(f"{self.table.path}: {problem}; give a report that is CSV") from None
        self._reported.clear()
        self._rows.clear()

    def _own_columns(self) -> list[Any]:
        batch = self._rows[0][0].batch
        if batch is not None:
            # Unchanged, because a conversion to Python would lose some values.
            return [self._blanked(batch.column(at), at) for at in self.left]
        return list(zip(*(self._own_texts(row, blank) for row, blank in self._rows)))

    def _own_texts(self, row: Row, blank: Collection[int]) -> Sequence[str | None]:
        texts, width = self.texts(row, blank), len(self.left)
        if not row.problem:
            return texts[:width]
        # All of it in one cell, so that the row is refused again.
        return [getattr(self.table, "delimiter", ",").join(texts), *[None] * (width - 1)]

    def _blanked(self, column: Any, at: int) -> Any:
        is_blank = [at in blank for _, blank in self._rows]
        if not any(is_blank):
            return column
        cells = [None if blank else cell for blank, cell in zip(is_blank, column)]
        return self._pyarrow.array(cells, type=column.type)
