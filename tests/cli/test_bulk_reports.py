"""A report given back keeps what it says, and where none can be written nothing is sent."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from bulk_command import (
    HEADER,
    NAMES,
    Bulk,
    assert_ended,
    assert_private,
    key_of,
    limited,
    read_report,
    rows_of,
    sent,
    statuses,
    write,
)
from command_line import Done, environment
from pyarrow import parquet

from skypostal._cli.bulk import disk
from skypostal._cli.bulk.journal import Journal, JournalError
from skypostal._cli.bulk.table import CsvTable, TableError, open_table
from skypostal.sandbox import Sandbox

# Short rows


def as_saved_by_a_spreadsheet(path: Path) -> None:
    """Excel leaves out the delimiters behind the last filled cell of a row."""
    lines = path.read_text().split("\n")
    path.write_text("\n".join(line.rstrip(",") for line in lines))


def test_a_report_keeps_its_rows_when_a_spreadsheet_makes_them_short(
    bulk: Bulk, sandbox: Sandbox
) -> None:
    columns = ["customer_box_id", "customer_first_name", "customer_key", "phone", "notes"]
    rows = [[str(box), f"Ana {box}", key_of(box), "", ""] for box in range(1, 7)]
    write(bulk.table, rows, columns)
    sandbox.fail_next(status=500, applied=True, times=2)
    assert bulk("--concurrency", "1", "--max-retries", "0").returncode == 5
    for n in range(3):
        as_saved_by_a_spreadsheet(bulk.out)
        assert "updated,,1,,,3,Ana 3\n" in bulk.out.read_text()
        bulk.table, bulk.out = bulk.out, bulk.folder / f"report{n}.csv"
        sandbox.refuse_next(times=2)
        assert bulk().returncode == 3
        assert sorted(sent(sandbox)[6 + 2 * n :]) == [1, 2]
        report = read_report(bulk.out)
        assert [row["skypostal_status"] for row in report] == ["refused"] * 2 + ["updated"] * 4
        assert [row["skypostal_delivery"] for row in report] == ["unknown"] * 2 + [""] * 4
        assert [row["customer_box_id"] for row in report] == [row[0] for row in rows]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    "row",
    [
        "updated,,1,,,1",
        "updated,,1.0,,,1,,",
        "updated,,1,,,1,,Ana,x,",
        'updated,,1,,,1,,"A"na,x',
        'updated,,1,,,1,,"Ana',
        "updated,,1,,,1,,A\rna,x",
        "updated,,1,,,1,,A\0na,x",
    ],
)
def test_a_row_that_is_updated_stays_so_however_it_looks(
    bulk: Bulk, sandbox: Sandbox, row: str, kind: str
) -> None:
    header = ",".join([*NAMES, *HEADER, "note"])
    bulk.table.write_bytes((f",,,,,2,{key_of(2)},Eva,\n{row}\n".join([f"{header}\n", ""])).encode())
    bulk.out = bulk.folder / f"report.{kind}"
    for n in range(2):
        assert bulk().returncode == 0 and sent(sandbox) == [2]
        bulk.table, bulk.out = bulk.out, bulk.folder / f"second{n}.csv"
    report = read_report(bulk.table)
    assert [list(row.values())[:6] for row in report] == [
        ["updated", "", "1", "", "", "2"],
        ["updated", "", "1", "", "", "1"],
    ]


@pytest.mark.parametrize(
    ("row", "delivery"),
    [
        ("failed,unknown,1,status,m,1,k", "unknown"),
        ("refused,unknown,1,refused,m,1,k,Ana,x,y", "unknown"),
        ('failed,unknown,1,status,m,1,k,"A"na,x', "unknown"),
        ('bad,unknown,0,invalid_field,m,"failed,unknown,1,status,m,1,k,""A""na,x"', "unknown"),
        ("failed,unknown,1,status,m,1,k,A\0na,x", "unknown"),
        ("refused,rejected,1,refused,m,1,k", "not_sent"),
        (",,,,,1,k", "not_sent"),
        # What it said cannot be read.
        ('"failed,unknown,1,status,m,1,k,Ana,x', "unknown"),
        ("Ana,failed,unknown,1,status,m,1,k,Ana,x", "unknown"),
    ],
)
def test_a_row_that_may_be_updated_stays_so_when_it_is_bad(
    bulk: Bulk, sandbox: Sandbox, row: str, delivery: str
) -> None:
    header = ",".join([*NAMES, *HEADER, "note"])
    bulk.table.write_bytes((f"{header}\n,,,,,2,{key_of(2)},Eva,\n{row}\n").encode())
    for n in range(2):
        bulk.out = bulk.folder / f"report{n}.csv"
        assert bulk("--skip-bad").returncode == 3 and sent(sandbox) == [2]
        told = [line.split(",")[:2] for line in bulk.out.read_text().split("\n")[1:3]]
        assert told == [["updated", ""], ["bad", delivery]]
        bulk.table = bulk.out


def test_the_columns_of_a_report_may_have_been_moved(bulk: Bulk, sandbox: Sandbox) -> None:
    header = [*HEADER, *reversed(NAMES)]
    bulk.table.write_text(
        f"{','.join(header)}\n1,,Ana,,,1,,updated\n2,{key_of(2)},Eva,m,status,1,unknown,failed\n"
        f"3,{key_of(3)},Leo\n4,{key_of(4)},L,e,o,m,status,1,unknown,failed\n5,{key_of(5)},Lu"
    )
    sandbox.refuse_next(times=2)
    assert bulk("--skip-bad").returncode == 3 and sorted(sent(sandbox)) == [2, 3]
    told = [line.split(",")[:2] for line in bulk.out.read_text().split("\n")[1:6]]
    assert told == [
        ["updated", ""], ["refused", "unknown"], ["refused", "rejected"], ["bad", "unknown"],
        ["bad", "unknown"],
    ]  # fmt: skip


def test_a_report_that_pandas_has_saved(bulk: Bulk, sandbox: Sandbox) -> None:
    """An integer column with a missing value becomes one of floats."""
    columns = {
        "skypostal_status": pa.array(["updated", "failed", None]).dictionary_encode(),
        "skypostal_delivery": pa.array([None, "unknown", None], pa.large_string()),
        "skypostal_attempts": pa.array([1.0, 2.0, float("nan")]),
        "skypostal_error": [None, "status", None],
        "skypostal_message": [None, "m", None],
        "customer_box_id": [1, 2, 3],
        "customer_key": [None, key_of(2), key_of(3)],
        "customer_first_name": ["A", "B", "C"],
    }
    bulk.table, bulk.out = bulk.folder / "c.parquet", bulk.folder / "report.parquet"
    parquet.write_table(pa.table(columns), bulk.table)
    sandbox.refuse_next(times=2)
    assert bulk().returncode == 3 and sorted(sent(sandbox)) == [2, 3]
    report = parquet.read_table(bulk.out)
    assert report["skypostal_delivery"].to_pylist() == ["", "unknown", "rejected"]
    assert report["skypostal_attempts"].to_pylist() == [1, 1, 1]


def test_cells_of_no_field_may_be_missing_at_the_end_of_a_row(bulk: Bulk, sandbox: Sandbox) -> None:
    text = "".join(f"{','.join(row)}{',,' if int(row[0]) < 9 else ''}\r\n"
                   for row in rows_of(range(1, 21)))  # fmt: skip
    bulk.table.write_bytes((f"{','.join([*HEADER, 'phone', 'notes'])}\r\n{text}").encode())
    assert bulk().returncode == 0 and len(sent(sandbox)) == 20
    assert {len(row) for row in read_report(bulk.out)} == {10}


@pytest.mark.parametrize(
    ("rows", "found"),
    [
        ("1,k,Ana,,\n2,k\n", [":3: has 2 cells, where the header has 5; an empty cell at the end"
                              " needs its delimiter too"]),
        ("1,k,Ana,,\n2,k,An", [":3: has 3 cells, where the header has 5; the file ends in mid-line,"
                               " so it may have been cut off"]),
        ("1,k,Ana\nMaria,,\n2,k,Eva,,\n", [
            ":2: continues in the next line; put quotation marks around its cells",
            ":3: customer_box_id: must be a positive integer", ":3: customer_key: is required"]),
        ("1,k,Ana\nMaria\nLuz,,\n2,k,Eva,,\n", [
            ":2: continues in the next line", ":3: has 1 cell", ":4: customer_box_id", ":4: "]),
        # What is bad for another reason condemns no other row.
        ("1,k,Ana\nx2,k,Eva,,\n3,k\n", [":3: customer_box_id: must be a positive", ":4: has 2"]),
        ("1,k,Ana\n2,k,Eva,x\n3,k\n", [":4: has 2 cells"]),
    ],
)  # fmt: skip
def test_a_short_row_that_may_have_lost_something_is_bad(
    bulk: Bulk, sandbox: Sandbox, rows: str, found: list[str]
) -> None:
    bulk.table.write_text(f"{','.join([*HEADER, 'phone', 'notes'])}\n{rows}")
    listed = [line for line in bulk.check().stderr.splitlines() if str(bulk.table) in line]
    assert len(listed) == len(found), listed
    for said, problem in zip(listed, found):
        assert said.startswith(f"{bulk.table}{problem}")


# Where a report and a journal can be


def patched(bulk: Bulk, patch: str, *options: str, **how: Any) -> Done[str]:
    """The command in a Python that was changed before."""
    code = f"{patch}\nimport sys\nfrom skypostal.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *bulk.arguments(*options)]
    return subprocess.run(
        command, env=environment(bulk.url), capture_output=True, text=True, timeout=20, **how
    )


LACKING = """
import errno, os
def refuse(*_):
    raise OSError({error}, os.strerror({error}))
