"""Many updates from a shell: the check, the run, the report, and that no crash loses anything."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import os
import random
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Callable

import pyarrow as pa
import pytest
from bulk_command import (
    HEADER,
    NAMES,
    Bulk,
    add_customers,
    assert_ended,
    key_of,
    limited,
    names,
    read_report,
    rows_of,
    sent,
    statuses,
    write,
)
from code_blocks import code_blocks
from command_line import COMMAND, Terminal, assert_no_secret, environment, run, serving
from fault_cases import LOST, ok, status
from fault_server import GOOD, FaultServer, Script, hang, read
from project import ROOT
from pyarrow import parquet

from skypostal._cli.bulk.journal import Journal
from skypostal._cli.bulk.progress import Progress, State
from skypostal.sandbox import Sandbox


def wait_until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Run and report


def test_a_table_is_sent_and_reported(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, [[*row, "x"] for row in rows_of(range(1, 21))], [*HEADER, "note"])
    done = bulk()
    assert (done.returncode, done.stderr) == (
        0, "skypostal bulk: not sent, but kept in the report: note\n",
    )  # fmt: skip
    assert json.loads(done.stdout) == {
        "rows": 20, "updated": 20, "refused": 0, "failed": 0, "bad": 0, "left": 0,
        "report": str(bulk.out), "error": None,
    }  # fmt: skip
    report = read_report(bulk.out)
    assert list(report[0]) == [*NAMES, *HEADER, "note"]
    assert report == [
        dict(zip(report[0], ["updated", "", "1", "", "", str(box), "", f"Ana {box}", "x"]))
        for box in range(1, 21)
    ]
    assert names(sandbox, range(1, 21)) == [f"Ana {box}" for box in range(1, 21)]
    assert all("note" not in request.changes for request in sandbox.requests)
    assert stat.S_IMODE(bulk.out.stat().st_mode) == 0o600
    assert sorted(os.listdir(bulk.folder)) == ["customers.csv", "report.csv"]


def test_at_a_terminal_the_summary_is_for_people(bulk: Bulk) -> None:
    write(bulk.table, [*rows_of([1, 2]), ["3", "wrong", "Eva"]])
    code, seen = Terminal(*COMMAND, *bulk.arguments(), **environment(bulk.url)).end()
    assert code == 3
    assert seen.endswith(
        f"3 rows: 2 updated, 1 refused.\nThe report is in {bulk.out}."
        " Given as the table, with the same options, it tries the others again.\n"
    )


def test_cells_arrive_as_they_are_written(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table.write_bytes(
        "\ufeffcustomer_tax_number,customer_box_id,customer_key,customer_identity_number,"
        "customer_last_name,customer_birth_date,remark\r\n"
        f'0012.50,0001,{key_of(1)},007,"Lima, ""Zoë""",1980-08-19,"two\r\nlines; and ☃"\r\n'
        "\r\n"
        f",2,{key_of(2)},,,,\r\n"
        ",,,,,,\r\n".encode()
    )
    assert bulk().returncode == 0
    bodies = {request.json()["customer_box_id"]: request.body for request in sandbox.requests}
    assert b'"customer_tax_number":12.50' in bodies[1]
    assert [request.changes for request in sandbox.requests if request.body == bodies[2]] == [{}]
    record = sandbox.customers[1]
    assert record["customer_identity_number"] == "007"
    assert record["customer_last_name"] == 'Lima, "Zoë"'
    assert record["customer_birth_date"] == "1980-08-19"
    text = bulk.out.read_bytes().decode()
    assert text.startswith("\ufeffskypostal_status,")
    assert text.splitlines(keepends=True)[1:] == [
        'updated,,1,,,0012.50,0001,,007,"Lima, ""Zoë""",1980-08-19,"two\r\n',
        'lines; and ☃"\r\n',
        "updated,,1,,,,2,,,,,\r\n",
    ]


@pytest.mark.parametrize(
    ("delimiter", "encoding", "options"),
    [
        (";", "utf-8", ()),
        ("\t", "utf-8", ()),
        ("|", "utf-8", ()),
        (";", "cp1252", ("--encoding", "cp1252")),
        ("~", "utf-8", ("--delimiter", "~")),
        ("\t", "utf-8", ("--delimiter", "tab")),
    ],
)
def test_the_report_is_written_as_the_table_was(
    bulk: Bulk, sandbox: Sandbox, delimiter: str, encoding: str, options: Sequence[str]
) -> None:
    header = delimiter.join(["Nombre, apellido", *HEADER])
    lines = [header, delimiter.join(["é", "1", key_of(1), "Zoë"]), ""]
    bulk.table.write_bytes("\n".join(lines).encode(encoding))
    sandbox.refuse_next(description="no ☃ 😀")
    assert bulk(*options).returncode == 3
    head, row, end = bulk.out.read_bytes().decode(encoding).split("\n")
    assert head == delimiter.join([*NAMES, header]) and end == ""
    assert row.endswith(delimiter.join(["é", "1", key_of(1), "Zoë"]))
    assert ("☃" if encoding == "utf-8" else r"\u2603") in row
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    assert bulk(*options).returncode == 0 and names(sandbox, [1]) == ["Zoë"]


