"""`skypostal bulk`: the check of the whole table before anything is sent."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence

import pytest
from bulk_command import (
    HEADER,
    NAMES,
    Bulk,
    assert_ended,
    key_of,
    read_report,
    rows_of,
    sent,
    statuses,
    write,
)
from command_line import environment, run

from skypostal.sandbox import Sandbox

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
    (2, 'customer_gender: must be "M" or "F"'),
    (3, "customer_first_name: has a control character (character 4); remove it"),
    (5, "has 3 cells, where the header has 4"),
    (8, "customer_box_id: must be a positive integer of at most 64 bits; this is not an integer"),
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
        (b"PK\x03\x04....", "is a damaged archive, or one that was cut off"),
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
        (("--delimiter", "ab"), "must be one character"),
        (("--encoding", "utf-16"), "must be the name of an encoding that extends ASCII"),
        (("--encoding", "nonsense"), "extends ASCII, not nonsense"),
        (("--concurrency", "0"), "must be an integer from 1 to 100"),
        (("--concurrency", "101"), "must be an integer from 1 to 100"),
        (("--rate", "0"), "must be a number from 0.001 to 1000000"),
        (("--rate", "nan"), "must be a number from 0.001 to 1000000"),
        (("--dry-run", "--resume"), "--dry-run has no journal"),
        (("--user_code", "0"), "user_code: must be a positive integer"),
        (("--app_key", "k"), "keys are not taken as arguments"),
        (("--timeout", "0"), "timeout: "),
        (("--out", "/none/report.csv"), "there is no folder /none"),
        (("--out", "/sys/report.csv"), "cannot be"),
        (("--out", __file__), "exists already; give another name, or remove it"),
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
    assert_ended(run("bulk", str(bulk.table), url=bulk.url), 2, "--out: must be given")


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
                   "bulk", str(bulk.table), "--dry-run", "--quiet"]  # fmt: skip
        done = subprocess.run(command, env=environment(bulk.url), capture_output=True, text=True)
        return int(done.stderr)

    small, large = peak(10_000), peak(150_000)
    assert small > 10_000 and large < small * 1.2, (small, large)
