"""Cells of every type, zone and encoding: none stops a run, and none makes another row bad."""

from __future__ import annotations

import csv
import datetime
import io
import os
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from bulk_command import (
    HEADER,
    Bulk,
    assert_ended,
    key_of,
    names,
    read_report,
    rows_of,
    sent,
    statuses,
    write,
)
from command_line import run
from pyarrow import parquet

from skypostal.sandbox import Sandbox

UTC = datetime.timezone.utc
FIRST_INSTANT = datetime.datetime(1, 1, 1, tzinfo=UTC)
LAST_INSTANT = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def as_text(cells: list[bytes | None], kind: pa.DataType | None = None) -> pa.Array:
    """A column of text, whatever the bytes are: some writers do not look."""
    kind = kind or pa.string()
    binary = pa.large_binary() if pa.types.is_large_string(kind) else pa.binary()
    return pa.Array.from_buffers(kind, len(cells), pa.array(cells, binary).buffers())


LATIN_1 = as_text([b"R\xc9UNION", b"PERU", None])
DAYS = pa.array([-719164, 2**31 - 1, -(2**31)], pa.int32()).cast(pa.date32())

# Columns of three cells, and what a report in CSV has for the first of them.
CARRIED: dict[str, tuple[pa.Array, str]] = {
    "text that is not UTF-8": (LATIN_1, "R\ufffdUNION"),
    "large text": (as_text([b"R\xc9", b"P", None], pa.large_string()), "R\ufffd"),
    "dictionary": (LATIN_1.dictionary_encode(), "R\ufffdUNION"),
    "list": (pa.ListArray.from_arrays([0, 2, 2, 3], LATIN_1), "[R\ufffdUNION, PERU]"),
    "struct": (
        pa.StructArray.from_arrays([LATIN_1, DAYS], ["a", "b"]), "{R\ufffdUNION, 0000-12-30}"),
    "struct with a name twice": (
        pa.StructArray.from_arrays([DAYS, DAYS], ["a", "a"]), "{0000-12-30, 0000-12-30}"),
    "map": (
        pa.MapArray.from_arrays([0, 1, 2, 3], pa.array(["k"] * 3), LATIN_1),
        "[{k, R\ufffdUNION}]"),
    "day before year 1": (DAYS, "0000-12-30"),
    "New York before year 1": (
        pa.array([FIRST_INSTANT, None, None], pa.timestamp("us", tz="America/New_York")),
        "0001-01-01 00:00:00.000000Z"),
    "Tokyo after year 9999": (
        pa.array([LAST_INSTANT, None, None], pa.timestamp("ms", tz="Asia/Tokyo")),
        "9999-12-31 23:59:59.000Z"),
    "no such zone": (
        pa.array([1, 2, None], pa.timestamp("us", tz="Mars/Olympus")),
        "1970-01-01 00:00:00.000001Z"),
    "zone by offset": (
        pa.array([0, 1, None], pa.timestamp("s", tz="+05:30")), "1970-01-01T05:30:00+05:30"),
    "instant out of range": (
        pa.array([2**62, -(2**62), None], pa.timestamp("ms")),
        "<value out of range: 4611686018427387904>"),
    "nanoseconds at their end": (
        pa.array([2**63 - 1, 1, None], pa.timestamp("ns", tz="Asia/Tokyo")),
        "2262-04-11 23:47:16.854775807Z"),
    "duration": (pa.array([2**62, 1, None], pa.duration("ms")), "4611686018427387904"),
    "decimal": (pa.array([Decimal(10) ** 75, None, Decimal(1)], pa.decimal256(76)), "1" + "0" * 75),
    "unsigned": (pa.array([2**64 - 1, 1, None], pa.uint64()), str(2**64 - 1)),
    "float": (pa.array([float("nan"), float("inf"), None]), "nan"),
    "binary": (pa.array([b"\xff\0", b"Ana", None]), r"b'\xff\x00'"),
    "NUL": (pa.array(["a\0b", "", None]), "a\ufffdb"),
    "line ends": (pa.array(["a\r\nb\rc\nd", "\u2028\x85\v\f", '"']), "a\r\nb\rc\nd"),
    "null": (pa.nulls(3), ""),
    "bool": (pa.array([True, False, None]), "True"),
}  # fmt: skip