def test_what_the_service_says_is_no_formula_and_one_line(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of([1]))
    sandbox.refuse_next(description="=cmd|' /C calc'!A0\n\x1b[2J" + key_of(1))
    assert bulk().returncode == 3
    (row,) = read_report(bulk.out)
    assert row["skypostal_message"].startswith("the service refused the update: =cmd|' /C calc'!A0")
    assert row["skypostal_message"].isprintable()
    assert key_of(1) not in row["skypostal_message"] and row["customer_key"] == key_of(1)


def test_a_report_given_back_retries_what_is_not_updated(bulk: Bulk, sandbox: Sandbox) -> None:
    rows = rows_of(range(1, 6))
    rows[1][1] = "wrong"
    rows[3][0] = "x4"
    write(bulk.table, rows)
    sandbox.fail_next(status=500)
    assert bulk("--skip-bad", "--concurrency", "1", "--max-retries", "0").returncode == 5
    first = read_report(bulk.out)
    assert [tuple(row.values())[:4] for row in first] == [
        ("failed", "unknown", "1", "status"),
        ("refused", "rejected", "1", "refused"),
        ("updated", "", "1", "", ),
        ("bad", "not_sent", "0", "invalid_field"),
        ("updated", "", "1", ""),
    ]  # fmt: skip
    # Keys are there as long as they are needed.
    assert [row["customer_key"] for row in first] == [key_of(1), "wrong", "", key_of(4), ""]
    assert first[3]["skypostal_message"].startswith("customer_box_id: is not an integer")

    report = bulk.out.read_text().replace("wrong", key_of(2)).replace("x4", "4")
    bulk.table.write_text(report)
    before = len(sandbox.requests)
    bulk.out = bulk.folder / "second.csv"
    assert bulk().returncode == 0
    assert sorted(sent(sandbox)[before:]) == [1, 2, 4]
    second = read_report(bulk.out)
    assert list(second[0]) == [*NAMES, *HEADER]
    assert [row["skypostal_status"] for row in second] == ["updated"] * 5
    assert [row["customer_first_name"] for row in second] == [row[2] for row in rows]
    assert "the-key-of" not in bulk.out.read_text()


def test_what_was_open_once_stays_open(bulk: Bulk, sandbox: Sandbox) -> None:
    """A refusal does not undo an update that may have been made before, in an earlier run."""
    write(bulk.table, rows_of([1]))
    sandbox.drop_connection(applied=True)
    assert bulk("--max-retries", "0").returncode == 5
    sandbox.refuse_next()
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    assert bulk().returncode == 3
    (row,) = read_report(bulk.out)
    assert (row["skypostal_status"], row["skypostal_delivery"]) == ("refused", "unknown")


@pytest.mark.parametrize(
    ("script", "code", "word"),
    [
        (status("401 Unauthorized"), 3, "refused"),
        (status("404 Not Found"), 3, "refused"),
        (status("302 Found"), 3, "refused"),
        (status("400 Bad Request"), 5, "failed"),
        (status("500 Internal Server Error"), 5, "failed"),
        (status("429 Too Many Requests"), 5, "failed"),
        (status("503 Service Unavailable"), 5, "failed"),
        (ok(b'[{"_verify":false,"error":{"error_description":"no"}}]'), 3, "refused"),
        (ok(b'[{"_verify":false,"error":{"system_error":true}}]'), 5, "failed"),
        (ok(b'[{"_verify":true,"error":{"error_description":"oh"}}]'), 5, "failed"),
        (LOST, 5, "failed"),
        ([read, hang], 5, "failed"),
    ],
)
def test_a_row_that_would_be_refused_again_is_told_apart(
    tmp_path: Path, script: Script, code: int, word: str
) -> None:
    with serving(script) as server:
        bulk = Bulk(tmp_path, server.url)
        write(bulk.table, rows_of([1, 2]))
        done = bulk("--max-retries", "0", "--timeout", "0.5", "--concurrency", "1")
        assert (done.returncode, statuses(bulk.out)) == (code, [word, "updated"])


def test_keys_may_be_columns(bulk: Bulk, sandbox: Sandbox) -> None:
    app_key = environment("")["SKYPOSTAL_APP_KEY"]
    write(
        bulk.table,
        [["1", key_of(1), "A", "396", app_key], ["2", key_of(2), "B", "396", "wrong"]],
        [*HEADER, "user_code", "app_key"],
    )
    done = bulk(SKYPOSTAL_APP_KEY=None, SKYPOSTAL_USER_CODE=None)
    assert_ended(done, 3)
    assert [row["app_key"] for row in read_report(bulk.out)] == ["", "wrong"]


# Which column is what