"""

FILE_LOCK = "from skypostal._cli.bulk import journal\njournal.try_to_lock = refuse\n"


@pytest.mark.parametrize("error", ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EACCES", "EIO"])
def test_a_file_system_without_locks_is_told_in_a_line(
    bulk: Bulk, sandbox: Sandbox, error: str
) -> None:
    write(bulk.table, rows_of([1]))
    patch = LACKING.format(error=f"errno.{error}") + FILE_LOCK
    done = patched(bulk, patch)
    said = os.strerror(getattr(errno, error))
    assert (done.returncode, done.stderr) == (
        2,
        f"skypostal bulk: {bulk.journal}: cannot be locked: {said}; --journal FILE puts it"
        " elsewhere, such as on a local disk\nNothing was sent.\n",
    )
    assert not sandbox.requests and os.listdir(bulk.folder) == ["customers.csv"]


def test_a_journal_that_cannot_be_locked_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(str(tmp_path / "j"))
    journal.start({})
    journal.close()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("skypostal._cli.bulk.journal.try_to_lock", refuse)
    with pytest.raises(JournalError, match="cannot be locked: No locks available"):
        Journal(str(tmp_path / "j"))
    assert (tmp_path / "j").stat().st_size > 0


@pytest.mark.parametrize("stage", ["_read", "start"])
def test_a_file_system_that_sqlite_cannot_use_is_told_in_a_line(
    bulk: Bulk, sandbox: Sandbox, stage: str
) -> None:
    """As where there is flock, and neither POSIX locks nor shared memory."""
    write(bulk.table, rows_of([1]))
    broken = "sqlite3.OperationalError('locking protocol')"
    patches = {
        "_read": "import skypostal._cli.bulk.journal as j, sqlite3\n"
                 f"def refuse(self): raise {broken}\nj.Journal._read = refuse",
        "start": "import skypostal._cli.bulk.journal as j, sqlite3\n"
                 f"def refuse(path): raise {broken}\nj.sync_folder = refuse",
    }  # fmt: skip
    done = patched(bulk, patches[stage])
    assert_ended(done, 2, "cannot be written: locking protocol; --journal FILE puts it elsewhere")
    assert not sandbox.requests and os.listdir(bulk.folder) == ["customers.csv"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("error", ["EINVAL", "ENOSYS", "EOPNOTSUPP"])
def test_a_file_system_without_fsync_and_chmod_has_a_report(
    bulk: Bulk, error: str, kind: str
) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    bulk.out = bulk.folder / f"report.{kind}"
    functions = "os.fsync = os.chmod = os.fchmod = refuse\n"
    patch = LACKING.format(error=f"errno.{error}") + functions
    assert_ended(patched(bulk, patch), 0)
    assert sorted(os.listdir(bulk.folder)) == ["customers.csv", f"report.{kind}"]
    assert_private(bulk.out)


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fails_is_no_file_system_without_fsync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, "failed")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="failed"):
        disk.sync(1)
    with pytest.raises(OSError, match="failed"):
        disk.sync_folder(str(tmp_path / "f"))


@pytest.mark.parametrize(
    ("out", "options", "says"),
    [
        ("n" * 252, (), ".part: cannot be written: File name too long"),
        ("n" * 252, ("--dry-run",), ".part: cannot be written: File name too long"),
        ("n" * 300, (), "File name too long"),
        ("folder", ("--resume",), "folder: is a folder; give the name of a file in it"),
        ("customers", (), "would be written over the table; give another name"),
        ("/proc/report.csv", (), "cannot be written"),
    ],
    ids=["part", "part-of-dry-run", "name", "folder", "table", "read-only"],
)
def test_a_place_where_no_report_can_be_is_told_before_anything_is_sent(
    bulk: Bulk, sandbox: Sandbox, out: str, options: Sequence[str], says: str
) -> None:
    bulk.table = write(bulk.folder / "customers.part", rows_of([1]))
    (bulk.folder / "folder").mkdir()
    before = bulk.table.read_bytes()
    # The journal's own name is no longer than the file system allows.
    journal = () if options == ("--dry-run",) else ("--journal", str(bulk.folder / "j"))
    done = patched(bulk, "", "--out", str(bulk.folder / out), *options, *journal)
    assert_ended(done, 2, says, "sent")
    assert not sandbox.requests and bulk.table.read_bytes() == before
    assert sorted(os.listdir(bulk.folder)) == ["customers.part", "folder"]


def test_the_journal_is_not_where_the_report_is_written(bulk: Bulk) -> None:
    write(bulk.table, rows_of([1]))
    done = bulk("--journal", f"{bulk.out}.part")
    assert_ended(done, 2, "cannot be both the report and the journal")


def test_a_folder_that_cannot_be_read_may_be_written(bulk: Bulk) -> None:
    """Its entries cannot be synchronised, which is no reason to have no report."""
    write(bulk.table, rows_of([1]))
    patch = """