def customers(**columns: Any) -> pa.Table:
    """Three of them, good but for the columns that are given."""
    good = {
        "customer_box_id": [1, 2, 3],
        "customer_key": [key_of(1), key_of(2), key_of(3)],
        "customer_first_name": ["A", "B", "C"],
    }
    return pa.table({**good, **columns})


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_any_cell_of_parquet_is_carried(bulk: Bulk, sandbox: Sandbox, kind: str) -> None:
    bulk.table, bulk.out = bulk.folder / "c.parquet", bulk.folder / f"report.{kind}"
    columns = {name: column for name, (column, _) in CARRIED.items()}
    texts = {name: text for name, (_, text) in CARRIED.items()}
    parquet.write_table(customers(**columns), bulk.table)
    assert bulk.check().returncode == 0
    sandbox.fail_next(status=500, applied=True)
    assert bulk("--concurrency", "1", "--max-retries", "0").returncode == 5
    assert sent(sandbox) == [1, 2, 3]
    if kind == "csv":
        first = read_report(bulk.out)[0]
        assert {name: first[name] for name in texts} == texts
    else:
        report, before = parquet.read_table(bulk.out), parquet.read_table(bulk.table)
        assert {name: report[name].type for name in columns} == {
            name: before[name].type for name in columns
        }
        assert [name for name in columns if not report[name].equals(before[name])] == ["float"]
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    assert bulk().returncode == 0 and sent(sandbox)[3:] == [1]
    second = read_report(bulk.out)
    assert [row["skypostal_status"] for row in second] == ["updated"] * 3
    assert {name: second[0][name] for name in texts} == texts


UNUSABLE: dict[str, tuple[str, pa.Array, str]] = {
    "not UTF-8": ("customer_first_name", as_text([b"Jos\xe9", b"Bob", b"Leo"]),
                  "is not UTF-8 (byte 0xE9); correct it"),
    "key not UTF-8": ("customer_key", as_text([b"k\xe9", b"the-key-of-2", b"the-key-of-3"]),
                      "is not UTF-8 (byte 0xE9)"),
    "dictionary": ("customer_first_name",
                   as_text([b"Jos\xe9", b"Bob", b"Leo"]).dictionary_encode(), "is not UTF-8"),
    "NUL": ("customer_first_name", pa.array(["a\0b", "Bob", "Leo"]), "has a control character"),
    "day": ("customer_birth_date", pa.array([-719164, 3518, None], pa.int32()).cast(pa.date32()),
            "is a date32[day] that Python has no value for"),
    "box": ("customer_box_id", pa.array([2**64 - 1, 2, 3], pa.uint64()), ""),
    "zero": ("customer_box_id", pa.array([0, 2, 3]), "must be a positive integer"),
    "tax number": ("customer_tax_number",
                   pa.array([Decimal(10) ** 70, Decimal(2), None], pa.decimal256(76)),
                   "must be digits with an optional fraction"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", UNUSABLE)
def test_a_cell_that_is_a_field_makes_its_own_row_bad(
    bulk: Bulk, sandbox: Sandbox, name: str, kind: str
) -> None:
    field, column, problem = UNUSABLE[name]
    bulk.table, bulk.out = bulk.folder / "c.parquet", bulk.folder / f"report.{kind}"
    parquet.write_table(customers(**{field: column}), bulk.table)
    done = bulk.check()
    assert_ended(done, 2, f"{bulk.table}:row 1: {field}: {problem}")
    assert done.stderr.count("\n") == 1
    assert bulk("--skip-bad").returncode == 3 and sorted(sent(sandbox)) == [2, 3]
    # Nothing that is bad becomes good by way of a report.
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    assert bulk("--skip-bad").returncode == 3 and statuses(bulk.out) == [
        "bad",
        "updated",
        "updated",
    ]
    assert sorted(sent(sandbox)) == [2, 3]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([b"\xff", b"B", None]),
        pa.array([["a"], [], None]),
        pa.array([{"a": 1}, {"a": 2}, None]),
        pa.array([float("nan"), 1.0, None]),
        pa.array([True, False, None]),
        pa.array([1, 2, None], pa.timestamp("ns", tz="Mars/Olympus")),
        pa.array([1, 2, None], pa.duration("s")),
        DAYS,
    ],
    ids=lambda column: str(column.type),
)
def test_a_column_of_another_type_is_told_row_by_row(bulk: Bulk, column: pa.Array) -> None:
    bulk.table = bulk.folder / "c.parquet"
    fields = ["customer_box_id", "customer_key", "customer_first_name", "customer_tax_number",
              "customer_birth_date"]  # fmt: skip
    parquet.write_table(customers(**dict.fromkeys(fields, column)), bulk.table)
    for kind in ("csv", "parquet"):
        done = bulk.check("--out", str(bulk.folder / f"report.{kind}"))
        assert_ended(done, 2, *[f"{bulk.table}:row 1: {field}: " for field in fields])