def test_columns_are_mapped_ignored_and_carried(bulk: Bulk, sandbox: Sandbox) -> None:
    write(
        bulk.table,
        [["1", key_of(1), "Ana", "a=b", "L"]],
        ["box", "KEY", "first", "customer_gender", "x=y"],
    )
    options = ("--map", "box=customer_box_id", "--map", "KEY=customer_key",
               "--map", "first=customer_first_name", "--map", "x=y=customer_last_name",
               "--ignore", "customer_gender")  # fmt: skip
    done = bulk(*options)
    assert_ended(done, 0, "not sent, but kept in the report: customer_gender\n")
    (request,) = sandbox.requests
    assert request.changes == {"customer_first_name": "Ana", "customer_last_name": "L"}
    (row,) = read_report(bulk.out)
    assert (row["KEY"], row["customer_gender"]) == ("", "a=b")
    assert bulk("--quiet", "--out", str(bulk.folder / "other.csv"), *options).stderr == ""


@pytest.mark.parametrize(
    ("header", "options", "problem"),
    [
        ([*HEADER, "First Name"], (), "column 'First Name': is no field; say"
         " --map 'First Name=customer_first_name' or --ignore 'First Name'\n"),
        ([*HEADER, "birthdate"], (), "--map birthdate=customer_birth_date or"),
        ([*HEADER, "customer_frist_name"], (), "--map customer_frist_name=customer_first_name or"),
        ([*HEADER, "customer_first_name"], (), "column 'customer_first_name': is there twice"),
        (["customer_box_id", "note"], (), "no column customer_key; say which it is: --map"),
        (HEADER, ("--map", "first=customer_first_name"), "--map first=customer_first_name: there is"
         " no such column"),
        (HEADER, ("--map", "customer_key"), "--map customer_key: is not COLUMN=FIELD"),
        (HEADER, ("--map", "customer_key=key"), "key is no field"),
        (HEADER, ("--map", "customer_key=customer_kex"), "did you mean customer_key?"),
        (HEADER, ("--ignore", "customer_keys"), "--ignore customer_keys: there is no such column;"
         " did you mean customer_key?"),
        ([*HEADER, "a"], ("--map", "a=customer_first_name"), "both are customer_first_name;"
         " --ignore one of them"),
        ([*HEADER, "skypostal_status"], (), "some columns of a report are there, and some are not"),
    ],
)  # fmt: skip
def test_columns_that_cannot_be_told_are_refused(
    bulk: Bulk, sandbox: Sandbox, header: list[str], options: Sequence[str], problem: str
) -> None:
    write(bulk.table, [["1", key_of(1), "Ana", "x"][: len(header)]], header)
    assert_ended(bulk(*options), 2, problem, "Nothing was sent.")
    assert not sandbox.requests and os.listdir(bulk.folder) == ["customers.csv"]


def test_other_columns_are_no_alarm(bulk: Bulk) -> None:
    """Each is nearer to no field than a typing error is."""
    others = ["", "id", "customer_id", "name", "phone", "customer_phone", "customer_email", "date",
              "country", "city", "status", "notes", "gender_at_birth"]  # fmt: skip
    write(bulk.table, [["1", key_of(1), "Ana", *others]], [*HEADER, *others])
    assert_ended(bulk.check(), 0)


# The check


BAD_LINES = b"""\
customer_box_id,customer_key,customer_first_name,customer_gender
1,k,Ana,X
2,k,"two
lines",
3,k,Ana

,,,
x4,,Ana,F
5,k,Ana,F,,
6,k,"A"na,F
7,k,A\0na,F
8,k, ,M
9,k,Ana,M
9,k,Bea,M
10,k,Ana,M
11,k,"Ana,M
12,k,Ana,M
"""
FOUND = [
    (2, 'customer_gender: is another text; expected "M" or "F"'),
    (3, "customer_first_name: has a control character (character 4); remove it"),
    (5, "has 3 cells, where the header has 4"),
    (8, "customer_box_id: is not an integer"),
    (8, "customer_key: is required"),
    (9, "has 6 cells, where the header has 4"),
    (10, "has a quotation mark in a cell that is not doubled"),
    (11, "holds a NUL byte"),
    (12, "customer_first_name: is only white space"),
    (13, "customer_box_id: is that of line 14 too"),
    (14, "customer_box_id: is that of line 13 too"),
    (16, "opens a quotation mark that is not closed"),
]