import os
real = os.open
def open(path, flags, *mode):
    if flags & os.O_DIRECTORY:
        raise PermissionError(13, "Permission denied")
    return real(path, flags, *mode)
os.open = open
"""
    assert_ended(patched(bulk, patch), 0)
    assert statuses(bulk.out) == ["updated"]


def test_6_when_a_report_in_parquet_does_not_fit_on_the_disk(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table, bulk.out = bulk.folder / "c.parquet", bulk.folder / "report.parquet"
    columns = {
        "customer_box_id": [1, 2, 3],
        "customer_key": [key_of(box) for box in (1, 2, 3)],
        "customer_first_name": ["A", "B", "C"],
        "photo": [os.urandom(100_000) for _ in range(3)],
    }
    parquet.write_table(pa.table(columns), bulk.table)
    process = bulk.start("--concurrency", "1", preexec_fn=limited(200_000))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 6
    assert f"skypostal bulk: {bulk.out}: cannot be written: File too large\nDone: 3 of 3" in err
    assert bulk("--resume").returncode == 0 and len(sent(sandbox)) == 3
    assert parquet.read_table(bulk.out)["photo"].to_pylist() == columns["photo"]


def test_what_an_earlier_run_left_is_not_read_by_others(bulk: Bulk) -> None:
    """A file that is there already, with any mode, is replaced by a new one."""
    write(bulk.table, [*rows_of([1]), ["2", "wrong", "Eva"]])
    part = bulk.folder / "report.csv.part"
    part.write_text("old")
    part.chmod(0o666)
    with part.open() as reader:
        assert bulk().returncode == 3
        assert reader.read() == "old"
    assert_private(bulk.out)
    assert not part.exists()


def test_a_pipe_is_neither_journal_nor_report(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of([1]))
    pipe = bulk.folder / "pipe"
    os.mkfifo(pipe)
    done = bulk("--journal", str(pipe))
    assert_ended(done, 2, f"skypostal bulk: {pipe}: is not a regular file", "Nothing was sent.")
    part = bulk.folder / "report.csv.part"
    os.mkfifo(part)
    assert bulk().returncode == 2
    assert pipe.is_fifo() and part.is_fifo() and not sandbox.requests


def test_a_name_that_is_too_long_for_a_journal_is_an_error(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of([1]))
    bulk.out = bulk.folder / ("n" * 239 + ".csv")
    done = bulk()
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert os.listdir(bulk.folder) == ["customers.csv"] and not sandbox.requests


def test_a_table_that_cannot_be_read_is_an_error(bulk: Bulk, tmp_path: Path) -> None:
    class Broken(io.BytesIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 60:
                raise OSError(5, "Input/output error")
            return super().readline(size)

    table = open_table(str(write(bulk.table, rows_of(range(1, 9)))), encoding="utf-8",
                       delimiter=",", known=HEADER)  # fmt: skip
    assert isinstance(table, CsvTable)
    table._file.close()
    table._file = Broken(bulk.table.read_bytes())
    with pytest.raises(TableError, match="customers.csv: cannot be read: Input/output error"):
        list(table.rows())