CELLS = [
    "one\rtwo", "\r", "one\ntwo", "one\r\ntwo\r\n", '"', '""', ',;\t|"\r\n', " ", "\u2028\u2029",
    "\x85", "\v\f\x1c\x1d\x1e", "\ufeff", "\u200b", "\x1a", "\\", "'", "=1+1", "ñ☃😀",
    "x" * 100_000, "\ufffd\uffff",
]  # fmt: skip


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_cell_of_csv_comes_back_as_it_was(
    bulk: Bulk, sandbox: Sandbox, delimiter: str, newline: str
) -> None:
    """Before 3.11.9 and 3.12.3 the csv module leaves a lone carriage return without quotes."""
    boxes = range(1, len(CELLS) + 1)
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL)
    writer.writerow([*HEADER, "note"])
    writer.writerows([*row, cell] for row, cell in zip(rows_of(boxes), CELLS))
    bulk.table.write_bytes(text.getvalue().encode())
    sandbox.fail_next(status=500, times=10)
    assert bulk("--max-retries", "0").returncode == 5
    for out in ("second.csv", "third.csv"):
        report = read_report(bulk.out, delimiter=delimiter)
        assert [row["note"] for row in report] == CELLS
        assert [row["customer_first_name"] for row in report] == [f"Ana {box}" for box in boxes]
        bulk.table, bulk.out = bulk.out, bulk.folder / out
        assert bulk().returncode == 0
    assert len(sandbox.requests) == len(CELLS) + 10


def test_a_nul_does_not_tear_a_row(bulk: Bulk, sandbox: Sandbox) -> None:
    """Before 3.11 the csv module stops at a NUL, and would take the rest of a cell for rows."""
    bulk.table.write_text(
        f'{",".join(HEADER)}\n1,k,"A\0\n2,{key_of(2)},Eva\n"\n3,{key_of(3)},Leo\n'
    )
    done = bulk("--skip-bad")
    assert_ended(done, 3, f"{bulk.table}:2: holds a NUL byte\n")
    assert sent(sandbox) == [3] and statuses(bulk.out) == ["bad", "updated"]


def test_a_quotation_mark_that_is_not_closed_is_found_before_it_takes_all(
    bulk: Bulk, sandbox: Sandbox
) -> None:
    rows = [f'1,{key_of(1)},"Ana', *[f"2,{key_of(2)},Eva"] * 70_000]
    bulk.table.write_text("\n".join([",".join(HEADER), *rows]))
    done = bulk("--skip-bad")
    assert_ended(done, 2, f"{bulk.table}:2: is the first line of a row of more than 1 MiB; close")
    assert not sandbox.requests