def test_every_bad_row_is_listed_before_anything_is_sent(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table.write_bytes(BAD_LINES)
    for done in (bulk(), bulk.check()):
        assert done.returncode == 2
        listed = [line for line in done.stderr.splitlines() if str(bulk.table) in line]
        assert len(listed) == len(FOUND), done.stderr
        for said, (line, problem) in zip(listed, FOUND):
            assert said.startswith(f"{bulk.table}:{line}: {problem}")
    assert not sandbox.requests and os.listdir(bulk.folder) == ["customers.csv"]
    assert "11 of 12 rows are bad\nNothing was sent. --skip-bad sends the others" in bulk().stderr


def test_the_good_rows_are_sent_if_asked(bulk: Bulk, sandbox: Sandbox) -> None:
    bulk.table.write_bytes(BAD_LINES.replace(b"10,k", f"10,{key_of(10)}".encode()))
    assert bulk("--skip-bad").returncode == 3
    assert sent(sandbox) == [10]
    words = ["bad"] * 12
    words[10] = "updated"
    assert statuses(bulk.out) == words
    # What could not be told apart is as it was, and so is refused again.
    assert '"6,k,""A""na,F"' in bulk.out.read_text()
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    done = bulk("--skip-bad")
    assert (done.returncode, statuses(bulk.out)) == (3, words) and sent(sandbox) == [10]
    assert "has 8 cells, where the header has 9" in done.stderr


def test_what_is_printed_is_bounded_and_the_report_has_all(bulk: Bulk) -> None:
    write(bulk.table, [[str(box), "k", " "] for box in range(1, 251)])
    done = bulk.check("--out", str(bulk.out))
    assert done.returncode == 2 and done.stderr.count("white space") == 100
    assert done.stderr.endswith("and 150 more\n")
    assert json.loads(done.stdout)["bad"] == 250
    report = read_report(bulk.out)
    assert [row["customer_box_id"] for row in report] == [str(box) for box in range(1, 251)]
    assert all(row["skypostal_message"].startswith("customer_first_name: is") for row in report)


def test_a_check_of_good_rows_sends_nothing(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    done = bulk.check("--out", str(bulk.out))
    assert (done.returncode, done.stderr) == (0, "") and not sandbox.requests
    assert json.loads(done.stdout)["left"] == 20 and statuses(bulk.out) == [""] * 20
    bulk.table, bulk.out = bulk.out, bulk.folder / "second.csv"
    assert bulk().returncode == 0 and statuses(bulk.out) == ["updated"] * 20


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file or directory"),
        (b"", "is empty; its first line names the columns"),
        (b'"customer_box_id', ":1: opens a quotation mark that is not closed"),
        (
            b"customer_box_id,customer_key,customer_gender\n1,k,\n2,Jos\xe9,\n",
            ":3: is not UTF-8 (byte 0xE9); save",
        ),
        ("customer_box_id,customer_key\n".encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (b"PK\x03\x04....", "is a spreadsheet or another archive; save it as CSV"),
        (b"customer_box_id,customer_key\r1,k\r" * 99999, "carriage returns alone"),
    ],
    ids=itertools.count(),
)
def test_a_file_that_is_no_table_is_refused(bulk: Bulk, content: bytes | None, says: str) -> None:
    if content is not None:
        bulk.table.write_bytes(content)
    done = bulk()
    assert_ended(done, 2, f"skypostal bulk: {bulk.table}", says, "Nothing was sent.")
    assert json.loads(done.stdout)["error"]["status"] == 2


def test_a_table_without_rows_is_done(bulk: Bulk) -> None:
    write(bulk.table, [])
    assert bulk().returncode == 0 and bulk.out.read_text() == ",".join([*NAMES, *HEADER]) + "\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--delimiter", "ab"), "is not one character"),
        (("--encoding", "utf-16"), "no extension of ASCII"),
        (("--encoding", "nonsense"), "not known here"),
        (("--concurrency", "0"), "is not an integer from 1 to 100"),
        (("--concurrency", "101"), "is not an integer from 1 to 100"),
        (("--rate", "0"), "is not a number from 0.001 to 1000000"),
        (("--rate", "nan"), "is not a number from 0.001 to 1000000"),
        (("--check-only", "--resume"), "--check-only keeps no journal"),
        (("--user_code", "0"), "user_code: is not positive"),
        (("--app_key", "k"), "keys are not taken as arguments"),
        (("--timeout", "0"), "timeout: "),
        (("--out", "/none/report.csv"), "there is no folder /none"),
        (("--out", "/sys/report.csv"), "cannot be"),
        (("--out", __file__), "is there already; give another name, or remove it"),
    ],
)
def test_2_says_what_to_correct(
    bulk: Bulk, sandbox: Sandbox, options: Sequence[str], says: str
) -> None:
    write(bulk.table, rows_of([1]))
    assert_ended(bulk(*options), 2, says)
    assert not sandbox.requests and os.listdir(bulk.folder) == ["customers.csv"]


def test_standard_input_and_what_is_no_file_are_refused(bulk: Bulk) -> None:
    out = ("--out", str(bulk.out))
    assert_ended(run("bulk", "-", *out, url=bulk.url), 2, "save it to a file")
    os.mkfifo(bulk.folder / "pipe")
    for name in ("pipe", "."):
        done = run("bulk", str(bulk.folder / name), *out, url=bulk.url)
        assert_ended(done, 2, "is not a regular file")
    assert_ended(run("bulk", str(bulk.table), url=bulk.url), 2, "--out is needed")


def test_2_for_missing_credentials_is_told_once(bulk: Bulk) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    done = bulk(SKYPOSTAL_APP_KEY=None)
    assert_ended(done, 2, "skypostal bulk: app_key: is missing")
    assert done.stderr.count("app_key") == 1


