"""`skypostal bulk`: tables and reports in Parquet."""

from __future__ import annotations

import datetime
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from bulk_command import (
    HEADER,
    NAMES,
    Bulk,
    assert_ended,
    assert_private,
    key_of,
    rows_of,
    sent,
    write,
)
from command_line import environment
from pyarrow import parquet

from skypostal.sandbox import Sandbox


def test_parquet_in_and_out(bulk: Bulk, sandbox: Sandbox) -> None:
    table = pa.table(
        {
            "customer_box_id": pa.array([1, 2, 3], pa.int64()),
            "customer_key": pa.array([key_of(1), "wrong", key_of(3)]).dictionary_encode(),
            "customer_tax_number": pa.array([Decimal("12.50"), None, Decimal("7.00")]),
            "customer_birth_date": pa.array([datetime.date(1980, 8, 19), None, None]),
            "customer_identity_number": ["007", "", None],
            "seen": pa.array([1, None, 3], pa.timestamp("ns")),
            "tags": [["a", "b"], [], None],
        }
    )
    bulk.table, bulk.out = bulk.folder / "customers.parquet", bulk.folder / "report.parquet"
    parquet.write_table(table, bulk.table)
    assert_ended(bulk(), 3, "kept in the report: seen, tags")
    changes = {request.json()["customer_box_id"]: request.changes for request in sandbox.requests}
    assert changes == {
        1: {"customer_tax_number": Decimal("12.50"), "customer_birth_date": "1980-08-19",
            "customer_identity_number": "007"},
        2: {}, 3: {"customer_tax_number": Decimal("7.00")},
    }  # fmt: skip
    report = parquet.read_table(bulk.out)
    assert_private(bulk.out)
    assert report.column_names == [*NAMES, *table.column_names]
    assert report["skypostal_status"].to_pylist() == ["updated", "refused", "updated"]
    assert report["customer_key"].to_pylist() == [None, "wrong", None]
    for name in table.column_names:
        assert report.schema.field(name).type == table.schema.field(name).type
        assert name == "customer_key" or report[name].equals(table[name])

    for suffix in ("csv", "parquet"):
        bulk.table, bulk.out = bulk.out, bulk.folder / f"report2.{suffix}"
        before = len(sandbox.requests)
        assert bulk().returncode == 3 and sent(sandbox)[before:] == [2]
    second = parquet.read_table(bulk.out)
    assert second["customer_tax_number"].to_pylist() == ["12.50", "", "7.00"]
    assert second["customer_birth_date"].to_pylist() == ["1980-08-19", "", ""]


def test_bad_rows_of_parquet(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table = bulk.folder / "customers.parquet"
    columns: dict[str, list[object]] = {name: ["k", "k"] for name in HEADER}
    columns |= {"customer_box_id": [1, 1], "customer_tax_number": [1.5, 2]}
    parquet.write_table(pa.table(columns), bulk.table)
    done = bulk.check()
    assert_ended(done, 2, f"{bulk.table}:row 1: customer_tax_number: must be digits",
                 "row 2: customer_box_id: is that of row 1 too")  # fmt: skip
    bulk.table.write_bytes(b"PAR1 and no more")
    assert_ended(bulk.check(), 2, f"skypostal bulk: {bulk.table}: cannot be read as Parquet: ")


def test_a_row_of_csv_that_fits_no_column_stays_bad_in_parquet(bulk: Bulk) -> None:
    bulk.table.write_text(f"customer_gender,customer_box_id,customer_key\nF,1\nF,2,{key_of(2)}\n")
    bulk.out = bulk.folder / "report.parquet"
    assert bulk("--skip-bad").returncode == 3
    rows = parquet.read_table(bulk.out).to_pylist()
    assert [(row["skypostal_status"], row["customer_box_id"]) for row in rows] == [
        ("bad", None), ("updated", "2"),
    ]  # fmt: skip
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    assert_ended(bulk(), 2, "row 1: customer_box_id: is required")


def test_whole_numbers_of_a_database_are_boxes(bulk: Bulk, sandbox: Sandbox) -> None:
    """Snowflake, Oracle and SQL Server write them as decimals without a fraction."""
    bulk.table = bulk.folder / "customers.parquet"
    for scale in (0, 2):
        boxes = pa.array([Decimal(1), Decimal(2), Decimal(1)], pa.decimal128(30, scale))
        keys = [key_of(1), key_of(2), key_of(1)]
        columns = {"customer_box_id": boxes, "customer_key": keys, "customer_gender": ["F"] * 3}
        parquet.write_table(pa.table(columns), bulk.table)
        assert_ended(bulk.check(), 2, "row 1: customer_box_id: is that of row 3 too")
        parquet.write_table(pa.table(columns)[:2], bulk.table)
        assert bulk("--out", str(bulk.folder / f"{scale}.csv")).returncode == 0
    assert sorted(sent(sandbox)) == [1, 1, 2, 2]
    for box, problem in [
        (Decimal("1.5"), "is a decimal number, not an integer"),
        (1.0, "is a float, which pandas makes of integers where a column has a missing value"),
    ]:
        columns = {"customer_box_id": [box], "customer_key": ["k"], "customer_gender": ["F"]}
        parquet.write_table(pa.table(columns), bulk.table)
        assert_ended(bulk.check(), 2, "row 1: customer_box_id: must be a positive", problem)
    columns["customer_box_id"] = [float("nan")]
    parquet.write_table(pa.table(columns), bulk.table)
    problem = "is NaN, as pandas writes a missing value; write null in its place"
    assert_ended(bulk.check(), 2, f"row 1: customer_box_id: {problem}")


@pytest.mark.parametrize("name", ["c.pq", "C.PARQUET", "c.csv", "c"])
def test_parquet_is_known_by_its_content(bulk: Bulk, sandbox: Sandbox, name: str) -> None:
    bulk.table = bulk.folder / name
    columns = {"customer_box_id": [1], "customer_key": [key_of(1)], "customer_gender": ["F"]}
    parquet.write_table(pa.table(columns), bulk.table)
    for out in ("report.PARQUET", "report.pq"):
        bulk.out = bulk.folder / out
        assert bulk().returncode == 0
        assert parquet.read_table(bulk.out)["skypostal_status"].to_pylist() == ["updated"]
    assert sent(sandbox) == [1, 1]


def test_without_pyarrow_parquet_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pyarrow'] = None; import skypostal.__main__ as m; m.main()"
    (tmp_path / "t.parquet").touch()
    write(tmp_path / "t.csv", rows_of([1]))
    for table, out in [("t.parquet", "r.csv"), ("t.csv", "r.parquet")]:
        done = subprocess.run(
            [sys.executable, "-c", code, "bulk", table, "--out", out],
            env=environment(""), cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
        assert "Parquet needs pyarrow: pip install 'skypostal[pyarrow]'" in done.stderr