def test_a_row_as_long_as_a_table_may_have_is_read_from_its_report(bulk: Bulk) -> None:
    """A row that is bad goes there as one cell, its quotation marks doubled."""
    quotes, header = '"' * 1_000_000, ",".join([*HEADER, "note"])
    rows = [f"1,{key_of(1)},Ana,x{quotes}", f'2,{key_of(2)},E"v"a,"{quotes}"x']
    bulk.table.write_text("\n".join([header, *rows, ""]))
    assert bulk("--skip-bad").returncode == 3
    assert bulk.out.stat().st_size > 3_000_000
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    assert bulk("--skip-bad").returncode == 3
    assert [line[:8] for line in bulk.out.read_text().split("\n")[1:]] == [
        "updated,",
        "bad,not_",
        "",
    ]


def test_a_cell_that_csv_has_no_room_for_is_told_before_anything_is_sent(
    bulk: Bulk, sandbox: Sandbox
) -> None:
    bulk.table = bulk.folder / "c.parquet"
    parquet.write_table(customers(photo=["x", "y" * (17 << 20), "z"]), bulk.table)
    assert_ended(
        bulk(), 2, f"{bulk.table}:row 2: is too long for CSV; give a report that is .parquet"
    )
    assert not sandbox.requests and os.listdir(bulk.folder) == ["c.parquet"]
    bulk.out = bulk.folder / "report.parquet"
    assert bulk().returncode == 0


def test_a_report_that_cannot_be_written_is_told_by_the_check(
    bulk: Bulk, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check writes what the report will have: columns and cells, to nowhere."""
    bulk.table = bulk.folder / "c.parquet"
    parquet.write_table(customers(), bulk.table)
    code = (
        "import pyarrow.parquet as p; w = p.ParquetWriter.write_table\n"
        "def refuse(*a): raise ValueError('no')\n"
        "p.ParquetWriter.write_table = refuse"
    )
    (bulk.folder / "sitecustomize.py").write_text(code)
    done = bulk("--out", str(bulk.folder / "report.parquet"), PYTHONPATH=str(bulk.folder))
    assert_ended(done, 2, "cannot be written as Parquet: no; give a report that is CSV")
    assert not sandbox.requests


def test_an_encoding_that_knows_lone_surrogates(bulk: Bulk, sandbox: Sandbox) -> None:
    """UTF-7 can hold half of a pair, which neither UTF-8 nor Parquet can."""
    lines = [",".join([*HEADER, "note"]), f"1,{key_of(1)},Ana,+2D0-", f"2,{key_of(2)},+2D0-,x", ""]
    bulk.table.write_text("\n".join(lines))
    for kind, encoding in (("parquet", "utf-8"), ("csv", "utf-7")):
        bulk.out = bulk.folder / f"report.{kind}"
        assert bulk("--encoding", "utf-7", "--skip-bad").returncode == 3
        second = Bulk(bulk.folder, bulk.url)
        second.table, second.out = bulk.out, bulk.folder / f"{kind}.csv"
        done = second("--encoding", encoding, "--skip-bad")
        assert_ended(done, 3, "customer_first_name: has a control character")
    assert sent(sandbox) == [1, 1]


def test_columns_without_a_name_are_carried(bulk: Bulk) -> None:
    write(bulk.table, [[*row, "x", "y"] for row in rows_of([1, 2])], [*HEADER, "", ""])
    for kind in ("csv", "parquet"):
        bulk.out = bulk.folder / f"report.{kind}"
        assert bulk().returncode == 0
    assert len(parquet.ParquetFile(bulk.out).schema) == 10


def test_file_names_that_are_not_utf_8(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table = write(
        bulk.folder / os.fsdecode(b"caf\xe9.csv"), [*rows_of([1]), ["2", "wrong", "E"]]
    )
    for kind in ("csv", "parquet"):
        bulk.out = bulk.folder / os.fsdecode(b"informe-\xe9." + kind.encode())
        done = bulk()
        assert done.returncode == 3 and "Traceback" not in done.stderr
        assert bulk.out.exists()
    done = run(*bulk.arguments("--resume"), "--no-json", url=bulk.url)
    assert_ended(done, 2, r"informe-\udce9.parquet.journal: there is no run to continue")
    assert names(sandbox, [1]) == ["Ana 1"]
