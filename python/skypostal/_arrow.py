"""Tables of customers: Arrow in and Arrow out, by pyarrow or by polars.

The first call with a table imports one of them. A class for each has what differs between them.
"""

from __future__ import annotations

import datetime
import sys
from decimal import Decimal
from importlib import import_module

from ._columns import squeezed
from ._convert import plain_decimal
from ._fields import FIELDS, REQUIRED, SECRETS
from ._native import _unknown_field
from .errors import SkyPostalError, ValidationError

# Importing typing would take longer than importing all the rest of this package.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ._native import Client, Outcome

_TAX, _BIRTH = "customer_tax_number", "customer_birth_date"

# For each type of field: the type to cast a wrong column to, and the kinds that it takes.
_COLUMNS = {
    "integer": ("int64", "integer"),
    "text": ("string", "text"),
    "number": ("string", "text", "integer", "decimal"),
    "day": ("date32", "text", "date"),
    "gender": ("string", "text"),
}

_RECORD = {
    "cust_id": "int64",
    "customer_first_name": "string",
    "customer_last_name": "string",
    "customer_identity_number": "string",
    _TAX: "string",  # as a number it would lose digits, or gain some
    _BIRTH: "date",
    "customer_gender": "string",
}
_REPORT = {
    "customer_box_id": "int64",
    "ok": "bool",
    "delivery": "string",
    "attempts": "int32",
    "error": "string",
    "message": "string",
    **_RECORD,
}

# The index of a pandas data frame, which has no name.
_NAMELESS = "__index_level_"
_FIRST_DAY = datetime.date(1970, 1, 1)
_ROWS_AT_ONCE = 1000


def update_batch_schema() -> Any:
    return _library(None).schema(_REPORT)


def update_batch(client: Client, batch: Any, keep: Any, options: tuple[Any, ...]) -> Any:
    concurrency, rate, timeout, max_connect_failures, skip_empty = options
    if not hasattr(batch, "__arrow_c_stream__") and not hasattr(batch, "__arrow_c_array__"):
        raise TypeError(
            f"update_batch() takes a table with the Arrow PyCapsule interface, such as a"
            f" pyarrow.RecordBatch or a data frame of polars or pandas, not {type(batch).__name__}"
        )
    table = _library(batch)
    table.read(batch)
    columns = table.columns()
    kept = _check_kept(keep, [name for name, _, _ in columns])
    sent = _check_columns(client, [column for column in columns if column[0] not in kept])

    pulled = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal pulled
        for pulled, row in enumerate(table.rows(sent), 1):  # noqa: B007
            if isinstance(row.get(_BIRTH), int):
                row[_BIRTH] = _day(row[_BIRTH])
            yield row

    ended: dict[int, Outcome] = {}
    outcomes = client.update_many(
        rows(),
        concurrency=concurrency,
        rate=rate,
        timeout=timeout,
        max_connect_failures=max_connect_failures,
        skip_empty=skip_empty,
    )
    try:
        for outcome in outcomes:
            ended[outcome.index] = outcome
    except SkyPostalError as error:
        # The service cannot be reached: the rows that were not tried get this error.
        report = _report(table.boxes(), ended, error)
    except BaseException as interrupt:
        for outcome in [*getattr(interrupt, "outcomes", ()), *outcomes.close()]:
            ended[outcome.index] = outcome
        report = _report(table.boxes(), ended, interrupt, pulled)
        vars(interrupt)["report"] = table.write(kept, report)
        raise
    else:
        report = _report(table.boxes(), ended)
    return table.write(kept, report)


def _check_kept(keep: Any, names: list[str]) -> list[str]:
    kept = list(dict.fromkeys([keep] if isinstance(keep, str) else keep or ()))
    for name in kept:
        if name in SECRETS:
            raise ValueError(f"keep: {name} is secret, and not for the report")
        if name in FIELDS or name in _REPORT:
            raise ValueError(f"keep: {name} is a field, or a column that the report has anyway")
        if name not in names:
            raise ValueError(f"keep: the table has no column {name!r}")
        if names.count(name) > 1:
            raise ValueError(f"keep: the table has more than one column {name!r}")
        for field in FIELDS:
            if squeezed(name) == squeezed(field):  # a field that is not sent, or a key
                raise ValueError(f"keep: {name!r} looks like {field}; give the column that name")
    return kept


