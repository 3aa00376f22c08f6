"""`skypostal bulk`: a bad row is still bad when its report is given as the table."""

from __future__ import annotations

import csv
import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from bulk_command import HEADER, Bulk, key_of, read_report, rows_of, write
from command_line import run
from pyarrow import parquet

from skypostal.sandbox import Sandbox


def again(bulk: Bulk, bad: int) -> None:
    """The report as the table: as many rows are bad."""
    out = bulk.folder / "again.csv"
    done = run("bulk", str(bulk.out), "--out", str(out), "--skip-bad", url=bulk.url)
    assert done.returncode == 3, done.stderr
    with out.open(newline="", encoding="utf-8-sig") as file:
        assert sum(row["skypostal_status"] == "bad" for row in csv.DictReader(file)) == bad


CELLS = [
    ("customer_first_name", True),
    ("customer_first_name", datetime.datetime(2000, 1, 1, 5)),
    ("customer_first_name", datetime.datetime(1900, 1, 15)),
    ("customer_first_name", 1.2345678901234567e19),
    ("customer_first_name", "=A2"),
]


def test_of_a_spreadsheet(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table = bulk.folder / "customers.xlsx"
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    for box, (_, cell) in enumerate(CELLS, 1):
        book.active.append([box, key_of(box), cell])
    error = book.active.cell(len(CELLS) + 2, 3)
    book.active.append([99, key_of(99), "#N/A"])
    error.data_type = "e"
    book.save(bulk.table)
    assert bulk("--skip-bad").returncode == 3
    again(bulk, len(CELLS) + 1)
    assert not sandbox.requests


@pytest.mark.parametrize(("field", "cell"), [
    ("customer_first_name", ["A"]),
    ("customer_first_name", 5),
    ("customer_first_name", b"\xff"),
    ("customer_first_name", b"Ann"),
    ("customer_first_name", datetime.datetime(2000, 1, 1)),
    ("customer_tax_number", 123456789012345.69),
    ("customer_birth_date", datetime.datetime(2000, 1, 1)),
    ("customer_gender", True),
])  # fmt: skip
def test_of_parquet(bulk: Bulk, sandbox: Sandbox, field: str, cell: Any) -> None:
    bulk.table = bulk.folder / "customers.parquet"
    table = {"customer_box_id": [1], "customer_key": [key_of(1)], field: [cell]}
    parquet.write_table(pa.table(table), bulk.table)
    assert bulk("--skip-bad").returncode == 3
    again(bulk, 1)
    assert not sandbox.requests


@pytest.mark.parametrize(
    "text",
    [
        "1,the-key-of-1,Anasta",
        "1,the-key-of-1,Ana\nMaria,Lima\n",
        "1,the-key-of-1,Ana\nMaria,Lima",
        '1,the-key-of-1,"Ana,Lima\n',
    ],
)
@pytest.mark.parametrize("name", ["report.csv", "report.parquet"])
def test_of_csv(bulk: Bulk, sandbox: Sandbox, text: str, name: str) -> None:
    bulk.out = bulk.folder / name
    bulk.table.write_text("customer_box_id,customer_key,customer_first_name,shop\n" + text)
    assert bulk("--skip-bad").returncode == 3
    bad = 2 if "Maria" in text else 1
    if name == "report.csv":
        again(bulk, bad)
    else:
        reported = parquet.read_table(bulk.out).to_pylist()
        assert [row["skypostal_status"] for row in reported] == ["bad"] * bad
        assert reported[0]["customer_box_id"].startswith("1,the-key-of-1,")
        assert run("bulk", str(bulk.out), "--dry-run", url=bulk.url).returncode == 2
    assert not sandbox.requests


def test_a_box_that_was_a_decimal_can_be_sent_again(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table = bulk.folder / "customers.parquet"
    table = pa.table({"customer_box_id": [Decimal("5.00")], "customer_key": ["k"],
                      "customer_gender": ["F"]})  # fmt: skip
    parquet.write_table(table, bulk.table)
    assert bulk().returncode == 3  # there is no such customer
    assert read_report(bulk.out)[0]["customer_box_id"] == "5"
    again(bulk, 0)
    assert len(sandbox.requests) == 2


def test_a_report_is_not_written_over_the_table(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of([1]))
    before = bulk.table.read_bytes()
    for option in [(), ("--resume",)]:
        out = Path(bulk.folder, ".", bulk.table.name)
        done = run("bulk", str(bulk.table), "--out", str(out), *option, url=bulk.url)
        assert done.returncode == 2 and str(bulk.table) in done.stderr
    assert bulk.table.read_bytes() == before and not sandbox.requests