def test_memory_stays_flat(bulk: Bulk) -> None:
    code = """if True:
        import resource, sys
        from skypostal.__main__ import main
        assert main(sys.argv[1:]) == 0
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
    """

    def peak(rows: int) -> int:
        boxes = list(range(1, rows + 1))
        random.Random(rows).shuffle(boxes)
        write(bulk.table, rows_of(boxes))
        # By way of a shell, because what forks counts until the fork becomes another program.
        command = ["sh", "-c", '"$@"; exit', "sh", sys.executable, "-c", code,
                   "bulk", str(bulk.table), "--check-only", "--quiet"]  # fmt: skip
        done = subprocess.run(command, env=environment(bulk.url), capture_output=True, text=True)
        return int(done.stderr)

    small, large = peak(10_000), peak(150_000)
    assert small > 10_000 and large < small * 1.2, (small, large)


# The journal


def journal_of(path: Path) -> tuple[dict[int, str], int]:
    """The status of each row that has one, and which rows may have been sent."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        outcomes = dict(database.execute("SELECT row, status FROM outcomes"))
        return outcomes, database.execute("SELECT begun FROM run").fetchone()[0]


def test_a_row_is_in_the_journal_before_its_request(tmp_path: Path) -> None:
    seen: list[tuple[dict[int, str], int]] = []

    def look(_: object) -> None:
        seen.append(journal_of(tmp_path / "report.csv.journal"))

    script = [read, look, *GOOD[1:]]
    with serving(*[script] * 8) as server:
        bulk = Bulk(tmp_path, server.url)
        write(bulk.table, rows_of(range(1, 9)))
        assert bulk("--concurrency", "1").returncode == 0
    assert len(seen) == 8
    for row, (outcomes, begun) in enumerate(seen):
        assert row < begun <= row + 4 and set(outcomes) <= set(range(row))


@pytest.mark.parametrize("name", ["journal", ":memory:"])
def test_the_journal_survives_a_loss_of_power(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As far as the disk does what it is told: each commit waits for it."""
    monkeypatch.chdir(tmp_path)
    with contextlib.closing(Journal(name)) as journal:
        journal.start({})
        ask = journal._writer.execute
        assert ask("PRAGMA synchronous").fetchone() == (2,)
        assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    assert journal_of(tmp_path / name) == ({}, 0)


@pytest.fixture
def stopped(bulk: Bulk, sandbox: Sandbox) -> Bulk:
    """A run that was killed when some rows were done and some in flight."""
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(0, times=10)
    sandbox.delay(60, times=10)
    process = bulk.start("--concurrency", "2")
    wait_until(lambda: len(sandbox.requests) == 12 and len(journal_of(bulk.journal)[0]) == 10)
    process.kill()
    process.communicate()
    sandbox.clear_faults()
    return bulk


def test_a_killed_run_goes_on(stopped: Bulk, sandbox: Sandbox) -> None:
    outcomes, begun = journal_of(stopped.journal)
    assert list(outcomes.values()) == ["updated"] * 10 and 12 <= begun <= 16
    again = stopped()
    assert_ended(again, 2, "is of a run that was broken off\nNothing was sent. Go on with --resume")
    done = stopped("--resume")
    assert_ended(done, 0, "going on: 10 of 20 rows are done\n")
    accepted = {row + 1 for row in outcomes}
    assert sorted(sent(sandbox)[12:]) == [box for box in range(1, 21) if box not in accepted]
    assert statuses(stopped.out) == ["updated"] * 20 and not stopped.journal.exists()
    assert_ended(stopped("--resume"), 2, "no run to go on with", "it was completed")


def test_the_journal_is_private_and_holds_no_key(stopped: Bulk) -> None:
    files = sorted(stopped.folder.glob("report.csv.journal*"))
    assert [file.name[18:] for file in files] == ["", "-shm", "-wal"]
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        content = file.read_bytes()
        for secret in (b"the-key-of", environment("")["SKYPOSTAL_APP_KEY"].encode(), b"Ana"):
            assert secret not in content


def change_table(bulk: Bulk) -> Sequence[str]:
    bulk.table.write_text(bulk.table.read_text().replace("Ana 20", "Eva 20"))
    return ()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (change_table, "customers.csv is not what it was"),
        (lambda _: ("--map", "customer_first_name=customer_last_name"), "were other fields"),
        (lambda _: ("--encoding", "cp1252"), "or read in another way"),
        (lambda _: ("--base-url", "http://localhost:9"), "and this is http://localhost:9"),
    ],
)
def test_another_run_does_not_go_on(
    stopped: Bulk, sandbox: Sandbox, change: Callable[[Bulk], Sequence[str]], says: str
) -> None:
    before = len(sandbox.requests)
    done = stopped("--resume", *change(stopped))
    assert_ended(done, 2, f"{stopped.journal}: is of another run: ", says, "This run sent nothing.")
    assert stopped.journal.exists() and len(sandbox.requests) == before