def _check_columns(client: Client, columns: list[tuple[str, str, str]]) -> list[str]:
    """Returns the columns to send. Raises for a bad one, before anything is sent."""
    names = [name for name, _, _ in columns]
    for name in names:
        if names.count(name) > 1:
            raise ValidationError(f"{name}: stands above more than one column", field=name)
    for name in REQUIRED:
        if name not in names:
            raise ValidationError(f"{name}: is required; the table has no such column", field=name)
    # A missing credential is one error, and not the failure of each row.
    given: Any = {"user_code": 1, "app_key": "given"}
    given = {name: value for name, value in given.items() if name in names}
    for missing in client.validate(customer_box_id=1, customer_key="given", **given):
        raise missing
    sent = []
    for name, kind, shown in columns:
        if name.startswith(_NAMELESS):
            continue
        if name not in FIELDS:
            problem = _unknown_field(name).message
            raise ValidationError(
                f"{problem} (leave out any other column, or give it as keep)", field=name
            )
        cast, *kinds = _COLUMNS[FIELDS[name].type]
        if kind not in (*kinds, "null"):
            why = ", as it may have lost digits" if kind == "float" else ""
            raise ValidationError(
                f"{name}: is a column of {shown}; cast it to {cast}{why}", field=name
            )
        sent.append(name)
    return sent


def _report(
    boxes: Iterable[int | None],
    ended: dict[int, Outcome],
    stop: BaseException | None = None,
    pulled: int = 0,
) -> dict[str, list[Any]]:
    """Returns the report's columns. Of the rows without an outcome, only those that were pulled may
    have been sent."""
    report: dict[str, list[Any]] = {name: [] for name in _REPORT}
    for index, box in enumerate(boxes):
        row: dict[str, Any] = {"customer_box_id": box}
        outcome = ended.get(index)
        if outcome is None:
            error = stop
            row.update(attempts=0, delivery="unknown" if index < pulled else "not_sent")
        else:
            error = outcome.error
            row.update(attempts=outcome.attempts, delivery=outcome.delivery)
            if outcome.result is not None:
                row.update(outcome.result.to_dict())
                row[_TAX] = _digits(row[_TAX])
        row["ok"] = error is None
        if error is not None:
            row.update(
                error=getattr(error, "kind", "cancelled"), message=str(error) or "interrupted"
            )
        for name, values in report.items():
            values.append(row.get(name))
    return report


def _day(days: int) -> datetime.date | str:
    """Returns the day so long after 1970, or a text that the core refuses: Arrow has more days than
    Python."""
    try:
        return _FIRST_DAY + datetime.timedelta(days)
    except OverflowError:
        return f"{days} days"


def _digits(number: int | Decimal | None) -> str | None:
    if isinstance(number, Decimal):
        return plain_decimal(number)
    return None if number is None else str(number)


def _library(batch: Any) -> Any:
    """Returns the library that reads and writes: polars for its own data frames, else pyarrow if it
    is installed."""
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(batch, polars.DataFrame):
        return _Polars()
    for library in (_PyArrow, _Polars):
        try:
            return library()
        except ModuleNotFoundError as error:
            missing = error
    raise ModuleNotFoundError(
        "Arrow tables need: pip install 'skypostal[pyarrow]', or 'skypostal[polars]'",
        name=missing.name,
    ) from missing


def _unreadable(error: Exception, how: str) -> ValueError:
    # Such a text may hold a value, and so a key.
    return ValueError(
        f"the table cannot be read ({type(error).__name__}); {how} of it alone says why"
    )


