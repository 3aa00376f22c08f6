"""`skypostal bulk --limit`: the first rows alone."""

from __future__ import annotations

import pyarrow as pa
import pytest
from bulk_command import (
    Bulk,
    add_customers,
    assert_ended,
    rows_of,
    sent,
    statuses,
    wait_until,
    write,
)
from command_line import run
from pyarrow import parquet

from skypostal.sandbox import Sandbox


@pytest.fixture
def table(bulk: Bulk, sandbox: Sandbox) -> Bulk:
    """Ten customers; what is wrong is in the sixth row and later."""
    rows = rows_of(range(101, 111))
    rows[5][0], rows[7][2] = "x", 'a "b" c'
    write(bulk.table, rows)
    with bulk.table.open("ab") as file:
        file.write(b"\xff\xfe is not UTF-8")
    add_customers(sandbox, range(101, 111))
    return bulk


def test_the_first_rows_are_checked_sent_and_reported(table: Bulk, sandbox: Sandbox) -> None:
    done = table("--limit", "3")
    assert_ended(done, 0, "what is after the first 3 rows is left out, as --limit says\n")
    assert '"rows": 3, "updated": 3' in done.stdout
    assert sorted(sent(sandbox)) == [101, 102, 103]
    assert statuses(table.out) == ["updated"] * 3
    done = table.check("--limit", "1")
    assert_ended(done, 0, "what is after the first 1 row is left out")
    assert '"rows": 1' in done.stdout


def test_a_limit_beyond_the_table_is_none(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of([101, 102]))
    add_customers(sandbox, [101, 102])
    done = bulk("--limit", "3")
    assert_ended(done, 0)
    assert "--limit" not in done.stderr and statuses(bulk.out) == ["updated"] * 2


def test_a_run_is_continued_with_its_limit_alone(table: Bulk, sandbox: Sandbox) -> None:
    sandbox.delay(60, times=1)
    process = table.start("--limit", "3", "--concurrency", "1")
    wait_until(lambda: sandbox.requests)
    process.kill()
    process.communicate()
    sandbox.clear_faults()
    for other in [("--limit", "4"), ("--limit", "2")]:
        assert_ended(table("--resume", *other), 2, "is of another run")
    assert_ended(table("--resume", "--limit", "3"), 0)
    assert statuses(table.out) == ["updated"] * 3


def test_parquet_has_a_limit_too(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table = bulk.folder / "customers.parquet"
    columns = {"customer_box_id": [101, 102], "customer_key": ["the-key-of-101", "b"],
               "customer_first_name": ["Ana", "Zoë"]}  # fmt: skip
    parquet.write_table(pa.table(columns), bulk.table)
    add_customers(sandbox, [101])
    assert_ended(bulk("--limit", "1"), 0)
    assert sent(sandbox) == [101] and statuses(bulk.out) == ["updated"]


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "x", "1" * 11])
def test_a_limit_is_a_number_of_rows(bulk: Bulk, limit: str) -> None:
    done = run(*bulk.arguments(f"--limit={limit}"), url=bulk.url)
    assert_ended(done, 2, "--limit: must be an integer from 1 to 1000000000")