def test_two_runs_do_not_share_a_journal(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(60, times=8)
    first = bulk.start()
    wait_until(lambda: len(sandbox.requests) == 8)
    for option in [(), ("--resume",)]:
        assert_ended(bulk(*option), 2, f"{bulk.journal}: is in use: another run is going on")
    first.kill()
    first.communicate()
    assert bulk("--resume").returncode == 0


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda path: path.write_bytes(b"no journal" * 1000), "is damaged, or no journal"),
        (lambda path: path.mkdir(), "cannot be opened: Is a directory"),
        (lambda path: path.symlink_to("elsewhere"), "cannot be opened: Too many levels"),
        (lambda path: alter(path, "CREATE TABLE t (x)"), "is no journal of skypostal"),
        (lambda path: begin_one(path, "PRAGMA user_version = 2"), "by a newer skypostal"),
        (lambda path: begin_one(path, "DROP TABLE run"), "is damaged, or no journal"),
    ],
)
def test_a_journal_that_cannot_be_used_is_refused(
    bulk: Bulk, sandbox: Sandbox, prepare: Callable[[Path], object], says: str
) -> None:
    write(bulk.table, rows_of([1]))
    prepare(bulk.journal)
    for option in [(), ("--resume",)]:
        done = bulk(*option)
        assert_ended(done, 2, f"skypostal bulk: {bulk.journal}: ", says)
        assert done.stderr.count("\n") == 2
    assert not sandbox.requests and os.path.lexists(bulk.journal)


