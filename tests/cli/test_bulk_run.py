"""`skypostal bulk`: a whole run from the table to the report, and what becomes of each row."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from bulk_command import (
    HEADER,
    NAMES,
    Bulk,
    assert_ended,
    assert_private,
    key_of,
    names,
    read_report,
    rows_of,
    sent,
    statuses,
    write,
)
from command_line import COMMAND, Terminal, environment, serving
from fault_cases import LOST, ok, status
from fault_server import Script, hang, read

from skypostal.sandbox import Sandbox


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
    assert_private(bulk.out)
    assert sorted(os.listdir(bulk.folder)) == ["customers.csv", "report.csv"]


def test_at_a_terminal_the_summary_is_for_people(bulk: Bulk) -> None:
    write(bulk.table, [*rows_of([1, 2]), ["3", "wrong", "Eva"]])
    code, seen = Terminal(*COMMAND, *bulk.arguments(), **environment(bulk.url)).end()
    assert code == 3
    assert seen.endswith(
        f"3 rows: 2 updated, 1 refused.\nThe report is in {bulk.out}."
        " To retry the rows that were not updated, give it as the table, with the same options.\n"
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
    assert first[3]["skypostal_message"].startswith("customer_box_id: must be a positive integer")

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