class _PyArrow:
    def __init__(self) -> None:
        self.arrow: Any = import_module("pyarrow")

    def schema(self, types: dict[str, str]) -> Any:
        arrow = self.arrow
        known = {"bool": arrow.bool_(), "date": arrow.date32(), "string": arrow.string()}
        known.update(int32=arrow.int32(), int64=arrow.int64())
        return arrow.schema([(name, known[kind]) for name, kind in types.items()])

    def read(self, batch: Any) -> None:
        self.was_table = isinstance(batch, self.arrow.Table)
        try:
            self.table = self.arrow.table(batch)
            # Validates all but UTF-8: a row whose text is not UTF-8 fails alone.
            self._in_bytes(self.table).validate(full=True)
        except (self.arrow.ArrowException, TypeError) as error:
            raise _unreadable(error, "pyarrow.table()") from None

    def _in_bytes(self, table: Any) -> Any:
        """Returns the table with bytes in place of each text, without a copy."""
        types, arrow = self.arrow.types, self.arrow
        for at, field in enumerate(table.schema):
            kind = field.type.value_type if types.is_dictionary(field.type) else field.type
            for is_text, binary in (
                (types.is_string, arrow.binary()),
                (types.is_large_string, arrow.large_binary()),
                (types.is_string_view, arrow.binary_view()),
            ):
                if is_text(kind) and kind is field.type:
                    table = table.set_column(at, field.name, table[at].cast(binary))
                elif is_text(kind):
                    chunks = [
                        arrow.DictionaryArray.from_arrays(
                            chunk.indices, chunk.dictionary.cast(binary), safe=False
                        )
                        for chunk in table[at].chunks
                    ]
                    column = arrow.chunked_array(
                        chunks, arrow.dictionary(field.type.index_type, binary)
                    )
                    table = table.set_column(at, field.name, column)
        return table

    def columns(self) -> list[tuple[str, str, str]]:
        return [
            (
                field.name,
                "null" if column.null_count == len(column) > 0 else self._kind(field.type),
                str(field.type),
            )
            for field, column in zip(self.table.schema, self.table.columns)
        ]

    def _kind(self, kind: Any) -> str:
        types = self.arrow.types
        if types.is_dictionary(kind):
            kind = kind.value_type
        for name, tests in {
            "text": (types.is_string, types.is_large_string, types.is_string_view),
            "integer": (types.is_integer,),
            "decimal": (types.is_decimal,),
            "date": (types.is_date32,),
            "float": (types.is_floating,),
            "null": (types.is_null,),
        }.items():
            if any(test(kind) for test in tests):
                return name
        return "other"

    def rows(self, names: list[str]) -> Iterator[dict[str, Any]]:
        columns = self.table.select(names)
        for at, field in enumerate(columns.schema):
            if self._kind(field.type) == "date":
                days = columns[at].cast(self.arrow.int32())
                columns = columns.set_column(at, field.name, days)
        for start in range(0, len(columns), _ROWS_AT_ONCE):
            block = columns.slice(start, _ROWS_AT_ONCE)
            try:
                rows = block.to_pylist()
            except UnicodeDecodeError:
                rows = self._in_bytes(block).to_pylist()
                for row in rows:
                    row.update((name, _text(cell)) for name, cell in row.items())
            yield from rows

    def boxes(self) -> list[int | None]:
        return _in_64_bits(self.table["customer_box_id"].to_pylist())

    def write(self, kept: list[str], report: dict[str, list[Any]]) -> Any:
        schema = self.schema(_REPORT)
        columns = [self.table[name] for name in kept]
        columns += [self.arrow.array(report[field.name], field.type) for field in schema]
        fields = [*(self.table.schema.field(name) for name in kept), *schema]
        whole = self.arrow.table(columns, schema=self.arrow.schema(fields))
        if self.was_table:
            return whole
        whole = whole.unify_dictionaries().combine_chunks()
        arrays = [column.combine_chunks() for column in whole.columns]
        return self.arrow.RecordBatch.from_arrays(arrays, schema=whole.schema)


class _Polars:
    def __init__(self) -> None:
        self.polars: Any = import_module("polars")

    def schema(self, types: dict[str, str]) -> Any:
        polars = self.polars
        known = {"bool": polars.Boolean, "date": polars.Date, "string": polars.String}
        known.update(int32=polars.Int32, int64=polars.Int64)
        return polars.Schema({name: known[kind] for name, kind in types.items()})

    def read(self, batch: Any) -> None:
        try:
            self.table = self.polars.DataFrame(batch)
        except Exception as error:
            raise _unreadable(error, "polars.DataFrame()") from None

    def columns(self) -> list[tuple[str, str, str]]:
        return [
            (
                column.name,
                "null" if column.null_count() == len(column) > 0 else self._kind(column.dtype),
                str(column.dtype),
            )
            for column in self.table
        ]

    def _kind(self, kind: Any) -> str:
        polars = self.polars
        if kind.is_integer():
            return "integer"
        if kind.is_float():
            return "float"
        if kind.is_decimal():
            return "decimal"
        if kind in (polars.String, polars.Categorical, polars.Enum):
            return "text"
        return {polars.Date: "date", polars.Null: "null"}.get(kind, "other")

    def rows(self, names: list[str]) -> Iterator[dict[str, Any]]:
        columns = self.table.select(names)
        if columns.schema.get(_BIRTH) == self.polars.Date:
            columns = columns.with_columns(self.polars.col(_BIRTH).cast(self.polars.Int32))
        rows: Iterator[dict[str, Any]] = columns.iter_rows(named=True)
        return rows

    def boxes(self) -> list[int | None]:
        return _in_64_bits(self.table["customer_box_id"].to_list())

    def write(self, kept: list[str], report: dict[str, list[Any]]) -> Any:
        schema = self.schema(_REPORT)
        columns = [self.table[name] for name in kept]
        columns += [self.polars.Series(name, report[name], kind) for name, kind in schema.items()]
        return self.polars.DataFrame(columns)


def _text(cell: Any) -> Any:
    """Returns the text of bytes, or the bytes if they are no UTF-8: the core refuses them."""
    if not isinstance(cell, bytes):
        return cell
    try:
        return cell.decode()
    except UnicodeDecodeError:
        return cell


def _in_64_bits(boxes: list[int | None]) -> list[int | None]:
    """Returns the numbers that fit the report's column, and None for a larger one."""
    return [box if box is not None and abs(box) < 2**63 else None for box in boxes]