def alter(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(statement)


def begin_one(path: Path, statement: str) -> None:
    journal = Journal(str(path))
    journal.start({})
    journal.close()
    alter(path, statement)


def test_a_page_of_the_journal_that_is_lost_is_noticed(stopped: Bulk) -> None:
    alter(stopped.journal, "PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(stopped.journal.read_bytes())
    content[8192 + 100 : 12288] = os.urandom(12288 - 8192 - 100)
    stopped.journal.write_bytes(content)
    assert_ended(stopped("--resume"), 2, f"{stopped.journal}: is damaged")


def test_a_journal_elsewhere(bulk: Bulk) -> None:
    write(bulk.table, rows_of([1]))
    same = bulk("--journal", f"{bulk.folder}/../{bulk.folder.name}/report.csv")
    assert_ended(same, 2, "cannot be both the report and the journal")
    assert_ended(bulk("--journal", str(bulk.table)), 2, "is damaged, or no journal")
    assert bulk("--journal", str(bulk.folder / "other")).returncode == 0
    assert not (bulk.folder / "other").exists()


# How a run is broken off


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_in_order(
    bulk: Bulk, sandbox: Sandbox, number: signal.Signals, code: int
) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(0, times=5)
    sandbox.delay(60, times=4)
    process = bulk.start("--concurrency", "4")
    wait_until(lambda: len(sandbox.requests) == 9 and len(journal_of(bulk.journal)[0]) == 5)
    began = time.monotonic()
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    assert time.monotonic() - began < 2
    assert process.returncode == code
    assert err == (
        "skypostal bulk: interrupted\n"
        "Done: 5 of 20 rows. Go on by the same command with --resume.\n"
    )
    assert json.loads(out)["error"] == {"message": "interrupted", "status": code}
    assert sorted(os.listdir(bulk.folder)) == ["customers.csv", "report.csv.journal"]
    with contextlib.closing(sqlite3.connect(bulk.journal)) as database:
        told = database.execute("SELECT status, delivery, error FROM outcomes ORDER BY row")
        ended = [tuple(row) for row in told if row[0] != "updated"]
    assert ended[:4] == [("failed", "unknown", "cancelled")] * 4
    assert set(ended[4:]) <= {("failed", "not_sent", "cancelled")}
    sandbox.clear_faults()
    assert bulk("--resume").returncode == 0
    assert len(sent(sandbox)) == 24 and statuses(bulk.out) == ["updated"] * 20


def test_ctrl_c_at_a_terminal(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(60, times=8)
    terminal = Terminal(*COMMAND, *bulk.arguments(), **environment(bulk.url))
    wait_until(lambda: len(sandbox.requests) == 8)
    terminal.wait_for("sending")
    terminal.type("\x03")
    code, seen = terminal.end()
    assert code == 130
    assert seen.endswith(
        "\rskypostal bulk: interrupted\n"
        "Done: 0 of 20 rows. Go on by the same command with --resume.\n"
    )


def test_a_signal_in_the_check_sends_nothing_and_leaves_nothing(
    bulk: Bulk, sandbox: Sandbox
) -> None:
    write(bulk.table, rows_of(range(1, 300_000)))
    process = bulk.start()
    wait_until(bulk.journal.exists)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (
        143, "skypostal bulk: interrupted\nNothing was sent.\n",
    )  # fmt: skip
    assert os.listdir(bulk.folder) == ["customers.csv"] and not sandbox.requests


def test_an_unreachable_service_ends_the_run(tmp_path: Path) -> None:
    with FaultServer([], "refusing") as server:
        bulk = Bulk(tmp_path, server.url)
        write(bulk.table, rows_of(range(1, 201)))
        done = bulk("--max-retries", "0", "--concurrency", "4")
        assert_ended(done, 4, "skypostal bulk: stopped after 10 rows in a row that found no",
                     "Done: 0 of 200 rows. Go on by the same command with --resume.")  # fmt: skip
        told = json.loads(done.stdout)
        assert told["failed"] <= 20 and told["left"] == 200 - told["failed"]
        assert not bulk.out.exists()
        server.mend()
        assert bulk("--resume").returncode == 0
        assert statuses(bulk.out) == ["updated"] * 200


def test_6_when_the_journal_does_not_fit_on_the_disk(bulk: Bulk, sandbox: Sandbox) -> None:
    """Nothing is sent of which the journal does not know."""
    write(bulk.table, rows_of(range(1, 21)))
    process = bulk.start("--concurrency", "1", preexec_fn=limited(60_000))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 6
    first, second = err.splitlines()
    assert first.startswith(f"skypostal bulk: {bulk.journal}: cannot be written: ")
    assert re.fullmatch(r"Done: \d+ of 20 rows\. Go on by the same command with --resume\.", second)
    outcomes, begun = journal_of(bulk.journal)
    assert 0 < len(outcomes) < 20 and max(sent(sandbox)) <= begun
    before = sent(sandbox)
    assert bulk("--resume").returncode == 0
    assert not {row + 1 for row in outcomes} & set(sent(sandbox)[len(before) :])
    assert names(sandbox, range(1, 21)) == [f"Ana {box}" for box in range(1, 21)]


def test_6_when_the_report_does_not_fit_on_the_disk(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, [[*row, "x" * 100_000] for row in rows_of(range(1, 4))], [*HEADER, "note"])
    process = bulk.start("--concurrency", "1", preexec_fn=limited(200_000))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 6
    assert f"skypostal bulk: {bulk.out}: cannot be written: File too large\nDone: 3 of 3" in err
    assert sorted(os.listdir(bulk.folder)) == ["customers.csv", "report.csv.journal"]
    assert bulk("--resume").returncode == 0 and len(sent(sandbox)) == 3
    assert statuses(bulk.out) == ["updated"] * 3


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.replace(b"Ana 20", b"Eva 20"),
        lambda content: content + b"21,the-key-of-21,Ana 21\r\n",
    ],
)
def test_a_table_that_is_changed_meanwhile_is_noticed(
    bulk: Bulk, sandbox: Sandbox, change: Callable[[bytes], bytes]
) -> None:
    """Whether a row is another, or was added and so not checked."""
    write(bulk.table, rows_of(range(1, 21)))
    content = bulk.table.read_bytes()
    sandbox.delay(0.5, times=2)
    process = bulk.start("--concurrency", "2")
    wait_until(lambda: len(sandbox.requests) == 2)
    with bulk.table.open("r+b") as file:
        file.write(change(content))
    _, err = process.communicate(timeout=20)
    assert process.returncode == 6
    assert f"{bulk.table}: was changed during the run; put it back as it was\n" in err
    assert 21 not in sent(sandbox)
    bulk.table.write_bytes(content)
    assert bulk("--resume").returncode == 0 and statuses(bulk.out) == ["updated"] * 20


def has_begun(bulk: Bulk) -> bool:
    with contextlib.suppress(sqlite3.Error), contextlib.closing(Journal(str(bulk.journal))) as it:
        return it.settings is not None
    return False


def test_50_kills_lose_nothing_and_repeat_nothing_that_was_accepted(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    chance = random.Random(2024)
    boxes = range(1, 501)
    add_customers(sandbox, boxes)
    bulk = Bulk(tmp_path, sandbox.url)
    write(bulk.table, rows_of(boxes))
    for _ in range(80):
        sandbox.delay(0, times=chance.randrange(1, 4))
        faults: list[Callable[[], None]] = [
            lambda: sandbox.drop_connection(applied=True),
            lambda: sandbox.drop_connection(),
            lambda: sandbox.fail_next(status=503, retry_after=0),
            lambda: sandbox.fail_next(status=500, applied=True),
            lambda: sandbox.delay(0.3),
            lambda: sandbox.refuse_next(),
        ]
        chance.choice(faults)()
    kept: list[tuple[int, set[int]]] = []
    for _ in range(50):
        resume = ["--resume"] if has_begun(bulk) else []
        process = bulk.start("--rate", "25", *resume)
        time.sleep(chance.uniform(0.02, 0.8))
        process.kill()
        assert_no_secret("".join(process.communicate()))
        assert process.returncode == -signal.SIGKILL
        words = journal_of(bulk.journal)[0] if has_begun(bulk) else {}
        accepted = {row + 1 for row, word in words.items() if word == "updated"}
        kept.append((len(sandbox.requests), accepted))
    assert len(kept[-1][1]) > 50 and not sandbox.pending_faults

    assert bulk("--resume").returncode in (0, 3)
    requests = sent(sandbox)
    for before, accepted in kept:
        assert not accepted & set(requests[before:])
    report = read_report(bulk.out)
    assert [row["customer_box_id"] for row in report] == [str(box) for box in boxes]
    for row, name in zip(report, names(sandbox, boxes)):
        if row["skypostal_status"] == "updated":
            assert name == row["customer_first_name"]
        else:
            assert row["skypostal_status"] == "refused"
            assert row["skypostal_delivery"] == "unknown" or name is None

    bulk.table, bulk.out = bulk.out, tmp_path / "second.csv"
    assert bulk().returncode == 0
    assert names(sandbox, boxes) == [f"Ana {box}" for box in boxes]


def test_a_kill_while_the_report_is_written_leaves_no_half_report(bulk: Bulk) -> None:
    done = [["updated", "", "1", "", "", str(box), "", "Ana"] for box in range(100_000)]
    write(bulk.table, done, [*NAMES, *HEADER])
    part = bulk.folder / "report.csv.part"
    process = bulk.start()
    wait_until(part.exists)
    assert stat.S_IMODE(part.stat().st_mode) == 0o600
    process.kill()
    process.communicate()
    assert not bulk.out.exists() and bulk.journal.exists()
    assert bulk("--resume").returncode == 0
    assert bulk.out.read_bytes() == bulk.table.read_bytes()
    assert sorted(os.listdir(bulk.folder)) == ["customers.csv", "report.csv"]


# Progress


def test_progress_at_a_terminal_is_one_line(bulk: Bulk, sandbox: Sandbox) -> None:
    write(bulk.table, [*rows_of(range(1, 20)), ["20", "wrong", "Eva"]])
    sandbox.delay(0, times=10)
    sandbox.delay(0.5, times=10)
    terminal = Terminal(*COMMAND, *bulk.arguments("--concurrency", "2"), **environment(bulk.url))
    code, seen = terminal.end()
    assert code == 3
    drawn, _, summary = seen.rpartition("\r")
    assert summary.startswith("20 rows: 19 updated, 1 refused.\n")
    lines = [line.rstrip() for line in drawn.split("\r")]
    assert max(map(len, lines)) <= 79 and "\n" not in drawn and "\x1b" not in drawn
    middle = [line for line in lines if re.match(r"sending \[#+\.+\] \d+ %  1\d of 20 rows", line)]
    assert any(re.search(r"  \d+(\.\d)?/s  0:\d\d left$", line) for line in middle), lines


@pytest.mark.parametrize("columns", [20, 60, 120])
def test_progress_fits_a_terminal(bulk: Bulk, sandbox: Sandbox, columns: int) -> None:
    write(bulk.table, rows_of(range(1, 21)))
    sandbox.delay(0.3, times=20)
    given = environment(bulk.url, COLUMNS=str(columns))
    terminal = Terminal(*COMMAND, *bulk.arguments(), **given)
    drawn = terminal.end()[1].rpartition("\r")[0]
    lines = [line for line in drawn.split("\r") if line.strip()]
    assert lines and max(map(len, lines)) <= columns - 1


def test_progress_elsewhere_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    rows = iter(range(0, 10_000_000, 500_000))

    def state() -> State:
        done = next(rows)
        return State(done, done / 10_000_000, "2 failed" if done else "")

    with Progress("sending", 10_000_000, state, every=0.02):
        time.sleep(0.1)
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == "skypostal bulk: sending 0 %  0 of 10,000,000 rows"
    assert re.fullmatch(
        r"skypostal bulk: sending 5 %  500,000 of 10,000,000 rows  [\d,]+/s  2 failed  0:\d\d left",
        second,
    )


# Parquet


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
    assert stat.S_IMODE(bulk.out.stat().st_mode) == 0o600
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
    assert_ended(done, 2, f"{bulk.table}:row 1: customer_tax_number: is not a str, int or Decimal",
                 "row 2: customer_box_id: is that of row 1 too")  # fmt: skip
    bulk.table.write_bytes(b"PAR1 and no more")
    assert_ended(bulk.check(), 2, f"skypostal bulk: {bulk.table}: ")


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


# The guide


GUIDE = ROOT / "docs" / "bulk.md"


def test_the_guide_shows_what_happens(sandbox: Sandbox, tmp_path: Path) -> None:
    port = sandbox.url.rpartition(":")[2]
    (exports,) = [block.code for block in code_blocks(GUIDE, "sh")]
    (table,) = code_blocks(GUIDE, "csv")
    (tmp_path / table.title).write_text(table.code, encoding="utf-8")
    given = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    steps = [
        step.partition("\n")[::2]
        for block in code_blocks(GUIDE, "console")
        for step in re.split(r"^\$ ", block.code, flags=re.M)[1:]
    ]
    assert len(steps) == 7
    for command, expected in steps:
        script = f"{exports.replace('8765', port)}\ncd {tmp_path}\n{command}"
        if "broken off" in expected:
            sandbox.delay(60, times=2)
            before = len(sandbox.requests)
            killed = script.replace("skypostal", "exec skypostal")
            process = subprocess.Popen(["bash", "-c", killed], env=given)
            wait_until(lambda: len(sandbox.requests) > before)  # noqa: B023
            process.kill()
            process.wait()
            sandbox.clear_faults()
        seen = Terminal("bash", "-c", script, **given).end()[1]
        assert re.sub(r"[^\n]*\r", "", seen) == expected, command


def test_the_guide_and_the_help_tell_the_same_statuses() -> None:
    in_guide = re.findall(r"^\| (\d+) \|", GUIDE.read_text(), re.M)
    in_help = re.findall(r"^  (\d+) ", run("bulk", "--help").stdout, re.M)
    assert in_guide == in_help == ["0", "1", "2", "3", "4", "5", "6", "130"]
